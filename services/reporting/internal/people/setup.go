package people

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// setupFact is the fact of the store that holds the hash of the setup token;
// empty when it was used.
const setupFact = "setup_token"

// firstAdministrator is the id of the account that the setup token makes. It is
// always the same, so that a second one cannot be stored whoever tries when.
const firstAdministrator = "first-administrator"

var setupClosed = fault.New(fault.Forbidden, "setup_closed",
	"This link is not valid any more. It was used, a newer one was made, or there is an administrator already. Sign in, or start the service again for a new link.")

// SetupToken makes the token of the link that creates the first administrator,
// in place of any earlier one. It is good until it is used or an administrator
// exists. With an administrator, disabled or not, it returns "". The program
// calls it at each start.
func (s *Service) SetupToken(ctx context.Context) (string, error) {
	token := newSecret()
	hash, _ := hashOf(token)
	err := s.store.Group(ctx, func(st store.Store) error {
		exists, err := administratorExists(ctx, st)
		if err != nil || exists {
			token = ""
			return err
		}
		return st.SetMeta(ctx, setupFact, hash)
	})
	if err != nil {
		return "", fmt.Errorf("setup token: %w", err)
	}
	return token, nil
}

func administratorExists(ctx context.Context, st store.Store) (bool, error) {
	users, err := st.Users(ctx)
	return slices.ContainsFunc(users, func(u *store.User) bool { return u.Role == store.RoleAdministrator }), err
}

// CheckSetupToken returns nil for the setup token while it is good, else
// fault.Forbidden that says why not.
func (s *Service) CheckSetupToken(ctx context.Context, token string) error {
	return checkSetupToken(ctx, s.store, token)
}

func checkSetupToken(ctx context.Context, st store.Store, token string) error {
	hash, ok := hashOf(token)
	if !ok {
		return setupClosed
	}
	kept, err := st.Meta(ctx, setupFact)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return setupClosed
	case err != nil:
		return fmt.Errorf("setup token: %w", err)
	case subtle.ConstantTimeCompare(kept, hash) != 1:
		return setupClosed
	}
	exists, err := administratorExists(ctx, st)
	if err == nil && exists {
		return setupClosed
	}
	return err
}

// SetUp makes the first administrator and uses the setup token up. Of any
// number at once, one succeeds. It returns fault.Forbidden as CheckSetupToken,
// and fault.Invalid naming every field to mend, which leaves the token good.
func (s *Service) SetUp(ctx context.Context, token, name, password string) error {
	if err := s.CheckSetupToken(ctx, token); err != nil {
		return err
	}
	name = strings.TrimSpace(name)
	if bad := append(nameFaults("name", "name", name), passwordFaults(password, name)...); len(bad) > 0 {
		return fault.InvalidFields(bad)
	}
	hash, err := s.hasher.hash(ctx, password)
	if err != nil {
		return err
	}
	u := &store.User{ID: firstAdministrator, Name: name, Role: store.RoleAdministrator, PasswordHash: hash, CreatedAt: s.now().UTC()}
	err = s.store.Group(ctx, func(st store.Store) error {
		if err := checkSetupToken(ctx, st, token); err != nil {
			return err
		}
		if err := st.InsertUser(ctx, u); errors.Is(err, store.ErrExists) {
			return takenBy(ctx, st, name)
		} else if err != nil {
			return err
		}
		return st.SetMeta(ctx, setupFact, nil)
	})
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	s.log.Info("first administrator created", "account", u.ID)
	return nil
}

// takenBy says why the first administrator cannot be stored: the name is
// somebody's, or there is one.
func takenBy(ctx context.Context, st store.Store, name string) error {
	u, err := st.UserByName(ctx, name)
	switch {
	case err == nil && u.ID != firstAdministrator:
		return nameTaken
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	return setupClosed
}
