package reporting

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/run/runtest"
	"github.com/onrecord/onrecord/pkg/web/webtest"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

func TestEveryPageIsWellMade(t *testing.T) {
	k := newKit(t)
	for _, c := range []struct{ who, path, says string }{ // before there is anything
		{rep, "/incidents/", "Nothing has been reported yet."}, {rep, "/incidents/?kind=threat", "Nothing has been reported yet."},
		{rep, "/figures/", "No incident of these twelve months is on record."}, {manager, "/figures/", "Here will be, for each month that is over"},
		{manager, "/figures/", "A safety rep of every site publishes a month when it is over."},
		{rep, "/editions/", "No month is published yet."}, {manager, "/editions/", "No month is published yet."}, {rep, "/incidents/floods/", "There was no flood in these days."},
	} {
		main := k.page(c.who, c.path, 200).Document(t).Find("main")
		if !strings.Contains(main.Text(), c.says) || main.Find("svg.app-chart, table").Length() > 0 {
			t.Errorf("%s at %s, while there is nothing, reads:\n%s", c.who, c.path, main.Text())
		}
		main.Find("a").Each(func(_ int, a *goquery.Selection) {
			if to := a.AttrOr("href", ""); strings.HasPrefix(to, "/") && to != "/report/" && to != "/model/" { // those are others’
				k.page(c.who, to, 200)
			}
		})
	}

	fresh := k.file("leeds", nil)
	hazard := k.file("york", func(r *incident.Report) {
		r.Kind, r.Channel, r.Target, r.Precision = incident.KindMissingControl, incident.ChannelUnknown, incident.TargetUnknown, incident.PrecisionDay
		r.Details = incident.Details{FiledFor: incident.FiledForColleague, Control: incident.ControlScreen, Told: incident.ToldYes,
			Exposure: incident.ExposureSymptoms, Closeness: incident.ClosenessSameRoom}
	})
	facts := k.page(rep, "/incidents/"+hazard.ID, 200).Document(t).Find(".govuk-summary-list").Text()
	for _, want := range []string{"A colleague", "A screen or barrier", "Manager told?Yes", "Somebody who seemed ill", "Further away, in the same room"} {
		if !strings.Contains(facts, want) {
			t.Errorf("the rep is not shown %q:\n%s", want, facts)
		}
	}
	days, silent := 3, k.Report(incident.SiteUnlisted)
	silent.Narrative, silent.SiteName, silent.Hurt, silent.DaysUnable, silent.PeopleAffected = "", "Demo annexe", incident.HurtYes, &days, 2
	silent.Contact = incident.Contact{Choice: incident.ContactMayBeNamed, Name: "Demo Reporter", Details: "extension 1"}
	k.apply(k.Filed(silent)) // nobody has read it
	closed := k.file("leeds", nil)
	closed, err := k.cases.Close(t.Context(), closed.ID, closed.Rev, incident.Actor{Role: "rep", Name: rep}, false, "There was nothing to be done.")
	if err != nil {
		t.Fatal(err)
	}
	user := k.userID(leeds)
	month := incident.MonthOf(fresh.OccurredAt)
	for _, c := range []struct {
		who, path string
		want      int
	}{
		{nobody, "/sign-in/", 200}, {nobody, "/sign-in/?next=%2Ffigures%2F", 200},
		{nobody, "/setup", 403}, {nobody, "/setup?token=nonsense", 403},
		{rep, "/incidents/", 200}, {rep, "/incidents/?status=closed", 200}, {rep, "/incidents/?month=2001-01", 200}, {rep, "/incidents/?status=withdrawn", 200},
		{rep, "/incidents/?status=review&channel=in_person&site=leeds&month=" + month.String(), 200},
		{rep, "/incidents/?status=nonsense", 422}, {rep, "/incidents/?colour=red", 422}, {rep, "/incidents/?cursor=nonsense", 422},
		{leeds, "/incidents/", 200}, {leeds, "/incidents/?site=york", 422},
		{rep, "/incidents/" + fresh.ID, 200}, {rep, "/incidents/" + hazard.ID, 200}, {rep, "/incidents/" + k.incidentOf(silent.ID).ID, 200},
		{rep, "/incidents/" + closed.ID, 200}, {rep, "/incidents/nonsense", 404}, {leeds, "/incidents/" + hazard.ID, 404},
		{rep, "/figures/?month=" + month.String(), 200}, {leeds, "/figures/?month=" + month.String(), 200}, {manager, "/figures/?month=" + month.String(), 200},
		{rep, "/figures/?month=2001-01", 200}, {rep, "/figures/?month=9999-12", 200}, {rep, "/figures/?month=2026-13", 422}, {rep, "/figures/?month=2026-10&month=2026-09", 422}, {rep, "/figures/?month=1999-12", 422}, {rep, "/figures/?colour=red", 422}, {manager, "/figures/?month=x", 422},
		{admin, "/people/", 200}, {admin, "/people/add/", 200}, {admin, "/people/" + user, 200}, {admin, "/people/nonsense", 404},
		{admin, "/sites/", 200},
		{admin, "/incidents/", 403}, {manager, "/incidents/" + fresh.ID, 403}, {admin, "/figures/", 403},
	} {
		k.page(c.who, c.path, c.want)
	}
}

