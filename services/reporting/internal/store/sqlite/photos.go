package sqlite

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// PutPhoto implements store.Photos.
func (d *db) PutPhoto(ctx context.Context, p *store.Photo) error {
	if err := store.CheckPhoto(p); err != nil {
		return err
	}
	kept := photoDoc(*p)
	kept.CreatedAt = kept.CreatedAt.UTC()
	doc, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("put photo: %w", err)
	}
	return d.write(ctx, "put photo", func(ctx context.Context, s *statements) error {
		_, err := s.exec(ctx, `INSERT INTO photos (id, incident, report, made_at, doc, sealed) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO NOTHING`, p.ID, p.IncidentID, p.ReportID, p.CreatedAt.UnixMilli(), doc, p.Sealed)
		return err
	})
}

func toPhoto(d photoDoc) *store.Photo { p := store.Photo(d); return &p }

// Photo implements store.Photos.
func (d *db) Photo(ctx context.Context, id string) (*store.Photo, error) {
	var p *store.Photo
	err := d.read(ctx, "read photo", func(ctx context.Context, s *statements) error {
		var raw, sealed []byte
		if err := s.row(ctx, `SELECT doc, sealed FROM photos WHERE id = ?`, args(id), &raw, &sealed); err != nil {
			return err
		}
		doc, err := decode[photoDoc](raw)
		doc.Sealed = sealed
		p = toPhoto(doc)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// PhotosOfIncident implements store.Photos.
func (d *db) PhotosOfIncident(ctx context.Context, incidentID string) ([]*store.Photo, error) {
	docs, err := readAll[photoDoc](ctx, d, "photos of incident",
		`SELECT doc FROM photos INDEXED BY photos_by_incident WHERE incident = ? ORDER BY made_at, id`, incidentID)
	return each(docs, toPhoto), err
}

// PhotosOfReport implements store.Photos.
func (d *db) PhotosOfReport(ctx context.Context, reportID string) ([]*store.Photo, error) {
	docs, err := readAll[photoDoc](ctx, d, "photos of report",
		`SELECT doc FROM photos INDEXED BY photos_by_report WHERE report = ? ORDER BY made_at, id`, reportID)
	return each(docs, toPhoto), err
}

// DeletePhoto implements store.Photos.
func (d *db) DeletePhoto(ctx context.Context, id string) error {
	return d.write(ctx, "delete photo", func(ctx context.Context, s *statements) error {
		_, err := s.exec(ctx, `DELETE FROM photos WHERE id = ?`, id)
		return err
	})
}

// DeletePhotos implements store.Photos.
func (d *db) DeletePhotos(ctx context.Context, incidentID string) error {
	return d.write(ctx, "delete photos", func(ctx context.Context, s *statements) error {
		_, err := s.exec(ctx, `DELETE FROM photos WHERE incident = ?`, incidentID)
		return err
	})
}
