package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

var november = incident.Month{Year: 2026, Month: 11}

func small(id string, rev int64) *incident.Incident {
	return &incident.Incident{ID: id, Rev: rev, Site: "leeds", Status: incident.StatusNew, OccurredAt: november.Start(),
		Reports: []incident.FiledReport{{ID: "report of " + id}}}
}

func smallLedger(rev int64) *incident.Ledger {
	l := &incident.Ledger{Month: november, Site: "leeds", Rev: rev}
	l.Set("i", incident.Entry{Rev: rev, Counted: true, Reports: int(rev), People: 1})
	l.Total()
	return l
}

// write is one that is cut off in the middle.
type write struct {
	command string // the one by which it writes, see command.is
	before  func(*db) error
	do      func(*db) error
	again   error // what the same write says once it was done
}

func writes() map[string]write {
	ctx := context.Background() // the cases outlive the test that starts them side by side
	nothing := func(*db) error { return nil }
	insert := func(d *db) error { return d.InsertIncident(ctx, small("i", 1)) }
	putLedger := func(rev int64) func(*db) error {
		return func(d *db) error { return d.PutLedger(ctx, smallLedger(rev)) }
	}
	putRollup := func(rev int64) func(*db) error {
		return func(d *db) error { return d.PutRollup(ctx, &incident.Rollup{Month: november, Rev: rev}) }
	}
	user, changed := &store.User{ID: "u", Name: "demo"}, &store.User{ID: "u", Name: "demo", Rev: 1}
	token := &store.Token{ID: "t", Hash: []byte("hash")}
	photo := &store.Photo{ID: "p", IncidentID: "i", Sealed: []byte("sealed")}
	return map[string]write{
		"a new incident": {"insert", nothing, insert, store.ErrExists},
		"an edit":        {"update", insert, func(d *db) error { return d.ReplaceIncident(ctx, small("i", 2), 1) }, store.ErrStale},
		"many incidents": {"insert", nothing, func(d *db) error {
			return d.PutIncidents(ctx, []store.Put{{Incident: small("i", 1)}, {Incident: small("j", 1)}})
		}, store.ErrExists},
		"many edits": {"update", func(d *db) error {
			return d.PutIncidents(ctx, []store.Put{{Incident: small("i", 1)}, {Incident: small("j", 1)}})
		}, func(d *db) error {
			return d.PutIncidents(ctx, []store.Put{{Incident: small("i", 2), WasRev: 1}, {Incident: small("j", 2), WasRev: 1}})
		}, store.ErrStale},
		"many folded":     {"update", insert, func(d *db) error { return d.MarkAllFolded(ctx, []*incident.Incident{small("i", 1)}) }, nil},
		"folded":          {"update", insert, func(d *db) error { return d.MarkFolded(ctx, "i", 1) }, nil},
		"a lesson":        {"update", insert, func(d *db) error { return d.KeepLesson(ctx, small("i", 1)) }, nil},
		"a new ledger":    {"insert ledger_lines", nothing, putLedger(1), store.ErrStale},
		"its totals":      {"insert ledgers", nothing, putLedger(1), store.ErrStale},
		"a ledger":        {"update ledger_lines", putLedger(1), putLedger(2), store.ErrStale},
		"and its totals":  {"update ledgers", putLedger(1), putLedger(2), store.ErrStale},
		"a new roll-up":   {"insert", nothing, putRollup(1), store.ErrStale},
		"a roll-up":       {"update", putRollup(1), putRollup(2), store.ErrStale},
		"pending":         {"insert", nothing, func(d *db) error { return d.KeepPending(ctx, store.Pending{Subject: "s", ReportID: "r"}) }, nil},
		"nothing pending": {"delete", nothing, func(d *db) error { return d.DropPending(ctx, "r") }, nil},
		"a new user":      {"insert", nothing, func(d *db) error { return d.InsertUser(ctx, user) }, store.ErrExists},
		"a user":          {"update", func(d *db) error { return d.InsertUser(ctx, user) }, func(d *db) error { return d.UpdateUser(ctx, changed) }, store.ErrStale},
		"a new token":     {"insert", nothing, func(d *db) error { return d.InsertToken(ctx, token) }, store.ErrExists},
		"a session":       {"update", nothing, func(d *db) error { return d.PutSession(ctx, &store.Session{Hash: []byte("s")}) }, nil},
		"new sites":       {"insert", nothing, func(d *db) error { return d.PutSites(ctx, []store.Site{{ID: "leeds"}}) }, nil},
		"a fact":          {"update", nothing, func(d *db) error { return d.SetMeta(ctx, "name", []byte("value")) }, nil},
		"quarantine":      {"update", nothing, func(d *db) error { return d.PutQuarantined(ctx, &store.Quarantined{Subject: "s"}) }, nil},
		"a photo":         {"insert", nothing, func(d *db) error { return d.PutPhoto(ctx, photo) }, nil},
		"no photo":        {"delete", func(d *db) error { return d.PutPhoto(ctx, photo) }, func(d *db) error { return d.DeletePhoto(ctx, "p") }, nil},
		"an edition": {"insert", nothing, func(d *db) error {
			return d.PutEdition(ctx, &store.Edition{Month: november, Number: 1, Public: []byte("public")})
		}, store.ErrExists},
		"check": {"update", nothing, func(d *db) error { return d.Check(ctx) }, nil},
	}
}

