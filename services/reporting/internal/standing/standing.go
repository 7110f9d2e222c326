// Package standing checks, at the start and again and again, that reporting
// holds everything the stream does, that the stream is the one it has seen,
// and that its consumers get on. What it finds is for an operator.
package standing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/check"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const (
	lookEvery   = 15 * time.Second
	walkEvery   = time.Hour
	stalledFor  = 2 * time.Minute // with work waiting and nothing done
	useWarning  = 0.85            // of what the stream may use
	useAlarm    = 0.95
	seenFact    = "stream_seen"
	retryWait   = time.Second
	walkRetries = 3
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

// seen is what the store remembers of the stream.
type seen struct {
	Created time.Time `json:"created"`
	LastSeq uint64    `json:"last_seq"`
	Deleted int       `json:"deleted,omitempty"` // between the first and the last
	Erased  int       `json:"erased,omitempty"`  // how many somebody said they were about to erase
	Spare   int       `json:"spare,omitempty"`   // of those said since the look before: how many were still there
}

// after returns what is to be kept of a stream that was seen before as s, and
// how many events are gone from it that nobody erased.
func (s seen) after(h bus.Health, erased int) (now seen, lost int) {
	gone := max(h.Deleted-s.Deleted-s.Spare, 0)
	said := erased - s.Erased
	return seen{h.Created, h.LastSeq, h.Deleted, erased, max(said-gone, 0)}, max(gone-said, 0)
}

// seenBefore returns what was seen of the stream, zero before the first look.
func (c *Checker) seenBefore(ctx context.Context) (before seen, err error) {
	raw, err := c.store.Meta(ctx, seenFact)
	if errors.Is(err, store.ErrNotFound) {
		return before, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &before)
	}
	return before, err
}

// compareSeen holds the stream against what was seen of it before, and keeps
// what is seen now. What is gone is told once, by the process that finds it;
// beside another, it is kept and told by that one too.
func (c *Checker) compareSeen(ctx context.Context, before seen, h bus.Health) ([]check.Finding, error) {
	erased, err := erasedSoFar(ctx, c.store)
	if err != nil {
		return nil, err
	}
	now, gone := before.after(h, erased)
	if now.Created.Equal(before.Created) && now.LastSeq == before.LastSeq && now.Deleted == before.Deleted {
		return nil, nil
	}
	var lost []check.Finding
	next := "If you have a backup of the stream from before, restore it to a new directory and compare. Ask whoever filed in that time to look whether their receipt is known."
	switch {
	case before.Created.IsZero():
	case !now.Created.Equal(before.Created):
		lost = append(lost, check.Alarmf("stream_replaced", next,
			"The stream was made anew on %s. The one before had %d events: what of it had not been counted yet is gone.", h.Created.Format(time.RFC3339), before.LastSeq))
	case now.LastSeq < before.LastSeq:
		lost = append(lost, check.Alarmf("stream_truncated", next,
			"The stream ends at %d and was seen at %d: it lost its end. What had been counted is safe.", now.LastSeq, before.LastSeq))
	case gone > 0:
		lost = append(lost, check.Alarmf("stream_damaged", "Look for a failing disk, and make a backup now. "+next,
			"%d events are gone from the stream that nobody erased. What of them had been counted is safe.", gone))
	}
	if c.beside {
		return lost, nil
	}
	raw, err := json.Marshal(now)
	if err != nil {
		return lost, err
	}
	return lost, c.store.SetMeta(ctx, seenFact, raw)
}

// erasing has the erasures of a process say one after another how many there are.
var erasing sync.Mutex

const erasedFact = "stream_erased"

// EraseReport removes every event about a report from the stream. It says so in
// the store before, so that nobody, in this process or another, takes them for
// lost.
func EraseReport(ctx context.Context, st store.Store, b *bus.Bus, reportID string) error {
	erasing.Lock()
	defer erasing.Unlock()
	return b.EraseReport(ctx, reportID, func(n int) error {
		before, err := erasedSoFar(ctx, st)
		if err != nil {
			return err
		}
		return st.SetMeta(ctx, erasedFact, []byte(strconv.Itoa(before+n)))
	})
}

func erasedSoFar(ctx context.Context, st store.Store) (int, error) {
	raw, err := st.Meta(ctx, erasedFact)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(raw))
}

// Walk reads every event of the stream and holds those that were acknowledged
// against the store, in memory that does not grow with the stream. What the store lacks is taken in
// and told. Progress is called now and then with the events done.
func (c *Checker) Walk(ctx context.Context, progress func(done int)) error {
	h, err := c.bus.Health(ctx)
	if err != nil {
		return err
	}
	w := &walk{c: c}
	due := ackFloor(h)
	unreadable, err := c.bus.Walk(ctx, h.LastSeq, func(p bus.Place) error {
		if p.Seq > due {
			return nil // it is still to be handed on; whether it can be read is known already
		}
		if w.done++; w.done%10_000 == 0 {
			progress(w.done)
		}
		return w.look(ctx, p)
	})
	if err == nil {
		err = w.settle(ctx)
	}
	if err != nil {
		return err
	}
	progress(w.done)
	var found []check.Finding
	if w.taken > 0 {
		found = append(found, check.Alarmf("events_missed",
			"They are in the figures now. Look in the log for what happened before, and keep a copy of it.",
			"%d events of the stream were acknowledged and not in the store. They have been taken in now.", w.taken))
	}
	if w.missing > 0 {
		found = append(found, check.Alarmf("events_missing",
			"Run “onrecord doctor” again, of services apart “onrecord admin doctor”; if it stays, keep a copy of the data and ask for help.",
			"%d events of the stream are not in the store and could not be taken in: %v", w.missing, w.cause))
	}
	if err := w.lookAtErased(ctx); err != nil {
		return err
	}
	if w.back > 0 {
		found = append(found, check.Warningf("erased_returned",
			"“onrecord admin erase --returned” removes them.",
			"%d events of the stream are about reports that were erased. They count nowhere, and their words are sealed, but they are there.", w.back))
	}
	if unreadable > 0 {
		found = append(found, check.Alarmf("stream_unreadable",
			"Look for a failing disk, and make a backup now.",
			"%d events of the stream cannot be read any more. What of them had been counted is safe.", unreadable))
	}
	c.mu.Lock()
	c.walked = found
	c.gauge.Set(slices.Concat(c.lost, c.looked, c.walked))
	c.mu.Unlock()
	for _, f := range found {
		c.log.Error("self-check", "code", f.Code, "finding", f.What, "next", f.Next)
	}
	if len(found) == 0 {
		c.log.Info("self-check: the store holds every event of the stream", "events", w.done)
	}
	return nil
}

