// Package audit recounts everything from the incidents and names what differs:
// cells of the ledgers and roll-ups, broken timelines, reports counted twice,
// editions that are not as they were published. It repairs nothing.
package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/onrecord/onrecord/pkg/check"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/editions"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/timeline"
)

const (
	auditEvery    = time.Hour
	auditAgain    = 5 * time.Minute // after one that did not finish, and twice as long after each further one
	progressEvery = 1000            // incidents
	loggedFaults  = 20              // of one audit; the rest is counted
	settleTries   = 3
	settleWait    = 100 * time.Millisecond
	mostUnfolded  = 200
)

// Place is where a number is kept.
type Place string

// The places that hold numbers made from incidents.
const (
	PlaceLedger  Place = "ledger"           // a ledger's totals
	PlaceLines   Place = "ledger's lines"   // a ledger's lines, added up
	PlaceSite    Place = "figures of site"  // what figures of chosen sites read
	PlaceRollup  Place = "roll-up"          // a site's part of a month's roll-up
	PlaceFigures Place = "figures of month" // what figures over every site read

	// PlaceRecount is what the database itself counts, where it can: what stands
	// beside an incident for lists and counts, and not in what was said of it.
	PlaceRecount Place = "the database’s recount"
)

// Numbers are those of a cell.
type Numbers struct{ Incidents, Reports, People, NothingHappened, SetAside, Undated int }

// Difference is a cell whose stored numbers are not those of the incidents.
type Difference struct {
	Place             Place
	Month             incident.Month
	Site              string // "" in figures over every site
	Dims              incident.Dims
	Stored, Recounted Numbers
}

// String names the cell in a line.
func (d Difference) String() string {
	return fmt.Sprintf("%s, %s, site %q: kind=%s channel=%s target=%s employer=%q set_by=%q: stored %+v, recounted %+v",
		d.Place, d.Month, d.Site, d.Dims.Kind, d.Dims.Channel, d.Dims.Target, d.Dims.Employer, d.Dims.SetBy, d.Stored, d.Recounted)
}

// BrokenTimeline is an incident whose timeline is not as it was written.
type BrokenTimeline struct {
	IncidentID, Ref string
	Broken          *timeline.BrokenError
}

// Twice is a report that two incidents hold, so that it is counted in both.
type Twice struct {
	IncidentIDs [2]string
}

// Report is what an audit found.
type Report struct {
	Began, Ended time.Time
	Incidents    int // recounted
	Counted      int // of those, in the figures
	Ledgers      int // compared
	Months       int // roll-ups compared
	Differences  []Difference
	Timelines    []BrokenTimeline
	Twice        []Twice
	Editions     int      // published months, checked
	Unlike       []string // a line for each edition that is not as it was published

	// Unsettled are months that differed, but changed each time they were
	// compared again: perhaps only by work under way.
	Unsettled []incident.Month
}

// Faults returns how many things are wrong.
func (r *Report) Faults() int {
	return len(r.Differences) + len(r.Timelines) + len(r.Twice) + len(r.Unlike)
}

// Lines returns a line for each thing that is wrong, without words anybody wrote.
func (r *Report) Lines() []string {
	var lines []string
	for _, d := range r.Differences {
		lines = append(lines, d.String())
	}
	for _, t := range r.Timelines {
		lines = append(lines, fmt.Sprintf("incident %s (%s): %v", t.Ref, t.IncidentID, t.Broken))
	}
	for _, t := range r.Twice {
		lines = append(lines, fmt.Sprintf("incidents %s and %s hold the same report", t.IncidentIDs[0], t.IncidentIDs[1]))
	}
	return append(lines, r.Unlike...)
}

// Config is what an Auditor needs. Every field is required.
type Config struct {
	Store   store.Store
	Keyring *seal.Keyring
	Log     *slog.Logger
	Now     func() time.Time
}

// Auditor audits one store. It is safe for concurrent use.
type Auditor struct {
	store    store.Store
	keyring  *seal.Keyring
	timeline *timeline.Keeper
	log      *slog.Logger
	now      func() time.Time

	mu         sync.Mutex
	unfinished []check.Finding // of the last audit of Run, while it did not finish
	gauge      check.Gauge
}

// New returns an Auditor.
func New(c Config) *Auditor {
	return &Auditor{store: c.Store, keyring: c.Keyring, timeline: timeline.NewKeeper(c.Keyring), log: c.Log.With("category", "audit"), now: c.Now}
}

// found is the number of faults of the last audit in this process.
var found atomic.Int64

var _ = metrics.NewGauge(`onrecord_audit_differences`, func() float64 { return float64(found.Load()) })

