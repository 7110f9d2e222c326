package figures

import (
	"container/heap"
	"math/bits"
	"slices"
)

// A table is numbers tied together by sums: a whole is its parts. It knows
// which of them to hide so that no small number can be worked out.
//
// What it promises, for values that are not negative and fit the sums, when
// every number from 1 to the threshold is small:
//
//   - Every small number is hidden. Zeros never are.
//   - For each small number there is another table with the same shown numbers
//     in which it is larger than the threshold. So no count that can be worked
//     out from shown ones is small, let alone is a hidden number settled.
//   - Also for a reader who knows that nothing hidden is zero, there is another
//     table with the same shown numbers in which it has another value.
//
// The proofs are made while hiding: hide walks from the true table to the
// other one in steps that add or take one here and there and keep every sum,
// and hides what the walk changes. It looks for the steps that hide least.
//
// Where a table was published before, in earlier editions, a change tells about
// few people as a small number does. So:
//
//   - What one edition hid stays hidden in those after it, also when it is zero
//     now. So whoever knows exactly what was added in between knows no more of
//     what was hidden before.
//   - A number that differs from an earlier edition's by 1 to the threshold is
//     hidden, and there is another table with the same shown numbers in which it
//     differs by more.
//   - Where numbers have only become larger, all this holds also for a reader who
//     knows that.
//
// It does not promise that a reader who reasons about which tables would have
// been hidden in this very way learns nothing. The test that says so measures
// how seldom that settles a number.
type table struct {
	numbers []number
	sums    []sum
}

// number describes one number of a table; its value comes with each month.
type number struct {
	price  int   // how much is lost by hiding it, above stepPrice
	latent bool  // never shown, but it follows from shown ones and must be as safe
	rest   bool  // latent, in one sum alone: what is left of a whole beside its other parts
	sums   []int // the sums it stands in
}

// sum says that numbers[whole] is the sum of numbers[parts].
type sum struct {
	whole int
	parts []int
	rest  int // the part that is what is left of the whole, or -1
}

const (
	maxNumbers = 128 // of a table, the size of a set
	maxSums    = 48

	stepPrice = 1 // of changing a number that is hidden already
	sizePrice = 4 // of hiding a number, for each of its binary digits
)

// add appends a number and returns its index.
func (t *table) add(n number) int {
	if len(t.numbers) == maxNumbers {
		panic("figures: table too large") // cannot happen: tables are built from the taxonomy
	}
	t.numbers = append(t.numbers, n)
	return len(t.numbers) - 1
}

// tie adds the sum whole = parts.
func (t *table) tie(whole int, parts ...int) {
	if len(t.sums) == maxSums {
		panic("figures: too many sums")
	}
	rest := slices.IndexFunc(parts, func(p int) bool { return t.numbers[p].rest })
	if rest >= 0 {
		rest = parts[rest]
	}
	t.sums = append(t.sums, sum{whole, parts, rest})
	for _, i := range append([]int{whole}, parts...) {
		t.numbers[i].sums = append(t.numbers[i].sums, len(t.sums)-1)
	}
}

// edition is a table as it was published before.
type edition struct {
	values []int
	hidden set
}

// telling says which values of a number tell about few people.
type telling struct {
	threshold int
	earlier   []edition
}

// at reports whether number i would tell about few people if it were n: it is
// small, or as little more or less than in an earlier edition.
func (t telling) at(i, n int) bool {
	few := func(n int) bool { return 1 <= n && n <= t.threshold }
	return few(n) || slices.ContainsFunc(t.earlier, func(e edition) bool { return few(n-e.values[i]) || few(e.values[i]-n) })
}

// grownFrom returns the values of the edition before, when no number has become
// less since; nil otherwise, and when there was none. What is left of a whole may
// become less without anybody knowing: of it 0 is returned, and all is false.
func (t *table) grownFrom(values []int, earlier []edition) (before []int, all bool) {
	if len(earlier) == 0 {
		return nil, false
	}
	before, all = slices.Clone(earlier[len(earlier)-1].values), true
	for i, n := range values {
		switch {
		case t.numbers[i].rest:
			all = all && n >= before[i]
			before[i] = 0
		case n < before[i]:
			return nil, false
		}
	}
	return before, all
}

