package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

var october = incident.Month{Year: 2026, Month: 10}

// ledger returns a ledger of a month and site with some entries and its totals.
func ledger(m incident.Month, site string, rev int64, entries int) *incident.Ledger {
	l := &incident.Ledger{Month: m, Site: site, Rev: rev}
	for n := range entries {
		id := fmt.Sprintf("%08x-ac96-874b-bcce-b302099a8057", n)
		if n%5 == 4 {
			id = fmt.Sprint("no UUID ", n)
		}
		l.Set(id, incident.Entry{
			Rev: int64(n) + 1, Counted: n%3 != 2, Reports: n%4 + 1, People: n%7 + 1,
			Dims: incident.Dims{
				Kind: incident.Kinds[n%len(incident.Kinds)], Channel: incident.Channels[n%len(incident.Channels)],
				Target: incident.Targets[n%len(incident.Targets)], Employer: []string{"", "Serco"}[n%2], SetBy: incident.SetByReporter,
			},
		})
	}
	l.Total()
	if len(l.Cells) == 0 {
		l.Cells = nil // as it comes back
	}
	return l
}

func testLedgerRoundTrip(t *testing.T, s store.Store) {
	ctx := t.Context()
	read := func() *incident.Ledger {
		t.Helper()
		return got[*incident.Ledger](t)(s.Ledger(ctx, october, "leeds"))
	}
	equal(t, "none yet", read(), &incident.Ledger{Month: october, Site: "leeds"})

	l := filled[incident.Ledger](t)
	l.Month, l.Site, l.Rev = october, "leeds", 1
	must(t, s.PutLedger(ctx, &l))
	equal(t, "filled", read(), &l)

	for n, entries := range []int{2000, 3, 0, 1} { // grows, shrinks, empties
		want := ledger(october, "leeds", int64(n)+2, entries)
		must(t, s.PutLedger(ctx, want))
		equal(t, fmt.Sprint(entries, " entries"), read(), ledger(october, "leeds", int64(n)+2, entries))
	}
	emptied := &incident.Ledger{Month: october, Site: "leeds", Rev: 6, Entries: map[string]incident.Entry{}, Cells: []incident.Cell{}}
	must(t, s.PutLedger(ctx, emptied))
	equal(t, "empty comes back nil", read(), &incident.Ledger{Month: october, Site: "leeds", Rev: 6})

	mine := read()
	mine.Set("x", incident.Entry{Rev: 1, Counted: true})
	mine.Total()
	equal(t, "shares nothing", read(), &incident.Ledger{Month: october, Site: "leeds", Rev: 6})
	equal(t, "of another month", got[*incident.Ledger](t)(s.Ledger(ctx, october.Add(1), "leeds")).Rev, int64(0))
	equal(t, "of another site", got[*incident.Ledger](t)(s.Ledger(ctx, october, "york")).Rev, int64(0))
}

func testLedgerFence(t *testing.T, s store.Store, race racer) {
	ctx := t.Context()
	for _, rev := range []int64{2, 0, -1} {
		errorIs(t, fmt.Sprint("first as ", rev), s.PutLedger(ctx, ledger(october, "leeds", rev, 1)), store.ErrStale)
	}
	for rev := int64(1); rev <= 5; rev++ {
		won := race(t, 8, store.ErrStale, func(writer int) error {
			return s.PutLedger(ctx, ledger(october, "leeds", rev, writer+1))
		})
		equal(t, fmt.Sprint("writers that won revision ", rev), won, 1)
		stored := got[*incident.Ledger](t)(s.Ledger(ctx, october, "leeds"))
		equal(t, "entries and totals of one writer", stored, ledger(october, "leeds", rev, len(stored.Entries)))
	}
	for _, rev := range []int64{1, 4, 5, 7, 0} {
		errorIs(t, fmt.Sprintf("%d over 5", rev), s.PutLedger(ctx, ledger(october, "leeds", rev, 20)), store.ErrStale)
	}
	stored := got[*incident.Ledger](t)(s.Ledger(ctx, october, "leeds"))
	equal(t, "rev", stored.Rev, int64(5))
	if len(stored.Entries) == 20 {
		t.Fatal("a stale write was stored")
	}
}

func testLedgerCells(t *testing.T, s store.Store) {
	ctx := t.Context()
	want := make(map[incident.Month]map[string][]incident.Cell)
	for back := range 15 {
		m := october.Add(-back)
		want[m] = make(map[string][]incident.Cell)
		for n, site := range []string{"york", "leeds", "bath"} {
			l := ledger(m, site, 1, back+n+1)
			must(t, s.PutLedger(ctx, l))
			want[m][site] = l.Cells
		}
	}
	moved := ledger(october, "york", 2, 1) // its only incident counts elsewhere now
	moved.Set("00000000-ac96-874b-bcce-b302099a8057", incident.Entry{Rev: 2})
	moved.Total()
	must(t, s.PutLedger(ctx, moved))
	delete(want[october], "york")

	for _, test := range []struct {
		sites       []string
		first, last incident.Month
	}{
		{nil, october.Add(-11), october},
		{nil, october, october},
		{nil, october.Add(-100), october.Add(100)},
		{nil, october.Add(1), october.Add(12)},
		{nil, october, october.Add(-1)},
		{[]string{}, october.Add(-11), october},
		{[]string{"leeds"}, october.Add(-11), october},
		{[]string{"york"}, october, october},
		{[]string{"york", "bath", "york"}, october.Add(-13), october.Add(-2)},
		{[]string{"nowhere", "bath"}, october.Add(-1), october.Add(3)},
	} {
		var expect []store.SiteMonth
		for m := test.first; !test.last.Before(m); m = m.Add(1) {
			for _, site := range []string{"bath", "leeds", "york"} {
				if cells := want[m][site]; len(cells) > 0 && (test.sites == nil || slices.Contains(test.sites, site)) {
					expect = append(expect, store.SiteMonth{Month: m, Site: site, Cells: cells})
				}
			}
		}
		cells := got[[]store.SiteMonth](t)(s.LedgerCells(ctx, test.sites, test.first, test.last))
		equal(t, fmt.Sprintf("%+v", test), cells, expect)
	}
}

