package reporting

import (
	"slices"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
)

// What the reporter, the machine and the reviewer say stands side by side, on
// the page, in the API, in the history and in the figures, and none writes over
// another: only whose word counts changes.
func TestThreeWordsStandSideBySide(t *testing.T) {
	k := newKit(t)
	r := k.Report("leeds")
	r.Kind, r.Channel, r.Target = incident.KindAbuse, incident.ChannelPhone, incident.TargetNamedPerson
	k.apply(k.Filed(r))
	path := "/api/v1/incidents/" + k.incidentOf(r.ID).ID
	stands := func(when string, want opinionItem, cells []string) {
		t.Helper()
		var got incidentDetail
		decodeInto(t, k.get(rep, path).Body, &got)
		if got.Kind != want {
			t.Errorf("%s: kind=%+v, want %+v", when, got.Kind, want)
		}
		row := k.page(rep, incidentsPath+got.ID, 200).Document(t).Find(".app-opinions tbody tr").First().Find("td")
		for n, say := range cells {
			if text := row.Eq(n).Text(); !strings.Contains(text, say) {
				t.Errorf("%s: cell %d of the page is %q, want %q", when, n, text, say)
			}
		}
		var figures struct {
			Months []struct {
				Cells []struct {
					Kind  string
					Count int
					SetBy map[string]int `json:"set_by"`
				}
			}
		}
		decodeInto(t, k.get(rep, "/api/v1/figures?by=kind&from="+got.Month.String()+"&to="+got.Month.String()).Body, &figures)
		if len(figures.Months) != 1 || len(figures.Months[0].Cells) != 1 {
			t.Fatalf("%s: figures=%+v, want one cell", when, figures)
		}
		if c := figures.Months[0].Cells[0]; c.Kind != want.Value || c.Count != 1 || c.SetBy[string(want.SetBy)] != 1 {
			t.Errorf("%s: the figures have %+v, want one %s set by the %s", when, c, want.Value, want.SetBy)
		}
	}
	stands("filed", opinionItem{"abuse", incident.SetByReporter, "abuse", "", ""}, []string{"Abuse", "Has not read it yet", "–"})
	k.apply(k.Classified(r.ID, "demo-1", incident.KindThreat, incident.ChannelPhone, incident.TargetNamedPerson))
	stands("read", opinionItem{"abuse", incident.SetByReporter, "abuse", "threat", ""}, []string{"Abuse", "Threat", "–"})
	i := k.incidentOf(r.ID)
	if res := k.post(rep, incidentsPath+i.ID+"/classify", with(seenOf(i), "kind", "assault", "channel", "phone", "target", "named_person", "reason", "It says so.")); res.StatusCode != 303 {
		t.Fatalf("classify: status=%d", res.StatusCode)
	}
	stands("reviewed", opinionItem{"assault", incident.SetByReviewer, "abuse", "threat", "assault"}, []string{"Abuse", "Threat", "Assault"})
	k.apply(k.Classified(r.ID, "demo-2", incident.KindAttemptedAssault, incident.ChannelPhone, incident.TargetNamedPerson))
	stands("read again", opinionItem{"assault", incident.SetByReviewer, "abuse", "attempted_assault", "assault"}, []string{"Abuse", "", "Assault"})
	history := strings.Join(strings.Fields(k.page(rep, incidentsPath+i.ID, 200).Document(t).Find(".app-timeline").Text()), " ")
	for _, want := range []string{"Answered: abuse; phone; aimed at a named person", "Read as: threat; phone; aimed at a named person", "Read as: attempted assault; phone",
		"Corrected", "What happened: from abuse to assault", "Confirmed", "How it reached staff: phone"} {
		if !strings.Contains(history, want) {
			t.Errorf("the history does not say %q: %s", want, history)
		}
	}
	if strings.Contains(history, "from phone to phone") {
		t.Errorf("the history tells a change that is none: %s", history)
	}

	var got incidentDetail
	decodeInto(t, k.get(rep, path).Body, &got)
	var actions []incident.Action
	for _, c := range got.Timeline {
		if !slices.Contains(actions, c.Action) {
			actions = append(actions, c.Action)
		}
		if c.Field == "kind" && (c.From == c.To || c.By.Role == "") {
			t.Errorf("history: %+v, want who changed what", c)
		}
	}
	if !slices.Contains(actions, incident.ActionFiled) || !slices.Contains(actions, incident.ActionRead) || len(actions) < 3 {
		t.Errorf("history=%v, want what was filed, what was read and what was decided", actions)
	}
}

// Where the reporter does not know, the machine's word counts and is marked so.
func TestTheMachinesWordCountsWhereTheReporterDoesNotKnow(t *testing.T) {
	k := newKit(t)
	r := k.Report("leeds")
	r.Kind, r.Channel, r.Target = incident.KindUnknown, incident.ChannelUnknown, incident.TargetUnknown
	k.apply(k.Filed(r), k.Classified(r.ID, "demo-1", incident.KindThreat, incident.ChannelPhone, incident.TargetNamedPerson))
	var got incidentDetail
	decodeInto(t, k.get(rep, "/api/v1/incidents/"+k.incidentOf(r.ID).ID).Body, &got)
	if want := (opinionItem{"threat", incident.SetByMachine, "unknown", "threat", ""}); got.Kind != want {
		t.Errorf("kind=%+v, want %+v", got.Kind, want)
	}
	if got.Channel.SetBy != incident.SetByMachine || got.Target.SetBy != incident.SetByMachine {
		t.Errorf("channel=%+v target=%+v, want both set by the machine", got.Channel, got.Target)
	}
}
