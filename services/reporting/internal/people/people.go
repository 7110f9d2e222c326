// Package people keeps who may use reporting: accounts with passwords, the
// sessions of signed-in browsers, API tokens, the first administrator, and the
// site directory that says where reps belong.
//
// Secrets are kept as hashes only: passwords under argon2id, everything else,
// which is 256 random bits, under SHA-256. Names of people never enter the log.
package people

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"log/slog"
	"time"

	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Config says what a Service works with. Store and Now are required.
type Config struct {
	Store store.Store
	Now   func() time.Time
	Log   *slog.Logger // nil: nothing is logged
	Cost  Cost         // of hashing a password; zero: DefaultCost

	// Shared keeps the counts of failed sign-ins for every instance, under
	// names made with Key. Nil: this process counts for itself.
	Shared Shared
	Key    []byte
}

// Service answers who somebody is and changes who may be. It is safe for
// concurrent use. It implements web.Authenticator.
type Service struct {
	store  store.Store
	now    func() time.Time
	log    *slog.Logger
	hasher *hasher
	nobody string // a password hash that no password has
	limit  *guard
}

var _ web.Authenticator = (*Service)(nil)

// New returns a Service.
func New(cfg Config) *Service {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Cost == (Cost{}) {
		cfg.Cost = DefaultCost
	}
	return &Service{
		store:  cfg.Store,
		now:    cfg.Now,
		log:    cfg.Log.With("category", "people"),
		hasher: newHasher(cfg.Cost),
		nobody: phc{cfg.Cost, random(saltSize), random(keySize)}.String(),
		limit:  newGuard(cfg),
	}
}

// secretSize is the size of cookies, token secrets and setup links, in bytes.
const secretSize = 32

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// newSecret returns a secret as it travels in cookies and links.
func newSecret() string { return base64.RawURLEncoding.EncodeToString(random(secretSize)) }

// hashOf returns what is kept of a secret that newSecret made. It reports false
// for any other text.
func hashOf(secret string) ([]byte, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	if err != nil || len(raw) != secretSize || base64.RawURLEncoding.EncodeToString(raw) != secret {
		return nil, false
	}
	sum := sha256.Sum256([]byte(secret))
	return sum[:], true
}

// lowerBase32 is for ids: letters and digits that survive being read aloud.
var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const idLength = 16 // 80 bits

// newID returns a random id of letters and digits.
func newID() string { return lowerBase32.EncodeToString(random(idLength * 5 / 8)) }

// principalOf returns who an account is.
func principalOf(u *store.User) web.Principal {
	return web.Principal{ID: u.ID, Name: u.Name, Role: web.Role(u.Role), Sites: u.Sites}
}
