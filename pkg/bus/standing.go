package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Health is how the stream and its consumers stand.
type Health struct {
	Created           time.Time // when the stream was made
	FirstSeq, LastSeq uint64
	Messages          uint64
	Damaged           int // events that the server could not read when it started, and gave up
	Deleted           int // events between the first and the last that are gone, for whatever reason
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
		Created: info.Created, FirstSeq: info.State.FirstSeq, LastSeq: info.State.LastSeq, Messages: info.State.Msgs, Deleted: info.State.NumDeleted,
		Bytes: int64(info.State.Bytes), MaxBytes: info.Config.MaxBytes,
		Settings: sameStream(info.Config),
	}
	if info.State.Lost != nil {
		h.Damaged = len(info.State.Lost.Msgs)
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
			c.Pending, c.Unacked = i.NumPending, i.NumAckPending
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

// errConsumerStore is JetStream's answer when a consumer's state on disk cannot
// be read.
const errConsumerStore = jetstream.ErrorCode(10012)

// IsDamagedConsumer reports whether an error of Apply says that the state of a
// consumer on disk is damaged.
func IsDamagedConsumer(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == errConsumerStore
}

// Place is where an event stands in the stream, without what it holds.
type Place struct {
	Subject string
	Seq     uint64
	At      time.Time
}

// Walk calls fn with the place of each event up to sequence last, in order, in
// memory that does not grow with the stream. It stops at fn's first error and
// returns it. Events that are there and cannot be read, as on a failing disk,
// are passed over and counted: so does the server with those that it hands to
// the consumers, and tells nobody.
func (b *Bus) Walk(ctx context.Context, last uint64, fn func(Place) error) (unreadable int, err error) {
	h, err := b.Health(ctx)
	if err != nil {
		return 0, err
	}
	next, last := h.FirstSeq, min(last, h.LastSeq)
	stopped := false
	pass := func(to uint64) error {
		n, err := b.countUnreadable(ctx, next, to)
		unreadable, next = unreadable+n, to
		return err
	}
	for next <= last && h.Messages > 0 {
		cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: next, HeadersOnly: true}
		err := b.each(ctx, cfg, walkIdle, func(e Stored) error {
			if err := pass(min(e.Seq, last+1)); err != nil {
				return err
			}
			if e.Seq > last {
				return errStop
			}
			next = e.Seq + 1
			err := fn(Place{e.Subject, e.Seq, e.At})
			stopped = errors.Is(err, errStop)
			if err != nil || next <= last {
				return err
			}
			return errStop
		})
		if err != nil && !errors.Is(err, errIdle) {
			return unreadable, err
		}
		if stopped {
			return unreadable, nil
		}
		if next <= last { // nothing that can be read is left
			return unreadable, pass(last + 1)
		}
	}
	return unreadable, nil
}

// walkIdle is how long the server may give nothing before that is taken for
// the end of what can be read.
const walkIdle = 3 * time.Second

// countUnreadable returns how many events from one sequence up to another, not
// included, are neither to be read nor deleted.
func (b *Bus) countUnreadable(ctx context.Context, from, to uint64) (n int, err error) {
	if from >= to {
		return 0, nil
	}
	stream, err := b.js.Stream(ctx, StreamReports)
	if err != nil {
		return 0, unavailable.Because(err)
	}
	info, err := stream.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return 0, unavailable.Because(err)
	}
	for seq := max(from, info.State.FirstSeq); seq < to; seq++ {
		if !slices.Contains(info.State.Deleted, seq) {
			n++
		}
	}
	return n, nil
}

var (
	errStop = errors.New("stop") // ends each without an error
	errIdle = errors.New("the server gives nothing")
)

// each calls fn with the events that an ordered consumer hands out. With idle
// it ends after those already there, or with errIdle when the server gives none
// for so long; with 0 it goes on with every new one until ctx is done.
func (b *Bus) each(ctx context.Context, cfg jetstream.OrderedConsumerConfig, idle time.Duration, fn func(Stored) error) error {
	stream, err := b.js.Stream(ctx, StreamReports)
	if err != nil {
		return unavailable.Because(err)
	}
	left := stream.CachedInfo().State.Msgs
	if left == 0 && idle > 0 {
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
	var most []jetstream.NextOpt
	if idle > 0 {
		most = append(most, jetstream.NextMaxWait(idle))
	}
	for idle == 0 || left > 0 {
		m, err := msgs.Next(most...)
		switch {
		case errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return ctx.Err()
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
			return errIdle
		case err != nil:
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
