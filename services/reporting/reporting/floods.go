package reporting

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/floods"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const (
	floodsPath = "/incidents/floods/"
	// floodWait is how long an answer waits for what was begun to end.
	floodWait = 5 * time.Second
	// floodMatters is how many of a flood must wait for a rep for the list to
	// speak of it.
	floodMatters = floods.Least / 2
)

// floodCard is a flood in a few words.
type floodCard struct {
	Href, Title, When string
	Trait             string // what most of them have in common
	Sample            string // the beginning of one of these; "" without words
	State             string // what became of them so far
}

// floodCards returns the floods at somebody's sites, the newest first; only those
// that still wait for a rep, unless all are asked for. Waiting are those that do;
// some says whether there is any.
func (s *Service) floodCards(ctx context.Context, own []string, all bool) (cards []floodCard, waiting []floods.Flood, some bool, err error) {
	found, err := s.floods.List(ctx, own)
	if err != nil {
		return nil, nil, false, err
	}
	for _, f := range found {
		v, err := s.floods.Glance(ctx, f)
		if err != nil {
			return nil, nil, false, err
		}
		if v.Open >= floodMatters {
			waiting = append(waiting, f)
		} else if !all {
			continue
		}
		sample, err := s.sampleOf(ctx, v)
		if err != nil {
			return nil, nil, false, err
		}
		cards = append(cards, floodCard{Href: floodPath(v.ID), Title: s.floodTitle(v), When: floodWhen(v), Trait: floodTrait(v), Sample: sample, State: floodState(v)})
	}
	return cards, waiting, len(found) > 0, nil
}

func floodPath(id string) string { return floodsPath + url.PathEscape(id) }

// sampleOf returns the beginning of what the alike ones of a flood say.
func (s *Service) sampleOf(ctx context.Context, v floods.View) (string, error) {
	if v.ExampleID == "" || v.Wordless {
		return "", nil
	}
	i, err := s.store.Incident(ctx, v.ExampleID)
	if err != nil {
		return "", err
	}
	return excerpt(s.firstWords(i)), nil
}

func (s *Service) floodTitle(v floods.View) string {
	return count(v.Incidents, "report", "reports") + " about " + s.directory.Load().name(v.Site) + " at once"
}

// floodWhen says from when to when they were received.
func floodWhen(v floods.View) string {
	from, to := v.First.In(incident.London), v.Last.In(incident.London)
	if clock(from) == clock(to) {
		return "Received on " + clock(from) + "."
	}
	if from.Format(time.DateOnly) == to.Format(time.DateOnly) {
		return fmt.Sprintf("Received on %s, from %s to %s.", day(from), from.Format("3:04pm"), to.Format("3:04pm"))
	}
	return fmt.Sprintf("Received from %s to %s.", clock(from), clock(to))
}

// floodTrait says what most of them have in common.
func floodTrait(v floods.View) string {
	switch {
	case v.Alike < 2:
		return "No two of those looked at say the same."
	case v.Wordless:
		return number(v.Alike) + " of them have no words, and the same was chosen in each."
	case v.AlikeSame == v.Alike:
		return number(v.Alike) + " of them say the same in the very same words, apart from figures."
	case v.AlikeSame > 1:
		return fmt.Sprintf("%s of them say nearly the same, %s in the very same words.", number(v.Alike), number(v.AlikeSame))
	}
	return number(v.Alike) + " of them say nearly the same: at least four words in five."
}

// floodState says what became of them so far.
func floodState(v floods.View) string {
	switch {
	case v.SetAside == 0 && v.Counted == v.Incidents:
		return "All of them are in the figures."
	case v.SetAside == 0:
		return count(v.Counted, "is", "are") + " in the figures; none was set aside."
	case v.Counted == 0:
		return count(v.SetAside, "is", "are") + " set aside; none is in the figures."
	}
	return count(v.SetAside, "is", "are") + " set aside, " + count(v.Counted, "is", "are") + " in the figures."
}

// floodList is the page of all floods.
type floodList struct {
	Cards []floodCard
	Least string
	Days  string
}

// listFloods shows GET /incidents/floods/.
func (s *Service) listFloods(c *fiber.Ctx) error {
	cards, _, _, err := s.floodCards(c.UserContext(), sitesOf(asker(c)), true)
	if err != nil {
		return err
	}
	return s.pages.Render(c, http.StatusOK, "floods", web.Page{Title: "Floods", Section: incidentsPath, Wide: true, Back: web.Link{Href: incidentsPath, Text: "Incidents"},
		Data: floodList{cards, number(floods.Least), number(int(floods.Kept / (24 * time.Hour)))}})
}

