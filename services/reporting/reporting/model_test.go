package reporting

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

var demoCard = incident.ModelCard{
	Model: "demo-1", Corpus: "c0ffee", Examples: 1234, Corrections: 5,
	Does: []string{"It reads <b>words</b>."}, Never: []string{"It never decides."},
	Measured: []incident.Measured{{Name: "Kept back", About: "About them.", Texts: 128,
		Shares: []incident.Quality{{What: "Right", N: 119, Of: 128, Low: 0.872, High: 0.9634}, {What: "Least often", Field: "kind", Value: "property_damage", N: 3, Of: 7, Low: 0.158, High: 0.75}},
		Off:    []incident.Calibration{{Field: "channel", Off: 0.035, Chance: 0.021}, {Field: "kind", Off: 0.05, Chance: 0.03}}}},
	Rules: []incident.RuleBlock{{Text: "A sentence."}, {Points: []string{"A point."}},
		{Head: []string{"channel", "is"}, Rows: [][]string{{"private_message", "e-mail"}, {"not_applicable", "a hazard"}}}},
}

// answerModel stands in for the classifier with an answer.
func (k *kit) answerModel(answer []byte) {
	k.tb.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(k.tb.Context()))
	k.tb.Cleanup(cancel)
	if err := k.bus.Answer(ctx, bus.SubjectModelCard, "classifier", func(context.Context, []byte) []byte { return answer }); err != nil {
		k.tb.Fatal(err)
	}
}

func TestTheMachinesReadingLeadsToItsCard(t *testing.T) {
	k := newKit(t)
	card, err := json.Marshal(demoCard)
	if err != nil {
		t.Fatal(err)
	}
	k.answerModel(card)
	i := k.file("leeds", nil)
	link, ok := k.page(rep, "/incidents/"+i.ID, 200).Document(t).Find(`a[href^="/model/"]`).Attr("href")
	if !ok {
		t.Fatal("the machine's reading has no link to its card")
	}
	doc := k.page(rep, link, 200).Document(t)
	for _, want := range []string{"model demo-1", "1,234 examples: 5 reps’ corrections", "It reads <b>words</b>.", "It never decides.", "Kept back: 128 texts", "93.0%", "87.2% to 96.3%", "119 of 128",
		"Least often (damage to property)", "3.5 points for how it reached staff and 5.0 points for what happened", "would still show 2.1 and 3.0 by chance", "A sentence.", "A point.", "Does not apply", "a hazard", "c0ffee"} {
		if !strings.Contains(strings.Join(strings.Fields(doc.Text()), " "), want) {
			t.Errorf("the card does not say %q", want)
		}
	}
	if doc.Find("main b").Length() > 0 || strings.Contains(doc.Text(), "another model") {
		t.Error("what the card says is not escaped, or it is said to be of another model")
	}
	if back := doc.Find(".govuk-back-link").AttrOr("href", ""); back != "/incidents/"+i.ID {
		t.Errorf("the way back leads to %q", back)
	}
	other := k.page(rep, "/model/?reading=demo-0", 200).Document(t)
	if !strings.Contains(other.Find(".govuk-inset-text").Text(), "made by another model, demo-0") {
		t.Error("it is not said that the reading is of another model")
	}
	if strange := k.page(rep, "/model/?reading=%3Cb%3E&incident=%2F%2Fdemo", 200).Document(t); strange.Find(".govuk-inset-text").Length() > 0 || strange.Find(".govuk-back-link").AttrOr("href", "") != "/incidents/" {
		t.Error("what stands in the address is shown or followed")
	}
	if back := k.page(manager, link, 200).Document(t).Find(".govuk-back-link").AttrOr("href", ""); back != "/figures/" {
		t.Errorf("a manager is led back to %q", back)
	}
	k.page(manager, k.page(manager, "/figures/", 200).Document(t).Find(`main a[href^="/model/"]`).AttrOr("href", "nothing"), 200)
}

