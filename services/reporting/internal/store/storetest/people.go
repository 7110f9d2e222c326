package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

func testUsers(t *testing.T, s store.Store) {
	ctx := t.Context()
	u := filled[store.User](t)
	u.ID, u.Name = "1", "Demo Rep"
	_, err := s.User(ctx, u.ID)
	errorIs(t, "by id", err, store.ErrNotFound)
	_, err = s.UserByName(ctx, u.Name)
	errorIs(t, "by name", err, store.ErrNotFound)
	errorIs(t, "update nobody", s.UpdateUser(ctx, &u), store.ErrNotFound)

	must(t, s.InsertUser(ctx, &u))
	equal(t, "by id", got[*store.User](t)(s.User(ctx, "1")), &u)
	for _, name := range []string{"Demo Rep", "demo rep", "DEMO REP"} {
		equal(t, "by name", got[*store.User](t)(s.UserByName(ctx, name)), &u)
	}
	errorIs(t, "the same id", s.InsertUser(ctx, &store.User{ID: "1", Name: "another"}), store.ErrExists)
	errorIs(t, "the same name", s.InsertUser(ctx, &store.User{ID: "9", Name: "demo REP"}), store.ErrExists)

	second := store.User{ID: "2", Name: "angharad demo", Sites: []string{}, CreatedAt: at.In(time.FixedZone("", 3600))}
	must(t, s.InsertUser(ctx, &second))
	second.Sites, second.CreatedAt = nil, at
	third := store.User{ID: "3", Name: "Élan demo"}
	must(t, s.InsertUser(ctx, &third))
	equal(t, "by name", got[[]*store.User](t)(s.Users(ctx)), []*store.User{&second, &u, &third})

	u.Name, u.Disabled, u.Sites = "Zoë Demo", false, []string{"york"}
	for _, rev := range []int64{0, u.Rev - 1, u.Rev, u.Rev + 2} {
		stale := u
		stale.Rev = rev
		errorIs(t, "another revision", s.UpdateUser(ctx, &stale), store.ErrStale)
	}
	_, err = s.UserByName(ctx, u.Name)
	errorIs(t, "of another revision", err, store.ErrNotFound)
	u.Rev++
	must(t, s.UpdateUser(ctx, &u))
	equal(t, "updated", got[*store.User](t)(s.UserByName(ctx, "zoë demo")), &u)
	_, err = s.UserByName(ctx, "Demo Rep")
	errorIs(t, "the name before", err, store.ErrNotFound)
	taken := u
	taken.Name = "ANGHARAD demo"
	errorIs(t, "another’s name over another revision", s.UpdateUser(ctx, &taken), store.ErrStale)
	taken.Rev++
	errorIs(t, "another’s name", s.UpdateUser(ctx, &taken), store.ErrExists)
	equal(t, "unchanged", got[*store.User](t)(s.User(ctx, "1")), &u)

	for third.Rev < 2 { // from before there were revisions, and after
		third.Rev++
		third.Disabled = !third.Disabled
		must(t, s.UpdateUser(ctx, &third))
		errorIs(t, "twice", s.UpdateUser(ctx, &third), store.ErrStale)
	}
	equal(t, "changed twice", got[*store.User](t)(s.User(ctx, third.ID)), &third)
}

func testTokens(t *testing.T, s store.Store) {
	ctx := t.Context()
	token := filled[store.Token](t)
	_, err := s.TokenByHash(ctx, token.Hash)
	errorIs(t, "by hash", err, store.ErrNotFound)
	_, err = s.TokenByHash(ctx, nil)
	errorIs(t, "by no hash", err, store.ErrNotFound)
	errorIs(t, "update nothing", s.UpdateToken(ctx, &token), store.ErrNotFound)

	must(t, s.InsertToken(ctx, &token))
	equal(t, "by hash", got[*store.Token](t)(s.TokenByHash(ctx, token.Hash)), &token)
	errorIs(t, "the same id", s.InsertToken(ctx, &store.Token{ID: token.ID, Hash: []byte("other")}), store.ErrExists)
	errorIs(t, "the same hash", s.InsertToken(ctx, &store.Token{ID: "other", Hash: token.Hash}), store.ErrExists)

	newer := store.Token{ID: "newer", Hash: []byte{1}, CreatedAt: token.CreatedAt.Add(time.Millisecond)}
	older := store.Token{ID: "older", Hash: []byte{2}, CreatedAt: token.CreatedAt.Add(-time.Hour)}
	must(t, s.InsertToken(ctx, &older))
	must(t, s.InsertToken(ctx, &newer))
	equal(t, "newest first", got[[]*store.Token](t)(s.Tokens(ctx)), []*store.Token{&newer, &token, &older})

	revoked := newer
	revoked.Revoked, revoked.Label = true, "lost"
	must(t, s.UpdateToken(ctx, &revoked))
	equal(t, "revoked", got[*store.Token](t)(s.TokenByHash(ctx, []byte{1})), &revoked)
	revoked.Hash = older.Hash
	errorIs(t, "another’s hash", s.UpdateToken(ctx, &revoked), store.ErrExists)
}

