package reporting

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// unsure files a report that model demo-1 is not sure of: dangerous with a
// probability, abuse otherwise. It returns the incident's reference.
func (k *kit) unsure(dangerous incident.Kind, p float64) string {
	k.tb.Helper()
	r := k.Report("leeds")
	r.Kind = incident.KindUnknown
	k.apply(k.Filed(r))
	k.read(r.ID, "demo-1", dangerous, p)
	return k.incidentOf(r.ID).Ref
}

func (k *kit) read(reportID, model string, dangerous incident.Kind, p float64) {
	k.tb.Helper()
	other := &onrecordv1.Judgement{Value: "unknown", Probabilities: []*onrecordv1.Probability{{Value: "unknown", P: 1}}}
	k.apply(k.Deliver(bus.Subject(bus.TypeClassified, reportID, model), &onrecordv1.Envelope{Type: bus.TypeClassified, Id: reportID + ".classified." + model,
		Event: &onrecordv1.Envelope_ReportClassified{ReportClassified: &onrecordv1.ReportClassified{ReportId: reportID, ModelVersion: model, TaxonomyVersion: incident.TaxonomyVersion, Review: true,
			Kind: &onrecordv1.Judgement{Value: "abuse", Probabilities: []*onrecordv1.Probability{{Value: string(dangerous), P: p}, {Value: "abuse", P: 1 - p}}}, Channel: other, Target: other}}}))
}

// listed returns the references on a page of the list, in order.
func (k *kit) listed(path string) (refs []string, next string) {
	k.tb.Helper()
	doc := k.page(rep, path, 200).Document(k.tb)
	for _, link := range doc.Find(".app-list__main > a .govuk-visually-hidden").EachIter() {
		refs = append(refs, strings.TrimPrefix(link.Text(), ", "))
	}
	return refs, doc.Find(`.app-pager a[rel="next"]`).AttrOr("href", "")
}

func TestWhatNeedsALookStandsByDanger(t *testing.T) {
	k := newKit(t)
	low := k.unsure(incident.KindThreat, 0.1)
	high := k.unsure(incident.KindAssault, 0.6)
	older := k.unsure(incident.KindAttemptedAssault, 0.3)
	newer := k.unsure(incident.KindThreat, 0.3)
	r := k.Report("leeds")
	r.Kind = incident.KindThreat
	k.apply(k.Filed(r)) // nobody has read it
	unread := k.incidentOf(r.ID).Ref
	k.file("leeds", nil) // the machine is sure
	refs, _ := k.listed("/incidents/?status=review")
	if want := []string{unread, high, newer, older, low}; !slices.Equal(refs, want) {
		t.Errorf("listed %v, want %v", refs, want)
	}
	if text := k.page(rep, "/incidents/?status=review", 200).Document(t).Find(".app-count").Text(); !strings.Contains(text, "The likeliest assaults and threats first") || strings.Contains(text, "Of the newest") {
		t.Errorf("the order is described as %q", text)
	}
	k.read(r.ID, "demo-2", incident.KindThreat, 0.05) // a newer reading counts
	if refs, _ = k.listed("/incidents/?status=review"); refs[len(refs)-1] != unread {
		t.Errorf("read as harmless, it still stands before others: %v", refs)
	}
	if text := reviewOrder(reviewMost + 1); !strings.Contains(text, "Of the newest 1,000, that is") {
		t.Errorf("of more than are listed it is said: %q", text)
	}
	for _, cursor := range []string{"nonsense", "3", "-1~", "1001~", "99999999999999999999~", "0~nonsense"} {
		k.page(rep, "/incidents/?status=review&cursor="+cursor, 422)
	}
	if refs, _ = k.listed("/incidents/?status=review&cursor=1000~"); len(refs) > 0 {
		t.Errorf("beyond the end there are %v", refs)
	}
}

// What is said to wait is what the way to it leads to, also in a part of the list.
func TestTheCountsOfTheListLeadToWhatTheyCount(t *testing.T) {
	k := newKit(t)
	k.unsure(incident.KindThreat, 0.3)
	k.unsure(incident.KindThreat, 0.4)
	for _, site := range []string{"leeds", "leeds", "york"} {
		k.file(site, nil)
	}
	seen := k.file("leeds", nil)
	if res := k.post(rep, "/incidents/"+seen.ID+"/acknowledge", seenOf(seen)); res.StatusCode != 303 {
		t.Fatalf("acknowledge: status=%d", res.StatusCode)
	}
	for path, want := range map[string][]string{
		"/incidents/":           {"5 are not acknowledged yet", "2 need a look"},
		"/incidents/?site=york": {"1 is not acknowledged yet"},
	} {
		doc := k.page(rep, path, 200).Document(t)
		var got []string
		for _, link := range doc.Find(".app-count a").EachIter() {
			got = append(got, link.Text())
			refs, _ := k.listed(link.AttrOr("href", ""))
			if n, _, _ := strings.Cut(link.Text(), " "); n != strconv.Itoa(len(refs)) {
				t.Errorf("%s: “%s” leads to %d", path, link.Text(), len(refs))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q, in %s", path, got, want, doc.Find(".app-count").Text())
		}
	}
}

func TestWhatNeedsALookIsReadPageByPage(t *testing.T) {
	k := newKit(t)
	want := map[string]bool{}
	for n := range maxLimit + 3 { // more than the store hands out at once
		want[k.unsure(incident.KindThreat, float64(n%7)/10)] = true
	}
	seen := map[string]bool{}
	for path := "/incidents/?status=review"; path != ""; {
		var refs []string
		refs, path = k.listed(path)
		for _, ref := range refs {
			if seen[ref] || !want[ref] {
				t.Errorf("%s is listed twice, or does not belong there", ref)
			}
			seen[ref] = true
		}
	}
	if len(seen) != len(want) {
		t.Errorf("%d were listed, want %d", len(seen), len(want))
	}
}

// The API lists what needs a look in the same order, and all of it.
func TestTheAPIListsWhatNeedsALookByDanger(t *testing.T) {
	k := newKit(t)
	low := k.unsure(incident.KindThreat, 0.1)
	high := k.unsure(incident.KindAssault, 0.6)
	middle := k.unsure(incident.KindAttemptedAssault, 0.3)
	k.file("leeds", nil) // the machine is sure
	var refs []string
	for cursor := ""; ; {
		var answer incidentList
		decodeInto(t, k.get(rep, "/api/v1/incidents?review=true&limit=2&cursor="+url.QueryEscape(cursor)).Body, &answer)
		for _, i := range answer.Incidents {
			refs = append(refs, i.Ref)
		}
		if answer.Next == nil {
			break
		}
		cursor = *answer.Next
	}
	if want := []string{high, middle, low}; !slices.Equal(refs, want) {
		t.Errorf("listed %v, want %v", refs, want)
	}
}

// More than are put in order together: the newest, then those before them.
func TestWhatNeedsALookIsListedToItsEnd(t *testing.T) {
	k := newKit(t)
	var refs []string
	for n := range 7 { // the newest are the least dangerous
		refs = append(refs, k.unsure(incident.KindThreat, 0.7-float64(n)/10))
	}
	want := []string{refs[4], refs[5], refs[6], refs[1], refs[2], refs[3], refs[0]}
	var got []string
	f := store.Filter{Review: true, Limit: 2}
	for {
		page, next, err := k.listByDanger(t.Context(), f, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page {
			got = append(got, i.Ref)
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
}
