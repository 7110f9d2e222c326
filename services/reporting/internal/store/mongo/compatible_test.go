package mongo

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// The compatible server does not look through a collection to find a document
// by its id. Without an index of ours it does, for every change of one.
func TestCompatibleServerFindsDocumentsByID(t *testing.T) {
	d := server{uri: mongotest.Start(t)}.open(t)
	for _, collection := range []string{incidents, ledgers, ledgerLines, pending} {
		runtest.Eventually(t, time.Minute, func() error {
			// To explain alone shows a connection no index that was made after it.
			if n, err := d.collection(collection).CountDocuments(t.Context(), byID("x")); n != 0 || err != nil {
				return fmt.Errorf("%d documents, %w", n, err)
			}
			var explained bson.Raw
			err := d.db.RunCommand(t.Context(), bson.D{{Key: "explain", Value: bson.D{{Key: "find", Value: collection}, {Key: "filter", Value: byID("x")}}}}).Decode(&explained)
			if err == nil && !strings.Contains(explained.String(), "_found_by_id") {
				err = fmt.Errorf("%s: %s", collection, explained)
			}
			return err
		})
	}
}
