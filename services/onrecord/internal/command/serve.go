package command

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/mdp/qrterminal/v3"
	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/services/onrecord/internal/program"
)

// serving are the settings of commands that listen.
type serving struct {
	listen   string
	tlsCert  string
	tlsKey   string
	behind   bool
	proxies  []string
	identity tls.Certificate
}

// addTo gives a command its settings.
func (v *serving) addTo(s *shared, cmd *cobra.Command) {
	s.checks[cmd] = v.check
	f := cmd.Flags()
	f.StringVar(&v.listen, "listen", "localhost:8080", "`address` to listen on; :8080 is every address of this machine")
	f.StringVar(&v.tlsCert, "tls-cert", "", "`file` of the TLS certificate chain, PEM")
	f.StringVar(&v.tlsKey, "tls-key", "", "`file` of the TLS private key, PEM")
	f.BoolVar(&v.behind, "secure", false, "a reverse proxy serves this over HTTPS: cookies are sent over nothing else")
	f.StringSliceVar(&v.proxies, "trusted-proxy", nil, "`address` of a reverse proxy whose X-Forwarded-For is believed")
}

// check returns every mistake in the settings. It reads the certificate.
func (v *serving) check() error {
	var mistakes []error
	for _, p := range v.proxies {
		_, aerr := netip.ParseAddr(p)
		if _, err := netip.ParsePrefix(p); err != nil && aerr != nil {
			mistakes = append(mistakes, fmt.Errorf("trusted-proxy: want an IP address or a range like 10.0.0.0/8, got %q", p))
		}
	}
	switch {
	case v.tlsCert == "" && v.tlsKey == "":
	case v.tlsCert == "" || v.tlsKey == "":
		mistakes = append(mistakes, errors.New("tls-cert and tls-key go together: one of them is missing"))
	default:
		var err error
		if v.identity, err = tls.LoadX509KeyPair(v.tlsCert, v.tlsKey); err != nil {
			mistakes = append(mistakes, fmt.Errorf("TLS certificate: %w", err))
		}
	}
	return errors.Join(mistakes...)
}

// tls reports whether the program itself speaks TLS.
func (v *serving) tls() bool { return v.tlsCert != "" }

// secure reports whether browsers reach it over HTTPS, by itself or by a proxy.
func (v *serving) secure() bool { return v.tls() || v.behind }

// open opens the listener before anything else is, so that a port in use is
// known at once.
func (v *serving) open(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", v.listen)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w: is another program using it? Choose another with --listen", v.listen, err)
	}
	if v.tls() {
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{v.identity}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	}
	return ln, nil
}

// url returns the address a browser on this machine opens.
func (v *serving) url(ln net.Listener) string {
	host, _, err := net.SplitHostPort(v.listen)
	if err != nil || host == "" || net.ParseIP(host).IsUnspecified() {
		host = "localhost"
	}
	return v.withHost(host, ln)
}

func (v *serving) withHost(host string, ln net.Listener) string {
	scheme := "http"
	if v.tls() {
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
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the form, the incidents and the figures (also without a command)",
		Args:  cobra.NoArgs,
		Example: `  onrecord serve --data-dir /var/lib/onrecord
  onrecord serve --listen :8443 --tls-cert cert.pem --tls-key key.pem`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			ln, err := v.open(ctx)
			if err != nil {
				return err
			}
			cfg := s.programConfig()
			cfg.Secure, cfg.TrustedProxies, cfg.AcceptLoss = v.secure(), v.proxies, acceptLoss
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
		if !v.secure() {
			fmt.Fprintf(&b, "  Without HTTPS everybody on that network can read what is sent: see --tls-cert.\n")
		}
		b.WriteString("\n")
		qrterminal.GenerateHalfBlock(network+"/report/", qrterminal.L, &b)
	}
	b.WriteString("\nStop with Ctrl-C.\n")
	_, err = io.WriteString(s.env.Stdout, b.String())
	return err
}
