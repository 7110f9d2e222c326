package people

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// APIToken is an API token as it may be shown: without its secret's hash.
type APIToken struct {
	ID        string
	Label     string
	Role      store.Role
	Sites     []string // empty: every site
	CreatedAt time.Time
	Revoked   bool
}

func apiTokenOf(t *store.Token) APIToken {
	return APIToken{t.ID, t.Label, t.Role, t.Sites, t.CreatedAt, t.Revoked}
}

// NewToken is what an API token is made from.
type NewToken struct {
	Label string     // what it is for
	Role  store.Role // rep or manager
	Sites []string   // a rep's; empty: every site
}

// A token is "orc_", its id, "_" and its secret, all in lower case letters and
// digits, so that a search for leaked secrets finds it and a double click
// selects it.
const tokenPrefix = "orc_"

func formatToken(id string, secret []byte) string {
	return tokenPrefix + id + "_" + lowerBase32.EncodeToString(secret)
}

// parseToken returns a token's id and the hash of its secret. It reports false
// for any text that formatToken does not write.
func parseToken(token string) (id string, hash []byte, ok bool) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	id, text, found := strings.Cut(rest, "_")
	if !ok || !found || len(id) != idLength {
		return "", nil, false
	}
	secret, err := lowerBase32.DecodeString(text)
	if _, idErr := lowerBase32.DecodeString(id); err != nil || idErr != nil || len(secret) != secretSize || formatToken(id, secret) != token {
		return "", nil, false
	}
	sum := sha256.Sum256(secret)
	return id, sum[:], true
}

// CreateToken makes an API token and returns it in full, once: only the hash
// of its secret is kept. It returns fault.Invalid naming every field to mend.
// Who may call it: an administrator, and the operator on the command line.
func (s *Service) CreateToken(ctx context.Context, n NewToken) (token string, made APIToken, err error) {
	n.Label = strings.TrimSpace(n.Label)
	bad := append(nameFaults("label", "label", n.Label), roleFaults(n.Role, store.RoleRep, store.RoleManager)...)
	siteFaults, err := s.siteFaults(ctx, n.Role, n.Sites)
	if err != nil {
		return "", APIToken{}, err
	}
	if bad = append(bad, siteFaults...); len(bad) > 0 {
		return "", APIToken{}, fault.InvalidFields(bad)
	}
	secret := random(secretSize)
	sum := sha256.Sum256(secret)
	t := &store.Token{ID: newID(), Label: n.Label, Hash: sum[:], Role: n.Role, Sites: n.Sites, CreatedAt: s.now().UTC()}
	if err := s.store.InsertToken(ctx, t); err != nil {
		return "", APIToken{}, fmt.Errorf("create token: %w", err)
	}
	s.log.Info("token created", "token", t.ID, "role", t.Role)
	return formatToken(t.ID, secret), apiTokenOf(t), nil
}

// Tokens returns every token, the newest first, revoked ones too.
func (s *Service) Tokens(ctx context.Context) ([]APIToken, error) {
	tokens, err := s.store.Tokens(ctx)
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	shown := make([]APIToken, len(tokens))
	for i, t := range tokens {
		shown[i] = apiTokenOf(t)
	}
	return shown, nil
}

// RevokeToken ends a token for good. It returns fault.NotFound for an id that
// no token has. Who may call it: as CreateToken.
func (s *Service) RevokeToken(ctx context.Context, id string) error {
	tokens, err := s.store.Tokens(ctx)
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	at := slices.IndexFunc(tokens, func(t *store.Token) bool { return t.ID == id })
	if at < 0 {
		return fault.New(fault.NotFound, "no_such_token", "There is no such token.")
	}
	tokens[at].Revoked = true
	if err := s.store.UpdateToken(ctx, tokens[at]); err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	s.log.Info("token revoked", "token", id)
	return nil
}

// AuthenticateToken implements web.Authenticator: it returns what an API token
// may do.
func (s *Service) AuthenticateToken(ctx context.Context, token string) (web.Principal, error) {
	id, hash, ok := parseToken(token)
	if !ok {
		return web.Principal{}, nil
	}
	t, err := s.store.TokenByHash(ctx, hash)
	if errors.Is(err, store.ErrNotFound) || err == nil && (t.ID != id || t.Revoked) {
		return web.Principal{}, nil
	} else if err != nil {
		return web.Principal{}, fmt.Errorf("token: %w", err)
	}
	return web.Principal{ID: t.ID, Name: t.Label, Role: web.Role(t.Role), Sites: t.Sites, Token: true}, nil
}