func TestWithoutTheClassifierTheCardIsAwayAndSaysSo(t *testing.T) {
	k := newKit(t)
	away := func() {
		t.Helper()
		res := k.page(rep, "/model/?reading=demo-1", http.StatusServiceUnavailable)
		doc := res.Document(t)
		if !strings.Contains(doc.Text(), "does not answer") || doc.Find(".govuk-back-link").Length() != 1 || doc.Find(`main a[href="/model/?reading=demo-1"]`).Length() != 1 || res.Header.Get("Retry-After") == "" {
			t.Errorf("the page does not say what to do: %s", doc.Find("main").Text())
		}
	}
	away()
	k.answerModel([]byte("no card"))
	away()
}

// A card of a classifier that did not work out what chance shows says nothing of it.
func TestACardWithoutWhatChanceShows(t *testing.T) {
	for want, off := range map[string][]incident.Calibration{
		"": nil,
		"How sure it said it was, and how often it was right, were apart by 3.5 points for how it reached staff on average.": {{Field: "channel", Off: 0.035}},
	} {
		if got := offWords(off); got != want {
			t.Errorf("%+v: %q, want %q", off, got, want)
		}
	}
}

// sample files a report that the machine is sure of and that was picked for a check.
func (k *kit) sample(site, model string) *incident.Incident {
	k.tb.Helper()
	r := k.Report(site)
	r.Kind, r.Channel, r.Target = incident.KindAbuse, incident.ChannelPhone, incident.TargetAnyStaff
	sure := func(v string) *onrecordv1.Judgement {
		return &onrecordv1.Judgement{Value: v, Probabilities: []*onrecordv1.Probability{{Value: v, P: 1}}}
	}
	k.apply(k.Filed(r), k.Deliver(bus.Subject(bus.TypeClassified, r.ID, model), &onrecordv1.Envelope{Type: bus.TypeClassified, Id: r.ID + ".classified." + model,
		Event: &onrecordv1.Envelope_ReportClassified{ReportClassified: &onrecordv1.ReportClassified{ReportId: r.ID, ModelVersion: model, TaxonomyVersion: incident.TaxonomyVersion,
			Review: true, Sampled: true, Kind: sure("abuse"), Channel: sure("phone"), Target: sure("any_staff")}}}))
	return k.incidentOf(r.ID)
}

