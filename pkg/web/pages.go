package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/words"
)

//go:embed templates
var ownTemplates embed.FS

// Link is a place to go and its words.
type Link struct{ Href, Text string }

// Page is what every page template is given. Data is the page's own struct;
// decisions about content are made there, in Go, not in the template.
type Page struct {
	Title   string // of the tab; "Error: " is put before it when Errors is set
	Section string // the navigation entry that is current, by its path
	Back    Link   // shown above the heading when set
	Wide    bool   // use the whole width: lists and figures
	Errors  Errors // what to mend, in the order of the page
	Data    any

	// Filled by Render.
	Viewer     Principal
	Nav        []NavLink
	Stylesheet string
	Language   words.Language
	Other      *Translation // of the page, where it has one
}

// Translation is the way to a page in another language.
type Translation struct {
	Link
	Tag string // of the language
}

// NavLink is an entry of the navigation.
type NavLink struct {
	Link
	Current bool
}

// Readers are whom pages are for.
type Readers struct {
	stylesheet string
	languages  []words.Language
}

// The readers there are. Staff work in English. Reporters read English and
// Welsh, on a phone that should load no more than they need.
var (
	Staff     = Readers{"app.css", []words.Language{words.English}}
	Reporters = Readers{"report.css", []words.Language{words.English, words.Welsh}}
)

// Pages renders a service's templates inside the one layout.
type Pages struct {
	stylesheet string
	byLanguage map[words.Language]map[string]*template.Template
}

// NewPages parses every *.html of templates, each with the layout, the
// components and the service's own partials/*.html, and fails for one that does
// not define "content". What reporters read is said through t. Asset names are
// checked at the first rendering; services render every page in a test.
func NewPages(assets *Assets, templates fs.FS, readers Readers) (*Pages, error) {
	base, err := template.New("layout.html").
		Funcs(template.FuncMap{"asset": assets.URL, "dict": dict, "link": link, "t": say(words.English)}).
		ParseFS(ownTemplates, "templates/layout.html", "templates/components.html")
	if err != nil {
		return nil, err
	}
	if own, err := fs.Glob(templates, "partials/*.html"); err != nil {
		return nil, err
	} else if len(own) > 0 {
		if base, err = base.ParseFS(templates, own...); err != nil {
			return nil, err
		}
	}
	names, err := fs.Glob(templates, "*.html")
	if err != nil {
		return nil, err
	}
	p := &Pages{readers.stylesheet, make(map[words.Language]map[string]*template.Template)}
	for _, language := range readers.languages {
		byName := make(map[string]*template.Template)
		p.byLanguage[language] = byName
		for _, name := range names {
			t, err := template.Must(base.Clone()).Funcs(template.FuncMap{"t": say(language)}).ParseFS(templates, name)
			if err != nil {
				return nil, err
			}
			if t.Lookup("content") == nil {
				return nil, fmt.Errorf("template %s does not define \"content\"", name)
			}
			byName[strings.TrimSuffix(name, ".html")] = t
		}
	}
	return p, nil
}

// Names returns the pages in order, for tests that render each of them.
func (p *Pages) Names() []string { return slices.Sorted(maps.Keys(p.byLanguage[words.English])) }

// Render answers with a page, in the reader's language where the page has it.
// It is rendered whole before the status is sent, so that a template error
// cannot leave half a page.
func (p *Pages) Render(c *fiber.Ctx, status int, name string, page Page) error {
	page.Viewer, _ = PrincipalOf(c)
	page.Language = words.English
	if l := Language(c); p.byLanguage[l] != nil {
		page.Language = l
	}
	if len(p.byLanguage) > 1 {
		page.Other = otherLanguage(page.Language, c.Path())
	}
	html, err := p.Execute(name, page)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	c.Vary(fiber.HeaderCookie, fiber.HeaderAcceptLanguage)
	return c.Status(status).Send(html)
}

// Execute returns a page as the viewer named in it sees it.
func (p *Pages) Execute(name string, page Page) ([]byte, error) {
	t, ok := p.byLanguage[page.Language][name]
	if !ok {
		return nil, fmt.Errorf("no page %q in %q", name, page.Language)
	}
	page.Nav, page.Stylesheet = Navigation(page.Language, page.Viewer, page.Section), p.stylesheet
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout.html", page); err != nil {
		return nil, fmt.Errorf("page %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// dict passes named values to a component template.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict wants pairs, got %d values", len(pairs))
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict wants names, got %T", pairs[i])
		}
		m[key] = pairs[i+1]
	}
	return m, nil
}

// Navigation returns what a viewer may open. It hides what routes would refuse
// anyway; the refusal is Mount's.
func Navigation(l words.Language, v Principal, section string) []NavLink {
	links := []Link{{"/report/", l.Say("Report")}}
	switch v.Role {
	case RoleRep:
		links = append(links, Link{"/incidents/", l.Say("Incidents")}, Link{"/figures/", l.Say("Figures")})
	case RoleManager:
		links = append(links, Link{"/figures/", l.Say("Figures")})
	case RoleAdministrator:
		links = append(links, Link{"/people/", l.Say("People")}, Link{"/sites/", l.Say("Sites")})
	default:
		links = append(links, Link{"/follow-up/", l.Say("Follow up")})
	}
	nav := make([]NavLink, len(links))
	for i, l := range links {
		nav[i] = NavLink{l, l.Href == section}
	}
	return nav
}
