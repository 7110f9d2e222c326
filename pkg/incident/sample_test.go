package incident

import (
	"maps"
	"testing"
)

// checked is an incident whose machine reading was picked for a check.
func checked() *Incident {
	return &Incident{
		Status: StatusNew, Reports: []FiledReport{{ID: "r"}},
		Kind: Opinion[Kind]{Machine: KindAbuse}, Channel: Opinion[Channel]{Machine: ChannelPhone}, Target: Opinion[Target]{Machine: TargetAnyStaff},
		Readings: []Reading{{Model: "demo-1", Review: true, Sampled: true, Kind: Judgement{Value: "abuse"}, Channel: Judgement{Value: "phone"}, Target: Judgement{Value: "any_staff"}}},
		Timeline: []Change{{Seq: 1, Action: ActionFiled}, {Seq: 2, Action: ActionRead, By: Actor{Role: "machine", ID: "demo-1"}}},
	}
}

func (i *Incident) decided(field string) {
	i.Timeline = append(i.Timeline, Change{Seq: len(i.Timeline) + 1, Action: ActionCorrected, Field: field})
}

func TestACheckSaysWhatAReviewerMadeOfASureReading(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(i *Incident)
		want    map[string]bool // nil: no check
		settled bool
	}{
		"nobody has looked": {func(*Incident) {}, map[string]bool{}, false},
		"every field kept": {func(i *Incident) {
			i.Kind.Reviewer, i.Channel.Reviewer, i.Target.Reviewer = KindAbuse, ChannelPhone, TargetAnyStaff
			i.decided("kind")
			i.decided("channel")
			i.decided("target")
		}, map[string]bool{"kind": true, "channel": true, "target": true}, true},
		"one mended, the rest left": {func(i *Incident) {
			i.Channel.Reviewer = ChannelInPerson
			i.decided("channel")
		}, map[string]bool{"channel": false}, false},
		"mended, and back again": {func(i *Incident) {
			i.Channel.Reviewer = ChannelPhone
			i.decided("channel")
			i.decided("channel")
		}, map[string]bool{"channel": true}, false},
		"a site corrected": {func(i *Incident) { i.decided("site") }, map[string]bool{}, false},
		"decided before the model read it": {func(i *Incident) {
			i.Channel.Reviewer = ChannelPhone
			i.Timeline = append([]Change{{Action: ActionCorrected, Field: "channel"}}, i.Timeline...)
		}, map[string]bool{}, false},
		"unsure":     {func(i *Incident) { i.Readings[0].Sampled = false }, nil, false},
		"set aside":  {func(i *Incident) { i.Status = StatusSetAside }, nil, false},
		"of several": {func(i *Incident) { i.Reports = append(i.Reports, FiledReport{ID: "s"}) }, nil, false},
		"another model has read it since, and was unsure": {func(i *Incident) {
			i.Readings = append(i.Readings, Reading{Model: "demo-2", Review: true, Kind: Judgement{Value: "threat"}})
			i.Timeline = append(i.Timeline, Change{Action: ActionRead, By: Actor{Role: "machine", ID: "demo-2"}})
			i.Kind.Reviewer = KindThreat
			i.decided("kind")
		}, map[string]bool{"kind": false}, false},
	} {
		i := checked()
		c.change(i)
		got, ok := i.Checked()
		if ok != (c.want != nil) || !maps.Equal(got.Kept, c.want) || ok && (got.Model != "demo-1" || got.Settled() != c.settled) {
			t.Errorf("%s: %+v %v, want %v", name, got, ok, c.want)
		}
	}
}

func TestOfNothingAnythingIsPossible(t *testing.T) {
	if low, high := Interval(0, 0); low != 0 || high != 1 {
		t.Errorf("none of none lies in %v to %v", low, high)
	}
}
