// Command intake serves the form, the filing API and the follow-up page on a
// NATS server. It is configured by the environment:
//
//	ONRECORD_NATS_URL          the server, "nats://host:4222"
//	ONRECORD_MASTER_KEY_FILE   file with the installation's master key, mode 0600
//	ONRECORD_LISTEN            address to serve HTTP on; "127.0.0.1:8081" when not set
//	ONRECORD_TRUSTED_PROXIES   addresses and networks (10.0.0.0/8), comma-separated, whose X-Forwarded-For is believed
//	ONRECORD_SECURE            "true" when people reach it over HTTPS
//	ONRECORD_LOG_LEVEL         debug, info, warn or error; info when not set
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/intake/intake"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "intake:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context) error {
	log, logErr := run.NewLogger(os.Stderr, cmp.Or(os.Getenv("ONRECORD_LOG_LEVEL"), "info"), "json")
	assets, assetsErr := web.LoadAssets()
	keys, keyErr := seal.ReadFile(os.Getenv("ONRECORD_MASTER_KEY_FILE"))
	if keyErr != nil {
		keyErr = fmt.Errorf("ONRECORD_MASTER_KEY_FILE: %w", keyErr)
	}
	url := os.Getenv("ONRECORD_NATS_URL")
	var urlErr error
	if url == "" {
		urlErr = errors.New("ONRECORD_NATS_URL is required")
	}
	ln, listenErr := new(net.ListenConfig).Listen(ctx, "tcp", cmp.Or(os.Getenv("ONRECORD_LISTEN"), "127.0.0.1:8081"))
	if err := errors.Join(urlErr, keyErr, logErr, assetsErr, listenErr); err != nil {
		return err
	}
	nc, err := nats.Connect(url, nats.Name("intake"), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1))
	if err != nil {
		return fmt.Errorf("ONRECORD_NATS_URL: %w", err)
	}
	defer nc.Close()
	b, err := bus.New(nc, log)
	if err != nil {
		return err
	}
	secure := os.Getenv("ONRECORD_SECURE") == "true"
	service, err := intake.New(intake.Config{Bus: b, Keyring: keys, Assets: assets, Log: log, Now: time.Now, Producer: "intake/" + run.Version, Secure: secure})
	if err != nil {
		return err
	}
	ready := func(ctx context.Context) error {
		return errors.Join(b.Check(ctx, bus.Need{Buckets: []string{bus.BucketDirectory}}), service.Check(ctx))
	}
	app, err := web.New(web.Config{Log: log, Assets: assets, Secure: secure, Ready: ready,
		TrustedProxies: strings.FieldsFunc(os.Getenv("ONRECORD_TRUSTED_PROXIES"), func(r rune) bool { return r == ',' || r == ' ' })})
	if err != nil {
		return err
	}
	app.Mount(service.Routes())
	log.Info("serving", "address", ln.Addr().String())
	return run.Parts(ctx, log,
		run.Part{Name: "http", Run: func(ctx context.Context) error { return app.Serve(ctx, ln) }},
		run.Part{Name: "intake", Run: service.Run})
}
