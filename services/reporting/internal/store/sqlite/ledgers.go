package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/packed"
)

// Ledger implements store.Ledgers.
func (d *db) Ledger(ctx context.Context, m incident.Month, site string) (*incident.Ledger, error) {
	l, err := d.oneLedger(ctx, `WHERE month = ? AND site = ?`, m.String(), site)
	if errors.Is(err, store.ErrNotFound) {
		return &incident.Ledger{Month: m, Site: site}, nil
	}
	return l, err
}

// oneLedger returns the first ledger that a condition finds.
func (d *db) oneLedger(ctx context.Context, where string, values ...any) (*incident.Ledger, error) {
	var l incident.Ledger
	err := d.read(ctx, "read ledger", func(ctx context.Context, s *statements) error {
		var month string
		var cells, entries []byte
		err := s.row(ctx, `SELECT month, site, rev, cells, entries FROM ledgers JOIN ledger_entries USING (ledger) `+where,
			values, &month, &l.Site, &l.Rev, &cells, &entries)
		if err != nil {
			return err
		}
		var errs [3]error
		l.Month, errs[0] = incident.ParseMonth(month)
		l.Cells, errs[1] = packed.DecodeCells(cells)
		l.Entries, errs[2] = packed.DecodeEntries(entries)
		return damaged(errors.Join(errs[:]...), "ledger", month, l.Site)
	})
	if err != nil {
		return nil, err
	}
	return &l, nil
}

// damaged says which document could not be read.
func damaged(err error, what, month, site string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s of %s %q: %w", what, month, site, err)
}

// PutLedger implements store.Ledgers.
func (d *db) PutLedger(ctx context.Context, l *incident.Ledger) error {
	cells, entries := packed.EncodeCells(l.Cells), packed.EncodeEntries(l.Entries)
	return d.write(ctx, "put ledger", func(ctx context.Context, s *statements) error {
		if l.Month.IsZero() {
			return errMonth
		}
		ledger, err := putFenced(ctx, s, l.Rev,
			`INSERT INTO ledgers (rev, cells, month, site) VALUES (?, ?, ?, ?) ON CONFLICT (month, site) DO NOTHING RETURNING ledger`,
			`UPDATE ledgers SET rev = ?, cells = ? WHERE month = ? AND site = ? AND rev = ? RETURNING ledger`,
			l.Rev, cells, l.Month.String(), l.Site)
		if err != nil {
			return err
		}
		_, err = s.exec(ctx, `INSERT INTO ledger_entries (ledger, entries) VALUES (?, ?)
			ON CONFLICT (ledger) DO UPDATE SET entries = excluded.entries`, ledger, entries)
		return err
	})
}

// putFenced inserts revision 1 or updates the revision before rev, whose value
// update takes last, and returns the row's key; store.ErrStale when there is
// another revision.
func putFenced(ctx context.Context, s *statements, rev int64, insert, update string, values ...any) (key int64, err error) {
	if rev == 1 {
		err = s.row(ctx, insert, values, &key)
	} else {
		err = s.row(ctx, update, append(values, rev-1), &key)
	}
	if errors.Is(err, store.ErrNotFound) {
		return 0, store.ErrStale
	}
	return key, err
}

