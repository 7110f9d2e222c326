package intake

import (
	"context"
	"crypto/rand"
	"crypto/sha256"

	"golang.org/x/sync/errgroup"

	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/intake/internal/photo"
)

// album is the photos of a report, or of what is added to one, as they came.
type album struct {
	reportID      string
	event         string // what the names of their objects begin with
	raw           [][]byte
	keepOriginals bool
}

// storePhotos looks at photos, has them on disk under seal, and returns how
// their event is to name them and the data key it needs: wrapped, or a new one
// where that is empty. Their names are used once: two attempts to file one
// report do not write over each other, and what an attempt that failed leaves
// behind is removed by reporting. Errors: fault.Invalid naming each photo that
// cannot be taken, fault.Unavailable when nothing was promised.
func (s *Service) storePhotos(ctx context.Context, a album, wrapped []byte) (named []*onrecordv1.Photo, _ []byte, err error) {
	clean, came, err := photo.Clean(ctx, a.raw)
	if err != nil {
		return nil, nil, err
	}
	var key seal.DataKey
	if len(wrapped) == 0 {
		key, wrapped = s.keys.NewDataKey()
	} else if key, err = s.keys.Unwrap(wrapped); err != nil {
		return nil, nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	store := func(picture []byte, seal func(plain []byte, place ...string) []byte) string {
		name := a.event + "." + rand.Text()
		g.Go(func() error { return s.bus.PutPhoto(ctx, name, seal(picture, a.reportID, "photo", name)) })
		return name
	}
	for n, p := range clean {
		kept := &onrecordv1.Photo{Object: store(p.JPEG, key.SealOver), Sha256: p.SHA256[:], Size: uint32(len(p.JPEG)), Width: uint32(p.Width), Height: uint32(p.Height), ContentType: "image/jpeg"}
		if a.keepOriginals {
			raw := a.raw[n]
			sum := sha256.Sum256(raw)
			kept.Original = &onrecordv1.Photo{Object: store(raw, key.Seal), Sha256: sum[:], Size: uint32(len(raw)), Width: uint32(came[n].Width), Height: uint32(came[n].Height), ContentType: came[n].ContentType}
		}
		named = append(named, kept)
	}
	err = g.Wait()
	for _, p := range clean {
		p.Leave() // sealed in it, and on its way
	}
	return named, wrapped, err
}
