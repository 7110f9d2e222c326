package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/seal"
)

func key(tb testing.TB, b byte) *seal.Keyring {
	tb.Helper()
	k, err := seal.NewKeyring(bytes.Repeat([]byte{b}, seal.KeySize))
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// made returns a backup with lines and events, some of them across pieces.
func made(tb testing.TB, k *seal.Keyring) (file []byte, lines string, events int) {
	tb.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, k, Begin{By: "demo", MadeAt: time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC), Covered: 7})
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range []string{"model.bin", "model.log"} {
		if err := w.File(name, []byte("demo "+name)); err != nil {
			tb.Fatal(err)
		}
	}
	var all strings.Builder
	for n := range 2600 {
		line := fmt.Sprintf(`{"Incident":{"n":%d,"x":%q}}`, n, strings.Repeat("demo", 100))
		all.WriteString(line + "\n")
		if err := w.Lines([]byte(line)); err != nil {
			tb.Fatal(err)
		}
	}
	for n := range 3 {
		if err := w.Photo(Photo{Name: fmt.Sprint("photo.", n+1), Sealed: make([]byte, 100<<10)}); err != nil {
			tb.Fatal(err)
		}
	}
	for n := range 2000 {
		events++
		if err := w.Event(Event{Subject: fmt.Sprint("demo.", n), Seq: uint64(n + 1), Data: bytes.Repeat([]byte{byte(n)}, 700)}); err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes(), all.String(), events
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	file, lines, events := made(t, key(t, 1))
	var got strings.Builder
	seq, photos := uint64(0), 0
	files := make(map[string]string)
	begin, end, err := Read(t.Context(), bytes.NewReader(file), key(t, 1), Into{File: func(name string, content []byte) error {
		files[name] = string(content)
		return nil
	}, Lines: func(b []byte) error { got.Write(b); return nil }, Photo: func(p Photo) error {
		if photos++; p.Name != fmt.Sprint("photo.", photos) || len(p.Sealed) != 100<<10 {
			t.Errorf("photo %d is %s, %d bytes", photos, p.Name, len(p.Sealed))
		}
		return nil
	}, Event: func(e Event) error {
		if seq++; e.Seq != seq || e.Subject != fmt.Sprint("demo.", seq-1) || len(e.Data) != 700 || e.Data[0] != byte(seq-1) {
			t.Errorf("event %d is %+v", seq, e)
		}
		return nil
	}})
	if len(files) != 2 || end.Files != 2 || files["model.bin"] != "demo model.bin" || files["model.log"] != "demo model.log" {
		t.Errorf("the files are %v", files)
	}
	if photos != 3 || end.Photos != 3 {
		t.Errorf("%d photos, want 3", photos)
	}
	if err != nil || begin.Covered != 7 || end.Incidents != 2600 || end.Events != events || got.String() != lines {
		t.Errorf("%v %+v %+v, %d bytes of lines, want %d", err, begin, end, got.Len(), len(lines))
	}
	if bytes.Contains(file, []byte("demo")) {
		t.Error("the file can be read without the key")
	}
}

func read(file []byte, k *seal.Keyring) error {
	_, _, err := Read(context.Background(), bytes.NewReader(file), k, Into{})
	return err
}

// Not one byte may be missing, added or changed, and no other key opens it.
func TestWhatIsNotWholeIsRefused(t *testing.T) {
	file, _, _ := made(t, key(t, 1))
	if err := read(file, key(t, 2)); !errors.Is(err, ErrKey) {
		t.Errorf("another key: %v", err)
	}
	for at := 0; at < len(file); at += 1 + len(file)/23 {
		if read(file[:at], key(t, 1)) == nil {
			t.Errorf("cut at %d of %d it is taken for whole", at, len(file))
		}
		changed := bytes.Clone(file)
		changed[at] ^= 4
		if read(changed, key(t, 1)) == nil {
			t.Errorf("changed at %d it is taken for whole", at)
		}
	}
	if read(append(bytes.Clone(file), 0), key(t, 1)) == nil {
		t.Error("with a byte more it is taken for whole")
	}
}

// A backup of the first format, which had no files, is still read. The file is
// what a release wrote that knew no other.
func TestABackupOfTheFirstFormatIsRead(t *testing.T) {
	file, err := os.ReadFile("testdata/format1.backup")
	if err != nil {
		t.Fatal(err)
	}
	var lines string
	events := 0
	begin, end, err := Read(t.Context(), bytes.NewReader(file), key(t, 1), Into{
		File:  func(name string, _ []byte) error { return fmt.Errorf("there is a file %s", name) },
		Lines: func(b []byte) error { lines += string(b); return nil },
		Event: func(Event) error { events++; return nil },
	})
	if err != nil || begin.Format != 1 || end.Incidents != 1 || events != 1 || lines != "{\"Incident\":\"demo\"}\n" {
		t.Errorf("%+v %+v, %d events, %q: %v", begin, end, events, lines, err)
	}
}

func FuzzRead(f *testing.F) {
	k := key(f, 1)
	file, _, _ := made(f, k)
	f.Add(file[:1000])
	f.Add([]byte("age-encryption.org/v1\n-> scrypt AAAA 10\nAAAA\n--- AAAA\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if read(b, k) == nil && !bytes.Equal(b, file) {
			t.Error("something that nobody wrote is taken for a backup")
		}
	})
}

// What says what to erase again is believed only from this installation.
func TestErasuresAreKeptAndNotForged(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	one, two := Erased{Incident: "a", Tombstones: []string{"1", "2"}}, Erased{Incident: "b"}
	for _, e := range []Erased{one, two, one} { // erasing again adds nothing
		if err := AddErased(dir, key(t, 1), e); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // copying again adds nothing
		if err := CopyErased(dir, to, key(t, 1)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadErased(to, key(t, 1))
	if err != nil || len(got) != 2 || got[0].Incident != "a" || len(got[0].Tombstones) != 2 {
		t.Fatalf("%+v %v", got, err)
	}
	if _, err := ReadErased(to, key(t, 2)); err == nil {
		t.Error("another installation’s are taken")
	}
	path := filepath.Join(to, erasedName)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(content, []byte(`"a"`), []byte(`"c"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadErased(to, key(t, 1)); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a changed line: %v", err)
	}
	if none, err := ReadErased(t.TempDir(), key(t, 1)); err != nil || none != nil {
		t.Errorf("no file: %v %v", none, err)
	}
}
