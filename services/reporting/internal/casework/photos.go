package casework

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Photo is a photo of an incident, without its bytes.
type Photo struct {
	*store.Photo
	Number   int          // from 1, in the order in which they came
	Original *store.Photo // as it came; nil unless the reporter keeps it
	Added    time.Time    // when it was added; zero of one that came with its report
}

// withReport is how far the photos of one event lie apart: each is a millisecond
// after the one before, to keep their order.
const withReport = 10 * time.Millisecond

// Photos returns the photos of an incident, for a rep of its site.
func (s *Service) Photos(ctx context.Context, i *incident.Incident) ([]Photo, error) {
	all, err := s.store.PhotosOfIncident(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	type place struct {
		report string
		at     time.Time
	}
	originals := make(map[place]*store.Photo)
	for _, p := range all {
		if p.Kind == store.PhotoOriginal {
			originals[place{p.ReportID, p.CreatedAt}] = p
		}
	}
	var photos []Photo
	for _, p := range all {
		if p.Kind == store.PhotoCopy {
			photo := Photo{Photo: p, Number: len(photos) + 1, Original: originals[place{p.ReportID, p.CreatedAt}]}
			for _, r := range i.Reports {
				if r.ID == p.ReportID && p.CreatedAt.Sub(r.ReceivedAt) > withReport {
					photo.Added = p.CreatedAt
				}
			}
			photos = append(photos, photo)
		}
	}
	return photos, nil
}

var errNoPhoto = fault.New(fault.NotFound, "not_found", "There is no such photo.")

func (s *Service) photo(ctx context.Context, i *incident.Incident, number int) (Photo, error) {
	photos, err := s.Photos(ctx, i)
	if err != nil {
		return Photo{}, err
	}
	if number < 1 || number > len(photos) {
		return Photo{}, errNoPhoto
	}
	return photos[number-1], nil
}

// OpenPhoto returns a photo by its number, and its picture.
func (s *Service) OpenPhoto(ctx context.Context, i *incident.Incident, number int) (Photo, []byte, error) {
	p, err := s.photo(ctx, i, number)
	if err != nil {
		return Photo{}, nil, err
	}
	picture, err := s.picture(ctx, i, p.Photo)
	return p, picture, err
}

func (s *Service) picture(ctx context.Context, i *incident.Incident, p *store.Photo) ([]byte, error) {
	whole, err := s.store.Photo(ctx, p.ID)
	if errors.Is(err, store.ErrNotFound) || len(i.WrappedKey) == 0 {
		return nil, errNoPhoto
	}
	if err != nil {
		return nil, err
	}
	key, err := s.keyring.Unwrap(i.WrappedKey)
	if err != nil {
		return nil, err
	}
	return key.Open(whole.Sealed, i.ID, "photo", p.ID)
}

// originalTries is how often OpenOriginal begins again when somebody else
// changed the incident in between.
const originalTries = 5

// OpenOriginal returns a photo as it came, with its picture, once the timeline
// holds who opened it and why, in words. It needs no revision: nothing that
// others do speaks against it.
func (s *Service) OpenOriginal(ctx context.Context, id string, by incident.Actor, number int, reason string) (*store.Photo, []byte, error) {
	reason, err := required("reason", "The reason", reason)
	if err != nil {
		return nil, nil, err
	}
	i, err := s.store.Incident(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.photo(ctx, i, number)
	if err != nil {
		return nil, nil, err
	}
	if p.Original == nil {
		return nil, nil, fault.New(fault.NotFound, "not_found", "The original of this photo was not kept.")
	}
	picture, err := s.picture(ctx, i, p.Original)
	if err != nil {
		return nil, nil, err
	}
	for range originalTries {
		_, err = s.change(ctx, id, i.Rev, func(i *incident.Incident) error {
			return s.append(i, incident.Change{By: by, Action: incident.ActionOriginal, Field: "photo", To: strconv.Itoa(number)}, reason)
		})
		if fault.KindOf(err) != fault.Stale {
			break
		}
		if i, err = s.store.Incident(ctx, id); err != nil {
			return nil, nil, err
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return p.Original, picture, nil
}
