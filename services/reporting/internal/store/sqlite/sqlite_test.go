package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/packed"
	"github.com/onrecord/onrecord/services/reporting/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, openTemp, storetest.Transactional())
}

// A path that was mistyped leaves no file.
func TestOnlyADatabaseThatWasBegunIsOpenedAsOne(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.db")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "mistyped.db"), empty} {
		if _, err := OpenExisting(t.Context(), path); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v, want store.ErrNotFound", path, err)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v %v, want no new file", files, err)
	}
	begun := filepath.Join(dir, "onrecord.db")
	openAt(t, begun)
	s, err := OpenExisting(t.Context(), begun)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// openTemp returns a new store in a directory of its own, closed with the test.
func openTemp(t *testing.T) store.Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "onrecord.db"))
}

func openAt(t testing.TB, path string) *db {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s.(*db)
}

// insert stores n incidents, each in a transaction of its own, and returns
// their ids; it stops at the first error.
func insert(t *testing.T, d *db, r *rand.Rand, n int) (ids []string, err error) {
	t.Helper()
	for range n {
		i := realistic(r)
		if err := d.InsertIncident(t.Context(), i); err != nil {
			return ids, err
		}
		ids = append(ids, i.ID)
	}
	return ids, nil
}

func insertAll(t *testing.T, d *db, r *rand.Rand, n int) []string {
	t.Helper()
	ids, err := insert(t, d, r, n)
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

// holdsAll fails unless every incident is there, whole, and listed.
func holdsAll(t *testing.T, d *db, ids []string) {
	t.Helper()
	for _, id := range ids {
		i, err := d.Incident(t.Context(), id)
		if err != nil || i.ID != id || len(i.Timeline) != 3 {
			t.Fatalf("incident %s: %+v, %v", id, i, err)
		}
		if _, err := d.IncidentByReport(t.Context(), i.Reports[0].ID); err != nil {
			t.Fatalf("by report: %v", err)
		}
	}
	count, err := d.CountIncidents(t.Context(), store.Filter{}, 1<<30)
	if err != nil || count < len(ids) {
		t.Fatalf("count %d, %v, want at least %d", count, err, len(ids))
	}
}

func TestSettingsHoldOnEveryConnection(t *testing.T) {
	d := openTemp(t).(*db)
	migrations, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	pragma := func(q interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}, name string) (value string) {
		if err := q.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&value); err != nil {
			t.Fatal(name, err)
		}
		return value
	}
	for name, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "auto_vacuum": "1", "secure_delete": "1", "foreign_keys": "1",
		"trusted_schema": "0", "busy_timeout": "5000", "application_id": fmt.Sprint(applicationID), "user_version": fmt.Sprint(len(migrations)),
	} {
		if got := pragma(d.conn, name); got != want {
			t.Errorf("writer: %s=%s, want %s", name, got, want)
		}
	}
	for range readConnections {
		conn, err := d.readers.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for name, want := range map[string]string{"query_only": "1", "trusted_schema": "0", "journal_mode": "wal", "busy_timeout": "5000"} {
			if got := pragma(conn, name); got != want {
				t.Errorf("reader: %s=%s, want %s", name, got, want)
			}
		}
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "onrecord.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil { // somebody touched it
		t.Fatal(err)
	}
	d := openAt(t, path)
	insertAll(t, d, rand.New(rand.NewPCG(1, 1)), 3)
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != 3 {
		t.Fatalf("files %v, %v, want the database, its log and the log’s index", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", file, info.Mode().Perm())
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	execute := func(path, script string) string {
		database, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer database.Close()
		if _, err := database.Exec(script); err != nil {
			t.Fatal(err)
		}
		return path
	}
	newer := filepath.Join(dir, "newer.db")
	if err := openAndClose(t, newer); err != nil {
		t.Fatal(err)
	}
	execute(newer, `PRAGMA user_version = 1000`)
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("not a database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ path, want string }{
		"a newer database":          {newer, "written by a newer release"},
		"another program’s":         {execute(filepath.Join(dir, "other.db"), `PRAGMA auto_vacuum = full; CREATE TABLE other (a)`), "another program’s"},
		"another program’s setting": {execute(filepath.Join(dir, "older.db"), `CREATE TABLE other (a)`), "auto_vacuum is 0"},
		"no database":               {garbage, "not a database"},
		"a directory":               {dir, "is a directory"},
		"no directory":              {filepath.Join(dir, "nowhere", "x.db"), "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := os.ReadFile(test.path)
			err := openAndClose(t, test.path)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.path) {
				t.Fatalf("error %v, want one that names the file and says %q", err, test.want)
			}
			if after, _ := os.ReadFile(test.path); name == "no database" && !bytes.Equal(before, after) {
				t.Fatal("the file was changed")
			}
		})
	}
}