// TestWritesCutOffAreDoneOnce ends the connection in the middle of a write,
// before the server saw it or after it did it: the driver cannot know which.
func TestWritesCutOffAreDoneOnce(t *testing.T) {
	uri := mongotest.Start(t)
	for name, write := range writes() {
		for when, v := range map[string]verdict{"before": cutBefore, "after": cutAfter} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel() // the driver waits half a second after each cut
				w := newWire(t, uri, nil)
				d := server{uri: w.URI}.open(t)
				if err := write.before(d); err != nil {
					t.Fatal(err)
				}
				hook, cut := once(write.command, v)
				w.on(hook)
				if err := write.do(d); err != nil || !cut() {
					t.Fatalf("cut off (%v): %v, want that it was done", cut(), err)
				}
				w.on(nil)
				if err := write.do(d); !errors.Is(err, write.again) {
					t.Errorf("again: %v, want %v", err, write.again)
				}
			})
		}
	}
}

// TestPrimarySteppingDown has the server refuse a write as one that is no
// longer primary does.
func TestPrimarySteppingDown(t *testing.T) {
	w := newWire(t, mongotest.Start(t), nil)
	d := server{uri: w.URI}.open(t)
	for _, code := range primaryGone {
		var refused atomic.Int32
		// The server does it all the same: as when it steps down before it answers.
		w.answers(func(c command, answer bson.D) bson.D {
			if c.Name != "insert" || refused.Add(1) > 1 {
				return answer
			}
			return bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: int32(code)}, {Key: "codeName", Value: "PrimaryGone"}, {Key: "errmsg", Value: "not primary"}}
		})
		i := small(fmt.Sprint("i", code), 1)
		if err := d.InsertIncident(t.Context(), i); err != nil || refused.Load() < 2 {
			t.Errorf("code %d: %v after %d tries, want that it was tried again", code, err, refused.Load())
		}
		w.answers(nil)
		if err := d.InsertIncident(t.Context(), i); !errors.Is(err, store.ErrExists) {
			t.Errorf("code %d: again: %v", code, err)
		}
	}
}

