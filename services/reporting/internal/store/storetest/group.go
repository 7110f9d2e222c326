package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

var errChangedMyMind = errors.New("changed my mind")

// doSome does an operation of each kind.
func doSome(t *testing.T, s store.Store) error {
	ctx, i := t.Context(), filledIncident(t)
	return errors.Join(
		s.InsertIncident(ctx, i),
		s.MarkFolded(ctx, i.ID, i.Rev),
		s.PutLedger(ctx, ledger(october, "leeds", 1, 5)),
		s.PutRollup(ctx, rollup(october, 1, 2)),
		s.KeepPending(ctx, store.Pending{Subject: "pending", ReportID: "report", At: at}),
		s.InsertUser(ctx, &store.User{ID: "1", Name: "demo"}),
		s.PutSites(ctx, []store.Site{{ID: "leeds"}}),
		s.SetMeta(ctx, "name", []byte("value")),
	)
}

// some returns what of doSome is in the store.
func some(t *testing.T, s store.Store) (found []string) {
	t.Helper()
	ctx := t.Context()
	note := func(what string, err error) {
		if err == nil {
			found = append(found, what)
		} else if !errors.Is(err, store.ErrNotFound) {
			t.Fatal(what, err)
		}
	}
	_, err := s.Incident(ctx, filledIncident(t).ID)
	note("incident", err)
	_, err = s.IncidentByReport(ctx, filledIncident(t).Reports[0].ID)
	note("report", err)
	_, err = s.User(ctx, "1")
	note("user", err)
	_, err = s.Meta(ctx, "name")
	note("meta", err)
	for what, n := range map[string]int{
		"ledger":  int(got[*incident.Ledger](t)(s.Ledger(ctx, october, "leeds")).Rev),
		"roll-up": int(got[*incident.Rollup](t)(s.Rollup(ctx, october)).Rev),
		"pending": len(got[[]store.Pending](t)(s.Pending(ctx, "report"))),
		"sites":   len(got[[]store.Site](t)(s.ListSites(ctx))),
		"listed":  got[int](t)(s.CountIncidents(ctx, store.Filter{Sites: []string{filledIncident(t).Site}}, 10)),
	} {
		if n > 0 {
			found = append(found, what)
		}
	}
	return found
}

const everything = 9 // things that some finds after doSome

func testGroup(t *testing.T, s store.Store) {
	must(t, s.Group(t.Context(), func(s store.Store) error {
		if err := doSome(t, s); err != nil {
			return err
		}
		equal(t, "seen inside", len(some(t, s)), everything)
		return nil
	}))
	equal(t, "kept", len(some(t, s)), everything)
	errorIs(t, "fn’s error", s.Group(t.Context(), func(store.Store) error { return errChangedMyMind }), errChangedMyMind)
	must(t, s.Check(t.Context()))
}

func testGroupUndoes(t *testing.T, s store.Store) {
	err := s.Group(t.Context(), func(s store.Store) error {
		must(t, doSome(t, s))
		return errChangedMyMind
	})
	errorIs(t, "fn’s error", err, errChangedMyMind)
	equal(t, "undone", some(t, s), []string(nil))
	must(t, doSome(t, s))
	equal(t, "done after all", len(some(t, s)), everything)
}

func testGroupSurvivesGuard(t *testing.T, s store.Store) {
	ctx := t.Context()
	must(t, s.InsertIncident(ctx, plain("there", at)))
	must(t, s.Group(ctx, func(s store.Store) error {
		changed := plain("there", at)
		changed.Rev = 9
		changed.Reports = []incident.FiledReport{{ID: "refused"}}
		errorIs(t, "insert", s.InsertIncident(ctx, changed), store.ErrExists)
		errorIs(t, "replace", s.ReplaceIncident(ctx, changed, 8), store.ErrStale)
		errorIs(t, "ledger", s.PutLedger(ctx, ledger(october, "leeds", 4, 1)), store.ErrStale)
		_, err := s.IncidentByReport(ctx, "refused")
		errorIs(t, "what was refused", err, store.ErrNotFound)
		isInvalid(t, "sites", s.PutSites(ctx, []store.Site{{}}))
		return s.SetMeta(ctx, "name", nil)
	}))
	_, err := s.Meta(ctx, "name")
	must(t, err)
	equal(t, "as it was", got[*incident.Incident](t)(s.Incident(ctx, "there")).Rev, int64(1))
}

