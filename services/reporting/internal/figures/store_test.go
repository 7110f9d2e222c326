package figures

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/sqlite"
)

// fill stores months of about n incidents each, over some sites, as the
// projector does: a ledger for each site and the roll-up of all.
func fill(tb testing.TB, st store.Store, months, sites, n int) ledgers {
	tb.Helper()
	r := rand.New(rand.NewPCG(13, 14))
	var all ledgers
	for i := range months {
		m := november.Add(-i)
		rollup := &incident.Rollup{Month: m, Rev: 1}
		for site := range sites {
			l := &incident.Ledger{Month: m, Site: fmt.Sprintf("site-%d", site), Rev: 1}
			for j, p := range month(r, n/sites) {
				for k := range p.Incidents {
					l.Set(fmt.Sprintf("%d-%d-%d-%d", i, site, j, k), incident.Entry{Rev: 1, Counted: true, Dims: p.Dims, Reports: 1 + k%2, People: 1 + k%3})
				}
			}
			l.Total()
			if err := st.PutLedger(tb.Context(), l); err != nil {
				tb.Fatal(err)
			}
			rollup.Fold(l)
			all = append(all, store.SiteMonth{Month: m, Site: l.Site, Cells: l.Cells})
		}
		rollup.Total()
		if err := st.PutRollup(tb.Context(), rollup); err != nil {
			tb.Fatal(err)
		}
	}
	return all
}

func database(tb testing.TB) store.Store {
	tb.Helper()
	st, err := sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "figures.db"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := st.Close(); err != nil {
			tb.Error(err)
		}
	})
	return st
}

func TestFiguresFromTheStore(t *testing.T) {
	st := database(t)
	want, got := published(fill(t, st, 3, 4, 200)), published(st)
	for name, q := range map[string]Query{
		"all sites":       {},
		"by site":         {By: []Dimension{BySite, ByKind}},
		"two sites":       {Sites: []string{"site-1", "site-3"}},
		"people affected": {Unit: People},
		"no site":         {Sites: []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			q.From, q.To = november.Add(-4), november
			a, errA := want.Exact(t.Context(), q)
			b, errB := got.Exact(t.Context(), q)
			if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
				t.Errorf("from memory %+v, %v; from the store %+v, %v", a, errA, b, errB)
			}
		})
	}
	a, errA := want.PublishedPage(t.Context(), PageQuery{})
	b, errB := got.PublishedPage(t.Context(), PageQuery{})
	if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("page from memory %+v, %v; from the store %+v, %v", a, errA, b, errB)
	}
	// The sum over every site of exact figures is the exact figure of all.
	whole, err := got.Exact(t.Context(), Query{From: november, To: november})
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for i := range 4 {
		one, err := got.Exact(t.Context(), Query{From: november, To: november, Sites: []string{fmt.Sprintf("site-%d", i)}})
		if err != nil {
			t.Fatal(err)
		}
		sum += one.Months[0].Total.N
	}
	if sum != whole.Months[0].Total.N || sum == 0 {
		t.Errorf("the sites add up to %d, all sites are %d", sum, whole.Months[0].Total.N)
	}
}

// The page of twelve months. Its cost grows with the distinct cells, of which
// the taxonomy allows so many, and not with the incidents behind them.
func BenchmarkPageFromTheStore(b *testing.B) {
	for _, incidents := range []int{1000, 10_000, 100_000} {
		st := database(b)
		cells := 0
		for _, l := range fill(b, st, 13, 4, incidents/13) {
			cells += len(l.Cells)
		}
		s := published(st)
		for name, page := range map[string]func() error{
			"exact": func() error { _, err := s.ExactPage(b.Context(), PageQuery{}); return err },
			"exact/sites": func() error {
				_, err := s.ExactPage(b.Context(), PageQuery{Sites: []string{"site-1", "site-2"}})
				return err
			},
			"published": func() error { _, err := s.PublishedPage(b.Context(), PageQuery{}); return err },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, incidents), func(b *testing.B) {
				for b.Loop() {
					if err := page(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cells)/13/4, "cells/ledger")
			})
		}
	}
}
