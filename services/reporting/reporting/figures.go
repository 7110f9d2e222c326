package reporting

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/figures"
)

const figuresPath = "/figures/"

// figuresPage is the figures of one month, for a rep or a manager.
type figuresPage struct {
	figures.Page
	Notice  string
	Scope   string // whose incidents these are, in a sentence
	Printed string // from where and when, for paper
	Edition editionNote
	Hidden  string // what managers are told about hidden numbers; "" for reps
	Choice  selectField
	Chart   chart
	Legend  []legendKey
	Columns []string
	Rows    []crossRow
	Kinds   []kindLine
	Beside  []besideRow
	Nothing bool // of something a reporter has said that nothing happened
	Undated bool // of something nobody knows when it happened
	Aside   bool // something was set aside
	History []historyRow
	Heads   []string // of History, the parts of the chart
	Empty   []string // in the place of numbers, while there are none: what will be here, when, and what to do meanwhile
	Before  web.Link // the months beside this one
	After   web.Link
}

// editionNote says which edition a page shows, or how its live figures stand
// to the one that is published.
type editionNote struct {
	Words   string   // “Edition 1, published on Tue 10 Nov 2026.”
	Reason  string   // why the month was published again
	Newer   web.Link // of an old edition, the newest
	Older   web.Link // the edition before
	Changes []figures.ChangeLine
	Head    string // of Changes
	Heads   [2]string
	Frozen  web.Link // from live figures to what managers read
	Publish web.Link // where the reader may publish
}

type legendKey struct{ Class, Label string }

// crossRow is a channel by target.
type crossRow struct {
	Label, Class string // Class is "" where the row is no part of the chart
	Sub, Total   bool
	Cells        []crossCell
	Sum          crossCell
}

// crossCell is a number; reps can open the incidents behind it.
type crossCell struct {
	Column string // its column's name, shown on narrow screens
	Text   string
	Href   string
	Zero   bool
	Hidden bool
}

type kindLine struct {
	Label string
	crossCell
	Width string // of its bar; "" without one
}

// besideRow is a channel of what stands beside the total.
type besideRow struct {
	Label                      string
	Total                      bool
	Nothing, Undated, SetAside crossCell
}

// historyRow is one month of the table behind the chart.
type historyRow struct {
	Label, Href string
	Selected    bool
	Cells       []crossCell
}

// showFigures shows GET /figures/: live and exact figures of their sites for
// reps, published ones for managers and for whoever asks for an edition.
func (s *Service) showFigures(c *fiber.Ctx) error {
	parameters, err := queryOf(c, "The address could not be read. Go back to the figures and try again.")
	if err != nil {
		return err
	}
	if err := checkParameters(parameters, []string{"month", "edition"}); err != nil {
		return asPageFault(err)
	}
	month, err := figures.ParseMonth("month", parameters.Get("month"))
	if err != nil {
		return asPageFault(err)
	}
	edition, err := figures.ParseEdition(parameters.Get("edition"))
	if err != nil {
		return asPageFault(err)
	}
	who := asker(c)
	q := figures.PageQuery{Month: month, Edition: edition}
	var page figures.Page
	if who.Role == web.RoleRep && edition == 0 {
		q.Sites = sitesOf(who)
		page, err = s.figures.ExactPage(c.UserContext(), q)
	} else {
		page, err = s.figures.PublishedPage(c.UserContext(), q)
	}
	if err != nil {
		return asPageFault(err)
	}
	view := s.newFiguresPage(page, who)
	view.Notice, view.Printed = s.takeNotice(c), "From On Record, "+clock(s.now())+"."
	return s.pages.Render(c, http.StatusOK, "figures", web.Page{Title: "Figures for " + page.Month.Name(), Section: figuresPath, Wide: true, Data: view})
}

// noteOf says which edition a page shows, and what a rep may do about it.
func noteOf(page figures.Page, who web.Principal) (n editionNote) {
	over := len(page.Bars.Months) > 0 && !slices.ContainsFunc(page.Bars.Months, func(b figures.Bar) bool { return b.Selected && b.Running })
	switch e := page.Edition; {
	case page.Since != nil:
		e := page.Since.Edition
		where := ""
		if sitesOf(who) != nil {
			where = " at your sites"
		}
		n.Words = fmt.Sprintf("Edition %d, published on %s: %s%s. Now %s: %s", e.Number, day(e.PublishedAt), page.Since.Then, where, page.Since.Now, lowered(page.Since.Words))
		n.Changes, n.Head, n.Heads = page.Since.Changes, fmt.Sprintf("What has changed since edition %d", e.Number), [2]string{fmt.Sprintf("Edition %d", e.Number), "Now"}
		n.Frozen = web.Link{Href: editionHref(page.Month, e.Number), Text: "What managers read"}
		n.Publish.Text = fmt.Sprintf("Publish edition %d", e.Number+1)
		if len(n.Changes) == 0 {
			return n
		}
	case page.Exact:
		n.Words = strings.TrimPrefix(page.Missing, "This month is not over. ") + " Managers see nothing of it until then."
		n.Publish.Text = "Publish " + page.Month.Name()
	case e == nil:
		n.Words = page.Missing
	default:
		n.Words = fmt.Sprintf("Edition %d, published on %s. It stays as it is.", e.Number, day(e.PublishedAt))
		n.Reason = reasonOf(*e)
		if e.Number < page.Newest {
			n.Newer = web.Link{Href: editionHref(page.Month, page.Newest), Text: fmt.Sprintf("Edition %d has taken its place", page.Newest)}
		}
		if e.Number > 1 {
			n.Older = web.Link{Href: editionHref(page.Month, e.Number-1), Text: fmt.Sprintf("Read edition %d", e.Number-1)}
			n.Changes, n.Head, n.Heads = e.ChangeLines(), fmt.Sprintf("What has changed since edition %d", e.Number-1), [2]string{fmt.Sprintf("Edition %d", e.Number-1), fmt.Sprintf("Edition %d", e.Number)}
		}
	}
	if page.Exact && over && sitesOf(who) == nil {
		n.Publish.Href = editionsPath + page.Month.String() + "/publish"
	}
	return n
}

