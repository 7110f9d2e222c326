package reading

import (
	"bufio"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
)

// example is a line of testdata: words and the right answers.
type example struct {
	trap, text string
	want       [Heads]string // "*" is not judged, "a|b" accepts either
}

func examples(tb testing.TB, file string) []example {
	tb.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var out []example
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		var e example
		if len(fields) == 5 {
			e.trap, fields = fields[0], fields[1:]
		}
		if len(fields) != 4 {
			tb.Fatalf("%s: %d fields in %q", file, len(fields), line)
		}
		e.want, e.text = [Heads]string(fields[:3]), fields[3]
		out = append(out, e)
	}
	if err := lines.Err(); err != nil {
		tb.Fatal(err)
	}
	return out
}

func judgements(r incident.Reading) [Heads]incident.Judgement {
	return [Heads]incident.Judgement{r.Kind, r.Channel, r.Target}
}

func accepts(want, got string) bool {
	return want == "*" || slices.Contains(strings.Split(want, "|"), got)
}

// TestTraps holds sentences of our own whose words point the wrong way: of
// those of one trap at most one may be read wrong in each field.
func TestTraps(t *testing.T) {
	reader := Embedded()
	wrong := make(map[string]int)
	for _, e := range examples(t, "tuned.tsv") {
		if e.trap == "plain" || e.trap == "other voices" || e.trap == "new words" {
			continue // TestScore counts these
		}
		for h, got := range judgements(reader.Read(Input{Narrative: e.text})) {
			if accepts(e.want[h], got.Value) {
				continue
			}
			where := e.trap + ", " + Head(h).String()
			report := t.Logf
			if wrong[where]++; wrong[where] > 1 {
				report = t.Errorf
			}
			report("%s: %q is read as %s (%.2f), want %s%s", where, e.text, got.Value, got.P[got.Value], e.want[h], because(e.text, got))
		}
	}
}

func because(text string, j incident.Judgement) string {
	var b strings.Builder
	for _, r := range j.Reasons {
		b.WriteString("\n\t" + text[r.Start:r.End] + " → " + r.Class + " → " + r.For)
	}
	return b.String()
}

// score is how a set of examples was read.
type score struct {
	judged, right [Heads]int
	review        int
	// calibration: by tenth of probability, how many, how many right, and the sum
	tenth [11]struct {
		n, right int
		p        float64
	}
}

func (s *score) share(h Head) float64 { return float64(s.right[h]) / float64(s.judged[h]) }

// calibrationError is the expected calibration error over all three fields.
func (s *score) calibrationError() float64 {
	var gap, n float64
	for _, b := range s.tenth {
		gap += math.Abs(float64(b.right) - b.p)
		n += float64(b.n)
	}
	return gap / n
}

func scoreOf(reader Reader, all []example, input func(example) Input) *score {
	s := new(score)
	for _, e := range all {
		got := reader.Read(input(e))
		if got.Review {
			s.review++
		}
		for h, j := range judgements(got) {
			if e.want[h] == "*" {
				continue
			}
			s.judged[h]++
			b := &s.tenth[int(j.P[j.Value]*10)]
			b.n, b.p = b.n+1, b.p+j.P[j.Value]
			if accepts(e.want[h], j.Value) {
				s.right[h]++
				b.right++
			}
		}
	}
	return s
}

func wordsAlone(e example) Input { return Input{Narrative: e.text} }

// TestScore prints how well both sets of short, plain sentences are read and
// fails below what was measured when this was written. The hard texts are
// those of the corpus: see TestTheModelIsWhatTrainingMakes.
func TestScore(t *testing.T) {
	for _, set := range []struct {
		file  string
		floor [Heads]float64
	}{
		{"tuned.tsv", [Heads]float64{0.95, 0.98, 0.95}},
		{"held.tsv", [Heads]float64{0.93, 0.96, 0.94}},
	} {
		all := examples(t, set.file)
		s := scoreOf(Embedded(), all, wordsAlone)
		t.Logf("%-9s %3d sentences: kind %.3f, channel %.3f, target %.3f right; calibration error %.3f; a person asked for %.2f",
			set.file, len(all), s.share(HeadKind), s.share(HeadChannel), s.share(HeadTarget), s.calibrationError(), float64(s.review)/float64(len(all)))
		for h := range Head(Heads) {
			if got := s.share(h); got < set.floor[h] {
				t.Errorf("%s: %s right=%.3f, want at least %.2f", set.file, h, got, set.floor[h])
			}
		}
	}
}

