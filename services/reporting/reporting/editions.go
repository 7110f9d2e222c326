package reporting

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/editions"
	"github.com/onrecord/onrecord/services/reporting/internal/figures"
)

const editionsPath = "/editions/"

// DefaultPublishDay is the day on which a month is published where nobody says
// otherwise.
const DefaultPublishDay = editions.DefaultDay

// CheckPublishDay returns an error for a day that not every month has.
func CheckPublishDay(day int) error {
	if day < 0 || day > editions.MaxDay {
		return fmt.Errorf("publish-day: want 1 to %d, or 0 to publish by hand only, got %d", editions.MaxDay, day)
	}
	return nil
}

// errNotYours says who publishes: whoever sees all that is published.
var errNotYours = fault.New(fault.Forbidden, "every_site_only", "Only a safety rep of every site can publish a month, because it holds the figures of all sites.")

// publisher returns who publishes, or errNotYours.
func publisher(c *fiber.Ctx) (editions.Publisher, error) {
	who := asker(c)
	if sitesOf(who) != nil {
		return editions.Publisher{}, errNotYours
	}
	return editions.Publisher{ID: who.ID, Name: who.Name}, nil
}

// monthOf reads the month in a path.
func monthOf(c *fiber.Ctx) (incident.Month, error) {
	m, err := figures.ParseMonth("month", c.Params("month"))
	if err == nil && m.IsZero() {
		err = fault.New(fault.NotFound, "not_found", "There is no such month.")
	}
	return m, err
}

// editionsPage lists what is published.
type editionsPage struct {
	Notice, Next string
	Rows         []editionRow
}

type editionRow struct {
	Month, Href, Label, Day, ISO, Total, By string
	Hidden                                  bool   // Total is
	Why                                     string // it was published again
	Old                                     bool   // a newer one took its place
}

// listEditions shows GET /editions/.
func (s *Service) listEditions(c *fiber.Ctx) error {
	all, err := s.editions.List(c.UserContext())
	if err != nil {
		return err
	}
	next, err := s.figures.Next(c.UserContext())
	if err != nil {
		return err
	}
	rep := asker(c).Role == web.RoleRep
	page := editionsPage{Notice: s.takeNotice(c), Next: next}
	for _, e := range all {
		row := editionRow{Month: e.Month.Name(), Href: editionHref(e.Month, e.Number), Label: fmt.Sprintf("edition %d", e.Number),
			Day: day(e.PublishedAt), ISO: iso(e.PublishedAt), Total: number(e.Figures.Total.N), Hidden: e.Figures.Total.Hidden, Why: reasonOf(e.Edition), Old: !e.Newest}
		if e.Figures.Total.Hidden {
			row.Total = "hidden"
		}
		if rep {
			row.By = "by " + cmp.Or(e.By, "itself")
		}
		page.Rows = append(page.Rows, row)
	}
	return s.pages.Render(c, http.StatusOK, "editions", web.Page{Title: "Published months", Section: figuresPath, Wide: true,
		Back: web.Link{Href: figuresPath, Text: "Figures"}, Data: page})
}

func editionHref(m incident.Month, number int) string {
	return figuresPath + "?month=" + m.String() + "&edition=" + strconv.Itoa(number)
}

// reasonOf says why a month was published again; "" of a first edition.
func reasonOf(e figures.Edition) string {
	if e.Reason == "" {
		return ""
	}
	return capital(figures.ReasonLabels[e.Reason]) + " (" + string(e.Reason) + "): " + e.Why
}

// publishPage shows how a month will read, and asks whether to publish it so.
type publishPage struct {
	figuresPage
	Action string
	Number int
	Button string
	Refuse string // why it cannot be published now
	Again  bool   // it was published before, so a reason is asked for
	Reason selectField
	Why    wordsField
}

// showPublish shows GET /editions/{month}/publish.
func (s *Service) showPublish(c *fiber.Ctx) error {
	m, err := monthOf(c)
	if err != nil {
		return asPageFault(err)
	}
	if _, err := publisher(c); err != nil {
		return err
	}
	return s.renderPublish(c, http.StatusOK, m, editions.Request{}, nil)
}

