package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdp "github.com/chromedp/chromedp"

	"github.com/onrecord/onrecord/pkg/incident"
)

// A month is closed as people do it: a rep looks at what managers will read,
// publishes it, and once more when more has come; a manager reads it then, and
// not before.
func TestAMonthIsPublished(t *testing.T) {
	b := openBrowser(t)
	dir := t.TempDir()
	p := start(t, dir)
	for _, person := range []string{"rep", "manager"} {
		mustOnrecord(t, "demo password of the "+person+"\n", "user", "add", "--data-dir", dir, "--role", person, "demo-"+person)
	}
	last := incident.MonthOf(time.Now()).Add(-1)
	fileSome := func(n int, channel string) {
		t.Helper()
		for range n {
			body := report(newID(), func(r map[string]any) {
				r["occurred_at"], r["kind"], r["channel"], r["target"] = last.Start().Add(36*time.Hour), "abuse", channel, "named_person"
			})
			if a, err := file(p.url, body); err != nil || a.status != http.StatusCreated {
				t.Fatalf("%v, %+v", err, a)
			}
		}
	}
	fileSome(14, "in_person")
	fileSome(12, "phone")
	fileSome(3, "letter")
	fileSome(3, "public_online")

	b.signIn(p.url, "demo-manager", "demo password of the manager")
	b.open(p.url + "/figures/")
	b.wantText("a manager before anything is published", "No month is published yet")
	b.look("figures-unpublished")
	b.signOut()

	month := p.url + "/figures/?month=" + last.String()
	b.signIn(p.url, "demo-rep", "demo password of the rep")
	eventually(t, func() error {
		if b.open(month); !strings.Contains(b.text(), "32 incidents") {
			return fmt.Errorf("the rep reads %.80q", b.text())
		}
		return nil
	})
	b.do("look at what managers will read", cdp.Click(css(`.app-edition a[href$="/publish"]`)), cdp.WaitVisible(css("form button.govuk-button")))
	b.wantText("before publishing", "This is what managers will read", "hidden: by letter, online")
	b.look("publish")
	b.do("publish", cdp.Click(css("main form button.govuk-button")), cdp.WaitVisible(css(".govuk-notification-banner")))
	b.wantText("published", "The month is published", "Edition 1")
	b.look("published")

	fileSome(9, "phone")
	eventually(t, func() error {
		if b.open(month); !strings.Contains(b.text(), "Now 41: 9 more than then") {
			return fmt.Errorf("the rep reads %.400q", b.text())
		}
		return nil
	})
	b.do("open what has changed", cdp.Click(css(".app-edition summary")))
	b.look("figures-since")
	b.open(p.url + "/editions/" + last.String() + "/publish")
	b.look("publish-again")
	b.do("publish without a reason", cdp.Click(css("main form button.govuk-button")), cdp.WaitVisible(css(".govuk-error-summary")))
	b.look("publish-again-errors")
	b.do("choose a reason", cdp.SetValue(css("#reason"), "R1"))
	b.fill("#why", "Demo: nine reports came late.")
	b.do("publish", cdp.Click(css("main form button.govuk-button")), cdp.WaitVisible(css(".govuk-notification-banner")))
	b.open(p.url + "/editions/")
	b.wantText("published months", "edition 2", "nine reports came late", "a newer one took its place")
	b.look("editions")
	b.onPaper("editions")
	b.signOut()

	b.signIn(p.url, "demo-manager", "demo password of the manager")
	b.open(p.url + "/figures/")
	b.wantText("a manager", "41 incidents", "Edition 2", "nine reports came late")
	b.do("open what has changed", cdp.Click(css(".app-edition summary")))
	b.wantText("what has changed", "32", "9 more")
	b.look("figures-edition")
	b.open(p.url + "/figures/")
	b.onPaper("figures-edition")
	b.open(month + "&edition=1")
	b.wantText("the edition before", "32 incidents", "Edition 2 has taken its place")
	b.look("figures-edition-old")
	b.open(p.url + "/figures/?month=" + incident.MonthOf(time.Now()).String())
	b.wantText("the running month", "is not published", "This month is not over")
	b.look("figures-edition-none")
	b.signOut()
}

// onPaper checks the page as it is printed on A4: its tables as tables and whole,
// also those that are folded away on a screen, and nothing that only a screen
// needs.
func (b *browser) onPaper(name string) {
	b.t.Helper()
	media := func(m string) {
		b.t.Helper()
		b.do("print", cdp.Func(func(ctx context.Context, _ *cdp.Target) error {
			_, err := cdp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: m})
			return err
		}))
	}
	b.do("A4", cdp.EmulateViewport(718, 1046))
	media("print")
	if wrong := js[string](b, `[
		...[...document.querySelectorAll('header, footer, nav a, form, button')].filter(e => e.checkVisibility()).map(e => 'shown: ' + e.outerHTML.slice(0, 90)),
		...[...document.querySelectorAll('main tr, main svg')].filter(e => !e.checkVisibility({contentVisibilityAuto: true})).map(e => 'not shown: ' + e.textContent.slice(0, 90)),
		...[...document.querySelectorAll('thead')].filter(e => getComputedStyle(e).display !== 'table-header-group').map(e => 'no table: ' + e.textContent),
		...[...document.querySelectorAll('main a')].filter(e => getComputedStyle(e, '::after').content !== 'none').map(e => 'an address: ' + e.href),
		...(document.documentElement.scrollWidth > 718 ? ['wider than the paper'] : [])].join('\n')`); wrong != "" {
		b.t.Errorf("%s on paper: %s", name, wrong)
	}
	b.picture(name + "-paper")
	media("")
	b.do("a phone again", cdp.EmulateViewport(390, 844, cdp.EmulateScale(2), cdp.EmulateMobile, cdp.EmulateTouch))
}
