package projector_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/mongotest"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/audit"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/projector"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/sqlite"
	"github.com/onrecord/onrecord/services/reporting/internal/timeline"
)

var (
	historySeed  = flag.Uint64("history.seed", 0, "run the one history of this seed")
	historyCount = flag.Int("history.count", 300, "how many histories to run")
	historyTime  = flag.Duration("history.time", 10*time.Second, "for how long at most, once there are some")
)

// Histories of events and of what people do, shuffled, repeated and cut by
// failures anywhere, end in the figures that a plain count of what was said
// gives. Each is run on a store with transactions or on one without.
func TestHistoriesEndInTheSameFigures(t *testing.T) {
	runHistories(t, *historyCount, 20, func() store.Store {
		st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "h.db"))
		if err != nil {
			t.Fatal(err)
		}
		return st
	})
}

// The same on MongoDB, or on the server that stands for it: fewer, since a
// database takes longer to make and each operation to do.
func TestHistoriesOnMongoDBEndInTheSameFigures(t *testing.T) {
	open := projectortest.Mongo(t)
	runHistories(t, *historyCount/10, 5, func() store.Store { return open(t) })
}

// runHistories runs up to count histories, at least least of them, as long as
// there is time.
func runHistories(t *testing.T, count, least int, open func() store.Store) {
	t.Helper()
	if *historySeed != 0 {
		newHistory(t, *historySeed, open()).run()
		return
	}
	began, base := time.Now(), uint64(time.Now().UnixNano())
	ran, n := history{}, 0
	for ; n < count && (n < least || time.Since(began) < *historyTime); n++ {
		h := newHistory(t, base+uint64(n), open())
		h.run()
		ran.failures += h.failures
		ran.restarts += h.restarts
		ran.handled += h.handled
		ran.edits += h.edits
		ran.counted += h.counted
		if t.Failed() {
			t.Fatalf("failed at -history.seed=%d", base+uint64(n))
		}
	}
	t.Logf("%d histories from seed %d: %d deliveries, %d edits, %d failures injected, %d restarts, %d incidents counted",
		n, base, ran.handled, ran.edits, ran.failures, ran.restarts, ran.counted)
	if ran.failures == 0 || ran.restarts == 0 || ran.edits == 0 || ran.counted == 0 {
		t.Error("the histories tried nothing")
	}
}

// history is one run: what was said, and the store that was told.
type history struct {
	*projectortest.Events
	t    *testing.T
	rng  *rand.Rand
	seed uint64

	base      store.Store
	faulty    *projectortest.Faulty
	store     store.Store // the faulty one, with batches where the store has them
	folder    *fold.Folder
	projector *projector.Projector
	casework  *casework.Service
	dead      bool // the process is as good as gone: every operation fails
	fragile   bool // failures are injected

	reports []*said
	queue   []bus.Delivery

	failures, restarts, handled, edits, counted int
}

// said is what everybody said about one report: the whole of what the oracle knows.
type said struct {
	report    incident.Report
	filed     bus.Delivery
	unread    bool // put aside as unreadable before anything else
	neverRead bool // and never readable
	readings  []spoken
	reviewer  map[string]string
	corrected map[string]bool
	people    int
	site      string
	at        time.Time
	unknown   bool // when it happened
	withdrawn bool
	nothing   bool
	additions int
}

type spoken struct{ kind, channel, target string }

func newHistory(t *testing.T, seed uint64, st store.Store) *history {
	t.Helper()
	h := &history{Events: projectortest.NewEvents(t), t: t, rng: rand.New(rand.NewPCG(seed, 1)), seed: seed, base: st}
	h.faulty = &projectortest.Faulty{Store: st, Loose: h.chance(0.5), Fail: h.fail}
	h.store = h.faulty
	if _, ok := st.(store.Batcher); ok {
		h.store = projectortest.FaultyBatcher{Faulty: h.faulty}
	}
	h.restart()
	return h
}

func (h *history) chance(p float64) bool { return h.rng.Float64() < p }

func pick[T any](h *history, from ...T) T { return from[h.rng.IntN(len(from))] }

// fail decides for the store: now and then one operation fails, and sometimes
// everything does from there on, as in a crash.
func (h *history) fail() bool {
	if h.dead {
		return true
	}
	if !h.fragile || !h.chance(0.02) {
		return false
	}
	h.failures++
	h.dead = h.chance(0.6)
	return true
}

