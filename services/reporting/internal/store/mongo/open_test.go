package mongo

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// A password that must never be seen, as it stands in an address and as meant.
const (
	password        = "s3cret/of:demo"
	passwordEscaped = "s3cret%2Fof%3Ademo"
)

// refuses opens an address and fails unless that is refused with words, and
// without secrets.
func refuses(t *testing.T, address, want string) {
	t.Helper()
	s, err := Open(t.Context(), address)
	if err == nil {
		t.Errorf("%s was opened", Redact(address))
		s.Close()
		return
	}
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want %q in it", err, want)
	}
	for _, secret := range []string{password, passwordEscaped, "s3cret", "demo-user"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("error %q gives %q away", err, secret)
		}
	}
}

func withUser(t *testing.T, uri, query string) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("demo-user", password)
	u.RawQuery = query
	return u.String()
}

// A name that was mistyped leaves nothing on the server.
func TestOnlyADatabaseThatWasBegunIsOpenedAsOne(t *testing.T) {
	uri := mongotest.Start(t)
	address := uri + "mistyped"
	if _, err := OpenExisting(t.Context(), address); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("err=%v, want store.ErrNotFound", err)
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	if names, err := client.Database("mistyped").ListCollectionNames(t.Context(), bson.D{}); err != nil || len(names) > 0 {
		t.Errorf("collections %v %v, want none", names, err)
	}
	for _, opened := range []func(context.Context, string) (store.Store, error){Open, OpenExisting} {
		s, err := opened(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Check(t.Context()), s.Close()); err != nil {
			t.Error(err)
		}
	}
	_, err = OpenExisting(t.Context(), withUser(t, "mongodb://127.0.0.1:1/", "serverSelectionTimeoutMS=100"))
	if err == nil || !strings.Contains(err.Error(), "no server could be reached") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v, want why, and nothing secret", err)
	}
}

func TestAddressesThatAreWrong(t *testing.T) {
	for address, want := range map[string]string{
		"mongodb://": "not one of MongoDB",
		"mongodb://demo-user:" + passwordEscaped + "@/":                                         "not one of MongoDB",
		"mongodb://demo-user:" + password + "@localhost/":                                       "not one of MongoDB",
		"mongodb://demo-user:" + passwordEscaped + "@localhost:99999/":                          "not one of MongoDB",
		"mongodb://demo-user:" + passwordEscaped + "@localhost/?w=minority&tls=perhaps":         "not one of MongoDB",
		"mongodb://demo-user:" + passwordEscaped + "@localhost/?tlsCAFile=/nowhere.pem":         "open /nowhere.pem",
		"mongodb://demo-user:" + passwordEscaped + "@127.0.0.1:1/?serverSelectionTimeoutMS=200": "no server could be reached",
	} {
		refuses(t, address, want)
	}
}

func TestRedact(t *testing.T) {
	for address, want := range map[string]string{
		"mongodb://localhost/":                                                  "mongodb://localhost/",
		"mongodb://u:p@a:1,b:2/reports?replicaSet=rs":                           "mongodb://a:1,b:2/reports",
		"mongodb+srv://u:p@h@cluster.example/x?tlsCertificateKeyFilePassword=p": "mongodb+srv://cluster.example/x",
		"u:p@host":                           "a MongoDB",
		"mongodb://u:p@a/x?appName=s3cret@b": "mongodb://…",
		"mongodb://u:s3c?ret@a/x":            "mongodb://…",
		"mongodb://u:s3@c?ret@a/x":           "mongodb://…",
	} {
		if got := Redact(address); got != want {
			t.Errorf("Redact=%q, want %q", got, want)
		}
	}
}

func TestErrorsTellNoSecrets(t *testing.T) {
	for address, told := range map[string]string{
		"mongodb://demo-user:s3cret@a/x":                                       "demo-user:s3cret, s3cret, demo-user",
		"mongodb://demo-user:s3cret@a/x?appName=me@here":                       "auth of demo-user with s3cret",
		"mongodb://demo-user:s3%40cret@a/x":                                    "auth of demo-user with s3@cret or s3%40cret",
		"mongodb://demo-user:s3@cret@a/x":                                      "auth of demo-user with s3@cret",
		"mongodb://a/x?tls=true&tlsCertificateKeyFilePassword=s3cret":          "cannot open with s3cret",
		"mongodb://a/x?authMechanismProperties=AWS_SESSION_TOKEN:s3cret&w=1":   "properties AWS_SESSION_TOKEN:s3cret",
		"mongodb://demo-user:pa@a/x?tlsCertificateKeyFilePassword=s3%20cret&x": "s3 cret",
	} {
		got := withoutSecrets(errors.New(told+" at the server"), address).Error()
		if strings.Contains(got, "s3") || strings.Contains(got, "demo-user") || !strings.HasSuffix(got, " at the server") {
			t.Errorf("of %q: %q", address, got)
		}
	}
}

