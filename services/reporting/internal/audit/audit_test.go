package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/audit"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// filled returns a kit with incidents at two sites in two months.
func filled(tb testing.TB, n int) (*projectortest.Kit, []string) {
	tb.Helper()
	k := projectortest.New(tb)
	var ids []string
	for i := range n {
		r := k.Report([]string{"leeds", "york"}[i%2])
		r.OccurredAt = r.OccurredAt.AddDate(0, -(i / 2 % 2), 0)
		r.Narrative = "canary-narrative"
		ids = append(ids, r.ID)
		k.Apply(k.Filed(r), k.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff))
	}
	return k, ids
}

func auditor(k *projectortest.Kit, st store.Store, log *slog.Logger) *audit.Auditor {
	return audit.New(audit.Config{Store: st, Keyring: k.Keyring, Log: log, Now: time.Now})
}

func verify(t *testing.T, k *projectortest.Kit, st store.Store) audit.Report {
	t.Helper()
	r, err := auditor(k, st, slog.New(slog.DiscardHandler)).Verify(t.Context(), func(int, int) {})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// counts is a store whose database counts the incidents itself, in its own way.
type counts struct {
	store.Store
	recount func() []store.SiteMonth
}

func (s counts) Recount(context.Context, incident.Month, incident.Month) ([]store.SiteMonth, error) {
	return s.recount(), nil
}

func TestAnEditionThatNobodyPublishedIsNamed(t *testing.T) {
	k, _ := filled(t, 4)
	if r := verify(t, k, k.Store); r.Editions != 0 || r.Faults() != 0 {
		t.Fatalf("%+v", r)
	}
	forged := &store.Edition{Month: incident.Month{Year: 2026, Month: time.October}, Number: 1, Public: []byte(`{"month":"2026-10"}`)}
	if err := k.Store.PutEdition(t.Context(), forged); err != nil {
		t.Fatal(err)
	}
	r := verify(t, k, k.Store)
	if lines := r.Lines(); r.Editions != 1 || r.Faults() != 1 || len(lines) != 1 || !strings.Contains(lines[0], "edition 1 of 2026-10 is not as it was published") {
		t.Errorf("%+v, %q", r, lines)
	}
}

func TestADatabaseThatCountsOtherwiseIsNamed(t *testing.T) {
	k, _ := filled(t, 8)
	november := incident.Month{Year: 2026, Month: time.November}
	right, err := k.Store.LedgerCells(t.Context(), nil, november.Add(-20), november)
	if err != nil {
		t.Fatal(err)
	}
	if r := verify(t, k, counts{k.Store, func() []store.SiteMonth { return right }}); r.Faults() != 0 {
		t.Errorf("the same counts: %v", r.Lines())
	}
	only := right[len(right)-1:]
	only[0].Cells = slices.Clone(only[0].Cells)
	only[0].Cells[0].People += 3
	r := verify(t, k, counts{k.Store, func() []store.SiteMonth { return only }})
	if len(r.Differences) != 4 {
		t.Fatalf("differences: %v, want one for each site and month", r.Lines())
	}
	for _, d := range r.Differences {
		wrong := d.Month == november && d.Site == only[0].Site
		if d.Place != audit.PlaceRecount || wrong != (d.Stored.People == d.Recounted.People+3) || !wrong && d.Stored != (audit.Numbers{}) {
			t.Errorf("difference: %v", d)
		}
	}
}

// TestMongoDBRecounts has the database of a deployment count by itself.
func TestMongoDBRecounts(t *testing.T) {
	k := projectortest.NewOn(t, projectortest.Mongo(t)(t))
	for n := range 6 {
		r := k.Report([]string{"leeds", "york"}[n%2])
		r.PeopleAffected = n
		k.Apply(k.Filed(r), k.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff))
		if n == 5 {
			k.Apply(k.Added(r.ID, onrecordv1.Addition_ADDITION_WITHDRAWN, ""))
		}
	}
	if _, ok := k.Store.(store.Recounter); !ok {
		t.Fatal("the store does not count")
	}
	if r := verify(t, k, k.Store); r.Faults() != 0 || len(r.Unsettled) != 0 || r.Incidents != 6 || r.Counted != 5 || r.Ledgers != 2 {
		t.Errorf("report=%+v", r)
	}
}

