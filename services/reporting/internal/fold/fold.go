// Package fold carries incidents into the month ledgers and their roll-ups.
//
// Every write is guarded by a revision and safe to repeat, so that whatever a
// crash leaves behind is mended by folding the same incidents again.
package fold

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/onrecord/onrecord/pkg/failpoint"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const (
	// cachedLines bounds the ledgers kept in memory, by their lines: about 300
	// bytes each.
	cachedLines = 20_000
	// cachedCells bounds the roll-ups kept in memory, likewise.
	cachedCells = 20_000
	// staleTries is how often a write is tried again when another instance
	// wrote the same document first.
	staleTries = 20
	sweepSize  = 256
)

// Folder folds incidents into ledgers. It keeps the ledgers in use in memory;
// their revisions show when another instance changed one. There is one Folder
// in a process, used by everything that changes incidents.
type Folder struct {
	mu      sync.Mutex // held for a whole Group: the cache holds only what was committed
	ledgers *cache[incident.LedgerKey, *incident.Ledger]
	rollups *cache[incident.Month, *incident.Rollup]
}

// New returns a Folder with nothing in memory.
func New() *Folder {
	return &Folder{
		ledgers: newCache[incident.LedgerKey](cachedLines, func(l *incident.Ledger) int { return len(l.Entries) }),
		rollups: newCache[incident.Month](cachedCells, func(r *incident.Rollup) int { return len(r.All) + len(r.Sites) }),
	}
}

// Group runs change in one store.Group and folds the incidents it returns, as
// they were stored, in the same one. Change must store them before it returns.
// Groups of one Folder run one after another.
func (f *Folder) Group(ctx context.Context, st store.Store, change func(tx store.Store) ([]*incident.Incident, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	committed := false
	defer func() {
		if !committed { // also after a panic
			f.ledgers.forgetUsed()
			f.rollups.forgetUsed()
		}
	}()
	err := st.Group(ctx, func(tx store.Store) error {
		f.ledgers.forgetUsed() // of an attempt that the adapter repeats
		f.rollups.forgetUsed()
		changed, err := change(tx)
		if err != nil {
			return err
		}
		return f.fold(ctx, tx, changed)
	})
	if err != nil {
		return err
	}
	committed = true
	f.ledgers.keepUsed()
	f.rollups.keepUsed()
	return nil
}

// Sweep folds every incident whose ledgers are behind: what another instance
// changed, or a crash cut off. It returns how many there were.
func (f *Folder) Sweep(ctx context.Context, st store.Store) (int, error) {
	for swept := 0; ; {
		ids, err := st.Unfolded(ctx, sweepSize)
		if err != nil || len(ids) == 0 {
			return swept, err
		}
		err = f.Group(ctx, st, func(tx store.Store) ([]*incident.Incident, error) {
			return incidents(ctx, tx, ids)
		})
		if err != nil {
			return swept, err
		}
		swept += len(ids)
		if len(ids) < sweepSize {
			return swept, nil
		}
	}
}

func incidents(ctx context.Context, tx store.Store, ids []string) ([]*incident.Incident, error) {
	found := make([]*incident.Incident, len(ids))
	for n, id := range ids {
		var err error
		if found[n], err = tx.Incident(ctx, id); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// fold writes the ledgers, then the roll-ups, then marks the incidents as
// folded. Cut anywhere, the incidents are not marked, and folding them again
// completes what is missing.
func (f *Folder) fold(ctx context.Context, tx store.Store, changed []*incident.Incident) error {
	keys, lines := byLedger(changed)
	ledgers := make(map[incident.Month][]*incident.Ledger)
	for _, k := range keys {
		l, err := f.foldLedger(ctx, tx, k, lines[k])
		if err != nil {
			return fmt.Errorf("ledger: %w", err)
		}
		ledgers[k.Month] = append(ledgers[k.Month], l)
	}
	for month, of := range ledgers {
		if err := f.foldRollup(ctx, tx, month, of); err != nil {
			return fmt.Errorf("roll-up: %w", err)
		}
	}
	if err := store.MarkAllFolded(ctx, tx, changed); err != nil {
		return fmt.Errorf("mark folded: %w", err)
	}
	for _, i := range changed {
		i.FoldedRev = i.Rev
		failpoint.Hit(failpoint.FoldedMarked)
	}
	return nil
}

// byLedger groups incidents by the ledgers that hold a line of them. Ledgers
// that incidents are in come before those that incidents left: a reader of a
// store without transactions may see a move twice for a moment, never not at all.
func byLedger(changed []*incident.Incident) ([]incident.LedgerKey, map[incident.LedgerKey][]*incident.Incident) {
	var in, left []incident.LedgerKey
	lines := make(map[incident.LedgerKey][]*incident.Incident)
	for _, i := range changed {
		now := i.Ledger()
		for _, k := range i.Lines {
			lines[k] = append(lines[k], i)
			if k == now {
				in = append(in, k)
			} else {
				left = append(left, k)
			}
		}
	}
	return unique(append(in, left...)), lines
}

// unique returns the first of each key, in order.
func unique(keys []incident.LedgerKey) []incident.LedgerKey {
	seen := make(map[incident.LedgerKey]bool, len(keys))
	return slices.DeleteFunc(keys, func(k incident.LedgerKey) bool {
		was := seen[k]
		seen[k] = true
		return was
	})
}

// foldLedger sets the incidents' lines in one ledger and returns it as stored.
func (f *Folder) foldLedger(ctx context.Context, tx store.Store, k incident.LedgerKey, lines []*incident.Incident) (*incident.Ledger, error) {
	var err error
	for range staleTries {
		l, ok := f.ledgers.get(k)
		if !ok {
			if l, err = tx.Ledger(ctx, k.Month, k.Site); err != nil {
				return nil, err
			}
		}
		changed := false
		for _, i := range lines {
			changed = l.Set(i.ID, i.Line(k)) || changed
		}
		if changed {
			l.Total()
			l.Rev++
			err = tx.PutLedger(ctx, l)
			failpoint.Hit(failpoint.LedgerStored)
		}
		if err == nil {
			f.ledgers.use(k, l)
			return l, nil
		}
		f.ledgers.forget(k)
		if !errors.Is(err, store.ErrStale) {
			return nil, err
		}
	}
	return nil, err
}

// foldRollup takes a month's changed ledgers into its roll-up.
func (f *Folder) foldRollup(ctx context.Context, tx store.Store, m incident.Month, ledgers []*incident.Ledger) error {
	var err error
	for range staleTries {
		r, ok := f.rollups.get(m)
		if !ok {
			if r, err = tx.Rollup(ctx, m); err != nil {
				return err
			}
		}
		changed := false
		for _, l := range ledgers {
			changed = r.Fold(l) || changed
		}
		if changed {
			r.Total()
			r.Rev++
			err = tx.PutRollup(ctx, r)
			failpoint.Hit(failpoint.RollupStored)
		}
		if err == nil {
			f.rollups.use(m, r)
			return nil
		}
		f.rollups.forget(m)
		if !errors.Is(err, store.ErrStale) {
			return err
		}
	}
	return err
}
