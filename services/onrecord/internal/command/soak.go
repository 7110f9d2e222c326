package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/services/onrecord/internal/bench"
	"github.com/onrecord/onrecord/services/onrecord/internal/control"
	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

func newSoak(s *shared) *cobra.Command {
	c := bench.SoakConfig{}
	var growth int64
	cmd := &cobra.Command{
		Use:   "soak",
		Short: "Press a server from every side for a long time and look whether it stays well",
		Long: `Files reports at a steady rate as honest phones would, and meanwhile holds idle
connections open, sends requests a byte at a time, begins uploads without end, and has
a crowd file all at once every few seconds. It prints the server's memory and
descriptors over the time, and then what became of the reports.

Without --url it presses a server of its own, a process on a temporary directory. With
--url it must be one on this machine, which then holds the reports. Exits with 1 when a
report was lost or counted twice, when more than one in a hundred honest ones was never
received or took too long, or when memory or descriptors go on growing.`,
		Example: `  onrecord soak --for 1h
  ONRECORD_TOKEN="$(onrecord token create --role rep --label soak)" onrecord soak --for 10m --url http://localhost:8080`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.URL != "" && c.Token == "" {
				return mistake{errors.New("--url needs a token of a rep for every site, to count what arrived: put it into ONRECORD_TOKEN")}
			}
			if c.Growth = growth << 20; c.URL != "" {
				return s.soak(cmd.Context(), c)
			}
			return s.soakOwn(cmd.Context(), c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.URL, "url", "", "`address` of a running server on this machine; none: one of its own")
	f.StringVar(&c.Token, "token", "", "API `token` of a rep for every site, with --url: best in ONRECORD_TOKEN, which no other user of the machine sees")
	f.DurationVar(&c.For, "for", 10*time.Minute, "how `long`")
	f.IntVar(&c.Rate, "rate", 50, "reports a `second` from honest phones")
	f.IntVar(&c.Idle, "idle", 1000, "`connections` held open on which nothing is asked")
	f.IntVar(&c.Slow, "slow", 200, "`connections` on which a request comes a byte at a time")
	f.IntVar(&c.Burst, "burst", 600, "`phones` that all file at once every five seconds")
	f.DurationVar(&c.Slowest, "slowest", 2*time.Second, "`time` that one in a hundred honest filings may take")
	f.Int64Var(&growth, "growth", 32, "`MiB` by which memory may grow over the second half, beside 2 KiB for each report")
	return cmd
}

func (s *shared) soak(ctx context.Context, c bench.SoakConfig) error {
	var rows [][]string
	found, err := bench.RunSoak(ctx, c, func(sample bench.Sample) {
		rows = append(rows, sample.Row())
		s.note(fmt.Sprintf("%s of %s", sample.At.Round(time.Second), c.For))
	})
	if err != nil {
		return err
	}
	if err := s.table(bench.SampleHeader, rows); err != nil {
		return err
	}
	for _, line := range found.Lines() {
		if err := s.say("%s", line); err != nil {
			return err
		}
	}
	return found.Verdict(c)
}

// soakOwn presses a server in a process of its own, whose memory is then
// nobody else's.
func (s *shared) soakOwn(ctx context.Context, c bench.SoakConfig) error {
	dir, err := os.MkdirTemp("", "onrecord-soak-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s.dataDir = dir
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server := exec.CommandContext(ctx, self, "serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--log-level", "warn") //nolint:gosec // this program itself
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	server.WaitDelay = 30 * time.Second
	server.Stderr = s.env.Stderr
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for c.URL == "" && lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), "On Record is at"); ok {
			c.URL = strings.TrimSpace(address)
		}
	}
	go func() {
		for lines.Scan() { // what else it prints is of no interest here
			continue
		}
	}()
	if c.URL == "" {
		return errors.Join(errors.New("the server did not say its address"), server.Wait())
	}
	if c.Token, err = s.soakToken(ctx); err == nil {
		err = s.soak(ctx, c)
	}
	return errors.Join(err, server.Cancel(), server.Wait())
}

// soakToken asks the server for a rep's token, once it listens to commands.
func (s *shared) soakToken(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		client, err := control.Dial(ctx, datadir.ControlSocket(s.dataDir))
		if err == nil {
			var token reporting.CreatedToken
			err = client.Call(ctx, program.OpTokenCreate, reporting.NewToken{Role: "rep", Label: "soak"}, &token, s.note)
			return token.Secret, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", err
		}
	}
}
