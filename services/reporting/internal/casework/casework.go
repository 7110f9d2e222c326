// Package casework is what people do to an incident: acknowledge, correct,
// note, write to its reporter, close, reopen, set aside, and open its words and
// photos. Every change names who made it, is guarded by the revision that person
// saw, and is an entry of the timeline. Who may do what is decided before, in
// the table of routes. Erasing is the operator's.
package casework

import (
	"context"
	"errors"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/timeline"
)

// Config is what a Service needs. Every field is required.
type Config struct {
	Store     store.Store
	Folder    *fold.Folder // the process's one
	Keyring   *seal.Keyring
	SiteKnown func(id string) bool // whether the site directory holds a site
	Now       func() time.Time
}

// Service changes incidents. It is safe for concurrent use.
//
// Every method that changes takes the incident's id, the revision the person
// saw and who they are, and returns the incident as it stands then, its
// ledgers folded. It returns fault.NotFound when there is no such incident,
// fault.Stale when it is no longer at that revision, fault.Conflict when its
// status does not allow the change, fault.Invalid when something was filled in
// wrongly; then nothing was changed.
type Service struct {
	store     store.Store
	folder    *fold.Folder
	keyring   *seal.Keyring
	timeline  *timeline.Keeper
	siteKnown func(string) bool
	now       func() time.Time
}

// New returns a Service.
func New(c Config) *Service {
	return &Service{c.Store, c.Folder, c.Keyring, timeline.NewKeeper(c.Keyring), c.SiteKnown, c.Now}
}

// Acknowledge says that somebody has seen a new incident.
func (s *Service) Acknowledge(ctx context.Context, id string, rev int64, by incident.Actor) (*incident.Incident, error) {
	return s.change(ctx, id, rev, func(i *incident.Incident) error {
		if i.Status != incident.StatusNew {
			return notNow(i, "Somebody has already acknowledged this incident.", reopenFirst)
		}
		return s.setStatus(i, by, incident.ActionAcknowledged, incident.StatusAcknowledged, "")
	})
}

// SetStatus sets how far the handling of an open incident is: in_review,
// waiting_for_reporter or action_agreed. The other statuses have methods of
// their own.
func (s *Service) SetStatus(ctx context.Context, id string, rev int64, by incident.Actor, to incident.Status) (*incident.Incident, error) {
	switch to {
	case incident.StatusInReview, incident.StatusWaitingForReporter, incident.StatusActionAgreed:
	default:
		return nil, invalid("status", "Must be one of: in_review, waiting_for_reporter, action_agreed.")
	}
	return s.change(ctx, id, rev, func(i *incident.Incident) error {
		if !i.Status.IsOpen() || i.Status == to {
			return notNow(i, "The incident already has that status.", reopenFirst)
		}
		return s.setStatus(i, by, incident.ActionStatus, to, "")
	})
}

// Note adds a note in words, whatever the status.
func (s *Service) Note(ctx context.Context, id string, rev int64, by incident.Actor, text string) (*incident.Incident, error) {
	text, err := required("note", "The note", text)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, id, rev, func(i *incident.Incident) error {
		return s.append(i, incident.Change{By: by, Action: incident.ActionNoted}, text)
	})
}

// Close closes an open incident, saying whether what it was about was fixed,
// and why in words. Closed never claims fixed unless fixed says so.
func (s *Service) Close(ctx context.Context, id string, rev int64, by incident.Actor, fixed bool, reason string) (*incident.Incident, error) {
	reason, err := required("reason", "The reason", reason)
	if err != nil {
		return nil, err
	}
	to := incident.StatusClosedNotFixed
	if fixed {
		to = incident.StatusClosedFixed
	}
	return s.change(ctx, id, rev, func(i *incident.Incident) error {
		if !i.Status.IsOpen() {
			return notNow(i, "", "This incident is closed already.")
		}
		return s.setStatus(i, by, incident.ActionClosed, to, reason)
	})
}

// Reopen opens a closed incident again, saying why in words.
func (s *Service) Reopen(ctx context.Context, id string, rev int64, by incident.Actor, reason string) (*incident.Incident, error) {
	reason, err := required("reason", "The reason", reason)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, id, rev, func(i *incident.Incident) error {
		if !i.Status.IsClosed() {
			return notNow(i, "This incident is open already.", "")
		}
		return s.setStatus(i, by, incident.ActionReopened, incident.StatusReopened, reason)
	})
}

