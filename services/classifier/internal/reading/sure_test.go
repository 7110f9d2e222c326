package reading

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestLogarithmsOfProbabilities(t *testing.T) {
	before := int64(math.MinInt64)
	for p := int64(1); p < probOne; p += 1 + p/50_000 {
		got := logFine(p)
		if want := math.Log(probability(p)); math.Abs(float64(got)/fineOne-want) > 0.0005 {
			t.Fatalf("the logarithm of %d is %.5f, want %.5f", p, float64(got)/fineOne, want)
		}
		if got < before {
			t.Fatalf("the logarithm of %d is less than of one before", p)
		}
		before = got
	}
	if got := logFine(probOne); got != 0 {
		t.Errorf("the logarithm of one is %d", got)
	}
}

// held returns what becomes of probabilities, of a text with so many words.
func held(t *testing.T, s Sureness, h Head, answer, words int, p []int64) []int64 {
	t.Helper()
	loaded, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	j := judge{model: &Model{sure: [Heads]sureness{loaded, loaded, loaded}}, pad: new(scratchpad)}
	j.pad.report.tokens = make([]token, words)
	copy(j.p[h][:], p)
	j.hold(h, answer)
	return j.p[h][:len(p)]
}

func TestProbabilitiesAreHeldToWhatCameTrue(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		h := Head(rng.IntN(Heads))
		p := make([]int64, len(headValues[h]))
		scores := make([]int64, len(p))
		for i := range scores {
			scores[i] = int64(float64(rng.IntN(8)) * rng.NormFloat64() * fineOne)
		}
		softmaxFine(scores, p)
		answer, words := top(p), rng.IntN(400)
		s := Sureness{Odds: 0.3 + 2*rng.Float64(), Base: 4*rng.Float64() - 2, Words: rng.Float64() - 0.5}
		got := held(t, s, h, answer, words, p)
		sum := int64(0)
		for i := range got {
			sum += got[i]
			if got[i] < 0 || got[i] > got[answer] {
				t.Fatalf("%v becomes %v: the answer is no more the likeliest", p, got)
			}
		}
		if sum != probOne {
			t.Fatalf("%v becomes %v, which are %d in all", p, got, sum)
		}
		if rest := probOne - p[answer]; rest > 0 {
			odds := s.Odds*math.Log(probability(p[answer])/probability(rest)) + s.Base + s.Words*math.Log(float64(min(max(words, 1), mostCounted)))
			second := p[answer] - lead(p, answer)
			want := max(1/(1+math.Exp(-odds)), float64(second)/float64(rest+second))
			if math.Abs(probability(got[answer])-want) > 0.001 {
				t.Fatalf("%.4f becomes %.4f under %+v of %d words, want %.4f", probability(p[answer]), probability(got[answer]), s, words, want)
			}
		}
		as := held(t, AsScored, h, answer, words, p)
		for i := range as {
			if math.Abs(probability(as[i])-probability(p[i])) > 0.0002 {
				t.Fatalf("as scored, %v becomes %v", p, as)
			}
		}
		if other := (answer + 1) % len(p); p[other] < p[answer] && !slices.Equal(held(t, s, h, other, words, p), p) {
			t.Fatalf("%v is changed by an answer that is not the likeliest", p)
		}
	}
}
