package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// auditPage is how many incidents an audit reads at a time: it holds no
// connection and no snapshot while it looks at them.
const auditPage = 256

// InsertIncident implements store.Incidents.
func (d *db) InsertIncident(ctx context.Context, i *incident.Incident) error {
	doc, err := encodeIncident(i)
	if err != nil {
		return fmt.Errorf("insert incident: %w", err)
	}
	return d.write(ctx, "insert incident", func(ctx context.Context, s *statements) error {
		facet, siteFacet, err := facetsOf(ctx, s, i)
		if err != nil {
			return err
		}
		var n int64
		err = s.row(ctx, `INSERT INTO incidents (id, rev, folded_rev, occurred_at, received_at, site, facet, site_facet, lesson_due, doc)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING RETURNING n`,
			args(i.ID, i.Rev, i.FoldedRev, i.OccurredAt.UnixMilli(), max(i.ReceivedAt.UnixMilli(), 0), i.Site, facet, siteFacet, i.LessonDue(), doc), &n)
		if errors.Is(err, store.ErrNotFound) {
			return store.ErrExists
		}
		if err != nil {
			return err
		}
		return insertReports(ctx, s, n, i.Reports)
	})
}

// ReplaceIncident implements store.Incidents.
func (d *db) ReplaceIncident(ctx context.Context, i *incident.Incident, wasRev int64) error {
	doc, err := encodeIncident(i)
	if err != nil {
		return fmt.Errorf("replace incident: %w", err)
	}
	return d.write(ctx, "replace incident", func(ctx context.Context, s *statements) error {
		var n, rev int64
		if err := s.row(ctx, `SELECT n, rev FROM incidents WHERE id = ?`, args(i.ID), &n, &rev); err != nil {
			return err
		}
		if rev != wasRev {
			return store.ErrStale
		}
		facet, siteFacet, err := facetsOf(ctx, s, i)
		if err != nil {
			return err
		}
		_, err = s.exec(ctx, `UPDATE incidents SET rev = ?, folded_rev = max(folded_rev, ?), occurred_at = ?, received_at = ?, site = ?,
			facet = ?, site_facet = ?, lesson_due = ?, doc = ? WHERE n = ?`,
			i.Rev, i.FoldedRev, i.OccurredAt.UnixMilli(), max(i.ReceivedAt.UnixMilli(), 0), i.Site, facet, siteFacet, i.LessonDue(), doc, n)
		if err != nil {
			return err
		}
		return replaceReports(ctx, s, n, i.Reports)
	})
}

// facetsOf returns the facet of an incident and that facet at its site, new
// ones if nothing had these values yet.
func facetsOf(ctx context.Context, s *statements, i *incident.Incident) (facet, siteFacet int64, err error) {
	dims := i.Dims()
	values := args(string(dims.Kind), string(dims.Channel), string(dims.Target), string(i.Status), i.NeedsReview(), i.NothingHappened(), i.Undated())
	facet, err = findOrInsert(ctx, s,
		`SELECT facet FROM facets WHERE kind = ? AND channel = ? AND target = ? AND status = ? AND review = ? AND said_nothing = ? AND undated = ?`,
		`INSERT INTO facets (kind, channel, target, status, review, said_nothing, undated) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING facet`, values)
	if err != nil {
		return 0, 0, err
	}
	siteFacet, err = findOrInsert(ctx, s,
		`SELECT site_facet FROM site_facets WHERE site = ? AND facet = ?`,
		`INSERT INTO site_facets (site, facet) VALUES (?, ?) RETURNING site_facet`, args(i.Site, facet))
	return facet, siteFacet, err
}

func findOrInsert(ctx context.Context, s *statements, find, insert string, values []any) (id int64, err error) {
	err = s.row(ctx, find, values, &id)
	if errors.Is(err, store.ErrNotFound) {
		err = s.row(ctx, insert, values, &id)
	}
	return id, err
}

func insertReports(ctx context.Context, s *statements, n int64, reports []incident.FiledReport) error {
	for _, r := range reports {
		var hash any // NULL when the report has no receipt
		if len(r.ReceiptHash) > 0 {
			hash = r.ReceiptHash
		}
		if _, err := s.exec(ctx, `INSERT INTO incident_reports (incident, report, receipt_hash) VALUES (?, ?, ?)
			ON CONFLICT (incident, report) DO NOTHING`, n, r.ID, hash); err != nil {
			return err
		}
	}
	return nil
}

// replaceReports writes nothing in the common case that the reports are the same.
func replaceReports(ctx context.Context, s *statements, n int64, reports []incident.FiledReport) error {
	stored := make(map[string][]byte)
	var id string
	var hash []byte
	err := s.rows(ctx, `SELECT report, receipt_hash FROM incident_reports WHERE incident = ?`, args(n), func() error {
		stored[id] = bytes.Clone(hash)
		return nil
	}, &id, &hash)
	if err != nil || sameReports(stored, reports) {
		return err
	}
	if _, err := s.exec(ctx, `DELETE FROM incident_reports WHERE incident = ?`, n); err != nil {
		return err
	}
	return insertReports(ctx, s, n, reports)
}

