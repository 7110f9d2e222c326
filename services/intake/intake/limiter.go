package intake

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/seal"
)

const (
	countTimeout = 500 * time.Millisecond // a question does not wait longer for the other instances' counts
	countAtOnce  = 16                     // beyond which each instance counts for itself: a flood must not reach the disk
)

// followUpLimiter counts questions over every instance of intake. Where the
// shared counts cannot be had, what this process has counted decides.
type followUpLimiter struct {
	local *limiter
	bus   *bus.Bus
	key   []byte
	slots chan struct{}
	log   *slog.Logger
}

func newFollowUpLimiter(b *bus.Bus, keys *seal.Keyring, log *slog.Logger) *followUpLimiter {
	return &followUpLimiter{newLimiter(followUpsPerClient, followUpsInAll), b, keys.Derive("follow-up limits"), make(chan struct{}, countAtOnce), log}
}

// allow counts a question and returns zero, or how long to wait with it. The
// client is told by web.ClientNetwork; what is shared of it is a keyed hash,
// for two minutes at most.
func (f *followUpLimiter) allow(ctx context.Context, client string, now time.Time) time.Duration {
	alone := f.local.allow(client, now)
	mine := base64.RawURLEncoding.EncodeToString(seal.MAC(f.key, []byte(client))[:18])
	allowed, err := f.count(ctx, mine, followUpsPerClient, now)
	if err == nil && allowed {
		allowed, err = f.count(ctx, "all", followUpsInAll, now)
	}
	switch {
	case err != nil:
		metrics.GetOrCreateCounter(`onrecord_intake_follow_ups_counted_alone_total`).Inc()
		f.log.Warn("follow-up questions are counted by this instance alone for now", "error", err)
		return alone
	case allowed:
		return 0
	}
	return restOfMinute(now)
}

var errFlood = errors.New("too many questions at once to count them together")

// count counts one under a name within the running minute, or reports that
// there were as many already.
func (f *followUpLimiter) count(ctx context.Context, name string, most int, now time.Time) (allowed bool, err error) {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	default:
		return false, errFlood
	}
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	minute := now.Truncate(time.Minute).Unix()
	err = f.bus.Update(ctx, bus.BucketFollowUps, name, func(old []byte) []byte {
		var c struct {
			Minute int64 `json:"m"`
			N      int   `json:"n"`
		}
		if len(old) > 0 && json.Unmarshal(old, &c) != nil || c.Minute < minute {
			c.N = 0 // what cannot be read begins anew
		}
		if allowed = c.N < most; !allowed {
			return nil
		}
		c.Minute, c.N = max(c.Minute, minute), c.N+1
		value, _ := json.Marshal(c) // numbers cannot fail
		return value
	})
	return allowed, err
}

func restOfMinute(now time.Time) time.Duration {
	return now.Truncate(time.Minute).Add(time.Minute).Sub(now)
}

// limiter counts questions per client and in all within the running minute, as
// far as this process has been asked. Addresses are held in memory for that
// minute.
type limiter struct {
	perClient, inAll int

	mu      sync.Mutex
	minute  time.Time
	clients map[string]int
	total   int
}

func newLimiter(perClient, inAll int) *limiter {
	return &limiter{perClient: perClient, inAll: inAll, clients: make(map[string]int)}
}

// allow counts a question and returns zero, or how long to wait with it.
func (l *limiter) allow(client string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := now.Truncate(time.Minute); !minute.Equal(l.minute) {
		l.minute, l.total = minute, 0
		clear(l.clients)
	}
	if l.total >= l.inAll || l.clients[client] >= l.perClient {
		return restOfMinute(now)
	}
	l.total++
	l.clients[client]++
	return 0
}

// places are those of whoever waits for the stream, in all and for one site.
type places struct {
	inAll, ofSite int

	mu     sync.Mutex
	taken  int
	bySite map[string]int // only sites of which some are taken
}

func newPlaces(inAll, ofSite int) *places {
	return &places{inAll: inAll, ofSite: ofSite, bySite: make(map[string]int)}
}

// take takes one for a report about a site, or about none, and reports whether
// there was one.
func (p *places) take(site string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.inAll || site != "" && p.bySite[site] >= p.ofSite {
		return false
	}
	p.taken++
	if site != "" {
		p.bySite[site]++
	}
	return true
}

func (p *places) leave(site string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if site == "" {
		return
	}
	if p.bySite[site]--; p.bySite[site] == 0 {
		delete(p.bySite, site)
	}
}
