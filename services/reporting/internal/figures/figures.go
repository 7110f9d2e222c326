// Package figures makes the monthly figures: exact ones for those who may open
// the incidents behind them, and published ones for managers, in which small
// numbers are hidden jointly.
//
// Its rule above all others: no total without channel × target and the share
// still undecided. Every answer that holds a total holds those parts.
//
// Figures are read from the totals that the month ledgers and roll-ups carry,
// so that an answer costs the same whatever the number of incidents stored.
package figures

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// DefaultThreshold is the largest number that is hidden from managers.
// Source: MoJ written answer of 25 April 2019, cells of five or fewer.
const DefaultThreshold = 5

// What a question may say of editions, beside the number of one.
const (
	EditionLive   = "live"   // figures that still change; reps get them unless they ask otherwise
	EditionLatest = "latest" // the newest edition of each month; what managers get unless they name one
)

// Totals is where figures are read from; store.Store is one.
type Totals interface {
	RollupCells(ctx context.Context, first, last incident.Month) (map[incident.Month][]incident.Cell, error)
	LedgerCells(ctx context.Context, sites []string, first, last incident.Month) ([]store.SiteMonth, error)
}

// Service answers questions about figures. It is safe for concurrent use.
type Service struct {
	totals  Totals
	archive Archive
	now     func() time.Time
}

// New returns a Service that reads live figures from totals and published ones
// from archive.
func New(totals Totals, archive Archive, now func() time.Time) *Service {
	return &Service{totals: totals, archive: archive, now: now}
}

// Number is a number that may be hidden. A hidden one holds no value, so that
// nothing made from it can give it away. In JSON it is null.
type Number struct {
	N      int
	Hidden bool
}

// MarshalJSON returns the number, or null when it is hidden.
func (n Number) MarshalJSON() ([]byte, error) {
	if n.Hidden {
		return []byte("null"), nil
	}
	return json.Marshal(n.N)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Number{Hidden: true}
		return nil
	}
	n.Hidden = false
	return json.Unmarshal(b, &n.N)
}

// Figures is the answer of GET /api/v1/figures.
type Figures struct {
	Unit      Unit      `json:"unit"`
	AsOf      time.Time `json:"as_of"`     // UTC; when the totals were read
	Edition   string    `json:"edition"`   // EditionLive, EditionLatest, or a number
	Threshold int       `json:"threshold"` // numbers from 1 to this are hidden; 0: nothing is
	Months    []Month   `json:"months"`    // every month asked for, in order, also those with nothing
}

// Month is the figures of one month.
type Month struct {
	Month       incident.Month `json:"month"`
	Total       Number         `json:"total"`
	Undecided   Number         `json:"undecided"`                  // channel or target is not known yet
	Suppressed  bool           `json:"suppressed,omitempty"`       // total or undecided is null: hidden
	Edition     *EditionOf     `json:"edition,omitempty"`          // which edition of the month this is; not of live figures
	Unpublished bool           `json:"unpublished,omitempty"`      // there is no such edition: nothing but notes
	Cells       []Cell         `json:"cells"`                      // every part that is not zero, channel and target always named
	Margins     *Margins       `json:"margins,omitempty"`          // published figures only: hidden cells cannot be added up
	Nothing     *Beside        `json:"nothing_happened,omitempty"` // of the incidents in total, those of which a reporter said so
	Undated     *Beside        `json:"undated,omitempty"`          // of the incidents in total, those of which nobody knows when they happened
	SetAside    *Beside        `json:"set_aside,omitempty"`        // incidents that a person set aside: not in total
	Notes       []string       `json:"notes"`                      // what a reader must know, in sentences
}

// EditionOf says which edition of a month figures are of.
type EditionOf struct {
	Number      int       `json:"number"`
	PublishedAt time.Time `json:"published_at"`
	Reason      Reason    `json:"reason,omitempty"`
	Why         string    `json:"why,omitempty"`
	Threshold   int       `json:"threshold"`
}

