// Package bustest gives tests a real NATS server with JetStream in the
// process, with the topology applied.
package bustest

import (
	"log/slog"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/embedded"
)

// New returns a Bus on a fresh server that ends with the test.
func New(tb testing.TB) *bus.Bus {
	b, _ := NewConn(tb)
	return b
}

// NewConn returns a Bus and its connection, for tests that break things.
func NewConn(tb testing.TB) (*bus.Bus, *nats.Conn) {
	tb.Helper()
	srv, err := embedded.Start(embedded.Options{Dir: tb.TempDir(), Key: "test", MaxStore: 1 << 30})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(srv.Stop)
	nc, err := srv.Connect("test")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	b, err := bus.New(nc, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	if err := b.Apply(tb.Context(), bus.Settings{Replicas: 1, MaxBytes: 512 << 20}); err != nil {
		tb.Fatal(err)
	}
	return b, nc
}
