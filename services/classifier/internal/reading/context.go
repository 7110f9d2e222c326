package reading

import "fmt"

// roles are the classes that the rules of context name.
type roles struct {
	// how it reached them
	phone, wordPhone, call, email, text, message, social, posted, online, paper, letter, topicPaper, phoneThing classID
	place, office, there                                                                                        classID
	// what was done
	blow, wish, tried, thrown, thrownAt, thrownAbout, blowAtThing, threatened, threat, threatWords, weapon classID
	verbal, named, namedOthers, afar, insult, swearing, employer, selfHarm                                 classID
	// conditions of work
	exposure, coughing, safeguard, missing, safeguardMissing, accident, dog classID
	// whom it was aimed at
	me, colleague, staff, organisation, who classID
	// words that turn others
	about, intention, try, not, inHand, then, thing, floor, towards, and, mover classID
}

func (lex *lexicon) roles() (roles, error) {
	var r roles
	names := map[string]*classID{
		"on the phone": &r.phone, "the word phone": &r.wordPhone, "a call": &r.call, "e-mail": &r.email,
		"text message": &r.text, "private message": &r.message, "social media": &r.social,
		"posted online": &r.posted, "online": &r.online, "posted on paper": &r.paper, "letter": &r.letter,
		"a paper it was about": &r.topicPaper, "the phone as a thing": &r.phoneThing,
		"at the place": &r.place, "the office": &r.office, "somebody was there": &r.there,
		"a blow or contact": &r.blow, "a blow in the wish form": &r.wish, "a blow that was tried": &r.tried,
		"something was thrown": &r.thrown, "thrown at somebody": &r.thrownAt, "a blow at a thing": &r.blowAtThing,
		"a blow that was wished or threatened": &r.threatened, "threat": &r.threat, "the words of a threat": &r.threatWords,
		"thrown about": &r.thrownAbout, "a weapon": &r.weapon, "on the floor": &r.floor, "verbal abuse": &r.verbal, "named with an insult": &r.named,
		"others named with an insult": &r.namedOthers, "insults": &r.insult, "words that came from afar": &r.afar, "swearing": &r.swearing,
		"the employer did it": &r.employer, "self-harm": &r.selfHarm,
		"covid and infection": &r.exposure, "coughing": &r.coughing, "a safeguard": &r.safeguard,
		"something is missing": &r.missing, "a safeguard is missing": &r.safeguardMissing,
		"an accident": &r.accident, "a dog": &r.dog,
		"me": &r.me, "one colleague": &r.colleague, "staff": &r.staff, "the organisation": &r.organisation, "who did it": &r.who,
		"what it was about": &r.about, "intention": &r.intention, "a try": &r.try, "not": &r.not,
		"in the hand": &r.inHand, "then": &r.then, "a thing": &r.thing, "towards somebody": &r.towards, "and": &r.and, "a thing that moves by itself": &r.mover,
	}
	for id, c := range lex.classes {
		if p, ok := names[c.name]; ok {
			*p = classID(id)
			delete(names, c.name)
		}
	}
	for name := range names {
		return r, fmt.Errorf("the class %q is missing", name)
	}
	return r, nil
}

// How far a word reaches to the words that follow it, in words.
const (
	reachIntention = 10
	reachThreat    = 6
	reachTry       = 4
	reachNot       = 3
	reachAbout     = 5
	reachHand      = 6
	reachThrow     = 9
	reachThing     = 3
	reachDog       = 6
	reachMover     = 6
	reachMissing   = 6
)

// report is one narrative under reading: its words and what was found in them,
// in the order of the text.
type report struct {
	lex     *lexicon
	tokens  []token
	matches []match
	twice   [5]bool // by way: see cameTwice
}

// inContext applies the rules of context: what a class turns into, or how much
// it loses, because of the words around it. Each rule stands alone below.
func (r *report) inContext() {
	r.wishes()
	r.negations()
	r.dogs()
	r.things()
	r.throws()
	r.topics()
	r.objectsInHand()
	r.missingSafeguards()
	r.secondChannels()
	r.wordsFromAfar()
	r.together()
	r.cameTwice()
}

