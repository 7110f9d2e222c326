package classifier

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/classifier/internal/reading"
	"github.com/onrecord/onrecord/services/classifier/internal/training"
)

func TestTheModelSaysWhatItIs(t *testing.T) {
	l := newLine(t)
	defer l.run()()
	var card incident.ModelCard
	l.eventually(func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		answer, err := l.bus.Request(ctx, bus.SubjectModelCard, nil)
		if err != nil {
			return err
		}
		return json.Unmarshal(answer, &card)
	})
	m := reading.Embedded()
	if card.Model != m.Version() || card.Examples != m.Card.Examples || card.Corpus == "" || len(card.Does) == 0 || len(card.Never) == 0 {
		t.Errorf("card=%+v", card)
	}
	var measures training.Measures
	if err := json.Unmarshal(m.Card.Measures, &measures); err != nil {
		t.Fatal(err)
	}
	if len(card.Measured) != 3 {
		t.Fatalf("%d sets were measured, want those kept back, those of them in new manners, and other voices", len(card.Measured))
	}
	for n, r := range map[int]Evaluation{0: *measures.HeldOut, 1: *measures.Unseen, 2: measures.OtherVoices} {
		got := card.Measured[n]
		if got.Texts != r.Texts || len(got.Off) != len(r.Fields) {
			t.Errorf("%s: %d texts and %d fields, want %d and %d", got.Name, got.Texts, len(got.Off), r.Texts, len(r.Fields))
		}
		for i, off := range got.Off {
			if f := r.Fields[i]; off != (incident.Calibration{Field: f.Name, Off: f.ECE, Chance: f.Chance.Mean}) || off.Chance <= 0 {
				t.Errorf("%s: %+v, want what was measured of %s", got.Name, off, f.Name)
			}
		}
		found := map[string]incident.Quality{}
		for _, q := range got.Shares {
			found[q.What] = q
			if q.Of == 0 || q.Low > q.High {
				t.Errorf("%s: %+v", got.Name, q)
			}
		}
		for what, want := range map[string]Share{"What happened: right": r.Fields[0].Right, "Sent to a person": r.Review,
			"Hazards wrongly read as acts of somebody (less is better)": *r.HazardAsAbuse} {
			if q := found[what]; q.N != want.N || q.Of != want.Of || q.Low != want.Low || q.High != want.High {
				t.Errorf("%s: %s is %+v, want %+v", got.Name, what, q, want)
			}
		}
		least := found["What happened: found least often"]
		for _, v := range r.Fields[0].Values {
			if v.Of >= 5 && v.Recall < float64(least.N)/float64(least.Of)-0.001 {
				t.Errorf("%s: %q is found less often than %q", got.Name, v.Value, least.Value)
			}
		}
	}
}

func TestTheLabelRulesAreTakenApartWhole(t *testing.T) {
	blocks := ruleBlocks(reading.LabelRules())
	values := map[string]bool{}
	var words strings.Builder
	for _, b := range blocks {
		words.WriteString(b.Text + " " + strings.Join(b.Points, " ") + " " + strings.Join(b.Head, " "))
		for _, row := range b.Rows {
			if len(row) != len(b.Head) {
				t.Errorf("the row %q is not of the table %q", row, b.Head)
			}
			values[b.Head[0]+" "+row[0]] = true
			words.WriteString(strings.Join(row, " "))
		}
	}
	for _, k := range incident.Kinds {
		if k != incident.KindUnknown && !values["kind "+string(k)] {
			t.Errorf("no rule for the kind %s", k)
		}
	}
	for _, c := range incident.Channels {
		if !values["channel "+string(c)] {
			t.Errorf("no rule for the channel %s", c)
		}
	}
	for _, want := range []string{"Assault outranks attempted assault", "A serious threat is of death", "in doubt a person decides"} {
		if !strings.Contains(words.String(), want) {
			t.Errorf("%q is lost", want)
		}
	}
	if strings.ContainsAny(words.String(), "`|#") || strings.Contains(words.String(), "**") {
		t.Errorf("marks are left in %s", words.String())
	}
}
