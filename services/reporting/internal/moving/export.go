package moving

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/audit"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Exporter writes exports of a store. Every field is required.
type Exporter struct {
	Store   store.Store
	Keyring *seal.Keyring
	By      string // the program and its version
	Now     func() time.Time
}

// Result is what was moved, and a line for each figure that is not the same on
// both sides, without words anybody wrote.
type Result struct {
	Totals      Totals
	Differences []string
}

// Export hands the lines of an export to emit, one after another; each is good
// until emit returns. What is exported is the store at one moment, where the
// adapter can hold one still.
//
// While it goes it recounts, month by month and site by site, and compares
// with the figures that the store gives. A difference spoils no export, because
// ledgers are made anew from the incidents; it says that the store's own
// figures are wrong, or that they changed meanwhile.
func (e *Exporter) Export(ctx context.Context, emit func(line []byte) error) (Result, error) {
	var r Result
	err := e.Store.Snapshot(ctx, func(st store.Store) error {
		var err error
		r, err = e.export(ctx, st, &writer{emit: emit, mac: newMAC(e.Keyring)})
		return err
	})
	return r, err
}

func (e *Exporter) export(ctx context.Context, st store.Store, w *writer) (r Result, err error) {
	expect, err := st.CountIncidents(ctx, store.Filter{}, math.MaxInt32)
	if err != nil {
		expect = 0 // it is for progress alone, and a database may take too long over it
	}
	id, err := uuid.NewV7()
	if err != nil {
		return r, err
	}
	err = w.write(record{Export: &header{Format, id.String(), e.Now().UTC(), e.By, keyCheck(e.Keyring), expect}})
	if err != nil {
		return r, err
	}
	if err := eachBeside(ctx, st, w.write); err != nil {
		return r, err
	}
	if r.Differences, err = exportIncidents(ctx, st, w); err != nil {
		return r, err
	}
	r.Totals = w.totals
	return r, w.end()
}

// eachBeside calls fn with everything that moves beside the incidents.
func eachBeside(ctx context.Context, st store.Store, fn func(record) error) error {
	few, err := fewOf(ctx, st)
	if err != nil {
		return err
	}
	for _, rec := range few {
		if err := fn(rec); err != nil {
			return err
		}
	}
	if err := eachUnreadable(ctx, st, func(q *store.Quarantined) error { return fn(record{Quarantined: q}) }); err != nil {
		return err
	}
	if err := eachEdition(ctx, st, func(e *store.Edition) error { return fn(record{Edition: e}) }); err != nil {
		return err
	}
	changes, err := st.JointChanges(ctx, "")
	if err != nil {
		return err
	}
	for _, c := range changes {
		if err := fn(record{JointChange: c}); err != nil {
			return err
		}
	}
	return st.EachPending(ctx, func(p store.Pending) error { return fn(record{Pending: &p}) })
}