// within reports whether match j begins no more than reach words after match i
// ends, in the same sentence.
func (r *report) within(i, j int, reach int32) bool {
	from, to := r.matches[i].to, r.matches[j].from
	if to < from || to-from > reach {
		return false
	}
	for t := from; t <= to; t++ {
		if r.tokens[t].breaks == sentence {
			return false
		}
	}
	return true
}

// after calls visit with each match that follows i within reach words of the
// same sentence, until visit returns false.
func (r *report) after(i int, reach int32, visit func(j int) bool) {
	for j := i + 1; j < len(r.matches); j++ {
		if r.matches[j].from < r.matches[i].to {
			continue // another class of the same words
		}
		if !r.within(i, j, reach) || !visit(j) {
			return
		}
	}
}

// around calls visit with each match that stands within reach words of i, on
// either side and in the same sentence, until visit returns false.
func (r *report) around(i int, reach int32, visit func(j int) bool) {
	farthest := r.matches[i].from - reach - r.lex.longestPhrase
	for j := i - 1; j >= 0 && r.matches[j].from >= farthest; j-- {
		if r.within(j, i, reach) && !visit(j) {
			return
		}
	}
	r.after(i, reach, visit)
}

// sameWords calls visit with i and each other match that begins at its words.
func (r *report) sameWords(i int, visit func(j int)) {
	first := i
	for first > 0 && r.matches[first-1].from == r.matches[i].from {
		first--
	}
	for j := first; j < len(r.matches) && r.matches[j].from == r.matches[i].from; j++ {
		visit(j)
	}
}

func (r *report) is(i int, classes ...classID) bool {
	for _, c := range classes {
		if r.matches[i].class == c {
			return true
		}
	}
	return false
}

// has reports whether any match of the classes still carries weight.
func (r *report) has(classes ...classID) bool {
	for i := range r.matches {
		if r.matches[i].state != silent && r.is(i, classes...) {
			return true
		}
	}
	return false
}

// turn makes match i, and what else its words meant, one of class c.
func (r *report) turn(i int, c classID) {
	r.silence(i)
	r.matches[i].class, r.matches[i].state = c, full
}

// hush lets match i say little.
func (r *report) hush(i int) {
	if r.matches[i].state != silent {
		r.matches[i].state = hushed
	}
}

// silence takes the weight off every match of the words of match i, except for
// whom they name.
func (r *report) silence(i int) {
	r.sameWords(i, func(j int) {
		if r.lex.classes[r.matches[j].class].layer == whatLayer {
			r.matches[j].state = silent
		}
	})
}

// wishes: "threatened to punch" is a threat and "tried to punch" an attempt;
// a place named in a threat is where harm was threatened, not where it reached
// anybody. "Hit" is both a deed and a wish: what stands before it decides.
func (r *report) wishes() {
	role := &r.lex.role
	for i := range r.matches {
		switch {
		case r.is(i, role.intention):
			r.after(i, reachIntention, func(j int) bool {
				switch {
				case r.is(j, role.then):
					return false
				case r.is(j, role.wish, role.weapon):
					r.turn(j, role.threatened)
				case r.is(j, role.place, role.office, role.there):
					r.hush(j)
				}
				return true
			})
		case r.is(i, role.threatWords):
			r.after(i, reachThreat, func(j int) bool {
				if r.is(j, role.place, role.office) {
					r.hush(j)
				}
				return !r.is(j, role.then, role.verbal, role.blow)
			})
		case r.is(i, role.try):
			r.after(i, reachTry, func(j int) bool {
				if r.is(j, role.wish, role.blow) {
					r.turn(j, role.tried)
					return false
				}
				return true
			})
		}
	}
	for i := range r.matches { // what was neither wished nor tried was done
		if !r.is(i, role.wish) {
			continue
		}
		r.sameWords(i, func(j int) {
			if r.is(j, role.blow) && r.matches[j].state != silent {
				r.matches[i].state = silent
			}
		})
	}
}

