// Package bench files a bounded load at a running server as many phones would,
// and then looks whether every report it was told was received is there,
// once.
package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// Limits on what a benchmark may ask of a server.
const (
	MaxReports = 100_000
	MaxClients = 512
)

// Config says what to file, and where.
type Config struct {
	URL     string        // of the server, "http://127.0.0.1:8080"
	Token   string        // of a rep who may see every site: used to count what arrived
	Clients []int         // one round for each number of clients
	Reports int           // in each round
	Settle  time.Duration // how long to wait for what was received to be counted
}

// Round is what one round measured.
type Round struct {
	Clients  int
	Took     time.Duration
	P50, P99 time.Duration // of a filing that was received
	Received int           // answered 201
	Failed   int           // answered anything else, or not at all
	Found    int           // received, and counted in the figures
	Lost     int           // received, and not counted in time
	Doubled  int           // counted more often than received
	Settled  time.Duration // from the last answer until all were counted
}

// PerSecond returns how many reports were received per second.
func (r Round) PerSecond() float64 { return float64(r.Received) / r.Took.Seconds() }

// Run runs the rounds one after another and hands each to done. It stops at
// the first error that is not a filing's own, such as a server that is away.
func Run(ctx context.Context, c Config, done func(Round)) error {
	if c.Reports < 1 || c.Reports > MaxReports {
		return fmt.Errorf("reports: want 1 to %d", MaxReports)
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: MaxClients}}
	server := server{client, strings.TrimSuffix(c.URL, "/"), c.Token}
	for _, clients := range c.Clients {
		if clients < 1 || clients > MaxClients {
			return fmt.Errorf("clients: want 1 to %d", MaxClients)
		}
		r, err := server.round(ctx, clients, c.Reports, c.Settle)
		if err != nil {
			return err
		}
		done(r)
	}
	return nil
}

type server struct {
	http  *http.Client
	url   string
	token string
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
	started := time.Now()
	var next atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	r := Round{Clients: clients}
	received := make(map[int64]bool) // by the millisecond at which it occurred: each report has its own
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for n := next.Add(1); ctx.Err() == nil && n <= int64(reports); n = next.Add(1) {
				occurred := until.Add(-time.Duration(n) * time.Millisecond)
				t := time.Now()
				err := s.file(ctx, occurred)
				d := time.Since(t)
				mu.Lock()
				if err == nil {
					r.Received++
					received[occurred.UnixMilli()] = true
					took = append(took, d)
				} else {
					r.Failed++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.Took = time.Since(started)
	slices.Sort(took)
	if n := len(took); n > 0 {
		r.P50, r.P99 = took[n/2], took[min(n-1, n*99/100)]
	}
	if r.Settled, err = s.settle(ctx, before+r.Received, settle); err != nil {
		return r, err
	}
	found, err := s.incidents(ctx, since, until)
	if err != nil {
		return r, err
	}
	for occurred := range received {
		n := found[occurred] - already[occurred]
		r.Found += min(n, 1)
		r.Doubled += max(n-1, 0)
	}
	r.Lost = r.Received - r.Found
	return r, nil
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
// occurrence between since and until.
func (s server) incidents(ctx context.Context, since, until time.Time) (map[int64]int, error) {
	found := make(map[int64]int)
	for cursor := ""; ; {
		var page struct {
			Incidents []struct {
				OccurredAt time.Time `json:"occurred_at"`
			} `json:"incidents"`
			Next string `json:"next"`
		}
		if err := s.get(ctx, "/api/v1/incidents?limit=200&site=unlisted&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return nil, err
		}
		for _, i := range page.Incidents {
			if i.OccurredAt.Before(since) {
				return found, nil // the list is newest first
			}
			if i.OccurredAt.Before(until) {
				found[i.OccurredAt.UnixMilli()]++
			}
		}
		if cursor = page.Next; cursor == "" {
			return found, nil
		}
	}
}

// file files one report and returns nil when it was received.
func (s server) file(ctx context.Context, occurred time.Time) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	body, err := json.Marshal(map[string]any{
		"id": id, "site": "unlisted", "occurred_at": occurred.UTC().Format(time.RFC3339Nano), "sent_at": now, "kind": "abuse", "channel": "in_person", "target": "named_person",
		"narrative": "Benchmark: a customer shouted at me at the front desk and would not leave when I asked him to.",
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/api/v1/reports", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusCreated {
		return errors.New(res.Status)
	}
	return nil
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
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
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
	ms := func(d time.Duration) string { return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64) }
	return []string{strconv.Itoa(r.Clients), strconv.FormatFloat(r.PerSecond(), 'f', 0, 64), ms(r.P50), ms(r.P99),
		strconv.Itoa(r.Received), strconv.Itoa(r.Failed), strconv.Itoa(r.Found), strconv.Itoa(r.Lost), strconv.Itoa(r.Doubled), ms(r.Settled)}
}

// Header names the cells of a row.
var Header = []string{"clients", "received/s", "p50 ms", "p99 ms", "received", "failed", "found", "lost", "doubled", "settled ms"}