// Whoever may not open something is led to what they may, and whoever must sign
// in first comes to what they asked for.
func TestRefusedPagesLeadOn(t *testing.T) {
	k := newKit(t)
	for who, want := range map[string]string{admin: "/people/", manager: "/figures/"} {
		if got := k.page(who, "/incidents/", 403).Document(t).Find("main a").AttrOr("href", ""); got != want {
			t.Errorf("%s is led to %q, want %q", who, got, want)
		}
	}
	lost := k.page(rep, "/nowhere", 404).Document(t)
	if to := lost.Find("main a").AttrOr("href", ""); to != "/incidents/" || lost.Find(".app-sign-out").Length() != 1 {
		t.Errorf("a rep at a page that does not exist is led to %q, signed in %d", to, lost.Find(".app-sign-out").Length())
	}
	res := k.get(nobody, "/figures/?month=2026-08")
	if to, err := url.Parse(res.Header.Get("Location")); err != nil || to.Query().Get("next") != "/figures/?month=2026-08" {
		t.Errorf("to sign in first: %d to %v", res.StatusCode, to)
	}
	res = k.get(nobody, "/figures/?month="+strings.Repeat("%41", 700))
	if to := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || to != "/sign-in/" {
		t.Errorf("to sign in first, from a long address: %d to %d bytes", res.StatusCode, len(to))
	}
}

// What happened nobody knows when or where is shown as that, and counted when it
// was reported, until a rep knows.
func TestNobodyKnowsWhenOrWhere(t *testing.T) {
	k := newKit(t)
	i := k.file(incident.SiteUnlisted, func(r *incident.Report) {
		r.Precision, r.SiteName = incident.PrecisionUnknown, ""
		r.OccurredAt = time.Date(2026, 10, 30, 9, 0, 0, 0, time.UTC)
	})
	path := incidentsPath + i.ID
	doc := k.page(rep, path, 200).Document(t)
	facts := doc.Find(".govuk-summary-list").Text()
	for _, want := range []string{"SiteNot in the list, or not known", "HappenedNot known when (reported Fri 30 Oct 2026)", "Counts inOctober 2026, in which it was reported", "Site as reportedNo name given"} {
		if !strings.Contains(facts, want) {
			t.Errorf("the rep is not shown %q:\n%s", want, facts)
		}
	}
	if lede := doc.Find("main").Text(); !strings.Contains(lede, "In person. Site not in the list, or not known. Not known when (reported Fri 30 Oct 2026).") {
		t.Errorf("the first sentence is missing:\n%s", lede)
	}
	if when := doc.Find("#occurred_at").AttrOr("value", "none"); when != "" {
		t.Errorf("the form says that it happened at %q", when)
	}
	for list, want := range map[string]int{"/incidents/?site=unlisted": 1, "/incidents/?site=leeds": 0, "/incidents/?month=2026-10": 1} {
		found := k.page(rep, list, 200).Document(t).Find("main").Text()
		if strings.Count(found, "Not known when (reported Fri 30 Oct") != want {
			t.Errorf("%s does not show %d:\n%s", list, want, found)
		}
	}
	// The time that it was reported is one that somebody can mean.
	res := k.post(rep, path+"/classify", with(seenOf(i), "occurred_at", "2026-10-30T09:00", "occurred_precision", "about", "site", "leeds"))
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d %s", res.StatusCode, res.Body)
	}
	doc = k.page(rep, path, 200).Document(t)
	if got := doc.Find(".app-timeline").Text(); !strings.Contains(got, "Not known when (reported Fri 30 Oct 2026)") || !strings.Contains(got, "About Fri 30 Oct 2026, 9:00am") {
		t.Errorf("the history does not say what was learned:\n%s", got)
	}
	if when := doc.Find("#occurred_at").AttrOr("value", ""); when != "2026-10-30T09:00" {
		t.Errorf("the form says that it happened at %q", when)
	}
}

