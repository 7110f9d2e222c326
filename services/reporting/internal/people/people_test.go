package people

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/sqlite"
)

const (
	goodPassword  = "walnut ferry harbour"
	otherPassword = "copper lantern meadow"
	address       = "192.0.2.7"
)

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// open returns a Service over a database of its own, with cheap hashes.
func open(t *testing.T) (*Service, store.Store, *clock) {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "people.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &clock{at: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	return New(Config{Store: st, Now: c.now, Cost: Cost{Memory: 64, Time: 1, Threads: 1}}), st, c
}

// add makes an account with goodPassword.
func add(t *testing.T, s *Service, name string, role store.Role, sites ...string) Account {
	t.Helper()
	a, err := s.AddUser(t.Context(), NewAccount{Name: name, Password: goodPassword, Role: role, Sites: sites})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// signIn signs in with goodPassword.
func signIn(t *testing.T, s *Service, name string) (cookie string) {
	t.Helper()
	cookie, _, err := s.SignIn(t.Context(), name, goodPassword, address)
	if err != nil {
		t.Fatal(err)
	}
	return cookie
}

// signedIn reports whether a cookie opens a session.
func signedIn(t *testing.T, s *Service, cookie string) bool {
	t.Helper()
	who, err := s.AuthenticateSession(t.Context(), cookie)
	if err != nil {
		t.Fatal(err)
	}
	return who.SignedIn()
}

func importSites(t *testing.T, s *Service, lines ...string) {
	t.Helper()
	file := "id,name,kind,postcode,region,employer,staff\n" + strings.Join(lines, "\n")
	if _, err := s.ImportSites(t.Context(), strings.NewReader(file)); err != nil {
		t.Fatal(err)
	}
}

func wantFields(t *testing.T, err error, fields ...string) {
	t.Helper()
	f := fault.As(err)
	var got []string
	for _, field := range f.Fields {
		got = append(got, field.Name)
	}
	if f.Kind != fault.Invalid || !slices.Equal(got, fields) {
		t.Errorf("got %v with fields %q, want Invalid with %q", err, got, fields)
	}
}

func TestSignInOpensASession(t *testing.T) {
	s, _, _ := open(t)
	importSites(t, s, "leeds,Leeds,,,,,")
	made := add(t, s, "Demo Rep", store.RoleRep, "leeds")
	cookie, who, err := s.SignIn(t.Context(), " demo rep ", goodPassword, address)
	if err != nil {
		t.Fatal(err)
	}
	want := web.Principal{ID: made.ID, Name: "Demo Rep", Role: web.RoleRep, Sites: []string{"leeds"}}
	if !reflect.DeepEqual(who, want) {
		t.Errorf("SignIn=%+v, want %+v", who, want)
	}
	got, err := s.AuthenticateSession(t.Context(), cookie)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("AuthenticateSession=%+v, %v, want %+v", got, err, want)
	}
}

func TestWrongSignInsAreAllAlike(t *testing.T) {
	s, _, _ := open(t)
	add(t, s, "demo admin", store.RoleAdministrator)
	gone := add(t, s, "demo gone", store.RoleManager)
	if err := s.Disable(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ name, password string }{
		"wrong password":             {"demo admin", otherPassword},
		"no such account":            {"demo nobody", goodPassword},
		"disabled, right password":   {"demo gone", goodPassword},
		"empty":                      {"", ""},
		"a password that is a hash":  {"demo admin", s.nobody},
		"a name as long as requests": {strings.Repeat("x", 200_000), goodPassword},
	} {
		t.Run(name, func(t *testing.T) {
			cookie, who, err := s.SignIn(t.Context(), c.name, c.password, "192.0.2.99")
			if cookie != "" || who.SignedIn() || fault.KindOf(err) != fault.Unauthenticated || fault.As(err).Message != wrongPassword.Message {
				t.Errorf("got %q, %+v, %v, want the one refusal", cookie, who, err)
			}
		})
	}
}