// Run audits at once and every hour until ctx is done. What is wrong goes to
// the log and into the metric onrecord_audit_differences. An audit that did not
// finish says nothing of the figures: it is a finding, and begun again soon, less
// soon each time, because it may have read every incident before it failed.
func (a *Auditor) Run(ctx context.Context) {
	for failed := 0; ; {
		if err := a.once(ctx); err != nil {
			failed++
		} else {
			failed = 0
		}
		debug.FreeOSMemory() // it read every incident once: what that took is not needed until the next
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause(failed)):
		}
	}
}

// pause returns how long to wait for the next audit after so many that did not
// finish.
func pause(failed int) time.Duration {
	wait := auditAgain
	for n := 1; n < failed && wait < auditEvery; n++ {
		wait *= 2
	}
	if failed == 0 || wait > auditEvery {
		return auditEvery
	}
	return wait
}

// Findings returns what keeps Run from auditing.
func (a *Auditor) Findings() []check.Finding {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unfinished
}

func (a *Auditor) note(unfinished ...check.Finding) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unfinished = unfinished
	a.gauge.Set(unfinished)
}

// once audits and tells what is wrong. It returns an error when the audit did
// not finish.
func (a *Auditor) once(ctx context.Context) error {
	r, err := a.Verify(ctx, func(int, int) {})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		a.log.Error("the audit did not finish", "error", err)
		a.note(check.Warningf("audit_unfinished", "It is tried again within minutes, and then less often, at least once an hour. Where it stays so, look in the log for what keeps it.",
			"The last audit did not finish, so nobody knows now whether the figures are those of the incidents."))
		return err
	}
	a.note()
	found.Store(int64(r.Faults()))
	log := a.log.With("incidents", r.Incidents, "ledgers", r.Ledgers, "took", r.Ended.Sub(r.Began), "unsettled", len(r.Unsettled))
	if r.Faults() == 0 {
		log.Info("audit: the figures are those of the incidents")
		return nil
	}
	lines := r.Lines()
	for _, line := range lines[:min(len(lines), loggedFaults)] {
		a.log.Error("audit", "fault", line)
	}
	log.Error("audit: the stored figures are not those of the incidents", "faults", r.Faults())
	return nil
}

// Verify recounts every incident and compares. Progress is called now and then
// with the incidents done and how many there are.
//
// It reads beside work under way: a month that differs is compared again by
// itself, between two readings of the same revision, before it is named.
func (a *Auditor) Verify(ctx context.Context, progress func(done, total int)) (Report, error) {
	r := Report{Began: a.now()}
	counted, err := a.recount(ctx, &r, progress)
	if err != nil {
		return r, err
	}
	ledgers, suspects, err := a.suspects(ctx, &r, counted)
	if err != nil {
		return r, err
	}
	for _, m := range suspects {
		if err := a.settle(ctx, &r, m, ledgers[m]); err != nil {
			return r, err
		}
	}
	if r.Editions, r.Unlike, err = editions.Check(ctx, a.store, a.keyring); err != nil {
		return r, err
	}
	r.Ended = a.now()
	return r, nil
}

