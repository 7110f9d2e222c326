// Package runtest helps tests of running processes and services.
package runtest

import (
	"bytes"
	"sync"
)

// Output is what a process or a logger writes while a test reads it. The zero
// Output is empty and ready for use.
type Output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

// String returns everything written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