func (s *Service) newFiguresPage(page figures.Page, who web.Principal) figuresPage {
	p := figuresPage{Page: page, Chart: newChart(page.Bars), Scope: "All sites.", Edition: noteOf(page, who)}
	if page.Exact {
		p.Scope = capital(s.directory.Load().inWords(sitesOf(who))) + "."
	} else if hidesSome(page) {
		p.Hidden = fmt.Sprintf("Numbers from 1 to %d are hidden, because so few incidents could tell who was involved. "+
			"Some larger numbers are hidden too, where a small one could be worked out from them.", page.Threshold)
		if page.Edition != nil && page.Edition.Number > 1 {
			p.Hidden += " What an earlier edition hid stays hidden, and so does a number that has changed by so few."
		} else {
			p.Hidden += " Zero is always shown."
		}
	}
	p.Notes = slices.DeleteFunc(slices.Clone(page.Notes), func(n string) bool { return p.Hidden != "" && strings.HasPrefix(n, "Some numbers are hidden") })
	for _, m := range page.Months {
		p.Choice.Options = append(p.Choice.Options, option{Value: m.Month.String(), Text: m.Label, Selected: m.Selected})
	}
	p.Choice.ID, p.Choice.Name, p.Choice.Label = "month", "month", "Month"
	for n, k := range page.Bars.Keys {
		p.Legend = append(p.Legend, legendKey{partClass(string(k)), page.Bars.Labels[n]})
	}
	for _, col := range page.Columns {
		p.Columns = append(p.Columns, col.Label)
	}
	for _, r := range page.Rows {
		p.Rows = append(p.Rows, crossRowOf(page, r))
	}
	if len(p.Rows) > 0 {
		total := crossRowOf(page, page.Total)
		total.Total = true
		p.Rows = append(p.Rows, total)
	}
	p.Kinds = kindLines(page)
	for _, r := range page.Beside {
		row := besideRow{Label: r.Label, Total: r.Key == "",
			Nothing:  cellOf(page, r.Nothing, "", "channel", string(r.Key), "nothing_happened", "true"),
			Undated:  cellOf(page, r.Undated, "", "channel", string(r.Key), "undated", "true"),
			SetAside: cellOf(page, r.SetAside, "", "channel", string(r.Key), "status", string(incident.StatusSetAside))}
		p.Nothing, p.Undated, p.Aside = p.Nothing || !row.Nothing.Zero, p.Undated || !row.Undated.Zero, p.Aside || !row.SetAside.Zero
		p.Beside = append(p.Beside, row)
	}
	p.Heads, p.History = historyRows(page)
	p.Before, p.After = neighbours(page)
	p.Empty = emptyFigures(page, p.Aside)
	return p
}

// emptyFigures returns what stands on a page that has nothing to show: to
// managers before the first month is published, and to reps where the months
// shown hold no incident at all.
func emptyFigures(page figures.Page, aside bool) []string {
	const parts = "by how it reached staff, whom it was aimed at and what happened, with the share that nobody has decided yet"
	switch {
	case page.None:
		return []string{
			"Here will be, for each month that is over, how many incidents staff reported: " + parts + ". Small numbers will be hidden.",
			page.Missing + " It then stays as it is.",
			"Meanwhile safety reps see every report within a second and act on it. Ask them about anything that cannot wait, and tell staff where to report.",
		}
	case page.Exact && !aside && !slices.ContainsFunc(page.Bars.Months, func(b figures.Bar) bool { return len(b.Parts) > 0 }):
		return []string{
			"No incident of these twelve months is on record.",
			"Here will be how many incidents staff report: " + parts + ". Every number opens the incidents behind it.",
			"Tell staff where to report, and hang up the posters that an administrator can print for each site.",
		}
	}
	return nil
}

