package classifier

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/classifier/internal/evaluation"
)

// maxLine is the longest line of JSON that is read, in bytes: some two hundred
// times the longest report.
const maxLine = 4 << 20

// Line is one text to read, as `onrecord classify` and `onrecord eval` take it:
// one JSON object a line. Channel, kind and target are what the reporter
// answered; the gold fields are what is right, as far as it is known.
type Line struct {
	ID          json.RawMessage `json:"id"`
	Text        *string         `json:"text"`
	Kind        string          `json:"kind"`
	Channel     string          `json:"channel"`
	Target      string          `json:"target"`
	GoldKind    string          `json:"gold_kind"`
	GoldChannel string          `json:"gold_channel"`
	GoldTarget  string          `json:"gold_target"`

	GoldSecondChannel *string   `json:"gold_second_channel"` // "" for none
	GoldSeriousThreat *bool     `json:"gold_serious_threat"`
	GoldWeapon        *bool     `json:"gold_weapon"`
	GoldBasis         *[]string `json:"gold_basis"`
}

// ReadLine is what Classify writes for a Line.
type ReadLine struct {
	ID            json.RawMessage               `json:"id"`
	Channel       string                        `json:"channel"`
	Kind          string                        `json:"kind"`
	Target        string                        `json:"target"`
	SecondChannel string                        `json:"second_channel,omitempty"`
	SeriousThreat bool                          `json:"serious_threat,omitempty"`
	Weapon        bool                          `json:"weapon,omitempty"`
	Basis         []string                      `json:"basis,omitempty"`
	P             map[string]map[string]float64 `json:"p"` // by field, then by value
	Review        bool                          `json:"review"`
	Why           []Why                         `json:"why"`
	Model         string                        `json:"model"`
}

// Why is one reason with its words.
type Why struct {
	Field  string  `json:"field"`
	Words  string  `json:"words,omitempty"`
	Class  string  `json:"class"`
	For    string  `json:"for"`
	Weight float64 `json:"weight"` // natural-log odds
	Start  int     `json:"start"`  // bytes of the text
	End    int     `json:"end"`
}

// Classify reads one text a line from in and writes its reading as one line to
// out, in the same order and with constant memory. What is no such line is
// reported to bad with its number, from 1, and the rest goes on; Classify
// returns how many there were. An error is one of in or out.
func Classify(r Reader, in io.Reader, out io.Writer, bad func(line int, err error)) (wrong int, err error) {
	w := bufio.NewWriter(out)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	lines := newLines(in)
	for {
		line, n, err := lines.next()
		if errors.Is(err, io.EOF) {
			return wrong, w.Flush()
		}
		if err != nil && !errors.Is(err, errLine) {
			return wrong, errors.Join(err, w.Flush())
		}
		if err != nil {
			wrong++
			bad(n, err)
			continue
		}
		if err := encoder.Encode(readLine(r, line)); err != nil {
			return wrong, err
		}
		if lines.waits() { // somebody may be waiting for this answer
			if err := w.Flush(); err != nil {
				return wrong, err
			}
		}
	}
}

func readLine(r Reader, line Line) ReadLine {
	got := r.Read(line.input())
	out := ReadLine{
		ID: line.ID, Channel: got.Channel.Value, Kind: got.Kind.Value, Target: got.Target.Value,
		SecondChannel: got.SecondChannel.Value,
		SeriousThreat: got.SeriousThreat.Value == string(incident.FlagYes), Weapon: got.Weapon.Value == string(incident.FlagYes),
		P:      map[string]map[string]float64{"channel": got.Channel.P, "kind": got.Kind.P, "target": got.Target.P},
		Review: got.Review, Why: []Why{}, Model: got.Model,
	}
	for _, f := range []struct {
		name string
		incident.Judgement
	}{{"channel", got.Channel}, {"kind", got.Kind}, {"target", got.Target}, {"second_channel", got.SecondChannel},
		{"serious_threat", got.SeriousThreat}, {"weapon", got.Weapon}} {
		out.because(f.name, f.Judgement, *line.Text)
	}
	for _, b := range got.Basis {
		out.Basis = append(out.Basis, b.Value)
		out.because("basis", b, *line.Text)
	}
	return out
}

func (l *ReadLine) because(field string, j incident.Judgement, text string) {
	for _, r := range j.Reasons {
		l.Why = append(l.Why, Why{field, text[r.Start:r.End], r.Class, r.For, r.Weight, r.Start, r.End})
	}
}

// Evaluation is how well a reader read texts whose right answers are known.
type Evaluation = evaluation.Result

// Share is a part of an Evaluation.
type Share = evaluation.Share

// Confusion is a part of an Evaluation.
type Confusion = evaluation.Confusion

// Evaluate reads one text a line and measures the readings against the gold
// fields; a line may have any of them. The reporter's answers are not shown to
// the reader when wordsOnly. Bad lines are treated as by Classify.
func Evaluate(r Reader, in io.Reader, wordsOnly bool, bad func(line int, err error)) (result Evaluation, wrong int, err error) {
	var set evaluation.Set
	lines := newLines(in)
	for {
		line, n, err := lines.next()
		if errors.Is(err, io.EOF) {
			return set.Result(), wrong, nil
		}
		if err != nil && !errors.Is(err, errLine) {
			return Evaluation{}, wrong, err
		}
		if err == nil {
			err = line.checkGold()
		}
		if err != nil {
			wrong++
			bad(n, err)
			continue
		}
		input := line.input()
		if wordsOnly {
			input = Input{Narrative: input.Narrative}
		}
		id := string(bytes.Trim(line.ID, `"`))
		if id == "" || id == "null" {
			id = fmt.Sprintf("line %d", n)
		}
		set.Add(id, line.gold(), r.Read(input), func(why incident.Reason) string {
			return fmt.Sprintf("%s (%s) → %s", quoted(input.Narrative[why.Start:why.End]), why.Class, why.For)
		})
	}
}

