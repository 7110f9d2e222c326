package floods

import (
	"strings"
	"unicode"

	"github.com/onrecord/onrecord/pkg/incident"
)

// said is what a report says, as far as it is compared.
type said struct {
	text    string          // its words in lower case, without figures and punctuation
	words   map[string]bool // the different ones of text
	answers string          // kind, channel and target as filed; for a report without words
}

func saidBy(i *incident.Incident, words string) said {
	s := said{text: strings.Join(wordsOf(words), " "), words: make(map[string]bool)}
	for _, w := range wordsOf(words) {
		s.words[w] = true
	}
	if len(i.Reports) > 0 {
		r := i.Reports[0]
		s.answers = string(r.Kind) + " " + string(r.Channel) + " " + string(r.Target)
	}
	return s
}

// wordsOf returns the words of a text in lower case. Figures are no words: a
// number is what a program changes first.
func wordsOf(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && r != '’' && r != '\'' })
}

func (s said) key() string {
	if s.text == "" {
		return "\x00" + s.answers
	}
	return s.text
}

// is reports whether both say the very same.
func (s said) is(o said) bool { return s.key() == o.key() }

// alike reports whether a report says the same as the pattern, or nearly: of the
// different words of both together, at least four in five are in both. Without
// words, the same was chosen.
func (s said) alike(o said) bool {
	if s.text == "" || o.text == "" {
		return s.is(o)
	}
	both := 0
	for w := range o.words {
		both += one(s.words[w])
	}
	return 5*both >= 4*(len(s.words)+len(o.words)-both)
}
