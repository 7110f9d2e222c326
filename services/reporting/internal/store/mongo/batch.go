package mongo

import (
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

var _ store.Batcher = (*db)(nil)

// IncidentsByReports implements store.Batcher.
func (d *db) IncidentsByReports(ctx context.Context, reportIDs []string) ([]*incident.Incident, error) {
	docs, err := find[incidentDoc](ctx, d, "read incidents", incidents, bson.D{{Key: "reports.id", Value: among(reportIDs)}})
	if err != nil {
		return nil, err
	}
	return toIncidents(docs)
}

func among(values []string) bson.D {
	return bson.D{{Key: "$in", Value: append([]string{}, values...)}}
}

// PendingOf implements store.Batcher.
func (d *db) PendingOf(ctx context.Context, reportIDs []string) ([]store.Pending, error) {
	docs, err := find[pendingDoc](ctx, d, "pending", pending, bson.D{{Key: "report", Value: among(reportIDs)}},
		options.Find().SetSort(bson.D{{Key: "seq", Value: 1}}))
	return each(docs, toPending), err
}

// updatesAtOnce is how many updates one command carries. The compatible server
// holds a connection for each until the command ends, and stands still when it
// has no more of its hundred.
const updatesAtOnce = 32

// PutIncidents implements store.Batcher, in a few journeys. When a guard refused
// any of them, they go again one by one, each known by its write, and the first
// refusal is the answer.
func (d *db) PutIncidents(ctx context.Context, puts []store.Put) error {
	if len(puts) == 0 {
		return ctx.Err()
	}
	changes := make([]change, len(puts))
	var inserts, updates []mongo.WriteModel
	for n, put := range puts {
		c, err := toChangeOf(put.Incident, put.WasRev == 0, put.WasRev)
		if err != nil {
			return fmt.Errorf("put incidents: %w", err)
		}
		changes[n] = c
		if c.update == nil {
			inserts = append(inserts, mongo.NewInsertOneModel().SetDocument(c.doc))
		} else {
			updates = append(updates, mongo.NewUpdateOneModel().SetFilter(ofRev(c.id, c.wasRev)).SetUpdate(c.update))
		}
	}
	return d.write(ctx, "put incidents", func(ctx context.Context) error {
		done, err := d.putAll(ctx, inserts, updates)
		if done || err != nil {
			return err
		}
		for _, c := range changes {
			if err := c.do(ctx, d.conn); err != nil {
				return err
			}
		}
		return nil
	})
}

// putAll writes incidents and reports whether each was written: no insert met
// another incident, and as many updates found theirs as there are.
func (c *conn) putAll(ctx context.Context, inserts, updates []mongo.WriteModel) (done bool, err error) {
	parts := slices.Collect(slices.Chunk(updates, updatesAtOnce))
	if len(inserts) > 0 {
		parts = append(parts, inserts)
	}
	var found int64
	for _, part := range parts {
		result, err := c.collection(incidents).BulkWrite(ctx, part, options.BulkWrite().SetOrdered(false))
		if mongo.IsDuplicateKeyError(err) && !mayRepeat(err) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		found += result.MatchedCount
	}
	return found == int64(len(updates)), nil
}

// MarkAllFolded implements store.Batcher. Those of the same revision are marked
// by one command.
func (d *db) MarkAllFolded(ctx context.Context, folded []*incident.Incident) error {
	ofRev := make(map[int64][]string)
	for _, i := range folded {
		ofRev[i.Rev] = append(ofRev[i.Rev], i.ID)
	}
	for rev, ids := range ofRev {
		if len(ids) == 1 {
			if err := d.MarkFolded(ctx, ids[0], rev); err != nil {
				return err
			}
			continue
		}
		err := d.write(ctx, "mark folded", func(ctx context.Context) error {
			filter, change := upToDate(among(ids), rev)
			filter = append(filter, isBehind) // there are few of them, however many incidents there are
			result, err := d.collection(incidents).UpdateMany(ctx, filter, change)
			if err != nil || result.MatchedCount == int64(len(ids)) {
				return err
			}
			for _, id := range ids { // some went on meanwhile, or were marked
				if err := d.markFolded(ctx, id, rev); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// change is an incident on its way into the store, in a write of its own.
type change struct {
	id     string
	write  bson.ObjectID
	doc    incidentDoc // of a new one
	wasRev int64       // of another
	update bson.D      // of another; nil for a new one
}

func toChangeOf(i *incident.Incident, isNew bool, wasRev int64) (change, error) {
	c := change{id: i.ID, write: bson.NewObjectID(), wasRev: wasRev}
	body, err := toBody(i, c.write)
	if err != nil {
		return c, err
	}
	behind, due := i.FoldedRev < i.Rev, i.LessonDue()
	if isNew {
		c.doc = incidentDoc{ID: i.ID, Folded: i.FoldedRev, Behind: behind, Due: due, Body: body}
		return c, nil
	}
	// Everything but what the ledgers include, which another instance may have
	// raised in between.
	c.update = bson.D{{Key: "$max", Value: bson.D{{Key: "folded", Value: i.FoldedRev}}}, {Key: "$set", Value: struct {
		Body   incidentBody `bson:",inline"`
		Behind bool         `bson:"behind,omitempty"`
		Due    bool         `bson:"lesson_due,omitempty"`
	}{body, behind, due}}}
	var gone bson.D
	if !behind {
		gone = append(gone, bson.E{Key: "behind", Value: ""})
	}
	if !due {
		gone = append(gone, bson.E{Key: "lesson_due", Value: ""})
	}
	if len(gone) > 0 {
		c.update = append(c.update, bson.E{Key: "$unset", Value: gone})
	}
	return c, nil
}

// do makes the change by itself, with the port's answers.
func (c change) do(ctx context.Context, to *conn) error {
	if c.update == nil {
		return to.insert(ctx, incidents, c.id, c.write, c.doc)
	}
	return to.update(ctx, incidents, c.id, c.write, c.wasRev, func(filter bson.D) (*mongo.UpdateResult, error) {
		return to.collection(incidents).UpdateOne(ctx, filter, c.update)
	})
}

// upToDate returns what marks incidents as folded at a revision that they have,
// and finds none that went on.
func upToDate(id any, rev int64) (filter, change bson.D) {
	return bson.D{{Key: "_id", Value: id}, {Key: "rev", Value: bson.D{{Key: "$lte", Value: rev}}}}, bson.D{raiseFolded(rev), notBehind}
}

func raiseFolded(rev int64) bson.E {
	return bson.E{Key: "$max", Value: bson.D{{Key: "folded", Value: rev}}}
}

// markFolded marks one, also one that went on: that stays behind.
func (c *conn) markFolded(ctx context.Context, id string, rev int64) error {
	filter, change := upToDate(id, rev)
	result, err := c.collection(incidents).UpdateOne(ctx, filter, change)
	if err != nil || result.MatchedCount > 0 {
		return err
	}
	result, err = c.collection(incidents).UpdateOne(ctx, byID(id), bson.D{raiseFolded(rev)})
	if err == nil && result.MatchedCount == 0 {
		return store.ErrNotFound
	}
	return err
}

// putOne stores one incident by itself.
func (d *db) putOne(ctx context.Context, what string, i *incident.Incident, isNew bool, wasRev int64) error {
	c, err := toChangeOf(i, isNew, wasRev)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return d.write(ctx, what, func(ctx context.Context) error { return c.do(ctx, d.conn) })
}
