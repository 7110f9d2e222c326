package mongo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// recountTimeout is how long the server may count the incidents.
const recountTimeout = 10 * time.Minute

// Ledger implements store.Ledgers.
func (d *db) Ledger(ctx context.Context, m incident.Month, site string) (*incident.Ledger, error) {
	doc, err := findOne[ledgerDoc](ctx, d, "read ledger", ledgers, byID(ledgerID(m, site)))
	if errors.Is(err, store.ErrNotFound) {
		return &incident.Ledger{Month: m, Site: site}, nil
	}
	if err != nil {
		return nil, err
	}
	return toLedger(doc)
}

// PutLedger implements store.Ledgers.
func (d *db) PutLedger(ctx context.Context, l *incident.Ledger) error {
	write := bson.NewObjectID()
	doc, err := toLedgerDoc(l, write)
	if err != nil {
		return fmt.Errorf("put ledger: %w", err)
	}
	return d.write(ctx, "put ledger", func(ctx context.Context) error {
		return d.putFenced(ctx, ledgers, doc.ID, write, l.Rev, doc)
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
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetProjection(bson.D{{Key: "month", Value: 1}, {Key: "site", Value: 1}, {Key: "cells", Value: 1}}))
	if err != nil {
		return nil, err
	}
	var found []store.SiteMonth
	for _, doc := range docs {
		m, err := incident.ParseMonth(doc.Month)
		if err != nil {
			return nil, fmt.Errorf("ledger %q: %w", doc.ID, err)
		}
		if len(doc.Cells) > 0 {
			found = append(found, store.SiteMonth{Month: m, Site: doc.Site, Cells: each(doc.Cells, toCell)})
		}
	}
	return found, nil
}

func between(first, last incident.Month) bson.D {
	return bson.D{{Key: "$gte", Value: first.String()}, {Key: "$lte", Value: last.String()}}
}

// EachLedger implements store.Ledgers.
func (d *db) EachLedger(ctx context.Context, fn func(*incident.Ledger) error) error {
	return eachPage(ctx, d, "each ledger", ledgers, ledgerPage, func(doc ledgerDoc) (string, error) {
		l, err := toLedger(doc)
		if err != nil {
			return "", err
		}
		return doc.ID, fn(l)
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
		options.Find().SetProjection(bson.D{{Key: "all", Value: 1}}))
	if err != nil {
		return nil, err
	}
	found := make(map[incident.Month][]incident.Cell)
	for _, doc := range docs {
		m, err := incident.ParseMonth(doc.Month)
		if err != nil {
			return nil, fmt.Errorf("roll-up: %w", err)
		}
		if len(doc.All) > 0 {
			found[m] = each(doc.All, toCell)
		}
	}
	return found, nil
}

// recountedDoc is how many incidents the server counted under one value of "by".
type recountedDoc struct {
	By        byDoc `bson:"_id"`
	Incidents int   `bson:"incidents"`
}

// recountPipeline counts the incidents of some months by what they count under.
// It has one sum, because the compatible server gets no second one right.
func recountPipeline(first, last incident.Month) []bson.D {
	return []bson.D{
		{{Key: "$match", Value: bson.D{{Key: "by.month", Value: between(first, last)}, {Key: "counted", Value: true}}}},
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
		cells[k] = append(cells[k], incident.Cell{
			Dims:      incident.Dims{Kind: doc.By.Kind, Channel: doc.By.Channel, Target: doc.By.Target, Employer: doc.By.Employer, SetBy: doc.By.SetBy},
			Incidents: doc.Incidents, Reports: doc.Incidents * doc.By.Reports, People: doc.Incidents * doc.By.People,
		})
	}
	for k, parts := range cells {
		cells[k] = incident.Merge(parts)
	}
	return store.InOrder(cells), nil
}
