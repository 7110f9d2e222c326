package reading

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
)

func TestADamagedModelIsRefused(t *testing.T) {
	file := File()
	if _, err := Decode(file); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() []byte{
		"one bit":       func() []byte { b := bytes.Clone(file); b[len(b)/2] ^= 1; return b },
		"its end":       func() []byte { return file[:len(file)-1] },
		"empty":         func() []byte { return nil },
		"something":     func() []byte { return []byte("not the file of a model, and long enough to hold a checksum") },
		"more than one": func() []byte { return append(bytes.Clone(file), file...) },
	} {
		if _, err := Decode(spoil()); err == nil {
			t.Errorf("%s: it is taken for a model", name)
		}
	}
}

func TestAModelOfAnotherLexiconIsRefused(t *testing.T) {
	card := Embedded().Card
	file, err := Encode(card, make([]float64, DenseRows()*Columns()), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(file); err != nil {
		t.Fatal(err)
	}
	other := bytes.Replace(file, []byte(Space()), []byte(strings.Repeat("x", len(Space()))), 1)
	if _, err := Decode(signed(other)); err == nil || !strings.Contains(err.Error(), "lexicon") {
		t.Errorf("err=%v, want it to name the lexicon", err)
	}
	short := signed(file[:len(file)-40])
	if _, err := Decode(short); err == nil || !strings.Contains(err.Error(), "weights") {
		t.Errorf("err=%v, want it to name the weights", err)
	}
	fewer, err := Encode(card, make([]float64, DenseRows()*Columns()-1), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(fewer); err == nil || !strings.Contains(err.Error(), "size") {
		t.Errorf("err=%v, want it to name the size", err)
	}
}

// A model of another format says so: what it holds may mean something else.
func TestAModelOfAnotherFormatIsRefused(t *testing.T) {
	file, err := Encode(Embedded().Card, make([]float64, DenseRows()*Columns()), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	older := bytes.Replace(file, []byte(`{"format":3,`), []byte(`{"format":2,`), 1)
	if _, err := Decode(signed(older)); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("err=%v, want it to name the format", err)
	}
}

// Papers that claim to be longer than the file, or are none, are refused.
func TestPapersThatAreCutOffAreRefused(t *testing.T) {
	for _, content := range []string{"", "\xff", "\x05{}", "\xff\xff\xff\xff\xff\xff\xff\xff\x7f{}", "\x02[]", "\x00"} {
		if _, err := new(Model).loadPapers([]byte(content)); err == nil || !strings.Contains(err.Error(), "papers") {
			t.Errorf("%q: err=%v, want it to name the papers", content, err)
		}
	}
	m := new(Model)
	if rest, err := m.loadPapers([]byte("\x0d{\"rules\":\"r\"}w")); err != nil || string(rest) != "w" || m.Card.Rules != "r" {
		t.Errorf("rest=%q rules=%q err=%v", rest, m.Card.Rules, err)
	}
}

// signed returns a file with a checksum that fits.
func signed(file []byte) []byte {
	body := bytes.Clone(file[:len(file)-32])
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

func TestTheModelFitsItsBudget(t *testing.T) {
	if n := len(File()) + len(lexiconText) + len(worldText) + len(labelRules); n > 500_000 {
		t.Errorf("the model, its lexicon and its rules are of %d bytes, want at most 500,000", n)
	}
	card := Embedded().Card
	if card.Rules != LabelRules() || card.Corpus == "" || len(card.Measures) == 0 {
		t.Error("the card lacks the label rules, the corpus’s hash or the measures")
	}
}

func TestWhatTheWordsTellBesides(t *testing.T) {
	for _, test := range []struct {
		text           string
		second         string
		serious, armed bool
		basis          []string
	}{
		{"filmed me at the desk and later posted it on youtube", "public_online", false, false, nil},
		{"leaned over the counter with a knife and said he would kill me", "", true, true, nil},
		{"called me a paki at the front desk and told me to go back to my own country", "", false, false, []string{"racist"}},
		{"swore at me on the phone about his sanction", "", false, false, nil},
		{"no screen at my desk and the panic button is broken", "", false, false, nil},
		{"sat down at my desk, looked me up and down and told me I had let him down", "", false, false, nil},
		{"mocked a colleague at the counter who has Down’s syndrome", "", false, false, []string{"disability"}},
	} {
		r := Embedded().Read(Input{Narrative: test.text})
		var basis []string
		for _, b := range r.Basis {
			basis = append(basis, b.Value)
		}
		if r.SecondChannel.Value != test.second || (r.SeriousThreat.Value == "yes") != test.serious ||
			(r.Weapon.Value == "yes") != test.armed || !slices.Equal(basis, test.basis) {
			t.Errorf("%q: second=%s serious=%s weapon=%s basis=%q, want %s, %v, %v, %q", test.text,
				r.SecondChannel.Value, r.SeriousThreat.Value, r.Weapon.Value, basis, test.second, test.serious, test.armed, test.basis)
		}
	}
}

// A reporter's answer moves the probability of its value up, never down, and a
// text that says nothing follows it.
func TestAnAnswerSpeaksForItsValue(t *testing.T) {
	m := Embedded()
	for _, e := range examples(t, "held.tsv") {
		before := m.Read(wordsAlone(e))
		for _, c := range wayValues {
			after := m.Read(Input{Narrative: e.text, Channel: c})
			if before.Channel.P["not_applicable"] < 0.5 && after.Channel.P[string(c)]+1e-6 < before.Channel.P[string(c)] {
				t.Errorf("%q: P(%s)=%.4f, with that answer %.4f", e.text, c, before.Channel.P[string(c)], after.Channel.P[string(c)])
			}
		}
	}
	for _, c := range wayValues {
		if r := m.Read(Input{Narrative: "abuse", Channel: c}); r.Channel.Value != string(c) {
			t.Errorf("“abuse” with the answer %s is read as %s", c, r.Channel.Value)
		}
	}
}

// Whatever seems likeliest, an assault or a threat that is possible is shown to a person.
func TestPossibleHarmIsNeverHiddenBehindAnotherKind(t *testing.T) {
	m := Embedded()
	for _, file := range []string{"tuned.tsv", "held.tsv"} {
		for _, e := range examples(t, file) {
			r := m.Read(wordsAlone(e))
			harm := r.Kind.P["assault"] + r.Kind.P["attempted_assault"] + r.Kind.P["threat"]
			if !harmful(incident.Kind(r.Kind.Value)) && harm >= 0.25 && !r.Review {
				t.Errorf("%q: %s with %.2f for harm, and nobody is asked", e.text, r.Kind.Value, harm)
			}
		}
	}
}

// FuzzDecode spoils what a file says of itself, under a checksum that fits.
func FuzzDecode(f *testing.F) {
	file, err := Encode(Embedded().Card, make([]float64, DenseRows()*Columns()), []Feature{hashedBit | 1}, make([]float64, Columns()))
	if err != nil {
		f.Fatal(err)
	}
	head := len(modelMagic) + 4
	n := int(binary.LittleEndian.Uint32(file[len(modelMagic):]))
	card, weights := file[head:head+n], file[head+n:]
	f.Add(card, uint32(n), uint16(0))
	f.Add([]byte("{}"), uint32(2), uint16(1))
	f.Add(card[:40], uint32(1<<31), uint16(9))
	for _, rows := range []string{"-1", "0", "2", "100000", "9223372036854775807"} {
		other := bytes.Replace(card, []byte(`"hashed":1,`), []byte(`"hashed":`+rows+`,`), 1)
		f.Add(other, uint32(len(other)), uint16(0))
	}
	f.Fuzz(func(t *testing.T, card []byte, said uint32, cut uint16) {
		b := binary.LittleEndian.AppendUint32(bytes.Clone(modelMagic), said)
		b = append(append(b, card...), weights[min(int(cut), len(weights)):]...)
		if m, err := Decode(signed(append(b, make([]byte, sha256.Size)...))); err == nil {
			in := Input{Narrative: "threw a chair at me", Channel: "phone"}
			check(t, in, m.Read(in))
		}
	})
}
