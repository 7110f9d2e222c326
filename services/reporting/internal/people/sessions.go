package people

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// How long a session lasts. An hour without a request lets a rep be called
// away in the middle of a case; twelve hours are the longest shift.
const (
	SessionLasts = 12 * time.Hour
	SessionIdle  = time.Hour
	seenEvery    = time.Minute // a session in use is written no more often
)

var errFlood = errors.New("too many sign-ins at once to count them together")

var wrongPassword = fault.New(fault.Unauthenticated, "sign_in_failed", "That name and password do not belong together. Check both and try again.")

// SignIn opens a session and returns its cookie's value. address is where the
// request came from, as web.ClientNetwork tells it. It returns fault.Unauthenticated for a wrong name, a wrong
// password and a disabled account alike, after the same work; fault.TooMany,
// with when to try again, after too many failures; and fault.Unavailable when
// too many sign in at once.
func (s *Service) SignIn(ctx context.Context, name, password, address string) (cookie string, who web.Principal, err error) {
	name = strings.TrimSpace(name)
	attempt, err := s.limit.begin(ctx, name, address)
	if err != nil {
		metrics.GetOrCreateCounter(`onrecord_sign_ins_total{result="limited"}`).Inc()
		return "", web.Principal{}, err
	}
	u, err := s.verify(ctx, name, password)
	if err == nil {
		cookie, err = s.open(ctx, u)
	}
	switch {
	case err == nil:
		attempt.succeeded(ctx)
		metrics.GetOrCreateCounter(`onrecord_sign_ins_total{result="ok"}`).Inc()
		return cookie, principalOf(u), nil
	case errors.Is(err, wrongPassword):
		metrics.GetOrCreateCounter(`onrecord_sign_ins_total{result="failed"}`).Inc()
	default:
		attempt.undone(ctx)
	}
	return "", web.Principal{}, err
}

// verify returns the account with a name and a password, or wrongPassword. It
// does the same work whether or not there is such an account.
func (s *Service) verify(ctx context.Context, name, password string) (*store.User, error) {
	u, err := s.store.UserByName(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		u, err = &store.User{PasswordHash: s.nobody, Disabled: true}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	ok, err := s.hasher.matches(ctx, u.PasswordHash, password)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	if !ok || u.Disabled {
		return nil, wrongPassword
	}
	return u, nil
}

// open stores a session for u, unless the account changed since it was read: a
// password that was just replaced must not open one. That is asked once the
// session is stored: whoever changes the account later ends it. It sweeps out
// the sessions that nobody used for too long.
func (s *Service) open(ctx context.Context, u *store.User) (cookie string, err error) {
	cookie = newSecret()
	hash, _ := hashOf(cookie)
	now := s.now().UTC()
	err = s.store.Group(ctx, func(st store.Store) error {
		if err := st.DeleteSessions(ctx, "", now.Add(-SessionIdle)); err != nil {
			return err
		}
		if err := st.PutSession(ctx, &store.Session{Hash: hash, UserID: u.ID, CreatedAt: now, SeenAt: now}); err != nil {
			return err
		}
		current, err := st.User(ctx, u.ID)
		if err == nil && (current.Disabled || current.PasswordHash != u.PasswordHash) {
			return errors.Join(wrongPassword, st.DeleteSession(ctx, hash))
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("open session: %w", err)
	}
	return cookie, nil
}

// AuthenticateSession implements web.Authenticator: it returns who holds a
// session cookie, with the role and sites the account has now. A session ends
// SessionLasts after signing in, SessionIdle after its last request, at signing
// out, and when its account is disabled or given another password.
func (s *Service) AuthenticateSession(ctx context.Context, cookie string) (web.Principal, error) {
	hash, ok := hashOf(cookie)
	if !ok {
		return web.Principal{}, nil
	}
	session, err := s.store.Session(ctx, hash)
	if errors.Is(err, store.ErrNotFound) {
		return web.Principal{}, nil
	} else if err != nil {
		return web.Principal{}, fmt.Errorf("session: %w", err)
	}
	now := s.now()
	if ended(session, now) {
		return web.Principal{}, s.store.DeleteSession(ctx, hash)
	}
	u, err := s.store.User(ctx, session.UserID)
	if errors.Is(err, store.ErrNotFound) || err == nil && u.Disabled {
		return web.Principal{}, nil
	} else if err != nil {
		return web.Principal{}, fmt.Errorf("session: %w", err)
	}
	if now.Sub(session.SeenAt) >= seenEvery {
		s.seen(ctx, hash, now)
	}
	return principalOf(u), nil
}

func ended(session *store.Session, now time.Time) bool {
	return now.Sub(session.CreatedAt) >= SessionLasts || now.Sub(session.SeenAt) >= SessionIdle
}

// seen records that a session is in use, unless it ended meanwhile: a session
// that was signed out must not come back. When the store cannot write, the
// request goes on; the session may then end early.
func (s *Service) seen(ctx context.Context, hash []byte, now time.Time) {
	err := s.store.Group(ctx, func(st store.Store) error {
		session, err := st.Session(ctx, hash)
		if errors.Is(err, store.ErrNotFound) || err == nil && now.Sub(session.SeenAt) < seenEvery {
			return nil
		} else if err != nil {
			return err
		}
		if err := st.SeeSession(ctx, hash, now.UTC()); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return nil
	})
	if err != nil {
		s.log.Warn("a session's use was not recorded", "error", err)
	}
}

// SignOut ends a session. A cookie that opens none is no error.
func (s *Service) SignOut(ctx context.Context, cookie string) error {
	hash, ok := hashOf(cookie)
	if !ok {
		return nil
	}
	if err := s.store.DeleteSession(ctx, hash); err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	return nil
}