// A primary steps down while many write: each write is done, and once. On a
// replica set it does, and the members elect another; the compatible server
// refuses writes as one without a primary for a while, some of which it has done.
func TestWritesGoOnThroughAnElection(t *testing.T) {
	t.Run("compatible server", func(t *testing.T) {
		w := newWire(t, mongotest.Start(t), nil)
		throughAnElection(t, server{uri: w.URI}.open(t), func() error {
			const refusals = tries - 2 // and a write is cut off: together fewer than one write is tried
			over := make(chan struct{})
			var puts, refused atomic.Int32
			w.on(func(c command) verdict {
				if c.is("put") && puts.Add(1) == refusals+1 {
					close(over)
					return cutAfter
				}
				return pass
			})
			w.answers(func(c command, answer bson.D) bson.D {
				if !c.is("put") || refused.Add(1) > refusals {
					return answer
				}
				return bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: int32(primaryGone[0])}, {Key: "codeName", Value: "NotWritablePrimary"}, {Key: "errmsg", Value: "not primary"}}
			})
			<-over
			return nil
		})
	})
	s, ok := servers(t)["MongoDB"]
	if !ok {
		return
	}
	t.Run("MongoDB", func(t *testing.T) {
		d := s.open(t)
		admin := d.client.Database("admin")
		var hello struct {
			Primary string   `bson:"primary"`
			Hosts   []string `bson:"hosts"`
		}
		if err := admin.RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
			t.Fatal(err)
		}
		if len(hello.Hosts) < 3 {
			t.Logf("NO ELECTION: %s names no replica set of three", mongotest.RealURI)
			return
		}
		throughAnElection(t, d, func() error {
			// The answer may be lost with the connections that it ends.
			stepped := admin.RunCommand(t.Context(), bson.D{{Key: "replSetStepDown", Value: 20}}).Err()
			var now struct {
				Primary string `bson:"primary"`
			}
			for deadline := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
				err := admin.RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}}).Decode(&now)
				if err == nil && now.Primary != "" && now.Primary != hello.Primary {
					return nil
				}
				if time.Now().After(deadline) {
					return fmt.Errorf("%s is primary still: %w", now.Primary, errors.Join(stepped, err))
				}
			}
		})
	})
}

// throughAnElection has many write while elect has the primary step down, and
// goes on for a while after it.
func throughAnElection(t *testing.T, d *db, elect func() error) {
	t.Helper()
	const writers, after = 4, 10
	var written [writers]int
	var elected atomic.Bool
	var done sync.WaitGroup
	for w := range writers {
		done.Go(func() {
			for left := after; left > 0 && !t.Failed(); written[w]++ {
				id := fmt.Sprintf("%d of %d", written[w], w)
				if err := d.InsertIncident(t.Context(), small(id, 1)); err != nil {
					t.Errorf("insert %s: %v", id, err)
				}
				if err := d.ReplaceIncident(t.Context(), small(id, 2), 1); err != nil {
					t.Errorf("edit %s: %v", id, err)
				}
				if elected.Load() {
					left--
				}
			}
		})
	}
	if err := elect(); err != nil {
		t.Error(err)
	}
	elected.Store(true)
	done.Wait()
	total := 0
	for w, n := range written {
		total += n
		for k := range n {
			if i, err := d.Incident(t.Context(), fmt.Sprintf("%d of %d", k, w)); err != nil || i.Rev != 2 {
				t.Errorf("%d of %d: %+v, %v", k, w, i, err)
			}
		}
	}
	if n, err := d.CountIncidents(t.Context(), store.Filter{}, 10*total); err != nil || n != total {
		t.Errorf("%d incidents are there, %d were written, %v", n, total, err)
	}
}

// TestSomebodyElseWasQuicker lets another write come between a write that was
// cut off and its repetition: that one is not taken for ours.
func TestSomebodyElseWasQuicker(t *testing.T) {
	uri := mongotest.Start(t)
	w := newWire(t, uri, nil)
	address := server{uri: w.URI}.address(t)
	c, err := open(t.Context(), address, migrations)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d := &db{conn: c}
	other, err := open(t.Context(), strings.Replace(address, w.URI, uri, 1), migrations)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	theirs := &db{conn: other}

	between := func(name string, do func() error) func(command) verdict {
		cut, _ := once(name, cutBefore)
		return func(c command) verdict {
			v := cut(c)
			if v == cutBefore {
				if err := do(); err != nil {
					t.Errorf("the other: %v", err)
				}
			}
			return v
		}
	}
	ctx := t.Context()
	w.on(between("insert", func() error { return theirs.InsertIncident(ctx, small("i", 1)) }))
	if err := d.InsertIncident(ctx, small("i", 1)); !errors.Is(err, store.ErrExists) {
		t.Errorf("insert: %v, want ErrExists", err)
	}
	w.on(between("update", func() error { return theirs.ReplaceIncident(ctx, small("i", 2), 1) }))
	if err := d.ReplaceIncident(ctx, small("i", 2), 1); !errors.Is(err, store.ErrStale) {
		t.Errorf("replace: %v, want ErrStale", err)
	}
	w.on(between("insert", func() error { return theirs.PutLedger(ctx, smallLedger(1)) }))
	if err := d.PutLedger(ctx, smallLedger(1)); !errors.Is(err, store.ErrStale) {
		t.Errorf("ledger: %v, want ErrStale", err)
	}
	w.on(between("insert", func() error { return theirs.PutSites(ctx, []store.Site{{ID: "york"}}) }))
	if err := d.PutSites(ctx, []store.Site{{ID: "leeds"}}); err != nil {
		t.Errorf("sites: %v", err)
	}
	w.on(nil)
	if sites, err := d.ListSites(ctx); err != nil || len(sites) != 2 {
		t.Errorf("sites: %v, %v, want both", sites, err)
	}
}

