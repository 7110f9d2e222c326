package figures

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
)

// barMonths is how many months the bars of a page show.
const barMonths = 12

// PageQuery asks for the page of one month.
type PageQuery struct {
	Month   incident.Month // zero: the last month that is over, or this one while there are no others; published pages: the newest that is published
	Unit    Unit           // "": Incidents
	Sites   []string       // as in Query; exact pages only
	Edition int            // published pages only; 0: the newest
}

// Page is everything the figures page shows, decided and worded. A template
// only prints it. Numbers the reader may not see are not in it.
type Page struct {
	Month     incident.Month
	Unit      Unit
	Exact     bool
	Threshold int      // numbers from 1 to this are hidden; 0 on an exact page
	Edition   *Edition // of a published page; nil where Missing says why there is none
	Newest    int      // the number of the month's newest edition
	Missing   string   // why the month has no edition, and what to do; "" where it has one
	None      bool     // a published page while no month is published
	Since     *Since   // of an exact page: what the newest edition said; nil where the month has none

	Heading   string // the finding: “October 2026: 173 incidents”
	Parts     string // how it reached staff, in a sentence that belongs right under the heading
	Change    string // from the month before
	Undecided string // how much of it nobody has decided yet; "" when there is nothing
	Notes     []string

	Columns []Column // targets
	Rows    []Row    // channels, online as one row with two under it
	Total   Row
	Kinds   []Line
	Beside  []BesideRow // what stands beside the total, by channel; the last row is all of them
	Bars    Bars
	Months  []Choice // to choose from, the newest first
}

// Text is a number as a reader sees it.
type Text struct {
	Text   string // "1,234", "0", or "hidden"
	Hidden bool
}

// Column heads the numbers of one target.
type Column struct {
	Key   incident.Target
	Label string
}

// Row is one channel by target.
type Row struct {
	Key   incident.Channel // "" in the row of totals
	Label string
	Sub   bool // a part of the row above
	Cells []Text
	Total Text
}

// Line is one kind.
type Line struct {
	Key   incident.Kind
	Label string
	Count Text
}

// BesideRow is one channel of the numbers that stand beside a month's total.
type BesideRow struct {
	Key      incident.Channel // "" in the row of totals
	Label    string
	Nothing  Text // of the incidents that are counted, those of which a reporter said that nothing happened
	Undated  Text // of the incidents that are counted, those of which nobody knows when they happened
	SetAside Text // incidents that were set aside and are not counted
}

// Choice is a month to choose.
type Choice struct {
	Month    incident.Month
	Label    string
	Selected bool
}

// Bars are months of parts on one scale.
type Bars struct {
	Months []Bar
	Keys   []incident.Channel // every part that some bar has, in order; "" is what is hidden
	Labels []string           // of Keys
	Hidden bool               // some number is
}

// Bar is one month of parts, the first at the bottom.
type Bar struct {
	Month    incident.Month
	Label    string // “October 2026”
	Short    string // “Oct”
	Selected bool
	Running  bool // not over yet
	Missing  bool // not published: it has no parts
	Total    Text
	Parts    []BarPart
	Sentence string // the bar in words, for who cannot see it
}

// BarPart is one part of a bar, from its foot upwards.
type BarPart struct {
	Key    incident.Channel // "" for the hidden rest of a total that is shown
	Label  string
	Count  Text
	Height float64 // per cent of the highest bar; 0 for a number that is hidden

	n int
}

// rowOrder is how channels stand on the page.
var rowOrder = []incident.Channel{incident.ChannelInPerson, incident.ChannelPhone, incident.ChannelLetter, ChannelOnline,
	incident.ChannelPrivateMessage, incident.ChannelPublicOnline, incident.ChannelNotApplicable, incident.ChannelUnknown}

// ExactPage returns a month's page with exact numbers, for those who may open
// the incidents of q.Sites. It returns fault.Invalid for a question that
// cannot be answered.
func (s *Service) ExactPage(ctx context.Context, q PageQuery) (Page, error) {
	span := s.span(q.Month)
	span.Unit, span.Sites = q.Unit, q.Sites
	if err := span.validate(); err != nil {
		return Page{}, err
	}
	parts, err := s.read(ctx, span)
	if err != nil {
		return Page{}, err
	}
	months := make(map[incident.Month]monthGrid)
	for m, p := range parts {
		months[m] = monthGrid{values: theGrid.values(p, span.unit())}
	}
	page := s.page(q, months)
	page.Exact = true
	page.Since, err = s.since(ctx, page.Month, page.Unit, q.Sites, at(months, page.Month))
	if err == nil && page.Since == nil {
		page.Missing, err = s.expected(ctx, page.Month)
	}
	return page, err
}

