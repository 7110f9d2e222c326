package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/onrecord/onrecord/pkg/seal"
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

func TestADirectoryThatCannotBeWrittenIsRefusedAtOnce(t *testing.T) {
	path := t.TempDir()
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size=1m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("under CI nothing is skipped, and mounting is not allowed here: run as root: %v", err)
		}
		t.Skipf("SKIPPED, NOT TESTED: a read-only disk, since mounting is not allowed here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(path, 0) })
	d, err := Open(path) // so that its lock is there
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", path, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, filepath.Join(path, "new")} {
		if _, err := Open(p); err == nil || !strings.Contains(err.Error(), "read-only") || !strings.Contains(err.Error(), "--data-dir") {
			t.Errorf("%s: %v, want why and what to do", p, err)
		}
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

func TestAnotherKeyIsRefusedOnceThereIsData(t *testing.T) {
	d := open(t, t.TempDir())
	first, err := d.Keyring("", "")
	if err != nil {
		t.Fatal(err)
	}
	// A start that was cut off before there was any data leaves nothing to put right.
	mark := filepath.Join(d.Path(), "key.check")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.key")
	if _, err := seal.CreateFile(other); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Keyring("", other); err != nil {
		t.Errorf("before there is data: %v", err)
	}
	if _, err := d.Keyring("", ""); err != nil {
		t.Errorf("before there is data: %v", err)
	}
	if err := os.Mkdir(d.Stream(), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Keyring("", other); err == nil || !strings.Contains(err.Error(), "not the one") {
		t.Errorf("err=%v, want another key refused", err)
	}
	if ring, err := d.Keyring("", ""); err != nil || string(ring.Derive("x")) != string(first.Derive("x")) {
		t.Errorf("the first key: %v", err)
	}
	if err := os.Remove(mark); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Keyring("", ""); err == nil || !strings.Contains(err.Error(), "key.check is missing") {
		t.Errorf("err=%v, want it to name what is missing", err)
	}
}