// eachUnreadable calls fn with every message that could not be read, one in
// memory at a time.
func eachUnreadable(ctx context.Context, st store.Store, fn func(*store.Quarantined) error) error {
	all, err := st.ListQuarantined(ctx)
	if err != nil {
		return err
	}
	for _, listed := range all {
		q, err := st.Quarantined(ctx, listed.Subject)
		if err == nil {
			err = fn(q)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eachEdition calls fn with every published month, one in memory at a time.
func eachEdition(ctx context.Context, st store.Store, fn func(*store.Edition) error) error {
	all, err := st.ListEditions(ctx, store.FirstMonth, store.LastMonth)
	if err != nil {
		return err
	}
	for _, listed := range all {
		e, err := st.Edition(ctx, listed.Month, listed.Number)
		if err == nil {
			err = fn(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fewOf returns what there is so little of that the port gives it at once.
func fewOf(ctx context.Context, st store.Store) ([]record, error) {
	var all []record
	sites, err := st.ListSites(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range sites {
		all = append(all, record{Site: &s})
	}
	users, err := st.Users(ctx)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		all = append(all, record{User: u})
	}
	tokens, err := st.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tokens {
		all = append(all, record{Token: t})
	}
	return all, nil
}

// exportIncidents writes every incident and the totals of each month, and
// returns where the stored figures differ.
func exportIncidents(ctx context.Context, st store.Store, w *writer) (differ []string, err error) {
	var months ledgers
	counted := make(map[incident.Month]bool)
	closeMonth := func() error {
		_, m := months.sums()
		counted[m.Month] = true
		stored, err := compareMonth(ctx, st, m, "stored", "recounted")
		differ = append(differ, stored...)
		if err != nil {
			return err
		}
		return w.write(record{Month: m})
	}
	for i, err := range store.Listed(ctx, st, store.Filter{Limit: store.MaxPage}) {
		if err == nil && len(months.open) > 0 && i.Month() != months.month {
			err = closeMonth()
		}
		if err != nil {
			return differ, err
		}
		if !months.add(i) {
			return differ, fmt.Errorf("incident %s was moved to another month while the incidents were read: stop whatever changes them, and export again", i.Ref)
		}
		if err := exportIncident(ctx, st, w, i); err != nil {
			return differ, err
		}
	}
	if len(months.open) > 0 {
		if err := closeMonth(); err != nil {
			return differ, err
		}
	}
	beyond, err := compareOthers(ctx, st, counted, "stored", "recounted")
	return append(differ, beyond...), err
}

// exportIncident writes an incident and its photos.
func exportIncident(ctx context.Context, st store.Store, w *writer, i *incident.Incident) error {
	if err := w.write(record{Incident: i}); err != nil {
		return err
	}
	photos, err := st.PhotosOfIncident(ctx, i.ID)
	if err != nil {
		return err
	}
	for _, p := range photos {
		whole, err := st.Photo(ctx, p.ID)
		if err != nil {
			return err
		}
		if err := w.write(record{Photo: whole}); err != nil {
			return err
		}
	}
	return nil
}

// compareMonth names each figure of a month that differs, between what a store
// gives and what was counted.
func compareMonth(ctx context.Context, st store.Store, m *monthTotals, stored, counted string) ([]string, error) {
	figures, err := st.LedgerCells(ctx, nil, m.Month, m.Month)
	if err != nil {
		return nil, err
	}
	type pair struct{ stored, counted []incident.Cell }
	sites := make(map[string]pair)
	for _, s := range m.Sites {
		sites[s.Site] = pair{counted: s.Cells}
	}
	for _, s := range figures {
		sites[s.Site] = pair{m.told(s.Cells), sites[s.Site].counted}
	}
	var lines []string
	for site, p := range sites {
		for _, d := range audit.CompareCells(incident.LedgerKey{Month: m.Month, Site: site}, p.stored, p.counted) {
			lines = append(lines, fmt.Sprintf("%s, site %q: kind=%s channel=%s target=%s employer=%q set_by=%q: %s %+v, %s %+v",
				d.Month, d.Site, d.Dims.Kind, d.Dims.Channel, d.Dims.Target, d.Dims.Employer, d.Dims.SetBy, stored, d.Stored, counted, d.Recounted))
		}
	}
	slices.SortFunc(lines, strings.Compare)
	return lines, nil
}

// compareOthers names the figures of months in which nothing was counted.
func compareOthers(ctx context.Context, st store.Store, months map[incident.Month]bool, stored, counted string) ([]string, error) {
	rolled, err := st.RollupCells(ctx, store.FirstMonth, store.LastMonth)
	if err != nil {
		return nil, err
	}
	var lines []string
	for m := range rolled {
		if months[m] {
			continue
		}
		differ, err := compareMonth(ctx, st, &monthTotals{Month: m}, stored, counted)
		if err != nil {
			return nil, err
		}
		lines = append(lines, differ...)
	}
	return lines, nil
}