// PublishedPage returns a month's page as it was published, the same for
// everybody who may see it; where there is no such edition, a page that says
// so. For sites, or another unit than incidents, it returns fault.Forbidden.
func (s *Service) PublishedPage(ctx context.Context, q PageQuery) (Page, error) {
	span := s.span(q.Month)
	span.From, span.Unit, span.Sites = span.To.Add(1-MaxMonths), q.Unit, q.Sites
	editions, err := s.published(ctx, span)
	if err != nil {
		return Page{}, err
	}
	byDefault := q.Month.IsZero()
	if byDefault {
		q.Month = newestOf(editions, span)
	}
	newest := editions[q.Month].Number
	if q.Edition > 0 {
		of, err := s.archive.Editions(ctx, q.Month, q.Month, q.Edition)
		if err != nil {
			return Page{}, err
		}
		delete(editions, q.Month)
		if e, ok := of[q.Month]; ok {
			editions[q.Month] = e
		}
	}
	months := make(map[incident.Month]monthGrid)
	for m := span.From; !span.To.Before(m); m = m.Add(1) {
		months[m] = notPublished()
		if e, ok := editions[m]; ok {
			months[m] = gridOf(e.Figures)
		}
	}
	page := s.page(q, months)
	page.Newest = newest
	for _, e := range editions {
		page.Threshold = max(page.Threshold, e.Threshold)
	}
	for i := range page.Months {
		if g, ok := months[page.Months[i].Month]; ok && g.unpublished {
			page.Months[i].Label += " (not published)"
		}
	}
	if e, ok := editions[q.Month]; ok {
		page.Edition, page.Threshold = &e, e.Threshold
		if e.Figures.Nothing == nil { // published before it was counted
			page.Beside = nil
		}
		return page, nil
	}
	page.Heading = q.Month.Name() + " is not published"
	switch {
	case q.Edition > 0 && newest > 0:
		page.Heading, page.Missing = fmt.Sprintf("%s has no edition %d", q.Month.Name(), q.Edition), fmt.Sprintf("Its newest is edition %d.", newest)
	case len(editions) == 0 && byDefault:
		page.Heading, page.None = "No month is published yet", true
		page.Missing, err = s.Next(ctx)
	default:
		page.Missing, err = s.expected(ctx, q.Month)
	}
	page.Change, page.Undecided, page.Notes, page.Total, page.Rows, page.Kinds, page.Beside = "", "", nil, Row{}, nil, nil, nil
	return page, err
}

// PreviewPage returns the page of an edition that is not published yet, as
// everybody will read it who may see published figures. It compares with nothing.
func (s *Service) PreviewPage(e Edition) Page {
	months := make(map[incident.Month]monthGrid)
	span := s.span(e.Month)
	for m := span.From; !span.To.Before(m); m = m.Add(1) {
		months[m] = notPublished()
	}
	months[e.Month] = gridOf(e.Figures)
	page := s.page(PageQuery{Month: e.Month}, months)
	page.Edition, page.Threshold, page.Change = &e, e.Threshold, ""
	return page
}

// newestOf returns the newest published month of a span, and the last one that
// is over when none is.
func newestOf(editions map[incident.Month]Edition, span Query) incident.Month {
	for m := span.To; !m.Before(span.From); m = m.Add(-1) {
		if _, ok := editions[m]; ok {
			return m
		}
	}
	return span.To.Add(-1)
}

// span returns the months a page reads: those of its bars, and the one before.
func (s *Service) span(m incident.Month) Query {
	last := incident.MonthOf(s.now())
	if !m.IsZero() && (last.Before(m) || m.Before(last.Add(1-barMonths))) {
		last = m
	}
	return Query{From: last.Add(-barMonths), To: last}
}