// TestServersThatAreNotFit has a server answer as one does that asks for
// another password, is too old, or keeps no journal.
func TestServersThatAreNotFit(t *testing.T) {
	w := newWire(t, mongotest.Start(t), nil)
	no := func(code int32, text string) bson.D {
		return bson.D{{Key: "ok", Value: 0.0}, {Key: "code", Value: code}, {Key: "codeName", Value: "No"}, {Key: "errmsg", Value: text}}
	}
	for name, test := range map[string]struct {
		edit func(command, bson.D) bson.D
		want string
	}{
		"another password": {func(c command, answer bson.D) bson.D {
			if strings.HasPrefix(c.Name, "sasl") {
				return no(18, "Authentication failed.")
			}
			return answer
		}, "the user or the password"},
		"a user without rights": {func(c command, answer bson.D) bson.D {
			if c.Name == "find" {
				return no(13, "not authorized on onrecord to execute command")
			}
			return answer
		}, "readWrite"},
		"an old server": {func(_ command, answer bson.D) bson.D {
			for n := range answer {
				if answer[n].Key == "maxWireVersion" {
					answer[n].Value = int32(17)
				}
			}
			return answer
		}, "older than MongoDB 7.0"},
		"a very old server": {func(_ command, answer bson.D) bson.D {
			for n := range answer {
				if answer[n].Key == "maxWireVersion" {
					answer[n].Value = int32(3)
				}
			}
			return answer
		}, "older than MongoDB 7.0"},
		"a secondary by itself": {func(_ command, answer bson.D) bson.D {
			for n := range answer {
				if answer[n].Key == "isWritablePrimary" || answer[n].Key == "ismaster" {
					answer[n].Value = false
				}
			}
			return answer
		}, "is no primary"},
		"no journal": {func(c command, answer bson.D) bson.D {
			if c.Name == "insert" || c.Name == "update" {
				return no(2, "cannot use 'j' option when a host does not have journaling enabled")
			}
			return answer
		}, "keeps no journal"},
		"all in memory": {func(c command, answer bson.D) bson.D {
			if !c.is("aggregate checks") {
				return answer
			}
			if level, ok := c.Doc.Lookup("readConcern", "level").StringValueOK(); ok && level != "local" {
				return no(72, "Aggregation stage $collStats cannot run with a readConcern other than 'local'")
			}
			stats := bson.D{{Key: "count", Value: 1}, {Key: "inMemory", Value: bson.D{{Key: "type", Value: "file"}}}}
			return bson.D{{Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: "onrecord.checks"},
				{Key: "firstBatch", Value: bson.A{bson.D{{Key: "storageStats", Value: stats}}}}}}, {Key: "ok", Value: 1.0}}
		}, "no journal"},
		"no primary": {func(c command, answer bson.D) bson.D {
			if c.Name == "hello" || c.Name == "isMaster" || c.Name == "ismaster" {
				return append(bson.D{{Key: "setName", Value: "rs"}, {Key: "secondary", Value: true}, {Key: "isWritablePrimary", Value: false},
					{Key: "ismaster", Value: false}, {Key: "hosts", Value: bson.A{strings.TrimSuffix(strings.TrimPrefix(w.URI, "mongodb://"), "/")}}},
					bson.D{{Key: "maxWireVersion", Value: int32(21)}, {Key: "minWireVersion", Value: int32(0)}, {Key: "ok", Value: 1.0}}...)
			}
			return answer
		}, "no server could be reached that takes writes"},
	} {
		t.Run(name, func(t *testing.T) {
			w.answers(test.edit)
			address := w.URI + "fit_" + bson.NewObjectID().Hex() + "?serverSelectionTimeoutMS=450"
			switch name {
			case "another password":
				address = withUser(t, w.URI, "authMechanism=PLAIN&serverSelectionTimeoutMS=450")
			case "no primary":
				address += "&replicaSet=rs"
			}
			refuses(t, address, test.want)
		})
	}
}

