package figures

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// ledgers are totals in memory, as the store keeps them.
type ledgers []store.SiteMonth

var _ Totals = ledgers(nil)

func (l ledgers) LedgerCells(_ context.Context, sites []string, first, last incident.Month) ([]store.SiteMonth, error) {
	var got []store.SiteMonth
	for _, s := range l {
		if (sites == nil || slices.Contains(sites, s.Site)) && !s.Month.Before(first) && !last.Before(s.Month) {
			got = append(got, s)
		}
	}
	return got, nil
}

func (l ledgers) RollupCells(ctx context.Context, first, last incident.Month) (map[incident.Month][]incident.Cell, error) {
	sites, _ := l.LedgerCells(ctx, nil, first, last)
	months := make(map[incident.Month][]incident.Cell)
	for _, s := range sites {
		months[s.Month] = incident.Merge(months[s.Month], s.Cells)
	}
	return months, nil
}

// instant publishes what the totals have when it is first asked for a month.
type instant struct {
	Totals
	threshold int
	done      map[incident.Month]Edition
}

var _ Archive = instant{}

func (a instant) Editions(ctx context.Context, first, last incident.Month, number int) (map[incident.Month]Edition, error) {
	found := make(map[incident.Month]Edition)
	months, err := a.RollupCells(ctx, first, last)
	for m := first; !last.Before(m) && number < 2; m = m.Add(1) {
		if _, ok := a.done[m]; !ok {
			a.done[m] = Edition{Month: m, Number: 1, PublishedAt: now(), Unit: Incidents, Threshold: a.threshold, Figures: Publish(m, months[m], a.threshold)}
		}
		found[m] = a.done[m]
	}
	return found, err
}

func (a instant) Exact(ctx context.Context, m incident.Month, _ int) ([]store.SiteMonth, error) {
	return a.LedgerCells(ctx, nil, m, m)
}

func (a instant) Expected(_ context.Context, m incident.Month) (time.Time, error) {
	return m.Add(1).Start().AddDate(0, 0, 9), nil
}

// unpublished is an archive with nothing in it.
type unpublished struct{}

func (unpublished) Editions(context.Context, incident.Month, incident.Month, int) (map[incident.Month]Edition, error) {
	return nil, nil
}

func (unpublished) Exact(context.Context, incident.Month, int) ([]store.SiteMonth, error) {
	return nil, fault.New(fault.NotFound, "not_found", "none")
}

func (unpublished) Expected(context.Context, incident.Month) (time.Time, error) {
	return time.Time{}, nil
}

// live and published are services on totals and what is published of them.
func live(l Totals) *Service      { return New(l, unpublished{}, now) }
func published(l Totals) *Service { return publishedWith(l, DefaultThreshold) }

func publishedWith(l Totals, threshold int) *Service {
	return New(l, instant{l, threshold, make(map[incident.Month]Edition)}, now)
}

var (
	september = incident.Month{Year: 2026, Month: time.September}
	october   = incident.Month{Year: 2026, Month: time.October}
	november  = incident.Month{Year: 2026, Month: time.November}
)

func now() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func cell(k incident.Kind, c incident.Channel, t incident.Target, by incident.Setter, n int) incident.Cell {
	return incident.Cell{Dims: incident.Dims{Kind: k, Channel: c, Target: t, SetBy: by}, Incidents: n, Reports: n + 1, People: n + 2}
}

// twoSites have a known October: 150 incidents in Leeds, 24 in York.
func twoSites() ledgers {
	threat := cell(incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff, incident.SetByReporter, 20)
	threat.Employer = "Northern Guarding"
	return ledgers{
		{Month: september, Site: "leeds", Cells: []incident.Cell{
			cell(incident.KindAbuse, incident.ChannelInPerson, incident.TargetNamedPerson, incident.SetByMachine, 120),
		}},
		{Month: october, Site: "leeds", Cells: []incident.Cell{
			cell(incident.KindAbuse, incident.ChannelInPerson, incident.TargetNamedPerson, incident.SetByMachine, 90),
			cell(incident.KindAbuse, incident.ChannelInPerson, incident.TargetNamedPerson, incident.SetByReviewer, 30),
			cell(incident.KindAbuse, incident.ChannelUnknown, incident.TargetNamedPerson, incident.SetByReporter, 10),
			threat,
		}},
		{Month: october, Site: "york", Cells: []incident.Cell{
			cell(incident.KindAbuse, incident.ChannelPublicOnline, incident.TargetOrganisation, incident.SetByReporter, 21),
			cell(incident.KindUnknown, incident.ChannelUnknown, incident.TargetUnknown, incident.SetByNobody, 3),
		}},
	}
}

