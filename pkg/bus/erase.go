package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// eraseTries is how often EraseReport looks whether anything is left: a copy of
// the stream that lags may not have it yet.
const eraseTries = 5

// EraseReport removes every event about a report from the stream. It calls note
// with how many it found before it removes them. Its subjects are free again:
// whoever drops what comes back is whoever keeps the tombstone.
func (b *Bus) EraseReport(ctx context.Context, reportID string, note func(n int) error) error {
	stream, err := b.js.Stream(ctx, StreamReports)
	if err != nil {
		return unavailable.Because(err)
	}
	for range eraseTries {
		subjects, err := eventsAbout(ctx, stream, reportID)
		if err != nil || len(subjects) == 0 {
			return err
		}
		if err := note(len(subjects)); err != nil {
			return err
		}
		for _, subject := range subjects {
			m, err := stream.GetLastMsgForSubject(ctx, subject)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err == nil {
				err = stream.SecureDeleteMsg(ctx, m.Sequence)
			}
			if err != nil {
				return fmt.Errorf("erase from the stream: %w", err)
			}
		}
	}
	return unavailable.Because(errors.New("the stream still has events that were erased"))
}

// eventsAbout returns the subjects of the events about a report in the stream.
func eventsAbout(ctx context.Context, stream jetstream.Stream, reportID string) (subjects []string, err error) {
	for _, filter := range aboutReport(reportID) {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(filter))
		if err != nil {
			return nil, unavailable.Because(err)
		}
		subjects = slices.AppendSeq(subjects, maps.Keys(info.State.Subjects))
	}
	return subjects, nil
}

// Forget removes from the stream the events up to sequence last that it stored
// before a time, and that both consumers have acknowledged. It returns how many.
func (b *Bus) Forget(ctx context.Context, last uint64, before time.Time) (int, error) {
	h, err := b.Health(ctx)
	if err != nil {
		return 0, err
	}
	for _, c := range h.Consumers {
		last = min(last, c.AckFloor)
	}
	var forget uint64
	_, err = b.Walk(ctx, last, func(p Place) error {
		if !p.At.Before(before) {
			return errStop
		}
		forget = p.Seq
		return nil
	})
	if err != nil || forget == 0 {
		return 0, err
	}
	stream, err := b.js.Stream(ctx, StreamReports)
	if err != nil {
		return 0, unavailable.Because(err)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(forget+1)); err != nil {
		return 0, fmt.Errorf("forget: %w", err)
	}
	after, err := b.Health(ctx)
	return int(h.Messages) - int(min(after.Messages, h.Messages)), err
}
