package sqlite

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/packed"
)

// asOfVersion2 makes a database as the release before 0004 left it: incidents
// folded into a ledger that does not know what reporters said.
func asOfVersion2(t *testing.T, path string, all []*incident.Incident) {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pool, err := openDSN(path, "immediate", "auto_vacuum(full)", "journal_mode(wal)")
	check(err)
	defer pool.Close()
	conn, err := pool.Conn(ctx)
	check(err)
	defer conn.Close()
	for n, name := range []string{"migrations/0001_initial.sql", "migrations/0002_photos.sql"} {
		check(apply(ctx, conn, name, n+1))
	}
	l := &incident.Ledger{Month: all[0].Month(), Site: all[0].Site, Rev: 1}
	for n, i := range all {
		doc, err := encodeIncident(i)
		check(err)
		dims := i.Dims()
		for _, insert := range []struct {
			query  string
			values []any
		}{
			{`INSERT INTO facets (kind, channel, target, status, review) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				args(string(dims.Kind), string(dims.Channel), string(dims.Target), string(i.Status), i.NeedsReview())},
			{`INSERT INTO site_facets (site, facet) SELECT ?, facet FROM facets WHERE kind = ? ON CONFLICT DO NOTHING`, args(i.Site, string(dims.Kind))},
			{`INSERT INTO incidents (n, id, rev, folded_rev, occurred_at, site, facet, site_facet, doc)
				SELECT ?, ?, ?, ?, ?, ?, f.facet, s.site_facet, ? FROM facets AS f JOIN site_facets AS s ON s.facet = f.facet WHERE f.kind = ?`,
				args(n+1, i.ID, i.Rev, i.Rev, i.OccurredAt.UnixMilli(), i.Site, doc, string(dims.Kind))},
		} {
			_, err := conn.ExecContext(ctx, insert.query, insert.values...)
			check(err)
		}
		e := i.Line(i.Ledger())
		e.NothingHappened = false
		l.Set(i.ID, e)
	}
	l.Total()
	_, err = conn.ExecContext(ctx, `INSERT INTO ledgers (ledger, rev, cells, month, site) VALUES (1, 1, ?, ?, ?)`, packed.EncodeCells(l.Cells), l.Month.String(), l.Site)
	check(err)
	_, err = conn.ExecContext(ctx, `INSERT INTO ledger_entries (ledger, entries) VALUES (1, ?)`, packed.EncodeEntries(l.Entries))
	check(err)
}

func TestWhatReportersSaidBeforeIsFoundAndCountedAfterAnUpgrade(t *testing.T) {
	at := time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC)
	reporter, rep := incident.Actor{Role: incident.RoleReporter}, incident.Actor{Role: "rep"}
	var all []*incident.Incident
	for n, change := range []incident.Change{
		{By: reporter, Action: incident.ActionAdded, Field: incident.FieldNothingHappened},
		{By: reporter, Action: incident.ActionReopened}, // as an early release wrote it
		{By: rep, Action: incident.ActionReopened},
		{By: reporter, Action: incident.ActionAdded, Field: "words"},
		{By: rep, Action: incident.ActionNoted, Field: incident.FieldNothingHappened},
		{By: reporter, Action: incident.ActionReopened, Field: incident.FieldNothingHappened},
	} {
		i := &incident.Incident{ID: fmt.Sprintf("00000000-0000-8000-8000-%012d", n), Rev: 4, FoldedRev: 4, Status: incident.StatusAcknowledged,
			Reports: []incident.FiledReport{{ID: fmt.Sprintf("00000000-0000-7000-8000-%012d", n)}}, Timeline: []incident.Change{{Seq: 1, Action: incident.ActionFiled, By: reporter}, change}}
		i.Kind.Reporter = incident.Kinds[n%2]
		i.Locate("leeds", at.Add(time.Duration(-n)*time.Minute))
		all = append(all, i)
	}
	path := filepath.Join(t.TempDir(), "onrecord.db")
	asOfVersion2(t, path, all)

	d := openAt(t, path)
	for _, f := range []store.Filter{{Nothing: true, Limit: 10}, {Nothing: true, Sites: []string{"leeds"}, Statuses: []incident.Status{incident.StatusAcknowledged}, Limit: 10}} {
		page, _, err := d.ListIncidents(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range page {
			got = append(got, i.ID)
		}
		if want := []string{all[0].ID, all[1].ID, all[5].ID}; !slices.Equal(got, want) {
			t.Errorf("%+v found %v, want %v", f, got, want)
		}
	}
	if n, err := d.CountIncidents(t.Context(), store.Filter{}, 100); n != len(all) || err != nil {
		t.Errorf("%d incidents in all, %v, want %d", n, err, len(all))
	}
	if n, err := fold.New().Sweep(t.Context(), d); n != 3 || err != nil {
		t.Fatalf("swept %d, %v, want 3", n, err)
	}
	cells, err := d.RollupCells(t.Context(), all[0].Month(), all[0].Month())
	if err != nil {
		t.Fatal(err)
	}
	incidents, nothing := 0, 0
	for _, c := range cells[all[0].Month()] {
		incidents, nothing = incidents+c.Incidents, nothing+c.NothingHappened
	}
	if incidents != len(all) || nothing != 3 {
		t.Errorf("%d incidents, of %d nothing happened; want %d and 3", incidents, nothing, len(all))
	}
}