func exact(t *testing.T, q Query) Figures {
	t.Helper()
	f, err := live(twoSites()).Exact(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestExactFiguresAddUp(t *testing.T) {
	for name, by := range map[string][]Dimension{
		"by default":  nil,
		"by site":     {BySite},
		"by employer": {ByEmployer},
		"by all":      {ByKind, ByChannel, ByTarget, BySite, ByEmployer},
	} {
		t.Run(name, func(t *testing.T) {
			f := exact(t, Query{From: september, To: november, By: by})
			if len(f.Months) != 3 {
				t.Fatalf("months=%d, want 3", len(f.Months))
			}
			for i, want := range []struct{ total, undecided int }{{120, 0}, {174, 13}, {0, 0}} {
				m := f.Months[i]
				if m.Total.N != want.total || m.Undecided.N != want.undecided {
					t.Errorf("%s: total=%d undecided=%d, want %+v", m.Month, m.Total.N, m.Undecided.N, want)
				}
				sum := 0
				for _, c := range m.Cells {
					if c.Channel == "" || c.Target == "" {
						t.Errorf("%s: a cell without channel or target: %+v", m.Month, c)
					}
					if got := c.SetBy.Reporter + c.SetBy.Machine + c.SetBy.Reviewer + c.SetBy.Nobody; got != c.Count.N {
						t.Errorf("%s: set_by adds up to %d, count is %d", m.Month, got, c.Count.N)
					}
					sum += c.Count.N
				}
				if sum != want.total {
					t.Errorf("%s: cells add up to %d, total is %d", m.Month, sum, want.total)
				}
			}
		})
	}
}

func TestExactFiguresOfChosenSites(t *testing.T) {
	for name, c := range map[string]struct {
		sites []string
		want  int
	}{
		"every site": {nil, 174},
		"one":        {[]string{"york"}, 24},
		"two":        {[]string{"york", "leeds"}, 174},
		"none":       {[]string{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := exact(t, Query{From: october, To: october, Sites: c.sites}).Months[0].Total.N; got != c.want {
				t.Errorf("total=%d, want %d", got, c.want)
			}
		})
	}
}

// saidAndAside are twoSites, where reporters of twelve incidents of a site said
// that nothing happened, of eleven nobody knows when they happened, and two floods
// were set aside.
func saidAndAside() ledgers {
	l := twoSites()
	leeds, york := l[1].Cells, l[2].Cells
	leeds[0].NothingHappened, leeds[1].NothingHappened, leeds[3].NothingHappened = 7, 2, 3
	leeds[0].Undated, leeds[3].Undated = 8, 3
	leeds[3].SetAside = 40
	l[2].Cells = append(york, incident.Cell{Dims: incident.Dims{Kind: incident.KindAssault, Channel: incident.ChannelPrivateMessage, Target: incident.TargetNamedPerson}, SetAside: 4})
	return l
}

func TestWhatStandsBesideTheTotalHasItsPartsAndChangesNoOther(t *testing.T) {
	plain := exact(t, Query{From: october, To: october, By: []Dimension{BySite}}).Months[0]
	for _, unit := range units {
		f, err := live(saidAndAside()).Exact(t.Context(), Query{From: october, To: october, By: []Dimension{BySite}, Unit: unit})
		if err != nil {
			t.Fatal(err)
		}
		m := f.Months[0]
		if unit == Incidents && (m.Total != plain.Total || m.Undecided != plain.Undecided || !reflect.DeepEqual(m.Cells, plain.Cells)) {
			t.Errorf("the figures changed: %+v, want %+v", m, plain)
		}
		want := Beside{Total: Number{N: 12}, Cells: []Cell{
			{Channel: incident.ChannelInPerson, Target: incident.TargetNamedPerson, Site: "leeds", Count: Number{N: 9}},
			{Channel: incident.ChannelPhone, Target: incident.TargetAnyStaff, Site: "leeds", Count: Number{N: 3}}}}
		if !reflect.DeepEqual(*m.Nothing, want) {
			t.Errorf("%s: nothing happened %+v, want %+v", unit, m.Nothing, want)
		}
		want = Beside{Total: Number{N: 11}, Cells: []Cell{
			{Channel: incident.ChannelInPerson, Target: incident.TargetNamedPerson, Site: "leeds", Count: Number{N: 8}},
			{Channel: incident.ChannelPhone, Target: incident.TargetAnyStaff, Site: "leeds", Count: Number{N: 3}}}}
		if !reflect.DeepEqual(*m.Undated, want) {
			t.Errorf("%s: not known when %+v, want %+v", unit, m.Undated, want)
		}
		want = Beside{Total: Number{N: 44}, Cells: []Cell{
			{Channel: incident.ChannelPhone, Target: incident.TargetAnyStaff, Site: "leeds", Count: Number{N: 40}},
			{Channel: incident.ChannelPrivateMessage, Target: incident.TargetNamedPerson, Site: "york", Count: Number{N: 4}}}}
		if !reflect.DeepEqual(*m.SetAside, want) {
			t.Errorf("%s: set aside %+v, want %+v", unit, m.SetAside, want)
		}
	}
}

func TestManagersSeeWhatStandsBesideTheTotalByChannelAndSuppressed(t *testing.T) {
	f, err := published(saidAndAside()).Published(t.Context(), Query{From: october, To: october})
	if err != nil {
		t.Fatal(err)
	}
	// Three by phone are hidden, and something else with them, or 12 less 9 were three.
	m := f.Months[0]
	if got := m.Nothing.Cells; len(got) != 2 || !got[1].Suppressed || !(got[0].Suppressed || m.Nothing.Suppressed) {
		t.Errorf("nothing happened: %+v", m.Nothing)
	}
	if got := m.Undated.Cells; len(got) != 2 || !got[1].Suppressed || !(got[0].Suppressed || m.Undated.Suppressed) {
		t.Errorf("not known when: %+v", m.Undated)
	}
	if got := m.SetAside.Cells; len(got) != 2 || got[1].Channel != ChannelOnline || !got[1].Suppressed || !(got[0].Suppressed || m.SetAside.Suppressed) {
		t.Errorf("set aside: %+v", m.SetAside)
	}
	for _, b := range []Beside{*m.Nothing, *m.Undated, *m.SetAside} {
		shown := slices.ContainsFunc(b.Cells, func(c Cell) bool { return !c.Suppressed })
		if !b.Suppressed && !shown {
			t.Errorf("a total stands alone: %+v", b)
		}
	}
}

func TestUnitsAreNotMixed(t *testing.T) {
	for unit, want := range map[Unit]int{Incidents: 120, Reports: 121, People: 122, "": 120} {
		if got := exact(t, Query{From: september, To: september, Unit: unit}).Months[0].Total.N; got != want {
			t.Errorf("unit %q: total=%d, want %d", unit, got, want)
		}
	}
}

func TestExactAnswerIsTheDocumentedJSON(t *testing.T) {
	got, err := json.MarshalIndent(exact(t, Query{From: october, To: november, By: []Dimension{BySite, ByEmployer}, Sites: []string{"york"}}), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "unit": "incidents",
 "as_of": "2026-11-21T12:00:00Z",
 "edition": "live",
 "threshold": 0,
 "months": [
  {
   "month": "2026-10",
   "total": 24,
   "undecided": 3,
   "cells": [
    {
     "channel": "public_online",
     "target": "organisation",
     "site": "york",
     "employer": "",
     "count": 21,
     "set_by": {
      "reporter": 21,
      "machine": 0,
      "reviewer": 0
     }
    },
    {
     "channel": "unknown",
     "target": "unknown",
     "site": "york",
     "employer": "",
     "count": 3,
     "set_by": {
      "reporter": 0,
      "machine": 0,
      "reviewer": 0,
      "nobody": 3
     }
    }
   ],
   "nothing_happened": {
    "total": 0,
    "cells": []
   },
   "undated": {
    "total": 0,
    "cells": []
   },
   "set_aside": {
    "total": 0,
    "cells": []
   },
   "notes": []
  },
  {
   "month": "2026-11",
   "total": 0,
   "undecided": 0,
   "cells": [],
   "nothing_happened": {
    "total": 0,
    "cells": []
   },
   "undated": {
    "total": 0,
    "cells": []
   },
   "set_aside": {
    "total": 0,
    "cells": []
   },
   "notes": [
    "This month is not over. The figures will change."
   ]
  }
 ]
}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestQuestionsThatCannotBeAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		q     Query
		field string
		says  string
	}{
		"no first month": {Query{To: october}, "from", "YYYY-MM"},
		"no last month":  {Query{From: october}, "to", "YYYY-MM"},
		"backwards":      {Query{From: october, To: september}, "to", "before"},
		"25 months":      {Query{From: october.Add(-24), To: october}, "to", "24 months"},
		"by outcome":     {Query{From: october, To: october, By: []Dimension{"outcome"}}, "by", "kind, channel, target, site, employer"},
		"another unit":   {Query{From: october, To: october, Unit: "chairs"}, "unit", "incidents, reports, people"},
	} {
		t.Run(name, func(t *testing.T) {
			s := live(twoSites())
			_, exactErr := s.Exact(t.Context(), c.q)
			_, publishedErr := s.Published(t.Context(), c.q)
			for _, err := range []error{exactErr, publishedErr} {
				f := fault.As(err)
				if f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Name != c.field || !strings.Contains(f.Fields[0].Message, c.says) {
					t.Errorf("got %+v, want a field %q that says %q", f, c.field, c.says)
				}
			}
		})
	}
	if _, err := live(twoSites()).Exact(t.Context(), Query{From: october.Add(-23), To: october}); err != nil {
		t.Errorf("24 months: %v", err)
	}
}

func TestParse(t *testing.T) {
	s := live(ledgers{})
	for name, c := range map[string]struct {
		from, to, by, unit, edition string
		want                        Query
	}{
		"nothing":       {want: Query{From: november.Add(-11), To: november}},
		"from alone":    {from: "2026-01", want: Query{From: november.Add(-10), To: november.Add(1)}},
		"to alone":      {to: "2026-11", want: Query{From: november.Add(-11), To: november}},
		"a single one":  {from: "2026-10", to: "2026-10", unit: "people", edition: "live", want: Query{From: october, To: october, Unit: People, Edition: EditionLive}},
		"an edition":    {from: "2026-10", to: "2026-10", edition: "12", want: Query{From: october, To: october, Edition: "12"}},
		"the newest":    {from: "2026-10", to: "2026-10", edition: "latest", want: Query{From: october, To: october, Edition: EditionLatest}},
		"by with space": {to: "2026-11", by: "channel, site", want: Query{From: november.Add(-11), To: november, By: []Dimension{ByChannel, BySite}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := s.Parse(c.from, c.to, c.by, c.unit, c.edition)
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, c.want)
			}
		})
	}
	for _, edition := range []string{"0", "-1", "1.5", "01", "+1", "1000", "newest", " 1"} {
		_, err := s.Parse("2026-13", "soon", "", "", edition)
		if f := fault.As(err); f.Kind != fault.Invalid || len(f.Fields) != 3 {
			t.Errorf("%q: got %+v, want from, to and edition named at once", edition, f)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("2026-01", "2026-12", "channel,kind", "incidents", "live")
	f.Add("", "0001-01", ",", "", "")
	f.Add("9999-12", "", "outcome", "reports", "2")
	s := published(twoSites())
	f.Fuzz(func(t *testing.T, from, to, by, unit, edition string) {
		q, err := s.Parse(from, to, by, unit, edition)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("err=%v, want Invalid", err)
			}
			return
		}
		if _, err := s.Exact(t.Context(), q); err != nil {
			t.Fatalf("%+v parsed but cannot be answered: %v", q, err)
		}
	})
}

