package intake_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/web/webtest"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/intake/intake"
)

// reporting answers for one receipt hash, as the service of that name does. What
// stands in more under seal is given without, and sealed here.
func (p *program) reporting(t *testing.T, more ...*onrecordv1.FollowUpMessage) (know func(e *onrecordv1.ReportFiled)) {
	t.Helper()
	var mu sync.Mutex
	var known struct {
		hash     []byte
		reportID string
	}
	key, wrapped := p.keys.NewDataKey()
	err := p.bus.Answer(t.Context(), bus.SubjectFollowUp, "reporting", func(_ context.Context, data []byte) []byte {
		mu.Lock()
		defer mu.Unlock()
		var q onrecordv1.FollowUpRequest
		reply := &onrecordv1.FollowUpReply{}
		if proto.Unmarshal(data, &q) == nil && known.hash != nil && string(q.GetReceiptHash()) == string(known.hash) {
			received, read := timestamppb.New(testNow), timestamppb.New(testNow.Add(time.Hour))
			reply = &onrecordv1.FollowUpReply{Found: true, ReportId: known.reportID, Status: "acknowledged", Read: true, ContactChoice: "anonymous", ReceivedAt: received, ChangedAt: read,
				WrappedKey: wrapped, Messages: append([]*onrecordv1.FollowUpMessage{{At: timestamppb.New(testNow.Add(2 * time.Hour)), From: "rep", What: "message",
					SealedText: key.Seal([]byte("canary-message"), known.reportID, "follow-up", "0")}}, more...),
				Steps: []*onrecordv1.FollowUpStep{{At: received, Status: "new", Action: "filed", Own: true}, {At: read, Status: "acknowledged", Action: "acknowledged"}}}
			for n, m := range more {
				if len(m.SealedText) > 0 {
					sealed := proto.CloneOf(m)
					sealed.SealedText = key.Seal(m.SealedText, known.reportID, "follow-up", strconv.Itoa(n+1))
					reply.Messages[n+1] = sealed
				}
			}
		}
		out, err := proto.Marshal(reply)
		if err != nil {
			t.Error(err)
		}
		return out
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(e *onrecordv1.ReportFiled) {
		mu.Lock()
		defer mu.Unlock()
		known.hash, known.reportID = e.GetReceiptHash(), e.GetReportId()
	}
}

func TestAPromiseIsOfSomeDays(t *testing.T) {
	for p, ok := range map[intake.Promise]bool{intake.DefaultPromise: true, {Read: 1, News: 90}: true, {Read: 0, News: 14}: false, {Read: 3, News: 91}: false} {
		if err := p.Check(); (err == nil) != ok {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func (p *program) followUp(t *testing.T, body string, headers ...string) webtest.Response {
	t.Helper()
	return webtest.Do(t, p.app, "POST", "/api/v1/follow-up", body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

func TestFollowUp(t *testing.T) {
	p := start(t)
	know := p.reporting(t)
	id := newID(t)
	a := decode[answer](t, p.post(t, report(id, "")).Body)
	e, _, _ := p.filed(t, id)
	know(e.GetReportFiled())

	want := `{"registered":true,"read":true,"status":"acknowledged","status_text":"A safety rep has read it.","received_at":"2026-11-21T12:00:00Z","changed_at":"2026-11-21T13:00:00Z",` +
		`"expect_by":"2026-12-05T14:00:00Z","contact":"anonymous","steps":[` +
		`{"at":"2026-11-21T12:00:00Z","status":"new","status_text":"Received."},{"at":"2026-11-21T13:00:00Z","status":"acknowledged","status_text":"A safety rep has read it."}],` +
		`"messages":[{"at":"2026-11-21T14:00:00Z","from":"rep","what":"message","text":"canary-message"}],"photos":0}`
	if got := p.followUp(t, `{"receipt":"`+strings.ToLower(a.Receipt)+`"}`); got.StatusCode != 200 || got.Body != want {
		t.Errorf("%d %s\nwant %s", got.StatusCode, got.Body, want)
	}
	page := webtest.PostForm(t, p.app, "/follow-up/", url.Values{"receipt": {a.Receipt}})
	doc := page.Document(t)
	webtest.CheckPage(t, doc)
	if page.StatusCode != 200 || strings.TrimSpace(doc.Find("#standing strong").Text()) != "A safety rep has read it." || doc.Find(".app-timeline li").Length() != 3 || strings.Contains(page.Body, id) {
		t.Errorf("%d %s", page.StatusCode, doc.Find("main").Text())
	}

	// A code that is well formed but nobody's tells nothing.
	nobodys := p.followUp(t, `{"receipt":"0123-4567-89AB-CDEZ"}`)
	if nobodys.StatusCode != 404 || decode[web.Problem](t, nobodys.Body).Code != "unknown_receipt" {
		t.Errorf("nobody’s: %d %s", nobodys.StatusCode, nobodys.Body)
	}
	missing := webtest.PostForm(t, p.app, "/follow-up/", url.Values{"receipt": {"0123-4567-89AB-CDEZ"}}).Document(t)
	webtest.CheckPage(t, missing)
	if missing.Find("#receipt").AttrOr("value", "") != "0123-4567-89AB-CDEZ" || missing.Find("#receipt-error").Length() != 1 {
		t.Error("the page must keep the code and say what is wrong beside it")
	}

	for body, status := range map[string]int{`{"receipt":"0123-4567-89AB-CDEX"}`: 422, `{"receipt":""}`: 422, `{"receipt":"x","more":1}`: 422, `{"receipt":"x"}{}`: 400, `x`: 400} {
		if got := p.followUp(t, body); got.StatusCode != status {
			t.Errorf("%s: %d %s, want %d", body, got.StatusCode, got.Body, status)
		}
	}
}

func TestFollowUpIsLimited(t *testing.T) {
	p := start(t)
	p.reporting(t)
	for i := range 10 {
		if got := p.followUp(t, `{"receipt":"0123-4567-89AB-CDEZ"}`); got.StatusCode != 404 {
			t.Fatalf("question %d: %d %s", i, got.StatusCode, got.Body)
		}
	}
	got := p.followUp(t, `{"receipt":"0123-4567-89AB-CDEZ"}`)
	if got.StatusCode != 429 || got.Header.Get("Retry-After") != "60" {
		t.Errorf("the eleventh: %d Retry-After=%q", got.StatusCode, got.Header.Get("Retry-After"))
	}
	p.now = func() time.Time { return testNow.Add(time.Minute) }
	if got := p.followUp(t, `{"receipt":"0123-4567-89AB-CDEZ"}`); got.StatusCode != 404 {
		t.Errorf("a minute later: %d", got.StatusCode)
	}
}

// Behind a proxy everybody has their own limit, and nobody a second one by
// making up where they come from. A request without a socket is from 0.0.0.0.
func TestFollowUpIsLimitedByTheClientsNetwork(t *testing.T) {
	p := start(t)
	p.reporting(t)
	routes := p.app.Routes()
	var err error
	if p.app, err = web.New(web.Config{Log: slog.New(slog.DiscardHandler), Assets: webtest.Assets(t), TrustedProxies: []string{"0.0.0.0"}}); err != nil {
		t.Fatal(err)
	}
	p.app.Mount(slices.DeleteFunc(routes, func(r web.Route) bool { return r.Path != "/api/v1/follow-up" && r.Path != "/follow-up/" }))
	for i := range 10 {
		if got := p.followUp(t, `{"receipt":"0123-4567-89AB-CDEZ"}`, "X-Forwarded-For", fmt.Sprintf("192.0.2.%d, 2001:db8::%d", i, i)); got.StatusCode != 404 {
			t.Fatalf("question %d: %d %s", i, got.StatusCode, got.Body)
		}
	}
	if got := p.followUp(t, `{"receipt":"0123-4567-89AB-CDEZ"}`, "X-Forwarded-For", "192.0.2.99, 2001:db8::99"); got.StatusCode != 429 {
		t.Errorf("the eleventh: %d", got.StatusCode)
	}
	form := url.Values{"receipt": {"0123-4567-89AB-CDEZ"}}
	if got := webtest.PostForm(t, p.app, "/follow-up/", form, "X-Forwarded-For", "2001:db8::98"); got.StatusCode != 429 || got.Header.Get("Retry-After") == "" {
		t.Errorf("the form: %d Retry-After=%q", got.StatusCode, got.Header.Get("Retry-After"))
	}
	if got := webtest.PostForm(t, p.app, "/follow-up/", form, "X-Forwarded-For", "2001:db8:0:1::1"); got.StatusCode != 404 {
		t.Errorf("another network: %d", got.StatusCode)
	}
}

func TestFilingWorksWhileReportingIsAway(t *testing.T) {
	p := start(t)
	if got := p.post(t, report(newID(t), "")); got.StatusCode != 201 {
		t.Errorf("filing: %d", got.StatusCode)
	}
	if got := p.followUp(t, `{"receipt":"0123-4567-89AB-CDEZ"}`); got.StatusCode != 503 || got.Header.Get("Retry-After") == "" {
		t.Errorf("follow-up: %d %s", got.StatusCode, got.Body)
	}
}
