// Package followup answers intake's questions about a receipt: where the
// report stands and what was done with it.
package followup

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/timeline"
)

// Service answers from the store. It is safe for concurrent use.
type Service struct {
	store    store.Store
	keyring  *seal.Keyring
	timeline *timeline.Keeper
	log      *slog.Logger
	decoy    atomic.Pointer[string] // id of an incident to load where a receipt has none
}

// New returns a Service.
func New(st store.Store, keys *seal.Keyring, log *slog.Logger) *Service {
	return &Service{store: st, keyring: keys, timeline: timeline.NewKeeper(keys), log: log.With("category", "follow-up")}
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
// has takes the same work as one that has: two lookups, one incident loaded,
// its steps and messages gathered, and its photos counted.
func (s *Service) Reply(ctx context.Context, receiptHash []byte) (*onrecordv1.FollowUpReply, error) {
	i, err := s.store.IncidentByReceipt(ctx, receiptHash)
	switch {
	case errors.Is(err, store.ErrNotFound):
		if i, err = s.loadDecoy(ctx); err != nil {
			return nil, err
		}
		s.describe(i, receiptHash)
		if _, err := s.countPhotos(ctx, nobody); err != nil {
			return nil, err
		}
		return &onrecordv1.FollowUpReply{}, nil
	case err != nil:
		return nil, err
	}
	if _, err := s.store.Incident(ctx, nobody); err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	reply := s.describe(i, receiptHash)
	reply.Found = true
	reply.Photos, err = s.countPhotos(ctx, reply.GetReportId())
	return reply, err
}

// countPhotos returns how many photos a report has.
func (s *Service) countPhotos(ctx context.Context, reportID string) (uint32, error) {
	photos, err := s.store.PhotosOfReport(ctx, reportID)
	n := uint32(0)
	for _, p := range photos {
		if p.Kind == store.PhotoCopy {
			n++
		}
	}
	return n, err
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
// times, and under seal what they and the reps wrote to each other. It names
// nobody, and holds nothing of another reporter of the same incident.
func (s *Service) describe(i *incident.Incident, receiptHash []byte) *onrecordv1.FollowUpReply {
	reply := &onrecordv1.FollowUpReply{Status: string(i.Status)}
	own := ""
	n := slices.IndexFunc(i.Reports, func(r incident.FiledReport) bool { return slices.Equal(r.ReceiptHash, receiptHash) })
	if n >= 0 {
		r := i.Reports[n]
		own = s.timeline.Reporter(r.ID).ID
		reply.ReportId, reply.ReceivedAt, reply.ContactChoice = r.ID, timestamppb.New(r.ReceivedAt), string(r.ContactChoice)
	}
	var said []saying
	for _, c := range i.Timeline {
		reply.Read = reply.Read || c.By.Role != incident.RoleReporter && c.By.Role != "machine"
		mine := c.By.Role == incident.RoleReporter && (c.By.ID == own || c.By.ID == "" && len(i.Reports) == 1)
		if setsStatus(c) {
			reply.ChangedAt = timestamppb.New(c.At)
			reply.Steps = append(reply.Steps, &onrecordv1.FollowUpStep{At: reply.ChangedAt, Status: c.To, Action: string(c.Action), Own: mine})
		}
		if m := messageOf(c, mine, own); m != nil {
			said = append(said, saying{m, c})
		}
	}
	s.sealWords(reply, i, said)
	return reply
}

// saying is a message, and the entry with its words.
type saying struct {
	*onrecordv1.FollowUpMessage
	entry incident.Change
}

// maxWords is how many bytes of words a reply holds, well under what NATS takes
// in a message: without a bound, a report with very many long messages could
// not be followed up any more.
const maxWords = 512 << 10

// sealWords puts the messages into the reply, under seal. When there are too
// many words those of the oldest are left out: that they were said stays.
func (s *Service) sealWords(reply *onrecordv1.FollowUpReply, i *incident.Incident, said []saying) {
	key, wrapped := s.keyring.NewDataKey()
	left := maxWords
	for n, m := range slices.Backward(said) {
		reply.Messages = append(reply.Messages, m.FollowUpMessage)
		text, err := s.timeline.Note(i, m.entry)
		if err != nil && !errors.Is(err, timeline.ErrErased) {
			s.log.Error("a message cannot be opened", "error", err)
		}
		if left -= len(text); text != "" && left >= 0 {
			m.SealedText = key.Seal([]byte(text), reply.GetReportId(), "follow-up", strconv.Itoa(n))
			reply.WrappedKey = wrapped
		}
	}
	slices.Reverse(reply.Messages)
}

// messageOf returns what an entry says to the reporter, or of them: nil for what is
// none of their business. The entry is mine when it is theirs.
func messageOf(c incident.Change, mine bool, own string) *onrecordv1.FollowUpMessage {
	m := &onrecordv1.FollowUpMessage{At: timestamppb.New(c.At)}
	if toMe := c.Event == "" || c.Event == own; !mine && !toMe {
		return nil
	}
	switch {
	case mine:
		m.From, m.AdditionId, m.What = "reporter", c.Event, ofReporter(c)
	case c.Action == incident.ActionMessaged:
		m.From, m.What = "rep", "message"
	case c.Action == incident.ActionAsked:
		m.From, m.What = "rep", "question"
	}
	if m.What == "" {
		return nil
	}
	return m
}

// ofReporter returns what a reporter said by an entry of theirs, "" by filing.
func ofReporter(c incident.Change) string {
	switch {
	case c.SaysNothingHappened():
		return "nothing_happened"
	case c.Action == incident.ActionAnswered:
		return "answer"
	case c.Action == incident.ActionWithdrawn || c.Field == "withdrawn":
		return "withdrawn"
	case c.Action == incident.ActionContact:
		return "contact"
	case c.Action == incident.ActionAdded && c.Field == incident.FieldPhotos:
		return "photos"
	case c.Action == incident.ActionAdded || c.Action == incident.ActionTakenBack:
		return "words"
	}
	return ""
}

// setsStatus reports whether an entry led to another status.
func setsStatus(c incident.Change) bool {
	return c.Action != incident.ActionCorrected && c.From != c.To && incident.Status(c.To).Valid()
}
