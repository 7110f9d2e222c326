// Package web builds the Fiber application that every service with pages or an
// API runs in: limits, security headers, one error exit, authorisation by
// route table, sessions, templates and front-end assets.
package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/compress"
	"github.com/valyala/fasthttp"
)

// Limits on requests.
const (
	MaxJSONBody    = 256 << 10        // bytes of a body, unless the route says otherwise
	MaxBody        = 2 << 20          // bytes of any body
	readTimeout    = 60 * time.Second // for the slowest request, see pressure.go
	writeTimeout   = 60 * time.Second
	idleTimeout    = 75 * time.Second
	handlerTimeout = 15 * time.Second
	maxConnections = 4096                   // open at once
	perNetwork     = 1024                   // of them from one IPv4 address or one IPv6 /64, where no proxy stands between
	drainTime      = 10 * time.Second       // for the requests in hand when the process stops
	unusedTime     = 200 * time.Millisecond // for a connection to ask something when the process stops
	cutTime        = time.Second            // for a request that was cut off to end
)

// Config says how the application runs.
type Config struct {
	Log            *slog.Logger
	Assets         *Assets
	Authenticator  Authenticator // nil: nobody can sign in here
	Secure         bool          // served over TLS: secure cookies and HSTS
	TrustedProxies []string      // addresses and networks (10.0.0.0/8) whose X-Forwarded-For is believed
	Ready          func(ctx context.Context) error
}

// App is a Fiber application with this package's rules.
type App struct {
	fiber       *fiber.App
	log         *slog.Logger
	pages       *Pages
	authn       Authenticator
	secure      bool
	proxies     proxies
	routes      []Route
	connections *connections
	limits      limits
	drainTime   time.Duration
}

// New returns an application that serves /assets, /healthz, /readyz and
// nothing else until routes are mounted. It returns an error for a trusted
// proxy that is neither an address nor a network.
func New(cfg Config) (*App, error) {
	templates, err := fs.Sub(ownTemplates, "templates/pages")
	if err != nil {
		return nil, err
	}
	pages, err := NewPages(cfg.Assets, templates, Reporters)
	if err != nil {
		return nil, err
	}
	trusted, err := parseProxies(cfg.TrustedProxies)
	if err != nil {
		return nil, err
	}
	limit := perNetwork
	if len(trusted) > 0 {
		limit = 0 // everybody comes from the proxy
	}
	a := &App{log: cfg.Log.With("category", "http"), pages: pages, authn: cfg.Authenticator, secure: cfg.Secure, proxies: trusted,
		connections: newConnections(maxConnections, limit), limits: newLimits(), drainTime: drainTime}
	a.fiber = fiber.New(fiber.Config{
		Immutable:             true, // Fiber's strings are reused buffers: without this one report's words could become another's
		StrictRouting:         true,
		CaseSensitive:         true,
		BodyLimit:             MaxBody,
		ReadTimeout:           headTime,
		WriteTimeout:          writeTimeout,
		IdleTimeout:           idleTimeout,
		ReadBufferSize:        8 << 10,
		Concurrency:           2 * maxConnections, // never reached: connections makes room before
		ReduceMemoryUsage:     true,               // no buffers for idle connections; and without it one on which nothing was asked counts as busy
		DisableStartupMessage: true,
		ErrorHandler:          a.handleError,

		DisablePreParseMultipartForm: true, // it would put larger photos into temporary files, in the clear, and make the body anew for each look at it
	})
	server := a.fiber.Server()
	fasthttp.SetBodySizePoolLimit(smallBody, keptAnswer)
	server.ConnState, server.CloseOnShutdown = a.connections.note, true
	server.HeaderReceived, server.ErrorHandler = a.limits.headerReceived, a.unread(server.ErrorHandler)
	server.Handler = a.bounded(refuseTwoLengths(refuseUnknownMethods(server.Handler, server.ErrorHandler), server.ErrorHandler))
	a.fiber.Use(a.observe, a.recover)
	a.fiber.Get("/assets/:file", cfg.Assets.serve)
	a.fiber.Use(compress.New())
	a.Mount([]Route{
		{Method: http.MethodGet, Path: "/healthz", Who: []Role{Anyone}, Handler: healthy, Always: true},
		{Method: http.MethodGet, Path: "/readyz", Who: []Role{Anyone}, Handler: ready(cfg.Ready), Always: true},
		{Method: http.MethodGet, Path: languagePath + ":language", Who: []Role{Anyone}, Handler: a.chooseLanguage},
	})
	return a, nil
}

// refuseUnknownMethods has methods that Fiber does not know answered as every
// other error: Fiber answers them itself, without our headers.
func refuseUnknownMethods(handler fasthttp.RequestHandler, refuse func(*fasthttp.RequestCtx, error)) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if !slices.Contains(fiber.DefaultMethods, string(ctx.Method())) {
			refuse(ctx, fasthttp.ErrGetOnly) // which Fiber turns into "method not allowed"
			return
		}
		handler(ctx)
	}
}

