package bus

import (
	"strings"
	"testing"
	"time"
)

func TestASlowStoreGetsSmallerBatches(t *testing.T) {
	p := pace{most: 512, now: 512}
	for _, c := range []struct {
		n      int
		failed bool
		took   time.Duration
		want   int
	}{
		{512, false, 100 * time.Millisecond, 512},
		{512, false, 5 * time.Second, 256},
		{100, false, 5 * time.Second, 50}, // a small one was slow already
		{50, false, 2 * time.Second, 50},
		{50, true, time.Millisecond, 25}, // all of it failed
		{25, false, time.Millisecond, 50},
		{1, true, time.Millisecond, 1},
		{1, true, time.Millisecond, 1}, // never none
	} {
		if p.note(c.n, c.failed, c.took); p.now != c.want {
			t.Errorf("after %+v: %d together, want %d", c, p.now, c.want)
		}
	}
}

// The server itself puts a consumer back that it finds ahead when it starts, so
// this cannot be brought about with a healthy one.
func TestAConsumerAheadOfItsStreamIsNamed(t *testing.T) {
	if err := checkAhead(50, 50); err != nil {
		t.Errorf("at the end of the stream: %v", err)
	}
	if err := checkAhead(51, 50); err == nil || !strings.Contains(err.Error(), "admin streams apply") {
		t.Errorf("err=%v, want it named with what to do", err)
	}
}

func TestWhatTheServerIsAboutToHandOutAgainIsLeft(t *testing.T) {
	queue := make(chan taken, 4)
	old, fresh := time.Now().Add(-ackWait), time.Now()
	queue <- taken{at: fresh}
	queue <- taken{at: old}
	queue <- taken{at: fresh}
	queue <- taken{at: fresh}
	if got := gather(queue, taken{at: old}, 2); len(got) != 2 || len(queue) != 1 {
		t.Errorf("gathered %d, %d are left, want 2 and 1", len(got), len(queue))
	}
	if got := gather(make(chan taken), taken{at: old}, 2); len(got) != 0 {
		t.Errorf("gathered %d old ones", len(got))
	}
}
