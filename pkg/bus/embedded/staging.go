package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// memory is where Linux keeps a file system in memory that everybody may use.
const memory = "/dev/shm"

// StageInMemory has the batches of a stream that exists staged in memory
// until they are committed. The server would stage them on disk, in a
// directory and files of their own, each of them synced: that costs many times
// what the commit costs.
//
// Staging only serves to write all of a batch or none of it. Nobody is told
// that a batch is stored before the server has written and synced it in the
// stream itself, so a power cut takes nothing that was promised. What it can
// leave is the first part of a batch that was never acknowledged; each of its
// events is whole, and publishing it again is told that it is a duplicate.
//
// With an error nothing has changed, and batches are staged on disk.
func (s *Server) StageInMemory(stream string) error {
	dir := filepath.Join(s.ns.StoreDir(), "$G", "streams", stream)
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	of, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.ErrUnsupported
	}
	st := staging{
		link: filepath.Join(dir, "batches"),
		// The same for the same directory, so that nothing is left behind by a
		// process that was killed, and another for a copy of it.
		dir: filepath.Join(memory, fmt.Sprintf("onrecord-%x-%x", of.Dev, of.Ino)),
	}
	if err := st.make(); err != nil {
		return err
	}
	s.staging = &st
	return nil
}

// staging is a directory in memory, and the link to it where the server looks
// for its batches.
type staging struct{ link, dir string }

// make makes both anew. What a killed process had staged, the server has
// committed or thrown away when it started.
func (st staging) make() error {
	if err := os.RemoveAll(st.dir); err != nil { // also when it is somebody else's
		return err
	}
	if err := os.Mkdir(st.dir, 0o700); err != nil {
		return err
	}
	if err := os.RemoveAll(st.link); err != nil {
		return err
	}
	return os.Symlink(st.dir, st.link)
}

// keep makes it anew when it is gone: systemd removes what somebody left in
// memory when they log out.
func (st staging) keep() {
	if _, err := os.Stat(st.link); errors.Is(err, os.ErrNotExist) {
		_ = st.make() // until it succeeds, each event is published by itself
	}
}

func (st staging) remove() {
	_ = os.Remove(st.link)
	_ = os.RemoveAll(st.dir)
}
