// Command classifier reads filed reports from a NATS server and publishes what
// it makes of them. It is configured by the environment:
//
//	ONRECORD_NATS_URL          the server, "nats://host:4222"
//	ONRECORD_MASTER_KEY_FILE   file with the installation's master key, mode 0600
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats.go"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/classifier/classifier"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := classify(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "classifier:", err)
		os.Exit(1)
	}
}

func classify(ctx context.Context) error {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	url := os.Getenv("ONRECORD_NATS_URL")
	keys, err := seal.ReadFile(os.Getenv("ONRECORD_MASTER_KEY_FILE"))
	if err != nil {
		err = fmt.Errorf("ONRECORD_MASTER_KEY_FILE: %w", err)
	}
	if url == "" {
		err = errors.Join(err, errors.New("ONRECORD_NATS_URL is required"))
	}
	if err != nil {
		return err
	}
	nc, err := nats.Connect(url, nats.Name("classifier"), nats.MaxReconnects(-1))
	if err != nil {
		return fmt.Errorf("ONRECORD_NATS_URL: %w", err) // the address may hold a password
	}
	defer nc.Close()
	b, err := bus.New(nc, log)
	if err != nil {
		return err
	}
	service, err := classifier.New(classifier.Config{Bus: b, Keyring: keys, Log: log, Producer: "classifier/" + run.Version})
	if err != nil {
		return err
	}
	return service.Run(ctx)
}
