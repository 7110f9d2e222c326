package reading

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

var (
	//go:embed lexicon.txt
	lexiconText string
	//go:embed world.txt
	worldText string
)

// weight is what a class says about one output before any training.
type weight struct {
	output int
	odds   float64
}

// classID is the index of a class in the lexicon.
type classID int16

// class is a group of phrases that speak for the same.
type class struct {
	name    string
	weights []weight
	layer   layer
	way     int // index in wayValues of the channel it speaks for plainly, or -1
}

// layer is one of the readings of the same words: a phrase silences the
// shorter ones in it within its own layer only, so that "kicked me" is a blow
// and says whom it met.
type layer int

const (
	whatLayer  layer = iota // what happened and how it reached them
	whomLayer               // whom it was aimed at
	aboutLayer              // serious harm, weapons, the basis of abuse
	worldLayer              // what the words are about at all
	layers     int   = iota
)

// lexicon is what the words are known by: classes, the trie of their phrases,
// and the odds before any word and before any training. It does not change once it is read.
type lexicon struct {
	version string
	vocab   vocabulary
	classes []class
	bias    []float64       // of each output
	nodes   []node          // of the trie, and one behind the last; a layer's root is the node of its number
	edges   []edge          // of all nodes, one behind the other, each node's by word
	ends    []classID       // of the phrases that end in a node, likewise
	first   [layers][]int32 // word to the root's child, 0 when none
	role    roles

	// The trie while phrases are added, before pack.
	next map[uint64]int32 // node and word to node
	out  [][]classID      // the classes of the phrase that ends in a node

	longestPhrase int32 // words

	tokens  []token // reused while phrases are added
	scratch scratch
}

// engineVersion names the rules by which words become features. It changes when
// they change; the lexicon's hash changes by itself.
const engineVersion = "words-3"

// loadLexicon reads the embedded lexicon once for the process. The file is
// part of the program and is read by its tests, so a mistake in it panics.
var loadLexicon = sync.OnceValue(func() *lexicon {
	lex, err := parseLexicon(lexiconText + worldText)
	if err != nil {
		panic(err)
	}
	return lex
})

// asTheyAre begins a line of words that are known, so that they are no slips of
// the thumb, and say nothing.
const asTheyAre = "as they are:"

// parseLexicon reads the format that lexicon.txt describes at its top.
func parseLexicon(text string) (*lexicon, error) {
	sum := sha256.Sum256([]byte(text))
	lex := &lexicon{
		version: engineVersion + "-" + hex.EncodeToString(sum[:4]),
		vocab:   vocabulary{index: make(map[string]int32, 4<<10), learn: true},
		next:    make(map[uint64]int32, 32<<10),
		out:     make([][]classID, layers, 32<<10),
		bias:    make([]float64, outputs),
	}
	lists := strings.NewReplacer()
	var named []string
	current, in := classID(-1), whatLayer
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		var err error
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '<':
			name, list, _ := strings.Cut(line, ":")
			named = append(named, name, "("+strings.TrimSpace(list)+")")
			lists = strings.NewReplacer(named...)
		case line == "= whom":
			in = whomLayer
		case line == "= about":
			in = aboutLayer
		case line == "= world":
			in = worldLayer
		case strings.HasPrefix(line, asTheyAre):
			lex.vocab.tokenise(strings.TrimPrefix(line, asTheyAre), nil, &lex.scratch)
		case line[0] == '[':
			current, err = lex.header(line, in)
		case current < 0:
			err = fmt.Errorf("a phrase before any class")
		default:
			err = lex.phrases(current, lists.Replace(line))
		}
		if err != nil {
			return nil, fmt.Errorf("lexicon line %d: %w", n+1, err)
		}
	}
	lex.vocab.learn = false
	lex.vocab.typos = newTypos(lex.vocab.index)
	lex.pack()
	lex.indexRoot()
	var err error
	lex.role, err = lex.roles()
	return lex, err
}

