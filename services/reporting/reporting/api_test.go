package reporting

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

func TestIfMatch(t *testing.T) {
	k := newKit(t)
	i := k.file("leeds", nil)
	path := "/api/v1/incidents/" + i.ID
	if got := k.get(rep, path).Header.Get("ETag"); got != etag(i.Rev) {
		t.Errorf("ETag=%s, want %s", got, etag(i.Rev))
	}
	for _, c := range []struct {
		match string
		want  int
	}{{"", 428}, {`"0"`, 412}, {etag(i.Rev + 1), 412}, {"*", 400}, {`W/` + etag(i.Rev), 400}, {`"1", "2"`, 400}, {fmt.Sprint(i.Rev), 400}, {`"nonsense"`, 400}, {`"99999999999999999999"`, 400}} {
		if got := k.postJSON(rep, path+"/note", `{"note":"x"}`, "If-Match", c.match); got.StatusCode != c.want {
			t.Errorf("If-Match %q: status=%d, want %d: %s", c.match, got.StatusCode, c.want, got.Body)
		}
	}
	got := k.postJSON(rep, path+"/note", `{"note":"x"}`, "If-Match", etag(i.Rev))
	if got.StatusCode != 200 || got.Header.Get("ETag") != etag(i.Rev+1) {
		t.Errorf("status=%d ETag=%s, want 200 and %s", got.StatusCode, got.Header.Get("ETag"), etag(i.Rev+1))
	}
}

func TestTheAPIChangesAnIncident(t *testing.T) {
	k := newKit(t)
	i := k.file("leeds", nil)
	path := "/api/v1/incidents/" + i.ID
	for _, c := range []struct {
		action, body string
		want         int
		field        string // named in the problem
	}{
		{"acknowledge", ``, 200, ""},
		{"acknowledge", `{}`, 409, ""},
		{"status", `{"status":"in_review"}`, 200, ""},
		{"status", `{"status":"closed_fixed"}`, 422, "status"},
		{"classify", `{"kind":"threat","hurt":"yes","people_affected":2,"reason":"Both were there."}`, 200, ""},
		{"classify", `{"kind":"nonsense"}`, 422, "kind"},
		{"classify", `{"site":"nowhere"}`, 422, "site"},
		{"classify", `{"occurred_at":"2026-13-01T00:00:00Z"}`, 422, "occurred_at"},
		{"classify", `{"occurred_at":"9999-01-01T00:00:00Z"}`, 422, "occurred_at"},
		{"classify", `{"people_affected":"two"}`, 422, "people_affected"},
		{"classify", `{}`, 422, "kind"},
		{"classify", `{"colour":"red"}`, 422, "colour"},
		{"note", `{"note":""}`, 422, "note"},
		{"note", `{"note":"a\u0000b"}`, 422, "note"},
		{"note", `{"note":"x"} {}`, 400, ""},
		{"note", `{"note":`, 400, ""},
		{"note", `[]`, 400, ""},
		{"close", `{"reason":"x"}`, 422, "fixed"},
		{"close", `{"fixed":"yes","reason":"x"}`, 422, "fixed"},
		{"close", `{"fixed":false,"reason":"Nobody is left to ask."}`, 200, ""},
		{"close", `{"fixed":true,"reason":"x"}`, 409, ""},
		{"reopen", `{"reason":"They answered."}`, 200, ""},
		{"take-back", `{"reason":"x"}`, 409, ""},
		{"set-aside", `{"reason":" "}`, 422, "reason"},
		{"set-aside", `{"reason":"Made up."}`, 200, ""},
		{"set-aside", `{"reason":"Made up."}`, 409, ""},
		{"classify", `{"kind":"abuse"}`, 409, ""},
		{"take-back", `{}`, 422, "reason"},
		{"take-back", `{"reason":"It is real."}`, 200, ""},
	} {
		i = k.incidentOf(i.Reports[0].ID)
		res := k.postJSON(rep, path+"/"+c.action, c.body, "If-Match", etag(i.Rev))
		if res.StatusCode != c.want {
			t.Errorf("%s %s: status=%d, want %d: %s", c.action, c.body, res.StatusCode, c.want, res.Body)
			continue
		}
		if c.want == 200 {
			continue
		}
		var p web.Problem
		decodeInto(t, res.Body, &p)
		if c.field != "" && (len(p.Errors) == 0 || p.Errors[0].Name != c.field) {
			t.Errorf("%s %s: %+v, want %s named", c.action, c.body, p.Errors, c.field)
		}
	}
	var d incidentDetail
	decodeInto(t, k.get(rep, path).Body, &d)
	if d.Status != incident.StatusReopened || d.Kind.Value != "threat" || d.Kind.Reporter != "abuse" || d.Hurt != incident.HurtYes || d.PeopleAffected != 2 {
		t.Errorf("incident=%+v, want everything that was accepted", d.incidentItem)
	}
	if res := k.postJSON(rep, path+"/note", `note=x`, "If-Match", etag(d.Rev), "Content-Type", "application/x-www-form-urlencoded"); res.StatusCode != 415 {
		t.Errorf("a form: status=%d, want 415", res.StatusCode)
	}
}