func TestFormsThatAreRefusedKeepWhatWasTyped(t *testing.T) {
	k := newKit(t)
	i := k.file("leeds", nil)
	path := incidentsPath + i.ID
	for _, c := range []struct {
		who, path string
		form      url.Values
		want      int
		selector  string // where what was typed must stand
		typed     string
	}{
		{nobody, "/sign-in/", url.Values{"name": {"Demo Typist"}}, 422, "#name", "Demo Typist"},
		{nobody, "/sign-in/", url.Values{"name": {"Demo Typist"}, "password": {"wrong"}}, 401, "#name", "Demo Typist"},
		{admin, "/people/", url.Values{"name": {"Demo Typist"}, "role": {"rep"}, "scope": {"these"}, "sites": {"york"}, "password": {"short"}}, 422, "#name", "Demo Typist"},
		{admin, "/people/", url.Values{"name": {rep}, "role": {"manager"}, "password": {demoPassword}}, 422, "#name", rep},
		{admin, "/people/" + k.userID(leeds) + "/password", url.Values{"password": {"short"}}, 422, "", ""},
		{admin, "/people/" + k.userID(admin) + "/disable", nil, 409, "", ""},
		{rep, path + "/note", with(seenOf(i), "note", "  "), 422, "", ""},
		{rep, path + "/close", with(seenOf(i), "reason", "A reason."), 422, "#close-reason", "A reason."},
		{rep, path + "/close", with(seenOf(i), "fixed", "true"), 422, "#fixed[checked]", "true"},
		{rep, path + "/reopen", with(seenOf(i), "reason", "A reason."), 409, "", ""},
		{rep, path + "/classify", with(seenOf(i), "reason", "A reason."), 422, "#correct-reason", "A reason."},
		{rep, path + "/classify", with(seenOf(i), "kind", "nonsense", "site", "nowhere", "occurred_at", "yesterday", "hurt", "x"), 422, "#occurred_at", "yesterday"},
		{rep, path + "/status", with(seenOf(i), "status", "new"), 422, "", ""},
		{rep, path + "/set-aside", with(seenOf(i), "reason", "\x01typed"), 422, "#set-aside-reason", "\x01typed"},
		{rep, path + "/take-back", with(seenOf(i), "reason", "A reason."), 409, "", ""},
	} {
		res := k.post(c.who, c.path, c.form)
		k.check(c.path, res, c.want)
		doc := res.Document(t)
		if doc.Find(".govuk-error-summary").Length() != 1 || !strings.HasPrefix(doc.Find("title").Text(), "Error: ") {
			t.Errorf("%s: no error summary, or the title does not say so: %q", c.path, doc.Find("title").Text())
		}
		if c.selector != "" {
			field := doc.Find(c.selector)
			if got := field.AttrOr("value", strings.TrimSpace(field.Text())); got != c.typed {
				t.Errorf("%s: %s holds %q, want %q", c.path, c.selector, got, c.typed)
			}
		}
	}
	if got := k.incidentOf(i.Reports[0].ID).Rev; got != i.Rev {
		t.Errorf("rev=%d after refused changes, want %d", got, i.Rev)
	}
}

