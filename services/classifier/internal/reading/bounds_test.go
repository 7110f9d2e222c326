package reading

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
)

// Whatever is sent is read in bounded memory: what comes after the beginning of
// a text far longer than a report can be is not read, and a person is asked.
func TestATextFarTooLongIsReadByItsBeginning(t *testing.T) {
	begins := "threw a chair at me in the waiting room. "
	alone := Embedded().Read(Input{Narrative: begins})
	if alone.Review {
		t.Fatal("the machine is not sure of what this test takes for plain")
	}
	for _, after := range []string{"a b ", "kill me at the desk on the phone ", "hit, ", "\ufdfa "} {
		long := begins + strings.Repeat(after, 4<<20/len(after))
		pad := new(scratchpad)
		pad.take(loadLexicon(), long)
		if last := pad.report.tokens[len(pad.report.tokens)-1]; int(last.end) > mostBytes {
			t.Errorf("%q again and again is read up to byte %d, want no more than %d", after, last.end, mostBytes)
		}
		r := Embedded().Read(Input{Narrative: long})
		if !r.Review {
			t.Errorf("%q again and again: nobody is asked to look", after)
		}
		for _, why := range r.Kind.Reasons {
			if why.End > mostBytes {
				t.Errorf("%q again and again: a reason at byte %d", after, why.End)
			}
		}
	}
	longest := strings.Repeat("𝓪𝓫 ", incident.MaxNarrative/3) // letters of four bytes
	pad := new(scratchpad)
	pad.take(loadLexicon(), longest)
	if n := len(pad.report.tokens); n != incident.MaxNarrative/3 {
		t.Errorf("of the longest report %d words are read, want all %d", n, incident.MaxNarrative/3)
	}
}

// A model's file is no secret and its checksum no signature: whoever makes one
// that says nonsense gets it refused, and ends no program.
func TestAModelThatSaysNonsenseIsRefused(t *testing.T) {
	good := Embedded().Card
	weights := make([]float64, DenseRows()*outputs)
	for name, spoil := range map[string]func(c *Card){
		"a usual share that is none":   func(c *Card) { c.Usual[0][1] = 1e300 },
		"a usual share below nothing":  func(c *Card) { c.Usual[1][0] = -1 },
		"an answer's share of nothing": func(c *Card) { c.Answers[0][0][1] = 0 },
		"an answer's share above all":  func(c *Card) { c.Answers[2][0][1] = 1.5 },
		"a temperature of nothing":     func(c *Card) { c.Temperature[1] = 0 },
		"a temperature like the sun's": func(c *Card) { c.Temperature[2] = 1e9 },
		"a table too short":            func(c *Card) { c.Answers[1] = c.Answers[1][1:] },
		"odds that count for nothing":  func(c *Card) { c.Sure[0].Odds = 0 },
		"a base without end":           func(c *Card) { c.Sure[1].Base = -1e300 },
		"words that count too much":    func(c *Card) { c.Sure[2].Words = 21 },
	} {
		var card Card
		copied, err := json.Marshal(good)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(copied, &card); err != nil {
			t.Fatal(err)
		}
		spoil(&card)
		file, err := Encode(card, weights, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(file); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	// Rows in numbers that no file holds, of weights that are few and of some that
	// are packed to next to nothing.
	papers := []byte("\x02{}")
	var nothing, zeros bytes.Buffer
	if err := errors.Join(pack(&nothing, papers), pack(&zeros, append(papers, make([]byte, 64<<20)...))); err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{-1, 1, maxHashed, maxHashed + 1, math.MaxInt, math.MinInt} {
		m := &Model{lex: loadLexicon(), Card: good}
		m.Card.Hashed = rows
		for name, packed := range map[string][]byte{"nothing": nil, "papers alone": nothing.Bytes(), "zeros": zeros.Bytes()} {
			if err := m.load(packed); err == nil {
				t.Errorf("%d rows in %s are taken", rows, name)
			}
		}
	}
}
