package reporting

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/floods"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const (
	incidentsPath = "/incidents/"
	pageSize      = 50
	monthsToPick  = 24
	countMost     = 10_000         // the list says "more than" beyond
	lateAfter     = 48 * time.Hour // nobody acknowledged a report for so long
)

// statusGroups are the page's names for several statuses at once.
var statusGroups = map[string][]incident.Status{
	"open":    statusesThat(incident.Status.IsOpen),
	"counted": statusesThat(incident.Status.Counts),
	"closed":  statusesThat(incident.Status.IsClosed),
	"all":     incident.Statuses,
}

func statusesThat(is func(incident.Status) bool) []incident.Status {
	return slices.DeleteFunc(slices.Clone(incident.Statuses), func(s incident.Status) bool { return !is(s) })
}

// incidentsPage is the reps' list.
type incidentsPage struct {
	Notice    string
	Floods    []floodCard // that wait for a rep
	AnyFlood  bool        // there is one, perhaps all set aside
	Filters   []selectField
	More      []selectField
	MoreOpen  bool
	Count     string     // how many, as a sentence
	Waiting   []web.Link // what of them waits for a rep; without an address where nothing does
	Order     string     // how they are ordered
	Rows      []incidentRow
	First     string // the list's beginning, when this is not it
	Next      string // the next page, "" at the end
	Begin     string // the words for First
	Further   string // … and for Next
	Empty     string // why there is nothing
	EmptyHelp string
	EmptyLink *web.Link
}

type incidentRow struct {
	Href, Title, Ref     string
	Hurt, Review, Flood  bool
	Check                bool // the machine is sure, and is to be checked
	Words                string
	Site, How            string
	When, ISO            string
	Status, StatusColour string
	Waiting              string
	Late                 bool
}

// listIncidents shows GET /incidents/: what happened at a rep's sites, newest
// first, open ones unless another status is asked for. What needs a look stands
// in the order of listReview.
func (s *Service) listIncidents(c *fiber.Ctx) error {
	q, err := queryOf(c, "The address could not be read. Go back to the list and try again.")
	if err != nil {
		return err
	}
	who, _ := web.PrincipalOf(c)
	status := q.Get("status")
	if status == "" {
		status = "open"
		q.Set("status", status)
	}
	if status == "review" {
		q.Set("status", "open")
		q.Set("review", "true")
	}
	f, err := readFilter(q, sitesOf(who), statusGroups)
	if err != nil {
		return asPageFault(err)
	}
	f.Limit = pageSize
	ctx := c.UserContext()
	list := s.store.ListIncidents
	if status == "review" {
		list = s.listReview
	}
	found, next, err := list(ctx, f)
	if err != nil {
		return asPageFault(err)
	}
	sites := s.directory.Load()
	data := incidentsPage{Notice: s.takeNotice(c), Begin: "Back to the newest", Further: "Older incidents"}
	if status == "review" {
		data.Begin, data.Further = "Back to the first", "More incidents"
	}
	cards, waiting, some, err := s.floodCards(ctx, sitesOf(who), false)
	if err != nil {
		return err
	}
	data.AnyFlood = some
	if q.Get("cursor") == "" {
		data.Floods = cards
	}
	for _, i := range found {
		row := s.row(i, sites)
		row.Flood = i.Status.IsOpen() && slices.ContainsFunc(waiting, func(f floods.Flood) bool { return f.Holds(i) })
		data.Rows = append(data.Rows, row)
	}
	q.Set("status", status)
	q.Del("review")
	s.fillFilters(&data, q, f, sitesOf(who))
	if err := s.countIncidents(c, &data, f, status); err != nil {
		return err
	}
	data.First, data.Next = pageLinks(q, next)
	if len(data.Rows) == 0 {
		ever, err := s.store.CountIncidents(ctx, store.Filter{Sites: sitesOf(who)}, 1)
		if err != nil {
			return err
		}
		data.explainEmpty(q, ever > 0)
	}
	return s.pages.Render(c, http.StatusOK, "incidents", web.Page{Title: "Incidents", Section: incidentsPath, Wide: true, Data: data})
}

// row returns an incident as the list shows it, with the beginning of its words.
func (s *Service) row(i *incident.Incident, sites *directory) incidentRow {
	d := i.Dims()
	r := incidentRow{
		Href: incidentsPath + i.ID, Title: title(d.Kind), Ref: i.Ref,
		Hurt: i.Hurt == incident.HurtYes, Review: i.NeedsReview() && i.Status.IsOpen(), Check: newest(i).Sampled,
		Words: excerpt(s.firstWords(i)),
		Site:  sites.name(i.Site), How: how(d),
		When: occurredShort(i, s.now()), ISO: iso(i.OccurredAt),
		Status: statusWords[i.Status], StatusColour: statusColours[i.Status],
	}
	if i.Status.IsOpen() {
		now := s.now()
		r.Waiting = capital(ago(i.ReceivedAt, now))
		r.Late = i.Status == incident.StatusNew && now.Sub(i.ReceivedAt) > lateAfter
	}
	return r
}

// title returns what an incident is called.
func title(k incident.Kind) string {
	if k == incident.KindUnknown {
		return "Not yet decided"
	}
	return kindWords[k]
}

// how returns how it reached staff, in words; "" for a hazard.
func how(d incident.Dims) string {
	switch d.Channel {
	case incident.ChannelNotApplicable:
		return ""
	case incident.ChannelUnknown:
		return "How is not known yet"
	}
	return channelWords[d.Channel]
}

