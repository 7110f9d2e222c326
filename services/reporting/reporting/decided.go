package reporting

import (
	"context"

	"github.com/onrecord/onrecord/pkg/incident"
)

// Decided is a report about which a rep decided something, with its words
// open. It is for making a better reader of reports in the same process: it
// goes to no log and is stored nowhere.
type Decided struct {
	Words   string
	Kind    incident.Kind // what the rep said; "" for nothing
	Channel incident.Channel
	Target  incident.Target
	Said    Answers // what the reporter had answered
}

// Answers are a reporter's own.
type Answers struct {
	Kind    incident.Kind
	Channel incident.Channel
	Target  incident.Target
}

// EachDecided calls fn with every report about which a rep decided kind,
// channel or target, until fn returns an error. Incidents of several reports
// are left out, because the rep decided about all of them together, and so is
// every report without words: what was erased teaches nothing.
func (s *Service) EachDecided(ctx context.Context, fn func(Decided) error) error {
	return s.eachWithWords(ctx, decidedByRep, func(i *incident.Incident, words string) error {
		d := Decided{Words: words, Kind: i.Kind.Reviewer, Channel: i.Channel.Reviewer, Target: i.Target.Reviewer,
			Said: Answers{i.Kind.Reporter, i.Channel.Reporter, i.Target.Reporter}}
		if d.Kind == incident.KindUnknown { // a rep who could not tell is no example
			d.Kind = ""
		}
		return fn(d)
	})
}

func decidedByRep(i *incident.Incident) bool {
	return i.Kind.Reviewer != "" || i.Channel.Reviewer != "" || i.Target.Reviewer != ""
}

// Undecided is a report that the machine or nobody has settled, with its words
// open, for the same process alone.
type Undecided struct {
	ReportID string
	Words    string
	Said     Answers
}

// EachUndecided calls fn with every report of an open question that a model
// has not read yet: its channel or target is not known, or a person should look
// and has not. What a person decided about every field is left alone.
func (s *Service) EachUndecided(ctx context.Context, model string, fn func(Undecided) error) error {
	open := func(i *incident.Incident) bool {
		if i.Kind.Reviewer != "" && i.Channel.Reviewer != "" && i.Target.Reviewer != "" {
			return false
		}
		for _, r := range i.Readings {
			if r.Model == model && r.ReportID == i.Reports[0].ID {
				return false
			}
		}
		return i.NeedsReview() || i.Dims().Undecided()
	}
	return s.eachWithWords(ctx, open, func(i *incident.Incident, words string) error {
		return fn(Undecided{i.Reports[0].ID, words, Answers{i.Kind.Reporter, i.Channel.Reporter, i.Target.Reporter}})
	})
}

// eachWithWords calls fn with the incidents of one report that are wanted, and
// its words.
func (s *Service) eachWithWords(ctx context.Context, wanted func(*incident.Incident) bool, fn func(*incident.Incident, string) error) error {
	return s.store.EachIncident(ctx, func(i *incident.Incident) error {
		if len(i.Reports) != 1 || !i.Status.Counts() || !wanted(i) {
			return nil
		}
		w, err := s.cases.Words(i)
		if err != nil {
			return err
		}
		if w.Erased || w.Reports[0].Narrative == "" {
			return nil
		}
		return fn(i, w.Reports[0].Narrative)
	})
}
