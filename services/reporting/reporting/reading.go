package reporting

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/onrecord/onrecord/pkg/incident"
)

// opinionRow is what each party says about one field, side by side.
type opinionRow struct {
	Field                       string
	Reporter, Machine, Reviewer opinionCell
	Chance                      string // the machine's probability, in words; "" without a reading
	ChanceWidth                 string // of a bar 72 pixels wide
}

type opinionCell struct {
	Text   string
	Counts bool // it is the value the figures use
}

const chanceWidth = 72.0

// opinionsOf returns the three fields in the order of the page.
func opinionsOf(i *incident.Incident) []opinionRow {
	reading := newest(i)
	rows := []opinionRow{
		opinionOf("What happened", i.Kind, kindWords, reading.Kind),
		opinionOf("How it reached staff", i.Channel, channelWords, reading.Channel),
		opinionOf("Whom it was aimed at", i.Target, targetWords, reading.Target),
	}
	if i.Dims().Kind.IsHazard() { // neither channel nor target counts, whatever was said
		for n := range rows[1:] {
			rows[n+1].Reporter.Counts, rows[n+1].Machine.Counts, rows[n+1].Reviewer.Counts = false, false, false
		}
	}
	return rows
}

func opinionOf[T ~string](field string, o incident.Opinion[T], words map[T]string, j incident.Judgement) opinionRow {
	_, by := o.Value()
	say := func(v T, none string) string {
		switch v {
		case "":
			return none
		case "unknown":
			return "Could not tell"
		}
		return words[v]
	}
	row := opinionRow{
		Field:    field,
		Reporter: opinionCell{say(o.Reporter, "Did not say"), by == incident.SetByReporter},
		Machine:  opinionCell{say(o.Machine, "Has not read it yet"), by == incident.SetByMachine},
		Reviewer: opinionCell{say(o.Reviewer, "–"), by == incident.SetByReviewer},
	}
	if o.Reporter == "unknown" {
		row.Reporter.Text = "Not sure"
	}
	if p, ok := j.P[j.Value]; ok && o.Machine != "" && string(o.Machine) == j.Value {
		row.Chance = chance(p)
		row.ChanceWidth = fmt.Sprintf("%.0f", math.Round(chanceWidth*min(max(p, 0), 1)))
	}
	return row
}

// chance returns a probability in words. Nothing is ever quite certain.
func chance(p float64) string {
	switch {
	case p > 0.99:
		return "over 99% sure"
	case p < 0.01:
		return "under 1% sure"
	}
	return fmt.Sprintf("%.0f%% sure", 100*p)
}

// newest returns the reading that counts, or none.
func newest(i *incident.Incident) incident.Reading {
	if len(i.Readings) == 0 {
		return incident.Reading{}
	}
	return i.Readings[len(i.Readings)-1]
}

// machineView is why the machine reads an incident as it does.
type machineView struct {
	Note    string
	Link    string // to the model's page
	Reasons []reasonLine
	Others  string // what else it considered
	Besides string // a second channel, a serious threat, a weapon, the basis of abuse
	Open    bool
}

type reasonLine struct{ Words, Text string }

// machineOf explains the newest reading in plain words. text is the account it
// was made from, from which the driving words are quoted.
func machineOf(i *incident.Incident, text string) *machineView {
	r := newest(i)
	if r.Model == "" {
		return nil
	}
	v := &machineView{Link: modelLink(i), Note: fmt.Sprintf("Machine’s reading by model %s, %s.", r.Model, clock(r.At)), Open: i.NeedsReview() && i.Status.IsOpen()}
	switch {
	case i.Kind.Reviewer != "" && i.Channel.Reviewer != "" && i.Target.Reviewer != "":
		v.Note += " A person has decided every field."
	case r.Sampled:
		v.Note += " It is sure. A person is asked all the same, as for some of its sure readings, to see how often they are right: say what you make of the words, whatever it says."
	case r.Review:
		v.Note += " It is not sure: a person should decide."
	}
	for _, f := range []struct {
		field string
		j     incident.Judgement
	}{{"kind", r.Kind}, {"channel", r.Channel}, {"target", r.Target}} {
		v.Reasons = append(v.Reasons, reasonsOf(f.field, f.j, text)...)
	}
	v.Others = considered(r)
	v.Besides = besidesOf(r)
	return v
}

// besidesOf names what the words show apart from the three fields, or "".
func besidesOf(r incident.Reading) string {
	var words []string
	if c := incident.Channel(r.SecondChannel.Value); c != "" && c != incident.ChannelUnknown {
		words = append(words, "a second way it reached staff ("+lowered(channelWords[c])+")")
	}
	if r.SeriousThreat.Value == string(incident.FlagYes) {
		words = append(words, "a threat of death or serious harm")
	}
	if r.Weapon.Value == string(incident.FlagYes) {
		words = append(words, "a weapon")
	}
	for _, j := range r.Basis {
		words = append(words, basisWords[incident.Basis(j.Value)])
	}
	if len(words) == 0 {
		return ""
	}
	return "The words also tell of " + list(words) + "."
}

// reasonsOf returns one field's reasons, the weightiest first. An unknown value
// has nothing that speaks for it.
func reasonsOf(field string, j incident.Judgement, text string) []reasonLine {
	const most = 4
	reasons := slices.Clone(j.Reasons)
	slices.SortStableFunc(reasons, func(a, b incident.Reason) int {
		switch {
		case math.Abs(a.Weight) > math.Abs(b.Weight):
			return -1
		case math.Abs(a.Weight) < math.Abs(b.Weight):
			return 1
		}
		return 0
	})
	var lines []reasonLine
	for _, r := range reasons[:min(most, len(reasons))] {
		line := reasonLine{Text: fmt.Sprintf("%s %s%s: %s", speaks(r.Weight), forWhat(field), lowered(valueWord(field, r.For)), r.Class)}
		if isSpan(text, r.Start, r.End) {
			line.Words = strings.TrimSpace(text[r.Start:r.End])
		} else {
			line.Text = capital(line.Text)
		}
		lines = append(lines, line)
	}
	return lines
}

// speaks grades natural-log odds: e to the 1.5 is more than four to one.
func speaks(weight float64) string {
	switch {
	case weight < 0:
		return "speaks against"
	case weight >= 1.5:
		return "speaks strongly for"
	}
	return "speaks for"
}

func forWhat(field string) string {
	if field == "target" {
		return "being aimed at "
	}
	return ""
}

// considered names what the machine took for the next most likely, where that
// was a serious possibility.
func considered(r incident.Reading) string {
	const serious = 0.1
	var words []string
	for _, f := range []struct {
		field string
		j     incident.Judgement
	}{{"kind", r.Kind}, {"channel", r.Channel}, {"target", r.Target}} {
		best, p := "", serious
		for value, of := range f.j.P {
			if value != f.j.Value && (of > p || of == p && value < best) {
				best, p = value, of
			}
		}
		if best != "" {
			words = append(words, fmt.Sprintf("%s %s (%.0f%%)", forWhat(f.field), lowered(valueWord(f.field, best)), 100*p))
		}
	}
	if len(words) == 0 {
		return ""
	}
	for n := range words {
		words[n] = strings.TrimSpace(words[n])
	}
	return "It also considered " + list(words) + "."
}
