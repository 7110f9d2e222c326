package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/intake/intake"
	"github.com/onrecord/onrecord/services/onrecord/internal/control"
	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// serving are the settings of commands that listen.
type serving struct {
	web.Settings
	publishDay int
	promise    intake.Promise
}

// addTo gives a command its settings.
func (v *serving) addTo(s *shared, cmd *cobra.Command) {
	v.Address = "localhost:8080"
	s.checks[cmd] = func() error {
		return errors.Join(v.Check(), reporting.CheckPublishDay(v.publishDay), v.promise.Check())
	}
	v.AddTo(cmd.Flags())
	cmd.Flags().IntVar(&v.publishDay, "publish-day", reporting.DefaultPublishDay, "`day` of the month after (1 to 28) on which a month is published for managers; 0: a rep of every site does it")
	cmd.Flags().IntVar(&v.promise.Read, "read-within", intake.DefaultPromise.Read, "`days` in which a safety rep should open a report, as its reporter is told")
	cmd.Flags().IntVar(&v.promise.News, "news-within", intake.DefaultPromise.News, "`days` in which there should be news of a report, as its reporter is told")
}

// checkSocket returns a mistake when no control socket can be made in the data
// directory.
func (s *shared) checkSocket() error {
	path, err := filepath.Abs(datadir.ControlSocket(s.dataDir))
	if err == nil {
		err = control.CheckPath(path)
	}
	if err != nil {
		return fmt.Errorf("data-dir: %w", err)
	}
	return nil
}

// url returns the address a browser on this machine opens.
func (v *serving) url(ln net.Listener) string {
	host, _, err := net.SplitHostPort(v.Address)
	if err != nil || host == "" || net.ParseIP(host).IsUnspecified() {
		host = "localhost"
	}
	return v.withHost(host, ln)
}

func (v *serving) withHost(host string, ln net.Listener) string {
	scheme := "http"
	if v.TLS() {
		scheme = "https"
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		port = "8080"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// networkURL returns the address a phone on the same network opens, or "" when
// the program listens on this machine only.
func (v *serving) networkURL(ln net.Listener) string {
	addr, ok := ln.Addr().(*net.TCPAddr)
	if !ok || addr.IP.IsLoopback() {
		return ""
	}
	if !addr.IP.IsUnspecified() {
		return v.withHost(addr.IP.String(), ln)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return v.withHost(n.IP.String(), ln)
		}
	}
	return ""
}

func newServe(s *shared) *cobra.Command {
	v := &serving{}
	acceptLoss := false
	var backups program.Backups
	filing := string(intake.FilingOpen)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the form, the incidents and the figures (also without a command)",
		Args:  cobra.NoArgs,
		Example: `  onrecord serve --data-dir /var/lib/onrecord
  onrecord serve --listen :8443 --tls-cert cert.pem --tls-key key.pem`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			ln, err := v.Listen(ctx)
			if err != nil {
				return err
			}
			cfg := s.programConfig()
			v.Warn(cfg.Log)
			cfg.Filing, cfg.PublishDay, cfg.Promise = intake.Filing(filing), v.publishDay, v.promise
			cfg.Secure, cfg.TrustedProxies, cfg.AcceptLoss, cfg.Backups = v.Secure(), v.Proxies, acceptLoss, backups
			p, err := program.Open(ctx, cfg)
			if err != nil {
				return errors.Join(err, ln.Close())
			}
			err = s.announce(ctx, p, v, ln, nil)
			if err == nil {
				err = p.Run(ctx, ln)
			}
			return errors.Join(err, p.Close())
		},
	}
	v.addTo(s, cmd)
	addBackups(cmd.Flags(), &backups)
	of := s.checks[cmd]
	s.checks[cmd] = func() error {
		_, err := intake.ParseFiling(filing)
		return errors.Join(of(), s.checkSocket(), checkBackups(backups), err)
	}
	cmd.Flags().StringVar(&filing, "filing", filing, "who may file: open (whoever reaches the form), site-code (whoever knows the code on a site’s poster), sign-in (whoever has an account)")
	cmd.Flags().BoolVar(&acceptLoss, "accept-loss", false, "begin although the database or the stream is gone, with what is left")
	return cmd
}

// announce prints where everything is. It is the first thing a new user sees.
func (s *shared) announce(ctx context.Context, p *program.Program, v *serving, ln net.Listener, accounts []string) error {
	var b strings.Builder
	url := v.url(ln)
	data, key := p.Paths()
	fmt.Fprintf(&b, "\nOn Record is at  %s\n\n", url)
	fmt.Fprintf(&b, "  Report         %s/report/\n", url)
	fmt.Fprintf(&b, "  Sign in        %s/sign-in/\n", url)
	for _, a := range accounts {
		fmt.Fprintf(&b, "                 %s\n", a)
	}
	fmt.Fprintf(&b, "  Data           %s\n", data)
	fmt.Fprintf(&b, "  Master key     %s\n", key)
	fmt.Fprintf(&b, "                 Keep a copy of it apart from the data: without it nothing that was written can be read.\n")
	token, err := p.SetupToken(ctx)
	if err != nil {
		return err
	}
	if token != "" {
		fmt.Fprintf(&b, "\n  There is no administrator yet. This link makes the first one, once:\n  %s/setup?token=%s\n", url, token)
	}
	if network := v.networkURL(ln); network != "" {
		fmt.Fprintf(&b, "\n  On a phone in the same network: %s/report/\n", network)
		if !v.Secure() {
			fmt.Fprintf(&b, "  Without HTTPS everybody on that network can read what is sent: see --tls-cert.\n")
		}
		b.WriteString("\n")
		qrterminal.GenerateHalfBlock(network+"/report/", qrterminal.L, &b)
	}
	b.WriteString("\nStop with Ctrl-C.\n")
	_, err = io.WriteString(s.env.Stdout, b.String())
	return err
}