func TestARepWorksThroughAnIncident(t *testing.T) {
	k := newKit(t)
	i := k.file("leeds", func(r *incident.Report) { r.Target = incident.TargetUnknown })
	path := incidentsPath + i.ID
	for _, step := range []struct {
		action string
		form   []string
		says   string
		status incident.Status
	}{
		{"acknowledge", nil, "Acknowledged", incident.StatusAcknowledged},
		{"classify", []string{"kind", "threat", "target", "named_person", "reason", "The second sentence says so."}, "The second sentence says so.", incident.StatusAcknowledged},
		{"note", []string{"note", "Spoke to the site’s manager."}, "Spoke to the site’s manager.", incident.StatusAcknowledged},
		{"status", []string{"status", "action_agreed"}, "action agreed", incident.StatusActionAgreed},
		{"close", []string{"fixed", "true", "reason", "A screen was fitted."}, "A screen was fitted.", incident.StatusClosedFixed},
		{"reopen", []string{"reason", "It was taken away again."}, "It was taken away again.", incident.StatusReopened},
		{"set-aside", []string{"reason", "Nobody of that name works here."}, "Nobody of that name works here.", incident.StatusSetAside},
		{"take-back", []string{"reason", "Somebody does."}, "Somebody does.", incident.StatusReopened},
	} {
		i = k.incidentOf(i.Reports[0].ID)
		res := k.post(rep, path+"/"+step.action, with(seenOf(i), step.form...))
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != path {
			t.Fatalf("%s: status=%d to %q, want 303 to %s", step.action, res.StatusCode, res.Header.Get("Location"), path)
		}
		notice := ""
		for _, c := range res.Cookies() {
			notice += "; " + c.Name + "=" + c.Value
		}
		shown := k.get(rep, path, "Cookie", k.cookies[rep]+notice)
		k.check(path, shown, 200)
		doc := shown.Document(t)
		if doc.Find(".govuk-notification-banner").Length() != 1 {
			t.Errorf("%s: the page does not say that it was done", step.action)
		}
		if !strings.Contains(doc.Find(".app-timeline").Text(), step.says) {
			t.Errorf("%s: the history does not say %q", step.action, step.says)
		}
		if got := k.incidentOf(i.Reports[0].ID).Status; got != step.status {
			t.Errorf("%s: status=%s, want %s", step.action, got, step.status)
		}
	}
	doc := k.page(rep, path, 200).Document(t)
	if got := doc.Find("h1").Text(); !strings.HasPrefix(got, "Threat") {
		t.Errorf("h1=%q, want the corrected kind", got)
	}
	if got := doc.Find(".app-opinions tbody tr").First().Text(); !strings.Contains(got, "Abuse") || !strings.Contains(got, "Threat") {
		t.Errorf("the first row of opinions is %q, want the reporter’s abuse and the reviewer’s threat side by side", got)
	}
}

// Every number beside the total opens the incidents that it counts.
func TestNumbersBesideTheTotalOpenTheirIncidents(t *testing.T) {
	k := newKit(t)
	var month string
	for n, channel := range []incident.Channel{incident.ChannelPhone, incident.ChannelPhone, incident.ChannelPublicOnline, incident.ChannelPrivateMessage, incident.ChannelLetter, incident.ChannelPhone} {
		i := k.file("leeds", func(r *incident.Report) {
			if r.Channel = channel; n > 3 {
				r.Precision = incident.PrecisionUnknown
			}
		})
		month = i.Month().String()
		if n < 3 {
			k.apply(k.Added(i.Reports[0].ID, onrecordv1.Addition_ADDITION_NOTHING_HAPPENED, ""))
		}
		if n%2 == 1 {
			i = k.incidentOf(i.Reports[0].ID)
			if res := k.post(rep, incidentsPath+i.ID+"/set-aside", with(seenOf(i), "reason", "Made up.")); res.StatusCode != http.StatusSeeOther {
				t.Fatalf("set aside: status=%d", res.StatusCode)
			}
		}
	}
	doc := k.page(rep, "/figures/?month="+month, 200).Document(t)
	var rows []string
	doc.Find(".app-beside tbody tr").Each(func(_ int, row *goquery.Selection) {
		var cells []string
		row.Children().Each(func(_ int, cell *goquery.Selection) { cells = append(cells, strings.TrimSpace(cell.Text())) })
		rows = append(rows, strings.Join(cells, " "))
	})
	want := "In person 0 0 0; Phone 1 0 2; Letter 0 1 0; Online 1 0 1; Does not apply 0 0 0; Not known 0 0 0; All 2 1 3"
	if got := strings.Join(rows, "; "); got != want {
		t.Errorf("beside the total stands %q, want %q", got, want)
	}
	links := doc.Find(".app-beside a")
	if links.Length() != 8 {
		t.Errorf("%d numbers open, want 8", links.Length())
	}
	links.Each(func(_ int, a *goquery.Selection) {
		list := k.page(rep, a.AttrOr("href", ""), 200).Document(t)
		if got := fmt.Sprint(list.Find(".app-list tbody tr").Length()); got != a.Text() {
			t.Errorf("%s opens %s incidents, and says %s", a.AttrOr("href", ""), got, a.Text())
		}
		for _, filter := range []string{"nothing_happened", "undated"} {
			if strings.Contains(a.AttrOr("href", ""), filter) && list.Find("#"+filter+" option[selected]").AttrOr("value", "") != "true" {
				t.Errorf("%s: the list does not say how it was chosen", a.AttrOr("href", ""))
			}
		}
	})
}

