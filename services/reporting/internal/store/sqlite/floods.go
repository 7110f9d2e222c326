package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// CountArrivals implements store.Floods. It reads the index alone.
func (d *db) CountArrivals(ctx context.Context, sites []string, from time.Time) (found []store.Arrivals, err error) {
	query, values := `SELECT site, received_at / ? AS hour, count(*) FROM incidents INDEXED BY incidents_by_arrival WHERE received_at >= ?`,
		args(hourMillis, max(from.UnixMilli(), 1))
	if sites != nil {
		query, values = query+` AND site IN (SELECT value FROM json_each(?))`, append(values, set(sites))
	}
	err = d.read(ctx, "count arrivals", func(ctx context.Context, s *statements) error {
		var site string
		var hour int64
		var n int
		return s.rows(ctx, query+` GROUP BY site, hour ORDER BY site, hour`, values, func() error {
			found = append(found, store.Arrivals{Site: site, Hour: store.BeginningOf(hour), Incidents: n})
			return nil
		}, &site, &hour, &n)
	})
	return found, err
}

const hourMillis = int64(time.Hour / time.Millisecond)

// ListReceived implements store.Floods.
func (d *db) ListReceived(ctx context.Context, r store.Received) (page []*incident.Incident, err error) {
	at, id, limit, err := r.Start()
	if err != nil {
		return nil, err
	}
	err = d.read(ctx, "list received", func(ctx context.Context, s *statements) error {
		var doc sql.RawBytes
		var foldedRev int64
		return s.rows(ctx, `SELECT doc, folded_rev FROM incidents INDEXED BY incidents_by_arrival
			WHERE received_at >= ? AND received_at < ? AND site = ? AND (received_at, id) > (?, ?) ORDER BY received_at, id LIMIT ?`,
			args(max(at, 1), r.To.UnixMilli(), r.Site, at, id, limit), func() error {
				i, err := decodeIncident(doc, foldedRev)
				page = append(page, i)
				return err
			}, &doc, &foldedRev)
	})
	return page, err
}

// InsertJointChange implements store.Floods.
func (d *db) InsertJointChange(ctx context.Context, c *store.JointChange) error {
	if err := store.CheckJointChange(c); err != nil {
		return err
	}
	doc, err := json.Marshal(toJointChangeDoc(c))
	if err != nil {
		return fmt.Errorf("insert joint change: %w", err)
	}
	return d.write(ctx, "insert joint change", func(ctx context.Context, s *statements) error {
		n, err := s.exec(ctx, `INSERT INTO joint_changes (id, rev, flood, made_at, open, doc) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			c.ID, c.Rev, c.Flood, c.At.UnixMilli(), !c.Finished(), doc)
		if err == nil && n == 0 {
			return store.ErrExists
		}
		return err
	})
}

// ReplaceJointChange implements store.Floods.
func (d *db) ReplaceJointChange(ctx context.Context, c *store.JointChange, wasRev int64) error {
	if err := store.CheckJointChange(c); err != nil {
		return err
	}
	doc, err := json.Marshal(toJointChangeDoc(c))
	if err != nil {
		return fmt.Errorf("replace joint change: %w", err)
	}
	return d.write(ctx, "replace joint change", func(ctx context.Context, s *statements) error {
		var rev int64
		if err := s.row(ctx, `SELECT rev FROM joint_changes WHERE id = ?`, args(c.ID), &rev); err != nil {
			return err
		}
		if rev != wasRev {
			return store.ErrStale
		}
		_, err := s.exec(ctx, `UPDATE joint_changes SET rev = ?, flood = ?, made_at = ?, open = ?, doc = ? WHERE id = ?`,
			c.Rev, c.Flood, c.At.UnixMilli(), !c.Finished(), doc, c.ID)
		return err
	})
}

// JointChanges implements store.Floods.
func (d *db) JointChanges(ctx context.Context, flood string) ([]*store.JointChange, error) {
	if flood == "" {
		return d.jointChanges(ctx, `SELECT doc FROM joint_changes ORDER BY made_at, id`)
	}
	return d.jointChanges(ctx, `SELECT doc FROM joint_changes WHERE flood = ? ORDER BY made_at, id`, flood)
}

// UnfinishedJointChanges implements store.Floods.
func (d *db) UnfinishedJointChanges(ctx context.Context) ([]*store.JointChange, error) {
	return d.jointChanges(ctx, `SELECT doc FROM joint_changes INDEXED BY joint_changes_open WHERE open = 1 ORDER BY made_at, id`)
}

func (d *db) jointChanges(ctx context.Context, query string, values ...any) ([]*store.JointChange, error) {
	docs, err := readAll[jointChangeDoc](ctx, d, "joint changes", query, values...)
	return each(docs, toJointChange), err
}

type jointChangeDoc struct {
	ID           string          `json:"id"`
	Rev          int64           `json:"rev"`
	Flood        string          `json:"flood,omitempty"`
	Action       incident.Action `json:"do,omitempty"`
	Of           string          `json:"of,omitempty"`
	Incidents    []string        `json:"inc,omitempty"`
	Done         int             `json:"done,omitempty"`
	By           actorDoc        `json:"by,omitzero"`
	At           time.Time       `json:"at,omitzero"`
	WrappedKey   []byte          `json:"key,omitempty"`
	SealedReason []byte          `json:"why,omitempty"`
}

func toJointChangeDoc(c *store.JointChange) jointChangeDoc {
	return jointChangeDoc{c.ID, c.Rev, c.Flood, c.Action, c.Of, c.Incidents, c.Done, actorDoc(c.By), c.At.UTC(), c.WrappedKey, c.SealedReason}
}

func toJointChange(d jointChangeDoc) *store.JointChange {
	return &store.JointChange{ID: d.ID, Rev: d.Rev, Flood: d.Flood, Action: d.Action, Of: d.Of, Incidents: d.Incidents, Done: d.Done,
		By: incident.Actor(d.By), At: d.At, WrappedKey: d.WrappedKey, SealedReason: d.SealedReason}
}
