package intake

import (
	"sync"
	"time"
)

// limiter counts questions per client and in all within the running minute.
// Addresses are held in memory for that minute and nowhere else.
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

// allow counts a question and returns zero, or how long to wait with it. The
// client is told by web.ClientNetwork.
func (l *limiter) allow(client string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := now.Truncate(time.Minute); !minute.Equal(l.minute) {
		l.minute, l.total = minute, 0
		clear(l.clients)
	}
	if l.total >= l.inAll || l.clients[client] >= l.perClient {
		return l.minute.Add(time.Minute).Sub(now)
	}
	l.total++
	l.clients[client]++
	return 0
}
