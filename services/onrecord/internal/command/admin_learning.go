package command

import (
	"cmp"
	"errors"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

func newAdminCorrections(s *shared) *cobra.Command {
	var database string
	cmd := &cobra.Command{
		Use:   "corrections FILE",
		Short: "Write down what reps decided, out of the services' database, to train with",
		Long: correctionsHelp + `

Train with it anywhere, and give the model to the classifiers, by the file that their
--model names: they take it up when it changes.`,
		Example: `  onrecord admin corrections corrections.jsonl --database mongodb://… --master-key-file master.key
  onrecord train --with-corrections corrections.jsonl --out model.bin
  onrecord admin reread --model model.bin --database mongodb://… --master-key-file master.key --nats-url nats://nats-1:4222 --nats-user admin …`,
		Args: oneArg("the file to write"),
		RunE: func(cmd *cobra.Command, args []string) error {
			of, err := s.databaseOf(database)
			if err != nil {
				return err
			}
			from := program.Apart{Database: of}
			n, err := writeCorrections(args[0], func(line func(string)) (int, error) { return from.Corrections(cmd.Context(), line) })
			if err != nil {
				return err
			}
			return s.sayCorrections(n, args[0])
		},
	}
	s.addDatabase(cmd, &database)
	return cmd
}

// addDatabase adds the flag that names the services' database, which is required.
func (s *shared) addDatabase(cmd *cobra.Command, database *string) {
	cmd.Flags().StringVar(database, "database", "", databaseUsage)
	s.checks[cmd] = func() error {
		if *database == "" {
			return errNoDatabase
		}
		return nil
	}
}

// databaseOf returns the services' database with the key it is sealed under.
func (s *shared) databaseOf(name string) (reporting.Database, error) {
	ring, err := s.existingKey()
	return reporting.Database{Name: name, Keyring: ring, Log: s.logger()}, err
}

var errNoDatabase = errors.New("database: give the address of the services’ MongoDB, mongodb://…")

func newAdminReread(s *shared) *cobra.Command {
	a := &apart{}
	var model reading
	var log string
	cmd := &cobra.Command{
		Use:   "reread",
		Short: "Have the model that the classifiers use read what nobody has decided yet",
		Long: rereadHelp + `

This command reads them itself, beside the running services. It must have the same
model as the classifiers, and is refused when theirs is another. What is written down
is printed by “onrecord train --history --out model.bin”.`,
		Example: `  onrecord admin reread --model model.bin --database mongodb://… --master-key-file master.key --nats-url nats://nats-1:4222 --nats-user admin …`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			reader, err := model.open()
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), s, func(on program.Apart) error {
				r, err := notingReread(cmp.Or(log, modelLog(cmp.Or(model.model, "model"))), func() (program.Reread, error) {
					return on.Reread(cmd.Context(), reader, s.note)
				})
				if err != nil {
					return err
				}
				return s.sayReread(r)
			})
		},
	}
	a.addTo(s, cmd)
	model.flag(cmd)
	cmd.Flags().StringVar(&log, "log", "", "`file` in which to write down that it was done (default: that beside the model, or model.log here)")
	return cmd
}
