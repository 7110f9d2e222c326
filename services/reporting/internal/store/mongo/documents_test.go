package mongo

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"reflect"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// The stored forms are for ever: what an earlier release wrote reads back, and
// is written again field for field.
func TestStoredDocumentsStay(t *testing.T) {
	stored := func(name string, doc any) []byte {
		t.Helper()
		text, err := os.ReadFile("testdata/" + name + ".json")
		if err == nil {
			err = bson.UnmarshalExtJSON(text, true, doc)
		}
		if err != nil {
			t.Fatal(err)
		}
		return bytes.TrimSpace(text)
	}
	same := func(name string, doc any, stored []byte) {
		t.Helper()
		again, err := bson.MarshalExtJSON(doc, true, false)
		if err != nil || !bytes.Equal(again, stored) {
			t.Errorf("%s\nstored %s\n again %s\n error %v", name, stored, again, err)
		}
	}

	// Those without "undated" are from before by had all its fields.
	for _, name := range []string{"incident", "incident_lesson", "incident_sampled"} {
		whole := stored(name+"_undated_by", new(incidentDoc))
		for _, name := range []string{name, name + "_whole_by", name + "_undated_by"} {
			var doc incidentDoc
			stored(name, &doc)
			i, err := toIncident(doc)
			if err != nil {
				t.Fatal(err)
			}
			again := incidentDoc{ID: i.ID, Folded: i.FoldedRev, Behind: i.FoldedRev < i.Rev}
			if again.Body, err = toBody(i, doc.Body.Write); err != nil {
				t.Fatal(err)
			}
			same(name, again, whole)
		}
	}

	// A ledger and a roll-up as version 1 had them, and what becomes of them.
	var lines linesDoc
	linesText := stored("ledger_lines", &lines)
	var totals ledgerDoc
	totalsText := stored("ledger_totals", &totals)
	var before ledgerDoc
	stored("ledger", &before)
	if !reflect.DeepEqual(before.ownLines(), lines) {
		t.Errorf("lines moved: %+v, want %+v", before.ownLines(), lines)
	}
	m, cells, err := totals.cells()
	if err != nil {
		t.Fatal(err)
	}
	if old, was, err := before.cells(); err != nil || old != m || len(was) == 0 || !reflect.DeepEqual(was, cells) {
		t.Errorf("totals before %v %+v, %v, want %v %+v", old, was, err, m, cells)
	}
	l, err := toLedger(lines)
	if err != nil {
		t.Fatal(err)
	}
	if l.Total(); !reflect.DeepEqual(l.Cells, cells) {
		t.Errorf("totals of the lines %+v, want %+v", l.Cells, cells)
	}
	linesAgain, totalsAgain, err := toLedgerDocs(l, lines.Write)
	if err != nil {
		t.Fatal(err)
	}
	same("ledger_lines", linesAgain, linesText)
	same("ledger_totals", totalsAgain, totalsText)

	var ofRollup, rollupBefore rollupDoc
	text := stored("rollup_totals", &ofRollup)
	stored("rollup", &rollupBefore)
	for _, doc := range []rollupDoc{ofRollup, rollupBefore} {
		r, err := toRollup(doc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := toRollupDoc(r, doc.Write)
		if err != nil {
			t.Fatal(err)
		}
		same("rollup_totals", again, text)
	}

	var ofEdition editionDoc
	text = stored("edition", &ofEdition)
	e, err := toEdition(ofEdition)
	if err != nil {
		t.Fatal(err)
	}
	same("edition", toEditionDoc(e, ofEdition.Write), text)
}

func TestNumbersThatAreNoneAreRefused(t *testing.T) {
	for name, change := range map[string]func(*incident.Reading){
		"a probability": func(r *incident.Reading) { r.Kind.P = map[string]float64{"threat": math.NaN()} },
		"a weight":      func(r *incident.Reading) { r.Target.Reasons = []incident.Reason{{Weight: math.Inf(1)}} },
		"of a basis": func(r *incident.Reading) {
			r.Basis = []incident.Judgement{{P: map[string]float64{"racist": math.NaN()}}}
		},
	} {
		i := small("i", 1)
		i.Readings = make([]incident.Reading, 1)
		change(&i.Readings[0])
		if _, err := toBody(i, bson.NewObjectID()); !errors.Is(err, errNumber) {
			t.Errorf("%s: %v, want %v", name, err, errNumber)
		}
	}
	i := small("i", 1)
	i.Lines = []incident.LedgerKey{{Site: "leeds"}}
	if _, err := toBody(i, bson.NewObjectID()); !errors.Is(err, errMonth) {
		t.Errorf("no month: %v, want %v", err, errMonth)
	}
}

// TestRecount has the server count incidents, and one that somebody changed by
// hand.
func TestRecount(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			d, ctx := s.open(t), t.Context()
			want := make(map[incident.LedgerKey][]incident.Cell)
			for n := range 60 {
				i := small(bson.NewObjectID().Hex(), 1)
				i.Site, i.PeopleAffected, i.Employer = []string{"leeds", "york"}[n%2], n%3, []string{"", "Demo Department"}[n/2%2]
				i.OccurredAt = november.Add(-(n % 5)).Start()
				i.Kind.Reporter, i.Channel.Machine = incident.Kinds[n%4], incident.Channels[n%3]
				i.Reports = make([]incident.FiledReport, 1+n%2)
				switch {
				case n%7 == 0:
					i.Status = incident.StatusWithdrawn
				case n%4 == 0:
					i.Status = incident.StatusSetAside
				}
				if n%3 == 0 {
					i.Timeline = []incident.Change{{By: incident.Actor{Role: incident.RoleReporter}, Action: incident.ActionAdded, Field: incident.FieldNothingHappened}}
				}
				if n%5 == 0 {
					i.Precision = incident.PrecisionUnknown
				}
				if err := d.InsertIncident(ctx, i); err != nil {
					t.Fatal(err)
				}
				if line := i.Line(i.Ledger()); i.Status != incident.StatusWithdrawn && !i.Month().Before(november.Add(-3)) {
					c := incident.Cell{Dims: line.Dims, Incidents: 1, Reports: len(i.Reports), People: max(i.PeopleAffected, 1), NothingHappened: (2 - n%3) / 2}
					if i.Undated() {
						c.Undated = 1
					}
					if i.Status == incident.StatusSetAside {
						c = incident.Cell{Dims: line.Dims, SetAside: 1}
					}
					want[i.Ledger()] = incident.Merge(want[i.Ledger()], []incident.Cell{c})
				}
			}
			got, err := d.Recount(ctx, november.Add(-3), november)
			if err != nil || !reflect.DeepEqual(got, store.InOrder(want)) {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, store.InOrder(want))
			}
			result, err := d.collection(incidents).UpdateMany(ctx, bson.D{{Key: "by.site", Value: "leeds"}}, bson.D{{Key: "$set", Value: bson.D{{Key: "by.people", Value: 9}}}})
			if err != nil || result.ModifiedCount == 0 {
				t.Fatalf("%+v, %v", result, err)
			}
			if got, err := d.Recount(ctx, november.Add(-3), november); err != nil || reflect.DeepEqual(got, store.InOrder(want)) {
				t.Errorf("what was changed by hand is not seen: %v", err)
			}
		})
	}
}

