package reporting

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/onrecord/onrecord/pkg/incident"
)

// piece is a stretch of an account; Mark says that it drove the machine's reading.
type piece struct {
	Text string
	Mark bool
	Why  string // what it spoke for, where marked
}

// pieces splits an account into plain and driving stretches. Together they are
// the account, whatever the offsets are: a span outside it, empty, or cutting a
// character is ignored, and overlapping spans are joined.
func pieces(text string, reading incident.Reading) []piece {
	type span struct {
		start, end int
		why        []string
	}
	var spans []span
	for _, j := range []struct {
		field string
		incident.Judgement
	}{{"kind", reading.Kind}, {"channel", reading.Channel}, {"target", reading.Target}} {
		for _, r := range j.Reasons {
			if isSpan(text, r.Start, r.End) && r.For == j.Value {
				spans = append(spans, span{r.Start, r.End, []string{lowered(valueWord(j.field, r.For))}})
			}
		}
	}
	slices.SortStableFunc(spans, func(a, b span) int { return a.start - b.start })
	joined := spans[:0]
	for _, s := range spans {
		if n := len(joined); n > 0 && s.start < joined[n-1].end {
			joined[n-1].end = max(joined[n-1].end, s.end)
			joined[n-1].why = append(joined[n-1].why, s.why...)
			continue
		}
		joined = append(joined, s)
	}
	var out []piece
	at := 0
	for _, s := range joined {
		if s.start > at {
			out = append(out, piece{Text: text[at:s.start]})
		}
		slices.Sort(s.why)
		out = append(out, piece{text[s.start:s.end], true, "Speaks for: " + strings.Join(slices.Compact(s.why), ", ")})
		at = s.end
	}
	if at < len(text) {
		out = append(out, piece{Text: text[at:]})
	}
	return out
}

// isSpan reports whether a reason's offsets name whole characters of text.
func isSpan(text string, start, end int) bool {
	return start >= 0 && start < end && end <= len(text) &&
		utf8.RuneStart(text[start]) && (end == len(text) || utf8.RuneStart(text[end]))
}

// excerptLength is how much of an account the list shows: two lines and a
// little more, because the page cuts it to what fits.
const excerptLength = 180 // characters

// excerpt returns the beginning of an account on one line.
func excerpt(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) <= excerptLength {
		return text
	}
	cut := string([]rune(text)[:excerptLength])
	if at := strings.LastIndexByte(cut, ' '); at > excerptLength/2 {
		cut = cut[:at]
	}
	return cut + "…"
}
