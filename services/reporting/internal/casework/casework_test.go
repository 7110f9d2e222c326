package casework_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/timeline"
)

var rep = incident.Actor{Role: "rep", ID: "u1", Name: "Demo Rep"}

// desk is a store with one filed incident and somebody to work on it.
type desk struct {
	*projectortest.Kit
	*casework.Service
	t        *testing.T
	reportID string
}

func newDesk(t *testing.T, change func(*incident.Report)) *desk {
	t.Helper()
	k := projectortest.New(t)
	r := k.Report("leeds")
	r.Narrative = "canary-narrative"
	if change != nil {
		change(&r)
	}
	k.Apply(k.Filed(r))
	s := casework.New(casework.Config{Store: k.Store, Folder: k.Folder, Keyring: k.Keyring,
		SiteKnown: func(id string) bool { return id == "leeds" || id == "york" }, Now: func() time.Time { return k.At }})
	return &desk{Kit: k, Service: s, t: t, reportID: r.ID}
}

func (d *desk) incident() *incident.Incident { return d.Incident(d.reportID) }

// do makes a change that must be taken, and returns the incident.
func (d *desk) do(change func(ctx context.Context, id string, rev int64) (*incident.Incident, error)) *incident.Incident {
	d.t.Helper()
	before := d.incident()
	i, err := change(d.t.Context(), before.ID, before.Rev)
	if err != nil {
		d.t.Fatal(err)
	}
	if i.Rev != before.Rev+1 || i.FoldedRev != i.Rev {
		d.t.Errorf("Rev=%d FoldedRev=%d, want both %d", i.Rev, i.FoldedRev, before.Rev+1)
	}
	if stored := d.incident(); stored.Rev != i.Rev || stored.Status != i.Status {
		d.t.Errorf("stored revision %d %s, returned %d %s", stored.Rev, stored.Status, i.Rev, i.Status)
	}
	if err := timeline.NewKeeper(d.Keyring).Verify(i); err != nil {
		d.t.Error(err)
	}
	return i
}

// refused makes a change that must be refused with a kind, and checks that
// nothing was changed.
func (d *desk) refused(want fault.Kind, change func(ctx context.Context, id string, rev int64) (*incident.Incident, error)) *fault.Error {
	d.t.Helper()
	before := d.incident()
	i, err := change(d.t.Context(), before.ID, before.Rev)
	if i != nil || fault.KindOf(err) != want {
		d.t.Fatalf("err=%v, want kind %d", err, want)
	}
	if after := d.incident(); after.Rev != before.Rev || len(after.Timeline) != len(before.Timeline) {
		d.t.Errorf("refused, and the incident changed")
	}
	f := fault.As(err)
	if f.Message == "" || f.Code == "" {
		d.t.Errorf("fault=%+v: it tells nobody anything", f)
	}
	return f
}

func (d *desk) counted(k incident.LedgerKey) (n int) {
	d.t.Helper()
	got, err := d.Store.LedgerCells(d.t.Context(), []string{k.Site}, k.Month, k.Month)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, s := range got {
		for _, c := range s.Cells {
			n += c.Incidents
		}
	}
	return n
}

func last(i *incident.Incident) incident.Change { return i.Timeline[len(i.Timeline)-1] }

