package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/incident"
)

// Clock is the program's clock while the demo lives through two years, and the
// real one afterwards.
type Clock struct {
	at    atomic.Pointer[time.Time]
	mu    sync.Mutex
	filed []time.Time // when reports were received that the machine has not read
}

// Now returns the demo's time, or the real time once Release was called.
func (c *Clock) Now() time.Time {
	if t := c.at.Load(); t != nil {
		return *t
	}
	return time.Now()
}

// Reading returns when the machine reads what it reads next: a moment after that
// was received, although the demo's years pass faster than it reads.
func (c *Clock) Reading() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.filed) == 0 {
		return c.Now()
	}
	received := c.filed[0]
	c.filed = c.filed[1:]
	return received.Add(time.Second)
}

func (c *Clock) file(received time.Time) {
	c.set(received)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.filed = append(c.filed, received)
}

func (c *Clock) set(t time.Time) { c.at.Store(&t) }

// Release returns the clock to the real time.
func (c *Clock) Release() { c.at.Store(nil) }

// Seeder files the demo's reports and does what reps did with them, through
// the program's HTTP routes, at the demo's times.
type Seeder struct {
	Do       func(*http.Request) (*http.Response, error) // the program, without a socket
	Clock    *Clock
	Token    string // of a rep for every site
	Seed     uint64 // the same seed and now make the same demo
	Progress func(done, total int, what string)
}

// Run fills the installation and returns how many reports it filed.
func (s Seeder) Run(ctx context.Context, now time.Time) (int, error) {
	rng := rand.New(rand.NewPCG(s.Seed, s.Seed))
	defer s.Clock.Release()
	all := plan(rng, now)
	late := lateMonth(now)
	published := false
	for i, p := range all {
		if closing := publishedOn(late, 10); !published && p.received.After(closing) {
			if _, err := s.settled(ctx, i); err != nil {
				return i, err
			}
			if err := s.publish(ctx, closing, late, publication{Edition: 1}); err != nil {
				return i, err
			}
			published = true
		}
		s.Clock.file(p.received)
		if err := s.file(ctx, rng, p); err != nil {
			return i, fmt.Errorf("demo report %d: %w", i, err)
		}
		if (i+1)%500 == 0 || i+1 == len(all) {
			s.Progress(i+1, len(all), "reports filed")
		}
	}
	s.Clock.set(now)
	incidents, err := s.settled(ctx, len(all))
	if err != nil {
		return len(all), err
	}
	for i, p := range all {
		if err := s.handle(ctx, p, incidents); err != nil {
			return len(all), fmt.Errorf("demo incident %d: %w", i, err)
		}
		if (i+1)%500 == 0 || i+1 == len(all) {
			s.Progress(i+1, len(all), "looked at by reps")
		}
	}
	return len(all), s.publishAll(ctx, incident.MonthOf(all[0].occurred), late, now)
}

// publishAll publishes every month that is due by now, and the late one again.
func (s Seeder) publishAll(ctx context.Context, first, late incident.Month, now time.Time) error {
	for m := first; publishedOn(m, 10).Before(now); m = m.Add(1) {
		if m == late {
			continue // it was, before all of it had come
		}
		err := s.publish(ctx, publishedOn(m, 10), m, publication{Edition: 1})
		if err != nil && !strings.Contains(err.Error(), "already_published") { // by the server itself, where all this took over a minute
			return err
		}
	}
	err := s.publish(ctx, publishedOn(late, 24), late, publication{2, "R1", "Demo: one site had reported on paper, and what it wrote came after the month was published."})
	if err != nil && strings.Contains(err.Error(), "too_little_changed") { // with a high threshold
		return nil
	}
	return err
}

// publication is what the demo publishes a month as.
type publication struct {
	Edition int    `json:"edition"`
	Reason  string `json:"reason,omitempty"`
	Why     string `json:"why,omitempty"`
}

// publishedOn returns the morning of a day of the month after.
func publishedOn(m incident.Month, day int) time.Time {
	return m.Add(1).Start().AddDate(0, 0, day-1).Add(9 * time.Hour)
}

// publish publishes a month at a time.
func (s Seeder) publish(ctx context.Context, at time.Time, m incident.Month, as publication) error {
	s.Clock.set(at)
	return s.call(ctx, http.MethodPost, "/api/v1/editions/"+m.String(), 0, as, nil)
}

// file files one report as its reporter would.
func (s Seeder) file(ctx context.Context, rng *rand.Rand, p planned) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	body := map[string]any{
		"id": id, "site": p.filedAt(), "narrative": p.words, "hurt": p.hurt,
		"employer": []string{"Demo Department", "Demo Department", "Demo Assessments", "Demo Guarding"}[rng.IntN(4)],
	}
	if p.unsure.when {
		body["occurred_precision"] = incident.PrecisionUnknown
	} else {
		body["occurred_at"], body["occurred_precision"] = p.occurred.UTC(), incident.PrecisionExact
	}
	if p.site == incident.SiteUnlisted && !p.unsure.where {
		body["site_name"] = "Demo pop-up desk at the library"
	}
	if p.said.kind {
		body["kind"] = p.kind
	}
	if p.said.channel && p.channel != "" {
		body["channel"] = p.channel
	}
	if p.said.target && p.target != "" {
		body["target"] = p.target
	}
	return s.call(ctx, http.MethodPost, "/api/v1/reports", 0, body, nil)
}

