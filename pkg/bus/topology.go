// Package bus is the JetStream topology in one place: streams, consumers,
// subjects, retry and quarantine rules, the store of photos that wait, the
// key-value buckets and the lease by which one instance leads. Services name
// them, never configure them. Publishing waits until the stream has the message
// on disk; consuming acknowledges only after the handler has committed. What the
// stream holds is watched, copied and erased here too.
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
	TypeCorrected  = "onrecord.v1.report.corrected"  // .<report_id>.<correction_id>
)

// aboutReport are the subjects of every event about a report, "*" for any.
func aboutReport(reportID string) []string {
	return []string{Subject(TypeFiled, reportID), Subject(TypeClassified, reportID, "*"), Subject(TypeAdded, reportID, "*"), Subject(TypeCorrected, reportID, "*")}
}

// SubjectFollowUp is the request/reply subject on which reporting answers
// intake's questions about a receipt.
const SubjectFollowUp = "onrecord.v1.follow-up.status"

// SubjectModelCard is the request/reply subject on which the classifier tells
// reporting about the model it reads with: an incident.ModelCard as JSON.
const SubjectModelCard = "onrecord.v1.model.card"

// SubjectModelFeatures is the request/reply subject on which the classifier
// makes features of words for reporting: a FeaturesRequest and a FeaturesReply.
const SubjectModelFeatures = "onrecord.v1.model.features"

// Names of the stream and its consumers.
const (
	StreamReports      = "REPORTS"
	ConsumerClassifier = "classifier"
	ConsumerReporting  = "reporting"
)

// Limits of the topology.
const (
	maxMessageSize = 256 << 10        // bytes of one event
	PoisonTries    = 5                // deliveries before an unreadable message is quarantined
	ackWait        = 30 * time.Second // longer than the slowest batch
	maxAckPending  = 2048             // bounds the redelivery storm after a crash
	maxClassifying = 8 * 1024         // of the classifier: what one instance took in advance leaves enough for the others
	dedupeWindow   = 2 * time.Minute  // held in memory; the per-subject rule below has no window and costs none
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

func (s Settings) replicas() int { return max(s.Replicas, 1) }

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
		Subjects:             aboutReport("*"),
		Storage:              jetstream.FileStorage,
		Retention:            jetstream.LimitsPolicy,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    1,
		MaxBytes:             s.MaxBytes,
		MaxMsgSize:           maxMessageSize,
		Replicas:             s.replicas(),
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
	classifier := consumer(ConsumerClassifier, TypeFiled+".*")
	classifier.MaxAckPending = maxClassifying
	return []jetstream.ConsumerConfig{
		classifier,
		consumer(ConsumerReporting, TypeFiled+".*", TypeClassified+".*.*", TypeAdded+".*.*"),
	}
}

func remake(ctx context.Context, stream jetstream.Stream, want jetstream.ConsumerConfig) error {
	if err := stream.DeleteConsumer(ctx, want.Durable); err != nil {
		return err
	}
	_, err := stream.CreateConsumer(ctx, want)
	return err
}

// HandOutAgain makes a consumer hand out at once what was handed out and not
// acknowledged. Whoever becomes the only one to consume calls it first: what
// the one before it had in hand would otherwise wait for ackWait.
func (b *Bus) HandOutAgain(ctx context.Context, consumer string) error {
	c, err := b.consumer(ctx, consumer)
	if err != nil {
		return fmt.Errorf("consumer %s: %w", consumer, err)
	}
	n := c.CachedInfo().NumAckPending
	if n == 0 {
		return nil
	}
	b.log.Info("handing out again", "consumer", consumer, "unacknowledged", n)
	if _, err := b.js.ResetConsumer(ctx, StreamReports, consumer); err != nil {
		return fmt.Errorf("consumer %s: %w", consumer, err)
	}
	return nil
}

// Resume makes the consumers hand out at once what a process that ended had
// not acknowledged. With all they hand out everything from the beginning, for
// a store that was lost: handlers are idempotent. Only the sole process of an
// installation may call it, after Apply and before it consumes.
func (b *Bus) Resume(ctx context.Context, all bool) error {
	if !all {
		return errors.Join(b.HandOutAgain(ctx, ConsumerClassifier), b.HandOutAgain(ctx, ConsumerReporting))
	}
	stream, err := b.js.Stream(ctx, StreamReports)
	if err != nil {
		return fmt.Errorf("stream %s: %w", StreamReports, err)
	}
	for _, want := range consumerConfigs() {
		b.log.Info("handing out everything", "consumer", want.Durable)
		if err := remake(ctx, stream, want); err != nil {
			return fmt.Errorf("consumer %s: %w", want.Durable, err)
		}
	}
	return nil
}

// lacks returns in order which of some subjects others do not have.
func lacks(some, others []string) []string {
	lacking := slices.DeleteFunc(slices.Clone(some), func(s string) bool { return slices.Contains(others, s) })
	slices.Sort(lacking)
	return lacking
}

// isOurs reports whether a subject that this version does not know may be one of
// a later version’s events: that one’s stream goes on serving this one.
func isOurs(subject string) bool { return strings.HasPrefix(subject, "onrecord.v") }

// differences names every setting in which the stream found differs, apart
// from what a deployment chooses.
func differences(want, got jetstream.StreamConfig) (differ []string) {
	check := func(name string, want, got any) {
		if fmt.Sprint(want) != fmt.Sprint(got) {
			differ = append(differ, fmt.Sprintf("%s is %v, want %v", name, got, want))
		}
	}
	if lacking := lacks(want.Subjects, got.Subjects); len(lacking) > 0 {
		differ = append(differ, fmt.Sprintf("subjects lack %v", lacking))
	}
	if strange := slices.DeleteFunc(lacks(got.Subjects, want.Subjects), isOurs); len(strange) > 0 {
		differ = append(differ, fmt.Sprintf("subjects have %v, which no version needs", strange))
	}
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
	return differ
}
