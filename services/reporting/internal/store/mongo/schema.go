package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/pkg/incident"
)

// The collections; package documentation has their keys.
const (
	incidents    = "incidents"
	pending      = "pending"
	ledgers      = "ledgers"
	ledgerLines  = "ledger_lines"
	rollups      = "rollups"
	users        = "users"
	tokens       = "tokens"
	sessions     = "sessions"
	directory    = "directory"
	quarantine   = "quarantine"
	photos       = "photos"
	photoBytes   = "photo_bytes" // GridFS: .files and .chunks
	editions     = "editions"
	jointChanges = "joint_changes"
	meta         = "meta"
	checks       = "checks"
	schema       = "schema"
)

// plain are the collections that need no index but that of their key.
var plain = []string{ledgerLines, rollups, editions, directory, meta, checks}

// index is one that is made at start.
type index struct {
	collection, name string
	keys             bson.D
	unique           bool
}

func ascending(fields ...string) bson.D {
	return each(fields, func(f string) bson.E { return bson.E{Key: f, Value: int32(1)} })
}

// byTime is ascending with the order of lists behind it.
func byTime(fields ...string) bson.D {
	return append(ascending(fields...), bson.E{Key: "at", Value: int32(-1)}, bson.E{Key: "_id", Value: int32(-1)})
}

var indexes = []index{
	{incidents, "incidents_by_time", byTime(), false},
	{incidents, "incidents_by_site", byTime("by.site"), false},
	{incidents, "incidents_by_status", byTime("status"), false},
	{incidents, "incidents_by_kind", byTime("by.kind"), false},
	{incidents, "incidents_by_channel", byTime("by.channel"), false},
	{incidents, "incidents_by_target", byTime("by.target"), false},
	{incidents, "incidents_by_review", byTime("review"), false},
	{incidents, "incidents_by_nothing", byTime("by.nothing"), false},
	{incidents, "incidents_by_undated", byTime("by.undated"), false},
	{incidents, "incidents_by_arrival", ascending("detail.received", "by.site", "_id"), false},
	{jointChanges, "joint_changes_by_flood", ascending("flood", "at", "_id"), false},
	{jointChanges, "joint_changes_by_age", ascending("at", "_id"), false},
	{jointChanges, "joint_changes_open", ascending("open", "at", "_id"), false},
	{incidents, "incidents_by_month", ascending("by.month", "counted"), false},
	{incidents, "incidents_by_report", ascending("reports.id"), false},
	{incidents, "incidents_by_receipt", ascending("reports.receipt"), false},
	{incidents, "incidents_behind", ascending("behind"), false},
	{incidents, "incidents_lesson_due", ascending("lesson_due", "_id"), false},
	{pending, "pending_by_report", ascending("report", "seq"), false},
	{ledgers, "ledgers_by_month", ascending("month", "site"), false},
	{ledgers, "ledgers_by_site", ascending("site", "month"), false},
	{users, "users_by_name", ascending("name_key"), true},
	{tokens, "tokens_by_hash", ascending("hash"), true},
	{tokens, "tokens_by_age", bson.D{{Key: "made", Value: int32(-1)}, {Key: "_id", Value: int32(-1)}}, false},
	{sessions, "sessions_by_user", ascending("user"), false},
	{sessions, "sessions_by_seen", ascending("seen"), false},
	{quarantine, "quarantine_by_age", ascending("at", "_id"), false},
	{photos, "photos_by_incident", ascending("incident", "made", "_id"), false},
	{photos, "photos_by_report", ascending("report", "made", "_id"), false},
	// The driver wants these two under its own names.
	{photoBytes + ".files", "filename_1_uploadDate_1", ascending("filename", "uploadDate"), false},
	{photoBytes + ".chunks", "files_id_1_n_1", ascending("files_id", "n"), true},
}

// migration brings a database from one version to the next. It may be cut off
// and begun again, by another instance as well.
type migration func(context.Context, *conn) error

// Migrations are applied in order, each once. Add new ones at the end; never
// change one that was released. Collections and indexes are no part of them:
// what is missing is made at each start.
var migrations = []migration{
	func(context.Context, *conn) error { return nil }, // the first version
	moveLines,
	whatReportersSaid,
	lessonsFromBefore,
	func(context.Context, *conn) error { return nil }, // ledgers say of what nobody knows when it happened: nothing did before
}

