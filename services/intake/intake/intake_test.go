package intake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/run/runtest"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/web/webtest"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/intake/intake"
)

var testNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// program is an intake on a real stream.
type program struct {
	bus  *bus.Bus
	keys *seal.Keyring
	now  func() time.Time
	logs *runtest.Output
	app  *web.App
	stop func() // ends Run
}

var fewSites = []*onrecordv1.Site{
	{Id: "leeds", Name: "Leeds Example Jobcentre", Kind: "jobcentre", Region: "North", Employer: "Example Department"},
	{Id: "york", Name: "York Example Centre", Kind: "assessment_centre", Region: "North", Employer: "Example Ltd"},
}

func manySites() []*onrecordv1.Site {
	var all []*onrecordv1.Site
	for i := range 30 {
		all = append(all, &onrecordv1.Site{Id: fmt.Sprintf("s%d", i), Name: fmt.Sprintf("Town %d Example Jobcentre", i)})
	}
	return all
}

func start(tb testing.TB, sites ...*onrecordv1.Site) *program {
	tb.Helper()
	return startOn(tb, bustest.New(tb), sites...)
}

func startOn(tb testing.TB, b *bus.Bus, sites ...*onrecordv1.Site) *program {
	tb.Helper()
	if sites == nil {
		sites = fewSites
	}
	data, err := proto.Marshal(&onrecordv1.SiteDirectory{Sites: sites})
	if err != nil {
		tb.Fatal(err)
	}
	if err := b.UpdateDirectory(tb.Context(), func() ([]byte, error) { return data, nil }); err != nil {
		tb.Fatal(err)
	}
	for _, asked := range []string{bus.SubjectFirstFiled, bus.SubjectFirstAdded} { // as classifier and reporting do
		if err := b.AnswerFirst(tb.Context(), asked, onrecordv1.FirstCopy); err != nil {
			tb.Fatal(err)
		}
	}
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		tb.Fatal(err)
	}
	p := &program{bus: b, keys: keys, now: func() time.Time { return testNow }, logs: &runtest.Output{}}
	p.start(tb)
	return p
}

