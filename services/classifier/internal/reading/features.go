package reading

import "math/bits"

// A report is read by features that are there or not:
//
//   - of each class of the lexicon, whether it speaks, how (see the variants),
//     and whether it is the first or the last to speak for a channel;
//   - how many words there are, whether any class spoke at all, named anybody
//     or spoke for a channel, and which channels stand apart from another;
//   - hashed: pairs of classes, classes that follow one another, classes by where
//     in the telling they stand, words, pairs of words, and pieces of words of 3 to
//     5 letters with the word's ends.
//
// The first two kinds are dense: their number is the index of a row. Hashed
// ones are told apart by 30 bits and have a row only if training found a use
// for them.

// variant is how a class is there.
type variant int

const (
	speaks       variant = iota // in full
	isHushed                    // see hushed
	isLater                     // see later
	again                       // in full, more than once
	firstChannel                // the first to speak for a channel
	lastChannel                 // the last, where it is another than the first
	unpeopled                   // in a text that names nobody who could have done it
	variants     int     = iota
)

// general are the dense features that belong to no class.
type general int

const (
	always general = iota
	noClass
	noPerson  // nobody is named who could have done it
	noChannel // no class speaks for a channel
	words1to2
	words3to6
	words7to15
	words16to40
	words41on
	twice        // for the first way, and one for each that follows: see cameTwice
	generals int = iota - 1 + len(report{}.twice)
)

// Feature is one feature of a text: a dense row's number, or a hash with the
// highest bit set.
type Feature uint32

const (
	hashedBit   Feature = 1 << 31
	letteredBit Feature = 1 << 30 // made of words, not of classes
)

// IsHashed reports whether the feature is known by its hash.
func (f Feature) IsHashed() bool { return f&hashedBit != 0 }

// IsLettered reports whether words made the feature, not classes.
func (f Feature) IsLettered() bool { return f&letteredBit != 0 }

// The kinds of hashed features, mixed into their hashes.
const (
	seedPair uint64 = iota + 1
	seedFollow
	seedWord
	seedWords
	seedPiece
	seedFirstClause
	seedFirstSentence
	seedOpens
	seedCloses
)

func dense(c classID, v variant) Feature {
	return Feature(generals + int(c)*variants + int(v))
}

// denseRows is how many dense features a lexicon has.
func (lex *lexicon) denseRows() int { return generals + len(lex.classes)*variants }

// origin is where in a text a feature was found: matches for what classes
// made, tokens for what words made.
type origin struct{ a, b int32 } // b is -1 where there is one only

var nowhere = origin{-1, -1}

// found is a feature with its origin.
type found struct {
	Feature
	origin origin
}

// features are those of one text: dense and class-made ones first, then from
// index lettered those that words made. Each stands there once or, if hashed,
// perhaps more often.
type features struct {
	all      []found
	lettered int
	seen     []uint64 // a bit for each dense row
	classes  []int32  // a match of each class that speaks, in order
}

func (fs *features) dense(f Feature, from origin) {
	if fs.seen[f/64]&(1<<(f%64)) != 0 {
		return
	}
	fs.seen[f/64] |= 1 << (f % 64)
	fs.all = append(fs.all, found{f, from})
}

func (fs *features) hashed(h uint64, from origin) {
	fs.all = append(fs.all, found{Feature(h>>34) | hashedBit, from})
}

func (fs *features) letters(h uint64, from origin) {
	fs.all = append(fs.all, found{Feature(h>>34) | hashedBit | letteredBit, from})
}

// mix is a step of a multiplicative hash.
func mix(h, v uint64) uint64 {
	high, low := bits.Mul64(h^v, 0x9e3779b97f4a7c15)
	return high ^ low ^ 0x2545f4914f6cdd1d
}

// extract fills fs from a report whose matches stand in their context.
func (fs *features) extract(r *report, letters []byte) {
	rows := r.lex.denseRows()
	fs.all, fs.classes = fs.all[:0], fs.classes[:0]
	fs.seen = append(fs.seen[:0], make([]uint64, rows/64+1)...)
	fs.dense(Feature(always), nowhere)
	fs.dense(Feature(lengthOf(len(r.tokens))), nowhere)
	fs.ofClasses(r)
	for way, yes := range r.twice {
		if yes {
			fs.dense(Feature(int(twice)+way), nowhere)
		}
	}
	fs.ofPairs(r)
	fs.ofOrder(r)
	fs.lettered = len(fs.all)
	fs.ofWords(r, letters)
}

func lengthOf(words int) general {
	switch {
	case words < 3:
		return words1to2
	case words < 7:
		return words3to6
	case words < 16:
		return words7to15
	case words < 41:
		return words16to40
	}
	return words41on
}

