package people

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/onrecord/onrecord/pkg/seal"
)

// Shared changes a small value that every instance sees: change gets it as it
// is, nil when there is none, and returns the new one, nil to leave it. It may
// be called several times. Values nobody changes for a day may be forgotten.
type Shared func(ctx context.Context, name string, change func(old []byte) []byte) error

const (
	sharedTimeout = 500 * time.Millisecond // a sign-in does not wait longer for the other instances' counts
	sharedAtOnce  = 16                     // beyond which each instance counts for itself: a flood must not reach the disk
)

// guard slows down guessing over every instance and across restarts. Where the
// shared counts cannot be had, what this process has counted decides.
type guard struct {
	local  *limiter
	shared Shared
	key    []byte
	slots  chan struct{}
	now    func() time.Time
	log    *slog.Logger
}

func newGuard(cfg Config) *guard {
	return &guard{newLimiter(cfg.Now), cfg.Shared, cfg.Key, make(chan struct{}, sharedAtOnce), cfg.Now, cfg.Log.With("category", "people")}
}

// trial is an attempt that was let happen. It counts as failed until it is
// told otherwise.
type trial struct {
	guard     *guard
	local     attempt
	pair, all string // names of the shared counts; "" when they were not counted
}

// begin lets an attempt happen, or returns fault.TooMany with when it may.
func (g *guard) begin(ctx context.Context, name, address string) (trial, error) {
	local, localErr := g.local.begin(name, address)
	t := trial{guard: g, local: local}
	if g.shared == nil {
		return t, localErr
	}
	pair, all := g.name(address, strings.ToLower(name)), g.name(address)
	wait, err := g.blocked(ctx, all, pair)
	if err == nil && wait == 0 {
		wait, err = g.count(ctx, pair, forAccount)
	}
	if err == nil && wait == 0 {
		if wait, err = g.count(ctx, all, forAddress); err != nil || wait > 0 {
			_ = g.change(ctx, pair, func(a *attempts) { a.undo(forAccount) })
		}
	}
	switch {
	case err != nil:
		metrics.GetOrCreateCounter(`onrecord_sign_ins_counted_alone_total`).Inc()
		g.log.Warn("failed sign-ins are counted by this instance alone for now", "error", err)
		return t, localErr
	case wait > 0:
		return trial{}, tooMany(wait)
	}
	t.pair, t.all = pair, all
	return t, nil
}

// name returns the name of a shared count. It tells nothing about an address
// or a person without the key.
func (g *guard) name(parts ...string) string {
	raw := make([][]byte, len(parts))
	for i, p := range parts {
		raw[i] = []byte(p)
	}
	return base64.RawURLEncoding.EncodeToString(seal.MAC(g.key, raw...)[:18])
}

// blocked returns how long nobody is let try under one of the names. It only
// reads: whoever goes on trying while they are not let must not have anything
// written to disk.
func (g *guard) blocked(ctx context.Context, names ...string) (wait time.Duration, err error) {
	now := g.now()
	for _, name := range names {
		if err = g.change(ctx, name, func(a *attempts) { wait = max(wait, a.until.Sub(now)) }); err != nil {
			break
		}
	}
	return wait, err
}

// count counts one failure, or returns how long nobody is let try.
func (g *guard) count(ctx context.Context, name string, r rule) (wait time.Duration, err error) {
	now := g.now()
	err = g.change(ctx, name, func(a *attempts) {
		if wait = max(a.until.Sub(now), 0); wait == 0 {
			a.fail(r, now)
		}
	})
	return wait, err
}

// stored is how attempts are kept in the shared counts. Times are Unix
// milliseconds.
type stored struct {
	Failed int   `json:"f"`
	Faded  int64 `json:"d"`
	Until  int64 `json:"u,omitempty"`
}

// change changes the attempts under a name.
func (g *guard) change(ctx context.Context, name string, do func(a *attempts)) error {
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		return errFlood
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedTimeout)
	defer cancel()
	return g.shared(ctx, name, func(old []byte) []byte {
		var s stored
		var a attempts
		if len(old) > 0 && json.Unmarshal(old, &s) == nil { // what cannot be read begins anew
			a = attempts{failed: max(s.Failed, 0), faded: time.UnixMilli(s.Faded)}
			if s.Until > 0 {
				a.until = time.UnixMilli(s.Until)
			}
		}
		before := a
		do(&a)
		if a == before {
			return nil
		}
		s = stored{a.failed, a.faded.UnixMilli(), 0}
		if !a.until.IsZero() {
			s.Until = a.until.UnixMilli()
		}
		value, _ := json.Marshal(s) // numbers cannot fail
		return value
	})
}

// succeeded forgets the failures for the name, and this one for the address.
func (t trial) succeeded(ctx context.Context) {
	t.local.succeeded()
	t.settle(ctx, func(a *attempts) { *a = attempts{faded: t.guard.now()} })
}

// undone takes back an attempt that was never decided.
func (t trial) undone(ctx context.Context) {
	t.local.undone()
	t.settle(ctx, func(a *attempts) { a.undo(forAccount) })
}

func (t trial) settle(ctx context.Context, pair func(a *attempts)) {
	if t.pair == "" {
		return
	}
	err := t.guard.change(ctx, t.pair, pair)
	if err == nil {
		err = t.guard.change(ctx, t.all, func(a *attempts) { a.undo(forAddress) })
	}
	if err != nil { // it fades
		t.guard.log.Warn("a sign-in stays counted as failed", "error", err)
	}
}
