// Package standing checks, at the start and again and again, that reporting
// holds everything the stream does, that the stream is the one it has seen,
// and that its consumers get on. What it finds is for an operator.
package standing

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/check"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const (
	lookEvery  = 15 * time.Second
	walkEvery  = time.Hour
	stalledFor = 2 * time.Minute // with work waiting and nothing done
	useWarning = 0.85            // of what the stream may use
	useAlarm   = 0.95
)

// Config is what a Checker needs. Every field but MayErase, Beside and Known is required.
type Config struct {
	Store store.Store
	Bus   *bus.Bus

	// Apply takes an event that the store lacks into it, or puts it aside.
	Apply func(ctx context.Context, d bus.Delivery) error

	// MayErase says that this process may remove events from the stream: where
	// services run apart, the administrator alone may.
	MayErase bool

	// Beside says that another process checks the same installation: what was
	// seen of the stream is its to keep, and what it saw go it alone still knows.
	Beside bool

	// Known is what was found before there was a Checker.
	Known []check.Finding

	Log *slog.Logger
	Now func() time.Time
}

// Checker checks one installation. It is safe for concurrent use.
type Checker struct {
	store    store.Store
	bus      *bus.Bus
	apply    func(context.Context, bus.Delivery) error
	mayErase bool
	beside   bool
	log      *slog.Logger
	now      func() time.Time

	mu       sync.Mutex
	looked   []check.Finding // by the last look
	walked   []check.Finding // by the last walk
	lost     []check.Finding // what was seen to be gone; it stays until the process ends
	progress map[string]progress
	gauge    check.Gauge
}

// progress is how far a consumer was, and since when.
type progress struct {
	ackFloor uint64
	since    time.Time
}

// New returns a Checker.
func New(c Config) *Checker {
	return &Checker{store: c.Store, bus: c.Bus, apply: c.Apply, mayErase: c.MayErase, beside: c.Beside, log: c.Log.With("category", "self-check"), now: c.Now, lost: c.Known, progress: make(map[string]progress)}
}

// Findings returns what is wrong as far as the last checks saw it.
func (c *Checker) Findings() []check.Finding {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(c.lost, c.looked, c.walked)
}

// Run looks every few seconds and walks the whole stream at once and every
// hour, until ctx is done, and looks a last time. It returns an error when only a restart mends what
// it found.
func (c *Checker) Run(ctx context.Context) error {
	walks := time.NewTicker(walkEvery)
	defer walks.Stop()
	defer func() { _ = c.Look(context.WithoutCancel(ctx)) }() // so that the next process knows where the stream ended
	if err := c.Look(ctx); err != nil {
		return err
	}
	for {
		c.tryWalk(ctx)
		if err := c.lookUntil(ctx, walks.C); err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// lookUntil looks every few seconds until it is time to walk, or ctx is done.
func (c *Checker) lookUntil(ctx context.Context, walk <-chan time.Time) error {
	looks := time.NewTicker(lookEvery)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-looks.C:
			if err := c.Look(ctx); err != nil {
				return err
			}
		case <-walk:
			return nil
		}
	}
}

func (c *Checker) tryWalk(ctx context.Context) {
	if err := c.Walk(ctx, func(int) {}); err != nil && ctx.Err() == nil {
		c.log.Error("the stream could not be held against the store and will be again in an hour", "error", err)
	}
}

// Look checks what costs little: the stream's settings and use, whether it is
// the one that was seen before, its consumers, and the quarantine. It returns
// an error when only a restart mends what it found.
func (c *Checker) Look(ctx context.Context) error {
	before, seenErr := c.seenBefore(ctx) // first: whoever else looks meanwhile sees more of the stream
	h, err := c.bus.Health(ctx)
	if err != nil {
		if ctx.Err() == nil {
			c.setLooked([]check.Finding{check.Alarmf("stream_unavailable",
				"Look at the log of the stream’s server, and restart it.",
				"The stream does not answer: nothing can be received. Phones keep what they have and send it again.")})
		}
		return nil
	}
	gauge(`onrecord_stream_bytes`, float64(h.Bytes))
	gauge(`onrecord_stream_max_bytes`, float64(h.MaxBytes))
	found := slices.Concat(streamFindings(h), c.consumerFindings(h))
	waiting, err := c.quarantined(ctx)
	if err != nil {
		return nil //nolint:nilerr // the store's own check says so
	}
	found = append(found, waiting...)
	var lost []check.Finding
	if err = seenErr; err == nil {
		lost, err = c.compareSeen(ctx, before, h)
	}
	if err != nil {
		c.log.Error("what was seen of the stream could not be kept", "error", err)
	}
	c.mu.Lock()
	c.lost = append(c.lost, lost...)
	c.mu.Unlock()
	for _, f := range lost {
		c.log.Error("self-check", "code", f.Code, "finding", f.What, "next", f.Next)
	}
	c.setLooked(found)
	for _, f := range found {
		if f.Code == codeAhead {
			return f
		}
	}
	return nil
}

