package web

import (
	"bytes"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"github.com/onrecord/onrecord/pkg/fault"
)

// When more is asked than can be done, what is asked last is refused at once,
// in few words and with a time to come back, before memory grows. Nobody can
// hold a place by being slow.
const (
	headTime   = 15 * time.Second // for a request's line and headers
	bodyTime   = 15 * time.Second // for its body, and a second more for each bodyRate bytes, up to readTimeout
	bodyRate   = 8 << 10
	readAnyway = 2 << 20  // of a body that is over its route's limit: who sends it is answered, rather than cut off
	smallBody  = 16 << 10 // bodies up to this are not counted: so many connections may be open
	maxBodies  = 128 << 20
	maxInHand  = 1024            // requests being answered
	retryAfter = 2 * time.Second // and up to as much again, so that those refused together do not come back together

	// fasthttp keeps the buffers of bodies up to smallBody and of answers up to
	// this for requests to come. With larger ones, each request in hand would in
	// time hold as much as the largest that ever came, and nobody would count it.
	keptAnswer = 128 << 10
)

// CodeBusy is the code of what was refused because too much was asked at once.
const CodeBusy = "busy"

var errBusy = fault.New(fault.Unavailable, CodeBusy, "Many people are using this at the moment. Keep what you wrote and send it again shortly.").Retry(retryAfter)

// limits are what the constants above say, but in tests.
type limits struct {
	bodyTime time.Duration
	bodies   *bodies
	inHand   chan struct{}
	paths    map[string]int // bytes of a body by path, where it is not the usual
	usual    int
}

func newLimits() limits {
	return limits{
		bodyTime: bodyTime,
		bodies:   &bodies{most: maxBodies, of: make(map[*fasthttp.RequestHeader]body)},
		inHand:   make(chan struct{}, maxInHand),
		paths:    make(map[string]int),
		usual:    readAnyway,
	}
}

// allow lets a path's requests have bodies of so many bytes.
func (l *limits) allow(path string, most int) {
	if strings.ContainsAny(path, ":*") { // a pattern: the route itself is stricter
		l.usual = max(l.usual, most)
		return
	}
	l.paths[path] = max(l.paths[path], most, readAnyway)
}

// headerReceived says, before anything of a body is read, how large it may be
// and how long it may take.
func (l *limits) headerReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	path, _, _ := bytes.Cut(h.RequestURI(), []byte("?"))
	most, ok := l.paths[string(path)]
	switch {
	case !inParts(h):
		most = readAnyway
	case !ok:
		most = l.usual
	}
	conf := fasthttp.RequestConfig{MaxRequestBodySize: most, ReadTimeout: readTimeout}
	size := h.ContentLength()
	if size == -1 { // chunked: it does not say
		size = most
	} else {
		conf.ReadTimeout = min(readTimeout, l.bodyTime+time.Duration(max(size, 0))*time.Second/bodyRate)
	}
	if size > smallBody && size <= most && !l.bodies.reserve(h, int64(size), time.Now()) {
		conf.MaxRequestBodySize = 1 // so that it is refused unread, and refused reports true
	}
	return conf
}

// bodies counts the bytes of all larger bodies that are being read or were
// read and are still needed. fasthttp makes room for the whole of a body
// before it has come.
type bodies struct {
	mu   sync.Mutex
	most int64
	held int64
	of   map[*fasthttp.RequestHeader]body
}

type body struct {
	size    int64 // 0: it was refused
	expires time.Time
}

// reserve reports whether there is room for a body. The request's header
// stands for the request; a value used again is another request, and the
// former has ended.
func (b *bodies) reserve(h *fasthttp.RequestHeader, size int64, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(h)
	if b.held+size > b.most {
		for other, r := range b.of { // a connection that broke is not always heard of
			if now.After(r.expires) {
				b.drop(other)
			}
		}
	}
	r := body{size: size, expires: now.Add(readTimeout + handlerTimeout + writeTimeout)}
	if b.held+size > b.most {
		r.size = 0
	}
	b.of[h] = r
	b.held += r.size
	return r.size > 0
}

// refused reports whether there was no room for the request's body.
func (b *bodies) refused(h *fasthttp.RequestHeader) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.of[h]
	return ok && r.size == 0
}

func (b *bodies) release(h *fasthttp.RequestHeader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(h)
}

func (b *bodies) drop(h *fasthttp.RequestHeader) {
	if r, ok := b.of[h]; ok {
		b.held -= r.size
		delete(b.of, h)
	}
}

// bounded is the outermost handler: what a request held is given back when it
// has been answered.
func (a *App) bounded(handler fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer a.limits.bodies.release(&ctx.Request.Header)
		a.connections.answering(ctx.Conn(), true)
		defer a.connections.answering(ctx.Conn(), false)
		handler(ctx)
	}
}

// unread is called by fasthttp for a request that it could not read.
func (a *App) unread(handle func(*fasthttp.RequestCtx, error)) func(*fasthttp.RequestCtx, error) {
	return func(ctx *fasthttp.RequestCtx, err error) {
		defer a.limits.bodies.release(&ctx.Request.Header)
		handle(ctx, err)
	}
}

// enter takes a place among the requests being answered, which leave gives
// back, or returns errBusy.
func (l *limits) enter() (leave func(), err error) {
	select {
	case l.inHand <- struct{}{}:
		return func() { <-l.inHand }, nil
	default:
		return nil, errBusy
	}
}

var refusedTotal = metrics.NewCounter(`onrecord_http_refused_busy_total`)
