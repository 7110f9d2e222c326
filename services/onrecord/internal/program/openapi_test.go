package program_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web/webtest"
	"github.com/onrecord/onrecord/services/intake/intake"
)

// document is the OpenAPI document, and which of its answers were seen.
type document struct {
	tb      testing.TB
	root    map[string]any
	schemas *jsonschema.Compiler
	seen    map[string]bool // "GET /api/v1/sites 200"
}

func readDocument(tb testing.TB) *document {
	tb.Helper()
	var parsed any
	if err := yaml.Unmarshal(intake.OpenAPI, &parsed); err != nil {
		tb.Fatal(err)
	}
	asRead, err := jsonschema.UnmarshalJSON(strings.NewReader(asJSON(parsed)))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020) // OpenAPI 3.1 takes its schemas from there
	c.AssertFormat()
	if err := c.AddResource("openapi.json", asRead); err != nil {
		tb.Fatal(err)
	}
	return &document{tb, asRead.(map[string]any), c, make(map[string]bool)}
}

// node is a place in the document.
type node struct {
	pointer string
	value   map[string]any
}

// at goes down the document by names, following references.
func (d *document) at(n node, names ...string) (node, bool) {
	for _, name := range names {
		next, ok := n.value[name].(map[string]any)
		if !ok {
			return node{}, false
		}
		n = node{n.pointer + "/" + strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"), next}
		if ref, ok := next["$ref"].(string); ok {
			if n, ok = d.at(node{"", d.root}, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...); !ok {
				d.tb.Fatalf("%s leads nowhere", ref)
			}
		}
	}
	return n, true
}

func (d *document) operation(method, path string) (node, bool) {
	return d.at(node{"", d.root}, "paths", path, strings.ToLower(method))
}

// validate holds JSON against the schema at a place.
func (d *document) validate(n node, body string) error {
	schema, err := d.schemas.Compile("openapi.json#" + (&url.URL{Path: n.pointer}).EscapedPath())
	if err != nil {
		d.tb.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// check holds an answer against the document, and the question when it was
// understood.
func (d *document) check(method, path, question string, res webtest.Response) {
	d.tb.Helper()
	name := fmt.Sprintf("%s %s %d", method, path, res.StatusCode)
	op, ok := d.operation(method, path)
	if !ok {
		d.tb.Errorf("%s: not documented", name)
		return
	}
	answer, ok := d.at(op, "responses", fmt.Sprint(res.StatusCode))
	if !ok {
		d.tb.Errorf("%s is not documented: %.200s", name, res.Body)
		return
	}
	d.seen[name] = true
	if res.StatusCode == http.StatusOK {
		d.checkParameters(name, op, res.Request.URL.Query())
	}
	if headers, ok := d.at(answer, "headers"); ok {
		for header := range headers.value {
			if res.Header.Get(header) == "" {
				d.tb.Errorf("%s: the header %s is missing", name, header)
			}
		}
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); answer.value["content"] == nil {
		if res.Body != "" {
			d.tb.Errorf("%s: a body that is not documented: %s", name, res.Body)
		}
	} else if content, ok := d.at(answer, "content", kind); err != nil || !ok {
		d.tb.Errorf("%s: the content type %q is not documented", name, res.Header.Get("Content-Type"))
	} else if schema, ok := d.at(content, "schema"); ok {
		if err := d.validate(schema, res.Body); err != nil {
			d.tb.Errorf("%s: %v\n%s", name, err, res.Body)
		}
	}
	if schema, ok := d.at(op, "requestBody", "content", "application/json", "schema"); ok && res.StatusCode < 300 && strings.HasPrefix(question, "{") {
		if err := d.validate(schema, question); err != nil {
			d.tb.Errorf("%s was understood, and the document says it is wrong: %v\n%s", name, err, question)
		}
	}
}

// checkParameters holds the parameters of a question that was understood
// against the document.
func (d *document) checkParameters(name string, op node, asked url.Values) {
	d.tb.Helper()
	listed, _ := op.value["parameters"].([]any)
	known := make(map[string]bool)
	for _, p := range listed {
		p := p.(map[string]any)
		known[p["name"].(string)] = p["in"] == "query"
	}
	for parameter := range asked {
		if !known[parameter] {
			d.tb.Errorf("%s: the parameter %s is not documented", name, parameter)
		}
	}
}

// apiPath returns a route's path as the document writes it.
func apiPath(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

func TestTheDocumentAndTheRoutesAreTheSame(t *testing.T) {
	d := readDocument(t)
	documented := map[string]bool{}
	paths, _ := d.at(node{"", d.root}, "paths")
	for path, item := range paths.value {
		for method := range item.(map[string]any) {
			if method != "parameters" {
				documented[strings.ToUpper(method)+" "+path] = true
			}
		}
	}
	routes := map[string]bool{}
	for _, r := range open(t).App().Routes() {
		if strings.HasPrefix(r.Path, "/api/") {
			routes[r.Method+" "+apiPath(r.Path)] = true
		}
	}
	for r := range routes {
		if !documented[r] {
			t.Errorf("%s is a route and not documented", r)
		}
	}
	for r := range documented {
		if !routes[r] {
			t.Errorf("%s is documented and no route", r)
		}
	}
	if len(routes) < 10 {
		t.Errorf("%d routes of the API: the test looks in the wrong place", len(routes))
	}
}

// Answers that no request of this test can bring about.
var unseen = map[string]string{
	"POST /api/v1/incidents/{id}/note 409":             "only after the words were erased",
	"POST /api/v1/incidents/{id}/message 409":          "only after the words were erased",
	"POST /api/v1/incidents/{id}/classify 409":         "only after the words were erased, or the report was withdrawn",
	"POST /api/v1/incidents/floods/{id}/set-aside 202": "only while it takes longer than five seconds",
	"POST /api/v1/incidents/floods/{id}/take-back 202": "only while it takes longer than five seconds",
	"GET /api/v1/editions 403":                         "only to an administrator’s session: a token is a rep’s or a manager’s",
	"GET /api/v1/editions/{month}/{edition} 403":       "only to an administrator’s session: a token is a rep’s or a manager’s",
}

// whyUnseen returns why an answer is not brought about here, "" where it is.
func whyUnseen(answer string) string {
	for _, of := range []string{"/api/v1/incidents", "/api/v1/figures", "/api/v1/editions"} {
		if strings.Contains(answer, " "+of) && strings.HasSuffix(answer, " 503") {
			return "only while the store does not work, which reporting’s TestADatabaseThatIsAwayIsSaidToBeAway has of every route"
		}
	}
	return unseen[answer]
}

// Every answer the document promises is brought about and held against it.
func TestAnswersAreAsDocumented(t *testing.T) {
	k, d := open(t), readDocument(t)
	ask := func(method, path, body string, want int, headers ...string) webtest.Response {
		t.Helper()
		if body != "" && !slices.Contains(headers, "Content-Type") {
			headers = append(headers, "Content-Type", "application/json")
		}
		res := k.call(method, path, body, headers...)
		if res.StatusCode != want {
			t.Errorf("%s %s %.200s: status=%d, want %d: %s", method, path, body, res.StatusCode, want, res.Body)
		}
		pattern, _, _ := strings.Cut(path, "?")
		if parts := strings.Split(pattern, "/"); len(parts) > 4 && parts[4] == "floods" {
			if len(parts) > 5 {
				parts[5] = "{id}"
			}
			pattern = strings.Join(parts, "/")
		} else if len(parts) > 4 && parts[3] == "incidents" {
			parts[4] = "{id}"
			if len(parts) > 6 {
				parts[6] = "{n}"
			}
			pattern = strings.Join(parts, "/")
		} else if len(parts) > 4 && parts[3] == "editions" {
			copy(parts[4:], []string{"{month}", "{edition}"})
			pattern = strings.Join(parts, "/")
		}
		d.check(method, pattern, body, res)
		return res
	}
	const reports, sites, followUp, list, figures = "/api/v1/reports", "/api/v1/sites", "/api/v1/follow-up", "/api/v1/incidents", "/api/v1/figures"

	// Before the services run nothing is promised.
	ask("POST", reports, report(nil), 503)
	ask("GET", sites, "", 503)
	ask("POST", followUp, `{"receipt":"0000-0000-0000-0000"}`, 503)

	k.run()
	k.importSites()
	rep, south, manager := k.token("rep"), k.token("rep", "demo-south"), k.token("manager")
	ask("GET", "/api/v1/openapi.yaml", "", 200)

	listed := ask("GET", sites, "", 200)
	ask("GET", sites, "", 304, "If-None-Match", listed.Header.Get("ETag"))
	if !strings.Contains(listed.Body, "demo-south") {
		t.Errorf("the sites imported are not listed: %s", listed.Body)
	}

	// Filing.
	first := report(map[string]any{"contact": map[string]string{"choice": "rep_only", "name": "Demo Reporter", "details": "demo@example.org"}, "employer": "Demo Department", "days_unable": 2, "people_affected": 3, "language": "en", "hurt": "yes"})
	received := ask("POST", reports, first, 201)
	ask("POST", reports, first, 200)
	var twin map[string]any
	if err := json.Unmarshal([]byte(first), &twin); err != nil {
		t.Fatal(err)
	}
	twin["narrative"] = "Demo: something else."
	ask("POST", reports, asJSON(twin), 409)
	ask("POST", reports, `{"id":`, 400)
	ask("POST", reports, report(map[string]any{"kind": "rude", "site": "nowhere"}), 422)
	ask("POST", reports, first, 415, "Content-Type", "text/plain")
	ask("POST", reports, report(map[string]any{"narrative": strings.Repeat("x", 300<<10)}), 413)
	boundary := "--demo\r\nContent-Disposition: form-data; name=\"report\"\r\n\r\n" + report(map[string]any{"site": "unlisted", "site_name": "Demo desk"}) + "\r\n--demo--\r\n"
	ask("POST", reports, boundary, 201, "Content-Type", "multipart/form-data; boundary=demo")
	for range 7 { // more than the threshold
		ask("POST", reports, report(map[string]any{"channel": "phone"}), 201)
	}
	ask("POST", reports, report(map[string]any{"kind": "unknown", "channel": "unknown", "target": "unknown", "narrative": absent, "site": "demo-south"}), 422) // neither kind nor words
	ask("POST", reports, report(map[string]any{"kind": absent, "channel": absent, "target": absent, "narrative": "Demo: words that say nothing of the sort.", "site": "demo-south"}), 201)
	all := k.classified(rep, 10)

	// Following up.
	var receipt struct{ Receipt string }
	if err := json.Unmarshal([]byte(received.Body), &receipt); err != nil {
		t.Fatal(err)
	}
	ask("POST", followUp, asJSON(map[string]string{"receipt": receipt.Receipt}), 200)
	addition := map[string]any{"receipt": receipt.Receipt, "addition": map[string]any{"id": uuid.Must(uuid.NewV7()), "what": "words", "text": "Demo: it was the blue door."}}
	ask("POST", followUp, asJSON(addition), 200)
	addition["addition"].(map[string]any)["text"] = "Demo: something else."
	ask("POST", followUp, asJSON(addition), 409)
	addition["addition"].(map[string]any)["id"] = uuid.Must(uuid.NewV7())
	pictures, picturesType := withPhotos(t, map[string]string{"follow_up": asJSON(addition)}, demoPhoto(t, "demo"))
	ask("POST", followUp, pictures, 200, "Content-Type", picturesType)
	ask("POST", followUp, `{"receipt":"0000-0000-0000-0000"}`, 404)
	ask("POST", followUp, `{"receipt":"no code"}`, 422)
	ask("POST", followUp, `{"receipt":`, 400)
	ask("POST", followUp, `{"receipt":"0000-0000-0000-0000"}`, 415, "Content-Type", "text/plain")

	// Incidents.
	ask("GET", list, "", 200, rep...)
	ask("GET", list+"?limit=1", "", 200, rep...)
	ask("GET", list+"?status=new,acknowledged&site=demo-north&kind=abuse&channel=in_person&target=named_person&review=false&month="+time.Now().Format("2006-01"), "", 200, rep...)
	ask("GET", list+"?channel=online", "", 200, rep...)
	ask("GET", list, "", 401)
	ask("GET", list, "", 403, manager...)
	ask("GET", list+"?limit=0&status=lost&colour=red", "", 422, rep...)
	ask("GET", list+"?month=%zz", "", 400, rep...)
	id, without := "", "" // one that a photo was added to, and one without
	for _, i := range all {
		if res := k.call("GET", list+"/"+i.ID, "", rep...); strings.Contains(res.Body, "Demo Reporter") {
			id = i.ID
		} else {
			without = i.ID
		}
		ask("GET", list+"/"+i.ID, "", 200, rep...)
	}
	one := list + "/" + id
	k.eventually(func() error { // what follows names the revision after it
		if !strings.Contains(k.call("GET", one, "", rep...).Body, "it was the blue door") {
			return errors.New("the addition is not in the store")
		}
		return nil
	})
	ask("GET", one, "", 401)
	ask("GET", one, "", 403, manager...)
	ask("GET", one, "", 404, south...)

	// Photos.
	body, contentType := withPhotos(t, map[string]string{"report": report(map[string]any{"keep_originals": true, "site": "demo-south"})}, demoPhoto(t, "demo"))
	ask("POST", reports, body, 201, "Content-Type", contentType)
	pictured := ""
	k.eventually(func() error {
		for _, i := range k.incidents(rep) {
			if strings.Contains(k.call("GET", list+"/"+i.ID, "", rep...).Body, `"original":{`) {
				pictured = list + "/" + i.ID
				return nil
			}
		}
		return errors.New("no incident has the photo")
	})
	ask("GET", pictured, "", 200, rep...)
	photo, why := pictured+"/photos/1", `{"reason":"Demo: the police asked."}`
	ask("GET", photo, "", 200, rep...)
	ask("GET", photo, "", 401)
	ask("GET", photo, "", 403, manager...)
	ask("GET", list+"/"+without+"/photos/1", "", 404, rep...)
	ask("POST", photo+"/original", why, 200, rep...)
	ask("POST", photo+"/original", `{"reason":""}`, 422, rep...)
	ask("POST", photo+"/original", `{"`, 400, rep...)
	ask("POST", photo+"/original", why, 415, append([]string{"Content-Type", "text/plain"}, rep...)...)
	ask("POST", photo+"/original", why, 401)
	ask("POST", photo+"/original", why, 403, manager...)
	ask("POST", one+"/photos/1/original", why, 404, rep...)

	// What a rep does, from new to closed and open again.
	change := func(action, body string, want int, headers ...string) {
		t.Helper()
		if !slices.Contains(headers, "If-Match") {
			var at struct{ Rev int }
			if err := json.Unmarshal([]byte(k.call("GET", one, "", rep...).Body), &at); err != nil {
				t.Fatal(err)
			}
			headers = append(headers, "If-Match", fmt.Sprintf("%q", fmt.Sprint(at.Rev)))
		}
		ask("POST", one+"/"+action, body, want, append(headers, rep...)...)
	}
	for _, a := range []struct{ action, body, invalid string }{
		{"acknowledge", "", `{"colour":"red"}`},
		{"status", `{"status":"in_review"}`, `{"status":"new"}`},
		{"classify", `{"kind":"threat","hurt":"no","people_affected":2,"occurred_at":"` + time.Now().Add(-time.Hour).UTC().Format(time.RFC3339) + `","occurred_precision":"about","site":"demo-north","reason":"Demo reason."}`, `{"kind":"rude"}`},
		{"note", `{"note":"Demo note."}`, `{"note":""}`},
		{"message", `{"message":"Demo: the screen is ordered.","report":1}`, `{"message":"Demo.","report":2}`},
		{"ask", `{"question":"Demo: which desk was it?"}`, `{"question":""}`},
		{"close", `{"fixed":true,"reason":"Demo: the screen is mended."}`, `{"reason":"Demo: neither."}`},
		{"reopen", `{"reason":"Demo: it broke again."}`, `{"reason":""}`},
		{"set-aside", `{"reason":"Demo: made up."}`, `{"reason":""}`},
		{"take-back", `{"reason":"Demo: it is real."}`, `{"reason":""}`},
	} {
		path := one + "/" + a.action
		change(a.action, a.invalid, 422)
		change(a.action, a.body, 412, "If-Match", `"999"`)
		change(a.action, a.body, 400, "If-Match", "999")
		change(a.action, `{"`, 400)
		change(a.action, `{}`, 415, "Content-Type", "text/plain")
		ask("POST", path, a.body, 428, rep...)
		ask("POST", path, a.body, 401, "If-Match", `"1"`)
		ask("POST", path, a.body, 403, append([]string{"If-Match", `"1"`}, manager...)...)
		ask("POST", path, a.body, 404, append([]string{"If-Match", `"1"`}, south...)...)
		if a.action == "reopen" {
			change("acknowledge", "", 409)
			change("status", `{"status":"in_review"}`, 409)
			change("close", `{"fixed":false,"reason":"Demo."}`, 409)
			change("ask", `{"question":"Demo?"}`, 409)
		}
		if a.action == "set-aside" {
			change("take-back", a.body, 409)
		}
		change(a.action, a.body, 200)
		if a.action == "set-aside" {
			change(a.action, a.body, 409)
		}
	}
	change("reopen", `{"reason":"Demo: it is open."}`, 409)
	ask("POST", followUp, asJSON(map[string]string{"receipt": receipt.Receipt}), 200)
	for range 20 {
		if k.call("POST", followUp, `{"receipt":"0000-0000-0000-0000"}`, "Content-Type", "application/json").StatusCode == 429 {
			break
		}
	}
	ask("POST", followUp, `{"receipt":"0000-0000-0000-0000"}`, 429)

	// Figures, exact and published.
	ask("GET", figures, "", 200, rep...)
	ask("GET", figures+"?by=channel,target,kind,site,employer&unit=people&edition=live", "", 200, rep...)
	ask("GET", figures+"?unit=reports", "", 200, south...)
	ask("GET", figures, "", 200, manager...) // nothing is published yet
	const editions = "/api/v1/editions"
	last := incident.MonthOf(time.Now()).Add(-1)
	ask("POST", editions+"/"+last.String(), `{"edition":1}`, 409, rep...)
	late := func(n int, channel string) {
		t.Helper()
		for range n {
			ask("POST", reports, report(map[string]any{"occurred_at": last.Start().Add(36 * time.Hour), "channel": channel}), 201)
		}
	}
	late(14, "phone")
	late(12, "in_person")
	late(3, "letter")
	late(3, "public_online")
	ask("POST", editions+"/"+last.String(), `{"edition":1}`, 403, south...)
	ask("POST", editions+"/"+last.String(), `{"edition":1}`, 403, manager...)
	ask("POST", editions+"/"+last.String(), `{"edition":1}`, 401)
	ask("POST", editions+"/"+last.String(), `{"edition":`, 400, rep...)
	ask("POST", editions+"/"+last.String(), `{"edition":1,"reason":"R1"}`, 422, rep...)
	ask("POST", editions+"/"+last.String(), `{"edition":1}`, 415, append([]string{"Content-Type", "text/plain"}, rep...)...)
	ask("POST", editions+"/2026-13", `{"edition":1}`, 404, rep...)
	first201 := ask("POST", editions+"/"+last.String(), `{"edition":1}`, 201, rep...)
	late(9, "phone")
	ask("POST", editions+"/"+last.String(), `{"edition":2,"reason":"R1","why":"Demo: nine reports came late."}`, 201, rep...)
	if again := ask("GET", editions+"/"+last.String()+"/1", "", 200, manager...); again.Body != first201.Body {
		t.Errorf("edition 1 is %s, and was published as %s", again.Body, first201.Body)
	}
	ask("GET", editions+"/"+last.String()+"/2", "", 200, south...)
	ask("GET", editions+"/"+last.String()+"/3", "", 404, manager...)
	ask("GET", editions+"/"+last.String()+"/1", "", 401)
	ask("GET", editions, "", 200, manager...)
	ask("GET", editions, "", 401)
	ask("GET", editions+"?month=2026-10", "", 422, manager...)
	ask("GET", figures+"?edition=1&by=site,kind", "", 200, rep...)
	published := ask("GET", figures+"?from="+last.String()+"&to="+last.String(), "", 200, manager...)
	if !strings.Contains(published.Body, `"count":null`) || !strings.Contains(published.Body, `"suppressed":true`) || !strings.Contains(published.Body, `"number":2`) {
		t.Errorf("no number of edition 2 is hidden from a manager: %s", published.Body)
	}
	ask("GET", figures+"?edition=live", "", 403, manager...)
	ask("GET", figures+"?by=kind", "", 200, manager...)
	ask("GET", figures, "", 401)
	ask("GET", figures+"?by=site", "", 403, manager...)
	ask("GET", figures+"?from=2026-13&unit=tears", "", 422, rep...)
	ask("GET", figures+"?from=%zz", "", 400, rep...)

	// A flood, looked at, set aside together and taken back.
	for range 100 { // two hours may share them
		ask("POST", reports, report(map[string]any{"site": "demo-south", "narrative": "Demo: the same words each time."}), 201)
	}
	const floods = list + "/floods"
	var found struct {
		Floods []struct {
			ID    string
			Until time.Time
		}
	}
	k.eventually(func() error {
		if err := json.Unmarshal([]byte(k.call("GET", floods, "", south...).Body), &found); err != nil {
			return err
		}
		if len(found.Floods) == 0 {
			return errors.New("no flood")
		}
		return nil
	})
	ask("GET", floods, "", 200, south...)
	ask("GET", floods, "", 401)
	ask("GET", floods, "", 403, manager...)
	flood := floods + "/" + found.Floods[0].ID
	north := k.token("rep", "demo-north")
	ask("GET", flood, "", 200, south...)
	ask("GET", flood+"?unlike=true", "", 200, south...)
	ask("GET", flood+"?after="+id, "", 422, south...)
	ask("GET", flood+"?after=%zz", "", 400, south...)
	ask("GET", flood, "", 401)
	ask("GET", flood, "", 403, manager...)
	ask("GET", flood, "", 404, north...)
	aside := asJSON(map[string]any{"which": "alike", "until": found.Floods[0].Until, "reason": "Demo: one text."})
	var joint struct{ ID string }
	together := func(action, body, invalid string) {
		t.Helper()
		path := flood + "/" + action
		ask("POST", path, body, 401)
		ask("POST", path, body, 403, manager...)
		ask("POST", path, body, 404, north...)
		ask("POST", path, body, 415, append([]string{"Content-Type", "text/plain"}, south...)...)
		ask("POST", path, `{"`, 400, south...)
		ask("POST", path, invalid, 422, south...)
		if res := ask("POST", path, body, 200, south...); action == "set-aside" {
			if err := json.Unmarshal([]byte(res.Body), &joint); err != nil {
				t.Fatal(err)
			}
		}
		ask("POST", path, body, 409, south...)
		ask("GET", flood, "", 200, south...)
	}
	together("set-aside", aside, `{"which":"alike"}`)
	together("take-back", asJSON(map[string]any{"change": joint.ID, "reason": "Demo: they were real."}), `{"change":"none","reason":"Demo."}`)

	for _, answer := range d.promised() {
		if reason := whyUnseen(answer); (reason == "") != d.seen[answer] {
			t.Errorf("%s: seen=%v, and the reason not to see it is %q", answer, d.seen[answer], reason)
		}
	}
}

// promised returns every answer of the document.
func (d *document) promised() []string {
	var all []string
	paths, _ := d.at(node{"", d.root}, "paths")
	for path, item := range paths.value {
		for method := range item.(map[string]any) {
			if method == "parameters" {
				continue
			}
			answers, _ := d.at(node{"", d.root}, "paths", path, method, "responses")
			for status := range answers.value {
				all = append(all, strings.ToUpper(method)+" "+path+" "+status)
			}
		}
	}
	slices.Sort(all)
	return all
}

// The document calls right what is received, and wrong what is refused.
func TestTheDocumentKnowsAReport(t *testing.T) {
	k, d := open(t), readDocument(t)
	k.run()
	k.importSites()
	op, _ := d.operation("POST", "/api/v1/reports")
	schema, ok := d.at(op, "requestBody", "content", "application/json", "schema")
	if !ok {
		t.Fatal("the document describes no report")
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		change map[string]any
		want   bool
	}{
		{nil, true},
		{map[string]any{"id": uuid.New()}, false}, // version 4
		{map[string]any{"id": "1"}, false},
		{map[string]any{"id": absent}, false},
		{map[string]any{"site": absent}, false},
		{map[string]any{"occurred_at": absent}, false},
		{map[string]any{"occurred_at": "yesterday"}, false},
		{map[string]any{"occurred_at": time.Now().AddDate(0, 0, -1).Format(time.DateOnly)}, false},
		{map[string]any{"occurred_at": time.Now().AddDate(0, 0, -1).Format(time.DateOnly), "occurred_precision": "day"}, true},
		{map[string]any{"occurred_precision": "hour"}, false},
		{map[string]any{"occurred_precision": "unknown"}, false}, // and a time
		{map[string]any{"occurred_precision": "unknown", "occurred_at": absent}, true},
		{map[string]any{"occurred_precision": "unknown", "occurred_at": nil, "site": "unlisted"}, true},
		{map[string]any{"occurred_precision": "about", "occurred_at": nil}, false},
		{map[string]any{"kind": "rude"}, false},
		{map[string]any{"kind": absent}, true},
		{map[string]any{"narrative": absent}, true},
		{map[string]any{"kind": absent, "narrative": absent}, false},
		{map[string]any{"kind": "unknown", "channel": "unknown", "target": "unknown", "hurt": "unknown"}, true},
		{map[string]any{"channel": "online"}, false},
		{map[string]any{"target": "everybody"}, false},
		{map[string]any{"narrative": long(5000)}, true},
		{map[string]any{"narrative": long(5001)}, false},
		{map[string]any{"narrative": 7}, false},
		{map[string]any{"hurt": true}, true},
		{map[string]any{"hurt": "maybe"}, false},
		{map[string]any{"days_unable": 3650}, true},
		{map[string]any{"days_unable": 3651}, false},
		{map[string]any{"days_unable": -1}, false},
		{map[string]any{"days_unable": 1.5}, false},
		{map[string]any{"people_affected": 500}, true},
		{map[string]any{"people_affected": 501}, false},
		{map[string]any{"employer": long(80)}, true},
		{map[string]any{"employer": long(81)}, false},
		{map[string]any{"site": "unlisted", "site_name": long(120)}, true},
		{map[string]any{"site": "unlisted", "site_name": long(121)}, false},
		{map[string]any{"contact": "anonymous"}, true},
		{map[string]any{"contact": "everybody"}, false},
		{map[string]any{"contact": map[string]any{"choice": "may_be_named", "name": long(200), "details": long(200)}}, true},
		{map[string]any{"contact": map[string]any{"choice": "may_be_named", "name": long(201)}}, false},
		{map[string]any{"contact": map[string]any{"choice": "rep_only", "phone": "0"}}, false},
		{map[string]any{"kind": "missing_control", "control": "screen", "manager_told": "no", "filed_for": "colleague"}, true},
		{map[string]any{"kind": "exposure", "exposure": "symptoms", "exposure_closeness": "same_room"}, true},
		{map[string]any{"filed_for": "a friend"}, false},
		{map[string]any{"control": "moat"}, false},
		{map[string]any{"manager_told": true}, false},
		{map[string]any{"exposure": "bad news"}, false},
		{map[string]any{"exposure_closeness": 2}, false},
		{map[string]any{"control": nil, "manager_told": nil, "exposure": nil, "exposure_closeness": nil, "filed_for": nil}, true},
		{map[string]any{"language": "cy"}, true},
		{map[string]any{"language": "tlh"}, false},
		{map[string]any{"form_version": long(40)}, true},
		{map[string]any{"form_version": long(41)}, false},
		{map[string]any{"sent_at": time.Now().UTC(), "pressed_at": time.Now().UTC()}, true},
		{map[string]any{"sent_at": "now"}, false},
		{map[string]any{"colour": "red"}, false},
		{map[string]any{"kind": nil, "channel": nil, "target": nil, "hurt": nil, "days_unable": nil, "people_affected": nil, "employer": nil, "contact": nil, "language": nil, "site_name": nil, "sent_at": nil, "pressed_at": nil, "form_version": nil, "receipt": nil, "occurred_precision": nil}, true},
	} {
		body := report(c.change)
		name := strings.Join(slices.Sorted(maps.Keys(c.change)), " ")
		if res := k.call("POST", "/api/v1/reports", body, "Content-Type", "application/json"); (res.StatusCode == http.StatusCreated) != c.want {
			t.Errorf("%s: %d %s, want received=%v: %.300s", name, res.StatusCode, res.Body, c.want, body)
		}
		if err := d.validate(schema, body); (err == nil) != c.want {
			t.Errorf("%s: the document says %v, want right=%v: %.300s", name, err, c.want, body)
		}
	}
}

func TestTheDocumentIsServedAsItIs(t *testing.T) {
	res := open(t).call("GET", "/api/v1/openapi.yaml", "")
	if res.StatusCode != 200 || !bytes.Equal([]byte(res.Body), intake.OpenAPI) {
		t.Errorf("status=%d, %d bytes, want the document of %d", res.StatusCode, len(res.Body), len(intake.OpenAPI))
	}
}
