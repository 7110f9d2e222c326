package moving

import (
	"slices"
	"strings"

	"github.com/onrecord/onrecord/pkg/incident"
)

// ledgers makes the ledgers of one month after the other from incidents in
// the order of an export. It holds those of one month.
type ledgers struct {
	month  incident.Month // being read, or the last that was closed
	open   map[string]*incident.Ledger
	closed bool
}

// add takes in an incident, and reports whether it may stand here: months only
// go back, and an incident stands once in its month.
func (l *ledgers) add(i *incident.Incident) bool {
	k := i.Ledger()
	switch {
	case l.month.IsZero() || l.closed && k.Month.Before(l.month):
		l.month, l.open, l.closed = k.Month, make(map[string]*incident.Ledger), false
	case l.closed || k.Month != l.month:
		return false
	}
	of := l.open[k.Site]
	if of == nil {
		of = &incident.Ledger{Month: k.Month, Site: k.Site}
		l.open[k.Site] = of
	}
	return of.Set(i.ID, i.Line(k))
}

// sums returns the month being read with its totals, and closes it.
func (l *ledgers) sums() ([]*incident.Ledger, *monthTotals) {
	made := make([]*incident.Ledger, 0, len(l.open))
	for _, of := range l.open {
		of.Total()
		of.Rev = 1
		made = append(made, of)
	}
	slices.SortFunc(made, func(a, b *incident.Ledger) int { return strings.Compare(a.Site, b.Site) })
	m := &monthTotals{Month: l.month}
	for _, of := range made {
		m.Sites = append(m.Sites, siteTotals{of.Site, of.Cells})
	}
	l.open, l.closed = nil, true
	return made, m
}

// close returns the ledgers of the month that a line closes, in order of site.
// It refuses totals that are not those of the incidents.
func (l *ledgers) close(line int, want *monthTotals) ([]*incident.Ledger, error) {
	if l.closed || l.month.IsZero() || want.Month != l.month {
		return nil, damaged(line, "closes another month")
	}
	made, got := l.sums()
	same := slices.EqualFunc(got.Sites, want.Sites, func(a, b siteTotals) bool { return a.Site == b.Site && slices.Equal(want.told(a.Cells), b.Cells) })
	if !same {
		return nil, damaged(line, "has totals of "+want.Month.String()+" that are not those of its incidents")
	}
	return made, nil
}
