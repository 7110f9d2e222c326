package command

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

func TestClassifyNeedsNoDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	r := onrecord(t, `{"id":"1","text":"swore at me down the phone"}`+"\nnonsense\n"+`{"id":"2","text":"kicked me under the desk"}`+"\n", "classify", "--data-dir", dir)
	if r.code != run.ExitFailed || !strings.Contains(r.err, "line 2: not JSON") || !strings.Contains(r.err, "1 line could not be read") {
		t.Errorf("exit %d, %q; want 1 and line 2 named", r.code, r.err)
	}
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"id":"1","channel":"phone"`) || !strings.Contains(lines[1], `"kind":"assault"`) {
		t.Errorf("out=%s", r.out)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a data directory was made")
	}
	fails(t, run.ExitFailed, "no such file", "", "classify", "missing.jsonl")
	fails(t, run.ExitMistake, "arg", "", "classify", "a", "b")
}

func TestEvalPrintsForPeopleAndForPrograms(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gold.jsonl")
	lines := `{"id":"a","text":"swore at me down the phone","gold_channel":"phone","gold_kind":"abuse"}
{"id":"b","text":"kicked me under the desk","gold_kind":"threat","gold_target":"named_person","gold_weapon":false,"gold_basis":["age"]}
`
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	out := must(t, "", "eval", file)
	for _, want := range []string{"KIND", "CHANNEL", "TARGET", "0.500 (0.095–0.905), 1 of 2", "macro-F1", "calibration error", "by chance alone 0.", "most confident", "threat, read as assault", "“kicked", "BESIDES", "basis of abuse", "0.000 (0.000–0.793), 0 of 1", "–, there are none"} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q in:\n%s", want, out)
		}
	}
	var result struct {
		Model  string
		Texts  int
		Fields []struct {
			Name  string
			Right struct{ N, Of int }
			Off   struct{ Mean, Most float64 } `json:"calibration_error_by_chance"`
		}
	}
	if err := json.Unmarshal([]byte(must(t, lines, "eval", "--json", "--words-only", "-")), &result); err != nil {
		t.Fatal(err)
	}
	if result.Model == "" || result.Texts != 2 || len(result.Fields) != 3 || result.Fields[0].Right.N != 1 || result.Fields[0].Off.Mean <= 0 || result.Fields[0].Off.Most < result.Fields[0].Off.Mean {
		t.Errorf("result=%+v", result)
	}
	fails(t, run.ExitMistake, "accepts 1 arg", "", "eval")
	if out := must(t, "", "eval", "--json", "-"); !strings.Contains(out, `"fields": []`) || !strings.Contains(out, `"worst": []`) {
		t.Errorf("of no texts at all: %s", out)
	}
}

// corpusOf writes a corpus that trains in a moment.
func corpusOf(t *testing.T, word string) string {
	t.Helper()
	dir := t.TempDir()
	var b bytes.Buffer
	for _, voice := range []string{"a", "b", "c", "d", "e"} {
		for _, who := range []string{"man", "woman", "lad", "customer"} {
			b.WriteString("kind=abuse channel=phone target=named_person voice=" + voice + "\ta " + who + " from " + voice + " swore at me down the " + word + "\n")
			b.WriteString("kind=assault channel=in_person target=named_person voice=" + voice + "\ta " + who + " from " + voice + " hit me at the desk\n")
		}
	}
	b.WriteString("kind=abuse channel=phone target=named_person split=heldout\tshouted at me on the phone\n")
	if err := os.MkdirAll(filepath.Join(dir, "seeds"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "seeds", "a.txt"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A device or a directory is not replaced by a file, and nobody waits for a
// training that cannot be kept.
func TestOnlyAFileIsReplaced(t *testing.T) {
	dir := t.TempDir()
	device := filepath.Join(dir, "device")
	if err := os.Symlink("/dev/null", device); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{device: "no regular file", dir: "no regular file", filepath.Join(dir, "none", "model.bin"): "no such file"} {
		if r := onrecord(t, "", "train", "--out", path); r.code != run.ExitFailed || !strings.Contains(r.err, want) || strings.Contains(r.err, "Training") {
			t.Errorf("train --out %s: exit %d %q, want %q before anything is done", path, r.code, r.err, want)
		}
		if _, err := writeCorrections(path, func(func(string)) (int, error) { t.Errorf("%s is written", path); return 0, nil }); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("corrections %s: %v, want %q", path, err, want)
		}
	}
	if target, err := os.Readlink(device); err != nil || target != "/dev/null" {
		t.Errorf("the device is %q %v", target, err)
	}
}

func TestRollingBackTheFirstModelCanBeTakenBack(t *testing.T) {
	data := t.TempDir()
	model := filepath.Join(data, "model.bin")
	must(t, "", "train", "--corpus", corpusOf(t, "phone"), "--data-dir", data)
	first, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if out := must(t, "", "train", "--rollback", "--data-dir", data); !strings.Contains(out, "model in this program is in use again") {
			t.Errorf("out=%s", out)
		}
		if _, err := os.Stat(model); !os.IsNotExist(err) {
			t.Errorf("the model is still there: %v", err)
		}
		must(t, "", "train", "--rollback", "--data-dir", data)
		if again, err := os.ReadFile(model); err != nil || !bytes.Equal(again, first) {
			t.Errorf("the first model is not back: %v", err)
		}
	}
	history := must(t, "", "train", "--history", "--data-dir", data)
	if strings.Count(history, "rolled back") != 4 {
		t.Errorf("history=%s, want four changes", history)
	}
}

func TestTrainKeepsTheModelBeforeAndBringsItBack(t *testing.T) {
	data := t.TempDir()
	model := filepath.Join(data, "model.bin")
	read := func(path string) string {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	out := must(t, "", "train", "--corpus", corpusOf(t, "phone"), "--data-dir", data)
	if !strings.Contains(out, "40 examples and 0 corrections") || !strings.Contains(out, "the same by the model in use") || !strings.Contains(out, model) {
		t.Errorf("out=%s", out)
	}
	first := read(model)
	must(t, "", "train", "--corpus", corpusOf(t, "line"), "--data-dir", data)
	second := read(model)
	if first == second || read(model+".previous") != first {
		t.Fatal("the second model does not stand there with the first beside it")
	}
	must(t, "", "train", "--rollback", "--data-dir", data)
	if read(model) != first || read(model+".previous") != second {
		t.Error("rolled back, the first model does not stand there with the second beside it")
	}
	history := strings.Split(strings.TrimSpace(must(t, "", "train", "--history", "--data-dir", data)), "\n")
	if len(history) != 4 || !strings.Contains(history[1], "trained") || !strings.Contains(history[2], "(was 1.000)") || !strings.Contains(history[3], "rolled back") {
		t.Fatalf("history=%q, want two trainings and one way back", history)
	}
	trained, back := strings.Fields(history[2]), strings.Fields(history[3])
	if trained[3] != back[5] || trained[4] != back[4] {
		t.Errorf("after %q it was rolled back so: %q", trained, back)
	}
	log := filepath.Join(data, "model.log")
	if info, err := os.Stat(log); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the log is readable by others: %v %v", info, err)
	}
	if strings.Contains(read(log), "swore") {
		t.Error("the log holds words")
	}
	fails(t, run.ExitMistake, "--history changes nothing", "", "train", "--rollback", "--history")
	if out := must(t, "", "train", "--history", "--data-dir", t.TempDir()); !strings.Contains(out, "the model in this program is in use") {
		t.Errorf("without a model of one's own: %q", out)
	}
	if got := must(t, `{"text":"swore at me down the phone"}`, "classify", "--model", model); !strings.Contains(got, `"channel":"phone"`) {
		t.Errorf("read as %s", got)
	}
	fails(t, run.ExitMistake, "--rollback trains nothing", "", "train", "--rollback", "--corpus", "x")
	fails(t, run.ExitFailed, "nothing to roll back", "", "train", "--rollback", "--data-dir", t.TempDir())
	fails(t, run.ExitFailed, "corpus", "", "train", "--corpus", t.TempDir(), "--data-dir", data)
}

func TestChecksArePrintedModelByModel(t *testing.T) {
	var out bytes.Buffer
	s := &shared{env: Env{Stdout: &out}}
	found := []reporting.Checks{{Model: "demo-1", Picked: 9, Settled: 8, Waiting: 1, Kept: map[string]int{"kind": 8, "channel": 6}}, {Model: "demo-2", Picked: 1}}
	if err := s.sayChecks(found); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], "1.000 (0.676–1.000)") || !strings.Contains(lines[1], "0.750 (0.409–0.929)") || !strings.Contains(lines[1], "0.000 (0.000–0.324)") || strings.Count(lines[2], "–") != 3 {
		t.Errorf("printed:\n%s", out.String())
	}
}
