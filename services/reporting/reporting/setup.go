package reporting

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/people"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// setupPage makes the first administrator.
type setupPage struct {
	Token, Name  string
	PasswordHint string
	Closed       string // why it cannot be used
}

// showSetup shows GET /setup?token=…: the link that the program prints while
// there is no administrator.
func (s *Service) showSetup(c *fiber.Ctx) error {
	page := setupPage{Token: c.Query("token"), PasswordHint: passwordHint}
	err := s.people.CheckSetupToken(c.UserContext(), page.Token)
	return s.renderSetup(c, http.StatusOK, page, err)
}

// setUp answers POST /setup.
func (s *Service) setUp(c *fiber.Ctx) error {
	page := setupPage{Token: formValue(c, "token"), Name: strings.TrimSpace(formValue(c, "name")), PasswordHint: passwordHint}
	if err := s.people.CheckSetupToken(c.UserContext(), page.Token); err != nil {
		return s.renderSetup(c, http.StatusOK, page, err)
	}
	password := formValue(c, "password")
	if password != formValue(c, "again") {
		bad, err := s.people.Faults(c.UserContext(), people.NewAccount{Name: page.Name, Password: password, Role: store.RoleAdministrator})
		if err != nil {
			return err
		}
		bad = append(bad, fault.Field{Name: "again", Message: "The two passwords are not the same."})
		return s.renderSetup(c, http.StatusUnprocessableEntity, page, fault.InvalidFields(bad))
	}
	if err := s.people.SetUp(c.UserContext(), page.Token, page.Name, password); err != nil {
		return s.renderSetup(c, http.StatusOK, page, err)
	}
	cookie, _, err := s.people.SignIn(c.UserContext(), page.Name, password, web.ClientNetwork(c))
	if err != nil {
		return err
	}
	web.SetCookie(c, "session", cookie, people.SessionLasts, s.secure)
	s.leaveNotice(c, "set-up")
	return c.Redirect(sitesPath, http.StatusSeeOther)
}

// renderSetup shows the form; with fault.Invalid what to mend, with another
// fault why the link cannot be used.
func (s *Service) renderSetup(c *fiber.Ctx, status int, page setupPage, err error) error {
	var errs web.Errors
	if err != nil {
		f := fault.As(err)
		switch f.Kind {
		case fault.Invalid:
			errs = f.Fields
		case fault.Internal, fault.Unavailable:
			return err
		default:
			page.Token, page.Closed = "", f.Message
		}
		status = web.StatusOf(err)
	}
	return s.pages.Render(c, status, "setup", web.Page{Title: "Set up this service", Errors: errs, Data: page})
}
