package audit

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/incident"
)

// tally is numbers by their dimensions; sites and months hold one for each.
type (
	tally  map[incident.Dims]Numbers
	sites  map[string]tally
	months map[incident.Month]sites
)

// add adds numbers; none are none.
func (t tally) add(d incident.Dims, n Numbers) {
	if n == (Numbers{}) {
		return
	}
	s := t[d]
	t[d] = Numbers{s.Incidents + n.Incidents, s.Reports + n.Reports, s.People + n.People, s.NothingHappened + n.NothingHappened, s.SetAside + n.SetAside, s.Undated + n.Undated}
}

// numbersOf returns what a line adds, said apart from what ledgers add up.
func numbersOf(e incident.Entry) (n Numbers) {
	if e.Counted {
		n.Incidents, n.Reports, n.People = 1, e.Reports, e.People
	}
	if e.NothingHappened {
		n.NothingHappened = 1
	}
	if e.SetAside {
		n.SetAside = 1
	}
	if e.Undated {
		n.Undated = 1
	}
	return n
}

// count takes in an incident and reports whether it is in the figures.
func (ms months) count(i *incident.Incident) bool {
	k := i.Ledger()
	line := i.Line(k)
	if !line.Counted && !line.SetAside {
		return false
	}
	if ms[k.Month] == nil {
		ms[k.Month] = make(sites)
	}
	if ms[k.Month][k.Site] == nil {
		ms[k.Month][k.Site] = make(tally)
	}
	ms[k.Month][k.Site].add(line.Dims, numbersOf(line))
	return line.Counted
}

// all adds up the sites.
func (ss sites) all() tally {
	t := make(tally)
	for _, site := range ss {
		for d, n := range site {
			t.add(d, n)
		}
	}
	return t
}

func tallyCells(cells []incident.Cell) tally {
	t := make(tally, len(cells))
	for _, c := range cells {
		t.add(c.Dims, Numbers{c.Incidents, c.Reports, c.People, c.NothingHappened, c.SetAside, c.Undated})
	}
	return t
}

func tallyLines(l *incident.Ledger) tally {
	t := make(tally)
	for _, e := range l.Entries {
		t.add(e.Dims, numbersOf(e))
	}
	return t
}

// compareLedger compares a ledger's totals and its lines with what was counted.
func compareLedger(l *incident.Ledger, counted tally) []Difference {
	return append(
		compare(PlaceLedger, l.Key(), tallyCells(l.Cells), counted),
		compare(PlaceLines, l.Key(), tallyLines(l), counted)...)
}

// compareFigures compares what figures of a month are read from with what was
// counted: the roll-up, the totals of each site, the sums over every site. A
// ledger that is missing shows here too.
func (a *Auditor) compareFigures(ctx context.Context, m incident.Month, counted sites) ([]Difference, error) {
	rollup, err := a.store.Rollup(ctx, m)
	if err != nil {
		return nil, err
	}
	of := make(sites)
	for site, s := range rollup.Sites {
		of[site] = tallyCells(s.Cells)
	}
	differ := compareSites(PlaceRollup, m, of, counted)

	read, err := a.store.LedgerCells(ctx, nil, m, m)
	if err != nil {
		return nil, err
	}
	of = make(sites)
	for _, s := range read {
		of[s.Site] = tallyCells(s.Cells)
	}
	differ = append(differ, compareSites(PlaceSite, m, of, counted)...)

	all, err := a.store.RollupCells(ctx, m, m)
	if err != nil {
		return nil, err
	}
	return append(differ, compare(PlaceFigures, incident.LedgerKey{Month: m}, tallyCells(all[m]), counted.all())...), nil
}

// compareSites compares every site that either side knows.
func compareSites(p Place, m incident.Month, stored, counted sites) []Difference {
	var differ []Difference
	for site, t := range stored {
		differ = append(differ, compare(p, incident.LedgerKey{Month: m, Site: site}, t, counted[site])...)
	}
	for site, t := range counted {
		if _, ok := stored[site]; !ok {
			differ = append(differ, compare(p, incident.LedgerKey{Month: m, Site: site}, nil, t)...)
		}
	}
	slices.SortStableFunc(differ, func(a, b Difference) int { return cmp.Compare(a.Site, b.Site) })
	return differ
}

// CompareCells names each cell of a ledger in which the totals that figures are
// read from differ from those that were counted.
func CompareCells(k incident.LedgerKey, stored, counted []incident.Cell) []Difference {
	return compare(PlaceSite, k, tallyCells(stored), tallyCells(counted))
}

// compare names each cell that differs.
func compare(p Place, k incident.LedgerKey, stored, counted tally) []Difference {
	var differ []Difference
	for d, n := range stored {
		if counted[d] != n {
			differ = append(differ, Difference{p, k.Month, k.Site, d, n, counted[d]})
		}
	}
	for d, n := range counted {
		if _, ok := stored[d]; !ok {
			differ = append(differ, Difference{p, k.Month, k.Site, d, Numbers{}, n})
		}
	}
	slices.SortFunc(differ, func(a, b Difference) int { return cmp.Compare(fmt.Sprint(a.Dims), fmt.Sprint(b.Dims)) })
	return differ
}

// holding is an incident that holds a report, packed: a million take 32 MB.
type holding struct{ report, incident uuid.UUID }

func hold(reportID, incidentID string) (h holding, err error) {
	if h.report, err = uuid.Parse(reportID); err != nil {
		return h, errors.New("a report's id is not a UUID")
	}
	if h.incident, err = uuid.Parse(incidentID); err != nil {
		return h, errors.New("the incident's id is not a UUID")
	}
	return h, nil
}

// twice returns the reports that two incidents hold, each looked at again: one
// may have moved from an incident to another meanwhile.
func (a *Auditor) twice(ctx context.Context, held []holding) ([]Twice, error) {
	slices.SortFunc(held, func(a, b holding) int { return bytes.Compare(a.report[:], b.report[:]) })
	var found []Twice
	for n := 1; n < len(held); n++ {
		one, other := held[n-1], held[n]
		if one.report != other.report {
			continue
		}
		still, err := a.bothHold(ctx, one, other)
		if err != nil {
			return nil, err
		}
		if still {
			found = append(found, Twice{[2]string{one.incident.String(), other.incident.String()}})
		}
	}
	return found, nil
}

func (a *Auditor) bothHold(ctx context.Context, holdings ...holding) (bool, error) {
	for _, h := range holdings {
		i, err := a.store.Incident(ctx, h.incident.String())
		if err != nil {
			return false, err
		}
		if !slices.ContainsFunc(i.Reports, func(r incident.FiledReport) bool { return r.ID == h.report.String() }) {
			return false, nil
		}
	}
	return true, nil
}