func TestContactIsGivenOnlyWhenAgreed(t *testing.T) {
	k := newKit(t)
	for choice, want := range map[incident.ContactChoice]bool{incident.ContactAnonymous: false, incident.ContactRepOnly: true, incident.ContactMayBeNamed: true} {
		i := k.file("leeds", func(r *incident.Report) {
			r.Contact = incident.Contact{Choice: choice, Name: "Demo Reporter", Details: "extension 4021"}
		})
		for _, path := range []string{"/api/v1/incidents/" + i.ID, incidentsPath + i.ID} {
			if got := strings.Contains(k.get(rep, path).Body, "extension 4021"); got != want {
				t.Errorf("%s: contact in %s: %v, want %v", choice, path, got, want)
			}
		}
		if body := k.get(rep, "/api/v1/incidents").Body; strings.Contains(body, "Demo Reporter") || strings.Contains(body, "shouted") || strings.Contains(body, i.Reports[0].ID) {
			t.Error("the list holds somebody’s words, or a report’s id")
		}
		if body := k.get(rep, "/api/v1/incidents/"+i.ID).Body; strings.Contains(body, i.Reports[0].ID) {
			t.Error("a report’s id is shown to staff")
		}
	}
}

func TestListFilters(t *testing.T) {
	k := newKit(t)
	kinds := []incident.Kind{incident.KindAbuse, incident.KindThreat, incident.KindMissingControl}
	var all []*incident.Incident
	for n := range 21 {
		all = append(all, k.file([]string{"leeds", "york", "leeds"}[n%3], func(r *incident.Report) {
			r.Kind, r.Channel = kinds[n%len(kinds)], incident.Channels[n%len(incident.Channels)]
			r.OccurredAt = k.At.AddDate(0, -n%4, -1)
		}))
	}
	if _, err := k.cases.Acknowledge(t.Context(), all[0].ID, all[0].Rev, incident.Actor{Role: "rep"}); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		all[i] = k.incidentOf(all[i].Reports[0].ID)
	}
	month := all[0].Month()
	for _, c := range []struct {
		query string
		want  func(*incident.Incident) bool
	}{
		{"", func(*incident.Incident) bool { return true }},
		{"status=new", func(i *incident.Incident) bool { return i.Status == incident.StatusNew }},
		{"status=new&status=acknowledged", func(*incident.Incident) bool { return true }},
		{"status=acknowledged,closed_fixed", func(i *incident.Incident) bool { return i.Status == incident.StatusAcknowledged }},
		{"site=york", func(i *incident.Incident) bool { return i.Site == "york" }},
		{"kind=threat", func(i *incident.Incident) bool { return i.Dims().Kind == incident.KindThreat }},
		{"channel=phone", func(i *incident.Incident) bool { return i.Dims().Channel == incident.ChannelPhone }},
		{"channel=online", func(i *incident.Incident) bool { return i.Dims().Channel.IsOnline() }},
		{"target=any_staff&month=" + month.String(), func(i *incident.Incident) bool {
			return i.Dims().Target == incident.TargetAnyStaff && i.Month() == month
		}},
		{"review=true", (*incident.Incident).NeedsReview},
	} {
		var want []string
		for _, i := range all {
			if c.want(i) {
				want = append(want, i.ID)
			}
		}
		got := k.walk(t, c.query)
		if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: %d incidents, want %d", c.query, len(got), len(want))
		}
	}
	for query, field := range map[string]string{
		"status=nonsense": "status", "site=york&colour=red": "colour", "kind=x": "kind", "channel=x": "channel", "target=x": "target", "month=2026-13": "month",
		"month=2026-1": "month", "review=yes": "review", "assigned=me": "assigned", "limit=0": "limit", "limit=201": "limit", "limit=x": "limit",
		"cursor=" + strings.Repeat("x", 600): "cursor", "status=open": "status",
	} {
		res := k.get(rep, "/api/v1/incidents?"+query)
		var p web.Problem
		decodeInto(t, res.Body, &p)
		if res.StatusCode != 422 || len(p.Errors) != 1 || p.Errors[0].Name != field {
			t.Errorf("%s: status=%d %+v, want 422 naming %s", query, res.StatusCode, p.Errors, field)
		}
	}
	if res := k.get(rep, "/api/v1/incidents?cursor=nonsense"); res.StatusCode != 422 {
		t.Errorf("a cursor that is none: status=%d, want 422", res.StatusCode)
	}
	if res := k.get(leeds, "/api/v1/incidents?site=york"); res.StatusCode != 422 {
		t.Errorf("another’s site: status=%d, want 422", res.StatusCode)
	}
}