func TestFromNewToClosedAndBack(t *testing.T) {
	d := newDesk(t, nil)
	type step = func(ctx context.Context, id string, rev int64) (*incident.Incident, error)
	acknowledge := func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.Acknowledge(ctx, id, rev, rep)
	}
	set := func(to incident.Status) step {
		return func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
			return d.SetStatus(ctx, id, rev, rep, to)
		}
	}
	closeIt := func(fixed bool) step {
		return func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
			return d.Close(ctx, id, rev, rep, fixed, " a screen was fitted\r\n")
		}
	}
	reopen := func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.Reopen(ctx, id, rev, rep, "it broke")
	}
	aside := func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.SetAside(ctx, id, rev, rep, " it was made up ")
	}
	back := func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.TakeBack(ctx, id, rev, rep, "it was real")
	}
	d.refused(fault.Conflict, reopen)
	d.refused(fault.Conflict, back)
	for _, s := range []struct {
		change step
		action incident.Action
		to     incident.Status
	}{
		{acknowledge, incident.ActionAcknowledged, incident.StatusAcknowledged},
		{set(incident.StatusInReview), incident.ActionStatus, incident.StatusInReview},
		{set(incident.StatusWaitingForReporter), incident.ActionStatus, incident.StatusWaitingForReporter},
		{set(incident.StatusActionAgreed), incident.ActionStatus, incident.StatusActionAgreed},
		{closeIt(true), incident.ActionClosed, incident.StatusClosedFixed},
		{reopen, incident.ActionReopened, incident.StatusReopened},
		{closeIt(false), incident.ActionClosed, incident.StatusClosedNotFixed},
		{aside, incident.ActionSetAside, incident.StatusSetAside},
		{back, incident.ActionTakenBack, incident.StatusClosedNotFixed},
		{reopen, incident.ActionReopened, incident.StatusReopened},
		{aside, incident.ActionSetAside, incident.StatusSetAside},
		{back, incident.ActionTakenBack, incident.StatusReopened},
		{closeIt(false), incident.ActionClosed, incident.StatusClosedNotFixed},
	} {
		from := d.incident().Status
		i := d.do(s.change)
		c := last(i)
		if i.Status != s.to || c.Action != s.action || c.From != string(from) || c.To != string(s.to) || c.By != rep || !c.At.Equal(d.At) {
			t.Errorf("status %s, entry %+v; want %s, %s from %s", i.Status, c, s.to, s.action, from)
		}
		want := 1
		if i.Status == incident.StatusSetAside {
			want = 0
			for _, change := range []step{acknowledge, set(incident.StatusInReview), closeIt(true), reopen, aside} {
				if f := d.refused(fault.Conflict, change); !strings.Contains(f.Message, "set aside") {
					t.Errorf("refused with %q, want that it was set aside", f.Message)
				}
			}
		}
		if got := d.counted(i.Ledger()); got != want {
			t.Errorf("%s: counted %d, want %d", i.Status, got, want)
		}
	}
	d.refused(fault.Conflict, acknowledge)
	d.refused(fault.Conflict, set(incident.StatusInReview))
	d.refused(fault.Conflict, closeIt(true))
	w, err := d.Words(d.incident())
	if err != nil || w.Notes[6] != "a screen was fitted" || w.Notes[7] != "it broke" {
		t.Errorf("notes=%v, %v", w.Notes, err)
	}
	if bytes.Contains(d.incident().Timeline[5].SealedNote, []byte("screen")) {
		t.Error("a reason is kept in clear")
	}
}

func TestWhatStatusDoesNotAllow(t *testing.T) {
	d := newDesk(t, nil)
	d.refused(fault.Invalid, func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.SetStatus(ctx, id, rev, rep, incident.StatusClosedFixed)
	})
	d.do(func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.SetStatus(ctx, id, rev, rep, incident.StatusInReview)
	})
	d.refused(fault.Conflict, func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.SetStatus(ctx, id, rev, rep, incident.StatusInReview)
	})
	d.Apply(d.Added(d.reportID, onrecordv1.Addition_ADDITION_WITHDRAWN, ""))
	kind := incident.KindThreat
	for _, change := range []func(ctx context.Context, id string, rev int64) (*incident.Incident, error){
		func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
			return d.Acknowledge(ctx, id, rev, rep)
		},
		func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
			return d.SetStatus(ctx, id, rev, rep, incident.StatusInReview)
		},
		func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
			return d.Close(ctx, id, rev, rep, true, "done")
		},
		func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
			return d.Reopen(ctx, id, rev, rep, "again")
		},
		func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
			return d.Correct(ctx, id, rev, rep, casework.Correction{Kind: &kind})
		},
	} {
		if f := d.refused(fault.Conflict, change); !strings.Contains(f.Message, "took this report back") {
			t.Errorf("message=%q", f.Message)
		}
	}
	d.do(func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.Note(ctx, id, rev, rep, "they rang to explain")
	})
}

func TestAChangeByAnybodyElseIsSeenFirst(t *testing.T) {
	d := newDesk(t, nil)
	seen := d.incident()
	d.do(func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.Note(ctx, id, rev, rep, "first")
	})
	for _, rev := range []int64{seen.Rev, seen.Rev + 2, 0} {
		d.refused(fault.Stale, func(ctx context.Context, id string, _ int64) (*incident.Incident, error) {
			return d.Note(ctx, id, rev, rep, "second")
		})
	}
	f := d.refused(fault.NotFound, func(ctx context.Context, _ string, rev int64) (*incident.Incident, error) {
		return d.Note(ctx, "00000000-0000-8000-8000-000000000000", rev, rep, "where?")
	})
	if strings.Contains(f.Message, "000") {
		t.Errorf("message=%q", f.Message)
	}
}

