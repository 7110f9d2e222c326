package storetest

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

func testPhotos(t *testing.T, s store.Store) {
	ctx := t.Context()
	p := filled[store.Photo](t)
	_, err := s.Photo(ctx, p.ID)
	errorIs(t, "none", err, store.ErrNotFound)
	equal(t, "none of an incident", len(got[[]*store.Photo](t)(s.PhotosOfIncident(ctx, p.IncidentID))), 0)
	must(t, s.DeletePhoto(ctx, p.ID))
	must(t, s.DeletePhotos(ctx, p.IncidentID))

	must(t, s.PutPhoto(ctx, &p))
	equal(t, "stored", got[*store.Photo](t)(s.Photo(ctx, p.ID)), &p)
	again := p
	again.ContentType, again.Sealed = "another", []byte("sealed anew")
	must(t, s.PutPhoto(ctx, &again))
	equal(t, "the first stays", got[*store.Photo](t)(s.Photo(ctx, p.ID)), &p)
	race(t, 4, nil, func(int) error {
		return s.PutPhoto(ctx, &store.Photo{ID: "raced", IncidentID: "i2", Sealed: []byte{1}})
	})
	equal(t, "one of many", len(got[[]*store.Photo](t)(s.PhotosOfIncident(ctx, "i2"))), 1)

	put := func(id, incident, report string, made time.Time) *store.Photo {
		t.Helper()
		photo := &store.Photo{ID: id, IncidentID: incident, ReportID: report, Kind: store.PhotoOriginal, CreatedAt: made, Sealed: []byte(id)}
		must(t, s.PutPhoto(ctx, photo))
		listed := *photo
		listed.Sealed, listed.CreatedAt = nil, made.UTC()
		return &listed
	}
	b := put("b", "i", "r1", at.In(time.FixedZone("", 3600)))
	a := put("a", "i", "r2", at)
	older := put("c", "i", "r2", at.Add(-time.Millisecond))
	other := put("d", "another", "r3", at)
	equal(t, "of an incident", got[[]*store.Photo](t)(s.PhotosOfIncident(ctx, "i")), []*store.Photo{older, a, b})
	equal(t, "of a report", got[[]*store.Photo](t)(s.PhotosOfReport(ctx, "r2")), []*store.Photo{older, a})

	must(t, s.DeletePhoto(ctx, "a"))
	_, err = s.Photo(ctx, "a")
	errorIs(t, "deleted", err, store.ErrNotFound)
	equal(t, "left", got[[]*store.Photo](t)(s.PhotosOfIncident(ctx, "i")), []*store.Photo{older, b})
	must(t, s.DeletePhotos(ctx, "i"))
	equal(t, "none left", len(got[[]*store.Photo](t)(s.PhotosOfIncident(ctx, "i"))), 0)
	equal(t, "nor by report", len(got[[]*store.Photo](t)(s.PhotosOfReport(ctx, "r1"))), 0)
	equal(t, "another’s", got[[]*store.Photo](t)(s.PhotosOfIncident(ctx, "another")), []*store.Photo{other})
	put("a", "i", "r2", at) // what was deleted may come anew
	equal(t, "anew", got[*store.Photo](t)(s.Photo(ctx, "a")).Sealed, []byte("a"))

	for what, photo := range map[string]*store.Photo{
		"no id": {Sealed: []byte{1}}, "no bytes": {ID: "x"}, "too large": {ID: "x", Sealed: make([]byte, store.MaxSealedPhoto+1)},
	} {
		isInvalid(t, what, s.PutPhoto(ctx, photo))
	}
	_, err = s.Photo(ctx, "x")
	errorIs(t, "refused", err, store.ErrNotFound)
	for _, id := range hostile {
		put(id, id, id, at)
		equal(t, "hostile", string(got[*store.Photo](t)(s.Photo(ctx, id)).Sealed), id)
		equal(t, "hostile", len(got[[]*store.Photo](t)(s.PhotosOfIncident(ctx, id))), 1)
	}
}

func testLargePhoto(t *testing.T, s store.Store) {
	ctx, sealed := t.Context(), make([]byte, store.MaxSealedPhoto)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(sealed) // never fails
	must(t, s.PutPhoto(ctx, &store.Photo{ID: "large", Sealed: sealed}))
	if read := got[*store.Photo](t)(s.Photo(ctx, "large")); !bytes.Equal(read.Sealed, sealed) {
		t.Fatalf("%d bytes came back otherwise than they were stored", len(sealed))
	}
}
