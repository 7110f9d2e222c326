package program

import (
	"context"

	"github.com/onrecord/onrecord/pkg/bus"
)

// WaitingPhotos returns the photos that reporting has not taken over yet.
func (p *Program) WaitingPhotos(ctx context.Context) ([]bus.WaitingPhoto, error) {
	return p.bus.WaitingPhotos(ctx)
}
