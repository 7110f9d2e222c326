package figures

import (
	"context"
	"slices"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
)

// gridOnly says what managers may ask.
var gridOnly = fault.New(fault.Forbidden, "published_grid_only",
	"You may see the published figures: incidents by channel and target, and the kinds by themselves, for all sites together and a month at a time. "+
		"Figures by site or employer, kinds crossed with anything else, reports and people affected are for safety reps.")

// Published returns the published figures, the same grid for every month and
// for everybody who may see it. A question for anything else is
// fault.Forbidden. Numbers are hidden jointly as table describes; months are
// never added together, because a year less eleven months would be a month.
func (s *Service) Published(ctx context.Context, q Query) (Figures, error) {
	months, err := s.published(ctx, q)
	if err != nil {
		return Figures{}, err
	}
	f := s.answer(q, s.threshold)
	for i := range f.Months {
		f.Months[i].publish(months[f.Months[i].Month])
	}
	return f, nil
}

// monthGrid is one month's grid as its reader may see it.
type monthGrid struct {
	values []int
	hidden set
}

// published returns the grid of every month asked for.
func (s *Service) published(ctx context.Context, q Query) (map[incident.Month]monthGrid, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	if q.Sites != nil || q.unit() != Incidents || !onGrid(q.By) {
		return nil, gridOnly
	}
	parts, err := s.read(ctx, Query{From: q.From, To: q.To})
	if err != nil {
		return nil, err
	}
	months := make(map[incident.Month]monthGrid)
	for m := q.From; !q.To.Before(m); m = m.Add(1) {
		values := theGrid.values(parts[m], Incidents)
		months[m] = monthGrid{values, s.grids.publish(values, s.threshold)}
	}
	return months, nil
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

// number returns number i as its reader may see it.
func (m monthGrid) number(i int) Number {
	if m.hidden.has(i) {
		return Number{Hidden: true}
	}
	return Number{N: m.values[i]}
}

// publish fills in a month from its grid.
func (m *Month) publish(g monthGrid) {
	m.Total, m.Undecided = g.number(theGrid.total), g.number(theGrid.undecided)
	m.Suppressed = m.Total.Hidden || m.Undecided.Hidden
	m.Margins = &Margins{Channels: []Cell{}, Online: []Cell{}, Targets: []Cell{}, Kinds: []Cell{}}
	put := func(cells *[]Cell, i int, c Cell) {
		if c.Count = g.number(i); c.Count.Hidden || c.Count.N > 0 {
			c.Suppressed = c.Count.Hidden
			*cells = append(*cells, c)
		}
	}
	for c, channel := range incident.Channels {
		for t, target := range incident.Targets {
			put(&m.Cells, theGrid.cell[c][t], Cell{Channel: channel, Target: target})
		}
		put(&m.Margins.Channels, theGrid.channels[c], Cell{Channel: channel})
	}
	put(&m.Margins.Channels, theGrid.onlineAll, Cell{Channel: ChannelOnline})
	for t, target := range incident.Targets {
		put(&m.Margins.Online, theGrid.online[t], Cell{Channel: ChannelOnline, Target: target})
		put(&m.Margins.Targets, theGrid.targets[t], Cell{Target: target})
	}
	for k, kind := range incident.Kinds {
		put(&m.Margins.Kinds, theGrid.kinds[k], Cell{Kind: kind})
	}
	if g.hidden.len() > 0 {
		m.Notes = append(m.Notes, noteHidden)
	}
}