// start runs a service and waits until it knows its sites.
func (p *program) start(tb testing.TB) {
	tb.Helper()
	log := slog.New(slog.NewTextHandler(p.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	assets := webtest.Assets(tb)
	s, err := intake.New(intake.Config{Bus: p.bus, Keyring: p.keys, Assets: assets, Log: log, Now: func() time.Time { return p.now() }, Producer: "intake/test"})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	tb.Cleanup(p.stop)
	eventually(tb, func() error { return s.Check(ctx) })
	if p.app, err = web.New(web.Config{Log: log, Assets: assets}); err != nil {
		tb.Fatal(err)
	}
	p.app.Mount(s.Routes())
}

func TestTheSameDirectoryAgainIsNotRead(t *testing.T) {
	p := start(t)
	for _, sites := range [][]*onrecordv1.Site{fewSites, fewSites, fewSites[1:]} {
		data, err := proto.Marshal(&onrecordv1.SiteDirectory{Sites: sites})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.bus.UpdateDirectory(t.Context(), func() ([]byte, error) { return data, nil }); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() error {
		if !strings.Contains(p.logs.String(), "sites=1") {
			return errors.New("the last directory was not read")
		}
		return nil
	})
	if got := strings.Count(p.logs.String(), "site directory read"); got != 2 {
		t.Errorf("read %d times, want the first and the one that differs", got)
	}
}

// Reporting counts employers by the same rule.
func TestTheFirstSiteSpellsTheEmployer(t *testing.T) {
	p := start(t, &onrecordv1.Site{Id: "leeds", Name: "Leeds Example Jobcentre", Employer: " Example Ltd "},
		&onrecordv1.Site{Id: "york", Name: "York Example Centre", Employer: "EXAMPLE LTD"}, &onrecordv1.Site{Id: "hull", Name: "Hull Example Centre"})
	id := newID(t)
	if res := p.post(t, report(id, `,"employer":" example ltd"`)); res.StatusCode != http.StatusCreated {
		t.Fatalf("status=%d: %s", res.StatusCode, res.Body)
	}
	e, _, _ := p.filed(t, id)
	if got := e.GetReportFiled().GetEmployer(); got != "Example Ltd" {
		t.Errorf("employer=%q, want the first site’s spelling without spaces", got)
	}
}

// eventually polls a condition until it holds.
func eventually(tb testing.TB, condition func() error) {
	tb.Helper()
	runtest.Eventually(tb, 20*time.Second, condition)
}

func (p *program) post(tb testing.TB, body string, headers ...string) webtest.Response {
	tb.Helper()
	return webtest.Do(tb, p.app, "POST", "/api/v1/reports", body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

// filed returns the report.filed event that the stream holds under an id.
func (p *program) filed(tb testing.TB, id string) (*onrecordv1.Envelope, *onrecordv1.ReportWords, []byte) {
	tb.Helper()
	stored, err := p.bus.Get(tb.Context(), bus.Subject(bus.TypeFiled, id))
	if err != nil {
		tb.Fatal(err)
	}
	var e onrecordv1.Envelope
	if err := proto.Unmarshal(stored.Data, &e); err != nil {
		tb.Fatal(err)
	}
	var words onrecordv1.ReportWords
	if sealed := e.GetReportFiled().GetSealedWords(); len(sealed) > 0 {
		key, err := p.keys.Unwrap(e.GetReportFiled().GetWrappedKey())
		if err != nil {
			tb.Fatal(err)
		}
		plain, err := key.Open(sealed, id, "words")
		if err != nil {
			tb.Fatal(err)
		}
		if err := proto.Unmarshal(plain, &words); err != nil {
			tb.Fatal(err)
		}
	}
	return &e, &words, stored.Data
}

func newID(tb testing.TB) string {
	tb.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		tb.Fatal(err)
	}
	return id.String()
}

// report is a small report in JSON with room for more fields.
func report(id, more string) string {
	return `{"id":"` + id + `","site":"leeds","occurred_at":"2026-11-21T11:00:00Z","kind":"abuse"` + more + `}`
}

type answer struct {
	ID         string    `json:"id"`
	Receipt    string    `json:"receipt"`
	ReceivedAt time.Time `json:"received_at"`
}

func decode[T any](tb testing.TB, body string) T {
	tb.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		tb.Fatalf("%v in %s", err, body)
	}
	return v
}

func TestAReportIsOnDiskBeforeItIsReceived(t *testing.T) {
	p := start(t)
	id := newID(t)
	got := p.post(t, report(id, `,"narrative":"He threw a chair.","employer":"EXAMPLE LTD","contact":{"choice":"rep_only","name":"A Demo"},"channel":"in_person","hurt":true,"days_unable":2`))
	if got.StatusCode != 201 {
		t.Fatalf("status=%d %s", got.StatusCode, got.Body)
	}
	a := decode[answer](t, got.Body)
	if a.ID != id || len(a.Receipt) != 19 || !a.ReceivedAt.Equal(testNow) {
		t.Errorf("answer=%+v", a)
	}
	e, words, raw := p.filed(t, id)
	f := e.GetReportFiled()
	if e.GetType() != bus.TypeFiled || e.GetId() != id+".filed" || e.GetProducer() != "intake/test" || e.GetTrace() == "" || strings.Contains(e.GetTrace(), id) {
		t.Errorf("envelope=%v", e)
	}
	if f.GetSite() != "leeds" || f.GetKind() != "abuse" || f.GetChannel() != "in_person" || f.GetTarget() != "unknown" || f.GetHurt() != "yes" || f.GetDaysUnable() != 2 ||
		f.GetEmployer() != "Example Ltd" || f.GetContactChoice() != "rep_only" || f.GetLanguage() != "en" || len(f.GetReceiptHash()) != 32 || len(f.GetDigest()) != 32 {
		t.Errorf("event=%v", f)
	}
	if words.GetNarrative() != "He threw a chair." || words.GetContactName() != "A Demo" || words.GetEmployer() != "" {
		t.Errorf("words=%v", words)
	}
	for _, secret := range []string{"chair", "A Demo", a.Receipt, strings.ReplaceAll(a.Receipt, "-", "")} {
		if bytes.Contains(raw, []byte(secret)) {
			t.Errorf("%q stands in the clear in the event", secret)
		}
	}
}

func TestAnUnknownEmployerStaysAmongTheSealedWords(t *testing.T) {
	p := start(t)
	id := newID(t)
	p.post(t, report(id, `,"employer":"Corner Shop"`))
	if e, words, raw := p.filed(t, id); e.GetReportFiled().GetEmployer() != "" || words.GetEmployer() != "Corner Shop" || bytes.Contains(raw, []byte("Corner")) {
		t.Errorf("employer=%q words=%v", e.GetReportFiled().GetEmployer(), words)
	}
}

func TestTheSameReportAgainIsTheSameAnswer(t *testing.T) {
	p := start(t)
	id := newID(t)
	first := p.post(t, report(id, `,"narrative":"a"`))
	p.now = func() time.Time { return testNow.Add(time.Hour) }
	again := p.post(t, report(id, `,"narrative":"a","sent_at":"2026-11-21T13:00:00Z"`))
	if again.StatusCode != 200 || again.Header.Get("Idempotency-Replayed") != "true" || again.Body != first.Body {
		t.Errorf("again: %d %s, want 200 %s", again.StatusCode, again.Body, first.Body)
	}

	p.stop()
	p.start(t) // another process on the same stream
	if restarted := p.post(t, report(id, `,"narrative":"a"`)); restarted.StatusCode != 200 || restarted.Body != first.Body {
		t.Errorf("after a restart: %d %s, want 200 %s", restarted.StatusCode, restarted.Body, first.Body)
	}

	other := p.post(t, report(id, `,"narrative":"b"`))
	if other.StatusCode != 409 || decode[web.Problem](t, other.Body).Code != "id_in_use" {
		t.Errorf("another report: %d %s, want 409", other.StatusCode, other.Body)
	}
	if _, words, _ := p.filed(t, id); words.GetNarrative() != "a" {
		t.Errorf("narrative=%q, want the first", words.GetNarrative())
	}
}

func TestAReportStaysReceivedWhenItsSiteCloses(t *testing.T) {
	p := start(t)
	id := newID(t)
	first := p.post(t, report(id, ""))
	data, _ := proto.Marshal(&onrecordv1.SiteDirectory{Sites: fewSites[1:]})
	if err := p.bus.UpdateDirectory(t.Context(), func() ([]byte, error) { return data, nil }); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if got := p.post(t, report(newID(t), "")); got.StatusCode != 422 {
			return fmt.Errorf("status=%d, want 422 once the site has closed", got.StatusCode)
		}
		return nil
	})
	if again := p.post(t, report(id, "")); again.StatusCode != 200 || again.Body != first.Body {
		t.Errorf("again: %d %s, want 200 %s", again.StatusCode, again.Body, first.Body)
	}
}

