package reading

import (
	"cmp"
	"slices"

	"github.com/onrecord/onrecord/pkg/incident"
)

// Input is what a report says: its words and the reporter's own answers. An
// empty or unknown answer is none.
type Input struct {
	Narrative string // any bytes; what comes after the first 64 KiB is not read
	Kind      incident.Kind
	Channel   incident.Channel
	Target    incident.Target
}

// Reader reads reports. It is safe for concurrent use, and the same version
// gives the same reading for the same input, on every processor.
type Reader interface {
	// Version names the model: a token of a NATS subject (no dots, no spaces).
	Version() string
	// Read returns a reading of any input. ReportID and At are left empty.
	// Offsets of reasons are bytes of in.Narrative. The probabilities of kind,
	// channel and target sum to one each, and these fit each other: a hazard has
	// channel and target not_applicable, an act of somebody has neither.
	Read(in Input) incident.Reading
}

// AskBelow is the probability, in hundredths, below which a person should decide.
const AskBelow = 75

// When a person should decide.
const (
	confident   = probOne * AskBelow / 100
	closeCall   = probOne * 15 / 100
	leastSure   = probOne * 20 / 100 // below this the answer is unknown
	hiddenHarm  = probOne * 25 / 100 // assault or threat this likely behind another answer
	fewestWords = 3
	even        = probOne / 2
)

// From which probability something is marked that few reports have: early,
// since a person sees the mark beside its probability, and nobody sees one that
// is not there. Of what was marked so in voices it had not learned from, more
// than half was right.
const (
	markSerious = probOne * 30 / 100
	markWeapon  = probOne * 35 / 100
	markBasis   = probOne * 25 / 100
)

// Reasons of one judgement.
const (
	mostReasons  = 6
	leastReason  = scoreOne * 3 / 10
	leastShare   = 1.0 / 3 // of the strongest words' weight: what has less drove nothing, and marks whole sentences
	leastCounter = 1.0     // odds of a reason for another value than the answer
	reporterSaid = "the reporter’s answer"
	likeExamples = "words as in the examples"
)

// answers are the probabilities of one head's values.
type answers [maxValues]int64

// judge makes a reading of one report's scores.
type judge struct {
	model  *Model
	in     Input
	pad    *scratchpad
	p      [Heads]answers
	doubts bool
}

// Read implements Reader.
func (m *Model) Read(in Input) incident.Reading {
	pad := scratchpads.Get().(*scratchpad)
	defer scratchpads.Put(pad)
	pad.take(m.lex, in.Narrative)
	m.score(&pad.features, &pad.units, len(pad.report.matches), len(pad.report.tokens))
	j := judge{model: m, in: in, pad: pad}
	j.weigh()
	j.makeConsistent()
	return j.reading()
}

func (j *judge) said(h Head) int {
	answer := [Heads]string{string(j.in.Kind), string(j.in.Channel), string(j.in.Target)}[h]
	if i := slices.Index(headValues[h], answer); i >= 0 && answer != string(incident.KindUnknown) {
		return i
	}
	return -1
}

// weigh turns scores into probabilities and folds in what the reporter said:
// log p = log p(words)/T + log P(answer | value).
func (j *judge) weigh() {
	var fine [maxValues]int64
	r := &j.pad.report
	j.doubts = len(r.tokens) < fewestWords || !r.known() || len(j.in.Narrative) > mostBytes
	for h := range Head(Heads) {
		n := len(headValues[h])
		total := j.pad.units.total[headFrom[h]:headFrom[h+1]]
		for i, s := range total {
			fine[i] = int64(s) * j.model.temper[h]
		}
		p := j.p[h][:n]
		softmaxFine(fine[:n], p)
		if len(r.tokens) < fewestWords && len(r.matches) == 0 { // no word says anything
			clear(p)
			p[Unknown(h)] = probOne
		}
		said := j.said(h)
		if said < 0 {
			continue
		}
		if best := top(p); p[best] >= confident && best != said && headValues[h][best] != string(incident.KindUnknown) {
			j.doubts = true // a confident text and the reporter disagree
		}
		j.believe(h, p, said)
	}
}

