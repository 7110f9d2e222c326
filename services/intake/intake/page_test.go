package intake_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/web/webtest"
)

// filled is the form as a person fills it, with what the page brought.
func filled(id string, change ...string) url.Values {
	v := url.Values{"id": {id}, "form_version": {"report/1"}, "kind": {"abuse"}, "channel": {"in_person"}, "target": {"named_person"},
		"site": {"leeds"}, "when": {"today"}, "time": {"09:30"}, "hurt": {"no"}, "narrative": {"He shouted <b>at</b> me & “swore”."}, "contact": {"anonymous"}}
	for i := 0; i+1 < len(change); i += 2 {
		v.Set(change[i], change[i+1])
	}
	return v
}

func (p *program) postForm(tb testing.TB, form url.Values, headers ...string) webtest.Response {
	tb.Helper()
	return webtest.PostForm(tb, p.app, "/report/", form, headers...)
}

func TestEveryPageKeepsTheRules(t *testing.T) {
	few, many := start(t), start(t, manySites()...)
	for name, get := range map[string]func() webtest.Response{
		"report in Welsh":     func() webtest.Response { return webtest.Get(t, few.app, "/report/", "Accept-Language", "cy") },
		"report, few sites":   func() webtest.Response { return webtest.Get(t, few.app, "/report/") },
		"report, many sites":  func() webtest.Response { return webtest.Get(t, many.app, "/report/") },
		"report, with errors": func() webtest.Response { return few.postForm(t, url.Values{"when": {"day"}, "site": {"unlisted"}}) },
		"many, with errors":   func() webtest.Response { return many.postForm(t, url.Values{}) },
		"every error": func() webtest.Response {
			return few.postForm(t, filled("x", "kind", "rude", "channel", "x", "target", "x", "site", "x", "when", "x", "hurt", "x", "narrative", "\x00",
				"people_affected", "x", "days_unable", "x", "employer", "\x00", "contact", "x"))
		},
		"receipt gone": func() webtest.Response { return webtest.Get(t, few.app, "/report/received") },
		"follow up":    func() webtest.Response { return webtest.Get(t, few.app, "/follow-up/") },
		"follow up, wrong": func() webtest.Response {
			return webtest.PostForm(t, few.app, "/follow-up/", url.Values{"receipt": {"x"}})
		},
		"privacy":              func() webtest.Response { return webtest.Get(t, few.app, "/privacy/") },
		"accessibility":        func() webtest.Response { return webtest.Get(t, few.app, "/accessibility/") },
		"an address with none": func() webtest.Response { return webtest.Get(t, few.app, "/nowhere/") },
	} {
		t.Run(name, func(t *testing.T) {
			webtest.CheckPage(t, get().Document(t))
		})
	}
}

func TestThePrivacyPageNamesEveryCookie(t *testing.T) {
	page := webtest.Get(t, start(t).app, "/privacy/").Body
	for _, name := range []string{"receipt", "language", "session", "notice"} {
		if !strings.Contains(page, web.CookieName(name, false)) {
			t.Errorf("the page does not name %s", web.CookieName(name, false))
		}
	}
	if !strings.Contains(page, "ends after ten minutes") {
		t.Error("the page does not say how long the receipt’s cookie lasts")
	}
}

