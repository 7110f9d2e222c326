package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

func filledIncident(t *testing.T) *incident.Incident {
	t.Helper()
	return filled[incidentOf](t).Incident
}

func testIncidentRoundTrip(t *testing.T, s store.Store) {
	ctx, i := t.Context(), filledIncident(t)
	must(t, s.InsertIncident(ctx, i))
	want := filledIncident(t)

	equal(t, "Incident", got[*incident.Incident](t)(s.Incident(ctx, i.ID)), want)
	for _, r := range want.Reports {
		equal(t, "IncidentByReport", got[*incident.Incident](t)(s.IncidentByReport(ctx, r.ID)), want)
		equal(t, "IncidentByReceipt", got[*incident.Incident](t)(s.IncidentByReceipt(ctx, r.ReceiptHash)), want)
	}
	page, next, err := s.ListIncidents(ctx, store.Filter{Limit: 1})
	must(t, err)
	equal(t, "ListIncidents", page, []*incident.Incident{want})
	equal(t, "next", next, "")
	must(t, s.EachIncident(ctx, func(each *incident.Incident) error {
		equal(t, "EachIncident", each, want)
		return nil
	}))
}

func testEmpty(t *testing.T, s store.Store) {
	ctx := t.Context()
	none := 0
	i := &incident.Incident{
		ID: "empty", Rev: 1, Site: "leeds", OccurredAt: at, DaysUnable: &none,
		Reports: []incident.FiledReport{{ID: "report", ReceiptHash: []byte{}, SealedWords: []byte{}}}, Timeline: []incident.Change{},
		Readings: []incident.Reading{{Kind: incident.Judgement{P: map[string]float64{}, Reasons: []incident.Reason{}}}},
	}
	must(t, s.InsertIncident(ctx, i))
	equal(t, "incident", got[*incident.Incident](t)(s.Incident(ctx, "empty")), &incident.Incident{
		ID: "empty", Rev: 1, Site: "leeds", OccurredAt: at, DaysUnable: &none,
		Reports:  []incident.FiledReport{{ID: "report"}},
		Readings: []incident.Reading{{}},
	})
	for _, hash := range [][]byte{nil, {}} {
		_, err := s.IncidentByReceipt(ctx, hash)
		errorIs(t, "no receipt is nobody’s receipt", err, store.ErrNotFound)
	}
}

func testUTC(t *testing.T, s store.Store) {
	ctx, i := t.Context(), filledIncident(t)
	tokyo := time.FixedZone("Tokyo", 9*60*60)
	i.OccurredAt, i.ReceivedAt = i.OccurredAt.In(tokyo), i.ReceivedAt.In(tokyo)
	i.Readings[0].At, i.Timeline[0].At = i.Readings[0].At.In(tokyo), i.Timeline[0].At.In(tokyo)
	i.Reports[0].ReceivedAt, i.Reports[0].PressedAt = i.Reports[0].ReceivedAt.In(tokyo), i.Reports[0].PressedAt.In(tokyo)
	must(t, s.InsertIncident(ctx, i))
	equal(t, "incident", got[*incident.Incident](t)(s.Incident(ctx, i.ID)), filledIncident(t))
}

func testNoAliasing(t *testing.T, s store.Store) {
	ctx, i := t.Context(), filledIncident(t)
	must(t, s.InsertIncident(ctx, i))
	i.Timeline[0].Chain[0]++
	i.Reports[0].Language = "changed"
	read := got[*incident.Incident](t)(s.Incident(ctx, i.ID))
	equal(t, "after the caller changed its own", read, filledIncident(t))
	read.Lines[0].Site = "changed"
	read.WrappedKey[0]++
	equal(t, "after the reader changed its own", got[*incident.Incident](t)(s.Incident(ctx, i.ID)), filledIncident(t))
}

func testInsertOnce(t *testing.T, s store.Store) {
	ctx, i := t.Context(), filledIncident(t)
	for what, find := range map[string]func() (*incident.Incident, error){
		"Incident":          func() (*incident.Incident, error) { return s.Incident(ctx, i.ID) },
		"IncidentByReport":  func() (*incident.Incident, error) { return s.IncidentByReport(ctx, i.Reports[0].ID) },
		"IncidentByReceipt": func() (*incident.Incident, error) { return s.IncidentByReceipt(ctx, i.Reports[0].ReceiptHash) },
	} {
		_, err := find()
		errorIs(t, what, err, store.ErrNotFound)
	}

	won := race(t, 8, store.ErrExists, func(int) error { return s.InsertIncident(ctx, i) })
	equal(t, "inserts that succeeded", won, 1)
	other := copyOf(t, i)
	other.Ref, other.Rev, other.Reports[0].ID = "another", 99, "another report"
	errorIs(t, "again", s.InsertIncident(ctx, other), store.ErrExists)
	equal(t, "the first stays", got[*incident.Incident](t)(s.Incident(ctx, i.ID)), i)
	_, err := s.IncidentByReport(ctx, "another report")
	errorIs(t, "the refused one’s report", err, store.ErrNotFound)
}

