// Package filing reads what somebody asks to file, from JSON or from the form,
// into one type that both share, checks it, and turns it into the event that
// is published. Words stay in the clear only inside this process.
package filing

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/intake/internal/photo"
	"github.com/onrecord/onrecord/services/intake/internal/receipt"
)

// Filing is a report as somebody asks to file it. It comes from FromJSON,
// FromMultipart or FromForm, normalised, and is checked by Validate.
type Filing struct {
	incident.Report
	Receipt receipt.Code // the zero Code when the phone brought none
	SentAt  time.Time    // the phone's clock when it sent; zero when not said

	SiteCode string // of the poster; not part of the report

	Photos        [][]byte // as they came
	KeepOriginals bool     // the photos as they came are kept as evidence

	justNow bool              // it happened at the moment of sending, by the form's own word
	unread  []fault.Field     // what could not be read at all
	names   map[string]string // the form's names of fields that are called otherwise there
	order   []string          // in which the page asks, for its summary of errors
}

// Identify gives the filing its receipt where the phone brought none.
func (f *Filing) Identify(keys *seal.Keyring) {
	if f.Receipt.IsZero() {
		f.Receipt = receipt.FromReport(keys, f.ID)
	}
}

// Digest returns a keyed digest of everything that was filed, as it was filed:
// call it after Identify and before CorrectClock. When it was sent is not part
// of it, and neither is the moment that the server put for "just now", so that
// sending the same report again gives the same digest.
func (f *Filing) Digest(keys *seal.Keyring) []byte {
	occurred := "now"
	if !f.justNow || !f.PressedAt.IsZero() {
		occurred = instant(f.OccurredAt)
	}
	days := "-"
	if f.DaysUnable != nil {
		days = strconv.Itoa(*f.DaysUnable)
	}
	var parts [][]byte
	for _, s := range []string{
		f.ID, f.Receipt.String(), f.Site, f.SiteName, occurred, string(f.Precision), instant(f.PressedAt),
		string(f.Kind), string(f.Channel), string(f.Target), f.Narrative, string(f.Hurt), days, strconv.Itoa(f.PeopleAffected),
		f.Employer, string(f.Contact.Choice), f.Contact.Name, f.Contact.Details, f.Language, f.FormVersion,
	} {
		parts = append(parts, []byte(s))
	}
	if f.Details != (incident.Details{}) { // reports of forms that did not ask keep the digest they had
		d := f.Details
		for _, s := range []string{string(d.FiledFor), string(d.Control), string(d.Told), string(d.Exposure), string(d.Closeness)} {
			parts = append(parts, []byte(s))
		}
	}
	return keys.MAC("filed digest", appendPhotos(parts, f.Photos, f.KeepOriginals)...)
}

// appendPhotos appends the parts of a digest that stand for photos. What comes
// without any keeps the digest it had.
func appendPhotos(parts [][]byte, photos [][]byte, keepOriginals bool) [][]byte {
	if len(photos) == 0 {
		return parts
	}
	parts = append(parts, []byte("photos"), []byte(strconv.FormatBool(keepOriginals)))
	for _, raw := range photos {
		sum := sha256.Sum256(raw)
		parts = append(parts, sum[:])
	}
	return parts
}

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// CorrectClock moves the times that the phone wrote by the error of its clock.
// What happened "just now" lies neither ahead of now nor in an age before phones,
// whatever the phone says: nobody could mend that.
func (f *Filing) CorrectClock(now time.Time) {
	f.Report.CorrectClock(f.SentAt, now)
	if f.justNow && (f.OccurredAt.After(now) || f.OccurredAt.Before(now.Add(-incident.MaxAge))) {
		f.OccurredAt, f.PressedAt = now, now
	}
}

// Validate returns nil, or a fault.Invalid error that names every field to
// mend at once: those that could not be read and those that the domain
// refuses, by the names and in the order of where they came from. A field
// stands once, with its first message; "photo" for each that is too large.
func (f *Filing) Validate(siteKnown func(id string) bool, now time.Time) error {
	bad := slices.Clone(f.unread)
	if err := f.Report.Validate(siteKnown, now); err != nil {
		bad = append(bad, fault.As(err).Fields...)
	}
	if f.Contact.Choice == incident.ContactAnonymous {
		bad = append(bad, incident.CheckContact(f.Contact)...)
	}
	if f.PressedAt.After(now.Add(time.Hour)) {
		bad = append(bad, fault.Wrong("pressed_at", "The moment it was pressed must be in the past."))
	}
	bad = append(bad, photo.Check(f.Photos)...)
	var fields []fault.Field
	for _, b := range bad {
		if name, ok := f.names[b.Name]; ok {
			b.Name = name
		}
		if b.Name == "photo" || !slices.ContainsFunc(fields, func(o fault.Field) bool { return o.Name == b.Name }) {
			fields = append(fields, b)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	if f.order != nil {
		slices.SortStableFunc(fields, func(a, b fault.Field) int {
			return slices.Index(f.order, a.Name) - slices.Index(f.order, b.Name)
		})
	}
	return fault.InvalidFields(fields)
}

func (f *Filing) wrong(field, message string, args ...any) {
	f.unread = append(f.unread, fault.Wrong(field, message, args...))
}
