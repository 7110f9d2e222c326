package people

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// maxName is how long the name of an account or the label of a token may be, in
// characters.
const maxName = 60

// Account is an account as it may be shown: without its password's hash.
type Account struct {
	ID        string
	Name      string
	Role      store.Role
	Sites     []string // a rep's; empty: every site
	Disabled  bool
	CreatedAt time.Time
}

func accountOf(u *store.User) Account {
	return Account{u.ID, u.Name, u.Role, u.Sites, u.Disabled, u.CreatedAt}
}

// NewAccount is what an account is made from.
type NewAccount struct {
	Name     string
	Password string
	Role     store.Role
	Sites    []string // a rep's; empty: every site
}

var noAccount = fault.New(fault.NotFound, "no_such_account", "There is no such account.")

// AddUser makes an account. It returns fault.Invalid naming every field to
// mend, a name that is taken included. Who may call it: an administrator, and
// the operator on the command line.
func (s *Service) AddUser(ctx context.Context, a NewAccount) (Account, error) {
	a.Name = strings.TrimSpace(a.Name)
	bad, err := s.Faults(ctx, a)
	if err != nil {
		return Account{}, err
	}
	if len(bad) > 0 {
		return Account{}, fault.InvalidFields(bad)
	}
	hash, err := s.hasher.hash(ctx, a.Password)
	if err != nil {
		return Account{}, err
	}
	u := &store.User{ID: newID(), Name: a.Name, Role: a.Role, Sites: a.Sites, PasswordHash: hash, CreatedAt: s.now().UTC()}
	if err := s.store.InsertUser(ctx, u); errors.Is(err, store.ErrExists) {
		return Account{}, nameTaken
	} else if err != nil {
		return Account{}, fmt.Errorf("add account: %w", err)
	}
	s.log.Info("account added", "account", u.ID, "role", u.Role)
	return accountOf(u), nil
}

// Faults returns every field of an account that AddUser would have mended, but
// for a name that is taken, which only adding finds out.
func (s *Service) Faults(ctx context.Context, a NewAccount) ([]fault.Field, error) {
	name := strings.TrimSpace(a.Name)
	bad := append(nameFaults("name", "name", name), passwordFaults(a.Password, name)...)
	bad = append(bad, roleFaults(a.Role, store.RoleAdministrator, store.RoleRep, store.RoleManager)...)
	siteFaults, err := s.siteFaults(ctx, a.Role, a.Sites)
	return append(bad, siteFaults...), err
}

var nameTaken = fault.InvalidFields([]fault.Field{{Name: "name", Message: "There is an account with that name already. Choose another."}})

// nameFaults says what is wrong with a name or label, in a field of a form.
func nameFaults(field, what, name string) []fault.Field {
	message := ""
	switch n := utf8.RuneCountInString(name); {
	case n == 0:
		message = "Enter a " + what + "."
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		message = "The " + what + " holds a character that cannot be seen. Type it again."
	case n > maxName:
		message = fmt.Sprintf("The %s must be %d characters or fewer.", what, maxName)
	default:
		return nil
	}
	return []fault.Field{{Name: field, Message: message}}
}

func passwordFaults(password, name string) []fault.Field {
	if message := passwordFault(password, name); message != "" {
		return []fault.Field{{Name: "password", Message: message}}
	}
	return nil
}

func roleFaults(role store.Role, allowed ...store.Role) []fault.Field {
	if slices.Contains(allowed, role) {
		return nil
	}
	words := make([]string, len(allowed))
	for i, r := range allowed {
		words[i] = string(r)
	}
	return []fault.Field{{Name: "role", Message: "The role must be one of: " + strings.Join(words, ", ") + "."}}
}

// siteFaults says what is wrong with the sites of a role. A rep without sites
// sees every site; other roles have none.
func (s *Service) siteFaults(ctx context.Context, role store.Role, sites []string) ([]fault.Field, error) {
	if len(sites) == 0 {
		return nil, nil
	}
	if role != store.RoleRep {
		return []fault.Field{{Name: "site", Message: "Only a rep is given sites."}}, nil
	}
	directory, err := s.Directory(ctx)
	if err != nil {
		return nil, err
	}
	var bad []fault.Field
	for i, id := range sites {
		switch known := func(site store.Site) bool { return site.ID == id }; {
		case id != incident.SiteUnlisted && !slices.ContainsFunc(directory, known):
			bad = append(bad, fault.Field{Name: "site", Message: fmt.Sprintf("There is no site “%.40s”. Import the list of sites first.", id)})
		case slices.Contains(sites[:i], id):
			bad = append(bad, fault.Field{Name: "site", Message: fmt.Sprintf("The site “%s” is there twice.", id)})
		}
	}
	return bad, nil
}