// negations: "never touched me", "did not throw".
func (r *report) negations() {
	role := &r.lex.role
	for i := range r.matches {
		if r.is(i, role.not) {
			r.after(i, reachNot, func(j int) bool {
				if r.is(j, role.blow, role.wish, role.thrown, role.tried) {
					r.matches[j].state = silent
				}
				return !r.is(j, role.and)
			})
		}
	}
}

// dogs: a bite by a dog is an accident; the lexicon knows "set his dog on".
func (r *report) dogs() {
	role := &r.lex.role
	for i := range r.matches {
		if !r.is(i, role.dog) {
			continue
		}
		r.around(i, reachDog, func(j int) bool {
			if r.is(j, role.blow) {
				r.turn(j, role.accident)
			}
			return true
		})
	}
}

// things: "punched the wall" hit nobody, and what is hit by a door had an
// accident.
func (r *report) things() {
	role := &r.lex.role
	for i := range r.matches {
		if !r.is(i, role.blow) || r.matches[i].state == silent {
			continue
		}
		hitsThing := false
		r.after(i, reachThing, func(j int) bool {
			hitsThing = r.is(j, role.thing)
			return !hitsThing && !r.is(j, role.me, role.colleague, role.staff, role.and)
		})
		switch {
		case hitsThing:
			r.turn(i, role.blowAtThing)
		case r.thingDidIt(i):
			r.turn(i, role.accident)
		}
	}
}

// thingDidIt reports whether a thing stands right before the blow, or words
// before it tell of one that moved by itself, and nobody who could have done it
// before that.
func (r *report) thingDidIt(blow int) bool {
	role := &r.lex.role
	thing := false
	for j := blow - 1; j >= 0; j-- {
		switch {
		case r.is(j, role.who):
			return false
		case r.is(j, role.thing) && r.within(j, blow, 0), r.is(j, role.mover) && r.within(j, blow, reachMover):
			thing = true
		case !thing && r.matches[blow].from-r.matches[j].from > r.lex.longestPhrase:
			return false
		}
	}
	return thing
}

// throws: thrown at a person counts for more than thrown, and what was thrown
// on the floor was not thrown at anybody.
func (r *report) throws() {
	role := &r.lex.role
	for i := range r.matches {
		if !r.is(i, role.thrown) {
			continue
		}
		r.after(i, reachThrow, func(j int) bool {
			switch {
			case r.is(j, role.towards):
				r.matches[j].class, r.matches[j].state = role.thrownAt, full
				return false
			case r.is(j, role.floor):
				r.turn(i, role.thrownAbout)
				return false
			}
			return !r.is(j, role.and, role.verbal)
		})
	}
}

// isNoun reports whether match j names a thing by which words travel, as
// opposed to the act of sending them.
func (r *report) isNoun(j int) bool {
	role := &r.lex.role
	return r.is(j, role.wordPhone, role.phone, role.call, role.email, role.text, role.message, role.social,
		role.online, role.letter, role.paper, role.topicPaper)
}

// topics: what stands after "about" is what it was about.
func (r *report) topics() {
	role := &r.lex.role
	for i := range r.matches {
		if !r.is(i, role.about) {
			continue
		}
		r.after(i, reachAbout, func(j int) bool {
			if r.tokens[r.matches[j].from].breaks > noPause || r.is(j, role.and, role.me, role.colleague, role.staff) {
				return false
			}
			if r.isNoun(j) {
				r.silence(j)
			}
			return true
		})
	}
}

// objectsInHand: a phone that is waved, a letter that is torn up, a post that
// is shown mean that somebody stood there.
func (r *report) objectsInHand() {
	role := &r.lex.role
	for i := range r.matches {
		if !r.is(i, role.inHand) {
			continue
		}
		r.after(i, reachHand, func(j int) bool {
			if r.is(j, role.and, role.then) {
				return false
			}
			if r.isNoun(j) && r.matches[j].state != silent {
				r.turn(j, role.phoneThing)
			}
			return true
		})
	}
}

