package program

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/onrecord/internal/backup"
	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// Restored says what was restored.
type Restored struct {
	MadeAt    time.Time
	Incidents int // counted after everything in the backup was taken in
	Events    int
	Erased    int // erasures that were done again
}

// Restore puts a backup into cfg's data directory, which must be empty or not
// there, runs the services until everything in it is handled, and recounts it.
// Until it has ended well nothing is under the directory's name. Erasures are
// done again as the file beside the backup, or in erasedDir, says.
func Restore(ctx context.Context, cfg Config, file, erasedDir string, progress func(string)) (r Restored, err error) {
	target, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return r, err
	}
	if led, err := filepath.EvalSymlinks(target); err == nil { // a link stays one
		target = led
	}
	if err := mayRestoreInto(target); err != nil {
		return r, err
	}
	ring, err := readKey(cfg)
	if err != nil {
		return r, err
	}
	if erasedDir == "" {
		erasedDir = filepath.Dir(file)
	}
	erased, err := backup.ReadErased(erasedDir, ring)
	if err != nil {
		return r, err
	}
	cfg.DataDir = target + ".restoring"
	if err := os.RemoveAll(cfg.DataDir); err != nil { // of a restore that was cut off
		return r, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(cfg.DataDir))
		}
	}()
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return r, err
	}
	if r, err = restoreInto(ctx, cfg, ring, file, erased, progress); err != nil {
		return r, err
	}
	for _, e := range erased {
		if err := backup.AddErased(cfg.DataDir, ring, e); err != nil {
			return r, err
		}
	}
	return r, takePlace(cfg.DataDir, target)
}

// mayRestoreInto returns an error unless a directory is empty, apart from a
// master key that was put there, or not there at all. A disk's own directory
// cannot be: what is restored takes its name in the end.
func mayRestoreInto(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var here, above syscall.Stat_t
	if err := errors.Join(syscall.Stat(dir, &here), syscall.Stat(filepath.Dir(dir), &above)); err != nil {
		return err
	}
	if here.Dev != above.Dev {
		return fmt.Errorf("%s is where a disk is mounted: restore into a directory on it, like %s", dir, filepath.Join(dir, "data"))
	}
	for _, e := range entries {
		if e.Name() != datadir.KeyName {
			return fmt.Errorf("%s is not empty: a backup is only restored into an empty directory, beside nothing old", dir)
		}
	}
	return nil
}

func readKey(cfg Config) (*seal.Keyring, error) {
	if cfg.MasterKey != "" {
		return seal.ParseKeyring(cfg.MasterKey)
	}
	return seal.ReadFile(cfg.MasterKeyFile)
}