// An unknown name costs what a known one does: the hash it is compared with
// has the same cost, and is compared.
func TestUnknownNamesAreHashedToo(t *testing.T) {
	s, st, _ := open(t)
	add(t, s, "demo rep", store.RoleRep)
	u, err := st.UserByName(t.Context(), "demo rep")
	if err != nil {
		t.Fatal(err)
	}
	known, err := parsePHC(u.PasswordHash)
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := parsePHC(s.nobody)
	if err != nil || unknown.cost != known.cost {
		t.Fatalf("the hash of nobody costs %+v, %v, an account's %+v", unknown.cost, err, known.cost)
	}
	// With no room to hash, both are turned away: both were about to hash.
	s.hasher.waiting.Store(hashesAtOnce + hashesWaiting)
	for _, name := range []string{"demo rep", "demo nobody"} {
		if _, _, err := s.SignIn(t.Context(), name, goodPassword, address); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: err=%v, want Unavailable", name, err)
		}
	}
}

// Being turned away is no failure of whoever tried, and wipes out none.
func TestBeingTurnedAwayDoesNotCount(t *testing.T) {
	s, _, _ := open(t)
	add(t, s, "demo rep", store.RoleRep)
	try := func(password string) fault.Kind {
		_, _, err := s.SignIn(t.Context(), "demo rep", password, address)
		return fault.KindOf(err)
	}
	for range freeForAccount - 1 {
		try(otherPassword)
	}
	s.hasher.waiting.Store(hashesAtOnce + hashesWaiting)
	for range 10 {
		if got := try(goodPassword); got != fault.Unavailable {
			t.Fatalf("kind=%v, want Unavailable", got)
		}
	}
	s.hasher.waiting.Store(0)
	if got := try(otherPassword); got != fault.Unauthenticated {
		t.Errorf("kind=%v, want Unauthenticated", got)
	}
	if got := try(goodPassword); got != fault.TooMany {
		t.Errorf("kind=%v, want TooMany after five wrong passwords", got)
	}
}

func TestSessionsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(s *Service, id, cookie string, c *clock) error
		want bool
	}{
		"not by themselves": {func(*Service, string, string, *clock) error { return nil }, true},
		"not within the hour": {func(_ *Service, _, _ string, c *clock) error {
			c.pass(SessionIdle - time.Second)
			return nil
		}, true},
		"after an idle hour": {func(_ *Service, _, _ string, c *clock) error {
			c.pass(SessionIdle)
			return nil
		}, false},
		"at signing out": {func(s *Service, _, cookie string, _ *clock) error {
			return s.SignOut(context.Background(), cookie)
		}, false},
		"with another password": {func(s *Service, id, _ string, _ *clock) error {
			return s.SetPassword(context.Background(), id, otherPassword)
		}, false},
		"when disabled": {func(s *Service, id, _ string, _ *clock) error {
			return s.Disable(context.Background(), id)
		}, false},
		"and stay ended when enabled": {func(s *Service, id, _ string, _ *clock) error {
			return errors.Join(s.Disable(context.Background(), id), s.Enable(context.Background(), id))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, clock := open(t)
			id := add(t, s, "demo rep", store.RoleRep).ID
			other := add(t, s, "demo other", store.RoleRep)
			cookie, others := signIn(t, s, "demo rep"), signIn(t, s, other.Name)
			if err := c.do(s, id, cookie, clock); err != nil {
				t.Fatal(err)
			}
			if got := signedIn(t, s, cookie); got != c.want {
				t.Errorf("signed in=%v, want %v", got, c.want)
			}
			if !strings.Contains(name, "idle") && !signedIn(t, s, others) {
				t.Error("another account was signed out too")
			}
		})
	}
}

func TestSessionsEndAfterAShiftEvenInUse(t *testing.T) {
	s, _, clock := open(t)
	add(t, s, "demo rep", store.RoleRep)
	cookie := signIn(t, s, "demo rep")
	for range 23 {
		clock.pass(30 * time.Minute)
		if !signedIn(t, s, cookie) {
			t.Fatalf("signed out at %v though in use", clock.now())
		}
	}
	clock.pass(30 * time.Minute)
	if signedIn(t, s, cookie) {
		t.Error("still signed in after twelve hours")
	}
}

