package projector_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/run/runtest"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/projector"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/sqlite"
)

// publish puts deliveries on a real stream, some at once.
func publish(tb testing.TB, b *bus.Bus, deliveries []bus.Delivery) {
	tb.Helper()
	var wg sync.WaitGroup
	next := make(chan bus.Delivery)
	for range 64 {
		wg.Go(func() {
			for d := range next {
				if _, err := b.Publish(tb.Context(), bus.Event{Subject: d.Subject, ID: d.Subject, Data: d.Data}); err != nil {
					tb.Errorf("publish: %v", err)
				}
			}
		})
	}
	for _, d := range deliveries {
		next <- d
	}
	close(next)
	wg.Wait()
}

// until polls a condition until it holds.
func until(tb testing.TB, what string, condition func() error) {
	tb.Helper()
	runtest.Eventually(tb, 2*time.Minute, func() error {
		if err := condition(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// run starts the projector and returns what stops it and waits.
func run(tb testing.TB, p *projector.Projector) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	return func() {
		tb.Helper()
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				tb.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			tb.Error("Run did not end")
		}
	}
}

// From a real stream into a real database: everything is counted once, what
// nobody can read is put aside and counted, and no words are logged.
func TestFromTheStreamIntoTheFigures(t *testing.T) {
	k := projectortest.New(t)
	b := bustest.New(t)
	var stream []bus.Delivery
	const reports = 150
	for range reports {
		r := k.Report("leeds")
		r.Narrative, r.Contact.Name = "canary-narrative", "canary-name"
		read := k.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff)
		filed := k.Filed(r)
		stream = append(stream, read, filed, filed, k.Added(r.ID, onrecordv1.Addition_ADDITION_WORDS, "canary-words"))
	}
	unread := k.NewID()
	stream = append(stream, bus.Delivery{Subject: bus.Subject(bus.TypeFiled, unread), Data: []byte("canary-bytes")},
		bus.Delivery{Subject: bus.Subject(bus.TypeClassified, unread, "m1"), Data: []byte("canary-bytes")})
	publish(t, b, stream)

	var log runtest.Output
	cfg := k.Config(k.Store, k.Folder, b)
	cfg.Now = time.Now
	cfg.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	stop := run(t, projector.New(cfg))
	until(t, "everything is there", func() error {
		n, err := k.Store.CountIncidents(t.Context(), everything, 1000)
		q, qerr := k.Store.ListQuarantined(t.Context())
		if err == nil && qerr == nil && (n != reports+1 || len(q) != 2) {
			err = fmt.Errorf("%d incidents, %d in quarantine", n, len(q))
		}
		return errors.Join(err, qerr)
	})
	stop()

	standIn := k.Incident(unread)
	months, err := k.Store.RollupCells(t.Context(), firstMonth, incident.Month{Year: 2999, Month: time.December})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, cells := range months {
		total += count(cells)
	}
	if total != reports+1 || count(cells(t, k, standIn.Ledger())) != 1 {
		t.Errorf("counted %d, want %d", total, reports+1)
	}
	if bytes.Contains([]byte(log.String()), []byte("canary")) || bytes.Contains([]byte(log.String()), []byte(unread)) {
		t.Errorf("the log holds words or ids:\n%s", []byte(log.String()))
	}
	var page bytes.Buffer
	metrics.WritePrometheus(&page, false)
	for _, name := range []string{"onrecord_projector_batch_seconds", "onrecord_report_visible_seconds",
		`onrecord_quarantined_total{type="onrecord.v1.report.filed"}`, `onrecord_projector_events_total{type="onrecord.v1.report.filed",outcome="applied"}`} {
		if !bytes.Contains(page.Bytes(), []byte(name)) {
			t.Errorf("metric %s is missing", name)
		}
	}
}

// While the store is down nothing is acknowledged; when it is back, everything
// arrives, and the sweep folds what somebody changed elsewhere.
func TestAStoppedStoreLosesNothing(t *testing.T) {
	k := projectortest.New(t)
	b := bustest.New(t)
	var mu sync.Mutex
	down := true
	st := &projectortest.Faulty{Store: k.Store, Fail: func() bool {
		mu.Lock()
		defer mu.Unlock()
		return down
	}}
	r := k.Report("leeds")
	publish(t, b, []bus.Delivery{k.Filed(r)})
	stop := run(t, projector.New(k.Config(st, fold.New(), b)))
	defer stop()
	retried := metrics.GetOrCreateCounter(`onrecord_bus_deliveries_total{consumer="reporting",outcome="retried"}`)
	before := retried.Get()
	until(t, "it is tried again", func() error {
		if retried.Get() == before {
			return errors.New("not yet")
		}
		return nil
	})
	mu.Lock()
	down = false
	mu.Unlock()
	until(t, "it arrives", func() error {
		_, err := k.Store.IncidentByReport(t.Context(), r.ID)
		return err
	})

	i := k.Incident(r.ID)
	was := i.Rev
	i.Kind.Reviewer = incident.KindAssault
	i.Rev++
	if err := k.Store.ReplaceIncident(t.Context(), i, was); err != nil {
		t.Fatal(err)
	}
	until(t, "the sweep folds it", func() error {
		got := cells(t, k, i.Ledger())
		if len(got) != 1 || got[0].Kind != incident.KindAssault {
			return fmt.Errorf("cells=%+v", got)
		}
		return nil
	})
}

// How fast a backlog is drained from a real stream into a real database: b.N
// reports and their classifications, over 40 sites and 6 months.
func BenchmarkDrain(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) {
		benchmarkDrain(b, func(b *testing.B) store.Store {
			st, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "drain.db"))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				if err := st.Close(); err != nil {
					b.Error(err)
				}
			})
			return st
		})
	})
	// A real one where there is one, or the compatible server.
	b.Run("MongoDB", func(b *testing.B) {
		benchmarkDrain(b, func(b *testing.B) store.Store { return projectortest.Mongo(b)(b) })
	})
}

