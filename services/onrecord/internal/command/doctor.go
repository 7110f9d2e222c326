package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/pkg/check"
	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
)

func newDoctor(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look at everything, say in words what is wrong, and what to do next",
		Long: `Holds the stream against the database, its consumers, the figures and the timelines,
looks for damage and for disks that fill up, and explains what it finds. Beside a
running server it asks that one; a stopped installation it opens itself, and where it
cannot, it says why and what to do. It changes nothing, but takes in what the stream
holds and the database lacks. Exits with 1 when anything is wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := s.examine(cmd)
			if err != nil {
				return err
			}
			return s.explainFindings(found, "Everything was looked at and nothing is wrong.")
		},
	}
}

func newAdminDoctor(s *shared) *cobra.Command {
	a := &apart{}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at stream and database, say in words what is wrong, and what to do next",
		Long: `Holds the stream against the database, its consumers, the figures and the timelines,
asks whether a classifier answers, and explains what it finds, beside the running
services. It changes nothing, but takes in what the stream holds and the database
lacks. Exits with 1 when anything is wrong.

From here it cannot see what only time shows, such as a consumer that gets no further
or events that the services saw go from the stream: that is in reporting’s log and its
metric onrecord_findings. Nor the disks of NATS and MongoDB, how old the newest backup
is, or whether each intake and reporting is well: ask their /readyz.`,
		Example: `  onrecord admin doctor --database mongodb://… --master-key-file master.key --nats-url nats://nats-1:4222 --nats-user admin …`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), s, func(on program.Apart) error {
				e, err := on.Examine(cmd.Context(), s.note)
				if err != nil {
					return err
				}
				s.note("Not seen from here: disks, the age of backups, each service’s /readyz, and what only time shows (reporting’s log and onrecord_findings).")
				return s.explainFindings(e.Findings, "Stream, database and classifiers were looked at and nothing is wrong.")
			})
		},
	}
	a.addTo(s, cmd)
	return cmd
}

// examine returns what is wrong, also when it is why nothing can be opened.
func (s *shared) examine(cmd *cobra.Command) ([]check.Finding, error) {
	used, err := isUsed(s.dataDir)
	if err != nil {
		return nil, err
	}
	if !used {
		return []check.Finding{check.Alarmf("no_installation",
			"Name the right directory with --data-dir. “onrecord serve” would begin a new installation here.",
			"There is nothing in %s.", s.dataDir)}, nil
	}
	var e program.Examination
	err = s.call(cmd, program.OpDoctor, struct{}{}, &e)
	var f check.Finding
	switch {
	case errors.As(err, &f):
		return []check.Finding{f}, nil
	case errors.Is(err, datadir.ErrInUse):
		return []check.Finding{check.Alarmf("not_answering",
			"Look at its log. If it hangs, end it and start it again: nothing that was received is lost.",
			"A process has %s and does not answer on its control socket.", s.dataDir)}, nil
	}
	return e.Findings, err
}

// explainFindings prints each finding with its next step, and fails when there
// is one; well is what it says when there is none.
func (s *shared) explainFindings(found []check.Finding, well string) error {
	if len(found) == 0 {
		return s.say("%s", well)
	}
	for _, f := range found {
		if err := s.say("%s  %s\n  %s\n  Next: %s\n", strings.ToUpper(string(f.Severity)), f.Code, f.What, f.Next); err != nil {
			return err
		}
	}
	return fmt.Errorf("found: %d", len(found))
}
