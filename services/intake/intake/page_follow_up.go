package intake

import (
	"net/http"
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/words"
)

// followUpPage asks for the code.
type followUpPage struct{ Receipt, Message string }

// standingPage shows where a report stands.
type standingPage struct {
	Text       string
	ReceivedAt string
	Steps      []standingStep // the newest first
}

type standingStep struct{ Text, At, ISO string }

// showFollowUp is GET /follow-up/.
func (s *Service) showFollowUp(c *fiber.Ctx) error {
	return s.renderFollowUp(c, http.StatusOK, "", nil)
}

func (s *Service) renderFollowUp(c *fiber.Ctx, status int, typed string, errs web.Errors) error {
	return s.pages.Render(c, status, "follow_up", web.Page{
		Title: web.Language(c).Say("Follow up a report"), Section: "/follow-up/", Errors: errs, Data: followUpPage{typed, errs.For("receipt")},
	})
}

// followUpForm is POST /follow-up/. The answer is the page itself: an address
// to go to would have to carry the receipt.
func (s *Service) followUpForm(c *fiber.Ctx) error {
	if kind, _ := mediaType(c); kind != fiber.MIMEApplicationForm {
		return fault.New(fault.UnsupportedMedia, "unsupported_media", "Send the form from its own page.")
	}
	values, err := url.ParseQuery(string(c.Request().Body()))
	if err != nil {
		return fault.New(fault.Malformed, "malformed", "The form could not be read. Go back and send it again.").Because(err)
	}
	typed := values.Get("receipt")
	st, err := s.lookUp(c.UserContext(), web.ClientNetwork(c), typed)
	if err != nil {
		f := web.Language(c).Fault(err)
		switch f.Kind {
		case fault.Invalid, fault.NotFound, fault.TooMany, fault.Unavailable:
			message := f.Message
			if f.Kind == fault.Invalid {
				message = f.Fields[0].Message
			}
			web.SetRetryAfter(c, f)
			return s.renderFollowUp(c, web.StatusOf(err), typed, web.Errors{{Name: "receipt", Message: message}})
		}
		return err
	}
	l := web.Language(c)
	return s.pages.Render(c, http.StatusOK, "standing", web.Page{
		Title: l.Say("Where your report stands"), Section: "/follow-up/", Back: web.Link{Href: "/follow-up/", Text: l.Say("Another code")}, Data: newStandingPage(l, st),
	})
}

func newStandingPage(l words.Language, st standing) standingPage {
	p := standingPage{Text: l.Say(string(statusText(st.Status))), ReceivedAt: inWords(l, st.ReceivedAt)}
	for i := len(st.Steps) - 1; i >= 0; i-- {
		step := st.Steps[i]
		p.Steps = append(p.Steps, standingStep{l.Say(string(statusText(step.Status))), inWords(l, step.At), step.At.Format(time.RFC3339)})
	}
	return p
}

// inWords returns a moment as people in the United Kingdom write it.
func inWords(l words.Language, t time.Time) string { return l.Moment(t.In(incident.London)) }

// showWords returns the handler of a page that is words only.
func (s *Service) showWords(name string, title fault.Text) fiber.Handler {
	return func(c *fiber.Ctx) error {
		return s.pages.Render(c, http.StatusOK, name, web.Page{Title: web.Language(c).Say(string(title))})
	}
}
