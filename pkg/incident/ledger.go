package incident

import (
	"cmp"
	"slices"
)

// LedgerKey names a ledger: the figures of one site for one month.
type LedgerKey struct {
	Month Month
	Site  string
}

// Entry is one incident's line in the ledger of a month and site.
type Entry struct {
	Rev     int64 // the incident's revision this line was made from
	Counted bool  // false when it moved to another month or site, is a duplicate, was withdrawn or set aside
	Dims    Dims
	Reports int // reports that describe it
	People  int // people affected, at least 1

	NothingHappened bool // it is counted, and a reporter has said that nothing happened
	SetAside        bool // it is not counted, because a person set it aside
	Undated         bool // it is counted, and nobody knows when it happened: it stands in the month in which it was reported
}

// Cell is one number of a month's figures with all its dimensions.
type Cell struct {
	Dims
	Incidents int
	Reports   int
	People    int

	NothingHappened int // of Incidents, those of which a reporter has said that nothing happened
	SetAside        int // incidents that a person set aside: in none of the numbers above
	Undated         int // of Incidents, those of which nobody knows when they happened
}

// cell returns what the line adds to the totals.
func (e Entry) cell() Cell {
	c := Cell{Dims: e.Dims}
	if e.Counted {
		c.Incidents, c.Reports, c.People = 1, e.Reports, e.People
	}
	if e.NothingHappened {
		c.NothingHappened = 1
	}
	if e.SetAside {
		c.SetAside = 1
	}
	if e.Undated {
		c.Undated = 1
	}
	return c
}

// IsZero reports whether the cell counts nothing.
func (c Cell) IsZero() bool { return c == Cell{Dims: c.Dims} }

// plus returns the sum of two cells with the same dimensions.
func (c Cell) plus(o Cell) Cell {
	return Cell{o.Dims, c.Incidents + o.Incidents, c.Reports + o.Reports, c.People + o.People,
		c.NothingHappened + o.NothingHappened, c.SetAside + o.SetAside, c.Undated + o.Undated}
}

// Ledger holds, for one month and site, a line per incident and the totals
// computed from those lines. Where the two disagree, after a crash say, the
// lines are right. Counts are derived, never incremented: setting the same line
// twice, late, or out of order gives the same totals.
type Ledger struct {
	Month   Month
	Site    string
	Rev     int64 // the stored document's revision, the fence for its next write
	Entries map[string]Entry
	Cells   []Cell // Tally(Entries)
}

// Key returns the ledger's name.
func (l *Ledger) Key() LedgerKey { return LedgerKey{l.Month, l.Site} }

// Set puts the line of an incident unless one of a later revision is held, and
// reports whether anything changed. Of the same revision another line can only
// come from an earlier release, which did not count all that is counted now.
// Cells are stale until Total is called.
func (l *Ledger) Set(incidentID string, e Entry) bool {
	if old, ok := l.Entries[incidentID]; ok && (old.Rev > e.Rev || old == e) {
		return false
	}
	if l.Entries == nil {
		l.Entries = make(map[string]Entry)
	}
	l.Entries[incidentID] = e
	return true
}

// Total computes Cells from Entries.
func (l *Ledger) Total() {
	sum := make(map[Dims]Cell)
	for _, e := range l.Entries {
		if c := e.cell(); !c.IsZero() {
			sum[e.Dims] = sum[e.Dims].plus(c)
		}
	}
	l.Cells = sorted(sum)
}

// Rollup holds the totals of every site for one month, and their sum, made
// from the ledgers. It remembers which revision of each ledger it includes.
type Rollup struct {
	Month Month
	Rev   int64
	Sites map[string]SiteCells
	All   []Cell // Merge of every site's cells
}

// SiteCells are one site's totals and the ledger revision they come from.
type SiteCells struct {
	LedgerRev int64
	Cells     []Cell
}

// Fold takes in a ledger if it is newer than the one included, and reports
// whether anything changed.
func (r *Rollup) Fold(l *Ledger) bool {
	if old, ok := r.Sites[l.Site]; ok && old.LedgerRev >= l.Rev {
		return false
	}
	if r.Sites == nil {
		r.Sites = make(map[string]SiteCells)
	}
	r.Sites[l.Site] = SiteCells{l.Rev, l.Cells}
	return true
}

// Total computes All from Sites.
func (r *Rollup) Total() {
	parts := make([][]Cell, 0, len(r.Sites))
	for _, s := range r.Sites {
		parts = append(parts, s.Cells)
	}
	r.All = Merge(parts...)
}

// Merge adds cells with the same dimensions and returns them in a fixed order.
func Merge(parts ...[]Cell) []Cell {
	sum := make(map[Dims]Cell)
	for _, cells := range parts {
		for _, c := range cells {
			sum[c.Dims] = sum[c.Dims].plus(c)
		}
	}
	return sorted(sum)
}

func sorted(sum map[Dims]Cell) []Cell {
	cells := make([]Cell, 0, len(sum))
	for _, c := range sum {
		cells = append(cells, c)
	}
	slices.SortFunc(cells, func(a, b Cell) int {
		return cmp.Or(
			cmp.Compare(slices.Index(Kinds, a.Kind), slices.Index(Kinds, b.Kind)),
			cmp.Compare(slices.Index(Channels, a.Channel), slices.Index(Channels, b.Channel)),
			cmp.Compare(slices.Index(Targets, a.Target), slices.Index(Targets, b.Target)),
			cmp.Compare(a.Employer, b.Employer),
			cmp.Compare(a.SetBy, b.SetBy))
	})
	return cells
}
