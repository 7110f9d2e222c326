package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdp "github.com/chromedp/chromedp"
)

// Where CI finds the pictures of every page that the tests visit.
const artefacts = "../../artefacts"

// stepTime is how long one step may take: a wait for something that never
// comes then names the step.
const stepTime = 20 * time.Second

// browser is a tab of a real Chromium. Any error on its console fails the test.
type browser struct {
	t    *testing.T
	ctx  context.Context
	kill context.CancelFunc // ends the whole browser at once
	taps int                // on tiles so far
}

type css = cdp.CSS

func openBrowser(t *testing.T) *browser {
	t.Helper()
	return openBrowserIn(t, t.TempDir())
}

// openBrowserIn opens a browser with a profile, which may have been another's.
func openBrowserIn(t *testing.T, profile string, flags ...cdp.ExecAllocatorOption) *browser {
	t.Helper()
	path := os.Getenv("CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Fatal("no Chromium: run `make browser`, or name one in CHROMIUM")
	}
	b := &browser{t: t}
	// Chromium now and then dies at its very start on a busy machine.
	var err error
	for range 3 {
		if b.ctx, b.kill, err = startChromium(t, path, profile, flags); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	b.watch()
	return b
}

// watch makes a new tab a phone's, and has errors on its console fail the test.
func (b *browser) watch() {
	b.t.Helper()
	b.do("start", cdp.EmulateViewport(390, 844, cdp.EmulateScale(2), cdp.EmulateMobile, cdp.EmulateTouch))
	var mu sync.Mutex
	var complaints []string
	go func() {
		for m, err := range cdp.Console(b.ctx) {
			if err != nil {
				return
			}
			// Chromium reports every answer of 4xx and 5xx as an error of the console.
			// Over plain HTTP it says so of a header that it only honours over HTTPS.
			said := strings.Contains(m.Text, "Failed to load resource") || strings.Contains(m.Text, "Cross-Origin-Opener-Policy header has been ignored")
			if (m.Type == "error" || m.IsException()) && !said {
				mu.Lock()
				complaints = append(complaints, m.String())
				mu.Unlock()
			}
		}
	}()
	b.t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range complaints {
			b.t.Errorf("console: %s", c)
		}
	})
}

// tab opens another tab of the same browser.
func (b *browser) tab() *browser {
	b.t.Helper()
	ctx, cancel := cdp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	other := &browser{t: b.t, ctx: ctx, kill: b.kill}
	if err := cdp.Do(ctx); err != nil { // the first call's context is the tab's life
		b.t.Fatalf("open a tab: %v", err)
	}
	other.watch()
	return other
}

// startChromium starts a browser that ends with the test. The first call with
// its context starts it, and that context is the browser's life.
func startChromium(t *testing.T, path, profile string, flags []cdp.ExecAllocatorOption) (context.Context, context.CancelFunc, error) {
	opts := append(cdp.DefaultExecAllocatorOptions[:], cdp.ExecPath(path), cdp.UserDataDir(profile), cdp.NoSandbox, cdp.DisableGPU,
		cdp.Flag("disable-quic", true), cdp.Flag("disable-component-update", true), cdp.Flag("no-first-run", true))
	opts = append(opts, flags...)
	if fonts, err := phoneFonts(t); err == nil {
		opts = append(opts, cdp.Env("FONTCONFIG_FILE="+fonts))
	}
	allocator, kill := cdp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(kill)
	ctx, cancel := cdp.NewContext(allocator)
	t.Cleanup(cancel)
	if err := cdp.Do(ctx); err != nil {
		return nil, kill, err
	}
	alive, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	return ctx, kill, cdp.Do(alive, cdp.Navigate("data:text/html,<h1>alive</h1>"), cdp.WaitVisible(css("h1")))
}

// phoneFonts writes a font configuration in which the system's font is that of
// a phone. Without Roboto the pages are judged in a much wider one.
func phoneFonts(t *testing.T) (string, error) {
	path := filepath.Join(t.TempDir(), "fonts.conf")
	return path, os.WriteFile(path, []byte(`<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<match target="pattern"><test qual="any" name="family"><string>sans-serif</string></test><edit name="family" mode="prepend" binding="strong"><string>Roboto</string></edit></match>
<match target="pattern"><test qual="any" name="family"><string>system-ui</string></test><edit name="family" mode="prepend" binding="strong"><string>Roboto</string></edit></match>
</fontconfig>`), 0o600)
}

