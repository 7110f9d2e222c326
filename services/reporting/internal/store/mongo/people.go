package mongo

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// InsertUser implements store.People.
func (d *db) InsertUser(ctx context.Context, u *store.User) error {
	write := bson.NewObjectID()
	return d.write(ctx, "insert user", func(ctx context.Context) error {
		return d.insert(ctx, users, u.ID, write, toUserDoc(u, write))
	})
}

// UpdateUser implements store.People.
func (d *db) UpdateUser(ctx context.Context, u *store.User) error {
	write := bson.NewObjectID()
	return d.write(ctx, "update user", func(ctx context.Context) error {
		taken, err := d.isAnothers(ctx, users, u.ID, bson.D{{Key: "name_key", Value: nameKey(u.Name)}})
		if err != nil {
			return err
		}
		if taken {
			switch last, err := d.lastWrite(ctx, users, u.ID); {
			case err != nil:
				return err
			case last.Rev != u.Rev-1:
				return store.ErrStale
			}
			return store.ErrExists
		}
		err = d.update(ctx, users, u.ID, write, u.Rev-1, func(filter bson.D) (*mongo.UpdateResult, error) {
			return d.collection(users).ReplaceOne(ctx, filter, toUserDoc(u, write))
		})
		if mongo.IsDuplicateKeyError(err) {
			return store.ErrExists
		}
		return err
	})
}

// isAnothers reports whether a key that one document alone may have is that of
// another than id. Looking first gives one answer everywhere; the unique index
// decides between two at once.
func (c *conn) isAnothers(ctx context.Context, collection, id string, key bson.D) (bool, error) {
	var holder struct {
		ID string `bson:"_id"`
	}
	err := c.collection(collection).FindOne(ctx, key, options.FindOne().SetProjection(bson.D{{Key: "_id", Value: 1}})).Decode(&holder)
	if errors.Is(err, mongo.ErrNoDocuments) {
		return false, nil
	}
	return holder.ID != id, err
}

// User implements store.People.
func (d *db) User(ctx context.Context, id string) (*store.User, error) {
	return pointer(toUser)(findOne[userDoc](ctx, d, "read user", users, byID(id)))
}

// UserByName implements store.People.
func (d *db) UserByName(ctx context.Context, name string) (*store.User, error) {
	return pointer(toUser)(findOne[userDoc](ctx, d, "read user", users, bson.D{{Key: "name_key", Value: nameKey(name)}}))
}

// Users implements store.People.
func (d *db) Users(ctx context.Context) ([]*store.User, error) {
	docs, err := find[userDoc](ctx, d, "users", users, bson.D{}, options.Find().SetSort(bson.D{{Key: "name_key", Value: 1}}))
	return each(docs, toUser), err
}

// InsertToken implements store.People.
func (d *db) InsertToken(ctx context.Context, t *store.Token) error {
	write := bson.NewObjectID()
	return d.write(ctx, "insert token", func(ctx context.Context) error {
		return d.insert(ctx, tokens, t.ID, write, toTokenDoc(t, write))
	})
}

// UpdateToken implements store.People.
func (d *db) UpdateToken(ctx context.Context, t *store.Token) error {
	return d.write(ctx, "update token", func(ctx context.Context) error {
		taken, err := d.isAnothers(ctx, tokens, t.ID, bson.D{{Key: "hash", Value: notNil(t.Hash)}})
		if err != nil {
			return err
		}
		if taken {
			if _, err := d.lastWrite(ctx, tokens, t.ID); err != nil {
				return err
			}
			return store.ErrExists
		}
		result, err := d.collection(tokens).ReplaceOne(ctx, byID(t.ID), toTokenDoc(t, bson.NewObjectID()))
		switch {
		case mongo.IsDuplicateKeyError(err):
			return store.ErrExists
		case err == nil && result.MatchedCount == 0:
			return mongo.ErrNoDocuments
		}
		return err
	})
}

// TokenByHash implements store.People.
func (d *db) TokenByHash(ctx context.Context, hash []byte) (*store.Token, error) {
	return pointer(toToken)(findOne[tokenDoc](ctx, d, "read token", tokens, bson.D{{Key: "hash", Value: notNil(hash)}}))
}

// Tokens implements store.People.
func (d *db) Tokens(ctx context.Context) ([]*store.Token, error) {
	docs, err := find[tokenDoc](ctx, d, "tokens", tokens, bson.D{},
		options.Find().SetSort(bson.D{{Key: "made", Value: -1}, {Key: "_id", Value: -1}}))
	return each(docs, toToken), err
}

func sessionID(hash []byte) string { return hex.EncodeToString(hash) }

// PutSession implements store.People.
func (d *db) PutSession(ctx context.Context, s *store.Session) error {
	doc := sessionDoc{sessionID(s.Hash), s.UserID, s.CreatedAt, s.SeenAt}
	return d.write(ctx, "put session", func(ctx context.Context) error { return d.put(ctx, sessions, doc.ID, doc) })
}

// Session implements store.People.
func (d *db) Session(ctx context.Context, hash []byte) (*store.Session, error) {
	doc, err := findOne[sessionDoc](ctx, d, "read session", sessions, byID(sessionID(hash)))
	if err != nil {
		return nil, err
	}
	stored, err := hex.DecodeString(doc.ID)
	if err != nil {
		return nil, err
	}
	return &store.Session{Hash: orNil(stored), UserID: doc.UserID, CreatedAt: doc.CreatedAt, SeenAt: doc.SeenAt}, nil
}

// SeeSession implements store.People.
func (d *db) SeeSession(ctx context.Context, hash []byte, at time.Time) error {
	return d.write(ctx, "see session", func(ctx context.Context) error {
		result, err := d.collection(sessions).UpdateOne(ctx, byID(sessionID(hash)), bson.D{{Key: "$max", Value: bson.D{{Key: "seen", Value: at}}}})
		if err == nil && result.MatchedCount == 0 {
			return store.ErrNotFound
		}
		return err
	})
}

// DeleteSession implements store.People.
func (d *db) DeleteSession(ctx context.Context, hash []byte) error {
	return d.deleteMany(ctx, "delete session", sessions, byID(sessionID(hash)))
}

// DeleteSessions implements store.People.
func (d *db) DeleteSessions(ctx context.Context, userID string, seenBefore time.Time) error {
	filter := bson.D{{Key: "seen", Value: bson.D{{Key: "$lt", Value: seenBefore}}}}
	if userID != "" {
		filter = bson.D{{Key: "user", Value: userID}}
	}
	return d.deleteMany(ctx, "delete sessions", sessions, filter)
}