func testSessions(t *testing.T, s store.Store) {
	ctx := t.Context()
	session := filled[store.Session](t)
	_, err := s.Session(ctx, session.Hash)
	errorIs(t, "none", err, store.ErrNotFound)
	must(t, s.DeleteSession(ctx, session.Hash))

	must(t, s.PutSession(ctx, &session))
	equal(t, "session", got[*store.Session](t)(s.Session(ctx, session.Hash)), &session)
	session.SeenAt = session.SeenAt.Add(time.Hour)
	must(t, s.PutSession(ctx, &session))
	equal(t, "seen again", got[*store.Session](t)(s.Session(ctx, session.Hash)), &session)

	put := func(hash, user string, seen time.Time) {
		must(t, s.PutSession(ctx, &store.Session{Hash: []byte(hash), UserID: user, CreatedAt: at, SeenAt: seen}))
	}
	left := func(want ...string) {
		t.Helper()
		var list []string
		for _, hash := range []string{"a1", "a2", "b1", "b2", "b3"} {
			_, err := s.Session(ctx, []byte(hash))
			if err == nil {
				list = append(list, hash)
			} else if !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
		}
		equal(t, "left", list, want)
	}
	put("a1", "a", at)
	put("a2", "a", at.Add(time.Hour))
	put("b1", "b", at.Add(-time.Millisecond))
	put("b2", "b", at)
	put("b3", "b", at.Add(time.Millisecond))
	must(t, s.DeleteSessions(ctx, "", at))
	left("a1", "a2", "b2", "b3") // seen at that moment is not before it
	must(t, s.DeleteSession(ctx, []byte("a1")))
	left("a2", "b2", "b3")
	must(t, s.DeleteSessions(ctx, "b", time.Time{}))
	left("a2")
	must(t, s.DeleteSessions(ctx, "nobody", at.AddDate(1, 0, 0)))
	left("a2")
	must(t, s.SeeSession(ctx, []byte("a2"), at.Add(2*time.Hour)))
	must(t, s.SeeSession(ctx, []byte("a2"), at)) // comes late
	equal(t, "seen", got[*store.Session](t)(s.Session(ctx, []byte("a2"))),
		&store.Session{Hash: []byte("a2"), UserID: "a", CreatedAt: at, SeenAt: at.Add(2 * time.Hour)})
	must(t, s.DeleteSessions(ctx, "", at.Add(2*time.Hour)))
	left("a2")
	must(t, s.DeleteSessions(ctx, "", at.AddDate(1, 0, 0)))
	left()
	errorIs(t, "seen after it ended", s.SeeSession(ctx, []byte("a2"), at.AddDate(1, 0, 0)), store.ErrNotFound)
	left()
}

func testSites(t *testing.T, s store.Store) {
	ctx := t.Context()
	equal(t, "none", len(got[[]store.Site](t)(s.ListSites(ctx))), 0)
	must(t, s.PutSites(ctx, nil))

	first := filled[store.Site](t)
	first.Name = "York"
	twin := store.Site{ID: "twin", Name: "York"}
	leeds := store.Site{ID: "leeds", Name: "Leeds"}
	must(t, s.PutSites(ctx, []store.Site{twin, first, leeds}))
	equal(t, "by name, then id", got[[]store.Site](t)(s.ListSites(ctx)), []store.Site{leeds, first, twin})

	leeds.Name, leeds.Staff = "Zeal House, Leeds", 7
	bath := store.Site{ID: "bath", Name: "Bath"}
	must(t, s.PutSites(ctx, []store.Site{leeds, bath}))
	want := []store.Site{bath, first, twin, leeds}
	equal(t, "replaced and added; others stay", got[[]store.Site](t)(s.ListSites(ctx)), want)

	renamed := store.Site{ID: "bath", Name: "changed"}
	isInvalid(t, "a site without id", s.PutSites(ctx, []store.Site{renamed, {Name: "no id"}}))
	isInvalid(t, "an id twice", s.PutSites(ctx, []store.Site{renamed, {ID: "new", Name: "a"}, {ID: "new", Name: "b"}}))
	ended, cancel := context.WithCancel(ctx)
	cancel()
	errorIs(t, "a context that ended", s.PutSites(ended, []store.Site{renamed}), context.Canceled)
	equal(t, "nothing half-stored", got[[]store.Site](t)(s.ListSites(ctx)), want)
}

func testQuarantine(t *testing.T, s store.Store) {
	ctx := t.Context()
	q := filled[store.Quarantined](t)
	_, err := s.Quarantined(ctx, q.Subject)
	errorIs(t, "none", err, store.ErrNotFound)
	equal(t, "none", len(got[[]*store.Quarantined](t)(s.ListQuarantined(ctx))), 0)

	must(t, s.PutQuarantined(ctx, &q))
	equal(t, "stored", got[*store.Quarantined](t)(s.Quarantined(ctx, q.Subject)), &q)
	newer := store.Quarantined{Subject: "a", Seq: 1 << 40, At: q.At.Add(time.Minute)}
	tie := store.Quarantined{Subject: "b", At: newer.At, Data: make([]byte, 1<<18)}
	must(t, s.PutQuarantined(ctx, &tie))
	must(t, s.PutQuarantined(ctx, &newer))
	list := got[[]*store.Quarantined](t)(s.ListQuarantined(ctx))
	first, last := q, tie
	first.Data, last.Data = nil, nil
	equal(t, "oldest first", list, []*store.Quarantined{&first, &newer, &last})
	equal(t, "the largest", got[*store.Quarantined](t)(s.Quarantined(ctx, "b")), &tie)

	newer.ReplayedAt, newer.Cause = at, "mended"
	must(t, s.PutQuarantined(ctx, &newer))
	equal(t, "replaced", got[*store.Quarantined](t)(s.Quarantined(ctx, "a")), &newer)
	equal(t, "still three", len(got[[]*store.Quarantined](t)(s.ListQuarantined(ctx))), 3)
}