// missingSafeguards: "no screen", "the alarm under the desk hasn't worked".
func (r *report) missingSafeguards() {
	role := &r.lex.role
	for i := range r.matches {
		if !r.is(i, role.safeguard) || r.matches[i].state == silent {
			continue
		}
		r.around(i, reachMissing, func(j int) bool {
			if r.is(j, role.missing) {
				r.matches[i].class = role.safeguardMissing
			}
			return !r.is(i, role.safeguardMissing)
		})
	}
}

// secondChannels: what came later in the story yields to the first contact.
func (r *report) secondChannels() {
	contact, after := false, false
	for i := range r.matches {
		channel := r.matches[i].state != silent && r.speaksFor(i, HeadChannel)
		if after && channel {
			r.matches[i].state = later
		}
		contact = contact || channel
		after = after || contact && r.is(i, r.lex.role.then)
	}
}

// cameTwice marks the channels whose words stand apart from earlier words for
// another: in another sentence or clause, or after "and" or "then". In one breath
// ("waved his phone at the desk") two tell of one way only.
func (r *report) cameTwice() {
	role := &r.lex.role
	r.twice = [len(r.twice)]bool{}
	var first [len(r.twice)]int32 // a channel's first words, 1 on; 0 for none yet
	parted, t := int32(0), int32(0)
	for i, m := range r.matches {
		for ; t <= m.from; t++ {
			if r.tokens[t].breaks > noPause {
				parted = t + 1
			}
		}
		if r.is(i, role.then, role.and) {
			parted = m.from + 1
		}
		way := r.lex.classes[m.class].way
		if way < 0 || m.state == silent || m.state == hushed {
			continue
		}
		for other, at := range first {
			if other != way && at > 0 && at < parted {
				r.twice[way] = true
			}
		}
		if first[way] == 0 {
			first[way] = m.from + 1
		}
	}
}

func (r *report) speaksFor(i int, h Head) bool {
	for _, w := range r.lex.classes[r.matches[i].class].weights {
		if w.output >= headFrom[h] && w.output < headFrom[h+1] && w.odds > 0.5 {
			return true
		}
	}
	return false
}

// wordsFromAfar: nobody files a call, a message or a post that was civil. Where
// no word says what was done, that it came from somebody and by such a way
// speaks for abuse.
func (r *report) wordsFromAfar() {
	role := &r.lex.role
	if !r.has(role.who, role.me, role.staff, role.colleague, role.organisation) {
		return
	}
	way := -1
	for i, m := range r.matches {
		if m.state == silent {
			continue
		}
		for _, w := range r.lex.classes[m.class].weights {
			if w.output < headFrom[1] && w.odds >= 1 && m.class != role.insult {
				return
			}
		}
		if way < 0 && r.is(i, role.phone, role.call, role.email, role.text, role.message, role.social, role.posted, role.letter, role.paper) {
			way = i
		}
	}
	if way >= 0 {
		m := r.matches[way]
		m.class, m.state = role.afar, full
		r.matches = append(r.matches, m)
	}
}

// together hushes what means little beside other words of the report: an
// organisation is aimed at when nobody else is, people swear about printers,
// and a direct message on a platform is no post.
func (r *report) together() {
	role := &r.lex.role
	one := r.has(role.me, role.colleague, role.named)
	person := one || r.has(role.staff)
	aggressor := r.has(role.who)
	act := r.has(role.verbal, role.blow, role.tried, role.named, role.namedOthers, role.threat, role.threatWords, role.threatened)
	direct := r.has(role.message, role.text) && !r.has(role.posted)
	for i := range r.matches {
		switch {
		case r.is(i, role.swearing) && !person && !aggressor && !act,
			r.is(i, role.insult) && !person && !aggressor && !act && !r.has(role.organisation),
			r.is(i, role.organisation) && person,
			r.is(i, role.social) && direct,
			r.is(i, role.staff) && one,
			r.is(i, role.safeguard) && act:
			r.hush(i)
		}
	}
}
