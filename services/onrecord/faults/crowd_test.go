package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// crowd is many phones that file one report after another. Each keeps a report
// until it is received and sends it again with the same id, waiting longer
// each time, as the page does.
type crowd struct {
	t      *trial
	url    atomic.Pointer[string] // nil while nothing listens
	stop   chan struct{}          // no new reports from here on
	giveUp chan struct{}          // and none again
	wg     sync.WaitGroup

	mu       sync.Mutex
	sent     map[string]string // id to words, whatever was answered
	received map[string]string // id to words, answered 200 or 201
	refused  map[int]int       // other answers, by status
	worst    time.Duration     // until an answer, of those received
	times    []time.Duration   // likewise, all
}

// phones starts a crowd. Its reports go nowhere until to is called.
func (t *trial) phones(n int) *crowd {
	c := &crowd{t: t, stop: make(chan struct{}), giveUp: make(chan struct{}),
		sent: make(map[string]string), received: make(map[string]string), refused: make(map[int]int)}
	for range n {
		rng := rand.New(rand.NewPCG(t.rng.Uint64(), 0))
		c.wg.Go(func() {
			for gaveUp := false; !gaveUp && !closed(c.stop); {
				gaveUp = !c.file(newReport(t, rng))
			}
		})
	}
	t.Cleanup(c.hangUp)
	return c
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// to tells the phones where the server is; "" while it is away.
func (c *crowd) to(url string) {
	if url == "" {
		c.url.Store(nil)
		return
	}
	c.url.Store(&url)
}

// report is one that a phone holds.
type report struct{ id, words, body string }

var demoWords = []string{"shouted", "at the desk", "by phone", "threw a chair", "would not leave", "in the queue", "at everybody", "about a letter"}

// newReport makes a report whose words nobody else has.
func newReport(t *trial, rng *rand.Rand) report {
	id := uuid.Must(uuid.NewV7()).String()
	words := fmt.Sprintf("Demo: a man %s, %s, %s. %s %s", demoWords[rng.IntN(len(demoWords))], demoWords[rng.IntN(len(demoWords))],
		demoWords[rng.IntN(len(demoWords))], t.canary, id)
	return reportOf(id, words, time.Now().Add(-time.Duration(rng.IntN(72*3600))*time.Second))
}

func reportOf(id, words string, at time.Time) report {
	body, err := json.Marshal(map[string]any{"id": id, "site": "unlisted", "occurred_at": at.UTC().Format(time.RFC3339), "kind": "abuse",
		"channel": "in_person", "target": "any_staff", "narrative": words})
	if err != nil {
		panic(err)
	}
	return report{id, words, string(body)}
}

// file sends a report until it is received. It returns false when the crowd
// gave up.
func (c *crowd) file(r report) bool {
	c.mu.Lock()
	c.sent[r.id] = r.words
	c.mu.Unlock()
	c.t.count(func(y *tally) { y.filed++ })
	pause := 20 * time.Millisecond
	for began := time.Now(); ; {
		if url := c.url.Load(); url != nil {
			a, err := call(http.MethodPost, *url+"/api/v1/reports", r.body, "Content-Type", "application/json")
			if err == nil && c.settle(r, a, time.Since(began)) {
				return true
			}
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-c.giveUp:
			return false
		}
		pause = min(2*pause, time.Second)
	}
}

// settle notes an answer, and reports whether the report need not be sent again.
func (c *crowd) settle(r report, a answer, took time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.status == http.StatusCreated || a.status == http.StatusOK {
		c.received[r.id] = r.words
		c.worst = max(c.worst, took)
		c.times = append(c.times, took)
		c.t.count(func(y *tally) { y.received++ })
		return true
	}
	c.refused[a.status]++
	return false
}

// soFar returns what has been received until now.
func (c *crowd) soFar() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.received)
}

// sentSoFar returns what has been sent until now, whatever was answered.
func (c *crowd) sentSoFar() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.sent)
}

// count returns how many were received.
func (c *crowd) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.received)
}

// await returns once n more were received.
func (c *crowd) await(n int) {
	c.t.Helper()
	want := c.count() + n
	runtest.Eventually(c.t, time.Minute, func() error {
		if got := c.count(); got < want {
			return fmt.Errorf("received %d, want %d", got, want)
		}
		return nil
	})
}

// finish lets each phone file what it holds, and no more, and waits for that.
func (c *crowd) finish() {
	c.t.Helper()
	if !closed(c.stop) {
		close(c.stop)
	}
	done := make(chan struct{})
	go func() { c.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		c.t.Fatalf("some reports were not received in a minute after everything was mended; answers: %v", c.refused)
	}
}

// hangUp ends the crowd, whatever it holds.
func (c *crowd) hangUp() {
	if !closed(c.stop) {
		close(c.stop)
	}
	if !closed(c.giveUp) {
		close(c.giveUp)
	}
	c.wg.Wait()
}

// slowest returns a quantile of the times until an answer.
func (c *crowd) slowest(q float64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(c.times))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