func TestAStaleFormShowsWhatChanged(t *testing.T) {
	k := newKit(t)
	i := k.file("leeds", nil)
	if _, err := k.cases.Note(t.Context(), i.ID, i.Rev, incident.Actor{Role: "rep", Name: "Demo Other Rep"}, "I called them."); err != nil {
		t.Fatal(err)
	}
	res := k.post(leeds, incidentsPath+i.ID+"/note", with(seenOf(i), "note", "Mine, half an hour of work."))
	k.check("stale note", res, 412)
	doc := res.Document(t)
	if got := doc.Find(".app-changed").Text(); !strings.Contains(got, "I called them.") || strings.Contains(got, "Reported") {
		t.Errorf("what changed=%q, want the other rep’s note and nothing older", got)
	}
	if got := doc.Find("#note").Text(); got != "Mine, half an hour of work." {
		t.Errorf("note=%q, want what was typed", got)
	}
	if got, want := doc.Find(`form[action$="/note"] input[name=rev]`).AttrOr("value", ""), fmt.Sprint(i.Rev+1); got != want {
		t.Errorf("rev=%s, want %s, so that saving again works", got, want)
	}
}

func TestTheDrivingWordsAreMarked(t *testing.T) {
	k := newKit(t)
	i := k.file("leeds", func(r *incident.Report) { r.Narrative = "shouted <b>at</b> everybody\nand left" })
	doc := k.page(rep, incidentsPath+i.ID, 200).Document(t)
	if got := doc.Find(".app-quote mark").Text(); got != "shouted" {
		t.Errorf("marked=%q, want shouted", got)
	}
	if got := doc.Find(".app-quote").Text(); got != "shouted <b>at</b> everybody\nand left" {
		t.Errorf("quote=%q, want the account unchanged", got)
	}
}

func TestOthersSitesAreNotFound(t *testing.T) {
	k := newKit(t)
	theirs, own := k.file("york", nil), k.file("leeds", nil)
	for _, path := range []string{incidentsPath + theirs.ID, "/api/v1" + incidentsPath + theirs.ID} {
		if got := k.get(leeds, path); got.StatusCode != 404 {
			t.Errorf("GET %s: status=%d, want 404", path, got.StatusCode)
		}
		for _, action := range actions {
			res := k.postJSON(leeds, path+"/"+action, `{}`, "If-Match", etag(theirs.Rev))
			if !strings.HasPrefix(path, "/api/") {
				res = k.post(leeds, path+"/"+action, with(seenOf(theirs), "note", "x", "reason", "x", "fixed", "true", "kind", "threat", "status", "in_review"))
			}
			if res.StatusCode != 404 {
				t.Errorf("POST %s/%s: status=%d, want 404", path, action, res.StatusCode)
			}
		}
	}
	if got := k.incidentOf(theirs.Reports[0].ID).Rev; got != theirs.Rev {
		t.Errorf("rev=%d, want %d: somebody else’s rep changed it", got, theirs.Rev)
	}
	for _, path := range []string{"/incidents/", "/api/v1/incidents", "/figures/?month=" + own.Month().String()} {
		if body := k.get(leeds, path).Body; strings.Contains(body, theirs.ID) || strings.Contains(body, theirs.Ref) {
			t.Errorf("%s names an incident at another’s site", path)
		}
	}
	if got := k.get(leeds, "/figures/?month="+own.Month().String()).Document(t).Find("h1").Text(); !strings.Contains(got, ": 1 incident") {
		t.Errorf("h1=%q, want the one incident of their own site", got)
	}
}

