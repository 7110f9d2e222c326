package figures

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
)

// few reports whether n people are few, whichever way a number went.
func few(n, threshold int) bool { return n != 0 && -threshold <= n && n <= threshold }

// revised returns values a little later: some incidents came in addition, and
// where it may shrink, some were taken back.
func (t *twoWay) revised(r *rand.Rand, values []int, shrink bool) []int {
	v := slices.Clone(values)
	for range 1 + r.IntN(6) {
		c := t.cells[r.IntN(len(t.cells))]
		if shrink && r.IntN(3) == 0 {
			v[c] = max(0, v[c]-1-r.IntN(2))
		} else {
			v[c] += 1 + r.IntN(2)
		}
	}
	t.complete(v)
	return v
}

// A reader lays two editions side by side, and adds and subtracts across both.
// Every pair of tables is made that the reader may hold to be the true one.
func TestTwoEditionsDoNotGiveAwayAFew(t *testing.T) {
	const tables, threshold, more = 60, 2, 5
	for _, shape := range []struct {
		rows, columns, most int
		shrink              bool
	}{{2, 2, 4, false}, {2, 2, 4, true}, {3, 2, 2, false}, {2, 3, 2, true}} {
		t.Run(fmt.Sprintf("%+v", shape), func(t *testing.T) {
			table := newTwoWay(shape.rows, shape.columns, 0)
			random := rand.New(rand.NewPCG(21, 22))
			for range tables {
				before := table.random(random, shape.most)
				first := edition{before, table.hide(before, threshold)}
				after := table.revised(random, before, shape.shrink)
				hidden := table.hide(after, threshold, first)
				floors, _ := table.grownFrom(after, []edition{first})
				grown := floors != nil
				table.checkEditions(t, first, edition{after, hidden}, threshold, more, grown)
			}
		})
	}
}

func (t *twoWay) checkEditions(tb testing.TB, first, second edition, threshold, more int, grown bool) {
	tb.Helper()
	before, after, hidden := first.values, second.values, second.hidden
	for i := range after {
		if first.hidden.has(i) && !hidden.has(i) {
			tb.Fatalf("%v, then %v: number %d was hidden and is shown", before, after, i)
		}
		if !hidden.has(i) && (few(after[i]-before[i], threshold) || few(max(after[i], 0), threshold)) {
			tb.Fatalf("%v, then %v: number %d tells about few and is shown", before, after, i)
		}
	}
	var befores, afters [][]int
	t.consistent(before, first.hidden, 0, threshold, func(v []int) { befores = append(befores, slices.Clone(v)) })
	t.consistent(after, hidden, 0, more, func(v []int) { afters = append(afters, slices.Clone(v)) })
	var mayBeMany, mayHaveBeenMany, mayDifferByMany, knowingAll set
	for _, x := range befores {
		sum := make([]int, len(x)) // what the second would be if the first were x and all that came in between were known
		for i := range x {
			sum[i] = x[i] + after[i] - before[i]
		}
		if fits := slices.ContainsFunc(afters, func(y []int) bool { return slices.Equal(y, sum) }); fits {
			for i := range x {
				if x[i] > threshold {
					knowingAll = knowingAll.with(i)
				}
			}
		}
		for _, y := range afters {
			if grown && slices.ContainsFunc(t.cells, func(c int) bool { return y[c] < x[c] }) {
				continue // this reader knows that reports only came in addition
			}
			for i := range x {
				if x[i] > threshold {
					mayHaveBeenMany = mayHaveBeenMany.with(i)
				}
				if y[i] > threshold {
					mayBeMany = mayBeMany.with(i)
				}
				if d := y[i] - x[i]; d > threshold || d < -threshold {
					mayDifferByMany = mayDifferByMany.with(i)
				}
			}
		}
	}
	for i := range after {
		switch {
		case few(before[i], threshold) && !mayHaveBeenMany.has(i):
			tb.Fatalf("%v, then %v, hidden %b, %b: number %d was %d and cannot have been more than %d", before, after, first.hidden, hidden, i, before[i], threshold)
		case few(after[i], threshold) && !mayBeMany.has(i):
			tb.Fatalf("%v, then %v, hidden %b, %b: number %d is %d and cannot be more than %d", before, after, first.hidden, hidden, i, after[i], threshold)
		case few(after[i]-before[i], threshold) && !mayDifferByMany.has(i):
			tb.Fatalf("%v, then %v, hidden %b, %b: number %d changed by %d and cannot have changed by more", before, after, first.hidden, hidden, i, after[i]-before[i])
		case grown && few(before[i], threshold) && !knowingAll.has(i):
			tb.Fatalf("%v, then %v, hidden %b, %b: who knows what came in between knows that number %d was %d", before, after, first.hidden, hidden, i, before[i])
		}
	}
}

