package intake

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/words"
	"github.com/onrecord/onrecord/services/intake/internal/filing"
)

// What a phone keeps so that the form opens without signal: the shell, which is
// the form as everybody gets it, with no id, no receipt and nobody's name in
// it, and the worker that keeps it.

// shell is the form as a phone keeps it.
type shell struct {
	html    []byte
	version string
}

// shell returns the form as a phone keeps it, in a language. It is the same
// until the site directory changes.
func (s *Service) shell(l words.Language) (*shell, error) {
	sites, err := s.sites()
	if err != nil {
		return nil, err
	}
	if made, ok := sites.shells.Load(l); ok {
		return made.(*shell), nil
	}
	form := filing.Form{Version: formVersion, Contact: anonymous}
	page := web.InLanguage(l, "/report/")
	page.Title, page.Section, page.Data = l.Say("Report an incident"), "/report/", s.newReportPage(l, form, false, sites, nil)
	html, err := s.pages.Execute("report", page)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(html)
	made := &shell{html, hex.EncodeToString(sum[:6])}
	sites.shells.Store(l, made)
	return made, nil
}

// etag is the weak validator of the shell, and of the page that is the shell
// but for its id.
func (s *shell) etag() string { return `W/"` + s.version + `"` }

// showShell is GET /report/shell, for the worker.
func (s *Service) showShell(c *fiber.Ctx) error {
	kept, err := s.shell(web.Language(c))
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderETag, kept.etag())
	c.Set(fiber.HeaderCacheControl, "private, no-cache")
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	c.Vary(fiber.HeaderCookie, fiber.HeaderAcceptLanguage)
	return c.Send(kept.html)
}

// serveWorker is GET /report/worker.js. Its version is made from the page that
// it keeps, so that a browser, which looks for another worker each time the
// page is opened, takes over the page and its assets together or not at all.
func (s *Service) serveWorker(c *fiber.Ctx) error {
	kept, err := s.shell(web.Language(c))
	if err != nil {
		return err
	}
	script, err := s.assets.Raw("worker.js")
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderCacheControl, "private, no-cache")
	c.Set(fiber.HeaderContentType, fiber.MIMETextJavaScriptCharsetUTF8)
	return c.SendString(strings.ReplaceAll(string(script), "SHELL", kept.version))
}

// showPhone is GET /report/phone/: the reports that are kept on this phone. The
// page is the form's; its script shows the one or the other.
func (s *Service) showPhone(c *fiber.Ctx) error {
	c.Set(fiber.HeaderCacheControl, "private, no-cache")
	return s.pages.Render(c, http.StatusOK, "phone", web.Page{Title: web.Language(c).Say("Reports on this phone"), Section: "/report/"})
}

// whoJSON is who uses the phone, as its script may know it.
type whoJSON struct {
	Person string     `json:"person"` // "" when nobody is signed in
	Nav    []navEntry `json:"nav"`    // what they may open
}

type navEntry struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// showWho is GET /report/who. A page that was kept on the phone asks it, for
// such a page names nobody.
func (s *Service) showWho(c *fiber.Ctx) error {
	viewer, _ := web.PrincipalOf(c)
	who := whoJSON{Person: s.person(viewer), Nav: []navEntry{}}
	for _, link := range web.Navigation(web.Language(c), viewer, "/report/") {
		who.Nav = append(who.Nav, navEntry{link.Href, link.Text})
	}
	return c.JSON(who)
}

// person returns what a phone may know a signed-in person by: enough to tell
// one from another, and nothing about either. "" is nobody.
func (s *Service) person(viewer web.Principal) string {
	if !viewer.SignedIn() {
		return ""
	}
	return hex.EncodeToString(s.keys.MAC("person on a phone", []byte(viewer.ID))[:12])
}

var errAnotherPerson = fault.New(fault.Unauthenticated, "another_person", "Sign in as the person who wrote this report to send it.")

// checkPerson refuses a report that somebody wrote while signed in and somebody
// else, or nobody, is sending: on a shared phone one person's report must not
// go in another's name.
func (s *Service) checkPerson(c *fiber.Ctx, form filing.Form) error {
	viewer, _ := web.PrincipalOf(c)
	if strings.TrimSpace(form.Person) == "" || form.Person == s.person(viewer) {
		return nil
	}
	return errAnotherPerson
}
