package mongo

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// directoryID is the one document of the site directory; directoryTries, how
// often it is read again when another instance stored sites in between.
const (
	directoryID    = "sites"
	directoryTries = 20
)

// PutSites implements store.Sites.
func (d *db) PutSites(ctx context.Context, sites []store.Site) error {
	if err := store.CheckSites(sites); err != nil {
		return err
	}
	err := store.ErrStale
	for n := 0; n < directoryTries && errors.Is(err, store.ErrStale); n++ {
		err = d.putSites(ctx, sites)
	}
	return err
}

func (d *db) putSites(ctx context.Context, sites []store.Site) error {
	doc, err := d.directory(ctx)
	if err != nil {
		return err
	}
	for _, s := range sites {
		at := slices.IndexFunc(doc.Sites, func(known siteDoc) bool { return known.ID == s.ID })
		if at < 0 {
			doc.Sites = append(doc.Sites, siteDoc(s))
		} else {
			doc.Sites[at] = siteDoc(s)
		}
	}
	doc.Write = bson.NewObjectID()
	doc.Rev++
	return d.write(ctx, "put sites", func(ctx context.Context) error {
		return d.putFenced(ctx, directory, directoryID, doc.Write, doc.Rev, doc)
	})
}

// directory returns the document, an empty one when there is none.
func (d *db) directory(ctx context.Context) (directoryDoc, error) {
	doc, err := findOne[directoryDoc](ctx, d, "sites", directory, byID(directoryID))
	if errors.Is(err, store.ErrNotFound) {
		return directoryDoc{ID: directoryID, Sites: []siteDoc{}}, nil
	}
	return doc, err
}

// ListSites implements store.Sites.
func (d *db) ListSites(ctx context.Context) ([]store.Site, error) {
	doc, err := d.directory(ctx)
	sites := each(doc.Sites, func(s siteDoc) store.Site { return store.Site(s) })
	slices.SortFunc(sites, func(a, b store.Site) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return sites, err
}

// PutQuarantined implements store.Quarantine.
func (d *db) PutQuarantined(ctx context.Context, q *store.Quarantined) error {
	return d.write(ctx, "put quarantined", func(ctx context.Context) error {
		return d.put(ctx, quarantine, q.Subject, toQuarantinedDoc(q))
	})
}

// Quarantined implements store.Quarantine.
func (d *db) Quarantined(ctx context.Context, subject string) (*store.Quarantined, error) {
	return pointer(toQuarantined)(findOne[quarantinedDoc](ctx, d, "read quarantined", quarantine, byID(subject)))
}

// ListQuarantined implements store.Quarantine.
func (d *db) ListQuarantined(ctx context.Context) ([]*store.Quarantined, error) {
	docs, err := find[quarantinedDoc](ctx, d, "quarantine", quarantine, bson.D{},
		options.Find().SetSort(bson.D{{Key: "at", Value: 1}, {Key: "_id", Value: 1}}).SetProjection(bson.D{{Key: "data", Value: 0}}))
	return each(docs, toQuarantined), err
}
