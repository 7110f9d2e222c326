package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/nats-io/nats.go"
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
	// times and then quarantined; any other is tried again with back-off, for
	// ever, unless Ready says that it was not the delivery's fault.
	Handle func(ctx context.Context, batch []Delivery) []error

	// Ready returns nil while what Handle writes to is there. It is asked when a
	// delivery failed: when it returns an error, all that was taken goes back,
	// nothing is tried until Ready returns nil, and then everything goes on at
	// once, however long that was. Without Ready nothing pauses.
	Ready func(ctx context.Context) error

	// Quarantine keeps an unreadable delivery with its cause. Only when it
	// returns nil is the delivery acknowledged.
	Quarantine func(ctx context.Context, d Delivery, cause error) error
}

const (
	handleTimeout = 20 * time.Second // for a batch; with what follows under ackWait
	readyTimeout  = 8 * time.Second  // for Ready to answer, after a batch that failed
	readyEvery    = time.Second      // how often it is asked during a pause
	slowReady     = time.Second      // from here on what the consumer writes to is slow
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
	cons, err := b.consumer(ctx, c.Name)
	if ctx.Err() != nil {
		return nil // stopped before it began
	}
	if err != nil {
		return fmt.Errorf("consumer %s: %w", c.Name, err)
	}
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
	pace := pace{most: c.Batch, now: min(c.Batch, firstBatch)}
	for {
		err := b.consume(ctx, work, cons, c, &pace)
		if ctx.Err() != nil {
			return nil
		}
		if !errors.Is(err, errPaused) {
			return err
		}
		b.awaitReady(ctx, c)
	}
}

