package people

import (
	"context"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/onrecord/onrecord/pkg/fault"
)

func TestPHCRoundTrip(t *testing.T) {
	h := newHasher(Cost{Memory: 64, Time: 2, Threads: 1})
	stored, err := h.hash(t.Context(), goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(stored, "$argon2id$v=19$m=64,t=2,p=1$") {
		t.Errorf("stored=%q", stored)
	}
	for password, want := range map[string]bool{goodPassword: true, goodPassword + " ": false, strings.ToUpper(goodPassword): false, "": false} {
		if got, err := h.matches(t.Context(), stored, password); err != nil || got != want {
			t.Errorf("matches(%q)=%v, %v, want %v", password, got, err, want)
		}
	}
	again, err := h.hash(t.Context(), goodPassword)
	if err != nil || again == stored {
		t.Errorf("the same password hashed twice to %q, %v", again, err)
	}
	dearer := newHasher(Cost{Memory: 128, Time: 1, Threads: 1})
	if ok, err := dearer.matches(t.Context(), stored, goodPassword); err != nil || !ok {
		t.Errorf("a hash made at another cost: %v, %v, want it to match", ok, err)
	}
}

// The key must be argon2id of exactly these parameters, so that another
// program that reads PHC strings agrees.
func TestKeyIsArgon2id(t *testing.T) {
	stored, err := newHasher(Cost{Memory: 64, Time: 2, Threads: 1}).hash(t.Context(), goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	h, err := parsePHC(stored)
	if err != nil {
		t.Fatal(err)
	}
	if want := argon2.IDKey([]byte(goodPassword), h.salt, 2, 64, 1, 32); string(h.key) != string(want) {
		t.Errorf("key=%x, want %x", h.key, want)
	}
}

func TestDamagedHashesAreRefused(t *testing.T) {
	good := phc{Cost{64, 1, 1}, make([]byte, saltSize), make([]byte, keySize)}.String()
	for name, stored := range map[string]string{
		"empty":            "",
		"argon2i":          strings.Replace(good, "argon2id", "argon2i", 1),
		"another version":  strings.Replace(good, "v=19", "v=16", 1),
		"no memory":        strings.Replace(good, "m=64", "m=0", 1),
		"too much memory":  strings.Replace(good, "m=64", "m=4194304", 1),
		"too many passes":  strings.Replace(good, "t=1", "t=1000", 1),
		"leading zero":     strings.Replace(good, "m=64", "m=064", 1),
		"cut key":          good[:len(good)-4],
		"a new line":       good + "\n",
		"swapped settings": strings.Replace(good, "m=64,t=1", "t=1,m=64", 1),
	} {
		if h, err := parsePHC(stored); err == nil {
			t.Errorf("%s: read as %+v", name, h)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add(phc{DefaultCost, random(saltSize), random(keySize)}.String())
	f.Add("$argon2id$v=19$m=1,t=1,p=1$$")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := parsePHC(s)
		if err != nil {
			return
		}
		if h.String() != s {
			t.Fatalf("%q read as %q", s, h.String())
		}
		if h.cost.Memory > mostCost.Memory || h.cost.Time > mostCost.Time || h.cost.Threads > mostCost.Threads || h.cost.Threads == 0 {
			t.Fatalf("%q costs %+v", s, h.cost)
		}
	})
}

func TestPasswords(t *testing.T) {
	for password, want := range map[string]string{
		"elevenchars":                   "12 characters or more",
		"":                              "12 characters or more",
		"éééééééééé":                    "12 characters or more",
		strings.Repeat("word ", 41):     "200 characters or fewer",
		"a word that is bad UTF-8 \xff": "UTF-8",
		"password1234":                  "too easy",
		"P@ssw0rd2026!":                 "too easy",
		"passwordpassword":              "too easy",
		"123456789012":                  "too easy",
		"098765432109":                  "too easy",
		"837465918273":                  "too easy",
		"aaaaaaaaaaaa":                  "too easy",
		"abcabcabcabc":                  "too easy",
		"xyz1xyz1xyz1":                  "too easy",
		"abcdefghijklmnop":              "too easy",
		"qwertyuiop[]":                  "too easy",
		"1q2w3e4r5t6y":                  "too easy",
		"Liverpool1892!":                "too easy",
		"correct horse battery staple":  "too easy",
		"jobcentreplus":                 "too easy",
		"Demo Person 99":                "too easy",
		"walnut ferry harbour":          "",
		"tRq8#vLm2!xP":                  "",
		"пароль из нескольких слов":        "",
		strings.Repeat("walnut é", 25):     "",
		"liverpool walnut ferry":           "",
		"a password nobody else would use": "",
	} {
		got := passwordFault(password, "demo person")
		if want == "" && got != "" || want != "" && !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", password, got, want)
		}
	}
}

func TestHashesAreMadeAFewAtATime(t *testing.T) {
	h := newHasher(Cost{Memory: 64, Time: 1, Threads: 1})
	for range hashesAtOnce {
		h.turn <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	errs := make([]error, hashesAtOnce+hashesWaiting)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = h.hash(ctx, goodPassword) })
	}
	for h.waiting.Load() < int32(len(errs)) {
		if t.Context().Err() != nil {
			t.Fatal("the waiters never came")
		}
	}
	_, err := h.hash(t.Context(), goodPassword)
	if f := fault.As(err); f.Kind != fault.Unavailable || f.RetryAfter == 0 {
		t.Errorf("one more than may wait: err=%v, want Unavailable with when to try again", err)
	}
	cancel()
	wg.Wait()
	for _, err := range errs {
		if fault.KindOf(err) != fault.Unavailable {
			t.Fatalf("gave up waiting: err=%v, want Unavailable", err)
		}
	}
	for range hashesAtOnce {
		<-h.turn
	}
	if _, err := h.hash(t.Context(), goodPassword); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func BenchmarkHash(b *testing.B) {
	h := newHasher(DefaultCost)
	for b.Loop() {
		if _, err := h.hash(b.Context(), goodPassword); err != nil {
			b.Fatal(err)
		}
	}
}
