package editions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/editions"
	"github.com/onrecord/onrecord/services/reporting/internal/figures"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

var (
	october  = incident.Month{Year: 2026, Month: time.October}
	november = october.Add(1)
	somebody = editions.Publisher{ID: "u1", Name: "Demo Rep"}
	actor    = incident.Actor{Role: "rep", ID: "u1", Name: "Demo Rep"}
)

// press is an installation that publishes, on 21 November 2026.
type press struct {
	*projectortest.Kit
	*editions.Service
	cases *casework.Service
	log   *bytes.Buffer
	now   time.Time
	busy  error // what keeps everything received from being counted
	t     *testing.T
}

func newPress(t *testing.T, k *projectortest.Kit, day int) *press {
	t.Helper()
	p := &press{Kit: k, log: &bytes.Buffer{}, now: k.At, t: t}
	p.cases = casework.New(casework.Config{Store: k.Store, Folder: k.Folder, Keyring: k.Keyring, SiteKnown: func(string) bool { return true }, Now: func() time.Time { return k.At }})
	p.Service = editions.New(editions.Config{Store: k.Store, Keyring: k.Keyring, Day: day, Settled: func(context.Context) error { return p.busy },
		Log: slog.New(slog.NewTextHandler(p.log, nil)), Now: func() time.Time { return p.now }})
	return p
}

// file files n reports of a month, and returns their ids.
func (p *press) file(m incident.Month, n int, channel incident.Channel) (ids []string) {
	p.t.Helper()
	for i := range n {
		r := p.Report([]string{"leeds", "york"}[i%2])
		r.Channel, r.OccurredAt = channel, m.Start().AddDate(0, 0, i%27).Add(12*time.Hour)
		p.Apply(p.Filed(r))
		ids = append(ids, r.ID)
	}
	return ids
}

// publish publishes the next edition of a month.
func (p *press) publish(m incident.Month, number int) figures.Edition {
	p.t.Helper()
	r := editions.Request{Month: m, Number: number, By: somebody}
	if number > 1 {
		r.Reason, r.Why = figures.ReasonSource, "Reports came late."
	}
	e, err := p.Publish(p.t.Context(), r)
	if err != nil {
		p.t.Fatal(err)
	}
	return e
}

func (p *press) stored(m incident.Month, number int) *store.Edition {
	p.t.Helper()
	e, err := p.Store.Edition(p.t.Context(), m, number)
	if err != nil {
		p.t.Fatal(err)
	}
	return e
}

func (p *press) check() []string {
	p.t.Helper()
	_, wrong, err := editions.Check(p.t.Context(), p.Store, p.Keyring)
	if err != nil {
		p.t.Fatal(err)
	}
	return wrong
}

func TestPublishing(t *testing.T) {
	p := newPress(t, projectortest.New(t), 0)
	p.file(october, 20, incident.ChannelInPerson)
	first := p.publish(october, 1)
	if first.Number != 1 || first.Figures.Total.N != 20 || first.Threshold != 5 || !first.PublishedAt.Equal(p.now) || len(first.Changes) != 0 {
		t.Errorf("got %+v", first)
	}
	stored := p.stored(october, 1)
	if stored.By != "Demo Rep" || !stored.PublishedAt.Equal(first.PublishedAt) {
		t.Errorf("stored %+v", stored)
	}
	public, err := p.Public(t.Context(), october, 1)
	if err != nil || !bytes.Equal(public, stored.Public) || strings.Contains(string(public), "Demo Rep") {
		t.Errorf("public %s, %v", public, err)
	}
	if log := p.log.String(); !strings.Contains(log, "month=2026-10 edition=1") || !strings.Contains(log, "account=u1") || strings.Contains(log, "Demo Rep") {
		t.Errorf("the log says %q", log)
	}

	p.file(october, 9, incident.ChannelPhone)
	p.now = p.now.Add(time.Hour)
	second := p.publish(october, 2)
	if second.Figures.Total.N != 29 || second.Reason != figures.ReasonSource || second.Why == "" {
		t.Errorf("got %+v", second)
	}
	want := []figures.Change{
		{Of: figures.OfTotal, Before: figures.Number{N: 20}, After: figures.Number{N: 29}},
		{Channel: incident.ChannelPhone, After: figures.Number{N: 9}},
		{Target: incident.TargetAnyStaff, Before: figures.Number{N: 20}, After: figures.Number{N: 29}},
		{Kind: incident.KindAbuse, Before: figures.Number{N: 20}, After: figures.Number{N: 29}},
		{Channel: incident.ChannelPhone, Target: incident.TargetAnyStaff, After: figures.Number{N: 9}},
	}
	if !reflect.DeepEqual(second.Changes, want) {
		t.Errorf("changes %+v\nwant %+v", second.Changes, want)
	}
	newest, err := p.Editions(t.Context(), october, november, 0)
	if err != nil || len(newest) != 1 || newest[october].Number != 2 {
		t.Errorf("newest %+v, %v", newest, err)
	}
	old, err := p.Editions(t.Context(), october, november, 1)
	if err != nil || !reflect.DeepEqual(old[october], first) {
		t.Errorf("old %+v, %v\nwant %+v", old[october], err, first)
	}
	list, err := p.List(t.Context())
	if err != nil || len(list) != 2 || list[0].Number != 2 || !list[0].Newest || list[1].Newest || list[1].By != "Demo Rep" {
		t.Errorf("list %+v, %v", list, err)
	}
	if wrong := p.check(); len(wrong) > 0 {
		t.Errorf("wrong: %q", wrong)
	}
}

