package mongo

import (
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

// auditPage is how many incidents an audit reads at a time; ledgerPage, how
// many ledgers; pageBytes, of how many bytes, because either may be large.
const (
	auditPage  = 256
	ledgerPage = 16
	pageBytes  = 16 << 20
	// pageTimeout is how long the server may take over a page: the compatible one
	// reads and sorts the whole collection before the first.
	pageTimeout = 10 * time.Minute
)

// InsertIncident implements store.Incidents.
func (d *db) InsertIncident(ctx context.Context, i *incident.Incident) error {
	return d.putOne(ctx, "insert incident", i, true, 0)
}

// ReplaceIncident implements store.Incidents.
func (d *db) ReplaceIncident(ctx context.Context, i *incident.Incident, wasRev int64) error {
	return d.putOne(ctx, "replace incident", i, false, wasRev)
}

var isBehind = bson.E{Key: "behind", Value: true}

var notBehind = bson.E{Key: "$unset", Value: bson.D{{Key: "behind", Value: ""}}}

// MarkFolded implements store.Incidents. An incident that went on meanwhile
// stays behind.
func (d *db) MarkFolded(ctx context.Context, id string, rev int64) error {
	return d.write(ctx, "mark folded", func(ctx context.Context) error { return d.markFolded(ctx, id, rev) })
}

// Incident implements store.Incidents.
func (d *db) Incident(ctx context.Context, id string) (*incident.Incident, error) {
	return d.oneIncident(ctx, byID(id))
}

// IncidentByReport implements store.Incidents.
func (d *db) IncidentByReport(ctx context.Context, reportID string) (*incident.Incident, error) {
	return d.oneIncident(ctx, bson.D{{Key: "reports.id", Value: reportID}})
}

// IncidentByReceipt implements store.Incidents.
func (d *db) IncidentByReceipt(ctx context.Context, receiptHash []byte) (*incident.Incident, error) {
	if len(receiptHash) == 0 {
		return nil, store.ErrNotFound
	}
	return d.oneIncident(ctx, bson.D{{Key: "reports.receipt", Value: receiptHash}})
}

func (d *db) oneIncident(ctx context.Context, filter bson.D) (*incident.Incident, error) {
	doc, err := findOne[incidentDoc](ctx, d, "read incident", incidents, filter)
	if err != nil {
		return nil, err
	}
	return toIncident(doc)
}

// ListIncidents implements store.Incidents.
func (d *db) ListIncidents(ctx context.Context, f store.Filter) (page []*incident.Incident, next string, err error) {
	after, notBefore, err := f.Start()
	if err != nil {
		return nil, "", err
	}
	filter, ok := listFilter(f, after, notBefore)
	if !ok {
		return nil, "", ctx.Err()
	}
	docs, err := find[incidentDoc](ctx, d, "list incidents", incidents, filter,
		options.Find().SetSort(newestFirst).SetLimit(int64(f.Limit)+1)) // one more: is there a next page?
	if err != nil {
		return nil, "", err
	}
	if page, err = toIncidents(docs); err != nil {
		return nil, "", err
	}
	if len(page) > f.Limit {
		page = page[:f.Limit]
		last := page[f.Limit-1]
		next = store.Position{OccurredAt: last.OccurredAt.UnixMilli(), ID: last.ID}.Cursor()
	}
	return page, next, nil
}

func toIncidents(docs []incidentDoc) ([]*incident.Incident, error) {
	page := make([]*incident.Incident, len(docs))
	for n, doc := range docs {
		var err error
		if page[n], err = toIncident(doc); err != nil {
			return nil, err
		}
	}
	return page, nil
}

var newestFirst = bson.D{{Key: "at", Value: -1}, {Key: "_id", Value: -1}}

// onlineChannels are the channels that Filter.Online selects.
var onlineChannels = slices.DeleteFunc(slices.Clone(incident.Channels), func(c incident.Channel) bool { return !c.IsOnline() })

// listFilter returns what finds the incidents of a filter that come after a
// position in the list and are not before an instant; not ok when there are
// none for sure. Nothing in it but values comes from outside.
func listFilter(f store.Filter, after store.Position, notBefore int64) (filter bson.D, ok bool) {
	from, to := time.UnixMilli(notBefore), time.UnixMilli(after.OccurredAt)
	filter = bson.D{
		{Key: "at", Value: bson.D{{Key: "$gte", Value: from}, {Key: "$lte", Value: to}}},
		{Key: "$or", Value: bson.A{
			bson.D{{Key: "at", Value: bson.D{{Key: "$lt", Value: to}}}},
			bson.D{{Key: "_id", Value: bson.D{{Key: "$lt", Value: after.ID}}}},
		}},
	}
	ok = true
	oneOf := func(field string, values []string) {
		values = slices.DeleteFunc(values, func(v string) bool { return !utf8.ValidString(v) }) // nothing stored equals them
		ok = ok && len(values) > 0
		filter = append(filter, bson.E{Key: field, Value: bson.D{{Key: "$in", Value: values}}})
	}
	if f.Sites != nil {
		oneOf("by.site", slices.Clone(f.Sites))
	}
	if len(f.Statuses) > 0 {
		oneOf("status", texts(f.Statuses...))
	}
	if f.Kind != "" {
		oneOf("by.kind", texts(f.Kind))
	}
	switch {
	case f.Channel != "" && f.Online && !f.Channel.IsOnline():
		ok = false
	case f.Channel != "":
		oneOf("by.channel", texts(f.Channel))
	case f.Online:
		oneOf("by.channel", texts(onlineChannels...))
	}
	if f.Target != "" {
		oneOf("by.target", texts(f.Target))
	}
	if f.Review {
		filter = append(filter, bson.E{Key: "review", Value: true})
	}
	if f.Nothing {
		filter = append(filter, bson.E{Key: "by.nothing", Value: true})
	}
	if f.Undated {
		filter = append(filter, bson.E{Key: "by.undated", Value: true})
	}
	return filter, ok
}

func texts[T ~string](values ...T) []string {
	return each(values, func(v T) string { return string(v) })
}

// CountIncidents implements store.Incidents.
func (d *db) CountIncidents(ctx context.Context, f store.Filter, most int) (int, error) {
	before, notBefore := f.Range()
	filter, ok := listFilter(f, before, notBefore)
	if !ok || most <= 0 {
		return 0, ctx.Err()
	}
	var count int64
	err := d.read(ctx, "count incidents", func(ctx context.Context) (err error) {
		count, err = d.collection(incidents).CountDocuments(ctx, filter, options.Count().SetLimit(int64(most)))
		return err
	})
	return int(count), err
}

// Unfolded implements store.Incidents.
func (d *db) Unfolded(ctx context.Context, limit int) (ids []string, err error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	docs, err := find[incidentDoc](ctx, d, "unfolded", incidents, bson.D{isBehind},
		options.Find().SetLimit(int64(limit)).SetProjection(bson.D{{Key: "rev", Value: 1}, {Key: "folded", Value: 1}}))
	for _, doc := range docs {
		if doc.Body.Rev > doc.Folded {
			ids = append(ids, doc.ID)
		}
	}
	return ids, err
}

// KeepLesson implements store.Incidents. It leaves the revision's write as it is.
func (d *db) KeepLesson(ctx context.Context, i *incident.Incident) error {
	lesson := bson.E{Key: "detail.lesson", Value: lessonDoc(i.Lesson)}
	change := bson.D{{Key: "$set", Value: bson.D{lesson}}, {Key: "$unset", Value: bson.D{{Key: "lesson_due", Value: ""}}}}
	if i.LessonDue() {
		change = bson.D{{Key: "$set", Value: bson.D{lesson, {Key: "lesson_due", Value: true}}}}
	}
	return d.write(ctx, "keep lesson", func(ctx context.Context) error {
		result, err := d.collection(incidents).UpdateOne(ctx, ofRev(i.ID, i.Rev), change)
		if err != nil || result.MatchedCount > 0 {
			return err
		}
		switch last, err := d.lastWrite(ctx, incidents, i.ID); {
		case err != nil:
			return err
		case last.Rev == i.Rev:
			return errUnsettled
		}
		return store.ErrStale
	})
}

// LessonsDue implements store.Incidents.
func (d *db) LessonsDue(ctx context.Context, after string, limit int) ([]string, error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	docs, err := find[struct {
		ID string `bson:"_id"`
	}](ctx, d, "lessons due", incidents,
		bson.D{{Key: "lesson_due", Value: true}, {Key: "_id", Value: bson.D{{Key: "$gt", Value: after}}}},
		options.Find().SetProjection(byID(1)).SetSort(byID(1)).SetLimit(int64(limit)))
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(docs))
	for n, doc := range docs {
		ids[n] = doc.ID
	}
	return ids, nil
}

