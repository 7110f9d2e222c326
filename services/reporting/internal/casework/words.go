package casework

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

// Words is everything people wrote about an incident, open. It is for callers
// entitled to read it, goes to no log, and is never stored.
type Words struct {
	Erased  bool           // they were erased; nothing else is set
	Reports []ReportWords  // in the order of Incident.Reports
	Notes   map[int]string // by Seq of the timeline's entries that have words
}

// ReportWords is what one reporter wrote.
type ReportWords struct {
	Narrative      string
	SiteName       string // what they called an unlisted site
	Employer       string // as they wrote it
	ContactName    string // "" unless they agreed that the rep may know
	ContactDetails string // likewise
}

// Words opens the sealed fields of an incident, for a rep of its site. Who
// reported is left out where they chose to be anonymous. It returns an error
// when something sealed cannot be opened: it was damaged, or put where it does
// not belong.
func (s *Service) Words(i *incident.Incident) (*Words, error) {
	if len(i.WrappedKey) == 0 {
		return &Words{Erased: true}, nil
	}
	w := &Words{Notes: make(map[int]string)}
	for n, r := range i.Reports {
		words, err := s.reportWords(i, r)
		if err != nil {
			return nil, fmt.Errorf("incident %s: report %d: %w", i.ID, n+1, err)
		}
		w.Reports = append(w.Reports, words)
	}
	for _, c := range i.Timeline {
		switch note, err := s.timeline.Note(i, c); {
		case err != nil:
			return nil, fmt.Errorf("incident %s: timeline entry %d: %w", i.ID, c.Seq, err)
		case note != "":
			w.Notes[c.Seq] = note
		}
	}
	return w, nil
}

// Narrative opens what the reporter of an incident's one report wrote, for the
// machine that learns; "" when it has none or it was erased.
func (s *Service) Narrative(i *incident.Incident) (string, error) {
	if len(i.WrappedKey) == 0 || len(i.Reports) != 1 {
		return "", nil
	}
	words, err := s.reportWords(i, i.Reports[0])
	return words.Narrative, err
}

func (s *Service) reportWords(i *incident.Incident, r incident.FiledReport) (ReportWords, error) {
	if len(r.SealedWords) == 0 {
		return ReportWords{}, nil
	}
	key, err := s.keyring.Unwrap(i.WrappedKey)
	if err != nil {
		return ReportWords{}, err
	}
	plain, err := key.Open(r.SealedWords, i.ID, "words", r.ID)
	if err != nil {
		return ReportWords{}, err
	}
	var words onrecordv1.ReportWords
	if err := proto.Unmarshal(plain, &words); err != nil {
		return ReportWords{}, errors.New("the words are not protobuf")
	}
	open := ReportWords{Narrative: words.GetNarrative(), SiteName: words.GetSiteName(), Employer: words.GetEmployer()}
	if r.ContactChoice == incident.ContactRepOnly || r.ContactChoice == incident.ContactMayBeNamed {
		open.ContactName, open.ContactDetails = words.GetContactName(), words.GetContactDetails()
	}
	return open, nil
}
