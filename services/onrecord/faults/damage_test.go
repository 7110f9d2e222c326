package faults

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "modernc.org/sqlite" // to lock the store from outside

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// damaged changes files of a stopped installation as a failing disk would.
// What had been counted stays, it is told what is gone, and everything that is
// filed afterwards is on record.
func damaged(t *trial) {
	const msgs, consumer = "stream/jetstream/$G/streams/REPORTS/msgs/", "stream/jetstream/$G/streams/REPORTS/obs/reporting/"
	for _, c := range []struct {
		what string
		harm func(dir string) error
		lost bool // events leave the stream: that must be told
	}{
		{"a bit in the middle of a block", t.flip(msgs+"1.blk", 0.3, 0.7), true},
		{"a bit at the end of a block", t.flip(msgs+"1.blk", 0.97, 0.99), true},
		{"half a block", t.cut(msgs+"1.blk", 0.5), true},
		{"the stream's index", remove(msgs + "index.db"), false},
		{"a bit of a consumer's state", t.flip(consumer+"o.dat", 0.1, 0.9), false},
		{"a consumer's state", remove(consumer + "o.dat"), false},
		{"the end of the database's log", t.cut("onrecord.db-wal", 0.6), false},
		{"all of the database's log", t.cut("onrecord.db-wal", 0), false},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		p := t.start(dir, settings{})
		token := t.token(dir)
		p.stop() // the log is moved into the database: the token is there whatever happens to the log
		p = t.start(dir, settings{})
		phones := t.phones(4)
		phones.to(p.url)
		phones.await(60)
		phones.finish()
		before := phones.soFar()
		runtest.Eventually(t, 30*time.Second, func() error {
			if n, err := p.counted(token); err != nil || n != len(before) {
				return fmt.Errorf("counted %d of %d: %w", n, len(before), err)
			}
			return nil
		})
		if strings.HasPrefix(c.what, "the end of the database") || strings.HasPrefix(c.what, "all of the database") {
			p.kill() // stopping would move the log into the database
		} else {
			p.stop()
		}
		if err := c.harm(dir); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		t.broke(1)
		p = t.start(dir, settings{})
		if c.lost {
			runtest.Eventually(t, 10*time.Second, func() error {
				if out := p.output.String(); !strings.Contains(out, "code=stream_") {
					return fmt.Errorf("%s: the log does not tell that the stream lost something", c.what)
				}
				return nil
			})
		}
		later := t.phones(4)
		later.to(p.url)
		later.await(20)
		later.finish()
		received := later.soFar()
		for id, w := range before {
			received[id] = w
		}
		t.check(p, token, received, received, expectations{within: 30 * time.Second,
			findings: []string{"stream_truncated", "stream_replaced", "stream_unreadable", "stream_damaged", "events_missed"}})
		p.kill()
	}
}

// flip changes one bit of a file, somewhere between two shares of its length.
func (t *trial) flip(name string, from, to float64) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return errors.New("the file is empty")
		}
		at := int((from + t.rng.Float64()*(to-from)) * float64(len(b)))
		bit := t.rng.UintN(8)
		b[at] ^= 1 << bit
		t.Logf("changed bit %d of byte %d of %d in %s", bit, at, len(b), name)
		return os.WriteFile(path, b, 0o600)
	}
}

// cut leaves a share of a file.
func (t *trial) cut(name string, share float64) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, int64(share*float64(info.Size())))
	}
}

func remove(name string) func(string) error {
	return func(dir string) error {
		err := os.Remove(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("it was not there: %w", err)
		}
		return err
	}
}