// moveLines takes the lines of ledgers out of the documents that figures read.
// Reading a ledger does it, and goes on with one that was cut off.
func moveLines(ctx context.Context, c *conn) error {
	d := &db{conn: c}
	return eachPage(ctx, d, "each ledger", ledgers, ledgerPage, func(page []ledgerDoc) (last string, err error) {
		for _, doc := range page {
			if doc.Totals == nil {
				if _, err := d.ledger(ctx, doc.ID); err != nil {
					return "", err
				}
			}
			last = doc.ID
		}
		return last, nil
	})
}

// whatReportersSaid marks the incidents of which a reporter has said that
// nothing happened. Their ledgers are behind: the next sweep puts their lines
// anew.
func whatReportersSaid(ctx context.Context, c *conn) error {
	cursor, err := c.collection(incidents).Find(ctx, bson.D{{Key: "$or", Value: bson.A{
		bson.D{{Key: "detail.timeline.field", Value: incident.FieldNothingHappened}},
		bson.D{{Key: "detail.timeline.do", Value: incident.ActionReopened}},
	}}})
	if err != nil {
		return err
	}
	defer func() { _ = cursor.Close(ctx) }()
	for cursor.Next(ctx) {
		var doc incidentDoc
		if err := cursor.Decode(&doc); err != nil {
			return err
		}
		i, err := toIncident(doc)
		if err != nil {
			return err
		}
		if !i.NothingHappened() {
			continue
		}
		_, err = c.collection(incidents).UpdateOne(ctx, bson.D{{Key: "_id", Value: doc.ID}, {Key: "rev", Value: doc.Body.Rev}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "by.nothing", Value: true}, {Key: "folded", Value: int64(0)}, {Key: "behind", Value: true}}}})
		if err != nil {
			return err
		}
	}
	return cursor.Err()
}

// lessonsFromBefore has whoever publishes corrections look at those from before
// it did.
func lessonsFromBefore(ctx context.Context, c *conn) error {
	_, err := c.collection(incidents).UpdateMany(ctx,
		bson.D{{Key: "detail.timeline.do", Value: incident.ActionCorrected}},
		bson.D{{Key: "$set", Value: bson.D{{Key: "lesson_due", Value: true}}}})
	return err
}

// schemaDoc says how far the database is.
type schemaDoc struct {
	ID      string `bson:"_id"`
	Version int    `bson:"version"`
}

const schemaID = "onrecord"

// prepare brings the database up to date: its version, collections and indexes.
// It refuses one that a newer release wrote, and one that holds other things.
func (c *conn) prepare(ctx context.Context, migrations []migration) error {
	version, err := c.version(ctx)
	if err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("the database has version %d and this program knows up to %d: it was written by a newer release, use that one", version, len(migrations))
	}
	if err := c.ensureCollections(ctx); err != nil {
		return err
	}
	for ; version < len(migrations); version++ {
		if err := migrations[version](ctx, c); err != nil {
			return fmt.Errorf("migration %d: %w", version+1, err)
		}
		// Another instance may have got further in the meantime.
		_, err := c.collection(schema).UpdateOne(ctx, bson.D{{Key: "_id", Value: schemaID}, {Key: "version", Value: version}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "version", Value: version + 1}}}})
		if err != nil {
			return err
		}
	}
	return nil
}

// version returns how many migrations the database has had, 0 for a new one,
// which is marked as ours before anything else is made in it.
func (c *conn) version(ctx context.Context) (int, error) {
	version, err := c.mark(ctx)
	if !errors.Is(err, mongo.ErrNoDocuments) {
		return version, err
	}
	names, err := c.db.ListCollectionNames(ctx, bson.D{})
	if err != nil {
		return 0, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == schema || strings.HasPrefix(name, "system.") })
	if len(names) > 0 {
		if version, err := c.mark(ctx); !errors.Is(err, mongo.ErrNoDocuments) { // another instance began in between
			return version, err
		}
		return 0, fmt.Errorf("the database %q is another program’s: it holds %s; give one of its own", c.db.Name(), strings.Join(names, ", "))
	}
	_, err = c.collection(schema).InsertOne(ctx, schemaDoc{ID: schemaID})
	if mongo.IsDuplicateKeyError(err) { // another instance begins as well
		err = nil
	}
	return 0, err
}

// mark returns the version that stands in the database, or mongo.ErrNoDocuments.
func (c *conn) mark(ctx context.Context) (int, error) {
	var doc schemaDoc
	err := c.collection(schema).FindOne(ctx, byID(schemaID)).Decode(&doc)
	return doc.Version, err
}

// namespaceExists is the server's code for a collection that is there already.
const namespaceExists = 48