// walk follows a list's cursors and fails when an incident comes twice.
func (k *kit) walk(t *testing.T, query string) []string {
	t.Helper()
	var ids []string
	for cursor := ""; ; {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		q.Set("limit", "4")
		if cursor != "" {
			q.Set("cursor", cursor)
		}
		var page incidentList
		decodeInto(t, k.get(rep, "/api/v1/incidents?"+q.Encode()).Body, &page)
		for _, i := range page.Incidents {
			if slices.Contains(ids, i.ID) {
				t.Fatalf("%s: %s comes twice", query, i.ID)
			}
			ids = append(ids, i.ID)
		}
		if page.Next == nil {
			return ids
		}
		cursor = *page.Next
	}
}

// crowd files incidents of every sort, with small numbers among them, and
// returns their month.
func (k *kit) crowd(t *testing.T) incident.Month {
	t.Helper()
	for n := range 60 {
		k.file(demoSites[n%2].ID, func(r *incident.Report) {
			r.Kind = incident.Kinds[n*n%7]
			r.Channel = incident.Channels[n%11%len(incident.Channels)]
			r.Target = incident.Targets[n%13%len(incident.Targets)]
			r.OccurredAt = k.At.AddDate(0, 0, -1-n%4/2*40)
		})
	}
	return incident.MonthOf(k.At.AddDate(0, 0, -41))
}

func TestEveryNumberOpensTheIncidentsBehindIt(t *testing.T) {
	k := newKit(t)
	month := k.crowd(t)
	for _, who := range []string{rep, leeds} {
		doc := k.page(who, "/figures/?month="+month.String(), 200).Document(t)
		links := doc.Find(`a[href^="/incidents/?"]`)
		if links.Length() < 20 {
			t.Fatalf("%s: %d numbers can be opened, want every one", who, links.Length())
		}
		links.Each(func(_ int, s *goquery.Selection) {
			href := s.AttrOr("href", "")
			list := k.get(who, href).Document(t)
			if got, want := list.Find(".app-list tbody tr").Length(), s.Text(); fmt.Sprint(got) != want {
				t.Errorf("%s: %s opens %d incidents, want %s", who, href, got, want)
			}
		})
		doc.Find(".app-cross td").Each(func(_ int, s *goquery.Selection) {
			if s.Find("a").Length() == 0 && regexp.MustCompile(`[1-9]`).MatchString(s.Find(":not(.app-list__k)").Text()) {
				t.Errorf("%s: %q cannot be opened", who, s.Text())
			}
		})
	}
}