// ackFloor returns up to where the stream must be in the store.
func ackFloor(h bus.Health) uint64 {
	for _, con := range h.Consumers {
		if con.Name == bus.ConsumerReporting {
			return min(con.AckFloor, h.LastSeq)
		}
	}
	return 0
}

// walk is one pass over the stream.
type walk struct {
	c       *Checker
	last    *incident.Incident // that of the event before: an event and its classification often follow each other
	lastID  string             // its report
	done    int
	absent  []string // subjects the store seems to lack
	taken   int
	missing int
	cause   error    // why the last of them could not be taken in
	erased  []string // subjects of reports that were erased
	back    int      // of such, how many are in the stream
}

// settleAt bounds how many subjects a walk remembers.
const settleAt = 256

func (w *walk) look(ctx context.Context, p bus.Place) error {
	held, err := w.holds(ctx, p.Subject)
	if err != nil || held {
		return err
	}
	w.absent = append(w.absent, p.Subject)
	if len(w.absent) >= settleAt {
		return w.settle(ctx)
	}
	return nil
}

// holds reports whether the store holds an event: applied, waiting for its
// report, or put aside.
func (w *walk) holds(ctx context.Context, subject string) (bool, error) {
	eventType, tokens := split(subject)
	if len(tokens) == 0 {
		return w.c.isQuarantined(ctx, subject)
	}
	if w.lastID != tokens[0] {
		i, err := w.c.store.IncidentByReport(ctx, tokens[0])
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		w.last, w.lastID = i, tokens[0]
	}
	if w.last != nil && len(w.last.WrappedKey) == 0 {
		if w.erased = append(w.erased, subject); len(w.erased) >= settleAt {
			return true, w.lookAtErased(ctx)
		}
		return true, nil // nothing more is taken in
	}
	if eventType == bus.TypeCorrected {
		return true, nil // it came from the store
	}
	if w.last != nil && applied(w.last, eventType, tokens) {
		return true, nil
	}
	if held, err := w.c.isQuarantined(ctx, subject); err != nil || held {
		return held, err
	}
	waiting, err := w.c.store.Pending(ctx, tokens[0])
	return slices.ContainsFunc(waiting, func(p store.Pending) bool { return p.Subject == subject }), err
}

// split returns the type of a subject and the tokens after it.
func split(subject string) (eventType string, tokens []string) {
	for _, t := range []string{bus.TypeFiled, bus.TypeClassified, bus.TypeAdded, bus.TypeCorrected} {
		if rest, ok := strings.CutPrefix(subject, t+"."); ok {
			return t, strings.Split(rest, ".")
		}
	}
	return "", nil
}

// applied reports whether an incident shows the event.
func applied(i *incident.Incident, eventType string, tokens []string) bool {
	switch {
	case eventType == bus.TypeFiled:
		return true
	case len(tokens) != 2:
		return false
	case eventType == bus.TypeClassified:
		return slices.ContainsFunc(i.Readings, func(r incident.Reading) bool { return r.ReportID == tokens[0] && r.Model == tokens[1] })
	}
	return slices.ContainsFunc(i.Timeline, func(ch incident.Change) bool { return ch.Event == tokens[1] })
}

func (c *Checker) isQuarantined(ctx context.Context, subject string) (bool, error) {
	_, err := c.store.Quarantined(ctx, subject)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// lookAtErased removes what is in the stream of erased reports: what was
// published about one while it was erased, or sent again later. Where this
// process may not, it counts it. One that was only being erased is gone by now.
func (w *walk) lookAtErased(ctx context.Context) error {
	subjects := w.erased
	w.erased = nil
	for _, subject := range subjects {
		_, err := w.c.bus.Get(ctx, subject)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			continue
		case err != nil:
			return err
		case !w.c.mayErase:
			w.back++
			continue
		}
		_, tokens := split(subject)
		if err := EraseReport(ctx, w.c.store, w.c.bus, tokens[0]); err != nil {
			return err
		}
	}
	return nil
}

// settle takes in what the store lacks. An event that is no longer in the
// stream was erased meanwhile.
func (w *walk) settle(ctx context.Context) error {
	subjects := w.absent
	w.absent, w.last, w.lastID = nil, nil, ""
	for _, subject := range subjects {
		stored, err := w.c.bus.Get(ctx, subject)
		if fault.KindOf(err) == fault.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		for try := 0; ; try++ {
			err = w.c.apply(ctx, bus.Delivery{Subject: subject, Data: stored.Data, Seq: stored.Seq, Deliveries: 1, At: stored.At})
			if err == nil || try == walkRetries {
				break
			}
			select {
			case <-time.After(retryWait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err != nil {
			w.missing, w.cause = w.missing+1, err
		} else {
			w.taken++
		}
	}
	return nil
}

func gauge(name string, value float64) { metrics.GetOrCreateGauge(name, nil).Set(value) }
