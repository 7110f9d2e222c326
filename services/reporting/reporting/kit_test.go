package reporting

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/web/webtest"
	"github.com/onrecord/onrecord/services/reporting/internal/people"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const demoPassword = "correct horse battery"

// The kit's people: a rep of every site, one of Leeds alone, a manager, an
// administrator; and nobody.
const (
	rep     = "Demo Rep"
	leeds   = "Demo Leeds Rep"
	manager = "Demo Manager"
	admin   = "Demo Administrator"
	nobody  = ""
)

var demoSites = []store.Site{
	{ID: "leeds", Name: "Demo Leeds", Kind: "jobcentre", Region: "Demo Region", Employer: "Demo Department", Staff: 84},
	{ID: "york", Name: "Demo York", Kind: "jobcentre", Region: "Demo Region", Employer: "Demo Department"},
}

// kit is a whole service on a real stream and a real SQLite file.
type kit struct {
	*Service
	*projectortest.Events
	tb      testing.TB
	app     *web.App
	bus     *bus.Bus
	cfg     Config
	cookies map[string]string
}

// newKit returns a kit whose projector does not run: apply brings it events.
func newKit(tb testing.TB) *kit {
	tb.Helper()
	k := &kit{Events: projectortest.NewEvents(tb), tb: tb, bus: bustest.New(tb), cookies: make(map[string]string)}
	k.At = time.Now().UTC() // the stream's own clock refuses what lies in the future
	k.cfg = Config{Database: filepath.Join(tb.TempDir(), "reporting.db"), Bus: k.bus, Keyring: k.Keyring, Assets: webtest.Assets(tb), Log: slog.New(slog.DiscardHandler)}
	k.open()
	ctx := tb.Context()
	if err := k.store.PutSites(ctx, demoSites); err != nil {
		tb.Fatal(err)
	}
	if err := k.loadDirectory(ctx); err != nil {
		tb.Fatal(err)
	}
	for _, u := range []NewUser{{Name: rep, Role: "rep"}, {Name: leeds, Role: "rep", Sites: []string{"leeds"}}, {Name: manager, Role: "manager"}, {Name: admin, Role: "administrator"}} {
		u.Password = demoPassword
		if err := k.AddUser(ctx, u); err != nil {
			tb.Fatal(err)
		}
		k.signInAs(u.Name)
	}
	return k
}

// open builds the service and its application on the kit's database. Hashing
// passwords is made cheap: its cost is tested where it is decided.
func (k *kit) open() {
	k.tb.Helper()
	s, err := New(k.tb.Context(), k.cfg)
	if err != nil {
		k.tb.Fatal(err)
	}
	k.Service = s
	k.tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			k.tb.Error(err)
		}
	})
	k.people = people.New(people.Config{Store: s.store, Now: s.now, Cost: people.Cost{Memory: 64, Time: 1, Threads: 1}})
	k.app, err = web.New(web.Config{Log: k.cfg.Log, Assets: k.cfg.Assets, Authenticator: s, Ready: s.Check})
	if err != nil {
		k.tb.Fatal(err)
	}
	k.app.Mount(s.Routes())
}

// run runs the service until the test ends.
func (k *kit) run() {
	ctx, cancel := context.WithCancel(context.WithoutCancel(k.tb.Context()))
	ended := make(chan error)
	go func() { ended <- k.Run(ctx) }()
	k.tb.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			k.tb.Error(err)
		}
	})
}

// apply brings events straight to the projector.
func (k *kit) apply(events ...bus.Delivery) {
	k.tb.Helper()
	for n, err := range k.projector.Handle(k.tb.Context(), events) {
		if err != nil {
			k.tb.Fatalf("event %d: %v", n, err)
		}
	}
}

// publish puts events on the stream.
func (k *kit) publish(events ...bus.Delivery) {
	k.tb.Helper()
	for _, e := range events {
		if _, err := k.bus.Publish(k.tb.Context(), bus.Event{Subject: e.Subject, ID: e.Subject, Data: e.Data}); err != nil {
			k.tb.Fatal(err)
		}
	}
}

