package command

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/remote"
	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// apart are the settings by which a command reaches services that run apart.
type apart struct {
	nats     remote.Settings
	database string
}

func (a *apart) addTo(s *shared, cmd *cobra.Command) {
	a.nats.AddTo(cmd.Flags())
	cmd.Flags().StringVar(&a.database, "database", "", databaseUsage)
	s.checks[cmd] = func() error {
		err := a.nats.Check()
		if a.database == "" {
			err = errors.Join(err, errNoDatabase)
		}
		return err
	}
}

// with connects to both as the administrator.
func (a *apart) with(ctx context.Context, s *shared, do func(program.Apart) error) error {
	ring, err := s.existingKey()
	if err != nil {
		return err
	}
	log := s.logger()
	nc, err := a.nats.Dial(ctx, "admin", log)
	if err != nil {
		return err
	}
	defer nc.Close()
	b, err := bus.New(nc, log)
	if err != nil {
		return err
	}
	keyFile, err := filepath.Abs(cmp.Or(s.keyFile, filepath.Join(s.dataDir, datadir.KeyName)))
	if err != nil {
		return err
	}
	return do(program.Apart{Bus: b, Database: reporting.Database{Name: a.database, Keyring: ring, Log: log}, Key: s.key, KeyFile: keyFile})
}

func newAdminBackup(s *shared) *cobra.Command {
	a := &apart{}
	cmd := &cobra.Command{
		Use:   "backup FILE|DIRECTORY",
		Short: "Write database and stream into one encrypted file, beside the running services",
		Long: `Copies the database, then the stream, into one encrypted file, beside the running
services. The file is then restored into a temporary directory on this machine and
recounted; only a good one gets its name. The master key is not in it.

“onrecord restore” puts the same file into a data directory on one machine.`,
		Example: `  onrecord admin backup /backups --master-key-file master.key --nats-url nats://nats-1:4222 --nats-user admin …`,
		Args:    oneArg("the file to write, or a directory for it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), s, func(on program.Apart) error {
				made, err := on.BackUp(cmd.Context(), args[0], s.note)
				if err != nil {
					return err
				}
				return s.say("%d incidents of the database and %d events of the stream are in %s (%.1f MiB), restored and recounted.",
					made.Incidents, made.Events, made.File, float64(made.Bytes)/(1<<20))
			})
		},
	}
	a.addTo(s, cmd)
	return cmd
}

func newAdminRestore(s *shared) *cobra.Command {
	a := &apart{}
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup into an empty database and onto an empty stream",
		Long: `Reads a whole backup, puts it into an empty MongoDB, and replays the stream onto one
that “onrecord admin streams apply” has just made. Start the services after it: they
handle the stream from its beginning, and nothing is counted twice.`,
		Args: oneArg("the backup’s file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), s, func(on program.Apart) error {
				r, err := on.Restore(cmd.Context(), args[0], s.note)
				if err != nil {
					return err
				}
				return s.say("%s restored. Start the services now.", restoredInWords(r))
			})
		},
	}
	a.addTo(s, cmd)
	return cmd
}