func TestTheFormHasStableNames(t *testing.T) {
	p := start(t)
	got := webtest.Get(t, p.app, "/report/")
	if got.StatusCode != 200 || got.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("%d Cache-Control=%q", got.StatusCode, got.Header.Get("Cache-Control"))
	}
	doc := got.Document(t)
	for _, selector := range []string{"form#report-form[method=post][action='/report/']", "input[name=id][value]", "input[name=receipt]", "input[name=pressed_at]", "input[name=sent_at]",
		"input#kind[type=radio]", "input#channel[type=radio]", "input#target[type=radio]", "input#site[type=radio]", "input#when[value=now]", "input#when-today", "input#when-day", "input#when-unknown", "input#site-not_sure", "details input#filed_for-unknown",
		"input#site-unlisted", "input#site_name", "input#day", "input#month", "input#year", "input#time[type=time]", "input#hurt", "textarea#narrative",
		"details input#people_affected", "details input#days_unable", "details input#employer", "details input#contact[checked]", "details input#filed_for", "input#control[type=radio]", "input#manager_told", "input#exposure", "input#exposure_closeness", "input[name=language][value=en]", "input#kind-unknown", "button.app-send", "[data-trouble]", "a[href='tel:999']"} {
		if n := doc.Find(selector).Length(); n != 1 {
			t.Errorf("%s: %d of them, want 1", selector, n)
		}
	}
	if doc.Find("details[open]").Length() != 0 {
		t.Error("the optional part is open")
	}
	other := webtest.Get(t, p.app, "/report/").Document(t)
	if id := doc.Find("input[name=id]").AttrOr("value", ""); id == other.Find("input[name=id]").AttrOr("value", "") {
		t.Errorf("two pages have the id %s", id)
	}
	if named := webtest.Get(t, p.app, "/report/?site=york").Document(t); named.Find("input[name=site]:checked, input[name=site][checked]").AttrOr("value", "") != "york" {
		t.Error("a poster's site is not chosen")
	}
}

func TestFilingByForm(t *testing.T) {
	p := start(t)
	id := newID(t)
	got := p.postForm(t, filled(id))
	if got.StatusCode != 303 || got.Header.Get("Location") != "/report/received" {
		t.Fatalf("%d %s %s", got.StatusCode, got.Header.Get("Location"), got.Body)
	}
	e, words, _ := p.filed(t, id)
	f := e.GetReportFiled()
	if f.GetOccurredPrecision() != "about" || !f.GetOccurredAt().AsTime().Equal(time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)) || f.GetFormVersion() != "report/1" || words.GetNarrative() != "He shouted <b>at</b> me & “swore”." {
		t.Errorf("event=%v words=%v", f, words)
	}

	cookie := got.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 600 || strings.Contains(cookie.Value, id) {
		t.Errorf("cookie=%v", cookie)
	}
	page := webtest.Get(t, p.app, "/report/received", "Cookie", cookie.Name+"="+cookie.Value)
	doc := page.Document(t)
	webtest.CheckPage(t, doc)
	receipt := doc.Find("#receipt-code").Text()
	if doc.Find("h1").Text() != "Report received" || len(receipt) != 19 || !strings.Contains(doc.Text(), "Saturday 21 November 2026, 12:00pm") {
		t.Errorf("receipt=%q page=%s", receipt, doc.Find("main").Text())
	}
	if page.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control=%q", page.Header.Get("Cache-Control"))
	}

	again := p.postForm(t, filled(id)) // the button pressed twice
	if again.StatusCode != 303 {
		t.Errorf("again: %d", again.StatusCode)
	}
	same := webtest.Get(t, p.app, "/report/received", "Cookie", again.Cookies()[0].Name+"="+again.Cookies()[0].Value).Document(t)
	if got := same.Find("#receipt-code").Text(); got != receipt {
		t.Errorf("receipt=%q the second time, want %q", got, receipt)
	}

	p.now = func() time.Time { return testNow.Add(11 * time.Minute) }
	if late := webtest.Get(t, p.app, "/report/received", "Cookie", cookie.Name+"="+cookie.Value); strings.Contains(late.Body, receipt) {
		t.Error("the receipt is shown after ten minutes")
	}
	p.now = func() time.Time { return testNow }
	if forged := webtest.Get(t, p.app, "/report/received", "Cookie", cookie.Name+"=x"+cookie.Value); forged.StatusCode != 200 || strings.Contains(forged.Body, receipt) {
		t.Errorf("a forged cookie: %d", forged.StatusCode)
	}
}

