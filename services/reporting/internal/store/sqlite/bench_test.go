package sqlite

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/packed"
)

// How the stored incidents of the benchmarks are spread.
const (
	benchSites  = 200
	benchMonths = 24
)

var (
	benchNow    = time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC)
	benchSizes  = []int{1_000, 10_000, 100_000}
	benchKinds  = []incident.Kind{incident.KindAbuse, incident.KindThreat, incident.KindUnknown, incident.KindAssault, incident.KindMissingControl, incident.KindOther}
	benchStatus = []incident.Status{incident.StatusClosedFixed, incident.StatusNew, incident.StatusClosedNotFixed, incident.StatusInReview, incident.StatusWithdrawn}
)

// skewed returns a number below n, the small ones far more often.
func skewed(r *rand.Rand, n int) int { return min(r.IntN(n), r.IntN(n), r.IntN(n)) }

// realistic returns an incident of the size and with the values of a real one.
func realistic(r *rand.Rand) *incident.Incident {
	id := fmt.Sprintf("%08x-%04x-8%03x-9%03x-%012x", r.Uint32(), r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48))
	occurredAt := benchNow.Add(-time.Duration(r.Int64N(benchMonths * 30 * 24 * int64(time.Hour)))).Truncate(time.Minute)
	i := &incident.Incident{
		ID: id, Ref: "7K3M-Q2XF", Rev: 3, FoldedRev: 3, Site: fmt.Sprint("site-", skewed(r, benchSites)),
		OccurredAt: occurredAt, Precision: incident.PrecisionExact, ReceivedAt: occurredAt.Add(time.Hour),
		Hurt: incident.HurtNo, PeopleAffected: 1, Status: benchStatus[skewed(r, len(benchStatus))], WrappedKey: make([]byte, 60),
		Reports: []incident.FiledReport{{
			ID: "0" + id[1:], ReceiptHash: []byte(id), ReceivedAt: occurredAt.Add(time.Hour), ContactChoice: incident.ContactAnonymous,
			Language: "en", SealedWords: make([]byte, 400), FormVersion: "1", PeopleAffected: 1,
		}},
	}
	i.Lines = []incident.LedgerKey{{Month: i.Month(), Site: i.Site}}
	i.Kind.Reporter = benchKinds[skewed(r, len(benchKinds))]
	i.Channel.Machine = incident.Channels[skewed(r, 5)]
	i.Target.Machine = incident.Targets[skewed(r, 4)]
	judgement := incident.Judgement{Value: "threat", P: map[string]float64{"abuse": 0.2, "threat": 0.7, "unknown": 0.1}, Reasons: []incident.Reason{{Start: 10, End: 20, Class: "weapon", For: "threat", Weight: 1.5}}}
	i.Readings = []incident.Reading{{ReportID: i.Reports[0].ID, Model: "lexicon-1", Kind: judgement, Channel: judgement, Target: judgement, Review: r.IntN(5) == 0, At: occurredAt}}
	for n, action := range []incident.Action{incident.ActionFiled, incident.ActionRead, incident.ActionStatus} {
		i.Timeline = append(i.Timeline, incident.Change{Seq: n + 1, At: occurredAt, Action: action, Chain: make([]byte, 32)})
	}
	return i
}

// seed inserts incidents in groups and returns how long that took. They are
// others for another from.
func seed(tb testing.TB, d *db, incidents, group int, from uint64) time.Duration {
	tb.Helper()
	r := rand.New(rand.NewPCG(from, uint64(incidents)))
	batch := make([]*incident.Incident, group)
	var took time.Duration
	for done := 0; done < incidents; done += group {
		for n := range batch {
			batch[n] = realistic(r)
		}
		start := time.Now()
		err := d.Group(tb.Context(), func(s store.Store) error {
			for _, i := range batch {
				if err := s.InsertIncident(tb.Context(), i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
		took += time.Since(start)
	}
	return took
}

func BenchmarkInsert(b *testing.B) {
	for _, group := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("group=%d", group), func(b *testing.B) {
			d := openAt(b, filepath.Join(b.TempDir(), "onrecord.db"))
			incidents := (b.N + group - 1) / group * group
			took := seed(b, d, incidents, group, 1)
			b.ReportMetric(float64(incidents)/took.Seconds(), "incidents/s")
		})
	}
}

// BenchmarkRead reads a store of each size: pages of 50 and counts with every
// combination of filters, their values drawn as the stored ones are and, as
// often, at random (so that many filters hold few incidents or none).
func BenchmarkRead(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			d := openAt(b, filepath.Join(b.TempDir(), "onrecord.db"))
			seed(b, d, size, 250, 1)
			b.Run("list", func(b *testing.B) {
				measure(b, func(f store.Filter) error {
					_, _, err := d.ListIncidents(b.Context(), f)
					return err
				})
			})
			b.Run("count", func(b *testing.B) {
				measure(b, func(f store.Filter) error {
					_, err := d.CountIncidents(b.Context(), f, 1000)
					return err
				})
			})
			b.Run("each", func(b *testing.B) {
				for b.Loop() {
					if err := d.EachIncident(b.Context(), func(*incident.Incident) error { return nil }); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "incidents/s")
			})
		})
	}
}

