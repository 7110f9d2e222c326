package people

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// instances returns two services on one store and one NATS server, and a way
// to take the shared counts away from both.
func instances(t *testing.T) (one, two *Service, away *bool, clock *clock) {
	t.Helper()
	first, st, clk := open(t)
	b := bustest.New(t)
	away = new(bool)
	shared := func(ctx context.Context, name string, change func([]byte) []byte) error {
		if *away {
			return errors.New("NATS is away")
		}
		if strings.Contains(name, "192") || strings.Contains(strings.ToLower(name), "demo") {
			t.Errorf("the name %q tells whose it is", name)
		}
		return b.Update(ctx, bus.BucketSignIns, name, change)
	}
	cfg := Config{Store: st, Now: clk.now, Cost: first.hasher.cost, Shared: shared, Key: bytes.Repeat([]byte{1}, 32)}
	return New(cfg), New(cfg), away, clk
}

func TestGuessingIsSlowedDownOverEveryInstance(t *testing.T) {
	one, two, away, clock := instances(t)
	add(t, one, "demo rep", store.RoleRep)
	guess := func(s *Service, password string) error {
		_, _, err := s.SignIn(t.Context(), "demo rep", password, address)
		return err
	}
	for i := range freeForAccount {
		if err := guess([]*Service{one, two}[i%2], otherPassword); fault.KindOf(err) != fault.Unauthenticated {
			t.Fatalf("guess %d: err=%v, want Unauthenticated", i, err)
		}
	}
	for name, s := range map[string]*Service{"one": one, "two": two} {
		if f := fault.As(guess(s, goodPassword)); f.Kind != fault.TooMany || f.RetryAfter != firstDelay {
			t.Errorf("%s: %v after %v, want TooMany for %v", name, f, f.RetryAfter, firstDelay)
		}
	}
	clock.pass(firstDelay)
	if err := guess(two, goodPassword); err != nil {
		t.Fatalf("after the delay: %v", err)
	}
	for i := range freeForAccount - 1 {
		if err := guess(one, otherPassword); fault.KindOf(err) != fault.Unauthenticated {
			t.Errorf("guess %d after a success elsewhere: err=%v, want the count begun anew", i, err)
		}
	}
	// A restarted instance knows nothing by itself.
	three := New(Config{Store: one.store, Now: clock.now, Cost: one.hasher.cost, Shared: one.limit.shared, Key: one.limit.key})
	if err := guess(three, otherPassword); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("the last free guess: %v", err)
	}
	if err := guess(three, goodPassword); fault.KindOf(err) != fault.TooMany {
		t.Errorf("a restart forgets: %v", err)
	}
	*away = true
	clock.pass(time.Hour)
	if err := guess(two, goodPassword); err != nil {
		t.Errorf("without NATS: %v, want the instance's own count to decide", err)
	}
	for range freeForAccount {
		_ = guess(two, otherPassword)
	}
	if err := guess(two, goodPassword); fault.KindOf(err) != fault.TooMany {
		t.Errorf("without NATS nobody is slowed down: %v", err)
	}
}

func TestManyAtOnceAreCountedByAll(t *testing.T) {
	one, two, _, _ := instances(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	allowed := 0
	for i := range 4 * freeForAccount {
		wg.Go(func() {
			if _, err := []*Service{one, two}[i%2].limit.begin(t.Context(), "demo rep", address); err == nil {
				mu.Lock()
				allowed++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	// Whoever finds the counts too busy counts alone: then each lets its own five happen.
	if allowed < freeForAccount || allowed > 2*freeForAccount {
		t.Errorf("%d attempts were let happen, want %d to %d", allowed, freeForAccount, 2*freeForAccount)
	}
}

// Whoever is not let try and goes on, under ever other names, writes nothing to
// the disk that reports wait for.
func TestWhoeverIsBlockedHasNothingWritten(t *testing.T) {
	service, _, _, _ := instances(t)
	shared, wrote := service.limit.shared, 0
	service.limit.shared = func(ctx context.Context, name string, change func([]byte) []byte) error {
		return shared(ctx, name, func(old []byte) []byte {
			value := change(old)
			if value != nil {
				wrote++
			}
			return value
		})
	}
	try := func(name string) error {
		_, err := service.limit.begin(t.Context(), name, address)
		return err
	}
	for n := range freeForAddress {
		if err := try("demo " + strconv.Itoa(n)); err != nil {
			t.Fatalf("attempt %d: %v", n, err)
		}
	}
	if wrote != 2*freeForAddress {
		t.Errorf("%d attempts wrote %d counts, want two each", freeForAddress, wrote)
	}
	wrote = 0
	for n := range 20 {
		if err := try("demo other " + strconv.Itoa(n)); fault.KindOf(err) != fault.TooMany {
			t.Fatalf("it was let happen: %v", err)
		}
	}
	if wrote != 0 {
		t.Errorf("%d counts were written for somebody who is not let try", wrote)
	}
}

// Sessions are in the store: whoever signed in at one instance is known at
// all of them, and signed out at all of them.
func TestASessionHoldsAtEveryInstance(t *testing.T) {
	one, two, _, _ := instances(t)
	add(t, one, "demo rep", store.RoleRep)
	cookie, _, err := one.SignIn(t.Context(), "demo rep", goodPassword, address)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := two.AuthenticateSession(t.Context(), cookie); err != nil || who.Name != "demo rep" {
		t.Errorf("at the other instance: %+v %v", who, err)
	}
	if err := two.SignOut(t.Context(), cookie); err != nil {
		t.Fatal(err)
	}
	if who, err := one.AuthenticateSession(t.Context(), cookie); err != nil || who.Name != "" {
		t.Errorf("after signing out at the other: %+v %v", who, err)
	}
}
