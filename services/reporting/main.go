// Command reporting runs the reporting service by itself, against an external
// NATS and with its database in a SQLite file: one instance, one file. With
// MongoDB instead of the file, which it does not support yet, instances will
// share the work.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := serve(ctx, os.Args[1:], os.LookupEnv, os.Stderr)
	stop()
	if errors.Is(err, pflag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reporting:", err)
		os.Exit(1)
	}
}

// settings are what an operator chooses, by flag, environment or file.
type settings struct {
	listen, natsURL, natsCreds, database string
	masterKey, masterKeyFile             string
	applyStream                          bool
	replicas                             int
	maxBytes                             int64
	threshold                            int
	secure                               bool
	proxies                              []string
	logLevel, logFormat                  string
}

// readSettings returns the settings, or every mistake at once.
func readSettings(args []string, lookupEnv func(string) (string, bool), out io.Writer) (settings, error) {
	var s settings
	var file string
	f := pflag.NewFlagSet("reporting", pflag.ContinueOnError)
	f.SetOutput(out)
	f.SortFlags = false
	f.StringVar(&s.listen, "listen", "127.0.0.1:8082", "address for pages and API")
	f.StringVar(&s.natsURL, "nats-url", nats.DefaultURL, "address of the NATS servers, with commas between them")
	f.StringVar(&s.natsCreds, "nats-creds", "", "file with this service's NATS credentials")
	f.StringVar(&s.database, "database", "reporting.db", "path of the SQLite file")
	f.StringVar(&s.masterKey, "master-key", "", "the master key in base64; better through the environment than as a flag")
	f.StringVar(&s.masterKeyFile, "master-key-file", "", "file with the master key, readable by its owner only")
	f.BoolVar(&s.applyStream, "apply-stream", false, "create the stream, its consumers and the directory bucket first, where no administrator does")
	f.IntVar(&s.replicas, "stream-replicas", 1, "with --apply-stream: copies of the stream in the cluster")
	f.Int64Var(&s.maxBytes, "stream-max-bytes", 2<<30, "with --apply-stream: bytes of disk the stream may use")
	f.IntVar(&s.threshold, "threshold", 0, "numbers from 1 to this are hidden from managers; 0 means 5")
	f.BoolVar(&s.secure, "secure", false, "people reach it over TLS: send cookies over nothing else")
	f.StringSliceVar(&s.proxies, "trusted-proxy", nil, "address of a proxy whose X-Forwarded-For is believed; may be given again")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "text or json")
	f.StringVar(&file, "config", "", "file with settings, a line “name: value” each")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	err := run.Settings(f, lookupEnv, file)
	if f.NArg() > 0 {
		err = errors.Join(err, fmt.Errorf("there are no arguments beside the flags: %q", f.Args()))
	}
	if (s.masterKey == "") == (s.masterKeyFile == "") {
		err = errors.Join(err, errors.New("give the master key, as --master-key-file or as "+run.EnvName("master-key")+", and not both"))
	}
	if s.threshold < 0 {
		err = errors.Join(err, errors.New("threshold: must not be negative"))
	}
	return s, err
}

// serve runs the service until ctx is done.
func serve(ctx context.Context, args []string, lookupEnv func(string) (string, bool), stderr io.Writer) error {
	s, err := readSettings(args, lookupEnv, stderr)
	if err != nil {
		return err
	}
	log, err := run.NewLogger(stderr, s.logLevel, s.logFormat)
	if err != nil {
		return err
	}
	ring, err := s.keyring()
	if err != nil {
		return err
	}
	assets, err := web.LoadAssets()
	if err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }() // Serve closes it; this is for when it is not reached
	nc, err := s.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	b, err := bus.New(nc, log)
	if err != nil {
		return err
	}
	if s.applyStream {
		if err := b.Apply(ctx, bus.Settings{Replicas: s.replicas, MaxBytes: s.maxBytes}); err != nil {
			return err
		}
	}
	service, err := reporting.New(ctx, reporting.Config{Database: s.database, Bus: b, Keyring: ring, Assets: assets, Log: log, Threshold: s.threshold, Secure: s.secure})
	if err != nil {
		return err
	}
	app, err := web.New(web.Config{Log: log, Assets: assets, Authenticator: service, Secure: s.secure, TrustedProxies: s.proxies, Ready: service.Check})
	if err == nil {
		err = invite(ctx, service, ln.Addr(), stderr)
	}
	if err != nil {
		return errors.Join(err, service.Close())
	}
	app.Mount(service.Routes())
	log.Info("reporting serves", "address", ln.Addr().String(), "database", s.database)
	err = run.Parts(ctx, log,
		run.Part{Name: "http", Run: func(ctx context.Context) error { return app.Serve(ctx, ln) }},
		run.Part{Name: "reporting", Run: service.Run},
	)
	return errors.Join(err, service.Close())
}

// invite prints the link that creates the first administrator, while there is
// none. It goes past the log, which others may read.
func invite(ctx context.Context, service *reporting.Service, address net.Addr, out io.Writer) error {
	token, err := service.SetupToken(ctx)
	if err == nil && token != "" {
		_, err = fmt.Fprintf(out, "Create the first administrator: http://%s/setup?token=%s\n", address, token)
	}
	return err
}

func (s settings) keyring() (*seal.Keyring, error) {
	if s.masterKeyFile != "" {
		return seal.ReadFile(s.masterKeyFile)
	}
	return seal.ParseKeyring(s.masterKey)
}

// connect waits for no server at first, and for ever once it had one.
func (s settings) connect() (*nats.Conn, error) {
	options := []nats.Option{nats.Name("reporting"), nats.MaxReconnects(-1)}
	if s.natsCreds != "" {
		options = append(options, nats.UserCredentials(s.natsCreds))
	}
	nc, err := nats.Connect(s.natsURL, options...)
	if err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	return nc, nil
}
