// Package bench files a bounded load at a running server as many phones would,
// and then looks whether every report it was told was received is there,
// once.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits on what a benchmark may ask of a server.
const (
	MaxReports = 100_000
	MaxClients = 512
	MaxRate    = 10_000
	MaxPhotos  = 5
)

// Config says what to file, and where.
type Config struct {
	URL     string        // of the server, "http://127.0.0.1:8080"
	Token   string        // of a rep who may see every site: used to count what arrived
	Sites   []string      // where the reports happened, in turn; none: unlisted
	Clients []int         // one round for each number of clients
	Reports int           // in each round
	Rate    int           // reports a second in all; 0: as fast as the clients can
	Photos  int           // with each report, made up, of about 200 KB
	Settle  time.Duration // how long to wait for what was received to be counted
}

// Round is what one round measured.
type Round struct {
	Clients    int
	Took       time.Duration
	P50, P99   time.Duration // of a filing that was received; with a rate, from when it was due
	Received   int           // answered 201
	Failed     int           // answered anything else, or not at all
	Found      int           // received, and in the list of incidents
	Lost       int           // received, and not there in time
	Doubled    int           // there more often than received
	Settled    time.Duration // from the last answer until all were counted
	VisibleP99 time.Duration // from an answer until the figures held as many; 0 without a rate
}

// PerSecond returns how many reports were received per second.
func (r Round) PerSecond() float64 { return float64(r.Received) / r.Took.Seconds() }

// Run runs the rounds one after another and hands each to done. It stops at
// the first error that is not a filing's own, such as a server that is away.
func Run(ctx context.Context, c Config, done func(Round)) error {
	switch {
	case c.Reports < 1 || c.Reports > MaxReports:
		return fmt.Errorf("reports: want 1 to %d", MaxReports)
	case c.Rate < 0 || c.Rate > MaxRate:
		return fmt.Errorf("rate: want 0 to %d", MaxRate)
	case c.Photos < 0 || c.Photos > MaxPhotos:
		return fmt.Errorf("photos: want 0 to %d", MaxPhotos)
	}
	s, err := newServer(c)
	if err != nil {
		return err
	}
	if s.photos = c.Photos; s.photos > 0 {
		if s.album, err = madeUpPhotos(); err != nil {
			return err
		}
	}
	defer s.http.CloseIdleConnections()
	if err := s.awaitSites(ctx); err != nil {
		return err
	}
	for _, clients := range c.Clients {
		if clients < 1 || clients > MaxClients {
			return fmt.Errorf("clients: want 1 to %d", MaxClients)
		}
		r, err := s.round(ctx, clients, c.Reports, c.Settle)
		if err != nil {
			return err
		}
		done(r)
	}
	return nil
}

// MadeUpSites returns the ids of fifty sites for a server of one's own, and the
// CSV that imports them.
func MadeUpSites() (ids []string, csv string) {
	csv = "id,name,kind,postcode,region,employer,staff\n"
	for n := range 50 {
		ids = append(ids, fmt.Sprintf("bench-%02d", n))
		csv += fmt.Sprintf("%s,Benchmark site %02d,jobcentre,ZZ1 1AA,Benchmark,Benchmark,50\n", ids[n], n)
	}
	return ids, csv
}

type server struct {
	http  *http.Client
	url   *url.URL
	token string
	sites []string
	rate  int

	photos int
	album  [][]byte // of which each report carries so many
}

func newServer(c Config) (server, error) {
	address, err := url.Parse(strings.TrimSuffix(c.URL, "/"))
	if err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https" {
		return server{}, fmt.Errorf("%q is not the address of a server", c.URL)
	}
	s := server{http: &http.Client{Timeout: 30 * time.Second}, url: address, token: c.Token, sites: c.Sites, rate: c.Rate}
	if len(s.sites) == 0 {
		s.sites = []string{"unlisted"}
	}
	return s, nil
}

