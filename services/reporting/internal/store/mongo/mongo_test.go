package mongo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/storetest"
)

// server is where tests of this package make their databases.
type server struct {
	uri  string
	real bool
}

// servers returns the MongoDB-compatible server, and the real one if there is.
func servers(t *testing.T) map[string]server {
	t.Helper()
	all := map[string]server{"compatible server": {uri: mongotest.Start(t)}}
	if uri := mongotest.Real(); uri != "" {
		all["MongoDB"] = server{uri, true}
	} else {
		t.Logf("NOT RUN on a real MongoDB: %s names none", mongotest.RealURI)
	}
	return all
}

// address returns that of a new database on the server, dropped with the test.
func (s server) address(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(s.uri)
	if err != nil {
		t.Fatal("the server’s address cannot be read") // it may hold a password
	}
	u.Path = "/onrecord_test_" + bson.NewObjectID().Hex()
	address := u.String()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		client, err := mongo.Connect(options.Client().ApplyURI(address)) // as it is: some were made to be refused
		if err == nil {
			err = errors.Join(client.Database(strings.TrimPrefix(u.Path, "/")).Drop(ctx), client.Disconnect(ctx))
		}
		if err != nil {
			t.Logf("%s was not dropped: %v", u.Path, err)
		}
	})
	return address
}

func (s server) open(t testing.TB, more ...func(*options.ClientOptions)) *db {
	t.Helper()
	c, err := open(t.Context(), s.address(t), migrations, more...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &db{conn: c}
}

func TestStore(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			var with []storetest.Option
			if !s.real {
				with = append(with, storetest.TestServer())
			}
			storetest.Run(t, func(t *testing.T) store.Store { return s.open(t) }, with...)
		})
	}
	if mongotest.Real() == "" {
		fmt.Fprintf(os.Stderr, "mongo: concurrent updates were NOT tried: set %s to a MongoDB to try them\n", mongotest.RealURI)
	}
}