// counting counts the writes of sessions.
type counting struct {
	store.Store
	puts *int
}

func (c counting) PutSession(ctx context.Context, s *store.Session) error {
	*c.puts++
	return c.Store.PutSession(ctx, s)
}

func (c counting) SeeSession(ctx context.Context, hash []byte, at time.Time) error {
	*c.puts++
	return c.Store.SeeSession(ctx, hash, at)
}

func (c counting) Group(ctx context.Context, fn func(store.Store) error) error {
	return c.Store.Group(ctx, func(inner store.Store) error { return fn(counting{inner, c.puts}) })
}

func TestASessionInUseIsWrittenOnceAMinute(t *testing.T) {
	s, st, clock := open(t)
	puts := 0
	s.store = counting{st, &puts}
	add(t, s, "demo rep", store.RoleRep)
	cookie := signIn(t, s, "demo rep")
	for range 60 {
		clock.pass(5 * time.Second)
		signedIn(t, s, cookie)
	}
	if puts != 1+5 {
		t.Errorf("%d writes in five minutes of requests, want one at signing in and five", puts)
	}
}

// signingOut is a store in which a session is signed out just after a request
// read it, for the first or the second time.
type signingOut struct {
	store.Store
	reads *int
	after int
}

func (s signingOut) Session(ctx context.Context, hash []byte) (*store.Session, error) {
	session, err := s.Store.Session(ctx, hash)
	if *s.reads++; *s.reads == s.after {
		err = errors.Join(err, s.DeleteSession(ctx, hash))
	}
	return session, err
}

func (s signingOut) Group(ctx context.Context, fn func(store.Store) error) error {
	return s.Store.Group(ctx, func(inner store.Store) error { return fn(signingOut{inner, s.reads, s.after}) })
}

func TestARequestDoesNotBringASessionBack(t *testing.T) {
	for after := range 2 {
		s, st, clock := open(t)
		add(t, s, "demo rep", store.RoleRep)
		cookie := signIn(t, s, "demo rep")
		clock.pass(2 * time.Minute)
		reads := 0
		s.store = signingOut{st, &reads, after + 1}
		signedIn(t, s, cookie)
		s.store = st
		if signedIn(t, s, cookie) {
			t.Errorf("a session that was signed out during a request, after reading it %d times, came back", after+1)
		}
	}
}

// replacing is a store in which a password is replaced just before a session
// is stored, as another instance may do in one without transactions.
type replacing struct{ store.Store }

func (r replacing) PutSession(ctx context.Context, session *store.Session) error {
	u, err := r.User(ctx, session.UserID)
	if err != nil {
		return err
	}
	u.PasswordHash = "another"
	u.Rev++
	return errors.Join(r.UpdateUser(ctx, u), r.DeleteSessions(ctx, u.ID, time.Time{}), r.Store.PutSession(ctx, session))
}

func (r replacing) Group(ctx context.Context, fn func(store.Store) error) error {
	return r.Store.Group(ctx, func(inner store.Store) error { return fn(replacing{inner}) })
}

// A password that is replaced while it is being checked must open nothing.
func TestAReplacedPasswordOpensNoSession(t *testing.T) {
	s, st, _ := open(t)
	id := add(t, s, "demo rep", store.RoleRep).ID
	before, err := st.User(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetPassword(t.Context(), id, otherPassword); err != nil {
		t.Fatal(err)
	}
	if _, err := s.open(t.Context(), before); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("err=%v, want Unauthenticated", err)
	}
	now, err := st.User(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	s.store = replacing{st}
	if cookie, err := s.open(t.Context(), now); fault.KindOf(err) != fault.Unauthenticated || cookie != "" {
		t.Errorf("replaced in between: err=%v, want Unauthenticated", err)
	}
}

func TestOnlyHashesAreStored(t *testing.T) {
	s, st, _ := open(t)
	id := add(t, s, "demo rep", store.RoleRep).ID
	cookie := signIn(t, s, "demo rep")
	token, made, err := s.CreateToken(t.Context(), NewToken{Label: "demo", Role: store.RoleRep})
	if err != nil {
		t.Fatal(err)
	}
	u, err := st.User(t.Context(), id)
	if err != nil || !strings.HasPrefix(u.PasswordHash, "$argon2id$") || strings.Contains(u.PasswordHash, goodPassword) {
		t.Errorf("stored %q, %v, want an argon2id hash", u.PasswordHash, err)
	}
	if _, err := st.Session(t.Context(), []byte(cookie)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the cookie itself is stored: %v", err)
	}
	secret := token[strings.LastIndex(token, "_")+1:]
	if _, err := st.TokenByHash(t.Context(), []byte(secret)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the token's secret itself is stored: %v", err)
	}
	for _, shown := range []any{Account{}, made} {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(shown)) {
			if strings.Contains(f.Name, "Hash") || strings.Contains(f.Name, "Password") {
				t.Errorf("%T shows %s", shown, f.Name)
			}
		}
	}
}

