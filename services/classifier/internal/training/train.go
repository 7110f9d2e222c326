package training

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/classifier/internal/corpus"
	"github.com/onrecord/onrecord/services/classifier/internal/evaluation"
	"github.com/onrecord/onrecord/services/classifier/internal/reading"
)

// Correction is what a rep decided about a report, as features and labels: no
// words. One JSON object a line is the file that Train takes.
type Correction struct {
	Space    string            `json:"space"` // of the features: reading.Space
	Features []reading.Feature `json:"features"`
	Lettered int               `json:"lettered"`
	Kind     incident.Kind     `json:"kind,omitempty"`
	Channel  incident.Channel  `json:"channel,omitempty"`
	Target   incident.Target   `json:"target,omitempty"`
	Said     struct {
		Kind    incident.Kind    `json:"kind,omitempty"`
		Channel incident.Channel `json:"channel,omitempty"`
		Target  incident.Target  `json:"target,omitempty"`
	} `json:"said"` // what the reporter had answered
}

// How corrections count: each as so many examples, all together at most so
// much of the weight.
const (
	correctionWeight = 8.0
	correctionShare  = 0.4
)

// A template's texts count together as this many seeds.
const templateWeight = 1.5

// Measures are what is measured while a model is made.
type Measures struct {
	// HeldOut are texts that no training and no choice of settings ever saw.
	HeldOut *evaluation.Result `json:"held_out,omitempty"`
	// Unseen are those of them that corpus.Unseen tells apart.
	Unseen *evaluation.Result `json:"unseen,omitempty"`
	// OtherVoices are the seeds, each read by a model that had learned nothing
	// from its voice.
	OtherVoices evaluation.Result `json:"other_voices"`
}

// Train makes the file of a model. The same corpus, corrections and lexicon
// make the same bytes.
func Train(c *corpus.Corpus, corrections []Correction) ([]byte, error) {
	texts, held := c.Of(corpus.Learn), c.Of(corpus.HeldOut)
	learn := toExamples(texts)
	weighTemplates(learn, texts)
	seeds := len(texts)
	corrected, err := toCorrected(corrections, learn)
	if err != nil {
		return nil, err
	}
	card := reading.Card{Corpus: c.Hash, Examples: len(learn), Corrections: len(corrected)}
	for _, e := range texts {
		if e.Made {
			seeds--
		}
	}
	card.Seeds = seeds
	card.Usual = usual(learn)
	card.Answers = reportersAnswers(corrections)

	all := append(slices.Clone(learn), corrected...)
	w := fit(all, standard, 1)
	dense, features, hashed := w.rows()
	scores := otherVoices(learn, texts, corrected)
	gauge := toExamples(c.Of(corpus.Gauge)) // plainer than other voices, which mislead on purpose: real days lie between
	sets := []scored{{learn, texts, scores}, {gauge, c.Of(corpus.Gauge), w.scoresOf(gauge)}}
	card.Temperature = temperatures(sets)
	if card.Sure, err = sureness(card, sets); err != nil {
		return nil, err
	}
	var m Measures
	if m.OtherVoices, err = measureScores(card, texts, scores); err != nil {
		return nil, err
	}
	if len(held) > 0 {
		file, err := reading.Encode(card, dense, features, hashed)
		if err != nil {
			return nil, err
		}
		model, err := reading.Decode(file)
		if err != nil {
			return nil, err
		}
		result := Measure(model, held)
		m.HeldOut = &result
		if last := corpus.Unseen(held); len(last) > 0 {
			result := Measure(model, last)
			m.Unseen = &result
		}
	}
	if card.Measures, err = json.Marshal(m); err != nil {
		return nil, err
	}
	return reading.Encode(card, dense, features, hashed)
}

// Measure reads examples with a model and returns how well.
func Measure(r reading.Reader, examples []corpus.Example) evaluation.Result {
	var s evaluation.Set
	for n, e := range examples {
		got := r.Read(reading.Input{Narrative: e.Text})
		s.Add(fmt.Sprintf("%s-%d", e.Voice, n), goldOf(e), got, func(why incident.Reason) string { return why.Class + " → " + why.For })
	}
	return s.Result()
}

func goldOf(e corpus.Example) evaluation.Gold {
	also, basis := string(e.Also), []string{}
	for _, b := range e.Basis {
		basis = append(basis, string(b))
	}
	return evaluation.Gold{Kind: string(e.Kind), Channel: string(e.Channel), Target: string(e.Target),
		SecondChannel: &also, SeriousThreat: &e.Serious, Weapon: &e.Weapon, Basis: &basis}
}

func toExamples(texts []corpus.Example) []*example {
	out := make([]*example, len(texts))
	for i, e := range texts {
		out[i] = toExample(e)
	}
	return out
}

