package classifier

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
)

// classify runs Classify on lines and returns what it wrote and what was bad.
func classify(t *testing.T, in string) (out []ReadLine, bad map[int]string) {
	t.Helper()
	var b strings.Builder
	bad = make(map[int]string)
	wrong, err := Classify(NewReader(), strings.NewReader(in), &b, func(n int, err error) { bad[n] = err.Error() })
	if err != nil || wrong != len(bad) {
		t.Fatalf("wrong=%d err=%v, %d were reported", wrong, err, len(bad))
	}
	for line := range strings.Lines(b.String()) {
		var l ReadLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	return out, bad
}

func TestClassifyKeepsOrderAndGoesOnAfterABadLine(t *testing.T) {
	out, bad := classify(t, "\xef\xbb\xbf"+`{"id":1,"text":"kicked me under the desk"}
{"id":"two","text":"swore at me down the phone","channel":"phone"}
not json

{"id":3}
{"text":"facebook post calling me scum","extra":[1,2]}
{"id":4,"text":7}
{"id":5,"text":"x","channel":"pigeon"}
{"id":{"a":1},"text":""}`+"\r\n"+`{"id":6,"text":"`)
	var ids []string
	for _, l := range out {
		ids = append(ids, string(l.ID))
	}
	if got, want := strings.Join(ids, " "), `1 "two" null {"a":1}`; got != want {
		t.Errorf("ids=%s, want %s", got, want)
	}
	for n, want := range map[int]string{3: "at byte 2", 5: "no “text”", 7: "“text” must be a text", 8: "“channel” is none of in_person", 10: "goes wrong"} {
		if !strings.Contains(bad[n], want) {
			t.Errorf("line %d: %q, want %q", n, bad[n], want)
		}
	}
	if len(bad) != 5 {
		t.Errorf("bad=%v, want five", bad)
	}
	if out[0].Kind != "assault" || out[0].Channel != "in_person" || out[1].Channel != "phone" || out[2].Channel != "public_online" || !out[3].Review {
		t.Errorf("read as %+v", out)
	}
	for _, l := range out {
		for field, p := range l.P {
			sum := 0.0
			for _, v := range p {
				sum += v
			}
			if sum < 0.999 || sum > 1.001 {
				t.Errorf("%s: %s sums to %v", l.ID, field, sum)
			}
		}
	}
	if why := out[0].Why; len(why) == 0 || why[0].Words == "" {
		t.Errorf("why=%+v, want words", why)
	}
}

func TestWhatIsNoObjectIsSaidToBeNone(t *testing.T) {
	_, bad := classify(t, "[1]\n\"x\"\n7\nnull\n")
	for n, want := range map[int]string{1: "must be a JSON object", 2: "must be a JSON object", 3: "must be a JSON object", 4: "no “text”"} {
		if !strings.Contains(bad[n], want) {
			t.Errorf("line %d: %q, want %q", n, bad[n], want)
		}
	}
}

// What a reporter wrote does nothing to the terminal on which its words are shown.
func TestWordsOfMistakesAreShownAndNotDone(t *testing.T) {
	in := `{"text":"rang and\u001b[2J\u202e called\tme\na bitch down\u001b]0;x\u0007 the phone","gold_channel":"letter"}`
	r, _, err := Evaluate(NewReader(), strings.NewReader(in), true, func(int, error) {})
	if err != nil || len(r.Worst) != 1 || len(r.Worst[0].Words) == 0 {
		t.Fatalf("err=%v worst=%+v, want one mistake with words", err, r.Worst)
	}
	if words := strings.Join(r.Worst[0].Words, " "); strings.ContainsAny(words, "\x1b\a\t\n\u202e") {
		t.Errorf("shown as %q", words)
	}
	if got := quoted("down\x1b]0;x\a the\u202e\nphone é"); got != "“down ]0;x  the  phone é”" {
		t.Errorf("quoted as %q", got)
	}
}

func TestALineThatIsTooLongIsPassedOver(t *testing.T) {
	out, bad := classify(t, `{"text":"`+strings.Repeat("swore ", maxLine/6)+`"}`+"\n"+`{"id":"after","text":"spat at me"}`)
	if len(out) != 1 || string(out[0].ID) != `"after"` || !strings.Contains(bad[1], "longer") {
		t.Errorf("out=%+v bad=%v", out, bad)
	}
}

// Whoever talks to classify through a pipe gets each answer before the next question.
func TestClassifyAnswersEachLineAsItComes(t *testing.T) {
	in, ask := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := Classify(NewReader(), in, out, func(int, error) {})
		done <- err
		out.Close()
	}()
	lines := bufio.NewScanner(answers)
	lines.Buffer(nil, maxLine)
	for n := range 3 {
		if _, err := fmt.Fprintf(ask, `{"id":%d,"text":"shouted at me at the counter"}`+"\n", n); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), fmt.Sprintf(`{"id":%d,`, n)) {
			t.Fatalf("answer %d: %q, %v", n, lines.Text(), lines.Err())
		}
	}
	ask.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestEvaluateToleratesMissingGold(t *testing.T) {
	in := `{"id":"a","text":"kicked me under the desk","gold_kind":"assault","gold_channel":"in_person"}
{"id":"b","text":"swore at me down the phone","gold_channel":"letter","channel":"letter"}
{"id":"c","text":"nothing to compare with"}
{"id":"d","text":"x","gold_kind":"murder"}
`
	bad := 0
	r, wrong, err := Evaluate(NewReader(), strings.NewReader(in), true, func(int, error) { bad++ })
	if err != nil || wrong != 1 || bad != 1 {
		t.Fatalf("wrong=%d bad=%d err=%v", wrong, bad, err)
	}
	if r.Texts != 3 || len(r.Fields) != 2 || r.Fields[0].Name != "kind" || r.Fields[0].Right.Of != 1 || r.Fields[1].Right.Of != 2 || r.Fields[1].Right.N != 1 {
		t.Errorf("result=%+v", r)
	}
	if len(r.Worst) != 1 || r.Worst[0].ID != "b" || r.Worst[0].Read != "phone" || !strings.Contains(strings.Join(r.Worst[0].Words, " "), "down the phone") {
		t.Errorf("worst=%+v, want b with its reasons", r.Worst)
	}
}

