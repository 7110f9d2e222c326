package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

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
	b.signOut()

	b.signIn(p.url, "demo-manager", "demo password of the manager")
	b.open(p.url + "/figures/")
	b.wantText("a manager", "41 incidents", "Edition 2", "nine reports came late")
	b.do("open what has changed", cdp.Click(css(".app-edition summary")))
	b.wantText("what has changed", "32", "9 more")
	b.look("figures-edition")
	b.open(month + "&edition=1")
	b.wantText("the edition before", "32 incidents", "Edition 2 has taken its place")
	b.look("figures-edition-old")
	b.open(p.url + "/figures/?month=" + incident.MonthOf(time.Now()).String())
	b.wantText("the running month", "is not published", "This month is not over")
	b.look("figures-edition-none")
	b.signOut()
}
