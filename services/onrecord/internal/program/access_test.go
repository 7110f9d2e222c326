package program_test

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/web/webtest"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// reviewed returns testdata/access.txt: who may call each route, written down
// by hand a second time. A line is a method, a path, and roles.
func reviewed(tb testing.TB) map[string][]string {
	tb.Helper()
	text, err := os.ReadFile("testdata/access.txt")
	if err != nil {
		tb.Fatal(err)
	}
	routes := make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && !strings.HasPrefix(line, "#") {
			routes[f[0]+" "+f[1]] = f[2:]
		}
	}
	return routes
}

func TestWhoMayCallEachRouteWasReviewed(t *testing.T) {
	want, found := reviewed(t), map[string]bool{}
	for _, r := range open(t).App().Routes() {
		name, who := r.Method+" "+r.Path, []string{}
		for _, role := range r.Who {
			who = append(who, string(role))
		}
		if found[name] {
			t.Errorf("%s is there twice", name)
		}
		found[name] = true
		if line := name + " " + strings.Join(who, " "); !slices.Equal(who, want[name]) {
			t.Errorf("the program has\n\t%s\nand testdata/access.txt\n\t%s %s", line, name, strings.Join(want[name], " "))
		}
	}
	for name := range want {
		if !found[name] {
			t.Errorf("testdata/access.txt has %s, and the program does not", name)
		}
	}
}

// actor is somebody who asks.
type actor struct {
	name    string
	role    web.Role // "": nobody
	headers []string
	far     bool // of a site at which nothing happened
}

const demoPassword = "demo password of somebody"

// person makes somebody with a session.
func (k *kit) person(name, role string, sites ...string) []string {
	k.tb.Helper()
	k.do(program.OpUserAdd, reporting.NewUser{Name: name, Role: role, Sites: sites, Password: demoPassword}, nil)
	res := webtest.PostForm(k.tb, k.App(), "/sign-in/", url.Values{"name": {name}, "password": {demoPassword}})
	for _, c := range res.Cookies() {
		if c.Name == web.CookieName("session", false) {
			return []string{"Cookie", c.Name + "=" + c.Value}
		}
	}
	k.tb.Fatalf("%s cannot sign in: %d", name, res.StatusCode)
	return nil
}

// Routes that refuse somebody for a reason of their own, whoever it is.
var refusesItself = map[string]string{
	"GET /setup":  "there is an administrator already",
	"POST /setup": "there is an administrator already",
}

// Every route is asked for by everybody: whoever is not named for it in
// testdata/access.txt is refused, and nobody else is.
func TestEveryRouteForEverybody(t *testing.T) {
	k := open(t)
	k.run()
	k.importSites()
	actors := []actor{
		{name: "nobody"},
		{name: "rep", role: web.RoleRep, headers: k.person("demo-rep", "rep")},
		{name: "rep of another site", role: web.RoleRep, headers: k.person("demo-rep-south", "rep", "demo-south"), far: true},
		{name: "manager", role: web.RoleManager, headers: k.person("demo-manager", "manager")},
		{name: "administrator", role: web.RoleAdministrator, headers: k.person("demo-admin", "administrator")},
		{name: "rep's token", role: web.RoleRep, headers: k.token("rep")},
		{name: "token of a rep of another site", role: web.RoleRep, headers: k.token("rep", "demo-south"), far: true},
		{name: "manager's token", role: web.RoleManager, headers: k.token("manager")},
	}
	if res := k.call("POST", "/api/v1/reports", report(nil), "Content-Type", "application/json"); res.StatusCode != 201 {
		t.Fatalf("%d %s", res.StatusCode, res.Body)
	}
	incident := k.classified(actors[1].headers, 1)[0].ID
	k.do(program.OpUserAdd, reporting.NewUser{Name: "demo-other", Role: "manager", Password: demoPassword}, nil)
	other := k.personID(actors[4].headers, "demo-other")

	named := reviewed(t)
	routes := k.App().Routes()
	isSignOut := func(r web.Route) bool { return r.Path == "/sign-out" }
	last := slices.IndexFunc(routes, isSignOut) // it ends the session
	routes = append(slices.DeleteFunc(slices.Clone(routes), isSignOut), routes[last])
	for _, r := range routes {
		name := r.Method + " " + r.Path
		path := strings.Replace(r.Path, "/people/:id", "/people/"+other, 1)
		atIncident := strings.Contains(path, "incidents/:id")
		path = strings.NewReplacer(":id", incident, ":month", "2026-10", ":edition", "1").Replace(path)
		publishes := strings.HasSuffix(r.Path, "/publish") || name == "POST /api/v1/editions/:month"
		for _, a := range actors {
			var res webtest.Response
			if r.Method == http.MethodGet {
				res = webtest.Get(t, k.App(), path, a.headers...)
			} else {
				res = webtest.PostForm(t, k.App(), path, url.Values{}, a.headers...)
			}
			may := slices.Contains(named[name], string(web.Anyone)) || slices.Contains(named[name], string(a.role))
			refused := res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden
			toSignIn := res.StatusCode == http.StatusSeeOther && strings.HasPrefix(res.Header.Get("Location"), "/sign-in/?next=")
			switch {
			case res.StatusCode >= http.StatusInternalServerError:
				t.Errorf("%s as %s: %d", name, a.name, res.StatusCode)
			case may && a.far && publishes && res.StatusCode != http.StatusForbidden:
				t.Errorf("%s as %s: %d, want 403: it holds figures of other sites", name, a.name, res.StatusCode)
			case may && a.far && publishes:
			case may && refusesItself[name] == "" && (refused || toSignIn):
				t.Errorf("%s as %s: %d, and they may", name, a.name, res.StatusCode)
			case may && a.far && atIncident && res.StatusCode != http.StatusNotFound:
				t.Errorf("%s as %s: %d, want 404: it is of another's site", name, a.name, res.StatusCode)
			case may:
			case a.role != "" && res.StatusCode != http.StatusForbidden:
				t.Errorf("%s as %s: %d, want 403", name, a.name, res.StatusCode)
			case a.role == "" && r.Method == http.MethodGet && !strings.HasPrefix(path, "/api/") && !toSignIn:
				t.Errorf("%s as %s: %d to %q, want the sign-in page", name, a.name, res.StatusCode, res.Header.Get("Location"))
			case a.role == "" && (r.Method != http.MethodGet || strings.HasPrefix(path, "/api/")) && res.StatusCode != http.StatusUnauthorized:
				t.Errorf("%s as %s: %d, want 401", name, a.name, res.StatusCode)
			}
			if !may && (strings.Contains(res.Body, "shouted at me") || strings.Contains(res.Body, "demo-other")) {
				t.Errorf("%s as %s: the refusal shows what was refused", name, a.name)
			}
		}
	}
}

