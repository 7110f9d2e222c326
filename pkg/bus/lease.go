package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/nats-io/nats.go/jetstream"
)

// LeaseProjector is held by the instance of reporting that writes what the
// stream says.
const LeaseProjector = "projector"

// A lease is a key whose holder writes it again and again. No clock is
// compared with another machine's: the holder counts from when it began to
// write, the others from when they saw that it had been written, which is
// later. In between, what the holder had under way is cut off.
const (
	leaseRenewed = time.Second
	leaseHeld    = 3 * time.Second // the holder stops this long after the last renewal that succeeded
	leaseFree    = 5 * time.Second // the others take it this long after they last saw a renewal
)

// ErrDeposed is the cause of a context that ended because the lease was lost.
var ErrDeposed = errors.New("another instance may hold the lease by now")

// lease is this process's side of a lease.
type lease struct {
	bus    *Bus
	kv     jetstream.KeyValue
	name   string
	holder string // of this process; never empty
	rev    uint64 // of our own last write
	began  time.Time
}

// Lead runs do whenever this process holds the lease, until ctx is done or do
// returns by itself, whose error it returns. Among the instances of a service
// one leads at a time. When it ends in order another takes over at once, when
// it is killed after some seconds.
//
// do's context ends with ctx, or, with the cause ErrDeposed, before another
// instance can hold the lease: work under way must then stop at once. A process
// that was halted in the middle of a write, as by a debugger, may still end
// that write afterwards.
func (b *Bus) Lead(ctx context.Context, name string, do func(ctx context.Context) error) error {
	kv, err := b.bucket(ctx, BucketLeases)
	if err != nil {
		return err
	}
	host, _ := os.Hostname()
	l := &lease{bus: b, kv: kv, name: name, holder: fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:8])}
	held := metrics.GetOrCreateGauge(fmt.Sprintf(`onrecord_lease_held{lease=%q}`, name), nil)
	for {
		if l.acquire(ctx) != nil {
			return nil //nolint:nilerr // ctx is done
		}
		b.log.Info("this instance leads", "lease", name)
		held.Set(1)
		err := l.lead(ctx, do)
		held.Set(0)
		if !errors.Is(err, ErrDeposed) {
			l.release(ctx)
			return err
		}
		b.log.Warn("this instance leads no more: the lease could not be renewed", "lease", name)
	}
}

// acquire returns once this process holds the lease, or with the error of ctx.
func (l *lease) acquire(ctx context.Context) error {
	tick := time.NewTicker(leaseRenewed / 2)
	defer tick.Stop()
	var seen uint64
	var at time.Time
	var said string
	for {
		began := time.Now()
		entry, err := l.kv.Get(ctx, l.name)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			l.rev, err = l.kv.Create(ctx, l.name, []byte(l.holder))
		case err != nil:
		case string(entry.Value()) == l.holder, len(entry.Value()) == 0, entry.Revision() == seen && time.Since(at) >= leaseFree:
			l.rev, err = l.kv.Update(ctx, l.name, []byte(l.holder), entry.Revision())
		case entry.Revision() != seen:
			seen, at = entry.Revision(), time.Now()
			fallthrough
		default:
			err = errHeld
		}
		if err == nil {
			l.began = began
			return nil
		}
		if !overtaken(err) && !errors.Is(err, errHeld) && ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			l.bus.log.Warn("the lease cannot be read", "lease", l.name, "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

var errHeld = errors.New("held by another instance")

// lead runs do until it returns, and renews the lease beside it.
func (l *lease) lead(ctx context.Context, do func(ctx context.Context) error) error {
	leading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	done := make(chan error, 1)
	go func() { done <- do(leading) }()
	tick := time.NewTicker(leaseRenewed)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
		if l.renew(ctx) {
			continue
		}
		stop(ErrDeposed)
		<-done //nolint:errcheck // it was cut off
		if ctx.Err() != nil {
			return nil
		}
		return ErrDeposed
	}
}

// renew reports whether this process still holds the lease. It goes on while
// ctx is done already: what was begun is finished under the lease.
func (l *lease) renew(ctx context.Context) bool {
	began := time.Now()
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), l.began.Add(leaseHeld))
	defer cancel()
	rev, err := l.kv.Update(ctx, l.name, []byte(l.holder), l.rev)
	switch {
	case err == nil:
		l.rev, l.began = rev, began
		return true
	case overtaken(err):
		return false
	}
	l.bus.log.Warn("the lease was not renewed", "lease", l.name, "error", err)
	return time.Since(l.began)+leaseRenewed < leaseHeld
}

// release lets another instance take over at once.
func (l *lease) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if _, err := l.kv.Update(ctx, l.name, nil, l.rev); err != nil {
		l.bus.log.Warn("the lease was not given back: another instance takes it over when it has run out", "lease", l.name, "error", err)
	}
}
