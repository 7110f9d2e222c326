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
		{512, false, 13 * time.Second, 256},
		{100, false, 13 * time.Second, 50}, // a small one was slow already
		{50, false, 6 * time.Second, 50},
		{50, false, 5900 * time.Millisecond, 100},
		{100, false, 13 * time.Second, 50},
		{50, true, time.Millisecond, 25},          // all of it failed
		{25, false, 1500 * time.Millisecond, 100}, // as many as take half of what is slow
		{100, true, 1400 * time.Millisecond, 50},
		{1, true, time.Millisecond, 1},
		{1, true, time.Millisecond, 1}, // never none
		{1, false, 2 * time.Second, 3},
		{1, false, 600 * time.Millisecond, 10}, // soon as many as a store can take that was away
		{2, false, 5 * time.Second, 20},
		{1, false, 0, 512},
	} {
		if p.note(c.n, c.failed, c.took); p.now != c.want {
			t.Errorf("after %+v: %d together, want %d", c, p.now, c.want)
		}
	}
}

func TestWhatFailsComesAgainLaterEachTimeUnlessItWasNotItsFault(t *testing.T) {
	for _, c := range []struct {
		deliveries      uint64
		poison, hurried bool
		want            time.Duration
	}{
		{1, false, false, time.Second},
		{4, false, false, 8 * time.Second},
		{1000, false, false, 5 * time.Minute},
		{8, false, true, time.Second},
		{1, true, false, 100 * time.Millisecond},
		{9, true, true, 800 * time.Millisecond},
	} {
		if got := backOff(c.deliveries, c.poison, c.hurried); got != c.want {
			t.Errorf("%+v: after %v", c, got)
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

func TestWhatTheServerIsAboutToHandOutAgainIsHandedBack(t *testing.T) {
	now := time.Now()
	fresh, late, again := taken{at: now}, taken{at: now.Add(2*time.Second - ackWait)}, taken{at: now.Add(-ackWait)}
	queue := make(chan taken, 5)
	for _, one := range []taken{fresh, late, again, fresh, fresh} {
		queue <- one
	}
	if batch, back := gather(queue, late, 2); len(batch) != 2 || len(back) != 2 || len(queue) != 1 {
		t.Errorf("gathered %d, hands back %d, %d are left, want 2, 2 and 1", len(batch), len(back), len(queue))
	}
	if batch, back := gather(make(chan taken), again, 2); len(batch)+len(back) != 0 {
		t.Errorf("gathered %d and hands back %d of what was handed out again already", len(batch), len(back))
	}
}
