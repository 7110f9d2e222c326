package web

import (
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"
)

// connections knows what every open connection is doing. fasthttp closes idle
// ones when it stops, but waits for those on which nothing was ever asked:
// browsers open some in advance, and keep them.
//
// It also bounds how many are open, in all and from one network. When there
// are more, the one that has waited longest for somebody to say something is
// closed for the new one, so that nobody keeps others out by holding
// connections open. Only when all of them are being answered is the new one
// closed.
type connections struct {
	most       int // how many may be open
	perNetwork int // how many one network may have open; 0: no limit

	mu       sync.Mutex
	open     map[net.Conn]*connection
	networks map[string]int // how many are open of each
	empty    chan struct{}  // closed once the last one is; nil while nobody waits
}

type connection struct {
	state     fasthttp.ConnState
	since     time.Time // since when it is in this state
	answering bool      // a request was read and is being answered
	network   string
}

// newConnections counts by itself rather than with fasthttp's MaxConnsPerIP,
// which leaves IPv6 out, and uses a connection's value again for another while
// note may still be told of the first.
func newConnections(most, perNetwork int) *connections {
	return &connections{most: most, perNetwork: perNetwork, open: make(map[net.Conn]*connection), networks: make(map[string]int)}
}

// note is called by fasthttp whenever a connection's state changes.
func (cs *connections) note(c net.Conn, s fasthttp.ConnState) {
	if tooMany := cs.record(c, s); tooMany != nil {
		connectionsCut.Inc()
		_ = tooMany.Close() // fasthttp notes that there is nothing to read, and ends it
	}
}

var connectionsCut = metrics.NewCounter(`onrecord_http_connections_cut_total`)

// record returns the connection that has to go for a new one, if any.
func (cs *connections) record(c net.Conn, s fasthttp.ConnState) (tooMany net.Conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	known := cs.open[c]
	switch {
	case s == fasthttp.StateClosed:
		cs.forget(c)
	case known != nil:
		known.state, known.since = s, time.Now()
	default:
		from := network(addrOf(c.RemoteAddr()))
		cs.open[c] = &connection{state: s, since: time.Now(), network: from}
		cs.networks[from]++
		switch {
		case cs.perNetwork > 0 && cs.networks[from] > cs.perNetwork:
			return cs.longestWaiting(c, func(o *connection) bool { return o.network == from })
		case len(cs.open) > cs.most:
			return cs.longestWaiting(c, func(*connection) bool { return true })
		}
	}
	return nil
}

// longestWaiting takes the connection that has waited longest out of the count
// and returns it: one of those that may go, or else the new one.
func (cs *connections) longestWaiting(newest net.Conn, mayGo func(*connection) bool) net.Conn {
	victim := newest
	for c, o := range cs.open {
		if !o.answering && mayGo(o) && o.since.Before(cs.open[victim].since) {
			victim = c
		}
	}
	cs.forget(victim)
	return victim
}

func (cs *connections) forget(c net.Conn) {
	known := cs.open[c]
	if known == nil {
		return
	}
	delete(cs.open, c)
	if cs.networks[known.network]--; cs.networks[known.network] == 0 {
		delete(cs.networks, known.network)
	}
	if len(cs.open) == 0 && cs.empty != nil {
		close(cs.empty)
		cs.empty = nil
	}
}

// answering notes that a request is being answered on a connection, or no
// longer.
func (cs *connections) answering(c net.Conn, is bool) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if known := cs.open[c]; known != nil {
		known.answering = is
	}
}

// closeUnused closes the connections on which nothing was ever asked.
func (cs *connections) closeUnused() {
	cs.mu.Lock()
	var unused []net.Conn
	for c, o := range cs.open {
		if o.state == fasthttp.StateNew {
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
