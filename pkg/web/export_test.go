package web

import (
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"
)

// SetDrainTime shortens how long a stop waits for requests in hand.
func (a *App) SetDrainTime(d time.Duration) { a.drainTime = d }

// SetPerNetwork changes how many connections one network may have open; 0 is
// no limit. It returns what there was.
func (a *App) SetPerNetwork(n int) int {
	was := a.connections.perNetwork
	a.connections.perNetwork = n
	return was
}

// SetConnections changes how many connections may be open.
func (a *App) SetConnections(n int) { a.connections.most = n }

// Idle returns how many connections were answered and wait for the next request.
func (a *App) Idle() (n int) {
	a.connections.mu.Lock()
	defer a.connections.mu.Unlock()
	for _, c := range a.connections.open {
		if c.state == fasthttp.StateIdle {
			n++
		}
	}
	return n
}

// SetPatience changes how long a request's line and headers, and a body of any
// size, may take. It is called before Serve.
func (a *App) SetPatience(d time.Duration) {
	a.fiber.Server().ReadTimeout, a.limits.bodyTime = d, d
}

// SetBodies changes how many bytes all larger bodies may have together.
func (a *App) SetBodies(n int64) { a.limits.bodies.most = n }

// BodiesHeld returns how many bytes larger bodies have at the moment.
func (a *App) BodiesHeld() int64 {
	a.limits.bodies.mu.Lock()
	defer a.limits.bodies.mu.Unlock()
	return a.limits.bodies.held
}

// SetInHand changes how many requests are answered at once. It is called
// before Serve.
func (a *App) SetInHand(n int) { a.limits.inHand = make(chan struct{}, n) }

// Network is what ClientNetwork returns for an address.
func Network(ip netip.Addr) string { return network(ip) }

// ClientBehind is the client of a request that came through a proxy at 10.0.0.1.
func ClientBehind(forwarded string) string {
	proxy := netip.MustParseAddr("10.0.0.1")
	return proxies{netip.PrefixFrom(proxy, 8)}.client(proxy, forwarded).String()
}
