package mongo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const (
	// operationTimeout is how long one operation may take, with the time that
	// the driver waits for a primary. An election takes seconds.
	operationTimeout = 12 * time.Second
	// tries is how often an operation is sent that the server may not have seen.
	tries    = 4
	firstTry = 50 * time.Millisecond // the pause after it; each one after is twice as long
)

// conn is an open database.
type conn struct {
	client *mongo.Client
	db     *mongo.Database
}

// db is the Store, outside a Group (group nil) or inside one, or what a
// Snapshot shows of it.
type db struct {
	*conn
	group    *group
	readOnly bool
}

// group is a Group under way. Nothing is undone when it fails, but nothing more
// is done either.
type group struct{ failed error }

var (
	errEnded    = errors.New("the group has ended")
	errReadOnly = errors.New("a snapshot is for reading")
)

// errUnsettled says that a write was refused although the guard holds in what
// a majority has: another write, perhaps this one sent before, is on its way.
var errUnsettled = errors.New("a write is still on its way")

func (c *conn) collection(name string) *mongo.Collection { return c.db.Collection(name) }

// write runs one operation that writes; as read otherwise.
func (d *db) write(ctx context.Context, what string, operation func(context.Context) error) error {
	if d.readOnly {
		return fmt.Errorf("%s: %w", what, errReadOnly)
	}
	return d.read(ctx, what, operation)
}

// read runs one operation, again when the connection broke or the primary
// stepped down: each is safe to repeat. What says in an error what was attempted.
func (d *db) read(ctx context.Context, what string, operation func(context.Context) error) error {
	if d.group != nil && d.group.failed != nil {
		return d.group.failed
	}
	err := ctx.Err()
	if err == nil {
		err = repeat(ctx, operation)
	}
	if errors.Is(err, mongo.ErrNoDocuments) {
		err = store.ErrNotFound
	}
	if err == nil || store.IsAnswer(err) {
		return err
	}
	if isAway(err) {
		err = fmt.Errorf("%w: %w", store.ErrAway, err)
	}
	err = fmt.Errorf("%s: %w", what, err)
	if d.group != nil {
		d.group.failed = err
	}
	return err
}

func repeat(ctx context.Context, operation func(context.Context) error) error {
	pause := firstTry
	for n := 1; ; n++ {
		err := operation(ctx)
		if n == tries || !mayRepeat(err) {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return err
		}
	}
}

// mayRepeat reports whether an operation failed in a way that sending it again
// may mend. The driver does this by itself once on a replica set, and not at
// all on a single server.
func mayRepeat(err error) bool {
	if errors.Is(err, errUnsettled) {
		return true
	}
	if err == nil || mongo.IsTimeout(err) || errors.Is(err, mongo.ErrClientDisconnected) {
		return false // the time is up
	}
	var labelled mongo.LabeledError
	if errors.As(err, &labelled) && (labelled.HasErrorLabel("NetworkError") || labelled.HasErrorLabel("RetryableWriteError")) {
		return true
	}
	var refused mongo.ServerError
	return errors.As(err, &refused) && refused.HasErrorCode(cursorGone) || isPrimaryGone(err)
}

// isAway reports whether an operation failed because no server that may do it
// answered, or none in time.
func isAway(err error) bool {
	return mongo.IsTimeout(err) || mongo.IsNetworkError(err) || isPrimaryGone(err)
}

func isPrimaryGone(err error) bool {
	var refused mongo.ServerError
	return errors.As(err, &refused) && slices.ContainsFunc(primaryGone, refused.HasErrorCode)
}

// cursorGone is the server's code for a cursor that it forgot: nobody asked it
// for more within ten minutes, or its server was restarted.
const cursorGone = 43

// primaryGone are the server's codes for a primary that stepped down or stops.
// Source: the driver specification "Retryable Writes".
var primaryGone = []int{
	10107, // NotWritablePrimary
	13435, // NotPrimaryNoSecondaryOk
	11602, // InterruptedDueToReplStateChange
	11600, // InterruptedAtShutdown
	189,   // PrimarySteppedDown
	91,    // ShutdownInProgress
}

// Group implements store.Store. Nothing is committed together and nothing
// undone; after an operation failed, the others fail as well.
func (d *db) Group(ctx context.Context, fn func(store.Store) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g := &group{}
	defer func() { g.failed = errEnded }()
	if err := fn(&db{conn: d.conn, group: g, readOnly: d.readOnly}); err != nil {
		return err
	}
	return cmp.Or(g.failed, ctx.Err())
}

// Snapshot implements store.Store. It holds no moment still: what is written
// meanwhile may be seen.
func (d *db) Snapshot(_ context.Context, fn func(store.Store) error) error {
	return fn(&db{conn: d.conn, group: d.group, readOnly: true})
}

// Close implements store.Store. Closing again does nothing.
func (c *conn) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), operationTimeout)
	defer cancel()
	if err := c.client.Disconnect(ctx); err != nil && !errors.Is(err, mongo.ErrClientDisconnected) {
		return err
	}
	return nil
}

// Check implements store.Store: a majority must write one small document, and
// to their journals.
func (d *db) Check(ctx context.Context) error {
	return d.write(ctx, "check", func(ctx context.Context) error {
		_, err := d.collection(checks).UpdateOne(ctx, byID("write"), bson.D{{Key: "$set", Value: bson.D{{Key: "at", Value: time.Now()}}}},
			options.UpdateOne().SetUpsert(true))
		if mongo.IsDuplicateKeyError(err) {
			return nil // another instance was quicker: it can be written
		}
		return err
	})
}