func TestErrorsStandWhereTheyBelongAndNothingTypedIsLost(t *testing.T) {
	p := start(t)
	id := newID(t)
	got := p.postForm(t, filled(id, "site", "unlisted", "site_name", "", "when", "day", "day", "31", "month", "June", "year", "2026", "days_unable", "lots", "employer", "Example & Sons"))
	if got.StatusCode != 422 {
		t.Fatalf("status=%d", got.StatusCode)
	}
	doc := got.Document(t)
	if title := doc.Find("title").Text(); !strings.HasPrefix(title, "Error: ") {
		t.Errorf("title=%q", title)
	}
	var summary []string
	doc.Find(".govuk-error-summary [role=alert] a, .govuk-error-summary a").Each(func(_ int, a *goquery.Selection) { summary = append(summary, a.AttrOr("href", "")) })
	if want := []string{"#site_name", "#day", "#days_unable"}; !slices.Equal(slices.Compact(summary), want) {
		t.Errorf("summary=%v, want %v", summary, want)
	}
	for _, field := range []string{"site_name", "day", "days_unable"} {
		message := doc.Find("p#" + field + "-error.govuk-error-message")
		if message.Length() != 1 || message.Find(".govuk-visually-hidden").Text() != "Error:" {
			t.Errorf("%s: message %q", field, message.Text())
		}
		if doc.Find("#"+field).Closest(".govuk-form-group--error").Length() != 1 {
			t.Errorf("%s: its group is not marked", field)
		}
		if described := doc.Find(`[aria-describedby~="` + field + `-error"]`); described.Length() != 1 {
			t.Errorf("%s: described=%d, want 1", field, described.Length())
		}
	}
	for selector, want := range map[string]string{
		"input[name=id]": id, "#day": "31", "#month": "June", "#year": "2026", "#time": "09:30", "#days_unable": "lots", "#employer": "Example & Sons",
		"input[name=kind][checked]": "abuse", "input[name=channel][checked]": "in_person", "input[name=target][checked]": "named_person",
		"input[name=site][checked]": "unlisted", "input[name=when][checked]": "day", "input[name=hurt][checked]": "no", "input[name=contact][checked]": "anonymous",
	} {
		if got := doc.Find(selector).AttrOr("value", ""); got != want {
			t.Errorf("%s=%q, want %q", selector, got, want)
		}
	}
	if got := strings.TrimPrefix(doc.Find("#narrative").Text(), "\n"); got != "He shouted <b>at</b> me & “swore”." {
		t.Errorf("narrative=%q", got)
	}
	if doc.Find("form[data-kept]").Length() != 1 || doc.Find("details[open]").Length() != 1 {
		t.Error("the page must keep its id, and open the part with an error")
	}
}

func TestAStoppedStreamKeepsWhatWasTyped(t *testing.T) {
	b, nc := bustest.NewConn(t)
	p := startOn(t, b)
	nc.Close()
	id := newID(t)
	got := p.postForm(t, filled(id))
	doc := got.Document(t)
	webtest.CheckPage(t, doc)
	if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("status=%d Retry-After=%q", got.StatusCode, got.Header.Get("Retry-After"))
	}
	if text := doc.Find(".govuk-error-summary").Text(); !strings.Contains(text, "Everything you typed is still below") {
		t.Errorf("summary=%q", text)
	}
	if doc.Find("input[name=id]").AttrOr("value", "") != id || !strings.Contains(doc.Find("#narrative").Text(), "He shouted") {
		t.Error("what was typed is lost")
	}

	script := p.postForm(t, filled(id), "Accept", "application/json")
	if script.StatusCode != 503 || script.Header.Get("Content-Type") != "application/problem+json" || script.Header.Get("Retry-After") == "" {
		t.Errorf("to the script: %d %s", script.StatusCode, script.Body)
	}
}

