package apart

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/pkg/run/runtest"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

// offline runs a command of the program that needs no NATS.
func (c *cluster) offline(args ...string) (string, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "onrecord"), args...)
	cmd.Env = append(os.Environ(), "ONRECORD_MASTER_KEY="+masterKey)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// ask sends a request to the API as the rep and returns the answer.
func (b *browser) ask(method, address, body string, headers ...string) (int, http.Header, string) {
	b.t.Helper()
	req, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Cookie", b.cookie)
	for n := 0; n < len(headers); n += 2 {
		req.Header.Set(headers[n], headers[n+1])
	}
	res, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(raw)
}

// fileWords files a report of nothing but words.
func fileWords(t *testing.T, at *instance, words string) (id string) {
	t.Helper()
	id = uuid.Must(uuid.NewV7()).String()
	body := fmt.Sprintf(`{"id":%q,"site":"unlisted","occurred_at":%q,"narrative":%q}`, id, time.Now().Add(-time.Minute).UTC().Format(time.RFC3339), words)
	runtest.Eventually(t, patience, func() error {
		res, err := client.Post(at.url+"/api/v1/reports", "application/json", strings.NewReader(body))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode/100 != 2 {
			return fmt.Errorf("status %d", res.StatusCode)
		}
		return nil
	})
	return id
}

