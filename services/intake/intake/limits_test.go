package intake

import (
	"log/slog"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/intake/internal/filing"
)

func TestLimiterCountsClientsAndAll(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 30, 0, time.UTC)
	l := newLimiter(2, 5)
	for _, c := range []struct {
		client string
		want   time.Duration
	}{
		{"192.0.2.1", 0},
		{"192.0.2.1", 0},
		{"192.0.2.1", 30 * time.Second},
		{"192.0.2.9", 0},
		{"2001:db8::/64", 0},
		{"2001:db8::/64", 0},
		{"2001:db8::/64", 30 * time.Second},
		{"192.0.2.2", 30 * time.Second}, // all together have asked five times
	} {
		if got := l.allow(c.client, now); got != c.want {
			t.Errorf("allow(%s)=%v, want %v", c.client, got, c.want)
		}
	}
	if got := l.allow("192.0.2.1", now.Add(30*time.Second)); got != 0 {
		t.Errorf("in the next minute: wait %v", got)
	}
}

// Two instances on one NATS server give one client no more than one would, and
// neither does one that was started again.
func TestFollowUpsAreCountedOverEveryInstance(t *testing.T) {
	b, nc := bustest.NewConn(t)
	keys, err := seal.NewKeyring(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	instance := func() *followUpLimiter { return newFollowUpLimiter(b, keys, slog.New(slog.DiscardHandler)) }
	one, two := instance(), instance()
	now := time.Date(2026, 11, 21, 12, 0, 30, 0, time.UTC)
	for i := range followUpsPerClient {
		if wait := []*followUpLimiter{one, two}[i%2].allow(t.Context(), "192.0.2.1", now); wait != 0 {
			t.Fatalf("question %d: wait %v", i, wait)
		}
	}
	for name, l := range map[string]*followUpLimiter{"one": one, "two": two, "a new one": instance()} {
		if wait := l.allow(t.Context(), "192.0.2.1", now); wait != 30*time.Second {
			t.Errorf("%s: wait=%v, want 30s", name, wait)
		}
		if wait := l.allow(t.Context(), "192.0.2.2", now); wait != 0 {
			t.Errorf("%s: another client waits %v", name, wait)
		}
	}
	if wait := one.allow(t.Context(), "192.0.2.1", now.Add(time.Minute)); wait != 0 {
		t.Errorf("a minute later: wait %v", wait)
	}
	// Without NATS each counts for itself.
	nc.Close()
	for i := range followUpsPerClient {
		if wait := two.allow(t.Context(), "192.0.2.1", now.Add(2*time.Minute)); wait != 0 {
			t.Fatalf("without NATS, question %d: wait %v", i, wait)
		}
	}
	if wait := two.allow(t.Context(), "192.0.2.1", now.Add(2*time.Minute)); wait == 0 {
		t.Error("without NATS nobody counts")
	}
}

func TestAFloodIsToldToComeBack(t *testing.T) {
	s := &Service{inFlight: newPlaces(1, 1)}
	s.inFlight.take("")
	_, err := s.file(t.Context(), &filing.Filing{})
	if f := fault.As(err); f.Kind != fault.Unavailable || f.Code != web.CodeBusy || f.RetryAfter < time.Second {
		t.Fatalf("err=%v after %v", err, f.RetryAfter)
	}
	if s.inFlight.taken != 1 {
		t.Errorf("in flight=%d, want 1", s.inFlight.taken)
	}
}

func TestAFloodAboutOneSiteLeavesRoomForTheOthers(t *testing.T) {
	p := newPlaces(5, 3)
	for n := range 4 {
		if got := p.take("leeds"); got != (n < 3) {
			t.Errorf("place %d for leeds: %t", n+1, got)
		}
	}
	if !p.take("york") || !p.take("") || p.take("york") || p.take("") {
		t.Error("there were two places for others, no more")
	}
	p.leave("leeds")
	if !p.take("york") {
		t.Error("who left leaves no room")
	}
	for _, site := range []string{"leeds", "leeds", "york", "york", ""} {
		p.leave(site)
	}
	if p.taken != 0 || len(p.bySite) != 0 {
		t.Errorf("%d taken by %v, want none", p.taken, p.bySite)
	}
}

func TestEveryStatusHasPlainWords(t *testing.T) {
	for _, st := range incident.Statuses {
		if statusTexts[st] == "" {
			t.Errorf("%s has no words", st)
		}
	}
}
