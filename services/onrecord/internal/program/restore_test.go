package program

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// put writes a file of a directory made for it.
func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func isFile(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s: %q, %v, want %q", path, got, err, want)
	}
}

// The key that was put into the directory may be the only one there is: it is
// never in what is removed when a restore goes wrong in its last step.
func TestARestoreThatCannotTakeItsPlaceLosesNoKey(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "data.restoring"), filepath.Join(dir, "data")
	put(t, filepath.Join(from, "onrecord.db"), "restored")
	put(t, filepath.Join(to, "master.key"), "the key")

	// Something came in the way meanwhile.
	put(t, filepath.Join(to, "other"), "somebody’s")
	if err := takePlace(from, to); err == nil {
		t.Error("it took a place that was not empty any more")
	}
	if err := os.RemoveAll(from); err != nil { // as Restore does then
		t.Fatal(err)
	}
	isFile(t, filepath.Join(to, "master.key"), "the key")
	isFile(t, filepath.Join(to, "other"), "somebody’s")

	// What is to take the place is gone.
	if err := os.Remove(filepath.Join(to, "other")); err != nil {
		t.Fatal(err)
	}
	if err := takePlace(from, to); err == nil {
		t.Error("nothing took the place, without a word")
	}
	isFile(t, filepath.Join(to, "master.key"), "the key")

	put(t, filepath.Join(from, "onrecord.db"), "restored")
	if err := takePlace(from, to); err != nil {
		t.Fatal(err)
	}
	isFile(t, filepath.Join(to, "master.key"), "the key")
	isFile(t, filepath.Join(to, "onrecord.db"), "restored")
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("beside it lies %v, %v", left, err)
	}
}

// A disk's own directory cannot be renamed, which is known before hours of work.
func TestNoBackupIsRestoredOntoAMountPoint(t *testing.T) {
	if err := mayRestoreInto("/proc"); err == nil || !strings.Contains(err.Error(), "a directory on it") {
		t.Errorf("err=%v, want it to say where to restore to", err)
	}
	if err := mayRestoreInto(t.TempDir()); err != nil {
		t.Error(err)
	}
}
