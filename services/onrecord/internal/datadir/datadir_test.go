package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func TestASecondProcessIsRefusedUntilTheFirstEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	first := open(t, path)
	if _, err := Open(path); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Fatalf("err=%v, want ErrInUse naming the directory", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path)
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o700 {
		t.Errorf("mode=%v, want 0700", info.Mode().Perm())
	}
}

func TestKeyIsMadeOnceAndNeverBesideOldData(t *testing.T) {
	d := open(t, t.TempDir())
	made, err := d.Keyring("", "")
	if err != nil {
		t.Fatal(err)
	}
	again, err := d.Keyring("", "")
	if err != nil || string(again.Derive("x")) != string(made.Derive("x")) {
		t.Fatalf("the second start has another key: %v", err)
	}
	if err := os.WriteFile(d.Database(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(d.KeyFile()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Keyring("", ""); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Fatalf("err=%v, want it to say that the key is missing", err)
	}
	if _, err := os.Stat(d.KeyFile()); err == nil {
		t.Fatal("a new key was made beside old data")
	}
}