func openAndClose(t *testing.T, path string) error {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		return err
	}
	return s.Close()
}

func TestOddPaths(t *testing.T) {
	for _, name := range []string{"a b", "what?x=1&_pragma=journal_mode(off)", "50%20off", "a#b", "it’s", `q"uote'`, "ünïcode"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		insertAll(t, openAt(t, filepath.Join(dir, name)), rand.New(rand.NewPCG(1, 1)), 1)
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%v", err)
		}
	}
	t.Chdir(t.TempDir())
	insertAll(t, openAt(t, "relative.db"), rand.New(rand.NewPCG(1, 1)), 1)
}

func TestReopen(t *testing.T) {
	path, r := filepath.Join(t.TempDir(), "onrecord.db"), rand.New(rand.NewPCG(1, 1))
	var ids []string
	for range 3 {
		d := openAt(t, path)
		ids = append(ids, insertAll(t, d, r, 5)...)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after Close the log is still there: %v", err)
		}
	}
	holdsAll(t, openAt(t, path), ids)
}

// What was corrected before corrections were published is due after the migration.
func TestCorrectionsFromBeforeAreDue(t *testing.T) {
	d := openTemp(t).(*db)
	for id, action := range map[string]incident.Action{"corrected": incident.ActionCorrected, "noted": incident.ActionNoted} {
		err := d.InsertIncident(t.Context(), &incident.Incident{ID: id, Rev: 1, Site: "leeds", OccurredAt: time.Now(), WrappedKey: []byte{1},
			Timeline: []incident.Change{{Seq: 1, Action: action, To: "corrected"}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	script, err := migrationFiles.ReadFile("migrations/0005_lessons.sql")
	if err != nil {
		t.Fatal(err)
	}
	before := `DROP INDEX incidents_lesson_due; ALTER TABLE incidents DROP COLUMN lesson_due;`
	if _, err := d.conn.ExecContext(t.Context(), before+string(script)); err != nil {
		t.Fatal(err)
	}
	if due, err := d.LessonsDue(t.Context(), "", 10); err != nil || !slices.Equal(due, []string{"corrected"}) {
		t.Errorf("due=%q err=%v, want the one that was corrected", due, err)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	d := openTemp(t).(*db)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Check(t.Context()); err == nil {
		t.Error("Check of a closed store: no error")
	}
	if _, err := d.Incident(t.Context(), "x"); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("read of a closed store: %v", err)
	}
}

// TestUncleanCopy copies the database and its log from under a running store,
// as a power cut leaves them.
func TestUncleanCopy(t *testing.T) {
	dir, r := t.TempDir(), rand.New(rand.NewPCG(1, 1))
	path := filepath.Join(dir, "onrecord.db")
	d := openAt(t, path)
	var ids []string
	for n := range 5 {
		ids = append(ids, insertAll(t, d, r, 20)...)
		moved := filepath.Join(dir, fmt.Sprint("copy", n, ".db"))
		copyFile(t, path, moved, -1)
		copyFile(t, path+"-wal", moved+"-wal", -1)
		holdsAll(t, openAt(t, moved), ids)
	}
}

// TestTornLog cuts the log at many places: what was committed before the cut
// is there, what lies behind it is not there in part.
func TestTornLog(t *testing.T) {
	dir, r := t.TempDir(), rand.New(rand.NewPCG(1, 1))
	path := filepath.Join(dir, "onrecord.db")
	d := openAt(t, path)
	insertAll(t, d, r, 30)
	log, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	last := -1
	for cut := range 12 {
		moved := filepath.Join(dir, fmt.Sprint("torn", cut, ".db"))
		copyFile(t, path, moved, -1)
		copyFile(t, path+"-wal", moved+"-wal", log.Size()*int64(cut+1)/12-int64(cut*7))
		torn, err := Open(t.Context(), moved)
		if err != nil {
			t.Fatalf("cut %d: %v", cut, err)
		}
		var ids []string
		err = torn.EachIncident(t.Context(), func(i *incident.Incident) error { ids = append(ids, i.ID); return nil })
		if err != nil {
			t.Fatal(err)
		}
		holdsAll(t, torn.(*db), ids)
		if len(ids) < last {
			t.Errorf("a longer log holds %d incidents, a shorter one held %d", len(ids), last)
		}
		last = len(ids)
		if err := torn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if last < 25 {
		t.Errorf("nearly the whole log holds %d of 30 incidents", last)
	}
}

// copyFile copies up to size bytes, all of them when it is negative.
func copyFile(t testing.TB, from, to string, size int64) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if size >= 0 {
		content = content[:size]
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFullDatabase lets SQLite run out of pages, as on a full disk.
func TestFullDatabase(t *testing.T) {
	d, r := openTemp(t).(*db), rand.New(rand.NewPCG(1, 1))
	ids := insertAll(t, d, r, 10)
	var pages int
	if err := d.conn.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		if _, err := d.conn.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages + 20)
	more, err := insert(t, d, r, 1000)
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("after %d more: error %v, want that it is full", len(more), err)
	}
	ids = append(ids, more...)

	// A group that hides the failure is not kept in part.
	err = d.Group(t.Context(), func(s store.Store) error {
		for range 100 {
			_ = s.InsertIncident(t.Context(), realistic(r))
		}
		return s.SetMeta(t.Context(), "kept in part", nil)
	})
	if !errors.Is(err, store.ErrBroken) || !strings.Contains(err.Error(), "full") {
		t.Fatalf("group: error %v, want that it is full", err)
	}
	if _, err := d.Meta(t.Context(), "kept in part"); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("meta: %v", err)
	}
	holdsAll(t, d, ids)
	count, _ := d.CountIncidents(t.Context(), store.Filter{}, 1<<30)
	if count != len(ids) {
		t.Fatalf("%d incidents, want the %d that were acknowledged", count, len(ids))
	}

	limit(1 << 30)
	holdsAll(t, d, append(ids, insertAll(t, d, r, 10)...))
}

// TestFullAndReadOnlyDisk does it on a file system of its own.
func TestFullAndReadOnlyDisk(t *testing.T) {
	disk := t.TempDir()
	remount := mount(t, disk, "size=12m")
	path, filler := filepath.Join(disk, "onrecord.db"), filepath.Join(disk, "filler")
	d, r := openAt(t, path), rand.New(rand.NewPCG(1, 1))
	ids := insertAll(t, d, r, 10)

	file, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	file.Close()
	more, err := insert(t, d, r, 10_000)
	if err == nil {
		t.Fatal("a full disk took 10,000 incidents")
	}
	t.Logf("full after %d more: %v", len(more), err)
	ids = append(ids, more...)
	err = d.Group(t.Context(), func(s store.Store) error { return s.SetMeta(t.Context(), "committed together", make([]byte, 1<<16)) })
	if !errors.Is(err, store.ErrBroken) {
		t.Errorf("a group on a full disk: %v, want store.ErrBroken", err)
	}
	holdsAll(t, d, ids)
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	ids = append(ids, insertAll(t, d, r, 10)...)
	holdsAll(t, d, ids)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	reopened := openAt(t, path)
	holdsAll(t, reopened, ids)
	if err := reopened.Close(); err != nil {
		t.Fatal(err)
	}

	remount(true)
	defer remount(false)
	if err := openAndClose(t, path); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Fatalf("on a read-only disk: error %v", err)
	}
}

// TestCheckWrites takes the right to write away from a running store.
func TestCheckWrites(t *testing.T) {
	d := openTemp(t).(*db)
	if err := d.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	var done int
	if err := d.conn.QueryRowContext(t.Context(), "SELECT done FROM checks").Scan(&done); err != nil || done != 1 {
		t.Fatalf("done=%d, %v, want 1: the check was not committed", done, err)
	}
	if _, err := d.conn.ExecContext(t.Context(), "PRAGMA query_only = on"); err != nil {
		t.Fatal(err)
	}
	if err := d.Check(t.Context()); err == nil {
		t.Fatal("a store that cannot write passes the check")
	}
}

// TestErasedKeyIsGone looks for a destroyed data key in the file.
func TestErasedKeyIsGone(t *testing.T) {
	path, r := filepath.Join(t.TempDir(), "onrecord.db"), rand.New(rand.NewPCG(1, 1))
	d := openAt(t, path)
	i := realistic(r)
	for n := range i.WrappedKey {
		i.WrappedKey[n] = byte(r.IntN(256))
	}
	needle := []byte(base64.StdEncoding.EncodeToString(i.WrappedKey))
	contains := func() bool {
		var all []byte
		for _, file := range []string{path, path + "-wal"} {
			content, err := os.ReadFile(file)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			all = append(all, content...)
		}
		return bytes.Contains(all, needle)
	}
	if err := d.InsertIncident(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	insertAll(t, d, r, 50)
	if !contains() {
		t.Fatal("the key is not in the file: this test looks for the wrong thing")
	}
	i.Rev, i.WrappedKey = 4, nil
	if err := d.ReplaceIncident(t.Context(), i, 3); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if contains() {
		t.Fatal("the destroyed key is still in the file")
	}
}

// TestCellsComeFromTotalsAlone damages what the totals were computed from:
// figures are read without it, and whoever reads it is told.
func TestCellsComeFromTotalsAlone(t *testing.T) {
	d, l := openTemp(t).(*db), bigLedger(50)
	l.Rev = 1
	r := &incident.Rollup{Month: l.Month, Rev: 1}
	r.Fold(l)
	r.Total()
	if err := errors.Join(d.PutLedger(t.Context(), l), d.PutRollup(t.Context(), r)); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{`UPDATE ledger_entries SET entries = x'01ffff'`, `UPDATE rollup_sites SET sites = x'02'`} {
		if _, err := d.conn.ExecContext(t.Context(), damage); err != nil {
			t.Fatal(err)
		}
	}
	cells, err := d.LedgerCells(t.Context(), nil, l.Month, l.Month)
	if err != nil || len(cells) != 1 || !slices.Equal(cells[0].Cells, l.Cells) {
		t.Fatalf("ledger cells %v, %v", cells, err)
	}
	sums, err := d.RollupCells(t.Context(), l.Month, l.Month)
	if err != nil || !slices.Equal(sums[l.Month], r.All) {
		t.Fatalf("roll-up cells %v, %v", sums, err)
	}
	if _, err := d.Ledger(t.Context(), l.Month, l.Site); !errors.Is(err, packed.ErrDamaged) || !strings.Contains(err.Error(), "2026-11") {
		t.Errorf("damaged ledger: error %v", err)
	}
	if _, err := d.Rollup(t.Context(), l.Month); !errors.Is(err, packed.ErrDamaged) {
		t.Errorf("damaged roll-up: error %v", err)
	}
}

func TestLedgersWithoutMonthAreRefused(t *testing.T) {
	d, i := openTemp(t).(*db), realistic(rand.New(rand.NewPCG(1, 1)))
	i.Lines = append(i.Lines, incident.LedgerKey{Site: "leeds"})
	for what, err := range map[string]error{
		"incident": d.InsertIncident(t.Context(), i),
		"ledger":   d.PutLedger(t.Context(), &incident.Ledger{Site: "leeds", Rev: 1}),
		"roll-up":  d.PutRollup(t.Context(), &incident.Rollup{Rev: 1}),
	} {
		if !errors.Is(err, errMonth) {
			t.Errorf("%s: error %v, want %v", what, err, errMonth)
		}
	}
}

// TestReadingWhileWriting lists and reads from all sides while two writers
// insert, replace and fold; every page is in order and every document whole.
func TestReadingWhileWriting(t *testing.T) {
	d := openTemp(t).(*db)
	deadline := time.Now().Add(time.Second)
	var all sync.WaitGroup
	for w := range 2 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for time.Now().Before(deadline) {
				i := realistic(r)
				changed := *i
				changed.Rev++
				err := errors.Join(d.InsertIncident(t.Context(), i), d.ReplaceIncident(t.Context(), &changed, i.Rev), d.MarkFolded(t.Context(), i.ID, changed.Rev))
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 6 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(n)))
			filters := everyFilter()
			for time.Now().Before(deadline) {
				f := drawn(r, filters[r.IntN(len(filters))])
				page, _, err := d.ListIncidents(t.Context(), f)
				if err != nil || !slices.IsSortedFunc(page, newestFirst) {
					t.Errorf("%+v: %v, %v", f, page, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// The log still holds the pages as they were before a change. After Scrub a
// destroyed key is in no file.
func TestWhatWasTakenOutLeavesTheFiles(t *testing.T) {
	dir := t.TempDir()
	d := openAt(t, filepath.Join(dir, "onrecord.db"))
	key := bytes.Repeat([]byte("demo key "), 7)
	i := &incident.Incident{ID: "00000000-0000-8000-8000-000000000001", Rev: 1, Site: "leeds", Status: incident.StatusNew, OccurredAt: time.Unix(1e9, 0), WrappedKey: key}
	if err := d.InsertIncident(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	held := func() (files []string) {
		all, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range all {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(content, []byte(base64.StdEncoding.EncodeToString(key))) {
				files = append(files, filepath.Base(name))
			}
		}
		return files
	}
	if len(held()) == 0 {
		t.Fatal("the key is in no file from the beginning: this test sees nothing")
	}
	i.Rev, i.WrappedKey = 2, nil
	if err := d.ReplaceIncident(t.Context(), i, 1); err != nil {
		t.Fatal(err)
	}
	if err := d.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	if files := held(); len(files) > 0 {
		t.Errorf("the key that was destroyed is still in %v", files)
	}

	// Somebody who reads what was before keeps it there.
	err := d.Snapshot(t.Context(), func(store.Store) error {
		i.Rev++
		if err := d.ReplaceIncident(t.Context(), i, i.Rev-1); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := d.Scrub(ctx); err == nil {
			t.Error("it claims to have emptied a log that somebody reads")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Scrub(t.Context()); err != nil {
		t.Error(err)
	}
}