// Users returns every account by name.
func (s *Service) Users(ctx context.Context) ([]Account, error) {
	users, err := s.store.Users(ctx)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	accounts := make([]Account, len(users))
	for i, u := range users {
		accounts[i] = accountOf(u)
	}
	return accounts, nil
}

// UserByName returns the account with a name, in any case, or fault.NotFound.
func (s *Service) UserByName(ctx context.Context, name string) (Account, error) {
	u, err := s.store.UserByName(ctx, strings.TrimSpace(name))
	if errors.Is(err, store.ErrNotFound) {
		return Account{}, noAccount
	} else if err != nil {
		return Account{}, fmt.Errorf("account: %w", err)
	}
	return accountOf(u), nil
}

// SetPassword gives an account another password and signs it out everywhere.
// It returns fault.Invalid for a password that will not do and fault.NotFound
// for an account that is not there. Who may call it: as AddUser.
func (s *Service) SetPassword(ctx context.Context, id, password string) error {
	u, err := s.user(ctx, s.store, id)
	if err != nil {
		return err
	}
	if bad := passwordFaults(password, u.Name); len(bad) > 0 {
		return fault.InvalidFields(bad)
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	return s.change(ctx, id, "password changed", func(_ store.Store, u *store.User) error {
		u.PasswordHash = hash
		return nil
	})
}

// Disable keeps an account from signing in and signs it out everywhere. It
// returns fault.NotFound for an account that is not there, and fault.Conflict
// for the last administrator who can sign in. Who may call it: as AddUser.
func (s *Service) Disable(ctx context.Context, id string) error {
	var was store.User
	err := s.change(ctx, id, "account disabled", func(st store.Store, u *store.User) error {
		if was = *u; u.Role == store.RoleAdministrator && !u.Disabled {
			last, err := isLastAdministrator(ctx, st, id)
			if err != nil {
				return err
			}
			if last {
				return lastAdministrator
			}
		}
		u.Disabled = true
		return nil
	})
	if err != nil || was.Role != store.RoleAdministrator || was.Disabled {
		return err
	}
	// Where nothing is committed together, two may have disabled each other.
	last, err := isLastAdministrator(ctx, s.store, id)
	if err == nil && last {
		err = errors.Join(lastAdministrator, s.Enable(ctx, id))
	}
	return err
}

var lastAdministrator = fault.New(fault.Conflict, "last_administrator", "This is the last administrator who can sign in. Add another one first.")

func isLastAdministrator(ctx context.Context, st store.Store, id string) (bool, error) {
	users, err := st.Users(ctx)
	return !slices.ContainsFunc(users, func(u *store.User) bool {
		return u.ID != id && u.Role == store.RoleAdministrator && !u.Disabled
	}), err
}

// Enable lets a disabled account sign in again. It returns fault.NotFound for
// an account that is not there. Who may call it: as AddUser.
func (s *Service) Enable(ctx context.Context, id string) error {
	return s.change(ctx, id, "account enabled", func(_ store.Store, u *store.User) error {
		u.Disabled = false
		return nil
	})
}

// changeTries is how often a change of an account is made anew when another is
// made in the same moment: both hold then.
const changeTries = 5

var changedMeanwhile = fault.New(fault.Conflict, "account_changed", "Somebody else is changing this account at this moment. Nothing of yours was saved: look at the account again, then try once more.")

// change changes an account and ends its sessions. Of two changes in the same
// moment neither is lost: fn is called again with what the other made of it.
func (s *Service) change(ctx context.Context, id, what string, fn func(store.Store, *store.User) error) error {
	err := store.ErrStale
	for try := 0; errors.Is(err, store.ErrStale) && try < changeTries; try++ {
		err = s.store.Group(ctx, func(st store.Store) error {
			u, err := s.user(ctx, st, id)
			if err != nil {
				return err
			}
			if err := fn(st, u); err != nil {
				return err
			}
			u.Rev++
			if err := st.UpdateUser(ctx, u); err != nil {
				return err
			}
			return st.DeleteSessions(ctx, id, time.Time{})
		})
	}
	if errors.Is(err, store.ErrStale) {
		err = changedMeanwhile.Because(err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s.log.Info(what, "account", id)
	return nil
}

func (s *Service) user(ctx context.Context, st store.Store, id string) (*store.User, error) {
	u, err := st.User(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noAccount
	}
	return u, err
}