// A server that is not asked in the right way tells nothing, and is believed.
func TestARealServerTellsItsEngine(t *testing.T) {
	s, ok := servers(t)["MongoDB"]
	if !ok {
		return
	}
	stats, err := s.open(t).storage(t.Context())
	if err != nil || len(stats) == 0 {
		t.Fatalf("%v, %v", stats, err)
	}
	for _, of := range stats {
		if _, err := of.LookupErr("wiredTiger"); err != nil {
			t.Errorf("it tells no engine: %v", of)
		}
	}
}

// certificate returns one for a name, signed by itself, and its file.
func certificate(t *testing.T, host string, until time.Time) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "demo"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func leaf(t *testing.T, c tls.Certificate) *x509.Certificate {
	t.Helper()
	parsed, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// keyFile writes a certificate and its key into one file, as MongoDB has it.
func keyFile(t *testing.T, c tls.Certificate) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	file := filepath.Join(t.TempDir(), "ours.pem")
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTLS(t *testing.T) {
	uri := mongotest.Start(t)
	right, ca := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	_, otherCA := certificate(t, "127.0.0.1", time.Now().Add(time.Hour))
	elsewhere, elsewhereCA := certificate(t, "elsewhere.example", time.Now().Add(time.Hour))
	expired, expiredCA := certificate(t, "127.0.0.1", time.Now().Add(-time.Hour))
	options := func(ca string) string {
		// ended before the driver asks again, 500 ms after an answer: what it is at then would hide why
		return "/onrecord_tls?serverSelectionTimeoutMS=450&tls=true&tlsCAFile=" + url.QueryEscape(ca)
	}
	serve := func(c tls.Certificate) string {
		w := newWire(t, uri, &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12})
		return strings.TrimSuffix(w.URI, "/")
	}
	address := serve(right)
	s, err := Open(t.Context(), address+options(ca))
	if err != nil {
		t.Fatalf("with its own authority: %v", err)
	}
	if err := errors.Join(s.Check(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	known := x509.NewCertPool()
	known.AddCert(leaf(t, right))
	mutual := newWire(t, uri, &tls.Config{Certificates: []tls.Certificate{right}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: known, MinVersion: tls.VersionTLS12})
	asks := strings.TrimSuffix(mutual.URI, "/") + options(ca)
	withOurs := func(c tls.Certificate) string {
		return asks + "&tlsCertificateKeyFile=" + url.QueryEscape(keyFile(t, c))
	}
	if s, err = Open(t.Context(), withOurs(right)); err != nil {
		t.Fatalf("with a certificate of ours: %v", err)
	}
	if err := errors.Join(s.Check(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	for name, address := range map[string]string{
		"another authority":               address + options(otherCA),
		"another host":                    serve(elsewhere) + options(elsewhereCA),
		"expired":                         serve(expired) + options(expiredCA),
		"no certificate of ours":          asks,
		"one of ours from somewhere else": withOurs(elsewhere),
	} {
		t.Run(name, func(t *testing.T) { refuses(t, address, "TLS: ") })
	}
	for name, address := range map[string]string{
		"only one side speaks it": strings.TrimSuffix(uri, "/") + options(ca),
		"only the other does":     address + "/onrecord_tls?serverSelectionTimeoutMS=450",
	} {
		t.Run(name, func(t *testing.T) { refuses(t, address, "no server could be reached") })
	}
}

// opened returns a client on a new database that nobody has prepared, and its
// address.
func opened(t *testing.T, s server) (*mongo.Database, string) {
	t.Helper()
	address := s.address(t)
	client, err := mongo.Connect(options.Client().ApplyURI(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := client.Disconnect(ctx); err != nil {
			t.Error(err)
		}
	})
	return client.Database(address[strings.LastIndex(address, "/")+1:]), address
}

func TestDatabasesOfOthers(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			database, address := opened(t, s)
			if _, err := database.Collection("orders").InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}}); err != nil {
				t.Fatal(err)
			}
			refuses(t, address, "another program’s: it holds orders")
			if err := database.Drop(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestWhatReportersSaidBeforeIsFoundAfterAnUpgrade(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			d, ctx := s.open(t), t.Context()
			reporter, rep := incident.Actor{Role: incident.RoleReporter}, incident.Actor{Role: "rep"}
			for n, change := range []incident.Change{
				{By: reporter, Action: incident.ActionAdded, Field: incident.FieldNothingHappened},
				{By: reporter, Action: incident.ActionReopened}, // as an early release wrote it
				{By: rep, Action: incident.ActionReopened},
				{By: rep, Action: incident.ActionNoted, Field: incident.FieldNothingHappened},
			} {
				i := small(fmt.Sprint("i", n), 4)
				i.FoldedRev, i.Timeline = 4, []incident.Change{{Seq: 1, Action: incident.ActionFiled, By: reporter}, change}
				if err := d.InsertIncident(ctx, i); err != nil {
					t.Fatal(err)
				}
			}
			// As the release before it left them.
			if _, err := d.collection(incidents).UpdateMany(ctx, bson.D{}, bson.D{{Key: "$unset", Value: bson.D{{Key: "by.nothing", Value: ""}}}}); err != nil {
				t.Fatal(err)
			}
			found := func() (ids []string) {
				page, _, err := d.ListIncidents(ctx, store.Filter{Nothing: true, Limit: 10})
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range page {
					ids = append(ids, i.ID)
				}
				return ids
			}
			if got := found(); len(got) > 0 {
				t.Fatalf("%v are found although nothing is marked", got)
			}
			for range 2 { // it may be cut off and begun again
				if err := whatReportersSaid(ctx, d.conn); err != nil {
					t.Fatal(err)
				}
			}
			behind, err := d.Unfolded(ctx, 10)
			slices.Sort(behind)
			if want := []string{"i0", "i1"}; err != nil || !slices.Equal(behind, want) || !slices.Equal(found(), []string{"i1", "i0"}) {
				t.Errorf("found %v, behind %v, %v; want %v", found(), behind, err, want)
			}
		})
	}
}

