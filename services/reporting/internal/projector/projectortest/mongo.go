package projectortest

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/mongo"
)

// Mongo returns what opens stores in fresh databases of a real MongoDB where
// there is one (see mongotest.RealURI), and otherwise of the compatible server.
// They end with their tests.
func Mongo(tb testing.TB) func(testing.TB) store.Store {
	tb.Helper()
	uri := mongotest.Real()
	if uri == "" {
		uri = mongotest.Start(tb)
	}
	return func(tb testing.TB) store.Store {
		tb.Helper()
		u, err := url.Parse(uri)
		if err != nil {
			tb.Fatal("the server’s address cannot be read") // it may hold a password
		}
		name := "onrecord_test_" + uuid.NewString()
		u.Path = "/" + name
		st, err := mongo.Open(tb.Context(), u.String())
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() {
			if err := st.Close(); err != nil {
				tb.Error(err)
			}
			drop(tb, uri, name)
		})
		return st
	}
}

func drop(tb testing.TB, uri, database string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, err := driver.Connect(options.Client().ApplyURI(uri))
	if err == nil {
		err = client.Database(database).Drop(ctx)
		_ = client.Disconnect(ctx)
	}
	if err != nil {
		tb.Logf("%s was not dropped: %v", database, err)
	}
}