func TestRepsSeeWhatBecameOfTheSureReadingsTheyCheck(t *testing.T) {
	k := newKit(t)
	card, err := json.Marshal(demoCard)
	if err != nil {
		t.Fatal(err)
	}
	k.answerModel(card)
	now := time.Now()
	k.now = func() time.Time { return now }
	said := func(who string) string {
		t.Helper()
		now = now.Add(rememberChecks)
		return strings.Join(strings.Fields(k.page(who, "/model/", 200).Document(t).Find("main").Text()), " ")
	}
	k.file("leeds", nil)
	if got := said(rep); !strings.Contains(got, "Of 1 incident at your sites, none was picked yet") || strings.Contains(got, "wait to be checked") {
		t.Errorf("before anything was picked the card says %s", got)
	}
	kept, mended, york := k.sample("leeds", "demo-1"), k.sample("leeds", "demo-1"), k.sample("york", "demo-1")
	waits := k.sample("leeds", "demo-1")
	k.sample("leeds", "demo-0")
	decide := func(i *incident.Incident, fields string) {
		t.Helper()
		if res := k.postJSON(rep, "/api/v1/incidents/"+i.ID+"/classify", fields, "If-Match", fmt.Sprintf("%q", fmt.Sprint(i.Rev))); res.StatusCode != 200 {
			t.Fatalf("status=%d %s", res.StatusCode, res.Body)
		}
	}
	decide(kept, `{"kind":"abuse","channel":"phone","target":"any_staff"}`)
	decide(mended, `{"kind":"abuse","channel":"in_person","target":"any_staff"}`)
	decide(york, `{"kind":"threat","channel":"phone","target":"any_staff"}`)
	decide(waits, `{"channel":"letter"}`)
	got := said(rep)
	for _, want := range []string{"Of 6 incidents at your sites, 4 were picked", "decided every field of 3.", "1 was picked when other models read, and is not counted either.",
		"What happened: kept by reps Share66.7% Interval20.8% to 93.9%; 2 of 3", "How it reached staff: kept by reps Share66.7%", "Whom it was aimed at: kept by reps Share100.0% Interval43.9% to 100.0%; 3 of 3", "Those that wait to be checked"} {
		if !strings.Contains(got, want) {
			t.Errorf("the card does not say %q: %s", want, got)
		}
	}
	all, err := k.Checks(t.Context())
	want := []Checks{{Model: "demo-0", Picked: 1, Waiting: 1, Kept: map[string]int{}},
		{Model: "demo-1", Picked: 4, Settled: 3, Waiting: 1, Kept: map[string]int{"kind": 2, "channel": 2, "target": 3}}}
	if err != nil || !reflect.DeepEqual(all, want) {
		t.Errorf("%v: checks of every model are %+v, want %+v", err, all, want)
	}
	if got := said(leeds); !strings.Contains(got, "Of 5 incidents at your sites, 3 were picked") || !strings.Contains(got, "What happened: kept by reps Share100.0%") {
		t.Errorf("a rep of Leeds alone is told %s", got)
	}
	if got := said(manager); strings.Contains(got, "kept by reps") || strings.Contains(got, "at your sites") {
		t.Errorf("a manager is told %s", got)
	}
	res := k.postJSON(rep, "/api/v1/incidents/"+waits.ID+"/close", `{"fixed":true,"reason":"Demo."}`, "If-Match", fmt.Sprintf("%q", fmt.Sprint(k.incidentOf(waits.Reports[0].ID).Rev)))
	if got := said(rep); res.StatusCode != 200 || !strings.Contains(got, "of 3; 1 was closed or decided in part, and is not counted.") || strings.Contains(got, "wait to be checked") {
		t.Errorf("status=%d, after closing one in part the card says %s", res.StatusCode, got)
	}
	k.file("leeds", nil)
	now = now.Add(-time.Second)
	if got := said(rep); !strings.Contains(got, "Of 6 incidents at your sites") {
		t.Errorf("the incidents are looked through again within %v: %s", rememberChecks, got)
	}
	if got := said(rep); !strings.Contains(got, "Of 7 incidents at your sites") {
		t.Errorf("what came is not seen after %v: %s", rememberChecks, got)
	}
}

func TestACheckIsToldFromWhatTheMachineIsUnsureOf(t *testing.T) {
	k := newKit(t)
	i := k.sample("leeds", "demo-1")
	for _, path := range []string{"/incidents/?status=review", "/incidents/" + i.ID} {
		text := k.page(rep, path, 200).Document(t).Find("main .govuk-tag").Text()
		if !strings.Contains(text, "Spot check") || strings.Contains(text, "Needs a look") {
			t.Errorf("%s does not say that it is a check", path)
		}
	}
	page := k.page(rep, "/incidents/"+i.ID, 200).Document(t).Text()
	if !strings.Contains(page, "It is sure. A person is asked all the same") || strings.Contains(page, "It is not sure") {
		t.Error("it is not said that the machine is sure, or it is said that it is not")
	}
	var d incidentDetail
	decodeInto(t, k.get(rep, "/api/v1/incidents/"+i.ID).Body, &d)
	if d.Reading == nil || !d.Reading.Sampled || !d.Review {
		t.Errorf("the API says %+v", d.Reading)
	}
	k.unsure(incident.KindThreat, 0.4)
	if text := k.page(rep, "/incidents/?status=review", 200).Document(t).Find("main .govuk-tag").Text(); !strings.Contains(text, "Needs a look") || !strings.Contains(text, "Spot check") {
		t.Error("what it is unsure of is not told from a check")
	}
}
