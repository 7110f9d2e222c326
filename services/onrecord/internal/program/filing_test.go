package program_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/web/webtest"
	"github.com/onrecord/onrecord/services/intake/intake"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// openFiling opens and runs a program in which filing is not open to everybody.
func openFiling(t *testing.T, way intake.Filing) *kit {
	t.Helper()
	p, err := program.Open(context.WithoutCancel(t.Context()), program.Config{DataDir: t.TempDir(), MaxStore: 256 << 20, Threshold: 5, Filing: way, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	k := &kit{p, t}
	k.run()
	k.importSites()
	return k
}

func (k *kit) codes() map[string]string {
	k.tb.Helper()
	var sites []reporting.Site
	k.do(program.OpSitesList, struct{}{}, &sites)
	codes := make(map[string]string)
	for _, s := range sites {
		codes[s.ID] = s.Code
	}
	return codes
}

// While filing asks for a site's code, the poster is the way in, and a new code
// shuts out whoever has the old one.
func TestFilingWithASiteCode(t *testing.T) {
	k := openFiling(t, intake.FilingSiteCode)
	codes := k.codes()
	file := func(site, code string) webtest.Response {
		return k.call("POST", "/api/v1/reports", report(map[string]any{"site": site, "site_name": map[bool]any{true: "Demo desk", false: absent}[site == "unlisted"], "site_code": code}), "Content-Type", "application/json")
	}
	for _, c := range []struct {
		site, code string
		want       int
	}{
		{"demo-north", codes["demo-north"], 201},
		{"demo-north", strings.ToLower(strings.ReplaceAll(codes["demo-north"], "-", " ")), 201},
		{"demo-north", codes["demo-south"], 422},
		{"demo-north", "", 422},
		{"unlisted", codes["demo-south"], 201},
		{"unlisted", "0000-0000-0000", 422},
	} {
		if res := file(c.site, c.code); res.StatusCode != c.want || c.want == 422 && !strings.Contains(res.Body, `"field":"site_code"`) {
			t.Errorf("%s with %q: %d %s, want %d", c.site, c.code, res.StatusCode, res.Body, c.want)
		}
	}

	var drawn string
	k.do(program.OpPoster, reporting.PosterOf{Site: "demo-north", URL: "https://demo.example"}, &drawn)
	if !strings.Contains(drawn, codes["demo-north"]) || !strings.Contains(drawn, "demo.example/report/") {
		t.Error("the poster lacks the code or the address")
	}
	page := webtest.Get(t, k.App(), "/report/?site=demo-north&code="+codes["demo-north"]).Document(t)
	webtest.CheckPage(t, page)
	if page.Find("#site_code").AttrOr("value", "") != codes["demo-north"] || page.Find(`[name=site][value=demo-north]`).AttrOr("checked", "no") == "no" {
		t.Error("the poster’s address does not fill in site and code")
	}
	form := url.Values{"id": {uuid.Must(uuid.NewV7()).String()}, "kind": {"abuse"}, "site": {"demo-north"}, "when": {"now"}, "narrative": {"Demo words."}, "site_code": {"wrong"}}
	wrong := webtest.PostForm(t, k.App(), "/report/", form).Document(t)
	webtest.CheckPage(t, wrong)
	if wrong.Find("#site_code-error").Length() != 1 || wrong.Find("#narrative").Text() != "Demo words." {
		t.Error("with a wrong code: no error beside it, or the words are gone")
	}

	admin := k.person("demo-admin", "administrator")
	poster := webtest.Get(t, k.App(), "/sites/demo-north/poster", admin...)
	webtest.CheckPage(t, poster.Document(t))
	if poster.StatusCode != 200 || !strings.Contains(poster.Body, codes["demo-north"]) {
		t.Errorf("the poster’s page: %d", poster.StatusCode)
	}
	if res := webtest.Get(t, k.App(), "/sites/nowhere/poster", admin...); res.StatusCode != 404 {
		t.Errorf("a poster of nowhere: %d", res.StatusCode)
	}
	if res := webtest.PostForm(t, k.App(), "/sites/demo-north/code", url.Values{}, admin...); res.StatusCode != 303 {
		t.Fatalf("a new code: %d", res.StatusCode)
	}
	fresh := k.codes()
	if fresh["demo-north"] == codes["demo-north"] || fresh["demo-south"] != codes["demo-south"] {
		t.Errorf("codes before %v, after %v", codes, fresh)
	}
	k.eventually(func() error {
		if res := file("demo-north", codes["demo-north"]); res.StatusCode != 422 {
			return fmt.Errorf("the old code is still taken: %d", res.StatusCode)
		}
		return nil
	})
	if res := file("demo-north", fresh["demo-north"]); res.StatusCode != 201 {
		t.Errorf("the new code: %d", res.StatusCode)
	}
	k.importSites() // a file says nothing of codes
	if got := k.codes(); got["demo-north"] != fresh["demo-north"] {
		t.Error("importing the sites again changed a code")
	}
}

func TestFilingWithAnAccount(t *testing.T) {
	k := openFiling(t, intake.FilingSignIn)
	if res := k.call("POST", "/api/v1/reports", report(nil), "Content-Type", "application/json"); res.StatusCode != 401 {
		t.Errorf("nobody files: %d", res.StatusCode)
	}
	if res := webtest.Get(t, k.App(), "/report/"); res.StatusCode != 303 || !strings.HasPrefix(res.Header.Get("Location"), "/sign-in/?next=") {
		t.Errorf("the form for nobody: %d %s", res.StatusCode, res.Header.Get("Location"))
	}
	manager := k.person("demo-manager", "manager")
	if res := webtest.Get(t, k.App(), "/report/", manager...); res.StatusCode != 200 {
		t.Errorf("the form for somebody: %d", res.StatusCode)
	}
	if res := k.call("POST", "/api/v1/reports", report(nil), append([]string{"Content-Type", "application/json"}, manager...)...); res.StatusCode != 201 {
		t.Errorf("somebody files: %d %s", res.StatusCode, res.Body)
	}
	if res := k.call("POST", "/api/v1/follow-up", `{"receipt":"0000-0000-0000-0000"}`, "Content-Type", "application/json"); res.StatusCode != 404 {
		t.Errorf("following up needs no account: %d", res.StatusCode)
	}
}

// A phone whose clock is wrong says so itself by when it sends: what it files
// stands at the right time, and is not refused.
func TestAPhoneWhoseClockIsWrong(t *testing.T) {
	k := open(t)
	k.run()
	k.importSites()
	rep := k.token("rep")
	const hour, year = time.Hour, 365 * 24 * time.Hour
	wrong := []time.Duration{-year, -hour, hour, year}
	happened := time.Now().Add(-10 * time.Minute)
	for _, by := range wrong {
		id := uuid.Must(uuid.NewV7()) // made by the same clock
		for n, ms := 5, time.Now().Add(by).UnixMilli(); n >= 0; n, ms = n-1, ms>>8 {
			id[n] = byte(ms)
		}
		at := func(moment time.Time) string { return moment.Add(by).UTC().Format(time.RFC3339Nano) }
		body := report(map[string]any{"id": id, "occurred_at": at(happened), "pressed_at": at(happened), "sent_at": at(time.Now())})
		if res := k.call("POST", "/api/v1/reports", body, "Content-Type", "application/json"); res.StatusCode != 201 {
			t.Errorf("a clock wrong by %v: %d %s", by, res.StatusCode, res.Body)
		}
	}
	k.classified(rep, len(wrong))
	var list struct {
		Incidents []struct {
			OccurredAt time.Time `json:"occurred_at"`
		}
	}
	if err := json.Unmarshal([]byte(k.call("GET", "/api/v1/incidents", "", rep...).Body), &list); err != nil {
		t.Fatal(err)
	}
	for _, i := range list.Incidents {
		if off := i.OccurredAt.Sub(happened).Abs(); off > time.Minute {
			t.Errorf("it stands at %v, %v from when it happened", i.OccurredAt, off)
		}
	}
}
