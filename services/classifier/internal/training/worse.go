package training

import (
	"errors"
	"fmt"

	"github.com/onrecord/onrecord/services/classifier/internal/evaluation"
)

// ErrWorse says that a model reads the held-out texts worse than another.
var ErrWorse = errors.New("the new model reads the held-out texts worse")

// How much worse is too much, how many texts a value needs to be compared, and
// how many of them it must lose: one of nineteen is five points, and chance.
const (
	worseField  = 0.01
	worseValue  = 0.05
	fewestTexts = 10
	fewestLost  = 2
)

// Worse returns an error that wraps ErrWorse and names everything that after
// lost against before: a point or more of a field, or five of a value's recall
// and more than one text.
func Worse(before, after evaluation.Result) error {
	var lost []error
	for _, b := range before.Fields {
		for _, a := range after.Fields {
			if a.Name != b.Name {
				continue
			}
			if b.Right.Share-a.Right.Share >= worseField {
				lost = append(lost, fmt.Errorf("%s: %.1f %% right, before %.1f %%", a.Name, 100*a.Right.Share, 100*b.Right.Share))
			}
			lost = append(lost, worseValues(a.Name, b.Values, a.Values)...)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("%w:\n%w", ErrWorse, errors.Join(lost...))
}

func worseValues(field string, before, after []evaluation.Value) (lost []error) {
	recall := make(map[string]float64)
	for _, v := range after {
		recall[v.Value] = v.Recall
	}
	for _, v := range before {
		lostShare := v.Recall - recall[v.Value]
		if v.Of >= fewestTexts && lostShare >= worseValue && lostShare*float64(v.Of) > fewestLost-0.5 {
			lost = append(lost, fmt.Errorf("%s %s: %.1f %% found, before %.1f %%", field, v.Value, 100*recall[v.Value], 100*v.Recall))
		}
	}
	return lost
}
