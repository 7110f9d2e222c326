package command

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/services/onrecord/internal/program"
)

// place is an installation that the same commands act on: that of a data
// directory, or services that run apart.
type place struct {
	command  string                   // under which the commands are: "onrecord", "onrecord admin"
	settings string                   // how the place is named, in examples
	addTo    func(cmd *cobra.Command) // adds the flags that name it
	call     func(cmd *cobra.Command, name string, args, result any) error
}

// here is the installation in the data directory.
func (s *shared) here() place {
	return place{command: "onrecord", addTo: func(*cobra.Command) {}, call: s.call}
}

// inDatabase is the database of services that run apart, beside them.
func (s *shared) inDatabase() place {
	var database string
	return place{
		command: "onrecord admin", settings: " --database mongodb://… --master-key-file master.key",
		addTo: func(cmd *cobra.Command) { s.addDatabase(cmd, &database) },
		call: func(cmd *cobra.Command, name string, args, result any) error {
			of, err := s.databaseOf(database)
			if err != nil {
				return err
			}
			return program.Apart{Database: of}.Call(cmd.Context(), name, args, result, s.note)
		},
	}
}

// inBoth is the database and the stream of services that run apart.
func (s *shared) inBoth() place {
	a := &apart{}
	return place{
		command: "onrecord admin", settings: " --database mongodb://… --master-key-file master.key --nats-url nats://nats-1:4222 --nats-user admin …",
		addTo: func(cmd *cobra.Command) { a.addTo(s, cmd) },
		call: func(cmd *cobra.Command, name string, args, result any) error {
			return a.with(cmd.Context(), s, func(on program.Apart) error { return on.Call(cmd.Context(), name, args, result, s.note) })
		},
	}
}

// group is a group of commands that all act on the place.
func (in place) group(use, short string, subcommands ...*cobra.Command) *cobra.Command {
	for _, cmd := range subcommands {
		in.addTo(cmd)
	}
	return group(use, short, subcommands...)
}

// examples are command lines, each as it is given for the place.
func (in place) examples(lines ...string) string {
	var all []string
	for _, line := range lines {
		all = append(all, "  "+in.command+" "+line+in.settings)
	}
	return strings.Join(all, "\n")
}
