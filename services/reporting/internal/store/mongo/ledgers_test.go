package mongo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/audit"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// totals returns what figures read of the small ledger’s month and site.
func totals(t *testing.T, d *db) []incident.Cell {
	t.Helper()
	found, err := d.LedgerCells(t.Context(), []string{"leeds"}, november, november)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		return nil
	}
	return found[0].Cells
}

// everyDocument returns a collection as it is stored, but for the names of writes.
func everyDocument(t *testing.T, c *conn, collection string) []bson.M {
	t.Helper()
	cursor, err := c.collection(collection).Find(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var docs []bson.M
	if err := cursor.All(t.Context(), &docs); err != nil {
		t.Fatal(err)
	}
	for _, doc := range docs {
		delete(doc, "w")
	}
	return docs
}

// dies returns a context that ends, with the connection, when a command is
// about to be sent: as when the process dies there.
func dies(t *testing.T, w *wire, name string) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	w.on(func(c command) verdict {
		if c.is(name) {
			cancel()
			return cutBefore
		}
		return pass
	})
	return ctx
}

// TestLedgerCutBetweenItsWrites has a process die after it stored a ledger’s
// lines and before it stored their totals.
func TestLedgerCutBetweenItsWrites(t *testing.T) {
	uri := mongotest.Start(t)
	for rev := int64(1); rev <= 3; rev++ {
		t.Run(fmt.Sprint("revision ", rev), func(t *testing.T) {
			w := newWire(t, uri, nil)
			d := server{uri: w.URI}.open(t)
			var before []incident.Cell
			for r := int64(1); r < rev; r++ {
				if err := d.PutLedger(t.Context(), smallLedger(r)); err != nil {
					t.Fatal(err)
				}
				before = smallLedger(r).Cells
			}
			if err := d.PutLedger(dies(t, w, "put ledgers"), smallLedger(rev)); !errors.Is(err, context.Canceled) {
				t.Fatalf("put: %v, want that it was cut off", err)
			}
			w.on(nil)
			if got := totals(t, d); !reflect.DeepEqual(got, before) {
				t.Errorf("figures meanwhile %+v, want %+v", got, before)
			}
			// An audit sees lines and the totals that are not theirs.
			err := d.EachLedger(t.Context(), func(l *incident.Ledger) error {
				if want := smallLedger(rev); l.Rev != rev || !reflect.DeepEqual(l.Entries, want.Entries) || !reflect.DeepEqual(l.Cells, before) {
					t.Errorf("audited %+v, want the lines of %+v and the totals %+v", l, want, before)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if err := d.PutLedger(t.Context(), smallLedger(rev)); !errors.Is(err, store.ErrStale) {
				t.Errorf("the same again: %v, want %v", err, store.ErrStale)
			}
			// Who may only read is told what is right and leaves it.
			read := func(s store.Store) error {
				l, err := s.Ledger(t.Context(), november, "leeds")
				if err == nil && !reflect.DeepEqual(l, smallLedger(rev)) {
					t.Errorf("ledger %+v, want %+v", l, smallLedger(rev))
				}
				return err
			}
			if err := d.Snapshot(t.Context(), read); err != nil {
				t.Error(err)
			}
			if got := totals(t, d); !reflect.DeepEqual(got, before) {
				t.Errorf("reading alone changed the figures to %+v", got)
			}
			// Who may write completes it, even when cut off as well.
			if _, err := d.Ledger(dies(t, w, "put ledgers"), november, "leeds"); !errors.Is(err, context.Canceled) {
				t.Errorf("read: %v, want that it was cut off", err)
			}
			w.on(nil)
			if err := read(d); err != nil {
				t.Error(err)
			}
			if got, want := totals(t, d), smallLedger(rev).Cells; !reflect.DeepEqual(got, want) {
				t.Errorf("figures %+v, want %+v", got, want)
			}
			// It is stored as one that nothing interrupted.
			whole := server{uri: uri}.open(t)
			for r := int64(1); r <= rev; r++ {
				if err := whole.PutLedger(t.Context(), smallLedger(r)); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range []string{ledgers, ledgerLines} {
				if got, want := everyDocument(t, d.conn, c), everyDocument(t, whole.conn, c); !reflect.DeepEqual(got, want) {
					t.Errorf("%s %v, want %v", c, got, want)
				}
			}
			if err := d.PutLedger(t.Context(), smallLedger(rev+1)); err != nil {
				t.Errorf("the next revision: %v", err)
			}
		})
	}
}

// TestWhatDiedBetweenALedgersWritesIsFolded has a process die while it folds:
// the incident’s line is stored and its total is not. Another sweeps.
func TestWhatDiedBetweenALedgersWritesIsFolded(t *testing.T) {
	uri := mongotest.Start(t)
	keyring, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		before, audited := n%2, n/2 == 1 // incidents of the same month and site that were folded earlier
		t.Run(fmt.Sprintf("%d before, audited %v", before, audited), func(t *testing.T) {
			w := newWire(t, uri, nil)
			d := server{uri: w.URI}.open(t)
			put := func(ctx context.Context, id string) error {
				i := small(id, 1)
				i.Lines, i.Reports = []incident.LedgerKey{i.Ledger()}, nil
				return fold.New().Group(ctx, d, func(tx store.Store) ([]*incident.Incident, error) {
					return []*incident.Incident{i}, tx.InsertIncident(ctx, i)
				})
			}
			for range before {
				if err := put(t.Context(), uuid.NewString()); err != nil {
					t.Fatal(err)
				}
			}
			if err := put(dies(t, w, "put ledgers"), uuid.NewString()); !errors.Is(err, context.Canceled) {
				t.Fatalf("fold: %v, want that it was cut off", err)
			}
			w.on(nil)
			if waiting, err := d.Unfolded(t.Context(), 10); err != nil || len(waiting) != 1 {
				t.Errorf("waiting %v, %v, want the one that was cut off", waiting, err)
			}
			if audited {
				a := audit.New(audit.Config{Store: d, Keyring: keyring, Log: slog.New(slog.DiscardHandler), Now: time.Now})
				if r, err := a.Verify(t.Context(), func(int, int) {}); err != nil || len(r.Differences) > 0 {
					t.Errorf("the audit found %+v, %v, in what is under way", r.Differences, err)
				}
				if got := totals(t, d); len(got) != 1 || got[0].Incidents != before+1 {
					t.Errorf("the audit left the totals %+v", got)
				}
			}
			if swept, err := fold.New().Sweep(t.Context(), d); err != nil || swept != 1 {
				t.Errorf("swept %d, %v", swept, err)
			}
			everywhere, err := d.RollupCells(t.Context(), november, november)
			if err != nil {
				t.Fatal(err)
			}
			for where, cells := range map[string][]incident.Cell{"the site": totals(t, d), "the month": everywhere[november]} {
				if len(cells) != 1 || cells[0].Incidents != before+1 {
					t.Errorf("figures of %s %+v, want %d incidents", where, cells, before+1)
				}
			}
			if waiting, err := d.Unfolded(t.Context(), 10); err != nil || len(waiting) != 0 {
				t.Errorf("still waiting %v, %v", waiting, err)
			}
		})
	}
}

// TestTotalsThatComeLate lets somebody else store the next revision, or read
// this one, between the two writes of a ledger: figures do not go back.
func TestTotalsThatComeLate(t *testing.T) {
	uri := mongotest.Start(t)
	for name, do := range map[string]func(theirs *db) error{
		"after the next revision": func(theirs *db) error {
			l, err := theirs.Ledger(context.Background(), november, "leeds")
			if err != nil || l.Rev != 1 {
				return fmt.Errorf("revision %d, %w", l.Rev, err)
			}
			return theirs.PutLedger(context.Background(), smallLedger(2))
		},
		"after it was completed": func(theirs *db) error {
			_, err := theirs.Ledger(context.Background(), november, "leeds")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, uri, nil)
			d, theirs := both(t, w, uri)
			hook, came := once("put ledgers", pass)
			w.on(func(c command) verdict {
				if was := came(); hook(c) == pass && came() && !was {
					if err := do(theirs); err != nil {
						t.Errorf("the other: %v", err)
					}
				}
				return pass
			})
			if err := d.PutLedger(t.Context(), smallLedger(1)); err != nil || !came() {
				t.Fatalf("put (%v): %v", came(), err)
			}
			figures := totals(t, d) // before reading the ledger would complete them
			l, err := d.Ledger(t.Context(), november, "leeds")
			if err != nil {
				t.Fatal(err)
			}
			if want := smallLedger(l.Rev); !reflect.DeepEqual(l, want) || !reflect.DeepEqual(figures, want.Cells) {
				t.Errorf("ledger %+v, figures %+v, want %+v", l, figures, want)
			}
		})
	}
}

// both returns one new database, through a wire and around it.
func both(t *testing.T, w *wire, uri string) (through, around *db) {
	t.Helper()
	through = server{uri: w.URI}.open(t)
	client, err := open(t.Context(), uri+through.db.Name(), migrations)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return through, &db{conn: client}
}

// TestTotalsWithoutTheirLines is a database of which one collection was put
// back from a copy without the other: nothing is counted on top of it.
func TestTotalsWithoutTheirLines(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			d := s.open(t)
			for rev := int64(1); rev <= 2; rev++ {
				if err := d.PutLedger(t.Context(), smallLedger(rev)); err != nil {
					t.Fatal(err)
				}
			}
			lines, _, err := toLedgerDocs(smallLedger(1), bson.NewObjectID())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.collection(ledgerLines).ReplaceOne(t.Context(), byID(lines.ID), lines); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Ledger(t.Context(), november, "leeds"); err == nil || store.IsAnswer(err) {
				t.Errorf("older lines: %v, want that it is refused", err)
			}
			if _, err := d.collection(ledgerLines).DeleteOne(t.Context(), byID(lines.ID)); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Ledger(t.Context(), november, "leeds"); err == nil || store.IsAnswer(err) {
				t.Errorf("no lines: %v, want that it is refused", err)
			}
		})
	}
}

