package faults

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/embedded"
	"github.com/onrecord/onrecord/pkg/run/runtest"
	"github.com/onrecord/onrecord/pkg/seal"
)

func fileReport(url string, r report) (answer, error) {
	return call(http.MethodPost, url+"/api/v1/reports", r.body, "Content-Type", "application/json")
}

// again sends the same report ten times at once, later, and after restarts:
// one incident, the same receipt.
func again(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	p := t.start(dir, settings{})
	token := t.token(dir)
	received := make(map[string]string)
	receipts := make(map[string]string)
	var mu sync.Mutex
	send := func(url string, r report) {
		t.Helper()
		t.count(func(y *tally) { y.filed++ })
		a, err := fileReport(url, r)
		if err != nil || a.status != http.StatusCreated && a.status != http.StatusOK {
			t.wrong("sending again: %d %v", a.status, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if before, ok := receipts[r.id]; ok && before != a.body {
			t.wrong("sending again gave another answer: %s and %s", before, a.body)
		}
		receipts[r.id], received[r.id] = a.body, r.words
	}
	var reports []report
	for range 20 {
		r := newReport(t, t.rng)
		reports = append(reports, r)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { send(p.url, r) })
		}
		wg.Wait()
	}
	for range 2 {
		for _, r := range reports {
			send(p.url, r)
		}
		p.kill()
		t.broke(1)
		p = t.start(dir, settings{})
	}
	for _, r := range reports {
		send(p.url, r)
		other := reportOf(r.id, r.words+" and more", time.Now())
		if a, err := fileReport(p.url, other); err != nil || a.status != http.StatusConflict {
			t.wrong("another report with the same id: %d %v", a.status, err)
		}
	}
	t.count(func(y *tally) { y.received += len(received) })
	t.check(p, token, received, received, expectations{})
	// One is erased: it stays counted, and does not come back.
	erased := reports[0]
	receipt := strings.Split(strings.SplitAfter(receipts[erased.id], `"receipt":"`)[1], `"`)[0]
	t.must(program, "erase", receipt, "--yes", "--data-dir", dir)
	if a, err := fileReport(p.url, erased); err != nil || a.status != http.StatusConflict || !strings.Contains(a.body, `"erased"`) {
		t.wrong("an erased report again: %d %v", a.status, err)
	}
	delete(received, erased.id)
	t.check(p, token, received, received, expectations{unread: 1})
}

// poison sends what nobody can read, by HTTP and on the stream: it is refused,
// or put aside and counted, and what stands beside it is not harmed.
func poison(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	p := t.start(dir, settings{})
	token := t.token(dir)
	phones := t.phones(4)
	phones.to(p.url)
	phones.await(10)
	good := newReport(t, t.rng)
	bad := []string{
		"", "{", "null", "[]", `"` + t.canary + `"`, `{"id": {"$ne": null}}`, `{"$where": "` + t.canary + `"}`, `{"id.x": "` + t.canary + `"}`,
		strings.Replace(good.body, `"narrative":"`, `"narrative":"\u0000`, 1),
		strings.Replace(good.body, `"narrative":"`, "\"narrative\":\"\xff\xfe", 1),
		strings.Replace(good.body, `"narrative":"`, `"narrative":"`+strings.Repeat(t.canary, 1<<20/len(t.canary)), 1),
		strings.Replace(good.body, `"kind":"abuse"`, `"kind":NaN`, 1),
		strings.Replace(good.body, `"kind":"abuse"`, `"kind":{"$gt":""}`, 1),
		strings.Replace(good.body, `"kind":"abuse"`, `"kind":"`+t.canary+`"`, 1),
	}
	for n, body := range bad {
		a, err := call(http.MethodPost, p.url+"/api/v1/reports", body, "Content-Type", "application/json")
		if err == nil && (a.status < 400 || a.status >= 500 || strings.Contains(a.body, t.canary)) {
			t.wrong("bad report %d: %d %.200s", n, a.status, a.body)
		}
		t.broke(1)
	}
	phones.finish()
	p.stop()
	unread := t.putOnStream(dir, len(bad))
	p = t.start(dir, settings{})
	more := t.phones(4)
	more.to(p.url)
	more.await(20)
	more.finish()
	received := phones.soFar()
	for id, w := range more.soFar() {
		received[id] = w
	}
	t.check(p, token, received, received, expectations{findings: []string{"quarantine"}, unread: unread})
	if out, err := t.command(dir, "dead-letters", "list"); err != nil || strings.Count(out, bus.TypeFiled+".") != unread {
		t.wrong("dead letters: %v\n%s", err, out)
	}
}

// putOnStream puts reports that nobody can read on a stopped installation's
// stream, and returns how many.
func (t *trial) putOnStream(dir string, n int) int {
	t.Helper()
	b, closeStream := t.stream(dir)
	defer closeStream()
	for range n {
		raw := make([]byte, t.rng.IntN(500))
		for i := range raw {
			raw[i] = byte(t.rng.UintN(256))
		}
		subject := bus.Subject(bus.TypeFiled, uuid.Must(uuid.NewV7()).String())
		if _, err := b.Publish(context.Background(), bus.Event{Subject: subject, ID: subject, Data: raw}); err != nil {
			t.Fatal(err)
		}
		t.broke(1)
	}
	return n
}

