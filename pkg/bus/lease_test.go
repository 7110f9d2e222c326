package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
)

// lead runs Lead until the returned stop, and counts who leads.
func lead(t *testing.T, b *bus.Bus, leaders *atomic.Int32, leads chan<- string, name string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- b.Lead(ctx, "test", func(ctx context.Context) error {
			if n := leaders.Add(1); n != 1 {
				t.Errorf("%d lead at a time", n)
			}
			leads <- name
			<-ctx.Done()
			leaders.Add(-1)
			return nil
		})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s ended with %v", name, err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func next(t *testing.T, leads <-chan string, within time.Duration) string {
	t.Helper()
	select {
	case name := <-leads:
		return name
	case <-time.After(within):
		t.Fatalf("nobody took over in %v", within)
		return ""
	}
}

func TestOneLeadsAndAnotherTakesOverAtOnce(t *testing.T) {
	b := bustest.New(t)
	var leaders atomic.Int32
	leads := make(chan string, 4)
	stop := map[string]func(){"a": lead(t, b, &leaders, leads, "a"), "b": lead(t, b, &leaders, leads, "b")}
	first := next(t, leads, 10*time.Second)
	began := time.Now()
	stop[first]()
	if second := next(t, leads, 10*time.Second); second == first {
		t.Errorf("%s took over from itself", second)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("taking over from one that stopped in order took %v: the lease was not given back", took)
	}
}

// What only reads the bucket takes nothing over while the lease is renewed; a
// holder that cannot renew stops before the other begins.
func TestAHolderThatIsCutOffStopsBeforeTheNextBegins(t *testing.T) {
	url := bustest.Listen(t)
	cut := bustest.Dial(t, url)
	b, err := bus.New(cut, bustest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	var leaders atomic.Int32
	leads := make(chan string, 4)
	lead(t, b, &leaders, leads, "cut off")
	next(t, leads, 10*time.Second)
	other, err := bus.New(bustest.Dial(t, url), bustest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	lead(t, other, &leaders, leads, "other")
	cut.Close()
	began := time.Now()
	if got := next(t, leads, 20*time.Second); got != "other" {
		t.Errorf("%s leads", got)
	}
	t.Logf("another took over after %v", time.Since(began).Round(10*time.Millisecond))
}

func TestTheErrorOfTheLeaderIsReturned(t *testing.T) {
	broken := errors.New("the store is gone")
	err := bustest.New(t).Lead(t.Context(), "test", func(context.Context) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("err=%v, want %v", err, broken)
	}
}

func TestChangesFromManyAtOnceAreAllSeen(t *testing.T) {
	b := bustest.New(t)
	var wg sync.WaitGroup
	var done atomic.Int32
	for range 40 {
		wg.Go(func() {
			err := b.Update(t.Context(), bus.BucketSignIns, "n", func(old []byte) []byte {
				n, _ := strconv.Atoi(string(old))
				return []byte(strconv.Itoa(n + 1))
			})
			if err == nil {
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if done.Load() == 0 {
		t.Fatal("no change was made")
	}
	err := b.Update(t.Context(), bus.BucketSignIns, "n", func(old []byte) []byte {
		if want := fmt.Sprint(done.Load()); string(old) != want {
			t.Errorf("value=%s after %s changes", old, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// An instance that stops in order leaves nothing in its hands: what it took in
// advance goes to the others at once, not after the wait for an acknowledgement.
func TestWhatWasTakenInAdvanceIsHandedBack(t *testing.T) {
	b, nc := bustest.NewConn(t)
	const events = 60
	for i := range events {
		publish(t, b, fmt.Sprintf("r%d", i), "x")
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	cons, err := js.Consumer(t.Context(), bus.StreamReports, bus.ConsumerReporting)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	handled := 0
	err = b.Consume(ctx, bus.Consumer{Name: bus.ConsumerReporting, Batch: 20, Handle: func(_ context.Context, batch []bus.Delivery) []error {
		if handled == 0 { // until it has taken more than this batch in advance
			for info := cons.CachedInfo(); info.NumAckPending <= len(batch); {
				if info, err = cons.Info(t.Context()); err != nil {
					t.Error(err)
					break
				}
			}
			cancel()
		}
		handled += len(batch)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	collect(t, b, events-handled)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the other %d came after %v", events-handled, took)
	}
}

func TestWorkIsCutOffWhenTheLeaseIsLost(t *testing.T) {
	b := bustest.New(t)
	publish(t, b, "r1", "x")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := b.Consume(ctx, bus.Consumer{Name: bus.ConsumerReporting, Batch: 1, Handle: func(ctx context.Context, _ []bus.Delivery) []error {
		cancel(bus.ErrDeposed)
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
			t.Error("the handler was not told to stop")
		}
		return []error{ctx.Err()}
	}})
	if err != nil {
		t.Fatal(err)
	}
}
