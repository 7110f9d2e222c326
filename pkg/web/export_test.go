package web

import (
	"net/netip"
	"time"
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

// Network is what ClientNetwork returns for an address.
func Network(ip netip.Addr) string { return network(ip) }

// ClientBehind is the client of a request that came through a proxy at 10.0.0.1.
func ClientBehind(forwarded string) string {
	proxy := netip.MustParseAddr("10.0.0.1")
	return proxies{netip.PrefixFrom(proxy, 8)}.client(proxy, forwarded).String()
}
