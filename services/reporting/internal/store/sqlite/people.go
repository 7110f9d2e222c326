package sqlite

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// InsertUser implements store.People.
func (d *db) InsertUser(ctx context.Context, u *store.User) error {
	doc, err := encodeUser(u)
	if err != nil {
		return fmt.Errorf("insert user: %w", err)
	}
	return d.write(ctx, "insert user", func(ctx context.Context, s *statements) error {
		inserted, err := s.exec(ctx, `INSERT INTO users (id, name_key, doc) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
			u.ID, nameKey(u.Name), doc)
		return existsUnless(inserted, err)
	})
}

// UpdateUser implements store.People.
func (d *db) UpdateUser(ctx context.Context, u *store.User) error {
	doc, err := encodeUser(u)
	if err != nil {
		return fmt.Errorf("update user: %w", err)
	}
	return d.write(ctx, "update user", func(ctx context.Context, s *statements) error {
		var raw []byte
		if err := s.row(ctx, `SELECT doc FROM users WHERE id = ?`, args(u.ID), &raw); err != nil {
			return err
		}
		if stored, err := decode[userDoc](raw); err != nil || stored.Rev != u.Rev-1 {
			return cmp.Or(err, store.ErrStale)
		}
		updated, err := s.exec(ctx, `UPDATE OR IGNORE users SET name_key = ?, doc = ? WHERE id = ?`, nameKey(u.Name), doc, u.ID)
		return existsUnless(updated, err)
	})
}

// existsUnless returns store.ErrExists when a unique index kept a statement
// from changing anything.
func existsUnless(changed int64, err error) error {
	if err == nil && changed == 0 {
		return store.ErrExists
	}
	return err
}

// found returns store.ErrNotFound when a query has no row.
func found(ctx context.Context, s *statements, query string, key any) error {
	var one int
	return s.row(ctx, query, args(key), &one)
}

func nameKey(name string) string { return strings.ToLower(name) }

func encodeUser(u *store.User) ([]byte, error) {
	doc := userDoc(*u)
	doc.CreatedAt = doc.CreatedAt.UTC()
	return json.Marshal(doc)
}

func toUser(d userDoc) *store.User { u := store.User(d); return &u }

// User implements store.People.
func (d *db) User(ctx context.Context, id string) (*store.User, error) {
	return pointer(toUser)(readOne[userDoc](ctx, d, "read user", `SELECT doc FROM users WHERE id = ?`, id))
}

// UserByName implements store.People.
func (d *db) UserByName(ctx context.Context, name string) (*store.User, error) {
	return pointer(toUser)(readOne[userDoc](ctx, d, "read user", `SELECT doc FROM users WHERE name_key = ?`, nameKey(name)))
}

// Users implements store.People.
func (d *db) Users(ctx context.Context) ([]*store.User, error) {
	docs, err := readAll[userDoc](ctx, d, "users", `SELECT doc FROM users INDEXED BY users_by_name ORDER BY name_key`)
	return each(docs, toUser), err
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

// InsertToken implements store.People.
func (d *db) InsertToken(ctx context.Context, t *store.Token) error {
	doc, err := encodeToken(t)
	if err != nil {
		return fmt.Errorf("insert token: %w", err)
	}
	return d.write(ctx, "insert token", func(ctx context.Context, s *statements) error {
		inserted, err := s.exec(ctx, `INSERT INTO tokens (id, hash, created_at, doc) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			t.ID, notNull(t.Hash), t.CreatedAt.UnixMilli(), doc)
		return existsUnless(inserted, err)
	})
}

