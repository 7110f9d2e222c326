// Package corpus reads the examples that the reader of reports is trained and
// measured with: plain text of this project's own writing, under
// services/classifier/corpus.
//
//	seeds/*.txt      one report a line, each written by hand: labels, tab, text
//	templates/*.txt  the same with {slots} in the text
//	slots/NAME.txt   one filler of {NAME} a line
//
// Labels are words with a space between: kind=, channel= and target= with a
// value of the taxonomy; also= with a second channel; serious; weapon; basis=
// with values joined by commas; trap=, lang= and voice= with a name;
// split=heldout for what a model is measured by, and split=gauge for what only
// tells it how sure it may be: no fit sees either. A line that begins with
// # is a comment, and \n inside a text is a line break.
package corpus

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/onrecord/onrecord/pkg/incident"
)

// Labels are the right answers for one text. An empty one is not judged.
type Labels struct {
	Kind    incident.Kind
	Channel incident.Channel
	Target  incident.Target
	Also    incident.Channel // a channel after the first; "" for none
	Serious bool
	Weapon  bool
	Basis   []incident.Basis
}

// Example is one text with its labels.
type Example struct {
	Labels
	Text  string
	Group string // texts of one group have one origin: a seed, or a template with all that was made of it
	Voice string // who speaks: the file's name unless the line says otherwise
	Trap  string
	Lang  string
	Made  bool // made from a template
	Split Split
}

// Split is what a text is for.
type Split int

// Training learns from the first alone.
const (
	Learn   Split = iota
	Gauge         // the probabilities are made to mean what they say by these
	HeldOut       // measured by: no training and no choice of settings ever sees these
)

var splits = map[string]Split{"gauge": Gauge, "heldout": HeldOut}

// Corpus is everything that was read.
type Corpus struct {
	Examples []Example
	Hash     string // SHA-256 of every file's name and content, in hex
}

// mostFillings is how many texts are made of one template.
const mostFillings = 8

// Read reads a corpus. An error names the file and line of everything that is
// wrong with it, up to twenty.
func Read(dir fs.FS) (*Corpus, error) {
	r := reader{slots: make(map[string][]string), seen: make(map[string]string)}
	sum := sha256.New()
	for _, kind := range []struct {
		dir  string
		read func(name string, n int, line string) error
	}{{"slots", r.slot}, {"seeds", r.seed}, {"templates", r.template}} {
		files, err := fs.Glob(dir, kind.dir+"/*.txt")
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
		for _, name := range files {
			content, err := fs.ReadFile(dir, name)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(sum, "%s %d\n%s", name, len(content), content)
			r.lines(name, string(content), kind.read)
		}
	}
	if len(r.wrong) > 0 {
		return nil, errors.Join(r.wrong...)
	}
	if len(r.examples) == 0 {
		return nil, errors.New("the corpus is empty: want seeds/*.txt")
	}
	return &Corpus{Examples: r.examples, Hash: hex.EncodeToString(sum.Sum(nil))}, nil
}

type reader struct {
	examples []Example
	slots    map[string][]string
	seen     map[string]string // text to where it stands
	wrong    []error
}

func (r *reader) lines(name, content string, read func(name string, n int, line string) error) {
	for n, line := range strings.Split(content, "\n") {
		line = strings.TrimRight(line, "\r")
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		if err := read(name, n+1, line); err != nil && len(r.wrong) < 20 {
			r.wrong = append(r.wrong, fmt.Errorf("%s:%d: %w", name, n+1, err))
		}
	}
}

func stem(name string) string { return strings.TrimSuffix(path.Base(name), ".txt") }

func (r *reader) slot(name string, _ int, line string) error {
	r.slots[stem(name)] = append(r.slots[stem(name)], unescape(line))
	return nil
}

func (r *reader) seed(name string, n int, line string) error {
	e, err := parse(line)
	if err != nil {
		return err
	}
	if e.Voice == "" {
		e.Voice = stem(name)
	}
	if where, ok := r.seen[e.Text]; ok {
		return fmt.Errorf("the same text stands at %s", where)
	}
	r.seen[e.Text] = fmt.Sprintf("%s:%d", name, n)
	e.Group = id(e.Text)
	r.examples = append(r.examples, e)
	return nil
}

