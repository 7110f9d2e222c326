package classifier

import (
	"context"
	"crypto/rand"

	"github.com/onrecord/onrecord/pkg/bus"
)

// Again is a report to be read once more, with its words open.
type Again struct {
	ReportID string
	Input    Input
}

// Model names the model that the service reads with.
func (s *Service) Model() string { return s.Reader().Version() }

// ReadAgain reads reports with the reader in use and publishes what it makes of
// them, one error for each, nil where the stream has it on disk. A reading
// stands beside those of other models and beside what people said; of the same
// model there is only ever one.
func (s *Service) ReadAgain(ctx context.Context, reports []Again) []error {
	errs := make([]error, len(reports))
	var events []bus.Event
	var of []int // the report of each event
	for n, a := range reports {
		r := s.Reader().Read(a.Input)
		r.ReportID, r.At = a.ReportID, s.Now().UTC()
		r.Review = r.Review || sampled(a.ReportID)
		event, err := classifiedEvent(r, rand.Text(), s.Producer)
		if err != nil {
			errs[n] = err
			continue
		}
		events, of = append(events, event), append(of, n)
	}
	for n, err := range s.Bus.PublishAll(ctx, events) {
		errs[of[n]] = err
	}
	return errs
}
