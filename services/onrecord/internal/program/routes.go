package program

import (
	"net/http"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/web"
)

// routes are the program's own, beside those of its services.
func (p *Program) routes() []web.Route {
	anyone := []web.Role{web.Anyone}
	return []web.Route{
		{Method: http.MethodGet, Path: "/metrics", Who: anyone, Handler: serveMetrics},
	}
}

// serveMetrics answers the operator on this machine only: counts by the minute
// could tell a manager who reported.
func serveMetrics(c *fiber.Ctx) error {
	if !web.AskedHere(c) {
		return fiber.ErrNotFound
	}
	c.Set(fiber.HeaderContentType, "text/plain; version=0.0.4; charset=utf-8")
	metrics.WritePrometheus(c.Response().BodyWriter(), true)
	metrics.WriteFDMetrics(c.Response().BodyWriter())
	return nil
}
