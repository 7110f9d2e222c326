package reading

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/onrecord/onrecord/pkg/incident"
)

// Input is what a report says: its words and the reporter's own answers. An
// empty or unknown answer is none.
type Input struct {
	Narrative string // any bytes
	Kind      incident.Kind
	Channel   incident.Channel
	Target    incident.Target
}

// Reader reads reports. It is safe for concurrent use, and the same version
// gives the same reading for the same input.
type Reader interface {
	// Version names the model: a token of a NATS subject (no dots, no spaces).
	Version() string
	// Read returns a reading of any input. ReportID and At are left empty.
	// Offsets of reasons are bytes of in.Narrative. The probabilities of each
	// judgement sum to one, and kind, channel and target fit each other: a
	// hazard has channel and target not_applicable, nothing else has.
	Read(in Input) incident.Reading
}

// reliability is how often reporters' own answers were right where they could
// be compared: their answer is evidence, not the truth.
const reliability = 0.75

// Thresholds of an answer and of asking a person.
const (
	leastSure    = 0.35 // below this the answer is unknown
	confident    = 0.75 // below this a person should decide
	closeCall    = 0.15 // two values nearer than this are no decision
	fewestWords  = 3    // fewer say too little
	mostReasons  = 6    // of one judgement
	leastReason  = 0.3  // odds below this are not worth showing
	outranked    = 0.35 // what a graver kind leaves to a lesser one
	graveEnough  = 2.0  // odds from which a graver kind outranks
	temperature  = 0.85
	reporterSaid = "the reporter’s answer"
)

// Lexicon is the first reader: it knows the classes of lexicon.txt only.
type Lexicon struct {
	lex     *lexicon
	scratch sync.Pool
}

// NewLexicon returns a reader with the embedded lexicon.
func NewLexicon() *Lexicon {
	l := &Lexicon{lex: loadLexicon()}
	l.scratch.New = func() any { return new(workspace) }
	return l
}

// Version returns the rules' version and the lexicon's hash.
func (l *Lexicon) Version() string { return l.lex.version }

// workspace is the memory one reading needs; it is reused.
type workspace struct {
	scratch scratch
	report  report
	tally   tally
}

// Read implements Reader.
func (l *Lexicon) Read(in Input) incident.Reading {
	w := l.scratch.Get().(*workspace)
	defer l.scratch.Put(w)
	r := &w.report
	r.lex = l.lex
	r.tokens = l.lex.vocab.tokenise(in.Narrative, r.tokens[:0], &w.scratch)
	r.matches = l.lex.find(r.tokens, r.matches[:0])
	r.inContext()
	r.weigh(&w.tally)
	return w.tally.judge(in, r)
}

// evidence is what one match says for one value.
type evidence struct {
	match int
	weight
}

// tally is the evidence of one report.
type tally struct {
	all   []evidence
	seen  []uint8 // how often a class has spoken
	total scores  // odds for each value, without the bias
}

// weigh collects the evidence: a class counts in full once, less the second
// and third time, and then no more.
func (r *report) weigh(t *tally) {
	t.all, t.total = t.all[:0], scores{}
	t.seen = append(t.seen[:0], make([]uint8, len(r.lex.classes))...)
	scale := r.together()
	repeat := [...]float64{1, 0.4, 0.2}
	for i, m := range r.matches {
		if m.scale == 0 || int(t.seen[m.class]) == len(repeat) {
			continue
		}
		factor := m.scale * repeat[t.seen[m.class]]
		t.seen[m.class]++
		for _, w := range r.lex.classes[m.class].weights {
			w.odds *= factor * scale(m.class, w)
			t.all = append(t.all, evidence{i, w})
		}
	}
	t.sum()
	t.outrank()
}

// together returns how much of a class's odds remain given what else the
// report holds.
func (r *report) together() func(classID, weight) float64 {
	role := &r.lex.role
	person := r.has(role.me, role.colleague, role.staff, role.named)
	named := person || r.has(role.organisation)
	one := r.has(role.me, role.colleague, role.named)
	aggressor := r.has(role.who)
	act := r.has(role.verbal, role.blow, role.tried, role.named, role.namedOthers, role.threat, role.threatWords, role.threatened)
	direct := r.has(role.message, role.text) && !r.has(role.posted)
	employer, selfHarm := r.has(role.employer), r.has(role.selfHarm)
	hazards := []int{slices.Index(kindValues, incident.KindExposure), slices.Index(kindValues, incident.KindMissingControl)}
	return func(c classID, w weight) float64 {
		switch {
		case c == role.swearing && !person && !aggressor && !act:
			return 0.2 // people swear about printers
		case c == role.insult && !named && !aggressor && !act:
			return 0.5
		case c == role.organisation && person:
			return 0.15 // an organisation is aimed at when nobody else is
		case c == role.social && direct:
			return 0.4 // a direct message on a platform is no post
		case c == role.staff && one:
			return 0.5
		case c == role.safeguard && act:
			return 0.2
		case w.head == kindHead && act && slices.Contains(hazards, w.value):
			return 0.4 // abuse about a mask is abuse
		case w.head == kindHead && employer && (c == role.threat || c == role.verbal):
			return 0.3
		case w.head == kindHead && selfHarm && (c == role.threat || c == role.threatWords || c == role.blow || c == role.wish):
			return 0.3
		}
		return 1
	}
}

