package program

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/check"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/onrecord/internal/backup"
	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// Backups say whether, where and how often backups are made, and what follows.
type Backups struct {
	Dir        string // "" for none
	Every      time.Duration
	Keep       int // the newest so many stay
	StreamDays int // days that an event stays in the stream although a backup has it

	// Program is the command that checks a backup by restoring it, in a process
	// of its own; "" for this one.
	Program string
}

// BackedUp says what a backup holds.
type BackedUp struct {
	File      string `json:"file"`
	Bytes     int64  `json:"bytes"`
	Incidents int    `json:"incidents"`
	Events    int    `json:"events"`
	Forgotten int    `json:"forgotten,omitempty"` // events that left the stream, because backups have had them long enough
}

const (
	backupPrefix = "onrecord-"
	backupSuffix = ".backup"
)

// backUp makes a backup in a file or a directory, restores it elsewhere and
// recounts it, and only then gives it its name. It holds the stream and the
// photos that wait as they were when it began, and the database as it was after
// that: what the database lacks of the stream replays.
func (p *Program) backUp(ctx context.Context, to string, progress func(string)) (any, error) {
	p.backingUp.Lock()
	defer p.backingUp.Unlock()
	path, err := backupPath(to, p.cfg.Now())
	if err != nil {
		return nil, err
	}
	made, covered, err := p.writeBackup(ctx, path, progress)
	if err != nil {
		return nil, err
	}
	if err := backup.CopyErased(p.dir.Path(), filepath.Dir(path), p.ring); err != nil {
		return nil, err
	}
	now := p.cfg.Now()
	if err := p.reporting.BackedUp(ctx, now); err != nil {
		return nil, err
	}
	days := max(p.cfg.Backups.StreamDays, 35)
	made.Forgotten, err = p.bus.Forget(ctx, covered, now.AddDate(0, 0, -days))
	return made, err
}

// backupPath returns the file to write. One that exists is not written over.
func backupPath(to string, now time.Time) (string, error) {
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		to = filepath.Join(to, backupPrefix+now.UTC().Format("20060102T150405Z")+backupSuffix)
	}
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		return "", errors.Join(err, fmt.Errorf("%s is there already: name another file", to))
	}
	return filepath.Abs(to)
}

func (p *Program) writeBackup(ctx context.Context, path string, progress func(string)) (made BackedUp, covered uint64, err error) {
	src := source{p.bus, p.ring, p.reporting.Export, p.dir.Path(), p.cfg.Now, p.cfg.Log}
	return src.make(ctx, path, p.dir.Path(), p.checkBackup, progress)
}

