package intake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/intake/internal/filing"
	"github.com/onrecord/onrecord/services/intake/internal/photo"
	"github.com/onrecord/onrecord/services/intake/internal/receipt"
)

// standing is where a report stands, as its reporter may know it.
type standing struct {
	Code       receipt.Code
	Status     incident.Status
	Read       bool // a person has opened it and done something
	ReceivedAt time.Time
	ChangedAt  time.Time
	Contact    incident.ContactChoice
	Steps      []step    // oldest first
	Messages   []message // oldest first
	Photos     int       // that the report has, those that were added included
	Added      *added    // what was just taken in
}

// step is one thing that was done.
type step struct {
	At     time.Time
	Status incident.Status
	Action incident.Action // "" from a reporting that does not say
	Own    bool            // the reporter did it
}

// message is one thing that the reporter or a rep said.
type message struct {
	At   time.Time
	From string // "reporter", "rep"
	What string // see FollowUpMessage
	ID   string // of the addition; "" of a rep's
	Text string
}

var (
	errUnknownReceipt = fault.New(fault.NotFound, "unknown_receipt", "We have no report with that code. If you have just sent it, try again in a minute.")
	errBadReceipt     = fault.InvalidFields([]fault.Field{fault.Wrong("receipt", "Check the code: it has 16 letters and numbers, and one of them is wrong or missing.")})
	errEnough         = fault.New(fault.Conflict, "enough_added", "As much was added to this report as it takes. Speak to a safety rep, or file another report.")
	errTooOften       = fault.New(fault.TooMany, "too_many", "That was asked too often. Wait a minute and try again.")
)

// followUp answers the holder of a receipt: it takes in what they add, and
// returns where their report stands. What it does is the same for a receipt
// that exists and for one that does not. Errors: fault.Invalid for no receipt
// code or something added that must be mended, fault.NotFound, fault.TooMany
// past the limit, fault.Conflict for another addition under the same id,
// fault.Unavailable when reporting or the stream does not answer: then nothing
// was promised.
func (s *Service) followUp(ctx context.Context, client string, q *filing.FollowUp) (standing, error) {
	now := s.now()
	if wait := s.followUps.allow(ctx, client, now); wait > 0 {
		return standing{}, errTooOften.Retry(wait)
	}
	code, err := parseReceipt(q.Receipt)
	if err != nil {
		return standing{}, err
	}
	if q.Addition != nil {
		if err := q.Addition.Validate(); err != nil {
			return standing{}, err
		}
	}
	reportID, st, err := s.lookUp(ctx, code)
	if err != nil || q.Addition == nil {
		return st, err
	}
	if !st.takes(q.Addition) {
		return st, errEnough
	}
	if err := st.hasRoom(q.Addition); err != nil {
		return st, err
	}
	r, err := s.add(ctx, reportID, q.Addition)
	if err != nil {
		return st, err
	}
	st.Added = &r
	st.say(q.Addition, r)
	return st, nil
}

func parseReceipt(text string) (receipt.Code, error) {
	code, err := receipt.Parse(text)
	if err != nil {
		return code, errBadReceipt
	}
	return code, nil
}

// takes reports whether the report takes something more, or took it before. An
// incident is one document: without a bound whoever holds one receipt could make
// it so large that no database takes it, nor what comes after it, and a list of
// such incidents more than the memory there is. Whoever has written all there is
// room for can still take the report or their name back, without words.
func (st standing) takes(a *filing.Addition) bool {
	own, words := 0, 0
	for _, m := range st.Messages {
		if m.ID == a.ID {
			return true
		}
		if m.From == "reporter" {
			own++
			words += len(m.Text)
		}
	}
	if a.What != filing.AddWords && a.Text == "" {
		return own < maxAdditions+wordlessMore
	}
	return own < maxAdditions && words < maxAddedWords
}

// hasRoom returns nil, or a fault.Invalid error when the report would have more
// photos than it takes, not counting an addition that was taken before.
func (st standing) hasRoom(a *filing.Addition) error {
	if st.Photos+len(a.Photos) <= photo.Max || len(a.Photos) == 0 || slices.ContainsFunc(st.Messages, func(m message) bool { return m.ID == a.ID }) {
		return nil
	}
	return fault.InvalidFields([]fault.Field{fault.Wrong("photo", "A report takes %d photos altogether, and this one has %d. Take some out, or add another report.", photo.Max, st.Photos)})
}

// say adds to the messages what was just taken in, which reporting may not
// know yet.
func (st *standing) say(a *filing.Addition, r added) {
	if slices.ContainsFunc(st.Messages, func(m message) bool { return m.ID == a.ID }) {
		return
	}
	what := map[string]string{filing.AddWithdraw: "withdrawn"}[a.What]
	switch {
	case a.What == filing.AddWords && st.Status == incident.StatusWaitingForReporter:
		what = "answer"
	case len(a.Photos) > 0:
		what = "photos"
	case what == "":
		what = a.What
	}
	if a.What == filing.AddContact {
		st.Contact = a.Contact.Choice
	}
	st.Photos += len(a.Photos)
	st.Messages = append(st.Messages, message{At: r.at, From: "reporter", What: what, ID: a.ID, Text: a.Text})
}

