package projector

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const (
	maxPhotos   = 5
	orphanAfter = 24 * time.Hour // no attempt to file a report lasts that long
	orphansLook = time.Hour
)

// photo is one that a filed report names.
type photo struct {
	store.Photo // without its incident and its bytes
	object      string
}

// photos returns the photos that an event names. Their ids come from the
// report's, so that taking one over twice is taking it over once.
func (dec decoder) photos(ev *onrecordv1.ReportFiled, at time.Time) ([]photo, error) {
	if len(ev.GetPhotos()) > maxPhotos {
		return nil, errors.New("more photos than a report may have")
	}
	var all []photo
	add := func(n int, kind store.PhotoKind, from *onrecordv1.Photo) error {
		if len(from.GetSha256()) != sha256.Size || !strings.HasPrefix(from.GetObject(), ev.GetReportId()+".") ||
			!slices.Contains([]string{"image/jpeg", "image/png", "image/webp"}, from.GetContentType()) {
			return errors.New("a photo is not described as it must be")
		}
		id := hex.EncodeToString(dec.keyring.MAC("photo id", []byte(ev.GetReportId()), []byte(kind), []byte(strconv.Itoa(n)))[:16])
		all = append(all, photo{store.Photo{ID: id, ReportID: ev.GetReportId(), Kind: kind, ContentType: from.GetContentType(), Size: int(from.GetSize()),
			Width: int(from.GetWidth()), Height: int(from.GetHeight()), SHA256: from.GetSha256(), CreatedAt: at.Add(time.Duration(n) * time.Millisecond)}, from.GetObject()})
		return nil
	}
	for n, from := range ev.GetPhotos() {
		err := add(n, store.PhotoCopy, from)
		if from.GetOriginal() != nil && err == nil {
			err = add(n, store.PhotoOriginal, from.GetOriginal())
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// takePhotos copies the photos of a stored report out of the object store, and
// removes them there. Done again it does what is left to do. A photo that is in
// neither store is lost: that is said, and does not hold up the others.
func (p *Projector) takePhotos(ctx context.Context, f *filed) error {
	if len(f.photos) == 0 {
		return nil
	}
	i, err := p.store.IncidentByReport(ctx, f.report.ID)
	if err != nil {
		return fmt.Errorf("photos: %w", err)
	}
	held, err := p.store.PhotosOfReport(ctx, f.report.ID)
	if err != nil {
		return fmt.Errorf("photos: %w", err)
	}
	for _, from := range f.photos {
		have := slices.ContainsFunc(held, func(h *store.Photo) bool { return h.ID == from.ID })
		if !have && len(i.WrappedKey) > 0 { // else its words were erased, and it with them
			switch plain, err := p.openPhoto(ctx, f, from); {
			case fault.KindOf(err) == fault.NotFound || errors.Is(err, errPhotoDamaged):
				photosTotal("lost").Inc()
				p.log.Error("a photo is lost", "incident", i.ID, "error", err)
				continue
			case err != nil:
				return err
			default:
				key, err := p.keyring.Unwrap(i.WrappedKey)
				if err != nil {
					return err
				}
				from.IncidentID, from.Sealed = i.ID, key.Seal(plain, i.ID, "photo", from.ID)
				if err := p.store.PutPhoto(ctx, &from.Photo); err != nil {
					return err
				}
				photosTotal("taken").Inc()
			}
		}
		if err := p.bus.DropPhoto(ctx, from.object); err != nil {
			return err
		}
	}
	return nil
}

var errPhotoDamaged = errors.New("it is not the picture that was filed")

// openPhoto returns a photo that waits in the object store.
func (p *Projector) openPhoto(ctx context.Context, f *filed, from photo) ([]byte, error) {
	sealed, err := p.bus.Photo(ctx, from.object)
	if err != nil {
		return nil, err
	}
	key, err := p.keyring.Unwrap(f.wrappedKey)
	if err != nil {
		return nil, errPhotoDamaged
	}
	plain, err := key.Open(sealed, f.report.ID, "photo", from.object)
	if sum := sha256.Sum256(plain); err != nil || !bytes.Equal(sum[:], from.SHA256) {
		return nil, errPhotoDamaged
	}
	return plain, nil
}

// sweepPhotos removes what attempts to file left in the object store, at once
// and every hour, until ctx is done.
func (p *Projector) sweepPhotos(ctx context.Context) {
	tick := time.NewTicker(orphansLook)
	defer tick.Stop()
	for {
		if err := p.DropOrphans(ctx); err != nil && ctx.Err() == nil {
			p.log.Error("photos that nobody filed are looked for again later", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// DropOrphans removes photos older than a day that no report names. One that a
// report names is taken over by it. Run calls it.
func (p *Projector) DropOrphans(ctx context.Context) error {
	waiting, err := p.bus.WaitingPhotos(ctx)
	if err != nil {
		return err
	}
	for _, w := range waiting {
		if p.now().Sub(w.At) < orphanAfter {
			continue
		}
		reportID, _, _ := strings.Cut(w.Name, ".")
		named, err := p.names(ctx, reportID, w.Name)
		switch {
		case err != nil:
			return err
		case named != nil:
			if err := p.takePhotos(ctx, named); err != nil && !errors.Is(err, store.ErrNotFound) { // it is still to be applied
				return err
			}
		default:
			photosTotal("orphaned").Inc()
			if err := p.bus.DropPhoto(ctx, w.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// names returns the report that the stream holds, when it names an object.
func (p *Projector) names(ctx context.Context, reportID, object string) (*filed, error) {
	stored, err := p.bus.Get(ctx, bus.Subject(bus.TypeFiled, reportID))
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ev, err := p.decode(bus.Delivery{Subject: stored.Subject, Data: stored.Data, Seq: stored.Seq, At: stored.At})
	if err != nil {
		return nil, err // quarantined: it may be read one day
	}
	if !slices.ContainsFunc(ev.filed.photos, func(f photo) bool { return f.object == object }) {
		return nil, nil
	}
	return ev.filed, nil
}

func photosTotal(outcome string) *metrics.Counter {
	return metrics.GetOrCreateCounter(`onrecord_photos_total{outcome="` + outcome + `"}`)
}
