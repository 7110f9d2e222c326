package people

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

func setupToken(t *testing.T, s *Service) string {
	t.Helper()
	token, err := s.SetupToken(t.Context())
	if err != nil || token == "" {
		t.Fatalf("SetupToken=%q, %v", token, err)
	}
	return token
}

func TestSetUp(t *testing.T) {
	s, st, _ := open(t)
	old := setupToken(t, s)
	token := setupToken(t, s)
	for name, wrong := range map[string]string{"replaced": old, "empty": "", "another": newSecret(), "longer": token + "A"} {
		if err := s.SetUp(t.Context(), wrong, "demo admin", goodPassword); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: err=%v, want Forbidden", name, err)
		}
	}
	wantFields(t, s.SetUp(t.Context(), token, " ", "password1234"), "name", "password")
	if err := s.CheckSetupToken(t.Context(), token); err != nil {
		t.Fatalf("after a mistake the link must still work: %v", err)
	}
	if err := s.SetUp(t.Context(), token, "demo admin", goodPassword); err != nil {
		t.Fatal(err)
	}
	if !signedIn(t, s, signIn(t, s, "demo admin")) {
		t.Error("the first administrator cannot sign in")
	}
	if err := s.SetUp(t.Context(), token, "demo second", goodPassword); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("used again: err=%v, want Forbidden", err)
	}
	if kept, err := st.Meta(t.Context(), setupFact); err != nil || len(kept) != 0 {
		t.Errorf("a used token leaves %x, %v", kept, err)
	}
	if again, err := s.SetupToken(t.Context()); err != nil || again != "" {
		t.Errorf("with an administrator SetupToken=%q, %v, want none", again, err)
	}
}

func TestSetUpClosesWhenAnAdministratorIsAdded(t *testing.T) {
	s, _, _ := open(t)
	token := setupToken(t, s)
	add(t, s, "demo rep", store.RoleRep)
	if err := s.CheckSetupToken(t.Context(), token); err != nil {
		t.Fatalf("a rep closes nothing: %v", err)
	}
	wantFields(t, s.SetUp(t.Context(), token, "Demo Rep", goodPassword), "name")
	add(t, s, "demo admin", store.RoleAdministrator)
	if err := s.SetUp(t.Context(), token, "demo second", goodPassword); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("err=%v, want Forbidden", err)
	}
}

// withoutTransactions is a store whose groups keep nothing together, like
// MongoDB's, in which everybody has looked before anybody writes.
type withoutTransactions struct {
	store.Store
	looked *sync.WaitGroup
}

func (s withoutTransactions) Group(_ context.Context, fn func(store.Store) error) error {
	return fn(s)
}

func (s withoutTransactions) InsertUser(ctx context.Context, u *store.User) error {
	s.looked.Done()
	s.looked.Wait()
	return s.Store.InsertUser(ctx, u)
}

func TestOneOfManySetsUp(t *testing.T) {
	const many = 8
	for name, wrap := range map[string]func(store.Store) store.Store{
		"with transactions": func(st store.Store) store.Store { return st },
		"without transactions": func(st store.Store) store.Store {
			looked := &sync.WaitGroup{}
			looked.Add(many)
			return withoutTransactions{st, looked}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, st, _ := open(t)
			s.store = wrap(st)
			token := setupToken(t, s)
			errs := make([]error, many)
			var wg sync.WaitGroup
			for i := range many {
				wg.Go(func() { errs[i] = s.SetUp(t.Context(), token, fmt.Sprint("demo admin ", i), goodPassword) })
			}
			wg.Wait()
			made := 0
			for _, err := range errs {
				switch {
				case err == nil:
					made++
				case fault.KindOf(err) != fault.Forbidden:
					t.Errorf("err=%v, want Forbidden", err)
				}
			}
			users, err := st.Users(t.Context())
			if err != nil || made != 1 || len(users) != 1 {
				t.Errorf("%d of %d at once were told they set up, %d accounts, %v; want one of each", made, many, len(users), err)
			}
		})
	}
}

func TestSetupTokenIsKeptAsAHash(t *testing.T) {
	s, st, _ := open(t)
	token := setupToken(t, s)
	kept, err := st.Meta(t.Context(), setupFact)
	if err != nil || string(kept) == token || len(kept) != 32 {
		t.Errorf("kept %q, %v, want a hash", kept, err)
	}
}
