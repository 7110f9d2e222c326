package mongo

import (
	"cmp"
	"context"
	"slices"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// arrivalDoc is what the index of arrivals holds of an incident.
type arrivalDoc struct {
	By struct {
		Site string `bson:"site"`
	} `bson:"by"`
	Detail struct {
		ReceivedAt time.Time `bson:"received"`
	} `bson:"detail"`
}

// CountArrivals implements store.Floods. The server reads the index alone; the
// hours are counted here, because not every server cuts a time to its hour.
func (d *db) CountArrivals(ctx context.Context, sites []string, from time.Time) ([]store.Arrivals, error) {
	filter := bson.D{{Key: "detail.received", Value: bson.D{{Key: "$gte", Value: from}}}}
	if sites != nil {
		sites = slices.DeleteFunc(slices.Clone(sites), func(s string) bool { return !utf8.ValidString(s) })
		filter = append(filter, bson.E{Key: "by.site", Value: bson.D{{Key: "$in", Value: append([]string{}, sites...)}}})
	}
	docs, err := find[arrivalDoc](ctx, d, "count arrivals", incidents, filter,
		options.Find().SetProjection(bson.D{{Key: "_id", Value: 0}, {Key: "by.site", Value: 1}, {Key: "detail.received", Value: 1}}))
	if err != nil {
		return nil, err
	}
	type place struct {
		site string
		hour int64
	}
	counts := make(map[place]int)
	for _, doc := range docs {
		counts[place{doc.By.Site, store.HourOf(doc.Detail.ReceivedAt)}]++
	}
	var found []store.Arrivals
	for p, n := range counts {
		found = append(found, store.Arrivals{Site: p.site, Hour: store.BeginningOf(p.hour), Incidents: n})
	}
	slices.SortFunc(found, func(a, b store.Arrivals) int { return cmp.Or(cmp.Compare(a.Site, b.Site), a.Hour.Compare(b.Hour)) })
	return found, nil
}

// ListReceived implements store.Floods.
func (d *db) ListReceived(ctx context.Context, r store.Received) ([]*incident.Incident, error) {
	at, id, limit, err := r.Start()
	if err != nil {
		return nil, err
	}
	if !utf8.ValidString(r.Site) {
		return nil, ctx.Err()
	}
	after := time.UnixMilli(at)
	docs, err := find[incidentDoc](ctx, d, "list received", incidents, bson.D{
		{Key: "detail.received", Value: bson.D{{Key: "$gte", Value: after}, {Key: "$lt", Value: r.To}}},
		{Key: "by.site", Value: r.Site},
		{Key: "$or", Value: bson.A{
			bson.D{{Key: "detail.received", Value: bson.D{{Key: "$gt", Value: after}}}},
			bson.D{{Key: "_id", Value: bson.D{{Key: "$gt", Value: id}}}},
		}},
	}, options.Find().SetSort(bson.D{{Key: "detail.received", Value: 1}, {Key: "_id", Value: 1}}).SetLimit(int64(limit)))
	if err != nil {
		return nil, err
	}
	return toIncidents(docs)
}

// InsertJointChange implements store.Floods.
func (d *db) InsertJointChange(ctx context.Context, c *store.JointChange) error {
	if err := store.CheckJointChange(c); err != nil {
		return err
	}
	doc := toJointChangeDoc(c, bson.NewObjectID())
	return d.write(ctx, "insert joint change", func(ctx context.Context) error {
		return d.insert(ctx, jointChanges, doc.ID, doc.Write, doc)
	})
}

// ReplaceJointChange implements store.Floods.
func (d *db) ReplaceJointChange(ctx context.Context, c *store.JointChange, wasRev int64) error {
	if err := store.CheckJointChange(c); err != nil {
		return err
	}
	doc := toJointChangeDoc(c, bson.NewObjectID())
	return d.write(ctx, "replace joint change", func(ctx context.Context) error {
		return d.update(ctx, jointChanges, doc.ID, doc.Write, wasRev, func(filter bson.D) (*mongo.UpdateResult, error) {
			return d.collection(jointChanges).ReplaceOne(ctx, filter, doc)
		})
	})
}

// JointChanges implements store.Floods.
func (d *db) JointChanges(ctx context.Context, flood string) ([]*store.JointChange, error) {
	if flood == "" {
		return d.jointChanges(ctx, bson.D{})
	}
	return d.jointChanges(ctx, bson.D{{Key: "flood", Value: flood}})
}

// UnfinishedJointChanges implements store.Floods.
func (d *db) UnfinishedJointChanges(ctx context.Context) ([]*store.JointChange, error) {
	return d.jointChanges(ctx, bson.D{{Key: "open", Value: true}})
}

func (d *db) jointChanges(ctx context.Context, filter bson.D) ([]*store.JointChange, error) {
	docs, err := find[jointChangeDoc](ctx, d, "joint changes", jointChanges, filter,
		options.Find().SetSort(bson.D{{Key: "at", Value: 1}, {Key: "_id", Value: 1}}))
	return each(docs, toJointChange), err
}

// jointChangeDoc is what a person does to many incidents at once.
type jointChangeDoc struct {
	ID           string          `bson:"_id"`
	Write        bson.ObjectID   `bson:"w"`
	Rev          int64           `bson:"rev"`
	Flood        string          `bson:"flood"`
	Open         bool            `bson:"open"`
	Action       incident.Action `bson:"do"`
	Of           string          `bson:"of,omitempty"`
	Incidents    []string        `bson:"incidents"`
	Done         int             `bson:"done"`
	By           actorDoc        `bson:"by"`
	At           time.Time       `bson:"at"`
	WrappedKey   []byte          `bson:"key,omitempty"`
	SealedReason []byte          `bson:"why,omitempty"`
}

func toJointChangeDoc(c *store.JointChange, write bson.ObjectID) jointChangeDoc {
	return jointChangeDoc{c.ID, write, c.Rev, c.Flood, !c.Finished(), c.Action, c.Of, c.Incidents, c.Done, actorDoc(c.By), c.At, c.WrappedKey, c.SealedReason}
}

func toJointChange(d jointChangeDoc) *store.JointChange {
	return &store.JointChange{ID: d.ID, Rev: d.Rev, Flood: d.Flood, Action: d.Action, Of: d.Of, Incidents: d.Incidents, Done: d.Done,
		By: incident.Actor(d.By), At: d.At, WrappedKey: d.WrappedKey, SealedReason: d.SealedReason}
}