func TestWhatIsNotPublished(t *testing.T) {
	p := newPress(t, projectortest.New(t), 0)
	p.file(october, 20, incident.ChannelInPerson)
	p.file(november, 3, incident.ChannelInPerson)
	refused := func(what string, r editions.Request, code string) {
		t.Helper()
		before, err := p.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.By = somebody
		_, err = p.Publish(t.Context(), r)
		if f := fault.As(err); f.Code != code || f.Message == "" || f.Kind == fault.Internal {
			t.Errorf("%s: %v, want %s", what, err, code)
		}
		if after, err := p.List(t.Context()); err != nil || len(after) != len(before) {
			t.Errorf("%s: %d editions, %v, want %d", what, len(after), err, len(before))
		}
	}
	again := func(number int) editions.Request {
		return editions.Request{Month: october, Number: number, Reason: figures.ReasonCorrection, Why: "Two were counted twice."}
	}
	refused("the running month", editions.Request{Month: november, Number: 1}, "month_not_over")
	refused("one to come", editions.Request{Month: november.Add(20), Number: 1}, "month_not_over")
	refused("before there was anything", editions.Request{Month: october.Add(-1), Number: 1}, "nothing_recorded")
	refused("a second before a first", again(2), "no_such_edition")
	refused("a first with a reason", again(1), "invalid")
	refused("number 0", again(0), "invalid")
	p.publish(october, 1)
	refused("a first again", editions.Request{Month: october, Number: 1}, "already_published")
	refused("what is as it was", again(2), "nothing_changed")
	for name, change := range map[string]func(*editions.Request){
		"no reason":       func(r *editions.Request) { r.Reason = "" },
		"another reason":  func(r *editions.Request) { r.Reason = "R4" },
		"no sentence":     func(r *editions.Request) { r.Why = " \n" },
		"too long":        func(r *editions.Request) { r.Why = strings.Repeat("é", editions.MaxWhy+1) },
		"several lines":   func(r *editions.Request) { r.Why = "one\ntwo" },
		"not even text":   func(r *editions.Request) { r.Why = "\xff" },
		"a hidden letter": func(r *editions.Request) { r.Why = "\x00" },
	} {
		r := again(2)
		change(&r)
		refused(name, r, "invalid")
	}
	p.file(october, 5, incident.ChannelInPerson)
	refused("five more", again(2), "too_little_changed")
	p.file(october, 1, incident.ChannelInPerson)
	e, err := p.Prepare(t.Context(), october)
	if err != nil || e.Number != 2 || e.Figures.Total.N != 26 {
		t.Errorf("prepared %+v, %v", e, err)
	}
	if e, err := p.Prepare(t.Context(), november); fault.As(err).Code != "month_not_over" || e.Number != 1 {
		t.Errorf("prepared %+v, %v", e, err)
	}
	p.publish(october, 2)
	p.file(october, 2, incident.ChannelInPerson)
	refused("three more than twice six", again(3), "too_little_changed")

	p.busy = errors.New("behind")
	p.file(october, 20, incident.ChannelInPerson)
	refused("while reports are counted", again(3), "still_counting")
	if _, err := p.Public(t.Context(), october, 3); fault.KindOf(err) != fault.NotFound {
		t.Errorf("no edition 3: %v", err)
	}
	if _, err := p.Exact(t.Context(), october, 3); fault.KindOf(err) != fault.NotFound {
		t.Errorf("no edition 3: %v", err)
	}
}

