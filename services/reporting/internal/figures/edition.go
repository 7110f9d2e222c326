package figures

import (
	"context"
	"slices"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Reason says why a month was published again. Source: the labels of revisions
// of the Office for National Statistics.
type Reason string

// The reasons. A first edition has none.
const (
	ReasonSource        Reason = "R1" // better source data
	ReasonRecalculation Reason = "R2" // routine recalculation
	ReasonMethod        Reason = "R3" // a change of method
	ReasonCorrection    Reason = "C"  // a mistake is corrected
)

// Reasons are all of them.
var Reasons = []Reason{ReasonSource, ReasonRecalculation, ReasonMethod, ReasonCorrection}

// ReasonLabels are the words for each reason. They are read only.
var ReasonLabels = map[Reason]string{
	ReasonSource:        "better source data, such as reports that came late",
	ReasonRecalculation: "routine recalculation",
	ReasonMethod:        "a change of method",
	ReasonCorrection:    "a correction of a mistake",
}

// Edition is a published month: what everybody reads who may see published
// figures. Its JSON is frozen when it is published, so a field is never
// renamed or removed.
type Edition struct {
	Month       incident.Month `json:"month"`
	Number      int            `json:"edition"`
	PublishedAt time.Time      `json:"published_at"`     // UTC
	Reason      Reason         `json:"reason,omitempty"` // of every edition but the first
	Why         string         `json:"why,omitempty"`    // a sentence
	Unit        Unit           `json:"unit"`
	Threshold   int            `json:"threshold"` // numbers from 1 to this are hidden
	Figures     Month          `json:"figures"`
	Changes     []Change       `json:"changes,omitempty"` // what reads otherwise than in the edition before
}

// Change is a number that reads otherwise than in the edition before. Of is
// "total" or "undecided", or "" for a number that channel, target or kind name;
// "nothing_happened", "undated" or "set_aside" for what stands beside the total,
// of the channel that is named if one is.
type Change struct {
	Of      string           `json:"of,omitempty"`
	Kind    incident.Kind    `json:"kind,omitempty"`
	Channel incident.Channel `json:"channel,omitempty"`
	Target  incident.Target  `json:"target,omitempty"`
	Before  Number           `json:"before"`
	After   Number           `json:"after"`
}

// What Change.Of may be.
const (
	OfTotal     = "total"
	OfUndecided = "undecided"
	OfNothing   = "nothing_happened"
	OfUndated   = "undated"
	OfSetAside  = "set_aside"
)

// Archive is where published months are; package editions has it.
type Archive interface {
	// Editions returns the edition of that number of each month from first to
	// last, or the newest when number is 0. Months without it are left out.
	Editions(ctx context.Context, first, last incident.Month, number int) (map[incident.Month]Edition, error)
	// Exact returns the totals an edition was made from, by site. Only those who
	// may open the incidents of these sites may see them.
	Exact(ctx context.Context, m incident.Month, number int) ([]store.SiteMonth, error)
	// Expected returns when a month that is not published will be, without
	// anybody. It is zero where somebody has to publish it.
	Expected(ctx context.Context, m incident.Month) (time.Time, error)
}

// Earlier is an edition with the exact totals it was made from.
type Earlier struct {
	Edition Edition
	Cells   []incident.Cell // of all sites
}

// Publish returns the figures of a month as everybody may read them who may
// see published ones, made from the exact totals of all sites. Earlier are its
// editions before, the oldest first: what these hide is hidden, and so is what
// would tell by how few a number has changed since.
func Publish(m incident.Month, cells []incident.Cell, threshold int, earlier ...Earlier) Month {
	values := theGrid.values(appendParts(nil, cells, ""), Incidents)
	before := make([]edition, len(earlier))
	for n, e := range earlier {
		before[n] = edition{theGrid.values(appendParts(nil, e.Cells, ""), Incidents), gridOf(e.Edition.Figures).hidden}
	}
	month := newMonth(m)
	month.publish(monthGrid{values: values, hidden: theGrid.publish(values, threshold, before...)})
	if len(earlier) > 0 && month.hides() {
		month.Notes = append(month.Notes, noteRevised)
	}
	return month
}

// Since is how an edition and the live figures compare, for those who may open
// the incidents of the sites it is about.
type Since struct {
	Edition Edition // the newest of the month
	Then    string  // how many incidents it had at these sites: “163”
	Now     string  // how many there are
	Words   string  // “2 more than then.”
	Changes []ChangeLine
}

// ChangeLine is a change in words.
type ChangeLine struct {
	Label         string // “In person, a named person”
	Before, After Text
	Difference    string // “2 more”, or why there is none
}

// since compares a month with its newest edition; nil where it has none.
func (s *Service) since(ctx context.Context, m incident.Month, unit Unit, sites []string, now monthGrid) (*Since, error) {
	editions, err := s.archive.Editions(ctx, m, m, 0)
	e, ok := editions[m]
	if err != nil || !ok {
		return nil, err
	}
	totals, err := s.archive.Exact(ctx, m, e.Number)
	if err != nil {
		return nil, err
	}
	then := monthGrid{values: theGrid.values(partsOf(totals, sites), unit)}
	compared := &Since{Edition: e, Then: thousands(then.values[theGrid.total]), Now: thousands(now.values[theGrid.total])}
	for _, c := range changes(then, now) {
		compared.Changes = append(compared.Changes, c.line())
	}
	switch n := now.values[theGrid.total] - then.values[theGrid.total]; {
	case len(compared.Changes) == 0:
		compared.Words = "Nothing has changed since."
	case n == 0:
		compared.Words = "As many as then, but not the same."
	default:
		compared.Words = difference(n) + " than then."
	}
	return compared, nil
}

// ChangeLines returns an edition's changes in words.
func (e Edition) ChangeLines() []ChangeLine {
	lines := make([]ChangeLine, len(e.Changes))
	for n, c := range e.Changes {
		lines[n] = c.line()
	}
	return lines
}

func (c Change) line() ChangeLine {
	l := ChangeLine{Label: c.label(), Before: text(c.Before), After: text(c.After), Difference: "not shown"}
	if !c.Before.Hidden && !c.After.Hidden {
		l.Difference = difference(c.After.N - c.Before.N)
	}
	return l
}

func (c Change) label() string {
	switch {
	case c.Of == OfTotal:
		return "All incidents"
	case c.Of == OfUndecided:
		return "Not decided yet"
	case c.Of == OfNothing:
		return besideLabel("Nothing happened", c.Channel)
	case c.Of == OfUndated:
		return besideLabel("Not known when", c.Channel)
	case c.Of == OfSetAside:
		return besideLabel("Set aside", c.Channel)
	case c.Kind != "":
		return KindLabels[c.Kind]
	case c.Channel == "":
		return "Aimed at: " + lower(TargetLabels[c.Target])
	case c.Target == "":
		return ChannelLabels[c.Channel]
	}
	return ChannelLabels[c.Channel] + ", " + lower(TargetLabels[c.Target])
}

func besideLabel(of string, c incident.Channel) string {
	if c == "" {
		return of
	}
	return of + ": " + lower(ChannelLabels[c])
}

// monthGrid is one month's grid as its reader may see it.
type monthGrid struct {
	values      []int
	hidden      set
	unpublished bool // nothing of it is seen
}

// number returns number i as its reader may see it.
func (m monthGrid) number(i int) Number {
	if m.unpublished || m.hidden.has(i) {
		return Number{Hidden: true}
	}
	return Number{N: m.values[i]}
}

// place is where a number of the grid stands in a month: which cell it is, in
// which list of the month, or which number by itself; of what, as Change has it.
type place struct {
	number int
	cell   Cell
	list   func(*Month) *[]Cell
	alone  func(*Month) *Number // where there is no list
	of     string
}

// places are every number of the grid that is ever shown, the total first and
// the margins before the cells.
var places = newPlaces()

func newPlaces() []place {
	var all []place
	lists := struct{ cells, online, channels, targets, kinds func(*Month) *[]Cell }{
		func(m *Month) *[]Cell { return &m.Cells }, func(m *Month) *[]Cell { return &m.Margins.Online },
		func(m *Month) *[]Cell { return &m.Margins.Channels }, func(m *Month) *[]Cell { return &m.Margins.Targets }, func(m *Month) *[]Cell { return &m.Margins.Kinds },
	}
	add := func(number int, list func(*Month) *[]Cell, cell Cell) {
		all = append(all, place{number: number, list: list, cell: cell})
	}
	all = append(all, place{number: theGrid.total, of: OfTotal, alone: func(m *Month) *Number { return &m.Total }},
		place{number: theGrid.undecided, of: OfUndecided, alone: func(m *Month) *Number { return &m.Undecided }})
	for c, channel := range incident.Channels {
		add(theGrid.channels[c], lists.channels, Cell{Channel: channel})
	}
	add(theGrid.onlineAll, lists.channels, Cell{Channel: ChannelOnline})
	for t, target := range incident.Targets {
		add(theGrid.targets[t], lists.targets, Cell{Target: target})
	}
	for k, kind := range incident.Kinds {
		add(theGrid.kinds[k], lists.kinds, Cell{Kind: kind})
	}
	for c, channel := range incident.Channels {
		for t, target := range incident.Targets {
			add(theGrid.cell[c][t], lists.cells, Cell{Channel: channel, Target: target})
		}
	}
	for t, target := range incident.Targets {
		add(theGrid.online[t], lists.online, Cell{Channel: ChannelOnline, Target: target})
	}
	for _, b := range []struct {
		of     string
		in     func(*Month) *Beside
		number beside
	}{
		{OfNothing, func(m *Month) *Beside { return m.Nothing }, theGrid.nothing},
		{OfUndated, func(m *Month) *Beside { return m.Undated }, theGrid.undated},
		{OfSetAside, func(m *Month) *Beside { return m.SetAside }, theGrid.aside},
	} {
		all = append(all, place{number: b.number.all, of: b.of, alone: func(m *Month) *Number { return &b.in(m).Total }})
		for r, channel := range besideRows {
			all = append(all, place{number: b.number.rows[r], of: b.of, cell: Cell{Channel: channel}, list: func(m *Month) *[]Cell { return &b.in(m).Cells }})
		}
	}
	return all
}

// publish fills in a month from its grid.
func (m *Month) publish(g monthGrid) {
	m.Margins = &Margins{Channels: []Cell{}, Online: []Cell{}, Targets: []Cell{}, Kinds: []Cell{}}
	for _, p := range places {
		c := p.cell
		if c.Count = g.number(p.number); p.list == nil {
			*p.alone(m) = c.Count
		} else if c.Count.Hidden || c.Count.N > 0 {
			c.Suppressed = c.Count.Hidden
			list := p.list(m)
			*list = append(*list, c)
		}
	}
	m.Suppressed = m.Total.Hidden || m.Undecided.Hidden
	for _, b := range []*Beside{m.Nothing, m.Undated, m.SetAside} {
		b.Suppressed = b.Total.Hidden
	}
	if g.hidden.len() > 0 {
		m.Notes = append(m.Notes, noteHidden)
	}
}

// gridOf is publish backwards: the grid of a published month, where a hidden
// number has no value.
func gridOf(m Month) monthGrid {
	g := monthGrid{values: make([]int, len(theGrid.numbers))}
	if m.Margins == nil {
		m.Margins = &Margins{}
	}
	if m.Nothing == nil {
		m.Nothing, m.SetAside = &Beside{}, &Beside{}
	}
	if m.Undated == nil {
		m.Undated = &Beside{}
	}
	for _, p := range places {
		n := Number{}
		if p.list == nil {
			n = *p.alone(&m)
		} else {
			list := *p.list(&m)
			if at := slices.IndexFunc(list, func(c Cell) bool {
				return c.Kind == p.cell.Kind && c.Channel == p.cell.Channel && c.Target == p.cell.Target
			}); at >= 0 {
				n = list[at].Count
			}
		}
		g.values[p.number] = n.N
		if n.Hidden {
			g.hidden = g.hidden.with(p.number)
		}
	}
	return g
}

// hides reports whether a published month hides some number.
func (m *Month) hides() bool { return gridOf(*m).hidden.len() > 0 }

// Changes returns every number that reads otherwise in one published month
// than in another, the total first. What both hide is no change.
// What only one of them counts is none either.
func Changes(before, after Month) []Change {
	all := changes(gridOf(before), gridOf(after))
	if before.Nothing == nil || after.Nothing == nil {
		all = slices.DeleteFunc(all, func(c Change) bool { return c.Of == OfNothing || c.Of == OfSetAside })
	}
	if before.Undated == nil || after.Undated == nil {
		all = slices.DeleteFunc(all, func(c Change) bool { return c.Of == OfUndated })
	}
	return all
}

func changes(was, is monthGrid) []Change {
	var all []Change
	for _, p := range places {
		if b, a := was.number(p.number), is.number(p.number); b != a {
			all = append(all, Change{Of: p.of, Kind: p.cell.Kind, Channel: p.cell.Channel, Target: p.cell.Target, Before: b, After: a})
		}
	}
	return all
}
