package faults

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// apart kills the services as they run apart, and a NATS server of three. The
// tests of that stand beside what they test.
func apart(t *trial) {
	t.besides("TestNothingReceivedIsLostOrCountedTwice", "-in-time")
}

// parted breaks every network between the services apart.
func parted(t *trial) {
	t.besides("TestNetworksThatPart", "-part", "R9", "-part-seed", fmt.Sprint(t.seed))
}

// withoutDatabase takes the database from the services apart.
func withoutDatabase(t *trial) {
	t.besides("TestNetworksThatPart", "-part", "R10", "-part-seed", fmt.Sprint(t.seed), "-in-time")
}

// besides runs a test of the services apart, and takes from what it says how
// often it broke something and how many reports it filed.
func (t *trial) besides(test string, args ...string) {
	t.Helper()
	args = append([]string{"test", "-count=1", "-timeout", "0", "-v", "-run", "^" + test + "$", "../apart", "-args"}, args...)
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		t.wrong("%v\n%s", err, out)
		return
	}
	faults := 0
	for line := range strings.Lines(string(out)) {
		_, told, ok := strings.Cut(line, "_test.go:")
		if !ok {
			continue
		}
		_, told, _ = strings.Cut(told, ": ")
		if strings.HasPrefix(told, "broken: ") || strings.Contains(told, " killed: ") {
			faults++
			t.note("%s", strings.TrimSpace(told))
		}
		if strings.HasPrefix(told, "the database: ") || strings.Contains(told, " waited in the stream") {
			t.note("%s", strings.TrimSpace(told))
		}
		if n, err := strconv.Atoi(strings.Fields(told)[0]); err == nil {
			t.count(func(y *tally) { y.filed, y.received = y.filed+n, y.received+n })
		}
	}
	if faults == 0 {
		t.wrong("it told of nothing that it broke:\n%s", out)
	}
	t.broke(faults)
}
