// Package bus is the JetStream topology in one place: streams, consumers,
// subjects, retry and quarantine rules. Services name them, never configure
// them. Publishing waits until the stream has the message on disk; consuming
// acknowledges only after the handler has committed.
package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Types of event, each the prefix of its subjects. Subjects end in the varying
// tokens so that permissions can be given by prefix (NATS ADR-1).
const (
	TypeFiled      = "onrecord.v1.report.filed"      // .<report_id>
	TypeClassified = "onrecord.v1.report.classified" // .<report_id>.<model_version>
	TypeAdded      = "onrecord.v1.report.added"      // .<report_id>.<addition_id>
)

// SubjectFollowUp is the request/reply subject on which reporting answers
// intake's questions about a receipt.
const SubjectFollowUp = "onrecord.v1.follow-up.status"

// Names of the stream, its consumers, and the bucket with the site directory.
const (
	StreamReports      = "REPORTS"
	ConsumerClassifier = "classifier"
	ConsumerReporting  = "reporting"
	BucketDirectory    = "onrecord_directory"
	KeySites           = "sites"
)

// Limits of the topology.
const (
	MaxMessageSize = 256 << 10        // bytes of one event
	PoisonTries    = 5                // deliveries before an unreadable message is quarantined
	ackWait        = 30 * time.Second // longer than the slowest batch
	maxAckPending  = 1024             // bounds the redelivery storm after a crash
	dedupeWindow   = 24 * time.Hour   // the per-subject rule below has no window at all
)

// Subject returns the subject of an event of a type about the tokens.
func Subject(eventType string, tokens ...string) string {
	return eventType + "." + strings.Join(tokens, ".")
}

// Settings are what a deployment chooses about the stream.
type Settings struct {
	Replicas int   // 1 on one machine, 3 in a cluster
	MaxBytes int64 // of the stream on each replica's disk
}

// streamConfig is the one definition of the stream.
//
// One subject per event with MaxMsgsPerSubject 1 and discard-new per subject
// is de-duplication without a window that survives a restart: the second copy
// is refused with error 10077 and the first can never be overwritten. There is
// no MaxAge: age would drop reports nobody has processed yet.
func streamConfig(s Settings) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                 StreamReports,
		Description:          "What staff reported and what the classifier made of it",
		Subjects:             []string{TypeFiled + ".*", TypeClassified + ".*.*", TypeAdded + ".*.*"},
		Storage:              jetstream.FileStorage,
		Retention:            jetstream.LimitsPolicy,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    1,
		MaxBytes:             s.MaxBytes,
		MaxMsgSize:           MaxMessageSize,
		Replicas:             s.Replicas,
		Duplicates:           dedupeWindow,
		AllowDirect:          true,
		AllowAtomicPublish:   true,
	}
}

func consumerConfigs() []jetstream.ConsumerConfig {
	consumer := func(name string, filters ...string) jetstream.ConsumerConfig {
		return jetstream.ConsumerConfig{
			Durable:        name,
			FilterSubjects: filters,
			DeliverPolicy:  jetstream.DeliverAllPolicy,
			AckPolicy:      jetstream.AckExplicitPolicy,
			AckWait:        ackWait,
			MaxDeliver:     -1, // a message past MaxDeliver would be stuck where nobody sees it
			MaxAckPending:  maxAckPending,
		}
	}
	return []jetstream.ConsumerConfig{
		consumer(ConsumerClassifier, TypeFiled+".*"),
		consumer(ConsumerReporting, TypeFiled+".*", TypeClassified+".*.*", TypeAdded+".*.*"),
	}
}

// Apply creates the stream, its consumers and the directory bucket, or checks
// that they stand as this version needs them. It is the administrative step: services do not call it.
//
// What a deployment chooses (Settings) is brought up to date. A stream that
// differs in anything else is left as it is, and every difference is named in
// the error. A consumer that is ahead of its stream, which happens
// when the stream was restored or truncated, is made anew from the beginning:
// every handler is idempotent, and a consumer left ahead would silently skip
// new reports.
func (b *Bus) Apply(ctx context.Context, s Settings) error {
	want := streamConfig(s)
	stream, err := b.js.Stream(ctx, StreamReports)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		stream, err = b.js.CreateStream(ctx, want)
	case err == nil:
		found := stream.CachedInfo().Config
		if err = sameStream(want, found); err == nil && (found.MaxBytes != want.MaxBytes || found.Replicas != max(want.Replicas, 1)) {
			stream, err = b.js.UpdateStream(ctx, want)
		}
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", StreamReports, err)
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("stream %s: %w", StreamReports, err)
	}
	for _, c := range consumerConfigs() {
		if err := b.applyConsumer(ctx, stream, c, info.State.LastSeq); err != nil {
			return fmt.Errorf("consumer %s: %w", c.Durable, err)
		}
	}
	_, err = b.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:       BucketDirectory,
		Description:  "Sites and filing settings, written by reporting, read by intake",
		MaxValueSize: 1 << 20,
		MaxBytes:     8 << 20,
		Storage:      jetstream.FileStorage,
		Replicas:     s.Replicas,
	})
	if err != nil {
		return fmt.Errorf("bucket %s: %w", BucketDirectory, err)
	}
	return nil
}