// header reads "[name] value odds, value odds".
func (lex *lexicon) header(line string, in layer) (classID, error) {
	name, odds, ok := strings.Cut(line[1:], "]")
	if !ok {
		return -1, fmt.Errorf("want [name] value odds, …")
	}
	c := class{name: name, layer: in}
	for field := range strings.SplitSeq(odds, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		value, number, _ := strings.Cut(field, " ")
		w := weight{output: output(value)}
		if w.output < 0 {
			return -1, fmt.Errorf("%q is no value that words can speak for", value)
		}
		var err error
		if w.odds, err = strconv.ParseFloat(number, 64); err != nil {
			return -1, fmt.Errorf("odds of %s: %w", value, err)
		}
		c.weights = append(c.weights, w)
	}
	c.weights = append(c.weights, idleness(c.weights)...)
	if name == "before any word" {
		for _, w := range c.weights {
			lex.bias[w.output] = w.odds
		}
		return -1, nil
	}
	c.way = wayOf(c.weights)
	lex.classes = append(lex.classes, c)
	return classID(len(lex.classes) - 1), nil
}

// wayOf returns the index in wayValues of the channel that weights speak for the
// most and plainly, or -1.
func wayOf(weights []weight) int {
	way, most := -1, 1.0
	for _, w := range weights {
		for i, c := range wayValues {
			if w.output == headFrom[HeadChannel]+slices.Index(channelValues, c) && w.odds > most {
				way, most = i, w.odds
			}
		}
	}
	return way
}

// idleness is what a class says for "does not apply", from what it says for
// the kinds that have no channel and no target.
func idleness(weights []weight) []weight {
	most := 0.0
	for _, w := range weights {
		if w.output < headFrom[HeadChannel] && kindValues[w.output].IsHazard() {
			most = max(most, w.odds)
		}
	}
	if most == 0 {
		return nil
	}
	return []weight{{output("not_applicable_channel"), 0.7 * most}, {output("not_applicable_target"), 0.7 * most}}
}

// phrases adds the phrases of one line to a class.
func (lex *lexicon) phrases(id classID, line string) error {
	for pattern := range splitOutside(line, ',') {
		phrases, err := expand(pattern)
		if err != nil {
			return err
		}
		for _, p := range phrases {
			lex.phrase(id, p)
			if strings.Contains(p, "'") { // many leave the apostrophe out
				lex.phrase(id, strings.ReplaceAll(p, "'", ""))
			}
		}
	}
	return nil
}

func (lex *lexicon) phrase(id classID, phrase string) {
	if strings.TrimSpace(phrase) == starred {
		phrase = "f**k" // any starred word reads as starred
	}
	root := int32(lex.classes[id].layer)
	node := root
	lex.tokens = lex.vocab.tokenise(phrase, lex.tokens[:0], &lex.scratch)
	for _, t := range lex.tokens {
		key := edgeOf(node, t.word)
		child, ok := lex.next[key]
		if !ok {
			child = int32(len(lex.out))
			lex.out = append(lex.out, nil)
			lex.next[key] = child
		}
		node = child
	}
	if node == root {
		return
	}
	lex.longestPhrase = max(lex.longestPhrase, int32(len(lex.tokens)))
	for _, known := range lex.out[node] {
		if known == id {
			return
		}
	}
	lex.out[node] = append(lex.out[node], id)
}

// node says where the edges and the classes of a node of the trie begin. They
// end where those of the next node begin.
type node struct{ edges, ends int32 }

// edge leads from a node by a word to another one.
type edge struct{ word, to int32 }

// pack puts the edges and the classes of all nodes one behind the other: a map
// and a list for each node would take several times the room, for as long as
// the process lives.
func (lex *lexicon) pack() {
	lex.nodes = make([]node, len(lex.out)+1)
	lex.edges = make([]edge, 0, len(lex.next))
	for _, key := range slices.Sorted(maps.Keys(lex.next)) {
		lex.edges = append(lex.edges, edge{int32(uint32(key)), lex.next[key]})
		lex.nodes[key>>32+1].edges++
	}
	for n, classes := range lex.out {
		lex.ends = append(lex.ends, classes...)
		lex.nodes[n+1].edges += lex.nodes[n].edges
		lex.nodes[n+1].ends = int32(len(lex.ends))
	}
	lex.ends = slices.Clip(lex.ends)
	lex.next, lex.out = nil, nil
}

