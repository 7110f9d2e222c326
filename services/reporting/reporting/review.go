package reporting

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// reviewMost is how many of those that need a look are put in order together:
// the newest first, then those before them.
const reviewMost = 1000

// listReview returns a page of those that f selects, the likeliest assaults and
// threats first and the newest of equals, and the next page's cursor, which is
// a place in that order. What is looked at meanwhile leaves the order, so that
// a later page may begin further on than it should: the list is read from its
// beginning again and again, until it is empty.
func (s *Service) listReview(ctx context.Context, f store.Filter) (page []*incident.Incident, next string, err error) {
	return s.listByDanger(ctx, f, reviewMost)
}

// listByDanger is listReview with most put in order together.
func (s *Service) listByDanger(ctx context.Context, f store.Filter, most int) (page []*incident.Incident, next string, err error) {
	place, start, err := reviewPlace(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	size := f.Limit
	f.Cursor = start
	var all []*incident.Incident
	for more := true; more && len(all) < most; more = f.Cursor != "" {
		f.Limit = min(maxLimit, most-len(all))
		var found []*incident.Incident
		if found, f.Cursor, err = s.store.ListIncidents(ctx, f); err != nil {
			return nil, "", err
		}
		all = append(all, found...)
	}
	slices.SortStableFunc(all, func(a, b *incident.Incident) int { return cmp.Compare(danger(b), danger(a)) })
	page = all[min(place, len(all)):min(place+size, len(all))]
	switch {
	case place+size < len(all):
		next = strconv.Itoa(place+size) + reviewMark + start
	case f.Cursor != "":
		next = "0" + reviewMark + f.Cursor
	}
	return page, next, nil
}

// reviewMark parts the place in the order from the store's cursor of where that
// order begins.
const reviewMark = "~"

// reviewPlace reads a cursor of listReview.
func reviewPlace(cursor string) (place int, start string, err error) {
	if cursor == "" {
		return 0, "", nil
	}
	digits, start, ok := strings.Cut(cursor, reviewMark)
	place, err = strconv.Atoi(digits)
	if !ok || err != nil || place < 0 || place > reviewMost {
		return 0, "", fault.InvalidFields([]fault.Field{{Name: "cursor", Message: "That is not a cursor of this list."}})
	}
	return place, start, nil
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
		words += " Of the newest " + number(reviewMost) + ", that is: the others follow after them, in the same order."
	}
	return words
}
