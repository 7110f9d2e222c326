package casework_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/projector"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/timeline"
)

// Erasing takes the words, and nothing that is counted: the line in the ledger
// stays, the history goes on verifying, and the report that comes back is
// dropped, before and after the incident itself is gone.
func TestErasingTakesTheWordsAndLeavesTheCount(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	filed, read := k.Filed(r), k.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff)
	k.Apply(filed, read, k.Added(r.ID, onrecordv1.Addition_ADDITION_WORDS, "demo words more"))
	cases := casework.New(casework.Config{Store: k.Store, Folder: k.Folder, Keyring: k.Keyring, SiteKnown: func(string) bool { return true }, Now: clock(k)})
	before := k.Incident(r.ID)
	by := incident.Actor{Role: "operator"}
	if err := cases.Erase(t.Context(), before.ID, by); err != nil {
		t.Fatal(err)
	}
	after := k.Incident(r.ID)
	if len(after.WrappedKey) > 0 || len(after.Reports[0].SealedWords) > 0 || len(after.Readings[0].Kind.Reasons) > 0 {
		t.Errorf("words or what tells of them are left: %+v", after)
	}
	for _, c := range after.Timeline {
		if len(c.SealedNote) > 0 {
			t.Errorf("words are left in entry %d", c.Seq)
		}
	}
	if last := after.Timeline[len(after.Timeline)-1]; last.Action != incident.ActionErased || last.By != by {
		t.Errorf("the history says %+v, want that it was erased", last)
	}
	if err := timeline.NewKeeper(k.Keyring).Verify(after); err != nil {
		t.Errorf("the history does not verify any more: %v", err)
	}
	if was, is := before.Dims(), after.Dims(); was != is || after.FoldedRev != after.Rev {
		t.Errorf("it counts as %+v, was %+v; folded %d of %d", is, was, after.FoldedRev, after.Rev)
	}
	if err := cases.Erase(t.Context(), before.ID, by); err != nil || k.Incident(r.ID).Rev != after.Rev {
		t.Errorf("erasing again: %v, revision %d, want %d", err, k.Incident(r.ID).Rev, after.Rev)
	}
	if err := cases.Erase(t.Context(), "00000000-0000-8000-8000-000000000000", by); fault.KindOf(err) != fault.NotFound {
		t.Errorf("erasing nothing: %v", err)
	}
	k.Apply(filed, read, k.Added(r.ID, onrecordv1.Addition_ADDITION_WORDS, "demo words later"))
	if now := k.Incident(r.ID); len(now.WrappedKey) > 0 || len(now.Reports) != 1 || len(now.Reports[0].SealedWords) > 0 {
		t.Error("what came back was taken in")
	}

	// In a store that was restored from before it was filed only the tombstone is left.
	other := projectortest.New(t)
	if err := bury(other, r.ID); err != nil {
		t.Fatal(err)
	}
	other.Apply(filed, read)
	if n, err := other.Store.CountIncidents(t.Context(), all, 10); err != nil || n != 0 {
		t.Errorf("%d incidents (%v), want none", n, err)
	}
	if waiting, err := other.Store.Pending(t.Context(), r.ID); err != nil || len(waiting) > 0 {
		t.Errorf("%d events wait for a report that never comes (%v)", len(waiting), err)
	}
	other.NewID()                                   // that of the erased one
	other.Apply(other.Filed(other.Report("leeds"))) // others are not dropped
	if n, err := other.Store.CountIncidents(t.Context(), all, 10); err != nil || n != 1 {
		t.Errorf("%d incidents (%v), want one", n, err)
	}
}