// TestWhatFiguresReadDoesNotGrow stores two incidents and then thousands of the
// same kinds: no document of a collection that figures read gets larger by more
// than its numbers do.
func TestWhatFiguresReadDoesNotGrow(t *testing.T) {
	var r recorder
	d := server{uri: mongotest.Start(t)}.open(t, r.listen)
	put := func(rev int64, incidents int) {
		t.Helper()
		l := &incident.Ledger{Month: november, Site: "leeds", Rev: rev}
		for n := range incidents {
			l.Set(fmt.Sprintf("%08x-ac96-874b-bcce-b302099a8057", n), incident.Entry{Rev: 1, Counted: true, Reports: 1, People: 1,
				Dims: incident.Dims{Kind: incident.Kinds[n%2], Channel: incident.ChannelPhone, Target: incident.TargetAnyStaff, SetBy: incident.SetByMachine}})
		}
		l.Total()
		rollup := &incident.Rollup{Month: november, Rev: rev}
		rollup.Fold(l)
		rollup.Total()
		if err := errors.Join(d.PutLedger(t.Context(), l), d.PutRollup(t.Context(), rollup)); err != nil {
			t.Fatal(err)
		}
	}
	sizes := func() map[string]int {
		t.Helper()
		r.take()
		readFigures(t, d)
		sizes := make(map[string]int)
		for _, c := range r.take() {
			sizes[c.collection()] = 0
		}
		for collection := range sizes {
			for _, doc := range everyDocument(t, d.conn, collection) {
				raw, err := bson.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				sizes[collection] += len(raw)
			}
		}
		return sizes
	}
	put(1, 2)
	few := sizes()
	put(2, 5_000)
	many := sizes()
	const numbers = 32 // bytes that larger numbers may take
	for collection, size := range many {
		if few[collection] == 0 || size > few[collection]+numbers {
			t.Errorf("%s: %d bytes with 2 incidents and %d with 5,000", collection, few[collection], size)
		}
	}
	if len(many) != 2 {
		t.Errorf("figures read %v, want ledgers and roll-ups", many)
	}
}

