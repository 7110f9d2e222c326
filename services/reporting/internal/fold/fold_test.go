package fold_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/sqlite"
)

func open(tb testing.TB) store.Store {
	tb.Helper()
	st, err := sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "fold.db"))
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

var march = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)

func newIncident(n int, site string, at time.Time) *incident.Incident {
	i := &incident.Incident{ID: fmt.Sprintf("00000000-0000-8000-8000-%012d", n), Rev: 1, Status: incident.StatusNew,
		Reports: []incident.FiledReport{{ID: fmt.Sprintf("00000000-0000-7000-8000-%012d", n)}}}
	i.Locate(site, at)
	return i
}

// insert stores a new incident and folds it.
func insert(ctx context.Context, f *fold.Folder, st store.Store, i *incident.Incident) error {
	return f.Group(ctx, st, func(tx store.Store) ([]*incident.Incident, error) {
		return []*incident.Incident{i}, tx.InsertIncident(ctx, i)
	})
}

// replace stores a change of an incident and folds it.
func replace(ctx context.Context, f *fold.Folder, st store.Store, i *incident.Incident) error {
	i.Rev++
	return f.Group(ctx, st, func(tx store.Store) ([]*incident.Incident, error) {
		return []*incident.Incident{i}, tx.ReplaceIncident(ctx, i, i.Rev-1)
	})
}

func counted(t *testing.T, st store.Store, k incident.LedgerKey) (site, everywhere int) {
	t.Helper()
	l, err := st.Ledger(t.Context(), k.Month, k.Site)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range l.Cells {
		site += c.Incidents
	}
	r, err := st.Rollup(t.Context(), k.Month)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.All {
		everywhere += c.Incidents
	}
	return site, everywhere
}

// recorder notes the ledgers in the order in which they are written.
type recorder struct {
	store.Store
	wrote *[]string
	fail  string // the write that fails
}

var errBroken = errors.New("broken")

func (r recorder) Group(ctx context.Context, fn func(store.Store) error) error {
	return r.Store.Group(ctx, func(tx store.Store) error { return fn(recorder{tx, r.wrote, r.fail}) })
}

func (r recorder) note(what string) error {
	*r.wrote = append(*r.wrote, what)
	if what == r.fail {
		return errBroken
	}
	return nil
}

func (r recorder) ReplaceIncident(ctx context.Context, i *incident.Incident, was int64) error {
	return errors.Join(r.note("incident"), r.Store.ReplaceIncident(ctx, i, was))
}

func (r recorder) PutLedger(ctx context.Context, l *incident.Ledger) error {
	return errors.Join(r.note("ledger "+l.Month.String()+" "+l.Site), r.Store.PutLedger(ctx, l))
}

func (r recorder) PutRollup(ctx context.Context, p *incident.Rollup) error {
	return errors.Join(r.note("roll-up"), r.Store.PutRollup(ctx, p))
}

func (r recorder) MarkFolded(ctx context.Context, id string, rev int64) error {
	return errors.Join(r.note("folded"), r.Store.MarkFolded(ctx, id, rev))
}

func TestAMoveIsWrittenWhereItGoesBeforeWhereItWas(t *testing.T) {
	st, f := open(t), fold.New()
	i := newIncident(1, "leeds", march)
	if err := insert(t.Context(), f, st, i); err != nil {
		t.Fatal(err)
	}
	was := i.Ledger()
	i.Locate("york", march.AddDate(0, -1, 0))
	var wrote []string
	if err := replace(t.Context(), f, recorder{st, &wrote, ""}, i); err != nil {
		t.Fatal(err)
	}
	want := []string{"incident", "ledger 2026-02 york", "ledger 2026-03 leeds", "roll-up", "roll-up", "folded"}
	if !slices.Equal(wrote, want) {
		t.Errorf("wrote %v, want %v", wrote, want)
	}
	if site, all := counted(t, st, was); site != 0 || all != 0 {
		t.Errorf("counted %d and %d where it was, want 0", site, all)
	}
	if site, all := counted(t, st, i.Ledger()); site != 1 || all != 1 {
		t.Errorf("counted %d and %d where it is, want 1", site, all)
	}
}

func TestWhatAFailureUndidIsNotRemembered(t *testing.T) {
	for _, at := range []string{"ledger 2026-03 leeds", "roll-up", "folded"} {
		t.Run(at, func(t *testing.T) {
			st, f := open(t), fold.New()
			if err := insert(t.Context(), f, st, newIncident(1, "leeds", march)); err != nil {
				t.Fatal(err)
			}
			var wrote []string
			if err := insert(t.Context(), f, recorder{st, &wrote, at}, newIncident(2, "leeds", march)); !errors.Is(err, errBroken) {
				t.Fatalf("err=%v, want the injected one", err)
			}
			last := newIncident(3, "leeds", march)
			if err := insert(t.Context(), f, st, last); err != nil {
				t.Fatal(err)
			}
			if site, all := counted(t, st, last.Ledger()); site != 2 || all != 2 {
				t.Errorf("counted %d and %d, want 2: the one that failed is not there", site, all)
			}
		})
	}
}

func TestALedgerAnotherInstanceWroteIsReadAgain(t *testing.T) {
	st, here, there := open(t), fold.New(), fold.New()
	for n := range 6 {
		f := []*fold.Folder{here, there, there}[n%3]
		if err := insert(t.Context(), f, st, newIncident(n, "leeds", march)); err != nil {
			t.Fatal(err)
		}
	}
	if site, all := counted(t, st, newIncident(0, "leeds", march).Ledger()); site != 6 || all != 6 {
		t.Errorf("counted %d and %d, want 6", site, all)
	}
}

func TestTheSweepFoldsWhatACrashLeft(t *testing.T) {
	st, f := open(t), fold.New()
	for n := range 300 { // more than one round of the sweep
		i := newIncident(n, []string{"leeds", "york"}[n%2], march)
		if err := st.InsertIncident(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := f.Sweep(t.Context(), st); n != 300 || err != nil {
		t.Fatalf("Sweep=%d, %v; want 300", n, err)
	}
	if site, all := counted(t, st, newIncident(0, "leeds", march).Ledger()); site != 150 || all != 300 {
		t.Errorf("counted %d and %d, want 150 and 300", site, all)
	}
	if n, err := f.Sweep(t.Context(), st); n != 0 || err != nil {
		t.Errorf("Sweep=%d, %v; want nothing left", n, err)
	}
}

func TestAPanicLeavesTheFolderUsable(t *testing.T) {
	st, f := open(t), fold.New()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = f.Group(t.Context(), st, func(store.Store) ([]*incident.Incident, error) { panic("demo") })
	}()
	if err := insert(t.Context(), f, st, newIncident(1, "leeds", march)); err != nil {
		t.Fatal(err)
	}
}

// One more incident in a month that has many already.
func BenchmarkFoldIntoALedgerOf10000(b *testing.B) {
	st, f := open(b), fold.New()
	ctx := b.Context()
	err := f.Group(ctx, st, func(tx store.Store) (all []*incident.Incident, err error) {
		for n := range 10_000 {
			i := newIncident(n, "leeds", march)
			if err := tx.InsertIncident(ctx, i); err != nil {
				return nil, err
			}
			all = append(all, i)
		}
		return all, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	n := 10_000
	for b.Loop() {
		n++
		if err := insert(ctx, f, st, newIncident(n, "leeds", march)); err != nil {
			b.Fatal(err)
		}
	}
}
