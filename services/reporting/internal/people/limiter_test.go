package people

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

func TestGuessingIsSlowedDown(t *testing.T) {
	s, _, clock := open(t)
	add(t, s, "demo rep", store.RoleRep)
	guess := func(name, password, address string) error {
		_, _, err := s.SignIn(t.Context(), name, password, address)
		return err
	}
	for i := range freeForAccount {
		if err := guess("demo rep", otherPassword, address); fault.KindOf(err) != fault.Unauthenticated {
			t.Fatalf("guess %d: err=%v, want Unauthenticated", i, err)
		}
	}
	err := guess("Demo Rep", goodPassword, address)
	if f := fault.As(err); f.Kind != fault.TooMany || f.RetryAfter != firstDelay || !strings.Contains(f.Message, "30 seconds") {
		t.Fatalf("err=%v, want TooMany for 30 seconds, the right password included", err)
	}
	if err := guess("demo rep", goodPassword, "198.51.100.1"); err != nil {
		t.Errorf("from another address: %v, want it to work", err)
	}
	clock.pass(firstDelay)
	if err := guess("demo rep", otherPassword, address); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("after the delay: err=%v, want Unauthenticated", err)
	}
	if f := fault.As(guess("demo rep", goodPassword, address)); f.Kind != fault.TooMany || f.RetryAfter != 2*firstDelay {
		t.Errorf("the delay does not double: %v, %v", f, f.RetryAfter)
	}
	clock.pass(2 * firstDelay)
	if err := guess("demo rep", goodPassword, address); err != nil {
		t.Errorf("the right password after the delay: %v", err)
	}
	for i := range freeForAccount {
		if err := guess("demo rep", otherPassword, address); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("guess %d after a success: err=%v, want the count begun anew", i, err)
		}
	}
}

// A delay tells nothing about which accounts there are.
func TestNamesThatAreNotThereAreSlowedDownToo(t *testing.T) {
	s, _, _ := open(t)
	var err error
	for range freeForAccount + 1 {
		_, _, err = s.SignIn(t.Context(), "demo nobody", goodPassword, address)
	}
	if fault.KindOf(err) != fault.TooMany {
		t.Errorf("err=%v, want TooMany", err)
	}
}

func TestOneAddressCannotTryManyNames(t *testing.T) {
	l := newLimiter((&clock{at: time.Unix(0, 0)}).now)
	for i := range freeForAddress {
		if _, err := l.begin(fmt.Sprint("demo ", i), "2001:db8::/64"); err != nil {
			t.Fatalf("name %d: %v", i, err)
		}
	}
	if _, err := l.begin("demo", "2001:db8::/64"); fault.KindOf(err) != fault.TooMany {
		t.Errorf("err=%v, want TooMany for the whole network", err)
	}
	if _, err := l.begin("demo", "2001:db8:0:1::/64"); err != nil {
		t.Errorf("another network: %v", err)
	}
}

// Those behind one address who know their passwords are not slowed down.
func TestSuccessesDoNotCount(t *testing.T) {
	l := newLimiter((&clock{at: time.Unix(0, 0)}).now)
	for i := range 3 * freeForAddress {
		attempt, err := l.begin(fmt.Sprint("demo ", i), address)
		if err != nil {
			t.Fatalf("sign-in %d: %v", i, err)
		}
		attempt.succeeded()
	}
}

func TestManyAtOnceAreNoWayAround(t *testing.T) {
	l := newLimiter((&clock{at: time.Unix(0, 0)}).now)
	var wg sync.WaitGroup
	var mu sync.Mutex
	let := 0
	for range 100 {
		wg.Go(func() {
			if _, err := l.begin("demo", address); err == nil {
				mu.Lock()
				let++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if let != freeForAccount {
		t.Errorf("%d of 100 at once were let try, want %d", let, freeForAccount)
	}
}

func TestFailuresFadeOneByOne(t *testing.T) {
	c := &clock{at: time.Unix(0, 0)}
	l := newLimiter(c.now)
	attempts := func() (let int) {
		for ; ; let++ {
			if _, err := l.begin("demo", address); err != nil {
				return let
			}
		}
	}
	for _, step := range []struct {
		pass time.Duration
		want int
	}{{0, freeForAccount}, {accountFades, 1}, {3 * accountFades, 3}, {24 * time.Hour, freeForAccount}} {
		c.pass(step.pass)
		if got := attempts(); got != step.want {
			t.Errorf("after another %v: %d were let try before a delay, want %d", step.pass, got, step.want)
		}
	}
}

// A busy office behind one address is not slowed down for what happened hours
// ago, though somebody signs in, or fails to, all day.
func TestAnOfficeThatNowAndThenMistypesIsNotSlowedDown(t *testing.T) {
	c := &clock{at: time.Unix(0, 0)}
	l := newLimiter(c.now)
	for i := range 10 * freeForAddress {
		for _, typed := range []string{"wrong", "right"} {
			attempt, err := l.begin(fmt.Sprint("demo ", i%100), address)
			if err != nil {
				t.Fatalf("minute %d: %v", i, err)
			}
			if typed == "right" {
				attempt.succeeded()
			}
		}
		c.pass(time.Minute)
	}
}

func TestOneAddressKeepsUpOneGuessAMinute(t *testing.T) {
	c := &clock{at: time.Unix(0, 0)}
	l := newLimiter(c.now)
	let := 0
	for i := range 24 * 3600 / 10 {
		if _, err := l.begin(fmt.Sprint("demo ", i), address); err == nil {
			let++
		}
		c.pass(10 * time.Second)
	}
	if most := 24*60 + 2*freeForAddress; let > most {
		t.Errorf("%d guesses in a day, want at most %d", let, most)
	}
}

func TestDelaysAreNeverLongerThanTheLongest(t *testing.T) {
	c := &clock{at: time.Unix(0, 0)}
	l := newLimiter(c.now)
	for i := range 200 {
		_, err := l.begin("demo", address)
		if f := fault.As(err); err != nil && (f.Kind != fault.TooMany || f.RetryAfter <= 0 || f.RetryAfter > longestDelay) {
			t.Fatalf("attempt %d: %v, wait %v", i, err, f.RetryAfter)
		}
		c.pass(longestDelay / 3)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	c := &clock{at: time.Unix(0, 0)}
	l := newLimiter(c.now)
	for i := range 2 * mostRemembered {
		c.pass(time.Millisecond)
		if _, err := l.begin(fmt.Sprint(i), fmt.Sprintf("2001:db8:%x:%x::1", i>>16, i&0xffff)); err != nil {
			t.Fatal(err)
		}
		if len(l.kept) > mostRemembered {
			t.Fatalf("%d remembered after %d attempts, want at most %d", len(l.kept), i, mostRemembered)
		}
	}
}