// firstVersion fills a new database as version 1 did: with ledgers that hold
// their lines, and a roll-up with cells.
func firstVersion(t *testing.T, database *mongo.Database, months int) {
	t.Helper()
	ctx := t.Context()
	insert := func(collection string, doc any) {
		t.Helper()
		if _, err := database.Collection(collection).InsertOne(ctx, doc); err != nil {
			t.Fatal(err)
		}
	}
	golden := func(name string) (doc bson.D) {
		t.Helper()
		text, err := os.ReadFile("testdata/" + name + ".json")
		if err == nil {
			err = bson.UnmarshalExtJSON(text, true, &doc)
		}
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	insert(schema, schemaDoc{ID: schemaID, Version: 1})
	for n := range months {
		doc := golden("ledger")
		for f := range doc {
			switch month := november.Add(-n); doc[f].Key {
			case "_id":
				doc[f].Value = ledgerID(month, "leeds")
			case "month":
				doc[f].Value = month.String()
			}
		}
		insert(ledgers, doc)
	}
	insert(rollups, golden("rollup"))
}

// TestLinesAreMoved brings a database of version 1 up to date, in one go and
// cut off at each kind of step, again and again.
func TestLinesAreMoved(t *testing.T) {
	const months = 2*ledgerPage + 3
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, s.uri, nil)
			s.uri = w.URI
			database, address := opened(t, s)
			firstVersion(t, database, months)
			for n, step := range []string{"put ledger_lines", "put ledgers", "find ledger_lines", "put ledgers", "update schema"} {
				seen := 0
				ctx, cancel := context.WithCancel(t.Context())
				w.on(func(c command) verdict {
					if c.is(step) {
						if seen++; seen > n*5 || step == "update schema" {
							cancel()
							return cutBefore
						}
					}
					return pass
				})
				c, err := open(ctx, address, migrations)
				cancel()
				if err == nil {
					_ = c.Close()
					t.Fatalf("%s: it was not cut off after %d", step, seen)
				}
				w.on(nil)
			}
			c, err := open(t.Context(), address, migrations)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			d := &db{conn: c}
			moved := 0
			err = d.EachLedger(t.Context(), func(l *incident.Ledger) error {
				moved++
				cells := l.Cells
				if l.Total(); l.Rev != 1 || l.Site != "leeds" || len(l.Entries) != 1 || len(cells) != 1 || !reflect.DeepEqual(cells, l.Cells) {
					t.Errorf("moved: %+v with totals %+v", l, cells)
				}
				return nil
			})
			if err != nil || moved != months {
				t.Errorf("%d ledgers, %v, want %d", moved, err, months)
			}
			for _, doc := range everyDocument(t, c, ledgers) {
				for _, gone := range []string{"lines", "cells"} {
					if _, ok := doc[gone]; ok {
						t.Errorf("%v still has %s", doc["_id"], gone)
					}
				}
			}
			read, err := d.LedgerCells(t.Context(), nil, november.Add(1-months), november)
			if err != nil || len(read) != months {
				t.Errorf("figures of %d months, %v, want %d", len(read), err, months)
			}
			r, err := d.Rollup(t.Context(), november)
			if sums, err := d.RollupCells(t.Context(), november, november); err != nil || len(sums[november]) != 1 || !reflect.DeepEqual(sums[november], r.All) {
				t.Errorf("sums %+v, %v, want %+v", sums, err, r.All)
			}
			if err != nil || len(r.Sites) != 1 {
				t.Errorf("roll-up %+v, %v", r, err)
			}
			if version, err := c.mark(t.Context()); err != nil || version != len(migrations) {
				t.Errorf("version %d, %v", version, err)
			}
		})
	}
}