func (b *Bus) applyConsumer(ctx context.Context, stream jetstream.Stream, want jetstream.ConsumerConfig, lastSeq uint64) error {
	c, err := stream.Consumer(ctx, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		_, err = stream.CreateConsumer(ctx, want)
		return err
	}
	if err != nil {
		return err
	}
	info := c.CachedInfo()
	if info.Delivered.Stream > lastSeq {
		b.log.Error("the consumer is ahead of its stream: replaying the stream from the beginning",
			"consumer", want.Durable, "delivered", info.Delivered.Stream, "last", lastSeq)
		return remake(ctx, stream, want)
	}
	// Where it began cannot be changed, and Resume may have moved it.
	want.DeliverPolicy, want.OptStartSeq = info.Config.DeliverPolicy, info.Config.OptStartSeq
	_, err = stream.UpdateConsumer(ctx, want)
	return err
}

func remake(ctx context.Context, stream jetstream.Stream, want jetstream.ConsumerConfig) error {
	if err := stream.DeleteConsumer(ctx, want.Durable); err != nil {
		return err
	}
	_, err := stream.CreateConsumer(ctx, want)
	return err
}

// Resume makes the consumers hand out at once what a process that ended had
// not acknowledged; without it that waits for ackWait. With all they hand out
// everything from the beginning, for a store that was lost: handlers are
// idempotent. Only the sole process of an installation may call it, after
// Apply and before it consumes.
func (b *Bus) Resume(ctx context.Context, all bool) error {
	stream, err := b.js.Stream(ctx, StreamReports)
	if err != nil {
		return fmt.Errorf("stream %s: %w", StreamReports, err)
	}
	for _, want := range consumerConfigs() {
		c, err := stream.Consumer(ctx, want.Durable)
		if err != nil {
			return fmt.Errorf("consumer %s: %w", want.Durable, err)
		}
		info := c.CachedInfo()
		if !all {
			if info.NumAckPending == 0 {
				continue
			}
			want.DeliverPolicy, want.OptStartSeq = jetstream.DeliverByStartSequencePolicy, info.AckFloor.Stream+1
		}
		b.log.Info("handing out again", "consumer", want.Durable, "unacknowledged", info.NumAckPending, "all", all)
		if err := remake(ctx, stream, want); err != nil {
			return fmt.Errorf("consumer %s: %w", want.Durable, err)
		}
	}
	return nil
}

// sameStream names every setting in which the stream found differs.
func sameStream(want, got jetstream.StreamConfig) error {
	var differ []string
	check := func(name string, want, got any) {
		if fmt.Sprint(want) != fmt.Sprint(got) {
			differ = append(differ, fmt.Sprintf("%s is %v, want %v", name, got, want))
		}
	}
	slices.Sort(want.Subjects)
	slices.Sort(got.Subjects)
	check("subjects", want.Subjects, got.Subjects)
	check("storage", want.Storage, got.Storage)
	check("retention", want.Retention, got.Retention)
	check("discard", want.Discard, got.Discard)
	check("discard_new_per_subject", want.DiscardNewPerSubject, got.DiscardNewPerSubject)
	check("max_msgs_per_subject", want.MaxMsgsPerSubject, got.MaxMsgsPerSubject)
	check("max_msg_size", want.MaxMsgSize, got.MaxMsgSize)
	check("persist_mode", want.PersistMode, got.PersistMode)
	check("max_age", want.MaxAge, got.MaxAge)
	check("allow_direct", want.AllowDirect, got.AllowDirect)
	check("allow_atomic", want.AllowAtomicPublish, got.AllowAtomicPublish)
	if len(differ) > 0 {
		return fmt.Errorf("exists with other settings, nothing was changed: %s", strings.Join(differ, "; "))
	}
	return nil
}
