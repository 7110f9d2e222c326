package faults

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/failpoint"
)

// corrected kills the process between a correction and its event, and between
// the event and what the incident says of it: afterwards each correction is on
// the stream once, and its features are kept.
func corrected(t *trial) {
	for _, place := range []string{failpoint.CorrectionDue, failpoint.CorrectionSent} {
		dir := filepath.Join(t.TempDir(), "data")
		phones := t.phones(3)
		p := t.start(dir, settings{binary: breakable, env: []string{fmt.Sprintf("ONRECORD_FAILPOINT=%s:1", place)}})
		phones.to(p.url)
		phones.await(10)
		phones.finish()
		token := t.token(dir)
		t.check(p, token, phones.soFar(), phones.sent, expectations{})
		ids, err := p.incidents(token)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			_ = p.correct(token, id) // the machine may have been quicker, or the process has ended
		}
		if !p.ends(30*time.Second) || !strings.Contains(p.output.String(), "failpoint: "+place) {
			t.wrong("the process never passed %s: the place has gone", place)
		}
		p.kill()
		t.broke(1)
		p = t.start(dir, settings{})
		t.published(dir, token, p)
		t.check(p, token, phones.soFar(), phones.sent, expectations{})
		p.kill()
	}
}

// correct says that an incident was a threat by letter.
func (p *process) correct(token, id string) error {
	a, err := call(http.MethodGet, p.url+"/api/v1/incidents/"+id, "", "Authorization", "Bearer "+token)
	if err == nil {
		a, err = call(http.MethodPost, p.url+"/api/v1/incidents/"+id+"/classify", `{"kind":"threat","channel":"letter"}`,
			"Authorization", "Bearer "+token, "Content-Type", "application/json", "If-Match", a.header.Get("ETag"))
	}
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("%d %s", a.status, a.body)
	}
	return err
}

// published waits until every correction that stands on an incident has been
// published and learned from, and holds that each was published once.
func (t *trial) published(dir, token string, p *process) {
	t.Helper()
	ids, err := p.incidents(token)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, id := range ids {
		a, err := call(http.MethodGet, p.url+"/api/v1/incidents/"+id, "", "Authorization", "Bearer "+token)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(a.body, `"reviewer":"letter"`) {
			want++
		}
	}
	if want == 0 {
		t.wrong("nothing was corrected before the process ended")
	}
	look := func() error {
		out, err := t.command(dir, "events", "tail", "-n", "0")
		if err != nil {
			return err
		}
		if events := strings.Count(out, `"onrecord.v1.report.corrected"`); events != 2*want { // kind and channel
			return fmt.Errorf("%d corrections are on the stream, want %d", events, 2*want)
		}
		out, err = t.command(dir, "corrections", filepath.Join(t.TempDir(), "corrections.jsonl"))
		if err == nil && !strings.Contains(out, fmt.Sprintf("%d corrections written", want)) {
			err = fmt.Errorf("want %d corrections: %s", want, out)
		}
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; t.wait(500 * time.Millisecond) { // a look at the stream is not cheap
		err := look()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.wrong("%v", err)
			return
		}
	}
}
