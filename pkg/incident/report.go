package incident

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onrecord/onrecord/pkg/fault"
)

// Limits on what one report may hold.
const (
	MaxNarrative  = 5000 // characters
	MaxSiteName   = 120  // characters
	MaxEmployer   = 80   // characters
	MaxContact    = 200  // characters, each of name and details
	MaxNote       = 5000 // characters of a rep's note or reason, or of what a reporter adds
	MaxPeople     = 500  // people affected
	MaxDaysUnable = 3650
	MaxAge        = 10 * 365 * 24 * time.Hour // how long ago it may have happened
	clockNoise    = 2 * time.Minute           // network delay is not a wrong clock
)

// SiteUnlisted is the site that always exists: for places that are not in the
// list, and for what happened nobody knows where.
const SiteUnlisted = "unlisted"

// Contact is who may know who reported, and how to reach them.
type Contact struct {
	Choice  ContactChoice
	Name    string
	Details string
}

// Details are the answers to the short questions that only some reports are
// asked. An empty one was not answered. They are no words: they are kept in the
// clear, and nothing is counted by them.
type Details struct {
	FiledFor  FiledFor
	Control   Control   // of a missing control: which
	Told      Told      // … and whether a manager was told
	Exposure  Exposure  // of an exposure: to what
	Closeness Closeness // … and how close and long
}

// Report is what one person filed. Its ID is a UUIDv7 made on the phone and is
// the idempotency key everywhere: the same id again is the same report.
//
// Narrative, SiteName, Employer and Contact are words people wrote: they are
// sealed before they leave intake and are never logged.
type Report struct {
	ID             string
	Site           string    // an id of the site directory, or SiteUnlisted
	SiteName       string    // what the reporter called an unlisted site; "" when they do not know
	OccurredAt     time.Time // with PrecisionUnknown when it was reported, see CorrectClock
	Precision      Precision
	PressedAt      time.Time // the tap on "just now" or on "not sure when"; zero when not tapped
	Kind           Kind
	Channel        Channel
	Target         Target
	Narrative      string
	Hurt           Hurt
	DaysUnable     *int // nil when not answered
	PeopleAffected int  // 0 when not answered
	Employer       string
	Details        Details
	Contact        Contact
	Language       string // "en" or "cy"
	FormVersion    string
}

// Normalise fills what was left out with the taxonomy's word for it, trims
// words, and unifies line ends. Validate expects a normalised report.
func (r *Report) Normalise() {
	r.ID = strings.ToLower(r.ID)
	r.Precision = orElse(r.Precision, PrecisionExact)
	r.Kind = orElse(r.Kind, KindUnknown)
	r.Channel = orElse(r.Channel, ChannelUnknown)
	r.Target = orElse(r.Target, TargetUnknown)
	r.Hurt = orElse(r.Hurt, HurtUnknown)
	r.Contact.Choice = orElse(r.Contact.Choice, ContactAnonymous)
	r.Language = orElse(r.Language, "en")
	for _, s := range []*string{&r.Narrative, &r.SiteName, &r.Employer, &r.Contact.Name, &r.Contact.Details} {
		*s = CleanText(*s)
	}
}