func testEachLedger(t *testing.T, s store.Store) {
	ctx := t.Context()
	must(t, s.EachLedger(ctx, func(*incident.Ledger) error { return errors.New("called for nothing") }))
	var want []*incident.Ledger
	for back := 2; back >= 0; back-- {
		for n, site := range []string{"bath", "leeds", "york"} {
			want = append(want, ledger(october.Add(-back), site, 1, 10*back+n))
		}
	}
	for _, l := range slices.Backward(want) {
		must(t, s.PutLedger(ctx, l))
	}
	var seen []*incident.Ledger
	must(t, s.EachLedger(ctx, func(l *incident.Ledger) error {
		seen = append(seen, l)
		_, err := s.Ledger(ctx, l.Month, l.Site) // fn may use the store
		return err
	}))
	equal(t, "ledgers", seen, want)
	stop := errors.New("stop")
	errorIs(t, "stopped", s.EachLedger(ctx, func(*incident.Ledger) error { return stop }), stop)
}

// rollup returns a roll-up of some sites' ledgers.
func rollup(m incident.Month, rev int64, sites int) *incident.Rollup {
	r := &incident.Rollup{Month: m, Rev: rev}
	for n := range sites {
		r.Fold(ledger(m, fmt.Sprint("site ", n), int64(n)+1, n+1))
	}
	r.Total()
	if len(r.All) == 0 {
		r.All = nil // as it comes back
	}
	return r
}

func testRollupRoundTrip(t *testing.T, s store.Store) {
	ctx := t.Context()
	read := func() *incident.Rollup {
		t.Helper()
		return got[*incident.Rollup](t)(s.Rollup(ctx, october))
	}
	equal(t, "none yet", read(), &incident.Rollup{Month: october})
	r := filled[incident.Rollup](t)
	r.Month, r.Rev = october, 1
	must(t, s.PutRollup(ctx, &r))
	equal(t, "filled", read(), &r)
	for n, sites := range []int{300, 2, 0} {
		want := rollup(october, int64(n)+2, sites)
		must(t, s.PutRollup(ctx, want))
		equal(t, fmt.Sprint(sites, " sites"), read(), want)
	}
}

func testRollupFence(t *testing.T, s store.Store, race racer) {
	ctx := t.Context()
	errorIs(t, "first as 2", s.PutRollup(ctx, rollup(october, 2, 1)), store.ErrStale)
	errorIs(t, "first as 0", s.PutRollup(ctx, rollup(october, 0, 1)), store.ErrStale)
	for rev := int64(1); rev <= 3; rev++ {
		won := race(t, 8, store.ErrStale, func(writer int) error { return s.PutRollup(ctx, rollup(october, rev, writer+1)) })
		equal(t, "writers that won", won, 1)
		stored := got[*incident.Rollup](t)(s.Rollup(ctx, october))
		equal(t, "one writer’s", stored, rollup(october, rev, len(stored.Sites)))
	}
	errorIs(t, "over an older one", s.PutRollup(ctx, rollup(october, 3, 1)), store.ErrStale)
	errorIs(t, "over a newer one", s.PutRollup(ctx, rollup(october, 5, 1)), store.ErrStale)
}

func testRollupCells(t *testing.T, s store.Store) {
	ctx := t.Context()
	want := make(map[incident.Month][]incident.Cell)
	for back := range 14 {
		r := rollup(october.Add(-back), 1, back) // October has none
		must(t, s.PutRollup(ctx, r))
		if len(r.All) > 0 {
			want[r.Month] = r.All
		}
	}
	for _, test := range []struct{ first, last incident.Month }{
		{october.Add(-11), october}, {october.Add(-50), october.Add(50)}, {october, october}, {october.Add(-3), october.Add(-3)}, {october, october.Add(-3)},
	} {
		expect := make(map[incident.Month][]incident.Cell)
		for m, cells := range want {
			if !m.Before(test.first) && !test.last.Before(m) {
				expect[m] = cells
			}
		}
		cells := got[map[incident.Month][]incident.Cell](t)(s.RollupCells(ctx, test.first, test.last))
		if cells == nil {
			cells = map[incident.Month][]incident.Cell{}
		}
		equal(t, fmt.Sprintf("%+v", test), cells, expect)
	}
}
