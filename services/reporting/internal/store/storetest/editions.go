package storetest

import (
	"bytes"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

func testEditions(t *testing.T, s store.Store, race racer) {
	ctx := t.Context()
	e := filled[store.Edition](t)
	_, err := s.Edition(ctx, e.Month, e.Number)
	errorIs(t, "none", err, store.ErrNotFound)
	must(t, s.PutEdition(ctx, &e))
	equal(t, "stored", got[*store.Edition](t)(s.Edition(ctx, e.Month, e.Number)), &e)

	again := e
	again.By, again.Public, again.Exact, again.MAC = "another", []byte("other"), []byte("other"), []byte("other")
	errorIs(t, "the same number", s.PutEdition(ctx, &again), store.ErrExists)
	errorIs(t, "the same edition", s.PutEdition(ctx, &e), store.ErrExists)
	equal(t, "the first stays", got[*store.Edition](t)(s.Edition(ctx, e.Month, e.Number)), &e)
	_, err = s.Edition(ctx, e.Month, e.Number+1)
	errorIs(t, "another number", err, store.ErrNotFound)
	_, err = s.Edition(ctx, e.Month.Add(1), e.Number)
	errorIs(t, "another month", err, store.ErrNotFound)

	won := race(t, 8, store.ErrExists, func(w int) error {
		return s.PutEdition(ctx, &store.Edition{Month: e.Month, Number: 7, PublishedAt: at, Public: []byte{byte(w)}, Exact: []byte{byte(w)}})
	})
	equal(t, "publishers who won", won, 1)
	stored := got[*store.Edition](t)(s.Edition(ctx, e.Month, 7))
	equal(t, "one publisher’s content", stored.Exact, stored.Public)

	for what, refused := range map[string]*store.Edition{
		"no month": {Number: 1, Public: []byte{1}}, "number 0": {Month: e.Month, Public: []byte{1}},
		"too high a number": {Month: e.Month, Number: store.MaxEdition + 1, Public: []byte{1}}, "nothing": {Month: e.Month, Number: 8},
		"too large": {Month: e.Month, Number: 8, Public: []byte{1}, Exact: make([]byte, store.MaxEditionBytes)},
	} {
		isInvalid(t, what, s.PutEdition(ctx, refused))
	}
	largest := &store.Edition{Month: e.Month, Number: store.MaxEdition, PublishedAt: at, Public: []byte{1}, Exact: bytes.Repeat([]byte{0xff, 0}, store.MaxEditionBytes/2)[1:]}
	must(t, s.PutEdition(ctx, largest))
	if read := got[*store.Edition](t)(s.Edition(ctx, e.Month, store.MaxEdition)); !bytes.Equal(read.Exact, largest.Exact) {
		t.Fatal("the largest edition came back otherwise than it was stored")
	}
}

func testListEditions(t *testing.T, s store.Store) {
	ctx := t.Context()
	put := func(year int, month time.Month, number int) *store.Edition {
		t.Helper()
		e := &store.Edition{Month: incident.Month{Year: year, Month: month}, Number: number, PublishedAt: at.In(time.FixedZone("", 3600)),
			Public: []byte{byte(number)}, Exact: []byte{1}}
		must(t, s.PutEdition(ctx, e))
		listed := *e
		listed.PublishedAt, listed.Exact = at, nil
		return &listed
	}
	second := put(2026, time.October, 2)
	tenth := put(2026, time.October, 10)
	december := put(2025, time.December, 1)
	first := put(2026, time.October, 1)
	november := put(2026, time.November, 1)
	list := func(first, last incident.Month) []*store.Edition {
		t.Helper()
		return got[[]*store.Edition](t)(s.ListEditions(ctx, first, last))
	}
	october := first.Month
	equal(t, "of a month", list(october, october), []*store.Edition{first, second, tenth})
	equal(t, "of all", list(incident.Month{Year: 1, Month: 1}, incident.Month{Year: 9999, Month: 12}), []*store.Edition{december, first, second, tenth, november})
	equal(t, "of none", len(list(october.Add(-1), october.Add(-1))), 0)
	whole := *second
	whole.Exact = []byte{1}
	equal(t, "with its exact totals", got[*store.Edition](t)(s.Edition(ctx, october, 2)), &whole)
}