func TestAccountsThatAreRefused(t *testing.T) {
	s, _, _ := open(t)
	importSites(t, s, "leeds,Leeds,,,,,")
	add(t, s, "Demo Rep", store.RoleRep)
	for name, c := range map[string]struct {
		account NewAccount
		fields  []string
	}{
		"nothing":            {NewAccount{}, []string{"name", "password", "role"}},
		"name taken":         {NewAccount{"demo REP", goodPassword, store.RoleRep, nil}, []string{"name"}},
		"invisible name":     {NewAccount{"demo\u200brep", goodPassword, store.RoleRep, nil}, []string{"name"}},
		"name not UTF-8":     {NewAccount{"demo\xff", goodPassword, store.RoleRep, nil}, []string{"name"}},
		"long name":          {NewAccount{strings.Repeat("é", maxName+1), goodPassword, store.RoleRep, nil}, []string{"name"}},
		"unknown role":       {NewAccount{"demo", goodPassword, "owner", nil}, []string{"role"}},
		"unknown site":       {NewAccount{"demo", goodPassword, store.RoleRep, []string{"leeds", "york"}}, []string{"site"}},
		"site twice":         {NewAccount{"demo", goodPassword, store.RoleRep, []string{"leeds", "leeds"}}, []string{"site"}},
		"a manager's site":   {NewAccount{"demo", goodPassword, store.RoleManager, []string{"leeds"}}, []string{"site"}},
		"password like name": {NewAccount{"demoperson", "Demoperson123!", store.RoleRep, nil}, []string{"password"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.AddUser(t.Context(), c.account)
			wantFields(t, err, c.fields...)
		})
	}
	if _, err := s.AddUser(t.Context(), NewAccount{strings.Repeat("é", maxName), goodPassword, store.RoleRep, []string{"leeds", "unlisted"}}); err != nil {
		t.Errorf("the longest name and the site that always exists: %v", err)
	}
}

func TestAccountsThatAreNotThere(t *testing.T) {
	s, _, _ := open(t)
	_, byName := s.UserByName(t.Context(), "demo nobody")
	for what, err := range map[string]error{
		"SetPassword": s.SetPassword(t.Context(), "x", goodPassword),
		"Disable":     s.Disable(t.Context(), "x"),
		"Enable":      s.Enable(t.Context(), "x"),
		"UserByName":  byName,
		"RevokeToken": s.RevokeToken(t.Context(), "x"),
	} {
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: err=%v, want NotFound", what, err)
		}
	}
}

func TestUsersAreListedByName(t *testing.T) {
	s, _, _ := open(t)
	add(t, s, "demo b", store.RoleRep)
	a := add(t, s, "demo a", store.RoleManager)
	got, err := s.Users(t.Context())
	if err != nil || len(got) != 2 || !reflect.DeepEqual(got[0], a) {
		t.Errorf("Users=%+v, %v, want %+v first", got, err, a)
	}
	if found, err := s.UserByName(t.Context(), "DEMO A"); err != nil || found.ID != a.ID {
		t.Errorf("UserByName=%+v, %v, want %+v", found, err, a)
	}
}