// template adds fillings of a template, the same each time: filling k takes
// from each slot a filler that depends on the template, the slot and k alone.
func (r *reader) template(name string, _ int, line string) error {
	e, err := parse(line)
	if err != nil {
		return err
	}
	if e.Voice == "" {
		e.Voice = stem(name)
	}
	e.Group, e.Made = id(e.Text), true
	made := make(map[string]bool, mostFillings)
	for k := range mostFillings {
		text, err := r.fill(e.Text, k)
		if err != nil {
			return err
		}
		if made[text] {
			continue
		}
		made[text] = true
		filled := e
		filled.Text = text
		r.examples = append(r.examples, filled)
	}
	return nil
}

func (r *reader) fill(template string, k int) (string, error) {
	var b strings.Builder
	for place := 0; ; place++ {
		before, rest, ok := strings.Cut(template, "{")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		slot, after, ok := strings.Cut(rest, "}")
		fillers := r.slots[slot]
		if !ok || len(fillers) == 0 {
			return "", fmt.Errorf("slot {%s} has no fillers", slot)
		}
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d\n%d", template, slot, place, k))
		b.WriteString(fillers[(int(sum[0])<<16|int(sum[1])<<8|int(sum[2]))%len(fillers)])
		template = after
	}
}

func id(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:6])
}

func unescape(s string) string { return strings.ReplaceAll(s, `\n`, "\n") }

// parse reads one line of labels and text.
func parse(line string) (Example, error) {
	labels, text, ok := strings.Cut(line, "\t")
	if !ok || strings.TrimSpace(text) == "" {
		return Example{}, errors.New("want labels, a tab and a text")
	}
	e := Example{Text: unescape(text), Lang: "en"}
	for word := range strings.FieldsSeq(labels) {
		if err := e.label(word); err != nil {
			return Example{}, err
		}
	}
	return e, e.fits()
}

func (e *Example) label(word string) error {
	name, value, _ := strings.Cut(word, "=")
	switch name {
	case "kind":
		e.Kind = incident.Kind(value)
	case "channel":
		e.Channel = incident.Channel(value)
	case "target":
		e.Target = incident.Target(value)
	case "also":
		e.Also = incident.Channel(value)
	case "serious":
		e.Serious = true
	case "weapon":
		e.Weapon = true
	case "basis":
		for b := range strings.SplitSeq(value, ",") {
			if !incident.Basis(b).Valid() {
				return fmt.Errorf("%q is no basis", b)
			}
			e.Basis = append(e.Basis, incident.Basis(b))
		}
	case "trap":
		e.Trap = value
	case "lang":
		e.Lang = value
	case "voice":
		e.Voice = value
	case "split":
		split, ok := splits[value]
		if !ok {
			return fmt.Errorf("split=%s: want gauge or heldout", value)
		}
		e.Split = split
	default:
		return fmt.Errorf("%q is no label", word)
	}
	return nil
}

// fits returns what is wrong between the labels.
func (l *Labels) fits() error {
	switch {
	case !l.Kind.Valid():
		return fmt.Errorf("kind=%s is not in the taxonomy", l.Kind)
	case !l.Channel.Valid():
		return fmt.Errorf("channel=%s is not in the taxonomy", l.Channel)
	case !l.Target.Valid():
		return fmt.Errorf("target=%s is not in the taxonomy", l.Target)
	case l.Also != "" && (!l.Also.Valid() || l.Also == l.Channel):
		return fmt.Errorf("also=%s: want another channel than the first", l.Also)
	}
	idle := l.Channel == incident.ChannelNotApplicable
	if l.Kind.IsHazard() && (!idle || l.Target != incident.TargetNotApplicable) {
		return fmt.Errorf("%s has channel and target not_applicable", l.Kind)
	}
	if l.Kind.IsAggression() && (idle || l.Target == incident.TargetNotApplicable) {
		return fmt.Errorf("%s has a channel and a target, or they are unknown", l.Kind)
	}
	return nil
}

// Of returns the examples of a split.
func (c *Corpus) Of(s Split) []Example {
	return slices.DeleteFunc(slices.Clone(c.Examples), func(e Example) bool { return e.Split != s })
}

// unseenVoice begins the name of a voice whose writer had seen neither what is
// learned from nor what is read wrong.
const unseenVoice = "unseen_"

// Unseen returns the examples of such voices: the fairest to measure by.
func Unseen(examples []Example) []Example {
	return slices.DeleteFunc(slices.Clone(examples), func(e Example) bool { return !strings.HasPrefix(e.Voice, unseenVoice) })
}
