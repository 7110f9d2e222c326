package filing

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
)

const testID = "01890a5d-ac96-774b-bcce-b302099a8057"

var testNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func siteKnown(id string) bool { return id == "leeds" }

func keyring(tb testing.TB) *seal.Keyring {
	tb.Helper()
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// least is the least that can be filed, with room for more fields.
func least(more string) string {
	return `{"id":"` + testID + `","site":"leeds","occurred_at":"2026-11-21T11:00:00Z","kind":"abuse"` + more + `}`
}

// Whoever writes a program against the API is told where to look.
func TestWhereAMistakeInTheJSONIsIsSaid(t *testing.T) {
	for body, want := range map[string]string{
		``:                    "at byte 0 of 0",
		`[]`:                  "at byte 1 of 2",
		`{"id":"x", }`:        "at byte 11 of 12",
		`{"id":"x" "site":1}`: "at byte 10 of 19",
		`{"id": "x`:           "at byte 6 of 9",
	} {
		if _, err := FromJSON([]byte(body)); fault.KindOf(err) != fault.Malformed || !strings.Contains(fault.As(err).Message, want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// A body has room for tens of thousands of names: looking through all for each of
// them, and answering with all, cost half a second of a core.
func TestManyFieldsThatDoNotExistAreCounted(t *testing.T) {
	var more strings.Builder
	for n := range 20_000 {
		fmt.Fprintf(&more, `,"x%05d":1`, n)
	}
	for what, read := range map[string]func() error{
		"a report": func() error {
			f, err := FromJSON([]byte(least(more.String())))
			if err != nil {
				return err
			}
			return f.Validate(siteKnown, testNow)
		},
		"a question": func() error {
			_, err := FollowUpFromJSON([]byte(`{"receipt":"x"` + more.String() + `}`))
			return err
		},
	} {
		bad := fault.As(read()).Fields
		if len(bad) != mostRefused+1 || bad[0].Name != "x00000" || !strings.HasPrefix(bad[mostRefused].Message, "20000 fields ") {
			t.Errorf("%s: %d mistakes are named, the last is %v", what, len(bad), bad[len(bad)-1:])
		}
	}
}

func TestReadsEveryFieldOfTheContract(t *testing.T) {
	f, err := FromJSON([]byte(`{
		"id":"01890A5D-AC96-774B-BCCE-B302099A8057","receipt":"0123-4567-89ab-cdez","site":"unlisted","site_name":" The library ",
		"occurred_at":"2026-11-21T10:00:00+01:00","occurred_precision":"about","pressed_at":"2026-11-21T09:01:00Z","kind":"threat","channel":"phone",
		"target":"named_person","narrative":"He said\r\nhe would wait.","hurt":"no","days_unable":3,"people_affected":2,"employer":"Example Ltd",
		"contact":{"choice":"rep_only","name":"A Demo","details":"ext. 1"},"language":"cy","form_version":"report/1","sent_at":"2026-11-21T12:00:00.5Z",
		"filed_for":"colleague","control":"screen","manager_told":"no","exposure":"symptoms","exposure_closeness":"same_room"}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Validate(siteKnown, testNow); err != nil {
		t.Fatal(err)
	}
	days := 3
	want := incident.Report{
		ID: testID, Site: "unlisted", SiteName: "The library", OccurredAt: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), Precision: "about",
		PressedAt: time.Date(2026, 11, 21, 9, 1, 0, 0, time.UTC), Kind: "threat", Channel: "phone", Target: "named_person",
		Narrative: "He said\nhe would wait.", Hurt: "no", DaysUnable: &days, PeopleAffected: 2, Employer: "Example Ltd",
		Contact: incident.Contact{Choice: "rep_only", Name: "A Demo", Details: "ext. 1"}, Language: "cy", FormVersion: "report/1",
		Details: incident.Details{FiledFor: "colleague", Control: "screen", Told: "no", Exposure: "symptoms", Closeness: "same_room"},
	}
	f.OccurredAt, f.PressedAt = f.OccurredAt.UTC(), f.PressedAt.UTC()
	if !reflect.DeepEqual(f.Report, want) {
		t.Errorf("report=%+v\nwant   %+v", f.Report, want)
	}
	if got := f.Receipt.String(); got != "0123-4567-89AB-CDEZ" {
		t.Errorf("receipt=%q", got)
	}
	if got := f.SentAt.UTC(); got != testNow.Add(500*time.Millisecond) {
		t.Errorf("sent_at=%v", got)
	}
}

func TestLenientAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		more string
		ok   func(f *Filing) bool
	}{
		"hurt true":            {`,"hurt":true`, func(f *Filing) bool { return f.Hurt == incident.HurtYes }},
		"hurt false":           {`,"hurt":false`, func(f *Filing) bool { return f.Hurt == incident.HurtNo }},
		"hurt in words":        {`,"hurt":"unknown"`, func(f *Filing) bool { return f.Hurt == incident.HurtUnknown }},
		"contact as a choice":  {`,"contact":"may_be_named"`, func(f *Filing) bool { return f.Contact.Choice == incident.ContactMayBeNamed }},
		"null is not answered": {`,"days_unable":null,"channel":null,"contact":null,"pressed_at":null`, func(f *Filing) bool { return f.DaysUnable == nil && f.Channel == incident.ChannelUnknown }},
		"none is zero":         {`,"days_unable":0`, func(f *Filing) bool { return f.DaysUnable != nil && *f.DaysUnable == 0 }},
		"a day is its noon": {`,"occurred_precision":"day"`, func(f *Filing) bool {
			return f.OccurredAt.Equal(time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
		}},
		"not known when": {`,"occurred_precision":"unknown","occurred_at":null,"pressed_at":"2026-11-21T09:00:00Z"`, func(f *Filing) bool {
			return f.OccurredAt.Equal(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			body := least(c.more)
			if name == "a day is its noon" {
				body = strings.Replace(body, "2026-11-21T11:00:00Z", "2026-11-20", 1)
			}
			if name == "not known when" {
				body = strings.Replace(body, `"occurred_at":"2026-11-21T11:00:00Z",`, "", 1)
			}
			f, err := FromJSON([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			f.CorrectClock(testNow)
			if err := f.Validate(siteKnown, testNow); err != nil {
				t.Fatal(err)
			}
			if !c.ok(f) {
				t.Errorf("report=%+v", f.Report)
			}
		})
	}
}

func TestWhatCannotBeReadIsMalformed(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":             ``,
		"no object":           `["a"]`,
		"text":                `hello`,
		"cut off":             `{"id":"x"`,
		"a comma too many":    `{"id":"x",}`,
		"something after it":  least("") + `{}`,
		"words after it":      least("") + ` and more`,
		"invalid UTF-8":       least(`,"narrative":"` + "\xff" + `"`),
		"a field twice":       least(`,"site":"york"`),
		"a name that is none": `{1:2}`,
		"nested without end":  `{"a":` + strings.Repeat("[", 100000),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := FromJSON([]byte(body)); fault.KindOf(err) != fault.Malformed {
				t.Errorf("err=%v, want Malformed", err)
			}
		})
	}
	if _, err := FromJSON(bytes.Repeat([]byte(" "), MaxJSON+1)); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("past the limit: err=%v, want TooLarge", err)
	}
}

func TestEveryFieldToMendIsNamedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want []string
	}{
		"an unknown field":       {least(`,"colour":"red"`), []string{"colour"}},
		"fields of wrong types":  {least(`,"narrative":5,"days_unable":"3","people_affected":1.5,"contact":7,"hurt":[]`), []string{"narrative", "hurt", "days_unable", "people_affected", "contact"}},
		"a month 13":             {strings.Replace(least(""), "2026-11", "2026-13", 1), []string{"occurred_at"}},
		"no zone":                {strings.Replace(least(""), "00Z", "00", 1), []string{"occurred_at"}},
		"a date for an instant":  {strings.Replace(least(""), "T11:00:00Z", "", 1), []string{"occurred_at"}},
		"not known, and known":   {least(`,"occurred_precision":"unknown"`), []string{"occurred_at"}},
		"still in the future":    {strings.Replace(least(""), "2026-11-21T11", "2026-11-21T18", 1), []string{"occurred_at"}},
		"an id of version 4":     {strings.Replace(least(""), "774b", "474b", 1), []string{"id"}},
		"unknown words":          {least(`,"channel":"pigeon","target":"all","language":"fr"`), []string{"channel", "target", "language"}},
		"a wrong receipt":        {least(`,"receipt":"0123-4567-89AB-CDEX"`), []string{"receipt"}},
		"a control character":    {least(`,"narrative":"a\u0000b"`), []string{"narrative"}},
		"half a character":       {least(`,"narrative":"a\ud800b","contact":{"choice":"rep_only","name":"\udc00\ud800"}`), []string{"narrative", "contact.name"}},
		"a half before another":  {least(`,"narrative":"\uD83D\u0041"`), []string{"narrative"}},
		"a half at the end":      {least(`,"narrative":"\uD83D\uDE00\uD83D"`), []string{"narrative"}},
		"no words to be seen":    {strings.Replace(least(`,"narrative":"\u200b"`), `"abuse"`, `"unknown"`, 1), []string{"kind"}},
		"too many words":         {least(`,"narrative":"` + strings.Repeat("x", 100000) + `"`), []string{"narrative"}},
		"an odd contact":         {least(`,"contact":{"choice":"rep_only","phone":"1","name":2}`), []string{"contact.name", "contact.phone"}},
		"a name but anonymous":   {least(`,"contact":{"name":"A Demo"}`), []string{"contact"}},
		"pressed in the future":  {least(`,"pressed_at":"2026-11-22T12:00:00Z"`), []string{"pressed_at"}},
		"nothing at all":         {`{}`, []string{"id", "site", "kind", "occurred_at"}},
		"a very long field name": {least(`,"` + strings.Repeat("n", 500) + `":1`), []string{strings.Repeat("n", 40) + "…"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := FromJSON([]byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			err = f.Validate(siteKnown, testNow)
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("err=%v, want Invalid", err)
			}
			if got := names(err); !slices.Equal(got, c.want) {
				t.Errorf("fields=%v, want %v", got, c.want)
			}
		})
	}
}

func TestWholeCharactersAreKept(t *testing.T) {
	f, err := FromJSON([]byte(least(`,"narrative":"\ud83d\ude00\\ud800 \uD83D\uDE00\u00e9"`)))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Validate(siteKnown, testNow); err != nil {
		t.Fatalf("%v %+v", err, fault.As(err).Fields)
	}
	if want := `😀\ud800 😀é`; f.Narrative != want {
		t.Errorf("narrative=%q, want %q", f.Narrative, want)
	}
}

func names(err error) []string {
	var got []string
	for _, f := range fault.As(err).Fields {
		got = append(got, f.Name)
	}
	return got
}

func parts(tb testing.TB, parts ...string) (body []byte, boundary string) {
	tb.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i+1 < len(parts); i += 2 {
		p, err := w.CreateFormField(parts[i])
		if err == nil {
			_, err = p.Write([]byte(parts[i+1]))
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes(), w.Boundary()
}

func TestMultipart(t *testing.T) {
	body, boundary := parts(t, "report", least(""))
	f, err := FromMultipart(body, boundary)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Validate(siteKnown, testNow); err != nil {
		t.Errorf("err=%v", err)
	}

	body, boundary = parts(t, "photo", "JPEG", "report", least(`,"site_name":"`+strings.Repeat("x", 500)+`"`), "extra", "1")
	f, err = FromMultipart(body, boundary)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Photos) != 1 || string(f.Photos[0]) != "JPEG" {
		t.Errorf("photos=%q", f.Photos)
	}
	if got, want := names(f.Validate(siteKnown, testNow)), []string{"extra", "site_name"}; !slices.Equal(got, want) {
		t.Errorf("fields=%v, want %v: nothing may be dropped in silence", got, want)
	}

	body, boundary = parts(t, "photo", "JPEG")
	if _, err = FromMultipart(body, boundary); !slices.Equal(names(err), []string{"report"}) {
		t.Errorf("without a report: %v", err)
	}
	if _, err = FromMultipart([]byte("--x\r\nnonsense"), "x"); fault.KindOf(err) != fault.Malformed {
		t.Errorf("nonsense: err=%v, want Malformed", err)
	}
}

func TestDigestTellsARetryFromAnotherReport(t *testing.T) {
	keys := keyring(t)
	digest := func(body string) string {
		f, err := FromJSON([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		f.Identify(keys)
		return fmt.Sprintf("%x", f.Digest(keys))
	}
	first := digest(least(""))
	// What reports had that are in streams from before forms asked for details.
	if want := "e26c1dd8bc10476848de9921f320484b504eef176fb85c9555b3a9a59bd55016"; first != want {
		t.Errorf("digest=%s, want %s: a report that was received would be another one when it is sent again", first, want)
	}
	for name, body := range map[string]string{
		"sent later":          least(`,"sent_at":"2026-11-21T12:00:00Z"`),
		"in another zone":     strings.Replace(least(""), "11:00:00Z", "12:00:00+01:00", 1),
		"unknown said aloud":  least(`,"channel":"unknown","hurt":null`),
		"its server's id":     least(`,"receipt":"` + receiptOf(t, keys) + `"`),
		"an id in upper case": strings.Replace(least(""), "bcce", "BCCE", 1),
	} {
		if got := digest(body); got != first {
			t.Errorf("%s: another digest, want the same", name)
		}
	}
	seen := map[string]string{first: "the first"}
	for _, more := range []string{
		`,"filed_for":"self"`, `,"control":"unknown"`, `,"manager_told":"yes"`, `,"exposure":"other"`, `,"exposure_closeness":"touched"`,
		`,"narrative":"a"`, `,"narrative":"b"`, `,"site_name":"a"`, `,"employer":"a"`, `,"channel":"phone"`, `,"target":"any_staff"`, `,"hurt":true`,
		`,"hurt":false`, `,"days_unable":0`, `,"days_unable":1`, `,"people_affected":1`, `,"contact":"rep_only"`, `,"contact":{"choice":"rep_only","name":"a"}`,
		`,"contact":{"choice":"rep_only","details":"a"}`, `,"language":"cy"`, `,"pressed_at":"2026-11-21T11:00:00Z"`, `,"occurred_precision":"about"`,
		`,"receipt":"0123-4567-89AB-CDEZ"`, `,"form_version":"x"`,
	} {
		got := digest(least(more))
		if other, ok := seen[got]; ok {
			t.Errorf("%s has the digest of %s", more, other)
		}
		seen[got] = more
	}
}

func receiptOf(t *testing.T, keys *seal.Keyring) string {
	f, err := FromJSON([]byte(least("")))
	if err != nil {
		t.Fatal(err)
	}
	f.Identify(keys)
	return f.Receipt.String()
}

func FuzzFollowUpFromJSON(f *testing.F) {
	for _, s := range []string{`{}`, `{"receipt":"x"}`, `{"receipt":"x","addition":{"id":"1","what":"words","text":"\ud800"}}`, `{"addition":{"contact":{"choice":"rep_only","choice":1}}}`, `{"addition":[]}`} {
		f.Add([]byte(s))
	}
	keys := keyring(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := FollowUpFromJSON(body)
		if err != nil {
			if k := fault.KindOf(err); k != fault.Malformed && k != fault.Invalid {
				t.Fatalf("kind=%v of %v", k, err)
			}
			return
		}
		if q.Addition == nil {
			return
		}
		if err := q.Addition.Validate(); err != nil {
			if fault.KindOf(err) != fault.Invalid || len(fault.As(err).Fields) == 0 {
				t.Fatalf("err=%v", err)
			}
			return
		}
		if _, err := q.Addition.Event(keys, q.Addition.ID); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzFromJSON(f *testing.F) {
	for _, s := range []string{least(""), least(`,"contact":{"choice":"rep_only"},"hurt":true`), `{}`, `{"a":1,"a":2}`, "{\"id\":\"\xff\"}", `{"occurred_at":"2026-13-01T00:00:00Z"}`,
		least(`,"narrative":"\ud800"`), least(`,"narrative":"\ud83d\ude00"`)} {
		f.Add([]byte(s))
	}
	keys := keyring(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		filing, err := FromJSON(body)
		if err != nil {
			if k := fault.KindOf(err); k != fault.Malformed && k != fault.TooLarge {
				t.Fatalf("kind=%v of %v", k, err)
			}
			return
		}
		filing.Identify(keys)
		digest := filing.Digest(keys)
		filing.CorrectClock(testNow)
		if err := filing.Validate(siteKnown, testNow); err != nil {
			if fault.KindOf(err) != fault.Invalid || len(fault.As(err).Fields) == 0 {
				t.Fatalf("err=%v", err)
			}
			return
		}
		said := strings.Contains(strings.ToLower(string(body)), `\ufffd`) || strings.ContainsRune(string(body), utf8.RuneError)
		if strings.ContainsRune(filing.Narrative+filing.Employer+filing.SiteName+filing.Contact.Name+filing.Contact.Details, utf8.RuneError) && !said {
			t.Fatal("words were changed without a word")
		}
		if _, err := filing.Event(keys, digest, func(string) string { return "" }); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkFromJSON(b *testing.B) {
	keys := keyring(b)
	body := []byte(least(`,"narrative":"` + strings.Repeat("He shouted at me. ", 20) + `"`))
	b.ReportAllocs()
	for b.Loop() {
		f, err := FromJSON(body)
		if err != nil {
			b.Fatal(err)
		}
		f.Identify(keys)
		digest := f.Digest(keys)
		if err := f.Validate(siteKnown, testNow); err != nil {
			b.Fatal(err)
		}
		if _, err := f.Event(keys, digest, func(string) string { return "" }); err != nil {
			b.Fatal(err)
		}
	}
}