func testGroupIsolation(t *testing.T, s store.Store) {
	must(t, s.Group(t.Context(), func(inner store.Store) error {
		must(t, doSome(t, inner))
		equal(t, "seen by others", some(t, s), []string(nil)) // reading outside is how one would find out
		return nil
	}))
	equal(t, "seen by others", len(some(t, s)), everything)
}

func testGroupNested(t *testing.T, s store.Store) {
	ctx := t.Context()
	must(t, s.Group(ctx, func(s store.Store) error {
		must(t, s.SetMeta(ctx, "outer", nil))
		err := s.Group(ctx, func(s store.Store) error {
			must(t, doSome(t, s))
			return errChangedMyMind
		})
		errorIs(t, "inner", err, errChangedMyMind)
		equal(t, "inner undone", some(t, s), []string(nil))
		return s.Group(ctx, func(s store.Store) error { return s.SetMeta(ctx, "second", nil) })
	}))
	for _, name := range []string{"outer", "second"} {
		_, err := s.Meta(ctx, name)
		must(t, err)
	}
	equal(t, "inner undone", some(t, s), []string(nil))
}

func testGroupPanics(t *testing.T, s store.Store) {
	func() {
		defer func() { equal(t, "panic", recover(), any("at the disco")) }()
		_ = s.Group(t.Context(), func(s store.Store) error {
			must(t, doSome(t, s))
			panic("at the disco")
		})
	}()
	equal(t, "undone", some(t, s), []string(nil))
	must(t, s.Check(t.Context()))
}

func testGroupCancelled(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Group(ctx, func(s store.Store) error {
		must(t, doSome(t, s))
		cancel()
		return nil
	})
	errorIs(t, "at its end", err, context.Canceled)
	equal(t, "undone", some(t, s), []string(nil))

	// An operation that failed dooms the group even if fn hides it.
	err = s.Group(t.Context(), func(s store.Store) error {
		must(t, doSome(t, s))
		errorIs(t, "operation", s.SetMeta(ctx, "other", nil), context.Canceled)
		return nil
	})
	errorIs(t, "hidden", err, context.Canceled)
	equal(t, "undone", some(t, s), []string(nil))
	must(t, s.Check(t.Context()))
}

func testGroupEnds(t *testing.T, s store.Store) {
	var kept store.Store
	must(t, s.Group(t.Context(), func(inner store.Store) error {
		kept = inner
		return nil
	}))
	if err := kept.SetMeta(t.Context(), "late", nil); err == nil {
		t.Fatal("a write after the group: no error")
	}
	_, err := s.Meta(t.Context(), "late")
	errorIs(t, "late", err, store.ErrNotFound)
}

func testSnapshot(t *testing.T, s store.Store) {
	ctx := t.Context()
	must(t, doSome(t, s))
	must(t, s.Snapshot(ctx, func(then store.Store) error {
		equal(t, "seen", len(some(t, then)), everything)
		for what, err := range map[string]error{
			"an incident": then.InsertIncident(ctx, plain("new", at)),
			"a fact":      then.SetMeta(ctx, "name", nil),
			"a group":     then.Group(ctx, func(s store.Store) error { return s.SetMeta(ctx, "name", nil) }),
		} {
			if err == nil {
				t.Errorf("%s was written through a snapshot", what)
			}
		}
		return then.Snapshot(ctx, func(within store.Store) error {
			equal(t, "seen within", len(some(t, within)), everything)
			return nil
		})
	}))
	errorIs(t, "fn’s error", s.Snapshot(ctx, func(store.Store) error { return errChangedMyMind }), errChangedMyMind)
	equal(t, "the fact", got[[]byte](t)(s.Meta(ctx, "name")), []byte("value"))
	must(t, s.SetMeta(ctx, "name", nil))
	must(t, s.Check(ctx))
}

func testSnapshotStays(t *testing.T, s store.Store) {
	ctx := t.Context()
	must(t, s.Snapshot(ctx, func(then store.Store) error {
		must(t, doSome(t, s))
		equal(t, "written since", some(t, then), []string(nil))
		must(t, then.EachIncident(ctx, func(*incident.Incident) error { return errors.New("an incident written since is seen") }))
		return nil
	}))
	equal(t, "afterwards", len(some(t, s)), everything)
}
