package store

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/onrecord/onrecord/pkg/incident"
)

// Batcher is a Store to which several of some operations are one journey to
// its server. Each does what the operations of the port do one after another,
// except that when it fails, any of them may have been done.
type Batcher interface {
	// IncidentsByReports returns every incident that holds one of some reports,
	// each once, in no promised order.
	IncidentsByReports(ctx context.Context, reportIDs []string) ([]*incident.Incident, error)
	// PendingOf returns the kept events about some reports in the order of Seq.
	PendingOf(ctx context.Context, reportIDs []string) ([]Pending, error)
	// PutIncidents does InsertIncident of those that are new, and ReplaceIncident
	// of the others.
	PutIncidents(ctx context.Context, puts []Put) error
	// MarkAllFolded does MarkFolded of each at its Rev.
	MarkAllFolded(ctx context.Context, folded []*incident.Incident) error
}

// Put is an incident to be stored, over revision WasRev, 0 when it is new.
type Put struct {
	Incident *incident.Incident
	WasRev   int64
}

// IncidentsByReports is Batcher's on any store.
func IncidentsByReports(ctx context.Context, s Store, reportIDs []string) ([]*incident.Incident, error) {
	if b, ok := s.(Batcher); ok {
		return b.IncidentsByReports(ctx, reportIDs)
	}
	var found []*incident.Incident
	held := make(map[string]bool)
	for _, id := range reportIDs {
		if held[id] {
			continue
		}
		i, err := s.IncidentByReport(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, i)
		for _, r := range i.Reports {
			held[r.ID] = true
		}
	}
	return found, nil
}

// PendingOf is Batcher's on any store.
func PendingOf(ctx context.Context, s Store, reportIDs []string) ([]Pending, error) {
	if b, ok := s.(Batcher); ok {
		return b.PendingOf(ctx, reportIDs)
	}
	var found []Pending
	for _, id := range reportIDs {
		events, err := s.Pending(ctx, id)
		if err != nil {
			return nil, err
		}
		found = append(found, events...)
	}
	slices.SortStableFunc(found, func(a, b Pending) int { return cmp.Compare(a.Seq, b.Seq) })
	return found, nil
}

// PutIncidents is Batcher's on any store.
func PutIncidents(ctx context.Context, s Store, puts []Put) error {
	if b, ok := s.(Batcher); ok {
		return b.PutIncidents(ctx, puts)
	}
	for _, put := range puts {
		var err error
		if put.WasRev == 0 {
			err = s.InsertIncident(ctx, put.Incident)
		} else {
			err = s.ReplaceIncident(ctx, put.Incident, put.WasRev)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// MarkAllFolded is Batcher's on any store.
func MarkAllFolded(ctx context.Context, s Store, folded []*incident.Incident) error {
	if b, ok := s.(Batcher); ok {
		return b.MarkAllFolded(ctx, folded)
	}
	for _, i := range folded {
		if err := s.MarkFolded(ctx, i.ID, i.Rev); err != nil {
			return err
		}
	}
	return nil
}
