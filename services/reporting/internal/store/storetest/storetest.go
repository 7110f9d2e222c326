// Package storetest is the conformance suite of the store port: what every
// adapter must do, in the words of package store. An adapter's test calls Run.
package storetest

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Option says what an adapter can do beyond the port's promise.
type Option func(*suite)

// Transactional says that Group is one commit: an error undoes everything, and
// nobody outside sees a part. A Snapshot is one moment.
func Transactional() Option { return func(s *suite) { s.transactional = true } }

// TestServer says that the store is on the MongoDB-compatible server. That one
// loses updates of one document that come at the same moment: writers that
// should race take turns, and the case says so. It reads everything for most
// queries: cases of many queries are smaller.
func TestServer() Option { return func(s *suite) { s.testServer = true } }

type suite struct {
	transactional bool
	testServer    bool
}

// Run runs the suite. open returns a new empty store, closed with the test.
func Run(t *testing.T, open func(t *testing.T) store.Store, options ...Option) {
	var with suite
	for _, option := range options {
		option(&with)
	}
	run := func(name string, test func(*testing.T, store.Store)) {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}

	racing := func(name string, test func(*testing.T, store.Store, racer)) {
		if !with.testServer {
			run(name, func(t *testing.T, s store.Store) { test(t, s, race) })
			return
		}
		run(name+" (IN TURN: not raced on this server)", func(t *testing.T, s store.Store) {
			t.Log("NOT RACED: this server’s updates are not atomic, so the writers take turns; name a real MongoDB to race them")
			test(t, s, inTurn)
		})
	}

	run("an incident comes back as it was stored", testIncidentRoundTrip)
	run("empty comes back as nil and zero as zero", testEmpty)
	run("times come back in UTC", testUTC)
	run("what is stored and what is read share nothing", testNoAliasing)
	run("an incident is inserted once", testInsertOnce)
	run("an incident is replaced over its revision", testReplace)
	run("replacing moves reports and receipts", testReplaceReports)
	racing("one of many writers wins", testConcurrentReplace)
	run("folded revisions only rise", testMarkFolded)
	run("lessons are kept beside an incident", testLessons)
	run("many incidents at once", testBatch)
	run("every incident in order of id", testEachIncident)
	run("pending events wait for their report", testPending)

	run("lists are newest first, page by page", testListOrder)
	run("pages hold still under inserts", testListStability)
	population, drawn := 300, 3
	if with.testServer {
		population, drawn = 80, 1
	}
	run("every filter, alone and combined", func(t *testing.T, s store.Store) { testFilters(t, s, population, drawn) })
	run("lists follow what changed", testListFollowsReplace)
	run("sites: nil is every, empty is none", testFilterSites)
	run("only incidents that need a person", testFilterReview)
	run("months begin and end in London", testFilterMonth)
	run("limits and cursors that are not allowed", testListInvalid)
	run("counting stops at most", testCount)

	run("a ledger comes back as it was stored", testLedgerRoundTrip)
	racing("a ledger is fenced by its revision", testLedgerFence)
	run("ledger cells by month and site", testLedgerCells)
	run("every ledger in order", testEachLedger)
	run("a roll-up comes back as it was stored", testRollupRoundTrip)
	racing("a roll-up is fenced by its revision", testRollupFence)
	run("roll-up cells by month", testRollupCells)

	run("users", testUsers)
	run("tokens", testTokens)
	run("sessions", testSessions)
	run("sites are stored all or none", testSites)
	run("quarantine", testQuarantine)
	run("photos", testPhotos)
	run("photos of 10 MiB", testLargePhoto)
	racing("an edition is published once and stays", testEditions)
	run("editions by month", testListEditions)
	run("incidents by when they were received", testArrivals)
	racing("a joint change is carried on by one", testJointChanges)
	run("meta", testMeta)
	run("check", testCheck)

	run("text is only text", testHostileText)
	run("a context that has ended stops everything", testCancelled)
	run("a group keeps what it did", testGroup)
	run("a snapshot is read and not written", testSnapshot)
	if with.transactional {
		run("a group that fails leaves nothing", testGroupUndoes)
		run("a group survives a guard", testGroupSurvivesGuard)
		run("a group is seen whole or not at all", testGroupIsolation)
		run("a group inside a group", testGroupNested)
		run("a group that panics leaves nothing", testGroupPanics)
		run("a group whose context ends leaves nothing", testGroupCancelled)
		run("a group’s store ends with it", testGroupEnds)
		run("a snapshot stays as it was", testSnapshotStays)
	}
}