// known reports whether any class of the lexicon speaks, beyond what the words
// are about at all.
func (r *report) known() bool {
	return slices.ContainsFunc(r.matches, func(m match) bool { return m.state != silent && !r.isWorld(m.class) })
}

// believe folds an answer into p. Where the words do not say, that is no value
// of its own any more: its share goes to what is usual.
func (j *judge) believe(h Head, p []int64, said int) {
	unknown := slices.Index(headValues[h], string(incident.KindUnknown))
	open := p[unknown]
	p[unknown] = 0
	for i, usual := range j.model.usual[h] {
		p[i] += times(open, usual)
	}
	sum := int64(0)
	for i := range p {
		p[i] = times(p[i], expFine(j.model.likely[h][i][said]))
		sum += p[i]
	}
	normalise(p, sum)
}

// makeConsistent lets kind, channel and target settle on what fits together:
// an act of somebody has a channel and a target, a hazard has neither.
func (j *judge) makeConsistent() {
	k, c, t := j.p[HeadKind][:len(kindValues)], j.p[HeadChannel][:len(channelValues)], j.p[HeadTarget][:len(targetValues)]
	idleC, idleT := slices.Index(channelValues, incident.ChannelNotApplicable), slices.Index(targetValues, incident.TargetNotApplicable)
	acts, idles := times(probOne-c[idleC], probOne-t[idleT]), times(c[idleC], t[idleT])
	const least = probOne >> 20 // so that one head alone never rules a kind out
	acts, idles = max(acts, least), max(idles, least)
	var actSum, idleSum int64
	for i, kind := range kindValues {
		act, idle := times(k[i], acts), times(k[i], idles)
		if kind.IsHazard() {
			act = 0
		} else if kind.IsAggression() {
			idle = 0
		}
		k[i] = act + idle
		actSum, idleSum = actSum+act, idleSum+idle
	}
	both := [2]int64{actSum, idleSum}
	normalise(k, actSum+idleSum)
	normalise(both[:], actSum+idleSum)
	for _, head := range []struct {
		p    []int64
		idle int
	}{{c, idleC}, {t, idleT}} {
		head.p[head.idle] = 0
		sum := int64(0)
		for _, p := range head.p {
			sum += p
		}
		normalise(head.p, sum)
		sum = 0
		for i := range head.p {
			head.p[i] = times(head.p[i], both[0])
			sum += head.p[i]
		}
		head.p[head.idle] = both[1]
		normalise(head.p, sum+both[1])
	}
}

// top returns the index of the likeliest value, the first of equals.
func top(p []int64) int {
	best := 0
	for i := range p {
		if p[i] > p[best] {
			best = i
		}
	}
	return best
}

// lead returns how far the likeliest value is before the next.
func lead(p []int64, best int) int64 {
	second := int64(0)
	for i := range p {
		if i != best {
			second = max(second, p[i])
		}
	}
	return p[best] - second
}

// decide returns the index of a head's answer among those that may stand
// beside the kind, or of unknown where none is likely enough, and settles how sure
// that is.
func (j *judge) decide(h Head, may func(i int) bool) int {
	p := j.p[h][:len(headValues[h])]
	best := -1
	for i := range p {
		if may(i) && (best < 0 || p[i] > p[best]) {
			best = i
		}
	}
	unknown := slices.Index(headValues[h], string(incident.KindUnknown))
	if p[best] < leastSure && may(unknown) {
		best = unknown
	}
	j.hold(h, best)
	if p[best] < confident || lead(p, best) < closeCall || best == unknown {
		j.doubts = true
	}
	return best
}

