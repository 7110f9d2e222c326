package people

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/onrecord/onrecord/pkg/fault"
)

// Limits on passwords, in characters. There are no rules on which characters,
// and no expiry. Source: ASVS 5.0, 6.2.
const (
	MinPassword = 12
	MaxPassword = 200
)

// Cost is what hashing one password costs whoever tries passwords, and us.
type Cost struct {
	Memory  uint32 // KiB
	Time    uint32 // passes
	Threads uint8
}

// DefaultCost is 64 MiB and three passes, the second recommended option of
// RFC 9106 section 4 with a single lane.
var DefaultCost = Cost{Memory: 64 << 10, Time: 3, Threads: 1}

const (
	saltSize = 16
	keySize  = 32

	hashesAtOnce  = 2  // bounds memory: twice the cost's
	hashesWaiting = 32 // more are turned away
)

// phc is an argon2id hash in the PHC string format,
// $argon2id$v=19$m=65536,t=3,p=1$salt$key.
type phc struct {
	cost      Cost
	salt, key []byte
}

var errPHC = errors.New("not an argon2id hash in PHC form")

// limits on what a stored hash may ask of us.
var mostCost = Cost{Memory: 256 << 10, Time: 16, Threads: 8}

// String returns the PHC form.
func (h phc) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.cost.Memory, h.cost.Time, h.cost.Threads, b64(h.salt), b64(h.key))
}

// parsePHC reads what String writes, byte for byte, and nothing else.
func parsePHC(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 {
		return phc{}, errPHC
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return phc{}, errPHC
	}
	number := func(text, name string, most uint64) uint64 {
		n, err := strconv.ParseUint(strings.TrimPrefix(text, name), 10, 32)
		if err != nil || n > most {
			return 0
		}
		return n
	}
	h := phc{cost: Cost{
		Memory:  uint32(number(costs[0], "m=", uint64(mostCost.Memory))),
		Time:    uint32(number(costs[1], "t=", uint64(mostCost.Time))),
		Threads: uint8(number(costs[2], "p=", uint64(mostCost.Threads))),
	}}
	var err1, err2 error
	h.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	h.key, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	sound := err1 == nil && err2 == nil && h.cost.Memory > 0 && h.cost.Time > 0 && h.cost.Threads > 0 &&
		len(h.salt) == saltSize && len(h.key) == keySize
	if !sound || h.String() != s {
		return phc{}, errPHC
	}
	return h, nil
}

// hasher hashes passwords, a few at a time.
type hasher struct {
	cost    Cost
	turn    chan struct{}
	waiting atomic.Int32
}

func newHasher(cost Cost) *hasher {
	return &hasher{cost: cost, turn: make(chan struct{}, hashesAtOnce)}
}

var busy = fault.New(fault.Unavailable, "busy", "Too many people are signing in at once. Try again shortly.").Retry(2 * time.Second)

// hash returns the PHC form of a password under a fresh salt, or
// fault.Unavailable when too many wait or the caller gave up.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	made := phc{cost: h.cost, salt: random(saltSize)}
	key, err := h.derive(ctx, password, made)
	made.key = key
	return made.String(), err
}

// matches reports whether a password has a stored hash, in a time that depends
// on the hash's cost alone. The error is as hash's, or says that the stored
// hash is damaged.
func (h *hasher) matches(ctx context.Context, stored, password string) (bool, error) {
	want, err := parsePHC(stored)
	if err != nil {
		return false, err
	}
	got, err := h.derive(ctx, password, want)
	return err == nil && subtle.ConstantTimeCompare(got, want.key) == 1, err
}

func (h *hasher) derive(ctx context.Context, password string, p phc) ([]byte, error) {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > hashesAtOnce+hashesWaiting {
		return nil, busy
	}
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return nil, busy.Because(ctx.Err())
	}
	return argon2.IDKey([]byte(password), p.salt, p.cost.Time, p.cost.Memory, p.cost.Threads, keySize), nil
}