func TestTwoOfTheSameAtOnceAreOneReport(t *testing.T) {
	p := start(t)
	id := newID(t)
	const n = 8
	answers := make([]webtest.Response, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { answers[i] = p.post(t, report(id, `,"narrative":"a"`)) })
	}
	wg.Wait()
	created := 0
	for _, a := range answers {
		if a.StatusCode == 201 {
			created++
		} else if a.StatusCode != 200 {
			t.Errorf("status=%d %s", a.StatusCode, a.Body)
		}
		if a.Body != answers[0].Body {
			t.Errorf("body=%s, want %s", a.Body, answers[0].Body)
		}
	}
	if created != 1 {
		t.Errorf("created=%d, want 1", created)
	}
}

func TestAPhonesOwnReceiptIsEchoed(t *testing.T) {
	p := start(t)
	got := p.post(t, report(newID(t), `,"receipt":"0123456789abcdez"`))
	if a := decode[answer](t, got.Body); a.Receipt != "0123-4567-89AB-CDEZ" {
		t.Errorf("receipt=%q", a.Receipt)
	}
}

func TestBadInputIsToldClearly(t *testing.T) {
	p := start(t)
	id := newID(t)
	for name, c := range map[string]struct {
		body   string
		kind   string // content type, JSON unless said
		status int
		code   string
		fields []string
	}{
		"malformed JSON":        {body: `{"id":`, status: 400, code: "malformed"},
		"something after it":    {body: report(id, "") + "x", status: 400, code: "malformed"},
		"invalid UTF-8":         {body: report(id, ",\"narrative\":\"\xff\""), status: 400, code: "not_utf8"},
		"a field twice":         {body: report(id, `,"kind":"threat"`), status: 400, code: "malformed"},
		"an unknown field":      {body: report(id, `,"colour":"red"`), status: 422, code: "invalid", fields: []string{"colour"}},
		"an unknown enum":       {body: report(id, `,"channel":"pigeon"`), status: 422, code: "invalid", fields: []string{"channel"}},
		"a month 13":            {body: strings.Replace(report(id, ""), "2026-11", "2026-13", 1), status: 422, code: "invalid", fields: []string{"occurred_at"}},
		"a date in the future":  {body: strings.Replace(report(id, ""), "2026", "2027", 1), status: 422, code: "invalid", fields: []string{"occurred_at"}},
		"an id of version 4":    {body: report("01890a5d-ac96-474b-bcce-b302099a8057", ""), status: 422, code: "invalid", fields: []string{"id"}},
		"a control character":   {body: report(id, `,"narrative":"a\u0007"`), status: 422, code: "invalid", fields: []string{"narrative"}},
		"100 kB of words":       {body: report(id, `,"narrative":"`+strings.Repeat("x", 100000)+`"`), status: 422, code: "invalid", fields: []string{"narrative"}},
		"a body over the limit": {body: report(id, `,"narrative":"`+strings.Repeat("x", 256<<10)+`"`), status: 413, code: "too_large"},
		"a form":                {body: "id=1", kind: "application/x-www-form-urlencoded", status: 415, code: "unsupported_media"},
		"plain text":            {body: report(id, ""), kind: "text/plain", status: 415, code: "unsupported_media"},
		"no content type":       {body: report(id, ""), kind: "-", status: 415, code: "unsupported_media"},
		"another character set": {body: report(id, ""), kind: "application/json; charset=latin1", status: 415, code: "unsupported_media"},
		"two fields":            {body: report(id, `,"hurt":"maybe","language":"fr"`), status: 422, code: "invalid", fields: []string{"hurt", "language"}},
	} {
		t.Run(name, func(t *testing.T) {
			kind := c.kind
			if kind == "" {
				kind = "application/json"
			}
			got := webtest.Do(t, p.app, "POST", "/api/v1/reports", c.body, "Content-Type", strings.Trim(kind, "-"))
			problem := decode[web.Problem](t, got.Body)
			var fields []string
			for _, f := range problem.Errors {
				fields = append(fields, f.Name)
				if f.Message == "" {
					t.Errorf("field %s without a message", f.Name)
				}
			}
			if got.StatusCode != c.status || problem.Code != c.code || problem.Status != c.status || problem.Detail == "" || !slices.Equal(fields, c.fields) {
				t.Errorf("%d %s, want %d %s %v", got.StatusCode, got.Body, c.status, c.code, c.fields)
			}
			if h := got.Header.Get("Content-Type"); h != "application/problem+json" {
				t.Errorf("Content-Type=%q", h)
			}
		})
	}
	if _, err := p.bus.Get(t.Context(), bus.Subject(bus.TypeFiled, id)); fault.KindOf(err) != fault.NotFound {
		t.Errorf("something was stored: %v", err)
	}
}

