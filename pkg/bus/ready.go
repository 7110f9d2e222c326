package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/nats-io/nats.go/jetstream"
)

// Limits of Check and Await.
const (
	checkTimeout = 3 * time.Second
	maxClockOff  = 30 * time.Second // a clock further off is not kept by anything
	warnClockOff = 2 * time.Second
	awaitEvery   = time.Second
	awaitLogs    = time.Minute // how often the same reason is logged
)

// Need is what a service uses of the topology beside the stream.
type Need struct {
	Consumer string // "" for none
	Buckets  []string
	Photos   bool // the object store
}

// Check returns nil while NATS answers, the stream and what is needed exist
// with the settings this version knows, and this machine's clock is near that
// of the stream's. The error says in words what is wrong.
func (b *Bus) Check(ctx context.Context, n Need) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	asked := b.now()
	stream, err := b.stands(ctx, n)
	if err != nil {
		return err
	}
	return b.checkClock(asked, b.now(), stream.CachedInfo().TimeStamp)
}

// Await returns nil once the stream and what is needed exist with the settings
// this version knows, or the error of ctx. It says in the log what it waits for.
func (b *Bus) Await(ctx context.Context, n Need) error {
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	var said string
	var at time.Time
	for {
		try, cancel := context.WithTimeout(ctx, checkTimeout)
		_, err := b.stands(try, n)
		cancel()
		if err == nil {
			if said != "" {
				b.log.Info("the stream is there")
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err.Error() != said || time.Since(at) >= awaitLogs {
			said, at = err.Error(), time.Now()
			b.log.Warn("waiting for the stream", "for", said)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errMissing is what to do about a part of the topology that is not there.
var errMissing = errors.New("it does not exist: an administrator creates it with “onrecord admin streams apply”")

// stands returns the stream when it and what is needed are there and as this
// version knows them.
func (b *Bus) stands(ctx context.Context, n Need) (jetstream.Stream, error) {
	if !b.nc.IsConnected() {
		return nil, errors.New("NATS: not connected")
	}
	stream, err := b.js.Stream(ctx, StreamReports)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", StreamReports, inWords(err))
	}
	if differ := differences(streamConfig(Settings{}), stream.CachedInfo().Config); len(differ) > 0 {
		return nil, fmt.Errorf("stream %s: it has other settings than this version needs: %s", StreamReports, strings.Join(differ, "; "))
	}
	if n.Consumer != "" {
		if err := notAhead(ctx, stream, n.Consumer); err != nil {
			return nil, fmt.Errorf("consumer %s: %w", n.Consumer, inWords(err))
		}
	}
	for _, name := range n.Buckets {
		if _, err := b.js.KeyValue(ctx, name); err != nil {
			return nil, fmt.Errorf("bucket %s: %w", name, inWords(err))
		}
	}
	if n.Photos {
		if _, err := b.js.ObjectStore(ctx, ObjectsPhotos); err != nil {
			return nil, fmt.Errorf("object store %s: %w", ObjectsPhotos, inWords(err))
		}
	}
	return stream, nil
}

// notAhead returns nil while a consumer has handed out no more than the stream
// holds: of one that is ahead new events would be skipped.
func notAhead(ctx context.Context, stream jetstream.Stream, name string) error {
	c, err := stream.Consumer(ctx, name)
	if err != nil {
		return err
	}
	delivered := c.CachedInfo().Delivered.Stream
	if delivered <= stream.CachedInfo().State.LastSeq {
		return nil
	}
	info, err := stream.Info(ctx) // it may have gone on meanwhile
	if err != nil {
		return err
	}
	return checkAhead(delivered, info.State.LastSeq)
}

func checkAhead(delivered, last uint64) error {
	if delivered <= last {
		return nil
	}
	return fmt.Errorf("it has handed out up to %d and the stream ends at %d: the stream lost its end, and new reports would be skipped; "+
		"“onrecord admin streams apply” replays it, and nothing is counted twice", delivered, last)
}

// inWords says what an answer of JetStream means to an operator.
func inWords(err error) error {
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrBucketNotFound):
		return errMissing
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer in %v: the cluster has no leader, or this user may not ask: %w", checkTimeout, err)
	}
	return err
}

// clockOffset is how far the clock of the stream's server is ahead of ours, in
// seconds.
var clockOffset = metrics.NewGauge(`onrecord_clock_offset_seconds`, nil)

// checkClock compares the clock of the server that answered with ours. What the
// answer's way took is given to us.
func (b *Bus) checkClock(asked, answered, server time.Time) error {
	if server.IsZero() {
		return nil // the server does not tell
	}
	var off time.Duration
	switch {
	case server.Before(asked):
		off = server.Sub(asked)
	case server.After(answered):
		off = server.Sub(answered)
	}
	clockOffset.Set(off.Seconds())
	switch {
	case off.Abs() > maxClockOff:
		return fmt.Errorf("clocks apart: the clock of NATS is %v %s this machine’s; set both by a time server (at most %v is taken)", off.Abs().Round(time.Second), side(off), maxClockOff)
	case off.Abs() > warnClockOff:
		b.log.Warn("clocks apart: set this machine’s and that of NATS by a time server", "nats_is_ahead_by", off)
	}
	return nil
}

func side(off time.Duration) string {
	if off < 0 {
		return "behind"
	}
	return "ahead of"
}
