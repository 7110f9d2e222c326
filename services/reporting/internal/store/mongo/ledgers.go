package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// recountTimeout is how long the server may count the incidents.
const recountTimeout = 10 * time.Minute

// Ledger implements store.Ledgers. The lines say what the ledger is; totals
// that are not theirs are made anew, and stored where this may write.
func (d *db) Ledger(ctx context.Context, m incident.Month, site string) (l *incident.Ledger, err error) {
	err = d.read(ctx, "read ledger", func(ctx context.Context) (err error) {
		l, err = d.ledger(ctx, ledgerID(m, site))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return &incident.Ledger{Month: m, Site: site}, nil
	}
	return l, err
}

// ledger returns a ledger and completes it, or mongo.ErrNoDocuments.
func (d *db) ledger(ctx context.Context, id string) (*incident.Ledger, error) {
	// The totals first: those of a revision are stored after its lines, so that
	// none are ahead of lines that are read later.
	var totals ledgerDoc
	err := d.collection(ledgers).FindOne(ctx, byID(id)).Decode(&totals)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return nil, err
	}
	var lines linesDoc
	err = d.collection(ledgerLines).FindOne(ctx, byID(id)).Decode(&lines)
	if err != nil && !errors.Is(err, mongo.ErrNoDocuments) {
		return nil, err
	}
	switch {
	case totals.Rev > lines.Rev && totals.Totals == nil:
		lines = totals.ownLines()
		if err := d.putNewer(ctx, ledgerLines, id, lines.Rev, lines); err != nil {
			return nil, err
		}
	case totals.Rev > lines.Rev:
		return nil, fmt.Errorf("ledger %q has totals of revision %d and lines of %d, as where one collection was restored without the other: %w",
			id, totals.Rev, lines.Rev, errUnsettled)
	case lines.Rev == 0:
		return nil, mongo.ErrNoDocuments
	}
	l, err := toLedger(lines)
	if err != nil {
		return nil, err
	}
	if totals.isWhole(lines) {
		_, l.Cells, err = totals.cells()
		return l, err
	}
	l.Total()
	if len(l.Cells) == 0 {
		l.Cells = nil
	}
	return l, d.putNewer(ctx, ledgers, id, lines.Rev, lines.totals(l.Cells))
}

// putNewer stores revision rev of a document unless a later one is there. To
// store a revision again is to store the same. A db that only reads does nothing.
func (d *db) putNewer(ctx context.Context, collection, id string, rev int64, doc any) (err error) {
	if d.readOnly {
		return nil
	}
	if rev == 1 { // most likely it is the first
		_, err = d.collection(collection).InsertOne(ctx, doc)
		if !mongo.IsDuplicateKeyError(err) {
			return err
		}
	}
	_, err = d.collection(collection).ReplaceOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "rev", Value: bson.D{{Key: "$lte", Value: rev}}}},
		doc, options.Replace().SetUpsert(true))
	if !mongo.IsDuplicateKeyError(err) {
		return err
	}
	switch last, err := d.lastWrite(ctx, collection, id); {
	case err != nil:
		return err
	case last.Rev <= rev: // inserted in between
		return errUnsettled
	}
	return nil
}

// PutLedger implements store.Ledgers. It stores the lines, guarded by their
// revision, and then the totals: whoever is cut off between the two has stored
// the ledger, and Ledger completes it.
func (d *db) PutLedger(ctx context.Context, l *incident.Ledger) error {
	write := bson.NewObjectID()
	lines, totals, err := toLedgerDocs(l, write)
	if err != nil {
		return fmt.Errorf("put ledger: %w", err)
	}
	return d.write(ctx, "put ledger", func(ctx context.Context) error {
		if err := d.putFenced(ctx, ledgerLines, lines.ID, write, l.Rev, lines); err != nil {
			return err
		}
		return d.putNewer(ctx, ledgers, totals.ID, l.Rev, totals)
	})
}

// LedgerCells implements store.Ledgers.
func (d *db) LedgerCells(ctx context.Context, sites []string, first, last incident.Month) ([]store.SiteMonth, error) {
	filter := bson.D{{Key: "month", Value: between(first, last)}}
	if sites != nil {
		sites = slices.DeleteFunc(slices.Clone(sites), func(s string) bool { return !utf8.ValidString(s) })
		if len(sites) == 0 {
			return nil, ctx.Err()
		}
		filter = append(bson.D{{Key: "site", Value: bson.D{{Key: "$in", Value: sites}}}}, filter...)
	}
	docs, err := find[ledgerDoc](ctx, d, "ledger cells", ledgers, filter,
		options.Find().SetSort(ascending("month", "site")).SetProjection(ascending("month", "site", "totals", "cells")))
	if err != nil {
		return nil, err
	}
	var found []store.SiteMonth
	for _, doc := range docs {
		m, cells, err := doc.cells()
		if err != nil {
			return nil, err
		}
		if len(cells) > 0 {
			found = append(found, store.SiteMonth{Month: m, Site: doc.Site, Cells: cells})
		}
	}
	return found, nil
}

func between(first, last incident.Month) bson.D {
	return bson.D{{Key: "$gte", Value: first.String()}, {Key: "$lte", Value: last.String()}}
}

