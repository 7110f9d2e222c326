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