func toExample(e corpus.Example) *example {
	x := &example{Sample: reading.Features(e.Text), weight: 1, group: e.Group, fold: e.Voice}
	x.answers = [reading.Heads]int{
		slices.Index(incident.Kinds, e.Kind), slices.Index(incident.Channels, e.Channel), slices.Index(incident.Targets, e.Target),
	}
	x.flags = reading.Flags(e.Channel, e.Also, e.Serious, e.Weapon, e.Basis)
	if !x.HasCue(e.Channel) { // known from who wrote it, not from the words
		x.answers[reading.HeadChannel] = -1
		for i := range reading.Ways() {
			x.flags[i] = -1
		}
	}
	return x
}

// weighTemplates lets the texts of a template count as few.
func weighTemplates(examples []*example, texts []corpus.Example) {
	made := make(map[string]int)
	for i, e := range texts {
		if e.Made {
			made[examples[i].group]++
		}
	}
	for i, e := range texts {
		if e.Made {
			examples[i].weight = min(1, templateWeight/float64(made[examples[i].group]))
		}
	}
}

// toCorrected returns the corrections as examples with their weight.
func toCorrected(corrections []Correction, learn []*example) ([]*example, error) {
	var out []*example
	for n, c := range corrections {
		if c.Space != reading.Space() {
			return nil, fmt.Errorf("correction %d was made for the lexicon %q, this program has %s: export them again", n+1, c.Space, reading.Space())
		}
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("correction %d: %w", n+1, err)
		}
		x := &example{Sample: reading.Sample{Features: c.Features, Lettered: c.Lettered}, weight: correctionWeight,
			group: fmt.Sprintf("correction %d", n), fold: "corrections"}
		x.answers = [reading.Heads]int{
			slices.Index(incident.Kinds, c.Kind), slices.Index(incident.Channels, c.Channel), slices.Index(incident.Targets, c.Target),
		}
		x.flags = reading.NoFlags()
		out = append(out, x)
	}
	sum := 0.0
	for _, e := range learn {
		sum += e.weight
	}
	if most := sum * correctionShare / (1 - correctionShare); float64(len(out))*correctionWeight > most {
		for _, e := range out {
			e.weight = most / float64(len(out))
		}
	}
	return out, nil
}

func (c *Correction) check() error {
	rows := reading.DenseRows()
	for _, f := range c.Features {
		if !f.IsHashed() && int(f) >= rows {
			return fmt.Errorf("feature %d does not exist", f)
		}
	}
	if len(c.Features) == 0 || c.Lettered < 0 {
		return errors.New("no features")
	}
	if c.Kind != "" && !c.Kind.Valid() || c.Channel != "" && !c.Channel.Valid() || c.Target != "" && !c.Target.Valid() {
		return errors.New("a label is not in the taxonomy")
	}
	return nil
}

// usual returns how often each value is right among the examples, unknown
// apart, with one more of each.
func usual(examples []*example) (out [reading.Heads][]float64) {
	for h := range reading.Head(reading.Heads) {
		from, to := reading.ColumnsOf(h)
		out[h] = make([]float64, to-from)
		unknown := reading.Unknown(h)
		sum := 0.0
		for i := range out[h] {
			if i != unknown {
				out[h][i], sum = 1, sum+1
			}
		}
		for _, e := range examples {
			if a := e.answers[h]; a >= 0 && a != unknown {
				out[h][a] += e.weight
				sum += e.weight
			}
		}
		for i := range out[h] {
			out[h][i] = math.Floor(out[h][i]/sum*1e6) / 1e6
		}
	}
	return out
}

// reporterRight is how often a reporter's answer is right before any
// correction says better, and answersBelieved how many corrections that
// assumption outweighs, for each right value.
const (
	reporterRight   = 0.75
	answersBelieved = 20.0
)

// reportersAnswers returns P(answer | right value), learned from corrections.
func reportersAnswers(corrections []Correction) (out [reading.Heads][][]float64) {
	for h := range reading.Head(reading.Heads) {
		from, to := reading.ColumnsOf(h)
		n, unknown := to-from, reading.Unknown(h)
		out[h] = make([][]float64, n)
		for right := range n {
			out[h][right] = make([]float64, n)
			for said := range n {
				p := (1 - reporterRight) / float64(n-2) // among the others; unknown is no answer
				if said == right {
					p = reporterRight
				}
				out[h][right][said] = p * answersBelieved
			}
			out[h][right][unknown] = 0.001 * answersBelieved
		}
		for _, c := range corrections {
			right := [reading.Heads]int{slices.Index(incident.Kinds, c.Kind), slices.Index(incident.Channels, c.Channel), slices.Index(incident.Targets, c.Target)}[h]
			said := [reading.Heads]int{slices.Index(incident.Kinds, c.Said.Kind), slices.Index(incident.Channels, c.Said.Channel), slices.Index(incident.Targets, c.Said.Target)}[h]
			if right >= 0 && said >= 0 && said != unknown {
				out[h][right][said]++
			}
		}
		for _, row := range out[h] {
			sum := 0.0
			for _, p := range row {
				sum += p
			}
			for i := range row {
				row[i] = max(math.Floor(row[i]/sum*1e6)/1e6, 1e-6)
			}
		}
	}
	return out
}

// folds is in how many parts the voices are divided.
const folds = 5

