package bench

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
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
		Addr:         net.JoinHostPort(server.Hostname(), port),
		IsTLS:        server.Scheme == "https",
		MaxConns:     clients,
		ReadTimeout:  30 * time.Second,
		WriteTimeout: 30 * time.Second,
	}, server.String() + "/api/v1/reports"}
}

// file files one report and returns nil when it was received.
func (p *phones) file(site string, occurred time.Time) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
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
		return err
	}
	if code := res.StatusCode(); code != http.StatusCreated {
		return errors.New(http.StatusText(code))
	}
	return nil
}
