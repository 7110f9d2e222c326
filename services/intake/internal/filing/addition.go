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
	"github.com/onrecord/onrecord/services/intake/internal/photo"
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

	Photos        [][]byte // with AddWords, as they came
	KeepOriginals bool     // the photos as they came are kept as evidence

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
	a := &Addition{ID: r.text("id"), What: r.text("what"), Text: r.text("text"), Contact: r.contact("contact"), KeepOriginals: r.flag("keep_originals")}
	r.refuseTheRest()
	a.unread = r.bad
	a.normalise()
	return a
}

// FollowUpFromMultipart reads it from the part named "follow_up" of a
// multipart/form-data body, and the photos that are added from the parts named
// "photo".
func FollowUpFromMultipart(body []byte, boundary string) (*FollowUp, error) {
	q, photos, refused, err := partWithPhotos(body, boundary, "follow_up", "what is asked", FollowUpFromJSON)
	switch {
	case err != nil:
		return nil, err
	case q.Addition == nil && len(photos) > 0:
		refused = append(refused, fault.Field{Name: "addition", Message: "Photos are part of an addition, and there is none."})
	case q.Addition != nil:
		q.Addition.Photos = photos
	}
	if len(refused) > 0 {
		return nil, fault.InvalidFields(refused)
	}
	return q, nil
}

// FollowUpFromMultipartForm is FollowUpFromForm for a form that may come with
// photos.
func FollowUpFromMultipartForm(body []byte, boundary string) (*FollowUp, error) {
	v := make(url.Values)
	photos, err := eachPart(body, boundary, func(name string, content []byte) error {
		v.Add(name, string(content))
		return nil
	})
	if err != nil {
		return nil, err
	}
	q := FollowUpFromForm(v)
	if q.Addition != nil {
		q.Addition.Photos = photos
	}
	return q, nil
}

// FollowUpFromForm reads the forms of the follow-up page.
func FollowUpFromForm(v url.Values) *FollowUp {
	q := &FollowUp{Receipt: v.Get("receipt")}
	if v.Get("what") != "" {
		q.Addition = &Addition{ID: v.Get("id"), What: v.Get("what"), Text: v.Get("text"), KeepOriginals: v.Get("keep_originals") != "",
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
	case a.What == AddWords && a.Text == "" && len(a.Photos) == 0:
		wrong("text", "Write what you want to add, or choose a photo.")
	case a.What == AddContact:
		bad = append(bad, incident.CheckContact(a.Contact)...)
	case a.Contact != (incident.Contact{}):
		bad = append(bad, fault.Field{Name: "contact", Message: "Who may know is changed by an addition of its own."})
	}
	if a.What != AddWords && len(a.Photos) > 0 {
		bad = append(bad, fault.Field{Name: "photo", Message: "Photos are added with words, or by themselves as words."})
	}
	bad = append(bad, photo.Check(a.Photos)...)
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
	return keys.MAC("added digest", appendPhotos(parts, a.Photos, a.KeepOriginals)...)
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
