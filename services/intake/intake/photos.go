package intake

import (
	"context"
	"crypto/rand"
	"crypto/sha256"

	"golang.org/x/sync/errgroup"

	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/intake/internal/filing"
	"github.com/onrecord/onrecord/services/intake/internal/photo"
)

// storePhotos looks at the photos of a filing, has them on disk under seal, and
// names them in its event. Their names are used once: two attempts to file one
// report do not write over each other, and what an attempt that failed leaves
// behind is removed by reporting. Errors: fault.Invalid naming each photo that
// cannot be taken, fault.Unavailable when nothing was promised.
func (s *Service) storePhotos(ctx context.Context, f *filing.Filing, e *onrecordv1.ReportFiled) error {
	clean, came, err := photo.Clean(ctx, f.Photos)
	if err != nil {
		return err
	}
	var key seal.DataKey
	if len(e.GetWrappedKey()) == 0 {
		key, e.WrappedKey = s.keys.NewDataKey()
	} else if key, err = s.keys.Unwrap(e.GetWrappedKey()); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	store := func(picture []byte) string {
		name := f.ID + "." + rand.Text()
		g.Go(func() error { return s.bus.PutPhoto(ctx, name, key.Seal(picture, f.ID, "photo", name)) })
		return name
	}
	for n, p := range clean {
		kept := &onrecordv1.Photo{Object: store(p.JPEG), Sha256: p.SHA256[:], Size: uint32(len(p.JPEG)), Width: uint32(p.Width), Height: uint32(p.Height), ContentType: "image/jpeg"}
		if f.KeepOriginals {
			raw := f.Photos[n]
			sum := sha256.Sum256(raw)
			kept.Original = &onrecordv1.Photo{Object: store(raw), Sha256: sum[:], Size: uint32(len(raw)), Width: uint32(came[n].Width), Height: uint32(came[n].Height), ContentType: came[n].ContentType}
		}
		e.Photos = append(e.Photos, kept)
	}
	return g.Wait()
}
