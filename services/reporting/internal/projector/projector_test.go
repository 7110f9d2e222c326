package projector_test

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"sync"
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

func actions(i *incident.Incident) []incident.Action {
	var all []incident.Action
	for _, c := range i.Timeline {
		all = append(all, c.Action)
	}
	return all
}

func wantActions(t *testing.T, i *incident.Incident, want ...incident.Action) {
	t.Helper()
	if got := actions(i); !slices.Equal(got, want) {
		t.Errorf("timeline=%v, want %v", got, want)
	}
}

// cells returns what the figures of a month and site read.
func cells(t *testing.T, k *projectortest.Kit, key incident.LedgerKey) []incident.Cell {
	t.Helper()
	got, err := k.Store.LedgerCells(t.Context(), []string{key.Site}, key.Month, key.Month)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 {
		return nil
	}
	return got[0].Cells
}

func count(cells []incident.Cell) (n int) {
	for _, c := range cells {
		n += c.Incidents
	}
	return n
}

func TestAFiledReportBecomesACountedIncident(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	days := 3
	r.PeopleAffected, r.DaysUnable, r.Employer = 2, &days, "demo department"
	r.Contact = incident.Contact{Choice: incident.ContactRepOnly, Name: "Demo Name", Details: "demo@example.org"}
	r.PressedAt = r.OccurredAt.Add(time.Minute)
	k.Apply(k.Filed(r))

	i := k.Incident(r.ID)
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(i.ID) {
		t.Errorf("ID=%q, want a UUID version 8", i.ID)
	}
	if !regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$`).MatchString(i.Ref) {
		t.Errorf("Ref=%q", i.Ref)
	}
	if i.Rev != 1 || i.FoldedRev != 1 || i.Status != incident.StatusNew || i.Employer != "Demo Department" || *i.DaysUnable != 3 ||
		i.PeopleAffected != 2 || !i.OccurredAt.Equal(r.OccurredAt) || !i.ReceivedAt.Equal(k.At) || i.Site != "leeds" {
		t.Errorf("incident=%+v", i)
	}
	if got := i.Reports[0]; !bytes.Equal(got.ReceiptHash, k.ReceiptHash(r.ID)) || !got.PressedAt.Equal(r.PressedAt) || got.ContactChoice != incident.ContactRepOnly {
		t.Errorf("report=%+v", got)
	}
	wantActions(t, i, incident.ActionFiled)
	want := []incident.Cell{{Dims: incident.Dims{Kind: incident.KindAbuse, Channel: incident.ChannelInPerson, Target: incident.TargetAnyStaff,
		Employer: "Demo Department", SetBy: incident.SetByReporter}, Incidents: 1, Reports: 1, People: 2}}
	if got := cells(t, k, i.Ledger()); !reflect.DeepEqual(got, want) {
		t.Errorf("cells=%+v, want %+v", got, want)
	}
}

func TestWordsAreSealedUnderTheIncidentsOwnKey(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	r.Narrative = "canary-narrative"
	d := k.Filed(r)
	k.Apply(d)
	i := k.Incident(r.ID)
	key, err := k.Keyring.Unwrap(i.WrappedKey)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := key.Open(i.Reports[0].SealedWords, i.ID, "words", r.ID)
	if err != nil {
		t.Fatal(err)
	}
	var words onrecordv1.ReportWords
	if err := proto.Unmarshal(plain, &words); err != nil || words.GetNarrative() != "canary-narrative" {
		t.Fatalf("words=%v, %v", &words, err)
	}
	var env onrecordv1.Envelope
	if err := proto.Unmarshal(d.Data, &env); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(env.GetReportFiled().GetWrappedKey(), i.WrappedKey) {
		t.Error("the incident keeps the stream's data key")
	}
}

func TestRepetitionChangesNothing(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	events := []bus.Delivery{
		k.Filed(r),
		k.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetNamedPerson),
		k.Added(r.ID, onrecordv1.Addition_ADDITION_WORDS, "there is a video"),
		k.Added(r.ID, onrecordv1.Addition_ADDITION_WITHDRAWN, ""),
	}
	k.Apply(events...)
	before := k.Incident(r.ID)
	for range 3 {
		for _, d := range events {
			k.Apply(d)
		}
		k.Apply(append(slices.Clone(events), events...)...)
	}
	if after := k.Incident(r.ID); !reflect.DeepEqual(before, after) {
		t.Fatalf("the incident changed:\n%+v\n%+v", before, after)
	}
}

func TestWhatArrivesBeforeItsReportWaits(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	r.Kind, r.Channel, r.Target = incident.KindUnknown, incident.ChannelUnknown, incident.TargetUnknown
	filed := k.Filed(r)
	read := k.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetNamedPerson)
	words := k.Added(r.ID, onrecordv1.Addition_ADDITION_WORDS, "there is a video")
	k.Apply(words)
	k.Apply(read)
	k.Apply(read)
	if n, err := k.Store.CountIncidents(t.Context(), everything, 10); n != 0 || err != nil {
		t.Fatalf("%d incidents, %v", n, err)
	}
	k.Apply(filed)
	i := k.Incident(r.ID)
	wantActions(t, i, incident.ActionFiled, incident.ActionRead, incident.ActionAdded)
	want := incident.Dims{Kind: incident.KindThreat, Channel: incident.ChannelPhone, Target: incident.TargetNamedPerson, SetBy: incident.SetByMachine}
	if got := cells(t, k, i.Ledger()); len(got) != 1 || got[0].Dims != want {
		t.Errorf("cells=%+v, want %+v", got, want)
	}
	if waiting, err := k.Store.Pending(t.Context(), r.ID); len(waiting) > 0 || err != nil {
		t.Errorf("still waiting: %d, %v", len(waiting), err)
	}
	if note, err := timeline.NewKeeper(k.Keyring).Note(i, i.Timeline[2]); note != "there is a video" || err != nil {
		t.Errorf("note=%q, %v", note, err)
	}
}

func TestAnOlderReadingNeverOverwritesANewerOne(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	r.Kind = incident.KindUnknown
	filed := k.Filed(r)
	older := k.Classified(r.ID, "m9", incident.KindAbuse, incident.ChannelPhone, incident.TargetAnyStaff)
	newer := k.Classified(r.ID, "m10", incident.KindThreat, incident.ChannelLetter, incident.TargetOrganisation)
	k.Apply(filed)
	k.Apply(newer)
	k.Apply(older)
	i := k.Incident(r.ID)
	if i.Kind.Machine != incident.KindThreat || i.Channel.Machine != incident.ChannelLetter || i.Target.Machine != incident.TargetOrganisation {
		t.Errorf("machine says %v %v %v, want the newer reading", i.Kind.Machine, i.Channel.Machine, i.Target.Machine)
	}
	if len(i.Readings) != 2 || i.Readings[1].Model != "m10" {
		t.Errorf("readings=%+v, want m9 then m10", i.Readings)
	}
	if i.Channel.Reporter != incident.ChannelInPerson || i.Channel.Reviewer != "" {
		t.Errorf("channel=%+v: the machine touched another's word", i.Channel)
	}
}

func TestTheReporterSpeaksAgain(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	k.Apply(k.Filed(r))
	k.Apply(k.Added(r.ID, onrecordv1.Addition_ADDITION_NOTHING_HAPPENED, "nobody rang"))
	i := k.Incident(r.ID)
	if i.Status != incident.StatusNew {
		t.Errorf("Status=%s, want new: it was open", i.Status)
	}

	i.Status = incident.StatusClosedFixed // as casework does
	was := i.Rev
	i.Rev++
	if err := k.Store.ReplaceIncident(t.Context(), i, was); err != nil {
		t.Fatal(err)
	}
	again := k.Added(r.ID, onrecordv1.Addition_ADDITION_NOTHING_HAPPENED, "")
	k.Apply(again)
	k.Apply(again)
	if i = k.Incident(r.ID); i.Status != incident.StatusReopened {
		t.Errorf("Status=%s, want reopened", i.Status)
	}
	if got := count(cells(t, k, i.Ledger())); got != 1 {
		t.Errorf("counted %d, want 1", got)
	}
	k.Apply(k.Added(r.ID, onrecordv1.Addition_ADDITION_WITHDRAWN, "it was a misunderstanding"))
	if i = k.Incident(r.ID); i.Status != incident.StatusWithdrawn {
		t.Errorf("Status=%s, want withdrawn", i.Status)
	}
	if got := count(cells(t, k, i.Ledger())); got != 0 {
		t.Errorf("counted %d, want 0", got)
	}
	wantActions(t, i, incident.ActionFiled, incident.ActionAdded, incident.ActionReopened, incident.ActionWithdrawn)
	if err := timeline.NewKeeper(k.Keyring).Verify(i); err != nil {
		t.Error(err)
	}
}

// Whoever holds the receipt says that it is real, in words or by saying that
// nothing happened: then a person's setting aside ends.
func TestTheReporterOfWhatWasSetAsideTakesItBack(t *testing.T) {
	for what, nothing := range map[onrecordv1.Addition]int{onrecordv1.Addition_ADDITION_WORDS: 0, onrecordv1.Addition_ADDITION_NOTHING_HAPPENED: 1} {
		k := projectortest.New(t)
		r := k.Report("leeds")
		k.Apply(k.Filed(r))
		i := k.Incident(r.ID)
		desk := casework.New(casework.Config{Store: k.Store, Folder: k.Folder, Keyring: k.Keyring, SiteKnown: func(string) bool { return true }, Now: func() time.Time { return k.At }})
		i, err := desk.Acknowledge(t.Context(), i.ID, i.Rev, incident.Actor{Role: "rep"})
		if err == nil {
			i, err = desk.SetAside(t.Context(), i.ID, i.Rev, incident.Actor{Role: "rep"}, "made up")
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := cells(t, k, i.Ledger()); count(got) != 0 || len(got) != 1 || got[0].SetAside != 1 {
			t.Errorf("set aside: %+v, want it counted apart", got)
		}
		again := k.Added(r.ID, what, "he did hit me")
		k.Apply(again)
		k.Apply(again)
		if i = k.Incident(r.ID); i.Status != incident.StatusAcknowledged || i.Timeline[len(i.Timeline)-1].Action != incident.ActionTakenBack {
			t.Errorf("Status=%s, want acknowledged as before", i.Status)
		}
		if got := cells(t, k, i.Ledger()); count(got) != 1 || len(got) != 1 || got[0].SetAside != 0 || got[0].NothingHappened != nothing {
			t.Errorf("taken back by %s: %+v, want it counted", what, got)
		}
	}
}

func TestMessagesNobodyCanReadArePoison(t *testing.T) {
	e := projectortest.NewEvents(t)
	filed := func(change func(*onrecordv1.ReportFiled)) bus.Delivery {
		return changed(t, e, e.Filed(e.Report("leeds")), func(env *onrecordv1.Envelope) { change(env.GetReportFiled()) })
	}
	read := func(change func(*onrecordv1.ReportClassified)) bus.Delivery {
		return changed(t, e, e.Classified(e.NewID(), "m1", incident.KindAbuse, incident.ChannelPhone, incident.TargetAnyStaff),
			func(env *onrecordv1.Envelope) { change(env.GetReportClassified()) })
	}
	added := func(change func(*onrecordv1.ReportAdded)) bus.Delivery {
		return changed(t, e, e.Added(e.NewID(), onrecordv1.Addition_ADDITION_WORDS, "more"),
			func(env *onrecordv1.Envelope) { change(env.GetReportAdded()) })
	}
	moved := func(d bus.Delivery, subject string) bus.Delivery {
		d.Subject = subject
		return d
	}
	good := e.Filed(e.Report("leeds"))
	other := e.NewID()
	nan := 0.0
	nan /= nan
	for name, d := range map[string]bus.Delivery{
		"no protobuf":           {Subject: good.Subject, Data: []byte("no"), At: e.At},
		"nothing":               {Subject: good.Subject, At: e.At},
		"another subject":       moved(good, bus.Subject(bus.TypeFiled, other)),
		"another type":          moved(good, bus.Subject(bus.TypeClassified, other, "m1")),
		"an unknown type":       moved(good, "onrecord.v1.report.burnt."+other),
		"no id in the subject":  moved(good, bus.TypeFiled+".x"),
		"another id":            filed(func(f *onrecordv1.ReportFiled) { f.ReportId = other }),
		"no receipt hash":       filed(func(f *onrecordv1.ReportFiled) { f.ReceiptHash = nil }),
		"a kind of tomorrow":    filed(func(f *onrecordv1.ReportFiled) { f.Kind = "rudeness" }),
		"no site":               filed(func(f *onrecordv1.ReportFiled) { f.Site = "" }),
		"no time":               filed(func(f *onrecordv1.ReportFiled) { f.OccurredAt = nil }),
		"a time out of range":   filed(func(f *onrecordv1.ReportFiled) { f.OccurredAt.Nanos = -1 }),
		"another data key":      filed(func(f *onrecordv1.ReportFiled) { _, f.WrappedKey = e.Keyring.NewDataKey() }),
		"no data key":           filed(func(f *onrecordv1.ReportFiled) { f.WrappedKey = nil }),
		"words that were cut":   filed(func(f *onrecordv1.ReportFiled) { f.SealedWords = f.SealedWords[:40] }),
		"too many people":       filed(func(f *onrecordv1.ReportFiled) { f.PeopleAffected = 4e9 }),
		"no model":              read(func(c *onrecordv1.ReportClassified) { c.ModelVersion = "" }),
		"a made-up channel":     read(func(c *onrecordv1.ReportClassified) { c.Channel.Value = "pigeon" }),
		"no target":             read(func(c *onrecordv1.ReportClassified) { c.Target = nil }),
		"not a probability":     read(func(c *onrecordv1.ReportClassified) { c.Kind.Probabilities[0].P = 2 }),
		"no number":             read(func(c *onrecordv1.ReportClassified) { c.Kind.Probabilities[0].P = nan }),
		"a weight of no number": read(func(c *onrecordv1.ReportClassified) { c.Kind.Reasons[0].Weight = nan }),
		"a reason backwards":    read(func(c *onrecordv1.ReportClassified) { c.Kind.Reasons[0].Start = 9 }),
		"nothing added":         added(func(a *onrecordv1.ReportAdded) { a.SealedWords = nil }),
		"an unknown addition":   added(func(a *onrecordv1.ReportAdded) { a.Addition = 99 }),
		"another addition's id": added(func(a *onrecordv1.ReportAdded) { a.AdditionId = other }),
	} {
		t.Run(name, func(t *testing.T) {
			k := projectortest.New(t)
			fine := k.Report("leeds")
			errs := k.Projector.Handle(t.Context(), []bus.Delivery{d, k.Filed(fine)})
			if !bus.IsPoison(errs[0]) {
				t.Errorf("err=%v, want poison", errs[0])
			}
			if errs[1] != nil {
				t.Errorf("the good one beside it: %v", errs[1])
			}
			if got := k.Incident(fine.ID); got.Rev != 1 {
				t.Errorf("Rev=%d, want 1", got.Rev)
			}
		})
	}
}

// changed returns a delivery with its envelope changed, the words sealed anew
// for nobody.
func changed(t *testing.T, e *projectortest.Events, d bus.Delivery, change func(*onrecordv1.Envelope)) bus.Delivery {
	t.Helper()
	var env onrecordv1.Envelope
	if err := proto.Unmarshal(d.Data, &env); err != nil {
		t.Fatal(err)
	}
	change(&env)
	return e.Deliver(d.Subject, &env)
}

func TestAnUnreadableReportIsKeptAndCounted(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	bad := bus.Delivery{Subject: bus.Subject(bus.TypeFiled, r.ID), Data: []byte("not protobuf"), Seq: 1, At: k.At}
	k.Apply(k.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetNamedPerson))
	for range 2 {
		if err := k.Projector.Quarantine(t.Context(), bad, errors.New("not a protobuf envelope")); err != nil {
			t.Fatal(err)
		}
	}
	i := k.Incident(r.ID)
	if i.Site != incident.SiteUnlisted || !i.OccurredAt.Equal(bad.At) || i.Rev != 1 {
		t.Errorf("incident=%+v", i)
	}
	wantActions(t, i, incident.ActionUnreadable, incident.ActionRead)
	if got := count(cells(t, k, i.Ledger())); got != 1 {
		t.Errorf("counted %d, want 1", got)
	}
	kept, err := k.Store.Quarantined(t.Context(), bad.Subject)
	if err != nil || !bytes.Equal(kept.Data, bad.Data) || kept.Seq != 1 || kept.Cause != "not a protobuf envelope" || !kept.ReplayedAt.IsZero() {
		t.Fatalf("kept=%+v, %v", kept, err)
	}
	if err := k.Projector.Replay(t.Context(), bad.Subject); fault.KindOf(err) != fault.Conflict {
		t.Errorf("Replay=%v, want a conflict: it still cannot be read", err)
	}
	if err := k.Projector.Replay(t.Context(), bus.Subject(bus.TypeFiled, k.NewID())); fault.KindOf(err) != fault.NotFound {
		t.Errorf("Replay=%v, want not found", err)
	}
}

func TestOtherUnreadableMessagesAreKeptAndCountNothing(t *testing.T) {
	k := projectortest.New(t)
	for _, subject := range []string{
		bus.Subject(bus.TypeClassified, k.NewID(), "m1"),
		bus.Subject(bus.TypeAdded, k.NewID(), k.NewID()),
		bus.Subject(bus.TypeFiled, "not-an-id"),
	} {
		if err := k.Projector.Quarantine(t.Context(), bus.Delivery{Subject: subject, Data: []byte("no"), At: k.At}, errors.New("no")); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := k.Store.ListQuarantined(t.Context())
	if err != nil || len(kept) != 3 {
		t.Errorf("kept %d, %v; want 3", len(kept), err)
	}
	if n, err := k.Store.CountIncidents(t.Context(), everything, 10); n != 0 || err != nil {
		t.Errorf("%d incidents, %v", n, err)
	}
}

// erasing is a store in which a message's content is erased just after it was
// read for the first time.
type erasing struct {
	store.Store
	once *sync.Once
}

func (e erasing) Quarantined(ctx context.Context, subject string) (*store.Quarantined, error) {
	q, err := e.Store.Quarantined(ctx, subject)
	e.once.Do(func() {
		erased := *q
		erased.Data, erased.Cause, erased.ReplayedAt = nil, "erased", q.At
		err = errors.Join(err, e.PutQuarantined(ctx, &erased))
	})
	return q, err
}

func TestReplayingBringsNothingBackThatIsErasedMeanwhile(t *testing.T) {
	k := projectortest.New(t)
	d := k.Filed(k.Report("leeds"))
	if err := k.Projector.Quarantine(t.Context(), d, errors.New("not yet")); err != nil {
		t.Fatal(err)
	}
	p := projector.New(k.Config(erasing{k.Store, new(sync.Once)}, k.Folder, nil))
	if err := p.Replay(t.Context(), d.Subject); err != nil {
		t.Fatal(err)
	}
	if q, err := k.Store.Quarantined(t.Context(), d.Subject); err != nil || len(q.Data) > 0 || q.Cause != "erased" {
		t.Errorf("%d bytes are back, %q, %v", len(q.Data), q.Cause, err)
	}
}

// A release that cannot read a report puts it aside; the next one can.
func TestReplayGivesTheStandInWhatTheReportSays(t *testing.T) {
	for _, how := range []string{"replayed", "delivered again"} {
		t.Run(how, func(t *testing.T) {
			k := projectortest.New(t)
			r := k.Report("leeds")
			r.Hurt = incident.HurtYes
			d := k.Filed(r)
			if err := k.Projector.Quarantine(t.Context(), d, errors.New("not yet")); err != nil {
				t.Fatal(err)
			}
			standIn := k.Incident(r.ID)
			if how == "replayed" {
				for range 2 {
					if err := k.Projector.Replay(t.Context(), d.Subject); err != nil {
						t.Fatal(err)
					}
				}
				if q, err := k.Store.Quarantined(t.Context(), d.Subject); err != nil || q.ReplayedAt.IsZero() {
					t.Errorf("quarantined=%+v, %v; want it marked", q, err)
				}
			} else {
				k.Apply(d)
				k.Apply(d)
			}
			i := k.Incident(r.ID)
			if i.ID != standIn.ID || i.Site != "leeds" || !i.OccurredAt.Equal(r.OccurredAt) || i.Hurt != incident.HurtYes ||
				i.Kind.Reporter != incident.KindAbuse || len(i.Reports) != 1 || len(i.Reports[0].SealedWords) == 0 {
				t.Errorf("incident=%+v", i)
			}
			wantActions(t, i, incident.ActionUnreadable, incident.ActionFiled)
			if got := count(cells(t, k, standIn.Ledger())); got != 0 {
				t.Errorf("counted %d at the stand-in's place, want 0", got)
			}
			if got := count(cells(t, k, i.Ledger())); got != 1 {
				t.Errorf("counted %d, want 1", got)
			}
			if err := k.Projector.Quarantine(t.Context(), d, errors.New("again")); err != nil {
				t.Fatal(err)
			}
			if again := k.Incident(r.ID); again.Rev != i.Rev {
				t.Errorf("Rev=%d, want %d: a late quarantine changed the incident", again.Rev, i.Rev)
			}
		})
	}
}

var everything = store.Filter{Limit: 1}