func TestTheFormsOwnScriptIsAnsweredInJSON(t *testing.T) {
	p := start(t)
	id := newID(t)
	bad := p.postForm(t, filled(id, "when", "day", "day", "x"), "Accept", "application/json")
	problem := decode[web.Problem](t, bad.Body)
	if bad.StatusCode != 422 || len(problem.Errors) != 1 || problem.Errors[0].Name != "day" {
		t.Errorf("%d %s, want the form's own field", bad.StatusCode, bad.Body)
	}
	form := filled(id, "receipt", "0123-4567-89AB-CDEZ", "when", "now", "pressed_at", "2026-11-21T11:58:00.000Z", "sent_at", "2026-11-21T12:00:00.000Z")
	good := p.postForm(t, form, "Accept", "application/json")
	if a := decode[answer](t, good.Body); good.StatusCode != 201 || a.Receipt != "0123-4567-89AB-CDEZ" || len(good.Cookies()) != 1 {
		t.Errorf("%d %s", good.StatusCode, good.Body)
	}
	if again := p.postForm(t, form, "Accept", "application/json"); again.StatusCode != 200 || again.Body != good.Body {
		t.Errorf("again: %d %s", again.StatusCode, again.Body)
	}
	form.Set("narrative", "something else")
	if other := p.postForm(t, form, "Accept", "application/json"); other.StatusCode != 409 {
		t.Errorf("another report: %d %s", other.StatusCode, other.Body)
	}
}

func TestAnotherReportFromAPageThatWasSentGetsAnIdOfItsOwn(t *testing.T) {
	p := start(t)
	id := newID(t)
	p.postForm(t, filled(id))
	got := p.postForm(t, filled(id, "narrative", "The second one."))
	doc := got.Document(t)
	webtest.CheckPage(t, doc)
	fresh := doc.Find("input[name=id]").AttrOr("value", "")
	if got.StatusCode != 409 || fresh == id || fresh == "" || !strings.Contains(doc.Find("#narrative").Text(), "The second one.") {
		t.Errorf("status=%d id=%s", got.StatusCode, fresh)
	}
	if second := p.postForm(t, filled(fresh, "narrative", "The second one.")); second.StatusCode != 303 {
		t.Errorf("second: %d", second.StatusCode)
	}
}

func TestOtherContentIsNotTakenAsAForm(t *testing.T) {
	p := start(t)
	if got := webtest.Do(t, p.app, "POST", "/report/", "{}", "Content-Type", "application/json", "Accept", "text/html"); got.StatusCode != 415 {
		t.Errorf("JSON: %d", got.StatusCode)
	}
	if got := webtest.Do(t, p.app, "POST", "/report/", "a=%zz", "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html"); got.StatusCode != 400 {
		t.Errorf("unreadable: %d", got.StatusCode)
	}
	if got := p.postForm(t, filled(newID(t)), "Sec-Fetch-Site", "cross-site"); got.StatusCode != 403 {
		t.Errorf("from another site: %d", got.StatusCode)
	}
}