func (fs *features) ofClasses(r *report) {
	first, last := int32(-1), int32(-1)
	for i, m := range r.matches {
		from := origin{int32(i), -1}
		switch m.state {
		case silent:
			continue
		case hushed:
			fs.dense(dense(m.class, isHushed), from)
			continue
		case later:
			fs.dense(dense(m.class, isLater), from)
		case full:
			f := dense(m.class, speaks)
			if fs.seen[f/64]&(1<<(f%64)) != 0 {
				fs.dense(dense(m.class, again), from)
				continue
			}
			fs.dense(f, from)
			fs.classes = append(fs.classes, int32(i))
		}
		if r.speaksFor(i, HeadChannel) {
			if first < 0 {
				first = int32(i)
			}
			last = int32(i)
		}
	}
	if first >= 0 {
		fs.dense(dense(r.matches[first].class, firstChannel), origin{first, -1})
		if r.matches[last].class != r.matches[first].class {
			fs.dense(dense(r.matches[last].class, lastChannel), origin{last, -1})
		}
	}
	if first < 0 {
		fs.dense(Feature(noChannel), nowhere)
	}
	if len(fs.classes) == 0 {
		fs.dense(Feature(noClass), nowhere)
	}
	if role := &r.lex.role; !r.has(role.who, role.namedOthers, role.employer) {
		fs.dense(Feature(noPerson), nowhere)
		for _, i := range fs.classes {
			fs.dense(dense(r.matches[i].class, unpeopled), origin{i, -1})
		}
	}
}

// ofPairs adds the pairs of classes, and those that follow one another. What
// words are about at all (world.txt) pairs with its neighbours only.
func (fs *features) ofPairs(r *report) {
	for n, i := range fs.classes {
		if r.isWorld(r.matches[i].class) {
			continue
		}
		for _, j := range fs.classes[n+1:] {
			a, b := r.matches[i].class, r.matches[j].class
			if r.isWorld(b) {
				continue
			}
			if a > b {
				a, b = b, a
			}
			fs.hashed(mix(mix(seedPair, uint64(a)), uint64(b)), origin{i, j})
		}
	}
	before := [2]int32{-1, -1}
	for i, m := range r.matches {
		if m.state == silent {
			continue
		}
		realm := 0
		if r.isWorld(m.class) {
			realm = 1
		}
		if n := before[realm]; n >= 0 && r.matches[n].from < m.from {
			b := r.matches[n]
			fs.hashed(mix(mix(mix(seedFollow, uint64(b.class)), uint64(m.class)), uint64(m.state)), origin{n, int32(i)})
		}
		before[realm] = int32(i)
	}
}

// ofOrder adds where in the telling a class stands: people begin with what
// happened, and go on to what came of it. What words are about at all counts in
// the first clause only.
func (fs *features) ofOrder(r *report) {
	clauseEnds, sentenceEnds := r.firstBreak(clause), r.firstBreak(sentence)
	opens, closes := int32(-1), int32(-1)
	for i, m := range r.matches {
		if m.state == silent {
			continue
		}
		from := origin{int32(i), -1}
		if m.from < clauseEnds {
			fs.hashed(mix(mix(seedFirstClause, uint64(m.class)), uint64(m.state)), from)
		}
		if r.isWorld(m.class) {
			continue
		}
		if m.from < sentenceEnds {
			fs.hashed(mix(mix(seedFirstSentence, uint64(m.class)), uint64(m.state)), from)
		}
		if opens < 0 {
			opens = int32(i)
		}
		closes = int32(i)
	}
	if opens >= 0 {
		fs.hashed(mix(seedOpens, uint64(r.matches[opens].class)), origin{opens, -1})
		fs.hashed(mix(seedCloses, uint64(r.matches[closes].class)), origin{closes, -1})
	}
}

// firstBreak returns the first word before which the text pauses for that long,
// or how many words there are.
func (r *report) firstBreak(p pause) int32 {
	for i, t := range r.tokens {
		if i > 0 && t.breaks >= p {
			return int32(i)
		}
	}
	return int32(len(r.tokens))
}

func (r *report) isWorld(c classID) bool { return r.lex.classes[c].layer == worldLayer }

// wordStart and wordEnd stand for the ends of a word in its pieces.
const wordStart, wordEnd = '^', '$'

const shortestPiece, longestPiece = 3, 5

func (fs *features) ofWords(r *report, letters []byte) {
	before := uint64(0)
	for n, t := range r.tokens {
		word := letters[t.from:t.to]
		h := seedWord
		for _, c := range word {
			h = mix(h, uint64(c))
		}
		here := int32(n)
		fs.letters(h, origin{here, -1})
		if t.breaks == sentence || n == 0 {
			before = 0
		}
		fs.letters(mix(mix(seedWords, before), h), origin{max(here-1, 0), here})
		before = h
		fs.pieces(word, here)
	}
}

// pieces adds the pieces of one word, its ends marked. A word longer than any
// that is written gives the pieces of its beginning only.
func (fs *features) pieces(word []byte, at int32) {
	const longest = 24
	word = word[:min(len(word), longest)]
	letter := func(i int) uint64 {
		switch i {
		case -1:
			return wordStart
		case len(word):
			return wordEnd
		}
		return uint64(word[i])
	}
	for start := -1; start <= len(word)-shortestPiece+1; start++ {
		h := seedPiece
		for n := 0; n < longestPiece && start+n <= len(word); n++ {
			h = mix(h, letter(start+n))
			if n+1 >= shortestPiece {
				fs.letters(h, origin{at, -1})
			}
		}
	}
}
