package program_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/onrecord/onrecord/services/classifier/classifier"
	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
)

// What a rep decides becomes an example without words, a model is made of it,
// and the new model reads what nobody decided: beside the reading before it,
// and never over what the rep said.
func TestWhatRepsDecideTeachesTheMachine(t *testing.T) {
	const marked = "zzwordzz"
	dir := t.TempDir()
	config := program.Config{DataDir: dir, MaxStore: 256 << 20, Threshold: 5, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	begin := func() (*kit, func()) {
		p, err := program.Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		k := &kit{p, t}
		stop := k.start()
		return k, func() {
			stop()
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
	}

	k, end := begin()
	k.importSites()
	rep := k.token("rep")
	for _, words := range []string{"it happened again", "Demo: " + marked + " shouted at me down the phone"} {
		if res := k.call(http.MethodPost, "/api/v1/reports", report(map[string]any{"narrative": words, "kind": absent, "channel": absent, "target": absent}),
			"Content-Type", "application/json"); res.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s", res.StatusCode, res.Body)
		}
	}
	var decided listedIncident
	for _, i := range k.classified(rep, 2) {
		if i.Kind.Machine == "abuse" {
			decided = i
		}
	}
	res := k.call(http.MethodPost, "/api/v1/incidents/"+decided.ID+"/classify", `{"kind":"threat","channel":"letter","target":"any_staff"}`,
		append(rep, "Content-Type", "application/json", "If-Match", fmt.Sprintf(`"%d"`, decided.Rev))...)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%d %s", res.StatusCode, res.Body)
	}

	k.awaitEvents(`"field":"kind","from":"abuse","to":"threat"`, `"field":"channel","from":"phone","to":"letter"`, `"field":"target"`)
	var lines []string
	var n int
	if err := k.Operations().Call(t.Context(), program.OpCorrections, struct{}{}, &n, func(l string) { lines = append(lines, l) }); err != nil {
		t.Fatal(err)
	}
	if n != 1 || len(lines) != 1 || !strings.Contains(lines[0], `"channel":"letter"`) || strings.Contains(lines[0], marked) {
		t.Fatalf("%d corrections: %v, want the one, without words", n, lines)
	}

	var again program.Reread
	k.do(program.OpReread, struct{}{}, &again)
	if again.Reports != 0 {
		t.Errorf("%d reports read again by the model that has read them, want 0", again.Reports)
	}
	end()

	trained, err := classifier.Train(classifier.TrainConfig{Corpus: smallCorpus(), Corrections: strings.NewReader(strings.Join(lines, "\n"))})
	if err != nil || trained.Corrections != 1 {
		t.Fatalf("corrections=%d err=%v, want the model to have learned from the one", trained.Corrections, err)
	}
	if err := os.WriteFile(datadir.Model(dir), trained.File, 0o600); err != nil {
		t.Fatal(err)
	}

	k, end = begin()
	defer end()
	lines = nil
	err = k.Operations().Call(t.Context(), program.OpReread, struct{}{}, &again, func(l string) { lines = append(lines, l) }) // it looks for another model first
	if last := fmt.Sprintf("2 of 2 incidents looked through, %d reports read again", again.Reports); err != nil || len(lines) != 2 || lines[1] != last {
		t.Errorf("%v: how far it was is told as %q, want the last to be %q", err, lines, last)
	}
	if again.Reports != 1 || again.Model != trained.Version {
		t.Fatalf("%+v, want the undecided report read again by %s", again, trained.Version)
	}
	k.eventually(func() error {
		for _, i := range k.incidents(rep) {
			body := k.call(http.MethodGet, "/api/v1/incidents/"+i.ID, "", rep...).Body
			if read := strings.Contains(body, trained.Version); read == (i.ID == decided.ID) {
				return fmt.Errorf("decided=%t, read again=%t: %s", i.ID == decided.ID, read, body)
			}
			if i.ID == decided.ID && !strings.Contains(body, `"reviewer":"letter"`) {
				t.Fatalf("what the rep said changed: %s", body)
			}
		}
		return nil
	})
	k.do(program.OpReread, struct{}{}, &again)
	if again.Reports != 0 {
		t.Errorf("%d reports read once more, want 0", again.Reports)
	}

	// Erased, the report teaches nothing more, and nothing of it is left on the
	// stream.
	k.do(program.OpErase, decided.ID, nil)
	if k.do(program.OpCorrections, struct{}{}, &n); n != 0 {
		t.Errorf("%d corrections after erasing, want none", n)
	}
	err = k.Operations().Call(t.Context(), program.OpEventsTail, program.Tail{}, nil, func(line string) {
		if strings.Contains(line, "report.corrected") {
			t.Errorf("after erasing the stream holds %s", line)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// smallCorpus is one that trains in a moment.
func smallCorpus() fstest.MapFS {
	var seeds strings.Builder
	for i := range 40 {
		fmt.Fprintf(&seeds, "kind=abuse channel=phone target=named_person voice=a%d\tcaller number %d swore at me down the phone\n", i%4, i)
		fmt.Fprintf(&seeds, "kind=abuse channel=in_person target=named_person voice=b%d\tman number %d swore at me across the desk\n", i%4, i)
	}
	return fstest.MapFS{"seeds/learn.txt": {Data: []byte(seeds.String())}}
}

// A person decides while the machine reads everything again: whoever was
// first, what the person said stands and counts, and every history verifies.
func TestWhatAPersonDecidesWhileTheMachineReadsAgainStands(t *testing.T) {
	dir := t.TempDir()
	p, err := program.Open(t.Context(), program.Config{DataDir: dir, MaxStore: 256 << 20, Threshold: 5, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	k := &kit{p, t}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	k.run()
	k.importSites()
	rep := k.token("rep")
	const reports = 60
	for range reports {
		if res := k.call(http.MethodPost, "/api/v1/reports", report(map[string]any{"narrative": "it happened again", "kind": absent, "channel": absent, "target": absent}),
			"Content-Type", "application/json"); res.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s", res.StatusCode, res.Body)
		}
	}
	all := k.classified(rep, reports)
	trained, err := classifier.Train(classifier.TrainConfig{Corpus: smallCorpus()})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(datadir.Model(dir), trained.File, 0o600); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reread := func() {
		var again program.Reread
		if err := k.Operations().Call(t.Context(), program.OpReread, struct{}{}, &again, func(string) {}); err != nil || again.Model != trained.Version {
			t.Errorf("%+v %v, want it read by %s", again, err, trained.Version)
		}
	}
	for n, i := range all {
		if n == reports/4 {
			reading.Go(reread)
		}
		k.eventually(func() error { // the machine may be quicker, and the rep looks again
			var now listedIncident
			body := k.call(http.MethodGet, "/api/v1/incidents/"+i.ID, "", rep...).Body
			if err := json.Unmarshal([]byte(body), &now); err != nil {
				return err
			}
			res := k.call(http.MethodPost, "/api/v1/incidents/"+i.ID+"/classify", `{"kind":"threat","channel":"letter","target":"any_staff"}`,
				append(rep, "Content-Type", "application/json", "If-Match", fmt.Sprintf(`"%d"`, now.Rev))...)
			if res.StatusCode != http.StatusOK {
				return fmt.Errorf("%d %s", res.StatusCode, res.Body)
			}
			return nil
		})
	}
	reading.Wait()
	k.do(program.OpExport, struct{}{}, nil) // it waits until everything that was published is in the store
	both := 0
	for _, i := range all {
		body := k.call(http.MethodGet, "/api/v1/incidents/"+i.ID, "", rep...).Body
		if strings.Contains(body, trained.Version) {
			both++
		}
		for _, want := range []string{`"reviewer":"threat"`, `"reviewer":"letter"`, `"reviewer":"any_staff"`} {
			if !strings.Contains(body, want) {
				t.Errorf("what the rep said is not there any more: %s", body)
			}
		}
	}
	if both == 0 || both > reports-reports/4 {
		t.Errorf("the machine read %d of %d again, want none that was decided before it began, and some of the others", both, reports)
	}
	if res := k.call(http.MethodGet, "/api/v1/incidents?channel=letter&kind=threat&limit=200", "", rep...); strings.Count(res.Body, `"reviewer":"threat"`) != reports {
		t.Errorf("not every incident counts as the rep said: %s", res.Body)
	}
	var verified struct{ Differences []string }
	k.do(program.OpVerify, struct{}{}, &verified)
	if len(verified.Differences) > 0 {
		t.Errorf("the figures differ: %q", verified.Differences)
	}
}

// awaitEvents returns once events of the stream hold each of some texts.
func (k *kit) awaitEvents(want ...string) {
	k.tb.Helper()
	ctx, cancel := context.WithTimeout(k.tb.Context(), 20*time.Second)
	defer cancel()
	left := slices.Clone(want)
	err := k.Operations().Call(ctx, program.OpEventsTail, program.Tail{Follow: true}, nil, func(line string) {
		line = strings.NewReplacer(`": `, `":`, `, "`, `,"`).Replace(line) // protojson puts spaces at random
		left = slices.DeleteFunc(left, func(text string) bool { return strings.Contains(line, text) })
		if len(left) == 0 {
			cancel()
		}
	})
	if err != nil || len(left) > 0 {
		k.tb.Fatalf("no event says %q (%v)", left, err)
	}
}
