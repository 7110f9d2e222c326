package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// PutSites implements store.Sites.
func (d *db) PutSites(ctx context.Context, sites []store.Site) error {
	if err := store.CheckSites(sites); err != nil {
		return err
	}
	return d.write(ctx, "put sites", func(ctx context.Context, s *statements) error {
		for _, site := range sites {
			doc, err := json.Marshal(siteDoc(site))
			if err != nil {
				return err
			}
			if _, err := s.exec(ctx, `INSERT INTO sites (id, name, doc) VALUES (?, ?, ?)
				ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc`, site.ID, site.Name, doc); err != nil {
				return err
			}
		}
		return nil
	})
}

// ListSites implements store.Sites.
func (d *db) ListSites(ctx context.Context) ([]store.Site, error) {
	docs, err := readAll[siteDoc](ctx, d, "sites", `SELECT doc FROM sites INDEXED BY sites_by_name ORDER BY name, id`)
	return each(docs, func(s siteDoc) store.Site { return store.Site(s) }), err
}

// PutQuarantined implements store.Quarantine.
func (d *db) PutQuarantined(ctx context.Context, q *store.Quarantined) error {
	kept := quarantinedDoc(*q)
	kept.At, kept.ReplayedAt = kept.At.UTC(), kept.ReplayedAt.UTC()
	doc, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("put quarantined: %w", err)
	}
	return d.write(ctx, "put quarantined", func(ctx context.Context, s *statements) error {
		_, err := s.exec(ctx, `INSERT INTO quarantine (subject, at, doc) VALUES (?, ?, ?)
			ON CONFLICT (subject) DO UPDATE SET at = excluded.at, doc = excluded.doc`, q.Subject, q.At.UnixMilli(), doc)
		return err
	})
}

func toQuarantined(d quarantinedDoc) *store.Quarantined { q := store.Quarantined(d); return &q }

// Quarantined implements store.Quarantine.
func (d *db) Quarantined(ctx context.Context, subject string) (*store.Quarantined, error) {
	return pointer(toQuarantined)(readOne[quarantinedDoc](ctx, d, "read quarantined", `SELECT doc FROM quarantine WHERE subject = ?`, subject))
}

// ListQuarantined implements store.Quarantine.
func (d *db) ListQuarantined(ctx context.Context) ([]*store.Quarantined, error) {
	docs, err := readAll[quarantinedDoc](ctx, d, "quarantine", `SELECT json_remove(CAST(doc AS TEXT), '$.data') FROM quarantine INDEXED BY quarantine_by_age ORDER BY at, subject`)
	return each(docs, toQuarantined), err
}
