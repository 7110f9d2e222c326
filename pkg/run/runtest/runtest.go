// Package runtest helps tests of running processes and services.
package runtest

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"
)

// Poll calls check until it returns nil, and then returns nil; once the time is
// up or ctx is done, it returns check's last error.
func Poll(ctx context.Context, within time.Duration, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// Eventually polls check, and fails the test with its last error once the time
// is up. The test’s own end does not cut it short: it is of use in a Cleanup.
func Eventually(tb testing.TB, within time.Duration, check func() error) {
	tb.Helper()
	if err := Poll(context.WithoutCancel(tb.Context()), within, check); err != nil {
		tb.Fatalf("after %v: %v", within, err)
	}
}

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
