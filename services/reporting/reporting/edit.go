package reporting

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
)

// edit is what somebody asks to be done to an incident, as they wrote it. The
// pages' forms and the API's bodies are both turned into it, so that both keep
// the same rules.
type edit struct {
	Note, Reason          string
	Message, Question     string // to the reporter
	Report                string // whose reporter, of several; "" for all of them
	Status                string
	Fixed                 string // "true", "false"
	Kind, Channel, Target string
	Hurt, Site            string
	OccurredAt, Precision string // local time without zone from a page, RFC 3339 from the API
	PeopleAffected        string
}

// readEdit reads a form of the incident page. The time is only taken when it
// is not the one the form was filled with, because the form shows no seconds.
func readEdit(c *fiber.Ctx, i *incident.Incident) edit {
	e := edit{
		Message: formValue(c, "message"), Question: formValue(c, "question"), Report: formValue(c, "report"),
		Note: formValue(c, "note"), Reason: formValue(c, "reason"), Status: formValue(c, "status"), Fixed: formValue(c, "fixed"),
		Kind: formValue(c, "kind"), Channel: formValue(c, "channel"), Target: formValue(c, "target"),
		Hurt: formValue(c, "hurt"), Site: formValue(c, "site"),
		OccurredAt: formValue(c, "occurred_at"), Precision: formValue(c, "occurred_precision"),
	}
	if e.OccurredAt == whenFilled(i) {
		e.OccurredAt = ""
	}
	return e
}

// actorOf returns who is named in the timeline.
func actorOf(who web.Principal) incident.Actor {
	return incident.Actor{Role: string(who.Role), ID: who.ID, Name: who.Name}
}

// actions are what a rep can do to an incident, the last part of the route.
var actions = []string{"acknowledge", "status", "classify", "note", "message", "ask", "close", "reopen", "set-aside", "take-back"}

// apply does what an edit asks. See casework.Service for the errors.
func (s *Service) apply(ctx context.Context, action, id string, rev int64, by incident.Actor, e edit) (*incident.Incident, error) {
	switch action {
	case "acknowledge":
		return s.cases.Acknowledge(ctx, id, rev, by)
	case "status":
		return s.cases.SetStatus(ctx, id, rev, by, incident.Status(e.Status))
	case "note":
		return s.cases.Note(ctx, id, rev, by, e.Note)
	case "message", "ask":
		report, err := e.reporter()
		if err != nil {
			return nil, err
		}
		if action == "ask" {
			return s.cases.Ask(ctx, id, rev, by, report, e.Question)
		}
		return s.cases.Message(ctx, id, rev, by, report, e.Message)
	case "close":
		fixed, err := strconv.ParseBool(e.Fixed)
		if err != nil {
			return nil, fault.InvalidFields([]fault.Field{{Name: "fixed", Message: "Say whether something was fixed."}})
		}
		return s.cases.Close(ctx, id, rev, by, fixed, e.Reason)
	case "reopen":
		return s.cases.Reopen(ctx, id, rev, by, e.Reason)
	case "set-aside":
		return s.cases.SetAside(ctx, id, rev, by, e.Reason)
	case "take-back":
		return s.cases.TakeBack(ctx, id, rev, by, e.Reason)
	case "classify":
		correction, err := e.correction()
		if err != nil {
			return nil, err
		}
		return s.cases.Correct(ctx, id, rev, by, correction)
	}
	return nil, fmt.Errorf("no action %q", action)
}

// reporter returns the number of the report whose reporter is meant, 0 for all.
func (e edit) reporter() (int, error) {
	if e.Report == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(e.Report)
	if err != nil {
		return 0, fault.InvalidFields([]fault.Field{{Name: "report", Message: "Must be a whole number."}})
	}
	return n, nil
}

// correction returns what the edit says about each field; empty says nothing.
func (e edit) correction() (casework.Correction, error) {
	var bad []fault.Field
	c := casework.Correction{
		Kind: said[incident.Kind](e.Kind), Channel: said[incident.Channel](e.Channel), Target: said[incident.Target](e.Target),
		Hurt: said[incident.Hurt](e.Hurt), Site: said[string](e.Site), Precision: said[incident.Precision](e.Precision),
		Reason: e.Reason,
	}
	if e.OccurredAt != "" {
		at, err := time.Parse(time.RFC3339, e.OccurredAt)
		if err != nil {
			at, err = time.ParseInLocation(whenLayout, e.OccurredAt, incident.London)
		}
		if err != nil {
			bad = append(bad, fault.Field{Name: "occurred_at", Message: "Give the date and the time, like 2026-10-14T09:30:00Z."})
		}
		c.OccurredAt = &at
	}
	if e.PeopleAffected != "" {
		n, err := strconv.Atoi(e.PeopleAffected)
		if err != nil {
			bad = append(bad, fault.Field{Name: "people_affected", Message: "Must be a whole number."})
		}
		c.PeopleAffected = &n
	}
	nothing := c.Kind == nil && c.Channel == nil && c.Target == nil && c.Hurt == nil && c.Site == nil &&
		c.Precision == nil && c.OccurredAt == nil && c.PeopleAffected == nil
	if nothing && len(bad) == 0 {
		bad = append(bad, fault.Field{Name: "kind", Message: "Choose what to correct."})
	}
	if len(bad) > 0 {
		return casework.Correction{}, fault.InvalidFields(bad)
	}
	return c, nil
}

func said[T ~string](v string) *T {
	if v == "" {
		return nil
	}
	t := T(v)
	return &t
}