// EachIncident implements store.Incidents. It reads a page at a time and holds
// nothing open while it looks at one.
func (d *db) EachIncident(ctx context.Context, fn func(*incident.Incident) error) error {
	return eachDoc(ctx, d, "each incident", incidents, func(doc incidentDoc) (string, error) {
		i, err := toIncident(doc)
		if err != nil {
			return "", err
		}
		return doc.ID, fn(i)
	})
}

// eachDoc calls fn with every document of a collection in order of id, which
// fn returns. It stops at fn's first error.
func eachDoc[D any](ctx context.Context, d *db, what, collection string, fn func(D) (id string, err error)) error {
	return eachPage(ctx, d, what, collection, auditPage, func(page []D) (last string, err error) {
		for _, doc := range page {
			if last, err = fn(doc); err != nil {
				return "", err
			}
		}
		return last, nil
	})
}

// eachPage calls fn with the documents of a collection, size at a time, fewer
// where they come to pageBytes, and in order of id, of which fn returns the
// last. It stops at fn's first error.
//
// One query reads all of them, so that a server that has to look through the
// whole collection does it once. When its cursor is lost, to a broken connection,
// an election or the server’s patience, another begins after the last.
func eachPage[D any](ctx context.Context, d *db, what, collection string, size int, fn func(page []D) (last string, err error)) error {
	var open *mongo.Cursor
	defer func() { closeCursor(ctx, open) }()
	filter := bson.D{}
	for {
		var page []D
		var ended bool
		err := d.read(ctx, what, func(ctx context.Context) (err error) {
			ctx, cancel := context.WithTimeout(ctx, pageTimeout)
			defer cancel()
			page, ended = nil, false // of an attempt that broke
			if open == nil {
				open, err = d.collection(collection).Find(ctx, filter,
					options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(int32(size)))
				if err != nil {
					return err
				}
			}
			for weight := 0; len(page) < size && weight < pageBytes; weight += len(open.Current) {
				if ended = !open.Next(ctx); ended {
					break
				}
				var doc D
				if err := open.Decode(&doc); err != nil {
					return err
				}
				page = append(page, doc)
			}
			if err = open.Err(); err != nil {
				closeCursor(ctx, open)
				open = nil
			}
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		last, err := fn(page)
		if err != nil || ended {
			return err
		}
		filter = byID(bson.D{{Key: "$gt", Value: last}})
	}
}

// closeCursor has the server forget a cursor, if there is one. When it cannot be
// told, it forgets by itself.
func closeCursor(ctx context.Context, c *mongo.Cursor) {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), firstTry)
	defer cancel()
	_ = c.Close(ctx)
}

