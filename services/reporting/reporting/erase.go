package reporting

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/projector"
	"github.com/onrecord/onrecord/services/reporting/internal/standing"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Erasable is an incident whose words may be erased, as an operator may see
// it: without them.
type Erasable struct {
	ID      string `json:"id"`
	Ref     string `json:"ref"`
	Site    string `json:"site"`
	Month   string `json:"month"`
	Status  string `json:"status"`
	Reports int    `json:"reports"`
	Erased  bool   `json:"erased,omitempty"` // before
}

// Erasure is what is kept of an erasure apart from the database, so that it can
// be done again after an older backup was restored. It tells nobody which
// report it was.
type Erasure struct {
	Incident   string   `json:"incident"`
	Tombstones []string `json:"tombstones"`
}

// Eraser erases the words of incidents, in a store and in the stream.
type Eraser struct {
	store   store.Store
	keyring *seal.Keyring
	bus     *bus.Bus
	cases   *casework.Service
}

// Eraser returns what erases in a running service.
func (s *Service) Eraser() Eraser { return Eraser{s.store, s.keyring, s.bus, s.cases} }

// Erasing calls do with what erases in a database and a stream, beside the
// services that run on them.
func (d Database) Erasing(ctx context.Context, b *bus.Bus, do func(Eraser) error) error {
	return d.with(ctx, func(st store.Store) error {
		return do(Eraser{st, d.Keyring, b, d.casework(st)})
	})
}

// casework is what people do to the incidents of a database, without its sites.
func (d Database) casework(st store.Store) *casework.Service {
	return casework.New(casework.Config{Store: st, Folder: fold.New(), Keyring: d.Keyring, SiteKnown: func(string) bool { return false }, Now: time.Now})
}

// Find returns the incident that holds the report with a receipt hash, or those
// that have a reference or an id. It returns fault.NotFound when there is none.
func (e Eraser) Find(ctx context.Context, receiptHash []byte, reference string) ([]Erasable, error) {
	var found []Erasable
	take := func(i *incident.Incident) {
		found = append(found, Erasable{i.ID, i.Ref, i.Site, i.Month().String(), string(i.Status), len(i.Reports), len(i.WrappedKey) == 0})
	}
	if len(receiptHash) > 0 {
		switch i, err := e.store.IncidentByReceipt(ctx, receiptHash); {
		case err == nil:
			take(i)
		case !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	} else {
		err := e.store.EachIncident(ctx, func(i *incident.Incident) error {
			if strings.EqualFold(i.Ref, reference) || i.ID == reference {
				take(i)
			}
			return ctx.Err()
		})
		if err != nil {
			return nil, err
		}
	}
	if len(found) == 0 {
		return nil, fault.New(fault.NotFound, "not_found", "There is no incident with that receipt or reference.")
	}
	return found, nil
}

// Erasure returns what is to be kept of an erasure before it is begun.
func (e Eraser) Erasure(ctx context.Context, id string) (Erasure, error) {
	i, err := e.store.Incident(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return Erasure{}, fault.New(fault.NotFound, "not_found", "There is no such incident.")
	}
	if err != nil {
		return Erasure{}, err
	}
	kept := Erasure{Incident: id}
	for _, r := range i.Reports {
		kept.Tombstones = append(kept.Tombstones, projector.Tombstone(e.keyring, r.ID))
	}
	return kept, nil
}

// operator is who erases, in the timeline.
var operator = incident.Actor{Role: "operator"}

// Erase destroys the words of an incident in the store and removes the events
// about its reports from the stream. What is counted stays. Doing it again
// completes what was cut off.
func (e Eraser) Erase(ctx context.Context, id string) error {
	if err := e.cases.Erase(ctx, id, operator); err != nil {
		return err
	}
	i, err := e.store.Incident(ctx, id)
	if err != nil {
		return err
	}
	for _, r := range i.Reports {
		if err := standing.EraseReport(ctx, e.store, e.bus, r.ID); err != nil {
			return err
		}
	}
	return nil
}

// EraseReturned removes what came back of erased reports from the stream, and
// returns how many reports that were. Progress is called now and then with the
// events that it has looked at.
func (e Eraser) EraseReturned(ctx context.Context, progress func(done int)) (reports int, err error) {
	h, err := e.bus.Health(ctx)
	if err != nil {
		return 0, err
	}
	var back []string
	done, last := 0, ""
	_, err = e.bus.Walk(ctx, h.LastSeq, func(p bus.Place) error {
		if done++; done%progressEvery == 0 {
			progress(done)
		}
		id := projector.About(p.Subject)
		if id == "" || id == last { // an event and its classification often follow each other
			return nil
		}
		last = id
		buried, err := projector.Buried(ctx, e.store, projector.Tombstone(e.keyring, id))
		if buried && !slices.Contains(back, id) {
			back = append(back, id)
		}
		return err
	})
	for _, id := range back {
		if err == nil {
			err = standing.EraseReport(ctx, e.store, e.bus, id)
		}
	}
	return len(back), err
}

// progressEvery is how many events of the stream pass between two words of it.
const progressEvery = 10_000

// EraseAgain does erasures again in a database that was restored from before
// them: their tombstones are kept, and their incidents are erased where they
// are there.
func (d Database) EraseAgain(ctx context.Context, all []Erasure) error {
	return d.with(ctx, func(st store.Store) error {
		cases := d.casework(st)
		for _, e := range all {
			for _, t := range e.Tombstones {
				if err := projector.Bury(ctx, st, t); err != nil {
					return err
				}
			}
			if err := cases.Erase(ctx, e.Incident, operator); err != nil && fault.KindOf(err) != fault.NotFound {
				return err
			}
		}
		return nil
	})
}

// TombstoneOf returns what would be left of the report that a subject of the
// stream is about, or "" when it is about none.
func TombstoneOf(k *seal.Keyring, subject string) string {
	id := projector.About(subject)
	if id == "" {
		return ""
	}
	return projector.Tombstone(k, id)
}

const backupFact = "last_backup"

// LastBackup returns when the last good backup was made, zero when there is none.
func (s *Service) LastBackup(ctx context.Context) (time.Time, error) {
	raw, err := s.store.Meta(ctx, backupFact)
	if errors.Is(err, store.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339, string(raw))
}

// BackedUp keeps when a backup was made that was found to be good.
func (s *Service) BackedUp(ctx context.Context, at time.Time) error {
	return s.store.SetMeta(ctx, backupFact, []byte(at.UTC().Format(time.RFC3339)))
}