func (s *Service) renderPublish(c *fiber.Ctx, status int, m incident.Month, asked editions.Request, problems web.Errors) error {
	e, err := s.editions.Prepare(c.UserContext(), m)
	page := publishPage{Action: editionsPath + m.String() + "/publish", Number: e.Number, Again: e.Number > 1, Button: fmt.Sprintf("Publish edition %d", e.Number)}
	switch f := fault.As(err); {
	case err == nil:
		page.figuresPage = s.newFiguresPage(s.figures.PreviewPage(e), asker(c))
	case f.Kind == fault.Internal:
		return err
	default:
		page.Refuse = f.Message
	}
	message := func(field string) string {
		for _, p := range problems {
			if p.Name == field {
				return p.Message
			}
		}
		return ""
	}
	page.Reason = selectField{ID: "reason", Name: "reason", Label: "Why is it published again?", Message: message("reason"),
		Options: []option{{Text: "Choose", Selected: asked.Reason == ""}}}
	for _, r := range figures.Reasons {
		page.Reason.Options = append(page.Reason.Options, option{Value: string(r), Text: string(r) + ": " + figures.ReasonLabels[r], Selected: asked.Reason == r})
	}
	page.Why = wordsField{ID: "why", Name: "why", Label: "In a sentence", Value: asked.Why, Message: message("why"),
		Hint: "Everybody who may see the figures reads it, and it cannot be changed later. Name nobody."}
	return s.pages.Render(c, status, "publish", web.Page{Title: "Publish " + m.Name(), Section: figuresPath, Wide: true, Errors: problems,
		Back: web.Link{Href: figuresPath + "?month=" + m.String(), Text: "Figures for " + m.Name()}, Data: page})
}

// publish answers POST /editions/{month}/publish.
func (s *Service) publish(c *fiber.Ctx) error {
	m, err := monthOf(c)
	if err != nil {
		return asPageFault(err)
	}
	by, err := publisher(c)
	if err != nil {
		return err
	}
	edition, err := figures.ParseEdition(formValue(c, "edition"))
	if err != nil {
		return asPageFault(err)
	}
	r := editions.Request{Month: m, Number: edition, Reason: figures.Reason(formValue(c, "reason")), Why: formValue(c, "why"), By: by}
	switch e, err := s.editions.Publish(c.UserContext(), r); {
	case err == nil:
		s.leaveNotice(c, "published")
		return c.Redirect(editionHref(e.Month, e.Number), http.StatusSeeOther)
	case fault.KindOf(err) == fault.Invalid:
		return s.renderPublish(c, http.StatusUnprocessableEntity, m, r, fault.As(err).Fields)
	default:
		return err
	}
}

// editionItem is an edition in the list of GET /api/v1/editions.
type editionItem struct {
	Month incident.Month `json:"month"`
	figures.EditionOf
	Total      figures.Number `json:"total"`
	Suppressed bool           `json:"suppressed,omitempty"`
	Newest     bool           `json:"newest"`
}

// listEditionsAPI answers GET /api/v1/editions.
func (s *Service) listEditionsAPI(c *fiber.Ctx) error {
	q, err := queryOf(c, unreadableQuery)
	if err != nil {
		return err
	}
	if err := checkParameters(q, nil); err != nil {
		return err
	}
	all, err := s.editions.List(c.UserContext())
	if err != nil {
		return err
	}
	items := make([]editionItem, len(all))
	for n, e := range all {
		items[n] = editionItem{e.Month, e.Label(), e.Figures.Total, e.Figures.Total.Hidden, e.Newest}
	}
	return c.JSON(struct {
		Editions []editionItem `json:"editions"`
	}{items})
}

// getEditionAPI answers GET /api/v1/editions/{month}/{edition} with the bytes
// that were frozen.
func (s *Service) getEditionAPI(c *fiber.Ctx) error {
	m, err := monthOf(c)
	n, errNumber := figures.ParseEdition(c.Params("edition"))
	if err := errors.Join(err, errNumber); err != nil {
		return fault.New(fault.NotFound, "not_found", "There is no such edition.").Because(err)
	}
	public, err := s.editions.Public(c.UserContext(), m, n)
	if err != nil {
		return err
	}
	return sendFrozen(c, http.StatusOK, public)
}

func sendFrozen(c *fiber.Ctx, status int, public []byte) error {
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	return c.Status(status).Send(public)
}

type publishBody struct {
	Edition int    `json:"edition"`
	Reason  string `json:"reason"`
	Why     string `json:"why"`
}

// publishAPI answers POST /api/v1/editions/{month}: 201 with the edition.
func (s *Service) publishAPI(c *fiber.Ctx) error {
	m, err := monthOf(c)
	if err != nil {
		return fault.New(fault.NotFound, "not_found", "There is no such month.").Because(err)
	}
	by, err := publisher(c)
	if err != nil {
		return err
	}
	var body publishBody
	if err := decode(c, &body); err != nil {
		return err
	}
	e, err := s.editions.Publish(c.UserContext(), editions.Request{Month: m, Number: body.Edition, Reason: figures.Reason(body.Reason), Why: body.Why, By: by})
	if err != nil {
		return err
	}
	public, err := s.editions.Public(c.UserContext(), e.Month, e.Number)
	if err != nil {
		return err
	}
	return sendFrozen(c, http.StatusCreated, public)
}
