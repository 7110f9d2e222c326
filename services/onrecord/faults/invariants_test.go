package faults

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// expectations are what a run may leave behind beside what was received.
type expectations struct {
	findings []string // codes that “onrecord doctor” may name
	unread   int      // incidents that stand in for reports nobody can read
	within   time.Duration
}

// check waits until everything received is on record and holds the invariants
// against it. What was sent and never answered may be there too, once.
func (t *trial) check(p *process, token string, received, sent map[string]string, may expectations) {
	t.Helper()
	if may.within == 0 {
		may.within = time.Minute
	}
	found := t.settled(p, token, received, may)
	t.compare(found, received, sent, may.unread)
	counted, err := p.counted(token)
	if err != nil {
		t.Fatal(err)
	}
	if counted != len(found) {
		t.wrong("the figures count %d and there are %d incidents", counted, len(found))
	}
	if out, err := t.command(p.dir, "verify"); err != nil || !strings.Contains(out, "Every figure agrees") {
		t.wrong("verify: %v\n%s", err, out)
	}
	out, _ := t.command(p.dir, "doctor")
	for line := range strings.Lines(out) {
		severity, code, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if ok && (severity == "ALARM" || severity == "WARNING") && !slices.Contains(may.findings, strings.TrimSpace(code)) && !strings.HasPrefix(code, "disk_") {
			t.wrong("doctor: %s", out)
		}
	}
	t.keepsWords(p)
}

// wrong counts and tells something that is not right.
func (t *trial) wrong(format string, args ...any) {
	t.Helper()
	t.count(func(y *tally) { y.wrong++ })
	t.Errorf(format, args...)
}

// settled returns the words of every incident once all that was received is
// there, or once the time is up.
func (t *trial) settled(p *process, token string, received map[string]string, may expectations) []string {
	t.Helper()
	var words []string
	look := func() error {
		before, err := p.counted(token)
		if err != nil {
			return err
		}
		if want := len(received) + may.unread; before < want {
			return fmt.Errorf("%d of %d are counted", before, want)
		}
		if words, err = p.words(token); err != nil {
			t.Fatal(err)
		}
		// What was sent and not answered may still be on its way.
		after, err := p.counted(token)
		if err == nil && (after != before || after != len(words)) {
			err = fmt.Errorf("%d were counted, then %d, and there are %d", before, after, len(words))
		}
		return err
	}
	if runtest.Poll(t.Context(), may.within, look) != nil { // what is missing is told by who asks
		var err error
		if words, err = p.words(token); err != nil {
			t.Fatal(err)
		}
	}
	return words
}

// compare finds what is lost, doubled, or was never sent.
func (t *trial) compare(found []string, received, sent map[string]string, unread int) {
	t.Helper()
	times := make(map[string]int)
	for _, words := range found {
		times[words]++
	}
	lost, doubled := 0, 0
	for id, words := range received {
		switch n := times[words]; {
		case n == 0:
			if lost++; lost <= 3 {
				t.Errorf("report %s was received and is not there with its words", id)
			}
		case n > 1:
			if doubled++; doubled <= 3 {
				t.Errorf("report %s is there %d times", id, n)
			}
		}
	}
	known := make(map[string]bool)
	for _, words := range sent {
		known[words] = true
	}
	without := 0
	for words, n := range times {
		switch {
		case words == "":
			without = n
		case !known[words]:
			t.wrong("there is an incident with words that nobody sent")
		}
	}
	if without != unread {
		t.wrong("%d incidents have no words, want %d", without, unread)
	}
	t.count(func(y *tally) { y.lost, y.doubled = y.lost+lost, y.doubled+doubled })
	if lost+doubled > 0 {
		t.Errorf("of %d received, %d are lost and %d doubled", len(received), lost, doubled)
	}
}

// counted returns how many incidents the figures hold.
func (p *process) counted(token string) (int, error) {
	now := time.Now()
	var figures struct{ Months []struct{ Total int } }
	err := p.get(fmt.Sprintf("/api/v1/figures?from=%s&to=%s", now.AddDate(0, -2, 0).Format("2006-01"), now.AddDate(0, 1, 0).Format("2006-01")), token, &figures)
	n := 0
	for _, m := range figures.Months {
		n += m.Total
	}
	return n, err
}

// words returns the narrative of every incident, in no order.
func (p *process) words(token string) ([]string, error) {
	ids, err := p.incidents(token)
	if err != nil {
		return nil, err
	}
	return p.wordsOf(token, ids)
}

// incidents returns the id of every incident.
func (p *process) incidents(token string) (ids []string, err error) {
	for cursor := ""; ; {
		var page struct {
			Incidents []struct{ ID string }
			Next      string
		}
		if err := p.get("/api/v1/incidents?limit=200&cursor="+cursor, token, &page); err != nil {
			return nil, err
		}
		for _, i := range page.Incidents {
			ids = append(ids, i.ID)
		}
		if cursor = page.Next; cursor == "" {
			return ids, nil
		}
	}
}

// wordsOf returns the narratives of incidents.
func (p *process) wordsOf(token string, ids []string) ([]string, error) {
	all, errs := make([]string, len(ids)), make([]error, len(ids))
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for n := range next {
				var one struct{ Words []struct{ Narrative string } }
				errs[n] = p.get("/api/v1/incidents/"+ids[n], token, &one)
				for _, w := range one.Words {
					all[n] += w.Narrative
				}
			}
		})
	}
	for n := range ids {
		next <- n
	}
	close(next)
	wg.Wait()
	return all, firstOf(errs)
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *process) get(path, token string, into any) error {
	a, err := call(http.MethodGet, p.url+path, "", "Authorization", "Bearer "+token)
	if err != nil {
		return err
	}
	if a.status != http.StatusOK {
		return fmt.Errorf("GET %s: %d %s", path, a.status, a.body)
	}
	return json.Unmarshal([]byte(a.body), into)
}

// keepsWords fails when anybody's words stand in what was printed or in a file.
func (t *trial) keepsWords(p *process) {
	t.Helper()
	if strings.Contains(p.output.String(), t.canary) {
		t.wrong("the log holds somebody’s words")
	}
	err := filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() { // it may go while we look
			if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), t.canary) {
				t.wrong("%s holds somebody’s words", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
