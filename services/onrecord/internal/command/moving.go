package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

const databaseUsage = "`address` of the services’ MongoDB, mongodb://…, instead of a data directory; one with a password better through the environment"

func newExport(s *shared) *cobra.Command {
	var database string
	cmd := &cobra.Command{
		Use:   "export FILE|DIRECTORY",
		Short: "Write everything into one file, to move to another store",
		Long: `Writes incidents with their history and photos, people, tokens, sites and unreadable
messages into a file that “onrecord import” puts into another installation, a
MongoDB above all. Words stay sealed: the file is of use only with the master key.

It may run beside the server: what was received before it began is in the file,
what is received later is not. To move, stop the server first. Every figure is
recounted on the way; one that differs from the stored one is named, and the
exit code is 1, though the file is whole.

Sessions are left behind: people sign in again.`,
		Example: `  onrecord export /media/usb --data-dir /var/lib/onrecord
  onrecord export installation.jsonl`,
		Args: oneArg("the file to write, or a directory for it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := exportPath(args[0], time.Now())
			if err != nil {
				return err
			}
			return s.export(cmd.Context(), path, database)
		},
	}
	cmd.Flags().StringVar(&database, "database", "", databaseUsage)
	return cmd
}

// exportPath returns the file to write. One that exists is not written over.
func exportPath(arg string, now time.Time) (string, error) {
	if info, err := os.Stat(arg); err == nil && info.IsDir() {
		arg = filepath.Join(arg, "onrecord-"+now.UTC().Format("20060102T150405Z")+".jsonl")
	}
	if _, err := os.Stat(arg); !errors.Is(err, fs.ErrNotExist) {
		return "", mistake{cmp.Or(err, fmt.Errorf("%s is there already: name another file", arg))}
	}
	return arg, nil
}

func (s *shared) export(ctx context.Context, path, database string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return mistake{err}
	}
	moved, err := s.exportTo(ctx, f, database)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := syncDirectory(filepath.Dir(path)); err != nil {
		return err
	}
	if err := s.say("%s exported to %s", inWords(moved), path); err != nil {
		return err
	}
	if len(moved.Differences) > 0 {
		return fmt.Errorf("the file is whole, but %d stored figures are not those of the incidents, or changed meanwhile: see “onrecord verify”", len(moved.Differences))
	}
	return s.say("Every figure was recounted and agrees. Whoever has this file and the master key can read everything: keep them apart.")
}