func testReplace(t *testing.T, s store.Store) {
	ctx, i := t.Context(), filledIncident(t)
	errorIs(t, "nothing there", s.ReplaceIncident(ctx, i, i.Rev), store.ErrNotFound)
	must(t, s.InsertIncident(ctx, i))

	changed := copyOf(t, i)
	changed.Rev++
	changed.Site, changed.Status, changed.OccurredAt = "york", incident.StatusClosedFixed, at.AddDate(0, -3, 0)
	changed.Kind.Reviewer = incident.KindThreat
	changed.Timeline = append(changed.Timeline, incident.Change{Seq: 3, At: at})
	for _, was := range []int64{i.Rev - 1, i.Rev + 1, 0, -1} {
		errorIs(t, fmt.Sprintf("over %d", was), s.ReplaceIncident(ctx, changed, was), store.ErrStale)
	}
	equal(t, "after stale writes", got[*incident.Incident](t)(s.Incident(ctx, i.ID)), i)

	must(t, s.ReplaceIncident(ctx, changed, i.Rev))
	equal(t, "replaced", got[*incident.Incident](t)(s.Incident(ctx, i.ID)), changed)
	errorIs(t, "the same again", s.ReplaceIncident(ctx, changed, i.Rev), store.ErrStale)
}

func testReplaceReports(t *testing.T, s store.Store) {
	ctx, i := t.Context(), filledIncident(t)
	must(t, s.InsertIncident(ctx, i))
	kept, dropped := i.Reports[0], i.Reports[1]

	changed := copyOf(t, i)
	changed.Rev++
	changed.Reports = []incident.FiledReport{{ID: "added", ReceiptHash: []byte("added receipt")}, kept}
	changed.Reports[1].ReceiptHash = []byte("another receipt")
	must(t, s.ReplaceIncident(ctx, changed, i.Rev))

	for _, r := range changed.Reports {
		equal(t, "by report", got[*incident.Incident](t)(s.IncidentByReport(ctx, r.ID)), changed)
		equal(t, "by receipt", got[*incident.Incident](t)(s.IncidentByReceipt(ctx, r.ReceiptHash)), changed)
	}
	_, err := s.IncidentByReport(ctx, dropped.ID)
	errorIs(t, "a report that left", err, store.ErrNotFound)
	for _, hash := range [][]byte{dropped.ReceiptHash, kept.ReceiptHash} {
		_, err = s.IncidentByReceipt(ctx, hash)
		errorIs(t, "a receipt that left", err, store.ErrNotFound)
	}

	// The report moves to another incident; for a moment both hold it.
	other := &incident.Incident{ID: "other", Rev: 1, Site: "leeds", OccurredAt: at, Reports: changed.Reports[:1]}
	must(t, s.InsertIncident(ctx, other))
	emptied := copyOf(t, changed)
	emptied.Rev++
	emptied.Reports = nil
	must(t, s.ReplaceIncident(ctx, emptied, changed.Rev))
	equal(t, "moved", got[*incident.Incident](t)(s.IncidentByReport(ctx, "added")).ID, "other")
	equal(t, "moved", got[*incident.Incident](t)(s.IncidentByReceipt(ctx, []byte("added receipt"))).ID, "other")
}

func testConcurrentReplace(t *testing.T, s store.Store, race racer) {
	ctx, i := t.Context(), filledIncident(t)
	must(t, s.InsertIncident(ctx, i))
	for round := range int64(5) {
		rev := i.Rev + round
		won := race(t, 8, store.ErrStale, func(writer int) error {
			mine := copyOf(t, i)
			mine.Rev, mine.Ref = rev+1, fmt.Sprint("writer ", writer)
			return s.ReplaceIncident(ctx, mine, rev)
		})
		equal(t, "writers that won", won, 1)
	}
	equal(t, "rev", got[*incident.Incident](t)(s.Incident(ctx, i.ID)).Rev, i.Rev+5)
}