func TestWordsThatCannotBeKept(t *testing.T) {
	d := newDesk(t, nil)
	for name, text := range map[string]string{"none": "", "only space": " \n\t", "a NUL": "a\x00b", "no UTF-8": "a\xffb",
		"too many": strings.Repeat("x", incident.MaxNote+1)} {
		t.Run(name, func(t *testing.T) {
			for field, change := range map[string]func(ctx context.Context, id string, rev int64) (*incident.Incident, error){
				"note": func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
					return d.Note(ctx, id, rev, rep, text)
				},
				"reason": func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
					return d.Close(ctx, id, rev, rep, true, text)
				},
			} {
				if f := d.refused(fault.Invalid, change); len(f.Fields) != 1 || f.Fields[0].Name != field {
					t.Errorf("fields=%v, want %s", f.Fields, field)
				}
			}
		})
	}
	d.do(func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.Note(ctx, id, rev, rep, strings.Repeat("é", incident.MaxNote))
	})
}

func TestACorrectionStandsBesideWhatWasSaid(t *testing.T) {
	d := newDesk(t, nil)
	d.Apply(d.Classified(d.reportID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetNamedPerson))
	kind, channel, target := incident.KindAssault, incident.ChannelInPerson, incident.TargetUnknown
	site, at, hurt, people := "york", d.At.AddDate(0, -2, 0), incident.HurtYes, 3
	precision := incident.PrecisionDay
	was := d.incident().Ledger()
	i := d.do(func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.Correct(ctx, id, rev, rep, casework.Correction{Kind: &kind, Channel: &channel, Target: &target, Site: &site,
			OccurredAt: &at, Precision: &precision, Hurt: &hurt, PeopleAffected: &people, Reason: "saw the video"})
	})
	if i.Kind != (incident.Opinion[incident.Kind]{Reporter: incident.KindAbuse, Machine: incident.KindThreat, Reviewer: incident.KindAssault}) {
		t.Errorf("Kind=%+v", i.Kind)
	}
	var got [][3]string
	for _, c := range i.Timeline[2:] {
		if c.Action != incident.ActionCorrected || c.By != rep {
			t.Errorf("entry=%+v", c)
		}
		got = append(got, [3]string{c.Field, c.From, c.To})
	}
	want := [][3]string{{"kind", "abuse", "assault"}, {"channel", "in_person", "in_person"}, {"target", "any_staff", "unknown"}, {"site", "leeds", "york"},
		{"occurred_at", "2026-11-11T12:00:00Z exact", "2026-09-21T12:00:02Z day"}, {"hurt", "unknown", "yes"}, {"people_affected", "0", "3"}}
	if !slices.Equal(got, want) {
		t.Errorf("entries\n got %v\nwant %v", got, want)
	}
	w, err := d.Words(i)
	if err != nil || w.Notes[3] != "saw the video" || len(w.Notes) != 1 {
		t.Errorf("notes=%v, %v", w.Notes, err)
	}
	if d.counted(was) != 0 || d.counted(i.Ledger()) != 1 || len(i.Lines) != 2 {
		t.Errorf("counted %d where it was and %d where it is, lines %v", d.counted(was), d.counted(i.Ledger()), i.Lines)
	}
	d.Apply(d.Classified(d.reportID, "m2", incident.KindAbuse, incident.ChannelLetter, incident.TargetOrganisation))
	if dims := d.incident().Dims(); dims.Kind != kind || dims.Channel != channel || dims.Target != target {
		t.Errorf("dims=%+v: a later reading overrode the reviewer", dims)
	}
}

// A rep learns when it happened, and learns again that nobody knows: it counts
// in that month, and then again in the one in which it was reported.
func TestWhenItHappenedIsLearnedAndUnlearned(t *testing.T) {
	pressed := time.Date(2026, 10, 30, 9, 0, 0, 0, time.UTC)
	d := newDesk(t, func(r *incident.Report) {
		r.Precision, r.PressedAt, r.OccurredAt = incident.PrecisionUnknown, pressed, pressed
	})
	reported := d.incident().Ledger()
	correct := func(c casework.Correction) *incident.Incident {
		return d.do(func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
			return d.Correct(ctx, id, rev, rep, c)
		})
	}
	at, day, unknown := d.At.AddDate(0, -4, 0), incident.PrecisionDay, incident.PrecisionUnknown
	for name, c := range map[string]casework.Correction{"a precision of no time": {Precision: &day}, "a time that is not known": {OccurredAt: &at, Precision: &unknown}} {
		f := d.refused(fault.Invalid, func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
			return d.Correct(ctx, id, rev, rep, c)
		})
		if len(f.Fields) != 1 || f.Fields[0].Name != "occurred_at" {
			t.Errorf("%s: fields=%v", name, f.Fields)
		}
	}
	i := correct(casework.Correction{OccurredAt: &at})
	if i.Precision != incident.PrecisionExact || !i.OccurredAt.Equal(at.Truncate(time.Millisecond)) || d.counted(reported) != 0 || d.counted(i.Ledger()) != 1 {
		t.Errorf("learned: %v %s, counted %d where it was and %d where it is", i.OccurredAt, i.Precision, d.counted(reported), d.counted(i.Ledger()))
	}
	learned := i.Ledger()
	i = correct(casework.Correction{Precision: &unknown})
	if i.Precision != unknown || !i.OccurredAt.Equal(pressed) || d.counted(reported) != 1 || d.counted(learned) != 0 {
		t.Errorf("unlearned: %v %s, counted %d where it was reported and %d where it was", i.OccurredAt, i.Precision, d.counted(reported), d.counted(learned))
	}
	if c := last(i); c.From != "2026-07-21T12:00:01Z exact" || c.To != "2026-10-30T09:00:00Z unknown" {
		t.Errorf("entry=%+v", c)
	}
}