// awaitSites returns once reports can name every site: a site that was just
// imported is known to reporting first.
func (s server) awaitSites(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var known struct{ Sites []struct{ ID string } }
		err := s.get(ctx, "/api/v1/sites", &known)
		missing := slices.DeleteFunc(slices.Clone(s.sites), func(id string) bool {
			return slices.ContainsFunc(known.Sites, func(k struct{ ID string }) bool { return k.ID == id })
		})
		if err == nil && len(missing) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the server knows no site %s", strings.Join(missing, ", ")), err)
		}
	}
}

func (s server) round(ctx context.Context, clients, reports int, settle time.Duration) (Round, error) {
	before, err := s.counted(ctx)
	if err != nil {
		return Round{}, err
	}
	until := time.Now()
	since := until.Add(-time.Duration(reports+1) * time.Millisecond)
	already, err := s.incidents(ctx, since, until) // of a round just before this one
	if err != nil {
		return Round{}, err
	}
	var watched *watch
	if s.rate > 0 {
		watched = s.watch(ctx, before)
	}
	got := s.file(ctx, clients, reports, until)
	r := Round{Clients: clients, Took: got.lasted, Received: len(got.took), Failed: got.failed,
		P50: percentile(got.took, 50), P99: percentile(got.took, 99)}
	if r.Settled, err = s.settle(ctx, before+r.Received, settle); err != nil {
		return r, err
	}
	if watched != nil {
		r.VisibleP99 = percentile(watched.lags(got.answered), 99)
	}
	for deadline := time.Now().Add(settle); ; {
		found, err := s.incidents(ctx, since, until)
		if err != nil {
			return r, err
		}
		r.compare(got.occurred, already, found)
		if r.Lost == 0 || s.photos == 0 || time.Now().After(deadline) { // photos follow their report
			return r, nil
		}
	}
}

// filed is what became of a round's reports.
type filed struct {
	lasted   time.Duration
	failed   int
	occurred []time.Time     // of each that was received, and of no other
	answered []time.Time     // likewise
	took     []time.Duration // likewise, sorted
}