func (j *judge) reading() incident.Reading {
	kind := j.decide(HeadKind, func(int) bool { return true })
	k := kindValues[kind]
	fits := func(h Head) func(int) bool {
		return func(i int) bool {
			idle := headValues[h][i] == string(incident.ChannelNotApplicable)
			return !(k.IsHazard() && !idle || k.IsAggression() && idle)
		}
	}
	channel, target := j.decide(HeadChannel, fits(HeadChannel)), j.decide(HeadTarget, fits(HeadTarget))
	harm := int64(0)
	for i, p := range j.p[HeadKind][:len(kindValues)] {
		if harmful(kindValues[i]) {
			harm += p
		}
	}
	if !harmful(k) && harm >= hiddenHarm {
		j.doubts = true
	}
	r := incident.Reading{
		Model:   j.model.version,
		Kind:    j.judgement(HeadKind, kind),
		Channel: j.judgement(HeadChannel, channel),
		Target:  j.judgement(HeadTarget, target),
		Review:  j.doubts,
	}
	j.besides(&r, harm)
	return r
}

// harmful reports whether a kind is an assault, tried or threatened or done.
func harmful(k incident.Kind) bool {
	return k == incident.KindAssault || k == incident.KindAttemptedAssault || k == incident.KindThreat
}

// besides adds what the words show apart from the three fields, as far as it
// fits them: only an act has a second channel or a basis, and a serious threat
// needs a threat or worse to be likely.
func (j *judge) besides(r *incident.Reading, harm int64) {
	k := incident.Kind(r.Kind.Value)
	p := func(flag int) int64 {
		return sigmoidFine(int64(j.pad.units.total[headOutputs+flag]) * j.model.temper[Heads])
	}
	act := !k.IsHazard()
	r.SecondChannel.P = make(map[string]float64, len(wayValues))
	most, way := even, -1
	for i, c := range wayValues {
		if string(c) == r.Channel.Value || !act || r.Channel.Value == string(incident.ChannelNotApplicable) {
			continue
		}
		pc := p(i)
		r.SecondChannel.P[string(c)] = probability(pc)
		if pc > most && r.Channel.Value != string(incident.ChannelUnknown) && j.cameTwice(i, r.Channel.Value) {
			most, way = pc, i
		}
	}
	if way >= 0 {
		r.SecondChannel.Value = string(wayValues[way])
		r.SecondChannel.Reasons = j.flagReasons(way, r.SecondChannel.Value)
	}
	r.SeriousThreat = j.flag(flagSerious, p(flagSerious), markSerious, act && harm >= hiddenHarm)
	r.Weapon = j.flag(flagWeapon, p(flagWeapon), markWeapon, true)
	for i, b := range incident.Bases {
		if pb := p(flagBasis + i); act && pb > markBasis {
			r.Basis = append(r.Basis, incident.Judgement{Value: string(b), P: map[string]float64{string(b): probability(pb)},
				Reasons: j.flagReasons(flagBasis+i, string(b))})
		}
	}
}

// cameTwice reports whether the words for a way stand apart from those for the
// channel that was read, or the other way round.
func (j *judge) cameTwice(way int, channel string) bool {
	first := slices.Index(wayValues, incident.Channel(channel))
	return j.pad.report.twice[way] || first >= 0 && j.pad.report.twice[first]
}

func (j *judge) flag(flag int, p, from int64, may bool) incident.Judgement {
	value := incident.FlagNo
	if may && p > from {
		value = incident.FlagYes
	}
	out := incident.Judgement{Value: string(value), P: map[string]float64{string(incident.FlagYes): probability(p), string(incident.FlagNo): probability(probOne - p)}}
	if value == incident.FlagYes {
		out.Reasons = j.flagReasons(flag, string(value))
	}
	return out
}