func TestAManagerNeverReceivesASmallNumber(t *testing.T) {
	k := newKit(t)
	month := k.crowd(t)
	k.close(month)
	small := regexp.MustCompile(`\b[1-5]\b`)
	for m := month.Add(-1); !incident.MonthOf(k.At).Before(m); m = m.Add(1) {
		doc := k.page(manager, "/figures/?month="+m.String(), 200).Document(t)
		if m == month && doc.Find(".app-cross .app-suppressed").Length() == 0 {
			t.Error("nothing is hidden, so this test shows nothing")
		}
		// They say what is hidden, from 1 to 5, which edition it is, and what the clock says.
		doc.Find(".govuk-inset-text, .app-edition, .app-on-paper").Remove()
		text := doc.Find("main").Text() + " " + doc.Find("title").Text()
		doc.Find("main [aria-label]").Each(func(_ int, s *goquery.Selection) { text += " " + s.AttrOr("aria-label", "") })
		if found := small.FindString(text); found != "" {
			at := strings.Index(text, found)
			t.Errorf("%s: %q in %q", m, found, text[max(0, at-60):min(len(text), at+60)])
		}
		if n := doc.Find(`a[href^="/incidents"]`).Length(); n > 0 {
			t.Errorf("%s: %d links to incidents", m, n)
		}
	}
	for _, query := range []string{"", "?by=channel,target", "?by=kind", "?from=" + month.String() + "&to=" + month.String()} {
		res := k.get(manager, "/api/v1/figures"+query)
		var answer any
		decodeInto(t, res.Body, &answer)
		noSmallNumber(t, query, "", answer)
	}
	for _, query := range []string{"?by=site", "?by=employer", "?by=kind,channel", "?unit=people", "?unit=reports", "?edition=live"} {
		if res := k.get(manager, "/api/v1/figures"+query); res.StatusCode != 403 {
			t.Errorf("%s: status=%d, want 403", query, res.StatusCode)
		}
	}
	for query, want := range map[string]int{"?by=site": 200, "?unit=people": 200, "?by=colour": 422, "?colour=red": 422, "?from=2026-13": 422,
		"?from=2026-01&from=2026-02": 422, "?to=2026-01&to=2026-02": 422, "?unit=people&unit=people": 422, "?by=site&by=kind": 200,
		"?to=0001-01": 422, "?from=1999-12&to=2000-01": 422, "?to=2000-01": 200, "?from=9999-12": 422,
		"?from=2001-01&to=2020-01": 422, "?edition=1": 200, "?edition=latest": 200, "?edition=live": 200, "?edition=0": 422, "?edition=newest": 422} {
		if res := k.get(rep, "/api/v1/figures"+query); res.StatusCode != want {
			t.Errorf("%s: status=%d, want %d", query, res.StatusCode, want)
		}
	}
}

// noSmallNumber looks at every number of a JSON answer but the threshold.
func noSmallNumber(t *testing.T, query, name string, v any) {
	switch v := v.(type) {
	case float64:
		if v >= 1 && v <= 5 && name != "threshold" && name != "number" {
			t.Errorf("%s: %s=%v", query, name, v)
		}
	case []any:
		for _, e := range v {
			noSmallNumber(t, query, name, e)
		}
	case map[string]any:
		for name, e := range v {
			noSmallNumber(t, query, name, e)
		}
	}
}

