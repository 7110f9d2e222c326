package reading

import (
	"math"
	"testing"
)

func TestExpAndLogAgreeWithTheLibrary(t *testing.T) {
	for x := -30.0; x < 30; x += 0.37 {
		if got, want := Exp(x), math.Exp(x); math.Abs(got-want) > 1e-12*want {
			t.Errorf("Exp(%v)=%v, want %v", x, got, want)
		}
		if got := Log(math.Exp(x)); math.Abs(got-x) > 1e-12 {
			t.Errorf("Log(e^%v)=%v", x, got)
		}
	}
	if Exp(-1000) != 0 || math.IsInf(Exp(1000), 0) {
		t.Errorf("Exp(-1000)=%v, Exp(1000)=%v", Exp(-1000), Exp(1000))
	}
}

func TestWholeNumbersComeNearTheRealOnes(t *testing.T) {
	scores := []int64{0, 3 * fineOne, -2 * fineOne, fineOne / 2, -100 * fineOne}
	p := make([]int64, len(scores))
	softmaxFine(scores, p)
	sum, total := 0.0, int64(0)
	for _, s := range scores {
		sum += math.Exp(float64(s) / fineOne)
	}
	for i, s := range scores {
		total += p[i]
		if want := math.Exp(float64(s)/fineOne) / sum; math.Abs(probability(p[i])-want) > 0.001 {
			t.Errorf("p[%d]=%v, want %v", i, probability(p[i]), want)
		}
	}
	if total != probOne {
		t.Errorf("they sum to %d, want %d", total, probOne)
	}
	for _, odds := range []float64{-50, -3, -0.1, 0, 0.1, 3, 50} {
		if got, want := probability(sigmoidFine(int64(odds*fineOne))), 1/(1+math.Exp(-odds)); math.Abs(got-want) > 0.001 {
			t.Errorf("sigmoid(%v)=%v, want %v", odds, got, want)
		}
	}
}

func TestLongTextsCountTheirWordsLess(t *testing.T) {
	last := int32(64)
	for n := 0; n < 200_000; n += 97 {
		s := letteredShare(n)
		if s > last || s < 1 {
			t.Fatalf("share(%d)=%d after %d: want it to fall and to stay above 0", n, s, last)
		}
		if want := math.Sqrt(150 / max(float64(n), 150)); math.Abs(float64(s)/64-want) > 1.0/64 {
			t.Errorf("share(%d)=%v, want about %v", n, float64(s)/64, want)
		}
		last = s
	}
}
