package program

import (
	_ "embed"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/web"
)

// OpenAPI describes the HTTP API. A test holds it against the routes.
//
//go:embed openapi.yaml
var OpenAPI []byte

// routes are the program's own, beside those of its services.
func (p *Program) routes() []web.Route {
	anyone := []web.Role{web.Anyone}
	return []web.Route{
		{Method: http.MethodGet, Path: "/api/v1/openapi.yaml", Who: anyone, Handler: serveOpenAPI},
		{Method: http.MethodGet, Path: "/metrics", Who: anyone, Handler: serveMetrics},
	}
}

func serveOpenAPI(c *fiber.Ctx) error {
	c.Set(fiber.HeaderContentType, "application/yaml")
	return c.Send(OpenAPI)
}

// loopbackName reports whether a Host header names this machine to itself, and
// not a site that a proxy or a page that rebinds its name speaks for.
func loopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// serveMetrics answers the operator on this machine only: counts by the minute
// could tell a manager who reported. A request that a proxy passed on is
// somebody else's.
func serveMetrics(c *fiber.Ctx) error {
	from, err := netip.ParseAddrPort(c.Context().RemoteAddr().String())
	if err != nil || !from.Addr().Unmap().IsLoopback() || !loopbackName(c.Hostname()) {
		return fiber.ErrNotFound
	}
	for _, h := range []string{fiber.HeaderXForwardedFor, "Forwarded", "X-Real-Ip", "Via"} {
		if c.Get(h) != "" {
			return fiber.ErrNotFound
		}
	}
	c.Set(fiber.HeaderContentType, "text/plain; version=0.0.4; charset=utf-8")
	metrics.WritePrometheus(c.Response().BodyWriter(), true)
	metrics.WriteFDMetrics(c.Response().BodyWriter())
	return nil
}
