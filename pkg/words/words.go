// Package words says to a reporter in Welsh what the program says in English.
//
// The English sentence is the key: it stands where it is used, in a template
// ({{t "Report an incident"}}) or in Go (Say, fault.Text, fault.Wrong). The
// Welsh stands in cy.po, in the form that translators' programs read. An entry
// marked "fuzzy" awaits review by a Welsh speaker. A test fails for a sentence
// that has no Welsh and for Welsh that nothing uses.
package words

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
)

// Language is a language that pages are written in, by its BCP 47 tag.
type Language string

// The languages.
const (
	English Language = "en"
	Welsh   Language = "cy"
)

// Of returns the language with a tag, and English for every other.
func Of(tag string) Language {
	if primary, _, _ := strings.Cut(strings.ToLower(tag), "-"); primary == string(Welsh) {
		return Welsh
	}
	return English
}

// Tag returns what html's lang attribute says.
func (l Language) Tag() string {
	if l == Welsh {
		return "cy"
	}
	return "en-GB"
}

//go:embed cy.po
var cy string

var welsh = mustRead(cy)

// Say returns a sentence, given in English as for fmt.Sprintf, in the
// language. What has no Welsh stays English. A fault.Text among the arguments
// is said in the language too.
func (l Language) Say(english string, args ...any) string {
	format := english
	if w, ok := welsh[english]; l == Welsh && ok {
		format = w
	}
	if len(args) == 0 {
		return format
	}
	said := make([]any, len(args))
	for i, a := range args {
		if t, ok := a.(fault.Text); ok {
			a = l.Say(string(t))
		}
		said[i] = a
	}
	return fmt.Sprintf(format, said...)
}

// Fields returns what is wrong with the fields in the language.
func (l Language) Fields(fields []fault.Field) []fault.Field {
	said := make([]fault.Field, len(fields))
	for i, f := range fields {
		switch {
		case f.Format == "":
			f.Message = l.Say(f.Message)
		case len(f.Args) == 0:
			f.Message = l.Say(f.Format)
		default:
			f.Message = l.Say(f.Format, f.Args...)
		}
		said[i] = f
	}
	return said
}

// Fault returns an error whose parts for people are in the language.
func (l Language) Fault(err error) *fault.Error {
	said := *fault.As(err)
	said.Message, said.Fields = l.Say(said.Message), l.Fields(said.Fields)
	return &said
}

var (
	welshDays   = [...]string{"dydd Sul", "dydd Llun", "dydd Mawrth", "dydd Mercher", "dydd Iau", "dydd Gwener", "dydd Sadwrn"}
	welshMonths = [...]string{"Ionawr", "Chwefror", "Mawrth", "Ebrill", "Mai", "Mehefin", "Gorffennaf", "Awst", "Medi", "Hydref", "Tachwedd", "Rhagfyr"}
)

// Moment returns a moment as people write it, like Monday 2 January 2006,
// 3:04pm. The zone is the caller's.
func (l Language) Moment(t time.Time) string {
	if l != Welsh {
		return t.Format("Monday 2 January 2006, 3:04pm")
	}
	return fmt.Sprintf("%s %d %s %s", welshDays[t.Weekday()], t.Day(), MonthName(Welsh, t.Month()), t.Format("2006, 3:04pm"))
}

// Day returns a day as people write it, like Monday 2 January. The zone is the
// caller's.
func (l Language) Day(t time.Time) string {
	if l != Welsh {
		return t.Format("Monday 2 January")
	}
	return fmt.Sprintf("%s %d %s", welshDays[t.Weekday()], t.Day(), MonthName(Welsh, t.Month()))
}

// MonthName returns a month's name in a language.
func MonthName(l Language, m time.Month) string {
	if l == Welsh {
		return welshMonths[m-1]
	}
	return m.String()
}

// mustRead reads the catalogue, which is part of the program.
func mustRead(po string) map[string]string {
	entries, err := read(po)
	if err != nil {
		panic("pkg/words/cy.po: " + err.Error())
	}
	catalogue := make(map[string]string, len(entries))
	for _, e := range entries {
		catalogue[e.english] = e.translated
	}
	return catalogue
}

// entry is one sentence of the catalogue.
type entry struct {
	english, translated string
	awaits              bool // review by somebody who speaks the language
}

// read reads the part of the PO format that the catalogue uses: comments,
// "#, fuzzy", msgid and msgstr, and strings that go on over lines. The first
// entry, whose English is empty, describes the file.
func read(po string) ([]entry, error) {
	var entries []entry
	var e entry
	var at *string
	done := func() {
		if e.english != "" {
			entries = append(entries, e)
		}
		e, at = entry{}, nil
	}
	for n, line := range strings.Split(po, "\n") {
		rest := strings.TrimSpace(line)
		switch {
		case rest == "":
			done()
			continue
		case strings.HasPrefix(rest, "#"):
			e.awaits = e.awaits || strings.HasPrefix(rest, "#,") && strings.Contains(rest, "fuzzy")
			continue
		case strings.HasPrefix(rest, "msgid "):
			at, rest = &e.english, rest[len("msgid "):]
		case strings.HasPrefix(rest, "msgstr "):
			at, rest = &e.translated, rest[len("msgstr "):]
		}
		text, err := strconv.Unquote(rest)
		if err != nil || at == nil {
			return nil, fmt.Errorf("line %d cannot be read", n+1)
		}
		*at += text
	}
	done()
	return entries, nil
}