func hidesSome(page figures.Page) bool {
	return page.Total.Total.Hidden || page.Bars.Hidden || slices.ContainsFunc(page.Kinds, func(l figures.Line) bool { return l.Count.Hidden }) ||
		slices.ContainsFunc(page.Rows, func(r figures.Row) bool {
			return r.Total.Hidden || slices.ContainsFunc(r.Cells, func(t figures.Text) bool { return t.Hidden })
		}) ||
		slices.ContainsFunc(page.Beside, func(r figures.BesideRow) bool { return r.Nothing.Hidden || r.Undated.Hidden || r.SetAside.Hidden })
}

// crossRowOf returns a row whose numbers open the incidents behind them.
func crossRowOf(page figures.Page, r figures.Row) crossRow {
	row := crossRow{Label: r.Label, Sub: r.Sub}
	if !r.Sub { // the chart draws online as one part
		row.Class = string(r.Key)
	}
	for n, t := range r.Cells {
		row.Cells = append(row.Cells, cellOf(page, t, page.Columns[n].Label, "channel", string(r.Key), "target", string(page.Columns[n].Key)))
	}
	row.Sum = cellOf(page, r.Total, "All", "channel", string(r.Key))
	return row
}

// cellOf returns a number, with the way to the incidents behind it where the
// reader may open them.
func cellOf(page figures.Page, t figures.Text, column string, filters ...string) crossCell {
	c := crossCell{Column: column, Text: t.Text, Hidden: t.Hidden, Zero: t.Text == "0"}
	if page.Exact && !c.Zero && page.Unit == figures.Incidents {
		c.Href = behind(page.Month, filters...)
	}
	return c
}

// behind returns the list of the incidents that a number counts.
func behind(m incident.Month, filters ...string) string {
	q := url.Values{"month": {m.String()}, "status": {"counted"}}
	for n := 0; n+1 < len(filters); n += 2 {
		if filters[n+1] != "" {
			q.Set(filters[n], filters[n+1])
		}
	}
	return incidentsPath + "?" + q.Encode()
}

// kindLines returns the kinds with bars on one scale, which hidden ones lack.
func kindLines(page figures.Page) []kindLine {
	number := func(t figures.Text) (n float64) {
		if !t.Hidden {
			_, _ = fmt.Sscanf(strings.ReplaceAll(t.Text, ",", ""), "%g", &n)
		}
		return n
	}
	most := 1.0
	for _, k := range page.Kinds {
		most = max(most, number(k.Count))
	}
	lines := make([]kindLine, len(page.Kinds))
	for n, k := range page.Kinds {
		lines[n] = kindLine{Label: k.Label, crossCell: cellOf(page, k.Count, "", "kind", string(k.Key))}
		if v := number(k.Count); v > 0 {
			lines[n].Width = percent(100 * v / most)
		}
	}
	return lines
}

// historyRows returns the chart as a table: the parts of each month, then all.
func historyRows(page figures.Page) (heads []string, rows []historyRow) {
	heads = append(slices.Clone(page.Bars.Labels), "All")
	for _, m := range page.Bars.Months {
		row := historyRow{Label: m.Label, Href: figuresPath + "?month=" + m.Month.String(), Selected: m.Selected}
		if m.Running {
			row.Label += " so far"
		}
		open := page
		open.Month = m.Month
		for n, key := range page.Bars.Keys {
			t := figures.Text{Text: "0"}
			if m.Missing {
				t = figures.Text{Text: "–", Hidden: true}
			}
			for _, part := range m.Parts {
				if part.Key == key {
					t = part.Count
				}
			}
			cell := cellOf(open, t, page.Bars.Labels[n], "channel", string(key))
			row.Cells = append(row.Cells, cell)
		}
		row.Cells = append(row.Cells, cellOf(open, m.Total, "All"))
		rows = append(rows, row)
	}
	return heads, rows
}

// neighbours returns the months before and after the one shown, as far as they
// can be chosen.
func neighbours(page figures.Page) (before, after web.Link) {
	for _, m := range page.Months {
		link := web.Link{Href: figuresPath + "?month=" + m.Month.String(), Text: m.Label}
		switch m.Month {
		case page.Month.Add(-1):
			before = link
		case page.Month.Add(1):
			after = link
		}
	}
	return before, after
}

// figuresParameters are what GET /api/v1/figures understands.
var figuresParameters = []string{"from", "to", "by", "unit", "edition"}

// figuresAPI answers GET /api/v1/figures: exact figures of their sites for
// reps, the published grid for managers.
func (s *Service) figuresAPI(c *fiber.Ctx) error {
	q, err := queryOf(c, unreadableQuery)
	if err != nil {
		return err
	}
	if err := checkParameters(q, figuresParameters, "by"); err != nil {
		return err
	}
	ask, err := s.figures.Parse(q.Get("from"), q.Get("to"), strings.Join(q["by"], ","), q.Get("unit"), q.Get("edition"))
	if err != nil {
		return err
	}
	who := asker(c)
	if who.Role == web.RoleManager { // the newest editions, or those that are asked for
		answer, err := s.figures.Published(c.UserContext(), ask)
		if err != nil {
			return err
		}
		return c.JSON(answer)
	}
	ask.Sites = sitesOf(who)
	answer, err := s.figures.Exact(c.UserContext(), ask)
	if err != nil {
		return err
	}
	return c.JSON(answer)
}