func (c *conn) ensureCollections(ctx context.Context) error {
	for _, name := range plain {
		err := c.db.CreateCollection(ctx, name)
		var refused mongo.ServerError
		if err != nil && !(errors.As(err, &refused) && refused.HasErrorCode(namespaceExists)) {
			return fmt.Errorf("collection %s: %w", name, err)
		}
	}
	known := make(map[string][]knownIndex)
	for _, want := range indexes {
		if _, ok := known[want.collection]; !ok {
			found, err := c.knownIndexes(ctx, want.collection)
			if err != nil {
				return fmt.Errorf("indexes of %s: %w", want.collection, err)
			}
			known[want.collection] = append([]knownIndex{}, found...)
		}
		if err := c.ensureIndex(ctx, want, known[want.collection]); err != nil {
			return fmt.Errorf("index %s of collection %s: %w", want.name, want.collection, err)
		}
	}
	return nil
}

// knownIndex is an index that is there, as the server describes it.
type knownIndex struct {
	Name    string        `bson:"name"`
	Keys    bson.Raw      `bson:"key"`
	Unique  bson.RawValue `bson:"unique"`
	Sparse  bson.RawValue `bson:"sparse"`
	Expires bson.RawValue `bson:"expireAfterSeconds"`
	Partial bson.RawValue `bson:"partialFilterExpression"`
	Order   bson.RawValue `bson:"collation"`
}

// isSet reports whether an option is there and neither false nor 0: older
// servers have kept either for a boolean.
func isSet(v bson.RawValue) bool {
	if n, ok := v.AsInt64OK(); ok {
		return n != 0
	}
	set, ok := v.BooleanOK()
	return ok && set
}

// not says what an index has that ours have not: "" for none. With any of it, it
// leaves out documents that are looked for by it, removes them, or takes two names
// for one.
func (is knownIndex) not() string {
	var has []string
	for _, option := range []struct {
		name string
		has  bool
	}{{"sparse", isSet(is.Sparse)}, {"expireAfterSeconds", !is.Expires.IsZero()}, {"partialFilterExpression", !is.Partial.IsZero()}, {"collation", !is.Order.IsZero()}} {
		if option.has {
			has = append(has, option.name)
		}
	}
	return strings.Join(has, ", ")
}

// knownIndexes returns the indexes of a collection, none when there is no such
// collection.
func (c *conn) knownIndexes(ctx context.Context, collection string) (found []knownIndex, err error) {
	cursor, err := c.collection(collection).Indexes().List(ctx)
	if err == nil {
		err = cursor.All(ctx, &found)
	}
	if isNoNamespace(err) {
		err = nil
	}
	return found, err
}

// isNoNamespace reports whether a server says that there is no such collection.
func isNoNamespace(err error) bool {
	var refused mongo.ServerError
	return errors.As(err, &refused) && refused.HasErrorCode(26)
}

// ensureIndex makes an index unless it is there, and refuses one of the same
// name, or on the same fields, that is another.
func (c *conn) ensureIndex(ctx context.Context, want index, known []knownIndex) error {
	for _, is := range known {
		same, unique, not := sameKeys(is.Keys, want.keys), isSet(is.Unique), is.not()
		switch {
		case is.Name == want.name && same && unique == want.unique && not == "":
			return nil
		case is.Name == want.name:
			return fmt.Errorf("there is one of that name on %s (unique: %v; %s), where %s (unique: %v) is needed: somebody made it by hand; drop it and start again",
				keysText(is.Keys), unique, cmp.Or(not, "no other options"), keysText(want.keys), want.unique)
		case same:
			return fmt.Errorf("there is one on the same fields with the name %s: somebody made it by hand; drop it and start again", is.Name)
		}
	}
	_, err := c.collection(want.collection).Indexes().CreateOne(ctx, mongo.IndexModel{Keys: want.keys, Options: options.Index().SetName(want.name).SetUnique(want.unique)})
	return err
}

func sameKeys(is bson.Raw, want bson.D) bool {
	elements, err := is.Elements()
	if err != nil || len(elements) != len(want) {
		return false
	}
	for n, e := range elements {
		direction, ok := e.Value().AsInt64OK()
		if e.Key() != want[n].Key || !ok || direction != int64(want[n].Value.(int32)) {
			return false
		}
	}
	return true
}

func keysText(keys any) string {
	text, err := bson.MarshalExtJSON(keys, false, false)
	if err != nil {
		return fmt.Sprint(keys)
	}
	return string(text)
}
