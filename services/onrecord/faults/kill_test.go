package faults

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/failpoint"
)

// everywhere kills the process at each named place; in the long set twice in a row.
func everywhere(t *trial) {
	for _, place := range failpoint.All {
		dir := filepath.Join(t.TempDir(), "data")
		phones := t.phones(6)
		hits := 0
		for range longer(1, 2) {
			times := 1 + t.rng.IntN(12)
			if strings.HasPrefix(place, "boot.") || place == failpoint.Migrating {
				times = 1 // these are passed once
			}
			if t.killAt(dir, phones, place, times) {
				hits++
			}
		}
		if hits == 0 {
			t.wrong("the process never passed %s: the place has gone", place)
		}
		t.broke(hits)
		if place == failpoint.ApplyBefore { // some were received and not counted: it is said
			if out, err := t.command(dir, "verify"); err != nil || !strings.Contains(out, "in no figure yet") {
				t.wrong("killed at %s, it is not said that some reports are counted later: %v\n%s", place, err, out)
			}
		}
		p := t.start(dir, settings{binary: breakable})
		phones.to(p.url)
		phones.finish()
		t.check(p, t.token(dir), phones.soFar(), phones.sent, expectations{})
		p.kill()
	}
}

// killAt runs the program until it has passed a place so many times, and
// reports whether it did. The process is gone when it returns.
func (t *trial) killAt(dir string, phones *crowd, place string, times int) bool {
	t.Helper()
	p := t.launch(dir, settings{binary: breakable, env: []string{fmt.Sprintf("ONRECORD_FAILPOINT=%s:%d", place, times)}})
	if p.ready(20*time.Second) == nil {
		phones.to(p.url)
		p.ends(10 * time.Second)
	}
	phones.to("")
	p.kill()
	return strings.Contains(p.output.String(), "failpoint: "+place)
}

// anywhere kills the process at random moments.
func anywhere(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	phones := t.phones(12)
	for range 10 {
		p := t.start(dir, settings{})
		phones.to(p.url)
		t.wait(t.between(20*time.Millisecond, 700*time.Millisecond))
		p.kill()
		phones.to("")
		t.broke(1)
	}
	p := t.start(dir, settings{})
	phones.to(p.url)
	phones.finish()
	t.check(p, t.token(dir), phones.soFar(), phones.sent, expectations{})
}

// asleep stops the whole process for longer than anybody waits for an answer.
func asleep(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	p := t.start(dir, settings{})
	phones := t.phones(12)
	phones.to(p.url)
	for range longer(1, 2) {
		phones.await(30)
		p.signal(syscall.SIGSTOP)
		t.wait(t.between(5500*time.Millisecond, 7*time.Second))
		p.signal(syscall.SIGCONT)
		t.broke(1)
	}
	phones.await(30)
	phones.finish()
	t.check(p, t.token(dir), phones.soFar(), phones.sent, expectations{})
}

// restarts ends and starts the program as upgrades do, under load: this release,
// a later one, this one again. The later one writes messages with fields that
// this one does not know. In the end the database is a later one’s: this
// release leaves it alone and says why, and the later one goes on.
func restarts(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	phones := t.phones(12)
	for n := range 5 {
		s := settings{}
		if later := n%2 == 1; later {
			s = settings{binary: breakable, env: []string{"ONRECORD_FAILPOINT_LATER=1"}}
		}
		p := t.start(dir, s)
		phones.to(p.url)
		phones.await(40)
		p.stop()
		phones.to("")
		t.broke(1)
	}
	if t.writtenLater(dir) == 0 {
		t.wrong("nothing on the stream is of a later release: the case shows nothing")
	}
	database := filepath.Join(dir, "onrecord.db")
	version := t.sql(database, "CREATE TABLE later (demo TEXT)", "PRAGMA user_version = 1000")
	before := t.content(database)
	p := t.launch(dir, settings{})
	if !p.ends(30*time.Second) || !strings.Contains(p.output.String(), "newer release") {
		t.wrong("on the database of a later release this one does not end saying so:\n%s", p.tail(10))
	}
	p.kill()
	if !bytes.Equal(before, t.content(database)) {
		t.wrong("this release changed the database of a later one")
	}
	t.broke(1)
	t.sql(database, "DROP TABLE later", fmt.Sprintf("PRAGMA user_version = %d", version))
	for status := range phones.refused {
		if status != 503 {
			t.wrong("stopping answered %d to a phone", status)
		}
	}
	p = t.start(dir, settings{})
	phones.to(p.url)
	phones.finish()
	t.check(p, t.token(dir), phones.soFar(), phones.sent, expectations{})
}

// writtenLater returns how many events on a stopped installation's stream are as
// a later release would write them.
func (t *trial) writtenLater(dir string) (n int) {
	t.Helper()
	b, closeStream := t.stream(dir)
	defer closeStream()
	h, err := b.Health(t.Context())
	if err == nil {
		err = b.Copy(t.Context(), h.LastSeq, func(e bus.Stored) error {
			if bytes.Contains(e.Data, []byte("later release")) {
				n++
			}
			return nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// content returns the bytes of a database, without those by which SQLite says in
// the header that somebody opened it.
func (t *trial) content(path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || len(b) < 100 {
		t.Fatalf("%d bytes: %v", len(b), err)
	}
	clear(b[24:28])  // the file change counter
	clear(b[92:100]) // the counter again, and whose library wrote it
	return b
}

// sql changes a stopped installation's database, and returns the version that
// it had.
func (t *trial) sql(path string, statements ...string) (version int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRowContext(t.Context(), "PRAGMA user_version").Scan(&version); err != nil {
		t.Fatal(err)
	}
	for _, s := range append(statements, "PRAGMA wal_checkpoint(TRUNCATE)") {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return version
}
