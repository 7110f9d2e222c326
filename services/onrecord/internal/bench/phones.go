package bench

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
)

// phones file reports over connections that stay open. They share the
// machine's processors with the server that they measure, so they do as little
// as they can.
type phones struct {
	*fasthttp.HostClient
	url string
}

func newPhones(server *url.URL, clients int) *phones {
	port := server.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[server.Scheme]
	}
	return &phones{&fasthttp.HostClient{
		Addr:                net.JoinHostPort(server.Hostname(), port),
		IsTLS:               server.Scheme == "https",
		MaxConns:            clients,
		MaxIdleConnDuration: time.Second, // a connection that waits longer may have been closed for another
		ReadTimeout:         30 * time.Second,
		WriteTimeout:        30 * time.Second,
	}, server.String() + "/api/v1/reports"}
}

// answer is what a server said to a report.
type answer struct {
	status     int
	retryAfter time.Duration // 0: it names no time
}

// file files one report and returns nil when it was received.
func (p *phones) file(site string, occurred time.Time) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	a, err := p.send(id, site, occurred)
	if err == nil && a.status != http.StatusCreated {
		err = errors.New(http.StatusText(a.status))
	}
	return err
}

// send sends a report, which may have been sent before.
func (p *phones) send(id uuid.UUID, site string, occurred time.Time) (answer, error) {
	req, res := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(res)
	req.SetRequestURI(p.url)
	req.Header.SetMethod(http.MethodPost)
	req.Header.SetContentType("application/json")
	req.SetBodyString(fmt.Sprintf(`{"id":%q,"site":%q,"occurred_at":%q,"sent_at":%q,"kind":"abuse","channel":"in_person","target":"named_person",`+
		`"narrative":"Benchmark: a customer shouted at me at the front desk and would not leave when I asked him to."}`,
		id, site, occurred.UTC().Format(time.RFC3339Nano), time.Now().UTC().Format(time.RFC3339Nano)))
	if err := p.Do(req, res); err != nil {
		return answer{}, err
	}
	seconds, _ := strconv.Atoi(string(res.Header.Peek("Retry-After")))
	return answer{res.StatusCode(), time.Duration(seconds) * time.Second}, nil
}