// CleanText returns words somebody wrote with line ends unified and the space
// around them removed, also space that has no width: alone it is no words.
func CleanText(s string) string {
	return strings.TrimFunc(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n"), isBlank)
}

func isBlank(r rune) bool {
	return unicode.IsSpace(r) || r >= 0x200b && r <= 0x200d || r == 0x2060 || r == 0xfeff
}

func orElse[T ~string](v, otherwise T) T {
	if v == "" {
		return otherwise
	}
	return v
}

// CorrectClock moves the times the phone wrote by the error of its clock: the
// server's now minus the phone's sentAt. A zero sentAt, a difference that the
// network explains, and a bare date change nothing.
//
// It puts what happened at a time that is not known where it counts: at the
// moment of the tap that said so, before which it must have happened, or
// without one at now.
func (r *Report) CorrectClock(sentAt, now time.Time) {
	r.moveBy(sentAt, now)
	if r.Precision == PrecisionUnknown {
		r.OccurredAt = reportedAt(r.PressedAt, now)
	}
}

// reportedAt returns when a report was made that was received at a time: at the
// tap it holds, unless a phone's clock was so wrong that nobody can have tapped
// then.
func reportedAt(pressed, received time.Time) time.Time {
	if pressed.After(received) || pressed.Before(received.Add(-MaxAge)) { // or there was none
		return received
	}
	return pressed
}

func (r *Report) moveBy(sentAt, now time.Time) {
	if sentAt.IsZero() {
		return
	}
	off := now.Sub(sentAt)
	if off.Abs() <= clockNoise {
		return
	}
	if r.Precision != PrecisionDay {
		r.OccurredAt = r.OccurredAt.Add(off)
	}
	if !r.PressedAt.IsZero() {
		r.PressedAt = r.PressedAt.Add(off)
	}
}

// Validate returns nil, or a fault.Invalid error that names every field to
// mend at once. siteKnown says whether an id is in the site directory; now is
// the server's clock. Times must already be corrected by CorrectClock.
func (r *Report) Validate(siteKnown func(id string) bool, now time.Time) error {
	var bad []fault.Field
	wrong := func(field, message string, args ...any) {
		bad = append(bad, fault.Wrong(field, message, args...))
	}

	if !IsReportID(r.ID) {
		wrong("id", "The id must be a UUID version 7, like 01890a5d-ac96-774b-bcce-b302099a8057.")
	}
	switch {
	case r.Site == "":
		wrong("site", "Select where it happened, or “Not sure”.")
	case r.Site != SiteUnlisted && !siteKnown(r.Site):
		wrong("site", "That site is not in the list. Choose another, “Somewhere else” (unlisted) or “Not sure”.")
	}
	if r.Kind == KindUnknown && r.Narrative == "" {
		wrong("kind", "Select what happened, or tell us in your own words.")
	}
	enum(wrong, "kind", r.Kind, Kinds)
	enum(wrong, "channel", r.Channel, Channels)
	enum(wrong, "target", r.Target, Targets)
	enum(wrong, "hurt", r.Hurt, Hurts)
	enum(wrong, "occurred_precision", r.Precision, Precisions)
	enum(wrong, "contact", r.Contact.Choice, ContactChoices)
	enum(wrong, "language", r.Language, []string{"en", "cy"})
	optional(wrong, "filed_for", r.Details.FiledFor, FiledFors)
	optional(wrong, "control", r.Details.Control, Controls)
	optional(wrong, "manager_told", r.Details.Told, Tolds)
	optional(wrong, "exposure", r.Details.Exposure, Exposures)
	optional(wrong, "exposure_closeness", r.Details.Closeness, Closenesses)

	if message := checkOccurred(r.OccurredAt, r.Precision, now); message != "" {
		wrong("occurred_at", "%s", message)
	}
	if r.DaysUnable != nil && (*r.DaysUnable < 0 || *r.DaysUnable > MaxDaysUnable) {
		wrong("days_unable", "Days unable to work must be a number from 0 to %d.", MaxDaysUnable)
	}
	if r.PeopleAffected < 0 || r.PeopleAffected > MaxPeople {
		wrong("people_affected", "People affected must be a number from 0 to %d.", MaxPeople)
	}
	words(wrong, "narrative", fault.Text("What happened"), r.Narrative, MaxNarrative)
	words(wrong, "site_name", fault.Text("The site’s name"), r.SiteName, MaxSiteName)
	words(wrong, "employer", fault.Text("The employer"), r.Employer, MaxEmployer)
	words(wrong, "contact", fault.Text("Your name"), r.Contact.Name, MaxContact)
	words(wrong, "contact", fault.Text("How to reach you"), r.Contact.Details, MaxContact)
	words(wrong, "form_version", fault.Text("The form version"), r.FormVersion, 40)
	if len(bad) > 0 {
		return fault.InvalidFields(bad)
	}
	return nil
}

// CheckContact returns nil, or what to mend about who may know who reported:
// "contact". Whoever is to be anonymous leaves no name.
func CheckContact(c Contact) []fault.Field {
	var bad []fault.Field
	wrong := func(field, message string, args ...any) {
		bad = append(bad, fault.Wrong(field, message, args...))
	}
	if !known(ContactChoices, c.Choice) {
		wrong("contact", "Select who may know that you reported this.")
	}
	if c.Choice == ContactAnonymous && c.Name+c.Details != "" {
		wrong("contact", "You gave a name or a way to reach you. Take it out, or say who may know.")
	}
	words(wrong, "contact", fault.Text("Your name"), c.Name, MaxContact)
	words(wrong, "contact", fault.Text("How to reach you"), c.Details, MaxContact)
	return bad
}

// CheckOccurred returns "", or what to mend about the time it happened. Now is
// the server's clock.
func CheckOccurred(at time.Time, p Precision, now time.Time) string {
	return string(checkOccurred(at, p, now))
}

func checkOccurred(at time.Time, p Precision, now time.Time) fault.Text {
	switch {
	case at.IsZero():
		return fault.Text("Say when it happened.")
	case inFuture(at, p, now):
		return fault.Text("The time it happened must be in the past.")
	case at.Before(now.Add(-MaxAge)):
		return fault.Text("That is more than ten years ago. Check the year.")
	}
	return ""
}

// inFuture allows for the noise of clocks, and for a bare date of today.
func inFuture(at time.Time, p Precision, now time.Time) bool {
	if p == PrecisionDay {
		y, m, d := now.In(London).Date()
		return !at.Before(time.Date(y, m, d+1, 0, 0, 0, 0, London))
	}
	return at.After(now.Add(clockNoise))
}

type wrongFunc func(field, message string, args ...any)

func enum[T ~string](wrong wrongFunc, field string, v T, all []T) {
	if known(all, v) {
		return
	}
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = string(a)
	}
	wrong(field, "Must be one of: %s.", strings.Join(names, ", "))
}

