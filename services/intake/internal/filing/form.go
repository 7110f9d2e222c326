package filing

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/words"
	"github.com/onrecord/onrecord/services/intake/internal/receipt"
)

// Answers to the form's question when it happened.
const (
	WhenNow     = "now"
	WhenToday   = "today"
	WhenDay     = "day"
	WhenNotSure = "unknown"
)

// WhereNotSure answers the form's question where it happened. No site has it as
// its id; the report is then of incident.SiteUnlisted.
const WhereNotSure = "not_sure"

// Form is what was typed into the page, kept as it was typed so that the page
// can be shown again with it.
type Form struct {
	ID, Receipt, PressedAt, SentAt       string // hidden
	Version                              string // hidden: which form it was
	Kind, Channel, Target                string
	Site, SiteName                       string
	When, Day, Month, Year, Time         string // Time by itself is "about what time"
	Hurt                                 string
	Narrative                            string
	DaysUnable, PeopleAffected           string
	Employer                             string
	FiledFor, Control, Told              string
	Exposure, Closeness                  string
	Language                             string // hidden: the page's
	Person                               string // who wrote it, as the phone knows them; "" for nobody
	Contact, ContactName, ContactDetails string
	KeepOriginals                        string
	SiteCode                             string
	photos                               [][]byte
}

// pageOrder is the order in which the page asks.
var pageOrder = []string{"", "kind", "control", "manager_told", "exposure", "exposure_closeness", "channel", "target",
	"site", "site_name", "site_code", "when", "day", "time", "hurt", "narrative", "photo",
	"filed_for", "people_affected", "days_unable", "employer", "contact"}

// ReadForm takes the form's fields out of what a browser sent. Fields that the
// form does not have are ignored, so that a page kept on a phone from another
// version can still be sent.
func ReadForm(v url.Values) Form {
	return Form{
		ID: v.Get("id"), Receipt: v.Get("receipt"), PressedAt: v.Get("pressed_at"), SentAt: v.Get("sent_at"), Version: v.Get("form_version"),
		Kind: v.Get("kind"), Channel: v.Get("channel"), Target: v.Get("target"),
		Site: v.Get("site"), SiteName: v.Get("site_name"),
		When: v.Get("when"), Day: v.Get("day"), Month: v.Get("month"), Year: v.Get("year"), Time: v.Get("time"),
		Hurt: v.Get("hurt"), Narrative: v.Get("narrative"),
		DaysUnable: v.Get("days_unable"), PeopleAffected: v.Get("people_affected"), Employer: v.Get("employer"),
		FiledFor: v.Get("filed_for"), Control: v.Get("control"), Told: v.Get("manager_told"),
		Exposure: v.Get("exposure"), Closeness: v.Get("exposure_closeness"), Language: v.Get("language"), Person: v.Get("person"),
		Contact: v.Get("contact"), ContactName: v.Get("contact_name"), ContactDetails: v.Get("contact_details"),
		KeepOriginals: v.Get("keep_originals"),
		SiteCode:      v.Get("site_code"),
	}
}

// ReadMultipartForm is ReadForm for a form that was sent with photos.
func ReadMultipartForm(body []byte, boundary string) (Form, error) {
	v := make(url.Values)
	photos, err := eachPart(body, boundary, func(name string, content []byte) error {
		v.Add(name, string(content))
		return nil
	})
	form := ReadForm(v)
	form.photos = photos
	return form, err
}

// HasPhotos reports whether photos came with the form. A browser without script
// forgets them when the page is shown again.
func (form Form) HasPhotos() bool { return len(form.photos) > 0 }

