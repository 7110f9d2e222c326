package web

import (
	"cmp"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
)

// Errors are the fields to mend, in the order of the page.
type Errors []fault.Field

// For returns the first message for a field, or "".
func (e Errors) For(field string) string {
	for _, f := range e {
		if f.Name == field {
			return f.Message
		}
	}
	return ""
}

// statuses is the only place where kinds of fault meet HTTP.
var statuses = map[fault.Kind]int{
	fault.Internal:             http.StatusInternalServerError,
	fault.Malformed:            http.StatusBadRequest,
	fault.Unauthenticated:      http.StatusUnauthorized,
	fault.Forbidden:            http.StatusForbidden,
	fault.NotFound:             http.StatusNotFound,
	fault.Conflict:             http.StatusConflict,
	fault.Stale:                http.StatusPreconditionFailed,
	fault.TooLarge:             http.StatusRequestEntityTooLarge,
	fault.UnsupportedMedia:     http.StatusUnsupportedMediaType,
	fault.Invalid:              http.StatusUnprocessableEntity,
	fault.PreconditionRequired: http.StatusPreconditionRequired,
	fault.TooMany:              http.StatusTooManyRequests,
	fault.Unavailable:          http.StatusServiceUnavailable,
}

// StatusOf returns the HTTP status of an error.
func StatusOf(err error) int { return statuses[fault.KindOf(err)] }

// Problem is an error as RFC 9457 problem details.
type Problem struct {
	Type   string        `json:"type"`
	Title  string        `json:"title"`
	Status int           `json:"status"`
	Code   string        `json:"code"` // stable, for programs
	Detail string        `json:"detail"`
	Errors []fault.Field `json:"errors,omitempty"`
}

// errorPage is what the error template shows.
type errorPage struct {
	Heading, Message string
	SignIn           bool
}

// handleError is the single exit of every failed request: it picks the
// status, logs what is ours, and answers in the form the client reads. Details
// of internal errors are never sent.
func (a *App) handleError(c *fiber.Ctx, err error) error {
	setHeaders(c, a.secure) // fasthttp calls this without the middleware for requests it refuses itself
	f := fromFiber(err)
	if a.limits.bodies.refused(&c.Request().Header) {
		f = errBusy
	}
	status := statuses[f.Kind]
	if f == methodNotAllowed {
		status = http.StatusMethodNotAllowed
	}
	switch {
	case f.Code == CodeBusy:
		refusedTotal.Inc() // and no line in the log, which would fill it
	case status >= http.StatusInternalServerError:
		a.log.Error("request failed", slog.Group("request", "method", c.Method(), "route", routeOf(c), "status", status), "error", f)
	}
	SetRetryAfter(c, f)
	if f.Kind == fault.Unauthenticated {
		c.Set(fiber.HeaderWWWAuthenticate, `Bearer realm="onrecord"`)
	}
	if !wantsHTML(c) {
		return sendProblem(c, status, f)
	}
	if f.Kind == fault.NotFound {
		a.recognise(c)
	}
	l := Language(c)
	heading := l.Say(string(cmp.Or(headings[f.Kind], fault.Text("Sorry, there is a problem"))))
	perr := a.pages.Render(c, status, "error", Page{Title: heading, Data: errorPage{heading, l.Say(f.Message), f.Kind == fault.Unauthenticated}})
	if perr != nil {
		a.log.Error("error page failed", "error", perr)
		return sendProblem(c, status, f)
	}
	return nil
}

// headings are of error pages that say more than that there is a problem.
var headings = map[fault.Kind]fault.Text{
	fault.NotFound:        "Page not found",
	fault.Forbidden:       "You cannot open this",
	fault.Unauthenticated: "Sign in to continue",
	fault.TooLarge:        "That is too big to send",
	fault.Unavailable:     "Try again in a moment",
	fault.Stale:           "Somebody changed this while you were reading",
}

// SetRetryAfter sets the header that says when to try again, where f does.
// What is unavailable may be asked for up to as much later again: those who
// are refused together must not come back together.
func SetRetryAfter(c *fiber.Ctx, f *fault.Error) {
	if f.RetryAfter <= 0 {
		return
	}
	seconds := int(math.Ceil(f.RetryAfter.Seconds()))
	if f.Kind == fault.Unavailable {
		seconds += rand.N(seconds + 1)
	}
	c.Set(fiber.HeaderRetryAfter, strconv.Itoa(seconds))
}

func sendProblem(c *fiber.Ctx, status int, f *fault.Error) error {
	if !isAPI(c.Path()) { // a page's own script asks, for somebody to read
		f = Language(c).Fault(f)
	}
	body, err := json.Marshal(Problem{"about:blank", http.StatusText(status), status, f.Code, f.Message, f.Fields})
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/problem+json")
	return c.Status(status).Send(body)
}

// fromFiber gives Fiber's own errors our words, and hides everything else.
func fromFiber(err error) *fault.Error {
	var fe *fiber.Error
	if !errors.As(err, &fe) {
		return fault.As(err)
	}
	switch fe.Code {
	case http.StatusMethodNotAllowed:
		return methodNotAllowed
	case http.StatusNotFound:
		return fault.New(fault.NotFound, "not_found", "If you typed the address, check that it is right.")
	case http.StatusRequestEntityTooLarge:
		return ErrTooLarge
	case http.StatusRequestTimeout:
		return fault.New(fault.Malformed, "too_slow", "The request took too long to arrive. Send it again.")
	case http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge,
		http.StatusBadGateway: // the connection broke before all of the request had come
		return fault.New(fault.Malformed, "malformed", "The request could not be read.")
	}
	return fault.As(err)
}

// methodNotAllowed is no kind of fault of its own: only HTTP knows it.
var methodNotAllowed = fault.New(fault.NotFound, "method_not_allowed", "This address cannot be asked in that way.")

// ErrTooLarge is why a body over its route’s limit is not taken.
var ErrTooLarge = fault.New(fault.TooLarge, "too_large", "What you sent is over the limit, and nothing of it was taken. Go back in your browser, shorten it or choose fewer or smaller photos, and send it again.")

// wantsHTML reports whether the client is a person's browser asking for a
// page. The API always answers in JSON. So are requests answered that were
// refused before they were read, and those of methods that no browser sends by
// itself, unless they name HTML.
func wantsHTML(c *fiber.Ctx) bool {
	browser := c.Locals(appKey{}) != nil && (isSafe(c.Method()) || c.Method() == http.MethodPost)
	if !browser && !strings.Contains(c.Get(fiber.HeaderAccept), fiber.MIMETextHTML) {
		return false
	}
	return !isAPI(c.Path()) && c.Accepts(fiber.MIMETextHTML, fiber.MIMEApplicationJSON, "application/problem+json") == fiber.MIMETextHTML
}
