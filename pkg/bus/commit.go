package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/onrecord/onrecord/pkg/failpoint"
)

// Group commit: whoever publishes while nobody else does is published at once.
// What arrives meanwhile waits, and whoever of them is next commits all of it
// in one durable write, an atomic batch (NATS ADR-50). Nothing is held back to
// make batches larger: they grow by themselves with the crowd.
const (
	commitTimeout = 5 * time.Second
	maxBatch      = 256     // events in one batch
	maxBatchBytes = 4 << 20 // of their data; staged in memory until they are on disk
	maxTogether   = 64      // events in one batch of PublishAll: whoever publishes a single one waits for no longer batch

	// stagedOnDisk is from how many events on a batch pays where the server
	// stages it on disk, which costs 7 to 25 ms; a single event costs about
	// 0.2 ms. Staged in memory a batch costs hardly more than a single event.
	stagedOnDisk   = 40
	stagedInMemory = 2
)

// Answers of JetStream that say the subject already holds its event. The code
// of the first is that of everything the store refuses, a full stream too.
const (
	errNotStored        = jetstream.ErrorCode(10077)
	holdsOne            = "maximum messages per subject exceeded"
	errWrongLastSubject = jetstream.ErrorCode(10071)
)

func isDuplicate(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == errNotStored && api.Description == holdsOne || api.ErrorCode == errWrongLastSubject)
}

// group gathers events that wait for a commit.
type group struct {
	minBatch int           // events below which each is published by itself
	token    chan struct{} // held by the one who commits
	mu       sync.Mutex
	waiting  []*commit
}

// commit is one event on its way to disk.
type commit struct {
	event Event
	ack   Ack
	err   error
	done  chan struct{} // closed when ack and err are set
}

func newGroup() group {
	return group{minBatch: stagedOnDisk, token: make(chan struct{}, 1)}
}

// StagesInMemory says that the server stages batches in memory, so that two
// events are enough for one. It is called before the first Publish.
func (b *Bus) StagesInMemory() { b.commits.minBatch = stagedInMemory }

// Publish stores an event and returns once the stream has it on disk. An event
// whose subject the stream already holds is not stored again and is no error.
// Any failure is fault.Unavailable and means that nothing was promised: the
// event may or may not have been stored, and publishing it again is safe.
func (b *Bus) Publish(ctx context.Context, e Event) (Ack, error) {
	c := newCommit(e)
	g := &b.commits
	g.wait(c)
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
// returns one error for each, nil where it is on disk. Between its batches,
// which are small, it lets those publish who publish single events: somebody
// waits for each of these.
func (b *Bus) PublishAll(ctx context.Context, events []Event) []error {
	commits := make([]*commit, len(events))
	for i, e := range events {
		commits[i] = newCommit(e)
	}
	for left := commits; len(left) > 0; {
		var batch []*commit
		batch, left = cut(left, maxTogether)
		select {
		case b.commits.token <- struct{}{}:
			b.commit(ctx, batch)
			<-b.commits.token
		case <-ctx.Done():
			for _, c := range append(batch, left...) {
				c.settle(ctx.Err())
			}
			left = nil
		}
	}
	errs := make([]error, len(events))
	for i, c := range commits {
		_, errs[i] = c.result()
	}
	return errs
}

func newCommit(e Event) *commit { return &commit{event: e, done: make(chan struct{})} }

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

func (g *group) wait(c *commit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = append(g.waiting, c)
}

// take returns what waits, the oldest first, at most one batch.
func (g *group) take() (batch []*commit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	batch, g.waiting = cut(g.waiting, maxBatch)
	return batch
}

// cut returns the first batch of commits, of at most so many and maxBatchBytes,
// and what is left.
func cut(commits []*commit, most int) (batch, left []*commit) {
	n, size := 0, 0
	for n < min(len(commits), most) {
		if size += len(commits[n].event.Data); size > maxBatchBytes && n > 0 {
			break
		}
		n++
	}
	return commits[:n:n], commits[n:]
}

// commit puts events on disk and tells whoever waits for them. It does not end
// with the context of the one who happens to commit: others wait as well.
func (b *Bus) commit(ctx context.Context, events []*commit) {
	if len(events) == 0 { // somebody else was quicker
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	batchEvents.Update(float64(len(events)))
	var refused *jetstream.APIError
	if len(events) >= b.commits.minBatch {
		err := b.publishBatch(ctx, events)
		if !errors.As(err, &refused) { // stored, or unknown: either way settled
			for _, c := range events {
				c.settle(err)
			}
			return
		}
		// A duplicate refuses its whole batch: each is then told apart. So it is
		// when the batch could not be staged.
		batchesRefused.Inc()
	}
	if len(events) == 1 {
		events[0].settle(b.publishOne(ctx, events[0]))
		return
	}
	var wg sync.WaitGroup
	for _, c := range events {
		wg.Go(func() {
			c.settle(b.publishOne(ctx, c))
		})
	}
	wg.Wait()
}

var (
	batchEvents    = metrics.NewHistogram(`onrecord_bus_commit_events`) // events in one durable write
	batchesRefused = metrics.NewCounter(`onrecord_bus_batches_refused_total`)
)

func (c *commit) settle(err error) {
	c.err = err
	close(c.done)
}

// publishOne stores one event by itself.
func (b *Bus) publishOne(ctx context.Context, c *commit) error {
	failpoint.Hit(failpoint.PublishBefore)
	ack, err := b.js.PublishMsg(ctx, c.message(), jetstream.WithExpectStream(StreamReports))
	failpoint.Hit(failpoint.PublishAfter)
	if isDuplicate(err) {
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
	msg.Data = failpoint.Later(c.event.Data)
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
		failpoint.Hit(failpoint.BatchStaged)
		reply, err := b.nc.RequestMsgWithContext(ctx, msg)
		failpoint.Hit(failpoint.BatchAfter)
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
