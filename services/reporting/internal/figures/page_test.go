package figures

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

func TestExactPage(t *testing.T) {
	p, err := live(twoSites()).ExactPage(t.Context(), PageQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ got, want string }{
		"month":          {p.Month.String(), "2026-10"},
		"heading":        {p.Heading, "October 2026: 174 incidents"},
		"parts":          {p.Parts, "120 in person; 20 by phone; 21 online; 13 not known."},
		"change":         {p.Change, "54 more than in September (45%)."},
		"undecided":      {p.Undecided, "For 13 of the 174 (7%), how it reached staff or whom it was aimed at is not known yet."},
		"first row":      {cellsOf(p.Rows[0]), "In person: 120 0 0 0 0 0 = 120"},
		"online":         {cellsOf(p.Rows[3]), "Online: 0 0 21 0 0 0 = 21"},
		"under online":   {cellsOf(p.Rows[5]), "Public online: 0 0 21 0 0 0 = 21"},
		"row of totals":  {cellsOf(p.Total), "All: 130 20 21 0 0 3 = 174"},
		"bar in words":   {p.Bars.Months[10].Sentence, "October 2026: 174. 120 in person; 20 by phone; 21 online; 13 not known."},
		"legend":         {strings.Join(p.Bars.Labels, ", "), "In person, Phone, Online, Not known"},
		"running month":  {p.Bars.Months[11].Short, "Nov"},
		"to choose from": {p.Months[0].Label, "November 2026"},
	} {
		if c.got != c.want {
			t.Errorf("%s=%q, want %q", what, c.got, c.want)
		}
	}
	if !p.Exact || p.Threshold != 0 || len(p.Notes) != 0 || !p.Months[1].Selected || !p.Bars.Months[11].Running || !p.Bars.Months[10].Selected {
		t.Errorf("got %+v", p)
	}
	parts := p.Bars.Months[10].Parts
	height := 0.0
	for _, part := range parts {
		height += part.Height
	}
	if math.Abs(height-100) > 0.2 { // each is rounded
		t.Errorf("the highest bar must fill the chart: %+v", parts)
	}
	if months := len(p.Bars.Months); months != 12 {
		t.Errorf("%d bars, want 12", months)
	}
}

func TestPageTellsWhatStandsBesideTheTotal(t *testing.T) {
	p, err := live(saidAndAside()).ExactPage(t.Context(), PageQuery{Month: october})
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, r := range p.Beside {
		rows = append(rows, r.Label+" "+r.Nothing.Text+" "+r.Undated.Text+" "+r.SetAside.Text)
	}
	want := "In person 9 8 0, Phone 3 3 40, Letter 0 0 0, Online 0 0 4, Does not apply 0 0 0, Not known 0 0 0, All 12 11 44"
	if got := strings.Join(rows, ", "); got != want || p.Heading != "October 2026: 174 incidents" {
		t.Errorf("%s under %q, want %s", got, p.Heading, want)
	}
}

func cellsOf(r Row) string {
	var b strings.Builder
	b.WriteString(r.Label + ":")
	for _, c := range r.Cells {
		b.WriteString(" " + c.Text)
	}
	return b.String() + " = " + r.Total.Text
}

func TestPublishedPageHoldsNothingHidden(t *testing.T) {
	p, err := published(twoSites()).PublishedPage(t.Context(), PageQuery{Month: october})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.Total.Cells[5].Text, "hidden"; got != want {
		t.Errorf("three incidents with an unknown target: %q, want %q", got, want)
	}
	if p.Heading != "October 2026: 174 incidents" || p.Threshold != 5 || len(p.Notes) != 1 {
		t.Errorf("got %+v", p)
	}
	body, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), `"Text":"3"`) {
		t.Error("the page holds the hidden 3")
	}
	var walk func(x any)
	walk = func(x any) {
		switch x := x.(type) {
		case map[string]any:
			if x["Hidden"] == true && x["Text"] != nil && x["Text"] != "hidden" {
				t.Errorf("a hidden number says %v", x["Text"])
			}
			for _, v := range x {
				walk(v)
			}
		case []any:
			for _, v := range x {
				walk(v)
			}
		}
	}
	var tree any
	if err := json.Unmarshal(body, &tree); err != nil {
		t.Fatal(err)
	}
	walk(tree)
	if _, err := published(twoSites()).PublishedPage(t.Context(), PageQuery{Sites: []string{"york"}}); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("one site's page: %v, want Forbidden", err)
	}
}