func TestManagersMayAskForThePublishedGridOnly(t *testing.T) {
	s := published(twoSites())
	for name, q := range map[string]Query{
		"by site":         {By: []Dimension{BySite}},
		"by employer":     {By: []Dimension{ByEmployer, ByChannel}},
		"kinds crossed":   {By: []Dimension{ByKind, ByChannel}},
		"one site":        {Sites: []string{"york"}},
		"no site":         {Sites: []string{}},
		"reports":         {Unit: Reports},
		"people affected": {Unit: People},
		"live figures":    {Edition: EditionLive},
	} {
		t.Run(name, func(t *testing.T) {
			q.From, q.To = september, october
			_, err := s.Published(t.Context(), q)
			if f := fault.As(err); f.Kind != fault.Forbidden || !strings.Contains(f.Message, "by channel and target") {
				t.Errorf("got %v, want Forbidden with what may be asked", err)
			}
		})
	}
	want, err := s.Published(t.Context(), Query{From: september, To: october})
	if err != nil {
		t.Fatal(err)
	}
	for name, by := range map[string][]Dimension{
		"by channel and target": {ByChannel, ByTarget}, "by channel": {ByChannel}, "by kind": {ByKind},
	} {
		got, err := s.Published(t.Context(), Query{From: september, To: october, By: by})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want the one grid", name, got, err)
		}
	}
}