// quoted returns words of a text for a line of a terminal, which must not do what
// they say.
func quoted(words string) string {
	if words == "" {
		return "no word"
	}
	return "“" + strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, words) + "”"
}

func (l *Line) gold() evaluation.Gold {
	return evaluation.Gold{Kind: l.GoldKind, Channel: l.GoldChannel, Target: l.GoldTarget,
		SecondChannel: l.GoldSecondChannel, SeriousThreat: l.GoldSeriousThreat, Weapon: l.GoldWeapon, Basis: l.GoldBasis}
}

func (l *Line) input() Input {
	return Input{Narrative: *l.Text, Kind: incident.Kind(l.Kind), Channel: incident.Channel(l.Channel), Target: incident.Target(l.Target)}
}

// errLine is the fault of a line, not of the file.
var errLine = errors.New("")

func lineError(format string, args ...any) error {
	return fmt.Errorf("%w"+format, append([]any{errLine}, args...)...)
}

func (l *Line) check() error {
	switch {
	case l.Text == nil:
		return lineError("there is no “text”")
	case l.Kind != "" && !incident.Kind(l.Kind).Valid():
		return lineError("“kind” is none of %s", values(incident.Kinds))
	case l.Channel != "" && !incident.Channel(l.Channel).Valid():
		return lineError("“channel” is none of %s", values(incident.Channels))
	case l.Target != "" && !incident.Target(l.Target).Valid():
		return lineError("“target” is none of %s", values(incident.Targets))
	}
	return nil
}

func (l *Line) checkGold() error {
	switch {
	case l.GoldKind != "" && !incident.Kind(l.GoldKind).Valid():
		return lineError("“gold_kind” is none of %s", values(incident.Kinds))
	case l.GoldChannel != "" && !incident.Channel(l.GoldChannel).Valid():
		return lineError("“gold_channel” is none of %s", values(incident.Channels))
	case l.GoldTarget != "" && !incident.Target(l.GoldTarget).Valid():
		return lineError("“gold_target” is none of %s", values(incident.Targets))
	case l.GoldSecondChannel != nil && *l.GoldSecondChannel != "" && !incident.Channel(*l.GoldSecondChannel).Valid():
		return lineError("“gold_second_channel” is none of %s, and not empty", values(incident.Channels))
	case l.GoldBasis != nil && slices.ContainsFunc(*l.GoldBasis, func(b string) bool { return !incident.Basis(b).Valid() }):
		return lineError("“gold_basis” has what is none of %s", values(incident.Bases))
	}
	return nil
}

func values[T ~string](all []T) string {
	var b bytes.Buffer
	for i, v := range all {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(v))
	}
	return b.String()
}

// lines reads lines of JSON of any number and bounded length.
type lines struct {
	from *bufio.Reader
	n    int
	line []byte
}

func newLines(in io.Reader) *lines { return &lines{from: bufio.NewReaderSize(in, 64<<10)} }

// waits reports whether the next line has not come yet.
func (l *lines) waits() bool { return l.from.Buffered() == 0 }

// next returns the next line that is not blank, with its number; io.EOF after
// the last. An error that wraps errLine is the line's own.
func (l *lines) next() (Line, int, error) {
	for {
		text, err := l.text()
		if err != nil {
			return Line{}, l.n, err
		}
		if l.n == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // a mark that some editors write
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		var line Line
		if err := json.Unmarshal(text, &line); err != nil {
			return Line{}, l.n, lineError("%s", whatIsWrong(err))
		}
		line.ID = slices.Clone(line.ID) // text is used again
		if len(line.ID) == 0 {
			line.ID = json.RawMessage("null")
		}
		return line, l.n, line.check()
	}
}

// whatIsWrong describes an error of decoding without quoting the line.
func whatIsWrong(err error) string {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind) && kind.Field == "":
		return "it must be a JSON object, in braces"
	case errors.As(err, &kind):
		return fmt.Sprintf("“%s” must be %s", kind.Field, typeWords(kind.Type))
	case errors.As(err, &syntax):
		return fmt.Sprintf("not JSON: it breaks off, or goes wrong, at byte %d", syntax.Offset)
	}
	return "it cannot be decoded"
}

func typeWords(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Int, reflect.Uint32:
		return "a whole number"
	case reflect.Struct:
		return "an object"
	}
	return "a text"
}

func (l *lines) text() ([]byte, error) {
	l.line = l.line[:0]
	l.n++
	tooLong := false
	for {
		part, err := l.from.ReadSlice('\n')
		if tooLong = tooLong || len(l.line)+len(part) > maxLine; !tooLong {
			l.line = append(l.line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case tooLong:
			return nil, lineError("longer than %d MiB", maxLine>>20)
		case errors.Is(err, io.EOF) && len(l.line) == 0:
			return nil, io.EOF
		case err != nil && err != io.EOF:
			return nil, err
		}
		return l.line, nil
	}
}
