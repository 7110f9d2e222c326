package reporting

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
)

var demoCard = incident.ModelCard{
	Model: "demo-1", Corpus: "c0ffee", Examples: 1234, Corrections: 5,
	Does: []string{"It reads <b>words</b>."}, Never: []string{"It never decides."},
	Measured: []incident.Measured{{Name: "Kept back", About: "About them.", Texts: 128,
		Shares: []incident.Quality{{What: "Right", N: 119, Of: 128, Low: 0.872, High: 0.9634}, {What: "Least often", Field: "kind", Value: "property_damage", N: 3, Of: 7, Low: 0.158, High: 0.75}},
		Off:    []incident.Calibration{{Field: "channel", Off: 0.035}, {Field: "kind", Off: 0.05}}}},
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
		"Least often (damage to property)", "3.5 points for how it reached staff and 5.0 points for what happened", "A sentence.", "A point.", "Does not apply", "a hazard", "c0ffee"} {
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
