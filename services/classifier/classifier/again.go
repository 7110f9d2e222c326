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
	return publishEach(ctx, s.Bus, reports, func(a Again) (bus.Event, error) {
		return classifiedEvent(s.read(a.ReportID, a.Input), rand.Text(), s.Producer)
	})
}