// SetAside takes an incident that its reporter made up out of the figures, where
// it is counted apart, saying why in words.
func (s *Service) SetAside(ctx context.Context, id string, rev int64, by incident.Actor, reason string) (*incident.Incident, error) {
	reason, err := required("reason", "The reason", reason)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, id, rev, func(i *incident.Incident) error {
		if !i.Status.Counts() {
			return notNow(i, "", "")
		}
		return s.setStatus(i, by, incident.ActionSetAside, incident.StatusSetAside, reason)
	})
}

// TakeBack gives an incident that was set aside the status that it had before,
// saying why in words.
func (s *Service) TakeBack(ctx context.Context, id string, rev int64, by incident.Actor, reason string) (*incident.Incident, error) {
	reason, err := required("reason", "The reason", reason)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, id, rev, func(i *incident.Incident) error {
		if i.Status != incident.StatusSetAside {
			return notNow(i, notSetAside, notSetAside)
		}
		return s.setStatus(i, by, incident.ActionTakenBack, i.BeforeSetAside(), reason)
	})
}

// change loads an incident at the revision a person saw, applies what they do,
// and stores it with its ledgers in one group. A change that adds nothing to
// the timeline is none, and nothing is stored.
func (s *Service) change(ctx context.Context, id string, rev int64, apply func(*incident.Incident) error) (*incident.Incident, error) {
	var i *incident.Incident
	err := s.folder.Group(ctx, s.store, func(tx store.Store) ([]*incident.Incident, error) {
		var err error
		if i, err = tx.Incident(ctx, id); err != nil {
			return nil, err
		}
		if i.Rev != rev {
			return nil, store.ErrStale
		}
		before := len(i.Timeline)
		if err := apply(i); err != nil || len(i.Timeline) == before {
			return nil, err
		}
		i.Rev++
		return []*incident.Incident{i}, tx.ReplaceIncident(ctx, i, rev)
	})
	switch {
	case err == nil:
		return i, nil
	case errors.Is(err, store.ErrNotFound):
		return nil, fault.New(fault.NotFound, "not_found", "There is no such incident.").Because(err)
	case errors.Is(err, store.ErrStale):
		return nil, fault.New(fault.Stale, "stale",
			"Somebody changed this incident since you opened it. Reload the page to see what they did, then make your change again.").Because(err)
	case errors.Is(err, timeline.ErrErased):
		return nil, fault.New(fault.Conflict, "erased", "The words of this incident were erased, so no new ones can be kept with it.").Because(err)
	}
	return nil, err
}

// setStatus changes the status, and says so in the timeline.
func (s *Service) setStatus(i *incident.Incident, by incident.Actor, action incident.Action, to incident.Status, reason string) error {
	c := incident.Change{By: by, Action: action, From: string(i.Status), To: string(to)}
	i.Status = to
	return s.append(i, c, reason)
}

func (s *Service) append(i *incident.Incident, c incident.Change, words string) error {
	c.At = s.now()
	return s.timeline.Append(i, c, words)
}

// notNow says in plain words why the incident's status does not allow a
// change: whileOpen when it is open, whileClosed when it is closed.
func notNow(i *incident.Incident, whileOpen, whileClosed string) error {
	message := whileOpen
	switch {
	case i.Status == incident.StatusWithdrawn:
		message = "The reporter took this report back. It stays on record and can have notes, nothing else."
	case i.Status == incident.StatusDuplicate:
		message = "This is a duplicate. Make the change to the incident it repeats."
	case i.Status == incident.StatusSetAside:
		message = "This was set aside and is not counted. Take it back first."
	case i.Status.IsClosed():
		message = whileClosed
	}
	return fault.New(fault.Conflict, "status", message)
}

const (
	reopenFirst = "This incident is closed. Reopen it first."
	notSetAside = "This incident is not set aside: it is in the list and in the figures."
)

// required returns words cleaned, or fault.Invalid when there are none or
// they cannot be kept.
func required(field, name, text string) (string, error) {
	text = incident.CleanText(text)
	if text == "" {
		return "", invalid(field, name+" is missing. Write it in a few words.")
	}
	if message := incident.CheckText(name, text, incident.MaxNote); message != "" {
		return "", invalid(field, message)
	}
	return text, nil
}

func invalid(field, message string) error {
	return fault.InvalidFields([]fault.Field{{Name: field, Message: message}})
}
