package intake

import (
	_ "embed"
	"mime"
	"net/http"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/web"
)

// maxForm is the most bytes of a report with its photos.
const maxForm = 32 << 20

// OpenAPI describes the HTTP API, reporting’s part too: it is served here, where
// everybody may ask. A test of the program holds it against the routes.
//
//go:embed openapi.yaml
var OpenAPI []byte

// Routes returns the route table: all of it is open to anyone, because filing
// needs no account, unless the operator wants one for it.
func (s *Service) Routes() []web.Route {
	anyone := []web.Role{web.Anyone}
	filers := anyone
	if s.filing == FilingSignIn {
		filers = []web.Role{web.RoleRep, web.RoleManager, web.RoleAdministrator}
	}
	byFilers := func(r web.Route) web.Route {
		r.Who = filers
		return r
	}
	get := func(path string, h fiber.Handler) web.Route {
		return web.Route{Method: http.MethodGet, Path: path, Who: anyone, Handler: h}
	}
	post := func(path string, maxBody int, h fiber.Handler) web.Route {
		return web.Route{Method: http.MethodPost, Path: path, Who: anyone, Handler: h, MaxBody: maxBody}
	}
	return []web.Route{
		get("/", func(c *fiber.Ctx) error { return c.Redirect("/report/", http.StatusSeeOther) }),
		web.WithSlash("/report/"),
		byFilers(get("/report/", s.showReport)),
		byFilers(post("/report/", maxForm, s.fileForm)),
		get("/report/received", s.showReceived),
		get("/report/phone/", s.showPhone),
		get("/report/shell", s.showShell),
		get("/report/worker.js", s.serveWorker),
		get("/report/who", s.showWho),
		web.WithSlash("/follow-up/"),
		get("/follow-up/", s.showFollowUp),
		post("/follow-up/", maxForm, s.followUpForm),
		web.WithSlash("/privacy/"),
		get("/privacy/", s.showWords("privacy", fault.Text("What we keep, and who reads it"))),
		web.WithSlash("/accessibility/"),
		get("/accessibility/", s.showWords("accessibility", fault.Text("Accessibility"))),
		byFilers(post("/api/v1/reports", maxForm, s.fileAPI)),
		get("/api/v1/sites", s.sitesAPI),
		get("/api/v1/openapi.yaml", serveOpenAPI),
		post("/api/v1/follow-up", maxForm, s.followUpAPI),
	}
}

func serveOpenAPI(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentType, "application/yaml")
	return c.Send(OpenAPI)
}

// wantsJSON reports whether a page's own script asks rather than the browser.
func wantsJSON(c *fiber.Ctx) bool {
	return c.Accepts(fiber.MIMETextHTML, fiber.MIMEApplicationJSON) == fiber.MIMEApplicationJSON
}

// mediaType returns the request's content type and its parameters. A body in
// another character set than UTF-8 is of none.
func mediaType(c *fiber.Ctx) (string, map[string]string) {
	kind, params, err := mime.ParseMediaType(c.Get(fiber.HeaderContentType))
	if err != nil {
		return "", nil
	}
	if charset, ok := params["charset"]; ok && charset != "utf-8" && charset != "UTF-8" {
		return "", nil
	}
	return kind, params
}
