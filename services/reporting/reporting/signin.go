package reporting

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/people"
)

const signInPath = "/sign-in/"

type signInPage struct{ Notice, Name, Next string }

// AuthenticateSession implements web.Authenticator.
func (s *Service) AuthenticateSession(ctx context.Context, cookie string) (web.Principal, error) {
	who, err := s.people.AuthenticateSession(ctx, cookie)
	return who, explain(err)
}

// AuthenticateToken implements web.Authenticator.
func (s *Service) AuthenticateToken(ctx context.Context, token string) (web.Principal, error) {
	who, err := s.people.AuthenticateToken(ctx, token)
	return who, explain(err)
}

// showSignIn shows GET /sign-in/, or goes on when somebody is signed in already.
func (s *Service) showSignIn(c *fiber.Ctx) error {
	next := localPath(c.Query("next"))
	if who, ok := web.PrincipalOf(c); ok {
		return c.Redirect(home(who, next), http.StatusSeeOther)
	}
	return s.renderSignIn(c, http.StatusOK, signInPage{Notice: s.takeNotice(c), Next: next}, nil)
}

// signIn answers POST /sign-in/.
func (s *Service) signIn(c *fiber.Ctx) error {
	page := signInPage{Name: strings.TrimSpace(formValue(c, "name")), Next: localPath(formValue(c, "next"))}
	password := formValue(c, "password")
	var errs web.Errors
	if page.Name == "" {
		errs = append(errs, fault.Field{Name: "name", Message: "Enter your name."})
	}
	if password == "" {
		errs = append(errs, fault.Field{Name: "password", Message: "Enter your password."})
	}
	if len(errs) > 0 {
		return s.renderSignIn(c, http.StatusUnprocessableEntity, page, errs)
	}
	cookie, who, err := s.people.SignIn(c.UserContext(), page.Name, password, web.ClientNetwork(c))
	switch f := fault.As(err); {
	case err == nil:
		if err := s.endSession(c); err != nil { // of whoever used this browser before
			return err
		}
		web.SetCookie(c, "session", cookie, people.SessionLasts, s.secure)
		return c.Redirect(home(who, page.Next), http.StatusSeeOther)
	case f.Kind == fault.Unauthenticated, f.Kind == fault.TooMany:
		web.SetRetryAfter(c, f)
		return s.renderSignIn(c, web.StatusOf(err), page, web.Errors{{Name: "password", Message: f.Message}})
	default:
		return err
	}
}

func (s *Service) renderSignIn(c *fiber.Ctx, status int, page signInPage, errs web.Errors) error {
	return s.pages.Render(c, status, "sign-in", web.Page{Title: "Sign in", Section: signInPath, Errors: errs, Data: page})
}

// signOut answers POST /sign-out: the session ends here and in every copy of
// the cookie.
func (s *Service) signOut(c *fiber.Ctx) error {
	if err := s.endSession(c); err != nil {
		return err
	}
	web.SetCookie(c, "session", "", 0, s.secure)
	s.leaveNotice(c, "signed-out")
	return c.Redirect(signInPath, http.StatusSeeOther)
}

// endSession ends the session that a browser has, if any, and takes the receipt of
// what was filed in it.
func (s *Service) endSession(c *fiber.Ctx) error {
	cookie := c.Cookies(web.CookieName("session", s.secure))
	if cookie == "" {
		return nil
	}
	web.SetCookie(c, web.ReceiptCookie, "", 0, s.secure)
	return s.people.SignOut(c.UserContext(), cookie)
}

// localPath returns a path on this site to go to after signing in, or "". A
// browser takes "//host" and "/\host" for another site, and drops tabs and line
// ends before it looks. What is returned is what was looked at: writing the
// address anew could turn "/%2f" into "//".
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") ||
		strings.ContainsFunc(next, func(r rune) bool { return r == '\\' || r <= ' ' || r >= 0x7f }) {
		return ""
	}
	return next
}

// home returns where somebody goes after signing in.
func home(who web.Principal, next string) string {
	if next != "" && !strings.HasPrefix(next, signInPath) {
		return next
	}
	switch who.Role {
	case web.RoleRep:
		return incidentsPath
	case web.RoleManager:
		return figuresPath
	}
	return sitesPath
}
