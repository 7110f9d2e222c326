package reading

import (
	"math"
	"math/bits"
)

// Probabilities and scores are whole numbers, so that every processor reads a
// report the same: scores in 1/64 of a natural-log odd, probabilities in 2⁻³⁰.
const (
	scoreOne = 64
	probOne  = int64(1) << 30
	// a temperature or a logarithm of a probability, in 1/16384 with its score
	fineOne = scoreOne * 256
)

// powers are 2 to the -i/len, in probOne.
var powers = func() (table [1024]int64) {
	for i := range table {
		table[i] = int64(math.Floor(float64(Exp(-float64(float64(i)*math.Ln2)/float64(len(table)))*float64(probOne)) + 0.5))
	}
	return table
}()

// expFine returns e to the x, of x ≤ 0 in 1/fineOne.
func expFine(x int64) int64 {
	const log2e = 6196328019 // 2³² · log₂ e
	if x < -40*fineOne {
		return 0
	}
	halvings := -x * (log2e >> 8) // in fineOne·2²⁴ = 2³⁸
	whole := halvings >> 38
	return powers[halvings>>28&1023] >> whole
}

// softmaxFine turns fine scores into probabilities that sum to probOne.
func softmaxFine(scores []int64, into []int64) {
	most := scores[0]
	for _, s := range scores {
		most = max(most, s)
	}
	sum := int64(0)
	for i, s := range scores {
		into[i] = expFine(s - most)
		sum += into[i]
	}
	normalise(into, sum)
}

// normalise scales whole numbers of the given sum to sum to probOne exactly:
// what rounding leaves goes to the greatest.
func normalise(p []int64, sum int64) {
	for sum >= 1<<33 { // keep p·2³⁰ inside 63 bits
		sum = 0
		for i := range p {
			p[i] >>= 1
			sum += p[i]
		}
	}
	if sum == 0 {
		clear(p)
		p[0] = probOne
		return
	}
	left, best := probOne, 0
	for i := range p {
		p[i] = p[i] * probOne / sum
		left -= p[i]
		if p[i] > p[best] { //nolint:gosec // best is one of the indexes before
			best = i
		}
	}
	p[best] += left
}

// sigmoidFine returns the probability of yes for fine odds.
func sigmoidFine(odds int64) int64 {
	if odds > 0 {
		return probOne - sigmoidFine(-odds)
	}
	e := expFine(odds)
	return e * probOne / (probOne + e)
}

// inFine returns a number of everyday size in 1/fineOne.
func inFine(x float64) int64 { return int64(math.Floor(float64(x*fineOne) + 0.5)) }

// logs are the natural logarithms of 1 + i/1024, in 1/fineOne.
var logs = func() (table [1025]int64) {
	for i := range table {
		table[i] = inFine(Log(1 + float64(i)/1024))
	}
	return table
}()

// logFine returns the natural logarithm of a probability above nothing, in
// 1/fineOne.
func logFine(p int64) int64 {
	const ln2 = 11629080 // 2²⁴ · ln 2
	power := bits.Len64(uint64(p)) - 1
	mantissa := p << (62 - power) // from 1 to 2, in 2⁻⁶²
	i, between := mantissa>>52&1023, mantissa>>42&1023
	log := logs[i] + (logs[i+1]-logs[i])*between/1024
	return log + int64(power-30)*fineOne*ln2>>24
}

func times(a, b int64) int64 { return a * b >> 30 }

func probability(p int64) float64 { return float64(p) / float64(probOne) }

// Exp is e to the x by steps that every processor rounds the same; the
// library's differs between them in the last bit.
func Exp(x float64) float64 {
	if x < -700 {
		return 0
	}
	x = min(x, 700)
	k := math.Floor(float64(x*math.Log2E) + 0.5)
	r := x - float64(k*math.Ln2)
	sum, term := 1.0, 1.0
	for i := 1; i < 18; i++ {
		term = float64(term*r) / float64(i)
		sum += term
	}
	return math.Ldexp(sum, int(k))
}

// Log is the natural logarithm of a positive x, likewise.
func Log(x float64) float64 {
	m, e := math.Frexp(x)
	if m < math.Sqrt2/2 {
		m, e = float64(m*2), e-1
	}
	u := (m - 1) / (m + 1)
	sum, power := 0.0, u
	for i := 1; i < 40; i += 2 {
		sum += power / float64(i)
		power = float64(float64(power*u) * u)
	}
	return float64(2*sum) + float64(float64(e)*math.Ln2)
}