// smallCorpus writes a corpus that trains in a moment.
func smallCorpus(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var b bytes.Buffer
	for _, voice := range []string{"a", "b", "c", "d", "e"} {
		for _, who := range []string{"man", "woman", "lad", "customer"} {
			fmt.Fprintf(&b, "kind=abuse channel=phone target=named_person voice=%s\ta %s from %s swore at me down the phone\n", voice, who, voice)
			fmt.Fprintf(&b, "kind=assault channel=in_person target=named_person voice=%s\ta %s from %s hit me at the desk\n", voice, who, voice)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "seeds"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "seeds", "a.txt"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

var trainedModel = regexp.MustCompile(`Model (\S+), of`)

// What a rep decides is published and kept by the services apart; a model is
// trained of it elsewhere, taken up by the classifier without a restart, and
// reads what nobody decided, beside the running services.
func TestTheServicesApartLearn(t *testing.T) {
	c := planCluster(t)
	c.start()
	database := mongotest.Start(t) + "onrecord"
	c.apply("--max-stream", "128")
	model := filepath.Join(t.TempDir(), "model.bin")
	reporting, intake, classifier := c.service("reporting", "--database", database), c.service("intake"), c.service("classifier", "--model", model)
	for _, i := range []*instance{reporting, intake, classifier} {
		runtest.Eventually(t, patience, i.ready)
	}
	_, rep := setUp(t, reporting)
	decidedReport := fileWords(t, intake, "Demo: zzwordzz shouted at me down the phone")
	fileWords(t, intake, "it happened again")

	type listed struct {
		ID      string
		Rev     int
		Kind    struct{ Machine, Reviewer string }
		Channel struct{ Reviewer string }
	}
	list := func() (all []listed) {
		_, _, body := rep.ask("GET", reporting.url+"/api/v1/incidents?limit=10", "")
		var l struct{ Incidents []listed }
		if err := json.Unmarshal([]byte(body), &l); err != nil {
			t.Fatal(err, body)
		}
		return l.Incidents
	}
	var decided, open listed
	runtest.Eventually(t, patience, func() error {
		decided, open = listed{}, listed{}
		for _, i := range list() {
			switch i.Kind.Machine {
			case "abuse":
				decided = i
			case "":
			default:
				open = i
			}
		}
		if decided.ID == "" || open.ID == "" {
			return fmt.Errorf("the machine has not read both: %+v", list())
		}
		return nil
	})
	code, _, body := rep.ask("POST", reporting.url+"/api/v1/incidents/"+decided.ID+"/classify", `{"kind":"threat","channel":"letter","target":"any_staff"}`,
		"Content-Type", "application/json", "If-Match", fmt.Sprintf(`"%d"`, decided.Rev))
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}

	admin, _ := c.connect(t, "admin")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	left := []string{"kind=threat", "channel=letter", "target=any_staff"}
	err := admin.Tail(ctx, 0, true, func(e bus.Stored) error {
		var env onrecordv1.Envelope
		if err := proto.Unmarshal(e.Data, &env); err != nil {
			return err
		}
		if c := env.GetReportCorrected(); c.GetReportId() == decidedReport {
			left = slices.DeleteFunc(left, func(field string) bool { return field == c.GetField()+"="+c.GetTo() })
		}
		if len(left) == 0 {
			cancel()
		}
		return nil
	})
	cancel()
	if err != nil || len(left) > 0 {
		t.Fatalf("%q were not published (%v)", left, err)
	}
	runtest.Eventually(t, patience, func() error {
		left, err := reporting.metric("onrecord_corrections_waiting")
		if err == nil && left != 0 {
			err = fmt.Errorf("%v incidents wait for their features", left)
		}
		return err
	})

	corrections := filepath.Join(t.TempDir(), "corrections.jsonl")
	if out, err := c.offline("admin", "corrections", corrections); err == nil || !strings.Contains(out, "database: give the address") {
		t.Errorf("without a database: %v\n%s", err, out)
	}
	if out, err := c.offline("admin", "corrections", corrections, "--database", database); err != nil || !strings.Contains(out, "1 corrections written") {
		t.Fatalf("corrections: %v\n%s", err, out)
	}
	if line, err := os.ReadFile(corrections); err != nil || !strings.Contains(string(line), `"channel":"letter"`) || strings.Contains(string(line), "zzwordzz") {
		t.Errorf("written: %s %v", line, err)
	}
	out, err := c.offline("train", "--corpus", smallCorpus(t), "--with-corrections", corrections, "--out", model)
	version := trainedModel.FindStringSubmatch(out)
	if err != nil || version == nil || !strings.Contains(out, "and 1 corrections") {
		t.Fatalf("train: %v\n%s", err, out)
	}
	classifier.Await(regexp.MustCompile(`reading with another model from now on.* model=(` + version[1] + `)`))

	if out, err := c.onrecord("admin", "reread", "--database", database, "--log", filepath.Join(t.TempDir(), "refused.log")); err == nil || !strings.Contains(out, "the classifiers read with the model "+version[1]) {
		t.Errorf("with another model than theirs: %v\n%s", err, out)
	}
	if out, err := c.onrecord("admin", "reread", "--model", model, "--database", database); err != nil || !strings.Contains(out, "1 reports read again by model "+version[1]) {
		t.Fatalf("reread: %v\n%s", err, out)
	}
	runtest.Eventually(t, patience, func() error {
		for _, i := range []listed{decided, open} {
			_, _, body := rep.ask("GET", reporting.url+"/api/v1/incidents/"+i.ID, "")
			if read := strings.Contains(body, version[1]); read == (i.ID == decided.ID) {
				return fmt.Errorf("decided=%t, read again=%t: %s", i.ID == decided.ID, read, body)
			}
		}
		return nil
	})
	for _, i := range list() {
		if i.ID == decided.ID && (i.Kind.Reviewer != "threat" || i.Channel.Reviewer != "letter") {
			t.Errorf("what the rep said changed: %+v", i)
		}
	}
	if out, err := c.onrecord("admin", "reread", "--model", model, "--database", database); err != nil || !strings.Contains(out, "nothing to read again") {
		t.Errorf("once more: %v\n%s", err, out)
	}
	if out, err := c.offline("admin", "checks", "--database", database); err != nil || !strings.Contains(out, "picked") { // by chance, perhaps none
		t.Errorf("checks: %v\n%s", err, out)
	}
	if out, err := c.offline("train", "--history", "--out", model); err != nil || strings.Count(out, "read again") < 3 || !strings.Contains(out, "trained") {
		t.Errorf("history: %v\n%s", err, out)
	}
	if out, err := c.offline("train", "--rollback", "--out", model); err != nil || !strings.Contains(out, "in use again") {
		t.Errorf("rollback: %v\n%s", err, out)
	}
	classifier.Await(regexp.MustCompile(`reading with another model from now on.* before=(` + version[1] + `)`))
}
