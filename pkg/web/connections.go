package web

import (
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// connections knows what every open connection is doing. fasthttp closes idle
// ones when it stops, but waits for those on which nothing was ever asked:
// browsers open some in advance, and keep them.
type connections struct {
	perNetwork int // how many one network may have open; 0: no limit

	mu       sync.Mutex
	open     map[net.Conn]fasthttp.ConnState
	networks map[string]int // how many are open of each
	empty    chan struct{}  // closed once the last one is; nil while nobody waits
}

// newConnections counts by itself rather than with fasthttp's MaxConnsPerIP,
// which leaves IPv6 out, and uses a connection's value again for another while
// note may still be told of the first.
func newConnections(perNetwork int) *connections {
	return &connections{perNetwork: perNetwork, open: make(map[net.Conn]fasthttp.ConnState), networks: make(map[string]int)}
}

// note is called by fasthttp whenever a connection's state changes.
func (cs *connections) note(c net.Conn, s fasthttp.ConnState) {
	if cs.record(c, s) {
		_ = c.Close() // fasthttp notes that there is nothing to read, and ends it
	}
}

// record reports whether a new connection is one too many of its network.
func (cs *connections) record(c net.Conn, s fasthttp.ConnState) (tooMany bool) {
	from := network(addrOf(c.RemoteAddr()))
	cs.mu.Lock()
	defer cs.mu.Unlock()
	_, known := cs.open[c]
	if s != fasthttp.StateClosed {
		cs.open[c] = s
		if !known {
			cs.networks[from]++
		}
		return !known && cs.perNetwork > 0 && cs.networks[from] > cs.perNetwork
	}
	if !known {
		return false
	}
	delete(cs.open, c)
	if cs.networks[from]--; cs.networks[from] == 0 {
		delete(cs.networks, from)
	}
	if len(cs.open) == 0 && cs.empty != nil {
		close(cs.empty)
		cs.empty = nil
	}
	return false
}

// closeUnused closes the connections on which nothing was ever asked.
func (cs *connections) closeUnused() {
	cs.mu.Lock()
	var unused []net.Conn
	for c, s := range cs.open {
		if s == fasthttp.StateNew {
			unused = append(unused, c)
		}
	}
	cs.mu.Unlock()
	closeAll(unused)
}

// cut closes every connection, whatever it is doing, waits a little until their
// handlers have noticed, and returns how many there were.
func (cs *connections) cut(wait time.Duration) int {
	empty := make(chan struct{})
	cs.mu.Lock()
	all := slices.Collect(maps.Keys(cs.open))
	if cs.empty = empty; len(all) == 0 {
		close(empty)
		cs.empty = nil
	}
	cs.mu.Unlock()
	closeAll(all)
	select {
	case <-empty:
	case <-time.After(wait):
	}
	return len(all)
}

// closeAll closes connections. It is called without the lock, because over TLS
// closing says goodbye first.
func closeAll(open []net.Conn) {
	for _, c := range open {
		_ = c.Close()
	}
}
