package floods_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/audit"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/floods"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/timeline"
)

var rep = incident.Actor{Role: "rep", ID: "u1", Name: "Demo Rep"}

// office is a store with a flood service on it.
type office struct {
	*projectortest.Kit
	*floods.Service
	t     testing.TB
	cases *casework.Service
}

func open(t testing.TB, k *projectortest.Kit) *office {
	o := &office{Kit: k, t: t}
	o.cases = casework.New(casework.Config{Store: k.Store, Folder: k.Folder, Keyring: k.Keyring, SiteKnown: func(string) bool { return true }, Now: o.now})
	o.Service = o.on(k.Store)
	return o
}

func (o *office) now() time.Time { return o.At }

// on returns a flood service on another view of the store, as another process has it.
func (o *office) on(st store.Store) *floods.Service {
	return floods.New(floods.Config{Store: st, Folder: fold.New(), Keyring: o.Keyring, Log: slog.New(slog.DiscardHandler), Now: o.now,
		Words: func(i *incident.Incident) string {
			w, err := o.cases.Words(i)
			if err != nil || len(w.Reports) == 0 {
				return ""
			}
			return w.Reports[0].Narrative
		}})
}

// file files reports about a site, one for each text, a second apart.
func (o *office) file(site string, texts ...string) {
	o.t.Helper()
	var batch []bus.Delivery
	for _, text := range texts {
		o.At = o.At.Add(time.Second)
		r := o.Report(site)
		r.Narrative = text
		batch = append(batch, o.Filed(r))
		if len(batch) == 500 {
			o.Apply(batch...)
			batch = nil
		}
	}
	o.Apply(batch...)
}

func repeat(n int, text func(n int) string) []string {
	texts := make([]string, n)
	for k := range texts {
		texts[k] = text(k)
	}
	return texts
}

func same(int) string { return "a man at the desk shouted at all of us for an hour" }