// FromForm reads a filled form. Dates and times are the United Kingdom's; now
// is the server's clock, by which "today" and "just now" are meant.
func FromForm(form Form, now time.Time) *Filing {
	f := &Filing{
		Report: incident.Report{
			ID:        form.ID,
			Site:      form.Site,
			SiteName:  form.SiteName,
			Kind:      incident.Kind(form.Kind),
			Channel:   incident.Channel(form.Channel),
			Target:    incident.Target(form.Target),
			Narrative: form.Narrative,
			Hurt:      incident.Hurt(form.Hurt),
			Employer:  form.Employer,
			Contact:   incident.Contact{Choice: incident.ContactChoice(form.Contact), Name: form.ContactName, Details: form.ContactDetails},
			Details: incident.Details{
				FiledFor:  incident.FiledFor(form.FiledFor),
				Control:   incident.Control(form.Control),
				Told:      incident.Told(form.Told),
				Exposure:  incident.Exposure(form.Exposure),
				Closeness: incident.Closeness(form.Closeness),
			},
			Language:    form.Language,
			FormVersion: form.Version,
		},
		SiteCode:      form.SiteCode,
		Photos:        form.photos,
		KeepOriginals: form.KeepOriginals != "",
		names:         map[string]string{"id": "", "receipt": "", "pressed_at": "", "occurred_precision": "", "language": "", "form_version": "", "occurred_at": "when"},
		order:         pageOrder,
	}
	f.Normalise()
	f.readWhere()
	f.readIdentity(form)
	f.readWhen(form, now)
	f.DaysUnable = f.number("days_unable", fault.Text("Days unable to work"), form.DaysUnable)
	f.PeopleAffected = orZero(f.number("people_affected", fault.Text("People affected"), form.PeopleAffected))
	return f
}

// readWhere takes a name alone for a place that is not in the list. Only whoever
// is sure of another place must name it.
func (f *Filing) readWhere() {
	if f.Site == incident.SiteUnlisted && f.SiteName == "" {
		f.wrong("site_name", "Enter the name of the place, or choose “Not sure”.")
	}
	if f.Site == WhereNotSure || f.Site == "" && f.SiteName != "" {
		f.Site = incident.SiteUnlisted
	}
}

func (f *Filing) readIdentity(form Form) {
	const stale = fault.Text("This page was too old to send. Everything you typed is still here: send it again.")
	if !incident.IsReportID(f.ID) {
		f.wrong("id", "%s", stale)
	}
	if form.Receipt == "" {
		return
	}
	code, err := receipt.Parse(form.Receipt)
	if err != nil {
		f.wrong("receipt", "%s", stale)
	}
	f.Receipt = code
}

// readWhen reads when it happened. Whatever was typed is known to about an
// hour at best; only the tap on "just now" is exact.
func (f *Filing) readWhen(form Form, now time.Time) {
	switch form.When {
	case WhenNow:
		f.justNow, f.OccurredAt = true, now
		if pressed, sent := form.clock(); !pressed.IsZero() {
			f.OccurredAt, f.PressedAt, f.SentAt = pressed, pressed, sent
		}
	case WhenToday:
		f.readTime(form, form.today(now))
	case WhenDay:
		day, ok := readDay(form, now)
		if !ok {
			f.names["occurred_at"] = "day"
			f.wrong("occurred_at", "Enter the date it happened, like 17 11 %d.", now.In(incident.London).Year())
			return
		}
		f.names["occurred_at"] = "day"
		f.readTime(form, day)
	case WhenNotSure:
		f.Precision = incident.PrecisionUnknown
		f.PressedAt, f.SentAt = form.clock()
	case "":
		f.wrong("occurred_at", "Select when it happened, or “Not sure”.")
	default:
		f.wrong("occurred_at", "Must be one of: now, today, day, unknown.")
	}
}

// clock returns the phone's clock when the answer to "when" was tapped and when
// the form was sent; both are zero without script.
func (form Form) clock() (pressed, sent time.Time) {
	var err error
	if pressed, err = time.Parse(time.RFC3339, form.PressedAt); err != nil {
		return time.Time{}, time.Time{}
	}
	sent, _ = time.Parse(time.RFC3339, form.SentAt) // zero when it is not there: then nothing is corrected
	return pressed, sent
}

// today returns the day that was meant by "earlier today": that of the tap,
// which may be yesterday by the time a report gets through.
func (form Form) today(now time.Time) time.Time {
	pressed, sent := form.clock()
	if pressed.IsZero() {
		return now
	}
	tap := incident.Report{OccurredAt: pressed}
	tap.CorrectClock(sent, now)
	if tap.OccurredAt.After(now) {
		return now
	}
	return tap.OccurredAt
}

