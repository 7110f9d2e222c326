package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	cdp "github.com/chromedp/chromedp"
)

// A flood of made-up reports with an honest one in it: a rep sees one group, sets
// the alike ones aside together, and a reporter of one of them says that it is
// real. Without script it is the same.
func TestAFloodIsSetAsideTogether(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	mustOnrecord(t, demoSites, "sites", "import", "--data-dir", dir, "-")
	mustOnrecord(t, "demo password of the rep\n", "user", "add", "--data-dir", dir, "--role", "rep", "demo-rep")
	const made, honest = 120, "Demo: he hit me in the face at the front desk." // two hours of the clock may share them
	receipt := ""
	for n := range made + 1 {
		body := report(newID(), func(r map[string]any) {
			r["site"], r["narrative"] = "demo-north", fmt.Sprintf("Demo: a customer shouted at all of us in the waiting room for an hour, number %d.", n)
			if n == 60 {
				r["narrative"] = honest
			}
		})
		a, err := file(p.url, body)
		if err != nil || a.status != 201 {
			t.Fatalf("status=%d, %v: %s", a.status, err, a.body)
		}
		if n == 0 {
			var received struct{ Receipt string }
			if err := json.Unmarshal([]byte(a.body), &received); err != nil {
				t.Fatal(err)
			}
			receipt = received.Receipt
		}
	}
	rep := apiToken(t, dir, "rep")
	eventually(t, func() error {
		if n := len(incidents(t, p.url, rep, "").Incidents); n != made+1 {
			return fmt.Errorf("%d incidents", n)
		}
		return nil
	})

	b := openBrowser(t)
	b.signIn(p.url, "demo-rep", "demo password of the rep")
	b.open(p.url + "/incidents/")
	b.wantText("the list", "reports about Demo Jobcentre North at once", "say the same in the very same words", "Were they made up?", "Came in a flood")
	b.look("incidents-flood")
	b.do("open the flood", cdp.Click(css(".app-flood a")), cdp.WaitVisible(css("#confirm")))
	flood := js[string](b, `location.pathname`)
	b.look("flood")
	b.open(p.url + flood + "?show=unlike")
	b.wantText("those that are not alike", honest)
	if rows := js[int](b, `document.querySelectorAll('.app-list tbody tr').length`); rows != 1 {
		t.Errorf("%d are not alike, want the honest one alone", rows)
	}

	// First with nothing confirmed, then as it must be, and all of it without script.
	b.script(false)
	b.open(p.url + flood)
	b.do("set aside unconfirmed", cdp.SendKeys(css("#reason"), "Demo: one text, again and again."), cdp.Click(css(`form[action$="/set-aside"] button`)), cdp.WaitVisible(css(".govuk-error-summary")))
	b.wantText("the mistake", "Say that you have looked through them")
	b.script(true)
	b.open(p.url + flood)
	b.do("set aside unconfirmed", cdp.Click(css(`form[action$="/set-aside"] button`)), cdp.WaitVisible(css(".govuk-error-summary")))
	b.look("flood-errors")
	b.script(false)
	b.open(p.url + flood)
	b.do("set aside", cdp.SendKeys(css("#reason"), "Demo: one text, again and again."), cdp.Click(css(`label[for="confirm"]`)),
		cdp.Click(css(`form[action$="/set-aside"] button`)), cdp.WaitVisible(css(".govuk-notification-banner, .app-timeline")))
	b.script(true)
	eventually(t, func() error {
		aside, left := len(incidents(t, p.url, rep, "status=set_aside").Incidents), len(incidents(t, p.url, rep, "status=new").Incidents)
		if aside+left != made+1 || aside < made/2 || left < 1 {
			return fmt.Errorf("%d set aside, %d left", aside, left)
		}
		return nil
	})
	aside := len(incidents(t, p.url, rep, "status=set_aside").Incidents)
	b.open(p.url + flood)
	b.wantText("what was done", "set aside together", "again and again", "demo-rep")
	b.look("flood-set-aside")
	b.open(p.url + "/figures/?month=" + time.Now().Add(-time.Hour).Format("2006-01"))
	b.wantText("the figures", "Nothing happened", "Set aside", fmt.Sprint(aside))
	b.look("figures-set-aside")
	b.open(p.url + "/incidents/floods/")
	b.wantText("every flood", "are set aside")
	b.look("floods")
	b.signOut()

	// Whoever filed one of them is told, and says that it is real.
	b.open(p.url + "/follow-up/")
	b.fill("#receipt", receipt)
	b.do("look it up", cdp.Click(css("main button.govuk-button")), cdp.WaitVisible(css("#standing")))
	b.wantText("its reporter", "Set aside: ", "It stays on record and is not counted.", "If yours is real, say so below")
	b.look("follow-up-set-aside")
	b.fill("#text", "Demo: it did happen, I was there.")
	b.do("say that it is real", cdp.Click(css("#add button.govuk-button:not(.govuk-button--secondary)")), cdp.WaitVisible(css("#standing")))
	eventually(t, func() error {
		if now := len(incidents(t, p.url, rep, "status=set_aside").Incidents); now != aside-1 {
			return fmt.Errorf("%d are set aside, want %d", now, aside-1)
		}
		return nil
	})
	if now := incidents(t, p.url, rep, "status=new").Incidents; len(now) != made+1-aside+1 {
		t.Errorf("%d are in the list, want one more", len(now))
	}

	// The rest is taken back together.
	b.signIn(p.url, "demo-rep", "demo password of the rep")
	b.open(p.url + flood)
	b.do("open the form", cdp.Click(css(".app-timeline summary")))
	b.fill(".app-timeline textarea", "Demo: they were real.")
	b.do("take back", cdp.Click(css(`form[action$="/take-back"] button`)), cdp.WaitVisible(css(".govuk-notification-banner")))
	eventually(t, func() error {
		if now := len(incidents(t, p.url, rep, "status=set_aside").Incidents); now != 0 {
			return fmt.Errorf("%d are still set aside", now)
		}
		return nil
	})
	if out := mustOnrecord(t, "", "verify", "--data-dir", dir); strings.Contains(out, "differs") {
		t.Error(out)
	}
}
