package filing

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
)

// typed is a form as it is typed with the least that is needed.
func typed(change func(*Form)) Form {
	f := Form{ID: testID, Version: "report/1", Kind: "abuse", Site: "leeds", When: WhenToday, Contact: "anonymous"}
	if change != nil {
		change(&f)
	}
	return f
}

func TestWhenItHappened(t *testing.T) {
	const day, about, exact, unknown = incident.PrecisionDay, incident.PrecisionAbout, incident.PrecisionExact, incident.PrecisionUnknown
	at := func(text string) time.Time {
		got, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for name, c := range map[string]struct {
		change    func(*Form)
		now       string
		want      string
		precision incident.Precision
	}{
		"just now without script": {func(f *Form) { f.When = WhenNow }, "2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z", exact},
		"just now, as tapped":     {func(f *Form) { f.When, f.PressedAt, f.SentAt = WhenNow, "2026-11-21T11:50:00Z", "2026-11-21T12:00:00Z" }, "2026-11-21T12:00:00Z", "2026-11-21T11:50:00Z", exact},
		"tapped on a fast clock":  {func(f *Form) { f.When, f.PressedAt, f.SentAt = WhenNow, "2026-11-22T11:50:00Z", "2026-11-22T12:00:00Z" }, "2026-11-21T12:00:00Z", "2026-11-21T11:50:00Z", exact},
		"fast clock, not said":    {func(f *Form) { f.When, f.PressedAt = WhenNow, "2026-11-22T11:50:00Z" }, "2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z", exact},
		"today":                   {nil, "2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z", day},
		"today, at a time":        {func(f *Form) { f.Time = "09:30" }, "2026-07-21T12:00:00Z", "2026-07-21T08:30:00Z", about},
		"today is the tap's day": {func(f *Form) {
			f.Time, f.PressedAt, f.SentAt = "23:00", "2026-11-20T23:50:00Z", "2026-11-21T00:10:00Z"
		}, "2026-11-21T00:10:00Z", "2026-11-20T23:00:00Z", about},
		"today after midnight in summer": {nil, "2026-07-20T23:30:00Z", "2026-07-21T11:00:00Z", day},
		"another day":                    {func(f *Form) { f.When, f.Day, f.Month, f.Year = WhenDay, "3", "11", "2026" }, "2026-11-21T12:00:00Z", "2026-11-03T12:00:00Z", day},
		"no year, this year":             {func(f *Form) { f.When, f.Day, f.Month = WhenDay, " 3 ", "nov" }, "2026-11-21T12:00:00Z", "2026-11-03T12:00:00Z", day},
		"a month in Welsh":               {func(f *Form) { f.When, f.Day, f.Month = WhenDay, "3", "Tach" }, "2026-11-21T12:00:00Z", "2026-11-03T12:00:00Z", day},
		"no year, last year":             {func(f *Form) { f.When, f.Day, f.Month = WhenDay, "30", "December" }, "2026-01-02T12:00:00Z", "2025-12-30T12:00:00Z", day},
		"two digits of a year":           {func(f *Form) { f.When, f.Day, f.Month, f.Year = WhenDay, "3", "11", "25" }, "2026-11-21T12:00:00Z", "2025-11-03T12:00:00Z", day},
		"an hour skipped in March":       {func(f *Form) { f.When, f.Day, f.Month, f.Year, f.Time = WhenDay, "29", "3", "2026", "01:30" }, "2026-11-21T12:00:00Z", "2026-03-29T01:30:00Z", about},
		"an hour twice in October":       {func(f *Form) { f.When, f.Day, f.Month, f.Year, f.Time = WhenDay, "25", "10", "2026", "01:30" }, "2026-11-21T12:00:00Z", "2026-10-25T00:30:00Z", about},
		"before the clocks change":       {func(f *Form) { f.When, f.Day, f.Month, f.Year, f.Time = WhenDay, "29", "3", "2026", "00:30" }, "2026-11-21T12:00:00Z", "2026-03-29T00:30:00Z", about},
		"not sure without script":        {func(f *Form) { f.When = WhenNotSure }, "2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z", unknown},
		"not sure, said last month": {func(f *Form) {
			f.When, f.PressedAt, f.SentAt = WhenNotSure, "2026-10-31T23:50:00Z", "2026-11-02T09:00:00Z"
		}, "2026-11-02T09:00:00Z", "2026-10-31T23:50:00Z", unknown},
		"not sure, on a fast clock": {func(f *Form) { f.When, f.PressedAt = WhenNotSure, "2026-11-21T12:30:00Z" }, "2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z", unknown},
		"not sure, on a clock of 1970": {func(f *Form) {
			f.When, f.PressedAt, f.SentAt = WhenNotSure, "1970-01-01T00:05:00Z", "2026-11-21T12:00:00Z"
		}, "2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z", unknown},
		"just now, on a clock of 1970": {func(f *Form) {
			f.When, f.PressedAt, f.SentAt = WhenNow, "1970-01-01T00:05:00Z", "2026-11-21T12:00:00Z"
		}, "2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z", exact},
		"not sure, whatever was typed": {func(f *Form) { f.When, f.Day, f.Month, f.Time = WhenNotSure, "31", "2", "late" }, "2026-11-21T12:00:00Z", "2026-11-21T12:00:00Z", unknown},
		"the last minute of a month":   {func(f *Form) { f.When, f.Day, f.Month, f.Year, f.Time = WhenDay, "31", "5", "2026", "11:59pm" }, "2026-11-21T12:00:00Z", "2026-05-31T22:59:00Z", about},
	} {
		t.Run(name, func(t *testing.T) {
			now := at(c.now)
			f := FromForm(typed(c.change), now)
			f.CorrectClock(now)
			if err := f.Validate(siteKnown, now); err != nil {
				t.Fatalf("%v: %v", err, fault.As(err).Fields)
			}
			if !f.OccurredAt.Equal(at(c.want)) || f.Precision != c.precision {
				t.Errorf("occurred=%v %s, want %s %s", f.OccurredAt.UTC().Format(time.RFC3339), f.Precision, c.want, c.precision)
			}
		})
	}
}

func TestClockAsPeopleTypeIt(t *testing.T) {
	for text, want := range map[string]string{
		"14:30": "14:30", "14.30": "14:30", "1430": "14:30", "2:30pm": "14:30", "2.30 PM": "14:30", "230pm": "14:30", "2pm": "14:00", "12am": "00:00",
		"12pm": "12:00", "9:05": "09:05", "09:05": "09:05", "12:15am": "00:15",
		"": "", "2": "", "25:00": "", "14:60": "", "13pm": "", "0am": "", "9:5": "", ":30": "", "noon": "", "-1:30": "", "+9:30": "", "9:30:00": "", "1ampm": "",
	} {
		h, m, ok := readClock(text)
		got := ""
		if ok {
			got = time.Date(2000, 1, 1, h, m, 0, 0, time.UTC).Format("15:04")
		}
		if got != want {
			t.Errorf("readClock(%q)=%q, want %q", text, got, want)
		}
	}
}

func TestFormNamesItsOwnFieldsInItsOwnOrder(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Form)
		want   []string
	}{
		"nothing at all":           {func(f *Form) { *f = Form{ID: testID} }, []string{"kind", "site", "when"}},
		"an id nobody made":        {func(f *Form) { f.ID = "7" }, []string{""}},
		"elsewhere without a name": {func(f *Form) { f.Site = "unlisted" }, []string{"site_name"}},
		"a site that has gone":     {func(f *Form) { f.Site = "atlantis" }, []string{"site"}},
		"a day that is none":       {func(f *Form) { f.When, f.Day, f.Month, f.Year = WhenDay, "31", "6", "2026" }, []string{"day"}},
		"a month 13":               {func(f *Form) { f.When, f.Day, f.Month, f.Year = WhenDay, "1", "13", "2026" }, []string{"day"}},
		"tomorrow":                 {func(f *Form) { f.When, f.Day, f.Month, f.Year = WhenDay, "22", "11", "2026" }, []string{"day"}},
		"later today":              {func(f *Form) { f.Time = "18:00" }, []string{"time"}},
		"a time that is none":      {func(f *Form) { f.Time = "late" }, []string{"time"}},
		"another when":             {func(f *Form) { f.When = "soon" }, []string{"when"}},
		"numbers that are none":    {func(f *Form) { f.DaysUnable, f.PeopleAffected = "a few", "2.5" }, []string{"people_affected", "days_unable"}},
		"too long and out of order": {func(f *Form) {
			f.Employer, f.Narrative, f.Kind = strings.Repeat("x", 81), strings.Repeat("x", 5001), "rude"
		}, []string{"kind", "narrative", "employer"}},
		"details of another form": {func(f *Form) {
			f.FiledFor, f.Control, f.Told, f.Exposure, f.Closeness = "x", "x", "x", "x", "x"
		}, []string{"control", "manager_told", "exposure", "exposure_closeness", "filed_for"}},
		"a name but anonymous": {func(f *Form) { f.ContactName = "A Demo" }, []string{"contact"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := FromForm(typed(c.change), testNow)
			if got := names(f.Validate(siteKnown, testNow)); !slices.Equal(got, c.want) {
				t.Errorf("fields=%q, want %q", got, c.want)
			}
		})
	}
}

