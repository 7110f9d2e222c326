package reading

import (
	"slices"
	"sync"

	"github.com/onrecord/onrecord/pkg/incident"
)

// scratchpad is the memory that one reading needs; it is reused.
type scratchpad struct {
	scratch  scratch
	report   report
	features features
	units    units
}

var scratchpads = sync.Pool{New: func() any { return new(scratchpad) }}

// take reads a text up to its features.
func (p *scratchpad) take(lex *lexicon, text string) {
	r := &p.report
	r.lex = lex
	r.tokens = lex.vocab.tokenise(text, r.tokens[:0], &p.scratch)
	r.matches = lex.find(r.tokens, r.matches[:0])
	r.inContext()
	p.features.extract(r, p.scratch.letters)
}

// Features returns the features of a text, each once, dense ones first, and
// how many places words had for theirs. They tell which words a text may hold
// to whoever tries likely ones: they are as toxic as the text.
func Features(text string) Sample {
	p := scratchpads.Get().(*scratchpad)
	defer scratchpads.Put(p)
	p.take(loadLexicon(), text)
	seen := make(map[Feature]bool, len(p.features.all))
	var s Sample
	for _, f := range p.features.all {
		if !seen[f.Feature] {
			seen[f.Feature] = true
			s.Features = append(s.Features, f.Feature)
		}
	}
	s.Lettered = len(p.features.all) - p.features.lettered
	s.Words = min(len(p.report.tokens), mostCounted)
	for i, c := range wayValues {
		column := headFrom[HeadChannel] + slices.Index(channelValues, c)
		s.cues[i] = slices.ContainsFunc(p.report.matches, func(m match) bool {
			return m.state != silent && slices.ContainsFunc(p.report.lex.classes[m.class].weights, func(w weight) bool {
				return w.output == column && w.odds > 0
			})
		})
	}
	return s
}

// Sample is a text as a model sees it.
type Sample struct {
	Features []Feature
	Lettered int // how often words made a feature, repeats included
	Words    int // how many there are; a long text's are not counted to the end

	cues [5]bool // by way: whether any class speaks for it
}

// HasCue reports whether any word of the text speaks for a channel. A text
// without one may be known to have come that way, and teaches nothing of it.
func (s Sample) HasCue(c incident.Channel) bool {
	i := slices.Index(wayValues, c)
	return i < 0 || s.cues[i]
}

// letteredShare is what a feature that words made counts in a text with n
// places for them, in 1/64: long texts hold many, and together they must not
// speak louder than in a short one.
func letteredShare(n int) int32 {
	const places, one = 150, 64
	if n <= places {
		return one
	}
	for s := int32(one - 1); ; s-- { // the largest s with s²·n ≤ 64²·places
		if s == 1 || int(s)*int(s)*n <= one*one*places {
			return s
		}
	}
}

// What training needs to know of the shape of a model.

// DenseRows is how many dense features there are.
func DenseRows() int { return loadLexicon().denseRows() }

// Columns is how many outputs a model has.
func Columns() int { return outputs }

// HeadColumns is how many of them belong to heads; the flags follow.
func HeadColumns() int { return headOutputs }

// ColumnsOf returns the columns of a head.
func ColumnsOf(h Head) (from, to int) { return headFrom[h], headFrom[h+1] }

// LetteredShare is what a feature made of words counts in a text.
func LetteredShare(n int) float64 { return float64(letteredShare(n)) / 64 }

// LexiconOdds returns the odds that lexicon.txt gives, by dense row and column:
// where training starts.
func LexiconOdds() []float64 {
	lex := loadLexicon()
	odds := make([]float64, lex.denseRows()*outputs)
	copy(odds, lex.bias)
	share := [variants]float64{speaks: 1, isHushed: 0.2, isLater: 0.35, again: 0.4}
	for c := range lex.classes {
		for v, s := range share {
			for _, w := range lex.classes[c].weights {
				if variant(v) == isLater && w.output < headFrom[HeadChannel] {
					s = 1 // what was done later was done
				}
				odds[int(dense(classID(c), variant(v)))*outputs+w.output] += s * w.odds
			}
		}
	}
	return odds
}

// Unknown returns the index of "the words do not say" among a head's answers.
func Unknown(h Head) int { return slices.Index(headValues[h], string(incident.KindUnknown)) }

// Flags returns the right answers of the flags: 1 for yes and 0 for no.
func Flags(channel, also incident.Channel, serious, weapon bool, basis []incident.Basis) []int8 {
	flags := make([]int8, len(flagNames))
	set := func(i int, yes bool) {
		if yes {
			flags[i] = 1
		}
	}
	for i, c := range wayValues {
		set(i, c == channel || c == also)
	}
	set(flagSerious, serious)
	set(flagWeapon, weapon)
	for i, b := range incident.Bases {
		set(flagBasis+i, slices.Contains(basis, b))
	}
	return flags
}

// NoFlags returns answers of the flags that are not judged.
func NoFlags() []int8 {
	flags := make([]int8, len(flagNames))
	for i := range flags {
		flags[i] = -1
	}
	return flags
}

// Settle returns the probabilities of the heads' answers for scores in
// natural-log odds, at given temperatures, after they have settled.
func Settle(scores []float64, temperature [Heads + 1]float64) [Heads][]float64 {
	var j judge
	var fine [maxValues]int64
	for h := range Heads {
		from, to := headFrom[h], headFrom[h+1]
		for i, s := range scores[from:to] {
			fine[i] = int64(s / temperature[h] * fineOne)
		}
		softmaxFine(fine[:to-from], j.p[h][:to-from])
	}
	j.makeConsistent()
	var out [Heads][]float64
	for h := range Heads {
		for _, p := range j.p[h][:headFrom[h+1]-headFrom[h]] {
			out[h] = append(out[h], probability(p))
		}
	}
	return out
}

// Judging returns a function that makes readings of scores which were made
// elsewhere, with a card's temperatures and tables. They have no reasons.
func Judging(card Card) (func(text string, scores []float64) incident.Reading, error) {
	file, err := Encode(card, make([]float64, DenseRows()*outputs), nil, nil)
	if err != nil {
		return nil, err
	}
	m, err := Decode(file)
	if err != nil {
		return nil, err
	}
	return func(text string, scores []float64) incident.Reading {
		pad := scratchpads.Get().(*scratchpad)
		defer scratchpads.Put(pad)
		pad.take(m.lex, text)
		pad.units.reset(len(pad.report.matches), len(pad.report.tokens), 0)
		for c, s := range scores {
			pad.units.total[c] = int32(s * scoreOne)
		}
		j := judge{model: m, in: Input{Narrative: text}, pad: pad}
		j.weigh()
		j.makeConsistent()
		return j.reading()
	}, nil
}

// Ways is how many of the flags, the first, are for channels.
func Ways() int { return len(wayValues) }
