package figures

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
)

// month returns the parts of a made-up month of about n incidents, at the
// proportions of a large public service.
func month(r *rand.Rand, n int) []part {
	pick := func(weights ...int) int {
		sum := 0
		for _, w := range weights {
			sum += w
		}
		at := r.IntN(sum)
		for i, w := range weights {
			if at -= w; at < 0 {
				return i
			}
		}
		return 0
	}
	one := make(map[incident.Dims]int)
	for range n {
		d := incident.Dims{
			Kind:    incident.Kinds[pick(3, 2, 15, 60, 3, 2, 8, 1, 3, 3)],
			Channel: incident.Channels[pick(50, 25, 2, 8, 6, 2, 7)],
			Target:  incident.Targets[pick(40, 30, 12, 5, 3, 10)],
			SetBy:   []incident.Setter{incident.SetByMachine, incident.SetByReporter, incident.SetByReviewer}[r.IntN(3)],
		}
		if d.Kind.IsHazard() {
			d.Channel, d.Target = incident.ChannelNotApplicable, incident.TargetNotApplicable
		}
		one[d]++
	}
	said, aside, undated := r.IntN(3), r.IntN(3), r.IntN(3) // of how many: hardly any, some, most
	var parts []part
	for d, n := range one {
		c := incident.Cell{Dims: d, Incidents: n, Reports: n, People: n}
		for range n {
			if r.IntN(20) < 1+said*said*4 {
				c.NothingHappened++
			}
			if r.IntN(20) < undated*undated*4 {
				c.Undated++
			}
			if r.IntN(20) < aside*aside*3 {
				c.SetAside++
			}
		}
		parts = append(parts, part{Cell: c})
	}
	return parts
}

func TestGridSumsHold(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		v := theGrid.values(month(r, r.IntN(400)), Incidents)
		for i, s := range theGrid.sums {
			sum := 0
			for _, p := range s.parts {
				sum += v[p]
			}
			if sum != v[s.whole] {
				t.Fatalf("sum %d: parts add up to %d, whole is %d", i, sum, v[s.whole])
			}
		}
	}
}

func TestPublishedGridHidesWhatItMust(t *testing.T) {
	const threshold = 5
	r := rand.New(rand.NewPCG(5, 6))
	for n := range 200 {
		v := theGrid.values(month(r, n%100+r.IntN(1+n*n/12)), Incidents)
		hidden := theGrid.publish(v, threshold)
		for i, x := range v {
			if !theGrid.numbers[i].latent && 1 <= x && x <= threshold && !hidden.has(i) {
				t.Fatalf("number %d is %d and shown", i, x)
			}
			if x == 0 && hidden.has(i) {
				t.Fatalf("number %d is zero and hidden", i)
			}
		}
		if v[theGrid.total] > 0 && !hidden.has(theGrid.total) && !theGrid.showsPart(v, hidden) {
			t.Fatalf("total %d stands alone", v[theGrid.total])
		}
		for _, b := range []beside{theGrid.nothing, theGrid.undated, theGrid.aside} {
			alone := v[b.all] > 0 && !hidden.has(b.all)
			for _, i := range b.rows {
				alone = alone && (v[i] == 0 || hidden.has(i))
			}
			if alone {
				t.Fatalf("%d stands alone, its rows are hidden", v[b.all])
			}
		}
		low, high := bounds(theGrid, v, hidden, 1)
		for i, x := range v {
			if hidden.has(i) && low[i] == high[i] {
				t.Fatalf("number %d is hidden and can only be %d", i, x)
			}
		}
		_, high = bounds(theGrid, v, hidden, 0)
		for i, x := range v {
			if 1 <= x && x <= threshold && high[i] <= threshold {
				t.Fatalf("number %d is %d and can be no more than %d", i, x, high[i])
			}
		}
	}
}

// bounds works out from the sums alone between which values every number
// lies, as a reader with pencil and paper would.
func bounds(g *grid, values []int, hidden set, least int) (low, high []int) {
	const many = 1 << 20
	low, high = append([]int(nil), values...), append([]int(nil), values...)
	for i := range values {
		switch {
		case g.numbers[i].latent:
			low[i], high[i] = 0, many
		case hidden.has(i):
			low[i], high[i] = least, many
		}
	}
	for changed := true; changed; {
		changed = false
		narrow := func(i, l, h int) {
			if l > low[i] {
				low[i], changed = l, true
			}
			if h < high[i] {
				high[i], changed = h, true
			}
		}
		for _, s := range g.sums {
			l, h := 0, 0
			for _, p := range s.parts {
				l, h = l+low[p], h+high[p]
			}
			narrow(s.whole, l, h)
			for _, p := range s.parts {
				narrow(p, low[s.whole]-(h-high[p]), high[s.whole]-(l-low[p]))
			}
		}
	}
	return low, high
}

func TestHidingIsTheSameEveryTime(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 20 {
		v := theGrid.values(month(r, 163), Incidents)
		if a, b := theGrid.publish(v, 5), theGrid.publish(v, 5); a != b {
			t.Fatalf("hidden %b, then %b", a, b)
		}
	}
}

// The measure of what is left for managers: of a branch’s twenty a month little
// more than the total and in person, of a provider’s 163 most margins.
func TestMostOfAMonthStaysVisible(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, c := range []struct{ incidents, totals, inPerson, undecided, margins int }{
		{20, 85, 75, 0, 12},
		{163, 100, 95, 90, 70},
		{3500, 100, 100, 100, 95},
	} {
		totals, inPerson, undecided, shown, all := 0, 0, 0, 0, 0
		for range 100 {
			v := theGrid.values(month(r, c.incidents), Incidents)
			hidden := theGrid.publish(v, 5)
			if !hidden.has(theGrid.total) {
				totals++
			}
			if !hidden.has(theGrid.channels[channelAt(incident.ChannelInPerson)]) {
				inPerson++
			}
			if !hidden.has(theGrid.undecided) {
				undecided++
			}
			for _, i := range append(append([]int{theGrid.onlineAll, theGrid.undecided}, theGrid.channels...), theGrid.targets...) {
				if v[i] > 0 {
					all++
					if !hidden.has(i) {
						shown++
					}
				}
			}
		}
		t.Logf("%d incidents: of a hundred months %d show the total, %d in person, %d undecided; %d%% of margins are shown",
			c.incidents, totals, inPerson, undecided, 100*shown/all)
		if totals < c.totals || inPerson < c.inPerson || undecided < c.undecided || 100*shown/all < c.margins {
			t.Errorf("%d incidents: too little is shown, want %+v", c.incidents, c)
		}
	}
}

func BenchmarkPublishMonth(b *testing.B) {
	for _, n := range []int{20, 163, 3500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 2))
			months := make([][]int, 12)
			for i := range months {
				months[i] = theGrid.values(month(r, n), Incidents)
			}
			i := 0
			for b.Loop() {
				theGrid.publish(months[i%12], 5)
				i++
			}
		})
	}
}
