package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
)

// addBackups gives serve the settings of backups.
func addBackups(f *pflag.FlagSet, b *program.Backups) {
	f.StringVar(&b.Dir, "backup-dir", "", "`directory` to make backups in, best on another disk; none: no backups are made")
	f.DurationVar(&b.Every, "backup-every", 24*time.Hour, "how `long` between two backups")
	f.IntVar(&b.Keep, "backup-keep", 35, "how `many` backups to keep; older ones are removed")
	f.IntVar(&b.StreamDays, "stream-days", 35, "`days`, at least 35, after which what a backup has leaves the stream")
}

// checkBackups returns every mistake in the settings of backups.
func checkBackups(b program.Backups) error {
	var mistakes []error
	if b.Every < time.Minute {
		mistakes = append(mistakes, fmt.Errorf("backup-every: want at least 1m, got %v", b.Every))
	}
	if b.Keep < 1 {
		mistakes = append(mistakes, fmt.Errorf("backup-keep: want at least 1, got %d", b.Keep))
	}
	if b.StreamDays < 35 {
		mistakes = append(mistakes, fmt.Errorf("stream-days: want at least 35, got %d", b.StreamDays))
	}
	if b.Dir != "" {
		if info, err := os.Stat(b.Dir); err != nil || !info.IsDir() {
			mistakes = append(mistakes, fmt.Errorf("backup-dir: %s is not a directory: make it, or mount its disk", b.Dir))
		}
	}
	return errors.Join(mistakes...)
}

func newBackup(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE|DIRECTORY",
		Short: "Write everything into one encrypted file, and check that it can be restored",
		Long: `Copies the database, then the stream, into one encrypted file, beside a running
server or of a stopped installation, with a model of its own where it has one. The file is then restored into a temporary
directory and recounted; only a good one gets its name.

The master key is not in it. Whoever has the file and the key can read everything, and
without the key nobody can read anything: keep a copy of the key, apart from the
backups.`,
		Example: `  onrecord backup /media/usb --data-dir /var/lib/onrecord
  onrecord serve --backup-dir /media/disk --backup-every 24h --backup-keep 35`,
		Args: oneArg("the file to write, or a directory for it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := filepath.Abs(args[0])
			if err != nil {
				return mistake{err}
			}
			var made program.BackedUp
			if err := s.call(cmd, program.OpBackup, to, &made); err != nil {
				return err
			}
			if made.Forgotten > 0 {
				s.note(fmt.Sprintf("%d events left the stream: backups have had them for long enough", made.Forgotten))
			}
			return s.say("%d incidents of the database and %d events of the stream are in %s (%.1f MiB), restored and recounted. The master key is not in it: keep a copy of it elsewhere.",
				made.Incidents, made.Events, made.File, float64(made.Bytes)/(1<<20))
		},
	}
}

func newRestore(s *shared) *cobra.Command {
	var checkOnly bool
	var erasedDir string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup into an empty data directory, and recount it",
		Long: `Reads a whole backup, puts it into the data directory, which must be empty or not
there, replays the stream, and recounts every figure. Until all of that has ended well
nothing is under the directory's name. The master key must be that of the installation
that was backed up: in the directory as master.key, or named with --master-key-file.

What was erased since the backup was made is erased again, as the file erased.jsonl
beside the backup says.`,
		Example: `  onrecord restore /media/usb/onrecord-20261127T020000Z.backup --data-dir /var/lib/onrecord --master-key-file master.key
  onrecord restore --check /media/usb/onrecord-20261127T020000Z.backup --master-key-file master.key`,
		Args: oneArg("the backup’s file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := s.existingKey(); err != nil {
				return err
			}
			cfg := s.programConfig()
			if cfg.MasterKey == "" {
				key, err := filepath.Abs(cmp.Or(s.keyFile, filepath.Join(s.dataDir, datadir.KeyName)))
				if err != nil {
					return err
				}
				cfg.MasterKeyFile = key
			}
			if checkOnly {
				return s.checkBackup(cmd.Context(), cfg, args[0], erasedDir)
			}
			r, err := program.Restore(cmd.Context(), cfg, args[0], erasedDir, s.note)
			if err != nil {
				return err
			}
			if err := s.say("%s restored to %s, as of %s. People sign in again.", restoredInWords(r), s.dataDir, r.MadeAt.Format(time.RFC3339)); err != nil {
				return err
			}
			if s.keyFile != "" {
				return s.say("Start it with --master-key-file %s, or put the key there as %s.", s.keyFile, filepath.Join(s.dataDir, datadir.KeyName))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&checkOnly, "check", false, "restore into a temporary directory, recount, and remove it")
	cmd.Flags().StringVar(&erasedDir, "erased-dir", "", "`directory` with the newest erased.jsonl, if it is not that of the backup")
	return cmd
}

func restoredInWords(r program.Restored) string {
	text := fmt.Sprintf("%d incidents and %d events", r.Incidents, r.Events)
	if r.Erased > 0 {
		text += fmt.Sprintf(", with %d erasures done again,", r.Erased)
	}
	return text
}

// checkBackup restores into a directory beside the backup, where there is room.
func (s *shared) checkBackup(ctx context.Context, cfg program.Config, file, erasedDir string) error {
	dir, err := os.MkdirTemp(filepath.Dir(file), "."+strings.TrimPrefix(filepath.Base(file), ".")+".check-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg.DataDir = filepath.Join(dir, "data")
	r, err := program.Restore(ctx, cfg, file, erasedDir, s.note)
	if err != nil {
		return err
	}
	return s.say("%s, restored and recounted: the backup is good.", restoredInWords(r))
}
