package reading

import (
	"slices"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
)

func TestMistakesInALexiconAreNamedWithTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"hit":                      "line 1: a phrase before any class",
		"[a] assault x":            "line 1: odds of assault",
		"[a] murder 3":             `line 1: "murder" is no value`,
		"[a assault 3":             "line 1: want [name]",
		"[a] assault 3\n(hit|push": "line 2: \"(hit|push\": ( without )",
		"[a] assault 3\nhit)":      "line 2: \"hit)\": ) without (",
		"[a] assault 3\nhit":       "is missing",
	} {
		if _, err := parseLexicon(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: err=%v, want %q", text, err, want)
		}
	}
}

func TestExpand(t *testing.T) {
	got, err := expand("hit (me|us (all|both)) (hard|)")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	got = slices.Compact(got)
	want := []string{"hit me ", "hit me hard", "hit us all ", "hit us all hard", "hit us both ", "hit us both hard"}
	if !slices.Equal(got, want) {
		t.Errorf("expand=%q, want %q", got, want)
	}
}

func TestTheLongestPhraseWinsAndStopsAtAComma(t *testing.T) {
	lex := loadLexicon()
	classes := func(text string) (names []string) {
		for _, m := range lex.find(lex.vocab.tokenise(text, nil, &scratch{}), nil) {
			names = append(names, lex.classes[m.class].name)
		}
		return names
	}
	if got := classes("hit me with ten questions"); slices.Contains(got, "a blow or contact") {
		t.Errorf("“hit me with ten” is %q, want no blow", got)
	}
	if got := classes("we were hit, me with ten others"); !slices.Contains(got, "a blow or contact") {
		t.Errorf("“hit, me” is %q, want a blow", got)
	}
}

func TestTheWordsOfASecondChannelStandApart(t *testing.T) {
	for text, want := range map[string][]incident.Channel{
		"swore at me at the desk. Rang me that night":           {incident.ChannelPhone},
		"swore at me on the phone and then at the front desk":   {incident.ChannelInPerson},
		"an email, a letter, a phone call":                      {incident.ChannelPhone, incident.ChannelLetter},
		"swore at me on Facebook, on Facebook, and on Facebook": nil,
		"stood at my desk with an email":                        nil,
		"shouted at the counter":                                nil,
		"":                                                      nil,
		"sent by email; he never came to the desk or anywhere":  {incident.ChannelInPerson},
	} {
		pad := new(scratchpad)
		pad.take(loadLexicon(), text)
		var got []incident.Channel
		for way, yes := range pad.report.twice {
			if yes {
				got = append(got, wayValues[way])
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: apart are %q, want %q", text, got, want)
		}
	}
}

// Every class either has phrases or is set by a rule of context, and every
// class that carries no odds is there to silence or to turn others.
func TestEveryClassIsReached(t *testing.T) {
	lex := loadLexicon()
	byRule := []classID{lex.role.threatened, lex.role.thrownAbout, lex.role.afar, lex.role.thrownAt, lex.role.blowAtThing, lex.role.safeguardMissing}
	reached := make([]bool, len(lex.classes))
	for _, c := range lex.ends {
		reached[c] = true
	}
	for id, c := range lex.classes {
		if !reached[id] && !slices.Contains(byRule, classID(id)) {
			t.Errorf("nothing reaches the class %q", c.name)
		}
	}
}
