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
// and roll-ups of ever more incidents at 40 sites. The incidents themselves are
// not stored: TestFiguresReadNoIncidents has them left alone.
func BenchmarkFigures(b *testing.B) {
	s := server{uri: mongotest.Real(), real: true}
	if s.uri == "" {
		s = server{uri: mongotest.Start(b)}
	}
	const sites, months = 40, 12
	for _, n := range []int{1_000, 10_000, 100_000} {
		d, r := s.open(b), rand.New(rand.NewPCG(1, 2))
		for month := range months {
			rollup := &incident.Rollup{Month: november.Add(-month), Rev: 1}
			for site := range sites {
				l := &incident.Ledger{Month: rollup.Month, Site: fmt.Sprint("site ", site), Rev: 1}
				for range n / sites / months {
					dims := incident.Dims{Kind: incident.Kinds[r.IntN(len(incident.Kinds))], Channel: incident.Channels[r.IntN(len(incident.Channels))],
						Target: incident.Targets[r.IntN(len(incident.Targets))], SetBy: incident.SetByReporter}
					l.Set(uuid.NewString(), incident.Entry{Rev: 1, Counted: true, Dims: dims, Reports: 1, People: 1})
				}
				l.Total()
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
		first := november.Add(1 - months)
		b.Run(fmt.Sprintf("every site/incidents=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := d.RollupCells(b.Context(), first, november); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("one site/incidents=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := d.LedgerCells(b.Context(), []string{"site 7"}, first, november); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