func TestEvaluateMeasuresWhatIsReadBesides(t *testing.T) {
	in := `{"text":"he said at my desk that he will come back with a knife and kill me","gold_serious_threat":true,"gold_weapon":true,"gold_basis":[]}
{"text":"filmed me at the desk and then posted the video on Facebook","gold_second_channel":"public_online"}
{"text":"no guard on the door","gold_second_channel":"","gold_serious_threat":false,"gold_weapon":false}
{"text":"x","gold_second_channel":"pigeon"}
{"text":"x","gold_weapon":"yes"}
{"text":"x","gold_basis":["silly"]}
{"text":"x","gold_basis":"racist"}
`
	bad := map[int]string{}
	r, wrong, err := Evaluate(NewReader(), strings.NewReader(in), true, func(n int, err error) { bad[n] = err.Error() })
	if err != nil || wrong != 4 || r.Texts != 3 {
		t.Fatalf("wrong=%d texts=%d err=%v", wrong, r.Texts, err)
	}
	for n, want := range map[int]string{4: "“gold_second_channel” is none of", 5: "“gold_weapon” must be true or false", 6: "“gold_basis” has what", 7: "“gold_basis” must be a list"} {
		if !strings.Contains(bad[n], want) {
			t.Errorf("line %d: %q, want %q", n, bad[n], want)
		}
	}
	for _, m := range r.Marks {
		if want := map[string]int{"second channel": 1, "serious threat": 1, "weapon": 1}[m.Name]; m.Found.N != want || m.Found.Of != want || m.Right.Of != want {
			t.Errorf("%s: %+v, want %d found of as many", m.Name, m, want)
		}
	}
	if len(r.Marks) != 4 {
		t.Errorf("%d marks, want four", len(r.Marks))
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(`{"id":1,"text":"swore at me","channel":"phone"}` + "\n{\n")
	f.Add(`{"text":"swore at me","gold_weapon":true,"gold_basis":["age"],"gold_second_channel":""}` + "\n")
	f.Fuzz(func(t *testing.T, in string) {
		var out strings.Builder
		if _, err := Classify(NewReader(), strings.NewReader(in), &out, func(int, error) {}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) {
				t.Fatalf("%q is no JSON", line)
			}
		}
		if _, _, err := Evaluate(NewReader(), strings.NewReader(in), false, func(int, error) {}); err != nil {
			t.Fatal(err)
		}
	})
}
