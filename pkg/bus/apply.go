package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// Change is one thing in which NATS is not yet as this version needs it.
type Change struct {
	What  string // "stream REPORTS", "consumer reporting", "bucket onrecord_directory"
	How   string // "is created", or what becomes of its settings
	apply func(ctx context.Context) error
}

// String says what changes in a line.
func (c Change) String() string { return c.What + " " + c.How }

// What NATS answers when no server has the room for what is asked, or too few
// are there. Source: errors.json of nats-server.
const (
	noSuitablePeers     = 10005
	insufficientStorage = 10047
)

// Apply makes the change.
func (c Change) Apply(ctx context.Context) error {
	err := c.apply(ctx)
	if err == nil {
		return nil
	}
	var refused *jetstream.APIError
	if errors.As(err, &refused) && (refused.ErrorCode == noSuitablePeers || refused.ErrorCode == insufficientStorage) {
		err = fmt.Errorf("fewer servers of NATS are up than it shall have copies, or they have not the room for it (max_file_store): %w", err)
	}
	return fmt.Errorf("%s: %w", c.What, err)
}

// Apply creates the stream, its consumers, the buckets and the object store, or brings them to
// what this version needs. It is the administrative step: services do not
// call it.
//
// What a deployment chooses (Settings) is brought up to date, and subjects that
// an older version did not have are added. A stream that differs in anything else is left as it is, and every difference is named in
// the error. A consumer that is ahead of its stream, which happens when the
// stream was restored or truncated, is made anew from the beginning: every
// handler is idempotent, and a consumer left ahead would silently skip new
// reports.
func (b *Bus) Apply(ctx context.Context, s Settings) error {
	changes, err := b.Plan(ctx, s)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if err := c.Apply(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Plan returns what Apply would change, in order, or the error it would end
// with before it changed anything. It changes nothing.
func (b *Bus) Plan(ctx context.Context, s Settings) ([]Change, error) {
	changes, stream, err := b.planStream(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", StreamReports, err)
	}
	for _, want := range consumerConfigs() {
		c, err := b.planConsumer(ctx, stream, want)
		if err != nil {
			return nil, fmt.Errorf("consumer %s: %w", want.Durable, err)
		}
		changes = append(changes, c...)
	}
	for _, want := range bucketConfigs(s) {
		c, err := b.planBucket(ctx, want)
		if err != nil {
			return nil, fmt.Errorf("bucket %s: %w", want.Bucket, err)
		}
		changes = append(changes, c...)
	}
	c, err := b.planPhotos(ctx, photosConfig(s))
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", ObjectsPhotos, err)
	}
	return append(changes, c...), nil
}

func (b *Bus) planPhotos(ctx context.Context, want jetstream.ObjectStoreConfig) ([]Change, error) {
	what := "object store " + want.Bucket
	apply := func(ctx context.Context) error {
		_, err := b.js.CreateOrUpdateObjectStore(ctx, want)
		return err
	}
	stream, err := b.js.Stream(ctx, "OBJ_"+want.Bucket)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return []Change{{what, "is created", apply}}, nil
	}
	if err != nil {
		return nil, err
	}
	got := stream.CachedInfo().Config
	how := becomes("num_replicas", max(got.Replicas, 1), want.Replicas) + becomes("max_bytes", got.MaxBytes, want.MaxBytes)
	if how == "" {
		return nil, nil
	}
	return []Change{{what, "is changed:" + how, apply}}, nil
}

// planStream also returns the stream as it is, nil when there is none.
func (b *Bus) planStream(ctx context.Context, s Settings) ([]Change, jetstream.Stream, error) {
	want, what := streamConfig(s), "stream "+StreamReports
	stream, err := b.js.Stream(ctx, StreamReports)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return []Change{{what, "is created", func(ctx context.Context) error {
			_, err := b.js.CreateStream(ctx, want)
			return err
		}}}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	got := stream.CachedInfo().Config
	covered := got
	covered.Subjects = slices.Concat(got.Subjects, lacks(want.Subjects, got.Subjects)) // an older version had fewer
	if differ := differences(want, covered); len(differ) > 0 {
		return nil, nil, fmt.Errorf("exists with other settings, nothing was changed: %s", strings.Join(differ, "; "))
	}
	want.Subjects = covered.Subjects
	how := becomes("max_bytes", got.MaxBytes, want.MaxBytes) + becomes("num_replicas", got.Replicas, want.Replicas) +
		becomes("subjects", got.Subjects, want.Subjects) + becomes("duplicate_window", got.Duplicates, want.Duplicates)
	if how == "" {
		return nil, stream, nil
	}
	return []Change{{what, "is changed:" + how, func(ctx context.Context) error {
		_, err := b.js.UpdateStream(ctx, want)
		return err
	}}}, stream, nil
}