func TestANameAloneIsAPlaceThatIsNotInTheList(t *testing.T) {
	f := FromForm(typed(func(f *Form) { f.Site, f.SiteName = "", "The library" }), testNow)
	if err := f.Validate(siteKnown, testNow); err != nil || f.Site != incident.SiteUnlisted {
		t.Errorf("site=%q, err=%v", f.Site, err)
	}
}

func TestWhoeverIsNotSureWhereNeedNotNameIt(t *testing.T) {
	for _, name := range []string{"", "the desk by the lift"} {
		f := FromForm(typed(func(f *Form) { f.Site, f.SiteName = WhereNotSure, name }), testNow)
		if err := f.Validate(siteKnown, testNow); err != nil || f.Site != incident.SiteUnlisted || f.SiteName != name {
			t.Errorf("site=%q, name=%q, err=%v", f.Site, f.SiteName, err)
		}
	}
}

func TestSendingAFormAgainIsTheSameReport(t *testing.T) {
	keys := keyring(t)
	digest := func(form Form, now time.Time) string {
		f := FromForm(form, now)
		f.Identify(keys)
		return string(f.Digest(keys))
	}
	for name, form := range map[string]Form{
		"just now without script": typed(func(f *Form) { f.When = WhenNow }),
		"just now, as tapped":     typed(func(f *Form) { f.When, f.PressedAt = WhenNow, "2026-11-21T11:50:00Z" }),
		"not sure when":           typed(func(f *Form) { f.When, f.PressedAt = WhenNotSure, "2026-11-21T11:50:00Z" }),
		"not sure without script": typed(func(f *Form) { f.When = WhenNotSure }),
		"today":                   typed(nil),
	} {
		again := form
		again.SentAt = "2026-11-21T12:00:09Z"
		if digest(form, testNow) != digest(again, testNow.Add(9*time.Second)) {
			t.Errorf("%s: another digest when sent again", name)
		}
	}
	if digest(typed(nil), testNow) == digest(typed(func(f *Form) { f.When = WhenNow }), testNow) {
		t.Error("today and just now have one digest")
	}
	if digest(typed(func(f *Form) { f.When = WhenNotSure }), testNow) == digest(typed(func(f *Form) { f.When = WhenNow }), testNow) {
		t.Error("not sure and just now have one digest")
	}
}

