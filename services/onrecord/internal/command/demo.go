package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/services/onrecord/internal/demo"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

func newDemo(s *shared) *cobra.Command {
	v := &serving{}
	var seed uint64
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Serve a fresh installation with two years of made-up incidents",
		Long: `Fills a fresh directory with two years of made-up incidents at the proportions of
real ones, makes one account for each role, and serves it. Without --data-dir the
directory is a temporary one that is removed at the end.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("data-dir") {
				dir, err := os.MkdirTemp("", "onrecord-demo-")
				if err != nil {
					return err
				}
				defer func() { _ = os.RemoveAll(dir) }()
				s.dataDir = dir
			} else if used, err := isUsed(s.dataDir); err != nil {
				return mistake{fmt.Errorf("data-dir: %w", err)}
			} else if used {
				return mistake{fmt.Errorf("%s is not empty, and the demo wants a fresh directory: name another, or go on with this one by “onrecord serve --data-dir %s”", s.dataDir, s.dataDir)}
			} else if err := s.checkSocket(); err != nil {
				return mistake{err}
			}
			ln, err := v.Listen(cmd.Context())
			if err != nil {
				return err
			}
			return s.demo(cmd.Context(), v, ln, seed)
		},
	}
	v.addTo(s, cmd)
	cmd.Flags().Uint64Var(&seed, "seed", 163, "the same `number` on the same day makes the same demo")
	return cmd
}

func isUsed(dir string) (bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return len(entries) > 0, err
}

// demo fills the installation, then serves it.
func (s *shared) demo(ctx context.Context, v *serving, ln net.Listener, seed uint64) error {
	clock := &demo.Clock{}
	cfg := s.programConfig()
	cfg.Secure, cfg.TrustedProxies, cfg.Now, cfg.ReaderNow, cfg.PublishDay, cfg.Promise = v.Secure(), v.Proxies, clock.Now, clock.Reading, v.publishDay, v.promise
	p, err := program.Open(ctx, cfg)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	accounts, err := s.fill(ctx, p, clock, seed)
	if err == nil {
		err = s.announce(ctx, p, v, ln, accounts)
	}
	if err == nil {
		err = p.Run(ctx, ln)
	}
	return errors.Join(err, p.Close())
}

// fill makes the accounts and the incidents while the services run.
func (s *shared) fill(ctx context.Context, p *program.Program, clock *demo.Clock, seed uint64) ([]string, error) {
	ops := p.Operations()
	quiet := func(string) {}
	if err := ops.Call(ctx, program.OpSitesImport, demo.Sites, nil, quiet); err != nil {
		return nil, err
	}
	var accounts []string
	for _, u := range []reporting.NewUser{
		{Name: "demo-admin", Role: "administrator"},
		{Name: "demo-rep", Role: "rep"},
		{Name: "demo-rep-north", Role: "rep", Sites: []string{"demo-north", "demo-hill"}},
		{Name: "demo-manager", Role: "manager"},
	} {
		u.Password = generatePassword()
		if err := ops.Call(ctx, program.OpUserAdd, u, nil, quiet); err != nil {
			return nil, err
		}
		accounts = append(accounts, fmt.Sprintf("%-15s %s  (%s)", u.Name, u.Password, strings.TrimSuffix(u.Role+" of "+strings.Join(u.Sites, ", "), " of ")))
	}
	var token reporting.CreatedToken
	if err := ops.Call(ctx, program.OpTokenCreate, reporting.NewToken{Role: "rep", Label: "demo"}, &token, quiet); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	var ended error
	wg.Go(func() {
		defer stop()
		ended = p.Background(running)
	})
	started := time.Now()
	seeder := demo.Seeder{Do: p.App().Test, Clock: clock, Token: token.Secret, Seed: seed, Progress: func(done, total int, what string) {
		fmt.Fprintf(s.env.Stderr, "%5d of %d %s\n", done, total, what)
	}}
	filed := 0
	err := p.WaitReady(running)
	if err == nil {
		filed, err = seeder.Run(running, started)
	}
	stop()
	wg.Wait()
	if err = errors.Join(err, ended); err != nil {
		return nil, err
	}
	fmt.Fprintf(s.env.Stderr, "%d demo reports in %.0f s.\n", filed, time.Since(started).Seconds())
	return accounts, ops.Call(ctx, program.OpTokenRevoke, token.ID, nil, quiet)
}
