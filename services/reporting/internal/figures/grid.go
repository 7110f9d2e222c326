package figures

import (
	"cmp"
	"slices"

	"github.com/onrecord/onrecord/pkg/incident"
)

// ChannelOnline is the row of figures that holds private_message and
// public_online together. No incident has it.
const ChannelOnline incident.Channel = "online"

// grid is the fixed set of numbers given for one month: channel × target with
// every margin, online as one row and as two, what is undecided, the kinds, the
// total, and beside it three numbers by channel: of how many a reporter has said
// that nothing happened, of how many nobody knows when they happened, and how many
// were set aside. Managers see this grid and nothing else.
type grid struct {
	table
	cell      [][]int // by channel, by target
	online    []int   // private_message and public_online, by target
	channels  []int   // margins
	onlineAll int
	targets   []int // margins
	kinds     []int
	undecided int
	total     int
	nothing   beside // of the total
	rest      beside // of the total, those of which nobody has said so: never shown
	undated   beside // of the total
	dated     beside // of the total, the others: never shown
	aside     beside // in no other number
}

// beside is a number by channel.
type beside struct {
	rows []int // by besideRows
	all  int
}

// besideRows are the channels by which such a number is given.
var besideRows = []incident.Channel{incident.ChannelInPerson, incident.ChannelPhone, incident.ChannelLetter, ChannelOnline,
	incident.ChannelNotApplicable, incident.ChannelUnknown}

// besideRow returns the row of a channel.
func besideRow(c incident.Channel) int {
	if c.IsOnline() {
		c = ChannelOnline
	}
	return slices.Index(besideRows, c)
}

// Prices of hiding, by how much a reader loses.
const (
	priceOnlineCell = 4
	priceCell       = 8
	priceKind       = 12
	priceBeside     = 12 // a row; all of them cost as a margin does
	priceMargin     = 24
	priceUndecided  = 72
	priceTotal      = 96
)

// priceOfChannel is that of a channel's margin: in person and online are what
// the figures are asked for first.
var priceOfChannel = map[incident.Channel]int{incident.ChannelInPerson: 72, ChannelOnline: 72, incident.ChannelPhone: 36}

// theGrid is the one grid; months differ in their values only.
var theGrid = newGrid()

func newGrid() *grid {
	g := &grid{}
	add := func(n, price int) []int {
		at := make([]int, n)
		for i := range at {
			at[i] = g.add(number{price: price})
		}
		return at
	}
	for range incident.Channels {
		g.cell = append(g.cell, add(len(incident.Targets), priceCell))
	}
	g.online = add(len(incident.Targets), priceOnlineCell)
	for _, channel := range incident.Channels {
		g.channels = append(g.channels, g.add(number{price: cmp.Or(priceOfChannel[channel], priceMargin)}))
	}
	g.onlineAll = g.add(number{price: priceOfChannel[ChannelOnline]})
	g.targets = add(len(incident.Targets), priceMargin)
	g.kinds = add(len(incident.Kinds), priceKind)
	g.undecided = add(1, priceUndecided)[0]
	g.total = add(1, priceTotal)[0]
	g.nothing = beside{add(len(besideRows), priceBeside), add(1, priceMargin)[0]}
	g.aside = beside{add(len(besideRows), priceBeside), add(1, priceMargin)[0]}
	g.undated = beside{add(len(besideRows), priceBeside), add(1, priceMargin)[0]}
	for _, rest := range []*beside{&g.rest, &g.dated} {
		for range besideRows {
			rest.rows = append(rest.rows, g.add(number{latent: true, rest: true}))
		}
		rest.all = g.add(number{latent: true, rest: true})
	}
	g.tieMargins()
	g.tieBeside()
	g.tieHazards()
	return g
}

// tieMargins ties the cells to the margins, and these to the total.
func (g *grid) tieMargins() {
	rows := []int{g.onlineAll}
	undecided := []int{}
	var online []int
	for c, channel := range incident.Channels {
		g.tie(g.channels[c], g.cell[c]...)
		if channel.IsOnline() {
			online = append(online, g.channels[c])
		} else {
			rows = append(rows, g.channels[c])
		}
	}
	g.tie(g.onlineAll, online...)
	g.tie(g.total, rows...)
	g.tie(g.total, g.kinds...)
	for t, target := range incident.Targets {
		column := []int{g.online[t]}
		var parts []int
		for c, channel := range incident.Channels {
			if channel.IsOnline() {
				parts = append(parts, g.cell[c][t])
			} else {
				column = append(column, g.cell[c][t])
			}
			if target == incident.TargetUnknown && channel != incident.ChannelUnknown && !channel.IsOnline() {
				undecided = append(undecided, g.cell[c][t])
			}
		}
		if target == incident.TargetUnknown {
			undecided = append(undecided, g.online[t])
		}
		g.tie(g.online[t], parts...)
		g.tie(g.targets[t], column...)
	}
	g.tie(g.undecided, append(undecided, g.channels[channelAt(incident.ChannelUnknown)])...)
}