func FuzzFromForm(f *testing.F) {
	f.Add("id="+testID+"&kind=abuse&site=leeds&when=day&day=29&month=feb&time=2pm", int64(1790000000))
	f.Add("when=now&pressed_at=2026-11-21T11%3A50%3A00Z&sent_at=x", int64(0))
	f.Add("when=today&time=%ff", int64(1<<40))
	f.Add("id="+testID+"&kind=abuse&site=not_sure&when=unknown&pressed_at=2026-11-21T11%3A50%3A00Z", int64(1790000000))
	keys := keyring(f)
	f.Fuzz(func(t *testing.T, body string, unix int64) {
		values, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		now := time.Unix(unix%(1<<36), 0)
		filing := FromForm(ReadForm(values), now)
		filing.Identify(keys)
		digest := filing.Digest(keys)
		filing.CorrectClock(now)
		if err := filing.Validate(siteKnown, now); err != nil {
			for _, b := range fault.As(err).Fields {
				if !slices.Contains(pageOrder, b.Name) {
					t.Fatalf("the page has no field %q", b.Name)
				}
			}
			return
		}
		if filing.OccurredAt.After(now.Add(48 * time.Hour)) {
			t.Fatalf("occurred %v, now %v", filing.OccurredAt, now)
		}
		if _, err := filing.Event(keys, digest, func(string) string { return "" }); err != nil {
			t.Fatal(err)
		}
	})
}
