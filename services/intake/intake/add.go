package intake

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/intake/internal/filing"
)

// added says that an addition is on disk.
type added struct {
	id       string
	at       time.Time // UTC, to the second
	replayed bool      // it was on disk before
}

var (
	errOtherAddition = fault.New(fault.Conflict, "id_in_use", "Something else was added under this id. What was received first stays as it is.")
	errAddition      = fault.New(fault.Unavailable, "stream_unavailable", "We cannot take that this moment. Keep what you wrote and send it again shortly.")
)

// add takes in what was added to a report and returns once the stream has it on
// disk. The same addition again is received again; another under the same id is
// fault.Conflict and the first stays. a is valid.
func (s *Service) add(ctx context.Context, reportID string, a *filing.Addition) (r added, err error) {
	err = s.takeIn(ctx, "onrecord_intake_additions_total", "", len(a.Photos), func(ctx context.Context) (bool, error) {
		r, err = s.publishAddition(ctx, reportID, a)
		return r.replayed, err
	})
	return r, err
}

func (s *Service) publishAddition(ctx context.Context, reportID string, a *filing.Addition) (added, error) {
	event, err := a.Event(s.keys, reportID)
	if err != nil {
		return added{}, err
	}
	if len(a.Photos) > 0 {
		ask, cancel := context.WithTimeout(ctx, followUpTimeout)
		r, err := s.firstAddition(ask, reportID, event)
		cancel()
		if err == nil || errors.Is(err, errOtherAddition) {
			return r, err // it is on disk already: its photos need no looking at
		}
		event.Photos, event.WrappedKey, err = s.storePhotos(ctx, album{reportID, reportID + "." + a.ID, a.Photos, a.KeepOriginals}, event.GetWrappedKey())
		if err != nil {
			return added{}, err
		}
	}
	now := s.now()
	e := &onrecordv1.Envelope{
		Type:     bus.TypeAdded,
		Id:       reportID + ".added." + a.ID,
		Time:     timestamppb.New(now),
		Producer: s.producer,
		Trace:    rand.Text(),
		Event:    &onrecordv1.Envelope_ReportAdded{ReportAdded: event},
	}
	data, err := proto.Marshal(e)
	if err != nil {
		return added{}, fmt.Errorf("envelope of an addition: %w", err)
	}
	subject := bus.Subject(bus.TypeAdded, reportID, a.ID)
	ack, err := s.bus.Publish(ctx, bus.Event{Subject: subject, ID: e.GetId(), Data: data})
	switch {
	case fault.KindOf(err) == fault.Unavailable:
		return added{}, errAddition.Retry(5 * time.Second).Because(err)
	case err != nil:
		return added{}, err
	case ack.Duplicate:
		return s.firstAddition(ctx, reportID, event)
	}
	s.log.Debug("addition received", "trace", e.GetTrace())
	return added{a.ID, atSecond(now), false}, nil
}

// firstAddition compares an addition with the one that the stream holds under
// its id.
func (s *Service) firstAddition(ctx context.Context, reportID string, event *onrecordv1.ReportAdded) (added, error) {
	told, err := s.bus.First(ctx, bus.SubjectFirstAdded, reportID, event.GetAdditionId())
	if err != nil {
		return added{}, errAddition.Retry(publishTimeout).Because(err)
	}
	var e onrecordv1.Envelope
	if err := proto.Unmarshal(told, &e); err != nil {
		return added{}, fmt.Errorf("the stored addition cannot be read: %w", err)
	}
	if !hmac.Equal(e.GetReportAdded().GetDigest(), event.GetDigest()) {
		return added{}, errOtherAddition
	}
	return added{event.GetAdditionId(), atSecond(e.GetTime().AsTime()), true}, nil
}
