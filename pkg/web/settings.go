package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/pflag"

	"github.com/onrecord/onrecord/pkg/run"
)

// Settings say where a program serves people, and what stands between it and
// them. They implement run.Settings.
type Settings struct {
	Address string   // the default is set before AddTo
	Proxies []string // for Config.TrustedProxies

	certFile, keyFile string
	behind            bool
	identity          tls.Certificate
}

// AddTo adds the flags to a command's.
func (s *Settings) AddTo(f *pflag.FlagSet) {
	f.StringVar(&s.Address, "listen", s.Address, "`address` to listen on; :8080 is every address of this machine")
	f.StringVar(&s.certFile, "tls-cert", "", "`file` of the TLS certificate chain, PEM")
	f.StringVar(&s.keyFile, "tls-key", "", "`file` of the TLS private key, PEM")
	f.BoolVar(&s.behind, "secure", false, "a reverse proxy serves this over HTTPS: cookies are sent over nothing else")
	f.StringSliceVar(&s.Proxies, "trusted-proxy", nil, "`address` or network of a reverse proxy whose X-Forwarded-For is believed; may be given again")
}

// Check returns every mistake in the settings. It reads the certificate.
func (s *Settings) Check() error {
	mistakes := []error{run.CheckAddress("listen", s.Address)}
	for _, p := range s.Proxies {
		if _, err := parseProxies([]string{p}); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	switch {
	case s.certFile == "" && s.keyFile == "":
	case s.certFile == "" || s.keyFile == "":
		mistakes = append(mistakes, errors.New("tls-cert and tls-key go together: one of them is missing"))
	default:
		var err error
		if s.identity, err = tls.LoadX509KeyPair(s.certFile, s.keyFile); err != nil {
			mistakes = append(mistakes, fmt.Errorf("tls-cert %s with tls-key %s: %w", s.certFile, s.keyFile, err))
		}
	}
	return errors.Join(mistakes...)
}

// TLS reports whether the program itself speaks TLS.
func (s *Settings) TLS() bool { return s.certFile != "" }

// Secure reports whether browsers reach it over HTTPS, by itself or by a proxy.
func (s *Settings) Secure() bool { return s.TLS() || s.behind }

// Warn says in the log what is no mistake and seldom meant: behind a proxy that
// is not named everybody comes from one address, and what one of them does too
// often keeps all others waiting.
func (s *Settings) Warn(log *slog.Logger) {
	if s.behind && !s.TLS() && len(s.Proxies) == 0 {
		log.Warn("secure is given and no trusted-proxy: everybody seems to come from the proxy’s address, so that wrong passwords and questions of one keep all others waiting; name the proxy’s address")
	}
}

// Listen opens the listener before anything else is, so that a port in use is
// known at once.
func (s *Settings) Listen(ctx context.Context) (net.Listener, error) {
	ln, err := run.Listen(ctx, "listen", s.Address)
	if err == nil && s.TLS() {
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{s.identity}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	}
	return ln, err
}
