package reporting

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/web/webtest"
)

// whoMay is the authorisation review written down a second time, by hand: the
// first match of a path decides. A route that changes its roles fails here.
var whoMay = []struct {
	method, prefix string
	who            []string
}{
	{"GET", "/sign-in/", []string{nobody, rep, manager, admin}},
	{"POST", "/sign-in/", []string{nobody, rep, manager, admin}},
	{"POST", "/sign-out", []string{rep, manager, admin}},
	{"GET", "/setup", []string{nobody, rep, manager, admin}},
	{"POST", "/setup", []string{nobody, rep, manager, admin}},
	{"GET", "/incidents/", []string{rep}},
	{"POST", "/incidents/", []string{rep}},
	{"GET", "/api/v1/incidents", []string{rep}},
	{"POST", "/api/v1/incidents/", []string{rep}},
	{"GET", "/figures/", []string{rep, manager}},
	{"GET", "/api/v1/figures", []string{rep, manager}},
	{"GET", "/editions/2026-10/publish", []string{rep}},
	{"GET", "/editions/", []string{rep, manager}},
	{"POST", "/editions/", []string{rep}},
	{"GET", "/api/v1/editions", []string{rep, manager}},
	{"POST", "/api/v1/editions/", []string{rep}},
	{"GET", "/model/", []string{rep, manager}},
	{"GET", "/people/", []string{admin}},
	{"POST", "/people/", []string{admin}},
	{"GET", "/sites/", []string{admin}},
	{"POST", "/sites/", []string{admin}},
}

// ledOn are the paths that say nothing themselves: whoever asks is led to the page.
var ledOn = []string{"/sign-in", "/incidents", "/figures", "/editions", "/model", "/people", "/sites"}

func TestEveryRouteForEveryRole(t *testing.T) {
	k := newKit(t)
	i := k.file("leeds", nil)
	for _, r := range k.Routes() {
		path := strings.NewReplacer(":id", i.ID, ":month", "2026-10", ":edition", "1").Replace(r.Path)
		if slices.Contains(ledOn, path) {
			for _, who := range []string{nobody, rep, manager, admin} {
				if res := k.get(who, path+"?q=1"); res.StatusCode != 301 || res.Header.Get("Location") != path+"/?q=1" {
					t.Errorf("%s as %s: status=%d to %q, want the page with its slash", path, who, res.StatusCode, res.Header.Get("Location"))
				}
			}
			continue
		}
		allowed, found := []string(nil), false
		for _, w := range whoMay {
			if w.method == r.Method && strings.HasPrefix(path, w.prefix) {
				allowed, found = w.who, true
				break
			}
		}
		if !found {
			t.Errorf("%s %s is in no entry of the review", r.Method, r.Path)
			continue
		}
		for _, who := range []string{nobody, rep, manager, admin} {
			name := r.Method + " " + r.Path + " as " + who
			if who != nobody {
				k.signInAs(who) // an earlier route may have signed them out
			}
			var res webtest.Response
			if r.Method == http.MethodGet {
				res = k.get(who, path)
			} else {
				res = k.post(who, path, nil)
			}
			may := false
			for _, a := range allowed {
				may = may || a == who
			}
			switch {
			case may && (res.StatusCode == 401 && path != "/sign-in/" || res.StatusCode == 403 && path != "/setup"):
				t.Errorf("%s: status=%d, and they may", name, res.StatusCode)
			case !may && who == nobody && r.Method == http.MethodGet && !strings.HasPrefix(path, "/api/"):
				if res.StatusCode != 303 || !strings.HasPrefix(res.Header.Get("Location"), "/sign-in/?next=") {
					t.Errorf("%s: status=%d to %q, want the sign-in page", name, res.StatusCode, res.Header.Get("Location"))
				}
			case !may && who == nobody && res.StatusCode != 401:
				t.Errorf("%s: status=%d, want 401", name, res.StatusCode)
			case !may && who != nobody && res.StatusCode != 403:
				t.Errorf("%s: status=%d, want 403", name, res.StatusCode)
			}
		}
	}
}

func TestTokensOpenWhatTheirRoleOpens(t *testing.T) {
	k := newKit(t)
	k.file("york", nil)
	k.file("leeds", nil)
	for _, c := range []struct {
		token     NewToken
		path      string
		want      int
		incidents int
	}{
		{NewToken{Role: "rep"}, "/api/v1/incidents", 200, 2},
		{NewToken{Role: "rep", Sites: []string{"leeds"}}, "/api/v1/incidents", 200, 1},
		{NewToken{Role: "rep"}, "/api/v1/figures", 200, 0},
		{NewToken{Role: "manager"}, "/api/v1/figures", 200, 0},
		{NewToken{Role: "manager"}, "/api/v1/incidents", 403, 0},
	} {
		made, err := k.CreateToken(t.Context(), c.token)
		if err != nil {
			t.Fatal(err)
		}
		res := webtest.Do(t, k.app, "GET", c.path, "", "Authorization", "Bearer "+made.Secret)
		if res.StatusCode != c.want || strings.Count(res.Body, `"ref"`) != c.incidents {
			t.Errorf("%+v %s: status=%d with %d incidents, want %d with %d", c.token, c.path, res.StatusCode, strings.Count(res.Body, `"ref"`), c.want, c.incidents)
		}
		if err := k.RevokeToken(t.Context(), made.ID); err != nil {
			t.Fatal(err)
		}
		if res := webtest.Do(t, k.app, "GET", c.path, "", "Authorization", "Bearer "+made.Secret); res.StatusCode != 401 {
			t.Errorf("revoked: status=%d, want 401", res.StatusCode)
		}
	}
}
