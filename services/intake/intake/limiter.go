package intake

import (
	"net/netip"
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

// allow counts a question and returns zero, or how long to wait with it.
func (l *limiter) allow(address string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := now.Truncate(time.Minute); !minute.Equal(l.minute) {
		l.minute, l.total = minute, 0
		clear(l.clients)
	}
	client := network(address)
	if l.total >= l.inAll || l.clients[client] >= l.perClient {
		return l.minute.Add(time.Minute).Sub(now)
	}
	l.total++
	l.clients[client]++
	return 0
}

// network returns what one client can be told by: an IPv4 address, or the
// 64-bit prefix that one IPv6 line has to itself.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}