// exportTo writes the lines to a file and tells how far it is.
func (s *shared) exportTo(ctx context.Context, f io.Writer, database string) (moved reporting.Moved, err error) {
	lines := &exportLines{out: f, say: s.pace()}
	if database != "" {
		ring, err := s.existingKey()
		if err != nil {
			return moved, err
		}
		d := reporting.Database{Name: database, Keyring: ring, Log: s.programConfig().Log}
		moved, err = d.Export(ctx, func(line []byte) error { return lines.take(strings.TrimSuffix(string(line), "\n")) })
		return moved, errors.Join(err, lines.err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	err = s.callWith(ctx, program.OpExport, struct{}{}, &moved, func(text string) {
		if note, ok := strings.CutPrefix(text, program.ExportNote); ok {
			s.note(note)
			return
		}
		if lines.take(text) != nil {
			stop()
		}
	})
	if lines.err != nil {
		return moved, lines.err
	}
	return moved, err
}

// exportLines writes lines and counts the incidents in them.
type exportLines struct {
	out           io.Writer
	say           func(step string, done, total int)
	done, expects int
	err           error // the first; nothing is written after it
}

func (l *exportLines) take(lines string) error {
	if l.err == nil {
		_, l.err = io.WriteString(l.out, lines+"\n")
	}
	if l.err != nil {
		return l.err
	}
	for line := range strings.SplitSeq(lines, "\n") {
		if strings.HasPrefix(line, `{"Incident"`) {
			l.done++
		}
		if l.expects == 0 {
			var first struct{ Export struct{ Expect int } }
			_ = json.Unmarshal([]byte(line), &first) // it only feeds the progress
			l.expects = max(first.Export.Expect, 1)
		}
	}
	l.say("exported", l.done, max(l.done, l.expects))
	return nil
}

// pace returns what prints how far a step is, once a second.
func (s *shared) pace() func(step string, done, total int) {
	said := time.Now()
	return func(step string, done, total int) {
		if time.Since(said) >= time.Second {
			s.note(fmt.Sprintf("%s %d of %d incidents", step, done, total))
			said = time.Now()
		}
	}
}

// inWords returns what was moved, with a line before it for each difference.
func inWords(m reporting.Moved) string {
	return strings.Join(append(m.Differences, ""), "\n") + fmt.Sprintf("%d incidents, %d photos, %d sites, %d people, %d tokens, %d unreadable messages and %d waiting events",
		m.Incidents, m.Photos, m.Sites, m.People, m.Tokens, m.Unreadable, m.Waiting)
}

func newImport(s *shared) *cobra.Command {
	var database string
	cmd := &cobra.Command{
		Use:   "import FILE|DIRECTORY",
		Short: "Put an exported installation into another, empty store",
		Long: `Puts what “onrecord export” wrote into an empty store: the services’ MongoDB, or a
data directory. The master key must be that of the installation it comes from.

The whole file is read first: a damaged one changes nothing. An import that was
interrupted goes on when it is run again with the same file; doing it again after
it is done changes nothing. In the end every figure is recounted from the imported
incidents and compared with the exported one; a difference is named, and the exit
code is 1. Until it has ended well no service starts on that store.`,
		Example: `  ONRECORD_DATABASE='mongodb://onrecord:…@db1,db2,db3/onrecord?replicaSet=rs0' \
    onrecord import installation.jsonl --master-key-file master.key
  onrecord import installation.jsonl --data-dir another --master-key-file master.key`,
		Args: oneArg("the file to read, or a directory with one export in it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := openExport(args[0])
			if err != nil {
				return err
			}
			return errors.Join(s.importFrom(cmd.Context(), f, database), f.Close())
		},
	}
	cmd.Flags().StringVar(&database, "database", "", databaseUsage)
	return cmd
}

// openExport opens a file, or the one export in a directory.
func openExport(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		found, err := filepath.Glob(filepath.Join(path, "onrecord-*.jsonl"))
		if err != nil || len(found) != 1 {
			return nil, mistake{cmp.Or(err, fmt.Errorf("%s has %d exports in it: name the file", path, len(found)))}
		}
		path = found[0]
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, mistake{err}
	}
	return f, nil
}

func (s *shared) importFrom(ctx context.Context, f io.ReadSeeker, database string) error {
	ring, err := s.existingKey()
	if err != nil {
		return err
	}
	export, err := reporting.OpenExport(f, ring)
	if err != nil {
		return err
	}
	if database == "" {
		return s.importIntoDirectory(ctx, ring, export)
	}
	return s.importInto(ctx, reporting.Database{Name: database, Keyring: ring, Log: s.programConfig().Log}, export)
}

// importIntoDirectory holds the directory's lock meanwhile. One that is not
// there yet is made first, with a stream that nothing was ever in.
func (s *shared) importIntoDirectory(ctx context.Context, ring *seal.Keyring, export reporting.ExportFile) error {
	dir, err := datadir.Open(s.dataDir)
	if err != nil {
		return err
	}
	old, err := dir.HasData()
	if err == nil && !old {
		if err = errors.Join(dir.Close(), s.makeInstallation(ctx)); err != nil {
			return err
		}
		dir, err = datadir.Open(s.dataDir)
	}
	if err != nil {
		return err
	}
	if _, err = dir.Keyring(s.key, s.keyFile); err == nil { // it is the one the directory was begun with
		err = s.importInto(ctx, reporting.Database{Name: dir.Database(), Keyring: ring, Log: s.programConfig().Log}, export)
	}
	return errors.Join(err, dir.Close())
}

func (s *shared) makeInstallation(ctx context.Context) error {
	p, err := program.Open(ctx, s.programConfig())
	if err != nil {
		return err
	}
	return p.Close()
}

func (s *shared) importInto(ctx context.Context, d reporting.Database, export reporting.ExportFile) error {
	m, err := d.Import(ctx, export, s.pace())
	if err != nil {
		return err
	}
	if m.Already {
		return s.say("This export was imported before. Nothing was changed.")
	}
	if err := s.say("%s imported.", inWords(m)); err != nil {
		return err
	}
	if len(m.Differences) > 0 {
		return fmt.Errorf("%d figures are not what was exported, named above: no service starts on this store; keep the old installation, and import into an empty one again", len(m.Differences))
	}
	return s.say("Every figure was recounted there and agrees with the export. People sign in again; their API tokens go on working.")
}

// existingKey returns the master key that is given or lies in the data
// directory. It makes none: a new one could read nothing of what is moved.
func (s *shared) existingKey() (ring *seal.Keyring, err error) {
	if s.key != "" {
		ring, err = seal.ParseKeyring(s.key)
	} else {
		ring, err = seal.ReadFile(cmp.Or(s.keyFile, filepath.Join(s.dataDir, datadir.KeyName)))
	}
	if err != nil {
		return nil, mistake{fmt.Errorf("%w: give the master key of the installation with --master-key-file or %s", err, run.EnvName("master-key"))}
	}
	return ring, nil
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
