package evaluation

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
)

// Wilson's interval for 81 of 263: Brown, Cai and DasGupta (2001) give the formula.
func TestShareHasItsInterval(t *testing.T) {
	for _, test := range []struct {
		n, of     int
		low, high float64
	}{{81, 263, 0.2553, 0.3662}, {0, 10, 0, 0.2775}, {10, 10, 0.7225, 1}, {1, 2, 0.0945, 0.9055}} {
		s := ShareOf(test.n, test.of)
		if math.Abs(s.Low-test.low) > 0.0005 || math.Abs(s.High-test.high) > 0.0005 {
			t.Errorf("%d of %d: %v–%v, want %v–%v", test.n, test.of, s.Low, s.High, test.low, test.high)
		}
	}
	if s := ShareOf(0, 0); s != (Share{}) {
		t.Errorf("none of none is %+v", s)
	}
}

func judged(value string, p float64) incident.Judgement {
	return incident.Judgement{Value: value, P: map[string]float64{value: p, "unknown": 1 - p}}
}

func TestResult(t *testing.T) {
	var s Set
	add := func(gold, read string, p float64) {
		s.Add(fmt.Sprint(gold, read, p), Gold{Channel: gold}, incident.Reading{Channel: judged(read, p), Review: p < 0.7}, func(incident.Reason) string { return "" })
	}
	for range 8 {
		add("phone", "phone", 0.95)
	}
	add("phone", "letter", 0.85)
	add("letter", "letter", 0.65)
	r := s.Result()
	if r.Texts != 10 || r.Review.N != 1 || len(r.Fields) != 1 {
		t.Fatalf("result=%+v", r)
	}
	f := r.Fields[0]
	if f.Right.N != 9 || f.Right.Of != 10 {
		t.Errorf("right=%+v, want 9 of 10", f.Right)
	}
	// phone: precision 1, recall 8/9; letter: precision 1/2, recall 1
	if want := round((2*8.0/17 + 2*1.0/3) / 2); math.Abs(f.MacroF1-want) > 0.0002 {
		t.Errorf("macro-F1=%v, want %v", f.MacroF1, want)
	}
	// |8-7.6| + |0-0.85| + |1-0.65| over 10
	if math.Abs(f.ECE-0.16) > 0.0002 {
		t.Errorf("ECE=%v, want 0.16", f.ECE)
	}
	if c := f.Coverage[7]; c.Part != 0.8 || c.Right.N != 8 || c.Right.Of != 8 {
		t.Errorf("the surest 80 %%: %+v, want 8 of 8", c)
	}
	if len(r.Worst) != 1 || r.Worst[0].P != 0.85 || r.Worst[0].Read != "letter" {
		t.Errorf("worst=%+v", r.Worst)
	}
}

// What chance alone shows, against what can be worked out by hand: of four tosses
// of a coin 2 are heads with 6/16, and 0 or 4 with 2/16.
func TestTheCalibrationErrorOfChance(t *testing.T) {
	for name, test := range map[string]struct {
		p          []float64
		mean, most float64
	}{
		"certain":         {[]float64{1, 1, 1}, 0, 0},
		"four coins":      {[]float64{0.5, 0.5, 0.5, 0.5}, 0.1875, 0.5},
		"one nearly sure": {[]float64{0.9}, 2 * 0.9 * 0.1, 0.9},
		"two apart":       {[]float64{0.75, 0.5}, (2*0.75*0.25 + 0.5) / 2, (0.75 + 0.5) / 2},
	} {
		var s Set
		for i, p := range test.p {
			s.Add(fmt.Sprint(i), Gold{Channel: "phone"}, incident.Reading{Channel: judged("phone", p)}, func(incident.Reason) string { return "" })
		}
		got, again := s.Result().Fields[0].Chance, s.Result().Fields[0].Chance
		if math.Abs(got.Mean-test.mean) > 0.015 || math.Abs(got.Most-test.most) > 0.001 {
			t.Errorf("%s: %+v, want %.4f and %.4f", name, got, test.mean, test.most)
		}
		if got != again {
			t.Errorf("%s: %+v, and then %+v", name, got, again)
		}
	}
	// The more texts, the less.
	of := func(n int) Chance {
		var s Set
		for i := range n {
			s.Add(fmt.Sprint(i), Gold{Channel: "phone"}, incident.Reading{Channel: judged("phone", 0.5+float64(i%50)/100)}, func(incident.Reason) string { return "" })
		}
		return s.Result().Fields[0].Chance
	}
	if few, many := of(100), of(10_000); many.Mean*8 > few.Mean || many.Mean*12 < few.Mean {
		t.Errorf("of 100 texts %.4f, of 10,000 %.4f: want about a tenth", few.Mean, many.Mean)
	}
}

func TestTheWorstMistakesComeFirstAndAreTwenty(t *testing.T) {
	var s Set
	for i := range 50 {
		s.Add(fmt.Sprint(i), Gold{Kind: "abuse"}, incident.Reading{Kind: judged("threat", float64(i)/50)}, func(incident.Reason) string { return "" })
	}
	worst := s.Result().Worst
	if len(worst) != mostMistakes || worst[0].ID != "49" || worst[19].ID != "30" {
		t.Errorf("%d mistakes, from %s to %s", len(worst), worst[0].ID, worst[len(worst)-1].ID)
	}
}

func TestWhatIsReadBesides(t *testing.T) {
	var s Set
	yes, no := true, false
	none, phone := "", "phone"
	flag := func(v incident.Flag) incident.Judgement { return incident.Judgement{Value: string(v)} }
	add := func(g Gold, r incident.Reading) { s.Add("", g, r, func(incident.Reason) string { return "" }) }
	add(Gold{SecondChannel: &phone, SeriousThreat: &yes, Basis: &[]string{"racist", "sex"}},
		incident.Reading{SecondChannel: judged("phone", 0.9), SeriousThreat: flag(incident.FlagYes), Weapon: flag(incident.FlagYes), Basis: []incident.Judgement{judged("sex", 0.9), judged("age", 0.6)}})
	add(Gold{SecondChannel: &phone, SeriousThreat: &no, Basis: &[]string{}},
		incident.Reading{SecondChannel: judged("letter", 0.9), SeriousThreat: flag(incident.FlagYes), Basis: []incident.Judgement{judged("other", 0.6)}})
	add(Gold{SecondChannel: &none}, incident.Reading{})
	want := []Mark{
		{"second channel", ShareOf(1, 2), ShareOf(1, 2)},
		{"serious threat", ShareOf(1, 1), ShareOf(1, 2)},
		{"basis of abuse", ShareOf(1, 2), ShareOf(1, 3)},
	}
	if got := s.Result().Marks; !slices.Equal(got, want) {
		t.Errorf("marks=%+v, want %+v", got, want)
	}
}