// floodPage is one flood as a rep sees it.
type floodPage struct {
	Notice    string
	Path      string
	Card      floodCard
	Facts     []fact
	Until     string // when the newest was received that is shown
	Which     []option
	WhichWhat string // the mistake in it
	Reason    wordsField
	Confirm   string // the mistake in it
	May       bool   // something can be set aside
	UnderWay  string // what is being done, and how far it is
	Changes   []floodChange
	Tabs      []floodTab
	Rows      []incidentRow
	Caption   string
	First     string
	Next      string
}

type floodTab struct {
	Href, Text string
	Selected   bool
}

// floodChange is something that was done to many of them.
type floodChange struct {
	What, When, ISO, Who, Reason string
	ID                           string     // of one that can be taken back
	Back                         wordsField // why it is taken back
}

// floodForm is what was typed into a form that was not accepted.
type floodForm struct {
	which, reason string
	change        string // of the form that takes one back
	errs          web.Errors
}

// showFlood shows GET /incidents/floods/{id}.
func (s *Service) showFlood(c *fiber.Ctx) error { return s.renderFlood(c, http.StatusOK, floodForm{}) }

func (s *Service) renderFlood(c *fiber.Ctx, status int, form floodForm) error {
	ctx, own := c.UserContext(), sitesOf(asker(c))
	q, err := queryOf(c, "The address could not be read. Go back to the list and try again.")
	if err != nil {
		return err
	}
	if err := checkParameters(q, []string{"show", "after"}); err != nil {
		return asPageFault(err)
	}
	v, changes, err := s.floods.Look(ctx, floodID(c), own)
	if err != nil {
		return err
	}
	sample, err := s.sampleOf(ctx, v)
	if err != nil {
		return err
	}
	page := floodPage{Notice: s.takeNotice(c), Path: floodPath(v.ID), Until: v.Last.Format(time.RFC3339Nano),
		Card: floodCard{Title: s.floodTitle(v), When: floodWhen(v), Trait: floodTrait(v), Sample: sample, State: floodState(v)},
		Facts: []fact{{"Site", s.directory.Load().name(v.Site)}, {"Reports", number(v.Incidents)}, {"Alike", number(v.Alike)},
			{"In the figures", number(v.Counted)}, {"Set aside", number(v.SetAside)}},
		Reason: wordsField{ID: "reason", Name: "reason", Label: "Why do you take them to be made up?", Hint: "It stands in the history of each of them. Their reporters do not read it.",
			Value: form.reason, Message: form.errs.For("reason")},
		WhichWhat: form.errs.For("which"), Confirm: form.errs.For("confirm"),
	}
	page.Which = whichOf(v, form.which)
	page.Changes, page.UnderWay = s.floodChanges(changes, form)
	page.May = v.Counted > 0 && page.UnderWay == ""
	unlike := q.Get("show") == "unlike"
	page.Tabs = []floodTab{
		{page.Path, "All " + number(v.Incidents), !unlike},
		{page.Path + "?show=unlike", "Those that are not alike, " + number(v.Incidents-v.Alike), unlike},
	}
	found, err := s.floods.Incidents(ctx, v.Flood, unlike, q.Get("after"), pageSize+1)
	if err != nil {
		return asPageFault(err)
	}
	if q.Get("after") != "" {
		page.First = page.Tabs[one(unlike)].Href
	}
	if len(found) > pageSize {
		found = found[:pageSize]
		next := url.Values{"after": {found[pageSize-1].ID}}
		if unlike {
			next.Set("show", "unlike")
		}
		page.Next = page.Path + "?" + next.Encode()
	}
	sites := s.directory.Load()
	for _, i := range found {
		page.Rows = append(page.Rows, s.row(i, sites))
	}
	page.Caption = page.Tabs[one(unlike)].Text
	return s.pages.Render(c, status, "flood", web.Page{Title: page.Card.Title, Section: incidentsPath, Wide: true, Errors: form.errs,
		Back: web.Link{Href: incidentsPath, Text: "Incidents"}, Data: page})
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// whichOf offers to set aside those that are alike, or all, as far as they are in
// the figures. Nothing is chosen beforehand where all are meant.
func whichOf(v floods.View, selected string) []option {
	var options []option
	if v.AlikeIn > 1 {
		options = append(options, option{ID: "which", Value: floods.WhichAlike, Text: "The " + number(v.AlikeIn) + " that are alike", Selected: selected != floods.WhichAll})
	}
	all := option{ID: "which-all", Value: floods.WhichAll, Text: "All " + number(v.Counted) + ", also those that are not alike", Selected: selected == floods.WhichAll}
	if len(options) == 0 {
		all.ID, all.Text = "which", "All "+number(v.Counted)+" that are in the figures"
		if v.Counted == 1 {
			all.Text = "The one that is in the figures"
		}
	}
	return append(options, all)
}

// floodChanges tells what was done, oldest first, and what is under way.
func (s *Service) floodChanges(changes []*store.JointChange, form floodForm) (told []floodChange, underWay string) {
	for _, ch := range changes {
		t := floodChange{When: clock(ch.At), ISO: iso(ch.At), Who: doer(incident.Change{By: ch.By}), What: incidents(len(ch.Incidents)) + " set aside together"}
		if ch.Of != "" {
			t.What = "Taken back together, as far as they were still set aside"
		}
		if reason, err := s.floods.Reason(ch); err == nil {
			t.Reason = reason
		}
		taken := slices.ContainsFunc(changes, func(o *store.JointChange) bool { return o.Of == ch.ID })
		if ch.Finished() && ch.Of == "" && !taken {
			t.ID = ch.ID
			t.Back = wordsField{ID: "back-" + ch.ID, Name: "reason", Label: "Why are they taken back?"}
			if form.change == ch.ID {
				t.Back.Value, t.Back.Message = form.reason, form.errs.For(t.Back.ID)
			}
		}
		if !ch.Finished() {
			underWay = fmt.Sprintf("%s of %s are done. It goes on by itself, also when you leave this page.", number(ch.Done), number(len(ch.Incidents)))
		}
		told = append(told, t)
	}
	return told, underWay
}

// floodID returns the flood that the path names, with what was escaped in it.
func floodID(c *fiber.Ctx) string {
	id, err := url.PathUnescape(c.Params("id"))
	if err != nil {
		return ""
	}
	return id
}

// setFloodAside answers the form that sets many aside.
func (s *Service) setFloodAside(c *fiber.Ctx) error {
	form := floodForm{which: formValue(c, "which"), reason: formValue(c, "reason")}
	if formValue(c, "confirm") != "yes" {
		form.errs = web.Errors{{Name: "confirm", Message: "Say that you have looked through them."}}
		if form.reason == "" {
			form.errs = append(form.errs, fault.Field{Name: "reason", Message: "The reason is missing. Write it in a few words."})
		}
		return s.renderFlood(c, http.StatusUnprocessableEntity, form)
	}
	until, _ := time.Parse(time.RFC3339Nano, formValue(c, "until"))
	who := asker(c)
	change, err := s.floods.SetAside(c.UserContext(), floodID(c), sitesOf(who), actorOf(who), floods.Ask{Which: form.which, Until: until, Reason: form.reason})
	return s.afterFlood(c, change, err, form, "flood-aside")
}

// takeFloodBack answers the forms that take back what was set aside together.
func (s *Service) takeFloodBack(c *fiber.Ctx) error {
	form := floodForm{change: formValue(c, "change"), reason: formValue(c, "reason")}
	who := asker(c)
	change, err := s.floods.TakeBack(c.UserContext(), floodID(c), sitesOf(who), actorOf(who), form.change, form.reason)
	return s.afterFlood(c, change, err, form, "flood-back")
}

// afterFlood waits a little for what was begun, and goes back to the flood.
func (s *Service) afterFlood(c *fiber.Ctx, change *store.JointChange, err error, form floodForm, notice string) error {
	switch f := fault.As(err); {
	case err == nil:
	case f.Kind == fault.Invalid:
		for _, field := range f.Fields {
			if form.change != "" && field.Name == "reason" {
				field.Name = "back-" + form.change
			}
			form.errs = append(form.errs, field)
		}
		return s.renderFlood(c, http.StatusUnprocessableEntity, form)
	case f.Kind == fault.Conflict:
		form.errs = web.Errors{{Message: f.Message}}
		return s.renderFlood(c, http.StatusConflict, form)
	default:
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), floodWait)
	defer cancel()
	if !s.floods.Await(ctx, change).Finished() {
		notice = "flood-on"
	}
	s.leaveNotice(c, notice)
	return c.Redirect(floodPath(change.Flood), http.StatusSeeOther)
}