// What was corrected before corrections were published is due after the upgrade.
func TestCorrectionsFromBeforeAreDue(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			d, ctx := s.open(t), t.Context()
			for id, action := range map[string]incident.Action{"corrected": incident.ActionCorrected, "noted": incident.ActionNoted} {
				i := small(id, 1)
				i.WrappedKey, i.Timeline = []byte{1}, []incident.Change{{Seq: 1, Action: action, To: "corrected"}}
				if err := d.InsertIncident(ctx, i); err != nil {
					t.Fatal(err)
				}
			}
			// As the release before it left them.
			if _, err := d.collection(incidents).UpdateMany(ctx, bson.D{}, bson.D{{Key: "$unset", Value: bson.D{{Key: "lesson_due", Value: ""}}}}); err != nil {
				t.Fatal(err)
			}
			if due, err := d.LessonsDue(ctx, "", 10); err != nil || len(due) > 0 {
				t.Fatalf("due=%q err=%v although nothing is marked", due, err)
			}
			for range 2 { // it may be cut off and begun again
				if err := lessonsFromBefore(ctx, d.conn); err != nil {
					t.Fatal(err)
				}
			}
			if due, err := d.LessonsDue(ctx, "", 10); err != nil || !slices.Equal(due, []string{"corrected"}) {
				t.Errorf("due=%q err=%v, want the one that was corrected", due, err)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			database, address := opened(t, s)
			ctx, ran := t.Context(), 0
			prepare := func(count int) error {
				var list []migration
				for range count {
					list = append(list, func(context.Context, *conn) error { ran++; return nil })
				}
				c, err := open(ctx, address, list)
				if err != nil {
					return err
				}
				return c.Close()
			}
			for _, step := range []struct{ count, ran int }{{1, 1}, {1, 0}, {3, 2}, {3, 0}} {
				ran = 0
				if err := prepare(step.count); err != nil || ran != step.ran {
					t.Errorf("with %d migrations: %v, %d ran, want %d", step.count, err, ran, step.ran)
				}
			}
			if err := prepare(2); err == nil || !strings.Contains(err.Error(), "written by a newer release") {
				t.Errorf("a newer database: %v", err)
			}
			broken := func(context.Context, *conn) error { return errors.New("out of luck") }
			c, err := open(ctx, address, append(make([]migration, 3), broken))
			if err == nil {
				c.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "migration 4: out of luck") {
				t.Errorf("a migration that fails: %v", err)
			}
			var doc schemaDoc
			if err := database.Collection(schema).FindOne(ctx, byID(schemaID)).Decode(&doc); err != nil || doc.Version != 3 {
				t.Errorf("version %d, %v, want 3", doc.Version, err)
			}
		})
	}
}

