package faults

import (
	"maps"
	"os"
	"path/filepath"
	"time"
)

// restored puts back what operators put back: an old database beside the
// stream as it is, a database whose stream is lost, and both from a backup.
func restored(t *trial) {
	for _, c := range []struct {
		what string
		lose func(dir, copied string) (from string, args []string)
		all  bool // nothing may be missing; else what came after the backup is
	}{
		{"an old database beside the newer stream", func(dir, copied string) (string, []string) {
			for _, name := range []string{"onrecord.db", "onrecord.db-wal", "onrecord.db-shm"} {
				t.must("rm", "-f", filepath.Join(dir, name))
			}
			t.must("cp", filepath.Join(copied, "onrecord.db"), filepath.Join(dir, "onrecord.db"))
			return dir, nil
		}, true},
		{"the stream is lost", func(dir, _ string) (string, []string) {
			t.must("rm", "-r", filepath.Join(dir, "stream"))
			return dir, []string{"--accept-loss"}
		}, true},
		{"everything is lost but a backup", func(dir, copied string) (string, []string) {
			into := filepath.Join(t.TempDir(), "new")
			key := filepath.Join(dir, "master.key")
			t.must(program, "restore", filepath.Join(copied, "saved.backup"), "--data-dir", into, "--master-key-file", key)
			t.must("cp", key, into)
			return into, nil
		}, false},
	} {
		dir, copied := filepath.Join(t.TempDir(), "data"), t.TempDir()
		p := t.start(dir, settings{})
		token := t.token(dir)
		early := t.phones(6)
		early.to(p.url)
		early.await(40 + t.rng.IntN(100))
		early.finish()
		t.must(program, "backup", filepath.Join(copied, "saved.backup"), "--data-dir", dir)
		p.stop()
		t.must("cp", filepath.Join(dir, "onrecord.db"), copied)
		p = t.start(dir, settings{})
		late := t.phones(6)
		late.to(p.url)
		late.await(40)
		late.finish()
		received := early.soFar()
		if c.all {
			maps.Copy(received, late.soFar())
		}
		t.settled(p, token, both(early, late), expectations{within: time.Minute}) // counted before it breaks
		p.stop()
		from, args := c.lose(dir, copied)
		t.broke(1)
		p = t.start(from, settings{args: args})
		after := t.phones(4)
		after.to(p.url)
		after.await(20)
		after.finish()
		maps.Copy(received, after.soFar())
		t.check(p, token, received, received, expectations{findings: []string{"events_missed", "stream_replaced", "stream_truncated"}})
		p.kill()
		if err := os.RemoveAll(from); err != nil {
			t.Fatal(err)
		}
	}
}

// both returns what two crowds had received.
func both(a, b *crowd) map[string]string {
	all := a.soFar()
	maps.Copy(all, b.soFar())
	return all
}
