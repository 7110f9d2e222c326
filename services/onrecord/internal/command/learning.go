package command

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
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

func newChecks(s *shared, in place) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "checks",
		Short:   "Print what reps made of the machine's sure readings that they checked",
		Long:    checksHelp,
		Example: in.examples("checks"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var found []reporting.Checks
			if err := in.call(cmd, program.OpChecks, struct{}{}, &found); err != nil {
				return err
			}
			return s.sayChecks(found)
		},
	}
	in.addTo(cmd)
	return cmd
}

const checksHelp = `One in twenty of the readings that a model is sure of is picked by chance, and a rep
is asked to check it. Prints for each model how many were picked, of how many reps
have decided every field since, and how often they decided as the machine had read,
with the interval in which the true share lies in 95 of 100 such samples. Reps see the
machine's answer when they decide, so the truth may be somewhat worse.

The numbers are exact and of every site: they are for whoever runs the machine. For
services that run apart there is “onrecord admin checks”.`

func (s *shared) sayChecks(found []reporting.Checks) error {
	if len(found) == 0 {
		return s.say("No sure reading was picked for a check yet: one in twenty is.")
	}
	var rows [][]string
	for _, c := range found {
		row := []string{c.Model, fmt.Sprint(c.Picked), fmt.Sprint(c.Waiting), fmt.Sprint(c.Settled)}
		for _, field := range incident.Fields {
			row = append(row, keptShare(c.Kept[field], c.Settled))
		}
		rows = append(rows, row)
	}
	return s.table(append([]string{"model", "picked", "wait", "decided"}, incident.Fields...), rows)
}

func keptShare(n, of int) string {
	if of == 0 {
		return "–"
	}
	low, high := incident.Interval(n, of)
	return fmt.Sprintf("%.3f (%.3f–%.3f)", float64(n)/float64(of), low, high)
}