// Cell is one part of a month. Fields that were not asked for are left out.
type Cell struct {
	Kind       incident.Kind    `json:"kind,omitempty"`
	Channel    incident.Channel `json:"channel,omitempty"`
	Target     incident.Target  `json:"target,omitempty"`
	Site       string           `json:"site,omitempty"`
	Employer   *string          `json:"employer,omitempty"` // "" when not said, or none the site directory knows
	Count      Number           `json:"count"`
	Suppressed bool             `json:"suppressed,omitempty"`
	SetBy      *SetBy           `json:"set_by,omitempty"` // exact figures only: its parts are small numbers
}

// SetBy says on whose word a cell rests, in the cell's unit; see
// incident.Classify. The parts add up to the count.
type SetBy struct {
	Reporter int `json:"reporter"`
	Machine  int `json:"machine"`
	Reviewer int `json:"reviewer"`
	Nobody   int `json:"nobody,omitempty"` // kind, channel and target are all unknown
}

// Beside is a number that stands beside a month's total, with its parts: the
// cells of exact figures, rows by channel of published ones. It counts incidents,
// whatever the unit. A month that was published before these were counted has none.
type Beside struct {
	Total      Number `json:"total"`
	Suppressed bool   `json:"suppressed,omitempty"`
	Cells      []Cell `json:"cells"` // every part that is not zero
}

// Margins are the sums of a published month that are not zero. The channel
// "online" among Channels is private_message and public_online together; Online
// is the same by target.
type Margins struct {
	Channels []Cell `json:"channels"`
	Online   []Cell `json:"online"`
	Targets  []Cell `json:"targets"`
	Kinds    []Cell `json:"kinds"`
}

// Notes that figures carry.
const (
	noteRunning = "This month is not over. The figures will change."
	noteHidden  = "Some numbers are hidden, because they are small or because a small number could be worked out from them."
	noteRevised = "Numbers that an earlier edition hid stay hidden, and so do those that have changed by few."
)

// Exact returns exact figures: live ones, or those that an edition was made
// from. Only those who may open the incidents of q.Sites may see them. It
// returns fault.Invalid for a question that cannot be answered, naming every
// field to mend.
func (s *Service) Exact(ctx context.Context, q Query) (Figures, error) {
	if err := q.validate(); err != nil {
		return Figures{}, err
	}
	f := s.answer(q)
	if q.Edition != "" && q.Edition != EditionLive {
		return f, s.frozen(ctx, q, &f)
	}
	parts, err := s.read(ctx, q)
	if err != nil {
		return Figures{}, err
	}
	for i := range f.Months {
		f.Months[i].fill(parts[f.Months[i].Month], q)
	}
	return f, nil
}

// frozen fills in an answer from what editions were made from.
func (s *Service) frozen(ctx context.Context, q Query, f *Figures) error {
	editions, err := s.archive.Editions(ctx, q.From, q.To, q.number())
	if err != nil {
		return err
	}
	for i := range f.Months {
		m := &f.Months[i]
		e, ok := editions[m.Month]
		if !ok {
			if err := s.unpublished(ctx, m); err != nil {
				return err
			}
			continue
		}
		totals, err := s.archive.Exact(ctx, e.Month, e.Number)
		if err != nil {
			return err
		}
		of := e.Label()
		m.Edition = &of
		m.fill(partsOf(totals, q.Sites), q)
	}
	return nil
}

// partsOf returns the parts of some sites; nil is every site.
func partsOf(totals []store.SiteMonth, sites []string) (parts []part) {
	for _, l := range totals {
		if sites == nil || slices.Contains(sites, l.Site) {
			parts = appendParts(parts, l.Cells, l.Site)
		}
	}
	return parts
}

// part is one number of the ledgers with everything it can be split by.
type part struct {
	incident.Cell
	site string // "" where the roll-up of all sites was read
}

// read returns the parts of each month. The roll-up answers for all sites in
// one row a month; chosen sites, or a split by site, need the ledgers.
func (s *Service) read(ctx context.Context, q Query) (map[incident.Month][]part, error) {
	parts := make(map[incident.Month][]part)
	if q.Sites == nil && !q.has(BySite) {
		months, err := s.totals.RollupCells(ctx, q.From, q.To)
		for m, cells := range months {
			parts[m] = appendParts(nil, cells, "")
		}
		return parts, err
	}
	sites, err := s.totals.LedgerCells(ctx, q.Sites, q.From, q.To)
	for _, l := range sites {
		parts[l.Month] = appendParts(parts[l.Month], l.Cells, l.Site)
	}
	return parts, err
}

