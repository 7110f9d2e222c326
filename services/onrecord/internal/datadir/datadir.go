// Package datadir is the one-machine program's directory on disk: who may use
// it, where each part keeps its files, and the master key.
package datadir

import (
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/onrecord/onrecord/pkg/check"
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
// and takes its lock. It returns ErrInUse when another process holds it, and
// another error for a directory that cannot be written, each saying what to do;
// the lock ends with the process, however it ends.
func Open(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, unwritable(err)
	}
	lock := flock.New(filepath.Join(path, "lock"), flock.SetPermissions(0o600), flock.SetFlag(os.O_CREATE|os.O_RDWR))
	held, err := lock.TryLock()
	if err != nil {
		return nil, unwritable(err)
	}
	if !held {
		return nil, fmt.Errorf("%w: %s: stop it first, or name another directory with --data-dir", ErrInUse, path)
	}
	return &Dir{path, lock}, nil
}

func unwritable(err error) error {
	return fmt.Errorf("data directory: %w: make it one that this user may write in, or name another with --data-dir", err)
}

// Close gives the lock back.
func (d *Dir) Close() error { return d.lock.Close() }

// Path returns the directory.
func (d *Dir) Path() string { return d.path }

// Database returns the path of the embedded store.
func (d *Dir) Database() string { return filepath.Join(d.path, "onrecord.db") }

// Stream returns the directory of the embedded stream.
func (d *Dir) Stream() string { return filepath.Join(d.path, "stream") }

// Model returns the file of the model that reports are read with, where the
// installation has one of its own.
func Model(path string) string { return filepath.Join(path, "model.bin") }

// ModelFiles are the names of what a data directory holds of a model of its
// own: the one in use, the one before it, and who changed it when.
var ModelFiles = []string{"model.bin", "model.bin.previous", "model.log"}

// ControlSocket returns the path of the control socket in a data directory.
func ControlSocket(path string) string { return filepath.Join(path, "control.sock") }

// KeyName is the name of the master key’s file in a data directory.
const KeyName = "master.key"

// KeyFile returns where the master key lies unless the operator keeps it elsewhere.
func (d *Dir) KeyFile() string { return filepath.Join(d.path, KeyName) }

// Lost reports what is missing of an installation: the store although there is
// a stream, or the stream although there is a store. Somebody removed it, or
// put back an incomplete copy. A first start that was cut off looks like a lost
// store whose stream never held anything.
func (d *Dir) Lost() (store, stream bool, err error) {
	hasStore, err := hasContent(d.Database(), d.Database()+"-wal")
	if err != nil {
		return false, false, err
	}
	hasStream := true
	if _, err = os.Stat(d.Stream()); errors.Is(err, fs.ErrNotExist) {
		hasStream, err = false, nil
	}
	return hasStream && !hasStore, hasStore && !hasStream, err
}

// hasContent reports whether one of the files is there and not empty.
func hasContent(paths ...string) (bool, error) {
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		if err == nil && info.Size() > 0 {
			return true, nil
		}
	}
	return false, nil
}

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
// new key beside old data, and refuses another key than the one the data was
// begun with: the words could not be read, and the embedded stream throws away
// files that it cannot decrypt.
func (d *Dir) Keyring(text, file string) (*seal.Keyring, error) {
	ring, err := d.readKeyring(text, file)
	if err != nil {
		return nil, err
	}
	return ring, d.checkKey(ring)
}

// checkKey compares a key with the mark that the first one left. Until there
// is data any key is the first.
func (d *Dir) checkKey(ring *seal.Keyring) error {
	path := filepath.Join(d.path, "key.check")
	mark := []byte(hex.EncodeToString(ring.MAC("data directory")) + "\n")
	old, err := d.HasData()
	if err != nil {
		return err
	}
	if !old {
		return writeFile(path, mark)
	}
	kept, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return check.Alarmf("key_mark_missing", "Put it back from the copy that the data came from.",
			"%s is missing, so it cannot be told whether the master key is the right one.", path)
	case err != nil:
		return err
	case !hmac.Equal(kept, mark):
		return check.Alarmf("key_other", "Put that key back, or name it with --master-key-file or ONRECORD_MASTER_KEY; without it nothing that was written can be read.",
			"The master key is not the one this data was begun with.")
	}
	return nil
}

// writeFile writes a file of mode 0600 so that all of it is on disk before any
// data is: a power cut must not leave data beside half a mark.
func writeFile(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (d *Dir) readKeyring(text, file string) (*seal.Keyring, error) {
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
		return nil, check.Alarmf("key_missing", "Put the key back from your copy, or name it with --master-key-file or ONRECORD_MASTER_KEY.",
			"The master key %s is missing, but there is data here that only it can open.", d.KeyFile())
	}
	return seal.CreateFile(d.KeyFile())
}
