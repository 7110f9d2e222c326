package reporting

import (
	"context"
	"fmt"
	"net/url"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// checkedMost is how many of a rep's newest incidents are looked through for
// readings that were picked to be checked.
const checkedMost = 5000

// checkedView is what reps made of the sure readings that they were asked to
// check: all that is known of how well the machine reads real reports.
type checkedView struct {
	measuredView        // no rows before anything was decided
	Link         string // to what waits to be checked; "" where nothing does
}

// checks adds up what reps made of one model's sure readings.
type checks struct {
	picked, settled, waiting int            // incidents; those with every field decided; open ones without
	kept                     map[string]int // by field, of those settled
	others                   int            // picked from readings of other models
}

func (c *checks) add(i *incident.Incident, model string) {
	check, ok := i.Checked()
	switch {
	case !ok:
		return
	case check.Model != model:
		c.others++
		return
	}
	c.picked++
	switch {
	case check.Settled():
		c.settled++
		for field, kept := range check.Kept {
			if kept {
				c.kept[field]++
			}
		}
	case i.NeedsReview() && i.Status.IsOpen() && len(i.WrappedKey) > 0: // whose words are there to be read
		c.waiting++
	}
}

// checked counts what reps made of a model's sure readings at some sites, nil
// for every one, among the newest incidents there.
func (s *Service) checked(ctx context.Context, sites []string, model string) (*checkedView, error) {
	c := checks{kept: make(map[string]int)}
	f := store.Filter{Sites: sites, Limit: maxLimit}
	seen := 0
	for more := true; more && seen < checkedMost; more = f.Cursor != "" {
		page, next, err := s.store.ListIncidents(ctx, f)
		if err != nil {
			return nil, err
		}
		for _, i := range page {
			c.add(i, model)
		}
		seen, f.Cursor = seen+len(page), next
	}
	return c.view(seen, f.Cursor != ""), nil
}

// view words what was counted among so many incidents, and whether there are older ones.
func (c *checks) view(seen int, older bool) *checkedView {
	v := &checkedView{measuredView: measuredView{Name: "What reps made of its sure readings"}}
	among := "Of " + incidents(seen) + " at your sites"
	if older {
		among = "Of the newest " + number(seen) + " incidents at your sites"
	}
	v.About = among + ", none was picked yet for a check of this model’s sure readings."
	if c.picked > 0 {
		v.About = fmt.Sprintf("%s, %s picked for a check of this model’s sure readings. Reps have decided every field of %s", among, count(c.picked, "was", "were"), number(c.settled))
		if left := c.picked - c.settled - c.waiting; left > 0 {
			v.About += fmt.Sprintf("; %s closed or decided in part, and %s not counted", count(left, "was", "were"), isOrAre(left))
		}
		v.About += "."
	}
	if c.others > 0 {
		v.About += fmt.Sprintf(" %s picked when other models read, and %s not counted either.", count(c.others, "was", "were"), isOrAre(c.others))
	}
	if c.settled > 0 {
		for _, field := range incident.Fields {
			low, high := incident.Interval(c.kept[field], c.settled)
			v.Rows = append(v.Rows, qualityRowOf(incident.Quality{What: capital(fieldNames[field]) + ": kept by reps", N: c.kept[field], Of: c.settled, Low: low, High: high}))
		}
	}
	if c.waiting > 0 {
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
