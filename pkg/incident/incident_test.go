package incident

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
)

const testID = "01890a5d-ac96-774b-bcce-b302099a8057"

var testNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func validReport() Report {
	r := Report{ID: testID, Site: "leeds", OccurredAt: testNow.Add(-time.Hour), Kind: KindAbuse}
	r.Normalise()
	return r
}

func siteKnown(id string) bool { return id == "leeds" }

func TestValidReports(t *testing.T) {
	for name, change := range map[string]func(*Report){
		"as filed":             func(*Report) {},
		"words alone":          func(r *Report) { r.Kind, r.Narrative = KindUnknown, "he spat at me" },
		"unlisted site":        func(r *Report) { r.Site, r.SiteName = SiteUnlisted, "the pop-up in the library" },
		"tab and new line":     func(r *Report) { r.Narrative = "one\n\ttwo" },
		"longest words":        func(r *Report) { r.Narrative = strings.Repeat("é", MaxNarrative) },
		"a bare date of today": func(r *Report) { r.OccurredAt, r.Precision = testNow.Add(6*time.Hour), PrecisionDay },
		"a minute ahead":       func(r *Report) { r.OccurredAt = testNow.Add(time.Minute) },
		"everything not sure":  func(r *Report) { r.Channel, r.Target, r.Hurt = ChannelUnknown, TargetUnknown, HurtUnknown },
	} {
		t.Run(name, func(t *testing.T) {
			r := validReport()
			change(&r)
			if err := r.Validate(siteKnown, testNow); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestInvalidReportsNameTheField(t *testing.T) {
	for name, c := range map[string]struct {
		field  string
		change func(*Report)
	}{
		"no id":             {"id", func(r *Report) { r.ID = "" }},
		"UUID version 4":    {"id", func(r *Report) { r.ID = "01890a5d-ac96-474b-bcce-b302099a8057" }},
		"no site":           {"site", func(r *Report) { r.Site = "" }},
		"unknown site":      {"site", func(r *Report) { r.Site = "atlantis" }},
		"nothing happened":  {"kind", func(r *Report) { r.Kind = KindUnknown }},
		"unknown kind":      {"kind", func(r *Report) { r.Kind = "rude" }},
		"unknown channel":   {"channel", func(r *Report) { r.Channel = "pigeon" }},
		"unknown target":    {"target", func(r *Report) { r.Target = "everyone" }},
		"no time":           {"occurred_at", func(r *Report) { r.OccurredAt = time.Time{} }},
		"in the future":     {"occurred_at", func(r *Report) { r.OccurredAt = testNow.Add(time.Hour) }},
		"tomorrow":          {"occurred_at", func(r *Report) { r.OccurredAt, r.Precision = testNow.Add(24*time.Hour), PrecisionDay }},
		"long ago":          {"occurred_at", func(r *Report) { r.OccurredAt = testNow.AddDate(-11, 0, 0) }},
		"too many words":    {"narrative", func(r *Report) { r.Narrative = strings.Repeat("x", MaxNarrative+1) }},
		"a NUL":             {"narrative", func(r *Report) { r.Narrative = "a\x00b" }},
		"an override":       {"narrative", func(r *Report) { r.Narrative = "a\u202eb" }},
		"an isolate":        {"employer", func(r *Report) { r.Employer = "a\u2066b" }},
		"invalid UTF-8":     {"narrative", func(r *Report) { r.Narrative = "a\xffb" }},
		"too many people":   {"people_affected", func(r *Report) { r.PeopleAffected = MaxPeople + 1 }},
		"negative days":     {"days_unable", func(r *Report) { n := -1; r.DaysUnable = &n }},
		"an unknown choice": {"contact", func(r *Report) { r.Contact.Choice = "tell everyone" }},
		"for nobody":        {"filed_for", func(r *Report) { r.Details.FiledFor = "nobody" }},
		"another control":   {"control", func(r *Report) { r.Details.Control = "moat" }},
		"another answer":    {"manager_told", func(r *Report) { r.Details.Told = "perhaps" }},
		"another exposure":  {"exposure", func(r *Report) { r.Details.Exposure = "bad news" }},
		"another closeness": {"exposure_closeness", func(r *Report) { r.Details.Closeness = "far" }},
		"another language":  {"language", func(r *Report) { r.Language = "fr" }},
	} {
		t.Run(name, func(t *testing.T) {
			r := validReport()
			c.change(&r)
			err := r.Validate(siteKnown, testNow)
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Name != c.field {
				t.Fatalf("err=%+v, want one complaint about %s", err, c.field)
			}
		})
	}
}

func TestTextIsCleanedOfWhatCannotBeSeenAroundIt(t *testing.T) {
	for text, want := range map[string]string{
		" a\r\nb\rc \n":                      "a\nb\nc",
		"\ufeff\u200b a\u200db \u2060\u200c": "a\u200db", // within a word it may join an emoji
		"\u200b \u200d\u2060\ufeff":          "",
	} {
		if got := CleanText(text); got != want {
			t.Errorf("CleanText(%q)=%q, want %q", text, got, want)
		}
	}
}

func TestEveryMistakeIsNamedAtOnce(t *testing.T) {
	r := validReport()
	r.ID, r.Site, r.Kind = "x", "", "rude"
	if got := len(fault.As(r.Validate(siteKnown, testNow)).Fields); got != 3 {
		t.Fatalf("fields=%d, want 3", got)
	}
}

func TestClockIsCorrected(t *testing.T) {
	fast := validReport() // a phone one year fast
	fast.OccurredAt = testNow.AddDate(1, 0, 0).Add(-time.Hour)
	fast.PressedAt = fast.OccurredAt
	fast.CorrectClock(testNow.AddDate(1, 0, 0), testNow)
	if want := testNow.Add(-time.Hour); !fast.OccurredAt.Equal(want) || !fast.PressedAt.Equal(want) {
		t.Errorf("OccurredAt=%v PressedAt=%v, want %v", fast.OccurredAt, fast.PressedAt, want)
	}
	if err := fast.Validate(siteKnown, testNow); err != nil {
		t.Error(err)
	}
	near := validReport() // network delay is no wrong clock
	was := near.OccurredAt
	near.CorrectClock(testNow.Add(-time.Minute), testNow)
	if !near.OccurredAt.Equal(was) {
		t.Errorf("OccurredAt=%v, want %v", near.OccurredAt, was)
	}
}

// What happened at a time that nobody knows happened before it was reported.
func TestWhatHappenedNobodyKnowsWhenCountsWhenItWasReported(t *testing.T) {
	pressed := testNow.AddDate(0, -1, 0)
	for name, c := range map[string]struct{ pressed, sent, want time.Time }{
		"no tap":                   {want: testNow},
		"a tap":                    {pressed, testNow, pressed},
		"a tap, by a clock fast":   {pressed.AddDate(1, 0, 0), testNow.AddDate(1, 0, 0), pressed},
		"a tap that lies ahead":    {testNow.Add(time.Minute), time.Time{}, testNow},
		"a tap on the very stroke": {testNow, time.Time{}, testNow},
		"a tap by a clock of 1970": {time.Unix(0, 0), testNow, testNow},
	} {
		r := validReport()
		r.Precision, r.OccurredAt, r.PressedAt = PrecisionUnknown, time.Time{}, c.pressed
		r.CorrectClock(c.sent, testNow)
		if !r.OccurredAt.Equal(c.want) {
			t.Errorf("%s: it counts at %v, want %v", name, r.OccurredAt, c.want)
		}
		if err := r.Validate(siteKnown, testNow); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for tap, want := range map[time.Time]time.Time{
		{}: testNow, pressed: pressed,
		testNow.Add(time.Hour): testNow, time.Unix(0, 0): testNow, // by a wrong clock
	} {
		i := Incident{ReceivedAt: testNow, Reports: []FiledReport{{ReceivedAt: testNow, PressedAt: tap}}}
		if got := i.ReportedAt(); !got.Equal(want) {
			t.Errorf("with a tap at %v reported at %v, want %v", tap, got, want)
		}
	}
}

func TestMonthIsDecidedInLondon(t *testing.T) {
	for at, want := range map[string]string{
		"2026-06-30T22:59:59Z":      "2026-06",
		"2026-06-30T23:00:00Z":      "2026-07", // British Summer Time
		"2026-12-31T23:59:59Z":      "2026-12",
		"2027-01-01T00:00:00Z":      "2027-01",
		"2027-01-01T05:00:00+09:00": "2026-12",
	} {
		tm, _ := time.Parse(time.RFC3339, at)
		if got := MonthOf(tm).String(); got != want {
			t.Errorf("MonthOf(%s)=%s, want %s", at, got, want)
		}
	}
}

func TestMonthArithmetic(t *testing.T) {
	m := Month{2026, time.January}
	if got := m.Add(-1); got != (Month{2025, time.December}) {
		t.Errorf("Add(-1)=%v", got)
	}
	if got := m.Add(13); got != (Month{2027, time.February}) {
		t.Errorf("Add(13)=%v", got)
	}
	for _, bad := range []string{"2026-13", "2026-00", "2026-1", "26-01", "", "2026/01", "+026-01", "2026-+1"} {
		if _, err := ParseMonth(bad); err == nil {
			t.Errorf("ParseMonth(%q) accepted", bad)
		}
	}
}

func FuzzParseMonth(f *testing.F) {
	f.Add("2026-10")
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMonth(s)
		if err == nil && m.String() != s {
			t.Fatalf("ParseMonth(%q)=%v", s, m)
		}
	})
}

func TestWhoSaysItCounts(t *testing.T) {
	for _, c := range []struct {
		o    Opinion[Channel]
		want Channel
		by   Setter
	}{
		{Opinion[Channel]{}, ChannelUnknown, SetByNobody},
		{Opinion[Channel]{Machine: ChannelPhone}, ChannelPhone, SetByMachine},
		{Opinion[Channel]{Machine: ChannelPhone, Reporter: ChannelInPerson}, ChannelInPerson, SetByReporter},
		{Opinion[Channel]{Machine: ChannelPhone, Reporter: ChannelUnknown}, ChannelPhone, SetByMachine},
		{Opinion[Channel]{Machine: ChannelPhone, Reporter: ChannelInPerson, Reviewer: ChannelLetter}, ChannelLetter, SetByReviewer},
		{Opinion[Channel]{Reporter: ChannelInPerson, Reviewer: ChannelUnknown}, ChannelUnknown, SetByReviewer},
	} {
		if got, by := c.o.Value(); got != c.want || by != c.by {
			t.Errorf("%+v: %v by %v, want %v by %v", c.o, got, by, c.want, c.by)
		}
	}
}

func TestAHazardHasNoChannelAndNoTarget(t *testing.T) {
	d := Classify(Opinion[Kind]{Reporter: KindMissingControl}, Opinion[Channel]{Machine: ChannelPhone}, Opinion[Target]{}, "")
	if d.Channel != ChannelNotApplicable || d.Target != TargetNotApplicable || d.SetBy != SetByReporter || d.Undecided() {
		t.Fatalf("%+v", d)
	}
}

func TestSetByIsTheWeakestWord(t *testing.T) {
	d := Classify(Opinion[Kind]{Reviewer: KindAbuse}, Opinion[Channel]{Machine: ChannelPhone}, Opinion[Target]{Reporter: TargetAnyStaff}, "")
	if d.SetBy != SetByMachine {
		t.Fatalf("SetBy=%q, want machine", d.SetBy)
	}
}

// Whatever order changes arrive in, however often, a ledger ends the same.
func TestLedgerConvergesWhateverTheOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	type change struct {
		id string
		e  Entry
	}
	for trial := range 200 {
		var all []change
		for i := range 20 {
			id := string(rune('a' + i))
			for rev := range int64(1 + rng.IntN(4)) {
				all = append(all, change{id, Entry{Rev: rev + 1, Counted: rng.IntN(4) > 0, Reports: 1, People: 1 + rng.IntN(3), NothingHappened: rng.IntN(4) == 0, SetAside: rng.IntN(4) == 0, Undated: rng.IntN(4) == 0,
					Dims: Dims{Kind: Kinds[rng.IntN(len(Kinds))], Channel: Channels[rng.IntN(len(Channels))], Target: Targets[rng.IntN(len(Targets))]}}})
			}
		}
		straight, shuffled := &Ledger{}, &Ledger{}
		for _, c := range all {
			straight.Set(c.id, c.e)
		}
		again := append(slices.Clone(all), all...)
		rng.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
		for _, c := range again {
			shuffled.Set(c.id, c.e)
		}
		straight.Total()
		shuffled.Total()
		if !reflect.DeepEqual(straight.Cells, shuffled.Cells) {
			t.Fatalf("trial %d: %v != %v", trial, straight.Cells, shuffled.Cells)
		}
	}
}

func TestALineFromAnEarlierReleaseIsReplaced(t *testing.T) {
	l := &Ledger{}
	for _, step := range []struct {
		e       Entry
		changed bool
	}{
		{Entry{Rev: 3, Counted: true}, true},
		{Entry{Rev: 3, Counted: true, NothingHappened: true}, true},
		{Entry{Rev: 3, Counted: true, NothingHappened: true}, false},
		{Entry{Rev: 2, Counted: true}, false},
	} {
		if got := l.Set("a", step.e); got != step.changed {
			t.Errorf("Set(%+v)=%t, want %t", step.e, got, step.changed)
		}
	}
	l.Total()
	if len(l.Cells) != 1 || l.Cells[0].NothingHappened != 1 {
		t.Errorf("Cells=%+v, want one that counts what the reporter said", l.Cells)
	}
}

// What was set aside is in no number but its own, whatever else is known of it.
func TestWhatWasSetAsideIsCountedApart(t *testing.T) {
	i := Incident{Rev: 1, Status: StatusClosedFixed, PeopleAffected: 4, Reports: []FiledReport{{}}}
	i.Locate("leeds", testNow)
	i.Timeline = []Change{{Action: ActionReopened, By: Actor{Role: RoleReporter}}}
	l := &Ledger{}
	want := func(c Cell) {
		t.Helper()
		c.Dims = i.Dims()
		l.Set("a", i.Line(i.Ledger()))
		l.Total()
		if !slices.Equal(l.Cells, []Cell{c}) {
			t.Errorf("Cells=%+v, want %+v", l.Cells, c)
		}
	}
	want(Cell{Incidents: 1, Reports: 1, People: 4, NothingHappened: 1})
	i.Rev, i.Status = 2, StatusSetAside
	i.Timeline = append(i.Timeline, Change{Action: ActionSetAside, From: string(StatusClosedFixed), To: string(StatusSetAside)})
	want(Cell{SetAside: 1})
	i.Rev, i.Status = 3, i.BeforeSetAside()
	want(Cell{Incidents: 1, Reports: 1, People: 4, NothingHappened: 1})
	i.Rev++
	i.Locate("york", testNow)
	l.Set("a", i.Line(LedgerKey{i.Month(), "leeds"}))
	if l.Total(); len(l.Cells) != 0 {
		t.Errorf("Cells=%+v in the ledger that it left, want none", l.Cells)
	}
}

// A machine that learned from a flood would be the sender's.
func TestWhatWasSetAsideTeachesNothing(t *testing.T) {
	i := Incident{Status: StatusAcknowledged, WrappedKey: []byte("demo"), Reports: []FiledReport{{}}}
	i.Kind.Reviewer = KindAbuse
	if !i.Teaches() || !i.LessonDue() {
		t.Error("what a rep decided teaches nothing")
	}
	i.Status = StatusSetAside
	if i.Teaches() || i.LessonDue() {
		t.Error("what was set aside teaches")
	}
}

func TestRollupIsTheSumOfItsLedgersAndIgnoresOldOnes(t *testing.T) {
	cell := func(n int) []Cell { return []Cell{{Dims: Dims{Kind: KindAbuse}, Incidents: n, Reports: n, People: n}} }
	r := &Rollup{}
	r.Fold(&Ledger{Site: "a", Rev: 2, Cells: cell(5)})
	r.Fold(&Ledger{Site: "b", Rev: 1, Cells: cell(3)})
	if r.Fold(&Ledger{Site: "a", Rev: 1, Cells: cell(99)}) {
		t.Error("an older ledger was folded in")
	}
	r.Total()
	if len(r.All) != 1 || r.All[0].Incidents != 8 {
		t.Fatalf("All=%v, want one cell of 8", r.All)
	}
}

func BenchmarkLedgerTotal10000(b *testing.B) {
	l := &Ledger{}
	for i := range 10000 {
		l.Set(string(rune(i))+"x", Entry{Rev: 1, Counted: true, Dims: Dims{Kind: Kinds[i%10], Channel: Channels[i%7], Target: Targets[i%6]}, Reports: 1, People: 1})
	}
	for b.Loop() {
		l.Total()
	}
}

func TestAnIncidentRemembersEveryLedgerItWasIn(t *testing.T) {
	i := Incident{Rev: 1, Status: StatusNew}
	march, april := time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 5, 0, 0, 0, 0, time.UTC)
	i.Locate("a", march)
	i.Locate("a", april)
	i.Locate("b", april)
	i.Locate("a", march)
	i.Locate("a", march.Add(time.Hour))
	got := i.Lines
	want := []LedgerKey{{MonthOf(april), "a"}, {MonthOf(april), "b"}, {MonthOf(march), "a"}}
	if !slices.Equal(got, want) {
		t.Fatalf("Lines=%v, want %v", got, want)
	}
	for n, k := range i.Lines {
		if counted := i.Line(k).Counted; counted != (n == 2) {
			t.Errorf("counted in %v=%v", k, counted)
		}
	}
}