func TestACompressedBodyIsRefusedUnopened(t *testing.T) {
	p := start(t)
	if got := p.post(t, "\x1f\x8b", "Content-Encoding", "gzip"); got.StatusCode != 415 {
		t.Errorf("status=%d, want 415", got.StatusCode)
	}
}

func TestMultipartIsTakenAndPhotosAreNotDroppedInSilence(t *testing.T) {
	p := start(t)
	id := newID(t)
	send := func(fields ...string) webtest.Response {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for i := 0; i+1 < len(fields); i += 2 {
			if err := w.WriteField(fields[i], fields[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		return webtest.Do(t, p.app, "POST", "/api/v1/reports", b.String(), "Content-Type", w.FormDataContentType())
	}
	if got := send("report", report(id, ""), "photo", strings.Repeat("x", 300<<10)); got.StatusCode != 422 || decode[web.Problem](t, got.Body).Errors[0].Name != "photo" {
		t.Errorf("with a photo: %d %s", got.StatusCode, got.Body)
	}
	if got := send("report", report(id, "")); got.StatusCode != 201 {
		t.Errorf("without: %d %s", got.StatusCode, got.Body)
	}
}

func TestAWrongClockIsCorrected(t *testing.T) {
	p := start(t)
	id := newID(t)
	// The phone is a day ahead: what it calls tomorrow 11:00 was today 11:00.
	got := p.post(t, strings.Replace(report(id, `,"sent_at":"2026-11-22T12:00:00Z"`), "2026-11-21T11", "2026-11-22T11", 1))
	if got.StatusCode != 201 {
		t.Fatalf("%d %s", got.StatusCode, got.Body)
	}
	e, _, _ := p.filed(t, id)
	if at := e.GetReportFiled().GetOccurredAt().AsTime(); !at.Equal(testNow.Add(-time.Hour)) {
		t.Errorf("occurred_at=%v, want %v", at, testNow.Add(-time.Hour))
	}
}

func TestAStoppedStreamPromisesNothing(t *testing.T) {
	b, nc := bustest.NewConn(t)
	p := startOn(t, b)
	nc.Close()
	got := p.post(t, report(newID(t), ""))
	if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || decode[web.Problem](t, got.Body).Code != "stream_unavailable" {
		t.Errorf("%d %s Retry-After=%q", got.StatusCode, got.Body, got.Header.Get("Retry-After"))
	}
}

func TestNothingIsFiledBeforeTheSitesAreKnown(t *testing.T) {
	b := bustest.New(t)
	keys, err := seal.NewKeyring(make([]byte, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s, err := intake.New(intake.Config{Bus: b, Keyring: keys, Assets: webtest.Assets(t), Log: log, Now: time.Now, Producer: "intake/test"})
	if err != nil {
		t.Fatal(err)
	}
	app, err := web.New(web.Config{Log: log, Assets: webtest.Assets(t)})
	if err != nil {
		t.Fatal(err)
	}
	app.Mount(s.Routes())
	if got := webtest.Do(t, app, "POST", "/api/v1/reports", report(newID(t), ""), "Content-Type", "application/json"); got.StatusCode != 503 {
		t.Errorf("status=%d %s, want 503: a good site must not be called unknown", got.StatusCode, got.Body)
	}
	if s.Check(t.Context()) == nil {
		t.Error("ready before the sites are known")
	}
}

func TestSites(t *testing.T) {
	p := start(t)
	got := webtest.Get(t, p.app, "/api/v1/sites")
	want := `{"sites":[{"id":"leeds","name":"Leeds Example Jobcentre","kind":"jobcentre","region":"North"},{"id":"york","name":"York Example Centre","kind":"assessment_centre","region":"North"},{"id":"unlisted","name":"Somewhere else"}]}`
	if got.StatusCode != 200 || got.Body != want || got.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("%d %s %v", got.StatusCode, got.Body, got.Header)
	}
	etag := got.Header.Get("Etag")
	if again := webtest.Get(t, p.app, "/api/v1/sites", "If-None-Match", etag); etag == "" || again.StatusCode != 304 || again.Body != "" {
		t.Errorf("with ETag %q: %d %s", etag, again.StatusCode, again.Body)
	}
}

// Where the services run apart, the whole API is described here.
func TestTheAPIIsDescribed(t *testing.T) {
	got := webtest.Get(t, start(t).app, "/api/v1/openapi.yaml")
	if got.StatusCode != 200 || got.Header.Get("Content-Type") != "application/yaml" || !strings.Contains(got.Body, "/api/v1/incidents") {
		t.Errorf("%d %v %.80s", got.StatusCode, got.Header, got.Body)
	}
}

// TestWordsOfOneReportNeverBecomeAnothers posts over a socket, where Fiber
// reuses its buffers between requests.
func TestWordsOfOneReportNeverBecomeAnothers(t *testing.T) {
	p := start(t)
	base := p.serve(t)
	const n = 50
	ids := make([]string, n)
	for i := range ids {
		ids[i] = newID(t)
		body := report(ids[i], fmt.Sprintf(`,"narrative":%q,"site_name":%q`, strings.Repeat(fmt.Sprintf("%02d ", i), 20), fmt.Sprintf("name %02d", i)))
		res, err := http.Post(base+"/api/v1/reports", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 201 {
			t.Fatalf("status=%d", res.StatusCode)
		}
	}
	for i, id := range ids {
		e, words, _ := p.filed(t, id)
		if want := strings.TrimSpace(strings.Repeat(fmt.Sprintf("%02d ", i), 20)); words.GetNarrative() != want || words.GetSiteName() != fmt.Sprintf("name %02d", i) || e.GetReportFiled().GetReportId() != id {
			t.Errorf("report %d: words=%v, want %q", i, words, want)
		}
	}
}

// serve opens a real listener.
func (p *program) serve(tb testing.TB) (base string) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(tb.Context())
	served := make(chan error, 1)
	go func() { served <- p.app.Serve(ctx, ln) }()
	tb.Cleanup(func() {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := <-served; err != nil && !errors.Is(err, context.DeadlineExceeded) {
			tb.Errorf("Serve: %v", err)
		}
	})
	return "http://" + ln.Addr().String()
}
