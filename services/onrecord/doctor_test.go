package main

import (
	"database/sql"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// copyData returns a copy of a stopped installation's directory.
func copyData(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(to, "master.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// doctor runs “onrecord doctor” and returns what it printed and whether it
// found nothing.
func doctor(t *testing.T, dir string, args ...string) (string, bool) {
	t.Helper()
	out, err := onrecord(t, "", append([]string{"doctor", "--data-dir", dir}, args...)...)
	if err != nil && !strings.Contains(err.Error(), "exit 1") {
		t.Fatalf("doctor: %v", err)
	}
	if err != nil {
		out += err.Error()
	}
	return out, err == nil
}

// Whatever is wrong with a data directory is said in words with the next step,
// nothing begins empty beside old data, and looking changes nothing.
func TestTheDoctorSaysWhatIsWrongAndWhatNext(t *testing.T) {
	t.Parallel()
	whole := filepath.Join(t.TempDir(), "data")
	p := start(t, whole)
	for range 3 {
		if a, err := file(p.url, report(newID(), nil)); err != nil || a.status != http.StatusCreated {
			t.Fatalf("%d %s %v", a.status, a.body, err)
		}
	}
	if out, ok := doctor(t, whole); !ok || !strings.Contains(out, "nothing is wrong") {
		t.Fatalf("beside a running server that is well: %s", out)
	}
	p.stop(t)
	if out, ok := doctor(t, whole); !ok {
		t.Fatalf("a stopped installation that is well: %s", out)
	}
	other := filepath.Join(t.TempDir(), "data")
	start(t, other).stop(t)

	remove := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, name := range names {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	onDatabase := func(statement string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			db, err := sql.Open("sqlite", filepath.Join(dir, "onrecord.db"))
			if err == nil {
				_, err = db.Exec(statement)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	damage := func(at int64) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			f, err := os.OpenFile(filepath.Join(dir, "onrecord.db"), os.O_RDWR, 0)
			if err == nil {
				_, err = f.WriteAt(make([]byte, 64), at)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		harm       func(t *testing.T, dir string)
		args       []string
		code, next string
	}{
		"nothing there":       {remove("."), nil, "no_installation", "--data-dir"},
		"key missing":         {remove("master.key"), nil, "key_missing", "from your copy"},
		"another key":         {func(*testing.T, string) {}, []string{"--master-key-file", filepath.Join(other, "master.key")}, "key_other", "Put that key back"},
		"key mark missing":    {remove("key.check"), nil, "key_mark_missing", "Put it back"},
		"no store":            {remove("onrecord.db", "onrecord.db-wal", "onrecord.db-shm"), nil, "store_lost", "restore a backup"},
		"no stream":           {remove("stream"), nil, "stream_lost", "restore a backup"},
		"stream made anew":    {remove("stream/jetstream/$G/streams/REPORTS"), nil, "stream_replaced", "backup"},
		"database's header":   {damage(0), nil, "store_unusable", "newest backup"},
		"newer schema":        {onDatabase("PRAGMA user_version = 9999"), nil, "store_unusable", "newer release"},
		"other's database":    {onDatabase("PRAGMA application_id = 1"), nil, "store_unusable", "another program"},
		"an incident removed": {onDatabase("PRAGMA foreign_keys=off; DELETE FROM incidents WHERE n = 1"), nil, "events_missed", "in the figures now"},
		"a figure removed":    {onDatabase("PRAGMA foreign_keys=off; DELETE FROM rollup_sites; DELETE FROM rollups"), nil, "figures_differ", "onrecord verify"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := copyData(t, whole)
			c.harm(t, dir)
			out, ok := doctor(t, dir, c.args...)
			if ok || !strings.Contains(out, c.code) || !strings.Contains(out, c.next) || !strings.Contains(out, "Next: ") {
				t.Errorf("want %s and %q, got:\n%s", c.code, c.next, out)
			}
		})
	}
}