func TestNoTotalWithoutItsParts(t *testing.T) {
	k := newKit(t)
	month := k.crowd(t)
	var answer struct {
		Months []struct {
			Total, Undecided int
			Cells            []struct {
				Channel, Target string
				Count           int
			}
		}
	}
	decodeInto(t, k.get(rep, "/api/v1/figures?by=kind&from="+month.String()+"&to="+month.String()).Body, &answer)
	sum := 0
	for _, c := range answer.Months[0].Cells {
		if c.Channel == "" || c.Target == "" {
			t.Errorf("a cell without channel or target: %+v", c)
		}
		sum += c.Count
	}
	if sum == 0 || sum != answer.Months[0].Total {
		t.Errorf("parts add up to %d, want the total %d", sum, answer.Months[0].Total)
	}
	doc := k.page(rep, "/figures/?month="+month.String(), 200).Document(t)
	heading := doc.Find("h1").Text()
	if !strings.Contains(heading, strconv.Itoa(sum)) {
		t.Errorf("h1=%q, want %d", heading, sum)
	}
	if next := doc.Find("h1").Next(); !next.HasClass("app-finding") || !strings.Contains(next.Text(), "in person") {
		t.Errorf("%q follows the total, want how it reached staff", next.Text())
	}
	doc.Find(".app-chart g").Each(func(_ int, g *goquery.Selection) {
		if g.Find(".app-chart__v").Text() != "0" && g.Find("rect").Length() == 0 {
			t.Errorf("a bar of %s without parts", g.Find(".app-chart__v").Text())
		}
	})
}

func TestSignIn(t *testing.T) {
	k := newKit(t)
	for _, c := range []struct{ who, next, want string }{
		{rep, "", "/incidents/"}, {manager, "", "/figures/"}, {admin, "", "/sites/"},
		{rep, "/figures/?month=2026-10", "/figures/?month=2026-10"}, {rep, "//evil.example/", "/incidents/"}, {rep, "https://evil.example/", "/incidents/"},
		{rep, `/\evil.example`, "/incidents/"}, {rep, "/\t/evil.example", "/incidents/"}, {rep, "javascript:alert(1)", "/incidents/"}, {rep, "/sign-in/", "/incidents/"},
	} {
		res := k.post(nobody, "/sign-in/", url.Values{"name": {strings.ToUpper(c.who)}, "password": {demoPassword}, "next": {c.next}})
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != c.want {
			t.Errorf("%s with next=%q: status=%d to %q, want %q", c.who, c.next, res.StatusCode, res.Header.Get("Location"), c.want)
		}
		if cookie := res.Header.Get("Set-Cookie"); !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Lax") {
			t.Errorf("cookie=%q, want one that scripts and other sites cannot use", cookie)
		}
	}
	if res := k.post(rep, "/sign-out", nil); res.StatusCode != http.StatusSeeOther {
		t.Errorf("sign-out: status=%d, want 303", res.StatusCode)
	}
	if res := k.get(rep, "/api/v1/incidents"); res.StatusCode != 401 {
		t.Errorf("after signing out: status=%d, want 401", res.StatusCode)
	}
	if res := k.post(manager, "/sign-in/", url.Values{"name": {rep}, "password": {demoPassword}}); res.StatusCode != http.StatusSeeOther {
		t.Errorf("signing in where somebody else is: status=%d, want 303", res.StatusCode)
	}
	if res := k.get(manager, "/api/v1/figures"); res.StatusCode != 401 {
		t.Errorf("the session before, after somebody else signed in there: status=%d, want 401", res.StatusCode)
	}
	if err := k.DisableUser(t.Context(), leeds); err != nil {
		t.Fatal(err)
	}
	if res := k.get(leeds, "/api/v1/incidents"); res.StatusCode != 401 {
		t.Errorf("after being disabled: status=%d, want 401", res.StatusCode)
	}
	var last int
	for range 8 {
		res := k.post(nobody, "/sign-in/", url.Values{"name": {manager}, "password": {"not the password"}})
		k.check("wrong password", res, res.StatusCode)
		if last = res.StatusCode; last == 429 && res.Header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
	}
	if last != 429 {
		t.Errorf("after eight wrong passwords: status=%d, want 429", last)
	}
	if res := k.post(nobody, "/sign-in/", url.Values{"name": {manager}, "password": {demoPassword}}); res.StatusCode != 429 {
		t.Errorf("the right one while waiting: status=%d, want 429", res.StatusCode)
	}
}