// KeepPending implements store.Incidents.
func (d *db) KeepPending(ctx context.Context, p store.Pending) error {
	return d.write(ctx, "keep pending", func(ctx context.Context) error {
		_, err := d.collection(pending).InsertOne(ctx, toPendingDoc(p))
		if mongo.IsDuplicateKeyError(err) {
			return nil
		}
		return err
	})
}

// Pending implements store.Incidents.
func (d *db) Pending(ctx context.Context, reportID string) ([]store.Pending, error) {
	docs, err := find[pendingDoc](ctx, d, "pending", pending, bson.D{{Key: "report", Value: reportID}},
		options.Find().SetSort(bson.D{{Key: "seq", Value: 1}}))
	return each(docs, toPending), err
}

// EachPending implements store.Incidents.
func (d *db) EachPending(ctx context.Context, fn func(store.Pending) error) error {
	return eachDoc(ctx, d, "each pending", pending, func(doc pendingDoc) (string, error) {
		return doc.Subject, fn(toPending(doc))
	})
}

// DropPending implements store.Incidents.
func (d *db) DropPending(ctx context.Context, reportID string) error {
	return d.deleteMany(ctx, "drop pending", pending, bson.D{{Key: "report", Value: reportID}})
}

func (d *db) deleteMany(ctx context.Context, what, collection string, filter bson.D) error {
	return d.write(ctx, what, func(ctx context.Context) error {
		_, err := d.collection(collection).DeleteMany(ctx, filter)
		return err
	})
}
