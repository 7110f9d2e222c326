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
	mu    sync.Mutex
	open  map[net.Conn]fasthttp.ConnState
	empty chan struct{} // closed once the last one is; nil while nobody waits
}

func newConnections() *connections {
	return &connections{open: make(map[net.Conn]fasthttp.ConnState)}
}

// note is called by fasthttp whenever a connection's state changes.
func (cs *connections) note(c net.Conn, s fasthttp.ConnState) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if s != fasthttp.StateClosed {
		cs.open[c] = s
		return
	}
	delete(cs.open, c)
	if len(cs.open) == 0 && cs.empty != nil {
		close(cs.empty)
		cs.empty = nil
	}
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
