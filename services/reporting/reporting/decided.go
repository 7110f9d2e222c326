package reporting

import (
	"context"
	"errors"
	"math"
	"slices"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/lessons"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Decided is a report about which a rep decided something, as the machine can
// learn from it. It goes to no log.
type Decided struct {
	Features []byte        // of its words, as the classifier made them
	Kind     incident.Kind // what the rep said; "" for nothing
	Channel  incident.Channel
	Target   incident.Target
	Said     Answers // what the reporter had answered
}

// Answers are a reporter's own.
type Answers struct {
	Kind    incident.Kind
	Channel incident.Channel
	Target  incident.Target
}

// FeatureMaker makes features of words where those that were kept are none, or
// another version's.
type FeatureMaker struct {
	Make  func(words string) ([]byte, error)
	Knows func(features []byte) bool
}

// EachDecided calls fn with every report about which a rep decided kind,
// channel or target, until fn returns an error. It takes the features that are
// kept with the report. Where they are not there yet or f does not know them
// they are made of the words, and kept. Incidents of several reports are left
// out, because the rep decided about all of them together, and so is every
// report without words: what was erased teaches nothing.
func (s *Service) EachDecided(ctx context.Context, f FeatureMaker, fn func(Decided) error) error {
	return s.school().eachDecided(ctx, f, fn)
}

// EachDecided is Service.EachDecided of a database, beside the services that use it.
func (d Database) EachDecided(ctx context.Context, f FeatureMaker, fn func(Decided) error) error {
	return d.with(ctx, func(st store.Store) error { return d.school(st).eachDecided(ctx, f, fn) })
}

// Undecided is a report that the machine or nobody has settled, with its words
// open. It goes to no log and is stored nowhere.
type Undecided struct {
	ReportID string
	Words    string
	Said     Answers
}

// EachUndecided calls fn with every report of an open question that a model
// has not read yet: its channel or target is not known, or a person should look
// and has not. What a person decided about every field is left alone. It looks
// through all incidents, and tells looked of each how many that makes, of how many
// there were when it began.
func (s *Service) EachUndecided(ctx context.Context, model string, looked func(n, of int), fn func(Undecided) error) error {
	return s.school().eachUndecided(ctx, model, looked, fn)
}

// EachUndecided is Service.EachUndecided of a database, beside the services that
// use it.
func (d Database) EachUndecided(ctx context.Context, model string, looked func(n, of int), fn func(Undecided) error) error {
	return d.with(ctx, func(st store.Store) error { return d.school(st).eachUndecided(ctx, model, looked, fn) })
}

// school is what the machine learns from and what it is asked about.
type school struct {
	store   store.Store
	keyring *seal.Keyring
	cases   *casework.Service
}

func (s *Service) school() school { return school{s.store, s.keyring, s.cases} }

func (d Database) school(st store.Store) school { return school{st, d.Keyring, d.casework(st)} }

func (s school) eachDecided(ctx context.Context, f FeatureMaker, fn func(Decided) error) error {
	return s.store.EachIncident(ctx, func(i *incident.Incident) error {
		if !isOneWithWords(i) || !i.Teaches() {
			return ctx.Err()
		}
		features, err := s.features(ctx, i, f)
		if err != nil || len(features) == 0 {
			return err
		}
		d := Decided{Features: features, Kind: i.Kind.Reviewer, Channel: i.Channel.Reviewer, Target: i.Target.Reviewer,
			Said: Answers{i.Kind.Reporter, i.Channel.Reporter, i.Target.Reporter}}
		if d.Kind == incident.KindUnknown { // a rep who could not tell is no example
			d.Kind = ""
		}
		return fn(d)
	})
}

// features returns what is kept of an incident, or makes and keeps it.
func (s school) features(ctx context.Context, i *incident.Incident, f FeatureMaker) ([]byte, error) {
	kept, err := lessons.Open(s.keyring, i)
	if err != nil {
		return nil, err
	}
	if len(i.Lesson.Features) > 0 && (len(kept) == 0 || f.Knows(kept)) {
		return kept, nil
	}
	words, err := s.cases.Narrative(i)
	if err != nil {
		return nil, err
	}
	var made []byte
	if words != "" {
		if made, err = f.Make(words); err != nil {
			return nil, err
		}
	}
	if i.Lesson.Features, err = lessons.Seal(s.keyring, i, made); err != nil {
		return nil, err
	}
	err = s.store.KeepLesson(ctx, i)
	if errors.Is(err, store.ErrStale) { // somebody changes it: whoever sees to lessons is told by the store
		err = nil
	}
	return made, err
}

func (s school) eachUndecided(ctx context.Context, model string, looked func(n, of int), fn func(Undecided) error) error {
	of, err := s.store.CountIncidents(ctx, store.Filter{}, math.MaxInt32)
	if err != nil {
		return err
	}
	n := 0
	open := func(i *incident.Incident) bool {
		if i.Kind.Reviewer != "" && i.Channel.Reviewer != "" && i.Target.Reviewer != "" {
			return false
		}
		read := slices.ContainsFunc(i.Readings, func(r incident.Reading) bool { return r.Model == model && r.ReportID == i.Reports[0].ID })
		return !read && (i.NeedsReview() || i.Dims().Undecided())
	}
	return s.store.EachIncident(ctx, func(i *incident.Incident) error {
		n++
		defer func() { looked(n, max(n, of)) }()
		if !isOneWithWords(i) || !open(i) {
			return ctx.Err()
		}
		words, err := s.cases.Narrative(i)
		if err != nil || words == "" {
			return err
		}
		return fn(Undecided{i.Reports[0].ID, words, Answers{i.Kind.Reporter, i.Channel.Reporter, i.Target.Reporter}})
	})
}

// isOneWithWords reports whether an incident is of one report, counts, and its
// words were not erased.
func isOneWithWords(i *incident.Incident) bool {
	return len(i.Reports) == 1 && i.Status.Counts() && len(i.WrappedKey) > 0
}
