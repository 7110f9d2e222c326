package command

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/services/onrecord/internal/program"
)

func newCorrections(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "corrections FILE",
		Short: "Write down what reps decided, as features and labels to train with",
		Long: `Writes a line of JSON for each report about which a rep decided what happened, how
it came or whom it was aimed at: the features of its words, and the rep's answers. It
is what train --with-corrections takes. Nothing of it is kept anywhere else, and a
report whose words were erased is not in it.

The file holds no words, but whoever has it can try which words were likely in a
report. It is readable by its owner only; remove it when you have trained.`,
		Example: `  onrecord corrections corrections.jsonl
  onrecord train --with-corrections corrections.jsonl
  onrecord reread`,
		Args: oneArg("the file to write"),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := os.CreateTemp(filepath.Dir(args[0]), ".corrections-*") // mode 0600
			if err != nil {
				return err
			}
			defer os.Remove(f.Name())
			defer f.Close()
			var n int
			var failed error
			err = s.callWith(cmd.Context(), program.OpCorrections, struct{}{}, &n, func(line string) {
				if failed == nil {
					_, failed = fmt.Fprintln(f, line)
				}
			})
			if err == nil {
				err = failed
			}
			if err != nil {
				return err
			}
			if err := f.Sync(); err != nil {
				return err
			}
			if err := os.Rename(f.Name(), args[0]); err != nil {
				return err
			}
			return s.say("%d corrections written to %s.", n, args[0])
		},
	}
}

func newReread(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "reread",
		Short: "Have the model in use read what nobody has decided yet",
		Long: `Reads every report again whose channel or target is not known or at which a person
should look, with the model that the server uses, unless that model has read it
already. Its reading stands beside those before it. What a person decided is never
changed by it. Stopped halfway, it goes on from there the next time.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r program.Reread
			if err := s.call(cmd, program.OpReread, struct{}{}, &r); err != nil {
				return err
			}
			if r.Reports == 0 {
				return s.say("There is nothing to read again: model %s has read whatever nobody decided.", r.Model)
			}
			return s.say("%d reports read again by model %s. Their incidents follow in a moment.", r.Reports, r.Model)
		},
	}
}
