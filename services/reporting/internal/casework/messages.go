package casework

import (
	"context"
	"strconv"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
)

// Message writes to the reporter, whatever the status. Of several reports of
// one incident, report says whose reporter is meant, from 1; 0 is all of them.
// Only who holds the receipt reads it, anonymous or not.
func (s *Service) Message(ctx context.Context, id string, rev int64, by incident.Actor, report int, text string) (*incident.Incident, error) {
	text, err := required("message", "The message", text)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, id, rev, func(i *incident.Incident) error {
		to, err := s.reporterOf(i, report)
		if err != nil {
			return err
		}
		return s.append(i, incident.Change{By: by, Action: incident.ActionMessaged, Event: to}, text)
	})
}

// Ask asks the reporter a question. An open incident waits for the reporter
// from then on, and goes back to where it was when they answer. Otherwise as
// Message.
func (s *Service) Ask(ctx context.Context, id string, rev int64, by incident.Actor, report int, text string) (*incident.Incident, error) {
	text, err := required("question", "The question", text)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, id, rev, func(i *incident.Incident) error {
		if !i.Status.IsOpen() {
			return notNow(i, "", reopenFirst)
		}
		to, err := s.reporterOf(i, report)
		if err != nil {
			return err
		}
		c := incident.Change{By: by, Action: incident.ActionAsked, From: string(i.Status), To: string(incident.StatusWaitingForReporter), Event: to}
		i.Status = incident.StatusWaitingForReporter
		return s.append(i, c, text)
	})
}

// reporterOf returns whom a message is for: an Actor.ID, or "" for every
// reporter of the incident.
func (s *Service) reporterOf(i *incident.Incident, report int) (string, error) {
	switch {
	case report == 0:
		return "", nil
	case report < 0 || report > len(i.Reports):
		return "", fault.InvalidFields([]fault.Field{{Name: "report", Message: "Must be the number of one of its reports, from 1 to " + strconv.Itoa(len(i.Reports)) + ", or 0 for all of them."}})
	}
	return s.timeline.Reporter(i.Reports[report-1].ID).ID, nil
}
