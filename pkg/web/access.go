package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"github.com/onrecord/onrecord/pkg/fault"
)

// Role is what a signed-in person or a token may do.
type Role string

// The roles, and Anyone for routes that need no sign-in.
const (
	Anyone            Role = "anyone"
	RoleAdministrator Role = "administrator"
	RoleRep           Role = "rep"
	RoleManager       Role = "manager"
)

// Principal is who asks. The zero Principal is somebody not signed in.
type Principal struct {
	ID    string
	Name  string
	Role  Role
	Sites []string // a rep's sites; empty: every site
	Token bool     // an API token rather than a browser session
}

// SignedIn reports whether the principal is somebody.
func (p Principal) SignedIn() bool { return p.Role != "" }

// Authenticator says who holds a session cookie or a bearer token. It returns
// the zero Principal for neither, or for one that has ended; an error only
// when it cannot tell, as when the store is down.
type Authenticator interface {
	AuthenticateSession(ctx context.Context, cookie string) (Principal, error)
	AuthenticateToken(ctx context.Context, token string) (Principal, error)
}

// Route is one entry of a service's route table. The tables together are the
// authorisation review: a route without Who is refused at start.
type Route struct {
	Method  string
	Path    string
	Who     []Role        // who may call it
	Handler fiber.Handler // only called for those
	MaxBody int           // bytes of a body in parts, as files come; of any other, and where it is 0: MaxJSONBody
	Always  bool          // also answered while too much is asked
}

// WithSlash returns the route that sends whoever asks for a page without its
// last slash on to it, with what was asked of it.
func WithSlash(page string) Route {
	return Route{Method: http.MethodGet, Path: strings.TrimSuffix(page, "/"), Who: []Role{Anyone}, Handler: func(c *fiber.Ctx) error {
		if query := c.Context().QueryArgs().QueryString(); len(query) > 0 {
			return c.Redirect(page+"?"+string(query), http.StatusMovedPermanently)
		}
		return c.Redirect(page, http.StatusMovedPermanently)
	}}
}

// Mount adds routes; one for GET answers HEAD too, to the same people. It panics for a route that does not say who may call it:
// access is denied by default, and forgetting is a programming error.
func (a *App) Mount(routes []Route) {
	for _, r := range routes {
		if len(r.Who) == 0 {
			panic(fmt.Sprintf("route %s %s does not say who may call it", r.Method, r.Path))
		}
		handler := a.guard(r)
		a.fiber.Add(r.Method, r.Path, handler)
		if r.Method == http.MethodGet {
			a.fiber.Add(http.MethodHead, r.Path, handler)
		}
		a.routes = append(a.routes, r)
		if r.MaxBody > 0 {
			a.limits.allow(r.Path, r.MaxBody)
		}
	}
}

// Routes returns what was mounted, for tests that walk every route.
func (a *App) Routes() []Route { return slices.Clone(a.routes) }

// guard is where every request is authorised.
func (a *App) guard(r Route) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if !r.Always {
			leave, err := a.limits.enter()
			if err != nil {
				return err
			}
			defer leave()
		}
		ctx, cancel := context.WithTimeout(c.UserContext(), handlerTimeout)
		defer cancel()
		c.SetUserContext(ctx)
		limit := MaxJSONBody
		if inParts(&c.Request().Header) {
			limit = max(limit, r.MaxBody)
		}
		if len(c.Request().Body()) > limit {
			return ErrTooLarge
		}
		if encoded(c) {
			return errEncoded
		}
		who, err := a.authenticate(ctx, c)
		if err != nil {
			return err
		}
		c.Locals(principalKey{}, who)
		if err := authorise(c, r, who); err != nil {
			if fault.KindOf(err) == fault.Unauthenticated && isSafe(c.Method()) && wantsHTML(c) {
				return c.Redirect(signInFirst(c.OriginalURL()), http.StatusSeeOther)
			}
			return err
		}
		return r.Handler(c)
	}
}

// inParts reports whether a request's body has parts. Only photos and files are
// large; words are not, and are shown again in many times their size.
func inParts(h *fasthttp.RequestHeader) bool {
	return bytes.HasPrefix(bytes.ToLower(h.ContentType()), []byte(fiber.MIMEMultipartForm))
}

var errEncoded = fault.New(fault.UnsupportedMedia, "unsupported_media", "Send the body as it is, not compressed.")