// child returns the node that a word leads to from another one, 0 when none.
func (lex *lexicon) child(of, word int32) int32 {
	from, to := lex.nodes[of].edges, lex.nodes[of+1].edges
	for from < to {
		middle := (from + to) / 2
		switch e := lex.edges[middle]; {
		case e.word == word:
			return e.to
		case e.word < word:
			from = middle + 1
		default:
			to = middle
		}
	}
	return 0
}

// indexRoot copies the roots' edges to slices: most words begin no phrase and
// are settled by one look.
func (lex *lexicon) indexRoot() {
	for l := range lex.first {
		lex.first[l] = make([]int32, len(lex.vocab.index))
		for _, e := range lex.edges[lex.nodes[l].edges:lex.nodes[l+1].edges] {
			lex.first[l][e.word] = e.to
		}
	}
}

func edgeOf(node, word int32) uint64 { return uint64(uint32(node))<<32 | uint64(uint32(word)) }

// expand returns every phrase that a pattern with (a|b) groups stands for,
// innermost group first; some may come twice.
func expand(pattern string) ([]string, error) {
	end := strings.IndexByte(pattern, ')')
	if end < 0 {
		if strings.IndexByte(pattern, '(') >= 0 {
			return nil, fmt.Errorf("%q: ( without )", pattern)
		}
		return []string{pattern}, nil
	}
	start := strings.LastIndexByte(pattern[:end], '(')
	if start < 0 {
		return nil, fmt.Errorf("%q: ) without (", pattern)
	}
	var out []string
	for choice := range strings.SplitSeq(pattern[start+1:end], "|") {
		phrases, err := expand(pattern[:start] + choice + pattern[end+1:])
		if err != nil {
			return nil, err
		}
		out = append(out, phrases...)
	}
	return out, nil
}

// splitOutside splits at sep where it stands in no group.
func splitOutside(s string, sep byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		depth, from := 0, 0
		for i := range len(s) {
			switch {
			case s[i] == '(':
				depth++
			case s[i] == ')':
				depth--
			case s[i] == sep && depth == 0:
				if !yield(s[from:i]) {
					return
				}
				from = i + 1
			}
		}
		yield(s[from:])
	}
}

// match is one phrase of the lexicon found in a report.
type match struct {
	class    classID
	from, to int32 // tokens
	state    state
}

// state is what the context makes of a match.
type state uint8

const (
	silent state = iota // it says nothing here
	full
	hushed     // it is wished, threatened or beside the point: it says little
	later      // it came after the first contact
	states int = iota
)

// find appends the longest phrase of each layer from each place of the text,
// in the order of the text. A phrase in several classes is one match each. A
// phrase does not reach across a comma or a full stop.
func (lex *lexicon) find(tokens []token, into []match) []match {
	var free [layers]int // the first token that a layer has not used up
	for i := range tokens {
		for l := range layer(layers) {
			if i < free[l] {
				continue
			}
			end, classes := lex.longest(tokens, i, l)
			for _, c := range classes {
				into = append(into, match{class: c, from: int32(i), to: int32(end), state: full})
			}
			free[l] = end
		}
	}
	return into
}

// longest returns the classes of the longest phrase from tokens[i] and the
// token after it; none and 0 when no phrase begins there.
func (lex *lexicon) longest(tokens []token, i int, l layer) (end int, classes []classID) {
	word := tokens[i].word
	if word == unknownWord {
		return 0, nil
	}
	node := lex.first[l][word]
	for node != 0 {
		i++
		if from, to := lex.nodes[node].ends, lex.nodes[node+1].ends; from < to {
			end, classes = i, lex.ends[from:to]
		}
		if i == len(tokens) || tokens[i].word == unknownWord || tokens[i].breaks > noPause {
			break
		}
		node = lex.child(node, tokens[i].word)
	}
	return end, classes
}