// filedAt returns the site that the report names.
func (p planned) filedAt() string {
	if p.unsure.where {
		return incident.SiteUnlisted
	}
	return p.site
}

// listed is what the demo reads of an incident.
type listed struct {
	ID         string    `json:"id"`
	Rev        int64     `json:"rev"`
	OccurredAt time.Time `json:"occurred_at"`
	ReceivedAt time.Time `json:"received_at"`
	Site       string    `json:"site"`
	Kind       value     `json:"kind"`
	Channel    value     `json:"channel"`
	Target     value     `json:"target"`
	Review     bool      `json:"review"`
	taken      bool
}

type value struct {
	Value   string `json:"value"`
	Machine string `json:"machine"`
}

// settled waits until every report is an incident that the machine has read,
// and returns them by when they occurred.
func (s Seeder) settled(ctx context.Context, want int) (map[int64][]*listed, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		incidents, read, err := s.list(ctx)
		if err != nil || read == want {
			return incidents, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d demo reports were counted: %w", read, want, ctx.Err())
		}
	}
}

func (s Seeder) list(ctx context.Context) (byTime map[int64][]*listed, read int, err error) {
	byTime = make(map[int64][]*listed)
	for cursor := ""; ; {
		var page struct {
			Incidents []*listed `json:"incidents"`
			Next      string    `json:"next"`
		}
		if err := s.call(ctx, http.MethodGet, "/api/v1/incidents?limit=200&cursor="+url.QueryEscape(cursor), 0, nil, &page); err != nil {
			return nil, 0, err
		}
		for _, i := range page.Incidents {
			byTime[i.OccurredAt.UnixMilli()] = append(byTime[i.OccurredAt.UnixMilli()], i)
			if i.Kind.Machine != "" {
				read++
			}
		}
		if cursor = page.Next; cursor == "" {
			return byTime, read, nil
		}
	}
}

// handle does what reps did with one incident.
func (s Seeder) handle(ctx context.Context, p planned, incidents map[int64][]*listed) error {
	if p.reviewed == 0 {
		return nil
	}
	i := of(p, incidents)
	if i == nil {
		return fmt.Errorf("no incident of %v at %s", p.occurred, p.site)
	}
	s.Clock.set(p.received.Add(p.reviewed))
	change := func(action string, body any) error {
		return s.call(ctx, http.MethodPost, "/api/v1/incidents/"+i.ID+"/"+action, i.Rev, body, i)
	}
	if p.closed == 0 || p.reclassify {
		if err := change("acknowledge", nil); err != nil {
			return err
		}
	}
	if fix := p.corrections(i); p.reclassify && len(fix) > 0 {
		if err := change("classify", fix); err != nil {
			return err
		}
	}
	if p.closed == 0 {
		return nil
	}
	s.Clock.set(p.received.Add(p.reviewed + p.closed))
	reason := "Demo: spoken to the reporter, nothing more can be done here."
	if p.fixed {
		reason = "Demo: the customer had a warning letter and the desk has its screen back."
	}
	return change("close", map[string]any{"fixed": p.fixed, "reason": reason})
}

// corrections are what a reviewer who knows the truth fills in or mends: all of
// it, where a person is asked to look.
func (p planned) corrections(i *listed) map[string]string {
	fix := make(map[string]string)
	mended := p.learned && (p.unsure.when || p.unsure.where)
	if p.learned && p.unsure.when {
		fix["occurred_at"], fix["occurred_precision"] = p.occurred.UTC().Format(time.RFC3339), string(incident.PrecisionAbout)
	}
	if p.learned && p.unsure.where {
		fix["site"] = p.site
	}
	mend := func(field, truth, counts string) {
		if truth == "" {
			truth = counts // of a hazard, that it has neither channel nor target
		}
		mended = mended || truth != counts
		if truth != counts || i.Review {
			fix[field] = truth
		}
	}
	mend("kind", string(p.kind), i.Kind.Value)
	mend("channel", string(p.channel), i.Channel.Value)
	mend("target", string(p.target), i.Target.Value)
	if mended {
		fix["reason"] = "Demo: asked the reporter."
	}
	return fix
}

// of finds the incident of a planned report, each once.
func of(p planned, incidents map[int64][]*listed) *listed {
	when := p.occurred
	if p.unsure.when {
		when = p.received // by which it counts
	}
	for _, i := range incidents[when.UnixMilli()] {
		if !i.taken && i.Site == p.filedAt() && i.ReceivedAt.Sub(p.received).Abs() < time.Second {
			i.taken = true
			return i
		}
	}
	return nil
}

// call asks the program as the rep, and decodes its answer into result.
func (s Seeder) call(ctx context.Context, method, path string, rev int64, body, result any) error {
	var in io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(b)
	}
	req := httptest.NewRequestWithContext(ctx, method, path, in)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.Token)
	if rev > 0 {
		req.Header.Set("If-Match", fmt.Sprintf("%q", fmt.Sprint(rev)))
	}
	res, err := s.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, answer)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer, result)
}