// encoded reports whether a request's body is said to be compressed. Unpacked it
// could be a thousand times what its limit allows, and Fiber unpacks it for
// whoever asks.
func encoded(c *fiber.Ctx) bool {
	for _, encoding := range c.Request().Header.PeekAll(fiber.HeaderContentEncoding) {
		if len(encoding) > 0 && !strings.EqualFold(string(encoding), "identity") {
			return true
		}
	}
	return false
}

func authorise(c *fiber.Ctx, r Route, who Principal) error {
	if !who.Token && !isSafe(c.Method()) && !sameOrigin(c) {
		return fault.New(fault.Forbidden, "cross_site", "That request came from another website. Open the page here and try again.")
	}
	switch {
	case slices.Contains(r.Who, Anyone), slices.Contains(r.Who, who.Role):
		return nil
	case !who.SignedIn():
		return fault.New(fault.Unauthenticated, "unauthenticated", "Sign in, or send an API token as “Authorization: Bearer …”.")
	}
	return fault.New(fault.Forbidden, "forbidden", "Your account may not open this.")
}

func (a *App) authenticate(ctx context.Context, c *fiber.Ctx) (Principal, error) {
	if a.authn == nil {
		return Principal{}, nil
	}
	if token, ok := strings.CutPrefix(c.Get(fiber.HeaderAuthorization), "Bearer "); ok {
		who, err := a.authn.AuthenticateToken(ctx, token)
		if err == nil && !who.SignedIn() {
			err = fault.New(fault.Unauthenticated, "bad_token", "That API token is not valid. It may have been revoked.")
		}
		return who, err
	}
	if cookie := c.Cookies(CookieName("session", a.secure)); cookie != "" {
		return a.authn.AuthenticateSession(ctx, cookie)
	}
	return Principal{}, nil
}

// recognise finds out who asks for a page that no route answers, so that it has
// their links. Nothing is refused by it, and when it cannot be done it is not.
func (a *App) recognise(c *fiber.Ctx) {
	if _, asked := c.Locals(principalKey{}).(Principal); asked {
		return
	}
	leave, err := a.limits.enter()
	if err != nil {
		return
	}
	defer leave()
	ctx, cancel := context.WithTimeout(c.UserContext(), handlerTimeout)
	defer cancel()
	if who, err := a.authenticate(ctx, c); err == nil {
		c.Locals(principalKey{}, who)
	}
}

// signInFirst returns where somebody signs in who asked for an address, to come to
// it afterwards; unless it is so long that a proxy refuses the answer.
func signInFirst(asked string) string {
	const page, most = "/sign-in/", 2 << 10
	if next := url.QueryEscape(asked); len(next) <= most {
		return page + "?next=" + next
	}
	return page
}

type principalKey struct{}

// PrincipalOf returns who asks, and whether they are signed in.
func PrincipalOf(c *fiber.Ctx) (Principal, bool) {
	p, _ := c.Locals(principalKey{}).(Principal)
	return p, p.SignedIn()
}

// CookieName returns the name under which a cookie is sent. Browsers accept the
// __Host- prefix only over TLS.
func CookieName(name string, secure bool) string {
	if secure {
		return "__Host-onrecord-" + name
	}
	return "onrecord-" + name
}

// ReceiptCookie is the name of the cookie with the receipt of the report that was
// filed last. It goes with the session it was filed in: whoever uses the phone
// next must not be shown it.
const ReceiptCookie = "receipt"

// SetCookie gives the browser a cookie that scripts cannot read and other
// sites cannot send. An empty value or no time removes it.
func SetCookie(c *fiber.Ctx, name, value string, lasts time.Duration, secure bool) {
	cookie := &fiber.Cookie{Name: CookieName(name, secure), Value: value, Path: "/", MaxAge: int(lasts.Seconds()),
		Secure: secure, HTTPOnly: true, SameSite: fiber.CookieSameSiteLaxMode}
	if value == "" || lasts <= 0 {
		cookie.MaxAge, cookie.Expires = -1, time.Unix(1, 0)
	}
	c.Cookie(cookie)
}

func isSafe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

func isAPI(path string) bool { return strings.HasPrefix(path, "/api/") }

// sameOrigin refuses requests that another site makes in a visitor's browser.
// There is no token that could go stale in a page kept on a phone. Source: the
// rule of net/http.CrossOriginProtection.
func sameOrigin(c *fiber.Ctx) bool {
	switch c.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
		origin := c.Get(fiber.HeaderOrigin)
		if origin == "" {
			return true // not a browser
		}
		u, err := url.Parse(origin)
		return err == nil && u.Host == string(c.Request().Host())
	}
	return false
}
