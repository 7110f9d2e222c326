package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	cdp "github.com/chromedp/chromedp"
)

// The answer comes back, and the reporter answers: as people do it, the
// reporter without script.
func TestReporterAndRepWriteToEachOther(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	mustOnrecord(t, demoSites, "sites", "import", "--data-dir", dir, "-")
	mustOnrecord(t, "demo password of the rep\n", "user", "add", "--data-dir", dir, "--role", "rep", "demo-rep")
	mustOnrecord(t, "demo password of the admin\n", "user", "add", "--data-dir", dir, "--role", "administrator", "demo-admin")
	body, contentType := withPhoto(t, report(newID(), func(r map[string]any) { r["keep_originals"] = true }), "demo")
	a, err := call("POST", p.url+"/api/v1/reports", body, "Content-Type", contentType)
	if err != nil || a.status != http.StatusCreated {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	var filed struct{ Receipt string }
	if err := json.Unmarshal([]byte(a.body), &filed); err != nil {
		t.Fatal(err)
	}
	rep := apiToken(t, dir, "rep")
	eventually(t, func() error {
		if n := len(incidents(t, p.url, rep, "").Incidents); n != 1 {
			return fmt.Errorf("%d incidents", n)
		}
		return nil
	})

	b := openBrowser(t)
	b.signIn(p.url, "demo-rep", "demo password of the rep")
	b.open(p.url + "/incidents/")
	b.do("open the incident", cdp.Click(css(`main a[href^="/incidents/"]:not([href*="?"])`)), cdp.WaitVisible(css(".app-timeline")))
	incident := js[string](b, `location.href`)
	b.act(incident, "message", func() {
		b.fill(`form[action$="/message"] textarea`, "Demo: the screen is ordered, it comes on Friday.")
	})
	b.act(incident, "ask", func() { b.fill(`form[action$="/ask"] textarea`, "Demo: which desk was it?") })
	b.do("open the forms", cdp.Evaluate[cdp.Void](`document.querySelectorAll('details').forEach(d => d.open = true)`))
	eventually(t, func() error {
		if shown := js[bool](b, `[...document.querySelectorAll('.app-photos img')].some(i => i.complete && i.naturalWidth === 64)`); !shown {
			return errors.New("the photo is not shown")
		}
		return nil
	})
	b.look("incident-messages")
	b.signOut()
	b.signIn(p.url, "demo-admin", "demo password of the admin")
	b.open(p.url + "/sites/")
	b.do("open a poster", cdp.Click(css(`a[href="/sites/demo-north/poster"]`)), cdp.WaitVisible(css(".app-poster")))
	b.look("poster")
	b.signOut()

	b.script(false)
	b.open(p.url + "/follow-up/")
	// O for 0, lower case, no dashes.
	b.do("type the code", cdp.SendKeys(css("#receipt"), strings.ToLower(strings.NewReplacer("-", "", "0", "O").Replace(filed.Receipt))))
	b.do("look it up", cdp.Click(css("main button.govuk-button")), cdp.WaitVisible(css("#standing")))
	b.wantText("the question", "which desk was it", "comes on Friday", "wait for your answer")
	b.do("send nothing", cdp.Click(css("#add button")), cdp.WaitVisible(css("#text-error")))
	b.do("answer", cdp.SendKeys(css("#text"), "Demo: the one by the door."), cdp.Click(css("#add button")), cdp.WaitVisible(css(".govuk-notification-banner")))
	b.wantText("the answer", "You answered.", "the one by the door")
	b.script(true)
	b.open(p.url + "/follow-up/")
	b.fill("#receipt", filed.Receipt)
	b.do("look it up", cdp.Click(css("main button.govuk-button")), cdp.WaitVisible(css("#standing")))
	b.do("open the forms", cdp.Evaluate[cdp.Void](`document.querySelectorAll('details').forEach(d => d.open = true)`))
	b.look("follow-up-messages")
	b.do("say that nothing happened", cdp.Click(css(`form:has(input[value="nothing_happened"]) button`)), cdp.WaitVisible(css(".govuk-notification-banner")))
	b.look("follow-up-nothing-happened")
	eventually(t, func() error {
		if n := len(incidents(t, p.url, rep, "").Incidents); n != 1 {
			return fmt.Errorf("%d incidents", n)
		}
		return nil
	})
}
