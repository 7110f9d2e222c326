package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// counting is what was filed and done to it, counted by hand: the plain count
// that a published month, and the live one, are held against.
type counting struct {
	t       *trial
	url     string
	token   string
	filed   []*counted
	sent    map[string]string // id to words
	moments map[string]time.Time
}

// counted is a report as it must be counted.
type counted struct {
	id, words, receipt     string
	month, channel, target string
	withdrawn              bool
}

var (
	channels = []string{"in_person", "phone", "letter", "private_message", "public_online"}
	targets  = []string{"named_person", "any_staff", "organisation"}
)

// closedMonth publishes a month, and then has reports come late, move from one
// month to another, be corrected and be withdrawn, with kills in between. The
// published month stays as it was, byte for byte, in a restored backup too; the
// live figures, and the month when it is published again, are what the plain
// count says.
func closedMonth(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	by := settings{args: []string{"--publish-day", "0", "--threshold", "1"}} // a new edition shows little otherwise
	p := t.start(dir, by)
	last := time.Now().In(london(t)).AddDate(0, 0, -time.Now().In(london(t)).Day()) // the last day of the month before
	month, before := last.Format("2006-01"), last.AddDate(0, 0, -last.Day()).Format("2006-01")
	c := &counting{t: t, url: p.url, token: t.token(dir), sent: make(map[string]string), moments: map[string]time.Time{
		month: last.AddDate(0, 0, 15-last.Day()), before: last.AddDate(0, 0, -last.Day()-14)}}

	c.file(60, month)
	c.file(20, before)
	c.holds(month, before)
	frozen := [][]byte{c.publish(month, 1, "")}
	exact := []map[string]int{c.cells(month)}
	same := func() {
		t.Helper()
		for n, was := range frozen {
			if is := c.edition(month, n+1); is != string(was) {
				t.wrong("edition %d of %s is not what it was:\n%s\n%s", n+1, month, was, is)
			}
			if got, err := c.figures(month, fmt.Sprint(n+1)); err != nil || !maps.Equal(got, exact[n]) {
				t.wrong("edition %d of %s counts %v, and was published with %v: %v", n+1, month, got, exact[n], err)
			}
		}
	}
	for range longer(2, 4) {
		c.file(12, month)
		c.correct(3)
		c.move(month, before, 3)
		c.move(before, month, 2)
		c.withdraw(2)
		same()
		p.kill()
		t.broke(1)
		p = t.start(dir, by)
		c.url = p.url
		same()
		c.holds(month, before)
		frozen = append(frozen, c.publish(month, len(frozen)+1, "R2"))
		exact = append(exact, c.cells(month))
		same()
	}
	c.file(1, month)
	c.holds(month, before)
	same()
	if out, err := t.command(dir, "verify"); err != nil || !strings.Contains(out, "Every figure agrees") {
		t.wrong("verify: %v\n%s", err, out)
	}
	t.keepsWords(p)

	saved, into := filepath.Join(t.TempDir(), "saved.backup"), filepath.Join(t.TempDir(), "new")
	t.must(program, "backup", saved, "--data-dir", dir)
	p.kill()
	key := filepath.Join(dir, "master.key")
	t.must(program, "restore", saved, "--data-dir", into, "--master-key-file", key)
	t.must("cp", key, into)
	p = t.start(into, by)
	c.url = p.url
	t.broke(1)
	c.holds(month, before)
	same()
	words, err := p.words(c.token)
	if err != nil {
		t.Fatal(err)
	}
	t.compare(words, c.sent, c.sent, 0)
	t.note("%d editions of a month stayed as they were; %d reports came, moved, were corrected or withdrawn", len(frozen), len(c.filed))
}

// ask sends a request until its answer is one of those wanted, as after a
// restart or when the machine’s reading came in between.
func (c *counting) ask(method, path, body string, want int) answer {
	c.t.Helper()
	var a answer
	runtest.Eventually(c.t, time.Minute, func() (err error) {
		if a, err = call(method, c.url+path, body, "Authorization", "Bearer "+c.token, "Content-Type", "application/json"); err == nil && a.status != want {
			err = fmt.Errorf("%s %s: %d %s", method, path, a.status, a.body)
		}
		return err
	})
	return a
}

// file files reports of a month, of any channel and target.
func (c *counting) file(n int, month string) {
	c.t.Helper()
	for range n {
		r := newReport(c.t, c.t.rng)
		one := &counted{id: r.id, words: r.words, month: month, channel: channels[c.t.rng.IntN(len(channels))], target: targets[c.t.rng.IntN(len(targets))]}
		body, err := json.Marshal(map[string]string{"id": r.id, "site": "unlisted", "occurred_at": c.moment(month), "kind": "abuse",
			"channel": one.channel, "target": one.target, "narrative": r.words})
		if err != nil {
			c.t.Fatal(err)
		}
		var got struct{ Receipt string }
		if err := json.Unmarshal([]byte(c.ask(http.MethodPost, "/api/v1/reports", string(body), http.StatusCreated).body), &got); err != nil {
			c.t.Fatal(err)
		}
		one.receipt = got.Receipt
		c.filed, c.sent[r.id] = append(c.filed, one), r.words
		c.t.count(func(y *tally) { y.filed, y.received = y.filed+1, y.received+1 })
	}
}

// moment returns some time in a month.
func (c *counting) moment(month string) string {
	return c.moments[month].Add(time.Duration(c.t.rng.IntN(12*24*60)-6*24*60) * time.Minute).UTC().Format(time.RFC3339)
}

