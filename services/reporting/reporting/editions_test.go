package reporting

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/run/runtest"
	"github.com/onrecord/onrecord/services/reporting/internal/figures"
)

// closed files incidents of the month that is over last, and returns it.
func (k *kit) closed(n int, channel incident.Channel) incident.Month {
	k.tb.Helper()
	m := incident.MonthOf(k.At).Add(-1)
	for i := range n {
		k.file(demoSites[i%2].ID, func(r *incident.Report) { r.Channel, r.OccurredAt = channel, m.Start().Add(36*time.Hour) })
	}
	return m
}

func TestAMonthIsPublishedFromThePage(t *testing.T) {
	k := newKit(t)
	m := k.closed(20, incident.ChannelInPerson)
	page, action := "/figures/?month="+m.String(), "/editions/"+m.String()+"/publish"
	if text := k.page(manager, page, 200).Document(t).Find("main").Text(); !strings.Contains(text, m.Name()+" is not published") || strings.Contains(text, "20 incidents") {
		t.Errorf("a manager reads %q before it is published", text)
	}
	if text := k.page(manager, "/figures/", 200).Document(t).Find("h1").Text(); text != "No month is published yet" {
		t.Errorf("h1=%q", text)
	}
	if n := k.page(rep, page, 200).Document(t).Find(`.app-edition a[href="` + action + `"]`).Length(); n != 1 {
		t.Errorf("%d ways to publish, want one", n)
	}
	if n := k.page(leeds, page, 200).Document(t).Find(`a[href="` + action + `"]`).Length(); n != 0 {
		t.Error("a rep of one site is shown the way to publish")
	}
	if text := k.page(rep, action, 200).Document(t).Find("main").Text(); !strings.Contains(text, m.Name()+": 20 incidents") || strings.Contains(text, "Why is it") {
		t.Errorf("before publishing the rep reads %q", text)
	}
	k.page(leeds, action, 403)
	if res := k.post(leeds, action, url.Values{"edition": {"1"}}); res.StatusCode != 403 {
		t.Errorf("a rep of one site publishes: %d", res.StatusCode)
	}
	if res := k.postJSON(leeds, "/api/v1/editions/"+m.String(), `{"edition":1}`); res.StatusCode != 403 || !strings.Contains(res.Body, "every_site_only") {
		t.Errorf("a rep of one site publishes: %d %s", res.StatusCode, res.Body)
	}
	res := k.post(rep, action, url.Values{"edition": {"1"}})
	if want := "/figures/?month=" + m.String() + "&edition=1"; res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != want {
		t.Fatalf("publishing: %d to %q, want %q", res.StatusCode, res.Header.Get("Location"), want)
	}
	if text := k.page(manager, "/figures/", 200).Document(t).Find("main").Text(); !strings.Contains(text, m.Name()+": 20 incidents") || !strings.Contains(text, "Edition 1, published on") {
		t.Errorf("a manager reads %q", text)
	}
	if res := k.post(rep, action, url.Values{"edition": {"1"}}); res.StatusCode != http.StatusConflict {
		t.Errorf("published a second time: %d", res.StatusCode)
	}

	k.closed(8, incident.ChannelPhone)
	doc := k.page(rep, page, 200).Document(t)
	if text := doc.Find(".app-edition").Text(); !strings.Contains(text, ": 20. Now 28: 8 more than then.") {
		t.Errorf("the rep reads %q", text)
	}
	if text := k.page(leeds, page, 200).Document(t).Find(".app-edition").Text(); !strings.Contains(text, ": 10 at your sites. Now 14: 4 more than then.") {
		t.Errorf("the rep of Leeds reads %q", text)
	}
	for field, form := range map[string]url.Values{
		"reason": {"edition": {"2"}, "why": {"Demo: eight came late."}},
		"why":    {"edition": {"2"}, "reason": {"R1"}},
	} {
		res := k.post(rep, action, form)
		k.check("publishing without "+field, res, 422)
		if res.Document(t).Find("#"+field+"-error").Length() != 1 || form.Has("why") && !strings.Contains(res.Body, "eight came late") {
			t.Errorf("without %s: nothing is said at the field, or what was typed is gone", field)
		}
	}
	if res := k.post(rep, action, url.Values{"edition": {"2"}, "reason": {"R1"}, "why": {"Demo: <b>eight</b> came late."}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("publishing again: %d", res.StatusCode)
	}
	text := k.page(manager, page, 200).Document(t).Find("main").Text()
	for _, want := range []string{"28 incidents", "Edition 2, published on", "(R1): Demo: <b>eight</b> came late.", "All incidents", "8 more", "Read edition 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("a manager reads %q, want %q", text, want)
		}
	}
	if text := k.page(manager, page+"&edition=1", 200).Document(t).Find("main").Text(); !strings.Contains(text, "20 incidents") || !strings.Contains(text, "Edition 2 has taken its place") {
		t.Errorf("edition 1 reads %q", text)
	}
	if text := k.page(manager, page+"&edition=3", 200).Document(t).Find("main").Text(); !strings.Contains(text, "has no edition 3") {
		t.Errorf("edition 3 reads %q", text)
	}
	k.page(manager, page+"&edition=0", 422)
	if text := k.page(rep, "/editions/", 200).Document(t).Find("main").Text(); !strings.Contains(text, "by "+rep) {
		t.Errorf("the list a rep reads: %q", text)
	}
	if text := k.page(manager, "/editions/", 200).Document(t).Find("main").Text(); strings.Contains(text, rep) || !strings.Contains(text, "a newer one took its place") {
		t.Errorf("the list a manager reads: %q", text)
	}
}

