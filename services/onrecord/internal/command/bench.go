package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/services/onrecord/internal/bench"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

func newBench(s *shared) *cobra.Command {
	c := bench.Config{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "File a bounded load and look whether everything received is counted, once",
		Long: `Files reports as many phones would, and prints a table: received per second, the
median and 99th percentile of the time to an answer, and of what was received how
much was found in the incidents, lost, or there twice. With --rate it files so many
a second whatever the answers, and also measures how long it takes from an answer
until the figures hold the report. With --photos each report comes with so many
made-up photos of 200 KB, and is found only with all of them.

Without --url it measures a server of its own on a temporary directory, with fifty
made-up sites. With --url it files real reports at a running server, at no listed
site: they stay there. Exits with 1 when anything was lost or doubled.`,
		Example: `  onrecord bench
  onrecord bench --clients 64 --rate 500 --reports 15000
  onrecord bench --clients 8 --photos 1
  ONRECORD_TOKEN="$(onrecord token create --role rep --label bench)" onrecord bench --url http://localhost:8080 --clients 8`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.URL != "" && c.Token == "" {
				return mistake{errors.New("--url needs a token of a rep for every site, to count what arrived: put it into ONRECORD_TOKEN")}
			}
			if c.URL != "" {
				return s.bench(cmd.Context(), c)
			}
			return s.benchOwn(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.URL, "url", "", "`address` of a running server; none: one of its own")
	f.StringVar(&c.Token, "token", "", "API `token` of a rep for every site, with --url: best in ONRECORD_TOKEN, which no other user of the machine sees")
	f.IntSliceVar(&c.Clients, "clients", []int{1, 8, 32}, "one round for each `number` of clients at once")
	f.IntVar(&c.Reports, "reports", 3000, "reports a round")
	f.IntVar(&c.Rate, "rate", 0, "reports a `second` in all; 0: as fast as the clients can")
	f.IntVar(&c.Photos, "photos", 0, "made-up photos with each report, up to 5")
	f.DurationVar(&c.Settle, "settle", time.Minute, "how `long` to wait for what was received to be counted")
	return cmd
}

func (s *shared) bench(ctx context.Context, c bench.Config) error {
	var rows [][]string
	wrong := 0
	err := bench.Run(ctx, c, func(r bench.Round) {
		rows = append(rows, r.Row())
		wrong += r.Lost + r.Doubled
		fmt.Fprintf(s.env.Stderr, "%s clients: done\n", strconv.Itoa(r.Clients))
	})
	if err = errors.Join(err, s.table(bench.Header, rows)); err == nil && wrong > 0 {
		err = fmt.Errorf("%d reports were lost or doubled", wrong)
	}
	return err
}

// benchOwn measures a server of its own on a temporary directory.
func (s *shared) benchOwn(ctx context.Context, c bench.Config) error {
	dir, err := os.MkdirTemp("", "onrecord-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg := s.programConfig()
	cfg.DataDir = dir
	p, err := program.Open(ctx, cfg)
	if err != nil {
		return err
	}
	var token reporting.CreatedToken
	err = p.Operations().Call(ctx, program.OpTokenCreate, reporting.NewToken{Role: "rep", Label: "bench"}, &token, func(string) {})
	if err == nil {
		var csv string
		c.Sites, csv = bench.MadeUpSites()
		err = p.Operations().Call(ctx, program.OpSitesImport, csv, nil, func(string) {})
	}
	if err != nil {
		return errors.Join(err, p.Close())
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, p.Close())
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- p.Run(serving, ln) }()
	c.URL, c.Token = "http://"+ln.Addr().String(), token.Secret
	if err = p.WaitReady(serving); err == nil {
		err = s.bench(ctx, c)
	}
	stop()
	return errors.Join(err, <-served, p.Close())
}
