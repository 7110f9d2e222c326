//go:build !failpoints

package failpoint

import "time"

// Hit says that the process is at a place.
func Hit(string) {}

// Unsafe reports whether the stream may acknowledge what is not on disk yet,
// so that the tests can be shown to notice.
func Unsafe() bool { return false }

// Now is the time.
func Now() time.Time { return time.Now() }

// Later makes of an event what a later release would write.
func Later(event []byte) []byte { return event }
