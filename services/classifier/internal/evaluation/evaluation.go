// Package evaluation measures readings against right answers: how often they
// are right, with intervals, what is taken for what, whether the probabilities
// mean what they say, and which mistakes are the worst.
package evaluation

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/onrecord/onrecord/pkg/incident"
)

// Gold is what is right for one text; an empty or nil field is not judged.
type Gold struct {
	Kind, Channel, Target string

	SecondChannel         *string // "" for none
	SeriousThreat, Weapon *bool
	Basis                 *[]string
}

// Result is everything measured of a set of texts.
type Result struct {
	Texts  int     `json:"texts"`
	Review Share   `json:"review"` // of texts a person is asked about
	Fields []Field `json:"fields"` // kind, channel, target: those that had right answers

	KindMerged       *Share `json:"kind_threat_and_abuse_merged,omitempty"`
	KindTop2         *Share `json:"kind_top_two,omitempty"`
	InPersonOrOnline *Share `json:"in_person_or_online,omitempty"` // within that pair, right side of it
	AbuseFound       *Share `json:"acts_found,omitempty"`          // acts of somebody read as such
	HazardAsAbuse    *Share `json:"hazards_read_as_acts,omitempty"`
	Organisation     *Share `json:"organisation_found,omitempty"`

	Marks []Mark `json:"marks,omitempty"` // what is read besides, as far as it had right answers

	Worst []Mistake `json:"worst"` // the most confident mistakes
}

// Mark is how something was read that most texts do not have: a second channel,
// a serious threat, a weapon, a basis of abuse. A text may have several bases,
// and each counts.
type Mark struct {
	Name  string `json:"name"`
	Found Share  `json:"found"` // of those that are there
	Right Share  `json:"right"` // of those that were marked
}

