package reporting

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// reviewMost is how many of those that need a look are put in order: the
// newest. Whoever has more waiting sees the rest once some were looked at.
const reviewMost = 1000

// listReview returns a page of those that f selects, the likeliest assaults and
// threats first and the newest of equals, and the next page's cursor, which is
// a place in that order. What is looked at meanwhile leaves the order, so that
// a later page may begin further on than it should: the list is read from its
// beginning again and again, until it is empty.
func (s *Service) listReview(ctx context.Context, f store.Filter) (page []*incident.Incident, next string, err error) {
	from, err := reviewPlace(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	size := f.Limit
	f.Cursor, f.Limit = "", maxLimit
	var all []*incident.Incident
	for more := true; more && len(all) < reviewMost; more = f.Cursor != "" {
		var found []*incident.Incident
		if found, f.Cursor, err = s.store.ListIncidents(ctx, f); err != nil {
			return nil, "", err
		}
		all = append(all, found...)
	}
	slices.SortStableFunc(all, func(a, b *incident.Incident) int { return cmp.Compare(danger(b), danger(a)) })
	page = all[min(from, len(all)):min(from+size, len(all))]
	if from+size < len(all) {
		next = strconv.Itoa(from + size)
	}
	return page, next, nil
}

// reviewPlace reads a cursor of listReview.
func reviewPlace(cursor string) (int, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(cursor)
	if err != nil || n < 0 || n > reviewMost {
		return 0, fault.InvalidFields([]fault.Field{{Name: "cursor", Message: "That is not a cursor of this list."}})
	}
	return n, nil
}

// danger is the probability that an incident is an assault, an attempted one or
// a threat, as the machine last read it. Where it has not, the reporter's word
// is taken.
func danger(i *incident.Incident) float64 {
	if len(i.Readings) == 0 {
		switch i.Kind.Reporter {
		case incident.KindAssault, incident.KindAttemptedAssault, incident.KindThreat:
			return 1
		}
	}
	p := newest(i).Kind.P
	return p[string(incident.KindAssault)] + p[string(incident.KindAttemptedAssault)] + p[string(incident.KindThreat)]
}

// reviewOrder says in which order the list stands.
func reviewOrder(n int) string {
	words := "The likeliest assaults and threats first, as the machine reads them (as reported, where it has not read them yet), then the newest."
	if n > reviewMost {
		words += " Only the newest " + number(reviewMost) + " are listed: the others follow once some of these were looked at."
	}
	return words
}