func TestAdministratorsLookAfterAccounts(t *testing.T) {
	k := newKit(t)
	form := url.Values{"name": {"Demo New Rep"}, "role": {"rep"}, "scope": {"these"}, "sites": {"leeds", "york"}, "password": {demoPassword}}
	if res := k.post(admin, "/people/", form); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("adding: status=%d, want 303", res.StatusCode)
	}
	k.signInAs("Demo New Rep")
	path := "/people/" + k.userID("Demo New Rep")
	if got := k.page(admin, path, 200).Document(t).Find(".govuk-summary-list").Text(); !strings.Contains(got, "Demo Leeds and Demo York") {
		t.Errorf("facts=%q, want both sites by name", got)
	}
	for _, step := range []struct {
		action string
		form   url.Values
		in     bool // whether the session before still holds
	}{{"disable", nil, false}, {"enable", nil, false}, {"password", url.Values{"password": {"another horse battery"}}, false}} {
		if res := k.post(admin, path+"/"+step.action, step.form); res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != path {
			t.Errorf("%s: status=%d to %q, want 303 to %s", step.action, res.StatusCode, res.Header.Get("Location"), path)
		}
		if res := k.get("Demo New Rep", "/api/v1/incidents"); (res.StatusCode == 200) != step.in {
			t.Errorf("%s: their session answers %d", step.action, res.StatusCode)
		}
	}
	res := k.post(nobody, "/sign-in/", url.Values{"name": {"Demo New Rep"}, "password": {"another horse battery"}})
	if res.StatusCode != http.StatusSeeOther {
		t.Errorf("with the new password: status=%d, want 303", res.StatusCode)
	}
	users, err := k.Users(t.Context())
	if err != nil || len(users) != 5 {
		t.Errorf("users=%d %v, want 5", len(users), err)
	}
}

// Nobody sees every site because a tick was forgotten.
func TestEverySiteIsAChoice(t *testing.T) {
	k := newKit(t)
	for n, c := range []struct {
		role, scope string
		sites       []string
		wrong       string // the field to mend, "" when they are added
		want        []string
	}{
		{"rep", "", nil, "scope", nil}, {"rep", "", []string{"leeds"}, "scope", nil}, {"rep", "some", []string{"leeds"}, "scope", nil},
		{"rep", "these", nil, "sites", nil}, {"rep", "these", []string{"nowhere"}, "sites", nil},
		{"rep", "these", []string{"york"}, "", []string{"york"}}, {"rep", "every", nil, "", nil}, {"rep", "every", []string{"york"}, "", nil},
		{"manager", "", []string{"york"}, "", nil}, {"administrator", "these", nil, "", nil},
	} {
		name := fmt.Sprint("Demo Person ", n)
		res := k.post(admin, "/people/", url.Values{"name": {name}, "role": {c.role}, "scope": {c.scope}, "sites": c.sites, "password": {demoPassword}})
		if c.wrong != "" {
			k.check(name, res, 422)
			doc := res.Document(t)
			if links := doc.Find(".govuk-error-summary a"); links.Length() != 1 || links.AttrOr("href", "") != "#"+c.wrong || doc.Find("#"+c.wrong).Length() != 1 {
				t.Errorf("%+v: %q, want one link to #%s", c, doc.Find(".govuk-error-summary").Text(), c.wrong)
			}
			continue
		}
		if res.StatusCode != http.StatusSeeOther {
			t.Errorf("%+v: status=%d, want 303", c, res.StatusCode)
			continue
		}
		if u, err := k.people.UserByName(t.Context(), name); err != nil || !slices.Equal(u.Sites, c.want) {
			t.Errorf("%+v: sites=%v %v, want %v", c, u.Sites, err, c.want)
		}
	}
	res := k.post(admin, "/people/", url.Values{"role": {"rep"}, "password": {"short"}})
	if got := res.Document(t).Find(".govuk-error-summary a").Length(); got != 3 {
		t.Errorf("%d things to mend, want name, password and sites at once", got)
	}
}

