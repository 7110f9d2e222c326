// Package incident is the domain: what staff report, what is counted, and how.
//
// Three units are never mixed: a Report is what one person filed, an Incident
// is what happened once (one or more reports describe it), and people affected
// are counted apart. The package imports the standard library and pkg/fault
// only; it knows no wire format, no database and no HTTP.
package incident