// restart begins a new process on the same store.
func (h *history) restart() {
	h.dead = false
	h.folder = fold.New()
	h.projector = projector.New(h.Config(h.store, h.folder, nil))
	people := h.folder
	if h.chance(0.5) {
		people = fold.New() // they work on another instance
	}
	h.casework = casework.New(casework.Config{Store: h.store, Folder: people, Keyring: h.Keyring,
		SiteKnown: func(id string) bool { return slices.Contains(demoSites, id) }, Now: func() time.Time { return h.At }})
}

var (
	demoSites  = []string{"leeds", "york", "hull"}
	kinds      = []incident.Kind{incident.KindAssault, incident.KindAbuse, incident.KindMissingControl, incident.KindUnknown}
	channels   = []incident.Channel{incident.ChannelInPerson, incident.ChannelPhone, incident.ChannelPublicOnline, incident.ChannelUnknown}
	targets    = []incident.Target{incident.TargetNamedPerson, incident.TargetOrganisation, incident.TargetUnknown}
	monthSpans = []int{0, -1, -20, -31, -32, -62} // days before now
)

func (h *history) run() {
	defer func() {
		if err := h.base.Close(); err != nil {
			h.t.Error(err)
		}
	}()
	h.write()
	h.fragile = true
	h.play()
	h.fragile, h.dead = false, false
	h.restart()
	h.finish()
	h.check()
	h.repeat()
}

// write makes up what is said.
func (h *history) write() {
	for range 1 + h.rng.IntN(7) {
		r := h.Report(pick(h, demoSites...))
		r.Kind, r.Channel, r.Target = pick(h, kinds...), pick(h, channels...), pick(h, targets...)
		r.OccurredAt = h.At.AddDate(0, 0, pick(h, monthSpans...)).Add(-time.Duration(h.rng.IntN(3600)) * time.Second)
		if h.chance(0.2) { // nobody knows when, or where
			r.Precision = incident.PrecisionUnknown
		}
		if h.chance(0.2) {
			r.Site = incident.SiteUnlisted
		}
		r.PeopleAffected = h.rng.IntN(4)
		r.Employer = pick(h, "", "DEMO DEPARTMENT", "somebody else")
		s := &said{report: r, site: r.Site, at: r.OccurredAt, unknown: r.Precision == incident.PrecisionUnknown, people: r.PeopleAffected, reviewer: map[string]string{}, corrected: map[string]bool{}}
		s.filed = h.Filed(r)
		h.reports = append(h.reports, s)
		h.queue = append(h.queue, s.filed)
		switch {
		case h.chance(0.08):
			s.neverRead = true
			h.queue = h.queue[:len(h.queue)-1]
			fallthrough
		case h.chance(0.1):
			s.unread = true
			s.site, s.at, s.unknown, s.people = incident.SiteUnlisted, s.filed.At, true, 0
		}
		for n := range h.rng.IntN(4) {
			k, c, to := pick(h, kinds...), pick(h, channels...), pick(h, targets...)
			h.queue = append(h.queue, h.Classified(r.ID, fmt.Sprintf("m%d", n), k, c, to))
			s.readings = append(s.readings, spoken{string(k), string(c), string(to)})
		}
		for range h.rng.IntN(3) {
			s.additions++
			what := pick(h, onrecordv1.Addition_ADDITION_WORDS, onrecordv1.Addition_ADDITION_NOTHING_HAPPENED, onrecordv1.Addition_ADDITION_WITHDRAWN)
			s.withdrawn = s.withdrawn || what == onrecordv1.Addition_ADDITION_WITHDRAWN
			s.nothing = s.nothing || what == onrecordv1.Addition_ADDITION_NOTHING_HAPPENED
			h.queue = append(h.queue, h.Added(r.ID, what, "more words"))
		}
	}
}

