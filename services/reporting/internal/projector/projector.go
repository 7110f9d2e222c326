// Package projector turns the stream of events into incidents and carries them
// into the ledgers.
//
// Every event is applied so that its order, its repetition and a crash at any
// point do not matter: an incident's id comes from its report's id, a reading
// is known by its model, an addition by its id, and what arrives before its
// report waits for it.
package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/failpoint"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/timeline"
)

const (
	batchSize  = 1024
	batchEvery = 250 * time.Millisecond // longer than the classifier's: under load a report and its classification are one write
	sweepEvery = time.Second
	// staleTries is how often a batch is begun again when another instance
	// changed one of its incidents in between.
	staleTries = 5
)

// Config is what a Projector needs. Every field but MayErase is required.
type Config struct {
	Store    store.Store
	Folder   *fold.Folder // the process's one
	Bus      *bus.Bus
	Keyring  *seal.Keyring
	MayErase bool // events from the stream: where services run apart, the administrator alone may

	// Employers returns the site directory's spelling of an employer's name,
	// compared without regard to case, or "" when it knows none.
	Employers func(name string) string

	Log *slog.Logger
	Now func() time.Time
}

// Projector consumes the stream. It is safe for concurrent use.
type Projector struct {
	decoder
	store     store.Store
	folder    *fold.Folder
	bus       *bus.Bus
	mayErase  bool
	employers func(string) string
	log       *slog.Logger
	now       func() time.Time
	ids       identities
	timeline  *timeline.Keeper
}

// New returns a Projector that has not begun.
func New(c Config) *Projector {
	return &Projector{
		decoder:   decoder{c.Keyring},
		store:     c.Store,
		folder:    c.Folder,
		bus:       c.Bus,
		mayErase:  c.MayErase,
		employers: c.Employers,
		log:       c.Log.With("category", "projector"),
		now:       c.Now,
		ids:       newIdentities(c.Keyring),
		timeline:  timeline.NewKeeper(c.Keyring),
	}
}

// Run applies events until ctx is done, finishes the batch in hand, and
// returns nil. Beside that it sweeps at once and every second. It returns an
// error only when it cannot begin.
func (p *Projector) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var swept sync.WaitGroup
	swept.Go(func() { p.sweep(ctx) })
	swept.Go(func() { p.sweepPhotos(ctx) })
	err := p.bus.Consume(ctx, bus.Consumer{Name: bus.ConsumerReporting, Batch: batchSize, Every: batchEvery,
		Handle: p.Handle, Ready: p.store.Check, Quarantine: p.Quarantine})
	stop()
	swept.Wait()
	return err
}

// sweep folds whatever is behind, until ctx is done.
func (p *Projector) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		n, err := p.folder.Sweep(ctx, p.store)
		sweptIncidents.Add(n)
		if err != nil && ctx.Err() == nil {
			p.log.Error("sweep", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Handle commits a batch and returns one error per delivery. What can never
// be read is a bus.Poison; anything else is to be tried again. Run calls it.
func (p *Projector) Handle(ctx context.Context, batch []bus.Delivery) []error {
	failpoint.Hit(failpoint.ApplyBefore)
	began := time.Now()
	errs := make([]error, len(batch))
	var events []event
	var at []int // of events in batch
	for n, d := range batch {
		ev, err := p.decode(d)
		if err != nil {
			errs[n] = bus.Poison(err)
			continue
		}
		events, at = append(events, ev), append(at, n)
	}
	for n, err := range p.commit(ctx, events) {
		if err == nil {
			err = p.takeAll(ctx, events[n])
		}
		errs[at[n]] = err
	}
	batchSeconds.UpdateDuration(began)
	return errs
}

// commit applies events in one Group and returns one error per event. When
// that fails although the store is well, one event is to blame: the batch is
// halved until the others are through.
func (p *Projector) commit(ctx context.Context, events []event) []error {
	errs := make([]error, len(events))
	if len(events) == 0 {
		return errs
	}
	err := p.apply(ctx, events)
	if err == nil {
		return errs
	}
	if len(events) == 1 || ctx.Err() != nil || p.store.Check(ctx) != nil {
		for n := range errs {
			errs[n] = err
		}
		return errs
	}
	half := len(events) / 2
	return append(p.commit(ctx, events[:half]), p.commit(ctx, events[half:])...)
}

// apply applies events in one Group, all or, in a store without transactions,
// as far as it came: doing it again completes it.
func (p *Projector) apply(ctx context.Context, events []event) (err error) {
	outcomes := make([]outcome, len(events))
	var settled map[string][]carried
	for range staleTries {
		err = p.folder.Group(ctx, p.store, func(tx store.Store) ([]*incident.Incident, error) {
			w := newWork(p, tx)
			if err := w.begin(ctx, events); err != nil {
				return nil, err
			}
			for _, n := range filedFirst(events) {
				result, err := w.apply(ctx, events[n])
				if err != nil {
					return nil, fmt.Errorf("seq %d: %w", events[n].Seq, err)
				}
				outcomes[n] = result
			}
			settled = w.photos
			return w.store(ctx)
		})
		if !errors.Is(err, store.ErrStale) && !errors.Is(err, store.ErrExists) {
			break
		}
	}
	if err != nil {
		return err
	}
	for n, ev := range events {
		events[n].settled = settled[ev.reportID]
		eventsTotal(ev.kind, string(outcomes[n])).Inc()
		if outcomes[n] == erased {
			p.forgetAgain(ctx, ev.reportID)
		}
		if ev.kind == bus.TypeFiled && outcomes[n] == applied {
			visibleSeconds.Update(p.now().Sub(ev.At).Seconds())
		}
	}
	return nil
}

// filedFirst returns the order in which events of one batch are applied:
// reports before what is about them, so that little has to wait.
func filedFirst(events []event) []int {
	order := make([]int, len(events))
	for n := range order {
		order[n] = n
	}
	rank := func(n int) int {
		if events[n].kind == bus.TypeFiled {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(order, func(a, b int) int { return rank(a) - rank(b) })
	return order
}

var (
	batchSeconds   = metrics.NewHistogram(`onrecord_projector_batch_seconds`)
	visibleSeconds = metrics.NewHistogram(`onrecord_report_visible_seconds`) // stored in the stream to stored here
	sweptIncidents = metrics.NewCounter(`onrecord_projector_swept_total`)
)

func eventsTotal(kind, outcome string) *metrics.Counter {
	return metrics.GetOrCreateCounter(`onrecord_projector_events_total{type="` + kind + `",outcome="` + outcome + `"}`)
}

func quarantined(kind string) *metrics.Counter {
	return metrics.GetOrCreateCounter(`onrecord_quarantined_total{type="` + kind + `"}`)
}