// hide returns which numbers must be hidden, after the earlier editions, the
// oldest first. It depends on nothing but these, values and the threshold.
//
// In a table that has only grown, what has not changed needs no new proof: add
// to the new table what the proof of the edition before added to that one.
func (t *table) hide(values []int, threshold int, earlier ...edition) set {
	tells := telling{threshold, earlier}
	var hidden set
	for _, e := range earlier {
		hidden = hidden.or(e.hidden)
	}
	for i, n := range values {
		if tells.at(i, n) && !t.numbers[i].latent {
			hidden = hidden.with(i)
		}
	}
	least := hidden
	before, grown := t.grownFrom(values, earlier)
	for i, n := range values {
		if tells.at(i, n) && (!grown || n > before[i]) {
			var ok bool
			if hidden, ok = t.protect(values, hidden, i, tells); !ok {
				return t.everything(values, least)
			}
		}
	}
	return hidden
}

// everything hides every number but zeros, and whatever else is hidden already.
// Then any number can be larger: so can its margins, the total and some kind.
func (t *table) everything(values []int, hidden set) set {
	for i, n := range values {
		if n > 0 && !t.numbers[i].latent {
			hidden = hidden.with(i)
		}
	}
	return hidden
}

// protect returns hidden with what else must be hidden to keep the promise for
// number i, and false when no way was found.
func (t *table) protect(values []int, hidden set, i int, tells telling) (set, bool) {
	other := slices.Clone(values)
	floors, _ := t.grownFrom(values, tells.earlier)
	for tells.at(i, other[i]) {
		s, ok := t.cheapest(search{values: other, hidden: hidden, floors: floors}, way{i, +1})
		if !ok {
			return hidden, false
		}
		s.apply(other)
		hidden = t.hideChanged(hidden, s)
	}
	s, ok := t.cheapest(search{values: values, hidden: hidden, floors: floors, least: 1}, way{i, +1}, way{i, -1})
	if !ok {
		return hidden, false
	}
	return t.hideChanged(hidden, s), true
}

// hideChanged returns hidden with every number that a step changes.
func (t *table) hideChanged(hidden set, s *step) set {
	for i := range t.numbers {
		if s.changes(i) && !t.numbers[i].latent {
			hidden = hidden.with(i)
		}
	}
	return hidden
}

// step is some numbers that become one larger and some that become one
// smaller. open holds what each sum is still out by: whole minus parts.
type step struct {
	up, down set
	open     [maxSums]int8
	price    int
	estimate int
	order    int // of making; the tie-break that keeps hide repeatable
}

func (s *step) changes(i int) bool { return s.up.has(i) || s.down.has(i) }

// out returns how many sums the step leaves out.
func (s *step) out() int {
	n := 0
	for _, o := range s.open {
		if o != 0 {
			n++
		}
	}
	return n
}

// apply makes the step.
func (s *step) apply(values []int) {
	for i := range values {
		switch {
		case s.up.has(i):
			values[i]++
		case s.down.has(i):
			values[i]--
		}
	}
}

// search is where a step is looked for: from a table, with what is hidden of
// it, and how small a number may become.
type search struct {
	values []int
	hidden set
	floors []int // of each number; nil: 0
	least  int   // of every hidden one
}

// way is a change of one number by one.
type way struct{ number, by int }

// patience is how hard a step is looked for, from best to quick.
var patience = []struct {
	tries     int // continuations looked at
	openPrice int // estimate for each sum still to mend: a higher one hides more and is sooner there
}{{128, 2}, {128, 6}, {256, 12}, {256, 30}, {8192, 120}}

// cheapest returns the step that begins in one of the ways, keeps every sum,
// and hides least of what is shown, or little more; false when none was found.
func (t *table) cheapest(in search, begin ...way) (*step, bool) {
	for _, p := range patience {
		if s, ok := t.find(in, begin, p.tries, p.openPrice); ok {
			return s, true
		}
	}
	return nil, false
}