// TestLedgerOfAnOlderReleaseBesideUs is one that an instance of version 1 wrote
// after the lines were moved: during an upgrade both run for a while.
func TestLedgerOfAnOlderReleaseBesideUs(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			d := s.open(t)
			theirs := ledgerDoc{ID: ledgerID(november, "leeds"), Write: bson.NewObjectID(), Month: november.String(), Site: "leeds"}
			for rev := int64(1); rev <= 3; rev += 2 {
				l := smallLedger(rev)
				lines, _, err := toLedgerDocs(l, theirs.Write)
				if err != nil {
					t.Fatal(err)
				}
				theirs.Rev, theirs.Lines = rev, lines.Lines
				theirs.Cells = []cellDoc{{Incidents: 1, Reports: int(rev), People: 1}}
				if err := d.put(t.Context(), ledgers, theirs.ID, theirs); err != nil {
					t.Fatal(err)
				}
				if got := totals(t, d); !reflect.DeepEqual(got, l.Cells) {
					t.Errorf("figures %+v, want %+v", got, l.Cells)
				}
				if err := d.PutLedger(t.Context(), smallLedger(rev+1)); rev > 1 && !errors.Is(err, store.ErrStale) {
					t.Errorf("over a revision that was not read: %v, want %v", err, store.ErrStale)
				}
				if got, err := d.Ledger(t.Context(), november, "leeds"); err != nil || !reflect.DeepEqual(got, l) {
					t.Errorf("ledger %+v, %v, want %+v", got, err, l)
				}
				if err := d.PutLedger(t.Context(), smallLedger(rev+1)); err != nil {
					t.Errorf("the next: %v", err)
				}
			}
		})
	}
}
