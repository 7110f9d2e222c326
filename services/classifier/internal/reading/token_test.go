package reading

import (
	"slices"
	"strings"
	"testing"
)

// learned returns the words of a text, normalised, with the bytes each came from.
func learned(text string) (words, sources []string) {
	v := vocabulary{index: map[string]int32{}, learn: true}
	for _, t := range v.tokenise(text, nil, &scratch{}) {
		for w, id := range v.index {
			if id == t.word {
				words = append(words, w)
			}
		}
		sources = append(sources, text[t.start:t.end])
	}
	return words, sources
}

func TestTokens(t *testing.T) {
	for text, want := range map[string]string{
		"He's hit my colleague's arm":       "he hit my colleague arm",
		"DON’T you dare":                    "don't you dare",
		"e-mail, E‑MAIL":                    "e mail e mail",
		"f***ing c**t, A* grade, **today**": "* * a grade today",
		"@dwp #JobCentre 999!!!":            "dwp jobcentre 999",
		"ｐｕｎｃｈｅｄ 𝗺𝗲":                        "punched me",
		"ar y ffôn wrth y ddesg, dŵr":       "ar y ffon wrth y ddesg dwr",
		"cafe\u0301 soft\u00adhyphen":       "cafe softhyphen",
		"'quoted' ‘words’":                  "quoted words",
		"\xff\xfebad bytes\xc3":             "bad bytes",
		"":                                  "",
	} {
		if got, _ := learned(text); strings.Join(got, " ") != want {
			t.Errorf("%q=%q, want %q", text, strings.Join(got, " "), want)
		}
	}
}

func TestTokensKeepTheirPlace(t *testing.T) {
	_, got := learned("He’s a f***ing thug, ŵy c***!")
	if want := []string{"He’s", "a", "f***ing", "thug", "ŵy", "c***"}; !slices.Equal(got, want) {
		t.Errorf("sources=%q, want %q", got, want)
	}
}

func TestSqueezedRepeats(t *testing.T) {
	lex := loadLexicon()
	for text, want := range map[string]string{"fuuuuuck": "fuck", "yelllllled": "yelled", "HITTTTT": "hit"} {
		got := lex.vocab.tokenise(text, nil, &scratch{})
		if len(got) != 1 || got[0].word != lex.vocab.index[want] {
			t.Errorf("%q is not read as %q", text, want)
		}
	}
	if got := lex.vocab.tokenise("9999", nil, &scratch{}); got[0].word != unknownWord {
		t.Error("9999 is read as 999: digits must stay")
	}
}

func TestSlipsOfTheThumb(t *testing.T) {
	lex := loadLexicon()
	for text, want := range map[string]string{
		"instagam": "instagram", "RECPETION": "reception", "grabed": "grabbed", "messagse": "messages", "journla": "journal", "thretened": "threatened", "handsets": "handset",
		"starting": "starting", "checked": "checked", "singing": "singing", // words of their own
		"latter": "", "xacebook": "", "hti": "", "face8ook": "", // another consonant, another beginning, too short, no word
	} {
		id := unknownWord
		if want != "" {
			var known bool
			if id, known = lex.vocab.index[want]; !known {
				t.Errorf("the lexicon does not know %q", want)
			}
		}
		if got := lex.vocab.tokenise(text, nil, &scratch{}); len(got) != 1 || got[0].word != id {
			t.Errorf("%q is read as %d, want %q (%d)", text, got[0].word, want, id)
		}
	}
}

func FuzzTokenise(f *testing.F) {
	f.Add("He’s a f***ing thug, ŵy c***!\xff 𝗵𝗶𝘁")
	f.Add("\uff9e**") // a letter that normalises to nothing
	lex := loadLexicon()
	f.Fuzz(func(t *testing.T, text string) {
		last := int32(0)
		for _, tok := range lex.vocab.tokenise(text, nil, &scratch{}) {
			if tok.start < last || tok.end <= tok.start || int(tok.end) > len(text) {
				t.Fatalf("token at %d–%d after %d in %d bytes", tok.start, tok.end, last, len(text))
			}
			last = tok.end
		}
	})
}
