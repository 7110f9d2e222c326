package sqlite

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// TestListsWalkAnIndex asks SQLite how it will run every kind of list and
// count: incidents are only ever looked up, never scanned, and never sorted.
func TestListsWalkAnIndex(t *testing.T) {
	d := openTemp(t).(*db)
	for _, f := range everyFilter() {
		after, notBefore, err := f.Start()
		if err != nil {
			t.Fatal(err)
		}
		for what, build := range map[string]func(store.Position, int64, int) (string, []any){
			"list": selectionOf(f).page, "count": selectionOf(f).count,
		} {
			query, values := build(after, notBefore, 51)
			plan := planOf(t, d, query, values)
			for _, step := range plan {
				if !allowed(step) {
					t.Errorf("%s %+v: %s\nof the plan\n%s", what, f, step, strings.Join(plan, "\n"))
				}
			}
		}
	}
}

// allowed reports whether a step of a plan costs no more than the facets there
// are and the page is long. w is the page as it is found, s the streams.
func allowed(step string) bool {
	if strings.Contains(step, "TEMP B-TREE") {
		return false
	}
	if !strings.HasPrefix(step, "SCAN ") {
		return true
	}
	subject := strings.Fields(step)[1]
	return subject == "facets" || subject == "w" || subject == "s" || subject == "json_each" || strings.HasPrefix(subject, "(subquery-")
}

// everyFilter returns every combination of what a filter can ask for.
func everyFilter() (filters []store.Filter) {
	parts := []func(*store.Filter){
		func(f *store.Filter) { f.Sites = []string{"leeds", "york"} },
		func(f *store.Filter) { f.Statuses = []incident.Status{incident.StatusNew, incident.StatusInReview} },
		func(f *store.Filter) { f.Kind = incident.KindThreat },
		func(f *store.Filter) { f.Channel = incident.ChannelLetter },
		func(f *store.Filter) { f.Target = incident.TargetAnyStaff },
		func(f *store.Filter) { f.Month = incident.Month{Year: 2026, Month: 11} },
		func(f *store.Filter) { f.Review = true },
	}
	for combination := range 1 << len(parts) {
		f := store.Filter{Limit: 50}
		for n, part := range parts {
			if combination&(1<<n) != 0 {
				part(&f)
			}
		}
		filters = append(filters, f)
	}
	return filters
}

// planOf returns the steps by which SQLite would run a query.
func planOf(t testing.TB, d *db, query string, values []any) (steps []string) {
	t.Helper()
	var id, parent, unused int
	var step string
	err := d.reads.rows(t.Context(), "EXPLAIN QUERY PLAN "+query, values, func() error {
		steps = append(steps, step)
		return nil
	}, &id, &parent, &unused, &step)
	if err != nil {
		t.Fatal(err)
	}
	return steps
}

func TestPlansOfOtherQueries(t *testing.T) {
	d := openTemp(t).(*db)
	for _, query := range []string{
		`SELECT doc, folded_rev FROM incident_reports JOIN incidents ON n = incident WHERE report = ? LIMIT 1`,
		`SELECT doc, folded_rev FROM incident_reports JOIN incidents ON n = incident WHERE receipt_hash = ? LIMIT 1`,
		`SELECT month, site, rev, cells, entries FROM ledgers JOIN ledger_entries USING (ledger) WHERE (month, site) > (?, ?) ORDER BY month, site LIMIT 1`,
		`SELECT doc FROM pending WHERE report = ? ORDER BY seq`,
	} {
		plan := planOf(t, d, query, args("a", "b")[:strings.Count(query, "?")])
		for _, step := range plan {
			if !strings.HasPrefix(step, "SEARCH ") {
				t.Errorf("%s: %s", query, step)
			}
		}
	}
}

func TestPlansAreSeen(t *testing.T) { // the check above can fail
	d := openTemp(t).(*db)
	for _, query := range []string{
		`SELECT doc FROM incidents WHERE rev = 3`,
		`SELECT doc FROM incidents WHERE site = 'leeds' ORDER BY rev`,
	} {
		plan := planOf(t, d, query, nil)
		bad := false
		for _, step := range plan {
			bad = bad || !allowed(step)
		}
		if !bad {
			t.Errorf("%s: found nothing wrong with %s", query, fmt.Sprint(plan))
		}
	}
}

// TestTiesAreSearched: behind a thousand incidents of one moment, the next one
// is looked up, not walked to.
func TestTiesAreSearched(t *testing.T) {
	d := openTemp(t).(*db)
	for _, f := range everyFilter() {
		after, notBefore, _ := f.Start()
		query, values := selectionOf(f).page(after, notBefore, 51)
		for _, step := range planOf(t, d, query, values) {
			if strings.Contains(step, "occurred_at<?") {
				t.Errorf("%+v: %s: searches by time alone", f, step)
			}
		}
	}
}
