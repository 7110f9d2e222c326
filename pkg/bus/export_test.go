package bus

import (
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// SetClock gives a Bus another clock than the machine's.
func (b *Bus) SetClock(now func() time.Time) { b.now = now }

// NewThrough is New with the server's questions asked under another prefix, where
// somebody passes them on.
func NewThrough(nc *nats.Conn, prefix string, log *slog.Logger) (*Bus, error) {
	b, err := New(nc, log)
	if err == nil {
		b.js, err = jetstream.NewWithAPIPrefix(nc, prefix)
	}
	return b, err
}
