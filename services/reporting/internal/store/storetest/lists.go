package storetest

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// walk returns all pages of a filter, checking that each keeps to the limit.
func walk(t *testing.T, s store.Store, f store.Filter, limit int) (all []*incident.Incident) {
	t.Helper()
	f.Limit = limit
	for {
		page, next, err := s.ListIncidents(t.Context(), f)
		must(t, err)
		if len(page) > limit || next != "" && len(page) != limit || next == "" && f.Cursor != "" && len(page) == 0 {
			t.Fatalf("a page of %d with limit %d and next %q", len(page), limit, next)
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		f.Cursor = next
	}
}

func ids(incidents []*incident.Incident) []string {
	list := make([]string, len(incidents))
	for n, i := range incidents {
		list[n] = i.ID
	}
	return list
}

// newestFirst is the order of lists.
func newestFirst(a, b *incident.Incident) int {
	return cmp.Or(b.OccurredAt.Compare(a.OccurredAt), cmp.Compare(b.ID, a.ID))
}

// insertAll stores incidents, many at a time.
func insertAll(t *testing.T, s store.Store, incidents []*incident.Incident) {
	t.Helper()
	must(t, s.Group(t.Context(), func(s store.Store) error {
		for _, i := range incidents {
			if err := s.InsertIncident(t.Context(), i); err != nil {
				return err
			}
		}
		return nil
	}))
}

// plain returns an incident with nothing but its place in the order.
func plain(id string, occurredAt time.Time) *incident.Incident {
	return &incident.Incident{ID: id, Rev: 1, Site: "leeds", Status: incident.StatusNew, OccurredAt: occurredAt}
}

func testListOrder(t *testing.T, s store.Store) {
	equal(t, "nothing", len(walk(t, s, store.Filter{}, 1)), 0)
	var stored []*incident.Incident
	for n := range 23 { // three to a moment, so that the id decides; inserted out of order
		moment := at.Add(-time.Duration(n/3) * time.Millisecond)
		stored = append(stored, plain(fmt.Sprintf("%02x", n*11%23), moment))
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(stored), func(a, b int) { stored[a], stored[b] = stored[b], stored[a] })
	insertAll(t, s, stored)
	slices.SortFunc(stored, newestFirst)
	for _, f := range []store.Filter{{}, {Sites: []string{"leeds"}}, {Kind: incident.KindUnknown}, {Sites: []string{"leeds"}, Review: true}} {
		for _, limit := range []int{1, 2, 3, 5, 22, 23, 24, 200} {
			equal(t, fmt.Sprintf("%+v by %d", f, limit), ids(walk(t, s, f, limit)), ids(stored))
		}
	}
}

func testListStability(t *testing.T, s store.Store) {
	var stored []*incident.Incident
	for n := range 12 {
		stored = append(stored, plain(fmt.Sprintf("m%02d", n), at.Add(-time.Duration(n)*time.Hour)))
	}
	insertAll(t, s, stored)
	for _, f := range []store.Filter{{}, {Sites: []string{"leeds", "york"}}, {Statuses: []incident.Status{incident.StatusNew}}} {
		f.Limit = 5
		first, cursor, err := s.ListIncidents(t.Context(), f)
		must(t, err)
		equal(t, "first page", ids(first), ids(stored[:5]))

		// Newer than the page, as new as its last, and in what is still to come.
		name := fmt.Sprint(f.Sites, f.Statuses)
		before, tie := plain("before"+name, at.Add(time.Hour)), plain("z"+name, first[4].OccurredAt)
		after := plain("after"+name, stored[7].OccurredAt.Add(time.Minute))
		insertAll(t, s, []*incident.Incident{before, tie, after})
		f.Cursor = cursor
		second, _, err := s.ListIncidents(t.Context(), f)
		must(t, err)
		equal(t, "second page", ids(second)[:3], []string{stored[5].ID, stored[6].ID, after.ID})
		again, _, err := s.ListIncidents(t.Context(), f)
		must(t, err)
		equal(t, "the same page again", ids(again), ids(second))

		for _, i := range []*incident.Incident{before, tie, after} { // out of the next filter's way
			i.Rev, i.Site, i.Status, i.OccurredAt = 2, "elsewhere", incident.StatusWithdrawn, at.AddDate(-1, 0, 0)
			must(t, s.ReplaceIncident(t.Context(), i, 1))
		}
	}
}

// population returns incidents with every kind of value, some of them rare.
func population(size int) []*incident.Incident {
	r := rand.New(rand.NewPCG(3, 4))
	pick := func(n int) int { return min(r.IntN(n), r.IntN(n)) } // the first ones more often
	var all []*incident.Incident
	for n := range size {
		i := &incident.Incident{
			ID: fmt.Sprintf("%04x-%03d", r.IntN(1<<16), n), Rev: 1,
			Site:       fmt.Sprint("site ", pick(5)),
			OccurredAt: at.Add(-time.Duration(r.IntN(100*24*60)) * time.Minute),
			Status:     incident.Statuses[pick(len(incident.Statuses))],
		}
		i.Kind.Reporter = incident.Kinds[pick(len(incident.Kinds))]
		i.Channel.Machine = incident.Channels[pick(len(incident.Channels))]
		i.Target.Machine = incident.Targets[pick(len(incident.Targets))]
		if r.IntN(2) == 0 {
			i.Readings = []incident.Reading{{Review: r.IntN(3) == 0, At: at}}
		}
		if r.IntN(2) == 0 {
			i.Timeline = []incident.Change{{Action: incident.ActionAdded, Field: incident.FieldNothingHappened, By: incident.Actor{Role: incident.RoleReporter}}}
		}
		if r.IntN(4) == 0 {
			i.Precision = incident.PrecisionUnknown
		}
		if r.IntN(4) == 0 {
			i.Kind.Reviewer, i.Channel.Reviewer, i.Target.Reviewer = incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff
		}
		all = append(all, i)
	}
	slices.SortFunc(all, newestFirst)
	return all
}

// holds says in plain words what a filter holds.
func holds(f store.Filter, i *incident.Incident) bool {
	dims := i.Dims()
	return (f.Sites == nil || slices.Contains(f.Sites, i.Site)) &&
		(len(f.Statuses) == 0 || slices.Contains(f.Statuses, i.Status)) &&
		(f.Kind == "" || f.Kind == dims.Kind) &&
		(f.Channel == "" || f.Channel == dims.Channel) &&
		(!f.Online || dims.Channel.IsOnline()) &&
		(f.Target == "" || f.Target == dims.Target) &&
		(f.Month.IsZero() || f.Month == i.Month()) &&
		(!f.Review || i.NeedsReview()) &&
		(!f.Nothing || i.NothingHappened()) &&
		(!f.Undated || i.Undated())
}

// testFilters lists a population by every combination of filters, drawn anew
// some times each.
func testFilters(t *testing.T, s store.Store, size, drawn int) {
	stored := population(size)
	insertAll(t, s, stored)
	parts := []func(*store.Filter, *rand.Rand){
		func(f *store.Filter, r *rand.Rand) {
			f.Sites = [][]string{{"site 0"}, {"site 4", "site 1", "site 4"}, {"site 9", "site 2"}}[r.IntN(3)]
		},
		func(f *store.Filter, r *rand.Rand) {
			f.Statuses = [][]incident.Status{{incident.StatusNew}, {incident.StatusAcknowledged, incident.StatusNew, incident.StatusNew}, incident.Statuses}[r.IntN(3)]
		},
		func(f *store.Filter, r *rand.Rand) { f.Kind = incident.Kinds[r.IntN(len(incident.Kinds))] },
		func(f *store.Filter, r *rand.Rand) { f.Channel = incident.Channels[r.IntN(len(incident.Channels))] },
		func(f *store.Filter, r *rand.Rand) { f.Target = incident.Targets[r.IntN(len(incident.Targets))] },
		func(f *store.Filter, r *rand.Rand) { f.Month = incident.MonthOf(at).Add(-r.IntN(4)) },
		func(f *store.Filter, r *rand.Rand) {
			f.Nothing, f.Undated = r.IntN(3) == 0, r.IntN(3) == 0
			f.Review = !f.Nothing && !f.Undated || r.IntN(2) == 0
		},
		func(f *store.Filter, _ *rand.Rand) { f.Online = true },
	}
	r := rand.New(rand.NewPCG(5, 6))
	nonEmpty := 0
	for combination := range 1 << len(parts) {
		for range drawn {
			var f store.Filter
			for n, part := range parts {
				if combination&(1<<n) != 0 {
					part(&f, r)
				}
			}
			want := slices.DeleteFunc(slices.Clone(stored), func(i *incident.Incident) bool { return !holds(f, i) })
			equal(t, fmt.Sprintf("%+v", f), ids(walk(t, s, f, 1+r.IntN(60))), ids(want))
			equal(t, fmt.Sprintf("count %+v", f), got[int](t)(s.CountIncidents(t.Context(), f, 1000)), len(want))
			if len(want) > 0 {
				nonEmpty++
			}
		}
	}
	if all := drawn << len(parts); nonEmpty < all/4 {
		t.Fatalf("only %d of %d filters held anything: the test tests nothing", nonEmpty, all)
	}
}

func testListFollowsReplace(t *testing.T, s store.Store) {
	ctx := t.Context()
	insertAll(t, s, population(50))
	i := plain("moving", at)
	must(t, s.InsertIncident(ctx, i))
	was := store.Filter{Sites: []string{"leeds"}, Statuses: []incident.Status{incident.StatusNew}, Kind: incident.KindUnknown,
		Channel: incident.ChannelUnknown, Target: incident.TargetUnknown, Month: incident.MonthOf(at), Review: true}
	equal(t, "before", ids(walk(t, s, was, 10)), []string{"moving"})

	i.Rev, i.Site, i.Status, i.OccurredAt = 2, "york", incident.StatusClosedNotFixed, at.AddDate(0, 2, 0)
	i.Kind.Reviewer, i.Channel.Reviewer, i.Target.Reviewer = incident.KindExposure, incident.ChannelPhone, incident.TargetAnyStaff
	must(t, s.ReplaceIncident(ctx, i, 1))
	equal(t, "left", len(walk(t, s, was, 10)), 0)
	for name, f := range map[string]store.Filter{
		"site":    {Sites: []string{"york"}},
		"status":  {Statuses: []incident.Status{incident.StatusClosedNotFixed}, Sites: []string{"york"}},
		"kind":    {Kind: incident.KindExposure, Sites: []string{"york"}},
		"channel": {Channel: incident.ChannelNotApplicable, Sites: []string{"york"}}, // a hazard has none
		"target":  {Target: incident.TargetNotApplicable, Sites: []string{"york"}},
		"month":   {Month: incident.MonthOf(at).Add(2)},
	} {
		equal(t, "arrived: "+name, ids(walk(t, s, f, 10)), []string{"moving"})
	}
}

func testFilterSites(t *testing.T, s store.Store) {
	a, b, c := plain("a", at), plain("b", at.Add(-time.Hour)), plain("c", at.Add(-2*time.Hour))
	b.Site, c.Site = "york", "unlisted"
	insertAll(t, s, []*incident.Incident{a, b, c})
	for _, other := range []store.Filter{{}, {Kind: incident.KindUnknown}} {
		for _, test := range []struct {
			sites []string
			want  []string
		}{
			{nil, []string{"a", "b", "c"}},
			{[]string{}, []string{}},
			{[]string{"york"}, []string{"b"}},
			{[]string{"unlisted", "leeds", "leeds"}, []string{"a", "c"}},
			{[]string{"nowhere"}, []string{}},
			{[]string{""}, []string{}},
		} {
			f := other
			f.Sites = test.sites
			equal(t, fmt.Sprintf("%#v", f), ids(walk(t, s, f, 2)), test.want)
			equal(t, fmt.Sprintf("count %#v", f), got[int](t)(s.CountIncidents(t.Context(), f, 10)), len(test.want))
		}
	}
}

func testFilterReview(t *testing.T, s store.Store) {
	unread, unsure, sure, settled := plain("unread", at), plain("unsure", at), plain("sure", at), plain("settled", at)
	unsure.Readings = []incident.Reading{{Review: false, At: at}, {Review: true, At: at}}
	sure.Readings = []incident.Reading{{Review: true, At: at}, {Review: false, At: at}}
	settled.Kind.Reviewer, settled.Channel.Reviewer, settled.Target.Reviewer = incident.KindAbuse, incident.ChannelUnknown, incident.TargetUnknown
	insertAll(t, s, []*incident.Incident{unread, unsure, sure, settled})
	equal(t, "to look at", ids(walk(t, s, store.Filter{Review: true}, 1)), []string{"unsure", "unread"})
	equal(t, "all", len(walk(t, s, store.Filter{}, 1)), 4)
}

func testFilterMonth(t *testing.T, s store.Store) {
	moments := map[string]string{
		"march":    "2026-03-31T22:59:59.999Z", // summer time began two days before
		"april":    "2026-03-31T23:00:00Z",
		"october":  "2026-10-31T23:59:59.999Z", // winter time again
		"november": "2026-11-01T00:00:00Z",
		"december": "2026-12-31T23:59:59.999Z",
		"january":  "2027-01-01T00:00:00Z",
	}
	for id, moment := range moments {
		occurredAt, err := time.Parse(time.RFC3339, moment)
		must(t, err)
		must(t, s.InsertIncident(t.Context(), plain(id, occurredAt)))
	}
	for id, month := range map[string]string{"march": "2026-03", "april": "2026-04", "october": "2026-10", "november": "2026-11", "december": "2026-12", "january": "2027-01"} {
		m, err := incident.ParseMonth(month)
		must(t, err)
		for _, f := range []store.Filter{{Month: m}, {Month: m, Kind: incident.KindUnknown}, {Month: m, Sites: []string{"leeds"}}, {Month: m, Sites: []string{"leeds"}, Review: true}} {
			equal(t, fmt.Sprintf("%+v", f), ids(walk(t, s, f, 10)), []string{id})
			equal(t, fmt.Sprintf("count %+v", f), got[int](t)(s.CountIncidents(t.Context(), f, 10)), 1)
		}
	}
	equal(t, "a month with none", len(walk(t, s, store.Filter{Month: incident.Month{Year: 2026, Month: 7}}, 10)), 0)
}

func testListInvalid(t *testing.T, s store.Store) {
	insertAll(t, s, population(10))
	list := func(f store.Filter) (string, error) {
		_, next, err := s.ListIncidents(t.Context(), f)
		return next, err
	}
	for _, limit := range []int{0, -1, store.MaxPage + 1, 1 << 40} {
		_, err := list(store.Filter{Limit: limit})
		isInvalid(t, fmt.Sprint("limit ", limit), err)
	}
	_, err := list(store.Filter{Limit: store.MaxPage})
	must(t, err)

	cursor := got[string](t)(list(store.Filter{Limit: 3}))
	if cursor == "" || strings.Trim(cursor, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		t.Fatalf("cursor %q does not go into an address as it is", cursor)
	}
	flipped := []byte(cursor)
	flipped[2] ^= 1
	garbage := append([]string{" ", "x", "null", "0", cursor + "A", cursor[1:], cursor[:len(cursor)-1], string(flipped), "\xff\xfe", strings.Repeat("A", 1<<16),
		base64.RawURLEncoding.EncodeToString([]byte("2026-11-21T12:00:00Z,7"))}, hostile...)
	for _, cursor := range garbage {
		_, err := list(store.Filter{Limit: 3, Cursor: cursor})
		isInvalid(t, fmt.Sprintf("cursor %.40q", cursor), err)
	}
}

func testCount(t *testing.T, s store.Store) {
	ctx := t.Context()
	insertAll(t, s, population(40))
	_, cursor, err := s.ListIncidents(ctx, store.Filter{Limit: 30})
	must(t, err)
	for _, test := range []struct{ most, want int }{{0, 0}, {1, 1}, {39, 39}, {40, 40}, {41, 40}, {1 << 30, 40}} {
		for _, f := range []store.Filter{{}, {Limit: 3, Cursor: cursor}, {Statuses: incident.Statuses},
			{Sites: []string{"site 0", "site 1", "site 2", "site 3", "site 4"}},
			{Sites: []string{"site 0", "site 1", "site 2", "site 3", "site 4"}, Statuses: incident.Statuses}} {
			equal(t, fmt.Sprintf("%+v up to %d", f, test.most), got[int](t)(s.CountIncidents(ctx, f, test.most)), test.want)
		}
	}
}