// EachLedger implements store.Ledgers. The totals are those that are stored,
// also where they are not those of the lines.
func (d *db) EachLedger(ctx context.Context, fn func(*incident.Ledger) error) error {
	return eachPage(ctx, d, "each ledger", ledgerLines, ledgerPage, func(page []linesDoc) (last string, err error) {
		ids := each(page, func(doc linesDoc) string { return doc.ID })
		docs, err := find[ledgerDoc](ctx, d, "each ledger", ledgers, byID(among(ids)))
		if err != nil {
			return "", err
		}
		totals := make(map[string]ledgerDoc, len(docs))
		for _, doc := range docs {
			totals[doc.ID] = doc
		}
		for _, doc := range page {
			l, err := toLedger(doc)
			if err != nil {
				return "", err
			}
			if stored, ok := totals[doc.ID]; ok {
				if _, l.Cells, err = stored.cells(); err != nil {
					return "", err
				}
			}
			if err := fn(l); err != nil {
				return "", err
			}
			last = doc.ID
		}
		return last, nil
	})
}

// Rollup implements store.Ledgers.
func (d *db) Rollup(ctx context.Context, m incident.Month) (*incident.Rollup, error) {
	doc, err := findOne[rollupDoc](ctx, d, "read roll-up", rollups, byID(m.String()))
	if errors.Is(err, store.ErrNotFound) {
		return &incident.Rollup{Month: m}, nil
	}
	if err != nil {
		return nil, err
	}
	return toRollup(doc)
}

// PutRollup implements store.Ledgers.
func (d *db) PutRollup(ctx context.Context, r *incident.Rollup) error {
	write := bson.NewObjectID()
	doc, err := toRollupDoc(r, write)
	if err != nil {
		return fmt.Errorf("put roll-up: %w", err)
	}
	return d.write(ctx, "put roll-up", func(ctx context.Context) error {
		return d.putFenced(ctx, rollups, doc.Month, write, r.Rev, doc)
	})
}

// RollupCells implements store.Ledgers.
func (d *db) RollupCells(ctx context.Context, first, last incident.Month) (map[incident.Month][]incident.Cell, error) {
	docs, err := find[rollupDoc](ctx, d, "roll-up cells", rollups, byID(between(first, last)),
		options.Find().SetProjection(ascending("totals", "all")))
	if err != nil {
		return nil, err
	}
	found := make(map[incident.Month][]incident.Cell)
	for _, doc := range docs {
		m, all, err := doc.sums()
		if err != nil {
			return nil, err
		}
		if len(all) > 0 {
			found[m] = all
		}
	}
	return found, nil
}

// recountedDoc is how many incidents the server counted under one value of "by".
type recountedDoc struct {
	By        byDoc `bson:"_id"`
	Incidents int   `bson:"incidents"`
}

// cell returns the number as figures have it.
func (d recountedDoc) cell() incident.Cell {
	c := incident.Cell{Dims: incident.Dims{Kind: d.By.Kind, Channel: d.By.Channel, Target: d.By.Target, Employer: d.By.Employer, SetBy: d.By.SetBy}}
	if d.By.SetAside {
		c.SetAside = d.Incidents
		return c
	}
	c.Incidents, c.Reports, c.People = d.Incidents, d.Incidents*d.By.Reports, d.Incidents*d.By.People
	if d.By.Nothing {
		c.NothingHappened = d.Incidents
	}
	if d.By.Undated {
		c.Undated = d.Incidents
	}
	return c
}

// recountPipeline counts the incidents of some months by what they count under.
// It has one sum, because the compatible server gets no second one right.
func recountPipeline(first, last incident.Month) []bson.D {
	return []bson.D{
		{{Key: "$match", Value: bson.D{{Key: "by.month", Value: between(first, last)},
			{Key: "$or", Value: bson.A{bson.D{{Key: "counted", Value: true}}, bson.D{{Key: "by.set_aside", Value: true}}}}}}},
		{{Key: "$group", Value: bson.D{{Key: "_id", Value: "$by"}, {Key: "incidents", Value: bson.D{{Key: "$sum", Value: 1}}}}}},
	}
}

// Recount implements store.Recounter.
func (d *db) Recount(ctx context.Context, first, last incident.Month) ([]store.SiteMonth, error) {
	var docs []recountedDoc
	err := d.read(ctx, "recount", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, recountTimeout)
		defer cancel()
		docs = nil
		cursor, err := d.collection(incidents).Aggregate(ctx, recountPipeline(first, last), options.Aggregate().SetAllowDiskUse(true))
		if err != nil {
			return err
		}
		return cursor.All(ctx, &docs)
	})
	if err != nil {
		return nil, err
	}
	cells := make(map[incident.LedgerKey][]incident.Cell)
	for _, doc := range docs {
		m, err := incident.ParseMonth(doc.By.Month)
		if err != nil {
			return nil, fmt.Errorf("recount: %w", err)
		}
		k := incident.LedgerKey{Month: m, Site: doc.By.Site}
		cells[k] = append(cells[k], doc.cell())
	}
	for k, parts := range cells {
		cells[k] = incident.Merge(parts)
	}
	return store.InOrder(cells), nil
}