func sameReports(stored map[string][]byte, reports []incident.FiledReport) bool {
	return len(stored) == len(reports) && !slices.ContainsFunc(reports, func(r incident.FiledReport) bool {
		hash, ok := stored[r.ID]
		return !ok || !bytes.Equal(hash, r.ReceiptHash)
	})
}

// MarkFolded implements store.Incidents.
func (d *db) MarkFolded(ctx context.Context, id string, rev int64) error {
	return d.write(ctx, "mark folded", func(ctx context.Context, s *statements) error {
		changed, err := s.exec(ctx, `UPDATE incidents SET folded_rev = max(folded_rev, ?) WHERE id = ?`, rev, id)
		if err == nil && changed == 0 {
			return store.ErrNotFound
		}
		return err
	})
}

// Incident implements store.Incidents.
func (d *db) Incident(ctx context.Context, id string) (*incident.Incident, error) {
	return d.oneIncident(ctx, `SELECT doc, folded_rev FROM incidents WHERE id = ?`, id)
}

// IncidentByReport implements store.Incidents.
func (d *db) IncidentByReport(ctx context.Context, reportID string) (*incident.Incident, error) {
	return d.oneIncident(ctx, `SELECT doc, folded_rev FROM incident_reports JOIN incidents ON n = incident
		WHERE report = ? LIMIT 1`, reportID)
}

// IncidentByReceipt implements store.Incidents.
func (d *db) IncidentByReceipt(ctx context.Context, receiptHash []byte) (*incident.Incident, error) {
	return d.oneIncident(ctx, `SELECT doc, folded_rev FROM incident_reports JOIN incidents ON n = incident
		WHERE receipt_hash = ? LIMIT 1`, receiptHash)
}

func (d *db) oneIncident(ctx context.Context, query string, key any) (i *incident.Incident, err error) {
	err = d.read(ctx, "read incident", func(ctx context.Context, s *statements) error {
		var doc []byte
		var foldedRev int64
		if err := s.row(ctx, query, args(key), &doc, &foldedRev); err != nil {
			return err
		}
		i, err = decodeIncident(doc, foldedRev)
		return err
	})
	return i, err
}

// ListIncidents implements store.Incidents.
func (d *db) ListIncidents(ctx context.Context, f store.Filter) (page []*incident.Incident, next string, err error) {
	after, notBefore, err := f.Start()
	if err != nil {
		return nil, "", err
	}
	query, values := selectionOf(f).page(after, notBefore, f.Limit+1) // one more: is there a next page?
	err = d.read(ctx, "list incidents", func(ctx context.Context, s *statements) error {
		var doc sql.RawBytes
		var foldedRev int64
		return s.rows(ctx, query, values, func() error {
			i, err := decodeIncident(doc, foldedRev)
			page = append(page, i)
			return err
		}, &doc, &foldedRev)
	})
	if err != nil {
		return nil, "", err
	}
	slices.SortFunc(page, newestFirst)
	if len(page) > f.Limit {
		page = page[:f.Limit]
		next = positionOf(page[f.Limit-1]).Cursor()
	}
	return page, next, nil
}

func positionOf(i *incident.Incident) store.Position {
	return store.Position{OccurredAt: i.OccurredAt.UnixMilli(), ID: i.ID}
}

func newestFirst(a, b *incident.Incident) int {
	return cmp.Or(cmp.Compare(b.OccurredAt.UnixMilli(), a.OccurredAt.UnixMilli()), cmp.Compare(b.ID, a.ID))
}

// CountIncidents implements store.Incidents.
func (d *db) CountIncidents(ctx context.Context, f store.Filter, most int) (count int, err error) {
	before, notBefore := f.Range()
	query, values := selectionOf(f).count(before, notBefore, max(most, 0))
	err = d.read(ctx, "count incidents", func(ctx context.Context, s *statements) error {
		return s.row(ctx, query, values, &count)
	})
	return count, err
}

// Unfolded implements store.Incidents.
func (d *db) Unfolded(ctx context.Context, limit int) (ids []string, err error) {
	err = d.read(ctx, "unfolded", func(ctx context.Context, s *statements) error {
		var id string
		return s.rows(ctx, `SELECT id FROM incidents INDEXED BY incidents_unfolded WHERE rev > folded_rev LIMIT ?`,
			args(max(limit, 0)), func() error {
				ids = append(ids, id)
				return nil
			}, &id)
	})
	return ids, err
}