func TestTheReportersAnswerHelpsWhereTheWordsAreSilent(t *testing.T) {
	all := examples(t, "tuned.tsv")
	answered := scoreOf(Embedded(), all, func(e example) Input {
		in := wordsAlone(e)
		if !strings.ContainsAny(e.want[HeadChannel], "*|") {
			in.Channel = incident.Channel(e.want[HeadChannel])
		}
		return in
	})
	if alone := scoreOf(Embedded(), all, wordsAlone); answered.right[HeadChannel] < alone.right[HeadChannel] || answered.review > alone.review {
		t.Errorf("with the right answer right=%d review=%d, without right=%d review=%d: an answer must help",
			answered.right[HeadChannel], answered.review, alone.right[HeadChannel], alone.review)
	}
}

func TestTheChairAtTheScreen(t *testing.T) {
	text := "a man at the front desk threw a chair at the screen and shouted at me"
	r := Embedded().Read(Input{Narrative: text})
	if r.Kind.Value != "attempted_assault" || r.Channel.Value != "in_person" || r.Target.Value != "named_person" {
		t.Errorf("read as %s, %s, %s; want attempted_assault, in_person, named_person", r.Kind.Value, r.Channel.Value, r.Target.Value)
	}
	for word, want := range map[string]string{"front desk": "at the place", "threw": "something was thrown", "at me": "me"} {
		if !slices.ContainsFunc(slices.Concat(r.Kind.Reasons, r.Channel.Reasons, r.Target.Reasons), func(got incident.Reason) bool {
			return text[got.Start:got.End] == word && got.Class == want
		}) {
			t.Errorf("no reason says %q → %s", word, want)
		}
	}
}

func TestWordsThatHardlySpokeAreNoReasons(t *testing.T) {
	text := "A man in the waiting room was shouting because his money was late, and it got worse when he was told to wait. He threw a chair at me."
	r := Embedded().Read(Input{Narrative: text})
	for _, j := range judgements(r) {
		most, least := 0.0, math.Inf(1)
		for _, why := range j.Reasons {
			most, least = max(most, why.Weight), min(least, why.Weight)
			if word := text[why.Start:why.End]; word == "was" || word == "his" || word == "it" || word == "and" {
				t.Errorf("%s=%s because of %q", why.Class, why.For, word)
			}
		}
		if least < most*leastShare {
			t.Errorf("%s: a reason of %v beside one of %v", j.Value, least, most)
		}
	}
}

func TestWithoutWordsTheAnswersAreRead(t *testing.T) {
	r := Embedded().Read(Input{Kind: incident.KindThreat, Channel: incident.ChannelPhone, Target: incident.TargetAnyStaff})
	if r.Kind.Value != "threat" || r.Channel.Value != "phone" || r.Target.Value != "any_staff" {
		t.Errorf("read as %s, %s, %s; want the answers", r.Kind.Value, r.Channel.Value, r.Target.Value)
	}
	if !r.Review {
		t.Error("Review=false, want a person to look: no words were there")
	}
	for _, j := range judgements(r) {
		if len(j.Reasons) != 1 || j.Reasons[0].Class != reporterSaid || j.Reasons[0].Start != 0 || j.Reasons[0].End != 0 {
			t.Errorf("reasons=%+v, want the reporter’s answer alone", j.Reasons)
		}
	}
	if r := Embedded().Read(Input{}); r.Kind.Value != "unknown" || r.Channel.Value != "unknown" || r.Target.Value != "unknown" || !r.Review {
		t.Errorf("nothing at all is read as %s, %s, %s, review=%v; want unknown and a person", r.Kind.Value, r.Channel.Value, r.Target.Value, r.Review)
	}
}

func TestTheAnswerIsEvidenceNotTheTruth(t *testing.T) {
	reader := Embedded()
	text := "caller screamed down the phone at me for ten minutes then hung up, abusive phone call"
	r := reader.Read(Input{Narrative: text, Channel: incident.ChannelPublicOnline})
	if r.Channel.Value != "phone" || !r.Review {
		t.Errorf("channel=%s review=%v, want the plain words to stand and a person to settle it", r.Channel.Value, r.Review)
	}
	r = reader.Read(Input{Narrative: "swore at me", Channel: incident.ChannelPhone})
	if r.Channel.Value != "phone" {
		t.Errorf("channel=%s, want the answer where the words say nothing", r.Channel.Value)
	}
	r = reader.Read(Input{Narrative: text, Channel: "carrier_pigeon", Kind: "nonsense", Target: "?"})
	if r.Channel.Value != "phone" {
		t.Errorf("channel=%s, want an answer outside the taxonomy passed over", r.Channel.Value)
	}
}

