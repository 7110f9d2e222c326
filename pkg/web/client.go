package web

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// proxies are the networks of the reverse proxies whose X-Forwarded-For is
// believed.
type proxies []netip.Prefix

// parseProxies reads addresses and networks in prefix notation.
func parseProxies(texts []string) (proxies, error) {
	var ps proxies
	for _, text := range texts {
		text = strings.TrimSpace(text)
		p, err := netip.ParsePrefix(text)
		if err != nil {
			var ip netip.Addr
			ip, err = netip.ParseAddr(text)
			ip = ip.Unmap()
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		if err != nil || !p.IsValid() {
			return nil, fmt.Errorf("trusted proxy %q: want an address like 192.0.2.1 or a network like 10.0.0.0/8", text)
		}
		ps = append(ps, p)
	}
	return ps, nil
}

func (ps proxies) trust(ip netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// client returns who asked through peer. Every proxy appends the address it
// was asked from, so the header is read from the right, past proxies that are
// trusted: whatever stands further left may be made up by the client.
func (ps proxies) client(peer netip.Addr, forwarded string) netip.Addr {
	if !ps.trust(peer) {
		return peer
	}
	hops := strings.Split(forwarded, ",")
	for _, hop := range slices.Backward(hops) {
		ip, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return peer
		}
		if ip = ip.Unmap().WithZone(""); !ps.trust(ip) {
			return ip
		}
	}
	return peer
}

// ClientNetwork returns what one customer of a network holds of the address of
// whoever made a request to a mounted route: the whole of an IPv4 address, the
// first 64 bits of an IPv6 one. It is what limiters count by: one IPv6 line has
// 2^64 addresses.
func ClientNetwork(c *fiber.Ctx) string { return network(clientAddr(c)) }

// AskedHere reports whether somebody on this machine asks it by its own name
// and through nobody. What a proxy passed on is somebody else's, and so is what
// a web page asks that had its name lead here. X-Forwarded-Host is whatever the
// client wrote, so that a name is taken from Host alone.
func AskedHere(c *fiber.Ctx) bool {
	if !addrOf(c.Context().RemoteAddr()).IsLoopback() || !isLoopbackName(string(c.Request().Host())) {
		return false
	}
	for _, h := range []string{fiber.HeaderXForwardedFor, fiber.HeaderXForwardedHost, "Forwarded", "X-Real-Ip", "Via"} {
		if c.Get(h) != "" {
			return false
		}
	}
	return true
}

func isLoopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// clientAddr returns the address of whoever made a request to a mounted route:
// that of the connection, or the one that Config.TrustedProxies vouch for.
func clientAddr(c *fiber.Ctx) netip.Addr {
	peer := addrOf(c.Context().RemoteAddr())
	a, ok := c.Locals(appKey{}).(*App)
	if !ok {
		return peer
	}
	var forwarded []string
	for _, line := range c.Request().Header.PeekAll(fiber.HeaderXForwardedFor) {
		forwarded = append(forwarded, string(line))
	}
	return a.proxies.client(peer, strings.Join(forwarded, ","))
}

// addrOf returns the address of a socket's other end without its zone, the
// zero Addr where it has none.
func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap().WithZone("")
}

func network(ip netip.Addr) string {
	if !ip.Is6() {
		return ip.String()
	}
	return netip.PrefixFrom(ip, 64).Masked().String()
}