// setLooked keeps what a look found, and logs what is new.
func (c *Checker) setLooked(found []check.Finding) {
	c.mu.Lock()
	before := c.looked
	c.looked = found
	c.gauge.Set(slices.Concat(c.lost, c.looked, c.walked))
	c.mu.Unlock()
	for _, f := range found {
		if !slices.ContainsFunc(before, func(b check.Finding) bool { return b.Code == f.Code }) {
			c.log.Error("self-check", "code", f.Code, "severity", f.Severity, "finding", f.What, "next", f.Next)
		}
	}
}

const codeAhead = "consumer_ahead"

// streamFindings judges the stream's settings and use.
func streamFindings(h bus.Health) []check.Finding {
	var found []check.Finding
	if h.Settings != nil {
		found = append(found, check.Alarmf("stream_settings",
			"Put them back as a new installation makes them; the README names them under “Decisions”.",
			"The stream’s settings are not those this version needs: %v.", h.Settings))
	}
	if h.Damaged > 0 {
		found = append(found, check.Alarmf("stream_damaged",
			"Look for a failing disk, and make a backup now.",
			"%d events of the stream were damaged and are gone from it. What of them had been counted is safe.", h.Damaged))
	}
	if h.MaxBytes > 0 {
		use := float64(h.Bytes) / float64(h.MaxBytes)
		next := "Give it more room with --max-store, and have backups made (--backup-dir): words that a backup holds leave the stream in time."
		what := "The stream has used %.0f %% of the disk it may use. When it is full, filing is refused."
		switch {
		case use >= useAlarm:
			found = append(found, check.Alarmf("stream_nearly_full", next, what, use*100))
		case use >= useWarning:
			found = append(found, check.Warningf("stream_filling", next, what, use*100))
		}
	}
	return found
}

// consumerFindings judges the consumers, and remembers how far they are.
func (c *Checker) consumerFindings(h bus.Health) []check.Finding {
	var found []check.Finding
	now := c.now()
	for _, con := range h.Consumers {
		gauge(fmt.Sprintf(`onrecord_consumer_pending{consumer=%q}`, con.Name), float64(con.Pending)+float64(con.Unacked))
		switch {
		case con.Missing:
			found = append(found, check.Alarmf("consumer_missing", "Restart: the administrative step makes it again.",
				"The consumer %s is gone: what is received is on record in the stream and not handed on.", con.Name))
			continue
		case con.Ahead(h):
			found = append(found, check.Alarmf(codeAhead, "Restart: the stream is then replayed from its beginning, and nothing is counted twice.",
				"The consumer %s has handed out up to %d and the stream ends at %d: it lost its end, and new reports would be skipped.", con.Name, con.Delivered, h.LastSeq))
		case con.Settings != nil:
			found = append(found, check.Alarmf("consumer_settings", "Restart: the administrative step puts them right.",
				"The settings of the consumer %s are not those this version needs: %v.", con.Name, con.Settings))
		}
		if since := c.stalledSince(con, now); now.Sub(since) >= stalledFor {
			found = append(found, check.Alarmf("consumer_stalled",
				"Look in the log for what its service says, and restart that service.",
				"The consumer %s has %d events waiting and has got no further for %v. Nothing is lost, but it is not seen or counted yet.",
				con.Name, con.Pending+uint64(con.Unacked), now.Sub(since).Round(time.Second)))
		}
	}
	return found
}

// stalledSince returns since when a consumer has had work and done none; now
// while it gets on or has nothing to do.
func (c *Checker) stalledSince(con bus.ConsumerHealth, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.progress[con.Name]
	if !ok || con.Pending+uint64(con.Unacked) == 0 || p.ackFloor != con.AckFloor {
		p = progress{con.AckFloor, now}
		c.progress[con.Name] = p
	}
	return p.since
}

func (c *Checker) quarantined(ctx context.Context) ([]check.Finding, error) {
	all, err := c.store.ListQuarantined(ctx)
	if err != nil {
		return nil, err
	}
	waiting := 0
	for _, q := range all {
		if q.ReplayedAt.IsZero() {
			waiting++
		}
	}
	gauge(`onrecord_quarantine_waiting`, float64(waiting))
	if waiting == 0 {
		return nil, nil
	}
	return []check.Finding{check.Warningf("quarantine",
		"“onrecord dead-letters list” names them; after an upgrade “onrecord dead-letters replay SUBJECT” reads one again. Of services apart: “onrecord admin dead-letters”.",
		"%d messages could not be read and were put aside. Where one is a report it is counted as unknown.", waiting)}, nil
}

func gauge(name string, value float64) { metrics.GetOrCreateGauge(name, nil).Set(value) }