// Two revisions apart may add up to little: what was shown once is never set
// beside what differs from it by few.
func TestAnEditionIsComparedWithAllBefore(t *testing.T) {
	p := newPress(t, projectortest.New(t), 0)
	p.file(october, 20, incident.ChannelInPerson)
	p.publish(october, 1)
	late := p.file(october, 8, incident.ChannelInPerson)
	p.publish(october, 2)
	for _, id := range late[2:] {
		p.Apply(p.Added(id, onrecordv1.Addition_ADDITION_WITHDRAWN, ""))
	}
	_, err := p.Publish(t.Context(), editions.Request{Month: october, Number: 3, Reason: figures.ReasonSource, Why: "Some were taken back.", By: somebody})
	if fault.As(err).Code != "too_little_changed" {
		t.Errorf("six fewer than edition 2 are two more than edition 1: %v", err)
	}
}

func TestOneOfManyPublishes(t *testing.T) {
	p := newPress(t, projectortest.New(t), 0)
	p.file(october, 20, incident.ChannelInPerson)
	var wg sync.WaitGroup
	results := make(chan error, 8)
	for range cap(results) {
		wg.Go(func() {
			_, err := p.Publish(t.Context(), editions.Request{Month: october, Number: 1, By: somebody})
			results <- err
		})
	}
	wg.Wait()
	won := 0
	for range cap(results) {
		switch err := <-results; {
		case err == nil:
			won++
		case fault.As(err).Code != "already_published":
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d published, want one", won)
	}
}

func TestMonthsThatAreDuePublishThemselves(t *testing.T) {
	due := func(p *press, want ...string) {
		t.Helper()
		n, err := p.PublishDue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		list, err := p.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range list {
			got = append(got, fmt.Sprintf("%s/%d", e.Month, e.Number))
		}
		if !slices.Equal(got, want) {
			t.Errorf("published %q (%d now), want %q", got, n, want)
		}
	}
	t.Run("by hand only", func(t *testing.T) {
		p := newPress(t, projectortest.New(t), 0)
		p.file(october, 20, incident.ChannelInPerson)
		due(p)
		if !p.Due(october).IsZero() {
			t.Error("a month is due")
		}
	})
	t.Run("an installation with a past", func(t *testing.T) {
		p := newPress(t, projectortest.New(t), 10)
		p.file(october.Add(-2), 20, incident.ChannelInPerson)
		p.file(october, 20, incident.ChannelInPerson)
		p.now = time.Date(2026, 11, 9, 23, 59, 59, 0, incident.London)
		due(p, "2026-09/1", "2026-08/1") // also the month with nothing in it
		p.now = p.now.Add(time.Second)
		due(p, "2026-10/1", "2026-09/1", "2026-08/1")
		due(p, "2026-10/1", "2026-09/1", "2026-08/1")
		p.file(october.Add(-4), 20, incident.ChannelInPerson) // a late report publishes no month of long ago
		due(p, "2026-10/1", "2026-09/1", "2026-08/1")
		if by := p.stored(october, 1).By; by != "" {
			t.Errorf("published by %q, want nobody", by)
		}
	})
	t.Run("a new installation", func(t *testing.T) {
		p := newPress(t, projectortest.New(t), 10)
		due(p)
		p.file(october, 3, incident.ChannelInPerson)
		due(p)
		p.now = p.Due(november)
		due(p, "2026-11/1") // no incidents, while it could have had some
		for m, want := range map[incident.Month]bool{october: false, november: false, november.Add(1): true} {
			if at, err := p.Expected(t.Context(), m); err != nil || at.IsZero() == want {
				t.Errorf("%s is expected %v, %v: want a time %v", m, at, err, want)
			}
		}
	})
	t.Run("after somebody published by hand", func(t *testing.T) {
		p := newPress(t, projectortest.New(t), 28)
		p.file(october, 20, incident.ChannelInPerson)
		p.publish(october, 1)
		p.now = p.Due(november)
		due(p, "2026-11/1", "2026-10/1")
	})
	t.Run("the end of daylight saving", func(t *testing.T) {
		p := newPress(t, projectortest.New(t), 1)
		if got := p.Due(october.Add(-4)); !got.Equal(time.Date(2026, 6, 30, 23, 0, 0, 0, time.UTC)) {
			t.Errorf("due %v, want midnight in London", got)
		}
	})
}

// What an edition says is guarded by a keyed hash, and its number by the one before.
func TestAnEditionThatWasChangedIsNamed(t *testing.T) {
	p := newPress(t, projectortest.New(t), 0)
	p.file(october, 20, incident.ChannelInPerson)
	p.publish(october, 1)
	good := p.stored(october, 1)
	for name, change := range map[string]func(*store.Edition){
		"what is read": func(e *store.Edition) {
			e.Public = bytes.Replace(e.Public, []byte(`"total":20`), []byte(`"total":21`), 1)
		},
		"the totals":     func(e *store.Edition) { e.Exact = append(slices.Clone(e.Exact), 0) },
		"the day":        func(e *store.Edition) { e.PublishedAt = e.PublishedAt.Add(time.Hour) },
		"who published":  func(e *store.Edition) { e.By = "somebody else" },
		"another number": func(e *store.Edition) { e.Number = 2 },
		"another month":  func(e *store.Edition) { e.Month = november },
	} {
		t.Run(name, func(t *testing.T) {
			other := newPress(t, projectortest.New(t), 0)
			e := *good
			change(&e)
			if err := other.Store.PutEdition(t.Context(), &e); err != nil {
				t.Fatal(err)
			}
			if wrong := other.check(); len(wrong) != 1 || !strings.Contains(wrong[0], e.Month.String()) {
				t.Errorf("wrong: %q, want that edition", wrong)
			}
		})
	}
	t.Run("one is missing", func(t *testing.T) {
		p.file(october, 20, incident.ChannelInPerson)
		p.publish(october, 2)
		other := newPress(t, projectortest.New(t), 0)
		if err := other.Store.PutEdition(t.Context(), p.stored(october, 2)); err != nil {
			t.Fatal(err)
		}
		if wrong := other.check(); len(wrong) != 1 || !strings.Contains(wrong[0], "follows no edition 1") {
			t.Errorf("wrong: %q", wrong)
		}
	})
}

// What was published is read by every later release, and means the same. The
// file is never edited: a field that is added has to be left out where it is not
// said.
func TestAFrozenEditionIsReadForEver(t *testing.T) {
	frozen, err := os.ReadFile("testdata/edition.json")
	if err != nil {
		t.Fatal(err)
	}
	frozen = bytes.TrimSpace(frozen)
	var e figures.Edition
	if err := json.Unmarshal(frozen, &e); err != nil {
		t.Fatal(err)
	}
	if e.Month != october || e.Number != 2 || !e.Figures.Total.Hidden || e.Figures.Margins.Channels[1].Count.N != 9 || len(e.Changes) != 2 || e.Changes[1].After.N != 9 {
		t.Errorf("got %+v", e)
	}
	again, err := json.Marshal(e)
	if err != nil || !bytes.Equal(again, frozen) {
		t.Errorf("written again: %s, %v", again, err)
	}
}

// R17: a month is closed, and then its reports go on coming, moving, being
// taken back and corrected. What was published stays as it is byte for byte, and
// what is published anew is what a plain count says.
func TestAClosedMonthStaysWhileLateReportsCome(t *testing.T) {
	openMongo := projectortest.Mongo(t)
	for name, c := range map[string]struct {
		open        func(t *testing.T) *projectortest.Kit
		filed, late int
	}{
		"SQLite":  {func(t *testing.T) *projectortest.Kit { return projectortest.New(t) }, 200, 150},
		"MongoDB": {func(t *testing.T) *projectortest.Kit { return projectortest.NewOn(t, openMongo(t)) }, 30, 30},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPress(t, c.open(t), 0)
			r := rand.New(rand.NewPCG(17, 17))
			ids := p.file(october, c.filed, incident.ChannelInPerson)
			p.publish(october, 1)
			frozen := p.stored(october, 1)
			did := make(map[string]int)
			for n := range c.late {
				did[p.later(r, &ids)]++
				if n%10 == 0 || n == c.late-1 {
					if now := p.stored(october, 1); !reflect.DeepEqual(now, frozen) {
						t.Fatalf("after %d changes edition 1 is\n%+v\nwas\n%+v", n, now, frozen)
					}
				}
			}
			if len(did) != 5 {
				t.Errorf("only this was done: %v", did)
			}
			second := p.publish(october, 2)
			exact, err := p.Exact(t.Context(), october, 2)
			if err != nil {
				t.Fatal(err)
			}
			if want := p.oracle(october); !reflect.DeepEqual(exact, want) {
				t.Errorf("edition 2 is made from\n%+v\nthe count says\n%+v", exact, want)
			}
			if total := total(exact); !second.Figures.Total.Hidden && second.Figures.Total.N != total {
				t.Errorf("total=%d, the count says %d", second.Figures.Total.N, total)
			}
			if now := p.stored(october, 1); !reflect.DeepEqual(now, frozen) {
				t.Error("publishing again changed edition 1")
			}
			if wrong := p.check(); len(wrong) > 0 {
				t.Errorf("wrong: %q", wrong)
			}
		})
	}
}