func (t *tally) sum() {
	t.total = scores{}
	for _, e := range t.all {
		t.total[e.head][e.value] += e.odds
	}
}

// outrank leaves lesser kinds a part of their odds where the text speaks
// clearly for a graver one: assault, attempted assault, threat, abuse.
func (t *tally) outrank() {
	index := func(k incident.Kind) int { return slices.Index(kindValues, k) }
	ranks := []struct {
		grave  int
		lesser []int
	}{
		{index(incident.KindAssault), []int{index(incident.KindAttemptedAssault), index(incident.KindThreat), index(incident.KindAbuse), index(incident.KindPropertyDamage)}},
		{index(incident.KindAttemptedAssault), []int{index(incident.KindThreat), index(incident.KindAbuse)}},
		{index(incident.KindThreat), []int{index(incident.KindAbuse)}},
		{index(incident.KindPropertyDamage), []int{index(incident.KindAbuse)}},
	}
	for _, rank := range ranks {
		if t.total[kindHead][rank.grave] < graveEnough {
			continue
		}
		for i, e := range t.all {
			if e.head == kindHead && e.odds > 0 && slices.Contains(rank.lesser, e.value) {
				t.all[i].odds *= outranked
			}
		}
		t.sum()
	}
}

// odds is the distribution of one head over its values.
type odds [maxValues]float64

// softmax returns the probabilities of a head from the evidence and the bias.
// With an answer from the reporter, saying nothing is no value of its own: the
// words leave it open, the answer does not.
func (t *tally) softmax(lex *lexicon, h head, answered bool) odds {
	n := len(headValues[h])
	var p odds
	most := math.Inf(-1)
	for i := range n {
		p[i] = t.total[h][i] + lex.bias[h][i]
		if i == n-1 && answered {
			p[i] = t.total[h][i]
		}
		p[i] /= temperature
		most = max(most, p[i])
	}
	sum := 0.0
	for i := range n {
		p[i] = math.Exp(p[i] - most)
		sum += p[i]
	}
	for i := range n {
		p[i] /= sum
	}
	return p
}

// answer is the reporter's answer for one head: its index, or -1.
func answer(h head, value string) int {
	i := slices.Index(headValues[h], value)
	if i == len(headValues[h])-1 { // unknown
		return -1
	}
	return i
}

// oddsOfAnswer is how much an answer with one right value among others says.
func oddsOfAnswer(values int) float64 {
	return math.Log(reliability / ((1 - reliability) / float64(values-1)))
}

// believe folds the reporter's answer into p: log p + log P(answer | value).
func (p *odds) believe(h head, said int) {
	n := len(headValues[h])
	p[said] *= math.Exp(oddsOfAnswer(n))
	sum := 0.0
	for i := range n {
		sum += p[i]
	}
	for i := range n {
		p[i] /= sum
	}
}

// top returns the likeliest value and the distance to the next.
func (p *odds) top(n int) (best int, lead float64) {
	second := -1
	for i := range n {
		switch {
		case i == 0:
		case p[i] > p[best]:
			best, second = i, best
		case second < 0 || p[i] > p[second]:
			second = i
		}
	}
	return best, p[best] - p[second]
}

// judge turns the tally and the reporter's answers into a reading.
func (t *tally) judge(in Input, r *report) incident.Reading {
	answers := [heads]string{string(in.Kind), string(in.Channel), string(in.Target)}
	var p [heads]odds
	review := len(r.tokens) < fewestWords || len(t.all) == 0
	for h := range head(heads) {
		said := answer(h, answers[h])
		p[h] = t.softmax(r.lex, h, said >= 0)
		if said < 0 {
			continue
		}
		if text, _ := p[h].top(len(headValues[h])); p[h][text] >= confident && text != said {
			review = true
		}
		p[h].believe(h, said)
	}
	if notApplicable(answers[channelHead]) || notApplicable(answers[targetHead]) {
		p[kindHead].lift(conditions)
	}
	idle := p[kindHead].idle(t.nobodysAct(r))

	kind := decide(kindHead, p[kindHead], 0, undecidedly)
	fits := undecidedly
	switch k := incident.Kind(kind.value); {
	case k.IsHazard():
		fits = idly
	case k.IsAggression():
		fits = byPeople
	}
	channel := decide(channelHead, p[channelHead], idle, fits)
	target := decide(targetHead, p[targetHead], idle, fits)
	return incident.Reading{
		Model:   r.lex.version,
		Kind:    t.judgement(kindHead, kind, answers[kindHead], r),
		Channel: t.judgement(channelHead, channel, answers[channelHead], r),
		Target:  t.judgement(targetHead, target, answers[targetHead], r),
		Review:  review || kind.doubtful || channel.doubtful || target.doubtful,
	}
}

