package intake

import (
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
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

func TestAFloodIsToldToComeBack(t *testing.T) {
	s := &Service{inFlight: make(chan struct{}, 1)}
	s.inFlight <- struct{}{}
	_, err := s.file(t.Context(), &filing.Filing{})
	if f := fault.As(err); f.Kind != fault.Unavailable || f.Code != web.CodeBusy || f.RetryAfter < time.Second {
		t.Fatalf("err=%v after %v", err, f.RetryAfter)
	}
	if len(s.inFlight) != 1 {
		t.Errorf("in flight=%d, want 1", len(s.inFlight))
	}
}

func TestEveryStatusHasPlainWords(t *testing.T) {
	for _, st := range incident.Statuses {
		if statusTexts[st] == "" {
			t.Errorf("%s has no words", st)
		}
	}
}