// some returns a few that are counted, of one month or of any.
func (c *counting) some(n int, month string) (some []*counted) {
	for _, at := range c.t.rng.Perm(len(c.filed)) {
		if one := c.filed[at]; len(some) < n && !one.withdrawn && (month == "" || one.month == month) {
			some = append(some, one)
		}
	}
	return some
}

// correct has a rep say how some reached staff, and whom they were aimed at.
func (c *counting) correct(n int) {
	c.t.Helper()
	for _, one := range c.some(n, "") {
		one.channel, one.target = channels[c.t.rng.IntN(len(channels))], targets[c.t.rng.IntN(len(targets))]
		c.classify(one, map[string]string{"channel": one.channel, "target": one.target})
	}
}

// move has a rep say that some occurred in another month.
func (c *counting) move(from, to string, n int) {
	c.t.Helper()
	for _, one := range c.some(n, from) {
		one.month = to
		c.classify(one, map[string]string{"occurred_at": c.moment(to)})
	}
}

func (c *counting) classify(one *counted, change map[string]string) {
	c.t.Helper()
	change["reason"] = "Demo: said again."
	body, err := json.Marshal(change)
	if err != nil {
		c.t.Fatal(err)
	}
	path := "/api/v1/incidents/" + c.incident(one)
	runtest.Eventually(c.t, time.Minute, func() error {
		rev := c.ask(http.MethodGet, path, "", http.StatusOK).header.Get("ETag")
		a, err := call(http.MethodPost, c.url+path+"/classify", string(body), "Authorization", "Bearer "+c.token, "Content-Type", "application/json", "If-Match", rev)
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("classify: %d %s", a.status, a.body)
		}
		return err
	})
	c.t.broke(1)
}

// incident returns the id of the incident that a report opened.
func (c *counting) incident(one *counted) (id string) {
	c.t.Helper()
	p := &process{t: c.t, url: c.url}
	runtest.Eventually(c.t, time.Minute, func() error {
		ids, err := p.incidents(c.token)
		if err != nil {
			return err
		}
		words, err := p.wordsOf(c.token, ids)
		if err != nil {
			return err
		}
		for n := range ids {
			if words[n] == one.words {
				id = ids[n]
				return nil
			}
		}
		return fmt.Errorf("report %s has no incident yet", one.id)
	})
	return id
}

// withdraw has the reporters of some take them back.
func (c *counting) withdraw(n int) {
	c.t.Helper()
	for _, one := range c.some(n, "") {
		one.withdrawn = true
		c.ask(http.MethodPost, "/api/v1/follow-up", fmt.Sprintf(`{"receipt":%q,"addition":{"id":%q,"what":"withdraw"}}`, one.receipt, uuid.Must(uuid.NewV7())), http.StatusOK)
		c.t.broke(1)
	}
}

// cells is the plain count of a month, by channel and target.
func (c *counting) cells(month string) map[string]int {
	cells := make(map[string]int)
	for _, one := range c.filed {
		if one.month == month && !one.withdrawn {
			cells[one.channel+" "+one.target]++
		}
	}
	return cells
}

// figures returns a month by channel and target, live or of an edition.
func (c *counting) figures(month, edition string) (map[string]int, error) {
	var got struct {
		Months []struct {
			Cells []struct {
				Channel, Target string
				Count           int
			}
		}
	}
	p := &process{t: c.t, url: c.url}
	err := p.get(fmt.Sprintf("/api/v1/figures?from=%s&to=%s&edition=%s", month, month, edition), c.token, &got)
	if err != nil || len(got.Months) != 1 {
		return nil, fmt.Errorf("%d months: %w", len(got.Months), err)
	}
	cells := make(map[string]int)
	for _, cell := range got.Months[0].Cells {
		if cell.Count > 0 {
			cells[cell.Channel+" "+cell.Target] += cell.Count
		}
	}
	return cells, nil
}

// holds waits until the live figures of some months are what the plain count says.
func (c *counting) holds(months ...string) {
	c.t.Helper()
	for _, month := range months {
		want := c.cells(month)
		err := runtest.Poll(c.t.Context(), time.Minute, func() error {
			got, err := c.figures(month, "live")
			if err == nil && !maps.Equal(got, want) {
				err = fmt.Errorf("%s counts %v, want %v", month, got, want)
			}
			return err
		})
		if err != nil {
			c.t.wrong("%v", err)
		}
	}
}

// publish publishes the next edition of a month, and returns it as it was
// answered. While so little has changed that it would tell about few people, that
// is refused, and more is filed.
func (c *counting) publish(month string, number int, reason string) []byte {
	c.t.Helper()
	body := fmt.Sprintf(`{"edition":%d}`, number)
	if reason != "" {
		body = fmt.Sprintf(`{"edition":%d,"reason":%q,"why":"Demo: more has come."}`, number, reason)
	}
	var answered string
	runtest.Eventually(c.t, time.Minute, func() error {
		a, err := call(http.MethodPost, c.url+"/api/v1/editions/"+month, body, "Authorization", "Bearer "+c.token, "Content-Type", "application/json")
		switch {
		case err != nil:
			return err
		case strings.Contains(a.body, `"too_little_changed"`):
			c.file(12, month)
			c.holds(month)
		}
		if a.status != http.StatusCreated {
			return fmt.Errorf("publishing edition %d: %d %s", number, a.status, a.body)
		}
		answered = a.body
		return nil
	})
	if again := c.edition(month, number); again != answered {
		c.t.wrong("edition %d of %s was answered as %s and is given as %s", number, month, answered, again)
	}
	return []byte(answered)
}

// edition returns a published month as everybody reads it.
func (c *counting) edition(month string, number int) string {
	c.t.Helper()
	return c.ask(http.MethodGet, fmt.Sprintf("/api/v1/editions/%s/%d", month, number), "", http.StatusOK).body
}