// hostile is text that a page without escaping would run.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</textarea><svg onload=alert(1)>`,
	`</title><script>alert(1)</script>`, `javascript:alert(1)`, `{{.Data}}{{template "chart"}}`, `<!--<a href="javascript:alert(1)">`, `&lt;script&gt;`, "\u2028</mark><b>",
}

func TestNothingAnybodyWritesRunsOnAnyPage(t *testing.T) {
	k := newKit(t)
	ctx := t.Context()
	for n, bad := range hostile {
		site := demoSites[0]
		site.ID, site.Name, site.Kind, site.Region, site.Employer = fmt.Sprintf("hostile-%d", n), bad, bad, bad, bad
		if err := k.store.PutSites(ctx, append(slices.Clone(demoSites), site)); err != nil {
			t.Fatal(err)
		}
		if err := k.loadDirectory(ctx); err != nil {
			t.Fatal(err)
		}
		name := strings.ReplaceAll(bad, "\u2028", "") + fmt.Sprint(n)
		if err := k.AddUser(ctx, NewUser{Name: name, Role: "rep", Sites: []string{site.ID}, Password: demoPassword}); err != nil {
			t.Fatal(err)
		}
		i := k.file(site.ID, func(r *incident.Report) {
			r.Narrative, r.SiteName, r.Employer = bad, bad, bad
			r.Contact = incident.Contact{Choice: incident.ContactRepOnly, Name: bad, Details: bad}
		})
		if _, err := k.cases.Note(ctx, i.ID, i.Rev, incident.Actor{Role: "rep", Name: name}, bad); err != nil {
			t.Fatal(err)
		}
		k.signInAs(name)
		path := incidentsPath + i.ID
		pages := map[string]webtest.Response{
			"list":       k.get(name, "/incidents/"),
			"incident":   k.get(name, path),
			"stale":      k.post(name, path+"/close", with(seenOf(i), "reason", bad, "fixed", bad)),
			"refused":    k.post(name, path+"/classify", with(seenOf(k.incidentOf(i.Reports[0].ID)), "reason", bad, "kind", bad, "site", bad, "occurred_at", bad)),
			"figures":    k.get(name, "/figures/?month="+i.Month().String()),
			"people":     k.get(admin, "/people/"),
			"person":     k.get(admin, "/people/"+k.userID(name)),
			"add":        k.post(admin, "/people/", url.Values{"name": {bad}, "role": {bad}, "scope": {bad}, "sites": {bad}}),
			"sites":      k.get(admin, "/sites/"),
			"import":     k.importFile(t, sitesHeader+bad+","+bad),
			"sign in":    k.post(nobody, "/sign-in/", url.Values{"name": {bad}, "next": {bad}}),
			"setup":      k.get(nobody, "/setup?token="+url.QueryEscape(bad)),
			"bad filter": k.get(rep, "/incidents/?"+url.Values{bad: {bad}, "status": {bad}}.Encode()),
			"bad month":  k.get(rep, "/figures/?month="+url.QueryEscape(bad)),
		}
		for page, res := range pages {
			harmless(t, page+" with "+bad, res.Document(t))
		}
		if got := pages["incident"].Document(t).Find(".app-quote").Text(); got != bad {
			t.Errorf("the quote is %q, want %q", got, bad)
		}
	}
}

// harmless fails for a page with an element or attribute that is not ours.
func harmless(t *testing.T, name string, doc *goquery.Document) {
	t.Helper()
	if n := doc.Find("script:not([src]), img, iframe, object, embed, base, b:not(.app-timeline b), main script, main link, main meta").Length(); n > 0 {
		t.Errorf("%s: %d elements that are not ours", name, n)
	}
	doc.Find("*").Each(func(_ int, s *goquery.Selection) {
		for _, a := range s.Nodes[0].Attr {
			if strings.HasPrefix(strings.ToLower(a.Key), "on") || a.Key == "style" ||
				(a.Key == "href" || a.Key == "action" || a.Key == "src") && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") {
				t.Errorf("%s: <%s %s=%q>", name, goquery.NodeName(s), a.Key, a.Val)
			}
		}
	})
	if n := doc.Find("svg [onload], svg script").Length(); n > 0 {
		t.Errorf("%s: a drawing that runs", name)
	}
}