// LedgerCells implements store.Ledgers.
func (d *db) LedgerCells(ctx context.Context, sites []string, first, last incident.Month) ([]store.SiteMonth, error) {
	query := `SELECT month, site, cells FROM ledgers INDEXED BY ledgers_by_month WHERE month BETWEEN ? AND ?`
	values := args(first.String(), last.String())
	if sites != nil {
		query = `SELECT l.month, l.site, l.cells FROM json_each(?) AS s CROSS JOIN ledgers AS l INDEXED BY ledgers_by_site
			ON l.site = s.value AND l.month BETWEEN ? AND ?`
		values = append(args(set(sites)), values...)
	}
	var found []store.SiteMonth
	err := d.read(ctx, "ledger cells", func(ctx context.Context, s *statements) error {
		var month, site string
		var stored sql.RawBytes
		return s.rows(ctx, query, values, func() error {
			m, err := incident.ParseMonth(month)
			if err != nil {
				return err
			}
			cells, err := packed.DecodeCells(stored)
			if len(cells) > 0 {
				found = append(found, store.SiteMonth{Month: m, Site: site, Cells: cells})
			}
			return damaged(err, "ledger", month, site)
		}, &month, &site, &stored)
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b store.SiteMonth) int {
		return cmp.Or(cmp.Compare(a.Month.Year, b.Month.Year), cmp.Compare(a.Month.Month, b.Month.Month), cmp.Compare(a.Site, b.Site))
	})
	return found, nil
}

// EachLedger implements store.Ledgers.
func (d *db) EachLedger(ctx context.Context, fn func(*incident.Ledger) error) error {
	month, site := "", ""
	for {
		l, err := d.oneLedger(ctx, `WHERE (month, site) > (?, ?) ORDER BY month, site LIMIT 1`, month, site)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(l); err != nil {
			return err
		}
		month, site = l.Month.String(), l.Site
	}
}

// Rollup implements store.Ledgers.
func (d *db) Rollup(ctx context.Context, m incident.Month) (*incident.Rollup, error) {
	r := &incident.Rollup{Month: m}
	err := d.read(ctx, "read roll-up", func(ctx context.Context, s *statements) error {
		var cells, sites []byte
		err := s.row(ctx, `SELECT rev, cells, sites FROM rollups JOIN rollup_sites USING (rollup) WHERE month = ?`,
			args(m.String()), &r.Rev, &cells, &sites)
		if err != nil {
			return err
		}
		var errs [2]error
		r.All, errs[0] = packed.DecodeCells(cells)
		r.Sites, errs[1] = packed.DecodeSites(sites)
		return damaged(errors.Join(errs[:]...), "roll-up", m.String(), "")
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return r, nil
}

// PutRollup implements store.Ledgers.
func (d *db) PutRollup(ctx context.Context, r *incident.Rollup) error {
	cells, sites := packed.EncodeCells(r.All), packed.EncodeSites(r.Sites)
	return d.write(ctx, "put roll-up", func(ctx context.Context, s *statements) error {
		if r.Month.IsZero() {
			return errMonth
		}
		rollup, err := putFenced(ctx, s, r.Rev,
			`INSERT INTO rollups (rev, cells, month) VALUES (?, ?, ?) ON CONFLICT (month) DO NOTHING RETURNING rollup`,
			`UPDATE rollups SET rev = ?, cells = ? WHERE month = ? AND rev = ? RETURNING rollup`,
			r.Rev, cells, r.Month.String())
		if err != nil {
			return err
		}
		_, err = s.exec(ctx, `INSERT INTO rollup_sites (rollup, sites) VALUES (?, ?)
			ON CONFLICT (rollup) DO UPDATE SET sites = excluded.sites`, rollup, sites)
		return err
	})
}

// RollupCells implements store.Ledgers.
func (d *db) RollupCells(ctx context.Context, first, last incident.Month) (map[incident.Month][]incident.Cell, error) {
	found := make(map[incident.Month][]incident.Cell)
	err := d.read(ctx, "roll-up cells", func(ctx context.Context, s *statements) error {
		var month string
		var stored sql.RawBytes
		return s.rows(ctx, `SELECT month, cells FROM rollups WHERE month BETWEEN ? AND ?`,
			args(first.String(), last.String()), func() error {
				m, err := incident.ParseMonth(month)
				if err != nil {
					return err
				}
				cells, err := packed.DecodeCells(stored)
				if len(cells) > 0 {
					found[m] = cells
				}
				return damaged(err, "roll-up", month, "")
			}, &month, &stored)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}