// numbersOf returns every count in a published month.
func numbersOf(m Month) []Number {
	if m.Nothing == nil { // not published
		return []Number{m.Total, m.Undecided}
	}
	all := []Number{m.Total, m.Undecided, m.Nothing.Total, m.Undated.Total, m.SetAside.Total}
	for _, cells := range [][]Cell{m.Cells, m.Margins.Channels, m.Margins.Online, m.Margins.Targets, m.Margins.Kinds, m.Nothing.Cells, m.Undated.Cells, m.SetAside.Cells} {
		for _, c := range cells {
			all = append(all, c.Count)
		}
	}
	return all
}

func TestPublishedFiguresNeverShowASmallNumber(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	var l ledgers
	for i := range MaxMonths {
		var cells []incident.Cell
		for _, p := range month(r, r.IntN(40)*i) {
			cells = append(cells, p.Cell)
		}
		l = append(l, store.SiteMonth{Month: november.Add(-i), Site: "leeds", Cells: cells})
	}
	q := Query{From: november.Add(1 - MaxMonths), To: november}
	f, err := published(l).Published(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	exact, err := live(l).Exact(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range f.Months {
		for _, n := range numbersOf(m) {
			if n.Hidden && n.N != 0 {
				t.Fatalf("%s: a hidden number carries its value %d", m.Month, n.N)
			}
			if !n.Hidden && 1 <= n.N && n.N <= DefaultThreshold {
				t.Fatalf("%s: shows %d", m.Month, n.N)
			}
		}
		if m.Suppressed != (m.Total.Hidden || m.Undecided.Hidden) {
			t.Fatalf("%s: suppressed=%v, total %+v, undecided %+v", m.Month, m.Suppressed, m.Total, m.Undecided)
		}
		if want := exact.Months[i].Total; !m.Total.Hidden && m.Total != want {
			t.Fatalf("%s: total=%v, exact %v", m.Month, m.Total, want)
		}
		if !m.Total.Hidden && m.Total.N > 0 && !showsChannel(m) {
			t.Fatalf("%s: total %d stands alone", m.Month, m.Total.N)
		}
	}
	body, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), "set_by") {
		t.Error("published figures say who set small parts of a number")
	}
	if got := strings.Count(string(body), `"count":null,"suppressed":true`); got == 0 || got != strings.Count(string(body), `"count":null`) {
		t.Errorf("%d hidden counts are marked, of %d", got, strings.Count(string(body), `"count":null`))
	}
}