// judgement adds to an answer every value's probability and the reasons: the
// reporter's answer first, then the words by weight.
func (j *judge) judgement(h Head, answer int) incident.Judgement {
	out := incident.Judgement{Value: headValues[h][answer], P: make(map[string]float64, len(headValues[h])), Reasons: make([]incident.Reason, 0, mostReasons+1)}
	for i, v := range headValues[h] {
		out.P[v] = probability(j.p[h][i])
	}
	if said := j.said(h); said >= 0 {
		logs := j.model.likely[h]
		sum := int64(0)
		for i := range logs {
			sum += logs[i][said]
		}
		if w := logs[said][said] - sum/int64(len(logs)); w > 0 {
			out.Reasons = append(out.Reasons, incident.Reason{Class: reporterSaid, For: headValues[h][said], Weight: float64(w) / fineOne})
		}
	}
	words := j.reasons(headFrom[h], headFrom[h+1], func(c int) string { return headValues[h][c-headFrom[h]] })
	// what speaks for the answer comes first
	slices.SortStableFunc(words, func(a, b incident.Reason) int {
		if x, y := a.For == out.Value, b.For == out.Value; x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Weight, a.Weight)
	})
	for _, r := range telling(words) {
		if r.For == out.Value || r.Weight >= leastCounter {
			out.Reasons = append(out.Reasons, r)
		}
	}
	return out
}

func (j *judge) flagReasons(flag int, value string) []incident.Reason {
	reasons := j.reasons(headOutputs+flag, headOutputs+flag+1, func(int) string { return value })
	slices.SortStableFunc(reasons, func(a, b incident.Reason) int { return cmp.Compare(b.Weight, a.Weight) })
	return telling(reasons)
}

// telling keeps of sorted reasons those that a reader of them should see.
func telling(reasons []incident.Reason) []incident.Reason {
	most := 0.0
	for _, r := range reasons {
		most = max(most, r.Weight)
	}
	reasons = slices.DeleteFunc(reasons, func(r incident.Reason) bool { return r.Weight < most*leastShare })
	return reasons[:min(len(reasons), mostReasons)]
}

// place is a match or a word that spoke for an output.
type place struct {
	unit   int
	best   int
	weight int32
}

// reasons returns the places of the text that spoke for some output of a
// range, the strongest first, each with the one it spoke for most: how much
// more than for the average of the range. Of places that share words the
// strongest gives the reason its name, and they add up.
func (j *judge) reasons(from, to int, name func(column int) string) []incident.Reason {
	var places [4 * mostReasons]place
	found := places[:0]
	u, r := &j.pad.units, &j.pad.report
	for unit := range u.whole() {
		if unit < u.matches && r.matches[unit].state == silent {
			continue
		}
		best, weight := strongest(u.of(unit), from, to)
		if weight < leastReason || len(found) == cap(found) && weight <= found[len(found)-1].weight {
			continue
		}
		if len(found) < cap(found) {
			found = found[:len(found)+1]
		}
		at := len(found) - 1
		for ; at > 0 && found[at-1].weight < weight; at-- {
			found[at] = found[at-1]
		}
		found[at] = place{unit, best, weight}
	}
	out := make([]incident.Reason, 0, len(found))
	for _, p := range found {
		out = addReason(out, j.reason(p, name(p.best)))
	}
	return out
}

func (j *judge) reason(p place, value string) incident.Reason {
	r := &j.pad.report
	from, to, class := p.unit-len(r.matches), p.unit-len(r.matches)+1, likeExamples
	if p.unit < len(r.matches) {
		m := r.matches[p.unit]
		from, to, class = int(m.from), int(m.to), r.lex.classes[m.class].name
	}
	return incident.Reason{Start: int(r.tokens[from].start), End: int(r.tokens[to-1].end), Class: class, For: value, Weight: float64(p.weight) / scoreOne}
}

// addReason adds a reason, to one that is there if they share words and speak
// for the same.
func addReason(to []incident.Reason, r incident.Reason) []incident.Reason {
	for i := range to {
		if to[i].For == r.For && to[i].Start < r.End && r.Start < to[i].End {
			to[i].Weight += r.Weight
			return to
		}
	}
	return append(to, r)
}

func strongest(scores []int32, from, to int) (best int, weight int32) {
	sum := int32(0)
	best = from
	for c := from; c < to; c++ {
		sum += scores[c]
		if scores[c] > scores[best] {
			best = c
		}
	}
	if to-from == 1 {
		return best, scores[best]
	}
	return best, scores[best] - sum/int32(to-from)
}
