package reporting

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const (
	// checkedMost is how many of a rep's newest incidents are looked through for
	// readings that were picked to be checked.
	checkedMost = 5000
	// rememberChecks is how long what was seen of them is told again: opening the
	// card over and over reads the incidents of a rep's sites twice a minute.
	rememberChecks = 30 * time.Second
)

// checkedView is what reps made of the sure readings that they were asked to
// check: all that is known of how well the machine reads real reports.
type checkedView struct {
	measuredView        // no rows before anything was decided
	Link         string // to what waits to be checked; "" where nothing does
}

// Checks are what reps made of the sure readings of one model.
type Checks struct {
	Model   string         `json:"model"`
	Picked  int            `json:"picked"`  // incidents whose reading was picked
	Settled int            `json:"settled"` // … of which every field was decided since
	Waiting int            `json:"waiting"` // … that wait for somebody to decide
	Kept    map[string]int `json:"kept"`    // of those settled, by field: decided as the machine reads
}

func (c *Checks) add(i *incident.Incident, check incident.Check) {
	c.Picked++
	switch {
	case check.Settled():
		c.Settled++
		for field, kept := range check.Kept {
			if kept {
				c.Kept[field]++
			}
		}
	case i.NeedsReview() && i.Status.IsOpen() && len(i.WrappedKey) > 0: // whose words are there to be read
		c.Waiting++
	}
}

// checksByModel adds up checks of any model.
type checksByModel map[string]*Checks

func (all checksByModel) add(i *incident.Incident) {
	check, ok := i.Checked()
	if !ok {
		return
	}
	c := all[check.Model]
	if c == nil {
		c = &Checks{Model: check.Model, Kept: make(map[string]int)}
		all[check.Model] = c
	}
	c.add(i, check)
}

// Checks returns what reps made of the sure readings that they were asked to
// check, at every site, by model in order of its name. It reads every incident.
// For whoever runs the machine: the numbers are exact.
func (o Operator) Checks(ctx context.Context) ([]Checks, error) {
	all := make(checksByModel)
	err := o.store.EachIncident(ctx, func(i *incident.Incident) error {
		all.add(i)
		return ctx.Err()
	})
	found := []Checks{}
	for _, model := range slices.Sorted(maps.Keys(all)) {
		found = append(found, *all[model])
	}
	return found, err
}

// newestChecks are the checks among the newest incidents of some sites.
type newestChecks struct {
	at      time.Time
	among   string // which incidents these are, in words
	byModel checksByModel
}

// checksSeen are the newestChecks that were looked through lately, by sites.
type checksSeen struct {
	looking singleflight.Group
	mu      sync.Mutex
	last    map[string]newestChecks
}

// of returns what look finds, perhaps as it was rememberChecks ago. What it
// returns is for reading.
func (c *checksSeen) of(sites string, now func() time.Time, look func() (newestChecks, error)) (newestChecks, error) {
	c.mu.Lock()
	last, ok := c.last[sites]
	c.mu.Unlock()
	if ok && now().Sub(last.at) < rememberChecks {
		return last, nil
	}
	v, err, _ := c.looking.Do(sites, func() (any, error) {
		began := now()
		seen, err := look()
		if err != nil {
			return nil, err
		}
		seen.at = began
		c.mu.Lock()
		defer c.mu.Unlock()
		maps.DeleteFunc(c.last, func(_ string, old newestChecks) bool { return began.Sub(old.at) >= rememberChecks })
		if c.last == nil {
			c.last = make(map[string]newestChecks)
		}
		c.last[sites] = seen
		return seen, nil
	})
	if err != nil {
		return newestChecks{}, err
	}
	return v.(newestChecks), nil
}

// checked words what reps made of a model's sure readings at some sites, nil
// for every one, among the newest incidents there.
func (s *Service) checked(ctx context.Context, sites []string, model string) (*checkedView, error) {
	key := "every site"
	if sites != nil {
		key = strings.Join(slices.Sorted(slices.Values(sites)), "\n")
	}
	seen, err := s.checks.of(key, s.now, func() (newestChecks, error) {
		return s.newestChecks(context.WithoutCancel(ctx), sites) // others may wait for it too
	})
	if err != nil {
		return nil, err
	}
	others := 0
	for name, c := range seen.byModel {
		if name != model {
			others += c.Picked
		}
	}
	of, ok := seen.byModel[model]
	if !ok {
		of = &Checks{Model: model}
	}
	return of.view(seen.among, others), nil
}

// newestChecks looks through the newest incidents of some sites.
func (s *Service) newestChecks(ctx context.Context, sites []string) (newestChecks, error) {
	found := newestChecks{byModel: make(checksByModel)}
	f := store.Filter{Sites: sites, Limit: maxLimit}
	seen := 0
	for more := true; more && seen < checkedMost; more = f.Cursor != "" {
		page, next, err := s.store.ListIncidents(ctx, f)
		if err != nil {
			return found, err
		}
		for _, i := range page {
			found.byModel.add(i)
		}
		seen, f.Cursor = seen+len(page), next
	}
	found.among = "Of " + incidents(seen) + " at your sites"
	if f.Cursor != "" {
		found.among = "Of the newest " + number(seen) + " incidents at your sites"
	}
	return found, nil
}

// view words the checks of one model among some incidents, of which others were
// picked when other models read.
func (c *Checks) view(among string, others int) *checkedView {
	v := &checkedView{measuredView: measuredView{Name: "What reps made of its sure readings"}}
	v.About = among + ", none was picked yet for a check of this model’s sure readings."
	if c.Picked > 0 {
		v.About = fmt.Sprintf("%s, %s picked for a check of this model’s sure readings. Reps have decided every field of %s", among, count(c.Picked, "was", "were"), number(c.Settled))
		if left := c.Picked - c.Settled - c.Waiting; left > 0 {
			v.About += fmt.Sprintf("; %s closed or decided in part, and %s not counted", count(left, "was", "were"), isOrAre(left))
		}
		v.About += "."
	}
	if others > 0 {
		v.About += fmt.Sprintf(" %s picked when other models read, and %s not counted either.", count(others, "was", "were"), isOrAre(others))
	}
	if c.Settled > 0 {
		for _, field := range incident.Fields {
			low, high := incident.Interval(c.Kept[field], c.Settled)
			v.Rows = append(v.Rows, qualityRowOf(incident.Quality{What: capital(fieldNames[field]) + ": kept by reps", N: c.Kept[field], Of: c.Settled, Low: low, High: high}))
		}
	}
	if c.Waiting > 0 {
		v.Link = incidentsPath + "?" + url.Values{"status": {"review"}}.Encode()
	}
	return v
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
