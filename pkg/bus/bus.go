package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/fault"
)

// Event is a message for the stream.
type Event struct {
	Subject string // of Subject
	ID      string // the envelope's id; sent as Nats-Msg-Id
	Data    []byte // the marshalled envelope
}

// Ack says what became of a published event. Either way it is on disk.
type Ack struct {
	Duplicate bool // the stream already held an event with this subject; the first copy stays
}

// Stored is an event as the stream holds it.
type Stored struct {
	Subject string
	Data    []byte
	Seq     uint64
	At      time.Time // when the stream stored it
}

// Bus is a connection to the stream. It is safe for concurrent use.
type Bus struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	log     *slog.Logger
	now     func() time.Time
	commits group
	buckets sync.Map // jetstream.KeyValue by name, the object store, and streams

	noChunks atomic.Int64 // until when the server is not asked for part of a photo by itself, in Unix nanoseconds
}

// New returns a Bus on a connection that the caller owns and closes.
func New(nc *nats.Conn, log *slog.Logger) (*Bus, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return &Bus{nc: nc, js: js, log: log.With("category", "bus"), now: time.Now, commits: newGroup()}, nil
}

// unavailable is what a caller may tell a person: nothing was promised.
var unavailable = fault.New(fault.Unavailable, "stream_unavailable",
	"We cannot take your report this moment. Nothing was lost: keep it and send it again shortly.").Retry(5 * time.Second)

// Get returns the event the stream holds under a subject. It returns
// fault.NotFound when its leader has none and fault.Unavailable when the stream
// does not answer.
func (b *Bus) Get(ctx context.Context, subject string) (Stored, error) {
	stream, err := b.stream(ctx, StreamReports)
	if err != nil {
		return Stored{}, unavailable.Because(err)
	}
	var m *jetstream.RawStreamMsg
	err = insist(ctx, stream, subject, jetstream.ErrMsgNotFound, func() (err error) {
		m, err = stream.GetLastMsgForSubject(ctx, subject)
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return Stored{}, fault.New(fault.NotFound, "not_found", "There is no such event.").Because(err)
	case err != nil:
		return Stored{}, unavailable.Because(err)
	}
	return Stored{Subject: m.Subject, Data: m.Data, Seq: m.Sequence, At: m.Time}, nil
}

// stream returns a stream to read from and to purge, asking the server for it
// once. What it knew of the stream then may have changed since.
func (b *Bus) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	key := "stream " + name
	if kept, ok := b.buckets.Load(key); ok {
		return kept.(jetstream.Stream), nil
	}
	stream, err := b.js.Stream(ctx, name)
	if err == nil {
		b.buckets.Store(key, stream)
	}
	return stream, err
}

// Request asks on a subject and returns the answer's bytes. With nobody
// listening, or no answer in time, it returns fault.Unavailable.
func (b *Bus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	m, err := b.nc.RequestWithContext(ctx, subject, data)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "reporting_unavailable",
			"We cannot look that up this moment. Try again shortly.").Retry(5 * time.Second).Because(err)
	}
	return m.Data, nil
}

// Answer serves requests on a subject, shared between all instances of a
// service, until ctx is done. A nil answer is not sent: the asker times out.
// Nor is there an answer when answer panics, which takes nothing else down.
func (b *Bus) Answer(ctx context.Context, subject, service string, answer func(ctx context.Context, data []byte) []byte) error {
	sub, err := b.nc.QueueSubscribe(subject, service, func(m *nats.Msg) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		defer func() {
			if p := recover(); p != nil { // the value may quote what was asked, so only its type is logged
				b.log.Error("an answer panicked", "subject", subject, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			}
		}()
		if reply := answer(ctx, m.Data); reply != nil {
			if err := m.Respond(reply); err != nil {
				b.log.Warn("answer not sent", "subject", subject, "error", err)
			}
		}
	})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = sub.Drain() })
	return b.nc.FlushTimeout(5 * time.Second) // the server knows of the subscription before this returns
}
