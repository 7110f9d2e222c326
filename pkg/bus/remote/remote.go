// Package remote connects a service to NATS servers of their own: addresses,
// TLS, who the service is, and connecting again for ever.
package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/spf13/pflag"
)

// Settings say where NATS is and who we are there. They are filled by flags,
// and complete when Check has returned nil.
type Settings struct {
	url                          string
	creds, nkey                  string // files
	user, password, passwordFile string
	caFile, certFile, certKey    string // files
	now                          func() time.Time
	ca                           *x509.CertPool // nil: the system's
	secret                       string         // the password, from wherever it came
}

// AddTo adds the flags to a command's.
func (s *Settings) AddTo(f *pflag.FlagSet) {
	f.StringVar(&s.url, "nats-url", "nats://localhost:4222", "`addresses` of the NATS servers, with commas between them")
	f.StringVar(&s.creds, "nats-creds", "", "`file` with this service’s NATS credentials (a JWT and its key)")
	f.StringVar(&s.nkey, "nats-nkey", "", "`file` with this service’s NATS nkey seed")
	f.StringVar(&s.user, "nats-user", "", "`name` of this service at NATS, with a password")
	f.StringVar(&s.passwordFile, "nats-password-file", "", "`file` with the password of --nats-user")
	f.StringVar(&s.password, "nats-password", "", "the password itself; give it in the environment only")
	_ = f.MarkHidden("nats-password") // an argument can be read by every user of the machine
	f.StringVar(&s.caFile, "nats-ca", "", "`file` with the authorities that the servers’ certificates must be from, PEM (default: the system’s)")
	f.StringVar(&s.certFile, "nats-cert", "", "`file` with this service’s certificate for the servers, PEM")
	f.StringVar(&s.certKey, "nats-key", "", "`file` with its private key, PEM")
}

// Check returns every mistake in the settings. It reads the files they name
// and connects to nothing. No mistake quotes a secret.
func (s *Settings) Check() error {
	if s.now == nil {
		s.now = time.Now
	}
	return errors.Join(s.checkURL(), s.checkUser(), s.checkTLS())
}

func (s *Settings) checkURL() error {
	var mistakes []error
	for _, text := range strings.Split(s.url, ",") {
		text = strings.TrimSpace(text)
		if !strings.Contains(text, "://") {
			text = "nats://" + text
		}
		u, err := url.Parse(text)
		switch {
		case err != nil: // the error would quote the address, which may hold a password
			mistakes = append(mistakes, errors.New("nats-url: want addresses like nats://host:4222, with commas between them"))
		case u.User != nil:
			mistakes = append(mistakes, errors.New("nats-url: give the user by --nats-user and the password by --nats-password-file: an address ends up in lists of processes and in logs"))
		case u.Scheme != "nats" && u.Scheme != "tls" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "":
			mistakes = append(mistakes, fmt.Errorf("nats-url: want an address like nats://host:4222 or tls://host:4222, got %q", text))
		}
	}
	return errors.Join(mistakes...)
}

func (s *Settings) checkUser() error {
	var ways []string
	for name, given := range map[string]bool{"nats-creds": s.creds != "", "nats-nkey": s.nkey != "", "nats-user": s.user != ""} {
		if given {
			ways = append(ways, name)
		}
	}
	if len(ways) > 1 {
		return errors.New("nats-creds, nats-nkey and nats-user are ways to say who this is: give one of them")
	}
	switch {
	case s.creds != "":
		text, err := os.ReadFile(s.creds)
		if err != nil {
			return fmt.Errorf("nats-creds: %w", err)
		}
		_, jwtErr := nkeys.ParseDecoratedJWT(text)
		key, keyErr := nkeys.ParseDecoratedUserNKey(text)
		if jwtErr != nil || keyErr != nil {
			return fmt.Errorf("nats-creds: %s is no file of NATS credentials: it must hold a user’s JWT and nkey seed", s.creds)
		}
		key.Wipe()
	case s.nkey != "":
		if _, err := os.Stat(s.nkey); err != nil {
			return fmt.Errorf("nats-nkey: %w", err)
		}
		if _, err := nats.NkeyOptionFromSeed(s.nkey); err != nil {
			return fmt.Errorf("nats-nkey: %s holds no seed of a user (it begins with SU)", s.nkey)
		}
	}
	return s.readPassword()
}

func (s *Settings) readPassword() error {
	s.secret = s.password
	switch {
	case s.password != "" && s.passwordFile != "":
		return errors.New("nats-password and nats-password-file are both given: leave one out")
	case s.user == "" && (s.password != "" || s.passwordFile != ""):
		return errors.New("nats-user: a password is given, and no name that it belongs to")
	case s.user != "" && s.password == "" && s.passwordFile == "":
		return errors.New("nats-password-file: the password of nats-user is missing")
	case s.passwordFile != "":
		text, err := os.ReadFile(s.passwordFile)
		if err != nil {
			return fmt.Errorf("nats-password-file: %w", err)
		}
		if s.secret = strings.TrimRight(string(text), "\r\n"); s.secret == "" {
			return fmt.Errorf("nats-password-file: %s is empty", s.passwordFile)
		}
	}
	return nil
}

