package mongo

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/mongotest"
)

// BenchmarkFigures reads what a page of twelve months shows, from the ledgers
// and roll-ups of ever more incidents at 40 sites: once where all are of two
// sorts, so that figures have as many parts however many there are, and once
// where they are of every sort. The incidents themselves are not stored:
// TestFiguresReadNoIncidents has them left alone.
func BenchmarkFigures(b *testing.B) {
	s := server{uri: mongotest.Real(), real: true}
	if s.uri == "" {
		s = server{uri: mongotest.Start(b)}
	}
	first := november.Add(1 - benchMonths)
	for _, of := range []struct {
		name                     string
		kinds, channels, targets int
	}{
		{"two sorts", 2, 1, 1},
		{"every sort", len(incident.Kinds), len(incident.Channels), len(incident.Targets)},
	} {
		for _, n := range []int{1_000, 10_000, 100_000} {
			d, r := s.open(b), rand.New(rand.NewPCG(1, 2))
			parts := fillFigures(b, d, n, func() incident.Dims {
				return incident.Dims{Kind: incident.Kinds[r.IntN(of.kinds)], Channel: incident.Channels[r.IntN(of.channels)],
					Target: incident.Targets[r.IntN(of.targets)], SetBy: incident.SetByReporter}
			})
			b.Run(fmt.Sprintf("%s/every site/incidents=%d", of.name, n), func(b *testing.B) {
				for b.Loop() {
					if _, err := d.RollupCells(b.Context(), first, november); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(parts)/(benchSites*benchMonths), "cells/ledger")
			})
			b.Run(fmt.Sprintf("%s/one site/incidents=%d", of.name, n), func(b *testing.B) {
				for b.Loop() {
					if _, err := d.LedgerCells(b.Context(), []string{"site 7"}, first, november); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

const benchSites, benchMonths = 40, 12

// fillFigures stores the ledgers and roll-ups of n incidents and returns how
// many cells the ledgers have.
func fillFigures(b *testing.B, d *db, n int, sort func() incident.Dims) (cells int) {
	b.Helper()
	for month := range benchMonths {
		rollup := &incident.Rollup{Month: november.Add(-month), Rev: 1}
		for site := range benchSites {
			l := &incident.Ledger{Month: rollup.Month, Site: fmt.Sprint("site ", site), Rev: 1}
			for range n / benchSites / benchMonths {
				l.Set(uuid.NewString(), incident.Entry{Rev: 1, Counted: true, Dims: sort(), Reports: 1, People: 1})
			}
			l.Total()
			cells += len(l.Cells)
			if err := d.PutLedger(b.Context(), l); err != nil {
				b.Fatal(err)
			}
			rollup.Fold(l)
		}
		rollup.Total()
		if err := d.PutRollup(b.Context(), rollup); err != nil {
			b.Fatal(err)
		}
	}
	return cells
}
