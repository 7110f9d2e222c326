package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// SoakConfig says how long to press a server, and how hard.
type SoakConfig struct {
	URL   string // of a server on this machine: its metrics answer nobody else
	Token string // of a rep who may see every site
	For   time.Duration
	Rate  int // reports a second from honest phones; every fifth is sent twice
	Idle  int // connections held open on which nothing is asked
	Slow  int // connections on which a request comes a byte at a time
	Burst int // phones that all file at once, every burstEvery

	Slowest time.Duration // that one in a hundred honest filings may take
	Growth  int64         // bytes by which memory may grow over the second half, beside what is kept of each report
}

// Limits on a soak, and what it asks beside the honest phones.
const (
	MinSoak    = 10 * time.Second
	MaxIdle    = 10_000
	samples    = 12                     // of each soak
	burstEvery = 5 * time.Second        // each also announces an upload that is far too large, and begins one that does not end
	readEvery  = 100 * time.Millisecond // a rep asks for the list, or for the figures
	honest     = 32                     // phones
	retries    = 5                      // of a report that was refused, after the time that the answer names
)

// Sample is how a server does at a moment of a soak.
type Sample struct {
	At                    time.Duration
	Received              int   // reports, since the start
	Refused               int   // answered 503 with a time to come back, since the start
	Memory                int64 // resident bytes
	Descriptors, Routines int
}

// Soak is what a soak found.
type Soak struct {
	Samples  []Sample
	P50, P99 time.Duration // of honest filings
	Honest   int           // reports of honest phones
	Failed   int           // of them never received, after every retry
	Received int           // by everybody
	Unsure   int           // never answered, or not in the end: they may be there
	Counted  int           // in the figures, once it is quiet
	Refused  int
	Uploads  int // of those far too large
	Cut      int // of them refused or cut before 64 MiB were taken
	Wrong    int // answers that are neither received nor refused with a time to come back
}

// What is allowed beside what the operator says.
const (
	perReport  = 2 << 10 // bytes of memory while it is new; an eighth of it stays, in the stream's index of subjects
	maxFDs     = 64      // more descriptors at the end than in the middle
	uploadMost = 64 << 20
)

// Verdict returns nil, or everything that was not as it must be.
func (s Soak) Verdict(c SoakConfig) error {
	var errs []error
	must := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	must(s.Counted >= s.Received && s.Counted <= s.Received+s.Unsure,
		"%d reports were received, of %d more it is not known, and %d are counted", s.Received, s.Unsure, s.Counted)
	must(s.Failed*100 <= s.Honest, "%d of %d honest reports were not received", s.Failed, s.Honest)
	must(s.P99 <= c.Slowest, "one in a hundred honest filings took %v, longer than %v", s.P99, c.Slowest)
	must(s.Cut == s.Uploads, "%d of %d uploads that are far too large were taken", s.Uploads-s.Cut, s.Uploads)
	must(s.Wrong == 0, "%d answers were neither received nor refused with a time to come back", s.Wrong)
	if half := len(s.Samples) / 2; half > 0 {
		before, after := s.Samples[half/2:half], s.Samples[half+half/2:]
		most := func(of []Sample, what func(Sample) int64) int64 {
			return what(slices.MaxFunc(of, func(a, b Sample) int { return int(what(a) - what(b)) }))
		}
		memory := func(x Sample) int64 { return x.Memory }
		descriptors := func(x Sample) int64 { return int64(x.Descriptors) }
		filed := int64(after[len(after)-1].Received - before[0].Received)
		allowed := c.Growth + perReport*filed
		grown := most(after, memory) - most(before, memory)
		must(grown <= allowed, "memory grew by %d MiB, %d are allowed", grown>>20, allowed>>20)
		more := most(after, descriptors) - most(before, descriptors)
		must(more <= maxFDs, "%d more descriptors are open at the end", more)
	}
	return errors.Join(errs...)
}

