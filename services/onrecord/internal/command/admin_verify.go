package command

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newAdminVerify(s *shared) *cobra.Command {
	var database string
	cmd := &cobra.Command{
		Use: "verify", Short: "Recount every figure of the services' database and check every timeline",
		Long:    verifyHelp + "\n\nThis command reads the database itself, beside the running services.",
		Example: `  onrecord admin verify --database mongodb://… --master-key-file master.key`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := s.databaseOf(database)
			if err != nil {
				return err
			}
			r, err := d.Verify(cmd.Context(), func(done, total int) { s.note(fmt.Sprintf("recounted %d of %d incidents", done, total)) })
			if err != nil {
				return err
			}
			return s.sayVerification(r)
		},
	}
	s.addDatabase(cmd, &database)
	return cmd
}
