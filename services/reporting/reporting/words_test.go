package reporting

import (
	"math"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/figures"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

func TestEveryValueHasItsWords(t *testing.T) {
	check := func(value, words string) {
		if words == "" {
			t.Errorf("%s has no words", value)
		}
	}
	for _, v := range incident.Kinds {
		check(string(v), kindWords[v])
	}
	for _, v := range channelFilters {
		check(string(v), channelWords[v])
		check(string(v), filterWords[v])
	}
	for _, v := range incident.Targets {
		check(string(v), targetWords[v])
	}
	for _, v := range incident.Hurts {
		check(string(v), hurtWords[v])
	}
	for _, v := range incident.Precisions {
		check(string(v), precisionWords[v])
	}
	for _, v := range incident.Bases {
		check(string(v), basisWords[v])
	}
	for _, v := range incident.FiledFors {
		check(string(v), filedForWords[v])
	}
	for _, v := range incident.Controls {
		check(string(v), controlWords[v])
	}
	for _, v := range incident.Tolds {
		check(string(v), toldWords[v])
	}
	for _, v := range incident.Exposures {
		check(string(v), exposureWords[v])
	}
	for _, v := range incident.Closenesses {
		check(string(v), closenessWords[v])
	}
	for _, v := range incident.Statuses {
		check(string(v), statusWords[v])
		check(string(v), statusColours[v])
	}
	for _, v := range []store.Role{store.RoleAdministrator, store.RoleManager, store.RoleRep} {
		check(string(v), roleWords[v])
	}
	for _, action := range actions {
		check(action, notices[action])
	}
}

// The figures and the incidents behind them call the same thing by one name.
func TestFiguresUseTheSameWords(t *testing.T) {
	k := newKit(t)
	page, err := k.figures.ExactPage(t.Context(), figures.PageQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range page.Kinds {
		if l.Label != kindWords[l.Key] {
			t.Errorf("kind %s is %q in figures and %q elsewhere", l.Key, l.Label, kindWords[l.Key])
		}
	}
	for _, c := range page.Columns {
		if c.Label != targetWords[c.Key] {
			t.Errorf("target %s is %q in figures and %q elsewhere", c.Key, c.Label, targetWords[c.Key])
		}
	}
	for _, r := range page.Rows {
		if r.Label != channelWords[r.Key] {
			t.Errorf("channel %s is %q in figures and %q elsewhere", r.Key, r.Label, channelWords[r.Key])
		}
	}
}

func TestWordsForNumbersAndTimes(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ got, want string }{
		{number(0), "0"}, {number(999), "999"}, {number(1000), "1,000"}, {number(-1234567), "−1,234,567"},
		{incidents(1), "1 incident"}, {incidents(2000), "2,000 incidents"},
		{ago(now.Add(-59*time.Minute), now), "under an hour"}, {ago(now.Add(-time.Hour), now), "1 hour"},
		{ago(now.Add(-47*time.Hour), now), "47 hours"}, {ago(now.Add(-48*time.Hour), now), "2 days"}, {ago(now.Add(time.Hour), now), "under an hour"},
		{list(nil), ""}, {list([]string{"a"}), "a"}, {list([]string{"a", "b"}), "a and b"}, {list([]string{"a", "b", "c"}), "a, b and c"},
		{clock(time.Date(2026, 7, 1, 12, 30, 0, 0, time.UTC)), "Wed 1 Jul 2026, 1:30pm"}, // summer time
		{occurredAt(now, incident.PrecisionExact), "Sat 21 Nov 2026, 12:00pm"}, {occurredAt(now, incident.PrecisionAbout), "About Sat 21 Nov 2026, 12:00pm"},
		{occurredAt(now, incident.PrecisionDay), "Sat 21 Nov 2026"}, {occurredAt(now, incident.PrecisionUnknown), "Not known when (reported Sat 21 Nov 2026)"},
		{chance(1), "over 99% sure"}, {chance(0.005), "under 1% sure"}, {chance(0.5), "50% sure"}, {chance(math.NaN()), "NaN% sure"},
		{excerpt("one\n\ntwo"), "one two"}, {excerpt(""), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	if got := excerpt(strings.Repeat("word ", 100)); utf8.RuneCountInString(got) > excerptLength+1 || !strings.HasSuffix(got, "word…") {
		t.Errorf("excerpt=%q", got)
	}
}

// Whatever offsets a message holds, the account is shown whole and unchanged.
func FuzzPieces(f *testing.F) {
	f.Add("shouted at me", 0, 7, 3, 20)
	f.Add("grüße \U0001F4A5 desk", 2, 4, -1, 99)
	f.Add("", 0, 0, 5, 1)
	f.Fuzz(func(t *testing.T, text string, a, b, c, d int) {
		reading := incident.Reading{Kind: incident.Judgement{Value: "abuse", Reasons: []incident.Reason{{Start: a, End: b, For: "abuse"}, {Start: c, End: d, For: "abuse"}}},
			Channel: incident.Judgement{Value: "phone", Reasons: []incident.Reason{{Start: b, End: d, For: "phone"}}}}
		whole := ""
		for _, p := range pieces(text, reading) {
			if p.Text == "" {
				t.Errorf("an empty piece of %q", text)
			}
			if utf8.ValidString(text) && !utf8.ValidString(p.Text) {
				t.Errorf("%q is cut inside a character", p.Text)
			}
			whole += p.Text
		}
		if whole != text {
			t.Errorf("pieces of %q are %q", text, whole)
		}
	})
}

// A path that localPath lets through stays on this site for every browser.
func FuzzLocalPath(f *testing.F) {
	for _, s := range []string{"/incidents/?a=b", "//evil.example", `/\evil.example`, "https://evil.example", "/\t/evil.example", "javascript:alert(1)", "/%2f/evil.example", "/%2f ", "/ /evil"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := localPath(next)
		if got == "" {
			return
		}
		u, err := url.Parse(got)
		if err != nil || u.Host != "" || u.Scheme != "" || got[0] != '/' || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\t\r\n") {
			t.Errorf("%q leads to %q", next, got)
		}
	})
}

// Only the API takes several statuses: a page's select shows one.
func TestParametersGivenTwiceAreNamed(t *testing.T) {
	for query, page := range map[string]bool{
		"site=leeds&site=york": false, "month=2026-10&month=2026-10": false, "kind=threat&kind=": false, "status=new&status=withdrawn": true,
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		groups := map[string][]incident.Status(nil)
		if page {
			groups = statusGroups
		}
		_, err = readFilter(q, nil, groups)
		name, _, _ := strings.Cut(query, "=")
		if f := fault.As(err); err == nil || len(f.Fields) != 1 || f.Fields[0].Name != name {
			t.Errorf("%s: %v, want %s named", query, err, name)
		}
	}
	got, err := readFilter(url.Values{"status": {"new", "withdrawn"}}, nil, nil)
	if err != nil || len(got.Statuses) != 2 {
		t.Errorf("statuses=%v %v, want both", got.Statuses, err)
	}
}

// A filter is refused with what to mend, or stays within the sites that may be
// seen.
func FuzzReadFilter(f *testing.F) {
	for _, s := range []string{"status=new,closed_fixed&site=leeds", "month=2026-10&limit=200", "site=york", "cursor=x&review=true", "channel=online", "%zz=1", "status=%ff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		got, err := readFilter(q, []string{"leeds"}, statusGroups)
		if err != nil {
			if e := fault.As(err); e.Kind != fault.Invalid || len(e.Fields) == 0 {
				t.Errorf("%q: %v, want the parameters named", query, err)
			}
			return
		}
		if len(got.Sites) != 1 || got.Sites[0] != "leeds" || got.Limit < 1 || got.Limit > maxLimit {
			t.Errorf("%q: %+v is not within the sites or the limit", query, got)
		}
	})
}

func FuzzIfMatch(f *testing.F) {
	for _, s := range []string{`"3"`, `W/"3"`, `*`, `""`, `"-1"`, `"+3"`, `"03"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if rev, err := ifMatch(header); err == nil && etag(rev) != header {
			t.Errorf("%q is read as %d", header, rev)
		}
	})
}

func TestWhatTheWordsTellBesidesIsSaid(t *testing.T) {
	if got := besidesOf(incident.Reading{Weapon: incident.Judgement{Value: "no"}}); got != "" {
		t.Errorf("%q, want nothing", got)
	}
	got := besidesOf(incident.Reading{
		SecondChannel: incident.Judgement{Value: "public_online"}, SeriousThreat: incident.Judgement{Value: "yes"},
		Weapon: incident.Judgement{Value: "yes"}, Basis: []incident.Judgement{{Value: "racist"}},
	})
	if want := "The words also tell of a second way it reached staff (" + lowered(channelWords[incident.ChannelPublicOnline]) + "), a threat of death or serious harm, a weapon and racist abuse."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
