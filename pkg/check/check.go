// Package check is what a self-check tells an operator: what is wrong, in
// words, and what to do next.
package check

import (
	"fmt"
	"slices"

	"github.com/VictoriaMetrics/metrics"
)

// Severity says how much a finding matters.
type Severity string

// The severities.
const (
	Alarm   Severity = "alarm"   // something was lost, is not being done, or will not be
	Warning Severity = "warning" // nothing is lost; it will become an alarm when it is left
)

// Finding is one thing that is wrong. It is an error too, for a part that
// cannot begin because of it. It holds nothing that anybody wrote.
type Finding struct {
	Code     string   `json:"code"` // stable, for metrics and tests
	Severity Severity `json:"severity"`
	What     string   `json:"what"` // what is wrong and what that means, a sentence or two
	Next     string   `json:"next"` // what to do now
}

// Error returns the finding in one line.
func (f Finding) Error() string { return f.What + " " + f.Next }

// Alarmf returns an alarm whose What is formatted.
func Alarmf(code, next, what string, args ...any) Finding {
	return Finding{code, Alarm, fmt.Sprintf(what, args...), next}
}

// Warningf returns a warning whose What is formatted.
func Warningf(code, next, what string, args ...any) Finding {
	return Finding{code, Warning, fmt.Sprintf(what, args...), next}
}

// Gauge keeps the metric onrecord_findings of a group of checks: 1 for each
// code that was found, 0 for each that was found before and is gone.
type Gauge struct{ known []string }

// Set takes the findings of a whole run of the group's checks.
func (g *Gauge) Set(found []Finding) {
	now := make(map[string]bool)
	for _, f := range found {
		name := fmt.Sprintf(`onrecord_findings{code=%q,severity=%q}`, f.Code, f.Severity)
		now[name] = true
		if !slices.Contains(g.known, name) {
			g.known = append(g.known, name)
		}
	}
	for _, name := range g.known {
		value := 0.0
		if now[name] {
			value = 1
		}
		metrics.GetOrCreateGauge(name, nil).Set(value)
	}
}