// takePlace gives what was restored its name, with the key that lay there. When
// it cannot, everything is where it was: that key may be the only one there is.
func takePlace(from, to string) error {
	if err := mayRestoreInto(to); err != nil {
		return err
	}
	before := to + ".before"
	err := os.Rename(to, before)
	had := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(from, to); err != nil {
		if had {
			err = errors.Join(err, os.Rename(before, to))
		}
		return err
	}
	if had {
		err := os.Rename(filepath.Join(before, datadir.KeyName), filepath.Join(to, datadir.KeyName))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("it is restored, but the master key is still in %s: put it into %s: %w", before, to, err)
		}
		if err := os.Remove(before); err != nil {
			return err
		}
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func restoreInto(ctx context.Context, cfg Config, ring *seal.Keyring, file string, erased []backup.Erased, progress func(string)) (r Restored, err error) {
	progress("reading the whole backup")
	export, begin, end, err := unpackExport(ctx, file, cfg.DataDir, ring, func(name string, content []byte) error {
		return restoreModel(cfg.DataDir, name, content)
	})
	if err != nil {
		return r, err
	}
	r.MadeAt, r.Events = begin.MadeAt, end.Events
	p, err := Open(ctx, cfg) // an installation with nothing in it
	if err != nil {
		return r, err
	}
	if err = p.Close(); err != nil {
		return r, err
	}
	database := reporting.Database{Name: p.dir.Database(), Keyring: ring, Log: cfg.Log}
	if err := importExport(ctx, database, export, erased, progress); err != nil {
		return r, err
	}
	if p, err = Open(ctx, cfg); err != nil {
		return r, err
	}
	err = replay(ctx, p.bus, p.ring, file, erased, end.Events, progress)
	if err == nil {
		r.Incidents, err = p.settle(ctx, end.Incidents, progress)
	}
	r.Erased = len(erased)
	return r, errors.Join(err, p.Close())
}

// restoreModel writes a file of the installation's own model, which is then what
// the replayed reports are read with.
func restoreModel(dir, name string, content []byte) error {
	if !slices.Contains(datadir.ModelFiles, name) {
		return fmt.Errorf("the backup holds %q, which this program does not know: use the release that wrote it", name)
	}
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// unpackExport reads a whole backup and keeps the export in a file, so that
// nothing is begun with a backup that is not whole. Files are given to keep.
func unpackExport(ctx context.Context, file, dir string, ring *seal.Keyring, keep func(name string, content []byte) error) (path string, b backup.Begin, e backup.End, err error) {
	in, err := os.Open(file)
	if err != nil {
		return "", b, e, err
	}
	defer in.Close()
	path = filepath.Join(dir, "export.jsonl")
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", b, e, err
	}
	b, e, err = backup.Read(ctx, in, ring, backup.Into{File: keep, Lines: func(lines []byte) error { _, err := out.Write(lines); return err }})
	return path, b, e, errors.Join(err, out.Close())
}

// importExport puts the export into the database, removes its file, and does
// erasures again.
func importExport(ctx context.Context, database reporting.Database, path string, erased []backup.Erased, progress func(string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	export, err := reporting.OpenExport(f, database.Keyring)
	if err == nil {
		var m reporting.Moved
		m, err = database.Import(ctx, export, func(step string, done, total int) {
			if done%1000 == 0 {
				progress(fmt.Sprintf("%s %d of %d incidents", step, done, total))
			}
		})
		if err == nil && len(m.Differences) > 0 {
			err = fmt.Errorf("%d figures are not those of the backup: %s", len(m.Differences), strings.Join(m.Differences[:min(3, len(m.Differences))], "; "))
		}
	}
	if err = errors.Join(err, f.Close(), os.Remove(path)); err != nil {
		return err
	}
	again := make([]reporting.Erasure, len(erased))
	for n, e := range erased {
		again[n] = reporting.Erasure{Incident: e.Incident, Tombstones: e.Tombstones}
	}
	return database.EraseAgain(ctx, again)
}

const replayTogether = 256

// replay publishes the backup's events, apart from those of reports that were
// erased since. The consumers are new: they hand all of it out.
func replay(ctx context.Context, to *bus.Bus, ring *seal.Keyring, file string, erased []backup.Erased, total int, progress func(string)) error {
	gone := make(map[string]bool)
	for _, e := range erased {
		for _, t := range e.Tombstones {
			gone[t] = true
		}
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	var batch []bus.Event
	done := 0
	flush := func() error {
		err := errors.Join(to.PublishAll(ctx, batch)...)
		batch = batch[:0]
		return err
	}
	_, _, err = backup.Read(ctx, in, ring, backup.Into{Photo: func(p backup.Photo) error { return to.PutPhoto(ctx, p.Name, p.Sealed) }, Event: func(e backup.Event) error {
		if done++; done%20_000 == 0 {
			progress(fmt.Sprintf("replayed %d of %d events", done, total))
		}
		if gone[reporting.TombstoneOf(ring, e.Subject)] {
			return nil
		}
		if batch = append(batch, bus.Event{Subject: e.Subject, ID: e.Subject, Data: e.Data}); len(batch) < replayTogether {
			return nil
		}
		return flush()
	}})
	if err == nil {
		err = flush()
	}
	return err
}

// settle runs the services until every event is handled, and recounts. It
// returns how many incidents there are, which must not be fewer than the
// backup's database held.
func (p *Program) settle(ctx context.Context, atLeast int, progress func(string)) (incidents int, err error) {
	err = p.atWork(ctx, func(ctx context.Context) error {
		return p.bus.AwaitHandled(ctx, func(left uint64) { progress(fmt.Sprintf("%d events to go", left)) })
	})
	if err != nil {
		return 0, err
	}
	v, err := p.reporting.Verify(ctx, func(done, total int) {
		if done%1000 == 0 {
			progress(fmt.Sprintf("recounted %d of %d incidents", done, total))
		}
	})
	switch {
	case err != nil:
		return 0, err
	case len(v.Differences) > 0:
		return 0, fmt.Errorf("the recount differs in %d places: %s", len(v.Differences), strings.Join(v.Differences[:min(3, len(v.Differences))], "; "))
	case v.Incidents < atLeast:
		return 0, fmt.Errorf("%d incidents were in the backup and %d are there", atLeast, v.Incidents)
	}
	return v.Incidents, nil
}