// fillFilters fills the form above the list from what is being shown.
func (s *Service) fillFilters(data *incidentsPage, q url.Values, f store.Filter, own []string) {
	data.Filters = []selectField{
		{ID: "status", Name: "status", Label: "Status", Options: statusChoices(q.Get("status"))},
		{ID: "month", Name: "month", Label: "Month", Options: monthChoices("Any month", incident.MonthOf(s.now()), monthsToPick, f.Month)},
	}
	if sites := s.directory.Load().choices("All your sites", own, q.Get("site")); len(sites) > 2 {
		data.Filters = append(data.Filters, selectField{ID: "site", Name: "site", Label: "Site", Options: sites})
	}
	data.More = []selectField{
		{ID: "kind", Name: "kind", Label: "What happened", Options: choices("Anything", incident.Kinds, kindWords, string(f.Kind))},
		{ID: "channel", Name: "channel", Label: "How it reached staff", Options: choices("Any way", channelFilters, filterWords, q.Get("channel"))},
		{ID: "target", Name: "target", Label: "Whom it was aimed at", Options: choices("Anybody", incident.Targets, targetWords, string(f.Target))},
		{ID: "nothing_happened", Name: "nothing_happened", Label: "What reporters said since", Options: []option{
			{Value: "", Text: "Anything or nothing"}, {Value: "true", Text: "That nothing happened", Selected: f.Nothing}}},
		{ID: "undated", Name: "undated", Label: "When it happened", Options: []option{
			{Value: "", Text: "Known or not"}, {Value: "true", Text: "Not known when", Selected: f.Undated}}},
	}
	data.MoreOpen = f.Kind != "" || q.Get("channel") != "" || f.Target != "" || f.Nothing || f.Undated
}

func statusChoices(selected string) []option {
	options := []option{
		{Value: "open", Text: "Open"},
		{Value: "review", Text: "Needs a look"},
		{Value: "closed", Text: "Closed"},
		{Value: "counted", Text: "All in the figures"},
		{Value: "all", Text: "All"},
	}
	for _, s := range incident.Statuses {
		options = append(options, option{Value: string(s), Text: statusWords[s]})
	}
	for i := range options {
		options[i].Selected = options[i].Value == selected
	}
	return options
}

// countIncidents says how many there are, and what of them waits for a rep.
func (s *Service) countIncidents(c *fiber.Ctx, data *incidentsPage, f store.Filter, status string) error {
	ctx := c.UserContext()
	n, err := s.store.CountIncidents(ctx, f, countMost+1)
	if err != nil {
		return err
	}
	words := "incidents"
	if n == 1 {
		words = "incident"
	}
	if status == "open" {
		words = "open " + words
	}
	data.Count = number(n) + " " + words + "."
	if n > countMost {
		data.Count = "More than " + number(countMost) + " " + words + "."
	}
	if status == "open" && n > 0 {
		f.Review = true
		review, err := s.store.CountIncidents(ctx, f, countMost)
		if err != nil {
			return err
		}
		f.Review, f.Statuses = false, []incident.Status{incident.StatusNew}
		fresh, err := s.store.CountIncidents(ctx, f, countMost)
		if err != nil {
			return err
		}
		data.Waiting = []web.Link{
			withStatus(c, incident.StatusNew, fresh, count(fresh, "is", "are")+" not acknowledged yet"),
			withStatus(c, "review", review, count(review, "needs", "need")+" a look"),
		}
	}
	data.Order = "Newest first."
	if status == "review" {
		data.Order = reviewOrder(n)
	}
	return nil
}

// withStatus returns the way to the same list of another status, or only the
// words where there is none.
func withStatus(c *fiber.Ctx, status incident.Status, n int, words string) web.Link {
	if n == 0 {
		return web.Link{Text: words}
	}
	to := url.Values{"status": {string(status)}}
	for _, name := range listParameters {
		if value := c.Query(name); value != "" && name != "status" && name != "cursor" {
			to.Set(name, value)
		}
	}
	return web.Link{Href: incidentsPath + "?" + to.Encode(), Text: words}
}

// pageLinks returns the way to the list's beginning and to the next page.
func pageLinks(q url.Values, next string) (first, following string) {
	link := func(cursor string) string {
		to := url.Values{}
		for name, values := range q {
			if name != "cursor" && values[0] != "" {
				to[name] = values
			}
		}
		if cursor != "" {
			to.Set("cursor", cursor)
		}
		return incidentsPath + "?" + to.Encode()
	}
	if q.Get("cursor") != "" {
		first = link("")
	}
	if next != "" {
		following = link(next)
	}
	return first, following
}

// explainEmpty says why the list is empty and what to do. There ever was an
// incident at the reader's sites, or never yet.
func (p *incidentsPage) explainEmpty(q url.Values, ever bool) {
	const appears = "When staff at your sites report something, it appears here within a second."
	filtered := false
	for _, name := range []string{"site", "kind", "channel", "target", "month", "nothing_happened", "undated"} {
		filtered = filtered || q.Get(name) != ""
	}
	switch {
	case !ever:
		p.Empty = "Nothing has been reported yet."
		p.EmptyHelp = appears + " Tell them where to report it, and hang up the posters that an administrator can print for each site."
		p.EmptyLink = &web.Link{Href: "/report/", Text: "The form in which staff report"}
	case filtered || q.Get("status") != "open":
		p.Empty = "No incident fits these filters."
		p.EmptyHelp = "Choose another status or month, or clear the filters to see everything that is open."
		p.EmptyLink = &web.Link{Href: incidentsPath, Text: "Clear the filters"}
	default:
		p.Empty = "Nothing is waiting."
		p.EmptyHelp = appears
		p.EmptyLink = &web.Link{Href: incidentsPath + "?status=closed", Text: "See what is closed"}
	}
}