// More sites than fit scroll, and the page says how many there are.
func TestManySitesAreCounted(t *testing.T) {
	k := newKit(t)
	var sites []store.Site
	for n := range manySites + 1 {
		sites = append(sites, store.Site{ID: fmt.Sprint("demo-", n), Name: fmt.Sprint("Demo Site ", n)})
		if n != manySites-len(demoSites)-1 && n != manySites {
			continue
		}
		if err := k.store.PutSites(t.Context(), sites); err != nil {
			t.Fatal(err)
		}
		if err := k.loadDirectory(t.Context()); err != nil {
			t.Fatal(err)
		}
		doc := k.page(admin, "/people/add/", 200).Document(t)
		all := len(sites) + len(demoSites)
		many := all > manySites
		if got := doc.Find(".app-tick").Length(); got != all {
			t.Errorf("%d ticks, want %d", got, all)
		}
		if got := doc.Find("#sites-hint").Text(); many != strings.HasPrefix(got, fmt.Sprint(all, " sites.")) || doc.Find(".app-ticks--scroll[tabindex]").Length() != len(doc.Find("#sites-hint").Nodes) {
			t.Errorf("%d sites: hint %q and %d boxes that scroll", all, got, doc.Find(".app-ticks--scroll").Length())
		}
	}
}

// What is typed into a form is taken from the body alone: an address stands in
// logs and histories.
func TestFormsAreNotReadFromTheAddress(t *testing.T) {
	k := newKit(t)
	i := k.file("leeds", nil)
	credentials := url.Values{"name": {rep}, "password": {demoPassword}, "next": {"/figures/"}}
	if res := k.post(nobody, "/sign-in/?"+credentials.Encode(), nil); res.StatusCode != 422 || len(res.Cookies()) > 0 {
		t.Errorf("sign-in: status=%d and %d cookies, want 422 and none", res.StatusCode, len(res.Cookies()))
	}
	if res := k.post(nobody, "/sign-in/?name=x&password=y", credentials); res.StatusCode != 303 {
		t.Errorf("sign-in with another name in the address: status=%d, want the body’s to count", res.StatusCode)
	}
	password := "?" + url.Values{"password": {"another horse battery"}}.Encode()
	if res := k.post(admin, "/people/"+k.userID(leeds)+"/password"+password, nil); res.StatusCode != 422 {
		t.Errorf("password: status=%d, want 422", res.StatusCode)
	}
	person := url.Values{"name": {"Demo Person"}, "role": {"manager"}, "password": {demoPassword}}
	if res := k.post(admin, "/people/?"+person.Encode(), nil); res.StatusCode != 422 {
		t.Errorf("adding: status=%d, want 422", res.StatusCode)
	}
	path := incidentsPath + i.ID
	if res := k.post(rep, path+"/note?note=Mine", seenOf(i)); res.StatusCode != 422 {
		t.Errorf("note: status=%d, want 422", res.StatusCode)
	}
	if res := k.post(rep, path+"/acknowledge?"+seenOf(i).Encode(), nil); res.StatusCode == 303 {
		t.Error("a revision in the address was taken")
	}
	k.cfg.Database += ".fresh"
	k.open()
	token, err := k.SetupToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"token": {token}, "name": {"Demo First"}, "password": {demoPassword}, "again": {demoPassword}}
	if res := k.post(nobody, "/setup?"+form.Encode(), nil); res.StatusCode != 403 {
		t.Errorf("setup: status=%d, want 403", res.StatusCode)
	}
}

func decodeInto(t *testing.T, body string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), v); err != nil {
		t.Fatalf("%v in %.200s", err, body)
	}
}