// TestRecountAfterTakingBack: of what was set aside its reporter says that it
// was real and that nothing happened. Only the name of what is true changes.
func TestRecountAfterTakingBack(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			d, ctx := s.open(t), t.Context()
			i := small(bson.NewObjectID().Hex(), 1)
			i.OccurredAt, i.Status = november.Start(), incident.StatusSetAside
			if err := d.InsertIncident(ctx, i); err != nil {
				t.Fatal(err)
			}
			i.Rev, i.Status = 2, incident.StatusNew
			i.Timeline = append(i.Timeline, incident.Change{By: incident.Actor{Role: incident.RoleReporter}, Action: incident.ActionTakenBack, Field: incident.FieldNothingHappened})
			if err := d.ReplaceIncident(ctx, i, 1); err != nil {
				t.Fatal(err)
			}
			got, err := d.Recount(ctx, november, november)
			if err != nil || len(got) != 1 || len(got[0].Cells) != 1 || got[0].Cells[0].NothingHappened != 1 || got[0].Cells[0].SetAside != 0 {
				t.Errorf("recounted %+v, %v", got, err)
			}
		})
	}
}

// TestARevisionIsStoredWhole: the same word is somebody else's now. The
// compatible server would take the two for one, were it not for the timeline,
// to which each revision adds.
func TestARevisionIsStoredWhole(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			d, ctx := s.open(t), t.Context()
			i := small(bson.NewObjectID().Hex(), 1)
			i.Kind = incident.Opinion[incident.Kind]{Machine: incident.KindAbuse}
			if err := d.InsertIncident(ctx, i); err != nil {
				t.Fatal(err)
			}
			i.Rev, i.Kind = 2, incident.Opinion[incident.Kind]{Reviewer: incident.KindAbuse}
			i.Timeline = append(i.Timeline, incident.Change{Action: incident.ActionCorrected, Field: "kind"})
			if err := d.ReplaceIncident(ctx, i, 1); err != nil {
				t.Fatal(err)
			}
			got, err := d.Incident(ctx, i.ID)
			if err != nil || got.Kind != i.Kind {
				t.Errorf("stored %+v, %v, want %+v", got.Kind, err, i.Kind)
			}
		})
	}
}

// TestGroupsLeaveWhatWasDone, since there are no transactions: nothing is
// undone, and after a failure nothing more is done.
func TestGroupsLeaveWhatWasDone(t *testing.T) {
	d := server{uri: mongotest.Start(t)}.open(t)
	ctx, mind := t.Context(), errors.New("changed my mind")
	var kept store.Store
	err := d.Group(ctx, func(s store.Store) error {
		kept = s
		if err := s.SetMeta(ctx, "name", nil); err != nil {
			t.Error(err)
		}
		return mind
	})
	if !errors.Is(err, mind) {
		t.Errorf("error %v, want fn’s", err)
	}
	if _, err := d.Meta(ctx, "name"); err != nil {
		t.Errorf("what was done: %v", err)
	}
	if err := kept.SetMeta(ctx, "late", nil); !errors.Is(err, errEnded) {
		t.Errorf("after the group: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	err = d.Group(ctx, func(s store.Store) error {
		if err := s.SetMeta(ended, "never", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that ended: %v", err)
		}
		if err := s.SetMeta(ctx, "after", nil); err == nil {
			t.Error("after a failure an operation was done")
		}
		return nil
	})
	if err == nil {
		t.Error("a group hid that an operation failed")
	}
}