// passwordFault says what is wrong with a new password, or "".
func passwordFault(password, name string) string {
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return "The password must be text in UTF-8."
	case n < MinPassword:
		return fmt.Sprintf("The password must be %d characters or more. Three or four words in a row make a good one.", MinPassword)
	case n > MaxPassword:
		return fmt.Sprintf("The password must be %d characters or fewer.", MaxPassword)
	case isCommon(password, name):
		return "That password is too easy to guess. Three or four words in a row make a good one."
	}
	return ""
}

// isCommon reports whether a password is among the first that anybody tries: a
// common one, the account's own name or one of both dressed with digits and
// signs, a short piece repeated, or characters in a row.
func isCommon(password, name string) bool {
	p := strings.ToLower(password)
	core := undress(p)
	if commonWords[p] || commonWords[core] || core == "" || core == undress(strings.ToLower(name)) {
		return true
	}
	return repeats(p) || inARow(p)
}

// undress removes digits, signs and spaces at both ends and undoes the usual
// swaps inside.
func undress(s string) string {
	s = strings.TrimFunc(s, func(r rune) bool { return r < 'a' && r < utf8.RuneSelf || r > 'z' && r < utf8.RuneSelf })
	return strings.NewReplacer("@", "a", "4", "a", "3", "e", "1", "i", "0", "o", "$", "s", "5", "s", "7", "t").Replace(s)
}

// repeats reports whether s is a piece of at most four characters over and over.
func repeats(s string) bool {
	r := []rune(s)
	for size := 1; size <= 4; size++ {
		same := true
		for i := size; i < len(r); i++ {
			same = same && r[i] == r[i-size]
		}
		if same {
			return true
		}
	}
	return false
}

// inARow reports whether s counts up or down throughout, nine followed by zero.
func inARow(s string) bool {
	for _, step := range []rune{1, -1} {
		same := true
		for i := 1; i < len(s); i++ {
			next := rune(s[i-1]) + step
			wrapped := s[i-1] == '9' && s[i] == '0' || s[i-1] == '0' && s[i] == '9'
			same = same && (rune(s[i]) == next || wrapped)
		}
		if same {
			return true
		}
	}
	return false
}

// commonWords are common passwords that are long enough, and the words that
// others are made of by adding digits and signs.
var commonWords = setOf(`
	password passwordpassword passwort passw mypassword thepassword thisisapassword newpassword password123password
	letmein letmeinnow letmeinplease welcome welcomeback welcomehome changeme changemenow changethis changeit
	iloveyou iloveyouforever iloveyousomuch loveyou lovelylovely admin administrator adminadmin rootroot
	qwerty qwertyuiop qwertyqwerty qwertyuiopasdf qwertyuiopasdfghjkl qwertyuiopasdfghjklzxcvbnm asdfghjkl asdfghjklzxcvbnm
	zxcvbnm 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1q2w3e4r5t6y7u8i 1qaz2wsx3edc 1qaz2wsx3edc4rfv q1w2e3r4t5y6 qazwsxedcrfv zaq12wsxcde3 qweasdzxc123
	qwe123qwe123 asd123asd123 abc123abc123 a1b2c3d4e5f6 abcd1234abcd abcdefghijkl abcdefghijklm abcdefghijklmnop abcdefghijklmnopqrstuvwxyz
	monkey dragon master shadow sunshine princess football baseball superman batman pokemon starwars whatever computer internet
	liverpool liverpoolfc manchester manchesterunited manchestercity arsenal chelsea chelseafc tottenham everton rangers celtic england scotland wales london
	michael charlie jessica ashley daniel thomas george jordan hannah
	summer winter spring autumn january february march april june july august september october november december monday friday
	secret secretsecret trustno1trustno1 trustnoone fuckyou fuckoff hello hellohello helloworld default temporary temppassword
	jobcentre jobcentreplus universalcredit onrecord onrecordonrecord staffsafety incident incidents
	correcthorsebatterystaple`)

func setOf(words string) map[string]bool {
	set := map[string]bool{"correct horse battery staple": true}
	for w := range strings.FieldsSeq(words) {
		set[w] = true
		set[undress(w)] = true
	}
	delete(set, "")
	return set
}
