package web

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/words"
)

const (
	languageCookie     = "language"
	languageCookieLife = 365 * 24 * time.Hour
	languagePath       = "/language/"
)

// Language returns the language that the reader chose, or else the one that
// their browser asks for first.
func Language(c *fiber.Ctx) words.Language {
	app, _ := c.Locals(appKey{}).(*App)
	if app != nil {
		if chosen := c.Cookies(CookieName(languageCookie, app.secure)); chosen != "" {
			return words.Of(chosen)
		}
	}
	first, _, _ := strings.Cut(c.Get(fiber.HeaderAcceptLanguage), ",")
	first, _, _ = strings.Cut(first, ";")
	return words.Of(strings.TrimSpace(first))
}

// InLanguage returns a page for nobody in particular, in a language, to be
// given to Execute. Path is its address.
func InLanguage(l words.Language, path string) Page {
	return Page{Language: l, Other: otherLanguage(l, path)}
}

// chooseLanguage is GET /language/:language: it keeps the choice and goes back
// to the page. It is a link, so that it works without script; all it changes
// is in which language its own reader reads.
func (a *App) chooseLanguage(c *fiber.Ctx) error {
	if tag := c.Params("language"); tag != string(words.English) && tag != string(words.Welsh) {
		return fiber.ErrNotFound
	}
	SetCookie(c, languageCookie, c.Params("language"), languageCookieLife, a.secure)
	return c.Redirect(a.backTo(c.Query("next")), http.StatusSeeOther)
}

// backTo returns the path of one of our own pages that anybody may open, and
// the form's for anything else.
func (a *App) backTo(path string) string {
	if slices.ContainsFunc(a.routes, func(r Route) bool {
		return r.Method == http.MethodGet && r.Path == path && slices.Contains(r.Who, Anyone)
	}) {
		return path
	}
	return "/report/"
}

// otherLanguage returns the way to a page in the language that it is not in.
func otherLanguage(is words.Language, path string) *Translation {
	to, name := words.Welsh, "Cymraeg"
	if is == words.Welsh {
		to, name = words.English, "English"
	}
	return &Translation{Link{languagePath + string(to) + "?next=" + url.QueryEscape(path), name}, to.Tag()}
}

// say returns the template function t. With a link among its arguments what it
// returns is HTML, in which everything else is escaped.
func say(l words.Language) func(english string, args ...any) any {
	return func(english string, args ...any) any {
		if !slices.ContainsFunc(args, func(a any) bool { _, ok := a.(template.HTML); return ok }) {
			return l.Say(english, args...)
		}
		escaped := make([]any, len(args))
		for i, a := range args {
			if _, ok := a.(template.HTML); !ok {
				a = template.HTML(template.HTMLEscaper(a)) //nolint:gosec // it is escaped
			}
			escaped[i] = a
		}
		return template.HTML(l.Say(english, escaped...)) //nolint:gosec // sentences hold no markup: a test of pkg/words sees to it
	}
}

// link returns an anchor to stand inside a sentence.
func link(href string, text any) template.HTML {
	return template.HTML(`<a class="govuk-link" href="` + template.HTMLEscapeString(href) + `">` + template.HTMLEscaper(text) + `</a>`) //nolint:gosec // both are escaped
}