// RunSoak presses a server from every side for as long as it is told, and hands
// each sample to report. It returns an error when it cannot measure; what it
// found wrong is in the Soak's Verdict.
func RunSoak(ctx context.Context, c SoakConfig, report func(Sample)) (Soak, error) {
	switch {
	case c.For < MinSoak:
		return Soak{}, fmt.Errorf("for: want at least %v", MinSoak)
	case c.Rate < 1 || c.Rate > MaxRate:
		return Soak{}, fmt.Errorf("rate: want 1 to %d", MaxRate)
	case c.Idle < 0 || c.Idle > MaxIdle || c.Slow < 0 || c.Slow > MaxIdle || c.Burst < 0 || c.Burst > MaxIdle:
		return Soak{}, fmt.Errorf("idle, slow, burst: want 0 to %d", MaxIdle)
	}
	s, err := newServer(Config{URL: c.URL, Token: c.Token})
	if err != nil {
		return Soak{}, err
	}
	defer s.http.CloseIdleConnections()
	before, err := s.counted(ctx)
	if err != nil {
		return Soak{}, err
	}
	k := &soak{server: s, SoakConfig: c, honest: newPhones(s.url, honest), crowd: newPhones(s.url, max(c.Burst, 1))}
	defer k.honest.CloseIdleConnections()
	defer k.crowd.CloseIdleConnections()

	pressing, stop := context.WithTimeout(ctx, c.For)
	defer stop()
	var wg sync.WaitGroup
	for _, part := range []func(context.Context){k.file, k.read, k.burst, k.upload} {
		wg.Go(func() { part(pressing) })
	}
	for range c.Idle {
		wg.Go(func() { k.hold(pressing, "") })
	}
	for range c.Slow {
		wg.Go(func() { k.hold(pressing, "GET /report/ HTTP/1.1\r\nHost: demo\r\nX-Slow: ") })
	}
	k.sample(pressing, report)
	wg.Wait()

	r := k.result()
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	if _, err := s.settle(ctx, before+r.Received, time.Minute); err != nil {
		return r, err
	}
	r.Counted, err = s.counted(ctx)
	r.Counted -= before
	return r, err
}

// soak is a soak under way.
type soak struct {
	server
	SoakConfig
	honest, crowd *phones

	received, unsure, refused, wrong atomic.Int64
	sent, failed, uploads, uncut     atomic.Int64

	mu   sync.Mutex
	took []time.Duration // of honest filings
	all  []Sample
}

// try sends a report and reports whether it was received, now or before, or
// else how long to wait before trying again.
func (k *soak) try(p *phones, id uuid.UUID, occurred time.Time) (received bool, wait time.Duration) {
	a, err := p.send(id, "unlisted", occurred)
	switch {
	case err != nil:
		return false, time.Second // the connection was cut for another one: a phone tries again
	case a.status == http.StatusCreated, a.status == http.StatusOK:
		return true, 0
	case a.status == http.StatusServiceUnavailable && a.retryAfter > 0:
		k.refused.Add(1)
		return false, a.retryAfter
	}
	k.wrong.Add(1)
	return false, time.Second
}

// file files reports at the rate, as phones do: a report that was refused is
// sent again later, and some are sent twice.
func (k *soak) file(ctx context.Context) {
	due := make(chan time.Time, 10*honest)
	var wg sync.WaitGroup
	for n := range honest {
		wg.Go(func() {
			for at := range due {
				k.fileOne(ctx, at, n%5 == 0)
			}
		})
	}
	tick := time.NewTicker(time.Second / time.Duration(k.Rate))
	defer tick.Stop()
	for {
		select {
		case at := <-tick.C:
			select {
			case due <- at:
			default: // they are all busy: the server is far behind, which shows in the times
			}
			continue
		case <-ctx.Done():
		}
		break
	}
	close(due)
	wg.Wait()
}

