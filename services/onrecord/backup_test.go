package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fileMany files reports with words of their own and returns receipts by words.
func fileMany(t *testing.T, p *process, what string, n int) map[string]string {
	t.Helper()
	receipts := make(map[string]string)
	for i := range n {
		words := fmt.Sprintf("Demo: %s number %d shouted at the desk.", what, i)
		a, err := file(p.url, report(newID(), func(r map[string]any) { r["narrative"] = words }))
		if err != nil || a.status != http.StatusCreated {
			t.Fatalf("%d %s %v", a.status, a.body, err)
		}
		var got struct{ Receipt string }
		if err := json.Unmarshal([]byte(a.body), &got); err != nil {
			t.Fatal(err)
		}
		receipts[words] = got.Receipt
	}
	return receipts
}

// readAll returns the words of every incident, "" where they were erased.
func readAll(t *testing.T, p *process, token string) map[string]int {
	t.Helper()
	all := make(map[string]int)
	for _, i := range incidents(t, p.url, token, "").Incidents {
		var one struct {
			Words  []struct{ Narrative string }
			Erased bool `json:"words_erased"`
		}
		getJSON(t, p.url+"/api/v1/incidents/"+i.ID, token, &one)
		words := ""
		for _, w := range one.Words {
			words += w.Narrative
		}
		if one.Erased {
			words = ""
		}
		all[words]++
	}
	return all
}

func awaitCount(t *testing.T, p *process, token string, want int) {
	t.Helper()
	eventually(t, func() error {
		if n := total(t, p.url, token); n != want {
			return fmt.Errorf("counted %d, want %d", n, want)
		}
		return nil
	})
}

// backUp makes a backup and returns its file.
func backUp(t *testing.T, dir, to string) string {
	t.Helper()
	before, _ := filepath.Glob(filepath.Join(to, "*.backup"))
	out := mustOnrecord(t, "", "backup", to, "--data-dir", dir)
	after, err := filepath.Glob(filepath.Join(to, "*.backup"))
	if err != nil || len(after) != len(before)+1 || !strings.Contains(out, "restored and recounted") {
		t.Fatalf("backup: %v %s", after, out)
	}
	return after[len(after)-1]
}

