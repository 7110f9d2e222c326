package main

import (
	"fmt"
	"regexp"
	"testing"

	cdp "github.com/chromedp/chromedp"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// Whoever scans a poster once has its site and code on the phone from their
// first report on: they need neither the poster nor signal for the next one.
func TestThePhoneRemembersThePoster(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir, "--filing", "site-code")
	mustOnrecord(t, demoSites, "sites", "import", "--data-dir", dir, "-")
	w, rep := newWire(t, p), apiToken(t, dir, "rep")
	code := regexp.MustCompile(`[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}`).FindString(mustOnrecord(t, "", "poster", "demo-north", "--url", w.url, "--data-dir", dir))
	if code == "" {
		t.Fatal("no code on the poster")
	}
	link := w.url + "/report/?site=demo-north&code=" + code
	b := openBrowser(t)
	filled := func(step string) {
		t.Helper()
		if got := js[string](b, `document.querySelector('[name=site]:checked')?.value + ' ' + document.querySelector('#site_code').value`); got != "demo-north "+code {
			t.Errorf("%s: the form holds %q, want the site and %s", step, got, code)
		}
	}
	b.open(link)
	filled("from the poster")
	b.look("report-poster")
	b.choose("kind", "abuse")
	b.choose("when", "now")
	b.fill("#narrative", story)
	b.send()
	b.shows("Report received")
	wantIncidents(t, p, rep, 1)

	b.openOnPhone(w.url)
	filled("the next time")
	w.Set(runtest.Cut)
	b.open(w.url + "/report/")
	filled("without signal")
	b.choose("kind", "threat")
	b.choose("when", "now")
	b.send()
	b.shows("kept on this phone")
	w.Set(runtest.Whole)
	b.shows("Report received")
	wantIncidents(t, p, rep, 2)

	// The page that the phone keeps takes another poster's link as well.
	b.open(link + "&again")
	filled("from the poster again")

	// A code that is no longer in force is asked for again, and nothing is lost.
	mustOnrecord(t, "", "sites", "codes", "--rotate", "demo-north", "--data-dir", dir)
	eventually(t, func() error {
		b.open(w.url + "/report/#new")
		b.fillIn(story)
		b.do("send with the old code", cdp.Tap(css(".app-send")), cdp.WaitVisible(css(".app-state, #site_code-error")))
		if !js[bool](b, `!!document.querySelector('#site_code-error')`) {
			return fmt.Errorf("the old code was taken: %s", b.text())
		}
		return nil
	})
	if kept := js[string](b, `document.querySelector('#narrative').value`); kept != story {
		t.Errorf("the words were not kept: %q", kept)
	}
	b.look("report-old-code")
}
