package incident

import "math"

// ModelCard is what a model that reads reports says about itself, for people:
// the classifier makes it of the model's own file, and reporting shows it.
type ModelCard struct {
	Model       string      `json:"model"`  // as Reading.Model names it
	Corpus      string      `json:"corpus"` // SHA-256 of what it learned from
	Examples    int         `json:"examples"`
	Corrections int         `json:"corrections"` // of the examples, those that reps corrected
	Does        []string    `json:"does"`
	Never       []string    `json:"never"`
	Measured    []Measured  `json:"measured"`
	Rules       []RuleBlock `json:"rules"`
}

// Measured is how well a model read one set of texts whose answers are known.
type Measured struct {
	Name   string        `json:"name"`
	About  string        `json:"about"` // what these texts are, and what they do not show
	Texts  int           `json:"texts"`
	Shares []Quality     `json:"shares"`
	Off    []Calibration `json:"off"`
}

// Quality is one thing measured: n of all, and the interval in which the true
// share lies in 95 of 100 such sets.
type Quality struct {
	What  string  `json:"what"`
	Field string  `json:"field,omitempty"` // of Value
	Value string  `json:"value,omitempty"` // the value it is about, if one
	N     int     `json:"n"`
	Of    int     `json:"of"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Interval returns in which the true share lies in 95 of 100 samples of which n
// of all were so (Wilson); everything from none of none.
func Interval(n, of int) (low, high float64) {
	if of == 0 {
		return 0, 1
	}
	const z = 1.959964
	all, p := float64(of), float64(n)/float64(of)
	middle := p + z*z/(2*all)
	half := z * math.Sqrt(p*(1-p)/all+z*z/(4*all*all))
	scale := 1 + z*z/all
	return max((middle-half)/scale, 0), min((middle+half)/scale, 1)
}

// Calibration is how far a field's probabilities are from what came true.
type Calibration struct {
	Field  string  `json:"field"`
	Off    float64 `json:"off"`
	Chance float64 `json:"chance,omitempty"` // how far they would be if each were true; 0 where nobody worked it out
}

// RuleBlock is a part of the label rules: a paragraph, points, or a table whose
// first column names values of a field. One of them is filled.
type RuleBlock struct {
	Text   string     `json:"text,omitempty"`
	Points []string   `json:"points,omitempty"`
	Head   []string   `json:"head,omitempty"`
	Rows   [][]string `json:"rows,omitempty"`
}