// A backup of a running installation brings everything back: words, figures,
// accounts, and what was only in the stream.
func TestABackupBringsEverythingBack(t *testing.T) {
	t.Parallel()
	dir, to := t.TempDir(), t.TempDir()
	p := start(t, dir)
	token := apiToken(t, dir, "rep")
	mustOnrecord(t, "", "user", "add", "Demo Rep", "--role", "rep", "--generate-password", "--data-dir", dir)
	receipts := fileMany(t, p, "before", 12)
	awaitCount(t, p, token, 12)
	decide(t, p, token)
	release := lockDatabase(t, filepath.Join(dir, "onrecord.db"))
	inStream := fileMany(t, p, "in the stream only", 5)
	release()
	saved := backUp(t, dir, to)
	fileMany(t, p, "after", 3)
	p.Kill()

	key := filepath.Join(dir, "master.key")
	for name, c := range map[string]struct {
		harm func([]byte) []byte
		args []string
		says string
	}{
		"cut off":     {func(b []byte) []byte { return b[:len(b)-40] }, []string{"--master-key-file", key}, "damaged or was cut off"},
		"cut early":   {func(b []byte) []byte { return b[:30] }, []string{"--master-key-file", key}, "no backup"},
		"changed":     {func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, []string{"--master-key-file", key}, "damaged or was cut off"},
		"another key": {func(b []byte) []byte { return b }, []string{"--master-key-file", otherKey(t)}, "another master key"},
		"no key":      {func(b []byte) []byte { return b }, nil, "master key"},
	} {
		b, err := os.ReadFile(saved)
		if err != nil {
			t.Fatal(err)
		}
		bad, into := filepath.Join(t.TempDir(), "bad.backup"), filepath.Join(t.TempDir(), "new")
		if err := os.WriteFile(bad, c.harm(b), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := onrecord(t, "", append([]string{"restore", bad, "--data-dir", into}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if _, err := os.Stat(into); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was left in the directory", name)
		}
	}
	if _, err := onrecord(t, "", "restore", saved, "--data-dir", dir, "--master-key-file", key); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("into a directory with data: %v", err)
	}

	into := filepath.Join(t.TempDir(), "new")
	out := mustOnrecord(t, "", "restore", saved, "--data-dir", into, "--master-key-file", key)
	if !strings.Contains(out, "17 incidents") {
		t.Errorf("restore says: %s", out)
	}
	again := start(t, into, "--master-key-file", key)
	found := readAll(t, again, token)
	for _, words := range []map[string]string{receipts, inStream} {
		for w := range words {
			if found[w] != 1 {
				t.Errorf("%q is there %d times after the restore", w, found[w])
			}
		}
	}
	if len(found) != 17 {
		t.Errorf("%d incidents, want the 17 of the backup", len(found))
	}
	if out := mustOnrecord(t, "", "user", "list", "--data-dir", into); !strings.Contains(out, "Demo Rep") {
		t.Errorf("the accounts are not there: %s", out)
	}
	taught := filepath.Join(t.TempDir(), "corrections.jsonl")
	if out := mustOnrecord(t, "", "corrections", taught, "--data-dir", into, "--master-key-file", key); !strings.Contains(out, "1 corrections written") {
		t.Errorf("what a rep decided is not there to learn from: %s", out)
	}
	if out := mustOnrecord(t, "", "events", "tail", "-n", "0", "--data-dir", into, "--master-key-file", key); strings.Count(out, `"onrecord.v1.report.corrected"`) != 2 {
		t.Errorf("the events of what a rep decided are not there, once each: %s", out)
	}
	if out, ok := doctor(t, into); !ok {
		t.Errorf("after the restore: %s", out)
	}
}

// decide has the rep decide two things about an incident, and waits until both
// were published.
func decide(t *testing.T, p *process, token string) {
	t.Helper()
	id := incidents(t, p.url, token, "").Incidents[0].ID
	eventually(t, func() error { // the machine with its reading may be quicker
		a := mustCall(t, "GET", p.url+"/api/v1/incidents/"+id, "", "Authorization", "Bearer "+token)
		a = mustCall(t, "POST", p.url+"/api/v1/incidents/"+id+"/classify", `{"kind":"threat","channel":"letter"}`,
			"Authorization", "Bearer "+token, "Content-Type", "application/json", "If-Match", a.header.Get("ETag"))
		if a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
	eventually(t, func() error {
		a := mustCall(t, "GET", p.url+"/metrics", "")
		if !strings.Contains(a.body, "onrecord_corrections_published_total 2\n") || !strings.Contains(a.body, "onrecord_corrections_waiting 0\n") {
			return errors.New("what the rep decided is not published yet")
		}
		return nil
	})
}

// A model of the installation's own comes back with a backup, the one before it
// and the log of both: nothing is read anew by another.
func TestABackupHoldsTheInstallationsOwnModel(t *testing.T) {
	t.Parallel()
	dir, to := t.TempDir(), t.TempDir()
	for range 2 { // so that there is one before it
		mustOnrecord(t, "", "train", "--corpus", smallCorpus(t), "--data-dir", dir)
	}
	p := start(t, dir)
	token := apiToken(t, dir, "rep")
	fileMany(t, p, "read by a model of our own", 3)
	awaitCount(t, p, token, 3)
	key := filepath.Join(dir, "master.key")
	readings := func(dir string) int {
		return strings.Count(mustOnrecord(t, "", "events", "tail", "--last", "0", "--data-dir", dir, "--master-key-file", key), "report.classified")
	}
	eventually(t, func() error {
		if n := readings(dir); n != 3 {
			return fmt.Errorf("read %d of 3", n)
		}
		return nil
	})
	saved := backUp(t, dir, to)
	p.stop(t)

	into := filepath.Join(t.TempDir(), "new")
	mustOnrecord(t, "", "restore", saved, "--data-dir", into, "--master-key-file", key)
	kept, err := filepath.Glob(filepath.Join(dir, "model.*"))
	if err != nil || len(kept) != 3 {
		t.Fatalf("the installation has %v: %v", kept, err)
	}
	for _, path := range kept {
		was, err := os.ReadFile(path)
		is, rerr := os.ReadFile(filepath.Join(into, filepath.Base(path)))
		if err = errors.Join(err, rerr); err != nil || !bytes.Equal(was, is) {
			t.Errorf("%s is not what it was: %v", filepath.Base(path), err)
		}
	}
	if n := readings(into); n != 3 {
		t.Errorf("there are %d readings after the restore, want the 3 there were", n)
	}
}

// smallCorpus writes a corpus that trains in a moment.
func smallCorpus(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	for _, voice := range []string{"a", "b", "c", "d", "e"} {
		for _, who := range []string{"man", "woman", "lad", "customer"} {
			fmt.Fprintf(&b, "kind=abuse channel=phone target=named_person voice=%s\ta %s from %s swore at me down the phone\n", voice, who, voice)
			fmt.Fprintf(&b, "kind=assault channel=in_person target=named_person voice=%s\ta %s from %s hit me at the desk\n", voice, who, voice)
		}
	}
	b.WriteString("kind=abuse channel=phone target=named_person split=heldout\tshouted at me on the phone\n")
	if err := os.Mkdir(filepath.Join(dir, "seeds"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "seeds", "a.txt"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func otherKey(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "other")
	mustOnrecord(t, "", "token", "create", "--role", "rep", "--data-dir", dir)
	return filepath.Join(dir, "master.key")
}

// Erased words are gone from the database and the stream, the incident stays
// counted, the report that comes back is dropped, and restoring a backup from
// before erases it again.
func TestErasedWordsStayErased(t *testing.T) {
	t.Parallel()
	dir, to := t.TempDir(), t.TempDir()
	p := start(t, dir, "--backup-dir", to)
	token := apiToken(t, dir, "rep")
	secret := report(newID(), func(r map[string]any) { r["narrative"] = "Demo: words to erase." })
	a, err := file(p.url, secret)
	if err != nil || a.status != http.StatusCreated {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	var got struct{ ID, Receipt string }
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	fileMany(t, p, "others", 3)
	awaitCount(t, p, token, 4)
	eventually(t, func() error { // one is made at once, because there is none
		if found, _ := filepath.Glob(filepath.Join(to, "onrecord-*.backup")); len(found) == 0 {
			return errors.New("no backup was made on schedule")
		}
		return nil
	})
	saved := filepath.Join(to, "before-erasure.backup")
	mustOnrecord(t, "", "backup", saved, "--data-dir", dir)

	if _, err := onrecord(t, "", "erase", got.Receipt, "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "nothing was erased") {
		t.Errorf("without being asked: %v", err)
	}
	if _, err := onrecord(t, "", "erase", "0000-0000", "--yes", "--data-dir", dir); err == nil {
		t.Error("a reference that nothing has was taken")
	}
	mustOnrecord(t, "", "erase", got.Receipt, "--yes", "--data-dir", dir)
	isErased := func(p *process) {
		t.Helper()
		found := readAll(t, p, token)
		if found["Demo: words to erase."] != 0 || found[""] != 1 || len(found) != 4 {
			t.Errorf("after the erasure: %v", found)
		}
		if out := mustOnrecord(t, "", "verify", "--data-dir", p.dir); !strings.Contains(out, "Every figure agrees") {
			t.Errorf("verify: %s", out)
		}
		if out := mustOnrecord(t, "", "events", "tail", "--last", "0", "--data-dir", p.dir); strings.Contains(out, got.ID) || !strings.Contains(out, "report.filed") {
			t.Errorf("the stream still holds the report: %s", out)
		}
		if out, ok := doctor(t, p.dir); !ok {
			t.Errorf("an erasure is taken for damage: %s", out)
		}
	}
	isErased(p)
	mustOnrecord(t, got.Receipt+"\n", "erase", "-", "--yes", "--data-dir", dir) // again is no error
	// A phone that still holds the report sends it again: at first it is refused,
	// and later, when the stream has forgotten the id, it is dropped.
	if a, err := file(p.url, secret); err != nil || a.status != http.StatusConflict || !strings.Contains(a.body, `"erased"`) {
		t.Fatalf("the erased report again: %d %s %v", a.status, a.body, err)
	}
	if n := total(t, p.url, token); n != 4 {
		t.Errorf("counted %d after it came back, want 4", n)
	}
	p.stop(t)

	into := filepath.Join(t.TempDir(), "new")
	mustOnrecord(t, "", "restore", saved, "--data-dir", into, "--master-key-file", filepath.Join(dir, "master.key"))
	restored := start(t, into, "--master-key-file", filepath.Join(dir, "master.key"))
	awaitCount(t, restored, token, 4)
	isErased(restored)
}

// On schedule the newest are kept, and an interrupted one leaves nothing under
// a backup's name.
func TestOldBackupsGoAndUnfinishedOnesAreNone(t *testing.T) {
	t.Parallel()
	dir, to := t.TempDir(), t.TempDir()
	for n := range 3 {
		name := filepath.Join(to, fmt.Sprintf("onrecord-20200101T00000%dZ.backup", n))
		if err := os.WriteFile(name, []byte("demo"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, dir, "--backup-dir", to, "--backup-keep", "2")
	eventually(t, func() error {
		found, _ := filepath.Glob(filepath.Join(to, "onrecord-*.backup"))
		if len(found) != 2 || strings.Contains(found[1], "2020") {
			return fmt.Errorf("there are %v", found)
		}
		return nil
	})
	fileMany(t, p, "some", 5)
	for n := range 4 { // at different moments of making one
		unfinished := filepath.Join(to, fmt.Sprintf("x%d.backup", n))
		done := make(chan error, 1)
		go func() {
			_, err := onrecord(t, "", "backup", unfinished, "--data-dir", dir)
			done <- err
		}()
		<-time.After(time.Duration(40+n*120) * time.Millisecond) // the moment is the experiment
		p.Kill()
		if err := <-done; err != nil { // or it was quicker
			if _, err := os.Stat(unfinished); !errors.Is(err, fs.ErrNotExist) {
				t.Error("an unfinished backup has a name")
			}
		}
		p = start(t, dir)
	}
	mustOnrecord(t, "", "backup", filepath.Join(to, "whole.backup"), "--data-dir", dir)
	if left, _ := filepath.Glob(filepath.Join(to, ".*")); len(left) > 0 {
		t.Errorf("what was not finished was not removed: %v", left)
	}
}

func TestMistakesInTheSettingsOfBackups(t *testing.T) {
	t.Parallel()
	_, err := onrecord(t, "", "serve", "--backup-dir", "/nonexistent/demo", "--backup-every", "1s", "--backup-keep", "0", "--stream-days", "3")
	for _, want := range []string{"backup-dir", "backup-every", "backup-keep", "stream-days"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named: %v", want, err)
		}
	}
}