func testMarkFolded(t *testing.T, s store.Store) {
	ctx := t.Context()
	errorIs(t, "nothing there", s.MarkFolded(ctx, "nobody", 1), store.ErrNotFound)
	for n := range 4 {
		must(t, s.InsertIncident(ctx, &incident.Incident{ID: fmt.Sprint("i", n), Rev: 3, Site: "leeds", OccurredAt: at}))
	}
	unfolded := func(limit int) []string {
		ids := got[[]string](t)(s.Unfolded(ctx, limit))
		slices.Sort(ids)
		return ids
	}
	equal(t, "all", unfolded(100), []string{"i0", "i1", "i2", "i3"})
	equal(t, "up to 2", len(unfolded(2)), 2)
	equal(t, "up to 0", len(unfolded(0)), 0)

	for _, step := range []struct{ mark, want int64 }{{2, 2}, {3, 3}, {1, 3}, {3, 3}} {
		must(t, s.MarkFolded(ctx, "i1", step.mark))
		i := got[*incident.Incident](t)(s.Incident(ctx, "i1"))
		equal(t, "FoldedRev", i.FoldedRev, step.want)
		equal(t, "Rev", i.Rev, int64(3))
	}
	equal(t, "one is folded", unfolded(100), []string{"i0", "i2", "i3"})
	page, _, err := s.ListIncidents(ctx, store.Filter{Limit: 10})
	must(t, err)
	equal(t, "FoldedRev in a list", page[2].FoldedRev, int64(3))

	// An edit by somebody who read it before it was folded.
	edited := &incident.Incident{ID: "i1", Rev: 4, FoldedRev: 0, Site: "leeds", OccurredAt: at}
	must(t, s.ReplaceIncident(ctx, edited, 3))
	equal(t, "FoldedRev after an edit", got[*incident.Incident](t)(s.Incident(ctx, "i1")).FoldedRev, int64(3))
	equal(t, "an edit is to be folded", unfolded(100), []string{"i0", "i1", "i2", "i3"})
	edited.Rev, edited.FoldedRev = 5, 5
	must(t, s.ReplaceIncident(ctx, edited, 4))
	equal(t, "folded with the edit", unfolded(100), []string{"i0", "i2", "i3"})
}

func testLessons(t *testing.T, s store.Store) {
	ctx := t.Context()
	corrected := func(id string) *incident.Incident {
		return &incident.Incident{ID: id, Rev: 2, Site: "leeds", OccurredAt: at, WrappedKey: []byte{1}, Reports: []incident.FiledReport{{ID: "report " + id}},
			Kind:     incident.Opinion[incident.Kind]{Reviewer: incident.KindThreat},
			Timeline: []incident.Change{{Seq: 1, Action: incident.ActionFiled}, {Seq: 2, Action: incident.ActionCorrected, Field: "kind"}}}
	}
	due := func(after string, limit int) []string { return got[[]string](t)(s.LessonsDue(ctx, after, limit)) }
	errorIs(t, "nothing there", s.KeepLesson(ctx, corrected("nobody")), store.ErrNotFound)
	equal(t, "none", len(due("", 10)), 0)
	for n := range 4 {
		must(t, s.InsertIncident(ctx, corrected(fmt.Sprint("i", n))))
	}
	must(t, s.InsertIncident(ctx, &incident.Incident{ID: "other", Rev: 1, Site: "leeds", OccurredAt: at, WrappedKey: []byte{1}}))
	equal(t, "all", due("", 10), []string{"i0", "i1", "i2", "i3"})
	equal(t, "two", due("", 2), []string{"i0", "i1"})
	equal(t, "behind them", due("i1", 10), []string{"i2", "i3"})
	equal(t, "up to 0", len(due("", 0)), 0)

	half := corrected("i1")
	half.Lesson.Published = 2
	must(t, s.KeepLesson(ctx, half))
	equal(t, "without features", due("", 10), []string{"i0", "i1", "i2", "i3"})
	whole := corrected("i1")
	whole.Lesson = incident.Lesson{Published: 2, Features: []byte{1, 2}}
	for range 2 { // the same again
		must(t, s.KeepLesson(ctx, whole))
	}
	equal(t, "kept", got[*incident.Incident](t)(s.Incident(ctx, "i1")), whole)
	equal(t, "one is done", due("", 10), []string{"i0", "i2", "i3"})
	must(t, s.MarkFolded(ctx, "i1", 2))
	equal(t, "after folding", got[*incident.Incident](t)(s.Incident(ctx, "i1")).Lesson, whole.Lesson)

	// An edit by somebody who had not seen it puts the older one back.
	edited := corrected("i1")
	edited.Rev = 3
	must(t, s.ReplaceIncident(ctx, edited, 2))
	equal(t, "after such an edit", due("", 10), []string{"i0", "i1", "i2", "i3"})
	errorIs(t, "of a revision that is gone", s.KeepLesson(ctx, whole), store.ErrStale)
	equal(t, "nothing was stored", got[*incident.Incident](t)(s.Incident(ctx, "i1")).Lesson, incident.Lesson{})
	edited.Rev, edited.Lesson = 4, whole.Lesson
	must(t, s.ReplaceIncident(ctx, edited, 3))
	equal(t, "stored with an edit", got[*incident.Incident](t)(s.Incident(ctx, "i1")).Lesson, whole.Lesson)
	edited.Rev, edited.WrappedKey, edited.Lesson = 5, nil, incident.Lesson{}
	must(t, s.ReplaceIncident(ctx, edited, 4))
	equal(t, "erased, nothing is due", due("", 10), []string{"i0", "i2", "i3"})
}

