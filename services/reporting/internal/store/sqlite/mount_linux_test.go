package sqlite

import (
	"os"
	"syscall"
	"testing"
)

// mount puts a file system of its own over a directory until the test ends,
// and returns a function that makes it read-only or writable again. Only root
// may do that: for others the test is skipped, and TestFullDatabase is what
// stands for it.
func mount(t *testing.T, dir, options string) (remount func(readOnly bool)) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("under CI nothing is skipped, and mounting is not allowed here: run as root: %v", err)
		}
		t.Skipf("SKIPPED, NOT TESTED: a real full and read-only disk, since mounting is not allowed here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return func(readOnly bool) {
		t.Helper()
		flags := uintptr(syscall.MS_REMOUNT)
		if readOnly {
			flags |= syscall.MS_RDONLY
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
			t.Fatalf("remount: %v", err)
		}
	}
}