// What nobody could read may hold words too.
// A reason for what was done to several may quote one of them.
func TestErasingForgetsWhyItWasSetAsideWithOthers(t *testing.T) {
	k := projectortest.New(t)
	one, other := k.Report("leeds"), k.Report("leeds")
	k.Apply(k.Filed(one), k.Filed(other))
	cases := casework.New(casework.Config{Store: k.Store, Folder: k.Folder, Keyring: k.Keyring, SiteKnown: func(string) bool { return true }, Now: clock(k)})
	for id, of := range map[string][]string{"both": {k.Incident(other.ID).ID, k.Incident(one.ID).ID}, "other": {k.Incident(other.ID).ID}} {
		c := &store.JointChange{ID: id, Rev: 1, Flood: "demo", Action: incident.ActionSetAside, Incidents: of, Done: len(of), WrappedKey: []byte("demo key"), SealedReason: []byte("demo reason")}
		if err := k.Store.InsertJointChange(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := cases.Erase(t.Context(), k.Incident(one.ID).ID, incident.Actor{Role: "operator"}); err != nil {
		t.Fatal(err)
	}
	changes, err := k.Store.JointChanges(t.Context(), "")
	if err != nil || len(changes) != 2 {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	for _, c := range changes {
		if kept := len(c.WrappedKey) > 0 && len(c.SealedReason) > 0; kept != (c.ID == "other") {
			t.Errorf("%s: its reason is kept: %v", c.ID, kept)
		}
	}
}

func TestErasingEmptiesTheQuarantine(t *testing.T) {
	k := projectortest.New(t)
	id := k.NewID()
	d := bus.Delivery{Subject: bus.Subject(bus.TypeFiled, id), Data: []byte("demo bytes"), At: k.At}
	if err := k.Projector.Quarantine(t.Context(), d, errDemo); err != nil {
		t.Fatal(err)
	}
	cases := casework.New(casework.Config{Store: k.Store, Folder: k.Folder, Keyring: k.Keyring, SiteKnown: func(string) bool { return true }, Now: clock(k)})
	if err := cases.Erase(t.Context(), k.Incident(id).ID, incident.Actor{Role: "operator"}); err != nil {
		t.Fatal(err)
	}
	q, err := k.Store.Quarantined(t.Context(), d.Subject)
	if err != nil || len(q.Data) > 0 || q.ReplayedAt.IsZero() {
		t.Errorf("%+v %v, want it empty and settled", q, err)
	}
}

var errDemo = errors.New("demo cause")

var all = store.Filter{}

func clock(k *projectortest.Kit) func() time.Time { return func() time.Time { return k.At } }

func bury(k *projectortest.Kit, reportID string) error {
	return projector.Bury(context.Background(), k.Store, projector.Tombstone(k.Keyring, reportID))
}

// What the words tell of besides, like the basis of abuse, is about people as
// much as the words are. A classifier may be at it while they are erased.
func TestErasingTakesWhatTheMachineSawInTheWords(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	cases := casework.New(casework.Config{Store: k.Store, Folder: k.Folder, Keyring: k.Keyring, SiteKnown: func(string) bool { return true }, Now: clock(k)})
	k.Apply(k.Filed(r), telling(t, k, r.ID, "m1"))
	if seen := k.Incident(r.ID).Readings[0]; len(seen.Basis) != 1 || seen.Weapon.Value != string(incident.FlagYes) {
		t.Fatalf("the reading tells of nothing: %+v", seen)
	}
	if err := cases.Erase(t.Context(), k.Incident(r.ID).ID, incident.Actor{Role: "operator"}); err != nil {
		t.Fatal(err)
	}
	k.Apply(telling(t, k, r.ID, "m2"))
	after := k.Incident(r.ID)
	if len(after.Readings) != 2 || after.Kind.Machine != incident.KindThreat {
		t.Errorf("%d readings, the machine says %q: what is counted must stay", len(after.Readings), after.Kind.Machine)
	}
	for _, seen := range after.Readings {
		for what, j := range map[string]incident.Judgement{"kind": seen.Kind, "channel": seen.Channel, "target": seen.Target} {
			if j.Value == "" || len(j.Reasons) > 0 {
				t.Errorf("model %s: %s is %+v, want its value without reasons", seen.Model, what, j)
			}
		}
		if seen.SecondChannel.Value+seen.SeriousThreat.Value+seen.Weapon.Value != "" || len(seen.Basis) > 0 {
			t.Errorf("model %s still tells of the words: %+v", seen.Model, seen)
		}
	}
}

// telling is a reading of words that tell of more than is counted.
func telling(t *testing.T, k *projectortest.Kit, reportID, model string) bus.Delivery {
	t.Helper()
	d := k.Classified(reportID, model, incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff)
	var env onrecordv1.Envelope
	if err := proto.Unmarshal(d.Data, &env); err != nil {
		t.Fatal(err)
	}
	judged := func(value string) *onrecordv1.Judgement {
		return &onrecordv1.Judgement{Value: value, Reasons: []*onrecordv1.Reason{{Start: 0, End: 4, Class: "demo class", For: value, Weight: 2}}}
	}
	c := env.GetReportClassified()
	c.SecondChannel, c.SeriousThreat, c.Weapon = judged(string(incident.ChannelInPerson)), judged(string(incident.FlagYes)), judged(string(incident.FlagYes))
	c.Basis = []*onrecordv1.Judgement{judged(string(incident.BasisSexual))}
	raw, err := proto.Marshal(&env)
	if err != nil {
		t.Fatal(err)
	}
	d.Data = raw
	return d
}