func (k *kit) userID(name string) string {
	k.tb.Helper()
	u, err := k.people.UserByName(k.tb.Context(), name)
	if err != nil {
		k.tb.Fatal(err)
	}
	return u.ID
}

// importFile uploads a file of sites as an administrator's browser does.
func (k *kit) importFile(t *testing.T, csv string) webtest.Response {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	part, err := m.CreateFormFile("file", "sites.csv")
	if err == nil {
		_, err = part.Write([]byte(csv))
	}
	if err == nil {
		err = m.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return webtest.Do(t, k.app, "POST", "/sites/", b.String(), append(k.as(admin), "Content-Type", m.FormDataContentType(), "Accept", "text/html", "Sec-Fetch-Site", "same-origin")...)
}

const sitesHeader = "id,name,kind,postcode,region,employer,staff\n"

func TestSitesAreImportedWholeOrNotAtAll(t *testing.T) {
	k := newKit(t)
	res := k.importFile(t, sitesHeader+"hull,Demo Hull,,,,,12\nbad id,Demo Bad,,,,,12\nselby,,,,,,many\n")
	k.check("import", res, 422)
	problems := res.Document(t).Find(".app-problems").Text()
	if !strings.Contains(problems, "Line 3") || !strings.Contains(problems, "Line 4") {
		t.Errorf("problems=%q, want lines 3 and 4 named", problems)
	}
	if k.directory.Load().knows("hull") {
		t.Error("half the file was imported")
	}
	for _, empty := range []string{"", "id,name\nhull,Demo Hull\n"} {
		k.check("empty file", k.importFile(t, empty), 422)
	}
	if res := k.importFile(t, sitesHeader+"hull,Demo Hull,,,,Demo Harbour,12\n"); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("status=%d, want 303: %s", res.StatusCode, res.Body)
	}
	if !k.directory.Load().knows("hull") || k.directory.Load().employer("demo harbour") != "Demo Harbour" {
		t.Error("the site, or its employer, is not known at once")
	}
	published := make(chan []byte, 1)
	if err := k.bus.WatchDirectory(t.Context(), func(data []byte) { published <- data }); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(<-published, []byte("Demo Hull")) {
		t.Error("intake was not given the site")
	}
	k.page(admin, "/sites/", 200)
}

func TestAReportOnTheStreamAppearsToTheRep(t *testing.T) {
	k := newKit(t)
	k.run()
	r := k.Report("leeds")
	r.Narrative = "threw a chair at the screen"
	k.publish(k.Classified(r.ID, "demo-1", incident.KindAttemptedAssault, incident.ChannelInPerson, incident.TargetNamedPerson), k.Filed(r))
	runtest.Eventually(t, time.Minute, func() error {
		if res := k.get(leeds, "/incidents/"); !strings.Contains(res.Body, "threw a chair at the screen") {
			return fmt.Errorf("the list does not show the report: %w", errNotYet)
		}
		return nil
	})
	runtest.Eventually(t, time.Minute, func() error {
		if got := k.incidentOf(r.ID); len(got.Readings) == 0 {
			return fmt.Errorf("the machine’s reading is not there: %w", errNotYet)
		}
		return nil
	})
	if got := k.get(leeds, "/figures/?month="+incident.MonthOf(r.OccurredAt).String()).Document(t).Find("h1").Text(); !strings.Contains(got, ": 1 incident") {
		t.Errorf("h1=%q, want 1 incident", got)
	}
	if res := k.get(manager, "/figures/?month="+incident.MonthOf(r.OccurredAt).String()); strings.Contains(res.Body, "threw") {
		t.Error("a manager sees words")
	}
	v, err := k.Verify(t.Context(), func(int, int) {})
	if err != nil || v.Incidents != 1 || len(v.Differences) > 0 {
		t.Errorf("verify=%+v %v, want one incident and no difference", v, err)
	}
}

func TestWaitingTooLongIsSaid(t *testing.T) {
	k := newKit(t)
	k.file("leeds", nil)
	now := time.Now().Add(lateAfter + time.Hour)
	i := k.file("leeds", nil)
	k.now = func() time.Time { return now }
	if r := k.row(i, k.directory.Load()); !r.Late || r.Waiting != "2 days" {
		t.Errorf("late=%v waiting=%q, want late for 2 days", r.Late, r.Waiting)
	}
}
