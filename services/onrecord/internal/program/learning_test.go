package program_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
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

	k.eventually(func() error {
		var events []string
		if err := k.Operations().Call(t.Context(), program.OpEventsTail, program.Tail{}, nil, func(l string) { events = append(events, l) }); err != nil {
			return err
		}
		all := strings.Join(events, "\n")
		for _, want := range []string{`"field":"kind","from":"abuse","to":"threat"`, `"field":"channel","from":"phone","to":"letter"`, `"field":"target"`} {
			if !strings.Contains(strings.ReplaceAll(all, `": `, `":`), want) {
				return fmt.Errorf("no event says %s: %s", want, all)
			}
		}
		return nil
	})
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

	var seeds strings.Builder
	for i := range 40 {
		fmt.Fprintf(&seeds, "kind=abuse channel=phone target=named_person voice=a%d\tcaller number %d swore at me down the phone\n", i%4, i)
		fmt.Fprintf(&seeds, "kind=abuse channel=in_person target=named_person voice=b%d\tman number %d swore at me across the desk\n", i%4, i)
	}
	trained, err := classifier.Train(classifier.TrainConfig{
		Corpus:      fstest.MapFS{"seeds/learn.txt": {Data: []byte(seeds.String())}},
		Corrections: strings.NewReader(strings.Join(lines, "\n")),
	})
	if err != nil || trained.Corrections != 1 {
		t.Fatalf("corrections=%d err=%v, want the model to have learned from the one", trained.Corrections, err)
	}
	if err := os.WriteFile(datadir.Model(dir), trained.File, 0o600); err != nil {
		t.Fatal(err)
	}

	k, end = begin()
	defer end()
	k.do(program.OpReread, struct{}{}, &again)
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
}
