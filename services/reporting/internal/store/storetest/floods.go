package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

func testArrivals(t *testing.T, s store.Store) {
	ctx := t.Context()
	hour := at.Truncate(time.Hour)
	var york []*incident.Incident
	var all []*incident.Incident
	for n := range 12 { // three to a moment, so that the id decides
		i := plain(fmt.Sprintf("%02x", n*5%12), at.AddDate(0, -n, 0))
		i.Site, i.ReceivedAt = "york", hour.Add(time.Duration(n/3)*20*time.Minute)
		york, all = append(york, i), append(all, i)
	}
	other, before := plain("other", at), plain("before", at)
	other.ReceivedAt = hour.Add(59*time.Minute + 59*time.Second + 999*time.Millisecond)
	before.ReceivedAt = hour.Add(-time.Millisecond)
	never := plain("never", at) // stored before it was counted
	never.ReceivedAt = time.Time{}
	insertAll(t, s, append(all, other, before, never))
	count := func(sites []string, from time.Time) []store.Arrivals {
		t.Helper()
		return got[[]store.Arrivals](t)(s.CountArrivals(ctx, sites, from))
	}
	second := hour.Add(time.Hour)
	equal(t, "every site", count(nil, hour), []store.Arrivals{{Site: "leeds", Hour: hour, Incidents: 1}, {Site: "york", Hour: hour, Incidents: 9}, {Site: "york", Hour: second, Incidents: 3}})
	equal(t, "the hour before", count([]string{"leeds"}, hour.Add(-time.Hour)), []store.Arrivals{{Site: "leeds", Hour: hour.Add(-time.Hour), Incidents: 1}, {Site: "leeds", Hour: hour, Incidents: 1}})
	equal(t, "later", count([]string{"york", "nowhere"}, second), []store.Arrivals{{Site: "york", Hour: second, Incidents: 3}})
	equal(t, "no site", len(count([]string{}, hour)), 0)
	equal(t, "since ever", len(count(nil, time.Time{})), 4)

	// Stored out of order; read in the order in which they were received.
	want := []string{}
	for n := 0; n < 12; n += 3 {
		of := ids(york[n : n+3])
		slices.Sort(of)
		want = append(want, of...)
	}
	for _, limit := range []int{1, 2, 5, 12, 200} {
		r := store.Received{Site: "york", From: hour, To: hour.Add(2 * time.Hour), Limit: limit}
		var read []string
		for {
			page := got[[]*incident.Incident](t)(s.ListReceived(ctx, r))
			read = append(read, ids(page)...)
			if len(page) < limit {
				break
			}
			r.After = page[len(page)-1]
		}
		equal(t, fmt.Sprint("by ", limit), read, want)
	}
	one := got[[]*incident.Incident](t)(s.ListReceived(ctx, store.Received{Site: "york", From: second, To: second.Add(time.Millisecond), Limit: 5}))
	equal(t, "of a moment", ids(one), want[9:])
	equal(t, "of none", len(got[[]*incident.Incident](t)(s.ListReceived(ctx, store.Received{Site: "york", From: second.Add(time.Millisecond), To: second.Add(time.Hour), Limit: 5}))), 0)
	for _, limit := range []int{0, store.MaxPage + 1} {
		_, err := s.ListReceived(ctx, store.Received{Site: "york", From: hour, To: second, Limit: limit})
		isInvalid(t, fmt.Sprint("limit ", limit), err)
	}

	i := york[0]
	i.Rev, i.Site = 2, "leeds"
	must(t, s.ReplaceIncident(ctx, i, 1))
	equal(t, "after one moved", count(nil, hour)[:2], []store.Arrivals{{Site: "leeds", Hour: hour, Incidents: 2}, {Site: "york", Hour: hour, Incidents: 8}})
}

func testJointChanges(t *testing.T, s store.Store, race racer) {
	ctx := t.Context()
	c := filled[store.JointChange](t)
	c.ID, c.Rev, c.Flood, c.Done = "one", 1, "a flood", 0
	must(t, s.InsertJointChange(ctx, &c))
	errorIs(t, "again", s.InsertJointChange(ctx, copyOf(t, &c)), store.ErrExists)
	list := func(flood string) []*store.JointChange {
		t.Helper()
		return got[[]*store.JointChange](t)(s.JointChanges(ctx, flood))
	}
	unfinished := func() []*store.JointChange {
		t.Helper()
		return got[[]*store.JointChange](t)(s.UnfinishedJointChanges(ctx))
	}
	equal(t, "stored", list("a flood"), []*store.JointChange{&c})
	equal(t, "unfinished", unfinished(), []*store.JointChange{&c})
	equal(t, "of another", len(list("another")), 0)

	won := race(t, 8, store.ErrStale, func(int) error {
		next := copyOf(t, &c)
		next.Rev, next.Done = 2, 1
		return s.ReplaceJointChange(ctx, next, 1)
	})
	equal(t, "writers who won", won, 1)
	c.Rev, c.Done = 3, len(c.Incidents)
	must(t, s.ReplaceJointChange(ctx, &c, 2))
	errorIs(t, "of an old revision", s.ReplaceJointChange(ctx, &c, 2), store.ErrStale)
	equal(t, "finished", list("a flood"), []*store.JointChange{&c})
	equal(t, "none unfinished", len(unfinished()), 0)

	earlier := copyOf(t, &c)
	earlier.ID, earlier.Rev, earlier.Done, earlier.At = "two", 1, 0, c.At.Add(-time.Hour)
	must(t, s.InsertJointChange(ctx, earlier))
	other := copyOf(t, earlier)
	other.ID, other.Flood = "three", "another"
	must(t, s.InsertJointChange(ctx, other))
	equal(t, "oldest first", list("a flood"), []*store.JointChange{earlier, &c})
	equal(t, "of all", list(""), []*store.JointChange{other, earlier, &c})
	equal(t, "unfinished of all", unfinished(), []*store.JointChange{other, earlier})
	missing := copyOf(t, &c)
	missing.ID = "four"
	errorIs(t, "of none", s.ReplaceJointChange(ctx, missing, 3), store.ErrNotFound)
	for what, refused := range map[string]*store.JointChange{
		"no id": {Incidents: []string{"a"}}, "no incidents": {ID: "x"}, "too many": {ID: "x", Incidents: make([]string, store.MaxJointChange+1)},
	} {
		isInvalid(t, what, s.InsertJointChange(ctx, refused))
		isInvalid(t, what, s.ReplaceJointChange(ctx, refused, 1))
	}
}