// Meta implements store.Store.
func (d *db) Meta(ctx context.Context, name string) ([]byte, error) {
	doc, err := findOne[metaDoc](ctx, d, "meta", meta, byID(name))
	return doc.Value, err
}

// SetMeta implements store.Store.
func (d *db) SetMeta(ctx context.Context, name string, value []byte) error {
	return d.write(ctx, "set meta", func(ctx context.Context) error {
		return d.put(ctx, meta, name, metaDoc{name, notNil(value)})
	})
}

// ofRev finds a document while it has a revision; 0 is that of one that was
// stored without.
func ofRev(id string, rev int64) bson.D {
	if rev == 0 {
		return bson.D{{Key: "_id", Value: id}, {Key: "rev", Value: bson.D{{Key: "$exists", Value: false}}}}
	}
	return bson.D{{Key: "_id", Value: id}, {Key: "rev", Value: rev}}
}

func byID(id any) bson.D { return bson.D{{Key: "_id", Value: id}} }

// findOne returns the one document that a filter finds, or store.ErrNotFound.
func findOne[D any](ctx context.Context, d *db, what, collection string, filter bson.D, opts ...options.Lister[options.FindOneOptions]) (doc D, err error) {
	err = d.read(ctx, what, func(ctx context.Context) error {
		return d.collection(collection).FindOne(ctx, filter, opts...).Decode(&doc)
	})
	return doc, err
}

// find returns the documents that a filter finds.
func find[D any](ctx context.Context, d *db, what, collection string, filter bson.D, opts ...options.Lister[options.FindOptions]) (docs []D, err error) {
	err = d.read(ctx, what, func(ctx context.Context) error {
		docs = nil // of an attempt that broke
		cursor, err := d.collection(collection).Find(ctx, filter, opts...)
		if err != nil {
			return err
		}
		return cursor.All(ctx, &docs)
	})
	return docs, err
}

// pointer passes a read document through convert, or nil with the error.
func pointer[D, T any](convert func(D) *T) func(D, error) (*T, error) {
	return func(d D, err error) (*T, error) {
		if err != nil {
			return nil, err
		}
		return convert(d), nil
	}
}

// put inserts or replaces a document.
func (c *conn) put(ctx context.Context, collection, id string, doc any) error {
	_, err := c.collection(collection).ReplaceOne(ctx, byID(id), doc, options.Replace().SetUpsert(true))
	if mongo.IsDuplicateKeyError(err) { // somebody inserted it in between
		_, err = c.collection(collection).ReplaceOne(ctx, byID(id), doc)
	}
	return err
}

// written is what tells whose write made a document's revision.
type written struct {
	Write bson.ObjectID `bson:"w"`
	Rev   int64         `bson:"rev"`
}

// lastWrite returns who wrote a document last, or mongo.ErrNoDocuments.
func (c *conn) lastWrite(ctx context.Context, collection, id string) (w written, err error) {
	err = c.collection(collection).FindOne(ctx, byID(id),
		options.FindOne().SetProjection(bson.D{{Key: "w", Value: 1}, {Key: "rev", Value: 1}})).Decode(&w)
	return w, err
}

// insert stores a new document, or returns store.ErrExists. It may be repeated
// with the same write: what an earlier attempt stored is known by it.
func (c *conn) insert(ctx context.Context, collection, id string, write bson.ObjectID, doc any) error {
	_, err := c.collection(collection).InsertOne(ctx, doc)
	if !mongo.IsDuplicateKeyError(err) {
		return err
	}
	switch last, err := c.lastWrite(ctx, collection, id); {
	case errors.Is(err, mongo.ErrNoDocuments): // another of its keys is taken
		return store.ErrExists
	case err != nil:
		return err
	case last.Write != write:
		return store.ErrExists
	}
	return nil
}

// update stores a change over revision was, or returns store.ErrStale, or
// mongo.ErrNoDocuments when there is nothing to change. Change is a function
// of a filter that holds for that revision alone. It may be repeated as insert.
func (c *conn) update(ctx context.Context, collection, id string, write bson.ObjectID, was int64,
	change func(filter bson.D) (*mongo.UpdateResult, error)) error {
	result, err := change(ofRev(id, was))
	if err != nil || result.MatchedCount > 0 {
		return err
	}
	switch last, err := c.lastWrite(ctx, collection, id); {
	case err != nil:
		return err
	case last.Write == write:
		return nil
	case last.Rev == was:
		return errUnsettled
	}
	return store.ErrStale
}

// putFenced stores revision rev of a document over the one before it, or
// returns store.ErrStale.
func (c *conn) putFenced(ctx context.Context, collection, id string, write bson.ObjectID, rev int64, doc any) error {
	var err error
	if rev == 1 {
		err = c.insert(ctx, collection, id, write, doc)
	} else {
		err = c.update(ctx, collection, id, write, rev-1, func(filter bson.D) (*mongo.UpdateResult, error) {
			return c.collection(collection).ReplaceOne(ctx, filter, doc)
		})
	}
	if errors.Is(err, store.ErrExists) || errors.Is(err, mongo.ErrNoDocuments) {
		return store.ErrStale
	}
	return err
}