func (k *soak) fileOne(ctx context.Context, due time.Time, twice bool) {
	id, occurred := newID(), time.Now()
	k.sent.Add(1)
	for n := 0; ; n++ {
		began := time.Now()
		if n == 0 {
			began = due
		}
		received, wait := k.try(k.honest, id, occurred)
		if received {
			k.received.Add(1)
			k.mu.Lock()
			k.took = append(k.took, time.Since(began))
			k.mu.Unlock()
			break
		}
		if n == retries {
			k.failed.Add(1)
			k.unsure.Add(1)
			return
		}
		pause(context.WithoutCancel(ctx), wait) // to the end, so that it is known what became of it
	}
	if !twice {
		return
	}
	if a, err := k.honest.send(id, "unlisted", occurred); err == nil && a.status == http.StatusCreated {
		k.wrong.Add(1) // the same report again is not a new one
	}
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// read is what reps do meanwhile.
func (k *soak) read(ctx context.Context) {
	for n := 0; pause(ctx, readEvery); n++ {
		path := "/api/v1/incidents?limit=50"
		if n%2 == 0 {
			path = "/api/v1/figures"
		}
		var answer struct{}
		_ = k.get(ctx, path, &answer)
	}
}

// burst files as many reports at once as there are phones in the crowd, and
// lets those that are refused go: each is told to come back later.
func (k *soak) burst(ctx context.Context) {
	for pause(ctx, burstEvery) {
		var wg sync.WaitGroup
		for range k.Burst {
			wg.Go(func() {
				id, now := newID(), time.Now()
				received, wait := k.try(k.crowd, id, now)
				if !received && wait == time.Second { // it is not known whether it was received: ask, as a phone would
					received, _ = k.try(k.crowd, id, now)
				}
				if received {
					k.received.Add(1)
				} else {
					k.unsure.Add(1)
				}
			})
		}
		wg.Wait()
	}
}

// upload announces ten gigabytes, and begins an upload that has no end.
func (k *soak) upload(ctx context.Context) {
	for pause(ctx, burstEvery) {
		for _, header := range []string{"Content-Length: 10000000000", "Transfer-Encoding: chunked"} {
			k.uploads.Add(1)
			if k.taken(ctx, header) > uploadMost {
				k.uncut.Add(1)
			}
		}
	}
}

var dialer = net.Dialer{Timeout: 10 * time.Second}

// taken returns how many bytes of an upload the server took before it cut it.
func (k *soak) taken(ctx context.Context, header string) (n int) {
	c, err := dialer.DialContext(ctx, "tcp", k.honest.Addr)
	if err != nil {
		return 0
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = io.WriteString(c, "POST /api/v1/reports HTTP/1.1\r\nHost: demo\r\nContent-Type: application/json\r\n"+header+"\r\n\r\n")
	chunk := "10000\r\n" + strings.Repeat("x", 64<<10) + "\r\n"
	for err == nil && n <= uploadMost {
		_, err = io.WriteString(c, chunk)
		n += 64 << 10
	}
	return n
}

// hold keeps a connection open, sends text byte by byte, and opens another
// when the server closes it.
func (k *soak) hold(ctx context.Context, text string) {
	for ctx.Err() == nil {
		c, err := dialer.DialContext(ctx, "tcp", k.honest.Addr)
		if err != nil {
			pause(ctx, time.Second)
			continue
		}
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		if text != "" {
			go trickle(ctx, c, text)
		}
		_, _ = io.Copy(io.Discard, c) // until it is closed
		stop()
		_ = c.Close()
		pause(ctx, time.Second)
	}
}

func trickle(ctx context.Context, c net.Conn, text string) {
	for n := 0; pause(ctx, time.Second); n++ {
		if _, err := io.WriteString(c, string(text[min(n, len(text)-1)])); err != nil {
			return
		}
	}
}

// sample looks at the server at equal times until ctx is done.
func (k *soak) sample(ctx context.Context, report func(Sample)) {
	started := time.Now()
	for n := 1; n <= samples; n++ {
		pause(ctx, time.Until(started.Add(k.For*time.Duration(n)/samples))-time.Second/2)
		// What came last is looked at before the load stops.
		s, err := k.metrics(context.WithoutCancel(ctx))
		if err != nil {
			k.wrong.Add(1)
			continue
		}
		k.mu.Lock()
		s.At = time.Since(started)
		s.Received, s.Refused = int(k.received.Load()), int(k.refused.Load())
		k.all = append(k.all, s)
		k.mu.Unlock()
		report(s)
	}
}

// metrics reads what the server says of itself.
func (k *soak) metrics(ctx context.Context) (Sample, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url.String()+"/metrics", nil)
	if err != nil {
		return Sample{}, err
	}
	res, err := k.http.Do(req)
	if err != nil {
		return Sample{}, err
	}
	defer res.Body.Close()
	found := map[string]float64{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			found[name] = v
		}
	}
	s := Sample{
		Memory:      int64(found["process_resident_memory_bytes"]),
		Descriptors: int(found["process_open_fds"]),
		Routines:    int(found["go_goroutines"]),
	}
	if s.Memory == 0 || s.Descriptors == 0 {
		return s, errors.New("the server does not tell its memory and descriptors: only a server on this machine does, on Linux")
	}
	return s, nil
}

func (k *soak) result() Soak {
	k.mu.Lock()
	defer k.mu.Unlock()
	slices.Sort(k.took)
	return Soak{
		Samples: k.all, P50: percentile(k.took, 50), P99: percentile(k.took, 99),
		Honest: int(k.sent.Load()), Failed: int(k.failed.Load()),
		Received: int(k.received.Load()), Unsure: int(k.unsure.Load()), Refused: int(k.refused.Load()),
		Uploads: int(k.uploads.Load()), Cut: int(k.uploads.Load() - k.uncut.Load()), Wrong: int(k.wrong.Load()),
	}
}

// pause waits and reports whether ctx still stands.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// SampleHeader names the cells of a sample's row.
var SampleHeader = []string{"after", "received", "refused", "MiB", "descriptors", "goroutines"}

// Row returns a sample as the cells of a table, in the order of SampleHeader.
func (s Sample) Row() []string {
	return []string{s.At.Round(time.Second).String(), strconv.Itoa(s.Received), strconv.Itoa(s.Refused),
		strconv.FormatInt(s.Memory>>20, 10), strconv.Itoa(s.Descriptors), strconv.Itoa(s.Routines)}
}

// Lines returns what a soak found beside its samples, in words.
func (s Soak) Lines() []string {
	return []string{
		fmt.Sprintf("%d reports of honest phones, %d never received; p50 %.1f ms, p99 %.1f ms", s.Honest, s.Failed, ms(s.P50), ms(s.P99)),
		fmt.Sprintf("%d received in all, %d counted; %d times refused with a time to come back; of %d it is not known", s.Received, s.Counted, s.Refused, s.Unsure),
		fmt.Sprintf("%d uploads far too large, %d cut; %d answers that should not be", s.Uploads, s.Cut, s.Wrong),
	}
}
