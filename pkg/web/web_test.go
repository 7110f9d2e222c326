package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/web/webtest"
)

// signedIn knows a session and a token for each role, named after it.
type signedIn struct{}

func (signedIn) AuthenticateSession(_ context.Context, cookie string) (web.Principal, error) {
	return principal(cookie), nil
}

func (signedIn) AuthenticateToken(_ context.Context, token string) (web.Principal, error) {
	p := principal(token)
	p.Token = true
	return p, nil
}

func principal(name string) web.Principal {
	switch r := web.Role(name); r {
	case web.RoleRep, web.RoleManager, web.RoleAdministrator:
		return web.Principal{ID: "1", Name: name, Role: r}
	}
	return web.Principal{}
}

func newApp(t *testing.T, routes ...web.Route) *web.App {
	t.Helper()
	app, err := web.New(web.Config{Log: slog.New(slog.DiscardHandler), Assets: webtest.Assets(t), Authenticator: signedIn{}})
	if err != nil {
		t.Fatal(err)
	}
	app.Mount(routes)
	return app
}

func route(method, path string, h fiber.Handler, who ...web.Role) web.Route {
	return web.Route{Method: method, Path: path, Who: who, Handler: h}
}

func ok(c *fiber.Ctx) error { return c.SendString("ok") }

func TestOnlyTheRolesOfARouteMayCallIt(t *testing.T) {
	app := newApp(t, route("GET", "/api/v1/reps", ok, web.RoleRep), route("GET", "/reps/", ok, web.RoleRep))
	for _, c := range []struct {
		path, cookie, bearer string
		want                 int
	}{
		{"/api/v1/reps", "rep", "", 200},
		{"/api/v1/reps", "manager", "", 403},
		{"/api/v1/reps", "", "", 401},
		{"/api/v1/reps", "nonsense", "", 401},
		{"/api/v1/reps", "", "rep", 200},
		{"/api/v1/reps", "", "manager", 403},
		{"/api/v1/reps", "rep", "nonsense", 401}, // a bad token is not helped by a good cookie
		{"/reps/", "", "", 303},
		{"/reps/", "manager", "", 403},
	} {
		var headers []string
		if c.cookie != "" {
			headers = append(headers, "Cookie", "onrecord-session="+c.cookie)
		}
		if c.bearer != "" {
			headers = append(headers, "Authorization", "Bearer "+c.bearer)
		}
		if got := webtest.Get(t, app, c.path, headers...); got.StatusCode != c.want {
			t.Errorf("%+v: status=%d, want %d", c, got.StatusCode, c.want)
		}
	}
}

func TestARouteMustSayWhoMayCallIt(t *testing.T) {
	app := newApp(t)
	defer func() {
		if recover() == nil {
			t.Error("a route for nobody in particular was mounted")
		}
	}()
	app.Mount([]web.Route{{Method: "GET", Path: "/x", Handler: ok}})
}

func TestCrossSiteRequestsAreRefused(t *testing.T) {
	app := newApp(t, route("POST", "/x", ok, web.Anyone))
	for _, c := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"same origin", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"typed address", []string{"Sec-Fetch-Site", "none"}, 200},
		{"other site", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"sister site", []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"old browser, own origin", []string{"Origin", "http://example.com"}, 200},
		{"old browser, other origin", []string{"Origin", "http://evil.example"}, 403},
		{"null origin", []string{"Origin", "null"}, 403},
		{"no browser", nil, 200},
	} {
		if got := webtest.Do(t, app, "POST", "/x", "", c.headers...); got.StatusCode != c.want {
			t.Errorf("%s: status=%d, want %d", c.name, got.StatusCode, c.want)
		}
	}
}

