package apart

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// erase erases one of the reports that were received, beside the running
// services: its words are gone from the database and the stream, it stays
// counted, and what a phone sends again of it is dropped and can be removed.
func erase(t *testing.T, c *cluster, at, intake *instance, rep *browser, received map[string]string, database, backups string) {
	t.Helper()
	var id, receipt string
	for id, receipt = range received {
		break
	}
	s, err := stream(t, c)
	if err != nil {
		t.Fatal(err)
	}
	subject := bus.Subject(bus.TypeFiled, id)
	var filed *jetstream.RawStreamMsg
	runtest.Eventually(t, patience, func() error {
		filed, err = s.GetLastMsgForSubject(t.Context(), subject)
		return err
	})
	rep.lackWords(at.url, received, 0)

	if out, err := c.onrecord("admin", "erase", receipt, "--yes", "--database", database); err == nil || !strings.Contains(out, "backup-dir: give the directory") {
		t.Errorf("without a directory for what it takes to erase again: %v\n%s", err, out)
	}
	if out, err := c.onrecord("admin", "erase", receipt, "--backup-dir", backups, "--database", database); err == nil || !strings.Contains(out, "nothing was erased") {
		t.Errorf("with nobody to ask: %v\n%s", err, out)
	}
	rep.lackWords(at.url, received, 0)
	for range 2 { // again is no error
		out, err := c.onrecord("admin", "erase", receipt, "--yes", "--backup-dir", backups, "--database", database)
		if err != nil || !strings.Contains(out, "are erased. It stays counted") || strings.Contains(out, receipt) {
			t.Fatalf("erase: %v\n%s", err, out)
		}
	}
	if kept, err := os.ReadFile(filepath.Join(backups, "erased.jsonl")); err != nil || strings.Contains(string(kept), id) || strings.Contains(string(kept), receipt) {
		t.Errorf("what is kept to erase again: %v, it must not name the report: %s", err, kept)
	}
	gone := func() {
		t.Helper()
		rep.lackWords(at.url, received, 1)
		for _, filter := range []string{subject, bus.Subject(bus.TypeClassified, id, "*")} {
			info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(filter))
			if err != nil || len(info.State.Subjects) > 0 {
				t.Errorf("%s is in the stream: %v, %v", filter, info.State.Subjects, err)
			}
		}
		if n, err := rep.total(at.url); err != nil || n != len(received) {
			t.Errorf("%d are counted, %v, want %d", n, err, len(received))
		}
	}
	gone()
	followUp(t, intake, receipt)
	if out, err := c.onrecord("admin", "erase", "--returned", "--database", database); err != nil || !strings.Contains(out, "0 erased reports") {
		t.Errorf("nothing has come back: %v\n%s", err, out)
	}
	// A phone that kept the report sends it when the stream has forgotten its id.
	if _, err := c.asAdmin.Publish(t.Context(), subject, filed.Data); err != nil {
		t.Fatal(err)
	}
	runtest.Eventually(t, patience, func() error {
		h, err := c.health(t)
		if err != nil {
			return err
		}
		for _, consumer := range h.Consumers {
			if consumer.Name == bus.ConsumerReporting && consumer.AckFloor < h.LastSeq {
				return errors.New("it is not handled yet")
			}
		}
		return nil
	})
	rep.lackWords(at.url, received, 1)
	if out, err := c.onrecord("admin", "erase", "--returned", "--database", database); err != nil || !strings.Contains(out, "1 erased reports") {
		t.Errorf("what came back: %v\n%s", err, out)
	}
	gone()
}

// health returns what the administrator sees of the stream.
func (c *cluster) health(t *testing.T) (bus.Health, error) {
	b, _ := c.connect(t, "admin")
	return b.Health(t.Context())
}

// lackWords fails unless there is an incident for each report, so many of them
// with their words erased and every other with its own.
func (b *browser) lackWords(at string, received map[string]string, want int) {
	b.t.Helper()
	var page struct{ Incidents []struct{ ID string } }
	b.read(at+"/api/v1/incidents?limit=200", &page)
	erased, words := 0, make(map[string]bool)
	for _, i := range page.Incidents {
		var one struct {
			Words  []struct{ Narrative string }
			Erased bool `json:"words_erased"`
		}
		b.read(at+"/api/v1/incidents/"+i.ID, &one)
		if one.Erased {
			erased++
		}
		for _, w := range one.Words {
			if w.Narrative != "" {
				words[w.Narrative] = true
			}
		}
	}
	if len(page.Incidents) != len(received) || erased != want || len(words) != len(received)-want {
		b.t.Errorf("of %d incidents %d are erased and %d have words of their own; want %d, %d erased", len(page.Incidents), erased, len(words), len(received), want)
	}
}
