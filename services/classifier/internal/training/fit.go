// Package training makes a model of examples: deterministic, so that the same
// corpus and the same corrections make the same bytes.
package training

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"github.com/onrecord/onrecord/services/classifier/internal/reading"
)

// example is one text to learn from or to measure by.
type example struct {
	reading.Sample
	answers [reading.Heads]int // index of the right value, -1 where not judged
	flags   []int8             // 1 yes, 0 no, -1 not judged
	weight  float64
	group   string // of one origin
	fold    string // held out together
}

// settings of the fit. They were chosen by leaving whole voices out, never by
// the held-out texts.
type settings struct {
	fits          int // how many, with different orders
	epochs        int
	rate          float64 // of a step
	dense         float64 // how strongly a class is held to what the lexicon says
	flags         float64 // … for what is read besides kind, channel and target
	pairs         float64 // … a pair of classes to nothing
	letters       float64 // … a piece of a word to nothing
	lettersL1     float64
	flagsL1       float64 // … and for flags, which have fewer examples
	prior         float64 // how much of the lexicon's odds is believed before training
	dropLetters   float64 // how often an example is learned without its words' features
	dropClasses   float64 // how often a class is not seen by the heads
	support       int     // origins that a hashed feature must have
	letterSupport int
}

var standard = settings{
	fits: 2, epochs: 12, rate: 0.1, dense: 5, flags: 5, pairs: 40, letters: 25, lettersL1: 0.15, flagsL1: 1,
	prior: 0.8, dropLetters: 0.2, dropClasses: 0.3, support: 2, letterSupport: 3,
}

// index numbers the features of a training set: dense rows as they are, then
// hashed ones with enough origins.
type index struct {
	rows   int
	hashed map[reading.Feature]int32
	order  []reading.Feature
}

func newIndex(examples []*example, s settings) *index {
	type support struct {
		last string
		n    int
	}
	seen := make(map[reading.Feature]*support)
	for _, e := range examples { // those of one group stand together
		for _, f := range e.Features {
			if !f.IsHashed() {
				continue
			}
			if c := seen[f]; c == nil {
				seen[f] = &support{e.group, 1}
			} else if c.last != e.group {
				c.last, c.n = e.group, c.n+1
			}
		}
	}
	ix := &index{rows: reading.DenseRows(), hashed: make(map[reading.Feature]int32)}
	for f, c := range seen {
		if f.IsLettered() && c.n >= s.letterSupport || !f.IsLettered() && c.n >= s.support {
			ix.order = append(ix.order, f)
		}
	}
	slices.Sort(ix.order)
	for n, f := range ix.order {
		ix.hashed[f] = int32(ix.rows + n)
	}
	return ix
}

func (ix *index) size() int { return ix.rows + len(ix.order) }

// of returns the numbers of a sample's features: dense, paired, lettered.
func (ix *index) of(s reading.Sample) (out [3][]int32) {
	for _, f := range s.Features {
		if !f.IsHashed() {
			out[0] = append(out[0], int32(f))
		} else if n, ok := ix.hashed[f]; ok {
			if f.IsLettered() {
				out[2] = append(out[2], n)
			} else {
				out[1] = append(out[1], n)
			}
		}
	}
	return out
}

// fitter learns the weights by FTRL-proximal: each weight has a step of its
// own, is pulled to its start by a fixed force, and stays there when nothing
// repeatedly speaks for another value.
type fitter struct {
	settings
	columns int
	start   []float64 // the lexicon's odds, dense rows only
	cells   []cell    // by row and column
}

// cell is one weight as of its last touch, with what was learned of it.
type cell struct{ w, z, root float64 }

func newFitter(ix *index, s settings) *fitter {
	f := &fitter{settings: s, columns: reading.Columns()}
	f.start = reading.LexiconOdds()
	for i := range f.start {
		f.start[i] *= s.prior
	}
	f.cells = make([]cell, ix.size()*f.columns)
	for i, w := range f.start {
		f.cells[i].w = w
	}
	return f
}

// step moves one weight by its gradient. A fitter belongs to one goroutine, so
// the race detector, which makes its loops many times slower, is kept out of them.
//
//go:norace
func (f *fitter) step(i int, g, l1, l2 float64) {
	c := &f.cells[i]
	root := math.Sqrt(float64(c.root*c.root) + float64(g*g))
	sigma := (root - c.root) / f.rate
	start := 0.0
	if i < len(f.start) {
		start = f.start[i]
	}
	c.z += g - float64(sigma*(c.w-start))
	c.root = root
	z := c.z
	switch {
	case z > l1:
		z -= l1
	case z < -l1:
		z += l1
	default:
		z = 0
	}
	c.w = start - z/(root/f.rate+l2)
}

// gradients returns for every column the gradient of the loss of an example
// whose scores are given.
func gradients(e *example, scores, into []float64) {
	clear(into)
	for h := range reading.Head(reading.Heads) {
		if e.answers[h] < 0 {
			continue
		}
		from, to := reading.ColumnsOf(h)
		softmax(scores[from:to], into[from:to])
		into[from+e.answers[h]]--
	}
	first := len(scores) - len(e.flags)
	for n, yes := range e.flags {
		if yes >= 0 {
			into[first+n] = 1/(1+reading.Exp(-scores[first+n])) - float64(yes)
		}
	}
}