// file files a report, has a model read it as the reporter filed it, and
// returns the incident it opened.
func (k *kit) file(site string, change func(*incident.Report)) *incident.Incident {
	k.tb.Helper()
	r := k.Report(site)
	if change != nil {
		change(&r)
	}
	k.apply(k.Filed(r), k.Classified(r.ID, "demo-1", r.Kind, r.Channel, r.Target))
	return k.incidentOf(r.ID)
}

// close publishes the next edition of a month, as the rep of every site.
func (k *kit) close(m incident.Month) {
	k.tb.Helper()
	e, err := k.editions.Prepare(k.tb.Context(), m)
	if err != nil {
		k.tb.Fatal(err)
	}
	body := fmt.Sprintf(`{"edition":%d}`, e.Number)
	if e.Number > 1 {
		body = fmt.Sprintf(`{"edition":%d,"reason":"R1","why":"Reports came late."}`, e.Number)
	}
	if res := k.postJSON(rep, "/api/v1/editions/"+m.String(), body); res.StatusCode != http.StatusCreated {
		k.tb.Fatalf("publishing %s: status=%d %s", m, res.StatusCode, res.Body)
	}
}

func (k *kit) incidentOf(reportID string) *incident.Incident {
	k.tb.Helper()
	i, err := k.store.IncidentByReport(k.tb.Context(), reportID)
	if err != nil {
		k.tb.Fatal(err)
	}
	return i
}

// signInAs signs somebody in through the page and keeps the cookie.
func (k *kit) signInAs(name string) {
	k.tb.Helper()
	res := webtest.PostForm(k.tb, k.app, "/sign-in/", url.Values{"name": {name}, "password": {demoPassword}})
	for _, c := range res.Cookies() {
		if c.Name == web.CookieName("session", false) {
			k.cookies[name] = c.Name + "=" + c.Value
		}
	}
	if res.StatusCode != http.StatusSeeOther || k.cookies[name] == "" {
		k.tb.Fatalf("signing in as %s: status=%d, want 303 and a cookie", name, res.StatusCode)
	}
}

func (k *kit) get(who, path string, headers ...string) webtest.Response {
	k.tb.Helper()
	return webtest.Get(k.tb, k.app, path, append(k.as(who), headers...)...)
}

func (k *kit) post(who, path string, form url.Values, headers ...string) webtest.Response {
	k.tb.Helper()
	return webtest.PostForm(k.tb, k.app, path, form, append(k.as(who), headers...)...)
}

func (k *kit) postJSON(who, path, body string, headers ...string) webtest.Response {
	k.tb.Helper()
	return webtest.Do(k.tb, k.app, http.MethodPost, path, body, append(append(k.as(who), "Content-Type", "application/json", "Sec-Fetch-Site", "same-origin"), headers...)...)
}

func (k *kit) as(who string) []string {
	if who == nobody {
		return nil
	}
	return []string{"Cookie", k.cookies[who]}
}

// page gets a page that must be well made and answer with a status.
func (k *kit) page(who, path string, status int) webtest.Response {
	k.tb.Helper()
	res := k.get(who, path)
	k.check(path, res, status)
	return res
}

func (k *kit) check(name string, res webtest.Response, status int) {
	k.tb.Helper()
	if res.StatusCode != status {
		k.tb.Errorf("%s: status=%d, want %d", name, res.StatusCode, status)
	}
	webtest.CheckPage(k.tb, res.Document(k.tb))
	if k.tb.Failed() {
		k.tb.Logf("the page above is %s", name)
	}
}

// seenOf returns the hidden fields of an incident's forms.
func seenOf(i *incident.Incident) url.Values {
	return url.Values{"rev": {fmt.Sprint(i.Rev)}, "seen": {fmt.Sprint(len(i.Timeline))}}
}

// with returns form with more fields.
func with(form url.Values, pairs ...string) url.Values {
	for n := 0; n+1 < len(pairs); n += 2 {
		form.Set(pairs[n], pairs[n+1])
	}
	return form
}

var errNotYet = errors.New("not yet")