func TestSetPassword(t *testing.T) {
	s, _, _ := open(t)
	id := add(t, s, "demo rep", store.RoleRep).ID
	wantFields(t, s.SetPassword(t.Context(), id, "short"), "password")
	if err := s.SetPassword(t.Context(), id, otherPassword); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.SignIn(t.Context(), "demo rep", goodPassword, address); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("the old password: err=%v, want Unauthenticated", err)
	}
	if _, _, err := s.SignIn(t.Context(), "demo rep", otherPassword, address); err != nil {
		t.Errorf("the new password: %v", err)
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	s, _, _ := open(t)
	first, second := add(t, s, "demo one", store.RoleAdministrator), add(t, s, "demo two", store.RoleAdministrator)
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, a := range []Account{first, second} {
		wg.Go(func() { errs[i] = s.Disable(t.Context(), a.ID) })
	}
	wg.Wait()
	refused := 0
	for _, err := range errs {
		if fault.KindOf(err) == fault.Conflict {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if refused != 1 {
		t.Errorf("%d of two at once were refused, want one", refused)
	}
}

// between is a store without transactions in which another instance does
// something just before an account is stored, so often.
type between struct {
	store.Store
	times *int
	other func(st store.Store) error
}

func (b between) UpdateUser(ctx context.Context, u *store.User) error {
	if *b.times--; *b.times >= 0 {
		if err := b.other(b.Store); err != nil {
			return err
		}
	}
	return b.Store.UpdateUser(ctx, u)
}

func (b between) Group(_ context.Context, fn func(store.Store) error) error { return fn(b) }

func disabled(t *testing.T, st store.Store, id string, now bool) {
	t.Helper()
	u, err := st.User(t.Context(), id)
	if err == nil {
		u.Rev++
		u.Disabled = now
		err = st.UpdateUser(t.Context(), u)
	}
	if err != nil {
		t.Error(err)
	}
}

// What two do to one account at once holds, both of it.
func TestTwoChangesOfAnAccountAtOnceBothHold(t *testing.T) {
	s, st, _ := open(t)
	id := add(t, s, "demo rep", store.RoleRep).ID
	disable := func(st store.Store) error {
		disabled(t, st, id, true)
		return nil
	}
	once := 1
	s.store = between{st, &once, disable}
	if err := s.SetPassword(t.Context(), id, otherPassword); err != nil {
		t.Fatal(err)
	}
	s.store = st
	if _, _, err := s.SignIn(t.Context(), "demo rep", otherPassword, address); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("an account that was disabled meanwhile: %v, want Unauthenticated", err)
	}
	if err := s.Enable(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.SignIn(t.Context(), "demo rep", otherPassword, address); err != nil {
		t.Errorf("the password that was set meanwhile: %v", err)
	}

	before, err := st.User(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	always := 1000
	s.store = between{st, &always, disable}
	if err := s.SetPassword(t.Context(), id, goodPassword); fault.KindOf(err) != fault.Conflict || fault.As(err).Code != "account_changed" {
		t.Errorf("changed again and again: %v, want Conflict", err)
	}
	if after, err := st.User(t.Context(), id); err != nil || after.PasswordHash != before.PasswordHash {
		t.Errorf("the password was changed although it was said that it was not: %v", err)
	}
}

// Where nothing is committed together, each of two administrators can find the
// other there and disable them.
func TestTwoAdministratorsWhoDisableEachOtherDoNotLockEverybodyOut(t *testing.T) {
	s, st, _ := open(t)
	first, second := add(t, s, "demo one", store.RoleAdministrator), add(t, s, "demo two", store.RoleAdministrator)
	once := 1
	s.store = between{st, &once, func(st store.Store) error {
		disabled(t, st, first.ID, true)
		return nil
	}}
	if err := s.Disable(t.Context(), second.ID); fault.KindOf(err) != fault.Conflict {
		t.Errorf("err=%v, want Conflict", err)
	}
	if u, err := st.User(t.Context(), second.ID); err != nil || u.Disabled {
		t.Errorf("disabled=%v %v, want that somebody can sign in", u.Disabled, err)
	}
}

func TestTokens(t *testing.T) {
	s, _, clock := open(t)
	importSites(t, s, "leeds,Leeds,,,,,")
	token, made, err := s.CreateToken(t.Context(), NewToken{Label: " demo export ", Role: store.RoleRep, Sites: []string{"leeds"}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(token, "orc_"+made.ID+"_") {
		t.Errorf("token=%q, want orc_%s_…", token, made.ID)
	}
	want := web.Principal{ID: made.ID, Name: "demo export", Role: web.RoleRep, Sites: []string{"leeds"}, Token: true}
	if got, err := s.AuthenticateToken(t.Context(), token); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("AuthenticateToken=%+v, %v, want %+v", got, err, want)
	}
	clock.pass(time.Minute)
	other, second, err := s.CreateToken(t.Context(), NewToken{Label: "demo", Role: store.RoleManager})
	if err != nil {
		t.Fatal(err)
	}
	mixed := "orc_" + made.ID + other[strings.LastIndex(other, "_"):]
	for name, token := range map[string]string{
		"another's secret": mixed, "cut": token[:len(token)-1], "longer": token + "a", "upper case": strings.ToUpper(token),
		"empty": "", "a cookie": newSecret(), "no prefix": token[4:], "the prefix": "orc_",
	} {
		if who, err := s.AuthenticateToken(t.Context(), token); err != nil || who.SignedIn() {
			t.Errorf("%s: got %+v, %v, want nobody", name, who, err)
		}
	}
	if err := s.RevokeToken(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if who, err := s.AuthenticateToken(t.Context(), token); err != nil || who.SignedIn() {
		t.Errorf("revoked: got %+v, %v, want nobody", who, err)
	}
	list, err := s.Tokens(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != second.ID || !list[1].Revoked {
		t.Errorf("Tokens=%+v, %v, want the newest first and the revoked one marked", list, err)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	s, _, _ := open(t)
	for name, c := range map[string]struct {
		token  NewToken
		fields []string
	}{
		"nothing":          {NewToken{}, []string{"label", "role"}},
		"administrator":    {NewToken{Label: "demo", Role: store.RoleAdministrator}, []string{"role"}},
		"unknown site":     {NewToken{Label: "demo", Role: store.RoleRep, Sites: []string{"york"}}, []string{"site"}},
		"a manager's site": {NewToken{Label: "demo", Role: store.RoleManager, Sites: []string{"unlisted"}}, []string{"site"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := s.CreateToken(t.Context(), c.token)
			wantFields(t, err, c.fields...)
		})
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(formatToken(newID(), random(secretSize)))
	f.Add("orc_aaaaaaaaaaaaaaaa_")
	f.Add("orc__")
	f.Fuzz(func(t *testing.T, token string) {
		id, hash, ok := parseToken(token)
		if !ok {
			return
		}
		if len(id) != idLength || len(hash) != 32 || !strings.HasPrefix(token, tokenPrefix+id+"_") {
			t.Fatalf("%q parsed as %q, %x", token, id, hash)
		}
		if _, again, ok := parseToken(strings.ToUpper(token)); ok {
			t.Fatalf("%q is read in upper case too: %x", token, again)
		}
	})
}

func FuzzHashOfCookie(f *testing.F) {
	f.Add(newSecret())
	f.Add("")
	f.Add(strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, cookie string) {
		if hash, ok := hashOf(cookie); ok && (len(cookie) != 43 || len(hash) != 32) {
			t.Fatalf("%q was read as a cookie", cookie)
		}
	})
}

func BenchmarkAuthenticateSession(b *testing.B) {
	st, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "people.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	s := New(Config{Store: st, Now: time.Now, Cost: Cost{Memory: 64, Time: 1, Threads: 1}})
	if _, err := s.AddUser(b.Context(), NewAccount{Name: "demo", Password: goodPassword, Role: store.RoleRep}); err != nil {
		b.Fatal(err)
	}
	cookie, _, err := s.SignIn(b.Context(), "demo", goodPassword, address)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if who, err := s.AuthenticateSession(b.Context(), cookie); err != nil || !who.SignedIn() {
			b.Fatal(err)
		}
	}
}