// at is the moment around which the suite's times lie.
var at = time.Date(2026, time.November, 21, 12, 0, 0, int(7*time.Millisecond), time.UTC)

// must stops the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// got stops the test at an error and returns the value.
func got[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s\n got %s\nwant %s", what, dump(got), dump(want))
	}
}

func errorIs(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("%s: error %v, want %v", what, got, want)
	}
}

func isInvalid(t *testing.T, what string, got error) {
	t.Helper()
	if got == nil || fault.KindOf(got) != fault.Invalid {
		t.Fatalf("%s: error %v, want fault.Invalid", what, got)
	}
}

// racer runs writers and returns how many of them had no error; any error
// other than the one that losers get stops the test.
type racer func(t *testing.T, writers int, lost error, do func(writer int) error) (won int)

// inTurn is a racer whose writers come one after another.
func inTurn(t *testing.T, writers int, lost error, do func(writer int) error) (won int) {
	t.Helper()
	for w := range writers {
		won += race(t, 1, lost, func(int) error { return do(w) })
	}
	return won
}

// race is a racer whose writers come all at once: it calls do
// from a goroutine for each.
func race(t *testing.T, writers int, lost error, do func(writer int) error) (won int) {
	t.Helper()
	start, results := make(chan struct{}), make(chan error)
	for w := range writers {
		go func() {
			<-start
			results <- do(w)
		}()
	}
	close(start)
	for range writers {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, lost):
			t.Errorf("a loser got %v, want %v", err, lost)
		}
	}
	return won
}

func testMeta(t *testing.T, s store.Store) {
	ctx := t.Context()
	_, err := s.Meta(ctx, "fingerprint")
	errorIs(t, "unset", err, store.ErrNotFound)
	for _, value := range [][]byte{{0, 1, 0xff}, {}, []byte("again")} {
		must(t, s.SetMeta(ctx, "fingerprint", value))
		read, err := s.Meta(ctx, "fingerprint")
		must(t, err)
		equal(t, "value", string(read), string(value))
	}
	must(t, s.SetMeta(ctx, "nothing", nil))
	if read, err := s.Meta(ctx, "nothing"); err != nil || len(read) != 0 {
		t.Fatalf("nothing: %v, %v, want an empty value", read, err)
	}
	_, err = s.Meta(ctx, "Fingerprint")
	errorIs(t, "another name", err, store.ErrNotFound)
}

func testCheck(t *testing.T, s store.Store) {
	for range 3 {
		must(t, s.Check(t.Context()))
	}
}

func testCancelled(t *testing.T, s store.Store) {
	i := filled[incidentOf](t).Incident
	must(t, s.InsertIncident(t.Context(), i))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	other := copyOf(t, i)
	other.ID, other.Reports = "another", nil
	changed := copyOf(t, i)
	changed.Rev, changed.Ref = i.Rev+1, "changed"
	for what, do := range map[string]func() error{
		"InsertIncident":  func() error { return s.InsertIncident(ctx, other) },
		"ReplaceIncident": func() error { return s.ReplaceIncident(ctx, changed, i.Rev) },
		"MarkFolded":      func() error { return s.MarkFolded(ctx, i.ID, 1000) },
		"Incident":        func() error { _, err := s.Incident(ctx, i.ID); return err },
		"ListIncidents":   func() error { _, _, err := s.ListIncidents(ctx, store.Filter{Limit: 1}); return err },
		"SetMeta":         func() error { return s.SetMeta(ctx, "name", nil) },
		"Check":           func() error { return s.Check(ctx) },
		"Group":           func() error { return s.Group(ctx, func(store.Store) error { return nil }) },
	} {
		errorIs(t, what, do(), context.Canceled)
	}

	read := got[*incidentT](t)(s.Incident(t.Context(), i.ID))
	equal(t, "incident", read, i)
	_, err := s.Incident(t.Context(), "another")
	errorIs(t, "inserted in vain", err, store.ErrNotFound)
}
