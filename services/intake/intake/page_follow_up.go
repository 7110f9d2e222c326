package intake

import (
	"net/http"
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
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
		Title: "Follow up a report", Section: "/follow-up/", Errors: errs, Data: followUpPage{typed, errs.For("receipt")},
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
		f := fault.As(err)
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
	return s.pages.Render(c, http.StatusOK, "standing", web.Page{
		Title: "Where your report stands", Section: "/follow-up/", Back: web.Link{Href: "/follow-up/", Text: "Another code"}, Data: newStandingPage(st),
	})
}

func newStandingPage(st standing) standingPage {
	p := standingPage{Text: statusText(st.Status), ReceivedAt: inWords(st.ReceivedAt)}
	for i := len(st.Steps) - 1; i >= 0; i-- {
		step := st.Steps[i]
		p.Steps = append(p.Steps, standingStep{statusText(step.Status), inWords(step.At), step.At.Format(time.RFC3339)})
	}
	return p
}

// inWords returns a moment as people in the United Kingdom write it.
func inWords(t time.Time) string {
	return t.In(incident.London).Format("Monday 2 January 2006, 3:04pm")
}

// showWords returns the handler of a page that is words only.
func (s *Service) showWords(name, title string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		return s.pages.Render(c, http.StatusOK, name, web.Page{Title: title})
	}
}