// lookUp asks reporting for the report with a receipt: its id, and where it
// stands.
func (s *Service) lookUp(ctx context.Context, code receipt.Code) (reportID string, st standing, err error) {
	question, err := proto.Marshal(&onrecordv1.FollowUpRequest{ReceiptHash: code.Hash(s.keys)})
	if err != nil {
		return "", standing{}, fmt.Errorf("follow-up question: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, followUpTimeout)
	defer cancel()
	data, err := s.bus.Request(ctx, bus.SubjectFollowUp, question)
	if err != nil {
		return "", standing{}, err
	}
	var reply onrecordv1.FollowUpReply
	if err := proto.Unmarshal(data, &reply); err != nil {
		return "", standing{}, fmt.Errorf("follow-up answer: %w", err)
	}
	if !reply.GetFound() {
		return "", standing{}, errUnknownReceipt
	}
	st = standing{Code: code, Status: incident.Status(reply.GetStatus()), Read: reply.GetRead(), Contact: incident.ContactChoice(reply.GetContactChoice()), Photos: int(reply.GetPhotos()),
		ReceivedAt: reply.GetReceivedAt().AsTime(), ChangedAt: reply.GetChangedAt().AsTime()}
	for _, r := range reply.GetSteps() {
		st.Steps = append(st.Steps, step{r.GetAt().AsTime(), incident.Status(r.GetStatus()), incident.Action(r.GetAction()), r.GetOwn()})
	}
	st.Messages, err = s.openMessages(&reply)
	return reply.GetReportId(), st, err
}

// openMessages returns the messages of an answer with their words open.
func (s *Service) openMessages(reply *onrecordv1.FollowUpReply) ([]message, error) {
	var key seal.DataKey
	var messages []message
	if len(reply.GetWrappedKey()) > 0 {
		var err error
		if key, err = s.keys.Unwrap(reply.GetWrappedKey()); err != nil {
			return nil, fmt.Errorf("follow-up answer: %w", err)
		}
	}
	for n, m := range reply.GetMessages() {
		open := message{At: m.GetAt().AsTime(), From: m.GetFrom(), What: m.GetWhat(), ID: m.GetAdditionId()}
		if len(m.GetSealedText()) > 0 {
			text, err := key.Open(m.GetSealedText(), reply.GetReportId(), "follow-up", strconv.Itoa(n))
			if err != nil {
				return nil, fmt.Errorf("follow-up answer: message %d: %w", n, err)
			}
			open.Text = string(text)
		}
		messages = append(messages, open)
	}
	return messages, nil
}

// Promise is what a reporter is told to expect of the safety reps, in days.
type Promise struct {
	Read int // of being received, to be opened by one
	News int // of the last news, to hear more
}

// DefaultPromise is what reporters are told where the operator says nothing.
var DefaultPromise = Promise{Read: 3, News: 14}

// Check returns an error for the operator, or nil.
func (p Promise) Check() error {
	if p.Read < 1 || p.Read > 90 || p.News < 1 || p.News > 90 {
		return errors.New("read-within and news-within: from 1 to 90 days")
	}
	return nil
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

// expect returns by when the reporter can expect more, and in which words; ""
// where nothing more is to come.
func (st standing) expect(p Promise, now time.Time) (by time.Time, text fault.Text) {
	switch {
	case st.Status == incident.StatusNew:
		by, text = st.ReceivedAt.Add(days(p.Read)), fault.Text("A safety rep should open it by %s.")
	case st.Status == incident.StatusWaitingForReporter:
		return time.Time{}, fault.Text("They wait for your answer before they go on.")
	case st.Status.IsOpen():
		by, text = st.lastNews().Add(days(p.News)), fault.Text("There should be news here by %s.")
	default:
		return time.Time{}, ""
	}
	if now.After(by) {
		return by, fault.Text("There should have been news by %s, and there was none. Say so below, or ask a safety rep.")
	}
	return by, text
}

// lastNews returns when the reps last did or said something.
func (st standing) lastNews() time.Time {
	last := st.ChangedAt
	for _, m := range st.Messages {
		if m.From == "rep" && m.At.After(last) {
			last = m.At
		}
	}
	return last
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
	incident.StatusSetAside:           "Set aside: the safety reps take it to be made up. It stays on record and is not counted.",
}

func statusText(st incident.Status) fault.Text {
	if text, ok := statusTexts[st]; ok {
		return text
	}
	return fault.Text("Received.")
}

// text returns in plain words what a step did.
func (t step) text() fault.Text {
	switch t.Action {
	case incident.ActionFiled:
		return fault.Text("Received.")
	case incident.ActionReopened:
		return fault.Text("It was opened again.")
	case incident.ActionTakenBack:
		return fault.Text("It is in the safety reps’ list again, and counted.")
	}
	return statusText(t.Status)
}

// messageTexts says who said what, where there may be no words.
var messageTexts = map[string]fault.Text{
	"message":                 "A safety rep wrote to you.",
	"question":                "A safety rep asked you something.",
	"words":                   "You added something.",
	"photos":                  "You added photos.",
	"answer":                  "You answered.",
	filing.AddNothingHappened: "You said that nothing happened.",
	"withdrawn":               "You withdrew it.",
	filing.AddContact:         "You changed who may know that it was you.",
}

// ReceiptHash returns the keyed hash of a receipt code as people write it, and
// whether it is one.
func ReceiptHash(k *seal.Keyring, text string) ([]byte, bool) {
	code, err := receipt.Parse(text)
	if err != nil {
		return nil, false
	}
	return code.Hash(k), true
}