func TestHazardsHaveNoChannelAndNoTargetWhateverWasAnswered(t *testing.T) {
	r := Embedded().Read(Input{
		Narrative: "no screen at my desk and the panic button is broken",
		Kind:      incident.KindMissingControl, Channel: incident.ChannelInPerson, Target: incident.TargetNamedPerson,
	})
	if r.Kind.Value != "missing_control" || r.Channel.Value != "not_applicable" || r.Target.Value != "not_applicable" {
		t.Errorf("read as %s, %s, %s; want missing_control and not_applicable twice", r.Kind.Value, r.Channel.Value, r.Target.Value)
	}
}

func TestAFewWordsAskForAPerson(t *testing.T) {
	reader := Embedded()
	for _, text := range []string{"punched", "slapped me", "it happened like it always does round these parts"} {
		if !reader.Read(Input{Narrative: text}).Review {
			t.Errorf("%q: review=false, want true", text)
		}
	}
	plain := "A claimant punched me in the face at the front desk, I have a black eye"
	if r := reader.Read(Input{Narrative: plain, Kind: "assault", Channel: "in_person", Target: "named_person"}); r.Review {
		t.Errorf("%q with the same answers: review=true, want false: %+v", plain, r)
	}
}

// Where the words tell no way, none is made up: the answer is that they do not
// say, or is not sure, and a person is asked.
func TestNoWayIsMadeUp(t *testing.T) {
	for _, text := range []string{
		"customer threatened to kill me", "abusive and threatening behaviour again today", "I was verbally abused by a member of the public",
		"Claimant became very angry and made threats against my family.", "was called every name under the sun for doing my job",
		"bu'n gas iawn wrtha i eto heddiw",
	} {
		r := Embedded().Read(Input{Narrative: text})
		if c := r.Channel; c.Value != "unknown" && c.P[c.Value] > 0.5 || !r.Review {
			t.Errorf("%q: channel=%s (%.2f) review=%v, want none that is likely, and a person asked", text, c.Value, c.P[c.Value], r.Review)
		}
	}
}

// check holds what is true of every reading of any input.
func check(tb testing.TB, in Input, r incident.Reading) {
	tb.Helper()
	values := [Heads][]string{plain(incident.Kinds), plain(incident.Channels), plain(incident.Targets)}
	for h, j := range judgements(r) {
		sum := 0.0
		for v, p := range j.P {
			if !slices.Contains(values[h], v) || p < 0 || p > 1 || math.IsNaN(p) {
				tb.Errorf("%s: P(%s)=%v", Head(h), v, p)
			}
			sum += p
		}
		if math.Abs(sum-1) > 1e-9 {
			tb.Errorf("%s: probabilities sum to %v, want 1", Head(h), sum)
		}
		if !slices.Contains(values[h], j.Value) {
			tb.Errorf("%s=%q is not in the taxonomy", Head(h), j.Value)
		}
		if j.Value == "unknown" && !r.Review {
			tb.Errorf("%s is unknown and nobody is asked", Head(h))
		}
		for _, reason := range j.Reasons {
			if reason.Start < 0 || reason.End < reason.Start || reason.End > len(in.Narrative) {
				tb.Errorf("%s: reason at %d–%d of %d bytes", Head(h), reason.Start, reason.End, len(in.Narrative))
			}
			if reason.Class == "" || !slices.Contains(values[h], reason.For) || reason.Weight <= 0 {
				tb.Errorf("%s: reason %+v", Head(h), reason)
			}
		}
	}
	for _, j := range append([]incident.Judgement{r.SecondChannel, r.SeriousThreat, r.Weapon}, r.Basis...) {
		for v, p := range j.P {
			if !(p >= 0 && p <= 1) {
				tb.Errorf("P(%s)=%v", v, p)
			}
		}
		for _, reason := range j.Reasons {
			if reason.Start < 0 || reason.End < reason.Start || reason.End > len(in.Narrative) || reason.Class == "" {
				tb.Errorf("reason %+v in %d bytes", reason, len(in.Narrative))
			}
		}
	}
	if second := r.SecondChannel.Value; second != "" && (second == r.Channel.Value || r.Channel.Value == "not_applicable" || r.Channel.Value == "unknown") {
		tb.Errorf("a second channel %s beside %s", second, r.Channel.Value)
	}
	kind := incident.Kind(r.Kind.Value)
	if kind.IsHazard() && (len(r.Basis) > 0 || r.SeriousThreat.Value == "yes") {
		tb.Errorf("%s with a basis %v or a serious threat", kind, r.Basis)
	}
	for _, j := range []incident.Judgement{r.Channel, r.Target} {
		if idle := j.Value == "not_applicable"; kind.IsHazard() && !idle || kind.IsAggression() && idle {
			tb.Errorf("kind %s beside %s", kind, j.Value)
		}
	}
}

