package faults

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// fullDisk fills the disk under everything, under the stream alone, or under
// the database alone, in the long set each; nothing is promised that is not on it, and with room
// again and a restart everything promised is there.
func fullDisk(t *trial) {
	places := []string{"everything", "the stream", "the database"}
	t.rng.Shuffle(len(places), func(a, b int) { places[a], places[b] = places[b], places[a] })
	for _, under := range places[:longer(1, len(places))] {
		small := t.small("24m")
		dir := filepath.Join(t.TempDir(), "data")
		switch under {
		case "everything":
			dir = filepath.Join(small, "data")
		default:
			t.start(dir, settings{}).stop()
			t.move(dir, small, under == "the stream")
		}
		p := t.start(dir, settings{args: []string{"--max-store", "512"}})
		token := t.token(dir)
		phones := t.phones(8)
		phones.to(p.url)
		phones.await(20)
		filler := filepath.Join(small, "filler")
		fill(t, filler)
		t.broke(1)
		if under == "the database" {
			phones.await(50) // filing goes on: the stream has them
			if a, err := call(http.MethodGet, p.url+"/readyz", ""); err != nil || a.status == http.StatusOK {
				t.wrong("the database's disk is full and the program says it is ready: %v", err)
			}
		} else if !p.ends(30 * time.Second) {
			t.wrong("the disk under %s is full and the program goes on", under)
		}
		phones.to("")
		p.kill()
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		again := t.start(dir, settings{args: []string{"--max-store", "512"}})
		phones.to(again.url)
		phones.finish()
		t.check(again, token, phones.soFar(), phones.sent, expectations{})
		again.kill()
	}
}

// small mounts a small file system in memory.
func (t *trial) small(size string) string {
	t.Helper()
	at := t.TempDir()
	t.must("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", at)
	t.Cleanup(func() { t.must("umount", "-l", at) })
	return at
}

// move moves the stream, or the database, of a stopped installation to another
// file system and leaves a link.
func (t *trial) move(dir, to string, stream bool) {
	t.Helper()
	if stream {
		t.must("cp", "-a", filepath.Join(dir, "stream"), to)
		t.must("rm", "-r", filepath.Join(dir, "stream"))
		t.must("ln", "-s", filepath.Join(to, "stream"), filepath.Join(dir, "stream"))
		return
	}
	// The database's side files lie beside it: the whole directory moves, and the
	// stream stays where there is room.
	t.must("cp", "-a", dir, filepath.Join(to, "data"))
	t.must("rm", "-r", filepath.Join(to, "data", "stream"))
	t.must("ln", "-s", filepath.Join(dir+".room", "stream"), filepath.Join(to, "data", "stream"))
	t.must("mv", dir, dir+".room")
	t.must("ln", "-s", filepath.Join(to, "data"), dir)
}

// fill writes a file until the disk has no room.
func fill(t *trial, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(block)
	}
	_ = f.Close()
}

// fullStream fills what the stream may use: filing is refused and told, what
// was received is there, and with more room filing goes on.
func fullStream(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	p := t.start(dir, settings{args: []string{"--max-store", "64"}})
	token := t.token(dir)
	received := make(map[string]string)
	words := strings.Repeat("Demo words that fill the stream. ", 140)
	for n := 0; ; n++ {
		r := newReport(t, t.rng)
		r = reportOf(r.id, words+r.words, time.Now().Add(-time.Hour))
		a, err := call(http.MethodPost, p.url+"/api/v1/reports", r.body, "Content-Type", "application/json")
		if err != nil {
			t.Fatal(err)
		}
		if a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "" {
			break
		}
		if a.status != http.StatusCreated || n > 20_000 {
			t.Fatalf("a stream that fills up answers %d after %d", a.status, n)
		}
		received[r.id] = r.words
	}
	t.broke(1)
	t.count(func(y *tally) { y.filed, y.received = y.filed+len(received)+1, y.received+len(received) })
	runtest.Eventually(t, 30*time.Second, func() error {
		if out, err := t.command(dir, "doctor"); err == nil || !strings.Contains(out, "stream_nearly_full") {
			return fmt.Errorf("the doctor does not name the full stream: %s", out)
		}
		return nil
	})
	p.stop()
	again := t.start(dir, settings{args: []string{"--max-store", "256"}})
	phones := t.phones(4)
	phones.to(again.url)
	phones.await(20)
	phones.finish()
	for id, w := range phones.soFar() {
		received[id] = w
	}
	t.check(again, token, received, received, expectations{})
}

// noticed is how long a failing disk may go unnoticed. It is long because strace
// counts for each thread, and lets the first two syncs of each pass.
const noticed = 20 * time.Second

// unwell returns nil when the process has ended, or says that it is not ready.
func (p *process) unwell() error {
	if closed(p.exited) || p.url == "" {
		return nil
	}
	if a, err := call(http.MethodGet, p.url+"/readyz", ""); err == nil && a.status == http.StatusOK {
		return errors.New("it says that it is ready")
	}
	return nil
}

// failingDisk has syncs fail as a failing disk does: of the stream's files and
// of the database's, once and for good.
func failingDisk(t *trial) {
	for _, c := range []struct {
		what, file string
		from       string
	}{
		{"the stream once", "stream/jetstream/$G/streams/REPORTS/msgs/1.blk", "3"},
		{"the stream for good", "stream/jetstream/$G/streams/REPORTS/msgs/1.blk", "3+"},
		{"the database once", "onrecord.db-wal", "3"},
		{"the database for good", "onrecord.db-wal", "3+"},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		first := t.start(dir, settings{})
		early := t.phones(2)
		early.to(first.url)
		early.await(5) // so that the files are there to be named
		early.finish()
		token := t.token(dir)
		first.kill() // the log stays
		strace := []string{"strace", "-f", "-qq", "-o", "/dev/null", "-P", filepath.Join(dir, c.file),
			"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=" + c.from}
		p := t.launch(dir, settings{under: strace})
		if err := p.ready(30 * time.Second); err != nil && !strings.Contains(c.what, "for good") {
			t.Fatalf("%s: %v", c.what, err)
		}
		phones := t.phones(8)
		if p.url != "" {
			phones.to(p.url)
		}
		t.broke(1)
		t.wait(t.between(3*time.Second, 5*time.Second))
		if strings.Contains(c.what, "for good") && runtest.Poll(t.Context(), noticed, p.unwell) != nil {
			t.wrong("syncs of %s fail, and the program says it is ready", c.what)
		}
		phones.to("")
		p.kill()
		again := t.start(dir, settings{})
		phones.to(again.url)
		phones.finish()
		received, sent := phones.soFar(), phones.sent
		for id, w := range early.sent {
			received[id], sent[id] = w, w
		}
		t.check(again, token, received, sent, expectations{})
		again.kill()
	}
}
