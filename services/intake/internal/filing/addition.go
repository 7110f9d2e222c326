package filing

import (
	"fmt"
	"net/url"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

// FollowUp is what the holder of a receipt asks, and adds where Addition is not
// nil. The receipt is as it was typed.
type FollowUp struct {
	Receipt  string
	Addition *Addition
}

// What the holder of a receipt can add.
const (
	AddWords           = "words"
	AddNothingHappened = "nothing_happened"
	AddWithdraw        = "withdraw"
	AddContact         = "contact"
)

var additions = map[string]onrecordv1.Addition{
	AddWords:           onrecordv1.Addition_ADDITION_WORDS,
	AddNothingHappened: onrecordv1.Addition_ADDITION_NOTHING_HAPPENED,
	AddWithdraw:        onrecordv1.Addition_ADDITION_WITHDRAWN,
	AddContact:         onrecordv1.Addition_ADDITION_CONTACT,
}

// Addition is what somebody adds to a report. Its ID is made on the phone, or
// stands in the page: the same id again is the same addition.
type Addition struct {
	ID, What, Text string
	Contact        incident.Contact // with AddContact

	unread []fault.Field
}

// FollowUpFromJSON reads the body of POST /api/v1/follow-up. It returns
// fault.Malformed for what is not one JSON object in UTF-8 with each name once,
// and fault.Invalid for fields that do not exist or have a wrong type.
func FollowUpFromJSON(body []byte) (*FollowUp, error) {
	fields, err := object(body)
	if err != nil {
		return nil, err
	}
	r := &reader{fields: fields}
	q := &FollowUp{Receipt: r.text("receipt")}
	if raw, ok := r.fields["addition"]; ok && string(raw) != "null" {
		delete(r.fields, "addition")
		inner, err := object(raw)
		if err != nil {
			return nil, err
		}
		q.Addition = readAddition(&reader{fields: inner})
	}
	r.refuseTheRest()
	if len(r.bad) > 0 {
		return nil, fault.InvalidFields(r.bad)
	}
	return q, nil
}

func readAddition(r *reader) *Addition {
	a := &Addition{ID: r.text("id"), What: r.text("what"), Text: r.text("text"), Contact: r.contact("contact")}
	r.refuseTheRest()
	a.unread = r.bad
	a.normalise()
	return a
}

// FollowUpFromForm reads the forms of the follow-up page.
func FollowUpFromForm(v url.Values) *FollowUp {
	q := &FollowUp{Receipt: v.Get("receipt")}
	if v.Get("what") != "" {
		q.Addition = &Addition{ID: v.Get("id"), What: v.Get("what"), Text: v.Get("text"),
			Contact: incident.Contact{Choice: incident.ContactChoice(v.Get("contact")), Name: v.Get("contact_name"), Details: v.Get("contact_details")}}
		q.Addition.normalise()
	}
	return q
}

func (a *Addition) normalise() {
	for _, s := range []*string{&a.Text, &a.Contact.Name, &a.Contact.Details} {
		*s = incident.CleanText(*s)
	}
}

// Validate returns nil, or a fault.Invalid error that names every field to mend.
func (a *Addition) Validate() error {
	bad := slices.Clone(a.unread)
	wrong := func(field, message string, args ...any) {
		bad = append(bad, fault.Wrong(field, message, args...))
	}
	if !incident.IsReportID(a.ID) {
		wrong("id", "This page was too old to send. Everything you typed is still here: send it again.")
	}
	if _, ok := additions[a.What]; !ok {
		bad = append(bad, fault.Field{Name: "what", Message: "Must be one of: words, nothing_happened, withdraw, contact."})
	}
	switch {
	case a.What == AddWords && a.Text == "":
		wrong("text", "Write what you want to add.")
	case a.What == AddContact:
		bad = append(bad, incident.CheckContact(a.Contact)...)
	case a.Contact != (incident.Contact{}):
		bad = append(bad, fault.Field{Name: "contact", Message: "Who may know is changed by an addition of its own."})
	}
	if message := incident.CheckText("", a.Text, incident.MaxNote); message != "" {
		wrong("text", "What you write must be plain text of 5,000 characters or fewer.")
	}
	if len(bad) > 0 {
		return fault.InvalidFields(bad)
	}
	return nil
}

// Digest returns a keyed digest of what is added to a report.
func (a *Addition) Digest(keys *seal.Keyring, reportID string) []byte {
	var parts [][]byte
	for _, s := range []string{reportID, a.ID, a.What, a.Text, string(a.Contact.Choice), a.Contact.Name, a.Contact.Details} {
		parts = append(parts, []byte(s))
	}
	return keys.MAC("added digest", parts...)
}

// Event returns the report.added event of a valid addition to a report, its
// words sealed under a data key made for it.
func (a *Addition) Event(keys *seal.Keyring, reportID string) (*onrecordv1.ReportAdded, error) {
	e := &onrecordv1.ReportAdded{ReportId: reportID, AdditionId: a.ID, Addition: additions[a.What], Digest: a.Digest(keys, reportID), ContactChoice: string(a.Contact.Choice)}
	plain, err := proto.Marshal(&onrecordv1.AddedWords{Text: a.Text, ContactName: a.Contact.Name, ContactDetails: a.Contact.Details})
	if err != nil {
		return nil, fmt.Errorf("words of an addition: %w", err)
	}
	if len(plain) > 0 {
		key, wrapped := keys.NewDataKey()
		e.WrappedKey, e.SealedWords = wrapped, key.Seal(plain, reportID, a.ID, "added")
	}
	return e, nil
}
