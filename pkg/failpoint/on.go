//go:build failpoints

package failpoint

import (
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