func TestInternalErrorsTellNothing(t *testing.T) {
	app := newApp(t,
		route("GET", "/api/v1/broken", func(*fiber.Ctx) error { return errors.New("dial db:27017: password=hunter2") }, web.Anyone),
		route("GET", "/broken/", func(*fiber.Ctx) error { panic("hunter2") }, web.Anyone))
	for _, path := range []string{"/api/v1/broken", "/broken/"} {
		got := webtest.Get(t, app, path)
		if got.StatusCode != 500 || strings.Contains(got.Body, "hunter2") {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.Body)
		}
	}
}

func TestProblemNamesEveryField(t *testing.T) {
	app := newApp(t, route("POST", "/api/v1/x", func(*fiber.Ctx) error {
		return fault.InvalidFields([]fault.Field{{Name: "site", Message: "Select where it happened."}})
	}, web.Anyone))
	got := webtest.Do(t, app, "POST", "/api/v1/x", "{}", "Accept", "text/html")
	var p web.Problem
	if err := json.Unmarshal([]byte(got.Body), &p); err != nil {
		t.Fatal(err)
	}
	if got.StatusCode != 422 || got.Header.Get("Content-Type") != "application/problem+json" || p.Code != "invalid" || len(p.Errors) != 1 || p.Errors[0].Name != "site" {
		t.Errorf("%d %s", got.StatusCode, got.Body)
	}
}

func TestUnavailableSaysWhenToTryAgain(t *testing.T) {
	app := newApp(t, route("GET", "/x/", func(*fiber.Ctx) error {
		return fault.New(fault.Unavailable, "down", "Try again shortly.").Retry(1500 * time.Millisecond)
	}, web.Anyone))
	waits := map[string]bool{}
	for range 60 {
		got := webtest.Get(t, app, "/x/")
		if wait, err := strconv.Atoi(got.Header.Get("Retry-After")); got.StatusCode != 503 || err != nil || wait < 2 || wait > 4 {
			t.Fatalf("status=%d Retry-After=%q, want 503 and 2 to 4", got.StatusCode, got.Header.Get("Retry-After"))
		}
		waits[got.Header.Get("Retry-After")] = true
	}
	if len(waits) != 3 {
		t.Errorf("waits=%v: those who are refused together come back together", waits)
	}
}

func TestEveryAnswerHasTheSecurityHeaders(t *testing.T) {
	app := newApp(t, route("GET", "/x/", ok, web.Anyone))
	for _, path := range []string{"/x/", "/nowhere/", "/healthz", "/api/v1/nowhere"} {
		got := webtest.Get(t, app, path)
		for name, want := range map[string]string{
			"Content-Security-Policy":      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control":                "no-store",
		} {
			if h := got.Header.Get(name); h != want {
				t.Errorf("%s: %s=%q, want %q", path, name, h, want)
			}
		}
	}
}

func TestTooLargeABodyIsRefused(t *testing.T) {
	app := newApp(t, route("POST", "/api/v1/x", ok, web.Anyone))
	if got := webtest.Do(t, app, "POST", "/api/v1/x", strings.Repeat("x", web.MaxJSONBody+1)); got.StatusCode != 413 {
		t.Errorf("status=%d, want 413", got.StatusCode)
	}
}

// Fiber reuses its buffers: without Immutable the first report's words would
// turn into the second's.
func TestWordsKeptAfterTheRequestDoNotChange(t *testing.T) {
	var kept []string
	app := newApp(t, route("POST", "/x", func(c *fiber.Ctx) error {
		kept = append(kept, c.FormValue("words"), string(c.Body()), c.Get("X-Words"))
		return ok(c)
	}, web.Anyone))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- app.Serve(ctx, ln) }()
	for _, w := range []string{"aaaa", "bbbb", "cccc"} {
		req, _ := http.NewRequest("POST", fmt.Sprintf("http://%s/x", ln.Addr()), strings.NewReader(url.Values{"words": {w}}.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Words", w)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	cancel()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	want := "aaaa words=aaaa aaaa bbbb words=bbbb bbbb cccc words=cccc cccc"
	if got := strings.Join(kept, " "); got != want {
		t.Errorf("kept=%q, want %q", got, want)
	}
}
