package people

import (
	"crypto/sha256"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
)

// How often sign-ins may fail. An address that many share is given more, and
// its failures fade faster: an office of people who mistype now and then is
// never slowed down, while one guess a minute is the most anybody keeps up over
// all names. For one name it is one in 15 minutes, about 100 a day.
const (
	freeForAccount = 5  // failures from one address for one name before there is a delay
	freeForAddress = 50 // failures from one address for any names
	firstDelay     = 30 * time.Second
	longestDelay   = 15 * time.Minute // each failure doubles the delay up to this
	accountFades   = 15 * time.Minute // one failure for a name is forgiven in this time
	addressFades   = time.Minute      // one failure from an address is forgiven in this time
	mostRemembered = 20_000           // names and addresses; the oldest are forgotten first
)

// rule says how many failures under a key are free, and how fast one fades.
type rule struct {
	free  int
	fades time.Duration
}

var (
	forAccount = rule{freeForAccount, accountFades}
	forAddress = rule{freeForAddress, addressFades}
)

// limiter slows down guessing, by name and address and by address, as far as
// this process has seen it. A name counts whether or not there is such an
// account, so a delay tells nothing.
type limiter struct {
	now  func() time.Time
	mu   sync.Mutex
	kept map[[sha256.Size]byte]*kept // by hash: a name may be as long as a request
}

// kept are attempts with the rule they are under.
type kept struct {
	attempts
	rule rule
}

// attempts are the failures under a key.
type attempts struct {
	failed int
	faded  time.Time // failures were forgiven up to here
	last   time.Time
	until  time.Time // nobody is let try before
}

// fade forgives what time has forgiven by now, and reports whether that is all.
func (a *attempts) fade(r rule, now time.Time) bool {
	n := max(int(now.Sub(a.faded)/r.fades), 0)
	a.failed = max(a.failed-n, 0)
	a.faded = a.faded.Add(time.Duration(n) * r.fades)
	return a.failed == 0
}

// fail counts one failure.
func (a *attempts) fail(r rule, now time.Time) {
	if a.fade(r, now) {
		*a = attempts{faded: now}
	}
	a.failed++
	a.last = now
	if over := a.failed - r.free; over >= 0 {
		a.until = now.Add(min(firstDelay<<min(over, 10), longestDelay))
	}
}

// undo takes back one failure.
func (a *attempts) undo(r rule) {
	if a.failed = max(a.failed-1, 0); a.failed < r.free {
		a.until = time.Time{}
	}
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, kept: make(map[[sha256.Size]byte]*kept)}
}

// attempt is one that was let happen. It counts as failed until it is told
// otherwise, so that many at once are no way around.
type attempt struct {
	limiter   *limiter
	pair, all [sha256.Size]byte
}

// begin lets an attempt happen, or returns fault.TooMany with when it may.
func (l *limiter) begin(name, address string) (attempt, error) {
	a := attempt{l, sha256.Sum256([]byte(address + " " + strings.ToLower(name))), sha256.Sum256([]byte(address))}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range [][sha256.Size]byte{a.pair, a.all} {
		if kept := l.kept[key]; kept != nil && now.Before(kept.until) {
			return attempt{}, tooMany(kept.until.Sub(now))
		}
	}
	l.fail(a.pair, forAccount, now)
	l.fail(a.all, forAddress, now)
	return a, nil
}

func tooMany(wait time.Duration) error {
	return fault.New(fault.TooMany, "too_many_sign_ins", "There were too many attempts to sign in. Wait "+inWords(wait)+" and try again.").Retry(wait)
}

// succeeded forgets the failures for the name, and this one for the address.
func (a attempt) succeeded() {
	if a.limiter == nil {
		return // it was not let happen here
	}
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	delete(a.limiter.kept, a.pair)
	a.limiter.undo(a.all)
}

// undone takes back an attempt that was never decided.
func (a attempt) undone() {
	if a.limiter == nil {
		return
	}
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	a.limiter.undo(a.pair)
	a.limiter.undo(a.all)
}

// undo takes back one failure under a key.
func (l *limiter) undo(key [sha256.Size]byte) {
	if k := l.kept[key]; k != nil {
		k.undo(k.rule)
	}
}

// fail counts one failure under a key.
func (l *limiter) fail(key [sha256.Size]byte, r rule, now time.Time) {
	k := l.kept[key]
	if k == nil {
		if len(l.kept) >= mostRemembered {
			l.forget(now)
		}
		k = &kept{rule: r}
		l.kept[key] = k
	}
	k.fail(r, now)
}

// forget makes room: it drops what is past, and else the older half.
func (l *limiter) forget(now time.Time) {
	var total time.Duration
	for key, a := range l.kept {
		if a.fade(a.rule, now) && !now.Before(a.until) {
			delete(l.kept, key)
			continue
		}
		total += now.Sub(a.last)
	}
	if len(l.kept) < mostRemembered {
		return
	}
	mean := total / time.Duration(len(l.kept))
	for key, a := range l.kept {
		if now.Sub(a.last) >= mean {
			delete(l.kept, key)
		}
	}
}

// inWords rounds a wait up to what people count in.
func inWords(d time.Duration) string {
	switch minutes := int((d + time.Minute - 1) / time.Minute); {
	case d <= 30*time.Second:
		return "30 seconds"
	case minutes == 1:
		return "a minute"
	default:
		return strconv.Itoa(minutes) + " minutes"
	}
}
