// Package bustest gives tests a real NATS server with JetStream in the
// process, with the topology applied.
package bustest

import (
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
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
	srv, err := embedded.Start(embedded.Options{Dir: tb.TempDir(), Key: "test"})
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

// Start runs a server with the given options, a port of its own and its files
// in the test's directory, and ends it with the test.
func Start(tb testing.TB, o *server.Options) *server.Server {
	tb.Helper()
	o.Host, o.NoSigs, o.NoLog = "127.0.0.1", true, true
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if o.JetStream && o.StoreDir == "" {
		o.StoreDir = tb.TempDir()
	}
	ns, err := server.NewServer(o)
	if err != nil {
		tb.Fatal(err)
	}
	ns.Start()
	tb.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	if !ns.ReadyForConnections(20 * time.Second) {
		tb.Fatal("the NATS server did not start")
	}
	return ns
}

// Listen starts a server with JetStream and without users, and returns its
// address.
func Listen(tb testing.TB) string {
	return Start(tb, &server.Options{JetStream: true, SyncAlways: true}).ClientURL()
}

// Dial returns a connection to an address that ends with the test.
func Dial(tb testing.TB, url string, options ...nats.Option) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// Log returns a logger that writes into the test's log.
func Log(tb testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(tb.Output(), nil))
}