// later does one of the things that happen after a month was closed.
func (p *press) later(r *rand.Rand, ids *[]string) string {
	p.t.Helper()
	ctx := p.t.Context()
	pick := func() *incident.Incident { return p.Incident((*ids)[r.IntN(len(*ids))]) }
	correct := func(c casework.Correction) {
		i := pick()
		if _, err := p.cases.Correct(ctx, i.ID, i.Rev, actor, c); err != nil && fault.KindOf(err) != fault.Conflict {
			p.t.Fatal(err)
		}
	}
	switch r.IntN(6) {
	case 0:
		p.Apply(p.Added((*ids)[r.IntN(len(*ids))], onrecordv1.Addition_ADDITION_WITHDRAWN, ""))
		return "taken back"
	case 1:
		channel := incident.Channels[r.IntN(len(incident.Channels))]
		correct(casework.Correction{Channel: &channel})
		return "corrected"
	case 2:
		at := october.Start().AddDate(0, 0, r.IntN(60)-15)
		correct(casework.Correction{OccurredAt: &at})
		return "moved to another day, perhaps of another month"
	case 3:
		site := []string{"leeds", "york", "hull"}[r.IntN(3)]
		correct(casework.Correction{Site: &site})
		return "moved to another site"
	}
	*ids = append(*ids, p.file(october, 1, incident.Channels[r.IntN(len(incident.Channels))])...)
	return "came late"
}

// oracle counts a month from the incidents, plainly.
func (p *press) oracle(m incident.Month) []store.SiteMonth {
	p.t.Helper()
	cells := make(map[incident.LedgerKey][]incident.Cell)
	err := p.Store.EachIncident(p.t.Context(), func(i *incident.Incident) error {
		key := incident.LedgerKey{Month: incident.MonthOf(i.OccurredAt), Site: i.Site}
		if key.Month != m {
			return nil
		}
		if i.Status != incident.StatusWithdrawn && i.Status != incident.StatusDuplicate {
			one := incident.Cell{Dims: i.Dims(), Incidents: 1, Reports: len(i.Reports), People: max(1, i.PeopleAffected)}
			cells[key] = incident.Merge(cells[key], []incident.Cell{one})
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return store.InOrder(cells)
}

func total(sites []store.SiteMonth) (n int) {
	for _, s := range sites {
		for _, c := range s.Cells {
			n += c.Incidents
		}
	}
	return n
}