// readTime sets when on the day it happened, by the time typed if there is one.
func (f *Filing) readTime(form Form, day time.Time) {
	typed := strings.TrimSpace(form.Time)
	if typed == "" {
		f.OccurredAt, f.Precision = noon(day), incident.PrecisionDay
		return
	}
	hour, minute, ok := readClock(typed)
	if !ok {
		f.names["occurred_at"] = "time"
		f.wrong("occurred_at", "Enter a time like 2:30pm, or leave it out.")
		return
	}
	if form.When == WhenToday {
		f.names["occurred_at"] = "time"
	}
	f.OccurredAt, f.Precision = localTime(day, hour, minute), incident.PrecisionAbout
}

// localTime returns when the clocks of the United Kingdom showed hour:minute
// on the day. In the hour that is skipped in March it is what a clock showed
// that had not been put forward; of the hour that comes twice in October it is
// the first.
func localTime(day time.Time, hour, minute int) time.Time {
	y, m, d := day.In(incident.London).Date()
	winter := time.Date(y, m, d, hour, minute, 0, 0, time.UTC)
	summer := winter.Add(-time.Hour)
	if local := summer.In(incident.London); local.Hour() == hour && local.Minute() == minute {
		return summer
	}
	return winter
}

// readDay reads a day as people type it: the month as a number or a name, the
// year of two digits or four or left out for the latest such day.
func readDay(form Form, now time.Time) (time.Time, bool) {
	day, err := strconv.Atoi(strings.TrimSpace(form.Day))
	month, ok := readMonth(form.Month)
	if err != nil || !ok {
		return time.Time{}, false
	}
	today := now.In(incident.London)
	year := today.Year()
	if typed := strings.TrimSpace(form.Year); typed != "" {
		if year, err = strconv.Atoi(typed); err != nil || year < 0 || year > 9999 {
			return time.Time{}, false
		}
		if len(typed) <= 2 {
			year += 2000
		}
	} else if time.Date(year, month, day, 0, 0, 0, 0, incident.London).After(today) {
		year--
	}
	t := time.Date(year, month, day, 12, 0, 0, 0, incident.London)
	return t, t.Day() == day && t.Month() == month
}

func readMonth(typed string) (time.Month, bool) {
	typed = strings.ToLower(strings.TrimSpace(typed))
	if n, err := strconv.Atoi(typed); err == nil {
		return time.Month(n), n >= 1 && n <= 12
	}
	for _, language := range []words.Language{words.English, words.Welsh} {
		for m := time.January; m <= time.December; m++ {
			if name := strings.ToLower(words.MonthName(language, m)); len(typed) >= 3 && strings.HasPrefix(name, typed) {
				return m, true
			}
		}
	}
	return 0, false
}

// readClock reads a time of day: 14:30, 14.30, 1430, 2:30pm, 2.30 pm, 2pm.
func readClock(typed string) (hour, minute int, ok bool) {
	s := strings.ToLower(strings.ReplaceAll(typed, " ", ""))
	s, afternoon := strings.CutSuffix(s, "pm")
	s, morning := strings.CutSuffix(s, "am")
	hours, minutes, split := strings.Cut(strings.Replace(s, ".", ":", 1), ":")
	switch {
	case split && len(minutes) != 2, split && len(hours) == 0:
		return 0, 0, false
	case !split && len(s) >= 3 && len(s) <= 4:
		hours, minutes = s[:len(s)-2], s[len(s)-2:]
	case !split && !morning && !afternoon:
		return 0, 0, false // a bare "2" could be either
	}
	h, err := strconv.ParseUint(hours, 10, 8)
	if err != nil {
		return 0, 0, false
	}
	var m uint64
	if minutes != "" {
		if m, err = strconv.ParseUint(minutes, 10, 8); err != nil {
			return 0, 0, false
		}
	}
	if morning || afternoon {
		if h < 1 || h > 12 || morning && afternoon {
			return 0, 0, false
		}
		h %= 12
		if afternoon {
			h += 12
		}
	}
	return int(h), int(m), h < 24 && m < 60
}

// number reads a count; an empty answer is none.
func (f *Filing) number(field string, name fault.Text, typed string) *int {
	typed = strings.TrimSpace(typed)
	if typed == "" {
		return nil
	}
	n, err := strconv.Atoi(typed)
	if err != nil {
		f.wrong(field, "%s must be a number, like 3.", name)
		return nil
	}
	return &n
}
