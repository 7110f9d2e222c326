package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// A few events at a time are published at once, each by itself. Beyond that,
// events share a durable write: whoever holds the token commits everything
// that waits, as one atomic batch (NATS ADR-50).
const (
	commitTimeout = 5 * time.Second
	giveWay       = time.Second
	maxBatch      = 1000 // events in one batch
	minBatch      = 40   // staging a batch costs about 7 ms of disk work, a single event about 0.2 ms
)

// API error codes of JetStream that say the subject already holds its event.
const (
	errMaxPerSubject    = jetstream.ErrorCode(10077)
	errWrongLastSubject = jetstream.ErrorCode(10071)
)

// group gathers events that wait for a commit.
type group struct {
	single  chan struct{} // one slot for each event that is published by itself
	token   chan struct{} // held by the one who commits
	mu      sync.Mutex
	waiting []*commit
}

// commit is one event on its way to disk.
type commit struct {
	event Event
	ack   Ack
	err   error
	done  chan struct{} // closed when ack and err are set
}

func newGroup() group {
	return group{single: make(chan struct{}, minBatch), token: make(chan struct{}, 1)}
}

// Publish stores an event and returns once the stream has it on disk. An event
// whose subject the stream already holds is not stored again and is no error.
// Any failure is fault.Unavailable and means that nothing was promised: the
// event may or may not have been stored, and publishing it again is safe.
func (b *Bus) Publish(ctx context.Context, e Event) (Ack, error) {
	c := &commit{event: e, done: make(chan struct{})}
	g := &b.commits
	if g.alone(c) {
		defer func() { <-g.single }()
		ctx, cancel := context.WithTimeout(ctx, commitTimeout)
		defer cancel()
		c.settle(b.publishOne(ctx, c))
		return c.result()
	}
	for {
		select {
		case <-c.done:
			return c.result()
		case g.token <- struct{}{}:
			b.commit(ctx, g.take())
			<-g.token
		case <-ctx.Done():
			return Ack{}, unavailable.Because(ctx.Err())
		}
	}
}

// PublishAll stores events as Publish does, many in one durable write, and
// returns one error for each, nil where it is on disk. It gives way to those
// who publish single events, because somebody waits for each of those: before
// each write it waits until none is under way, at most giveWay.
func (b *Bus) PublishAll(ctx context.Context, events []Event) []error {
	commits := make([]*commit, len(events))
	for i, e := range events {
		commits[i] = &commit{event: e, done: make(chan struct{})}
	}
	for chunk := range slices.Chunk(commits, maxBatch) {
		b.commits.awaitPause(ctx)
		b.commit(ctx, chunk)
	}
	errs := make([]error, len(events))
	for i, c := range commits {
		_, errs[i] = c.result()
	}
	return errs
}

// awaitPause returns when no single event is under way, or after giveWay.
func (g *group) awaitPause(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, giveWay)
	defer cancel()
	tick := time.NewTicker(giveWay / 100)
	defer tick.Stop()
	for len(g.single) > 0 || len(g.token) > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// alone takes a slot for an event that may be published by itself, or queues
// it: while a batch is forming or being written, singles would only compete
// with it for the disk.
func (g *group) alone(c *commit) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 && len(g.token) == 0 {
		select {
		case g.single <- struct{}{}:
			return true
		default:
		}
	}
	g.waiting = append(g.waiting, c)
	return false
}

func (c *commit) result() (Ack, error) {
	if c.err != nil {
		metrics.GetOrCreateCounter(`onrecord_bus_publish_errors_total`).Inc()
		return Ack{}, unavailable.Because(fmt.Errorf("publish: %w", c.err))
	}
	if c.ack.Duplicate {
		metrics.GetOrCreateCounter(`onrecord_bus_duplicates_total`).Inc()
	}
	return c.ack, nil
}

// take returns what waits, the oldest first, at most one batch.
func (g *group) take() []*commit {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxBatch)
	taken := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return taken
}

// commit puts events on disk and tells whoever waits for them. It does not end
// with the context of the one who happens to commit: others wait as well.
func (b *Bus) commit(ctx context.Context, events []*commit) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	var refused *jetstream.APIError
	if len(events) >= minBatch {
		err := b.publishBatch(ctx, events)
		if !errors.As(err, &refused) { // stored, or unknown: either way settled
			for _, c := range events {
				c.settle(err)
			}
			return
		}
		// A duplicate refuses its whole batch: each is then told apart.
	}
	var wg sync.WaitGroup
	for _, c := range events {
		wg.Go(func() {
			c.settle(b.publishOne(ctx, c))
		})
	}
	wg.Wait()
}

func (c *commit) settle(err error) {
	c.err = err
	close(c.done)
}

// publishOne stores one event by itself.
func (b *Bus) publishOne(ctx context.Context, c *commit) error {
	ack, err := b.js.PublishMsg(ctx, c.message(), jetstream.WithExpectStream(StreamReports))
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == errMaxPerSubject || api.ErrorCode == errWrongLastSubject) {
		c.ack.Duplicate = true
		return nil
	}
	if err == nil {
		c.ack.Duplicate = ack.Duplicate
	}
	return err
}

func (c *commit) message() *nats.Msg {
	msg := nats.NewMsg(c.event.Subject)
	msg.Data = c.event.Data
	msg.Header.Set(jetstream.MsgIDHeader, c.event.ID)
	return msg
}

// publishBatch stores events as one atomic batch: all of them or none. A
// refusal by the stream is a jetstream.APIError.
func (b *Bus) publishBatch(ctx context.Context, events []*commit) error {
	id := nuid.Next()
	last := len(events) - 1
	for i, c := range events {
		msg := c.message()
		msg.Header.Set("Nats-Batch-Id", id)
		msg.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		if i < last {
			if err := b.nc.PublishMsg(msg); err != nil {
				return err
			}
			continue
		}
		msg.Header.Set("Nats-Batch-Commit", "1")
		reply, err := b.nc.RequestMsgWithContext(ctx, msg)
		if err != nil {
			return err
		}
		return batchAck(reply.Data, id, len(events))
	}
	return nil
}

// batchAck reads the stream's answer to a batch.
func batchAck(data []byte, id string, count int) error {
	var ack struct {
		Error *jetstream.APIError `json:"error"`
		Seq   uint64              `json:"seq"`
		Batch string              `json:"batch"`
		Count int                 `json:"count"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return fmt.Errorf("batch: the stream's answer cannot be read: %w", err)
	}
	if ack.Error != nil {
		return ack.Error
	}
	if ack.Seq == 0 || ack.Batch != id || ack.Count != count {
		return fmt.Errorf("batch: the stream acknowledged %d of %d", ack.Count, count)
	}
	return nil
}