func testEachIncident(t *testing.T, s store.Store) {
	ctx := t.Context()
	must(t, s.EachIncident(ctx, func(*incident.Incident) error { return errors.New("called for nothing") }))
	const stored = 600
	must(t, s.Group(ctx, func(s store.Store) error {
		for n := range stored {
			i := &incident.Incident{ID: fmt.Sprintf("%04d", n*7%stored), Rev: 1, Site: "leeds", OccurredAt: at.Add(time.Duration(n) * time.Minute)}
			if err := s.InsertIncident(ctx, i); err != nil {
				return err
			}
		}
		return nil
	}))
	next := 0
	must(t, s.EachIncident(ctx, func(i *incident.Incident) error {
		if i.ID != fmt.Sprintf("%04d", next) {
			t.Fatalf("incident %d has id %s", next, i.ID)
		}
		next++
		if next%100 == 0 {
			return s.MarkFolded(ctx, i.ID, 1)
		}
		return nil
	}))
	equal(t, "incidents seen", next, stored)

	stop := errors.New("stop")
	calls := 0
	errorIs(t, "stopped", s.EachIncident(ctx, func(*incident.Incident) error { calls++; return stop }), stop)
	equal(t, "calls", calls, 1)
}

func testPending(t *testing.T, s store.Store) {
	ctx := t.Context()
	equal(t, "none", len(got[[]store.Pending](t)(s.Pending(ctx, "report"))), 0)
	must(t, s.DropPending(ctx, "report"))

	pending := func(subject string, seq uint64, report string) store.Pending {
		p := filled[store.Pending](t)
		p.Subject, p.Seq, p.ReportID = subject, seq, report
		return p
	}
	first, second, third := pending("c", 9, "report"), pending("a", 10, "report"), pending("b", 1<<40, "report")
	other := pending("d", 1, "another")
	for _, p := range []store.Pending{third, first, other, second} {
		must(t, s.KeepPending(ctx, p))
	}
	again := first
	again.Data = []byte("not the first")
	must(t, s.KeepPending(ctx, again))
	equal(t, "in order of Seq", got[[]store.Pending](t)(s.Pending(ctx, "report")), []store.Pending{first, second, third})

	equal(t, "every one in order of subject", allPending(t, s), []store.Pending{second, third, first, other})
	stopped := errors.New("enough")
	errorIs(t, "stopped", s.EachPending(ctx, func(store.Pending) error { return stopped }), stopped)

	must(t, s.DropPending(ctx, "report"))
	equal(t, "dropped", len(got[[]store.Pending](t)(s.Pending(ctx, "report"))), 0)
	equal(t, "another’s", got[[]store.Pending](t)(s.Pending(ctx, "another")), []store.Pending{other})
	must(t, s.KeepPending(ctx, first))
	equal(t, "kept anew", got[[]store.Pending](t)(s.Pending(ctx, "report")), []store.Pending{first})
}

func allPending(t *testing.T, s store.Store) (all []store.Pending) {
	t.Helper()
	must(t, s.EachPending(t.Context(), func(p store.Pending) error {
		all = append(all, p)
		return nil
	}))
	return all
}