func TestPageMonth(t *testing.T) {
	only := func(m incident.Month) ledgers {
		return ledgers{{Month: m, Site: "leeds", Cells: []incident.Cell{
			cell(incident.KindAbuse, incident.ChannelPhone, incident.TargetAnyStaff, incident.SetByReporter, 1)}}}
	}
	for name, c := range map[string]struct {
		l       ledgers
		month   incident.Month
		heading string
		change  string
	}{
		"nothing yet":            {ledgers{}, incident.Month{}, "October 2026: no incidents", "There were none in September either."},
		"only this month":        {only(november), incident.Month{}, "November 2026 so far: 1 incident", "There were none in October."},
		"the month before":       {only(october), incident.Month{}, "October 2026: 1 incident", "There were none in September."},
		"fewer":                  {only(september), october, "October 2026: no incidents", "1 fewer than in September (100%)."},
		"across the year":        {ledgers{}, incident.Month{Year: 2026, Month: 1}, "January 2026: no incidents", "There were none in December 2025 either."},
		"long ago":               {ledgers{}, incident.Month{Year: 2019, Month: 3}, "March 2019: no incidents", "There were none in February either."},
		"one that is to come":    {ledgers{}, incident.Month{Year: 2030, Month: 3}, "March 2030: no incidents", "There were none in February either."},
		"oldest bar of the page": {only(november.Add(-12)), november.Add(-11), "December 2025: no incidents", "1 fewer than in November (100%)."},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := live(c.l).ExactPage(t.Context(), PageQuery{Month: c.month})
			if err != nil {
				t.Fatal(err)
			}
			if p.Heading != c.heading || p.Change != c.change {
				t.Errorf("got %q, %q, want %q, %q", p.Heading, p.Change, c.heading, c.change)
			}
			selected := 0
			for _, m := range p.Months {
				if m.Selected {
					selected++
				}
			}
			for _, b := range p.Bars.Months {
				if b.Selected {
					selected++
				}
			}
			if selected != 2 {
				t.Errorf("%d months are marked as selected, want one choice and one bar", selected)
			}
		})
	}
}

func TestPageWithAHiddenTotal(t *testing.T) {
	l := ledgers{{Month: october, Site: "leeds", Cells: []incident.Cell{
		cell(incident.KindAbuse, incident.ChannelPhone, incident.TargetAnyStaff, incident.SetByReporter, 2)}}}
	p, err := published(l).PublishedPage(t.Context(), PageQuery{Month: october})
	if err != nil {
		t.Fatal(err)
	}
	if p.Heading != "October 2026: the number of incidents is hidden" || p.Parts != "Hidden: by phone." ||
		p.Change != "The change from September is not shown, because a number is hidden." || !p.Bars.Hidden {
		t.Errorf("got %q, %q, %q, %v", p.Heading, p.Parts, p.Change, p.Bars.Hidden)
	}
	for _, part := range p.Bars.Months[10].Parts {
		if part.Height != 0 {
			t.Errorf("a hidden part has a height: %+v", part)
		}
	}
}

// Every value of the taxonomy has words, so that no row is without a name.
func TestEveryValueHasALabel(t *testing.T) {
	for _, c := range incident.Channels {
		if ChannelLabels[c] == "" {
			t.Errorf("channel %s has no label", c)
		}
		if channelPhrases[c] == "" && !c.IsOnline() {
			t.Errorf("channel %s has no phrase", c)
		}
	}
	for _, x := range incident.Targets {
		if TargetLabels[x] == "" {
			t.Errorf("target %s has no label", x)
		}
	}
	for _, k := range incident.Kinds {
		if KindLabels[k] == "" {
			t.Errorf("kind %s has no label", k)
		}
	}
	if len(rowOrder) != len(incident.Channels)+1 {
		t.Errorf("the page has %d rows, want every channel and online", len(rowOrder))
	}
}

func TestWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{thousands(0), "0"}, {thousands(999), "999"}, {thousands(1956), "1,956"}, {thousands(1234567), "1,234,567"},
		{percent(1, 1000), "less than 1%"}, {percent(999, 1000), "more than 99%"}, {percent(1, 2), "50%"}, {percent(3, 3), "100%"}, {percent(26, 147), "18%"},
		{undecidedShare(Number{N: 3}, Number{}), "How it reached staff and whom it was aimed at is known for all of them."},
		{undecidedShare(Number{N: 30}, Number{Hidden: true}), "For some, how it reached staff or whom it was aimed at is not known yet. How many is hidden."},
		{undecidedShare(Number{}, Number{}), ""},
		{People.counted(1), "1 person affected"}, {Reports.counted(2), "2 reports"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func BenchmarkExactPage(b *testing.B) {
	var l ledgers
	for i := range 13 {
		l = append(l, store.SiteMonth{Month: november.Add(-i), Site: "leeds", Cells: twoSites()[1].Cells})
	}
	s := live(l)
	for b.Loop() {
		if _, err := s.ExactPage(b.Context(), PageQuery{}); err != nil {
			b.Fatal(err)
		}
	}
}
