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
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const (
	maxPhotos   = 5
	orphanAfter = 24 * time.Hour // no attempt to file a report lasts that long
	orphansLook = time.Hour
)

// carried is the photos that came with a report, or with what was added to it.
type carried struct {
	reportID   string
	photos     []photo
	wrappedKey []byte // opens them
}

// photo is one that an event names.
type photo struct {
	store.Photo // without its incident and its bytes
	object      string
}

// photos returns the photos that an event names, of a report or of an addition
// to it. Their ids come from its ids, so that taking one over twice is taking it
// over once.
func (dec decoder) photos(ev interface {
	GetPhotos() []*onrecordv1.Photo
	GetWrappedKey() []byte
}, reportID, additionID string, at time.Time) (carried, error) {
	all := carried{reportID: reportID, wrappedKey: ev.GetWrappedKey()}
	if len(ev.GetPhotos()) > maxPhotos {
		return all, errors.New("more photos than a report may have")
	}
	of, prefix := [][]byte{[]byte(reportID)}, reportID+"."
	if additionID != "" {
		of, prefix = append(of, []byte(additionID)), prefix+additionID+"."
	}
	add := func(n int, kind store.PhotoKind, from *onrecordv1.Photo) error {
		if len(from.GetSha256()) != sha256.Size || !strings.HasPrefix(from.GetObject(), prefix) ||
			!slices.Contains([]string{"image/jpeg", "image/png", "image/webp"}, from.GetContentType()) {
			return errors.New("a photo is not described as it must be")
		}
		id := hex.EncodeToString(dec.keyring.MAC("photo id", append(slices.Clone(of), []byte(kind), []byte(strconv.Itoa(n)))...)[:16])
		all.photos = append(all.photos, photo{store.Photo{ID: id, ReportID: reportID, Kind: kind, ContentType: from.GetContentType(), Size: int(from.GetSize()),
			Width: int(from.GetWidth()), Height: int(from.GetHeight()), SHA256: from.GetSha256(), CreatedAt: at.Add(time.Duration(n) * time.Millisecond)}, from.GetObject()})
		return nil
	}
	for n, from := range ev.GetPhotos() {
		err := add(n, store.PhotoCopy, from)
		if from.GetOriginal() != nil && err == nil {
			err = add(n, store.PhotoOriginal, from.GetOriginal())
		}
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// takeAll takes the photos of an applied event, and those of what had waited
// for it.
func (p *Projector) takeAll(ctx context.Context, ev event) error {
	for _, c := range append([]carried{ev.carries}, ev.settled...) {
		if err := p.takePhotos(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// takePhotos copies photos of a stored report out of the object store, and
// removes them there. Done again it does what is left to do. A photo that is in
// neither store is lost: that is said, and does not hold up the others. Those of
// a report that is still to come wait.
func (p *Projector) takePhotos(ctx context.Context, f carried) error {
	if len(f.photos) == 0 {
		return nil
	}
	i, err := p.store.IncidentByReport(ctx, f.reportID)
	if errors.Is(err, store.ErrNotFound) {
		var gone bool
		if gone, err = p.buried(ctx, p.store, f.reportID); err == nil && !gone {
			return nil
		}
		i = &incident.Incident{} // without a key: what is left of it is removed
	}
	if err != nil {
		return fmt.Errorf("photos: %w", err)
	}
	held, err := p.store.PhotosOfReport(ctx, f.reportID)
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
				from.IncidentID, from.Sealed = i.ID, key.SealOver(plain, i.ID, "photo", from.ID)
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
func (p *Projector) openPhoto(ctx context.Context, f carried, from photo) ([]byte, error) {
	sealed, err := p.bus.Photo(ctx, from.object)
	if err != nil {
		return nil, err
	}
	key, err := p.keyring.Unwrap(f.wrappedKey)
	if err != nil {
		return nil, errPhotoDamaged
	}
	plain, err := key.OpenOver(sealed, f.reportID, "photo", from.object)
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
	var nameless []string
	for {
		others, err := p.DropNameless(ctx, nameless)
		if err = errors.Join(err, p.DropOrphans(ctx)); err != nil && ctx.Err() == nil {
			p.log.Error("photos that nobody filed are looked for again later", "error", err)
		}
		nameless = others
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// DropOrphans removes photos older than a day that no report and no addition
// names. One that is named is taken over. Run calls it.
func (p *Projector) DropOrphans(ctx context.Context) error {
	waiting, err := p.bus.WaitingPhotos(ctx)
	if err != nil {
		return err
	}
	for _, w := range waiting {
		if p.now().Sub(w.At) < orphanAfter {
			continue
		}
		named, err := p.names(ctx, w.Name)
		switch {
		case err != nil:
			return err
		case len(named.photos) > 0:
			if err := p.takePhotos(ctx, named); err != nil {
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

// DropNameless removes the photos of which only part was stored when it was looked
// before, as it returned, and still is: nobody stores one for an hour. It returns
// the others of which only part is stored.
func (p *Projector) DropNameless(ctx context.Context, before []string) (others []string, err error) {
	nameless, err := p.bus.NamelessPhotos(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range nameless {
		if !slices.Contains(before, id) {
			others = append(others, id)
			continue
		}
		photosTotal("orphaned").Inc()
		if err := p.bus.DropNameless(ctx, id); err != nil {
			return nil, err
		}
	}
	return others, nil
}

// names returns the photos of the event in the stream that names an object;
// none where there is no such event.
func (p *Projector) names(ctx context.Context, object string) (carried, error) {
	subject := bus.Subject(bus.TypeFiled, object)
	switch parts := strings.Split(object, "."); len(parts) {
	case 2:
		subject = bus.Subject(bus.TypeFiled, parts[0])
	case 3:
		subject = bus.Subject(bus.TypeAdded, parts[0], parts[1])
	}
	stored, err := p.bus.Get(ctx, subject)
	if fault.KindOf(err) == fault.NotFound {
		return carried{}, nil
	}
	if err != nil {
		return carried{}, err
	}
	ev, err := p.decode(bus.Delivery{Subject: stored.Subject, Data: stored.Data, Seq: stored.Seq, At: stored.At})
	if err != nil {
		return carried{}, err // quarantined: it may be read one day
	}
	if !slices.ContainsFunc(ev.carries.photos, func(f photo) bool { return f.object == object }) {
		return carried{}, nil
	}
	return ev.carries, nil
}

func photosTotal(outcome string) *metrics.Counter {
	return metrics.GetOrCreateCounter(`onrecord_photos_total{outcome="` + outcome + `"}`)
}
