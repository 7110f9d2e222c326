package demo

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
)

// The demo shows what a first-time reader will meet: also reporters who do not
// know when or where.
func TestPlanHasRealProportions(t *testing.T) {
	now := time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)
	all := plan(rand.New(rand.NewPCG(1, 1)), now)
	if n := len(all); n < Months*PerMonth*9/10 || n > (Months+1)*PerMonth*11/10 {
		t.Fatalf("reports=%d, want about %d", n, Months*PerMonth)
	}
	count := map[string]int{}
	for i, p := range all {
		switch p.kind {
		case incident.KindAssault:
			count["assault"]++
		case incident.KindAbuse, incident.KindThreat:
			count["abuse or threat"]++
		default:
			count["other"]++
		}
		if p.unsure.when {
			count["when"]++
		}
		if p.unsure.where {
			count["where"]++
		}
		if p.received.After(now) || p.occurred.After(p.received) {
			t.Fatalf("report %d is from the future: %+v", i, p)
		}
		if i > 0 && p.received.Before(all[i-1].received) {
			t.Fatalf("report %d is out of order", i)
		}
		if p.words == "" {
			t.Fatalf("report %d has no words: %+v", i, p)
		}
	}
	for group, want := range map[string]float64{"assault": 1.6, "abuse or threat": 83.3, "other": 15.1, "when": 3.5, "where": 1.5} {
		if got := 100 * float64(count[group]) / float64(len(all)); got < want-2 || got > want+2 {
			t.Errorf("%s=%.1f %%, want about %.1f %%", group, got, want)
		}
	}
}
