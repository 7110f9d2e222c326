package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/onrecord/onrecord/services/onrecord/internal/program"
)

// erasing is what a command does to erase.
type erasing struct {
	find  func(ctx context.Context, what string) ([]program.Erasable, error)
	erase func(ctx context.Context, id string) error
}

const (
	eraseUse   = "erase RECEIPT|REFERENCE|-"
	eraseShort = "Destroy the words of one incident for ever; it stays counted"
	eraseLong  = `Destroys the key of an incident’s words, and with it what reporters and reps wrote,
contacts and photos; removes its reports from the stream; and leaves what is counted
and a history that can still be checked. A report that comes back is dropped. Backups
from before keep the words until they are removed; restoring one erases them again.
Erasing again completes what was cut off.

Whoever has a receipt can follow the report up, and every user of a machine can see what
others’ commands are given: with “-” it is read as a line from standard input.`
)

var whatToErase = oneArg("the reporter’s receipt, or the incident’s reference or id; - for standard input")

func newErase(s *shared) *cobra.Command {
	yes := false
	cmd := &cobra.Command{
		Use: eraseUse, Short: eraseShort, Long: eraseLong,
		Example: `  onrecord erase 7K3M-Q2XF --data-dir /var/lib/onrecord
  onrecord erase - --yes < receipt.txt`,
		Args: whatToErase,
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.eraseOne(cmd.Context(), args[0], yes, erasing{
				find: func(_ context.Context, what string) (found []program.Erasable, err error) {
					err = s.call(cmd, program.OpEraseFind, program.EraseQuery{What: what}, &found)
					return found, err
				},
				erase: func(_ context.Context, id string) error { return s.call(cmd, program.OpErase, id, nil) },
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func newAdminErase(s *shared) *cobra.Command {
	a := &apart{}
	yes, returned, backups := false, false, ""
	cmd := &cobra.Command{
		Use: eraseUse, Short: eraseShort,
		Long: eraseLong + `

It works on the database and the stream beside the running services. What it takes to
erase again after an older backup is restored goes into the file erased.jsonl in
--backup-dir first: keep it beside the backups.

The services may remove nothing from the stream. What phones send again of an erased
report is dropped, stays in the stream under seal, and is told by a warning
(erased_returned): --returned removes it.`,
		Example: `  onrecord admin erase - --yes --backup-dir /backups --master-key-file master.key --nats-url nats://nats-1:4222 --nats-user admin … < receipt.txt
  onrecord admin erase --returned --master-key-file master.key --nats-url …`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case !returned:
				return whatToErase(cmd, args)
			case len(args) > 0:
				return mistake{errors.New("with --returned nothing is named: it looks through the whole stream")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), s, func(on program.Apart) error {
				if !returned {
					return s.eraseOne(cmd.Context(), args[0], yes, erasing{find: on.FindErasable,
						erase: func(ctx context.Context, id string) error { return on.Erase(ctx, id, backups) }})
				}
				reports, err := on.EraseReturned(cmd.Context(), s.note)
				if err != nil {
					return err
				}
				return s.say("%d erased reports had come back and are removed from the stream.", reports)
			})
		},
	}
	a.addTo(s, cmd)
	f := cmd.Flags()
	f.BoolVar(&yes, "yes", false, "do not ask")
	f.BoolVar(&returned, "returned", false, "remove from the stream what came back of erased reports, and nothing else")
	f.StringVar(&backups, "backup-dir", "", "`directory` of the backups, where erased.jsonl is kept")
	parts := s.checks[cmd]
	s.checks[cmd] = func() error {
		err := parts()
		if returned {
			return err
		}
		if info, statErr := os.Stat(backups); backups == "" || statErr != nil || !info.IsDir() {
			err = errors.Join(err, errors.New("backup-dir: give the directory of the backups: from erased.jsonl in it, one from before is erased again when it is restored"))
		}
		return err
	}
	return cmd
}

// eraseOne shows what would be erased, asks, and erases it.
func (s *shared) eraseOne(ctx context.Context, what string, yes bool, e erasing) error {
	if what == "-" {
		line, err := s.read("-")
		if err != nil {
			return err
		}
		what = strings.TrimSpace(line)
	}
	found, err := e.find(ctx, what)
	if err != nil {
		return err
	}
	rows := make([][]string, len(found))
	for n, e := range found {
		state := e.Status
		if e.Erased {
			state += ", erased before"
		}
		rows[n] = []string{e.Ref, e.ID, e.Site, e.Month, state, fmt.Sprint(e.Reports)}
	}
	if err := s.table([]string{"REFERENCE", "ID", "SITE", "MONTH", "STATUS", "REPORTS"}, rows); err != nil {
		return err
	}
	if len(found) > 1 {
		return errors.New("several incidents have that reference: give the id of one")
	}
	if !yes {
		if err := s.confirm(found[0].Ref); err != nil {
			return err
		}
	}
	if err := e.erase(ctx, found[0].ID); err != nil {
		return err
	}
	return s.say("The words of %s are erased. It stays counted.", found[0].Ref)
}

// confirm asks for the reference on the terminal.
func (s *shared) confirm(ref string) error {
	f, ok := s.env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return mistake{errors.New("nothing was erased: there is nobody to ask here, so give --yes")}
	}
	fmt.Fprintf(s.env.Stderr, "This cannot be undone. Type %s to erase its words: ", ref)
	var typed string
	if _, err := fmt.Fscanln(f, &typed); err != nil || !strings.EqualFold(typed, ref) {
		return errors.New("nothing was erased")
	}
	return nil
}