func TestAddressesLeadToTheForm(t *testing.T) {
	p := start(t)
	for path, want := range map[string]string{"/": "303 /report/", "/report": "301 /report/", "/follow-up": "301 /follow-up/", "/report?site=leeds&code=ABC": "301 /report/?site=leeds&code=ABC", "/privacy": "301 /privacy/"} {
		res := webtest.Get(t, p.app, path)
		if got := fmt.Sprintf("%d %s", res.StatusCode, res.Header.Get("Location")); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestManySitesAreAListThatWorksWithoutScript(t *testing.T) {
	p := start(t, manySites()...)
	doc := webtest.Get(t, p.app, "/report/").Document(t)
	if n := doc.Find("select#site[name=site][data-site-picker] option").Length(); n != 33 {
		t.Errorf("options=%d, want 30 sites, “Choose”, “Somewhere else” and “Not sure”", n)
	}
	if doc.Find("input[name=site]").Length() != 0 {
		t.Error("there are tiles as well")
	}
}

// TestNothingToxicIsLogged files and fails in every way with words that must
// appear nowhere.
func TestNothingToxicIsLogged(t *testing.T) {
	b, nc := bustest.NewConn(t)
	p := startOn(t, b)
	const canary = "Zanzibar"
	id := newID(t)
	words := `,"narrative":"` + canary + `","site_name":"` + canary + `","employer":"` + canary + `","contact":{"choice":"rep_only","name":"` + canary + `","details":"` + canary + `"}`
	first := p.post(t, report(id, words))
	p.post(t, report(id, words))
	p.post(t, report(id, strings.ReplaceAll(words, "rep_only", "may_be_named")))
	p.post(t, report(newID(t), `,"`+canary+`":"`+canary+`"`))
	p.post(t, `{"`+canary+`"`)
	p.postForm(t, filled(newID(t), "narrative", canary, "contact_name", canary, "when", canary))
	a := decode[answer](t, first.Body)
	webtest.PostForm(t, p.app, "/follow-up/", url.Values{"receipt": {a.Receipt}})
	nc.Close()
	p.post(t, report(newID(t), words))
	p.postForm(t, filled(newID(t), "narrative", canary))
	logs := p.logs.String()
	if !strings.Contains(logs, "report received") || !strings.Contains(logs, "a form was not received") {
		t.Errorf("the log says too little:\n%s", logs)
	}
	for _, secret := range []string{canary, id, a.Receipt} {
		if strings.Contains(logs, secret) {
			t.Errorf("%q is in the log:\n%s", secret, logs)
		}
	}
}

func TestALanguageIsChosenByALinkAndKept(t *testing.T) {
	p := start(t)
	lang := func(path string, headers ...string) string {
		return webtest.Get(t, p.app, path, headers...).Document(t).Find("html").AttrOr("lang", "")
	}
	if got := lang("/report/") + " " + lang("/report/", "Accept-Language", "cy-GB,cy;q=0.9,en;q=0.8") + " " + lang("/report/", "Accept-Language", "fr, cy;q=0.5"); got != "en-GB cy en-GB" {
		t.Errorf("nothing chosen: %s", got)
	}
	page := webtest.Get(t, p.app, "/follow-up/").Document(t)
	link := page.Find("a[data-language]")
	if link.Text() != "Cymraeg" || link.AttrOr("lang", "") != "cy" || link.AttrOr("hreflang", "") != "cy" {
		t.Errorf("the link is %q", link.Text())
	}
	chosen := webtest.Get(t, p.app, link.AttrOr("href", ""))
	if chosen.StatusCode != 303 || chosen.Header.Get("Location") != "/follow-up/" || len(chosen.Cookies()) != 1 {
		t.Fatalf("%d to %q", chosen.StatusCode, chosen.Header.Get("Location"))
	}
	cookie := chosen.Cookies()[0]
	if cookie.MaxAge != 365*24*3600 || !cookie.HttpOnly {
		t.Errorf("cookie=%v", cookie)
	}
	kept := []string{"Cookie", cookie.Name + "=" + cookie.Value, "Accept-Language", "en"}
	for _, path := range []string{"/report/", "/follow-up/", "/privacy/", "/accessibility/", "/nowhere/", "/report/received"} {
		got := webtest.Get(t, p.app, path, kept...)
		doc := got.Document(t)
		webtest.CheckPage(t, doc)
		if doc.Find("html").AttrOr("lang", "") != "cy" || doc.Find("a[data-language]").Text() != "English" {
			t.Errorf("%s is not in Welsh", path)
		}
		if !slices.Contains(got.Header["Vary"], "Cookie, Accept-Language") {
			t.Errorf("%s: Vary=%v", path, got.Header["Vary"])
		}
	}
	for _, c := range [][2]string{{"/language/cy?next=//evil.example", "/report/"}, {"/language/cy?next=https://evil.example/", "/report/"}, {"/language/en?next=/incidents/", "/report/"}, {"/language/en", "/report/"}} {
		if got := webtest.Get(t, p.app, c[0]); got.StatusCode != 303 || got.Header.Get("Location") != c[1] {
			t.Errorf("%s: %d to %q", c[0], got.StatusCode, got.Header.Get("Location"))
		}
	}
	if got := webtest.Get(t, p.app, "/language/fr"); got.StatusCode != 404 {
		t.Errorf("a language that there is not: %d", got.StatusCode)
	}
}

func TestMistakesAreNamedInWelsh(t *testing.T) {
	p := start(t)
	wrong := filled("x", "narrative", strings.Repeat("a", 5001), "people_affected", "x", "when", "")
	page := p.postForm(t, wrong, "Accept-Language", "cy").Document(t)
	for _, want := range []string{"Beth ddigwyddodd: 5,000 o nodau neu lai.", "Pobl a effeithiwyd: rhowch rif, fel 3.", "Dewiswch pryd y digwyddodd, neu “Ddim yn siŵr”."} {
		if !strings.Contains(page.Find(".govuk-error-summary").Text(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	script := p.postForm(t, wrong, "Accept-Language", "cy", "Accept", "application/json")
	if !strings.Contains(script.Body, "Dewiswch pryd y digwyddodd, neu “Ddim yn siŵr”.") {
		t.Errorf("the page’s script is told %s", script.Body)
	}
}

// What is refused is shown again as it was typed, unless nobody can have typed it.
func TestWhatNobodyCanHaveTypedIsNotShownAgain(t *testing.T) {
	p := start(t)
	huge := strings.Repeat("'", 300<<10)
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := errors.Join(w.WriteField("receipt", "x"), w.WriteField("narrative", huge), w.WriteField("text", huge), w.Close()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/report/", "/follow-up/"} {
		for kind, body := range map[string]string{"application/x-www-form-urlencoded": "receipt=x&narrative=" + huge, w.FormDataContentType(): b.String()} {
			for language, want := range map[string]string{"en": "nothing of it was taken. Go back in your browser", "cy": "ni chymerwyd dim ohono. Ewch yn ôl yn eich porwr"} {
				res := webtest.Do(t, p.app, "POST", path, body, "Accept", "text/html", "Accept-Language", language, "Content-Type", kind, "Sec-Fetch-Site", "same-origin")
				if said := res.Document(t).Find("main").Text(); res.StatusCode != 413 || !strings.Contains(said, want) || len(res.Body) > 20<<10 {
					t.Errorf("%s as %.20s: %d %.300q in %d bytes, want %q", path, kind, res.StatusCode, said, len(res.Body), want)
				}
			}
		}
	}
}

func TestPhotosGoWithTheFormWithoutScript(t *testing.T) {
	p := start(t)
	send := func(change ...string) webtest.Response {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for name, values := range filled(newID(t), change...) {
			if err := w.WriteField(name, values[0]); err != nil {
				t.Fatal(err)
			}
		}
		part, err := w.CreateFormFile("photo", "photo.png")
		if err == nil {
			err = png.Encode(part, image.NewGray(image.Rect(0, 0, 8, 8)))
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return webtest.Do(t, p.app, "POST", "/report/", b.String(), "Accept", "text/html", "Content-Type", w.FormDataContentType(), "Sec-Fetch-Site", "same-origin")
	}
	refused := send("when", "")
	if doc := refused.Document(t); refused.StatusCode != 422 || doc.Find("#photo-error").Length() != 1 || !strings.Contains(doc.Find(".govuk-error-summary").Text(), "Choose your photos again") {
		t.Errorf("%d: the page does not say that the photos are gone", refused.StatusCode)
	}
	if got := send(); got.StatusCode != 303 {
		t.Errorf("%d %s", got.StatusCode, got.Body)
	}
}