// otherVoices returns the scores of every example by a fit that saw none of
// its voice. Corrections are always learned from.
func otherVoices(learn []*example, texts []corpus.Example, corrected []*example) [][]float64 {
	size := make(map[string]int)
	for _, e := range learn {
		size[e.fold]++
	}
	voices := make([]string, 0, len(size))
	for v := range size {
		voices = append(voices, v)
	}
	slices.SortFunc(voices, func(a, b string) int { return cmp.Or(cmp.Compare(size[b], size[a]), cmp.Compare(a, b)) })
	fold := make(map[string]int)
	for i, v := range voices {
		fold[v] = i % folds
	}
	scores := make([][]float64, len(learn))
	each(folds, func(f int) {
		var rest []*example
		for _, e := range learn {
			if fold[e.fold] != f {
				rest = append(rest, e)
			}
		}
		w := fit(append(rest, corrected...), standard, 1)
		for i, e := range learn {
			if fold[e.fold] == f && !texts[i].Made {
				scores[i] = w.scores(e.Sample)
			}
		}
	})
	return scores
}

// scored are examples and what a fit that had not seen them made of each; one
// without scores is passed over.
type scored struct {
	examples []*example
	texts    []corpus.Example
	scores   [][]float64
}

// temperatures returns for each head the temperature at which the readings'
// probabilities, after kind, channel and target have settled, give the right
// answers of the sets the most, each set as a whole counting alike; and one for
// the flags.
func temperatures(sets []scored) (t [reading.Heads + 1]float64) {
	for i := range t {
		t[i] = 1.5
	}
	loss := func() float64 {
		sum := 0.0
		for _, s := range sets {
			sum += s.loss(t)
		}
		return sum
	}
	for range 2 {
		for h := range reading.Heads {
			best, least := t[h], math.Inf(1)
			for step := range 28 {
				t[h] = 0.7 + 0.1*float64(step)
				if l := loss(); l < least {
					best, least = t[h], l
				}
			}
			t[h] = best
		}
	}
	for h := range t {
		t[h] = math.Floor(t[h]*100+0.5) / 100
	}
	return t
}

// loss is the mean over the examples of how little was given to their right
// answers at temperatures t.
func (s scored) loss(t [reading.Heads + 1]float64) float64 {
	sum, n := 0.0, 0
	for i, scores := range s.scores {
		if scores == nil {
			continue
		}
		n++
		for h, p := range reading.Settle(scores, t) {
			if a := s.examples[i].answers[h]; a >= 0 {
				sum -= reading.Log(max(p[a], 1e-6))
			}
		}
	}
	return sum / float64(max(n, 1))
}

// measureScores measures what temperatures make of scores.
func measureScores(card reading.Card, texts []corpus.Example, scores [][]float64) (evaluation.Result, error) {
	judge, err := reading.Judging(card)
	if err != nil {
		return evaluation.Result{}, err
	}
	var s evaluation.Set
	for i, e := range texts {
		if scores[i] != nil {
			s.Add(fmt.Sprintf("%s-%d", e.Voice, i), goldOf(e), judge(e.Text, scores[i]), func(why incident.Reason) string { return why.Class + " → " + why.For })
		}
	}
	return s.Result(), nil
}

// prune forgets the hashed rows that are not worth their place in a model.
func (w *weights) prune() {
	rows, heads := reading.DenseRows(), reading.HeadColumns()
	type kept struct {
		n     int
		worth float64
	}
	var keep []kept
	for n := range w.index.order {
		row := w.w[(rows+n)*w.columns:][:heads]
		if most := slices.Max(row) - slices.Min(row); most >= leastKept {
			keep = append(keep, kept{n, most})
		}
	}
	slices.SortStableFunc(keep, func(a, b kept) int { return cmp.Compare(b.worth, a.worth) })
	w.kept = nil
	for _, k := range keep[:min(len(keep), mostKept)] {
		w.kept = append(w.kept, k.n)
	}
	slices.Sort(w.kept)
	for _, n := range w.kept {
		for c, weight := range w.w[(rows+n)*w.columns:][:w.columns] {
			if math.Abs(weight) < leastWeight {
				w.w[(rows+n)*w.columns+c] = 0
			}
		}
	}
	next := 0
	for n := range w.index.order {
		if next < len(w.kept) && w.kept[next] == n {
			next++
			continue
		}
		clear(w.w[(rows+n)*w.columns:][:w.columns])
	}
}

// rows returns the weights of a model, hashed ones in the order of their
// features.
func (w *weights) rows() (dense []float64, features []reading.Feature, hashed []float64) {
	rows := reading.DenseRows()
	for _, n := range w.kept {
		features = append(features, w.index.order[n])
		hashed = append(hashed, w.w[(rows+n)*w.columns:][:w.columns]...)
	}
	return w.w[:rows*w.columns], features, hashed
}

// Hashed rows whose weights span less than leastKept change no reading, nor do
// single weights below leastWeight; mostKept bounds the file.
const (
	leastKept   = 0.03
	leastWeight = 0.04
	mostKept    = 17_000
)