// Whoever watches the managers' figures sees nothing come.
func TestManagersDoNotSeeALateReportCome(t *testing.T) {
	k := newKit(t)
	m := k.closed(20, incident.ChannelInPerson)
	k.close(m)
	paths := []string{"/figures/", "/figures/?month=" + m.String(), "/figures/?month=" + incident.MonthOf(k.At).String(), "/editions/",
		"/api/v1/editions", "/api/v1/editions/" + m.String() + "/1"}
	answers := func() string {
		var all strings.Builder
		for _, path := range paths {
			all.WriteString(k.get(manager, path).Body)
		}
		var f figures.Figures
		decodeInto(t, k.get(manager, "/api/v1/figures").Body, &f)
		f.AsOf = time.Time{}
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return all.String() + string(text)
	}
	before := answers()
	k.closed(7, incident.ChannelPhone)
	k.file("leeds", nil)
	if after := answers(); after != before {
		t.Errorf("what a manager sees has changed:\n%s\nwas\n%s", after, before)
	}
	if _, err := k.editions.Prepare(t.Context(), m); err != nil {
		t.Errorf("and there was something to see: %v", err)
	}
}

// A rep's figures of an edition are exact and of their sites, by anything.
func TestRepsGetWhatAnEditionWasMadeFrom(t *testing.T) {
	k := newKit(t)
	m := k.closed(20, incident.ChannelInPerson)
	k.close(m)
	k.closed(3, incident.ChannelPhone)
	span := "?from=" + m.String() + "&to=" + m.String()
	for _, c := range []struct {
		who, query string
		total      int
		number     int
	}{
		{rep, "", 23, 0}, {rep, "&edition=live", 23, 0}, {rep, "&edition=latest", 20, 1}, {rep, "&edition=1&by=site,kind", 20, 1}, {leeds, "&edition=1", 10, 1}, {leeds, "", 12, 0},
	} {
		var f figures.Figures
		decodeInto(t, k.get(c.who, "/api/v1/figures"+span+c.query).Body, &f)
		number := 0
		if f.Months[0].Edition != nil {
			number = f.Months[0].Edition.Number
		}
		sum := 0
		for _, cell := range f.Months[0].Cells {
			sum += cell.Count.N
		}
		if f.Months[0].Total.N != c.total || sum != c.total || number != c.number {
			t.Errorf("%s %s: total=%v, cells %d, edition %d, want %d of edition %d", c.who, c.query, f.Months[0].Total, sum, number, c.total, c.number)
		}
	}
	var f figures.Figures
	decodeInto(t, k.get(rep, "/api/v1/figures"+span+"&edition=2").Body, &f)
	if f.Edition != "2" || !f.Months[0].Unpublished || !f.Months[0].Total.Hidden || len(f.Months[0].Notes) != 1 {
		t.Errorf("edition 2: %+v", f)
	}
	for path, want := range map[string]int{m.String() + "/1": 200, m.String() + "/2": 404, m.String() + "/x": 404, m.String() + "/01": 404, "2026-13/1": 404, "1999-01/1": 404} {
		if res := k.get(manager, "/api/v1/editions/"+path); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, res.StatusCode, want)
		}
	}
}

// The instance that leads publishes what is due, with nobody there.
func TestAMonthThatIsDueIsPublishedWithoutAnybody(t *testing.T) {
	k := newKit(t)
	m := k.closed(20, incident.ChannelInPerson)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	k.cfg.PublishDay, k.cfg.Alone = 1, true
	k.open()
	k.run()
	runtest.Eventually(t, time.Minute, func() error {
		if res := k.get(manager, "/api/v1/editions/"+m.String()+"/1"); res.StatusCode != 200 {
			return fmt.Errorf("%d %s", res.StatusCode, res.Body)
		}
		return nil
	})
	if text := k.page(rep, "/editions/", 200).Document(t).Find("main").Text(); !strings.Contains(text, "by itself") {
		t.Errorf("the list says %q", text)
	}
}