// at returns a month's grid; one without incidents is all zeros.
func at(months map[incident.Month]monthGrid, m incident.Month) monthGrid {
	if g, ok := months[m]; ok {
		return g
	}
	return monthGrid{values: make([]int, len(theGrid.numbers))}
}

func notPublished() monthGrid {
	return monthGrid{values: make([]int, len(theGrid.numbers)), unpublished: true}
}

// page words a month. months holds at least the span of q.Month.
func (s *Service) page(q PageQuery, months map[incident.Month]monthGrid) Page {
	running := incident.MonthOf(s.now())
	m := q.Month
	if m.IsZero() {
		m = running.Add(-1)
		if at(months, m).values[theGrid.total] == 0 && at(months, running).values[theGrid.total] > 0 {
			m = running
		}
	}
	unit := Query{Unit: q.Unit}.unit()
	g := at(months, m)
	total, undecided := g.number(theGrid.total), g.number(theGrid.undecided)
	p := Page{
		Month:     m,
		Unit:      unit,
		Heading:   heading(m, total, unit, m == running),
		Parts:     g.sentence(total),
		Change:    change(m, total, at(months, m.Add(-1))),
		Undecided: undecidedShare(total, undecided),
		Total:     Row{Label: "All", Total: text(total)},
		Bars:      s.bars(months, m),
		Months:    choices(running, m),
	}
	for t, target := range incident.Targets {
		p.Columns = append(p.Columns, Column{target, TargetLabels[target]})
		p.Total.Cells = append(p.Total.Cells, text(g.number(theGrid.targets[t])))
	}
	for _, c := range rowOrder {
		p.Rows = append(p.Rows, g.row(c))
	}
	for k, kind := range incident.Kinds {
		p.Kinds = append(p.Kinds, Line{kind, KindLabels[kind], text(g.number(theGrid.kinds[k]))})
	}
	for r, c := range besideRows {
		p.Beside = append(p.Beside, BesideRow{c, ChannelLabels[c], text(g.number(theGrid.nothing.rows[r])), text(g.number(theGrid.undated.rows[r])), text(g.number(theGrid.aside.rows[r]))})
	}
	p.Beside = append(p.Beside, BesideRow{"", "All", text(g.number(theGrid.nothing.all)), text(g.number(theGrid.undated.all)), text(g.number(theGrid.aside.all))})
	if m == running {
		p.Notes = append(p.Notes, noteRunning)
	}
	if g.hidden.len() > 0 {
		p.Notes = append(p.Notes, noteHidden)
	}
	return p
}

// channel returns a row's margin and cells as numbers of the grid.
func (g *grid) channel(c incident.Channel) (margin int, cells []int) {
	if c == ChannelOnline {
		return g.onlineAll, g.online
	}
	return g.channels[channelAt(c)], g.cell[channelAt(c)]
}

func (m monthGrid) row(c incident.Channel) Row {
	margin, cells := theGrid.channel(c)
	r := Row{Key: c, Label: ChannelLabels[c], Sub: c.IsOnline(), Total: text(m.number(margin))}
	for _, i := range cells {
		r.Cells = append(r.Cells, text(m.number(i)))
	}
	return r
}

// sentence says how a month reached staff, without the parts that are zero.
func (m monthGrid) sentence(total Number) string {
	if m.unpublished || !total.Hidden && total.N == 0 {
		return ""
	}
	var parts, hidden []string
	for _, c := range rowOrder {
		if c.IsOnline() {
			continue
		}
		margin, _ := theGrid.channel(c)
		switch n := m.number(margin); {
		case n.Hidden:
			hidden = append(hidden, channelPhrases[c])
		case n.N > 0:
			parts = append(parts, thousands(n.N)+" "+channelPhrases[c])
		}
	}
	if len(hidden) > 0 {
		parts = append(parts, "hidden: "+strings.Join(hidden, ", "))
	}
	return strings.ToUpper(parts[0][:1]) + strings.Join(parts, "; ")[1:] + "."
}

func text(n Number) Text {
	if n.Hidden {
		return Text{hiddenText, true}
	}
	return Text{Text: thousands(n.N)}
}