// play hands everything out in any order, again and again, while people work.
func (h *history) play() {
	for _, s := range h.reports {
		for s.unread {
			if h.projector.Quarantine(h.t.Context(), s.filed, errors.New("unreadable")) == nil {
				break
			}
			h.recover()
		}
	}
	all := slices.Clone(h.queue)
	for len(h.queue) > 0 {
		h.rng.Shuffle(len(h.queue), func(i, j int) { h.queue[i], h.queue[j] = h.queue[j], h.queue[i] })
		size := min(1+h.rng.IntN(12), len(h.queue))
		batch := slices.Clone(h.queue[:size])
		h.queue = h.queue[size:]
		if h.chance(0.2) {
			batch = append(batch, pick(h, all...)) // delivered although it was acknowledged, or twice at once
		}
		for n, err := range h.projector.Handle(context.WithoutCancel(h.t.Context()), batch) {
			h.handled++
			switch {
			case err == nil && h.chance(0.1), errors.Is(err, projectortest.ErrInjected):
				h.queue = append(h.queue, batch[n]) // the acknowledgement was lost, or there was none
			case err != nil:
				h.t.Fatalf("seed %d: Handle: %v", h.seed, err)
			}
		}
		h.recover()
		if h.chance(0.5) {
			h.edit(pick(h, h.reports...))
			h.recover()
		}
		if h.chance(0.1) {
			if _, err := h.folder.Sweep(h.t.Context(), h.store); err != nil && !errors.Is(err, projectortest.ErrInjected) {
				h.t.Fatalf("seed %d: Sweep: %v", h.seed, err)
			}
			h.recover()
		}
	}
}

func (h *history) recover() {
	if h.dead {
		h.restarts++
		h.restart()
	}
}

// edit has a person change one incident, and notes what they said if it was
// taken: after a failure, the store tells.
func (h *history) edit(s *said) {
	i, err := h.base.IncidentByReport(h.t.Context(), s.report.ID)
	if errors.Is(err, store.ErrNotFound) {
		return
	}
	if err != nil {
		h.t.Fatal(err)
	}
	rev, stale := i.Rev, h.chance(0.1)
	if stale {
		rev--
	}
	rep := incident.Actor{Role: "rep", ID: "u1", Name: "Demo Rep"}
	ctx := h.t.Context()
	note := func() {}
	switch h.rng.IntN(11) {
	case 0:
		_, err = h.casework.Acknowledge(ctx, i.ID, rev, rep)
	case 1:
		_, err = h.casework.SetStatus(ctx, i.ID, rev, rep, incident.StatusActionAgreed)
	case 2:
		_, err = h.casework.Close(ctx, i.ID, rev, rep, h.chance(0.5), "it was dealt with")
	case 3:
		_, err = h.casework.Reopen(ctx, i.ID, rev, rep, "it was not")
	case 4:
		_, err = h.casework.Note(ctx, i.ID, rev, rep, "rang the site")
	case 5, 6:
		_, err = h.casework.SetAside(ctx, i.ID, rev, rep, "made up")
	case 7:
		_, err = h.casework.TakeBack(ctx, i.ID, rev, rep, "it is real")
	default:
		c := casework.Correction{}
		if h.chance(0.4) {
			k := pick(h, kinds...)
			c.Kind = &k
			note = then(note, func() { s.reviewer["kind"] = string(k) })
		}
		if h.chance(0.4) {
			ch := pick(h, channels...)
			c.Channel = &ch
			note = then(note, func() { s.reviewer["channel"] = string(ch) })
		}
		if h.chance(0.4) {
			to := pick(h, targets...)
			c.Target = &to
			note = then(note, func() { s.reviewer["target"] = string(to) })
		}
		if h.chance(0.4) {
			site := pick(h, append(demoSites, incident.SiteUnlisted)...)
			c.Site = &site
			changes := site != i.Site
			note = then(note, func() { s.site = site; s.corrected["site"] = s.corrected["site"] || changes })
		}
		if h.chance(0.4) {
			at := h.At.AddDate(0, 0, pick(h, monthSpans...)).Add(-time.Hour)
			c.OccurredAt = &at
			changes := !at.Equal(i.OccurredAt)
			changes = changes || i.Precision == incident.PrecisionUnknown
			note = then(note, func() { s.at, s.unknown = at, false; s.corrected["at"] = s.corrected["at"] || changes })
		} else if h.chance(0.2) { // nobody knows any more: it counts when it was reported
			unknown := incident.PrecisionUnknown
			c.Precision = &unknown
			if i.Precision != unknown {
				note = then(note, func() { s.at, s.unknown = s.filed.At, true; s.corrected["at"] = true })
			}
		}
		if h.chance(0.2) {
			n := 1 + h.rng.IntN(5)
			c.PeopleAffected = &n
			changes := n != i.PeopleAffected
			note = then(note, func() { s.people = n; s.corrected["people"] = s.corrected["people"] || changes })
		}
		_, err = h.casework.Correct(ctx, i.ID, rev, rep, c)
	}
	h.edits++
	switch after, lerr := h.base.IncidentByReport(ctx, s.report.ID); {
	case lerr != nil:
		h.t.Fatal(lerr)
	case stale && fault.KindOf(err) != fault.Stale && !errors.Is(err, projectortest.ErrInjected):
		h.t.Fatalf("seed %d: a stale edit: %v", h.seed, err)
	case err != nil && !errors.Is(err, projectortest.ErrInjected) && fault.KindOf(err) != fault.Conflict && fault.KindOf(err) != fault.Stale:
		h.t.Fatalf("seed %d: edit: %v", h.seed, err)
	case after.Rev > i.Rev || err == nil:
		note()
	}
}