func TestSayingTheSameAgainChangesNothing(t *testing.T) {
	d := newDesk(t, nil)
	kind, site := incident.KindThreat, "york"
	c := casework.Correction{Kind: &kind, Site: &site}
	i := d.do(func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.Correct(ctx, id, rev, rep, c)
	})
	again, err := d.Correct(t.Context(), i.ID, i.Rev, rep, c)
	if err != nil || again.Rev != i.Rev || d.incident().Rev != i.Rev {
		t.Errorf("Rev=%d, %v; want %d", again.Rev, err, i.Rev)
	}
}

func TestACorrectionNamesEveryMistake(t *testing.T) {
	d := newDesk(t, nil)
	kind, channel, target, hurt, precision := incident.Kind("rude"), incident.Channel(""), incident.Target("all"), incident.Hurt("maybe"), incident.Precision("roughly")
	site, at, people := "atlantis", d.At.Add(time.Hour), 0
	f := d.refused(fault.Invalid, func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.Correct(ctx, id, rev, rep, casework.Correction{Kind: &kind, Channel: &channel, Target: &target, Site: &site,
			OccurredAt: &at, Precision: &precision, Hurt: &hurt, PeopleAffected: &people, Reason: "\x00"})
	})
	var got []string
	for _, field := range f.Fields {
		got = append(got, field.Name)
	}
	slices.Sort(got)
	want := []string{"channel", "hurt", "kind", "occurred_at", "occurred_precision", "people_affected", "reason", "site", "target"}
	if !slices.Equal(got, want) {
		t.Errorf("fields=%v, want %v", got, want)
	}
}

func TestWhoReportedIsShownOnlyIfTheyAgreed(t *testing.T) {
	for choice, want := range map[incident.ContactChoice]string{
		incident.ContactAnonymous: "", incident.ContactRepOnly: "canary-name", incident.ContactMayBeNamed: "canary-name",
	} {
		t.Run(string(choice), func(t *testing.T) {
			d := newDesk(t, func(r *incident.Report) {
				r.Contact = incident.Contact{Choice: choice, Name: "canary-name", Details: "canary-details"}
				r.Site, r.SiteName, r.Employer = incident.SiteUnlisted, "canary-site", "canary-employer"
			})
			w, err := d.Words(d.incident())
			if err != nil {
				t.Fatal(err)
			}
			got := w.Reports[0]
			if got.Narrative != "canary-narrative" || got.SiteName != "canary-site" || got.Employer != "canary-employer" || got.ContactName != want || (got.ContactDetails != "") != (want != "") {
				t.Errorf("words=%+v", got)
			}
		})
	}
}

func TestErasedWordsAreGoneAndTheRestStands(t *testing.T) {
	d := newDesk(t, nil)
	i := d.do(func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.Note(ctx, id, rev, rep, "rang them")
	})
	i.WrappedKey = nil
	i.Rev++
	if err := d.Store.ReplaceIncident(t.Context(), i, i.Rev-1); err != nil {
		t.Fatal(err)
	}
	if w, err := d.Words(d.incident()); err != nil || !w.Erased || w.Reports != nil || w.Notes != nil {
		t.Errorf("words=%+v, %v", w, err)
	}
	f := d.refused(fault.Conflict, func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.Note(ctx, id, rev, rep, "more")
	})
	if f.Code != "erased" {
		t.Errorf("code=%s", f.Code)
	}
	d.do(func(ctx context.Context, id string, rev int64) (*incident.Incident, error) {
		return d.Acknowledge(ctx, id, rev, rep)
	})
}

func TestWordsInAnothersPlaceDoNotOpen(t *testing.T) {
	d := newDesk(t, nil)
	r := d.Report("leeds")
	d.Apply(d.Filed(r))
	i, other := d.incident(), d.Incident(r.ID)
	i.Reports[0].SealedWords = other.Reports[0].SealedWords
	if w, err := d.Words(i); err == nil {
		t.Errorf("words=%+v: another incident's words opened", w)
	} else if strings.Contains(err.Error(), "shouted") {
		t.Errorf("err=%v: it quotes words", err)
	}
}