// statuses returns how many incidents have each status.
func (o *office) statuses() map[incident.Status]int {
	o.t.Helper()
	counts := map[incident.Status]int{}
	err := o.Store.EachIncident(o.t.Context(), func(i *incident.Incident) error {
		counts[i.Status]++
		return timeline.NewKeeper(o.Keyring).Verify(i)
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return counts
}

// sound fails unless figures and histories are those of the incidents, with so
// many of them counted and so many set aside.
func (o *office) sound(counted, aside int) {
	o.t.Helper()
	r, err := audit.New(audit.Config{Store: o.Store, Keyring: o.Keyring, Log: slog.New(slog.DiscardHandler), Now: o.now}).Verify(o.t.Context(), func(int, int) {})
	if err != nil || r.Faults() > 0 || len(r.Unsettled) > 0 {
		o.t.Fatalf("audit: %v %v", r.Lines(), err)
	}
	months, err := o.Store.RollupCells(o.t.Context(), incident.MonthOf(o.At).Add(-1), incident.MonthOf(o.At))
	if err != nil {
		o.t.Fatal(err)
	}
	gotCounted, gotAside := 0, 0
	for _, cells := range months {
		for _, c := range cells {
			gotCounted, gotAside = gotCounted+c.Incidents, gotAside+c.SetAside
		}
	}
	if gotCounted != counted || gotAside != aside {
		o.t.Errorf("%d counted and %d set aside, want %d and %d", gotCounted, gotAside, counted, aside)
	}
}

func (o *office) only() floods.Flood {
	o.t.Helper()
	all, err := o.List(o.t.Context(), nil)
	if err != nil || len(all) != 1 {
		o.t.Fatalf("%d floods, %v, want 1", len(all), err)
	}
	return all[0]
}

func (o *office) look(id string) (floods.View, []*store.JointChange) {
	o.t.Helper()
	v, changes, err := o.Look(o.t.Context(), id, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	return v, changes
}

func TestWhatMakesAFlood(t *testing.T) {
	o := open(t, projectortest.New(t))
	o.At = o.At.Truncate(time.Hour)
	o.file("york", repeat(floods.Least-1, same)...)
	if all, err := o.List(t.Context(), nil); err != nil || len(all) != 0 {
		t.Fatalf("%d floods, %v, of one report too few", len(all), err)
	}
	o.file("leeds", repeat(floods.Least-1, same)...)
	o.file("york", "a real one")
	hour := o.At.Truncate(time.Hour)
	o.At = hour.Add(time.Hour)
	o.file("york", repeat(floods.Least, same)...)
	f := o.only()
	if f.Site != "york" || f.Incidents != 2*floods.Least || !f.From.Equal(hour) || !f.To.Equal(hour.Add(2*time.Hour)) {
		t.Errorf("%+v, want both hours of york as one", f)
	}
	for _, sites := range [][]string{{}, {"leeds"}} {
		if all, err := o.List(t.Context(), sites); err != nil || len(all) != 0 {
			t.Errorf("at %v: %d floods, %v", sites, len(all), err)
		}
		if _, _, err := o.Look(t.Context(), f.ID, sites); fault.KindOf(err) != fault.NotFound {
			t.Errorf("at %v: %v, want not found", sites, err)
		}
		if _, err := o.SetAside(t.Context(), f.ID, sites, rep, floods.Ask{Which: "all", Until: o.At, Reason: "x"}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("at %v: %v, want not found", sites, err)
		}
	}
	o.At = o.At.Add(floods.Kept + 2*time.Hour)
	if all, err := o.List(t.Context(), nil); err != nil || len(all) != 0 {
		t.Errorf("%d floods, %v, long after", len(all), err)
	}
}

func TestAlikeIsToldFromHonest(t *testing.T) {
	honest := []string{"He spat at my colleague and ran.", "a man at the desk hit me", "", "The alarm did not work when she came at us with a knife"}
	for name, c := range map[string]struct {
		text        func(n int) string
		alike, same int
		wordless    bool
	}{
		"the same words": {same, 60, 60, false},
		"figures and marks": {func(n int) string {
			return fmt.Sprintf("A MAN at the desk, %d: shouted! at all of us (%d) for an hour.", n, n*7)
		}, 60, 60, false},
		"a word more in each": {func(n int) string { return same(0) + " " + strings.Repeat(string(rune('a'+n%26)), 1+n/26) + "x" }, 60, 1, false},
		"no words":            {func(int) string { return "" }, 61, 61, true}, // the honest one without words chose the same
		"nothing like one another": {func(n int) string {
			return strings.Repeat(fmt.Sprint(string(rune('a'+n%26)), n/26, " "), 3) + string(rune('a'+n%26)) + string(rune('a'+n/26))
		}, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t, projectortest.New(t))
			o.At = o.At.Truncate(time.Hour)
			o.file("leeds", honest[:2]...)
			o.file("leeds", repeat(60, c.text)...)
			o.file("leeds", honest[2:]...)
			v, _ := o.look(o.only().ID)
			if c.alike == 0 {
				if v.Alike > 5 {
					t.Errorf("%d of %d alike, want hardly any", v.Alike, v.Incidents)
				}
				return
			}
			if v.Alike != c.alike || v.AlikeSame != c.same || v.AlikeIn != c.alike || v.Wordless != c.wordless || v.Incidents != 64 || v.Counted != 64 {
				t.Errorf("%+v, want %d alike, %d in the same words", v, c.alike, c.same)
			}
			unlike, err := o.Incidents(t.Context(), v.Flood, true, "", 10)
			if err != nil || len(unlike) != v.Incidents-v.Alike {
				t.Fatalf("%d that are not alike, %v, want %d", len(unlike), err, v.Incidents-v.Alike)
			}
			if rest, err := o.Incidents(t.Context(), v.Flood, true, unlike[0].ID, 1); err != nil || len(rest) != 1 || rest[0].ID != unlike[1].ID {
				t.Errorf("after the first: %v, %v", rest, err)
			}
			again, _ := o.look(v.ID)
			if again != v {
				t.Errorf("looked at again: %+v, want %+v", again, v)
			}
		})
	}
}

// The honest report in the middle of a flood stays where it is, what came after
// the rep looked is not meant, and what was set aside together comes back together.
func TestSettingAsideTogetherAndTakingBack(t *testing.T) {
	mongo := projectortest.Mongo(t)
	for name, st := range map[string]func() *projectortest.Kit{
		"SQLite":  func() *projectortest.Kit { return projectortest.New(t) },
		"MongoDB": func() *projectortest.Kit { return projectortest.NewOn(t, mongo(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t, st())
			o.At = o.At.Truncate(time.Hour)
			ctx := t.Context()
			o.file("leeds", append(repeat(60, same), "he hit me in the face with his fist")...)
			v, _ := o.look(o.only().ID)
			until := v.Last
			o.file("leeds", same(0)) // after the rep looked
			closed := o.byWords(t, 3)
			if _, err := o.cases.Acknowledge(ctx, closed.ID, closed.Rev, rep); err != nil {
				t.Fatal(err)
			}
			c, err := o.SetAside(ctx, v.ID, nil, rep, floods.Ask{Which: floods.WhichAlike, Until: until, Reason: "One text, sixty times."})
			if err != nil || len(c.Incidents) != 60 {
				t.Fatalf("%+v, %v", c, err)
			}
			if _, err := o.SetAside(ctx, v.ID, nil, rep, floods.Ask{Which: floods.WhichAll, Until: o.At, Reason: "again"}); fault.As(err).Code != "under_way" {
				t.Errorf("while one is under way: %v", err)
			}
			o.carryOn()
			o.sound(2, 60)
			v, changes := o.look(v.ID)
			if v.SetAside != 60 || v.Counted != 2 || len(changes) != 1 || !changes[0].Finished() {
				t.Errorf("%+v, %+v", v, changes)
			}
			if reason, err := o.Reason(changes[0]); err != nil || reason != "One text, sixty times." {
				t.Errorf("reason %q, %v", reason, err)
			}
			aside, _ := o.Store.Incident(ctx, closed.ID)
			last := aside.Timeline[len(aside.Timeline)-1]
			words, err := o.cases.Words(aside)
			if err != nil || last.Action != incident.ActionSetAside || last.By != rep || last.From != "acknowledged" || words.Notes[last.Seq] != "One text, sixty times." {
				t.Errorf("entry %+v, notes %v, %v", last, words.Notes, err)
			}
			// One is taken back alone, one is set aside alone after that: neither is of the joint change any more.
			if aside, err = o.cases.TakeBack(ctx, aside.ID, aside.Rev, rep, "this one is real"); err != nil || aside.Status != incident.StatusAcknowledged {
				t.Fatalf("taken back alone: %v, %v", aside, err)
			}
			o.sound(3, 59)
			other := o.byWords(t, 5)
			if other, err = o.cases.TakeBack(ctx, other.ID, other.Rev, rep, "to look again"); err == nil {
				_, err = o.cases.SetAside(ctx, other.ID, other.Rev, rep, "looked again")
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := o.TakeBack(ctx, v.ID, nil, rep, "no such change", "x"); fault.KindOf(err) != fault.Invalid {
				t.Errorf("another change: %v", err)
			}
			if _, err := o.TakeBack(ctx, v.ID, []string{"york"}, rep, c.ID, "x"); fault.KindOf(err) != fault.NotFound {
				t.Errorf("at another site: %v", err)
			}
			if _, err := o.TakeBack(ctx, v.ID, nil, rep, c.ID, "They were real."); err != nil {
				t.Fatal(err)
			}
			o.carryOn()
			o.sound(61, 1)
			if _, err := o.TakeBack(ctx, v.ID, nil, rep, c.ID, "again"); fault.As(err).Code != "taken_back" {
				t.Errorf("twice: %v", err)
			}
			if got := o.statuses(); got[incident.StatusAcknowledged] != 1 || got[incident.StatusNew] != 60 {
				t.Errorf("statuses %v, want each as before", got)
			}
		})
	}
}

// What a rep asked for at their site is not done at another, where they see nothing.
func TestWhatWasMovedToAnotherSiteIsNotSetAsideWithTheOthers(t *testing.T) {
	o := open(t, projectortest.New(t))
	o.file("leeds", repeat(60, same)...)
	v, _ := o.look(o.only().ID)
	moved := o.byWords(t, 7)
	if _, err := o.SetAside(t.Context(), v.ID, []string{"leeds"}, rep, floods.Ask{Which: floods.WhichAll, Until: v.Last, Reason: "One text, sixty times."}); err != nil {
		t.Fatal(err)
	}
	york := "york"
	if _, err := o.cases.Correct(t.Context(), moved.ID, moved.Rev, rep, casework.Correction{Site: &york}); err != nil {
		t.Fatal(err)
	}
	o.carryOn()
	o.sound(1, 59)
	if i, err := o.Store.Incident(t.Context(), moved.ID); err != nil || !i.Status.Counts() {
		t.Errorf("it is %s at %s, %v", i.Status, i.Site, err)
	}
}

func (o *office) carryOn() {
	o.t.Helper()
	if err := o.CarryOn(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
}

// A reason that cannot be opened keeps its own change waiting, and no other.
func TestAChangeThatCannotGoOnHoldsUpNoOther(t *testing.T) {
	o := open(t, projectortest.New(t))
	o.file("leeds", repeat(60, same)...)
	f := o.only()
	broken := &store.JointChange{ID: "00000000-0000-7000-8000-000000000000", Rev: 1, Flood: "1-york", Action: incident.ActionSetAside, Incidents: []string{"x"},
		By: rep, At: o.At, WrappedKey: []byte("no key"), SealedReason: []byte("no reason")}
	if err := o.Store.InsertJointChange(t.Context(), broken); err != nil {
		t.Fatal(err)
	}
	if _, err := o.SetAside(t.Context(), f.ID, nil, rep, floods.Ask{Which: floods.WhichAll, Until: o.At, Reason: "One text."}); err != nil {
		t.Fatal(err)
	}
	if err := o.CarryOn(t.Context()); err == nil || !strings.Contains(err.Error(), broken.ID) {
		t.Errorf("err=%v, want one that names %s", err, broken.ID)
	}
	if got := o.statuses()[incident.StatusSetAside]; got != 60 {
		t.Errorf("%d set aside, want 60", got)
	}
}

// byWords returns incident n of the only flood.
func (o *office) byWords(t *testing.T, n int) *incident.Incident {
	t.Helper()
	page, err := o.Incidents(t.Context(), o.only(), false, "", n+1)
	if err != nil || len(page) != n+1 {
		t.Fatalf("%d incidents, %v", len(page), err)
	}
	return page[n]
}

func TestWhatIsAskedIsChecked(t *testing.T) {
	o := open(t, projectortest.New(t))
	o.At = o.At.Truncate(time.Hour)
	o.file("leeds", repeat(floods.Least, same)...)
	id := o.only().ID
	for _, ask := range []floods.Ask{
		{Which: "some", Until: o.At, Reason: "x"}, {Which: "all", Reason: "x"}, {Which: "all", Until: o.At, Reason: " "},
		{Which: "all", Until: o.At, Reason: "a\x00b"}, {Which: "all", Until: o.At, Reason: strings.Repeat("x", incident.MaxNote+1)},
	} {
		if _, err := o.SetAside(t.Context(), id, nil, rep, ask); fault.KindOf(err) != fault.Invalid || len(fault.As(err).Fields) != 1 {
			t.Errorf("%.40v: %v, want one field named", ask, err)
		}
	}
	if _, err := o.SetAside(t.Context(), id, nil, rep, floods.Ask{Which: "all", Until: o.At.Add(-time.Hour), Reason: "x"}); fault.As(err).Code != "nothing_left" {
		t.Errorf("of none: %v", err)
	}
	for _, id := range []string{"", "x", "494812", "-leeds", "1-leeds", "99999999999999999999-leeds", "494812-" + strings.Repeat("x", 1000)} {
		if _, _, err := o.Look(t.Context(), id, nil); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%.30q: %v, want not found", id, err)
		}
	}
	if got := o.statuses(); got[incident.StatusNew] != floods.Least {
		t.Errorf("statuses %v: something was done", got)
	}
}

// dying is a store that fails for good after some writes of joint changes, in
// the middle of a batch where cut says so.
type dying struct {
	store.Store
	left *int
	cut  bool
}

var errDead = errors.New("the process is gone")

func (d dying) Group(ctx context.Context, fn func(store.Store) error) error {
	return d.Store.Group(ctx, func(tx store.Store) error { return fn(dying{tx, d.left, d.cut}) })
}

func (d dying) ReplaceIncident(ctx context.Context, i *incident.Incident, was int64) error {
	if *d.left == 0 && d.cut {
		return errDead
	}
	return d.Store.ReplaceIncident(ctx, i, was)
}

func (d dying) ReplaceJointChange(ctx context.Context, c *store.JointChange, was int64) error {
	if *d.left == 0 {
		return errDead
	}
	*d.left--
	return d.Store.ReplaceJointChange(ctx, c, was)
}

// Five thousand reports are set aside while the process dies again and again,
// and another goes on: each is set aside once, and none is counted.
func TestAFloodOfFiveThousandWhileTheProcessDies(t *testing.T) {
	const flood = 5000
	o := open(t, projectortest.New(t))
	o.At = o.At.Truncate(time.Hour)
	texts := repeat(flood, func(n int) string { return same(0) + fmt.Sprint(" ", n) })
	texts[1234], texts[4321] = "he hit me in the face with his fist", "she came over the counter with a knife"
	o.file("leeds", texts...)
	f := o.only()
	began := time.Now()
	v, _ := o.look(f.ID)
	t.Logf("looking at %d: %v", v.Incidents, time.Since(began).Round(time.Millisecond))
	if v.Incidents != flood || v.Alike != flood-2 {
		t.Fatalf("%+v", v)
	}
	if _, err := o.SetAside(t.Context(), f.ID, nil, rep, floods.Ask{Which: floods.WhichAlike, Until: v.Last, Reason: "One text."}); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	deaths := 0
	for n := 0; ; n++ {
		left := 3 + n
		err := o.on(dying{o.Store, &left, n%2 == 0}).CarryOn(t.Context())
		if err == nil {
			break
		}
		if !errors.Is(err, errDead) {
			t.Fatal(err)
		}
		deaths++
	}
	t.Logf("set aside with %d deaths: %v", deaths, time.Since(began).Round(time.Millisecond))
	if deaths < 3 {
		t.Errorf("%d deaths: nothing was tried", deaths)
	}
	o.sound(2, flood-2)
	err := o.Store.EachIncident(t.Context(), func(i *incident.Incident) error {
		n := 0
		for _, c := range i.Timeline {
			if c.Action == incident.ActionSetAside {
				n++
			}
		}
		if want := map[bool]int{true: 1}[i.Status == incident.StatusSetAside]; n != want {
			t.Errorf("%s was set aside %d times", i.Ref, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := o.Store.CountIncidents(t.Context(), store.Filter{Statuses: []incident.Status{incident.StatusSetAside}, Sites: []string{"leeds"}}, 10_000); err != nil || n != flood-2 {
		t.Errorf("the list of what was set aside has %d, %v", n, err)
	}
	if _, changes := o.look(f.ID); !changes[0].Finished() {
		t.Error("it is not finished")
	}
}
