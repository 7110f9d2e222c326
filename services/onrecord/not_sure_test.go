package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	cdp "github.com/chromedp/chromedp"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// notSure are the answers of somebody who knows what happened and nothing else.
var notSure = [][2]string{{"channel", "unknown"}, {"target", "unknown"}, {"site", "not_sure"}, {"when", "unknown"}, {"hurt", "unknown"}}

// chosen returns the answers that the form shows as tapped, in its order.
func (b *browser) chosen() string {
	b.t.Helper()
	return js[string](b, `[...document.querySelectorAll('#report-form :checked')].filter(e => e.checkVisibility()).map(e => e.name + '=' + e.value).filter(a => a !== 'contact=anonymous').join(' ')`)
}

// wantNotSure fails unless a rep sees as many incidents of which nobody knows
// when and where.
func wantNotSure(t *testing.T, p *process, rep string, want int) {
	t.Helper()
	eventually(t, func() error {
		found := 0
		for _, i := range incidents(t, p.url, rep, "site=unlisted").Incidents {
			var detail struct{ Precision, Hurt string }
			getJSON(t, p.url+"/api/v1/incidents/"+i.ID, rep, &detail)
			if detail.Precision == "unknown" && detail.Hurt == "unknown" {
				found++
			}
		}
		if found != want {
			return fmt.Errorf("%d incidents of which nobody knows when and where, want %d", found, want)
		}
		return nil
	})
}

// Whoever does not know says so, to every question, and it is filed; without
// signal, when it is gone on with, and without script.
func TestNobodyHasToBeSure(t *testing.T) {
	dir, p, w, rep := phoneKit(t)
	b := openBrowser(t)
	b.openOnPhone(w.url)
	if unsure := js[string](b, `Object.entries(Object.groupBy(document.querySelectorAll('#report-form [type=radio]'), r => r.name))
		.filter(([, all]) => !all.some(r => ['unknown', 'not_sure'].includes(r.value))).map(([name]) => name).join()`); unsure != "contact" { // which may stay as it is
		t.Errorf("nobody can be unsure of: %s", unsure)
	}
	for _, own := range []string{"missing_control control manager_told", "exposure exposure exposure_closeness"} {
		kind, questions, _ := strings.Cut(own, " ")
		b.choose("kind", kind)
		for name := range strings.FieldsSeq(questions) {
			b.choose(name, "unknown")
		}
	}
	b.choose("kind", "abuse")
	w.Set(runtest.Cut)
	for _, a := range notSure {
		b.choose(a[0], a[1])
	}
	if js[bool](b, `document.querySelector('#site_name').checkVisibility() || document.querySelector('#day').checkVisibility()`) {
		t.Error("whoever is not sure is asked for a name or a day")
	}
	b.fill("#narrative", story)
	b.look("report-not-sure")
	eventually(t, func() error {
		if !strings.Contains(b.rows(), story) {
			return fmt.Errorf("nothing was kept: %s", b.rows())
		}
		return nil
	})
	b.open(w.url + "/report/")
	b.do("the form again", cdp.WaitVisible(css("[data-draft]")))
	if got, want := b.chosen(), "kind=abuse channel=unknown target=unknown site=not_sure when=unknown hurt=unknown"; got != want {
		t.Errorf("the report came back as %q, want %q", got, want)
	}
	b.send()
	b.shows("kept on this phone")
	w.Set(runtest.Whole)
	b.shows("Report received", "done:\nin your safety reps’ list")
	wantNotSure(t, p, rep, 1)
	b.open(w.url + "/report/#new")
	if got := b.chosen(); got != "" {
		t.Errorf("the next report begins with %q", got)
	}

	b.script(false)
	b.open(p.url + "/report/")
	b.choose("kind", "unknown")
	for _, a := range notSure {
		b.choose(a[0], a[1])
	}
	b.do("send nothing", cdp.Click(css(".app-send")), cdp.WaitVisible(css(".govuk-error-summary")))
	b.wantText("without a word", "tell us in your own words")
	if got, want := b.chosen(), "kind=unknown channel=unknown target=unknown site=not_sure when=unknown hurt=unknown"; got != want {
		t.Errorf("the form came back with %q, want %q", got, want)
	}
	b.do("send a sentence", cdp.SendKeys(css("#narrative"), story), cdp.Click(css(".app-send")), cdp.WaitVisible(css(".app-code")))
	wantNotSure(t, p, rep, 2)
	b.script(true)

	// A rep sees how many these are beside the month, opens them, and learns of one
	// when it happened.
	mustOnrecord(t, "demo password of the rep\n", "user", "add", "--data-dir", dir, "--role", "rep", "demo-rep")
	b.signIn(p.url, "demo-rep", "demo password of the rep")
	b.open(p.url + "/figures/?month=" + time.Now().In(incident.London).Format("2006-01"))
	b.wantText("the figures", "not known when counts those of the incidents above that stand in this month because they were reported in it")
	b.look("figures-not-sure")
	b.onPaper("figures-not-sure")
	b.do("open them", cdp.Click(css(`.app-beside .app-cross__all a[href*="undated"]`)), cdp.WaitVisible(css(".app-list")))
	b.wantText("the list", "2 incidents", "Not known when (reported", "Not in the list, or not known")
	b.look("incidents-not-sure")
	b.do("open one", cdp.Click(css(`.app-list__main a`)), cdp.WaitVisible(css(".app-timeline")))
	b.look("incident-not-sure")
	b.act(js[string](b, `location.href`), "classify", func() {
		b.do("say when and where", cdp.SetValue(css("#occurred_at"), "2026-01-05T09:30"), cdp.SetValue(css("#occurred_precision"), "about"), cdp.SetValue(css("#site"), "demo-north"))
	})
	b.wantText("what was learned", "About Mon 5 Jan 2026, 9:30am", "Demo Jobcentre North", "January 2026")
	wantNotSure(t, p, rep, 1)
}

// In a long list of places “Not sure” is always there, in Welsh as well.
func TestNotSureInALongListOfPlaces(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	sites := demoSites
	for n := range 30 {
		sites += fmt.Sprintf("demo-%d,Demo Office %d,jobcentre,ZZ3 %dAA,Demo Region,Demo Department,9\n", n, n, n%10)
	}
	mustOnrecord(t, sites, "sites", "import", "--data-dir", dir, "-")
	rep := apiToken(t, dir, "rep")
	b := openBrowser(t)
	b.open(p.url + "/report/")
	b.do("in Welsh", cdp.Click(css("[data-language]")), cdp.WaitVisible(css("html[lang=cy] h1")))
	b.fill("#site", "office 2")
	b.wantText("the list", "Demo Office 21", "Rhywle arall")
	b.choose("site", "not_sure")
	b.choose("kind", "abuse")
	for _, a := range notSure {
		b.choose(a[0], a[1])
	}
	b.look("report-not-sure-welsh")
	b.do("send", cdp.Tap(css(".app-send")), cdp.WaitVisible(css(".app-code")))
	wantNotSure(t, p, rep, 1)
}