func benchmarkDrain(b *testing.B, open func(*testing.B) store.Store) {
	for name, arrange := range map[string]func(filed, read []bus.Delivery) []bus.Delivery{
		"classified at once": func(filed, read []bus.Delivery) []bus.Delivery {
			var all []bus.Delivery
			for n := range filed {
				all = append(all, filed[n], read[n])
			}
			return all
		},
		"classified later": func(filed, read []bus.Delivery) []bus.Delivery { return append(filed, read...) },
	} {
		b.Run(name, func(b *testing.B) {
			b.StopTimer()
			e := projectortest.NewEvents(b)
			var filed, read []bus.Delivery
			for n := range b.N {
				r := e.Report(fmt.Sprintf("site-%d", n%40))
				r.OccurredAt = r.OccurredAt.AddDate(0, -(n % 6), 0)
				r.Kind, r.Channel, r.Target = incident.KindUnknown, incident.ChannelUnknown, incident.TargetUnknown
				r.Narrative = "A man at the front desk threw a chair at the screen and shouted at me until security came."
				filed = append(filed, e.Filed(r))
				read = append(read, e.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff))
			}
			busOf := bustest.New(b)
			publish(b, busOf, arrange(filed, read))
			st := open(b)
			b.StartTimer()
			stop := run(b, projector.New(e.Config(st, fold.New(), busOf)))
			until(b, "drained", func() error {
				n, err := st.CountIncidents(b.Context(), store.Filter{}, b.N)
				if err == nil && n < b.N {
					err = fmt.Errorf("%d of %d", n, b.N)
				}
				return err
			})
			until(b, "classified", func() error { return allRead(b, st, b.N) })
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
			stop()
		})
	}
}

// allRead reports whether the machine's word counts everywhere: what the
// benchmark files leaves kind, channel and target to it.
func allRead(b *testing.B, st store.Store, n int) error {
	months, err := st.RollupCells(b.Context(), firstMonth, lastMonth)
	if err != nil {
		return err
	}
	read := 0
	for _, cells := range months {
		for _, c := range cells {
			if c.SetBy == incident.SetByMachine {
				read += c.Incidents
			}
		}
	}
	if read < n {
		return fmt.Errorf("%d of %d read", read, n)
	}
	return nil
}