// recount counts every incident anew, checks its timeline, and finds reports
// that two incidents hold.
func (a *Auditor) recount(ctx context.Context, r *Report, progress func(done, total int)) (months, error) {
	total, err := a.store.CountIncidents(ctx, store.Filter{}, math.MaxInt32)
	if err != nil { // it is for progress alone, and a database may take too long over it
		a.log.Warn("the incidents could not be counted beforehand", "error", err)
	}
	counted := make(months)
	var held []holding
	err = a.store.EachIncident(ctx, func(i *incident.Incident) error {
		if counted.count(i) {
			r.Counted++
		}
		var broken *timeline.BrokenError
		if errors.As(a.timeline.Verify(i), &broken) {
			r.Timelines = append(r.Timelines, BrokenTimeline{i.ID, i.Ref, broken})
		}
		for _, f := range i.Reports {
			h, err := hold(f.ID, i.ID)
			if err != nil {
				return fmt.Errorf("incident %s: %w", i.ID, err)
			}
			held = append(held, h)
		}
		if r.Incidents++; r.Incidents%progressEvery == 0 {
			progress(r.Incidents, max(total, r.Incidents))
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	progress(r.Incidents, max(total, r.Incidents))
	r.Twice, err = a.twice(ctx, held)
	return counted, err
}

// suspects returns the sites of the ledgers of each month, and the months in
// which anything stored differs from what was counted, in order.
func (a *Auditor) suspects(ctx context.Context, r *Report, counted months) (ledgers map[incident.Month][]string, suspects []incident.Month, err error) {
	ledgers = make(map[incident.Month][]string)
	for m := range counted {
		ledgers[m] = nil
	}
	suspect := make(map[incident.Month]bool)
	err = a.store.EachLedger(ctx, func(l *incident.Ledger) error {
		r.Ledgers++
		ledgers[l.Month] = append(ledgers[l.Month], l.Site)
		if len(compareLedger(l, counted[l.Month][l.Site])) > 0 {
			suspect[l.Month] = true
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, nil, err
	}
	rolled, err := a.store.RollupCells(ctx, store.FirstMonth, store.LastMonth)
	if err != nil {
		return nil, nil, err
	}
	for m := range rolled {
		if _, ok := ledgers[m]; !ok {
			ledgers[m] = nil
		}
	}
	own, err := a.recountInPlace(ctx, store.FirstMonth, store.LastMonth)
	if err != nil {
		return nil, nil, err
	}
	for m := range own {
		if _, ok := ledgers[m]; !ok {
			ledgers[m] = nil
		}
	}
	r.Months = len(ledgers)
	for m := range ledgers {
		differ, err := a.compareFigures(ctx, m, counted[m])
		if err != nil {
			return nil, nil, err
		}
		if own != nil {
			differ = append(differ, compareSites(PlaceRecount, m, own[m], counted[m])...)
		}
		if suspect[m] || len(differ) > 0 {
			suspects = append(suspects, m)
		}
	}
	slices.SortFunc(suspects, func(a, b incident.Month) int { return strings.Compare(a.String(), b.String()) })
	return ledgers, suspects, nil
}

// settle compares a suspect month by itself until nothing changed meanwhile.
func (a *Auditor) settle(ctx context.Context, r *Report, m incident.Month, ledgers []string) error {
	for range settleTries {
		differ, settled, err := a.compareMonth(ctx, m, ledgers)
		if err != nil {
			return err
		}
		if settled {
			r.Differences = append(r.Differences, differ...)
			return nil
		}
		select {
		case <-time.After(settleWait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.Unsettled = append(r.Unsettled, m)
	return nil
}

// compareMonth recounts one month and compares everything stored about it. It
// is settled when no change was on its way from an incident to the figures
// meanwhile. A change writes the roll-up last and then marks the incident as
// folded: if nothing waits to be folded after everything was read, and the
// roll-up is still what it was before, there was none.
func (a *Auditor) compareMonth(ctx context.Context, m incident.Month, ledgers []string) (differ []Difference, settled bool, err error) {
	before, err := a.store.Rollup(ctx, m)
	if err != nil {
		return nil, false, err
	}
	counted, err := a.recountMonth(ctx, m)
	if err != nil {
		return nil, false, err
	}
	for _, site := range ledgers {
		l, err := a.store.Ledger(ctx, m, site)
		if err != nil {
			return nil, false, err
		}
		differ = append(differ, compareLedger(l, counted[site])...)
	}
	figures, err := a.compareFigures(ctx, m, counted)
	if err != nil {
		return nil, false, err
	}
	own, err := a.recountInPlace(ctx, m, m)
	if err != nil {
		return nil, false, err
	}
	if own != nil {
		figures = append(figures, compareSites(PlaceRecount, m, own[m], counted)...)
	}
	waiting, err := a.unfolded(ctx, m)
	if err != nil {
		return nil, false, err
	}
	after, err := a.store.Rollup(ctx, m)
	if err != nil {
		return nil, false, err
	}
	return append(differ, figures...), !waiting && before.Rev == after.Rev, nil
}

// recountMonth counts the incidents of one month.
func (a *Auditor) recountMonth(ctx context.Context, m incident.Month) (sites, error) {
	counted := make(months)
	for i, err := range store.Listed(ctx, a.store, store.Filter{Month: m, Limit: store.MaxPage}) {
		if err != nil {
			return nil, err
		}
		counted.count(i)
	}
	return counted[m], nil
}

// recountInPlace returns what the database itself counts for some months, nil
// when it cannot count.
func (a *Auditor) recountInPlace(ctx context.Context, first, last incident.Month) (months, error) {
	r, ok := a.store.(store.Recounter)
	if !ok {
		return nil, nil
	}
	totals, err := r.Recount(ctx, first, last)
	if err != nil {
		return nil, err
	}
	counted := make(months)
	for _, t := range totals {
		if counted[t.Month] == nil {
			counted[t.Month] = make(sites)
		}
		counted[t.Month][t.Site] = tallyCells(t.Cells)
	}
	return counted, nil
}

// unfolded reports whether a change waits to be folded into a month's ledgers.
// Where more wait than it looks at, one may.
func (a *Auditor) unfolded(ctx context.Context, m incident.Month) (bool, error) {
	ids, err := a.store.Unfolded(ctx, mostUnfolded)
	if err != nil || len(ids) == mostUnfolded {
		return true, err
	}
	for _, id := range ids {
		i, err := a.store.Incident(ctx, id)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(i.Lines, func(k incident.LedgerKey) bool { return k.Month == m }) {
			return true, nil
		}
	}
	return false, nil
}