// do runs actions as one named step.
func (b *browser) do(step string, actions ...cdp.Action[cdp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	if err := cdp.Do(ctx, actions...); err != nil {
		b.picture("failed")
		b.t.Fatalf("%s: %v", step, err)
	}
}

// js returns what an expression evaluates to.
func js[T any](b *browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	v, err := cdp.Run(ctx, cdp.Evaluate[T](expression, cdp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%.80s: %v", expression, err)
	}
	return v
}

// text returns the visible text of the main part of the page.
func (b *browser) text() string {
	b.t.Helper()
	return js[string](b, `document.querySelector('main')?.innerText ?? ''`)
}

func (b *browser) wantText(step string, words ...string) {
	b.t.Helper()
	got := b.text()
	for _, w := range words {
		if !strings.Contains(strings.ToLower(got), strings.ToLower(w)) {
			b.t.Errorf("%s: %q is not on the page:\n%s", step, w, got)
		}
	}
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.do("open "+url, cdp.Navigate(url), cdp.WaitVisible(css("h1")))
}

// choose taps the tile of a radio.
func (b *browser) choose(name, value string) {
	b.t.Helper()
	b.taps++
	b.do("choose "+name+" "+value, cdp.Tap(css(fmt.Sprintf(`input[name=%q][value=%q]`, name, value))))
}

func (b *browser) fill(selector, value string) {
	b.t.Helper()
	js[string](b, fmt.Sprintf(`document.querySelector(%q).value = ''`, selector))
	b.do("fill "+selector, cdp.SendKeys(css(selector), value))
}

func (b *browser) picture(name string) {
	ctx, cancel := context.WithTimeout(b.ctx, stepTime)
	defer cancel()
	png, err := cdp.Run(ctx, cdp.FullScreenshot(100))
	if err == nil {
		if err = os.MkdirAll(artefacts, 0o755); err == nil {
			err = os.WriteFile(filepath.Join(artefacts, name+".png"), png, 0o644)
		}
	}
	if err != nil {
		b.t.Errorf("picture %s: %v", name, err)
	}
}

// look takes pictures of the page on a phone and on a desk, checks that it does
// not scroll sideways even on a small phone, and lets axe judge it.
func (b *browser) look(name string) {
	b.t.Helper()
	for _, size := range []struct {
		name  string
		width int64
	}{{"small", 320}, {"desk", 1280}, {"phone", 390}} {
		view := []cdp.EmulateViewportOption{cdp.EmulateScale(2), cdp.EmulateMobile, cdp.EmulateTouch}
		if size.name == "desk" {
			view = []cdp.EmulateViewportOption{cdp.EmulateScale(1)}
		}
		b.do("resize", cdp.EmulateViewport(size.width, 844, view...))
		wide := js[int](b, `document.documentElement.scrollWidth`)
		if wide > int(size.width) { // Chromium keeps old widths after a mere change of size: judge the page as it loads
			b.do("reload", cdp.Reload(), cdp.WaitVisible(css("h1")))
			wide = js[int](b, `document.documentElement.scrollWidth`)
		}
		if wide > int(size.width) {
			b.t.Errorf("%s: the page is %d px wide on a screen of %d px", name, wide, size.width)
		}
		if size.name != "small" {
			b.picture(name + "-" + size.name)
			b.axe(name + " " + size.name)
		}
	}
}

func (b *browser) axe(name string) {
	b.t.Helper()
	source, err := os.ReadFile("../../pkg/web/frontend/node_modules/axe-core/axe.min.js")
	if err != nil {
		b.t.Fatalf("axe: %v: run `make assets`", err)
	}
	js[int](b, string(source)+";0")
	found := js[string](b, `axe.run(document, {runOnly: ['wcag2a','wcag2aa','wcag21a','wcag21aa','wcag22aa','best-practice']})
		.then(r => JSON.stringify({passes: r.passes.length, violations: r.violations.map(v => v.id + ': ' + v.help + ' ' + v.nodes.map(n => n.html.slice(0, 160)).join(' | '))}))`)
	var result struct {
		Passes     int
		Violations []string
	}
	if err := json.Unmarshal([]byte(found), &result); err != nil {
		b.t.Fatal(err)
	}
	if result.Passes < 5 {
		b.t.Errorf("%s: axe looked at almost nothing: %s", name, found)
	}
	for _, v := range result.Violations {
		b.t.Errorf("%s: axe: %s", name, v)
	}
}

func (b *browser) script(on bool) {
	b.t.Helper()
	b.do("switch scripting", cdp.Func(func(ctx context.Context, _ *cdp.Target) error {
		_, err := cdp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	}))
}

const story = "a man at the front desk threw a chair at the screen and shouted at me"

var receiptCode = regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){3}`)

// From the first start to the monthly figure, as the people concerned do it.
func TestFromTheFirstStartToTheFigure(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	mustOnrecord(t, demoSites, "sites", "import", "--data-dir", dir, "-")
	b := openBrowser(t)

	// The operator follows the one-time link.
	link := regexp.MustCompile(`http\S+/setup\?token=\S+`).FindString(p.printed())
	if link == "" {
		t.Fatalf("no link for the first administrator:\n%s", p.printed())
	}
	b.open(link)
	b.look("setup")
	b.fill("#name", "demo-admin")
	b.fill("#password", "demo password of the admin")
	b.fill("#again", "demo password of the admin")
	b.do("create the administrator", cdp.Click(css("main button.govuk-button")), cdp.WaitVisible(css(".app-sign-out")))
	b.open(p.url + "/people/")
	b.look("people")
	b.open(p.url + "/sites/")
	b.look("sites")
	b.wantText("sites", "Demo Jobcentre North")
	for _, forbidden := range []string{"/incidents/", "/figures/"} {
		b.open(p.url + forbidden)
		b.wantText("an administrator at "+forbidden, "cannot open this")
	}
	b.signOut()
	b.open(link)
	b.wantText("the link a second time", "already")

	for _, person := range [][]string{{"demo-rep", "rep"}, {"demo-manager", "manager"}} {
		mustOnrecord(t, "demo password of the "+person[1]+"\n", "user", "add", "--data-dir", dir, "--role", person[1], person[0])
	}

	// A member of staff files on a phone: first with nothing filled in.
	b.open(p.url + "/report/")
	b.look("report")
	if low := js[string](b, `[...document.querySelectorAll('.app-tile, main .govuk-button')].filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 52)
		.map(e => e.textContent.trim() + ' ' + e.getBoundingClientRect().height).join(', ')`); low != "" {
		t.Errorf("lower than a thumb, 52 pixels: %s", low)
	}
	b.do("send nothing", cdp.Click(css(".app-send")), cdp.WaitVisible(css(".govuk-error-summary")))
	if focus := js[string](b, `document.activeElement.className`); !strings.Contains(focus, "govuk-error-summary") {
		t.Errorf("after an error the focus is on %q", focus)
	}
	if title := js[string](b, `document.title`); !strings.HasPrefix(title, "Error: ") {
		t.Errorf("title=%q does not say that there is an error", title)
	}
	b.look("report-errors")

	b.open(p.url + "/report/")
	before := b.taps
	b.choose("kind", "attempted_assault")
	b.choose("channel", "in_person")
	b.choose("site", "demo-north")
	b.choose("when", "now")
	b.do("type a sentence", cdp.SendKeys(css("#narrative"), story)) // the tap into the box is the phone’s own
	b.picture("report-filled")
	b.do("send", cdp.Tap(css(".app-send")), cdp.WaitVisible(css(".app-code")))
	if taps := b.taps - before + 1; taps > 5 {
		t.Errorf("a receipt took %d taps and a sentence, want five", taps)
	}
	sent := time.Now()
	receipt := receiptCode.FindString(strings.Join(strings.Fields(js[string](b, `document.querySelector('.app-code').textContent`)), ""))
	if receipt == "" {
		t.Fatalf("no receipt on the page:\n%s", b.text())
	}
	if url := js[string](b, `location.href`); strings.Contains(url, receipt) {
		t.Errorf("the receipt stands in the address: %s", url)
	}
	b.look("received")

	// The rep sees it within a second.
	rep := apiToken(t, dir, "rep")
	eventually(t, func() error {
		if n := len(incidents(t, p.url, rep, "").Incidents); n != 1 {
			return fmt.Errorf("%d incidents", n)
		}
		return nil
	})
	t.Logf("a rep could see it %v after the receipt was shown and looked at", time.Since(sent).Round(time.Millisecond))
	b.signIn(p.url, "demo-rep", "demo password of the rep")
	b.open(p.url + "/incidents/")
	b.wantText("the list", "threw a chair", "Demo Jobcentre North")
	b.look("incidents")
	b.do("open the incident", cdp.Click(css(`main a[href^="/incidents/"]:not([href*="?"])`)), cdp.WaitVisible(css(".app-timeline")))
	incident := js[string](b, `location.href`)
	b.wantText("the incident", story, "front desk", "machine", "words-")
	b.look("incident")
	b.do("open what the machine says of itself", cdp.Click(css(`main a[href^="/model/"]`)), cdp.WaitVisible(css(".app-hash")))
	b.wantText("the model’s page", "never", "kept back", "words-")
	b.look("model")
	b.act(incident, "acknowledge", nil)
	b.act(incident, "classify", func() {
		b.do("choose a target", cdp.SetValue(css(`form[action$="/classify"] [name="target"]`), "named_person"))
	})
	b.act(incident, "note", func() { b.fill(`form[action$="/note"] textarea`, "Demo note: spoken to the guard.") })
	b.act(incident, "close", func() {
		b.do("choose fixed", cdp.Click(css(`form[action$="/close"] input[name="fixed"][value="true"]`)))
		b.fill(`form[action$="/close"] textarea`, "Demo reason: the screen is mended.")
	})
	b.wantText("the timeline", "Demo note: spoken to the guard.", "the screen is mended")
	b.look("incident-closed")

	b.open(p.url + "/figures/?month=" + time.Now().Format("2006-01"))
	b.wantText("the rep’s figures", "1 incident", "in person", "not known")
	b.look("figures-rep")
	cards := js[string](b, `document.querySelector(".app-cards").innerText`) // the last look was on a phone
	for _, part := range []string{"In person", "Phone", "Letter", "Online", "Does not apply", "Not known"} {
		if !strings.Contains(cards, part) {
			t.Errorf("on a phone the total stands without its part %q, which may be 0:\n%s", part, cards)
		}
	}
	b.signOut()

	b.signIn(p.url, "demo-manager", "demo password of the manager")
	b.open(p.url + "/figures/?month=" + time.Now().Format("2006-01"))
	b.look("figures-manager")
	if got := b.text(); strings.Contains(got, "1 incident") {
		t.Errorf("a manager sees a number from 1 to 5:\n%s", got)
	}
	b.open(incident)
	b.wantText("a manager at an incident", "cannot open this")
	b.signOut()

	// The reporter sees what became of it, typing the code as people do.
	b.open(p.url + "/follow-up/")
	b.look("follow-up")
	b.fill("#receipt", strings.ToLower(strings.ReplaceAll(receipt, "-", " ")))
	b.do("look it up", cdp.Click(css("main button.govuk-button")), cdp.WaitVisible(css("main")))
	eventually(t, func() error {
		if !strings.Contains(strings.ToLower(b.text()), "closed") {
			return fmt.Errorf("the follow-up page does not say that it is closed:\n%s", b.text())
		}
		return nil
	})
	b.look("follow-up-found")

	for _, page := range []string{"/privacy/", "/accessibility/", "/sign-in/", "/nowhere/"} {
		b.open(p.url + page)
		b.look("page" + strings.ReplaceAll(strings.TrimSuffix(page, "/"), "/", "-"))
	}
}

func (b *browser) signIn(url, name, password string) {
	b.t.Helper()
	b.open(url + "/sign-in/")
	b.fill("#name", name)
	b.fill("#password", password)
	b.do("sign in", cdp.Click(css("main button.govuk-button")), cdp.WaitVisible(css(".app-sign-out")))
}

func (b *browser) signOut() {
	b.t.Helper()
	b.do("sign out", cdp.Click(css(".app-sign-out button")), cdp.WaitNotPresent(css(".app-sign-out")), cdp.WaitVisible(css("h1")))
}

// act sends one of the forms of the incident page and waits for its notice.
func (b *browser) act(incident, action string, fill func()) {
	b.t.Helper()
	b.open(incident)
	b.do("open the form", cdp.Evaluate[cdp.Void](fmt.Sprintf(`document.querySelectorAll('form[action$="/%s"]').forEach(f => { const d = f.closest('details'); if (d) d.open = true })`, action)))
	if fill != nil {
		fill()
	}
	b.do(action, cdp.Click(css(fmt.Sprintf(`form[action$="/%s"] button`, action))), cdp.WaitVisible(css(".govuk-notification-banner")))
}

// Without script the form works all the same.
func TestFilingWithoutScript(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	mustOnrecord(t, demoSites, "sites", "import", "--data-dir", dir, "-")
	b := openBrowser(t)
	b.open(p.url + "/report/")
	b.script(false)
	b.open(p.url + "/report/")
	b.do("send words alone", cdp.SendKeys(css("#narrative"), story), cdp.Click(css(".app-send")), cdp.WaitVisible(css(".govuk-error-summary")))
	b.picture("report-errors-no-script")
	if kept := js[string](b, `document.querySelector('#narrative').value`); kept != story {
		t.Errorf("the words were not kept: %q", kept)
	}
	b.choose("site", "demo-south")
	b.choose("when", "now")
	b.do("send", cdp.Click(css(".app-send")), cdp.WaitVisible(css(".app-code")))
	b.picture("received-no-script")
	rep := apiToken(t, dir, "rep")
	b.do("reload the receipt", cdp.Reload(), cdp.WaitVisible(css(".app-code")))
	eventually(t, func() error {
		if n := len(incidents(t, p.url, rep, "").Incidents); n != 1 {
			return fmt.Errorf("%d incidents", n)
		}
		return nil
	})
}