// UpdateToken implements store.People.
func (d *db) UpdateToken(ctx context.Context, t *store.Token) error {
	doc, err := encodeToken(t)
	if err != nil {
		return fmt.Errorf("update token: %w", err)
	}
	return d.write(ctx, "update token", func(ctx context.Context, s *statements) error {
		if err := found(ctx, s, `SELECT 1 FROM tokens WHERE id = ?`, t.ID); err != nil {
			return err
		}
		updated, err := s.exec(ctx, `UPDATE OR IGNORE tokens SET hash = ?, created_at = ?, doc = ? WHERE id = ?`,
			notNull(t.Hash), t.CreatedAt.UnixMilli(), doc, t.ID)
		return existsUnless(updated, err)
	})
}

func encodeToken(t *store.Token) ([]byte, error) {
	doc := tokenDoc(*t)
	doc.CreatedAt = doc.CreatedAt.UTC()
	return json.Marshal(doc)
}

func toToken(d tokenDoc) *store.Token { t := store.Token(d); return &t }

// TokenByHash implements store.People.
func (d *db) TokenByHash(ctx context.Context, hash []byte) (*store.Token, error) {
	return pointer(toToken)(readOne[tokenDoc](ctx, d, "read token", `SELECT doc FROM tokens WHERE hash = ?`, hash))
}

// Tokens implements store.People.
func (d *db) Tokens(ctx context.Context) ([]*store.Token, error) {
	docs, err := readAll[tokenDoc](ctx, d, "tokens", `SELECT doc FROM tokens INDEXED BY tokens_by_age ORDER BY created_at DESC, id DESC`)
	return each(docs, toToken), err
}

// PutSession implements store.People.
func (d *db) PutSession(ctx context.Context, session *store.Session) error {
	return d.write(ctx, "put session", func(ctx context.Context, s *statements) error {
		return putSession(ctx, s, sessionDoc(*session))
	})
}

func putSession(ctx context.Context, s *statements, session sessionDoc) error {
	session.CreatedAt, session.SeenAt = session.CreatedAt.UTC(), session.SeenAt.UTC()
	doc, err := json.Marshal(session)
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, `INSERT INTO sessions (hash, user, seen_at, doc) VALUES (?, ?, ?, ?)
		ON CONFLICT (hash) DO UPDATE SET user = excluded.user, seen_at = excluded.seen_at, doc = excluded.doc`,
		notNull(session.Hash), session.UserID, session.SeenAt.UnixMilli(), doc)
	return err
}

// SeeSession implements store.People.
func (d *db) SeeSession(ctx context.Context, hash []byte, at time.Time) error {
	return d.write(ctx, "see session", func(ctx context.Context, s *statements) error {
		var doc []byte
		if err := s.row(ctx, `SELECT doc FROM sessions WHERE hash = ?`, args(hash), &doc); err != nil {
			return err
		}
		var session sessionDoc
		if err := json.Unmarshal(doc, &session); err != nil || !session.SeenAt.Before(at) {
			return err
		}
		session.SeenAt = at
		return putSession(ctx, s, session)
	})
}

// Session implements store.People.
func (d *db) Session(ctx context.Context, hash []byte) (*store.Session, error) {
	return pointer(func(d sessionDoc) *store.Session { s := store.Session(d); return &s })(
		readOne[sessionDoc](ctx, d, "read session", `SELECT doc FROM sessions WHERE hash = ?`, hash))
}

// DeleteSession implements store.People.
func (d *db) DeleteSession(ctx context.Context, hash []byte) error {
	return d.write(ctx, "delete session", func(ctx context.Context, s *statements) error {
		_, err := s.exec(ctx, `DELETE FROM sessions WHERE hash = ?`, hash)
		return err
	})
}

// DeleteSessions implements store.People.
func (d *db) DeleteSessions(ctx context.Context, userID string, seenBefore time.Time) error {
	return d.write(ctx, "delete sessions", func(ctx context.Context, s *statements) error {
		if userID != "" {
			_, err := s.exec(ctx, `DELETE FROM sessions WHERE user = ?`, userID)
			return err
		}
		_, err := s.exec(ctx, `DELETE FROM sessions WHERE seen_at < ?`, seenBefore.UnixMilli())
		return err
	})
}