// Months of every size are revised again and again, by few and by many. What
// can be worked out by taking one edition from another is told in the changes.
func TestEditionsOfRealMonthsNeverShowAFew(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	shown := 0
	for n := range 60 {
		var cells []incident.Cell
		for _, p := range month(r, 20+n*n/6) {
			cells = append(cells, p.Cell)
		}
		cells = incident.Merge(cells)
		threshold := 1 + r.IntN(8)
		var earlier []Earlier
		for number := range 4 {
			e := Edition{Month: october, Number: number + 1, Threshold: threshold, Figures: Publish(october, cells, threshold, earlier...)}
			values := theGrid.values(appendParts(nil, cells, ""), Incidents)
			hidden := gridOf(e.Figures).hidden
			for _, before := range earlier {
				was := gridOf(before.Edition.Figures)
				exact := theGrid.values(appendParts(nil, before.Cells, ""), Incidents)
				for _, p := range places {
					i := p.number
					if was.hidden.has(i) && !hidden.has(i) {
						t.Fatalf("number %d was hidden and is shown", i)
					}
					if !hidden.has(i) && few(values[i]-exact[i], threshold) {
						t.Fatalf("number %d, %d and then %d: both are shown", i, exact[i], values[i])
					}
				}
				for _, c := range Changes(before.Edition.Figures, e.Figures) {
					if c.Before.Hidden && c.Before.N != 0 || c.After.Hidden && c.After.N != 0 || !c.Before.Hidden && !c.After.Hidden && few(c.After.N-c.Before.N, threshold) {
						t.Fatalf("a change tells of few: %+v", c)
					}
					shown++
				}
			}
			for _, p := range places {
				if !hidden.has(p.number) && few(values[p.number], threshold) {
					t.Fatalf("number %d is %d and shown", p.number, values[p.number])
				}
			}
			earlier = append(earlier, Earlier{e, cells})
			cells = later(r, cells, 1+r.IntN(1+n))
			threshold = 1 + r.IntN(8) // the operator may choose another
		}
	}
	if shown < 1000 {
		t.Errorf("%d changes: the test shows nothing", shown)
	}
}

// later returns a month's cells after n changes: reports that came late, and
// incidents that were decided, corrected or taken back.
func later(r *rand.Rand, cells []incident.Cell, n int) []incident.Cell {
	parts := [][]incident.Cell{cells}
	for range n {
		for _, p := range month(r, 1) {
			parts = append(parts, []incident.Cell{p.Cell})
		}
		if i := r.IntN(len(cells)); r.IntN(2) == 0 {
			gone := incident.Cell{Dims: cells[i].Dims, Incidents: -1, Reports: -1, People: -1}
			if cells[i].NothingHappened == cells[i].Incidents {
				gone.NothingHappened = -1
			}
			parts = append(parts, []incident.Cell{gone})
		}
	}
	merged := incident.Merge(parts...)
	return slices.DeleteFunc(merged, func(c incident.Cell) bool { return c.Incidents <= 0 })
}

// What is left of a revision for its readers: after eleven more reports of a
// provider's 163, the total and most of what did not change.
func TestARevisionStillShowsSomething(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	for _, c := range []struct{ incidents, late, totals, numbers int }{{163, 11, 95, 25}, {163, 40, 95, 30}, {3500, 11, 95, 45}, {3500, 200, 95, 40}} {
		totals, shown, all := 0, 0, 0
		for range 20 {
			cells := incident.Merge(cellsOfParts(month(r, c.incidents)))
			first := Earlier{Edition{Figures: Publish(october, cells, 5)}, cells}
			second := Publish(october, incident.Merge(cells, cellsOfParts(month(r, c.late))), 5, first)
			if !second.Total.Hidden {
				totals++
			}
			was, is := gridOf(first.Edition.Figures), gridOf(second)
			for _, p := range places {
				if !was.hidden.has(p.number) && was.values[p.number] > 0 {
					all++
					if !is.hidden.has(p.number) {
						shown++
					}
				}
			}
		}
		t.Logf("%d incidents and %d late: %d of 20 totals are shown, %d%% of what the first edition showed", c.incidents, c.late, totals, 100*shown/all)
		if 100*totals/20 < c.totals || 100*shown/all < c.numbers {
			t.Errorf("%d incidents and %d late: too little is shown, want %+v", c.incidents, c.late, c)
		}
	}
}

func cellsOfParts(parts []part) (cells []incident.Cell) {
	for _, p := range parts {
		cells = append(cells, p.Cell)
	}
	return cells
}

// What is published is read back as it was, through its JSON.
func TestAPublishedMonthReadsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(27, 28))
	for n := range 40 {
		values := theGrid.values(month(r, n*n), Incidents)
		hidden := theGrid.publish(values, 5)
		published := newMonth(october)
		published.publish(monthGrid{values: values, hidden: hidden})
		text, err := json.Marshal(published)
		if err != nil {
			t.Fatal(err)
		}
		var read Month
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		g := gridOf(read)
		for i, v := range values {
			if theGrid.numbers[i].latent {
				continue
			}
			if want := (monthGrid{values: values, hidden: hidden}).number(i); g.number(i) != want || want.Hidden && g.values[i] != 0 {
				t.Fatalf("number %d of %d: got %+v, want %+v", i, v, g.number(i), want)
			}
		}
		again, err := json.Marshal(read)
		if err != nil || !slices.Equal(again, text) {
			t.Fatalf("written again: %s, %v\nwant %s", again, err, text)
		}
		if changed := Changes(published, read); len(changed) != 0 {
			t.Fatalf("changes of nothing: %+v", changed)
		}
	}
	shown := 0
	for _, n := range theGrid.numbers {
		if !n.latent {
			shown++
		}
	}
	if len(places) != shown {
		t.Errorf("%d places, want one for each of %d numbers", len(places), shown)
	}
}

func TestChangesNameEveryNumber(t *testing.T) {
	abuse := cell(incident.KindAbuse, incident.ChannelInPerson, incident.TargetNamedPerson, incident.SetByMachine, 20)
	more := abuse
	more.Incidents = 40
	got := Changes(Publish(october, []incident.Cell{abuse}, 5), Publish(october, []incident.Cell{more}, 5))
	var twenty, forty = Number{N: 20}, Number{N: 40}
	want := []Change{
		{Of: OfTotal, Before: twenty, After: forty},
		{Channel: incident.ChannelInPerson, Before: twenty, After: forty},
		{Target: incident.TargetNamedPerson, Before: twenty, After: forty},
		{Kind: incident.KindAbuse, Before: twenty, After: forty},
		{Channel: incident.ChannelInPerson, Target: incident.TargetNamedPerson, Before: twenty, After: forty},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}
