package projectortest

import (
	"context"
	"errors"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// ErrInjected is what a Faulty store fails with.
var ErrInjected = errors.New("injected failure")

// Faulty is a store in front of another that fails when told to, at any of the
// operations by which incidents and ledgers are written.
type Faulty struct {
	store.Store

	// Loose makes it a store without transactions: a Group that fails leaves
	// what was done.
	Loose bool

	// Fail is asked before and after each operation. Once it says yes, the
	// operation fails, done or not.
	Fail func() bool
}

// Group implements store.Store.
func (f *Faulty) Group(ctx context.Context, fn func(store.Store) error) error {
	return f.do(func() error {
		if f.Loose {
			return fn(f)
		}
		return f.Store.Group(ctx, func(tx store.Store) error {
			return fn(&Faulty{Store: tx, Fail: f.Fail})
		})
	})
}

func (f *Faulty) do(operation func() error) error {
	if f.Fail() {
		return ErrInjected
	}
	err := operation()
	if err == nil && f.Fail() {
		return ErrInjected
	}
	return err
}

// Check implements store.Store.
func (f *Faulty) Check(ctx context.Context) error {
	return f.do(func() error { return f.Store.Check(ctx) })
}

// InsertIncident implements store.Store.
func (f *Faulty) InsertIncident(ctx context.Context, i *incident.Incident) error {
	return f.do(func() error { return f.Store.InsertIncident(ctx, i) })
}

// ReplaceIncident implements store.Store.
func (f *Faulty) ReplaceIncident(ctx context.Context, i *incident.Incident, wasRev int64) error {
	return f.do(func() error { return f.Store.ReplaceIncident(ctx, i, wasRev) })
}

// MarkFolded implements store.Store.
func (f *Faulty) MarkFolded(ctx context.Context, id string, rev int64) error {
	return f.do(func() error { return f.Store.MarkFolded(ctx, id, rev) })
}

// KeepLesson implements store.Store.
func (f *Faulty) KeepLesson(ctx context.Context, i *incident.Incident) error {
	return f.do(func() error { return f.Store.KeepLesson(ctx, i) })
}

// IncidentByReport implements store.Store.
func (f *Faulty) IncidentByReport(ctx context.Context, reportID string) (i *incident.Incident, err error) {
	err = f.do(func() error { i, err = f.Store.IncidentByReport(ctx, reportID); return err })
	return i, err
}

// KeepPending implements store.Store.
func (f *Faulty) KeepPending(ctx context.Context, p store.Pending) error {
	return f.do(func() error { return f.Store.KeepPending(ctx, p) })
}

// Pending implements store.Store.
func (f *Faulty) Pending(ctx context.Context, reportID string) (p []store.Pending, err error) {
	err = f.do(func() error { p, err = f.Store.Pending(ctx, reportID); return err })
	return p, err
}

// DropPending implements store.Store.
func (f *Faulty) DropPending(ctx context.Context, reportID string) error {
	return f.do(func() error { return f.Store.DropPending(ctx, reportID) })
}

// Ledger implements store.Store.
func (f *Faulty) Ledger(ctx context.Context, m incident.Month, site string) (l *incident.Ledger, err error) {
	err = f.do(func() error { l, err = f.Store.Ledger(ctx, m, site); return err })
	return l, err
}

// PutLedger implements store.Store.
func (f *Faulty) PutLedger(ctx context.Context, l *incident.Ledger) error {
	return f.do(func() error { return f.Store.PutLedger(ctx, l) })
}

// Rollup implements store.Store.
func (f *Faulty) Rollup(ctx context.Context, m incident.Month) (r *incident.Rollup, err error) {
	err = f.do(func() error { r, err = f.Store.Rollup(ctx, m); return err })
	return r, err
}

// PutRollup implements store.Store.
func (f *Faulty) PutRollup(ctx context.Context, r *incident.Rollup) error {
	return f.do(func() error { return f.Store.PutRollup(ctx, r) })
}

// PutQuarantined implements store.Store.
func (f *Faulty) PutQuarantined(ctx context.Context, q *store.Quarantined) error {
	return f.do(func() error { return f.Store.PutQuarantined(ctx, q) })
}

// FaultyBatcher is a Faulty in front of a store.Batcher, which is one as well: a
// batch fails before it is done or after.
type FaultyBatcher struct{ *Faulty }

var _ store.Batcher = FaultyBatcher{}

// Group implements store.Store.
func (f FaultyBatcher) Group(ctx context.Context, fn func(store.Store) error) error {
	return f.do(func() error {
		if f.Loose {
			return fn(f)
		}
		return f.Store.Group(ctx, func(tx store.Store) error {
			return fn(FaultyBatcher{&Faulty{Store: tx, Fail: f.Fail}})
		})
	})
}

// IncidentsByReports implements store.Batcher.
func (f FaultyBatcher) IncidentsByReports(ctx context.Context, reportIDs []string) (found []*incident.Incident, err error) {
	err = f.do(func() error { found, err = store.IncidentsByReports(ctx, f.Store, reportIDs); return err })
	return found, err
}

// PendingOf implements store.Batcher.
func (f FaultyBatcher) PendingOf(ctx context.Context, reportIDs []string) (found []store.Pending, err error) {
	err = f.do(func() error { found, err = store.PendingOf(ctx, f.Store, reportIDs); return err })
	return found, err
}

// PutIncidents implements store.Batcher.
func (f FaultyBatcher) PutIncidents(ctx context.Context, puts []store.Put) error {
	return f.do(func() error { return store.PutIncidents(ctx, f.Store, puts) })
}

// MarkAllFolded implements store.Batcher.
func (f FaultyBatcher) MarkAllFolded(ctx context.Context, folded []*incident.Incident) error {
	return f.do(func() error { return store.MarkAllFolded(ctx, f.Store, folded) })
}
