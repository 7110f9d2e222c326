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

// limiter slows down guessing, by name and address and by address. It counts
// in memory: a restart forgets, and each instance counts for itself. A name
// counts whether or not there is such an account, so a delay tells nothing.
type limiter struct {
	now  func() time.Time
	mu   sync.Mutex
	kept map[[sha256.Size]byte]*attempts // by hash: a name may be as long as a request
}

type attempts struct {
	failed int
	fades  time.Duration // one failure is forgiven in this time
	faded  time.Time     // failures were forgiven up to here
	last   time.Time
	until  time.Time // nobody is let try before
}

// fade forgives what time has forgiven by now, and reports whether that is all.
func (a *attempts) fade(now time.Time) bool {
	n := max(int(now.Sub(a.faded)/a.fades), 0)
	a.failed = max(a.failed-n, 0)
	a.faded = a.faded.Add(time.Duration(n) * a.fades)
	return a.failed == 0
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, kept: make(map[[sha256.Size]byte]*attempts)}
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
			wait := kept.until.Sub(now)
			return attempt{}, fault.New(fault.TooMany, "too_many_sign_ins",
				"There were too many attempts to sign in. Wait "+inWords(wait)+" and try again.").Retry(wait)
		}
	}
	l.fail(a.pair, freeForAccount, accountFades, now)
	l.fail(a.all, freeForAddress, addressFades, now)
	return a, nil
}

// succeeded forgets the failures for the name, and this one for the address.
func (a attempt) succeeded() {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	delete(a.limiter.kept, a.pair)
	a.limiter.undo(a.all, freeForAddress)
}

// undone takes back an attempt that was never decided.
func (a attempt) undone() {
	a.limiter.mu.Lock()
	defer a.limiter.mu.Unlock()
	a.limiter.undo(a.pair, freeForAccount)
	a.limiter.undo(a.all, freeForAddress)
}

// undo takes back one failure under a key.
func (l *limiter) undo(key [sha256.Size]byte, free int) {
	if a := l.kept[key]; a != nil {
		if a.failed = max(a.failed-1, 0); a.failed < free {
			a.until = time.Time{}
		}
	}
}

// fail counts one failure under a key.
func (l *limiter) fail(key [sha256.Size]byte, free int, fades time.Duration, now time.Time) {
	a := l.kept[key]
	if a == nil || a.fade(now) {
		if a == nil && len(l.kept) >= mostRemembered {
			l.forget(now)
		}
		a = &attempts{fades: fades, faded: now}
		l.kept[key] = a
	}
	a.failed++
	a.last = now
	if over := a.failed - free; over >= 0 {
		a.until = now.Add(min(firstDelay<<min(over, 10), longestDelay))
	}
}

// forget makes room: it drops what is past, and else the older half.
func (l *limiter) forget(now time.Time) {
	var total time.Duration
	for key, a := range l.kept {
		if a.fade(now) && !now.Before(a.until) {
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