// lockDatabase keeps the store from writing, as a stopped one would, until the
// function it returns is called.
func lockDatabase(t *trial, path string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
		if err := errors.Join(conn.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// clocks files from phones whose clock is years off, at the edges of months,
// and on a server whose clock is stepped: the month is that of the occurrence.
func clocks(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	received := make(map[string]string)
	months := make(map[string]int)
	send := func(p *process, occurred time.Time, off time.Duration, month string) {
		t.Helper()
		r := newReport(t, t.rng)
		body := fmt.Sprintf(`{"id":%q,"site":"unlisted","occurred_at":%q,"pressed_at":%q,"sent_at":%q,"kind":"abuse","channel":"phone","target":"any_staff","narrative":%q}`,
			r.id, occurred.Add(off).UTC().Format(time.RFC3339), occurred.Add(off).UTC().Format(time.RFC3339), time.Now().Add(off).UTC().Format(time.RFC3339), r.words)
		a, err := call("POST", p.url+"/api/v1/reports", body, "Content-Type", "application/json")
		if err != nil || a.status != 201 {
			t.wrong("a phone whose clock is off by %v: %d %s %v", off, a.status, a.body, err)
			return
		}
		received[r.id] = r.words
		months[month]++
		t.count(func(y *tally) { y.filed, y.received = y.filed+1, y.received+1 })
	}
	p := t.start(dir, settings{binary: breakable})
	token := t.token(dir)
	now := time.Now()
	year := now.Year()
	if now.Month() < time.May {
		year--
	}
	const decade = 10 * 365 * 24 * time.Hour
	edges := []struct {
		at    time.Time
		month string
	}{
		{time.Date(year, 3, 31, 22, 59, 0, 0, time.UTC), fmt.Sprintf("%d-03", year)}, // 23:59 in summer time
		{time.Date(year, 3, 31, 23, 1, 0, 0, time.UTC), fmt.Sprintf("%d-04", year)},  // 00:01 in summer time
		{time.Date(year, 2, 28, 23, 59, 0, 0, time.UTC), fmt.Sprintf("%d-02", year)},
		{time.Date(year-1, 12, 31, 23, 59, 0, 0, time.UTC), fmt.Sprintf("%d-12", year-1)},
		{time.Date(2024, 2, 29, 23, 30, 0, 0, time.UTC), "2024-02"},
		{now.Add(-2 * time.Hour), now.Add(-2 * time.Hour).In(london(t)).Format("2006-01")},
	}
	for _, e := range edges {
		for _, off := range []time.Duration{0, decade, -decade, 10 * time.Minute} {
			send(p, e.at, off, e.month)
			t.broke(1)
		}
	}
	for _, step := range []string{"-1h", "1h"} {
		p.stop()
		p = t.start(dir, settings{binary: breakable, env: []string{"ONRECORD_FAILPOINT_CLOCK=" + step}})
		send(p, time.Date(year, 1, 15, 12, 0, 0, 0, time.UTC), 0, fmt.Sprintf("%d-01", year))
		t.broke(1)
	}
	p.stop()
	p = t.start(dir, settings{})
	for month, want := range months {
		runtest.Eventually(t, 20*time.Second, func() error {
			var figures struct{ Months []struct{ Total int } }
			if err := p.get("/api/v1/figures?from="+month+"&to="+month, token, &figures); err != nil {
				return err
			}
			if got := figures.Months[0].Total; got != want {
				return fmt.Errorf("%s counts %d, want %d", month, got, want)
			}
			return nil
		})
	}
	words, err := p.words(token)
	if err != nil {
		t.Fatal(err)
	}
	t.compare(words, received, received, 0)
}

func london(t *trial) *time.Location {
	t.Helper()
	l, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// histories runs the projector's random histories, which stand beside it,
// against a plain count of what was said.
func histories(t *trial) {
	count, limit := "40", "6s"
	if *runCount > 0 {
		count, limit = "2000", "60s"
	}
	out, err := exec.Command("go", "test", "-count=1", "../../reporting/internal/projector", "-run", "TestHistoriesEndInTheSameFigures", "-v",
		"-args", "-history.count="+count, "-history.time="+limit).CombinedOutput()
	if err != nil {
		t.wrong("%v\n%s", err, out)
		return
	}
	for line := range strings.Lines(string(out)) {
		if _, told, ok := strings.Cut(line, "history_test.go:"); ok {
			_, told, _ = strings.Cut(told, ": ")
			t.note("%s", strings.TrimSpace(told))
			if n, err := strconv.Atoi(strings.Fields(told)[0]); err == nil {
				t.broke(n)
			}
		}
	}
}