// find is a best-first search: a step that leaves a sum out is continued by
// every number that could mend that sum.
func (t *table) find(in search, begin []way, tries, openPrice int) (*step, bool) {
	var queue steps
	seen := map[[2]set]bool{}
	push := func(s *step, w way) {
		next := t.change(s, w, t.priceOf(in, w.number))
		t.leave(in, next)
		next.estimate = next.price + openPrice*next.out()
		if sign := [2]set{next.up, next.down}; !seen[sign] {
			seen[sign] = true
			next.order = len(seen)
			heap.Push(&queue, next)
		}
	}
	for _, w := range begin {
		if t.may(in, &step{}, w) {
			push(&step{}, w)
		}
	}
	for ; len(queue) > 0 && tries > 0; tries-- {
		s := heap.Pop(&queue).(*step)
		out, ways := t.tightest(in, s)
		if out < 0 {
			return s, true
		}
		for _, w := range ways {
			push(s, w)
		}
	}
	return nil, false
}

// leave has what is left of a whole take up what its sum is out by, where it
// can: nobody sees it, so that costs nothing.
func (t *table) leave(in search, s *step) {
	for k := range t.sums {
		rest := t.sums[k].rest
		if rest < 0 || s.open[k] == 0 {
			continue
		}
		w := way{rest, int(s.open[k])}
		if (w.by == 1 || w.by == -1) && t.may(in, s, w) {
			s.open[k] = 0
			if w.by > 0 {
				s.up = s.up.with(rest)
			} else {
				s.down = s.down.with(rest)
			}
		}
	}
}

// tightest returns the sum that is out and can be mended in the fewest ways,
// with these ways; -1 when every sum holds.
func (t *table) tightest(in search, s *step) (out int, best []way) {
	out = -1
	for i := range t.sums {
		if s.open[i] == 0 {
			continue
		}
		ways := t.mend(in, s, i)
		if out < 0 || len(ways) < len(best) {
			out, best = i, ways
		}
	}
	return out, best
}

// mend returns the changes that bring sum i one nearer to holding.
func (t *table) mend(in search, s *step, i int) []way {
	by := 1
	if s.open[i] > 0 {
		by = -1
	}
	var ways []way
	if w := (way{t.sums[i].whole, by}); t.may(in, s, w) {
		ways = append(ways, w)
	}
	for _, p := range t.sums[i].parts {
		if w := (way{p, -by}); t.may(in, s, w) {
			ways = append(ways, w)
		}
	}
	return ways
}

// may reports whether a step may go on in this way. Each number changes once;
// zeros are shown and stay.
func (t *table) may(in search, s *step, w way) bool {
	n, floor := in.values[w.number], 0
	if in.floors != nil {
		floor = in.floors[w.number]
	}
	switch {
	case s.changes(w.number):
		return false
	case t.numbers[w.number].latent:
		return n+w.by >= floor
	}
	return (n > 0 || in.hidden.has(w.number)) && n+w.by >= max(floor, in.least)
}

// priceOf returns what changing a number costs: a large one is missed more.
func (t *table) priceOf(in search, i int) int {
	if t.numbers[i].latent || in.hidden.has(i) {
		return stepPrice
	}
	return stepPrice + t.numbers[i].price + sizePrice*bits.Len(uint(in.values[i]))
}

// change returns s continued in a way, at a price.
func (t *table) change(s *step, w way, price int) *step {
	next := *s
	if w.by > 0 {
		next.up = s.up.with(w.number)
	} else {
		next.down = s.down.with(w.number)
	}
	for _, k := range t.numbers[w.number].sums {
		if t.sums[k].whole == w.number {
			next.open[k] += int8(w.by)
		} else {
			next.open[k] -= int8(w.by)
		}
	}
	next.price += price
	return &next
}

// steps is a heap, the cheapest first.
type steps []*step

func (q steps) Len() int { return len(q) }
func (q steps) Less(i, j int) bool {
	if q[i].estimate != q[j].estimate {
		return q[i].estimate < q[j].estimate
	}
	return q[i].order < q[j].order
}
func (q steps) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *steps) Push(x any)   { *q = append(*q, x.(*step)) }
func (q *steps) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// set is a set of numbers of a table.
type set [maxNumbers / 64]uint64

func (s set) has(i int) bool { return s[i/64]>>(i%64)&1 == 1 }

func (s set) with(i int) set {
	s[i/64] |= 1 << (i % 64)
	return s
}

// or returns the set with what is in another.
func (s set) or(o set) set {
	for i, word := range o {
		s[i] |= word
	}
	return s
}

func (s set) len() int {
	n := 0
	for _, word := range s {
		n += bits.OnesCount64(word)
	}
	return n
}