// personID returns somebody's id from the page of people.
func (k *kit) personID(as []string, name string) string {
	k.tb.Helper()
	res := webtest.Get(k.tb, k.App(), "/people/", as...)
	found := regexp.MustCompile(`/people/([^/"]+)"[^>]*>[^<]*` + name).FindStringSubmatch(res.Body)
	if found == nil {
		k.tb.Fatalf("%s is not on the page of people: %d", name, res.StatusCode)
	}
	return found[1]
}

// Phones are shared. What somebody filed while signed in must not be followed up by
// whoever uses the phone after them.
func TestAReceiptGoesWithTheSessionItWasFiledIn(t *testing.T) {
	k := open(t)
	k.run()
	k.importSites()
	k.person("demo-rep", "rep")
	k.person("demo-manager", "manager")
	for next, form := range map[string]url.Values{
		"/sign-out": nil,
		"/sign-in/": {"name": {"demo-manager"}, "password": {demoPassword}},
	} {
		jar := make(map[string]string)
		post := func(path string, form url.Values) webtest.Response {
			res := webtest.PostForm(t, k.App(), path, form, cookies(jar)...)
			if res.StatusCode != http.StatusSeeOther {
				t.Fatalf("%s: %d %s", path, res.StatusCode, res.Body)
			}
			for _, c := range res.Cookies() {
				if jar[c.Name] = c.Value; c.MaxAge < 0 {
					delete(jar, c.Name)
				}
			}
			return res
		}
		shown := func() string {
			code := webtest.Get(t, k.App(), "/report/received", cookies(jar)...).Document(t).Find("#receipt-code").Text()
			return strings.TrimSpace(code)
		}
		post("/sign-in/", url.Values{"name": {"demo-rep"}, "password": {demoPassword}})
		post("/report/", url.Values{"id": {uuid.Must(uuid.NewV7()).String()}, "form_version": {"report/3"}, "kind": {"abuse"}, "site": {"not_sure"}, "when": {"now"}, "contact": {"anonymous"}})
		if shown() == "" {
			t.Fatal("whoever filed it is not shown its receipt, so this test shows nothing")
		}
		post(next, form)
		if code := shown(); code != "" {
			t.Errorf("after %s the receipt %s is still shown", next, code)
		}
	}
}

func cookies(jar map[string]string) (header []string) {
	var all []string
	for name, value := range jar {
		all = append(all, name+"="+value)
	}
	return []string{"Cookie", strings.Join(all, "; ")}
}