// floodItem is a flood in the API.
type floodItem struct {
	ID        string    `json:"id"`
	Site      string    `json:"site"`
	SiteName  string    `json:"site_name,omitempty"`
	From      time.Time `json:"from"`  // when the first was received
	Until     time.Time `json:"until"` // when the last was
	Incidents int       `json:"incidents"`
	Alike     int       `json:"alike"`
	AlikeSame int       `json:"alike_same"`
	Counted   int       `json:"counted"`
	Open      int       `json:"open"`
	SetAside  int       `json:"set_aside"`
}

// floodDetail is one flood with what it says, what was done to it, and a page of
// its incidents in the order in which they were received.
type floodDetail struct {
	floodItem
	Sample  string            `json:"sample"` // of those that are alike
	Changes []floodChangeItem `json:"changes"`
	Page    []incidentItem    `json:"page"`
	Next    *string           `json:"next"`
}

type floodChangeItem struct {
	ID        string          `json:"id"`
	Action    incident.Action `json:"action"`
	Of        string          `json:"of,omitempty"`
	By        byItem          `json:"by"`
	At        time.Time       `json:"at"`
	Reason    string          `json:"reason"`
	Incidents int             `json:"incidents"`
	Done      int             `json:"done"`
}

func (s *Service) floodItemOf(v floods.View) floodItem {
	return floodItem{v.ID, v.Site, s.directory.Load().byID[v.Site].Name, v.First, v.Last, v.Incidents, v.Alike, v.AlikeSame, v.Counted, v.Open, v.SetAside}
}