func softmax(scores, into []float64) {
	most := slices.Max(scores)
	sum := 0.0
	for i, s := range scores {
		into[i] = reading.Exp(s - most)
		sum += into[i]
	}
	for i := range into {
		into[i] /= sum
	}
}

// fit learns from examples: the mean of several fits that see them in different
// orders, which reads texts of other voices better than any one of them.
func fit(examples []*example, s settings, seed uint64) *weights {
	ix := newIndex(examples, s)
	w := &weights{index: ix, columns: reading.Columns()}
	rows := make([][3][]int32, len(examples))
	for i, e := range examples {
		rows[i] = ix.of(e.Sample)
	}
	w.w = make([]float64, ix.size()*w.columns)
	for n := range s.fits {
		f := newFitter(ix, s)
		f.fit(examples, rows, seed+uint64(n))
		for i := range w.w {
			w.w[i] += f.cells[i].w / float64(s.fits)
		}
	}
	w.prune()
	return w
}

// fit is one fit. Flags are learned from all of an example's classes and words,
// and from no pairs of classes: few examples have any flag.
func (f *fitter) fit(examples []*example, rows [][3][]int32, seed uint64) {
	s := f.settings
	rng := rand.New(rand.NewPCG(seed, 1))
	order := make([]int, len(examples))
	for i := range order {
		order[i] = i
	}
	scores, g := make([]float64, f.columns), make([]float64, f.columns)
	heads := reading.HeadColumns()
	var classes []int32
	for range s.epochs {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			e := examples[i]
			classes = classes[:0]
			for _, row := range rows[i][0] {
				if row == 0 || rng.Float64() >= s.dropClasses {
					classes = append(classes, row)
				}
			}
			pairs, letters := rows[i][1], rows[i][2]
			if rng.Float64() < s.dropLetters {
				letters = nil
			}
			share := reading.LetteredShare(e.Lettered)
			clear(scores)
			f.add(scores[:heads], classes, 0, 1)
			f.add(scores[heads:], rows[i][0], heads, 1)
			f.add(scores[:heads], pairs, 0, 1)
			f.add(scores[:heads], letters, 0, share)
			f.add(scores[heads:], rows[i][2], heads, share)
			gradients(e, scores, g)
			for c := range g {
				if g[c] > -leastGradient && g[c] < leastGradient {
					g[c] = 0
				}
				g[c] *= e.weight
			}
			f.learn(classes, g[:heads], 0, 0, s.dense, 1)
			f.learn(rows[i][0], g[heads:], heads, 0, s.flags, 1)
			f.learn(pairs, g[:heads], 0, 0.05, s.pairs, 1)
			f.learn(letters, g[:heads], 0, s.lettersL1, s.letters, share)
			f.learn(rows[i][2], g[heads:], heads, s.flagsL1, s.letters, share)
		}
	}
}

// add adds to scores, of columns from one on, the weights of rows.
//
//go:norace
func (f *fitter) add(scores []float64, rows []int32, from int, share float64) {
	for _, row := range rows {
		cells := f.cells[int(row)*f.columns+from:][:len(scores)]
		for c := range cells {
			scores[c] += float64(share * cells[c].w)
		}
	}
}

// leastGradient is how wrong an output must be before anything is learned from
// it: what is as good as right takes half the time and teaches nothing.
const leastGradient = 0.02

// learn moves the weights of rows, of columns from one on, by their gradients.
//
//go:norace
func (f *fitter) learn(rows []int32, g []float64, from int, l1, l2, share float64) {
	for _, row := range rows {
		for c, gc := range g {
			if gc != 0 {
				f.step(int(row)*f.columns+from+c, float64(gc*share), l1, l2)
			}
		}
	}
}

// weights are a fit as it was learned, before they are rounded for a model.
type weights struct {
	index   *index
	columns int
	w       []float64
	kept    []int // of the index's order, the rows of the model
}

func (w *weights) scores(s reading.Sample) []float64 {
	scores := make([]float64, w.columns)
	heads := scores[:reading.HeadColumns()]
	shares := [3]float64{1, 1, reading.LetteredShare(s.Lettered)}
	for n, rows := range w.index.of(s) {
		to := heads
		if n != 1 {
			to = scores // flags hang on no pairs
		}
		for _, row := range rows {
			for c := range to {
				to[c] += float64(shares[n] * w.w[int(row)*w.columns+c])
			}
		}
	}
	return scores
}

func (w *weights) scoresOf(examples []*example) [][]float64 {
	out := make([][]float64, len(examples))
	for i, e := range examples {
		out[i] = w.scores(e.Sample)
	}
	return out
}

// each calls do for 0 to n-1 on all processors.
func each(n int, do func(i int)) {
	var wait sync.WaitGroup
	gate := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range n {
		gate <- struct{}{}
		wait.Go(func() {
			defer func() { <-gate }()
			do(i)
		})
	}
	wait.Wait()
}
