package seal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func ring(t *testing.T) *Keyring {
	t.Helper()
	k, err := CreateFile(filepath.Join(t.TempDir(), "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealedWordsOpenOnlyInTheirPlaceAndWithTheirKey(t *testing.T) {
	k := ring(t)
	key, wrapped := k.NewDataKey()
	sealed := key.Seal([]byte("he threw a chair"), "incident-1", "narrative", "1")
	if bytes.Contains(sealed, []byte("chair")) {
		t.Fatal("the words can be read in the sealed form")
	}

	same, err := k.Unwrap(wrapped)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := same.Open(sealed, "incident-1", "narrative", "1"); err != nil || string(got) != "he threw a chair" {
		t.Fatalf("Open=%q, %v", got, err)
	}
	for name, place := range map[string][]string{
		"another incident":   {"incident-2", "narrative", "1"},
		"another field":      {"incident-1", "contact", "1"},
		"another revision":   {"incident-1", "narrative", "2"},
		"parts run together": {"incident-1narrative", "1"},
	} {
		if _, err := same.Open(sealed, place...); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: err=%v, want ErrOpen", name, err)
		}
	}
	if _, err := ring(t).Unwrap(wrapped); !errors.Is(err, ErrOpen) {
		t.Errorf("another master key: err=%v, want ErrOpen", err)
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := same.Open(sealed, "incident-1", "narrative", "1"); !errors.Is(err, ErrOpen) {
		t.Errorf("changed bytes: err=%v, want ErrOpen", err)
	}
}

// Sealing and opening in the same memory is the same, with and without room for
// what is longer.
func TestSealingOverAndOpeningOver(t *testing.T) {
	key, _ := ring(t).NewDataKey()
	picture := bytes.Repeat([]byte("picture"), 30_000)
	for name, room := range map[string]int{"no room": 0, "less than it takes": 20, "room": 28, "more": 5000} {
		plain := append(make([]byte, 0, len(picture)+room), picture...)
		memory := &plain[0]
		sealed := key.SealOver(plain, "report-1", "photo")
		if got, err := key.Open(sealed, "report-1", "photo"); err != nil || !bytes.Equal(got, picture) {
			t.Errorf("%s: sealed over: %d bytes, %v", name, len(got), err)
		}
		if over := &sealed[0] == memory; over != (room >= 28) {
			t.Errorf("%s: in its own memory: %v", name, over)
		}
		if _, err := key.OpenOver(bytes.Clone(sealed), "report-2", "photo"); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: in another place: err=%v, want ErrOpen", name, err)
		}
		memory = &sealed[0]
		if got, err := key.OpenOver(sealed, "report-1", "photo"); err != nil || !bytes.Equal(got, picture) || &got[0] != memory {
			t.Errorf("%s: opened over: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "master.key")
	made, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made.Derive("x"), read.Derive("x")) {
		t.Error("the key read is not the key made")
	}
	if bytes.Equal(made.Derive("x"), made.Derive("y")) {
		t.Error("two purposes share a key")
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode=%v, want 0600", info.Mode().Perm())
	}
	if _, err := CreateFile(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("CreateFile over a key: err=%v, want ErrExist", err)
	}
	os.Chmod(path, 0o644)
	if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key others can read: err=%v, want advice", err)
	}
}

func TestBadMasterKeysAreRefusedWithoutQuotingThem(t *testing.T) {
	for _, text := range []string{"", "secret!", base64.StdEncoding.EncodeToString([]byte("secret too short"))} {
		_, err := ParseKeyring(text)
		if err == nil {
			t.Errorf("ParseKeyring(%q) accepted", text)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("the error quotes the key: %v", err)
		}
	}
}

func TestMACPartsDoNotRunTogether(t *testing.T) {
	k := ring(t)
	if bytes.Equal(k.MAC("p", []byte("ab"), []byte("c")), k.MAC("p", []byte("a"), []byte("bc"))) {
		t.Error("two lists of parts give the same MAC")
	}
}

func BenchmarkSealWords(b *testing.B) {
	k, _ := NewKeyring(make([]byte, KeySize))
	words := bytes.Repeat([]byte("word "), 60)
	for b.Loop() {
		key, _ := k.NewDataKey()
		key.Seal(words, "id", "words")
	}
}