func (s *Settings) checkTLS() error {
	var mistakes []error
	if s.caFile != "" {
		text, err := os.ReadFile(s.caFile)
		s.ca = x509.NewCertPool()
		switch {
		case err != nil:
			mistakes = append(mistakes, fmt.Errorf("nats-ca: %w", err))
		case !s.ca.AppendCertsFromPEM(text):
			mistakes = append(mistakes, fmt.Errorf("nats-ca: %s holds no certificate in PEM", s.caFile))
		}
	}
	switch {
	case s.certFile == "" && s.certKey == "":
	case s.certFile == "" || s.certKey == "":
		mistakes = append(mistakes, errors.New("nats-cert and nats-key go together: one of them is missing"))
	default:
		if _, err := s.certificate(); err != nil {
			mistakes = append(mistakes, err)
		}
	}
	return errors.Join(mistakes...)
}

// certificate reads our certificate: it is read again for each connection, so
// that one that was renewed is taken up.
func (s *Settings) certificate() (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(s.certFile, s.certKey)
	if err != nil {
		return cert, fmt.Errorf("nats-cert, nats-key: %w", err)
	}
	if now := s.now(); now.After(cert.Leaf.NotAfter) {
		return cert, fmt.Errorf("nats-cert: %s expired at %s", s.certFile, cert.Leaf.NotAfter.Format(time.RFC3339))
	} else if now.Before(cert.Leaf.NotBefore) {
		return cert, fmt.Errorf("nats-cert: %s is not valid before %s, and this machine’s clock says %s", s.certFile, cert.Leaf.NotBefore.Format(time.RFC3339), now.Format(time.RFC3339))
	}
	return cert, nil
}

// secure returns the options of TLS, none when nothing was said about it.
func (s *Settings) secure() []nats.Option {
	if s.ca == nil && s.certFile == "" {
		return nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.ca}
	options := []nats.Option{nats.Secure(config)}
	if s.certFile != "" {
		options = append(options, nats.ClientTLSConfig(s.certificate, nil))
	}
	return options
}

// who returns the options that say who we are.
func (s *Settings) who() []nats.Option {
	switch {
	case s.creds != "":
		return []nats.Option{nats.UserCredentials(s.creds)}
	case s.nkey != "":
		option, err := nats.NkeyOptionFromSeed(s.nkey)
		if err != nil {
			return []nats.Option{func(*nats.Options) error { return fmt.Errorf("nats-nkey: %w", err) }}
		}
		return []nats.Option{option}
	case s.user != "":
		return []nats.Option{nats.UserInfo(s.user, s.secret)}
	}
	return nil
}

// refused says which setting to mend when the servers were reached and did not
// take us, or we did not take them; nil when they were not reached.
func (s *Settings) refused(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	text := err.Error()
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked), errors.Is(err, nats.ErrAccountAuthExpired):
		return fmt.Errorf("NATS does not take this user: check %s: %w", s.identity(), err)
	case errors.Is(err, nats.ErrSecureConnWanted):
		return errors.New("NATS speaks no TLS there: check --nats-url, or leave --nats-ca and --nats-cert out")
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate of NATS is from an authority that is not trusted: check --nats-ca: %w", err)
	case errors.As(err, &name):
		return fmt.Errorf("the certificate of NATS is for another name: check --nats-url: %w", err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the certificate of NATS has expired or is not valid yet: renew it there, or mend this machine’s clock: %w", err)
	case errors.As(err, &invalid):
		return fmt.Errorf("the certificate of NATS is not valid: %w", err)
	case strings.Contains(text, "remote error: tls: "), strings.Contains(text, "closed by remote after TLS handshake"):
		// A server that does not take a certificate says so, unless it has hung up before.
		if s.certFile == "" {
			return fmt.Errorf("NATS asks for a certificate of this service: give --nats-cert and --nats-key: %w", err)
		}
		return fmt.Errorf("NATS does not take this service’s certificate: check --nats-cert: %w", err)
	case errors.Is(err, nats.ErrTLS):
		return fmt.Errorf("NATS: no connection over TLS: %w", err)
	}
	return nil
}

// identity names the flag that says who we are.
func (s *Settings) identity() string {
	switch {
	case s.creds != "":
		return "--nats-creds"
	case s.nkey != "":
		return "--nats-nkey"
	case s.user != "":
		return "--nats-user and --nats-password-file"
	}
	return "that one is given, by --nats-creds, --nats-nkey or --nats-user"
}

// local reports whether every address is this machine's own.
func (s *Settings) local() bool {
	for _, text := range strings.Split(s.url, ",") {
		_, text, _ = strings.Cut(strings.TrimSpace(text), "://")
		host, _, err := net.SplitHostPort(text)
		if err != nil {
			host = text
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