func notApplicable(answer string) bool { return answer == string(incident.ChannelNotApplicable) }

// conditions are the kinds that can have no channel and no target, as indexes.
var conditions = func() (kinds []int) {
	for i, k := range kindValues {
		if k.IsHazard() || k == incident.KindOther {
			kinds = append(kinds, i)
		}
	}
	return kinds
}()

// lift folds in the answer "does not apply", a question of yes or no, as odds
// for the kinds that it fits.
func (p *odds) lift(kinds []int) {
	sum := 0.0
	for i := range p {
		if slices.Contains(kinds, i) {
			p[i] *= math.Exp(oddsOfAnswer(2))
		}
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
}

// idle returns the probability that channel and target do not apply: that of
// the hazards, and of "other" where it is nobody's act.
func (p *odds) idle(otherToo bool) float64 {
	sum := 0.0
	for _, i := range conditions {
		if kindValues[i].IsHazard() || otherToo {
			sum += p[i]
		}
	}
	return sum
}

// nobodysAct reports whether the text names nobody who did or suffered
// anything and no way in which it reached anybody.
func (t *tally) nobodysAct(r *report) bool {
	role := &r.lex.role
	if len(t.all) == 0 || r.has(role.who, role.staff, role.colleague, role.verbal, role.named) {
		return false
	}
	for _, e := range t.all {
		if e.head == channelHead && e.odds >= 1 {
			return false
		}
	}
	return true
}

// fit is whether channel and target must apply, must not, or may.
type fit int

const (
	undecidedly fit = iota
	byPeople
	idly
)

// decision is the answer for one head with the probability of every value.
type decision struct {
	value    string
	p        odds    // of the head's own values
	idle     float64 // of not_applicable; 0 for the kind
	doubtful bool    // a person should decide
}

// decide picks the likeliest value that fits, or unknown.
func decide(h head, p odds, idle float64, f fit) decision {
	n := len(headValues[h])
	best, lead := p.top(n)
	d := decision{value: headValues[h][best], p: p, idle: idle}
	sure := p[best]
	if f == idly || f == undecidedly && idle > 0.5 {
		d.value, sure, lead = string(incident.ChannelNotApplicable), idle, 1
	} else if sure < leastSure {
		d.value = headValues[h][n-1]
	}
	for i := range n {
		d.p[i] *= 1 - idle
	}
	d.doubtful = sure < confident || lead < closeCall || d.value == headValues[h][n-1]
	return d
}

// judgement adds to a decision the reasons for it and against it, the
// reporter's answer first, then the words by weight.
func (t *tally) judgement(h head, d decision, said string, r *report) incident.Judgement {
	j := incident.Judgement{Value: d.value, P: make(map[string]float64, maxValues)}
	for i, v := range headValues[h] {
		j.P[v] = d.p[i]
	}
	if h != kindHead {
		j.P[string(incident.ChannelNotApplicable)] = d.idle
	}
	j.Reasons = t.reasons(h, r)
	if i := answer(h, said); i >= 0 {
		j.Reasons = slices.Insert(j.Reasons, 0, incident.Reason{Class: reporterSaid, For: said, Weight: oddsOfAnswer(len(headValues[h]))})
	} else if h != kindHead && notApplicable(said) {
		j.Reasons = slices.Insert(j.Reasons, 0, incident.Reason{Class: reporterSaid, For: said, Weight: oddsOfAnswer(2)})
	}
	return j
}

// reasons returns the strongest evidence for any value of a head.
func (t *tally) reasons(h head, r *report) []incident.Reason {
	out := make([]incident.Reason, 0, mostReasons+1)
	for _, e := range t.all {
		if e.head != h || e.odds < leastReason {
			continue
		}
		m := r.matches[e.match]
		out = append(out, incident.Reason{
			Start:  int(r.tokens[m.from].start),
			End:    int(r.tokens[m.to-1].end),
			Class:  r.lex.classes[m.class].name,
			For:    headValues[h][e.value],
			Weight: e.odds / temperature,
		})
	}
	slices.SortStableFunc(out, func(a, b incident.Reason) int { return cmp.Compare(b.Weight, a.Weight) })
	return out[:min(len(out), mostReasons)]
}