func then(first, second func()) func() {
	return func() { first(); second() }
}

// finish does what the next hours would: the sweep, and an operator who
// replays what can be read now.
func (h *history) finish() {
	if _, err := h.folder.Sweep(h.t.Context(), h.store); err != nil {
		h.t.Fatal(err)
	}
	for _, s := range h.reports {
		if s.unread && !s.neverRead && h.chance(0.5) {
			if err := h.projector.Replay(h.t.Context(), s.filed.Subject); err != nil {
				h.t.Fatalf("seed %d: Replay: %v", h.seed, err)
			}
		}
	}
}

// figures counts what was said, by hand.
func (h *history) figures() map[string]int {
	want := map[string]int{}
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, s := range h.reports {
		if s.withdrawn {
			continue
		}
		site, at, unknown, people, employer := s.site, s.at, s.unknown, s.people, ""
		reporter := map[string]string{"kind": "unknown", "channel": "unknown", "target": "unknown"}
		if !s.neverRead {
			reporter = map[string]string{"kind": string(s.report.Kind), "channel": string(s.report.Channel), "target": string(s.report.Target)}
			if !s.corrected["site"] {
				site = s.report.Site
			}
			if !s.corrected["at"] {
				at, unknown = s.report.OccurredAt, s.report.Precision == incident.PrecisionUnknown
			}
			if !s.corrected["people"] {
				people = s.report.PeopleAffected
			}
			if s.report.Employer == "DEMO DEPARTMENT" {
				employer = "Demo Department"
			}
		}
		machine := map[string]string{}
		if len(s.readings) > 0 {
			newest := s.readings[len(s.readings)-1]
			machine = map[string]string{"kind": newest.kind, "channel": newest.channel, "target": newest.target}
		}
		said := map[string]string{}
		var by []string
		for _, field := range []string{"kind", "channel", "target"} {
			value, who := "unknown", ""
			switch {
			case s.reviewer[field] != "":
				value, who = s.reviewer[field], "3 reviewer"
			case reporter[field] != "unknown":
				value, who = reporter[field], "2 reporter"
			case machine[field] != "" && machine[field] != "unknown":
				value, who = machine[field], "1 machine"
			}
			if said["kind"] == "missing_control" {
				value, who = "not_applicable", ""
			}
			said[field] = value
			if who != "" {
				by = append(by, who[2:], who)
			}
		}
		weakest := ""
		for n := 1; n < len(by); n += 2 {
			if weakest == "" || by[n] < weakest {
				weakest = by[n]
			}
		}
		if weakest != "" {
			weakest = weakest[2:]
		}
		cell := strings.Join([]string{at.In(zone).Format("2006-01"), site, said["kind"], said["channel"], said["target"], employer, weakest}, "|")
		// Who spoke last, a rep who set it aside or the reporter who says that it is
		// real, is told by the history, which is checked for itself.
		i, err := h.base.IncidentByReport(h.t.Context(), s.report.ID)
		if err != nil {
			h.t.Fatal(err)
		}
		if i.Status == incident.StatusSetAside {
			want[cell+"|set aside"]++
			continue
		}
		if s.nothing {
			want[cell+"|nothing happened"]++
		}
		if unknown {
			want[cell+"|undated"]++
		}
		want[cell+"|incidents"]++
		want[cell+"|reports"]++
		want[cell+"|people"] += max(people, 1)
		h.counted++
	}
	return want
}

