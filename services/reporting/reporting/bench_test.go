package reporting

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// crowded returns a kit with n incidents over two years at both sites, and every
// month that is over published.
func crowded(b *testing.B, n int) *kit {
	b.Helper()
	k := newKit(b)
	r := rand.New(rand.NewPCG(1, 2))
	const batch = 200
	for begun := 0; begun < n; begun += batch {
		var events []bus.Delivery
		for range min(batch, n-begun) {
			report := k.Report(demoSites[r.IntN(len(demoSites))].ID)
			report.Kind = incident.Kinds[r.IntN(len(incident.Kinds))]
			report.Channel = incident.Channels[r.IntN(len(incident.Channels))]
			report.Target = incident.Targets[r.IntN(len(incident.Targets))]
			report.OccurredAt = k.At.Add(-time.Duration(r.Int64N(int64(700 * 24 * time.Hour))))
			report.Narrative = "Shouted and swore across the waiting area after a decision, then threw a folder at the screen and left when security came."
			events = append(events, k.Filed(report), k.Classified(report.ID, "demo-1", report.Kind, report.Channel, report.Target))
		}
		k.apply(events...)
	}
	running := incident.MonthOf(k.At)
	for m := running.Add(-22); m.Before(running); m = m.Add(1) {
		k.close(m)
	}
	return k
}

// percentiles measures each run and reports the median and the 99th percentile.
func percentiles(b *testing.B, run func()) {
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		run()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkPages is a request through the whole application, without a socket.
func BenchmarkPages(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		k := crowded(b, n)
		i := k.newest(b)
		for _, p := range []struct{ name, who, path string }{
			{"figures", rep, "/figures/"}, {"figures-of-a-site", leeds, "/figures/"}, {"figures-published", manager, "/figures/"},
			{"list", rep, "/incidents/"}, {"list-filtered", leeds, "/incidents/?status=counted&kind=threat&channel=phone"},
			{"list-api", rep, "/api/v1/incidents"}, {"incident", rep, incidentsPath + i},
		} {
			b.Run(fmt.Sprintf("%s/incidents=%d", p.name, n), func(b *testing.B) {
				percentiles(b, func() {
					if res := k.get(p.who, p.path); res.StatusCode != 200 {
						b.Fatalf("status=%d, want 200", res.StatusCode)
					}
				})
			})
		}
	}
}

// newest returns the id of an incident.
func (k *kit) newest(b *testing.B) string {
	b.Helper()
	found, _, err := k.store.ListIncidents(b.Context(), store.Filter{Limit: 1})
	if err != nil || len(found) == 0 {
		b.Fatalf("no incident: %v", err)
	}
	return found[0].ID
}