// consumer returns a consumer of the stream, or an error that asking again does
// not mend. While the servers do not answer, or have no leader, it asks again.
func (b *Bus) consumer(ctx context.Context, name string) (jetstream.Consumer, error) {
	tick := time.NewTicker(awaitEvery)
	defer tick.Stop()
	for said := false; ; {
		cons, err := b.js.Consumer(ctx, StreamReports, name)
		if err == nil || ctx.Err() != nil || errors.Is(err, nats.ErrConnectionClosed) ||
			errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
			return cons, err
		}
		if !said {
			said = true
			b.log.Warn("the consumer does not answer, and is asked again", "consumer", name, "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

var errPaused = errors.New("what the consumer writes to is away")

// consume hands deliveries to c.Handle until ctx is done, and returns nil, or
// until c.Ready says that trying is of no use, and returns errPaused. Either
// way nothing that was taken is kept.
func (b *Bus) consume(ctx, work context.Context, cons jetstream.Consumer, c Consumer, pace *pace) error {
	msgs, err := cons.Messages(jetstream.PullMaxMessages(2*c.Batch), jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return fmt.Errorf("consumer %s: %w", c.Name, err)
	}
	stop := context.AfterFunc(ctx, msgs.Drain)
	defer stop()
	returned, paused := 0, false
	handBack := func(m jetstream.Msg) {
		if m.Nak() == nil { // else it comes again after ackWait
			returned++
		}
	}
	var next time.Time // before which no batch starts
	queue := b.inAdvance(msgs, c)
	for first := range queue {
		if !paused {
			select {
			case <-time.After(time.Until(next)):
			case <-ctx.Done():
			}
		}
		if paused || ctx.Err() != nil {
			handBack(first)
			continue
		}
		next = time.Now().Add(c.Every)
		batch, late := gather(queue, first, pace.now)
		for _, m := range late {
			handBack(m)
		}
		if len(batch) == 0 {
			continue
		}
		began := time.Now()
		again, back := b.handle(ctx, work, c, batch)
		if len(back) > 0 {
			paused = true
			msgs.Drain() // first, or they come back to us
			for _, m := range back {
				handBack(m)
			}
			continue
		}
		if len(batch) == pace.now {
			next = time.Time{}
		}
		pace.note(len(batch), again == len(batch), time.Since(began))
	}
	if returned > 0 {
		b.log.Info("handed back what was taken", "consumer", c.Name, "messages", returned)
		_ = b.nc.FlushTimeout(stopTimeout) // without it they come again after ackWait
	}
	if paused {
		return errPaused
	}
	return nil
}

// inAdvance returns what msgs gives, some of it before it is asked for, until
// msgs is drained.
func (b *Bus) inAdvance(msgs jetstream.MessagesContext, c Consumer) <-chan taken {
	queue := make(chan taken, 2*c.Batch)
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
	return queue
}

// awaitReady returns once c.Ready returns nil, or ctx is done.
func (b *Bus) awaitReady(ctx context.Context, c Consumer) {
	paused := metrics.GetOrCreateGauge(fmt.Sprintf(`onrecord_consumer_paused{consumer=%q}`, c.Name), nil)
	paused.Set(1)
	defer paused.Set(0)
	since := time.Now()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if c.ready(ctx) == nil {
			b.log.Info("the consumer goes on", "consumer", c.Name, "paused", time.Since(since).Round(time.Millisecond))
			return
		}
	}
}

// ready asks Ready, which may be missing, in bounded time.
func (c Consumer) ready(ctx context.Context) error {
	if c.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return c.Ready(ctx)
}

// taken is a message with when it was taken from the server.
type taken struct {
	jetstream.Msg
	at time.Time
}

// gather returns the first message and what else waits, at most so many. What
// has waited here for long comes late: it would be handed out again before it is
// done, and is handed back instead, unless that has happened already.
func gather(queue <-chan taken, first taken, most int) (batch, late []jetstream.Msg) {
	for t, ok := first, true; ok; {
		switch age := time.Since(t.at); {
		case age < ackWait-handleTimeout/2:
			batch = append(batch, t.Msg)
		case age < ackWait-time.Second:
			late = append(late, t.Msg)
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
	return batch, late
}

const (
	firstBatch = 32               // messages: nothing is known of the store yet
	slowBatch  = 12 * time.Second // for a batch: well under handleTimeout, and under what a service is given to stop
)

// pace is how many messages are handled together: fewer when the store is slow.
type pace struct{ most, now int }

// note takes in how long a batch took, and whether all of it failed.
func (p *pace) note(n int, failed bool, took time.Duration) {
	switch {
	case failed || took > slowBatch:
		p.now = max(min(p.now, n)/2, 1)
	case took < slowBatch/2: // twice as many take twice as long at most
		inTime := int(time.Duration(n) * (slowBatch / 2) / max(took, time.Millisecond))
		p.now = min(max(2*p.now, inTime), p.most)
	}
}

// handle runs one batch and settles each of its messages. It returns how many
// will be tried again; or, when what the handler writes to is away, or ctx is
// done, those that failed and are to be handed back.
func (b *Bus) handle(ctx, work context.Context, c Consumer, msgs []jetstream.Msg) (again int, back []jetstream.Msg) {
	inTime, cancel := context.WithTimeout(work, handleTimeout)
	defer cancel()
	batch := make([]Delivery, len(msgs))
	for i, m := range msgs {
		batch[i] = Delivery{Subject: m.Subject(), Data: m.Data()}
		if meta, err := m.Metadata(); err == nil {
			batch[i].Seq, batch[i].Deliveries, batch[i].At = meta.Sequence.Stream, meta.NumDelivered, meta.Timestamp
		}
	}
	errs, panicked := b.protect(inTime, c, batch)
	if panicked && len(batch) > 1 { // find the one that does it
		errs = make([]error, len(batch))
		for i := range batch {
			one, _ := b.protect(inTime, c, batch[i:i+1])
			errs[i] = one[0]
		}
	}
	if errs == nil {
		errs = make([]error, len(batch))
	}
	away, hurried := ctx.Err() != nil, len(msgs) > 1 && inTime.Err() != nil
	if !away && slices.ContainsFunc(errs, notItsOwn) {
		asked := time.Now()
		if err := c.ready(ctx); err != nil {
			away = true
			b.log.Warn("the consumer pauses: what it writes to is away", "consumer", c.Name, "error", err)
		}
		hurried = hurried || time.Since(asked) > slowReady
	}
	settling, stop := context.WithTimeout(work, settleTimeout)
	defer stop()
	var g errgroup.Group
	g.SetLimit(16)
	retried := make([]error, len(msgs))
	for i, m := range msgs {
		if away && notItsOwn(errs[i]) {
			c.count("retried")
			back = append(back, m)
			continue
		}
		g.Go(func() error {
			retried[i] = b.settle(settling, c, m, batch[i], errs[i], hurried)
			return nil
		})
	}
	_ = g.Wait()
	retried = slices.DeleteFunc(retried, func(err error) bool { return err == nil })
	if len(retried) > 0 {
		b.log.Warn("messages will be tried again", "consumer", c.Name, "messages", len(retried), "of", len(msgs), "error", retried[0])
	}
	return len(retried), back
}

// notItsOwn reports whether a delivery failed for what may not be its own fault.
func notItsOwn(err error) bool { return err != nil && !IsPoison(err) }

func (c Consumer) count(outcome string) {
	metrics.GetOrCreateCounter(fmt.Sprintf(`onrecord_bus_deliveries_total{consumer=%q,outcome=%q}`, c.Name, outcome)).Inc()
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
// will be tried again, nil when it will not. Hurried is a message that had not
// the time it takes: there were many, or what the consumer writes to is slow.
func (b *Bus) settle(ctx context.Context, c Consumer, m jetstream.Msg, d Delivery, err error, hurried bool) error {
	if IsPoison(err) && d.Deliveries >= PoisonTries {
		if qerr := c.Quarantine(ctx, d, err); qerr == nil {
			c.count("quarantined")
			b.log.Error("message quarantined", "consumer", c.Name, "seq", d.Seq, "error", err)
			err = nil
		} else {
			b.log.Error("message could not be quarantined", "consumer", c.Name, "seq", d.Seq, "error", qerr)
			err = qerr
		}
	}
	if err == nil {
		c.count("acked")
		failpoint.Hit(failpoint.AckBefore)
		defer failpoint.Hit(failpoint.AckAfter)
		if aerr := m.DoubleAck(ctx); aerr != nil { // it will come again; handlers are idempotent
			b.log.Warn("acknowledgement not confirmed", "consumer", c.Name, "seq", d.Seq, "error", aerr)
		}
		return nil
	}
	c.count("retried")
	if nerr := m.NakWithDelay(backOff(d.Deliveries, IsPoison(err), hurried)); nerr != nil {
		b.log.Warn("retry not scheduled; it comes again after the wait", "consumer", c.Name, "seq", d.Seq, "error", nerr)
	}
	return err
}

const firstWait = time.Second // before a message is tried again

// backOff doubles from one second to five minutes. A poison message is tried
// quickly, because only its quarantine helps. One that was hurried is tried soon:
// it was not its own fault, and fewer are handled together next.
func backOff(deliveries uint64, poison, hurried bool) time.Duration {
	switch {
	case poison:
		return 50 * time.Millisecond << min(deliveries, 4)
	case hurried:
		return firstWait
	}
	return min(firstWait<<min(deliveries-1, 9), 5*time.Minute)
}