func appendParts(parts []part, cells []incident.Cell, site string) []part {
	parts = slices.Grow(parts, len(cells))
	for _, c := range cells {
		parts = append(parts, part{c, site})
	}
	return parts
}

// answer returns the frame of an answer: every month asked for, still empty.
func (s *Service) answer(q Query) Figures {
	f := Figures{Unit: q.unit(), AsOf: s.now().UTC(), Edition: cmp.Or(q.Edition, EditionLive)}
	running := incident.MonthOf(s.now())
	for m := q.From; !q.To.Before(m); m = m.Add(1) {
		month := newMonth(m)
		if m == running {
			month.Notes = append(month.Notes, noteRunning)
		}
		f.Months = append(f.Months, month)
	}
	return f
}

// newMonth returns a month in which nothing is counted.
func newMonth(m incident.Month) Month {
	return Month{Month: m, Cells: []Cell{}, Nothing: &Beside{Cells: []Cell{}}, Undated: &Beside{Cells: []Cell{}}, SetAside: &Beside{Cells: []Cell{}}, Notes: []string{}}
}

// key is a cell's dimensions; those not asked for are empty.
type key struct {
	kind     incident.Kind
	channel  incident.Channel
	target   incident.Target
	site     string
	employer string
}

// fill adds up the parts of a month by the dimensions asked for.
func (m *Month) fill(parts []part, q Query) {
	counts, setBy := make(map[key]int), make(map[key]*SetBy)
	nothing, undated, aside := make(map[key]int), make(map[key]int), make(map[key]int)
	for _, p := range parts {
		n := q.unit().of(p.Cell)
		m.Total.N += n
		if p.Undecided() {
			m.Undecided.N += n
		}
		k := q.key(p)
		if setBy[k] == nil {
			setBy[k] = &SetBy{}
		}
		counts[k] += n
		setBy[k].add(p.SetBy, n)
		nothing[k] += p.NothingHappened
		undated[k] += p.Undated
		aside[k] += p.SetAside
	}
	m.Cells = newCells(counts, q)
	for n := range m.Cells {
		m.Cells[n].SetBy = setBy[m.Cells[n].key()]
	}
	m.Nothing.fill(nothing, q)
	m.Undated.fill(undated, q)
	m.SetAside.fill(aside, q)
}

func (b *Beside) fill(counts map[key]int, q Query) {
	for _, n := range counts {
		b.Total.N += n
	}
	b.Cells = newCells(counts, q)
}

// newCells returns the counts that are not zero as cells, in order.
func newCells(counts map[key]int, q Query) []Cell {
	cells := []Cell{}
	for k, n := range counts {
		if n == 0 {
			continue
		}
		c := Cell{Kind: k.kind, Channel: k.channel, Target: k.target, Site: k.site, Count: Number{N: n}}
		if q.has(ByEmployer) {
			c.Employer = &k.employer
		}
		cells = append(cells, c)
	}
	slices.SortFunc(cells, compareCells)
	return cells
}

// key returns the dimensions of a cell.
func (c Cell) key() key {
	return key{kind: c.Kind, channel: c.Channel, target: c.Target, site: c.Site, employer: employerOf(c)}
}

func (s *SetBy) add(by incident.Setter, n int) {
	switch by {
	case incident.SetByReporter:
		s.Reporter += n
	case incident.SetByMachine:
		s.Machine += n
	case incident.SetByReviewer:
		s.Reviewer += n
	default:
		s.Nobody += n
	}
}

// compareCells orders cells as the taxonomy does, then by site and employer.
func compareCells(a, b Cell) int {
	return cmp.Or(
		cmp.Compare(slices.Index(incident.Kinds, a.Kind), slices.Index(incident.Kinds, b.Kind)),
		cmp.Compare(slices.Index(incident.Channels, a.Channel), slices.Index(incident.Channels, b.Channel)),
		cmp.Compare(slices.Index(incident.Targets, a.Target), slices.Index(incident.Targets, b.Target)),
		cmp.Compare(a.Site, b.Site),
		cmp.Compare(employerOf(a), employerOf(b)))
}

func employerOf(c Cell) string {
	if c.Employer == nil {
		return ""
	}
	return *c.Employer
}
