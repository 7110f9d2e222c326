package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/onrecord/onrecord/pkg/failpoint"
)

// Delivery is an event handed to a consumer, at least once and in any order.
type Delivery struct {
	Subject    string
	Data       []byte
	Seq        uint64
	Deliveries uint64    // how often it was handed out, this time included
	At         time.Time // when the stream stored it
}

// Consumer is a service's side of a durable consumer.
type Consumer struct {
	Name  string // ConsumerClassifier or ConsumerReporting
	Batch int    // most deliveries handled together

	// Every is the least time between the starts of two batches, unless the
	// first was full. After a pause a delivery is handled at once, a backlog is
	// drained without a pause, and in between deliveries gather, so that many
	// share a write to disk. 0 does not wait.
	Every time.Duration

	// Handle commits a batch and returns one error per delivery, or nil for
	// all well. A nil error acknowledges; a Poison error is tried PoisonTries
	// times and then quarantined; any other is tried again with back-off, for ever.
	Handle func(ctx context.Context, batch []Delivery) []error

	// Quarantine keeps an unreadable delivery with its cause. Only when it
	// returns nil is the delivery acknowledged.
	Quarantine func(ctx context.Context, d Delivery, cause error) error
}

const (
	handleTimeout = 20 * time.Second // for a batch; with what follows well under ackWait
	settleTimeout = 5 * time.Second  // for NATS to be told what became of it
	stopTimeout   = 2 * time.Second  // for NATS to be told what is handed back
	heartbeat     = 5 * time.Second  // two of them missed show that the server that we asked for messages leads no more
)

type poison struct{ error }

func (p poison) Unwrap() error { return p.error }

// Poison marks an error as the message's own fault: it cannot be decoded or
// validated, and trying again will not help.
func Poison(err error) error { return poison{err} }

// IsPoison reports whether err was marked by Poison.
func IsPoison(err error) bool {
	var p poison
	return errors.As(err, &p)
}

// Consume hands deliveries to c.Handle until ctx is done, then finishes the
// batch in hand, hands back what it took in advance, so that another instance
// gets it at once, and returns nil. Waiting costs nothing; a lone event is
// handled at once and a backlog in batches.
func (b *Bus) Consume(ctx context.Context, c Consumer) error {
	cons, err := b.js.Consumer(ctx, StreamReports, c.Name)
	if ctx.Err() != nil {
		return nil // stopped before it began
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", c.Name, err)
	}
	msgs, err := cons.Messages(jetstream.PullMaxMessages(2*c.Batch), jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return fmt.Errorf("consumer %s: %w", c.Name, err)
	}
	queue := make(chan taken, 2*c.Batch)
	stop := context.AfterFunc(ctx, msgs.Drain)
	defer stop()
	go func() {
		defer close(queue)
		for {
			m, err := msgs.Next()
			if errors.Is(err, jetstream.ErrMsgIteratorClosed) {
				return
			}
			if err != nil { // a missed heartbeat or a reconnect: the iterator goes on
				b.log.Warn("consumer", "consumer", c.Name, "error", err)
				continue
			}
			queue <- taken{m, time.Now()}
		}
	}()
	// What was begun is finished after ctx ends, in bounded time; but at once
	// when another instance may be about to begin.
	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	deposed := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), ErrDeposed) {
			abandon()
		}
	})
	defer deposed()
	returned := 0
	pace := pace{most: c.Batch, now: min(c.Batch, firstBatch)}
	var next time.Time // before which no batch starts
	for first := range queue {
		select {
		case <-time.After(time.Until(next)):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			if first.Nak() == nil { // else it comes again after ackWait
				returned++
			}
			continue
		}
		next = time.Now().Add(c.Every)
		batch := gather(queue, first, pace.now)
		if len(batch) == 0 {
			continue
		}
		began := time.Now()
		again := b.handle(work, c, batch)
		if len(batch) == pace.now {
			next = time.Time{}
		}
		pace.note(len(batch), again == len(batch), time.Since(began))
	}
	if returned > 0 {
		b.log.Info("handed back what was taken in advance", "consumer", c.Name, "messages", returned)
		_ = b.nc.FlushTimeout(stopTimeout) // without it they come again after ackWait
	}
	return nil
}

// taken is a message with when it was taken from the server.
type taken struct {
	jetstream.Msg
	at time.Time
}

// old reports whether the server is about to hand the message out again: what
// is done with it now would be done twice.
func (t taken) old() bool { return time.Since(t.at) > ackWait-handleTimeout/2 }

// gather returns the first message and what else waits, at most so many,
// without those that are old.
func gather(queue <-chan taken, first taken, most int) []jetstream.Msg {
	var batch []jetstream.Msg
	for t, ok := first, true; ok; {
		if !t.old() {
			batch = append(batch, t.Msg)
		}
		if len(batch) == most {
			break
		}
		select {
		case t, ok = <-queue:
		default:
			ok = false
		}
	}
	return batch
}

