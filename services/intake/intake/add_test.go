package intake_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/web/webtest"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

// known files a report that the stub of reporting knows, and returns its id and
// receipt.
func (p *program) known(t *testing.T, more ...*onrecordv1.FollowUpMessage) (id, receipt string) {
	t.Helper()
	know := p.reporting(t, more...)
	id = newID(t)
	receipt = decode[answer](t, p.post(t, report(id, "")).Body).Receipt
	e, _, _ := p.filed(t, id)
	know(e.GetReportFiled())
	return id, receipt
}

func addition(receipt, id, what, text string, more ...string) string {
	return fmt.Sprintf(`{"receipt":%q,"addition":{"id":%q,"what":%q,"text":%q%s}}`, receipt, id, what, text, strings.Join(more, ""))
}

// added returns an addition as the stream holds it, with its words open.
func (p *program) added(t *testing.T, reportID, id string) (*onrecordv1.ReportAdded, *onrecordv1.AddedWords) {
	t.Helper()
	stored, err := p.bus.Get(t.Context(), bus.Subject(bus.TypeAdded, reportID, id))
	if err != nil {
		t.Fatal(err)
	}
	var e onrecordv1.Envelope
	if err := proto.Unmarshal(stored.Data, &e); err != nil {
		t.Fatal(err)
	}
	a := e.GetReportAdded()
	words := &onrecordv1.AddedWords{}
	if len(a.GetSealedWords()) > 0 {
		key, err := p.keys.Unwrap(a.GetWrappedKey())
		if err != nil {
			t.Fatal(err)
		}
		plain, err := key.Open(a.GetSealedWords(), reportID, id, "added")
		if err != nil {
			t.Fatal(err)
		}
		if err := proto.Unmarshal(plain, words); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(string(stored.Data), "canary") {
		t.Error("the stream holds words in the clear")
	}
	return a, words
}

func TestAnAdditionIsAsDurableAsAReport(t *testing.T) {
	p := start(t)
	reportID, code := p.known(t)
	id := newID(t)
	body := addition(code, id, "words", "canary: the guard saw it too")
	first := p.followUp(t, body)
	if first.StatusCode != 200 || !strings.Contains(first.Body, `"addition":{"id":"`+id+`","received_at":"2026-11-21T12:00:00Z"}`) || first.Header.Get("Idempotency-Replayed") != "" {
		t.Fatalf("%d %s", first.StatusCode, first.Body)
	}
	a, words := p.added(t, reportID, id) // on disk by now
	if a.GetAddition() != onrecordv1.Addition_ADDITION_WORDS || words.GetText() != "canary: the guard saw it too" || len(a.GetDigest()) != 32 {
		t.Errorf("stored %v, words %q", a.GetAddition(), words.GetText())
	}
	if !strings.Contains(first.Body, "the guard saw it too") {
		t.Error("the answer does not show what was added")
	}

	p.now = func() time.Time { return testNow.Add(time.Hour) }
	again := p.followUp(t, body)
	if again.StatusCode != 200 || !strings.Contains(again.Body, `"received_at":"2026-11-21T12:00:00Z"}`) || again.Header.Get("Idempotency-Replayed") != "true" {
		t.Errorf("again: %d %v %s", again.StatusCode, again.Header, again.Body)
	}
	other := p.followUp(t, addition(code, id, "words", "canary: something else"))
	if other.StatusCode != http.StatusConflict || decode[web.Problem](t, other.Body).Code != "id_in_use" {
		t.Errorf("other words: %d %s", other.StatusCode, other.Body)
	}
	if _, words := p.added(t, reportID, id); words.GetText() != "canary: the guard saw it too" {
		t.Errorf("the first was replaced by %q", words.GetText())
	}
	if strings.Contains(p.logs.String(), "canary") || strings.Contains(p.logs.String(), code) {
		t.Error("the log holds words or the receipt")
	}
}

func TestWhatCanBeAdded(t *testing.T) {
	p := start(t)
	reportID, code := p.known(t)
	now := testNow
	p.now = func() time.Time { return now }
	for body, want := range map[string]int{
		addition(code, newID(t), "withdraw", ""):                                                     200,
		addition(code, newID(t), "nothing_happened", "canary"):                                       200,
		addition(code, newID(t), "words", "  \u200b "):                                               422,
		strings.Replace(addition(code, newID(t), "words", "NUL"), "NUL", `\u0000`, 1):                422,
		addition(code, newID(t), "words", strings.Repeat("x", 5001)):                                 422,
		addition(code, newID(t), "praise", "x"):                                                      422,
		addition(code, "1", "words", "x"):                                                            422,
		addition(code, newID(t), "words", "x", `,"colour":"red"`):                                    422,
		addition(code, newID(t), "words", "x", `,"contact":"may_be_named"`):                          422,
		addition(code, newID(t), "contact", "", `,"contact":{"choice":"anonymous","name":"canary"}`): 422,
		addition(code, newID(t), "contact", "", `,"contact":"somebody"`):                             422,
		addition("0123-4567-89AB-CDEZ", newID(t), "withdraw", ""):                                    404,
	} {
		now = now.Add(time.Hour) // not too often
		if got := p.followUp(t, body); got.StatusCode != want || strings.Contains(got.Body, reportID) {
			t.Errorf("%.150s: %d %.300s, want %d", body, got.StatusCode, got.Body, want)
		}
	}
	id := newID(t)
	if got := p.followUp(t, addition(code, id, "contact", "", `,"contact":{"choice":"rep_only","name":"canary name","details":"canary@example.org"}`)); got.StatusCode != 200 || !strings.Contains(got.Body, `"contact":"rep_only"`) {
		t.Errorf("contact: %d %s", got.StatusCode, got.Body)
	}
	if a, words := p.added(t, reportID, id); a.GetContactChoice() != "rep_only" || words.GetContactName() != "canary name" || words.GetContactDetails() != "canary@example.org" {
		t.Errorf("stored %v %v", a, words)
	}
}

// An incident is one document. Whoever holds a receipt must not be able to make
// it so large that no database takes it.
func TestAReportTakesOnlySoManyAdditions(t *testing.T) {
	p := start(t)
	before := make([]*onrecordv1.FollowUpMessage, 200)
	for n := range before {
		before[n] = &onrecordv1.FollowUpMessage{At: timestamppb.New(testNow), From: "reporter", What: "words", AdditionId: newID(t)}
	}
	_, code := p.known(t, before...)
	if got := p.followUp(t, addition(code, newID(t), "words", "canary")); got.StatusCode != http.StatusConflict || decode[web.Problem](t, got.Body).Code != "enough_added" {
		t.Errorf("one more: %d %s", got.StatusCode, got.Body)
	}
	if got := p.followUp(t, addition(code, before[0].GetAdditionId(), "words", "canary")); got.StatusCode != http.StatusOK {
		t.Errorf("one that was taken before: %d %s", got.StatusCode, got.Body)
	}
	page := webtest.PostForm(t, p.app, "/follow-up/", url.Values{"receipt": {code}, "what": {"words"}, "id": {newID(t)}, "text": {"half a page"}})
	doc := page.Document(t)
	webtest.CheckPage(t, doc)
	if page.StatusCode != http.StatusConflict || !strings.Contains(doc.Find(".govuk-error-summary").Text(), "As much was added") || doc.Find("textarea[name=text]").First().Text() != "half a page" {
		t.Errorf("the page: %d %s", page.StatusCode, doc.Find("main").Text())
	}
}

// Long messages are fewer: lists read incidents whole, many at a time.
func TestAReportTakesOnlySoManyWords(t *testing.T) {
	page := []byte(strings.Repeat("a long account ", 1365)) // 20 KB, as 5,000 characters of four bytes
	for pages, want := range map[int]int{12: http.StatusOK, 13: http.StatusConflict} {
		p := start(t)
		before := make([]*onrecordv1.FollowUpMessage, pages)
		for n := range before {
			before[n] = &onrecordv1.FollowUpMessage{At: timestamppb.New(testNow), From: "reporter", What: "words", AdditionId: newID(t), SealedText: page}
		}
		_, code := p.known(t, before...)
		if got := p.followUp(t, addition(code, newID(t), "words", "canary")); got.StatusCode != want {
			t.Errorf("after %d bytes: %d %s, want %d", pages*len(page), got.StatusCode, got.Body, want)
		}
	}
}

// Whoever has added as much as a report takes can still take it, or their name,
// back.
func TestAFullReportCanBeTakenBack(t *testing.T) {
	const anonymous = `,"contact":{"choice":"anonymous"}`
	for name, c := range map[string]struct {
		before, bytes    int // what was added, and how long each was
		what, text, more string
		want             int
	}{
		"withdrawn, after many":         {200, 0, "withdraw", "", "", http.StatusOK},
		"withdrawn, after many words":   {60, 5000, "withdraw", "", "", http.StatusOK},
		"no name any more":              {60, 5000, "contact", "", anonymous, http.StatusOK},
		"nothing happened":              {200, 0, "nothing_happened", "", "", http.StatusOK},
		"more words, of the withdrawal": {60, 5000, "withdraw", "canary", "", http.StatusConflict},
		"back and forth":                {220, 0, "contact", "", anonymous, http.StatusConflict},
	} {
		p := start(t)
		before := make([]*onrecordv1.FollowUpMessage, c.before)
		for n := range before {
			before[n] = &onrecordv1.FollowUpMessage{At: timestamppb.New(testNow), From: "reporter", What: "words", AdditionId: newID(t), SealedText: bytes.Repeat([]byte("a"), c.bytes)}
		}
		_, code := p.known(t, before...)
		if got := p.followUp(t, addition(code, newID(t), c.what, c.text, c.more)); got.StatusCode != c.want {
			t.Errorf("%s: %d %s, want %d", name, got.StatusCode, got.Body, c.want)
		}
	}
}

// While reporting is away nothing is promised and nothing typed is lost.
func TestWhatWasTypedStaysWhileItCannotBeTaken(t *testing.T) {
	p := start(t)
	form := url.Values{"receipt": {"0123-4567-89AB-CDEZ"}, "what": {"words"}, "id": {newID(t)}, "text": {"half a page of <b>words</b>"}}
	got := webtest.PostForm(t, p.app, "/follow-up/", form)
	doc := got.Document(t)
	webtest.CheckPage(t, doc)
	if got.StatusCode != 503 || doc.Find("textarea[name=text]").Text() != "half a page of <b>words</b>" || doc.Find("input[name=id]").AttrOr("value", "") != form.Get("id") {
		t.Errorf("%d %s", got.StatusCode, doc.Find("main").Text())
	}
}

func TestTheFollowUpPageAddsWithoutScript(t *testing.T) {
	p := start(t)
	reportID, code := p.known(t)
	look := func(form url.Values, want int) webtest.Response {
		t.Helper()
		got := webtest.PostForm(t, p.app, "/follow-up/", form)
		webtest.CheckPage(t, got.Document(t))
		if got.StatusCode != want {
			t.Errorf("%d, want %d: %s", got.StatusCode, want, got.Document(t).Find("main").Text())
		}
		return got
	}
	doc := look(url.Values{"receipt": {code}}, 200).Document(t)
	if !strings.Contains(doc.Find(".app-timeline").Text(), "canary-message") || !strings.Contains(doc.Find("#expect").Text(), "Saturday 5 December") {
		t.Errorf("the page: %s", doc.Find("main").Text())
	}
	form := url.Values{"receipt": {code}, "what": {"words"}, "text": {""}}
	doc.Find("form.app-add").First().Find("input").Each(func(_ int, in *goquery.Selection) { form.Set(in.AttrOr("name", ""), in.AttrOr("value", "")) })
	empty := look(form, 422).Document(t)
	if empty.Find("#text-error").Length() != 1 || empty.Find("form.app-add").First().Find("input[name=id]").AttrOr("value", "") != form.Get("id") {
		t.Errorf("with nothing written: %s", empty.Find("main").Text())
	}
	form.Set("text", "It is <i>still</i> broken")
	for range 2 { // reloading sends it again
		doc = look(form, 200).Document(t)
		if got := doc.Find(".govuk-notification-banner").Text(); !strings.Contains(got, "You added something.") {
			t.Errorf("banner %q", got)
		}
		if !strings.Contains(doc.Find(".app-timeline").Text(), "It is <i>still</i> broken") {
			t.Errorf("the timeline: %s", doc.Find(".app-timeline").Text())
		}
	}
	if _, words := p.added(t, reportID, form.Get("id")); words.GetText() != "It is <i>still</i> broken" {
		t.Errorf("stored %q", words.GetText())
	}
	form.Set("text", "Something else")
	twin := look(form, 409).Document(t)
	if twin.Find("#text").Text() != "Something else" || twin.Find("form.app-add").First().Find("input[name=id]").AttrOr("value", "") == form.Get("id") {
		t.Error("other words under the same id must stay in the form, under a new one")
	}
	welsh := webtest.PostForm(t, p.app, "/follow-up/", url.Values{"receipt": {code}}, "Accept-Language", "cy")
	if !strings.Contains(welsh.Body, "dydd Sadwrn 5 Rhagfyr") {
		t.Error("the Welsh page does not say when to expect more")
	}
}

func FuzzFollowUpForm(f *testing.F) {
	f.Add("receipt=0123-4567-89AB-CDEZ&what=words&text=x")
	f.Add("what=contact&contact=rep_only&contact_name=%ff")
	p := start(f)
	f.Fuzz(func(t *testing.T, body string) {
		got := webtest.Do(t, p.app, "POST", "/follow-up/", body, "Content-Type", "application/x-www-form-urlencoded")
		if got.StatusCode >= 500 && got.StatusCode != 503 {
			t.Fatalf("%q: %d %s", body, got.StatusCode, got.Body)
		}
	})
}