// TestInstancesBeginTogether opens one new database many times at once.
func TestInstancesBeginTogether(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			address, errs := s.address(t), make(chan error)
			const instances = 4
			for range instances {
				go func() {
					opened, err := Open(context.WithoutCancel(t.Context()), address)
					if err == nil {
						err = opened.Close()
					}
					errs <- err
				}()
			}
			for range instances {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			refusesNothing(t, address)
		})
	}
}

func refusesNothing(t *testing.T, address string) {
	t.Helper()
	var s store.Store
	s, err := Open(t.Context(), address)
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

func TestIndexesThatConflict(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			database, address := opened(t, s)
			refusesNothing(t, address)
			ctx := t.Context()
			for _, model := range []mongo.IndexModel{
				{Keys: bson.D{{Key: "status", Value: 1}}, Options: options.Index().SetName("incidents_by_status")},
				{Keys: bson.D{{Key: "status", Value: 1}, {Key: "at", Value: 1}, {Key: "_id", Value: -1}}, Options: options.Index().SetName("incidents_by_status")},
				{Keys: byTime("status"), Options: options.Index().SetName("by_hand")},
			} {
				indexes := database.Collection(incidents).Indexes()
				if err := indexes.DropOne(ctx, "incidents_by_status"); err != nil {
					t.Fatal(err)
				}
				byHand, err := indexes.CreateOne(ctx, model)
				if err != nil {
					t.Fatal(err)
				}
				for _, part := range []string{"index incidents_by_status of collection incidents", "drop it and start again"} {
					refuses(t, address, part)
				}
				if err := indexes.DropOne(ctx, byHand); err != nil {
					t.Fatal(err)
				}
				refusesNothing(t, address)
			}
			if err := database.Collection(users).Indexes().DropOne(ctx, "users_by_name"); err != nil {
				t.Fatal(err)
			}
			if _, err := database.Collection(users).Indexes().CreateOne(ctx, mongo.IndexModel{Keys: bson.D{{Key: "name_key", Value: 1}}, Options: options.Index().SetName("users_by_name")}); err != nil {
				t.Fatal(err)
			}
			refuses(t, address, "index users_by_name of collection users: there is one of that name")
		})
	}
}

// An index of our name on our fields that leaves out documents, removes them or
// orders them otherwise is not ours. The compatible server makes none such.
func TestIndexesWithOtherOptions(t *testing.T) {
	w := newWire(t, mongotest.Start(t), nil)
	address := w.URI + "onrecord_options"
	refusesNothing(t, address)
	for name, value := range map[string]any{
		"sparse": true, "expireAfterSeconds": int32(3600), "partialFilterExpression": bson.D{{Key: "counted", Value: true}}, "collation": bson.D{{Key: "locale", Value: "en"}},
	} {
		w.answers(func(c command, answer bson.D) bson.D {
			if !c.is("listIndexes incidents") {
				return answer
			}
			cursor := answer[slices.IndexFunc(answer, func(e bson.E) bool { return e.Key == "cursor" })].Value.(bson.D)
			batch := slices.IndexFunc(cursor, func(e bson.E) bool { return e.Key == "firstBatch" })
			list := cursor[batch].Value.(bson.A)
			for n, index := range list {
				if index := index.(bson.D); slices.ContainsFunc(index, func(e bson.E) bool { return e.Key == "name" && e.Value == "incidents_by_status" }) {
					list[n] = append(index, bson.E{Key: name, Value: value})
				}
			}
			return answer
		})
		for _, part := range []string{"index incidents_by_status of collection incidents", name, "drop it and start again"} {
			refuses(t, address, part)
		}
	}
	w.answers(nil)
	refusesNothing(t, address)
}

func TestTwoUsersOfOneNameByHand(t *testing.T) {
	for name, s := range servers(t) {
		t.Run(name, func(t *testing.T) {
			database, address := opened(t, s)
			refusesNothing(t, address)
			if err := database.Collection(users).Indexes().DropOne(t.Context(), "users_by_name"); err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"1", "2"} {
				if _, err := database.Collection(users).InsertOne(t.Context(), bson.D{{Key: "_id", Value: id}, {Key: "name_key", Value: "demo"}}); err != nil {
					t.Fatal(err)
				}
			}
			refuses(t, address, "index users_by_name of collection users")
		})
	}
}