func (s *Service) floodChangeItemOf(c *store.JointChange) (floodChangeItem, error) {
	reason, err := s.floods.Reason(c)
	return floodChangeItem{c.ID, c.Action, c.Of, byItem{c.By.Role, c.By.Name}, c.At, reason, len(c.Incidents), c.Done}, err
}

// listFloodsAPI answers GET /api/v1/incidents/floods.
func (s *Service) listFloodsAPI(c *fiber.Ctx) error {
	found, err := s.floods.List(c.UserContext(), sitesOf(asker(c)))
	if err != nil {
		return err
	}
	items := make([]floodItem, len(found))
	for n, f := range found {
		v, err := s.floods.Glance(c.UserContext(), f)
		if err != nil {
			return err
		}
		items[n] = s.floodItemOf(v)
	}
	return c.JSON(struct {
		Least  int         `json:"least"`
		Floods []floodItem `json:"floods"`
	}{floods.Least, items})
}

// getFloodAPI answers GET /api/v1/incidents/floods/{id}.
func (s *Service) getFloodAPI(c *fiber.Ctx) error {
	ctx := c.UserContext()
	q, err := queryOf(c, unreadableQuery)
	if err != nil {
		return err
	}
	if err := checkParameters(q, []string{"unlike", "after"}); err != nil {
		return err
	}
	v, changes, err := s.floods.Look(ctx, floodID(c), sitesOf(asker(c)))
	if err != nil {
		return err
	}
	d := floodDetail{floodItem: s.floodItemOf(v), Changes: []floodChangeItem{}, Page: []incidentItem{}}
	if d.Sample, err = s.sampleOf(ctx, v); err != nil {
		return err
	}
	for _, ch := range changes {
		item, err := s.floodChangeItemOf(ch)
		if err != nil {
			return err
		}
		d.Changes = append(d.Changes, item)
	}
	found, err := s.floods.Incidents(ctx, v.Flood, q.Get("unlike") == "true", q.Get("after"), apiLimit+1)
	if err != nil {
		return err
	}
	if len(found) > apiLimit {
		found = found[:apiLimit]
		d.Next = &found[apiLimit-1].ID
	}
	for _, i := range found {
		d.Page = append(d.Page, itemOf(i, s.directory.Load()))
	}
	return c.JSON(d)
}

// setFloodAsideAPI answers POST /api/v1/incidents/floods/{id}/set-aside with what
// was begun: 200 when it has ended, 202 while it goes on.
func (s *Service) setFloodAsideAPI(c *fiber.Ctx) error {
	var b struct {
		Which  string    `json:"which"`
		Until  time.Time `json:"until"`
		Reason string    `json:"reason"`
	}
	if err := decode(c, &b); err != nil {
		return err
	}
	who := asker(c)
	change, err := s.floods.SetAside(c.UserContext(), floodID(c), sitesOf(who), actorOf(who), floods.Ask{Which: b.Which, Until: b.Until, Reason: b.Reason})
	return s.sendChange(c, change, err)
}

// takeFloodBackAPI answers POST /api/v1/incidents/floods/{id}/take-back likewise.
func (s *Service) takeFloodBackAPI(c *fiber.Ctx) error {
	var b struct {
		Change string `json:"change"`
		Reason string `json:"reason"`
	}
	if err := decode(c, &b); err != nil {
		return err
	}
	who := asker(c)
	change, err := s.floods.TakeBack(c.UserContext(), floodID(c), sitesOf(who), actorOf(who), b.Change, b.Reason)
	return s.sendChange(c, change, err)
}

func (s *Service) sendChange(c *fiber.Ctx, change *store.JointChange, err error) error {
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), floodWait)
	defer cancel()
	change = s.floods.Await(ctx, change)
	item, err := s.floodChangeItemOf(change)
	if err != nil {
		return err
	}
	if !change.Finished() {
		c.Status(http.StatusAccepted)
	}
	return c.JSON(item)
}
