package training

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/onrecord/onrecord/services/classifier/internal/reading"
)

// telling returns n that come true as a sureness says of what they promise.
func telling(n int, s reading.Sureness) []told {
	rng := rand.New(rand.NewPCG(3, 4))
	all := make([]told, n)
	for i := range all {
		t := &all[i]
		t.of, t.weight = [3]float64{4*rng.Float64() - 1, 1, 4 * rng.Float64()}, 1/float64(n)
		if odds := s.Odds*t.of[0] + s.Base + s.Words*t.of[2]; rng.Float64() < 1/(1+math.Exp(-odds)) {
			t.right = 1
		}
	}
	return all
}

func TestHowSureItMayBeIsFound(t *testing.T) {
	for _, want := range []reading.Sureness{reading.AsScored, {Odds: 0.6, Base: 1.5, Words: -0.5}, {Odds: 1.8, Base: -1, Words: 0.3}} {
		all := telling(40_000, want)
		got := held(all)
		if math.Abs(got.Odds-want.Odds) > 0.1 || math.Abs(got.Base-want.Base) > 0.15 || math.Abs(got.Words-want.Words) > 0.06 {
			t.Errorf("found %+v, want %+v", got, want)
		}
		if again := held(all); again != got {
			t.Errorf("found %+v, and then %+v", got, again)
		}
	}
}

// Few texts, or such as are all right, leave it near what scores promise.
func TestFewTextsChangeLittle(t *testing.T) {
	for name, all := range map[string][]told{
		"one":       {{of: [3]float64{2, 1, 2}, weight: 1}},
		"all right": {{of: [3]float64{2, 1, 2}, right: 1, weight: 0.5}, {of: [3]float64{1, 1, 3}, right: 1, weight: 0.5}},
		"of a kind": {{of: [3]float64{3, 1, 2}, right: 1, weight: 0.5}, {of: [3]float64{3, 1, 2}, weight: 0.5}},
	} {
		got := held(all)
		if math.Abs(got.Odds-1) > 0.8 || math.Abs(got.Base) > 0.8 || math.Abs(got.Words) > 0.8 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