// TestReadingEveryDocumentGoesOn loses the cursor by which all of a collection is
// read: every document is seen once, in order.
func TestReadingEveryDocumentGoesOn(t *testing.T) {
	w := newWire(t, mongotest.Start(t), nil)
	d := server{uri: w.URI}.open(t)
	var want []string
	for n := range 23 {
		want = append(want, fmt.Sprintf("%02d", n))
		if err := d.SetMeta(t.Context(), want[n], nil); err != nil {
			t.Fatal(err)
		}
	}
	lose := func(v verdict) func() func() bool {
		return func() func() bool {
			hook, came := once("getMore", v)
			w.on(hook)
			return came
		}
	}
	for name, begin := range map[string]func() (came func() bool){
		"before":       lose(cutBefore),
		"after":        lose(cutAfter),
		"not at all":   lose(pass),
		"at the first": func() func() bool { hook, came := once("find", cutAfter); w.on(hook); return came },
		"forgotten": func() func() bool {
			var done atomic.Bool
			w.answers(func(c command, answer bson.D) bson.D {
				if c.Name != "getMore" || !done.CompareAndSwap(false, true) {
					return answer
				}
				return bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: int32(cursorGone)}, {Key: "codeName", Value: "CursorNotFound"}, {Key: "errmsg", Value: "cursor id not found"}}
			})
			return done.Load
		},
	} {
		t.Run(name, func(t *testing.T) {
			came := begin()
			defer func() { w.on(nil); w.answers(nil) }()
			var seen []string
			err := eachPage(t.Context(), d, "each fact", meta, 5, func(page []metaDoc) (last string, err error) {
				for _, doc := range page {
					seen = append(seen, doc.Name)
				}
				return page[len(page)-1].Name, nil
			})
			if err != nil || !came() || !slices.Equal(seen, want) {
				t.Errorf("seen %v, %v (%v), want %v", seen, err, came(), want)
			}
		})
	}
}

// TestServerGoneAndBack takes the server away under a store: operations fail
// and say so, nothing hangs, and the same store works when it is back.
func TestServerGoneAndBack(t *testing.T) {
	w := newWire(t, mongotest.Start(t), nil)
	d := server{uri: w.URI + "?serverSelectionTimeoutMS=1000"}.open(t)
	w.on(func(command) verdict { return cutBefore })
	began := time.Now()
	err := d.InsertIncident(t.Context(), small("i", 1))
	if err == nil || store.IsAnswer(err) {
		t.Errorf("insert: %v, want that the server is away", err)
	}
	if _, err := d.Incident(t.Context(), "i"); err == nil || store.IsAnswer(err) {
		t.Errorf("read: %v, want that the server is away", err)
	}
	if took := time.Since(began); took > 2*tries*operationTimeout {
		t.Errorf("it took %s", took)
	}
	w.on(nil)
	deadline := time.Now().Add(time.Minute)
	for {
		if err = d.InsertIncident(t.Context(), small("i", 1)); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// Incidents and ledgers that have grown large are read a few at a time: all of
// a page is in memory at once.
func TestAPageIsNoHeavierThanItMayBe(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			d := s.open(t)
			var want, got []string
			for n := range 20 {
				want = append(want, fmt.Sprintf("fact-%02d", n))
				if err := d.SetMeta(t.Context(), want[n], make([]byte, 1<<20)); err != nil {
					t.Fatal(err)
				}
			}
			err := eachPage(t.Context(), d, "each fact", meta, 100, func(page []metaDoc) (last string, err error) {
				if weight := len(page) << 20; weight > pageBytes+1<<20 {
					t.Errorf("%d MiB in one page", weight>>20)
				}
				for _, doc := range page {
					got = append(got, doc.Name)
					last = doc.Name
				}
				return last, nil
			})
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("read %v, %v", got, err)
			}
		})
	}
}
