package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Place is where an event stands in the stream, without what it holds.
type Place struct {
	Subject string
	Seq     uint64
	At      time.Time
}

// Walk calls fn with the place of each event up to sequence last, in order, in
// memory that does not grow with the stream. It stops at fn's first error and
// returns it. Events that are there and cannot be read, as on a failing disk,
// are passed over and counted: so does the server with those that it hands to
// the consumers, and tells nobody.
func (b *Bus) Walk(ctx context.Context, last uint64, fn func(Place) error) (unreadable int, err error) {
	h, err := b.Health(ctx)
	if err != nil {
		return 0, err
	}
	next, last := h.FirstSeq, min(last, h.LastSeq)
	stopped := false
	pass := func(to uint64) error {
		n, err := b.countUnreadable(ctx, next, to)
		unreadable, next = unreadable+n, to
		return err
	}
	for next <= last && h.Messages > 0 {
		cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: next, HeadersOnly: true}
		err := b.each(ctx, cfg, walkIdle, func(e Stored) error {
			if err := pass(min(e.Seq, last+1)); err != nil {
				return err
			}
			if e.Seq > last {
				return errStop
			}
			next = e.Seq + 1
			err := fn(Place{e.Subject, e.Seq, e.At})
			stopped = errors.Is(err, errStop)
			if err != nil || next <= last {
				return err
			}
			return errStop
		})
		if err != nil && !errors.Is(err, errIdle) {
			return unreadable, err
		}
		if stopped {
			return unreadable, nil
		}
		if next <= last { // nothing that can be read is left
			return unreadable, pass(last + 1)
		}
	}
	return unreadable, nil
}

// walkIdle is how long the server may give nothing before that is taken for
// the end of what can be read.
const walkIdle = 3 * time.Second

// countUnreadable returns how many events from one sequence up to another, not
// included, are neither to be read nor deleted.
func (b *Bus) countUnreadable(ctx context.Context, from, to uint64) (n int, err error) {
	if from >= to {
		return 0, nil
	}
	stream, err := b.js.Stream(ctx, StreamReports)
	if err != nil {
		return 0, unavailable.Because(err)
	}
	info, err := stream.Info(ctx, jetstream.WithDeletedDetails(true))
	if err != nil {
		return 0, unavailable.Because(err)
	}
	for seq := max(from, info.State.FirstSeq); seq < to; seq++ {
		if !slices.Contains(info.State.Deleted, seq) {
			n++
		}
	}
	return n, nil
}

var (
	errStop = errors.New("stop") // ends each without an error
	errIdle = errors.New("the server gives nothing")
)

// each calls fn with the events that an ordered consumer hands out. With idle
// it ends after those already there, or with errIdle when the server gives none
// for so long; with 0 it goes on with every new one until ctx is done.
func (b *Bus) each(ctx context.Context, cfg jetstream.OrderedConsumerConfig, idle time.Duration, fn func(Stored) error) error {
	stream, err := b.js.Stream(ctx, StreamReports)
	if err != nil {
		return unavailable.Because(err)
	}
	left := stream.CachedInfo().State.Msgs
	if left == 0 && idle > 0 {
		return nil
	}
	cons, err := stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return unavailable.Because(err)
	}
	msgs, err := cons.Messages()
	if err != nil {
		return unavailable.Because(err)
	}
	stop := context.AfterFunc(ctx, msgs.Stop)
	defer stop()
	defer msgs.Stop()
	var most []jetstream.NextOpt
	if idle > 0 {
		most = append(most, jetstream.NextMaxWait(idle))
	}
	for idle == 0 || left > 0 {
		m, err := msgs.Next(most...)
		switch {
		case errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return ctx.Err()
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
			return errIdle
		case err != nil:
			return unavailable.Because(err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		left = meta.NumPending
		err = fn(Stored{Subject: m.Subject(), Data: m.Data(), Seq: meta.Sequence.Stream, At: meta.Timestamp})
		if errors.Is(err, errStop) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Copy calls fn with the events up to sequence last, in order, content
// included. It stops at fn's first error and returns it. An event that cannot
// be read is an error: a copy that lacks it must not be taken for whole.
func (b *Bus) Copy(ctx context.Context, last uint64, fn func(Stored) error) error {
	if last == 0 {
		return nil
	}
	var at uint64
	err := b.each(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}, copyIdle, func(e Stored) error {
		if e.Seq > last {
			return errStop
		}
		at = e.Seq
		if err := fn(e); err != nil || e.Seq < last {
			return err
		}
		return errStop
	})
	if errors.Is(err, errIdle) {
		return fmt.Errorf("the stream gave nothing behind sequence %d for %v", at, copyIdle)
	}
	return err
}

const copyIdle = 15 * time.Second

// tailIdle is how long a look at what is there may take between two events.
const tailIdle = 15 * time.Second

// Tail calls fn with events of the stream in order: the last of those already
// there, all of them when last is 0, and with follow also every new one until
// ctx is done. It is for people who look; it remembers and acknowledges nothing.
func (b *Bus) Tail(ctx context.Context, last int, follow bool, fn func(Stored) error) error {
	stream, err := b.js.Stream(ctx, StreamReports)
	if err != nil {
		return unavailable.Because(err)
	}
	state := stream.CachedInfo().State
	cfg := jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy}
	if last > 0 && state.LastSeq > uint64(last) {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, state.LastSeq-uint64(last)+1
	}
	idle := time.Duration(0)
	if !follow {
		idle = tailIdle
	}
	err = b.each(ctx, cfg, idle, fn)
	switch {
	case ctx.Err() != nil:
		return nil //nolint:nilerr // whoever looked went away
	case errors.Is(err, errIdle):
		return unavailable.Because(err)
	}
	return err
}