// optional is enum for a question that need not be answered.
func optional[T ~string](wrong wrongFunc, field string, v T, all []T) {
	if v != "" {
		enum(wrong, field, v, all)
	}
}

func words(wrong wrongFunc, field string, name fault.Text, s string, limit int) {
	checkText(func(format fault.Text, args ...any) { wrong(field, string(format), args...) }, name, s, limit)
}

// CheckText returns "", or what to mend about words somebody wrote: a sentence
// that begins with the field's name and never quotes the words. The limit is
// in characters.
func CheckText(name, s string, limit int) string {
	var message string
	checkText(func(format fault.Text, args ...any) { message = fmt.Sprintf(string(format), args...) }, fault.Text(name), s, limit)
	return message
}

// checkText tells wrong what is wrong with the words, if anything is.
func checkText(wrong func(format fault.Text, args ...any), name fault.Text, s string, limit int) {
	switch {
	case !utf8.ValidString(s):
		wrong("%s must be text in UTF-8.", name)
	case strings.ContainsFunc(s, isControl):
		wrong("%s holds a control character. Remove it and send again.", name)
	case strings.ContainsFunc(s, turnsText):
		wrong("%s holds an invisible character that changes the direction of text. Remove it and send again.", name)
	case utf8.RuneCountInString(s) > limit:
		wrong("%s must be %s characters or fewer.", name, thousands(limit))
	}
}

// isControl reports whether r is a control character other than tab and line feed.
func isControl(r rune) bool {
	return r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0
}

// turnsText reports whether r is one of the characters that make text read in
// another order than it is stored: words could be made to say something else.
// Source: Unicode Standard Annex #9, embeddings, overrides and isolates.
func turnsText(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

func thousands(n int) string {
	if n >= 1000 {
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	}
	return fmt.Sprint(n)
}

// IsReportID reports whether s is a UUID version 7 in its canonical
// lower-case form. Source: RFC 9562 section 5.7.
func IsReportID(s string) bool {
	if len(s) != 36 || s[14] != '7' || !strings.ContainsRune("89ab", rune(s[19])) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