func (b *Bus) planConsumer(ctx context.Context, stream jetstream.Stream, want jetstream.ConsumerConfig) ([]Change, error) {
	what := "consumer " + want.Durable
	create := Change{what, "is created", func(ctx context.Context) error {
		_, err := b.js.CreateConsumer(ctx, StreamReports, want)
		return err
	}}
	if stream == nil {
		return []Change{create}, nil
	}
	c, err := stream.Consumer(ctx, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return []Change{create}, nil
	}
	if err != nil {
		return nil, err
	}
	info, last := c.CachedInfo(), stream.CachedInfo().State.LastSeq
	got := info.Config
	if info.Delivered.Stream > last {
		how := fmt.Sprintf("is made anew from the beginning: it is at %d, ahead of the stream, which ends at %d", info.Delivered.Stream, last)
		return []Change{{what, how, func(ctx context.Context) error {
			b.log.Error("the consumer is ahead of its stream: replaying the stream from the beginning",
				"consumer", want.Durable, "delivered", info.Delivered.Stream, "last", last)
			return remake(ctx, stream, want)
		}}}, nil
	}
	how := becomes("filter_subjects", filters(got), filters(want)) + becomes("ack_wait", got.AckWait, want.AckWait) +
		becomes("max_deliver", got.MaxDeliver, want.MaxDeliver) + becomes("max_ack_pending", got.MaxAckPending, want.MaxAckPending)
	if how == "" {
		return nil, nil
	}
	// Where it began cannot be changed, and an older version may have moved it.
	want.DeliverPolicy, want.OptStartSeq = got.DeliverPolicy, got.OptStartSeq
	return []Change{{what, "is changed:" + how, func(ctx context.Context) error {
		_, err := stream.UpdateConsumer(ctx, want)
		return err
	}}}, nil
}

// filters returns a consumer's subjects in order: the server keeps a lone one
// elsewhere.
func filters(c jetstream.ConsumerConfig) []string {
	all := slices.Clone(c.FilterSubjects)
	if c.FilterSubject != "" {
		all = append(all, c.FilterSubject)
	}
	slices.Sort(all)
	return all
}

func (b *Bus) planBucket(ctx context.Context, want jetstream.KeyValueConfig) ([]Change, error) {
	what := "bucket " + want.Bucket
	bucket, err := b.js.KeyValue(ctx, want.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return []Change{{what, "is created", func(ctx context.Context) error {
			_, err := b.js.CreateKeyValue(ctx, want)
			return err
		}}}, nil
	}
	if err != nil {
		return nil, err
	}
	status, err := bucket.Status(ctx)
	if err != nil {
		return nil, err
	}
	got := status.Config()
	how := becomes("num_replicas", max(got.Replicas, 1), want.Replicas) + becomes("max_bytes", got.MaxBytes, want.MaxBytes) +
		becomes("max_value_size", got.MaxValueSize, want.MaxValueSize) + becomes("ttl", got.TTL, want.TTL)
	if how == "" {
		return nil, nil
	}
	return []Change{{what, "is changed:" + how, func(ctx context.Context) error {
		_, err := b.js.UpdateKeyValue(ctx, want)
		return err
	}}}, nil
}

// becomes says how a setting changes, "" when it does not.
func becomes(name string, got, want any) string {
	if fmt.Sprint(got) == fmt.Sprint(want) {
		return ""
	}
	return fmt.Sprintf(" %s %v → %v;", name, got, want)
}