var (
	firstMonth = incident.Month{Year: 2020, Month: time.January}
	lastMonth  = incident.Month{Year: 2030, Month: time.January}
)

func tell(into map[string]int, month incident.Month, site string, cells []incident.Cell) {
	for _, c := range cells {
		cell := strings.Join([]string{month.String(), site, string(c.Kind), string(c.Channel), string(c.Target), c.Employer, string(c.SetBy)}, "|")
		for what, n := range map[string]int{"incidents": c.Incidents, "reports": c.Reports, "people": c.People, "nothing happened": c.NothingHappened, "set aside": c.SetAside, "undated": c.Undated} {
			if n != 0 {
				into[cell+"|"+what] += n
			}
		}
	}
}

func (h *history) check() {
	h.t.Helper()
	ctx := h.t.Context()
	fatal := func(format string, args ...any) {
		h.t.Helper()
		h.t.Fatalf("seed %d (loose %t): "+format, append([]any{h.seed, h.faulty.Loose}, args...)...)
	}

	got := map[string]int{}
	sites, err := h.base.LedgerCells(ctx, nil, firstMonth, lastMonth)
	if err != nil {
		fatal("%v", err)
	}
	everywhere := map[string]int{}
	for _, s := range sites {
		tell(got, s.Month, s.Site, s.Cells)
		tell(everywhere, s.Month, "", s.Cells)
	}
	if want := h.figures(); !reflect.DeepEqual(got, want) {
		fatal("figures\n got %v\nwant %v", got, want)
	}
	rolled := map[string]int{}
	months, err := h.base.RollupCells(ctx, firstMonth, lastMonth)
	if err != nil {
		fatal("%v", err)
	}
	for m, cells := range months {
		tell(rolled, m, "", cells)
	}
	if !reflect.DeepEqual(rolled, everywhere) {
		fatal("roll-ups\n got %v\nwant %v", rolled, everywhere)
	}

	keeper := timeline.NewKeeper(h.Keyring)
	for _, s := range h.reports {
		i, err := h.base.IncidentByReport(ctx, s.report.ID)
		if err != nil {
			fatal("report lost: %v", err)
		}
		if err := keeper.Verify(i); err != nil {
			fatal("%v", err)
		}
		status := incident.StatusNew
		tally := map[incident.Action]int{}
		for _, c := range i.Timeline {
			if c.Event != "" {
				tally["event"]++
			}
			tally[c.Action]++
			if incident.Status(c.To).Valid() && c.Action != incident.ActionCorrected {
				status = incident.Status(c.To)
			}
		}
		if status != i.Status {
			fatal("the timeline ends in %s, the incident is %s", status, i.Status)
		}
		filed := 1
		if s.neverRead {
			filed = 0
		}
		if tally[incident.ActionFiled] != filed || tally[incident.ActionRead] != len(s.readings) || len(i.Readings) != len(s.readings) || tally["event"] != s.additions || len(i.Reports) != 1 {
			fatal("timeline %v of %d readings and %d additions, filed %d", actions(i), len(s.readings), s.additions, filed)
		}
		if waiting, err := h.base.Pending(ctx, s.report.ID); err != nil || len(waiting) > 0 {
			fatal("%d events still wait, %v", len(waiting), err)
		}
		if _, err := h.casework.Words(i); err != nil {
			fatal("%v", err)
		}
	}
	if n, err := h.base.CountIncidents(ctx, everything, 1000); err != nil || n != len(h.reports) {
		fatal("%d incidents, %v; want %d", n, err, len(h.reports))
	}
	if ids, err := h.base.Unfolded(ctx, 10); err != nil || len(ids) > 0 {
		fatal("unfolded %v, %v", ids, err)
	}
	found, err := h.auditor().Verify(ctx, func(int, int) {})
	if err != nil || found.Faults() != 0 || len(found.Unsettled) != 0 || found.Incidents != len(h.reports) {
		fatal("audit: %v, %v, %+v", err, found.Lines(), found)
	}
}

func (h *history) auditor() *audit.Auditor {
	return audit.New(audit.Config{Store: h.base, Keyring: h.Keyring, Log: h.Config(nil, nil, nil).Log, Now: func() time.Time { return h.At }})
}