func TestSoundFiguresHaveNoFaults(t *testing.T) {
	k, ids := filled(t, 8)
	k.Apply(k.Added(ids[0], onrecordv1.Addition_ADDITION_WITHDRAWN, ""))
	r := verify(t, k, k.Store)
	if r.Faults() != 0 || len(r.Unsettled) != 0 || r.Incidents != 8 || r.Counted != 7 || r.Ledgers != 4 || r.Months != 2 {
		t.Errorf("report=%+v", r)
	}
}

func TestAnEmptyStoreIsSound(t *testing.T) {
	k := projectortest.New(t)
	if r := verify(t, k, k.Store); r.Faults() != 0 || r.Incidents != 0 {
		t.Errorf("report=%+v", r)
	}
}

func TestEveryWrongCellIsNamed(t *testing.T) {
	november, october := incident.Month{Year: 2026, Month: time.November}, incident.Month{Year: 2026, Month: time.October}
	dims := incident.Dims{Kind: incident.KindAbuse, Channel: incident.ChannelInPerson, Target: incident.TargetAnyStaff, SetBy: incident.SetByReporter}
	ledger := func(t *testing.T, k *projectortest.Kit, m incident.Month, change func(l *incident.Ledger)) {
		t.Helper()
		l, err := k.Store.Ledger(t.Context(), m, "leeds")
		if err != nil {
			t.Fatal(err)
		}
		change(l)
		l.Rev++
		if err := k.Store.PutLedger(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	rollup := func(t *testing.T, k *projectortest.Kit, m incident.Month, change func(r *incident.Rollup)) {
		t.Helper()
		r, err := k.Store.Rollup(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		r.Rev++
		if err := k.Store.PutRollup(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		damage func(t *testing.T, k *projectortest.Kit)
		places []audit.Place
		want   audit.Difference // of the first place
	}{
		"one too many": {
			func(t *testing.T, k *projectortest.Kit) {
				ledger(t, k, november, func(l *incident.Ledger) { l.Cells[0].Incidents++ })
			},
			[]audit.Place{audit.PlaceLedger, audit.PlaceSite},
			audit.Difference{Month: november, Site: "leeds", Dims: dims, Stored: audit.Numbers{Incidents: 3, Reports: 2, People: 2}, Recounted: audit.Numbers{Incidents: 2, Reports: 2, People: 2}},
		},
		"people miscounted": {
			func(t *testing.T, k *projectortest.Kit) {
				ledger(t, k, november, func(l *incident.Ledger) { l.Cells[0].People = 9 })
			},
			[]audit.Place{audit.PlaceLedger, audit.PlaceSite},
			audit.Difference{Month: november, Site: "leeds", Dims: dims, Stored: audit.Numbers{Incidents: 2, Reports: 2, People: 9}, Recounted: audit.Numbers{Incidents: 2, Reports: 2, People: 2}},
		},
		"totals gone": {
			func(t *testing.T, k *projectortest.Kit) {
				ledger(t, k, october, func(l *incident.Ledger) { l.Cells = nil })
			},
			[]audit.Place{audit.PlaceLedger, audit.PlaceSite},
			audit.Difference{Month: october, Site: "leeds", Dims: dims, Recounted: audit.Numbers{Incidents: 2, Reports: 2, People: 2}},
		},
		"a line of nobody": {
			func(t *testing.T, k *projectortest.Kit) {
				ledger(t, k, october, func(l *incident.Ledger) {
					l.Entries["ghost"] = incident.Entry{Rev: 1, Counted: true, Dims: dims, Reports: 1, People: 1}
				})
			},
			[]audit.Place{audit.PlaceLines},
			audit.Difference{Month: october, Site: "leeds", Dims: dims, Stored: audit.Numbers{Incidents: 3, Reports: 3, People: 3}, Recounted: audit.Numbers{Incidents: 2, Reports: 2, People: 2}},
		},
		"a roll-up's site": {
			func(t *testing.T, k *projectortest.Kit) {
				rollup(t, k, november, func(r *incident.Rollup) { delete(r.Sites, "leeds") })
			},
			[]audit.Place{audit.PlaceRollup},
			audit.Difference{Month: november, Site: "leeds", Dims: dims, Recounted: audit.Numbers{Incidents: 2, Reports: 2, People: 2}},
		},
		"a roll-up's sum": {
			func(t *testing.T, k *projectortest.Kit) {
				rollup(t, k, november, func(r *incident.Rollup) { r.All[0].Reports = 5 })
			},
			[]audit.Place{audit.PlaceFigures},
			audit.Difference{Month: november, Dims: dims, Stored: audit.Numbers{Incidents: 4, Reports: 5, People: 4}, Recounted: audit.Numbers{Incidents: 4, Reports: 4, People: 4}},
		},
		"a month of nothing": {
			func(t *testing.T, k *projectortest.Kit) {
				rollup(t, k, incident.Month{Year: 2019, Month: time.May}, func(r *incident.Rollup) {
					r.All = []incident.Cell{{Dims: dims, Incidents: 1, Reports: 1, People: 1}}
				})
			},
			[]audit.Place{audit.PlaceFigures},
			audit.Difference{Month: incident.Month{Year: 2019, Month: time.May}, Dims: dims, Stored: audit.Numbers{Incidents: 1, Reports: 1, People: 1}},
		},
		"an incident changed behind everybody's back": {
			func(t *testing.T, k *projectortest.Kit) {
				page, _, err := k.Store.ListIncidents(t.Context(), store.Filter{Sites: []string{"leeds"}, Month: november, Limit: 1})
				if err != nil {
					t.Fatal(err)
				}
				i := page[0]
				was := i.Rev
				i.Kind.Reviewer = incident.KindAssault
				i.Rev++
				if err := k.Store.ReplaceIncident(t.Context(), i, was); err != nil {
					t.Fatal(err)
				}
				if err := k.Store.MarkFolded(t.Context(), i.ID, i.Rev); err != nil {
					t.Fatal(err)
				}
			},
			[]audit.Place{audit.PlaceLedger, audit.PlaceLedger, audit.PlaceLines, audit.PlaceLines, audit.PlaceRollup, audit.PlaceRollup,
				audit.PlaceSite, audit.PlaceSite, audit.PlaceFigures, audit.PlaceFigures},
			audit.Difference{Month: november, Site: "leeds", Dims: dims, Stored: audit.Numbers{Incidents: 2, Reports: 2, People: 2}, Recounted: audit.Numbers{Incidents: 1, Reports: 1, People: 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			k, _ := filled(t, 8)
			c.damage(t, k)
			r := verify(t, k, k.Store)
			var places []audit.Place
			for _, d := range r.Differences {
				places = append(places, d.Place)
			}
			if !slices.Equal(places, c.places) || r.Faults() != len(c.places) || len(r.Unsettled) != 0 {
				t.Fatalf("places=%v, want %v\n%s", places, c.places, strings.Join(r.Lines(), "\n"))
			}
			c.want.Place = c.places[0]
			if r.Differences[0] != c.want {
				t.Errorf("difference\n got %v\nwant %v", r.Differences[0], c.want)
			}
		})
	}
}

func TestABrokenTimelineIsNamed(t *testing.T) {
	k, ids := filled(t, 4)
	i := k.Incident(ids[2])
	i.Timeline[1].By.ID = "m2"
	if err := k.Store.ReplaceIncident(t.Context(), i, i.Rev); err != nil {
		t.Fatal(err)
	}
	r := verify(t, k, k.Store)
	if r.Faults() != 1 || len(r.Timelines) != 1 || r.Timelines[0].IncidentID != i.ID || r.Timelines[0].Broken.Seq != 2 {
		t.Errorf("report=%+v", r)
	}
	if line := r.Lines()[0]; !strings.Contains(line, i.Ref) || !strings.Contains(line, "entry 2") {
		t.Errorf("line=%q", line)
	}
}

// twins shows another incident that holds the same report, as a store would
// whose index was lost.
type twins struct {
	store.Store
	twin *incident.Incident
}

func (s twins) EachIncident(ctx context.Context, fn func(*incident.Incident) error) error {
	if err := s.Store.EachIncident(ctx, fn); err != nil {
		return err
	}
	return fn(s.twin)
}

func (s twins) Incident(ctx context.Context, id string) (*incident.Incident, error) {
	if id == s.twin.ID {
		return s.twin, nil
	}
	return s.Store.Incident(ctx, id)
}

func TestAReportInTwoIncidentsIsNamed(t *testing.T) {
	k, ids := filled(t, 4)
	twin := k.Incident(ids[1])
	original := twin.ID
	twin.ID, twin.Timeline, twin.Status = "ffffffff-0000-8000-8000-000000000000", nil, incident.StatusDuplicate
	r := verify(t, k, twins{k.Store, twin})
	if r.Faults() != 1 || len(r.Twice) != 1 || !slices.Contains(r.Twice[0].IncidentIDs[:], original) || !slices.Contains(r.Twice[0].IncidentIDs[:], twin.ID) {
		t.Errorf("report=%+v", r)
	}
	for _, line := range r.Lines() {
		if strings.Contains(line, ids[1]) {
			t.Errorf("line=%q: it names the report", line)
		}
	}
}

// busy lets work go on while the audit reads.
type busy struct {
	store.Store
	work func()
}

func (s busy) EachLedger(ctx context.Context, fn func(*incident.Ledger) error) error {
	s.work()
	return s.Store.EachLedger(ctx, fn)
}

func TestWorkUnderWayIsNoDifference(t *testing.T) {
	k, _ := filled(t, 8)
	r := verify(t, k, busy{k.Store, func() {
		r := k.Report("leeds")
		k.Apply(k.Filed(r))
	}})
	if r.Faults() != 0 || len(r.Unsettled) != 0 {
		t.Errorf("report=%+v", r)
	}
}

func TestWhatWaitsToBeFoldedIsUnsettled(t *testing.T) {
	k, ids := filled(t, 8)
	i := k.Incident(ids[0])
	was := i.Rev
	i.Kind.Reviewer = incident.KindAssault
	i.Rev++
	if err := k.Store.ReplaceIncident(t.Context(), i, was); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, k, k.Store); r.Faults() != 0 || !slices.Equal(r.Unsettled, []incident.Month{i.Month()}) {
		t.Errorf("report=%+v", r)
	}
	if _, err := k.Folder.Sweep(t.Context(), k.Store); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, k, k.Store); r.Faults() != 0 || len(r.Unsettled) != 0 {
		t.Errorf("report=%+v", r)
	}
}

func TestABacklogIsNoDifference(t *testing.T) {
	k, ids := filled(t, 8)
	other := k.Incident(ids[2]) // of the month before
	for n := range 200 {        // as many as are looked at
		behind := *other
		behind.ID, behind.Rev, behind.FoldedRev, behind.Status = fmt.Sprintf("00000000-0000-8000-8000-%012d", n), 1, 0, incident.StatusWithdrawn
		behind.Reports, behind.Timeline = nil, nil
		if err := k.Store.InsertIncident(t.Context(), &behind); err != nil {
			t.Fatal(err)
		}
	}
	i := k.Incident(ids[0])
	was := i.Rev
	i.Kind.Reviewer = incident.KindAssault
	i.Rev++
	if err := k.Store.ReplaceIncident(t.Context(), i, was); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, k, k.Store); len(r.Differences) != 0 || !slices.Equal(r.Unsettled, []incident.Month{i.Month()}) {
		t.Errorf("differences=%v unsettled=%v", r.Differences, r.Unsettled)
	}
}

// unreadable is a store of which nobody can read the incidents.
type unreadable struct{ store.Store }

func (unreadable) EachIncident(context.Context, func(*incident.Incident) error) error {
	return store.ErrBroken
}

func TestAnAuditThatDoesNotFinishIsFound(t *testing.T) {
	k, _ := filled(t, 2)
	run := func(a *audit.Auditor, logged *stopAfter) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		logged.cancel = cancel
		a.Run(ctx)
		if !bytes.Contains(logged.log.Bytes(), logged.what) {
			t.Fatalf("log=%s", logged.log)
		}
	}
	metric := func(want string) {
		t.Helper()
		var page bytes.Buffer
		metrics.WritePrometheus(&page, false)
		if line := `onrecord_findings{code="audit_unfinished",severity="warning"} ` + want + "\n"; !strings.Contains(page.String(), line) {
			t.Errorf("no line %q", line)
		}
	}
	logged := &stopAfter{&bytes.Buffer{}, []byte("did not finish"), nil}
	st := &struct{ store.Store }{unreadable{k.Store}}
	a := auditor(k, st, slog.New(slog.NewTextHandler(logged, nil)))
	run(a, logged)
	if found := a.Findings(); len(found) != 1 || found[0].Code != "audit_unfinished" {
		t.Errorf("found %v", found)
	}
	metric("1")
	st.Store, logged.what = k.Store, []byte("the figures are those of the incidents")
	run(a, logged)
	if found := a.Findings(); len(found) != 0 {
		t.Errorf("still found after it finished: %v", found)
	}
	metric("0")
}

func TestProgressAndTheEndOfPatience(t *testing.T) {
	k, _ := filled(t, 8)
	ctx, cancel := context.WithCancel(t.Context())
	var done, total int
	a := auditor(k, k.Store, slog.New(slog.DiscardHandler))
	if _, err := a.Verify(ctx, func(d, t int) { done, total = d, t }); err != nil || done != 8 || total != 8 {
		t.Errorf("progress %d of %d, %v; want 8 of 8", done, total, err)
	}
	cancel()
	if _, err := a.Verify(ctx, func(int, int) {}); err == nil {
		t.Error("an audit went on after its end")
	}
}

func TestTheHourlyAuditTellsTheOperatorWithoutWords(t *testing.T) {
	k, _ := filled(t, 8)
	l, err := k.Store.Ledger(t.Context(), incident.Month{Year: 2026, Month: time.November}, "leeds")
	if err != nil {
		t.Fatal(err)
	}
	l.Cells[0].Incidents = 7
	l.Rev++
	if err := k.Store.PutLedger(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	logged := &stopAfter{&log, []byte("not those of the incidents"), cancel}
	go func() {
		defer close(ended)
		auditor(k, k.Store, slog.New(slog.NewTextHandler(logged, nil))).Run(ctx)
	}()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the audit said nothing")
	}
	if got := log.String(); !strings.Contains(got, "kind=abuse") || !strings.Contains(got, "leeds") || strings.Contains(got, "canary") {
		t.Errorf("log=%s", got)
	}
	var page bytes.Buffer
	metrics.WritePrometheus(&page, false)
	if !strings.Contains(page.String(), "onrecord_audit_differences 2\n") {
		t.Error("the metric onrecord_audit_differences is not 2")
	}
}

// stopAfter cancels once something was written.
type stopAfter struct {
	log    *bytes.Buffer
	what   []byte
	cancel func()
}

func (s *stopAfter) Write(p []byte) (int, error) {
	if bytes.Contains(p, s.what) {
		s.cancel()
	}
	return s.log.Write(p)
}

func BenchmarkVerify(b *testing.B) {
	k, _ := filled(b, 0)
	const n = 5000
	for base := 0; base < n; base += 250 {
		for i := range 250 {
			r := k.Report(fmt.Sprintf("site-%d", i%40))
			r.OccurredAt = r.OccurredAt.AddDate(0, -(base/250)%12, 0)
			k.Apply(k.Filed(r), k.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff))
		}
	}
	a := auditor(k, k.Store, slog.New(slog.DiscardHandler))
	b.ResetTimer()
	for b.Loop() {
		r, err := a.Verify(b.Context(), func(int, int) {})
		if err != nil || r.Faults() > 0 || r.Incidents != n {
			b.Fatalf("%v, %d faults, %d incidents", err, r.Faults(), r.Incidents)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "incidents/s")
}
