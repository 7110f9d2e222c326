package command

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
)

func newCorrections(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "corrections FILE",
		Short: "Write down what reps decided, as features and labels to train with",
		Long: correctionsHelp + `

For services that run apart there is “onrecord admin corrections”.`,
		Example: `  onrecord corrections corrections.jsonl
  onrecord train --with-corrections corrections.jsonl
  onrecord reread`,
		Args: oneArg("the file to write"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := writeCorrections(args[0], func(line func(string)) (n int, err error) {
				err = s.callWith(cmd.Context(), program.OpCorrections, struct{}{}, &n, line)
				return n, err
			})
			if err != nil {
				return err
			}
			return s.sayCorrections(n, args[0])
		},
	}
}

const correctionsHelp = `Writes a line of JSON for each report about which a rep decided what happened, how
it came or whom it was aimed at: the features of its words, as they are kept with the
incident, and the rep's answers. It is what train --with-corrections takes. A report
whose words were erased is not in it.

The file holds no words, but whoever has it can try which words were likely in a
report. It is readable by its owner only; remove it when you have trained.`

// writeCorrections writes the lines that from sends into a file of mode 0600,
// all of them or none, and returns what from counted.
func writeCorrections(path string, from func(line func(string)) (int, error)) (int, error) {
	if err := replaceable(path); err != nil {
		return 0, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".corrections-*") // mode 0600
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var failed error
	n, err := from(func(line string) {
		if failed == nil {
			_, failed = fmt.Fprintln(f, line)
		}
	})
	if err == nil {
		err = cmp.Or(failed, f.Sync())
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return n, err
}

func (s *shared) sayCorrections(n int, path string) error {
	if n == 0 {
		return s.say("No rep has decided about a report with words yet: %s is empty.", path)
	}
	return s.say("%d corrections written to %s. Train with them: onrecord train --with-corrections %s", n, path, path)
}

func newReread(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "reread",
		Short: "Have the model in use read what nobody has decided yet",
		Long: rereadHelp + `

The model is the one that the server uses, and “onrecord train --history” prints what
is written down. For services that run apart there is
“onrecord admin reread”.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := notingReread(modelLog(datadir.Model(s.dataDir)), func() (r program.Reread, err error) {
				err = s.call(cmd, program.OpReread, struct{}{}, &r)
				return r, err
			})
			if err != nil {
				return err
			}
			return s.sayReread(r)
		},
	}
}

const rereadHelp = `Reads every report again whose channel or target is not known or at which a person
should look, unless the model has read it already. Its reading stands beside those
before it. What a person decided is never changed by it. Stopped halfway, it goes on
from there the next time. Who had it done, when, and how many they were is written
down beside the model.`

func (s *shared) sayReread(r program.Reread) error {
	if r.Reports == 0 {
		return s.say("There is nothing to read again: model %s has read whatever nobody decided.", r.Model)
	}
	return s.say("%d reports read again by model %s. Their incidents follow in a moment.", r.Reports, r.Model)
}
