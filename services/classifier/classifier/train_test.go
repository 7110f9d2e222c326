package classifier

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/classifier/internal/reading"
)

// TestTheModelIsWhatTrainingMakes trains on the corpus as it stands and
// compares every byte: a corpus, a lexicon or a trainer that was changed
// without training again fails here. It also holds what was measured.
func TestTheModelIsWhatTrainingMakes(t *testing.T) {
	trained, err := Train(TrainConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(trained.File, reading.File()) {
		t.Errorf("training makes the model %s, the program holds %s: run make model", trained.Version, NewReader().Version())
	}
	if trained.HeldOut == nil {
		t.Fatal("the corpus keeps no text from training")
	}
	for name, set := range map[string]struct {
		Evaluation
		floor [3]float64 // kind, channel, target
		off   float64    // the most that probabilities may be from what came true
	}{
		"held out":     {*trained.HeldOut, [3]float64{0.88, 0.9, 0.88}, 0.03},
		"unseen":       {*trained.Unseen, [3]float64{0.85, 0.9, 0.87}, 0.045}, // of 620 texts chance alone makes 0.025
		"other voices": {trained.OtherVoices, [3]float64{0.83, 0.87, 0.86}, 0.02},
	} {
		for i, f := range set.Fields {
			t.Logf("%s: %d texts, %s %.3f (%.3f–%.3f), macro-F1 %.3f, calibration error %.3f (by chance %.3f), of the surest 80 %% %.3f", name, f.Right.Of,
				f.Name, f.Right.Share, f.Right.Low, f.Right.High, f.MacroF1, f.ECE, f.Chance.Mean, f.Coverage[7].Right.Share)
			if f.Right.Share < set.floor[i] {
				t.Errorf("%s: %s right=%.3f, want at least %.2f", name, f.Name, f.Right.Share, set.floor[i])
			}
			if f.ECE > set.off {
				t.Errorf("%s: %s has a calibration error of %.3f, want at most %.3f", name, f.Name, f.ECE, set.off)
			}
		}
	}
}

// small is a corpus in which the channel hangs on a few words.
func small() fstest.MapFS {
	var seeds, held strings.Builder
	for i := range 40 {
		fmt.Fprintf(&seeds, "kind=abuse channel=phone target=named_person voice=a%d\tcaller number %d swore at me down the phone\n", i%4, i)
		fmt.Fprintf(&seeds, "kind=abuse channel=in_person target=named_person voice=b%d\tman number %d swore at me across the desk\n", i%4, i)
		fmt.Fprintf(&seeds, "kind=abuse channel=letter target=named_person voice=c%d\tletter number %d called me a liar\n", i%4, i)
		if i < 12 {
			fmt.Fprintf(&held, "kind=abuse channel=phone target=named_person split=heldout\tperson %d shouted at me on the phone\n", i)
			fmt.Fprintf(&held, "kind=abuse channel=in_person target=named_person split=heldout\tperson %d shouted at me at the counter\n", i)
		}
	}
	return fstest.MapFS{"seeds/learn.txt": {Data: []byte(seeds.String())}, "seeds/held.txt": {Data: []byte(held.String())}}
}

// corrections returns n that say a text came by a channel.
func corrections(n int, text string, channel incident.Channel) *bytes.Buffer {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	for range n {
		c := Features(text)
		c.Kind, c.Channel, c.Target = incident.KindAbuse, channel, incident.TargetNamedPerson
		c.Said.Channel = incident.ChannelInPerson
		if err := encoder.Encode(c); err != nil {
			panic(err)
		}
	}
	return &b
}

func TestCorrectionsAreLearned(t *testing.T) {
	text := "wurbled at me through the flumph again"
	before, err := Train(TrainConfig{Corpus: small()})
	if err != nil {
		t.Fatal(err)
	}
	after, err := Train(TrainConfig{Corpus: small(), Corrections: corrections(8, text, incident.ChannelLetter), Current: open(t, before.File)})
	if err != nil {
		t.Fatal(err)
	}
	p := func(file []byte) float64 { return open(t, file).Read(Input{Narrative: text}).Channel.P["letter"] }
	if p(after.File) < p(before.File)+0.2 || after.Corrections != 8 || before.Corrections != 0 {
		t.Errorf("P(letter)=%.3f after %d corrections and %.3f before, want it to rise", p(after.File), after.Corrections, p(before.File))
	}
	said := Input{Narrative: text, Channel: incident.ChannelInPerson}
	if a, b := open(t, after.File).Read(said).Channel.P["letter"], p(after.File); a > b {
		t.Logf("an answer that corrections overturned eight times still pulls: %.3f to %.3f", b, a)
	}
	again, err := Train(TrainConfig{Corpus: small(), Corrections: corrections(8, text, incident.ChannelLetter)})
	if err != nil || !bytes.Equal(again.File, after.File) {
		t.Errorf("the same corrections make another model, err=%v", err)
	}
}

func TestAModelThatReadsWorseIsRefused(t *testing.T) {
	before, err := Train(TrainConfig{Corpus: small()})
	if err != nil {
		t.Fatal(err)
	}
	// whoever says so often enough that the phone is a letter spoils the model
	poison := corrections(2000, "person shouted at me on the phone", incident.ChannelLetter)
	after, err := Train(TrainConfig{Corpus: small(), Corrections: poison, Current: open(t, before.File)})
	if !errors.Is(err, ErrWorse) || after.File != nil || after.Before == nil {
		t.Fatalf("err=%v file=%d bytes, want it refused", err, len(after.File))
	}
	if !strings.Contains(err.Error(), "channel") {
		t.Errorf("err=%v, want it to name the channel", err)
	}
}

func open(t *testing.T, file []byte) Reader {
	t.Helper()
	r, err := OpenReader(file)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMistakesInCorrectionsAndCorpusAreNamed(t *testing.T) {
	good := Features("swore at me")
	other, outside, label, twice, lettered := good, good, good, good, good
	twice.Features = append(slices.Clone(good.Features), good.Features[0])
	lettered.Lettered = 1 << 62
	other.Space, outside.Features, label.Kind = "another", []reading.Feature{1 << 20}, "murder"
	for want, c := range map[string]any{
		"correction 1 was made for the lexicon": other,
		"feature 1048576 does not exist":        outside,
		"a label is not in the taxonomy":        label,
		"no features":                           Correction{Space: good.Space},
		"“features” must be a list":             map[string]string{"features": "x"},
		"“features” must be a whole number":     map[string]any{"features": []string{"x"}},
		"“lettered” must be a whole number":     map[string]any{"lettered": 1.5},
		"line 1: a feature stands there twice":  twice,
		"“lettered” is more than any text has":  lettered,
		"line 1: it must be a JSON object":      []int{1},
	} {
		line, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Train(TrainConfig{Corpus: small(), Corrections: bytes.NewReader(line)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err=%v, want %q", err, want)
		}
	}
	if _, err := Train(TrainConfig{Corpus: fstest.MapFS{"seeds/a.txt": {Data: []byte("kind=abuse channel=sideways target=unknown\tx\n")}}}); err == nil || !strings.Contains(err.Error(), "seeds/a.txt:1") {
		t.Errorf("err=%v, want the file and line", err)
	}
}

// Whatever stands in a file of corrections, it is taken or its line is named.
func FuzzReadCorrections(f *testing.F) {
	f.Add(corrections(2, "swore at me down the phone", incident.ChannelPhone).Bytes())
	for _, line := range []string{"", "\n\n", "null", "[1]", `{"space":7}`, `{"features":[-1]}`, `{"features":[4294967296]}`, `{"features":[1,1]}`, `{"lettered":9223372036854775807}`, `{"said":[]}`, "{\n}", "\xff"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		all, err := readCorrections(bytes.NewReader(in))
		if err != nil {
			if all != nil || !strings.HasPrefix(err.Error(), "corrections, line ") {
				t.Errorf("%d corrections and %v", len(all), err)
			}
			return
		}
		for _, c := range all {
			seen := make(map[reading.Feature]bool, len(c.Features))
			for _, f := range c.Features {
				if seen[f] {
					t.Errorf("feature %d stands there twice", f)
				}
				seen[f] = true
			}
		}
	})
}
