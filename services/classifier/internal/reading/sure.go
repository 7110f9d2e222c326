package reading

import "errors"

// Sureness is how sure a model may be of an answer: what its scores promise, held
// to what came true. The log odds of the answer count Odds times, and Base is
// added, and Words times the logarithm of how many words the text has: a long text
// tells of more than one thing, and misleads more often than its scores say.
type Sureness struct {
	Odds  float64 `json:"odds"`
	Base  float64 `json:"base"`
	Words float64 `json:"words"`
}

// AsScored leaves what scores promise as it is.
var AsScored = Sureness{Odds: 1}

// mostCounted is from how many words on a text counts as no longer.
const mostCounted = 256

// logWords are the natural logarithms of numbers of words, in 1/fineOne.
var logWords = func() (table [mostCounted + 1]int64) {
	for n := 1; n < len(table); n++ {
		table[n] = inFine(Log(float64(n)))
	}
	return table
}()

// sureness is a Sureness in 1/fineOne.
type sureness struct{ odds, base, words int64 }

func (s Sureness) load() (sureness, error) {
	if !(s.Odds >= 0.05 && s.Odds <= 20 && s.Base >= -20 && s.Base <= 20 && s.Words >= -20 && s.Words <= 20) {
		return sureness{}, errors.New("how sure the card says that the model may be is out of all reason")
	}
	return sureness{inFine(s.Odds), inFine(s.Base), inFine(s.Words)}, nil
}

// hold holds the probability of a head's answer to what came true of such. If it
// was the likeliest it stays so, and the others share what is left as before.
func (j *judge) hold(h Head, answer int) {
	p := j.p[h][:len(headValues[h])]
	rest, second := probOne-p[answer], p[answer]-lead(p, answer)
	if rest == 0 || second > p[answer] {
		return
	}
	s, words := &j.model.sure[h], logWords[min(len(j.pad.report.tokens), mostCounted)]
	odds := (s.odds*(logFine(p[answer])-logFine(rest))+s.words*words)/fineOne + s.base
	sure := max(sigmoidFine(odds), second*probOne/(rest+second)+1)
	left := probOne
	for i := range p {
		if i != answer {
			p[i] = p[i] * (probOne - sure) / rest
			left -= p[i]
		}
	}
	p[answer] = left
}
