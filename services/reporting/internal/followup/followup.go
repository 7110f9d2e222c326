// Package followup answers intake's questions about a receipt: where the
// report stands and what was done with it.
package followup

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Service answers from the store. It is safe for concurrent use.
type Service struct {
	store store.Store
	log   *slog.Logger
	decoy atomic.Pointer[string] // id of an incident to load where a receipt has none
}

// New returns a Service.
func New(st store.Store, log *slog.Logger) *Service {
	return &Service{store: st, log: log.With("category", "follow-up")}
}

// Serve answers on the bus until ctx is done. It returns once it listens.
func (s *Service) Serve(ctx context.Context, b *bus.Bus) error {
	return b.Answer(ctx, bus.SubjectFollowUp, "reporting", s.answer)
}

// answer returns the reply to a request, or nil, which lets the asker time
// out: the request cannot be read, or the store does not answer.
func (s *Service) answer(ctx context.Context, data []byte) []byte {
	var req onrecordv1.FollowUpRequest
	if err := proto.Unmarshal(data, &req); err != nil || len(req.GetReceiptHash()) == 0 {
		count("malformed")
		return nil
	}
	reply, err := s.Reply(ctx, req.GetReceiptHash())
	if err != nil {
		count("failed")
		s.log.Error("a receipt could not be looked up", "error", err)
		return nil
	}
	raw, err := proto.Marshal(reply)
	if err != nil {
		count("failed")
		s.log.Error("a reply could not be written", "error", err)
		return nil
	}
	count("answered")
	return raw
}

func count(outcome string) {
	metrics.GetOrCreateCounter(`onrecord_follow_up_total{outcome="` + outcome + `"}`).Inc()
}

// nobody is an id that no incident has.
const nobody = "00000000-0000-8000-8000-000000000000"

// Reply returns what the holder of a receipt may know. A receipt that no report
// has takes the same work as one that has: two lookups, one incident loaded
// and its steps gathered.
func (s *Service) Reply(ctx context.Context, receiptHash []byte) (*onrecordv1.FollowUpReply, error) {
	i, err := s.store.IncidentByReceipt(ctx, receiptHash)
	switch {
	case errors.Is(err, store.ErrNotFound):
		if i, err = s.loadDecoy(ctx); err != nil {
			return nil, err
		}
		describe(i, receiptHash)
		return &onrecordv1.FollowUpReply{}, nil
	case err != nil:
		return nil, err
	}
	if _, err := s.store.Incident(ctx, nobody); err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	reply := describe(i, receiptHash)
	reply.Found = true
	return reply, nil
}

// loadDecoy returns some incident. While there is none, it returns a blank one.
func (s *Service) loadDecoy(ctx context.Context) (*incident.Incident, error) {
	id := s.decoy.Load()
	if id == nil {
		page, _, err := s.store.ListIncidents(ctx, store.Filter{Limit: 1})
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return &incident.Incident{}, nil
		}
		id = &page[0].ID
		s.decoy.Store(id)
	}
	i, err := s.store.Incident(ctx, *id)
	if errors.Is(err, store.ErrNotFound) {
		return &incident.Incident{}, nil
	}
	return i, err
}

// describe returns where a report stands, for whoever filed it: statuses and
// times, no words and nobody's name.
func describe(i *incident.Incident, receiptHash []byte) *onrecordv1.FollowUpReply {
	reply := &onrecordv1.FollowUpReply{Status: string(i.Status)}
	n := slices.IndexFunc(i.Reports, func(r incident.FiledReport) bool { return slices.Equal(r.ReceiptHash, receiptHash) })
	if n >= 0 {
		reply.ReportId = i.Reports[n].ID
		reply.ReceivedAt = timestamppb.New(i.Reports[n].ReceivedAt)
	}
	for _, c := range i.Timeline {
		if setsStatus(c) {
			reply.ChangedAt = timestamppb.New(c.At)
			reply.Steps = append(reply.Steps, &onrecordv1.FollowUpStep{At: reply.ChangedAt, Status: c.To})
		}
	}
	return reply
}

// setsStatus reports whether an entry led to another status.
func setsStatus(c incident.Change) bool {
	return c.Action != incident.ActionCorrected && c.From != c.To && incident.Status(c.To).Valid()
}