// repeat replays the stream from its beginning: nothing may change.
func (h *history) repeat() {
	revs := func() (all []int64) {
		for _, s := range h.reports {
			i, err := h.base.IncidentByReport(h.t.Context(), s.report.ID)
			if err != nil {
				h.t.Fatal(err)
			}
			all = append(all, i.Rev, i.FoldedRev)
		}
		return all
	}
	before := revs()
	var stream []bus.Delivery
	for _, s := range h.reports {
		if !s.neverRead {
			stream = append(stream, s.filed)
		}
	}
	for _, err := range h.projector.Handle(h.t.Context(), append(stream, stream...)) {
		if err != nil {
			h.t.Fatal(err)
		}
	}
	if after := revs(); !slices.Equal(before, after) {
		h.t.Fatalf("seed %d: replaying changed revisions %v to %v", h.seed, before, after)
	}
}

// Two instances share the stream and people work on both, on a store without
// transactions: in the end the figures are those of the incidents.
func TestTwoInstancesAtOnce(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { twoInstancesAtOnce(t, projectortest.New(t)) })
	if mongotest.Real() == "" {
		t.Logf("NOT RUN on MongoDB: %s names none, and the compatible server loses updates that come at once", mongotest.RealURI)
		return
	}
	t.Run("MongoDB", func(t *testing.T) { twoInstancesAtOnce(t, projectortest.NewOn(t, projectortest.Mongo(t)(t))) })
}

func twoInstancesAtOnce(t *testing.T, k *projectortest.Kit) {
	t.Helper()
	loose := &projectortest.Faulty{Store: k.Store, Loose: true, Fail: func() bool { return false }}
	var stream []bus.Delivery
	var reports []string
	for range 60 {
		r := k.Report(demoSites[len(reports)%3])
		reports = append(reports, r.ID)
		stream = append(stream, k.Filed(r), k.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff),
			k.Added(r.ID, onrecordv1.Addition_ADDITION_WORDS, "more"))
	}
	cfg := k.Config(loose, nil, nil)
	now := k.At
	var wg sync.WaitGroup
	for instance := range 2 {
		folder := fold.New()
		cfg := cfg
		cfg.Folder = folder
		p := projector.New(cfg)
		staff := casework.New(casework.Config{Store: loose, Folder: folder, Keyring: k.Keyring,
			SiteKnown: func(id string) bool { return slices.Contains(demoSites, id) }, Now: func() time.Time { return now }})
		rng := rand.New(rand.NewPCG(uint64(instance), 1))
		mine := append(slices.Clone(stream), stream...)
		rng.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
		wg.Go(func() {
			for batch := range slices.Chunk(mine, 8) {
				for retry := batch; len(retry) > 0; {
					var again []bus.Delivery
					for n, err := range p.Handle(t.Context(), retry) {
						if err != nil {
							again = append(again, retry[n])
						}
					}
					retry = again
				}
			}
		})
		wg.Go(func() {
			for n := range 60 {
				i, err := k.Store.IncidentByReport(t.Context(), reports[rng.IntN(len(reports))])
				if err != nil {
					continue
				}
				site := demoSites[n%3]
				_, err = staff.Correct(t.Context(), i.ID, i.Rev, incident.Actor{Role: "rep", ID: "u1"}, casework.Correction{Site: &site})
				if err != nil && fault.KindOf(err) != fault.Stale {
					t.Errorf("Correct: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if _, err := k.Folder.Sweep(t.Context(), k.Store); err != nil {
		t.Fatal(err)
	}
	found, err := audit.New(audit.Config{Store: k.Store, Keyring: k.Keyring, Log: cfg.Log, Now: cfg.Now}).Verify(t.Context(), func(int, int) {})
	if err != nil || found.Faults() > 0 || len(found.Unsettled) > 0 || found.Counted != len(reports) {
		t.Fatalf("audit: %v, %v, %d counted", err, found.Lines(), found.Counted)
	}
	for _, id := range reports {
		i := k.Incident(id)
		read := 0
		for _, c := range i.Timeline {
			if c.Action != incident.ActionCorrected {
				read++
			}
		}
		if read != 3 || len(i.Readings) != 1 {
			t.Errorf("timeline %v, want one each of filed, read, added", actions(i))
		}
	}
}
