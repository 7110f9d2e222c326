package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// PutEdition implements store.Editions.
func (d *db) PutEdition(ctx context.Context, e *store.Edition) error {
	if err := store.CheckEdition(e); err != nil {
		return err
	}
	doc, err := json.Marshal(editionDoc{e.PublishedAt.UTC(), e.By, e.MAC})
	if err != nil {
		return fmt.Errorf("put edition: %w", err)
	}
	return d.write(ctx, "put edition", func(ctx context.Context, s *statements) error {
		n, err := s.exec(ctx, `INSERT INTO editions (month, number, doc, public, exact) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (month, number) DO NOTHING`, e.Month.String(), e.Number, doc, e.Public, notNull(e.Exact))
		if err == nil && n == 0 {
			return store.ErrExists
		}
		return err
	})
}

// Edition implements store.Editions.
func (d *db) Edition(ctx context.Context, m incident.Month, number int) (*store.Edition, error) {
	var e *store.Edition
	err := d.read(ctx, "read edition", func(ctx context.Context, s *statements) (err error) {
		var doc, public, exact []byte
		err = s.row(ctx, `SELECT doc, public, exact FROM editions WHERE month = ? AND number = ?`, args(m.String(), number), &doc, &public, &exact)
		if err == nil {
			e, err = toEdition(m.String(), number, doc, public)
		}
		if err == nil && len(exact) > 0 {
			e.Exact = exact
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// ListEditions implements store.Editions.
func (d *db) ListEditions(ctx context.Context, first, last incident.Month) (found []*store.Edition, err error) {
	err = d.read(ctx, "editions", func(ctx context.Context, s *statements) error {
		var month string
		var number int
		var doc, public sql.RawBytes
		return s.rows(ctx, `SELECT month, number, doc, public FROM editions WHERE month BETWEEN ? AND ? ORDER BY month, number`,
			args(first.String(), last.String()), func() error {
				e, err := toEdition(month, number, doc, slices.Clone(public))
				found = append(found, e)
				return err
			}, &month, &number, &doc, &public)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

func toEdition(month string, number int, doc, public []byte) (*store.Edition, error) {
	m, err := incident.ParseMonth(month)
	if err != nil {
		return nil, err
	}
	d, err := decode[editionDoc](doc)
	if err != nil {
		return nil, fmt.Errorf("edition %d of %s: %w", number, month, err)
	}
	return &store.Edition{Month: m, Number: number, PublishedAt: d.PublishedAt, By: d.By, Public: public, MAC: d.MAC}, nil
}
