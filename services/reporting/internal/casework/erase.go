package casework

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/projector"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Erase destroys the words of an incident: its data key, everything sealed
// under it, its photos, what of its reports waits or was put aside, and why it
// was set aside together with others. What is counted stays, and so does the
// timeline, which goes on verifying. Each report leaves a tombstone first, so
// that it is dropped when it comes back. Erasing again completes what was cut
// off. It returns fault.NotFound for an id that none has.
func (s *Service) Erase(ctx context.Context, id string, by incident.Actor) error {
	i, err := s.store.Incident(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return fault.New(fault.NotFound, "not_found", "There is no such incident.").Because(err)
	}
	if err != nil {
		return err
	}
	for _, r := range i.Reports {
		if err := projector.Bury(ctx, s.store, projector.Tombstone(s.keyring, r.ID)); err != nil {
			return err
		}
	}
	if len(i.WrappedKey) > 0 {
		if i, err = s.change(ctx, id, i.Rev, func(i *incident.Incident) error { return s.shred(i, by) }); err != nil {
			return err
		}
	}
	if err := s.store.DeletePhotos(ctx, id); err != nil {
		return err
	}
	for _, r := range i.Reports {
		if err := s.store.DropPending(ctx, r.ID); err != nil {
			return err
		}
	}
	if err := s.emptyQuarantine(ctx, i); err != nil {
		return err
	}
	if err := s.forgetWhyTogether(ctx, id); err != nil {
		return err
	}
	if files, ok := s.store.(store.Scrubber); ok {
		ctx, cancel := context.WithTimeout(ctx, scrubTime)
		defer cancel()
		if err := files.Scrub(ctx); err != nil {
			return fmt.Errorf("the words are erased, and the key that opened them may still be in the database’s log: erase again: %w", err)
		}
	}
	return nil
}

// scrubTime is how long an erasure waits for those who read what was.
const scrubTime = 30 * time.Second

// shred takes out everything that is sealed or tells of the words.
func (s *Service) shred(i *incident.Incident, by incident.Actor) error {
	i.WrappedKey, i.Lesson.Features = nil, nil
	for n := range i.Reports {
		i.Reports[n].SealedWords = nil
		i.Reports[n].ContactChoice = incident.ContactAnonymous
	}
	for n := range i.Timeline {
		i.Timeline[n].SealedNote = nil
	}
	for n := range i.Readings {
		i.Readings[n].Forget()
	}
	return s.append(i, incident.Change{By: by, Action: incident.ActionErased}, "")
}

// forgetWhyTogether destroys the reasons of what was done to an incident
// together with others: such a reason may quote any of them.
func (s *Service) forgetWhyTogether(ctx context.Context, id string) error {
	for {
		err := s.forgetReasons(ctx, id)
		if !errors.Is(err, store.ErrStale) { // it is being carried out
			return err
		}
	}
}

func (s *Service) forgetReasons(ctx context.Context, id string) error {
	changes, err := s.store.JointChanges(ctx, "")
	if err != nil {
		return err
	}
	for _, c := range changes {
		if len(c.WrappedKey) == 0 || !slices.Contains(c.Incidents, id) {
			continue
		}
		was := c.Rev
		c.Rev, c.WrappedKey, c.SealedReason = was+1, nil, nil
		if err := s.store.ReplaceJointChange(ctx, c, was); err != nil {
			return err
		}
	}
	return nil
}

// causeErased stands where the content of a message was, which is not in lists.
const causeErased = "erased"

// emptyQuarantine takes the content out of messages about the incident's
// reports that nobody could read.
func (s *Service) emptyQuarantine(ctx context.Context, i *incident.Incident) error {
	all, err := s.store.ListQuarantined(ctx)
	if err != nil {
		return err
	}
	for _, q := range all {
		for _, r := range i.Reports {
			if projector.About(q.Subject) == r.ID && q.Cause != causeErased {
				q.Cause, q.ReplayedAt = causeErased, s.now()
				if err := s.store.PutQuarantined(ctx, q); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
