package training

import (
	"math"

	"github.com/onrecord/onrecord/services/classifier/internal/reading"
)

// told is how sure a reading was of an answer, and whether it was right.
type told struct {
	of     [3]float64 // the log odds, 1, and the logarithm of how many words there are: see reading.Sureness
	right  float64
	weight float64
}

// sureness returns for each head how sure its readings may be, so that what they
// say at a card's temperatures comes true as often as they say. The sets count
// alike, each as a whole. Temperatures alone leave readings too sure where they are
// sure, and not sure enough where they doubt.
func sureness(card reading.Card, sets []scored) (out [reading.Heads]reading.Sureness, err error) {
	for h := range card.Sure {
		card.Sure[h], out[h] = reading.AsScored, reading.AsScored
	}
	judge, err := reading.Judging(card)
	if err != nil {
		return out, err
	}
	var all [reading.Heads][]told
	for _, s := range sets {
		n := 0
		for _, scores := range s.scores {
			if scores != nil {
				n++
			}
		}
		for i, scores := range s.scores {
			if scores == nil {
				continue
			}
			r, gold := judge(s.texts[i].Text, scores), goldOf(s.texts[i])
			words := reading.Log(float64(max(s.examples[i].Words, 1)))
			for h, j := range [reading.Heads]struct {
				read, right string
				p           float64
			}{
				{r.Kind.Value, gold.Kind, r.Kind.P[r.Kind.Value]},
				{r.Channel.Value, gold.Channel, r.Channel.P[r.Channel.Value]},
				{r.Target.Value, gold.Target, r.Target.P[r.Target.Value]},
			} {
				const least = 1e-6
				p := min(max(j.p, least), 1-least)
				t := told{of: [3]float64{reading.Log(p) - reading.Log(1-p), 1, words}, weight: 1 / float64(n)}
				if j.read == j.right {
					t.right = 1
				}
				all[h] = append(all[h], t)
			}
		}
	}
	for h := range out {
		if len(all[h]) > 0 {
			out[h] = held(all[h])
		}
	}
	return out, nil
}

// held returns under which sureness what was told comes true the most: logistic
// regression by Newton's steps, held to what scores promise by as much as one text
// weighs, so that few texts move it little.
func held(all []told) reading.Sureness {
	const steps, halves = 25, 20
	start := [3]float64{1, 0, 0}
	sum := 0.0
	for _, t := range all {
		sum += t.weight
	}
	force := sum / float64(len(all))
	w := start
	least := lossOf(all, w, start, force)
	for range steps {
		step, better := newton(all, w, start, force), false
		for half := 0; half < halves && !better; half++ {
			next := w
			for i := range next {
				next[i] -= step[i]
				step[i] /= 2
			}
			if l := lossOf(all, next, start, force); l < least {
				w, least, better = next, l, true
			}
		}
		if !better {
			break
		}
	}
	round := func(x float64) float64 { return math.Floor(float64(x*1e4)+0.5) / 1e4 }
	return reading.Sureness{Odds: min(max(round(w[0]), 0.1), 10), Base: min(max(round(w[1]), -10), 10), Words: min(max(round(w[2]), -10), 10)}
}

func oddsOf(t *told, w [3]float64) float64 {
	return float64(t.of[0]*w[0]) + float64(t.of[1]*w[1]) + float64(t.of[2]*w[2])
}

// lossOf is how little was given to what came true, and the force.
func lossOf(all []told, w, start [3]float64, force float64) float64 {
	sum := 0.0
	for i := range all {
		t := &all[i]
		odds := oddsOf(t, w)
		if t.right == 1 {
			odds = -odds
		}
		sum += float64(t.weight * (max(odds, 0) + reading.Log(1+reading.Exp(-math.Abs(odds)))))
	}
	for i := range w {
		d := w[i] - start[i]
		sum += float64(force * float64(d*d) / 2)
	}
	return sum
}

// newton returns the step to take from w.
func newton(all []told, w, start [3]float64, force float64) (step [3]float64) {
	var g [3]float64
	var m [3][3]float64
	for i := range all {
		t := &all[i]
		p := 1 / (1 + reading.Exp(-oddsOf(t, w)))
		slope, bend := float64(t.weight*(p-t.right)), float64(t.weight*float64(p*(1-p)))
		for a := range g {
			g[a] += float64(slope * t.of[a])
			for b := range g {
				m[a][b] += float64(float64(bend*t.of[a]) * t.of[b])
			}
		}
	}
	for a := range g {
		g[a] += float64(force * (w[a] - start[a]))
		m[a][a] += force
	}
	return solve(m, g)
}

// solve returns the x of which m·x is g, by elimination: m is symmetric, and
// greater than nothing in every direction.
func solve(m [3][3]float64, g [3]float64) (x [3]float64) {
	for a := range g {
		for b := a + 1; b < len(g); b++ {
			share := m[b][a] / m[a][a]
			for c := a; c < len(g); c++ {
				m[b][c] -= float64(share * m[a][c])
			}
			g[b] -= float64(share * g[a])
		}
	}
	for a := len(g) - 1; a >= 0; a-- {
		x[a] = g[a]
		for b := a + 1; b < len(g); b++ {
			x[a] -= float64(m[a][b] * x[b])
		}
		x[a] /= m[a][a]
	}
	return x
}