// choices are the months that can be chosen: two years, and the one shown.
func choices(running, selected incident.Month) []Choice {
	var all []Choice
	for i := range MaxMonths {
		m := running.Add(-i)
		all = append(all, Choice{m, m.Name(), m == selected})
	}
	if selected.Before(running.Add(1 - MaxMonths)) {
		all = append(all, Choice{selected, selected.Name(), true})
	}
	if running.Before(selected) {
		all = append([]Choice{{selected, selected.Name(), true}}, all...)
	}
	return all
}

// bars draws the months of the span that ends where selected's does.
func (s *Service) bars(months map[incident.Month]monthGrid, selected incident.Month) Bars {
	span := s.span(selected)
	running := incident.MonthOf(s.now())
	var b Bars
	highest := 1
	for m := span.From.Add(1); !span.To.Before(m); m = m.Add(1) {
		g := at(months, m)
		bar := Bar{Month: m, Label: m.Name(), Short: m.Month.String()[:3], Selected: m == selected, Running: m == running,
			Total: text(g.number(theGrid.total)), Missing: g.unpublished}
		if g.unpublished {
			bar.Total, bar.Sentence = Text{unpublishedText, true}, bar.Label+": not published."
			b.Months = append(b.Months, bar)
			continue
		}
		height := 0
		for _, part := range g.stack() {
			height += part.N
			bar.Parts = append(bar.Parts, BarPart{Key: part.key, Label: part.label, Count: text(part.Number), n: part.N})
			b.Hidden = b.Hidden || part.Hidden
		}
		bar.Sentence = sentenceOf(bar, g)
		highest = max(highest, height)
		b.Months = append(b.Months, bar)
	}
	for _, bar := range b.Months {
		for i, part := range bar.Parts {
			bar.Parts[i].Height = math.Round(1000*float64(part.n)/float64(highest)) / 10
		}
	}
	b.legend()
	return b
}

// stacked is one part of a bar before it is drawn.
type stacked struct {
	Number
	key   incident.Channel
	label string
}

// stack returns the parts of a bar: one for each channel that is not zero,
// and the hidden rest where the total is shown.
func (m monthGrid) stack() []stacked {
	var all []stacked
	shown, hidden := 0, false
	for _, c := range rowOrder {
		margin, _ := theGrid.channel(c)
		n := m.number(margin)
		if c.IsOnline() || !n.Hidden && n.N == 0 {
			continue
		}
		shown, hidden = shown+n.N, hidden || n.Hidden
		all = append(all, stacked{n, c, ChannelLabels[c]})
	}
	if total := m.number(theGrid.total); hidden && !total.Hidden {
		all = append(all, stacked{Number{N: total.N - shown}, "", "Hidden parts together"})
	}
	return all
}

// legend lists the parts that appear in some bar.
func (b *Bars) legend() {
	seen := make(map[incident.Channel]bool)
	for _, bar := range b.Months {
		for _, p := range bar.Parts {
			seen[p.Key] = true
		}
	}
	for _, c := range rowOrder {
		if seen[c] {
			b.Keys, b.Labels = append(b.Keys, c), append(b.Labels, ChannelLabels[c])
		}
	}
	if seen[""] {
		b.Keys, b.Labels = append(b.Keys, ""), append(b.Labels, "Hidden parts together")
	}
}

// sentenceOf words a bar: “October 2026: 173. 120 in person; 20 by phone.”
func sentenceOf(bar Bar, g monthGrid) string {
	return strings.TrimSpace(fmt.Sprintf("%s: %s. %s", bar.Label, bar.Total.Text, g.sentence(g.number(theGrid.total))))
}

// earliest is the first month that can be asked for: nothing was recorded
// before, and the months before the first of the calendar have no name.
const earliest = 2000

// ParseMonth reads the month in a parameter as a client wrote it; "" is the zero
// Month, for the default. It returns fault.Invalid, naming the parameter, for
// anything that is no month or lies before 2000.
func ParseMonth(parameter, s string) (incident.Month, error) {
	if s == "" {
		return incident.Month{}, nil
	}
	m, err := incident.ParseMonth(s)
	if err != nil || m.Year < earliest {
		return incident.Month{}, fault.InvalidFields([]fault.Field{{Name: parameter, Message: "Give the month as YYYY-MM, like 2026-10, from 2000-01 on."}})
	}
	return m, nil
}
