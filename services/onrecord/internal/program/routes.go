package program

import (
	_ "embed"
	"net/http"

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
