// Package embedded runs a NATS server with JetStream inside the process, with
// no listening port: the one-machine program's stream.
package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/onrecord/onrecord/pkg/failpoint"
)

// Options say where the stream lives and how it is protected.
type Options struct {
	Dir string // JetStream's directory
	Key string // encrypts the stream at rest; required
}

// maxStore bounds nothing: each stream and bucket has a limit of its own. Were
// it the sum of these, a stream that was made with a larger one could not be
// opened to be given a smaller.
const maxStore = 1 << 50

// Server is a running in-process NATS server.
type Server struct {
	ns      *server.Server
	staging *staging // nil: batches are staged on disk
}

// Start runs a server and returns once it is ready. Every message is on disk
// before it is acknowledged (SyncAlways).
func Start(o Options) (*Server, error) {
	if o.Key == "" {
		return nil, errors.New("embedded NATS: a key is required")
	}
	ns, err := server.NewServer(&server.Options{
		ServerName:         "onrecord",
		DontListen:         true,
		NoSigs:             true,
		NoLog:              true,
		JetStream:          true,
		StoreDir:           o.Dir,
		SyncAlways:         !failpoint.Unsafe(),
		JetStreamKey:       o.Key,
		JetStreamCipher:    server.AES,
		JetStreamMaxMemory: 64 << 20,
		JetStreamMaxStore:  maxStore,
		MaxPayload:         1 << 20,
	})
	if err != nil {
		return nil, fmt.Errorf("embedded NATS: %w", err)
	}
	ns.Start()
	if !ns.ReadyForConnections(30 * time.Second) {
		ns.Shutdown()
		return nil, errors.New("embedded NATS did not become ready in 30 s")
	}
	return &Server{ns: ns}, nil
}

// Connect returns an in-process connection to the server.
func (s *Server) Connect(name string) (*nats.Conn, error) {
	return nats.Connect("", nats.InProcessServer(s.ns), nats.Name(name))
}

// checkTries is how often a bad answer is doubted: the server gives itself one
// millisecond to answer, which it misses when the machine is busy.
const checkTries = 5

// Check returns an error once JetStream cannot write any more. The condition
// is sticky: only a restart of the process mends it. On a machine too busy to
// answer it may return an error that is gone the next time.
func (s *Server) Check() error {
	if s.staging != nil {
		s.staging.keep()
	}
	var h *server.HealthStatus
	for range checkTries {
		if h = s.ns.Healthz(&server.HealthzOptions{JSEnabledOnly: false}); h.Status == "ok" {
			return nil
		}
	}
	return fmt.Errorf("embedded NATS: %s %s", h.Status, h.Error)
}

// RemoveDamaged removes what is on disk of a consumer that the server could not
// open. It must not be one that the server has.
func (s *Server) RemoveDamaged(stream, consumer string) error {
	return os.RemoveAll(filepath.Join(s.ns.StoreDir(), "$G", "streams", stream, "obs", consumer))
}

// Stop shuts the server down and waits until its files are closed.
func (s *Server) Stop() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
	if s.staging != nil {
		s.staging.remove()
	}
}