// hostile are texts that are harmless unless somebody takes them for more.
var hostile = []string{
	`'; DROP TABLE incidents; --`, `" OR ""="`, `x' OR '1'='1`, `\`, "`", `%`, `_`, `*`, `?`, `;`, `--`, `/*`,
	`{"$ne":null}`, `$where`, `$`, `a.b`, `.`, `a.$b`, `["leeds"]`, `null`, `0`, `LEEDS`, `leeds `, ` leeds`, "a\nb", "a\tb",
	`<script>alert(1)</script>`, `=1+1`, "\u202eright to left", "👩🏽‍🔧", "e\u0301", "\ufeff", "\u0001",
}

func testHostileText(t *testing.T, s store.Store) {
	ctx := t.Context()
	month := incident.MonthOf(at)
	for n, text := range hostile {
		i := filledIncident(t)
		i.ID, i.Site, i.Employer, i.OccurredAt = text, text, text, at.Add(-time.Duration(n)*time.Hour)
		i.Status, i.Kind.Reviewer, i.Timeline[0].From = incident.Status(text), incident.Kind(text), text
		i.Reports = []incident.FiledReport{{ID: text, ReceiptHash: []byte(text)}}
		i.Readings[0].Kind.P = map[string]float64{text: 1}
		must(t, s.InsertIncident(ctx, i))
		must(t, s.KeepPending(ctx, store.Pending{Subject: text, ReportID: text, At: at}))
		must(t, s.SetMeta(ctx, text, []byte(text)))
		must(t, s.InsertUser(ctx, &store.User{ID: text, Name: fmt.Sprint(n, " ", text), Sites: []string{text}, CreatedAt: at}))
		must(t, s.PutQuarantined(ctx, &store.Quarantined{Subject: text, Cause: text, At: at}))
		must(t, s.PutSites(ctx, []store.Site{{ID: text, Name: text}}))
		dims := incident.Dims{Employer: text, Kind: incident.Kind(text)}
		l := &incident.Ledger{Month: month, Site: text, Rev: 1, Entries: map[string]incident.Entry{text: {Rev: 1, Counted: true, Dims: dims, Reports: 1, People: 1}}}
		l.Total()
		must(t, s.PutLedger(ctx, l))
	}
	for _, text := range hostile {
		i := got[*incident.Incident](t)(s.Incident(ctx, text))
		equal(t, "employer", i.Employer, text)
		equal(t, "map key", i.Readings[0].Kind.P, map[string]float64{text: 1})
		equal(t, "by report", got[*incident.Incident](t)(s.IncidentByReport(ctx, text)).ID, text)
		equal(t, "by receipt", got[*incident.Incident](t)(s.IncidentByReceipt(ctx, []byte(text))).ID, text)
		equal(t, "pending", got[[]store.Pending](t)(s.Pending(ctx, text))[0].Subject, text)
		equal(t, "meta", string(got[[]byte](t)(s.Meta(ctx, text))), text)
		equal(t, "user", got[*store.User](t)(s.User(ctx, text)).Sites, []string{text})
		equal(t, "quarantined", got[*store.Quarantined](t)(s.Quarantined(ctx, text)).Cause, text)
		if l := got[*incident.Ledger](t)(s.Ledger(ctx, month, text)); l.Entries[text].Dims.Employer != text || l.Cells[0].Employer != text {
			t.Fatalf("ledger of %q: %+v", text, l)
		}
		equal(t, "cells", len(got[[]store.SiteMonth](t)(s.LedgerCells(ctx, []string{text}, month, month))), 1)
		for what, f := range map[string]store.Filter{
			"site": {Sites: []string{text}}, "status": {Statuses: []incident.Status{incident.Status(text)}}, "kind": {Kind: incident.Kind(text)},
		} {
			equal(t, "by "+what, ids(walk(t, s, f, 10)), []string{text})
		}
	}
	for _, f := range []store.Filter{{Sites: []string{"leeds"}}, {Sites: []string{"a\x00b", "\xff"}}, {Channel: `' OR 1=1 --`}, {Target: `{"$gt":""}`}} {
		equal(t, "what nothing has", len(walk(t, s, f, 10)), 0)
	}
	equal(t, "nothing was dropped", len(walk(t, s, store.Filter{}, 200)), len(hostile))
	if !bytes.Equal(got[[]byte](t)(s.Meta(ctx, hostile[0])), []byte(hostile[0])) {
		t.Fatal("meta changed")
	}
}
