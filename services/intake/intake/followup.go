package intake

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/intake/internal/receipt"
)

// standing is where a report stands, as its reporter may know it.
type standing struct {
	Status     incident.Status
	ReceivedAt time.Time
	ChangedAt  time.Time
	Steps      []step // oldest first
}

// step is one thing that was done.
type step struct {
	At     time.Time
	Status incident.Status
}

var (
	errUnknownReceipt = fault.New(fault.NotFound, "unknown_receipt", "We have no report with that code. If you have just sent it, try again in a minute.")
	errBadReceipt     = fault.InvalidFields([]fault.Field{fault.Wrong("receipt", "Check the code: it has 16 letters and numbers, and one of them is wrong or missing.")})
	errTooOften       = fault.New(fault.TooMany, "too_many", "That was asked too often. Wait a minute and try again.")
)

// lookUp returns where the report with a receipt stands. What it does is the
// same for a receipt that exists and for one that does not. Errors:
// fault.Invalid for no receipt code, fault.NotFound, fault.TooMany past the
// limit, fault.Unavailable when reporting does not answer.
func (s *Service) lookUp(ctx context.Context, client, text string) (standing, error) {
	now := s.now()
	if wait := s.followUps.allow(ctx, client, now); wait > 0 {
		return standing{}, errTooOften.Retry(wait)
	}
	code, err := receipt.Parse(text)
	if err != nil {
		return standing{}, errBadReceipt
	}
	question, err := proto.Marshal(&onrecordv1.FollowUpRequest{ReceiptHash: code.Hash(s.keys)})
	if err != nil {
		return standing{}, fmt.Errorf("follow-up question: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, followUpTimeout)
	defer cancel()
	data, err := s.bus.Request(ctx, bus.SubjectFollowUp, question)
	if err != nil {
		return standing{}, err
	}
	var reply onrecordv1.FollowUpReply
	if err := proto.Unmarshal(data, &reply); err != nil {
		return standing{}, fmt.Errorf("follow-up answer: %w", err)
	}
	if !reply.GetFound() {
		return standing{}, errUnknownReceipt
	}
	st := standing{Status: incident.Status(reply.GetStatus()), ReceivedAt: reply.GetReceivedAt().AsTime(), ChangedAt: reply.GetChangedAt().AsTime()}
	for _, r := range reply.GetSteps() {
		st.Steps = append(st.Steps, step{r.GetAt().AsTime(), incident.Status(r.GetStatus())})
	}
	return st, nil
}

// statusTexts says in plain words where a report stands. Closed never claims
// fixed.
var statusTexts = map[incident.Status]fault.Text{
	incident.StatusNew:                "Received. A safety rep has not opened it yet.",
	incident.StatusAcknowledged:       "A safety rep has read it.",
	incident.StatusInReview:           "A safety rep is looking into it.",
	incident.StatusWaitingForReporter: "The safety reps have a question for you.",
	incident.StatusActionAgreed:       "It has been agreed what will be done.",
	incident.StatusClosedFixed:        "Closed: it was put right.",
	incident.StatusClosedNotFixed:     "Closed, but not put right.",
	incident.StatusDuplicate:          "It is handled together with another report of the same incident.",
	incident.StatusWithdrawn:          "Withdrawn. It stays on record and is not counted.",
}

func statusText(st incident.Status) fault.Text {
	if text, ok := statusTexts[st]; ok {
		return text
	}
	return fault.Text("Received.")
}
