package reporting

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

const (
	floodWords  = "a man at the desk shouted at all of us for an hour"
	honestWords = "he hit me in the face with his fist"
)

// flood files sixty made-up reports and an honest one about Leeds within an hour,
// and has what is begun carried out. It returns the honest report's id.
func (k *kit) flood() (honest string) {
	k.tb.Helper()
	k.At = time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	var batch []bus.Delivery
	for n := range 61 {
		r := k.Report("leeds")
		r.Narrative = floodWords + fmt.Sprint(" ", n)
		if n == 30 {
			r.Narrative, honest = honestWords, r.ID
		}
		batch = append(batch, k.Filed(r))
	}
	k.apply(batch...)
	ctx, stop := context.WithCancel(context.WithoutCancel(k.tb.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = k.floods.Run(ctx)
	}()
	k.tb.Cleanup(func() {
		stop()
		<-ended
	})
	return honest
}

// howMany returns how many incidents a list's filter holds, of up to 200.
func howMany(t *testing.T, k *kit, query string) int {
	t.Helper()
	var l incidentList
	decodeInto(t, k.get(rep, "/api/v1/incidents?limit=200&"+query).Body, &l)
	return len(l.Incidents)
}

func TestARepSetsAFloodAsideAndTakesItBack(t *testing.T) {
	k := newKit(t)
	if got := k.page(rep, floodsPath, 200).Document(t).Find(".govuk-inset-text").Text(); !strings.Contains(got, "no flood") {
		t.Errorf("before there is one the page says %q", got)
	}
	honest := k.flood()
	k.file("york", nil)
	doc := k.page(leeds, incidentsPath, 200).Document(t)
	card := doc.Find(".app-flood")
	for _, says := range []string{"61 reports about Demo Leeds at once", "60 of them say the same in the very same words", floodWords, "All of them are in the figures."} {
		if card.Length() != 1 || !strings.Contains(card.Text(), says) {
			t.Errorf("the list says %q, want %q", strings.Join(strings.Fields(card.Text()), " "), says)
		}
	}
	// Nothing is hidden: the honest one is in the list, as every other.
	if got := howMany(t, k, "status=new&site=leeds"); got != 61 || doc.Find(".app-list tbody tr").Length() != 50 {
		t.Errorf("%d are listed, want all 61", got)
	}
	if doc.Find(".govuk-tag--purple").Length() == 0 {
		t.Error("no row says that it came in a flood")
	}
	path := card.Find("a").First().AttrOr("href", "")
	doc = k.page(leeds, path, 200).Document(t)
	form := func(pairs ...string) url.Values {
		return with(url.Values{"until": {doc.Find("input[name=until]").AttrOr("value", "")}}, pairs...)
	}
	unlike := k.page(leeds, path+"?show=unlike", 200).Document(t).Find(".app-list tbody tr")
	if unlike.Length() != 1 || !strings.Contains(unlike.Text(), honestWords) {
		t.Errorf("those that are not alike: %q, want the honest one alone", unlike.Text())
	}
	more := doc.Find(".app-pager a[rel=next]").AttrOr("href", "")
	if got := k.page(leeds, more, 200).Document(t).Find(".app-list tbody tr").Length(); got != 11 {
		t.Errorf("%d on the second page, want 11", got)
	}
	for _, refused := range []struct {
		form  url.Values
		field string
	}{
		{form("which", "alike", "reason", "One text."), "#confirm-error"},
		{form("which", "alike", "confirm", "yes"), "#reason-error"},
		{form("which", "half", "confirm", "yes", "reason", "One text."), "#which-error"},
	} {
		res := k.post(leeds, path+"/set-aside", refused.form)
		k.check("refused", res, 422)
		if d := res.Document(t); d.Find(refused.field).Length() != 1 || d.Find(".govuk-error-summary").Length() != 1 || refused.form.Get("reason") != d.Find("#reason").Text() {
			t.Errorf("%v: %s is not said, or what was typed is gone", refused.form, refused.field)
		}
	}
	res := k.post(leeds, path+"/set-aside", form("which", "alike", "confirm", "yes", "reason", "One text, sixty times."))
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != path {
		t.Fatalf("status=%d to %q, want 303 to %s", res.StatusCode, res.Header.Get("Location"), path)
	}
	if aside, open := howMany(t, k, "status=set_aside"), howMany(t, k, "status=new&site=leeds"); aside != 60 || open != 1 {
		t.Errorf("%d set aside and %d new, want 60 and the honest one", aside, open)
	}
	if i := k.incidentOf(honest); i.Status != incident.StatusNew || len(i.Timeline) != 1 {
		t.Errorf("the honest one is %s", i.Status)
	}
	if doc := k.page(rep, incidentsPath, 200).Document(t); doc.Find(".app-flood").Length() != 0 || doc.Find(`a[href="/incidents/floods/"]`).Length() != 1 {
		t.Error("the list still speaks of the flood although one report waits")
	}
	if got := k.page(rep, floodsPath, 200).Document(t).Find(".app-flood").Text(); !strings.Contains(got, "60 are set aside, 1 is in the figures.") {
		t.Errorf("the list of floods says %q", got)
	}
	month := k.incidentOf(honest).Month().String()
	beside := k.page(rep, "/figures/?month="+month, 200).Document(t).Find(".app-beside tbody tr").Last()
	if link := beside.Find("a").Last(); link.Text() != "60" || howMany(t, k, strings.TrimPrefix(link.AttrOr("href", ""), "/incidents/?")) != 60 {
		t.Errorf("the figures say %q were set aside", link.Text())
	}

	// The reporter of one of them says that it is real; then all are taken back.
	doc = k.page(leeds, path, 200).Document(t)
	history := doc.Find(".app-timeline").Text()
	if !strings.Contains(history, "60 incidents set aside together") || !strings.Contains(history, "One text, sixty times.") || !strings.Contains(history, leeds) {
		t.Errorf("history %q", history)
	}
	change := doc.Find("input[name=change]").AttrOr("value", "")
	k.check("no reason", k.post(leeds, path+"/take-back", url.Values{"change": {change}}), 422)
	if res := k.post(leeds, path+"/take-back", url.Values{"change": {change}, "reason": {"They were real."}}); res.StatusCode != http.StatusSeeOther {
		t.Fatalf("taken back: status=%d", res.StatusCode)
	}
	k.check("taken back twice", k.post(leeds, path+"/take-back", url.Values{"change": {change}, "reason": {"Again."}}), 409)
	if aside, open := howMany(t, k, "status=set_aside"), howMany(t, k, "status=new&site=leeds"); aside != 0 || open != 61 {
		t.Errorf("%d set aside and %d new after all were taken back, want none and 61", aside, open)
	}
	k.page(leeds, path, 200).Document(t).Find(".app-timeline li").Each(func(n int, li *goquery.Selection) {
		if n == 0 && li.Find("form").Length() != 0 {
			t.Error("what was taken back can be taken back again")
		}
	})
	for _, gone := range []string{floodsPath + "1-leeds", floodsPath + "nonsense", path + "?show=other&x=1"} {
		if res := k.get(leeds, gone); res.StatusCode != 404 && res.StatusCode != 422 {
			t.Errorf("%s: status=%d", gone, res.StatusCode)
		}
	}
}

// Another site's flood is not found, in the list or by its address.
func TestAFloodIsForItsSitesAlone(t *testing.T) {
	k := newKit(t)
	k.At = time.Now().UTC().Truncate(time.Hour).Add(-2 * time.Hour)
	var batch []bus.Delivery
	for range 60 {
		batch = append(batch, k.Filed(k.Report("york")))
	}
	k.apply(batch...)
	path := k.page(rep, incidentsPath, 200).Document(t).Find(".app-flood a").First().AttrOr("href", "")
	if k.page(leeds, incidentsPath, 200).Document(t).Find(".app-flood").Length() != 0 {
		t.Error("a rep of Leeds is told of a flood at York")
	}
	api := "/api/v1" + path
	k.page(leeds, path, 404)
	for _, res := range []int{
		k.get(leeds, api).StatusCode,
		k.post(leeds, path+"/take-back", url.Values{"change": {"x"}, "reason": {"x"}}).StatusCode,
		k.post(leeds, path+"/set-aside", url.Values{"which": {"all"}, "confirm": {"yes"}, "until": {"2030-01-01T00:00:00Z"}, "reason": {"x"}}).StatusCode,
		k.postJSON(leeds, api+"/set-aside", `{"which":"all","until":"2030-01-01T00:00:00Z","reason":"x"}`).StatusCode,
		k.postJSON(leeds, api+"/take-back", `{"change":"x","reason":"x"}`).StatusCode,
	} {
		if res != 404 {
			t.Errorf("status=%d, want 404", res)
		}
	}
	if got := howMany(t, k, "status=new"); got != 60 {
		t.Errorf("%d new, want all", got)
	}
}

func TestAFloodOverTheAPI(t *testing.T) {
	k := newKit(t)
	honest := k.flood()
	var list struct{ Floods []floodItem }
	decodeInto(t, k.get(rep, "/api/v1/incidents/floods").Body, &list)
	if len(list.Floods) != 1 || list.Floods[0].Alike != 60 || list.Floods[0].Incidents != 61 || list.Floods[0].SiteName != "Demo Leeds" {
		t.Fatalf("%+v", list)
	}
	f := list.Floods[0]
	path := "/api/v1/incidents/floods/" + f.ID
	var d floodDetail
	decodeInto(t, k.get(rep, path).Body, &d)
	if len(d.Page) != 50 || d.Next == nil || !strings.Contains(d.Sample, floodWords) || len(d.Changes) != 0 {
		t.Fatalf("%+v", d)
	}
	decodeInto(t, k.get(rep, path+"?unlike=true").Body, &d)
	if len(d.Page) != 1 || d.Page[0].ID != k.incidentOf(honest).ID {
		t.Fatalf("%+v", d.Page)
	}
	if body := k.get(rep, path).Body; strings.Contains(body, honest) || strings.Contains(body, honestWords) {
		t.Error("a report’s id is shown, or the words of one that is not alike")
	}
	until := f.Until.Format(time.RFC3339Nano)
	for body, want := range map[string]int{
		`{"which":"alike","until":"` + until + `"}`: 422, `{"which":"some","until":"` + until + `","reason":"x"}`: 422, `{"which":"all","reason":"x"}`: 422,
		`{"colour":"red"}`: 422, `{`: 400,
	} {
		if res := k.postJSON(rep, path+"/set-aside", body); res.StatusCode != want {
			t.Errorf("%s: status=%d, want %d", body, res.StatusCode, want)
		}
	}
	var change floodChangeItem
	res := k.postJSON(rep, path+"/set-aside", `{"which":"alike","until":"`+until+`","reason":"One text."}`)
	if decodeInto(t, res.Body, &change); res.StatusCode != 200 || change.Done != 60 || change.Incidents != 60 || change.Action != incident.ActionSetAside {
		t.Fatalf("status=%d: %s", res.StatusCode, res.Body)
	}
	// A reporter says that it is real: it comes back alone, and stays when all are taken back.
	var page incidentList
	decodeInto(t, k.get(rep, "/api/v1/incidents?status=set_aside&limit=1").Body, &page)
	i, err := k.store.Incident(t.Context(), page.Incidents[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	k.apply(k.Added(i.Reports[0].ID, onrecordv1.Addition_ADDITION_WORDS, "It did happen."))
	if got := howMany(t, k, "status=set_aside"); got != 59 {
		t.Errorf("%d set aside, want 59", got)
	}
	if res := k.postJSON(rep, path+"/set-aside", `{"which":"alike","until":"2001-01-01T00:00:00Z","reason":"x"}`); res.StatusCode != 409 {
		t.Errorf("of none: status=%d, want 409", res.StatusCode)
	}
	if res := k.postJSON(rep, path+"/take-back", `{"change":"nonsense","reason":"x"}`); res.StatusCode != 422 {
		t.Errorf("another change: status=%d, want 422", res.StatusCode)
	}
	res = k.postJSON(rep, path+"/take-back", `{"change":"`+change.ID+`","reason":"They were real."}`)
	if res.StatusCode != 200 || howMany(t, k, "status=set_aside") != 0 || howMany(t, k, "status=new") != 61 {
		t.Errorf("status=%d, %d still aside", res.StatusCode, howMany(t, k, "status=set_aside"))
	}
	if got := len(k.incidentOf(i.Reports[0].ID).Timeline); got != 3 {
		t.Errorf("%d entries, want filed, set aside and taken back by its reporter alone", got)
	}
}
