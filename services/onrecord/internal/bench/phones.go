package bench

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"
)

// phones file reports over connections that stay open. They share the
// machine's processors with the server that they measure, so they do as little
// as they can.
type phones struct {
	*fasthttp.HostClient
	url    string
	bodies sync.Pool // *[]byte, to be used again: making room for photos is not what is measured
	photos [][]byte  // the parts of a body after the report, to choose from; none where it is the report alone
}

func newPhones(server *url.URL, clients int) *phones {
	port := server.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[server.Scheme]
	}
	return &phones{HostClient: &fasthttp.HostClient{
		Addr:                net.JoinHostPort(server.Hostname(), port),
		IsTLS:               server.Scheme == "https",
		MaxConns:            clients,
		MaxIdleConnDuration: time.Second, // a connection that waits longer may have been closed for another
		ReadTimeout:         30 * time.Second,
		WriteTimeout:        30 * time.Second,
	}, url: server.String() + "/api/v1/reports"}
}

const (
	boundary   = "onrecord-bench-bfa2b3c1"
	reportPart = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"report\"\r\n\r\n"
	photoPart  = "\r\n--" + boundary + "\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"photo.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n"
	lastPart   = "\r\n--" + boundary + "--\r\n"
)

// carry has every report from now on come with so many photos of an album, not
// always the same ones.
func (p *phones) carry(album [][]byte, photos int) {
	p.photos = nil
	for n := range album {
		var parts []byte
		for i := range photos {
			parts = append(append(parts, photoPart...), album[(n+i)%len(album)]...)
		}
		p.photos = append(p.photos, append(parts, lastPart...))
	}
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
	body, _ := p.bodies.Get().(*[]byte)
	if body == nil {
		body = new([]byte)
	}
	defer p.bodies.Put(body)
	*body = (*body)[:0]
	if p.photos != nil {
		req.Header.SetContentType("multipart/form-data; boundary=" + boundary)
		*body = append(*body, reportPart...)
	}
	*body = fmt.Appendf(*body, `{"id":%q,"site":%q,"occurred_at":%q,"sent_at":%q,"kind":"abuse","channel":"in_person","target":"named_person",`+
		`"narrative":"Benchmark: a customer shouted at me at the front desk and would not leave when I asked him to."}`,
		id, site, occurred.UTC().Format(time.RFC3339Nano), time.Now().UTC().Format(time.RFC3339Nano))
	if p.photos != nil {
		*body = append(*body, p.photos[int(id[len(id)-1])%len(p.photos)]...)
	}
	req.SetBodyRaw(*body)
	if err := p.Do(req, res); err != nil {
		return answer{}, err
	}
	seconds, _ := strconv.Atoi(string(res.Header.Peek("Retry-After")))
	return answer{res.StatusCode(), time.Duration(seconds) * time.Second}, nil
}
