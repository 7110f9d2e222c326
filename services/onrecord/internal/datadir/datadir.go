// Package datadir is the one-machine program's directory on disk: who may use
// it, where each part keeps its files, and the master key.
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/onrecord/onrecord/pkg/seal"
)

// ErrInUse says that another process has the directory.
var ErrInUse = errors.New("another onrecord is running on this data directory")

// Dir is a data directory held under a lock.
type Dir struct {
	path string
	lock *flock.Flock
}

// Open creates the directory if it is not there, readable by its owner only,
// and takes its lock. It returns ErrInUse when another process holds it; the
// lock ends with the process, however it ends.
func Open(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	lock := flock.New(filepath.Join(path, "lock"), flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if !held {
		return nil, fmt.Errorf("%w: %s", ErrInUse, path)
	}
	return &Dir{path, lock}, nil
}

// Close gives the lock back.
func (d *Dir) Close() error { return d.lock.Close() }

// Path returns the directory.
func (d *Dir) Path() string { return d.path }

// Database returns the path of the embedded store.
func (d *Dir) Database() string { return filepath.Join(d.path, "onrecord.db") }

// Stream returns the directory of the embedded stream.
func (d *Dir) Stream() string { return filepath.Join(d.path, "stream") }

// ControlSocket returns the path of the control socket in a data directory.
func ControlSocket(path string) string { return filepath.Join(path, "control.sock") }

// KeyFile returns where the master key lies unless the operator keeps it elsewhere.
func (d *Dir) KeyFile() string { return filepath.Join(d.path, "master.key") }

// HasData reports whether something was ever stored here.
func (d *Dir) HasData() (bool, error) {
	for _, p := range []string{d.Database(), d.Stream()} {
		_, err := os.Stat(p)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return false, nil
}

// Keyring returns the master key: from text when it is not empty, else from
// file, else from KeyFile, which is made on the first start. It never makes a
// new key beside old data: what was sealed with the lost one could not be
// read, and the program would look empty.
func (d *Dir) Keyring(text, file string) (*seal.Keyring, error) {
	if text != "" {
		return seal.ParseKeyring(text)
	}
	if file != "" {
		return seal.ReadFile(file)
	}
	ring, err := seal.ReadFile(d.KeyFile())
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	old, err := d.HasData()
	if err != nil {
		return nil, err
	}
	if old {
		return nil, fmt.Errorf("the master key %s is missing, but there is data here that only it can open: "+
			"put the key back from your copy, or name it with --master-key-file or ONRECORD_MASTER_KEY", d.KeyFile())
	}
	return seal.CreateFile(d.KeyFile())
}