func showsChannel(m Month) bool {
	shown := func(c Cell) bool { return !c.Count.Hidden && c.Count.N > 0 }
	return slices.ContainsFunc(m.Cells, shown) || slices.ContainsFunc(m.Margins.Channels, shown) || slices.ContainsFunc(m.Margins.Online, shown)
}

// The same month is published alike whatever else was asked for with it:
// two answers laid side by side show no more than one.
func TestAMonthIsPublishedAlikeInEveryAnswer(t *testing.T) {
	alone, err := published(twoSites()).Published(t.Context(), Query{From: october, To: october})
	if err != nil {
		t.Fatal(err)
	}
	among, err := published(twoSites()).Published(t.Context(), Query{From: october.Add(-20), To: november})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := among.Months[20], alone.Months[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAHigherThresholdHidesMore(t *testing.T) {
	f, err := publishedWith(twoSites(), 25).Published(t.Context(), Query{From: october, To: october})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range numbersOf(f.Months[0]) {
		if !n.Hidden && 1 <= n.N && n.N <= 25 {
			t.Errorf("shows %d", n.N)
		}
	}
	if f.Threshold != 25 {
		t.Errorf("threshold=%d, want 25", f.Threshold)
	}
}

func BenchmarkPublishedYear(b *testing.B) {
	r := rand.New(rand.NewPCG(11, 12))
	var l ledgers
	for i := range 12 {
		var cells []incident.Cell
		for _, p := range month(r, 163) {
			cells = append(cells, p.Cell)
		}
		l = append(l, store.SiteMonth{Month: november.Add(-i), Site: "leeds", Cells: cells})
	}
	s := published(l)
	for b.Loop() {
		if _, err := s.Published(b.Context(), Query{From: november.Add(-11), To: november}); err != nil {
			b.Fatal(err)
		}
	}
}