// make makes a backup in a file that gets its name once it is on disk and was
// checked. Whose it is says the name of what is not finished yet: what a killed
// process left of the same is removed.
func (src source) make(ctx context.Context, path, whose string, check func(context.Context, string) error, progress func(string)) (made BackedUp, covered uint64, err error) {
	unfinished := fmt.Sprintf(".unfinished-%x-", sha256.Sum256([]byte(whose)))[:24] + "-"
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), unfinished+"*"))
	for _, old := range left {
		err = errors.Join(err, os.RemoveAll(old))
	}
	if err != nil {
		return made, 0, fmt.Errorf("backup: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), unfinished+"*") // mode 0600
	if err != nil {
		return made, 0, fmt.Errorf("backup: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}()
	end, covered, err := src.write(ctx, f, progress)
	if err = errors.Join(err, f.Sync()); err != nil {
		return made, 0, fmt.Errorf("backup: %w", err)
	}
	progress("checking it: restoring into a temporary directory and recounting")
	if err = check(ctx, f.Name()); err != nil {
		return made, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return made, 0, err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return made, 0, err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return made, 0, err
	}
	return BackedUp{File: path, Bytes: info.Size(), Incidents: end.Incidents, Events: end.Events}, covered, errors.Join(dir.Sync(), dir.Close(), f.Close())
}

// source is what a backup is made of.
type source struct {
	bus    *bus.Bus
	ring   *seal.Keyring
	export func(ctx context.Context, write func(line []byte) error) (reporting.Moved, error)
	dir    string // with a model's files; "" for none
	now    func() time.Time
	log    *slog.Logger
}

// write writes a backup and returns what is in it, and up to where its database
// covers the stream.
func (src source) write(ctx context.Context, f io.Writer, progress func(string)) (end backup.End, covered uint64, err error) {
	h, err := src.bus.Health(ctx)
	if err != nil {
		return end, 0, err
	}
	for _, c := range h.Consumers {
		if c.Name == bus.ConsumerReporting {
			covered = c.AckFloor
		}
	}
	w, err := backup.NewWriter(f, src.ring, backup.Begin{By: "onrecord/" + run.Version, MadeAt: src.now().UTC(), Created: h.Created, Covered: covered})
	if err != nil {
		return end, 0, err
	}
	if err := src.writeModel(w); err != nil {
		return end, 0, err
	}
	// The backup is of this moment: the stream up to here, and the photos that
	// wait now. What is taken over later is in the database, which comes after.
	photos, err := src.bus.WaitingPhotos(ctx)
	if err != nil {
		return end, 0, err
	}
	for _, p := range photos {
		sealed, err := src.bus.Photo(ctx, p.Name)
		if fault.KindOf(err) == fault.NotFound {
			continue // taken over since: it is in the database
		}
		if err != nil {
			return end, 0, err
		}
		if err := w.Photo(backup.Photo{Name: p.Name, Sealed: sealed}); err != nil {
			return end, 0, err
		}
	}
	progress("copying the database")
	if _, err = src.export(ctx, func(line []byte) error { return errors.Join(w.Lines(line), ctx.Err()) }); err != nil {
		return end, 0, err
	}
	copied := uint64(0)
	err = src.bus.Copy(ctx, h.LastSeq, func(e bus.Stored) error {
		if copied++; copied%20_000 == 0 {
			progress(fmt.Sprintf("copied %d of %d events of the stream", copied, h.Messages))
		}
		return w.Event(backup.Event{Subject: e.Subject, Seq: e.Seq, At: e.At, Data: e.Data})
	})
	if err != nil {
		return end, 0, err
	}
	if copied < h.Messages {
		src.log.Error("events of the stream could not be read and are not in the backup; what of them had been counted is", "events", h.Messages-copied)
	}
	end, err = w.Close()
	return end, covered, err
}

// writeModel adds the files of the installation's own model, where it has one:
// what reports were read with, and are read with again when they are replayed.
func (src source) writeModel(w *backup.Writer) error {
	if src.dir == "" {
		return nil
	}
	for _, name := range datadir.ModelFiles {
		content, err := os.ReadFile(filepath.Join(src.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = w.File(name, content)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkBackup restores a backup in a process of its own, so that neither its
// memory nor its metrics are this one's.
func (p *Program) checkBackup(ctx context.Context, path string) error {
	_, file := p.Paths()
	return checkBackup(ctx, path, p.cfg.Backups.Program, p.cfg.MasterKey, file)
}

func checkBackup(ctx context.Context, path, self, key, keyFile string) error {
	if self == "" {
		var err error
		if self, err = os.Executable(); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, self, "restore", "--check", path) //nolint:gosec // this program itself
	cmd.Env = append(os.Environ(), run.EnvName("config")+"=", run.EnvName("data-dir")+"=", run.EnvName("master-key-file")+"=", run.EnvName("master-key")+"=")
	if key == "" {
		cmd.Args = append(cmd.Args, "--master-key-file", keyFile)
	} else {
		cmd.Env = append(cmd.Env, run.EnvName("master-key")+"="+key)
	}
	// It ends with this process, however that ends. The system ties that to the
	// thread that starts it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("the backup was made and is not good, so it was not kept: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// keepBackups makes backups on schedule and removes the oldest, until ctx is
// done. One that fails is told, and tried again in an hour at the latest.
func (p *Program) keepBackups(ctx context.Context) error {
	b := p.cfg.Backups
	for {
		wait := b.Every
		if last, err := p.reporting.LastBackup(ctx); err == nil {
			wait = max(0, b.Every-p.cfg.Now().Sub(last))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		_, err := p.backUp(ctx, b.Dir, func(string) {})
		if err == nil {
			p.cfg.Log.Info("a backup was made and checked", "dir", b.Dir)
			err = p.removeOld(b)
		}
		if err != nil && ctx.Err() == nil {
			p.cfg.Log.Error("backup failed and will be tried again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(min(b.Every, time.Hour)):
			}
		}
	}
}

// removeOld removes all but the newest backups from the directory.
func (p *Program) removeOld(b Backups) error {
	all, err := filepath.Glob(filepath.Join(b.Dir, backupPrefix+"*"+backupSuffix))
	if err != nil {
		return err
	}
	slices.Sort(all) // their names are their times
	for _, old := range all[:max(0, len(all)-b.Keep)] {
		err = errors.Join(err, os.Remove(old))
	}
	return err
}

// backupFindings tells of backups that are due and were not made.
func (p *Program) backupFindings(ctx context.Context) ([]check.Finding, error) {
	b := p.cfg.Backups
	if b.Dir == "" {
		return nil, nil
	}
	last, err := p.reporting.LastBackup(ctx)
	if err != nil {
		return nil, err
	}
	if age := p.cfg.Now().Sub(last); !last.IsZero() && age <= 2*b.Every+time.Hour || last.IsZero() && time.Since(p.opened) <= time.Hour {
		return nil, nil
	}
	return []check.Finding{check.Alarmf("backup_overdue",
		"Look in the log for “backup failed”, and whether "+b.Dir+" is there and has room.",
		"The last good backup is from %s, and one is due every %v.", lastOr(last), b.Every)}, nil
}

func lastOr(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.RFC3339)
}

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