// stream opens a stopped installation's stream.
func (t *trial) stream(dir string) (b *bus.Bus, closeStream func()) {
	t.Helper()
	ring, err := seal.ReadFile(filepath.Join(dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	srv, err := embedded.Start(embedded.Options{Dir: filepath.Join(dir, "stream"), Key: string(ring.Derive("jetstream"))})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := srv.Connect("faults")
	if err == nil {
		b, err = bus.New(nc, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		srv.Stop()
		t.Fatal(err)
	}
	return b, func() { nc.Close(); srv.Stop() }
}

// backlog holds the database while thousands are filed, and lets go.
func backlog(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	p := t.start(dir, settings{})
	token := t.token(dir)
	release := lockDatabase(t, filepath.Join(dir, "onrecord.db"))
	phones := t.phones(16)
	phones.to(p.url)
	want := 3000
	if *runCount > 0 {
		want = 10_000
	}
	runtest.Eventually(t, 4*time.Minute, func() error {
		if n := phones.count(); n < want {
			return fmt.Errorf("%d received beside a stopped database, want %d", n, want)
		}
		return nil
	})
	t.broke(1)
	p99 := phones.slowest(0.99)
	phones.finish()
	release()
	began := time.Now()
	runtest.Eventually(t, 3*time.Minute, func() error {
		if n, err := p.counted(token); err != nil || n < phones.count() {
			return fmt.Errorf("counted %d of %d: %w", n, phones.count(), err)
		}
		return nil
	})
	peak := p.peakMemory()
	t.note("a backlog of %d drained in %v; meanwhile 99 %% of answers within %v; at most %d MiB of memory",
		phones.count(), time.Since(began).Round(100*time.Millisecond), p99.Round(time.Millisecond), peak>>20)
	if peak > 400<<20 {
		t.wrong("the program took %d MiB", peak>>20)
	}
	t.check(p, token, phones.soFar(), phones.sent, expectations{})
}

// peakMemory returns the most resident memory the process ever had.
func (p *process) peakMemory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// overload sends far more than can be taken, holds a thousand connections
// open, and uploads without end, while a few honest phones file.
func overload(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	p := t.start(dir, settings{})
	token := t.token(dir)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	address := strings.TrimPrefix(p.url, "http://")
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for range 1000 { // slow senders
		wg.Go(func() { dribble(ctx, address) })
	}
	wg.Go(func() { uploadForEver(ctx, p.url) })
	noise := t.phones(0)
	for range 500 { // impatient senders: they never wait
		wg.Go(func() { spam(ctx, t, noise, p.url) })
	}
	honest := t.phones(10)
	honest.to(p.url)
	t.wait(8 * time.Second)
	honest.finish()
	stop()
	wg.Wait()
	t.broke(1)
	p99 := honest.slowest(0.99)
	peak := p.peakMemory()
	t.note("beside 500 impatient senders, 1,000 slow connections and an endless upload, 10 phones filed %d, each in the end; 99 %% within %v; at most %d MiB of memory",
		honest.count(), p99.Round(10*time.Millisecond), peak>>20)
	if peak > 600<<20 {
		t.wrong("the program took %d MiB", peak>>20)
	}
	received, sent := honest.soFar(), honest.sentSoFar()
	for id, w := range noise.soFar() {
		received[id] = w
	}
	for id, w := range noise.sentSoFar() {
		sent[id] = w
	}
	t.check(p, token, received, sent, expectations{within: 2 * time.Minute})
}

// dribble holds a connection open and sends a byte now and then, for ever.
func dribble(ctx context.Context, address string) {
	for ctx.Err() == nil {
		conn, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		}
		_, err = io.WriteString(conn, "POST /api/v1/reports HTTP/1.1\r\nHost: demo\r\nX-Slow: ")
		for err == nil && ctx.Err() == nil {
			select {
			case <-time.After(time.Second):
				_, err = io.WriteString(conn, "a")
			case <-ctx.Done():
			}
		}
		_ = conn.Close()
	}
}

// endless is a body that never ends.
type endless struct{ ctx context.Context }

func (e endless) Read(b []byte) (int, error) { return len(b), e.ctx.Err() }

func uploadForEver(ctx context.Context, url string) {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/api/v1/reports", endless{ctx})
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/json")
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// spam sends reports one after another and never again.
func spam(ctx context.Context, t *trial, c *crowd, url string) {
	for ctx.Err() == nil {
		id := uuid.Must(uuid.NewV7()).String()
		r := reportOf(id, "Demo: noise. "+t.canary+" "+id, time.Now().Add(-time.Hour))
		c.mu.Lock()
		c.sent[r.id] = r.words
		c.mu.Unlock()
		t.count(func(y *tally) { y.filed++ })
		if a, err := fileReport(url, r); err == nil {
			c.settle(r, a, 0)
		}
	}
}
