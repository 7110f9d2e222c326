//go:build failpoints

package failpoint

import (
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// The environment of a process under test.
const (
	envPoint  = "ONRECORD_FAILPOINT" // "ledger.stored:3": end at the third time
	envUnsafe = "ONRECORD_FAILPOINT_UNSAFE"
	envClock  = "ONRECORD_FAILPOINT_CLOCK" // "-1h": the clock is an hour behind
	envLater  = "ONRECORD_FAILPOINT_LATER"
)

var (
	point string
	left  atomic.Int64
	step  time.Duration
)

func init() {
	if v := os.Getenv(envPoint); v != "" {
		name, times, _ := strings.Cut(v, ":")
		n, err := strconv.ParseInt(times, 10, 64)
		if err != nil {
			panic(envPoint + ": " + err.Error())
		}
		point = name
		left.Store(n)
	}
	if v := os.Getenv(envClock); v != "" {
		var err error
		if step, err = time.ParseDuration(v); err != nil {
			panic(envClock + ": " + err.Error())
		}
	}
}

// Hit ends the process as by kill -9 when it was told to end here.
func Hit(name string) {
	if name == point && left.Add(-1) == 0 {
		fmt.Fprintln(os.Stderr, "failpoint: "+name)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

// Unsafe reports whether the stream may acknowledge what is not on disk yet,
// so that the tests can be shown to notice.
func Unsafe() bool { return os.Getenv(envUnsafe) != "" }

// Now is the time, as far off as the process was told.
func Now() time.Time { return time.Now().Add(step) }

// Later makes of an event what a later release would write when it was told to:
// the protobuf message with a field more that nobody here knows, and another in
// each message that stands in it.
func Later(event []byte) []byte {
	if os.Getenv(envLater) == "" {
		return event
	}
	const bytesType = 2
	unknown := append(binary.AppendUvarint(nil, 2047<<3|bytesType), "\x0dlater release"...)
	later := append([]byte{}, event...)
	for rest := event; len(rest) > 0; {
		tag, n := binary.Uvarint(rest)
		value, size := binary.Uvarint(rest[max(n, 0):])
		if n <= 0 || size <= 0 {
			return event // no message of ours
		}
		rest = rest[n+size:]
		if tag&7 != bytesType {
			continue // numbers in our messages are varints
		}
		if value > uint64(len(rest)) {
			return event
		}
		rest = rest[value:]
		if tag>>3 >= 10 { // the message in the envelope; a second copy is merged into the first
			later = binary.AppendUvarint(later, tag)
			later = append(binary.AppendUvarint(later, uint64(len(unknown))), unknown...)
		}
	}
	return append(later, unknown...)
}