// KeepLesson implements store.Incidents.
func (d *db) KeepLesson(ctx context.Context, i *incident.Incident) error {
	doc, err := encodeIncident(i)
	if err != nil {
		return fmt.Errorf("keep lesson: %w", err)
	}
	return d.write(ctx, "keep lesson", func(ctx context.Context, s *statements) error {
		changed, err := s.exec(ctx, `UPDATE incidents SET lesson_due = ?, doc = ? WHERE id = ? AND rev = ?`, i.LessonDue(), doc, i.ID, i.Rev)
		if err != nil || changed > 0 {
			return err
		}
		var rev int64
		if err := s.row(ctx, `SELECT rev FROM incidents WHERE id = ?`, args(i.ID), &rev); err != nil {
			return err
		}
		return store.ErrStale
	})
}

// LessonsDue implements store.Incidents.
func (d *db) LessonsDue(ctx context.Context, after string, limit int) (ids []string, err error) {
	err = d.read(ctx, "lessons due", func(ctx context.Context, s *statements) error {
		var id string
		return s.rows(ctx, `SELECT id FROM incidents INDEXED BY incidents_lesson_due WHERE lesson_due AND id > ? ORDER BY id LIMIT ?`,
			args(after, max(limit, 0)), func() error {
				ids = append(ids, id)
				return nil
			}, &id)
	})
	return ids, err
}

// EachIncident implements store.Incidents.
func (d *db) EachIncident(ctx context.Context, fn func(*incident.Incident) error) error {
	after := ""
	for {
		page := make([]*incident.Incident, 0, auditPage)
		err := d.read(ctx, "each incident", func(ctx context.Context, s *statements) error {
			var doc sql.RawBytes
			var foldedRev int64
			return s.rows(ctx, `SELECT doc, folded_rev FROM incidents INDEXED BY incidents_by_id WHERE id > ? ORDER BY id LIMIT ?`,
				args(after, auditPage), func() error {
					i, err := decodeIncident(doc, foldedRev)
					page = append(page, i)
					return err
				}, &doc, &foldedRev)
		})
		if err != nil {
			return err
		}
		for _, i := range page {
			if err := fn(i); err != nil {
				return err
			}
		}
		if len(page) < auditPage {
			return nil
		}
		after = page[auditPage-1].ID
	}
}

// KeepPending implements store.Incidents.
func (d *db) KeepPending(ctx context.Context, p store.Pending) error {
	p.At = p.At.UTC()
	doc, err := json.Marshal(pendingDoc(p))
	if err != nil {
		return fmt.Errorf("keep pending: %w", err)
	}
	return d.write(ctx, "keep pending", func(ctx context.Context, s *statements) error {
		_, err := s.exec(ctx, `INSERT INTO pending (subject, report, seq, doc) VALUES (?, ?, ?, ?)
			ON CONFLICT (subject) DO NOTHING`, p.Subject, p.ReportID, int64(p.Seq), doc)
		return err
	})
}

// Pending implements store.Incidents.
func (d *db) Pending(ctx context.Context, reportID string) (events []store.Pending, err error) {
	docs, err := readAll[pendingDoc](ctx, d, "pending", `SELECT doc FROM pending WHERE report = ? ORDER BY seq`, reportID)
	return each(docs, func(p pendingDoc) store.Pending { return store.Pending(p) }), err
}

// EachPending implements store.Incidents.
func (d *db) EachPending(ctx context.Context, fn func(store.Pending) error) error {
	after := ""
	for {
		page, err := readAll[pendingDoc](ctx, d, "each pending", `SELECT doc FROM pending WHERE subject > ? ORDER BY subject LIMIT ?`, after, auditPage)
		if err != nil {
			return err
		}
		for _, p := range page {
			if err := fn(store.Pending(p)); err != nil {
				return err
			}
		}
		if len(page) < auditPage {
			return nil
		}
		after = page[auditPage-1].Subject
	}
}

// DropPending implements store.Incidents.
func (d *db) DropPending(ctx context.Context, reportID string) error {
	return d.write(ctx, "drop pending", func(ctx context.Context, s *statements) error {
		_, err := s.exec(ctx, `DELETE FROM pending WHERE report = ?`, reportID)
		return err
	})
}

// readAll returns the stored forms that a query finds in its one column.
func readAll[D any](ctx context.Context, d *db, what, query string, values ...any) (docs []D, err error) {
	err = d.read(ctx, what, func(ctx context.Context, s *statements) error {
		var raw sql.RawBytes
		return s.rows(ctx, query, values, func() error {
			doc, err := decode[D](raw)
			docs = append(docs, doc)
			return err
		}, &raw)
	})
	return docs, err
}

// readOne returns the stored form that a query finds, or store.ErrNotFound.
func readOne[D any](ctx context.Context, d *db, what, query string, values ...any) (doc D, err error) {
	err = d.read(ctx, what, func(ctx context.Context, s *statements) error {
		var raw []byte
		if err := s.row(ctx, query, values, &raw); err != nil {
			return err
		}
		doc, err = decode[D](raw)
		return err
	})
	return doc, err
}
