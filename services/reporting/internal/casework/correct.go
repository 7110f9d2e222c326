package casework

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
)

// Correction is what a reviewer says about an incident. A nil field says
// nothing about it. Kind, channel and target stand beside what the reporter and
// the machine say; the others replace what was filed.
type Correction struct {
	Kind           *incident.Kind
	Channel        *incident.Channel
	Target         *incident.Target
	Site           *string
	OccurredAt     *time.Time
	Precision      *incident.Precision // of OccurredAt; with PrecisionUnknown there is none
	Hurt           *incident.Hurt
	PeopleAffected *int
	Reason         string // in words, sealed; may be empty
}

// Correct takes in what a reviewer says, with an entry of the timeline for each
// field that changes: its value that counted before, and the new one. Saying
// again what the reviewer already said changes nothing.
func (s *Service) Correct(ctx context.Context, id string, rev int64, by incident.Actor, c Correction) (*incident.Incident, error) {
	c.Reason = incident.CleanText(c.Reason)
	if err := s.validate(c); err != nil {
		return nil, err
	}
	return s.change(ctx, id, rev, func(i *incident.Incident) error {
		if !i.Status.Counts() {
			return notNow(i, "", "")
		}
		if c.OccurredAt == nil && i.Precision == incident.PrecisionUnknown && c.precision(i.Precision) != i.Precision {
			return fault.InvalidFields([]fault.Field{{Name: "occurred_at", Message: "Say when it happened."}})
		}
		for n, e := range c.changes(i) {
			entry := incident.Change{By: by, Action: incident.ActionCorrected, Field: e.field, From: e.from, To: e.to}
			reason := c.Reason
			if n > 0 {
				reason = "" // once is enough
			}
			e.set()
			if err := s.append(i, entry, reason); err != nil {
				return err
			}
		}
		i.Locate(i.Site, i.OccurredAt) // once for both
		return nil
	})
}

// validate names every field to mend.
func (s *Service) validate(c Correction) error {
	var bad []fault.Field
	check := func(ok bool, field, message string) {
		if !ok {
			bad = append(bad, fault.Field{Name: field, Message: message})
		}
	}
	check(c.Kind == nil || c.Kind.Valid(), "kind", "Select one of the kinds.")
	check(c.Channel == nil || c.Channel.Valid(), "channel", "Select one of the ways it can reach staff.")
	check(c.Target == nil || c.Target.Valid(), "target", "Select one of those it can be aimed at.")
	check(c.Hurt == nil || c.Hurt.Valid(), "hurt", "Select yes, no or not known.")
	check(c.Precision == nil || c.Precision.Valid(), "occurred_precision", "Must be one of: exact, about, day, unknown.")
	check(c.Site == nil || *c.Site == incident.SiteUnlisted || s.siteKnown(*c.Site), "site", "That site is not in the list.")
	check(c.PeopleAffected == nil || *c.PeopleAffected >= 1 && *c.PeopleAffected <= incident.MaxPeople,
		"people_affected", fmt.Sprintf("People affected must be a number from 1 to %d.", incident.MaxPeople))
	switch unknown := c.precision("") == incident.PrecisionUnknown; {
	case c.OccurredAt != nil && unknown:
		check(false, "occurred_at", "Leave the time out, or say how exactly it is known.")
	case c.OccurredAt != nil:
		message := incident.CheckOccurred(*c.OccurredAt, c.precision(incident.PrecisionExact), s.now())
		check(message == "", "occurred_at", message)
	}
	message := incident.CheckText("The reason", c.Reason, incident.MaxNote)
	check(message == "", "reason", message)
	if len(bad) > 0 {
		return fault.InvalidFields(bad)
	}
	return nil
}

func (c Correction) precision(otherwise incident.Precision) incident.Precision {
	if c.Precision != nil {
		return *c.Precision
	}
	return otherwise
}

// fieldChange is one field that a correction changes.
type fieldChange struct {
	field, from, to string
	set             func()
}

// changes returns what the correction changes of i, in the order of the form.
func (c Correction) changes(i *incident.Incident) []fieldChange {
	all := []fieldChange{
		opinion("kind", &i.Kind, c.Kind),
		opinion("channel", &i.Channel, c.Channel),
		opinion("target", &i.Target, c.Target),
	}
	if c.Site != nil && *c.Site != i.Site {
		all = append(all, fieldChange{"site", i.Site, *c.Site, func() { i.Site = *c.Site }})
	}
	if at, p := c.occurred(i); !at.Equal(i.OccurredAt) || p != i.Precision {
		all = append(all, fieldChange{"occurred_at", when(i.OccurredAt, i.Precision), when(at, p), func() {
			i.OccurredAt, i.Precision = at, p
		}})
	}
	if c.Hurt != nil && *c.Hurt != i.Hurt {
		all = append(all, fieldChange{"hurt", string(i.Hurt), string(*c.Hurt), func() { i.Hurt = *c.Hurt }})
	}
	if c.PeopleAffected != nil && *c.PeopleAffected != i.PeopleAffected {
		all = append(all, fieldChange{"people_affected", strconv.Itoa(i.PeopleAffected), strconv.Itoa(*c.PeopleAffected), func() { i.PeopleAffected = *c.PeopleAffected }})
	}
	return slices.DeleteFunc(all, func(f fieldChange) bool { return f.set == nil })
}

// occurred returns when it happened according to the correction. Whoever gives
// a time that was not known knows it exactly unless they say otherwise, and what
// is not known any more counts when it was reported.
func (c Correction) occurred(i *incident.Incident) (time.Time, incident.Precision) {
	at, p := i.OccurredAt, c.precision(i.Precision)
	switch {
	case c.OccurredAt != nil:
		at = c.OccurredAt.UTC().Truncate(time.Millisecond)
		if p == incident.PrecisionUnknown {
			p = incident.PrecisionExact
		}
	case p == incident.PrecisionUnknown && i.Precision != p:
		at = i.ReportedAt().UTC().Truncate(time.Millisecond)
	}
	return at, p
}

// when returns a time for the timeline, with its precision.
func when(at time.Time, p incident.Precision) string {
	return at.UTC().Format(time.RFC3339) + " " + string(p)
}

// opinion returns the change of a reviewer's opinion, or one that sets nothing.
func opinion[T ~string](field string, o *incident.Opinion[T], to *T) fieldChange {
	if to == nil || *to == o.Reviewer {
		return fieldChange{}
	}
	from, _ := o.Value()
	return fieldChange{field, string(from), string(*to), func() { o.Reviewer = *to }}
}
