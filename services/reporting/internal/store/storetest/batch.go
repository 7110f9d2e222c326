package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

func testBatch(t *testing.T, s store.Store) {
	ctx := t.Context()
	must(t, store.PutIncidents(ctx, s, nil))
	must(t, store.MarkAllFolded(ctx, s, nil))
	equal(t, "none", len(got[[]*incident.Incident](t)(store.IncidentsByReports(ctx, s, nil))), 0)
	equal(t, "none", len(got[[]store.Pending](t)(store.PendingOf(ctx, s, nil))), 0)

	incidents := make([]*incident.Incident, 150)
	var puts []store.Put
	for n := range incidents {
		i := plain(fmt.Sprintf("i%03d", n), at)
		i.Reports = []incident.FiledReport{{ID: fmt.Sprintf("r%03d", n)}, {ID: fmt.Sprintf("r%03d too", n)}}
		incidents[n], puts = i, append(puts, store.Put{Incident: i})
	}
	must(t, store.PutIncidents(ctx, s, puts))
	held := got[[]*incident.Incident](t)(store.IncidentsByReports(ctx, s, []string{"r007", "nobody’s", "r039 too", "r007 too", "r000"}))
	slices.SortFunc(held, func(a, b *incident.Incident) int { return strings.Compare(a.ID, b.ID) })
	equal(t, "each once", held, []*incident.Incident{incidents[0], incidents[7], incidents[39]})

	changed, fresh := copyOf(t, incidents[3]), plain("new", at)
	changed.Rev, changed.Site = 2, "york"
	must(t, store.PutIncidents(ctx, s, []store.Put{{Incident: changed, WasRev: 1}, {Incident: fresh}}))
	equal(t, "changed", got[*incident.Incident](t)(s.Incident(ctx, "i003")), changed)
	equal(t, "new", got[*incident.Incident](t)(s.Incident(ctx, "new")), fresh)

	later := copyOf(t, changed)
	later.Rev = 3
	errorIs(t, "one is there already", store.PutIncidents(ctx, s, []store.Put{{Incident: later, WasRev: 2}, {Incident: fresh}}), store.ErrExists)
	errorIs(t, "one is stale", store.PutIncidents(ctx, s, []store.Put{{Incident: plain("new 2", at)}, {Incident: changed, WasRev: 1}}), store.ErrStale)
	errorIs(t, "one is nowhere", store.PutIncidents(ctx, s, []store.Put{{Incident: plain("nowhere", at), WasRev: 1}}), store.ErrNotFound)

	puts = nil
	for _, i := range incidents[20:] { // more than a server may like in one command
		i.Rev = 2
		puts = append(puts, store.Put{Incident: i, WasRev: 1})
	}
	must(t, store.PutIncidents(ctx, s, puts))
	behind := copyOf(t, incidents[5])
	behind.Rev = 2
	must(t, s.ReplaceIncident(ctx, behind, 1))
	must(t, store.MarkAllFolded(ctx, s, incidents[:20])) // as they were at revision 1
	for id, want := range map[string]int64{"i000": 1, "i005": 1, "i019": 1, "i020": 0} {
		equal(t, "folded: "+id, got[*incident.Incident](t)(s.Incident(ctx, id)).FoldedRev, want)
	}
	unfolded := got[[]string](t)(s.Unfolded(ctx, 200))
	equal(t, "what went on is behind", slices.Contains(unfolded, "i005") && slices.Contains(unfolded, "i020") && !slices.Contains(unfolded, "i000"), true)
	errorIs(t, "folded nowhere", store.MarkAllFolded(ctx, s, []*incident.Incident{incidents[1], plain("nowhere", at)}), store.ErrNotFound)

	for n, subject := range []string{"c", "a", "d", "b"} {
		must(t, s.KeepPending(ctx, store.Pending{Subject: subject, ReportID: []string{"x", "y"}[n%2], Seq: uint64(9 - n), At: at}))
	}
	var subjects []string
	for _, p := range got[[]store.Pending](t)(store.PendingOf(ctx, s, []string{"y", "x", "z"})) {
		subjects = append(subjects, p.Subject)
	}
	equal(t, "in order of Seq", subjects, []string{"b", "d", "a", "c"})
}