// refuseTwoLengths refuses a request that says in two ways where it ends, and
// closes its connection: a proxy that believed the other way takes what comes
// after it for somebody else's. Source: RFC 9112 section 6.3.
func refuseTwoLengths(handler fasthttp.RequestHandler, refuse func(*fasthttp.RequestCtx, error)) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		lines := ctx.Request.Header.RawHeaders() // as read, fasthttp keeps one of the two
		if names(lines, fiber.HeaderTransferEncoding) && names(lines, fiber.HeaderContentLength) {
			refuse(ctx, errTwoLengths)
			ctx.SetConnectionClose()
			return
		}
		handler(ctx)
	}
}

var errTwoLengths = errors.New("a length beside a transfer encoding") // which Fiber turns into "bad request"

// names reports whether a header's lines, as they came, hold a field.
func names(lines []byte, field string) bool {
	for line := range bytes.Lines(lines) {
		if name, _, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte(field)) {
			return true
		}
	}
	return false
}

// Serve answers on ln until ctx is done, then stops: requests in hand are
// finished, idle connections are closed at once, and what is still busy after
// drainTime is cut off, which is logged and no error. The caller opens ln, so
// that a port in use is known before anything else starts.
func (a *App) Serve(ctx context.Context, ln net.Listener) error {
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { stopped <- a.shutDown() })
	err := a.fiber.Listener(ln)
	if stop() { // ctx is not done: the listener failed
		return fmt.Errorf("http listener: %w", err)
	}
	return <-stopped
}

func (a *App) shutDown() error {
	unused := time.AfterFunc(unusedTime, a.connections.closeUnused)
	defer unused.Stop()
	err := a.fiber.ShutdownWithTimeout(a.drainTime)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	a.log.Warn("requests still under way were cut off", "connections", a.connections.cut(cutTime), "after", a.drainTime)
	return nil
}

// Test answers one request without a socket.
func (a *App) Test(req *http.Request) (*http.Response, error) { return a.fiber.Test(req, -1) }

// appKey is under which a request that has reached the middleware knows its
// application.
type appKey struct{}

// observe sets the security headers and counts the request by its route
// pattern, never by its path, which may name an incident.
func (a *App) observe(c *fiber.Ctx) error {
	started := time.Now()
	c.Locals(appKey{}, a)
	setHeaders(c, a.secure)
	err := c.Next()
	if err != nil {
		err = a.handleError(c, err)
	}
	labels := fmt.Sprintf(`{route=%q,method=%q,status="%d"}`, routeOf(c), c.Method(), c.Response().StatusCode())
	metrics.GetOrCreateSummary("onrecord_http_request_duration_seconds" + labels).UpdateDuration(started)
	return err
}

// recover turns a panic into an internal error. A handler's panic would
// otherwise end the process, and with it the embedded stream and store. The
// panic's value may quote what somebody wrote, so only its type is logged.
func (a *App) recover(c *fiber.Ctx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.log.Error("handler panicked", "route", routeOf(c), "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = errors.New("the handler panicked")
		}
	}()
	return c.Next()
}

func routeOf(c *fiber.Ctx) string {
	if r := c.Route(); r != nil {
		return r.Path
	}
	return ""
}

// setHeaders is used by the middleware and by the error handler, because
// fasthttp refuses some requests before any middleware runs.
func setHeaders(c *fiber.Ctx, secure bool) {
	c.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self'; "+
		"connect-src 'self'; worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	c.Set("X-Content-Type-Options", "nosniff")
	c.Set("Referrer-Policy", "no-referrer")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set("Cross-Origin-Resource-Policy", "same-origin")
	c.Set("Permissions-Policy", "camera=(self), geolocation=(), microphone=()")
	c.Set("X-Robots-Tag", "noindex, nofollow")
	if len(c.Response().Header.Peek(fiber.HeaderCacheControl)) == 0 {
		c.Set(fiber.HeaderCacheControl, "no-store")
	}
	if secure {
		c.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

func healthy(c *fiber.Ctx) error { return c.SendString("ok\n") }

// ready answers 200 when every part works, or 503. Which part does not, and why,
// is for this machine: it may name files and addresses.
func ready(check func(ctx context.Context) error) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if check == nil {
			return c.SendString("ready\n")
		}
		err := check(c.UserContext())
		switch {
		case err == nil:
			return c.SendString("ready\n")
		case AskedHere(c):
			return c.Status(http.StatusServiceUnavailable).SendString("not ready: " + err.Error() + "\n")
		}
		return c.Status(http.StatusServiceUnavailable).SendString("not ready\n")
	}
}