const (
	firstBatch = 32              // messages: nothing is known of the store yet
	slowBatch  = 4 * time.Second // for a batch: well under ackWait, and under what a process is given to stop
)

// pace is how many messages are handled together: fewer when the store is slow.
type pace struct{ most, now int }

// note takes in how long a batch took, and whether all of it failed.
func (p *pace) note(n int, failed bool, took time.Duration) {
	switch {
	case failed || took > slowBatch:
		p.now = max(min(p.now, n)/2, 1)
	case took < slowBatch/4:
		p.now = min(2*p.now, p.most)
	}
}

// handle runs one batch and settles each of its messages. It returns how many
// will be tried again.
func (b *Bus) handle(ctx context.Context, c Consumer, msgs []jetstream.Msg) int {
	settling := ctx
	ctx, cancel := context.WithTimeout(ctx, handleTimeout)
	defer cancel()
	batch := make([]Delivery, len(msgs))
	for i, m := range msgs {
		batch[i] = Delivery{Subject: m.Subject(), Data: m.Data()}
		if meta, err := m.Metadata(); err == nil {
			batch[i].Seq, batch[i].Deliveries, batch[i].At = meta.Sequence.Stream, meta.NumDelivered, meta.Timestamp
		}
	}
	errs, panicked := b.protect(ctx, c, batch)
	if panicked && len(batch) > 1 { // find the one that does it
		errs = make([]error, len(batch))
		for i := range batch {
			one, _ := b.protect(ctx, c, batch[i:i+1])
			errs[i] = one[0]
		}
	}
	settling, stop := context.WithTimeout(settling, settleTimeout)
	defer stop()
	var g errgroup.Group
	g.SetLimit(16)
	retried := make([]error, len(msgs))
	for i, m := range msgs {
		var err error
		if errs != nil {
			err = errs[i]
		}
		g.Go(func() error {
			retried[i] = b.settle(settling, c, m, batch[i], err)
			return nil
		})
	}
	_ = g.Wait()
	again := slices.DeleteFunc(retried, func(err error) bool { return err == nil })
	if len(again) > 0 {
		b.log.Warn("messages will be tried again", "consumer", c.Name, "messages", len(again), "of", len(msgs), "error", again[0])
	}
	return len(again)
}

// protect calls the handler and turns a panic into a Poison error, so that
// one message cannot take the process down or go round for ever.
func (b *Bus) protect(ctx context.Context, c Consumer, batch []Delivery) (errs []error, panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			// The value may quote a message, so only its type and the stack are logged.
			b.log.Error("handler panicked", "consumer", c.Name, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			errs, panicked = make([]error, len(batch)), true
			for i := range errs {
				errs[i] = Poison(errors.New("the handler panicked"))
			}
		}
	}()
	return c.Handle(ctx, batch), false
}

// settle acknowledges, retries or quarantines one message, and returns why it
// will be tried again, nil when it will not.
func (b *Bus) settle(ctx context.Context, c Consumer, m jetstream.Msg, d Delivery, err error) error {
	count := func(outcome string) {
		metrics.GetOrCreateCounter(fmt.Sprintf(`onrecord_bus_deliveries_total{consumer=%q,outcome=%q}`, c.Name, outcome)).Inc()
	}
	if IsPoison(err) && d.Deliveries >= PoisonTries {
		if qerr := c.Quarantine(ctx, d, err); qerr == nil {
			count("quarantined")
			b.log.Error("message quarantined", "consumer", c.Name, "seq", d.Seq, "error", err)
			err = nil
		} else {
			b.log.Error("message could not be quarantined", "consumer", c.Name, "seq", d.Seq, "error", qerr)
			err = qerr
		}
	}
	if err == nil {
		count("acked")
		failpoint.Hit(failpoint.AckBefore)
		defer failpoint.Hit(failpoint.AckAfter)
		if aerr := m.DoubleAck(ctx); aerr != nil { // it will come again; handlers are idempotent
			b.log.Warn("acknowledgement not confirmed", "consumer", c.Name, "seq", d.Seq, "error", aerr)
		}
		return nil
	}
	count("retried")
	if nerr := m.NakWithDelay(backOff(d.Deliveries, IsPoison(err))); nerr != nil {
		b.log.Warn("retry not scheduled; it comes again after the wait", "consumer", c.Name, "seq", d.Seq, "error", nerr)
	}
	return err
}

// backOff doubles from one second to five minutes; a poison message is tried
// quickly, because only its quarantine helps.
func backOff(deliveries uint64, poison bool) time.Duration {
	if poison {
		return 50 * time.Millisecond << min(deliveries, 4)
	}
	return min(time.Second<<min(deliveries-1, 9), 5*time.Minute)
}
