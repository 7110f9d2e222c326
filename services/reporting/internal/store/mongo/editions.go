package mongo

import (
	"context"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// editionID sorts by month, then number.
func editionID(m incident.Month, number int) string { return fmt.Sprintf("%s/%03d", m, number) }

// PutEdition implements store.Editions.
func (d *db) PutEdition(ctx context.Context, e *store.Edition) error {
	if err := store.CheckEdition(e); err != nil {
		return err
	}
	doc := toEditionDoc(e, bson.NewObjectID())
	return d.write(ctx, "put edition", func(ctx context.Context) error {
		return d.insert(ctx, editions, doc.ID, doc.Write, doc)
	})
}

// Edition implements store.Editions.
func (d *db) Edition(ctx context.Context, m incident.Month, number int) (*store.Edition, error) {
	doc, err := findOne[editionDoc](ctx, d, "read edition", editions, byID(editionID(m, number)))
	if err != nil {
		return nil, err
	}
	return toEdition(doc)
}

// ListEditions implements store.Editions.
func (d *db) ListEditions(ctx context.Context, first, last incident.Month) ([]*store.Edition, error) {
	ids := bson.D{{Key: "$gte", Value: editionID(first, 0)}, {Key: "$lte", Value: editionID(last, store.MaxEdition)}}
	docs, err := find[editionDoc](ctx, d, "editions", editions, byID(ids),
		options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetProjection(bson.D{{Key: "exact", Value: 0}}))
	if err != nil {
		return nil, err
	}
	found := make([]*store.Edition, len(docs))
	for n, doc := range docs {
		if found[n], err = toEdition(doc); err != nil {
			return nil, err
		}
	}
	return found, nil
}
