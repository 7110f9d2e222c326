package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Health is how the stream and its consumers stand.
type Health struct {
	Created           time.Time // when the stream was made
	FirstSeq, LastSeq uint64
	Messages          uint64
	Bytes, MaxBytes   int64
	Settings          error // nil while they are those of this version; else each that differs
	Consumers         []ConsumerHealth
}

// ConsumerHealth is how one of the consumers stands.
type ConsumerHealth struct {
	Name      string
	Missing   bool
	Settings  error
	Delivered uint64 // the last sequence of the stream that was handed out
	AckFloor  uint64 // everything up to this one is acknowledged
	Pending   uint64 // not handed out yet
	Unacked   int    // handed out and not acknowledged
	Asking    int    // requests for more that wait at the server
}

// Ahead reports whether the consumer has handed out what the stream does not
// have: new events would get numbers that it takes for done, and be skipped.
func (c ConsumerHealth) Ahead(h Health) bool { return c.Delivered > h.LastSeq }

// Health returns how the stream and its consumers stand.
func (b *Bus) Health(ctx context.Context) (Health, error) {
	stream, err := b.js.Stream(ctx, StreamReports)
	if err != nil {
		return Health{}, fmt.Errorf("stream %s: %w", StreamReports, err)
	}
	info := stream.CachedInfo()
	h := Health{
		Created: info.Created, FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq, Messages: info.State.Msgs,
		Bytes: int64(info.State.Bytes), MaxBytes: info.Config.MaxBytes,
		Settings: sameStream(info.Config),
	}
	for _, want := range consumerConfigs() {
		c := ConsumerHealth{Name: want.Durable}
		switch found, err := stream.Consumer(ctx, want.Durable); {
		case errors.Is(err, jetstream.ErrConsumerNotFound):
			c.Missing = true
		case err != nil:
			return Health{}, fmt.Errorf("consumer %s: %w", want.Durable, err)
		default:
			i := found.CachedInfo()
			c.Settings = sameConsumer(want, i.Config)
			c.Delivered, c.AckFloor = i.Delivered.Stream, i.AckFloor.Stream
			c.Pending, c.Unacked, c.Asking = i.NumPending, i.NumAckPending, i.NumWaiting
		}
		h.Consumers = append(h.Consumers, c)
	}
	// The stream is read again after its consumers: one that went on meanwhile
	// must not look as if it were ahead.
	if info, err = stream.Info(ctx); err != nil {
		return Health{}, fmt.Errorf("stream %s: %w", StreamReports, err)
	}
	h.LastSeq = info.State.LastSeq
	return h, nil
}

func sameStream(got jetstream.StreamConfig) error {
	if differ := differences(streamConfig(Settings{}), got); len(differ) > 0 {
		return errors.New(strings.Join(differ, "; "))
	}
	return nil
}

// sameConsumer names every setting that this version needs and the consumer
// found does not have.
func sameConsumer(want, got jetstream.ConsumerConfig) error {
	var wrong []error
	check := func(name string, want, got any) {
		if fmt.Sprint(want) != fmt.Sprint(got) {
			wrong = append(wrong, fmt.Errorf("%s is %v, want %v", name, got, want))
		}
	}
	check("ack_policy", want.AckPolicy, got.AckPolicy)
	check("ack_wait", want.AckWait, got.AckWait)
	check("max_deliver", want.MaxDeliver, got.MaxDeliver)
	check("filter_subjects", want.FilterSubjects, got.FilterSubjects)
	return errors.Join(wrong...)
}

// Place is where an event stands in the stream, without what it holds.
type Place struct {
	Subject string
	Seq     uint64
	At      time.Time
}

// Walk calls fn with the place of each event up to sequence last, in order, in
// memory that does not grow with the stream. It stops at fn's first error and
// returns it.
func (b *Bus) Walk(ctx context.Context, last uint64, fn func(Place) error) error {
	return b.each(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy, HeadersOnly: true}, false,
		func(e Stored) error {
			if e.Seq > last {
				return errStop
			}
			return fn(Place{e.Subject, e.Seq, e.At})
		})
}

// errStop ends each without an error.
var errStop = errors.New("stop")

// each calls fn with the events that an ordered consumer hands out: those
// already there, and with follow every new one, until ctx is done.
func (b *Bus) each(ctx context.Context, cfg jetstream.OrderedConsumerConfig, follow bool, fn func(Stored) error) error {
	stream, err := b.js.Stream(ctx, StreamReports)
	if err != nil {
		return unavailable.Because(err)
	}
	left := stream.CachedInfo().State.Msgs
	if left == 0 && !follow {
		return nil
	}
	cons, err := stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return unavailable.Because(err)
	}
	msgs, err := cons.Messages()
	if err != nil {
		return unavailable.Because(err)
	}
	stop := context.AfterFunc(ctx, msgs.Stop)
	defer stop()
	defer msgs.Stop()
	for follow || left > 0 {
		m, err := msgs.Next()
		if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
			return ctx.Err()
		}
		if err != nil {
			return unavailable.Because(err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		left = meta.NumPending
		err = fn(Stored{Subject: m.Subject(), Data: m.Data(), Seq: meta.Sequence.Stream, At: meta.Timestamp})
		if errors.Is(err, errStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
