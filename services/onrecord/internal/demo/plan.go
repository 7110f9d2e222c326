// Package demo fills a fresh installation with two years of made-up incidents
// at the proportions of real ones, through the program's own front door.
package demo

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
)

// PerMonth is the mean number of incidents a month: the figure a contractor
// once announced and nobody could open.
const PerMonth = 163

// Months is how far back the demo goes.
const Months = 24

// lateSite reported one month on paper: what happened there in the month
// lateMonth was filed after the middle of the one after.
const lateSite = "demo-north"

func lateMonth(now time.Time) incident.Month { return incident.MonthOf(now).Add(-3) }

// planned is one report to be filed, with what later happens to it.
type planned struct {
	site       string
	occurred   time.Time
	received   time.Time
	kind       incident.Kind
	channel    incident.Channel // the truth; a reporter does not always say it
	target     incident.Target
	said       struct{ kind, channel, target bool } // which of them the reporter answered
	words      string
	hurt       incident.Hurt
	unsure     struct{ when, where bool } // what the reporter does not know
	learned    bool                       // a rep has asked, and puts when and where right
	reviewed   time.Duration              // after receipt; 0: nobody has looked yet
	closed     time.Duration              // after review; 0: still open
	fixed      bool
	reclassify bool // the reviewer fills in what nobody said
}

// plan makes the demo's reports in the order in which they were received, the
// last of them before now. The same seed and now give the same plan.
func plan(rng *rand.Rand, now time.Time) []planned {
	var all []planned
	first := incident.MonthOf(now).Add(-Months)
	for m := first; !incident.MonthOf(now).Before(m); m = m.Add(1) {
		season := 1 + 0.12*[]float64{1, 1, 0.5, 0, -0.5, -1, -1, -1, 0, 0, 0.5, 0.5}[int(m.Month)-1]
		for range int(PerMonth*season) + rng.IntN(25) - 12 {
			p := report(rng, m)
			if p.site == lateSite && m == lateMonth(now) {
				p.received = m.Add(1).Start().AddDate(0, 0, 14).Add(p.occurred.Sub(m.Start()) / 10)
			}
			if p.received.Before(now) {
				all = append(all, p)
			}
		}
	}
	for i := range all {
		all[i].handle(rng, now)
	}
	slices.SortFunc(all, func(a, b planned) int {
		return cmp.Or(a.received.Compare(b.received), cmp.Compare(a.words, b.words))
	})
	return all
}

// report makes one report of something that occurred in working hours of m.
func report(rng *rand.Rand, m incident.Month) planned {
	days := m.Add(1).Start().Add(-time.Hour).In(incident.London).Day()
	day := time.Date(m.Year, m.Month, 1+rng.IntN(days), 0, 0, 0, 0, incident.London)
	for day.Weekday() == time.Sunday || day.Weekday() == time.Saturday && rng.IntN(4) > 0 {
		day = time.Date(m.Year, m.Month, 1+rng.IntN(days), 0, 0, 0, 0, incident.London)
	}
	p := planned{site: pick(rng, sites), kind: pick(rng, kinds), hurt: incident.HurtNo}
	p.occurred = day.Add(9*time.Hour + time.Duration(rng.IntN(8*60))*time.Minute)
	p.received = p.occurred.Add(time.Duration(1+rng.ExpFloat64()*90) * time.Minute)
	if rng.IntN(40) == 0 { // some people need days
		p.received = p.received.Add(time.Duration(1+rng.IntN(20)) * 24 * time.Hour)
	}
	switch {
	case p.kind == incident.KindAbuse || p.kind == incident.KindThreat:
		p.channel = pick(rng, channels)
	case p.kind.IsAggression():
		p.channel = incident.ChannelInPerson
	}
	switch {
	case p.channel.IsOnline():
		p.target = pick(rng, targetsOnline)
	case p.kind == incident.KindAssault:
		p.target = incident.TargetNamedPerson
	case p.kind.IsAggression():
		p.target = pick(rng, targetsNear)
	}
	p.said.kind, p.said.channel, p.said.target = rng.IntN(20) > 0, rng.IntN(6) > 0, rng.IntN(7) > 0
	// What one finds or hears of has no moment that anybody knows, and only
	// sometimes a place: our own assumption.
	p.unsure.when = rng.IntN(60) == 0 || !p.kind.IsAggression() && rng.IntN(6) == 0
	p.unsure.where = rng.IntN(100) == 0
	p.words = words(rng, p.kind, p.channel, p.target)
	if p.kind == incident.KindAssault && rng.IntN(2) == 0 || p.kind == incident.KindOtherInjury {
		p.hurt = incident.HurtYes
	} else if rng.IntN(25) == 0 {
		p.hurt = incident.HurtUnknown
	}
	return p
}

// handle decides what reps have done with it by now.
func (p *planned) handle(rng *rand.Rand, now time.Time) {
	review := time.Duration(2+rng.ExpFloat64()*20) * time.Hour
	if rng.IntN(12) == 0 || p.received.Add(review).After(now) {
		return
	}
	p.reviewed, p.reclassify, p.learned = review, rng.IntN(3) > 0, rng.IntN(3) == 0
	closed := time.Duration(24+rng.ExpFloat64()*24*9) * time.Hour
	if rng.IntN(8) == 0 || p.received.Add(review+closed).After(now) {
		return
	}
	p.closed, p.fixed = closed, rng.IntN(100) < 42
}
