package intake

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/intake/internal/filing"
	"github.com/onrecord/onrecord/services/intake/internal/receipt"
)

// received says that a report is on disk.
type received struct {
	id       string
	receipt  receipt.Code
	at       time.Time // UTC, to the second
	replayed bool      // it was on disk before
}

var errSiteCode = fault.InvalidFields([]fault.Field{fault.Wrong("site_code", "Enter the site code. It stands on the poster at the site, or ask a safety rep.")})

var (
	errBusy = fault.New(fault.Unavailable, web.CodeBusy, "Many reports are coming in. Keep yours and send it again shortly.")
	errGone = fault.New(fault.Conflict, "erased", "This report was received and has been erased since. It is counted, and its words are not kept again.")
	errTwin = fault.New(fault.Conflict, "id_in_use", "Another report was filed with this id. The first one stays as it is.")
)

// file takes a report in and returns once the stream has it on disk. The same
// report again is received again; another report under the same id is
// fault.Conflict and the first stays. Errors: fault.Invalid naming every field,
// fault.Unavailable when nothing was promised.
func (s *Service) file(ctx context.Context, f *filing.Filing) (r received, err error) {
	err = s.takeIn(ctx, "onrecord_intake_filings_total", f.Site, len(f.Photos), func(ctx context.Context) (bool, error) {
		r, err = s.publish(ctx, f)
		return r.replayed, err
	})
	return r, err
}

// takeIn publishes something about a site ("" for none) with so many photos, in
// its turn and in the time that it may take, and counts by counter what became
// of it. Where nobody may wait any more, it returns fault.Unavailable, and
// publish was not called.
func (s *Service) takeIn(ctx context.Context, counter, site string, photos int, publish func(context.Context) (replayed bool, err error)) error {
	leave, err := s.enter(site)
	if err != nil {
		return err
	}
	defer leave()
	limit := publishTimeout
	if photos > 0 {
		limit = photoTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	replayed, err := publish(ctx)
	outcome := "received"
	switch {
	case err != nil:
		outcome = fault.As(err).Code
	case replayed:
		outcome = "replayed"
	}
	metrics.GetOrCreateCounter(fmt.Sprintf("%s{outcome=%q}", counter, outcome)).Inc()
	return err
}

// enter takes a place among those who wait for the stream, for a report about a
// site ("" for none), or returns fault.Unavailable. Whoever has one calls leave in
// the end. It turns nobody away for good: what is refused comes again.
func (s *Service) enter(site string) (leave func(), err error) {
	if !s.inFlight.take(site) {
		return nil, errBusy.Retry(2 * time.Second)
	}
	return func() { s.inFlight.leave(site) }, nil
}

func (s *Service) publish(ctx context.Context, f *filing.Filing) (received, error) {
	sites, err := s.sites()
	if err != nil {
		return received{}, err
	}
	f.Identify(s.keys)
	digest := f.Digest(s.keys)
	now := s.now()
	f.CorrectClock(now)
	if invalid := f.Validate(sites.has, now); invalid != nil {
		if r, ok := s.wasValid(ctx, f, digest, invalid); ok {
			return r, nil
		}
		return received{}, invalid
	}
	if s.filing == FilingSiteCode && !sites.opens(s.keys, f.Site, f.SiteCode) {
		return received{}, errSiteCode
	}
	event, err := f.Event(s.keys, digest, sites.employer)
	if err != nil {
		return received{}, err
	}
	if len(f.Photos) > 0 {
		ask, cancel := context.WithTimeout(ctx, followUpTimeout)
		r, err := s.first(ask, f, digest)
		cancel()
		if err == nil || errors.Is(err, errTwin) {
			return r, err // it is on disk already: its photos need no looking at
		}
		event.Photos, event.WrappedKey, err = s.storePhotos(ctx, album{f.ID, f.ID, f.Photos, f.KeepOriginals}, event.GetWrappedKey())
		if err != nil {
			return received{}, err
		}
	}
	e := &onrecordv1.Envelope{
		Type:     bus.TypeFiled,
		Id:       f.ID + ".filed",
		Time:     timestamppb.New(now),
		Producer: s.producer,
		Trace:    rand.Text(),
		Event:    &onrecordv1.Envelope_ReportFiled{ReportFiled: event},
	}
	data, err := proto.Marshal(e)
	if err != nil {
		return received{}, fmt.Errorf("envelope of a report: %w", err)
	}
	ack, err := s.bus.Publish(ctx, bus.Event{Subject: bus.Subject(bus.TypeFiled, f.ID), ID: e.GetId(), Data: data})
	if err != nil {
		return received{}, err
	}
	if ack.Duplicate {
		return s.first(ctx, f, digest)
	}
	s.log.Debug("report received", "trace", e.GetTrace())
	return received{f.ID, f.Receipt, atSecond(now), false}, nil
}

// first compares a filing with the report that the stream holds under its id.
// When the stream remembers the id and holds nothing, the report was erased:
// fault.Conflict. One that is sent so late that the stream has forgotten the id
// is taken again, and dropped by its tombstone.
func (s *Service) first(ctx context.Context, f *filing.Filing, digest []byte) (received, error) {
	told, err := s.bus.First(ctx, bus.SubjectFirstFiled, f.ID)
	if fault.KindOf(err) == fault.NotFound {
		return received{}, errGone.Because(err)
	}
	if err != nil {
		return received{}, err
	}
	var e onrecordv1.Envelope
	if err := proto.Unmarshal(told, &e); err != nil {
		return received{}, fmt.Errorf("the stored report cannot be read: %w", err)
	}
	if !hmac.Equal(e.GetReportFiled().GetDigest(), digest) {
		return received{}, errTwin
	}
	s.log.Info("report received again", "trace", e.GetTrace())
	return received{f.ID, f.Receipt, atSecond(e.GetTime().AsTime()), true}, nil
}

// wasValid answers a report that is refused only because the world moved on
// since it was received: its site has closed, or it is ten years old by now.
func (s *Service) wasValid(ctx context.Context, f *filing.Filing, digest []byte, invalid error) (received, bool) {
	mayMoveOn := []string{"site", "occurred_at", "when", "day", "time"}
	stands := func(b fault.Field) bool { return !slices.Contains(mayMoveOn, b.Name) }
	if !incident.IsReportID(f.ID) || slices.ContainsFunc(fault.As(invalid).Fields, stands) {
		return received{}, false
	}
	r, err := s.first(ctx, f, digest)
	return r, err == nil
}

func atSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