// file files reports as so many phones. Each occurred in a millisecond of its
// own before until, by which it is known again.
func (s server) file(ctx context.Context, clients, reports int, until time.Time) filed {
	phones := newPhones(s.url, clients)
	phones.carry(s.album, s.photos)
	defer phones.CloseIdleConnections()
	started := time.Now()
	var next atomic.Int64
	var mu sync.Mutex
	var got filed
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for n := next.Add(1); ctx.Err() == nil && n <= int64(reports); n = next.Add(1) {
				occurred := until.Add(-time.Duration(n) * time.Millisecond)
				began := time.Now()
				if s.rate > 0 {
					began = started.Add(time.Duration(n) * time.Second / time.Duration(s.rate))
					pause(ctx, time.Until(began))
				}
				err := phones.file(s.sites[int(n)%len(s.sites)], occurred)
				now := time.Now()
				mu.Lock()
				if err == nil {
					got.occurred, got.answered, got.took = append(got.occurred, occurred), append(got.answered, now), append(got.took, now.Sub(began))
				} else {
					got.failed++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	got.lasted = time.Since(started)
	slices.Sort(got.took)
	return got
}

// compare holds what was received against what the list holds more than before.
func (r *Round) compare(received []time.Time, before, now map[int64]int) {
	r.Found, r.Doubled = 0, 0
	for _, occurred := range received {
		n := now[occurred.UnixMilli()] - before[occurred.UnixMilli()]
		r.Found += min(n, 1)
		r.Doubled += max(n-1, 0)
	}
	r.Lost = r.Received - r.Found
}

// percentile returns the value that so many in a hundred of the sorted are below.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

// settle waits until the figures hold as many as they should, or as long as
// it may, and returns how long that took.
func (s server) settle(ctx context.Context, want int, wait time.Duration) (time.Duration, error) {
	started := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		n, err := s.counted(ctx)
		took := time.Since(started)
		if err != nil || n >= want || took > wait {
			return took, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return took, ctx.Err()
		}
	}
}

// incidents returns how many incidents the list holds for each millisecond of
// occurrence between since and until, with their photos where there are any to be.
func (s server) incidents(ctx context.Context, since, until time.Time) (map[int64]int, error) {
	found := make(map[int64]int)
	for cursor := ""; ; {
		var page struct {
			Incidents []struct {
				ID         string    `json:"id"`
				OccurredAt time.Time `json:"occurred_at"`
			} `json:"incidents"`
			Next string `json:"next"`
		}
		if err := s.get(ctx, "/api/v1/incidents?limit=200&"+s.ours()+"cursor="+url.QueryEscape(cursor), &page); err != nil {
			return nil, err
		}
		for _, i := range page.Incidents {
			if i.OccurredAt.Before(since) {
				return found, nil // the list is newest first
			}
			if !i.OccurredAt.Before(until) {
				continue
			}
			whole, err := s.hasItsPhotos(ctx, i.ID)
			if err != nil {
				return nil, err
			}
			if whole {
				found[i.OccurredAt.UnixMilli()]++
			}
		}
		if cursor = page.Next; cursor == "" {
			return found, nil
		}
	}
}

// hasItsPhotos reports whether an incident has as many photos as were filed with it.
func (s server) hasItsPhotos(ctx context.Context, id string) (bool, error) {
	if s.photos == 0 {
		return true, nil
	}
	var detail struct {
		Photos []struct{} `json:"photos"`
	}
	err := s.get(ctx, "/api/v1/incidents/"+id, &detail)
	return len(detail.Photos) == s.photos, err
}

// ours narrows a list to the one site at which reports are filed; with more of
// them the list is not narrowed.
func (s server) ours() string {
	if len(s.sites) > 1 {
		return ""
	}
	return "site=" + url.QueryEscape(s.sites[0]) + "&"
}

// counted returns how many incidents this month's figures hold, last month's
// included so that a round across midnight of the first is counted whole.
func (s server) counted(ctx context.Context) (int, error) {
	now := time.Now()
	months := "from=" + now.AddDate(0, 0, -2).Format("2006-01") + "&to=" + now.AddDate(0, 0, 1).Format("2006-01")
	var figures struct {
		Months []struct {
			Total *int `json:"total"`
		} `json:"months"`
	}
	if err := s.get(ctx, "/api/v1/figures?by=channel,target&"+months, &figures); err != nil {
		return 0, err
	}
	total := 0
	for _, m := range figures.Months {
		if m.Total == nil {
			return 0, errors.New("figures: a total is hidden: the token must be a rep's, for every site")
		}
		total += *m.Total
	}
	return total, nil
}

// get decodes what the server answers to the token's holder.
func (s server) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url.String()+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: the token must be a rep’s, for every site", path, res.Status)
	}
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Row returns a round as the cells of a table, in the order of Header.
func (r Round) Row() []string {
	cell := func(d time.Duration) string { return strconv.FormatFloat(ms(d), 'f', 1, 64) }
	visible := "-"
	if r.VisibleP99 > 0 {
		visible = cell(r.VisibleP99)
	}
	return []string{strconv.Itoa(r.Clients), strconv.FormatFloat(r.PerSecond(), 'f', 0, 64), cell(r.P50), cell(r.P99), visible,
		strconv.Itoa(r.Received), strconv.Itoa(r.Failed), strconv.Itoa(r.Found), strconv.Itoa(r.Lost), strconv.Itoa(r.Doubled), cell(r.Settled)}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Header names the cells of a row.
var Header = []string{"clients", "received/s", "p50 ms", "p99 ms", "visible p99 ms", "received", "failed", "found", "lost", "doubled", "settled ms"}
