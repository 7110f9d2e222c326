package command

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

func newPoster(s *shared) *cobra.Command {
	url := ""
	cmd := &cobra.Command{
		Use: "poster SITE", Short: "Draw the poster of a site, as SVG for A4, on standard output",
		Long: `Draws a sheet with a code to scan, which opens the report form with the site and its
code filled in, and the plain address below it, in English and Welsh. Open it in a
browser to print it.`,
		Example: `  onrecord poster leeds --url https://onrecord.example.org > leeds.svg`,
		Args:    oneArg("the site’s id, from “onrecord sites list”"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
				return mistake{fmt.Errorf("--url %q: give the address at which phones reach the program, like https://onrecord.example.org", url)}
			}
			var drawn string
			if err := s.call(cmd, program.OpPoster, reporting.PosterOf{Site: args[0], URL: url}, &drawn); err != nil {
				return err
			}
			return s.say("%s", drawn)
		},
	}
	cmd.Flags().StringVar(&url, "url", "", "address at which phones reach the program")
	return cmd
}

// newSiteCodes lists the codes of sites, or makes a new one.
func newSiteCodes(s *shared) *cobra.Command {
	rotate := ""
	cmd := &cobra.Command{
		Use: "codes", Short: "List the codes on the sites’ posters, or make a new one", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rotate != "" {
				var site reporting.Site
				if err := s.call(cmd, program.OpSitesRotate, rotate, &site); err != nil {
					return err
				}
				return s.say("%s has the code %s now. The one before is not taken any more: print the poster anew.", site.ID, site.Code)
			}
			var sites []reporting.Site
			if err := s.call(cmd, program.OpSitesList, struct{}{}, &sites); err != nil {
				return err
			}
			rows := make([][]string, len(sites))
			for i, site := range sites {
				rows[i] = []string{site.ID, site.Name, site.Code}
			}
			return s.table([]string{"ID", "NAME", "CODE"}, rows)
		},
	}
	cmd.Flags().StringVar(&rotate, "rotate", "", "id of a site that gets a new code; the old one ends at once")
	return cmd
}