// measure runs read with filters and reports the median, p99 and worst time.
func measure(b *testing.B, read func(store.Filter) error) {
	r, filters := rand.New(rand.NewPCG(1, 2)), everyFilter()
	var times []time.Duration
	for n := 0; b.Loop(); n++ {
		f := drawn(r, filters[n%len(filters)])
		start := time.Now()
		if err := read(f); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	at := func(q float64) float64 {
		return float64(times[int(q*float64(len(times)-1))]) / float64(time.Millisecond)
	}
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
}

// drawn gives the parts that a filter has other values.
func drawn(r *rand.Rand, f store.Filter) store.Filter {
	common := r.IntN(2) == 0
	if f.Sites != nil {
		f.Sites = nil
		for range []int{1, 3, 30}[r.IntN(3)] {
			f.Sites = append(f.Sites, fmt.Sprint("site-", r.IntN(benchSites)))
		}
	}
	if f.Statuses != nil {
		f.Statuses = []incident.Status{benchStatus[r.IntN(len(benchStatus))]}
	}
	if f.Kind != "" {
		f.Kind = incident.Kinds[r.IntN(len(incident.Kinds))]
		if common {
			f.Kind = benchKinds[skewed(r, len(benchKinds))]
		}
	}
	if f.Channel != "" {
		f.Channel = incident.Channels[r.IntN(len(incident.Channels))]
		if common {
			f.Channel = incident.Channels[skewed(r, 5)]
		}
	}
	if f.Target != "" {
		f.Target = incident.Targets[r.IntN(len(incident.Targets))]
		if common {
			f.Target = incident.Targets[skewed(r, 4)]
		}
	}
	if !f.Month.IsZero() {
		f.Month = incident.MonthOf(benchNow).Add(-r.IntN(benchMonths))
	}
	return f
}

// bigLedger returns a ledger with many entries.
func bigLedger(entries int) *incident.Ledger {
	r := rand.New(rand.NewPCG(3, 4))
	l := &incident.Ledger{Month: incident.MonthOf(benchNow), Site: "leeds"}
	for range entries {
		i := realistic(r)
		l.Set(i.ID, incident.Entry{Rev: i.Rev, Counted: true, Dims: i.Dims(), Reports: 1, People: 1})
	}
	l.Total()
	return l
}

func BenchmarkLedger(b *testing.B) {
	for _, entries := range []int{100, 1_000, 50_000} {
		d, l := openAt(b, filepath.Join(b.TempDir(), "onrecord.db")), bigLedger(entries)
		b.Run(fmt.Sprintf("put/%d", entries), func(b *testing.B) {
			for b.Loop() {
				l.Rev++
				if err := d.PutLedger(b.Context(), l); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("get/%d", entries), func(b *testing.B) {
			for b.Loop() {
				if _, err := d.Ledger(b.Context(), l.Month, l.Site); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("encode/%d", entries), func(b *testing.B) {
			for b.Loop() {
				b.SetBytes(int64(len(packed.EncodeEntries(l.Entries))))
			}
		})
	}
}

// BenchmarkCells reads twelve months beside ledgers that hold few and many
// incidents: the time must be the same.
func BenchmarkCells(b *testing.B) {
	for _, entries := range []int{20, 2_000} {
		d := openAt(b, filepath.Join(b.TempDir(), "onrecord.db"))
		last := incident.MonthOf(benchNow)
		first := last.Add(-11)
		template := bigLedger(entries)
		template.Cells = template.Cells[:min(15, len(template.Cells))]
		err := d.Group(b.Context(), func(s store.Store) error {
			for m := first; !last.Before(m); m = m.Add(1) {
				r := &incident.Rollup{Month: m, Rev: 1}
				for site := range benchSites {
					l := *template
					l.Month, l.Site, l.Rev = m, fmt.Sprint("site-", site), 1
					if err := s.PutLedger(b.Context(), &l); err != nil {
						return err
					}
					r.Fold(&l)
				}
				r.Total()
				if err := s.PutRollup(b.Context(), r); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		for name, sites := range map[string][]string{"every site": nil, "one site": {"site-7"}} {
			b.Run(fmt.Sprintf("ledgers of %d/%s", entries, name), func(b *testing.B) {
				for b.Loop() {
					if _, err := d.LedgerCells(b.Context(), sites, first, last); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("ledgers of %d/roll-ups", entries), func(b *testing.B) {
			for b.Loop() {
				if _, err := d.RollupCells(b.Context(), first, last); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen opens a store that was closed, and one that was cut off with a
// full log.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	path := filepath.Join(dir, "onrecord.db")
	d := openAt(b, path)
	for n, log := uint64(0), int64(0); log < 14<<20; n++ {
		seed(b, d, 100, 100, n)
		info, err := os.Stat(path + "-wal")
		if err != nil {
			b.Fatal(err)
		}
		log = info.Size()
	}
	cut, closed := filepath.Join(dir, "cut"), filepath.Join(dir, "closed")
	copyFile(b, path, cut, -1)
	copyFile(b, path+"-wal", cut+"-wal", -1)
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	copyFile(b, path, closed, -1)
	for _, kind := range []string{closed, cut} {
		b.Run(filepath.Base(kind), func(b *testing.B) {
			var took time.Duration
			for b.Loop() {
				copyFile(b, kind, path, -1)
				if kind == cut {
					copyFile(b, cut+"-wal", path+"-wal", -1)
				}
				start := time.Now()
				s, err := Open(b.Context(), path)
				if err != nil {
					b.Fatal(err)
				}
				took += time.Since(start)
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N), "open-ms")
		})
	}
}