// shape is what of a reading must not depend on case and spacing.
func shape(r incident.Reading) string {
	return fmt.Sprint(r.Kind.Value, r.Kind.P, r.Channel.Value, r.Channel.P, r.Target.Value, r.Target.P, len(r.Kind.Reasons), r.Review)
}

func TestCaseSpacingAndQuotesDoNotChangeTheReading(t *testing.T) {
	reader := Embedded()
	for _, e := range slices.Concat(examples(t, "tuned.tsv"), examples(t, "held.tsv")) {
		want := shape(reader.Read(wordsAlone(e)))
		for name, text := range map[string]string{
			"capitals":     strings.ToUpper(e.text),
			"two spaces":   strings.ReplaceAll(e.text, " ", "  "),
			"line breaks":  strings.ReplaceAll(e.text, " ", "\n"),
			"curly quotes": strings.ReplaceAll(e.text, "'", "’"),
			"wide spaces":  "\u00a0" + strings.ReplaceAll(e.text, " ", "\u2003") + "\t",
			"full width":   strings.Map(fullWidth, e.text),
			"soft hyphens": strings.ReplaceAll(e.text, "e", "e\u00ad"),
		} {
			in := Input{Narrative: text}
			got := reader.Read(in)
			check(t, in, got)
			if shape(got) != want {
				t.Errorf("%s: %q is read as %s, want %s", name, text, shape(got), want)
			}
		}
	}
}

func fullWidth(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
		return r + 0xFEE0
	}
	return r
}

func TestTheSameInputIsReadTheSame(t *testing.T) {
	first, second := Embedded(), Embedded()
	for _, e := range examples(t, "held.tsv") {
		a, b := first.Read(wordsAlone(e)), second.Read(wordsAlone(e))
		first.Read(Input{Narrative: "something else between, on Facebook"})
		if again := first.Read(wordsAlone(e)); shape(a) != shape(b) || a.Kind.P["abuse"] != again.Kind.P["abuse"] {
			t.Errorf("%q is read in two ways", e.text)
		}
	}
}

func TestVersionIsATokenOfASubject(t *testing.T) {
	v := Embedded().Version()
	if v == "" || strings.ContainsAny(v, ". *>\t\r\n") {
		t.Errorf("Version=%q, want a token of a NATS subject", v)
	}
	other, err := parseLexicon(lexiconText + worldText + "\n# one more line\n")
	if err != nil {
		t.Fatal(err)
	}
	if other.version == Space() {
		t.Error("another lexicon has the same version")
	}
}

func FuzzRead(f *testing.F) {
	for _, e := range examples(f, "tuned.tsv") {
		f.Add(e.text, e.want[HeadKind], e.want[HeadChannel], e.want[HeadTarget])
	}
	f.Add("\xff\xfe f*\x00** Ŵŷ 𝗵𝗶𝘁 'm’e ***", "other", "not_applicable", "not_applicable")
	f.Add(strings.Repeat("\ufdfa ", mostBytes/3), "", "", "") // each is read as eighteen letters
	reader := Embedded()
	f.Fuzz(func(t *testing.T, text, kind, channel, target string) {
		in := Input{text, incident.Kind(kind), incident.Channel(channel), incident.Target(target)}
		check(t, in, reader.Read(in))
	})
}

func BenchmarkReadShort(b *testing.B) {
	benchmarkRead(b, "a man at the front desk threw a chair at the screen and shouted at me")
}

func BenchmarkRead300Words(b *testing.B) {
	var words []string
	for _, e := range examples(b, "tuned.tsv") {
		words = append(words, strings.Fields(e.text+".")...)
	}
	benchmarkRead(b, strings.Join(words[:300], " "))
}

func benchmarkRead(b *testing.B, text string) {
	reader := Embedded()
	in := Input{Narrative: text}
	b.ReportAllocs()
	for b.Loop() {
		reader.Read(in)
	}
}

func BenchmarkParseLexicon(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseLexicon(lexiconText + worldText); err != nil {
			b.Fatal(err)
		}
	}
}
