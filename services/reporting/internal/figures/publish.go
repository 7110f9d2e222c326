package figures

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
)

// gridOnly says what managers may ask.
var gridOnly = fault.New(fault.Forbidden, "published_grid_only",
	"You may see published figures: incidents by channel and target, and the kinds by themselves, for all sites together and a month at a time. "+
		"Live figures, figures by site or employer, kinds crossed with anything else, reports and people affected are for safety reps.")

// Published returns published figures, the same grid for every month and for
// everybody who may see it: of the newest edition of each month, or of the
// edition that q names. A question for anything else, live figures included,
// is fault.Forbidden. Months are never added together, because a year less
// eleven months would be a month.
func (s *Service) Published(ctx context.Context, q Query) (Figures, error) {
	editions, err := s.published(ctx, q)
	if err != nil {
		return Figures{}, err
	}
	f := s.answer(q)
	f.Edition = cmp.Or(q.Edition, EditionLatest)
	for i := range f.Months {
		m := f.Months[i].Month
		e, ok := editions[m]
		if !ok {
			if err := s.unpublished(ctx, &f.Months[i]); err != nil {
				return Figures{}, err
			}
			continue
		}
		f.Months[i] = e.Figures
		of := e.Label()
		f.Months[i].Edition = &of
		f.Threshold = max(f.Threshold, e.Threshold)
	}
	return f, nil
}

// published returns the editions that answer a question.
func (s *Service) published(ctx context.Context, q Query) (map[incident.Month]Edition, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	if q.Sites != nil || q.unit() != Incidents || q.Edition == EditionLive || !onGrid(q.By) {
		return nil, gridOnly
	}
	return s.archive.Editions(ctx, q.From, q.To, q.number())
}

// unpublished says in a month that there is nothing to read, and why.
func (s *Service) unpublished(ctx context.Context, m *Month) error {
	note, err := s.expected(ctx, m.Month)
	*m = Month{Month: m.Month, Total: Number{Hidden: true}, Undecided: Number{Hidden: true}, Unpublished: true, Cells: []Cell{}, Notes: []string{note}}
	return err
}

// expected says when a month may be expected that is not published.
func (s *Service) expected(ctx context.Context, m incident.Month) (string, error) {
	at, err := s.archive.Expected(ctx, m)
	switch running := incident.MonthOf(s.now()); {
	case err != nil:
		return "", err
	case running.Before(m):
		return "This month has not begun.", nil
	case m == running && at.IsZero():
		return "This month is not over. A safety rep of every site publishes it when it is.", nil
	case m == running:
		return "This month is not over. It is published on " + day(at) + ".", nil
	case at.After(s.now()):
		return "Not published yet. Expected on " + day(at) + ".", nil
	}
	return "Not published. A safety rep of every site can publish it.", nil
}

// Next says which month is published next, and when.
func (s *Service) Next(ctx context.Context) (string, error) {
	running := incident.MonthOf(s.now())
	for _, m := range []incident.Month{running.Add(-1), running} {
		at, err := s.archive.Expected(ctx, m)
		if err != nil {
			return "", err
		}
		if at.After(s.now()) {
			return "Next is " + m.Name() + ", on " + day(at) + ".", nil
		}
	}
	return "A safety rep of every site publishes a month when it is over.", nil
}

// day returns a date in London, "Tue 10 Nov 2026".
func day(t time.Time) string { return t.In(incident.London).Format("Mon 2 Jan 2006") }

// Label returns what a list says of an edition.
func (e Edition) Label() EditionOf {
	return EditionOf{Number: e.Number, PublishedAt: e.PublishedAt, Reason: e.Reason, Why: e.Why, Threshold: e.Threshold}
}

// onGrid reports whether the published grid answers a split: by channel and
// target, or by kind alone.
func onGrid(by []Dimension) bool {
	kind := slices.Contains(by, ByKind)
	for _, d := range by {
		if d == BySite || d == ByEmployer || kind && d != ByKind {
			return false
		}
	}
	return true
}