// Share is a number of some, with the interval in which the true share lies
// in 95 of 100 such samples (Wilson).
type Share struct {
	N     int     `json:"n"`
	Of    int     `json:"of"`
	Share float64 `json:"share"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Field is what was measured of one field.
type Field struct {
	Name        string        `json:"name"`
	Right       Share         `json:"right"`
	MacroF1     float64       `json:"macro_f1"` // the mean over the values that occur
	Values      []Value       `json:"values"`
	Confusion   []Confusion   `json:"confusion"`
	Reliability []Reliability `json:"reliability"`
	ECE         float64       `json:"calibration_error"`
	Chance      Chance        `json:"calibration_error_by_chance"`
	Coverage    []Coverage    `json:"coverage"`
}

// Chance is the calibration error that a reader whose every probability is true
// shows all the same, on as many texts of which it is as sure: some of what it
// says comes true more often, some less. An error is to be held against this,
// not against nothing.
type Chance struct {
	Mean float64 `json:"mean"`
	Most float64 `json:"most"` // 95 of 100 such sets show no more
}

// Value is how one value was found.
type Value struct {
	Value     string  `json:"value"`
	Of        int     `json:"of"` // texts it is right for
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
}

// Confusion is how many texts of one right value were read as another.
type Confusion struct {
	Right string `json:"right"`
	Read  string `json:"read"`
	N     int    `json:"n"`
}

// Reliability is one tenth of probability: what was said and what came true.
type Reliability struct {
	From  float64 `json:"from"`
	N     int     `json:"n"`
	Said  float64 `json:"said"`
	Right float64 `json:"right"`
}

// Coverage is how often the most confident part was right.
type Coverage struct {
	Part  float64 `json:"part"`
	Right Share   `json:"right"`
}

// Mistake is one wrong answer.
type Mistake struct {
	ID    string            `json:"id"`
	Field string            `json:"field"`
	Right string            `json:"right"`
	Read  string            `json:"read"`
	P     float64           `json:"p"`
	Why   []incident.Reason `json:"-"`
	Words []string          `json:"why"` // the reasons with their words
}

// mostMistakes are kept of all that were made.
const mostMistakes = 20

// tally is what one field's texts add up to.
type tally struct {
	confusion map[[2]string]int
	answers   []answer
}

type answer struct {
	p     float64
	right bool
}

// Set adds up texts one at a time. It keeps no text: its memory grows by two
// words for each, and by the twenty worst mistakes.
type Set struct {
	texts, review int
	fields        [3]tally
	pairs         [6]struct{ n, of int }
	marks         [4]struct{ judged, there, marked, both int }
	worst         []Mistake
}

// What is read besides the three fields.
var markNames = [4]string{"second channel", "serious threat", "weapon", "basis of abuse"}

const (
	pairMerged = iota
	pairTop2
	pairSide
	pairActs
	pairHazards
	pairOrganisation
)

var fieldNames = [3]string{"kind", "channel", "target"}

// Add takes in one text's reading. Words quotes a reason of it.
func (s *Set) Add(id string, g Gold, r incident.Reading, words func(incident.Reason) string) {
	s.texts++
	if r.Review {
		s.review++
	}
	for i, f := range [3]struct {
		right string
		j     incident.Judgement
	}{{g.Kind, r.Kind}, {g.Channel, r.Channel}, {g.Target, r.Target}} {
		if f.right == "" {
			continue
		}
		t := &s.fields[i]
		if t.confusion == nil {
			t.confusion = make(map[[2]string]int)
		}
		t.confusion[[2]string{f.right, f.j.Value}]++
		p := f.j.P[f.j.Value]
		t.answers = append(t.answers, answer{p, f.right == f.j.Value})
		if f.right != f.j.Value {
			s.mistake(Mistake{ID: id, Field: fieldNames[i], Right: f.right, Read: f.j.Value, P: p, Why: f.j.Reasons}, words)
		}
	}
	s.addPairs(g, r)
	s.addMarks(g, r)
}

func (s *Set) addMarks(g Gold, r incident.Reading) {
	count := func(mark int, there, marked []string) {
		m := &s.marks[mark]
		m.judged++
		m.there, m.marked = m.there+len(there), m.marked+len(marked)
		for _, v := range there {
			if slices.Contains(marked, v) {
				m.both++
			}
		}
	}
	one := func(value string) []string {
		if value == "" || value == string(incident.FlagNo) {
			return nil
		}
		return []string{value}
	}
	yes := func(is bool) []string {
		if !is {
			return nil
		}
		return []string{string(incident.FlagYes)}
	}
	if g.SecondChannel != nil {
		count(0, one(*g.SecondChannel), one(r.SecondChannel.Value))
	}
	if g.SeriousThreat != nil {
		count(1, yes(*g.SeriousThreat), one(r.SeriousThreat.Value))
	}
	if g.Weapon != nil {
		count(2, yes(*g.Weapon), one(r.Weapon.Value))
	}
	if g.Basis != nil {
		var marked []string
		for _, b := range r.Basis {
			marked = append(marked, b.Value)
		}
		count(3, *g.Basis, marked)
	}
}

// mistake keeps the most confident ones.
func (s *Set) mistake(m Mistake, words func(incident.Reason) string) {
	at, _ := slices.BinarySearchFunc(s.worst, m, func(a, b Mistake) int { return cmp.Compare(b.P, a.P) })
	for at < len(s.worst) && s.worst[at].P == m.P {
		at++
	}
	if at >= mostMistakes {
		return
	}
	for _, r := range m.Why {
		m.Words = append(m.Words, words(r))
	}
	s.worst = slices.Insert(s.worst, at, m)
	s.worst = s.worst[:min(len(s.worst), mostMistakes)]
}

func (s *Set) addPairs(g Gold, r incident.Reading) {
	count := func(pair int, right bool) {
		s.pairs[pair].of++
		if right {
			s.pairs[pair].n++
		}
	}
	if g.Kind != "" {
		merge := func(k string) string {
			if k == string(incident.KindThreat) {
				return string(incident.KindAbuse)
			}
			return k
		}
		count(pairMerged, merge(g.Kind) == merge(r.Kind.Value))
		before := 0
		for v, p := range r.Kind.P {
			if v != g.Kind && (p > r.Kind.P[g.Kind] || p == r.Kind.P[g.Kind] && v < g.Kind) {
				before++
			}
		}
		count(pairTop2, before < 2)
		if gold, read := incident.Kind(g.Kind), incident.Kind(r.Kind.Value); gold.IsAggression() {
			count(pairActs, read.IsAggression())
		} else if gold.IsHazard() {
			count(pairHazards, read.IsAggression())
		}
	}
	side := func(c string) int {
		switch {
		case c == string(incident.ChannelInPerson):
			return 1
		case incident.Channel(c).IsOnline():
			return 2
		}
		return 0
	}
	if a, b := side(g.Channel), side(r.Channel.Value); a > 0 && b > 0 {
		count(pairSide, a == b)
	}
	if g.Target == string(incident.TargetOrganisation) {
		count(pairOrganisation, r.Target.Value == g.Target)
	}
}

// Result returns what was measured.
func (s *Set) Result() Result {
	r := Result{Texts: s.texts, Review: ShareOf(s.review, s.texts), Fields: []Field{}, Worst: append([]Mistake{}, s.worst...)}
	for i := range s.fields {
		if len(s.fields[i].answers) > 0 {
			r.Fields = append(r.Fields, s.fields[i].result(fieldNames[i]))
		}
	}
	for i, m := range s.marks {
		if m.judged > 0 {
			r.Marks = append(r.Marks, Mark{markNames[i], ShareOf(m.both, m.there), ShareOf(m.both, m.marked)})
		}
	}
	for pair, to := range map[int]**Share{pairMerged: &r.KindMerged, pairTop2: &r.KindTop2, pairSide: &r.InPersonOrOnline,
		pairActs: &r.AbuseFound, pairHazards: &r.HazardAsAbuse, pairOrganisation: &r.Organisation} {
		if p := s.pairs[pair]; p.of > 0 {
			sh := ShareOf(p.n, p.of)
			*to = &sh
		}
	}
	return r
}

// ShareOf returns n of all with its Wilson interval at 95 %.
func ShareOf(n, of int) Share {
	if of == 0 {
		return Share{}
	}
	low, high := incident.Interval(n, of)
	return Share{n, of, round(float64(n) / float64(of)), round(low), round(high)}
}

// round leaves four digits: more would be noise, and would differ between
// processors.
func round(x float64) float64 { return math.Floor(x*10000+0.5) / 10000 }

func (t *tally) result(name string) Field {
	f := Field{Name: name}
	right := 0
	for _, a := range t.answers {
		if a.right {
			right++
		}
	}
	f.Right = ShareOf(right, len(t.answers))
	t.byValue(&f)
	t.calibration(&f)
	slices.SortStableFunc(t.answers, func(a, b answer) int { return cmp.Compare(b.p, a.p) })
	for tenths := 1; tenths <= 10; tenths++ {
		n := (len(t.answers)*tenths + 9) / 10
		ok := 0
		for _, a := range t.answers[:n] {
			if a.right {
				ok++
			}
		}
		f.Coverage = append(f.Coverage, Coverage{float64(tenths) / 10, ShareOf(ok, n)})
	}
	return f
}

func (t *tally) byValue(f *Field) {
	gold, read, hit := map[string]int{}, map[string]int{}, map[string]int{}
	for pair, n := range t.confusion {
		gold[pair[0]] += n
		read[pair[1]] += n
		if pair[0] == pair[1] {
			hit[pair[0]] = n
		}
		f.Confusion = append(f.Confusion, Confusion{pair[0], pair[1], n})
	}
	slices.SortFunc(f.Confusion, func(a, b Confusion) int {
		return cmp.Or(cmp.Compare(a.Right, b.Right), cmp.Compare(b.N, a.N), cmp.Compare(a.Read, b.Read))
	})
	sum := 0.0
	for v, n := range gold {
		val := Value{Value: v, Of: n, Recall: round(float64(hit[v]) / float64(n))}
		if read[v] > 0 {
			val.Precision = round(float64(hit[v]) / float64(read[v]))
		}
		val.F1 = round(2 * float64(hit[v]) / float64(n+read[v]))
		f.Values = append(f.Values, val)
	}
	slices.SortFunc(f.Values, func(a, b Value) int { return cmp.Or(cmp.Compare(b.Of, a.Of), cmp.Compare(a.Value, b.Value)) })
	for _, v := range f.Values {
		sum += v.F1
	}
	f.MacroF1 = round(sum / float64(len(f.Values)))
}

// calibration fills the reliability table, and the mean distance between what
// was said and what came true, weighted by how often it was said.
func (t *tally) calibration(f *Field) {
	var bins [10]struct {
		n, right int
		p        float64
	}
	for _, a := range t.answers {
		b := &bins[tenth(a.p)]
		b.n, b.p = b.n+1, b.p+a.p
		if a.right {
			b.right++
		}
	}
	f.Chance = t.chance()
	gap := 0.0
	for i, b := range bins {
		if b.n == 0 {
			continue
		}
		gap += math.Abs(float64(b.right) - b.p)
		f.Reliability = append(f.Reliability, Reliability{float64(i) / 10, b.n, round(b.p / float64(b.n)), round(float64(b.right) / float64(b.n))})
	}
	f.ECE = round(gap / float64(len(t.answers)))
}

// tenth returns in which tenth of probability p is.
func tenth(p float64) int { return min(int(p*10), 9) }

// How often chance is tried: until the mean stands still, and less often the
// more texts there are, of which chance is smaller.
const (
	mostTries  = 2000
	fewerTries = 100
	mostThrows = 20_000_000
)

// chance lets chance decide many times which answers are right, each as likely as
// its probability says, the same each time and on every processor.
func (t *tally) chance() Chance {
	const one = 1 << 30
	var bins [10][]uint32
	var said [10]float64
	for _, a := range t.answers {
		p := uint32(a.p * one)
		b := tenth(a.p)
		bins[b] = append(bins[b], p)
		said[b] += float64(p) / one
	}
	rng := rand.New(rand.NewPCG(1, 1))
	errs := make([]float64, max(min(mostTries, mostThrows/len(t.answers)), fewerTries))
	sum := 0.0
	for try := range errs {
		gap := 0.0
		for b, probabilities := range bins {
			right := 0
			for _, p := range probabilities {
				if uint32(rng.Uint64()>>34) < p {
					right++
				}
			}
			gap += math.Abs(float64(right) - said[b])
		}
		errs[try] = gap / float64(len(t.answers))
		sum += errs[try]
	}
	slices.Sort(errs)
	return Chance{Mean: round(sum / float64(len(errs))), Most: round(errs[(len(errs)*95+99)/100-1])}
}
