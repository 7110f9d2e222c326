package figures

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// MaxMonths is how many months one question may span.
const MaxMonths = 24

// defaultMonths is how many months are given to whoever names none.
const defaultMonths = 12

// Unit is what is counted. The three are never mixed.
type Unit string

// The units. Incidents is the default.
const (
	Incidents Unit = "incidents" // what happened once
	Reports   Unit = "reports"   // what one person filed
	People    Unit = "people"    // people affected
)

var units = []Unit{Incidents, Reports, People}

// of returns a cell's number in the unit.
func (u Unit) of(c incident.Cell) int {
	switch u {
	case Reports:
		return c.Reports
	case People:
		return c.People
	}
	return c.Incidents
}

// Dimension is what figures can be split by.
type Dimension string

// The dimensions.
const (
	ByKind     Dimension = "kind"
	ByChannel  Dimension = "channel"
	ByTarget   Dimension = "target"
	BySite     Dimension = "site"
	ByEmployer Dimension = "employer"
)

var dimensions = []Dimension{ByKind, ByChannel, ByTarget, BySite, ByEmployer}

// Query asks for figures.
type Query struct {
	From, To incident.Month // both included, at most MaxMonths
	By       []Dimension    // channel and target are always added; none at all: kind, channel and target
	Unit     Unit           // "": Incidents
	Edition  string         // EditionLive, EditionLatest or a number; "": live figures are live, published ones the latest
	Sites    []string       // nil: every site; empty and not nil: none
}

func (q Query) unit() Unit {
	if q.Unit == "" {
		return Incidents
	}
	return q.Unit
}

// number returns the number of the edition asked for, 0 for the newest.
func (q Query) number() int {
	n, err := strconv.Atoi(q.Edition)
	if err != nil {
		return 0
	}
	return n
}

// ParseEdition reads the number of an edition as a client wrote it; "" is 0, the
// newest. It returns fault.Invalid, naming the parameter "edition".
func ParseEdition(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n < 1 || n > store.MaxEdition || strconv.FormatUint(n, 10) != text {
		return 0, fault.InvalidFields([]fault.Field{{Name: "edition", Message: "Give the number of an edition, like 1."}})
	}
	return int(n), nil
}

// has reports whether cells are split by d.
func (q Query) has(d Dimension) bool {
	switch d {
	case ByChannel, ByTarget:
		return true
	case ByKind:
		return len(q.By) == 0 || slices.Contains(q.By, d)
	}
	return slices.Contains(q.By, d)
}

// key returns the dimensions of p that q splits by.
func (q Query) key(p part) key {
	k := key{channel: p.Channel, target: p.Target}
	if q.has(ByKind) {
		k.kind = p.Kind
	}
	if q.has(BySite) {
		k.site = p.site
	}
	if q.has(ByEmployer) {
		k.employer = p.Employer
	}
	return k
}

// validate returns nil, or a fault.Invalid error with every field to mend.
func (q Query) validate() error {
	var bad []fault.Field
	wrong := func(field, message string, args ...any) {
		bad = append(bad, fault.Field{Name: field, Message: fmt.Sprintf(message, args...)})
	}
	switch {
	case q.From.IsZero():
		wrong("from", "Give the first month as YYYY-MM.")
	case q.To.IsZero():
		wrong("to", "Give the last month as YYYY-MM.")
	case q.To.Year > 9999: // a month is written with four digits
		wrong("to", "Give the last month as YYYY-MM.")
	case q.To.Before(q.From):
		wrong("to", "The last month must not be before the first.")
	case !q.To.Before(q.From.Add(MaxMonths)):
		wrong("to", "Ask for %d months or fewer.", MaxMonths)
	}
	for _, d := range q.By {
		if !slices.Contains(dimensions, d) {
			wrong("by", "Figures cannot be split by “%.20s”. Choose from: %s.", d, list(dimensions))
			break // once says it all
		}
	}
	if !slices.Contains(units, q.unit()) {
		wrong("unit", "Must be one of: %s.", list(units))
	}
	if len(bad) > 0 {
		return fault.InvalidFields(bad)
	}
	return nil
}

func list[T ~string](all []T) string {
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = string(v)
	}
	return strings.Join(words, ", ")
}

// Parse reads the parameters of GET /api/v1/figures as a client wrote them.
// by is a list with commas. Without from and to it asks for the last twelve
// months up to this one; with one of them, for twelve months from or to it.
// Sites are the caller's to set. It returns fault.Invalid with every parameter
// to mend.
func (s *Service) Parse(from, to, by, unit, edition string) (Query, error) {
	var bad []fault.Field
	month := func(field, text string) incident.Month {
		m, err := ParseMonth(field, text)
		if err != nil {
			bad = append(bad, fault.As(err).Fields...)
		}
		return m
	}
	q := Query{From: month("from", from), To: month("to", to), Unit: Unit(unit), Edition: edition}
	if edition != EditionLive && edition != EditionLatest {
		if _, err := ParseEdition(edition); err != nil {
			bad = append(bad, fault.Field{Name: "edition", Message: "Must be live, latest, or the number of an edition, like 1."})
		}
	}
	if by != "" {
		for d := range strings.SplitSeq(by, ",") {
			q.By = append(q.By, Dimension(strings.TrimSpace(d)))
		}
	}
	if len(bad) > 0 {
		return Query{}, fault.InvalidFields(bad)
	}
	switch {
	case q.From.IsZero() && q.To.IsZero():
		q.To = incident.MonthOf(s.now())
		q.From = q.To.Add(1 - defaultMonths)
	case q.From.IsZero():
		q.From = q.To.Add(1 - defaultMonths)
	case q.To.IsZero():
		q.To = q.From.Add(defaultMonths - 1)
	}
	return q, q.validate()
}