// tieBeside ties the numbers beside the grid to their rows, and those that count
// incidents of the total to these: what is left of them is a number that anybody
// can work out.
func (g *grid) tieBeside() {
	for _, b := range []struct{ some, rest beside }{{g.nothing, g.rest}, {g.undated, g.dated}} {
		for r, c := range besideRows {
			margin, _ := g.channel(c)
			g.tie(margin, b.some.rows[r], b.rest.rows[r])
		}
		g.tie(g.total, b.some.all, b.rest.all)
		g.tie(b.some.all, b.some.rows...)
	}
	g.tie(g.aside.all, g.aside.rows...)
}

// tieHazards ties what everybody knows of hazards: neither channel nor target
// applies to them, so the kinds that are hazards are within that one cell.
func (g *grid) tieHazards() {
	parts := []int{g.add(number{latent: true})} // what else is in the cell
	for k, kind := range incident.Kinds {
		if kind.IsHazard() {
			parts = append(parts, g.kinds[k])
		}
	}
	g.tie(g.cell[channelAt(incident.ChannelNotApplicable)][targetAt(incident.TargetNotApplicable)], parts...)
}

func channelAt(c incident.Channel) int { return slices.Index(incident.Channels, c) }
func targetAt(t incident.Target) int   { return slices.Index(incident.Targets, t) }
func kindAt(k incident.Kind) int       { return slices.Index(incident.Kinds, k) }

// values adds up a month's parts into the grid. A value the taxonomy does not
// know counts as unknown, so that no incident is ever left out of a total.
func (g *grid) values(parts []part, unit Unit) []int {
	v := make([]int, len(g.numbers))
	for _, p := range parts {
		n := unit.of(p.Cell)
		c, t, k := channelAt(p.Channel), targetAt(p.Target), kindAt(p.Kind)
		if c < 0 {
			c = channelAt(incident.ChannelUnknown)
		}
		if t < 0 {
			t = targetAt(incident.TargetUnknown)
		}
		if k < 0 {
			k = kindAt(incident.KindUnknown)
		}
		v[g.cell[c][t]] += n
		v[g.kinds[k]] += n
		r := besideRow(incident.Channels[c])
		v[g.nothing.rows[r]] += p.NothingHappened
		v[g.undated.rows[r]] += p.Undated
		v[g.aside.rows[r]] += p.SetAside
	}
	g.complete(v)
	return v
}

// complete computes every number from the cells and the kinds. Each sum's
// parts are complete before its whole, whatever the order of the sums.
func (g *grid) complete(v []int) {
	for c, channel := range incident.Channels {
		for t, target := range incident.Targets {
			n := v[g.cell[c][t]]
			v[g.channels[c]] += n
			v[g.targets[t]] += n
			v[g.total] += n
			if channel.IsOnline() {
				v[g.online[t]] += n
				v[g.onlineAll] += n
			}
			if channel == incident.ChannelUnknown || target == incident.TargetUnknown {
				v[g.undecided] += n
			}
		}
	}
	for r, c := range besideRows {
		margin, _ := g.channel(c)
		v[g.rest.rows[r]] = v[margin] - v[g.nothing.rows[r]]
		v[g.dated.rows[r]] = v[margin] - v[g.undated.rows[r]]
		v[g.nothing.all] += v[g.nothing.rows[r]]
		v[g.undated.all] += v[g.undated.rows[r]]
		v[g.aside.all] += v[g.aside.rows[r]]
	}
	v[g.rest.all] = v[g.total] - v[g.nothing.all]
	v[g.dated.all] = v[g.total] - v[g.undated.all]
	hazards := g.sums[len(g.sums)-1]
	rest := v[hazards.whole]
	for _, k := range hazards.parts[1:] {
		rest -= v[k]
	}
	v[hazards.parts[0]] = rest
}

// publish returns which numbers of a month managers may not see, after the
// earlier editions, the oldest first. Beyond what hide does, a total stands only
// beside a part of it: where every channel is hidden, so is the total.
func (g *grid) publish(values []int, threshold int, earlier ...edition) set {
	hidden := g.hide(values, threshold, earlier...)
	floors, _ := g.grownFrom(values, earlier)
	for {
		total := g.standsAlone(values, hidden)
		if total < 0 {
			return hidden
		}
		hidden = hidden.with(total)
		s, ok := g.cheapest(search{values: values, hidden: hidden, floors: floors, least: 1}, way{total, +1}, way{total, -1})
		if !ok {
			return g.everything(values, hidden)
		}
		hidden = g.hideChanged(hidden, s)
	}
}

// standsAlone returns a total that would be shown without any part of it, or -1.
func (g *grid) standsAlone(values []int, hidden set) int {
	shown := func(i int) bool { return values[i] > 0 && !hidden.has(i) }
	if shown(g.total) && !g.showsPart(values, hidden) {
		return g.total
	}
	for _, b := range []beside{g.nothing, g.undated, g.aside} {
		if shown(b.all) && !slices.ContainsFunc(b.rows, shown) {
			return b.all
		}
	}
	return -1
}

// showsPart reports whether some channel's number, or some cell's, is shown
// and not zero.
func (g *grid) showsPart(values []int, hidden set) bool {
	shown := func(i int) bool { return values[i] > 0 && !hidden.has(i) }
	return slices.ContainsFunc(g.channels, shown) || shown(g.onlineAll) ||
		slices.ContainsFunc(g.online, shown) ||
		slices.ContainsFunc(g.cell, func(row []int) bool { return slices.ContainsFunc(row, shown) })
}
