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
