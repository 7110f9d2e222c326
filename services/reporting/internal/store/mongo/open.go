package mongo

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const (
	// DefaultDatabase is the one used where the address names none.
	DefaultDatabase = "onrecord"

	// oldestWire is the wire version of the oldest server supported, oldest its
	// name. Source: MongoDB's "Wire Version and Server Compatibility".
	oldestWire = 21
	oldest     = "7.0"

	connectTimeout = 5 * time.Second
	reachTimeout   = 8 * time.Second
	prepareTimeout = time.Hour // an index over a million incidents takes minutes
)

// IsAddress reports whether a database's name is the address of a MongoDB.
func IsAddress(name string) bool {
	return strings.HasPrefix(name, connstring.SchemeMongoDB+"://") || strings.HasPrefix(name, connstring.SchemeMongoDBSRV+"://")
}

// Redact returns what of an address may be shown and logged: servers and
// database, no user, no password, no options; none of it where it cannot be told
// which is which.
func Redact(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return "a MongoDB"
	}
	rest, options, _ := strings.Cut(rest, "?")
	if strings.Contains(options, "@") { // it may be the password that has the question mark
		return scheme + "://…"
	}
	return scheme + "://" + rest[strings.LastIndex(rest, "@")+1:]
}

// Open connects to the MongoDB at an address "mongodb://…" or "mongodb+srv://…",
// whose path names the database, DefaultDatabase when there is none, and brings
// that up to date. TLS and the user stand in the address, as MongoDB documents
// it; how sure a write must be does not: a majority, in their journals.
//
// The error says for the operator what to mend, and never what the address
// keeps secret.
func Open(ctx context.Context, address string) (store.Store, error) {
	c, err := open(ctx, address, migrations)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", Redact(address), withoutSecrets(err, address))
	}
	return &db{conn: c}, nil
}

// OpenExisting is Open of a database that was begun before: it returns
// store.ErrNotFound where none was, and has made nothing there.
func OpenExisting(ctx context.Context, address string) (store.Store, error) {
	c, err := connect(address)
	if err == nil {
		err = c.resume(ctx, migrations)
	}
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return nil, errors.Join(store.ErrNotFound, c.Close())
	case err != nil:
		err = fmt.Errorf("database %s: %w", Redact(address), withoutSecrets(err, address))
		if c != nil {
			err = errors.Join(err, c.Close())
		}
		return nil, err
	}
	return &db{conn: c}, nil
}

// open is Open with the means of tests to listen in.
func open(ctx context.Context, address string, migrations []migration, more ...func(*options.ClientOptions)) (*conn, error) {
	c, err := connect(address, more...)
	if err != nil {
		return nil, err
	}
	if err := c.begin(ctx, migrations); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// connect returns a connection on which nothing was asked yet.
func connect(address string, more ...func(*options.ClientOptions)) (*conn, error) {
	parsed, err := connstring.ParseAndValidate(address)
	if err != nil {
		return nil, fmt.Errorf("the address is not one of MongoDB: %w", err)
	}
	database := parsed.Database
	if database == "" {
		database = DefaultDatabase
	}
	journal := true
	o := options.Client().
		SetAppName("onrecord").
		SetTimeout(operationTimeout).
		SetConnectTimeout(connectTimeout).
		SetServerSelectionTimeout(reachTimeout).
		ApplyURI(address). // what stands above is the operator's to change, what stands below is not
		SetReadPreference(readpref.Primary()).
		SetReadConcern(readconcern.Majority()).
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: &journal}).
		SetRetryWrites(true).SetRetryReads(true)
	for _, f := range more {
		f(o)
	}
	client, err := mongo.Connect(o)
	if err != nil {
		return nil, fmt.Errorf("the address cannot be used: %w", err)
	}
	return &conn{client: client, db: client.Database(database)}, nil
}

// begin asks the server who it is, prepares the database, and has it write.
func (c *conn) begin(ctx context.Context, migrations []migration) error {
	if err := c.greet(ctx); err != nil {
		return err
	}
	return c.ready(ctx, migrations)
}

// resume is begin in a database that was begun before, or returns
// mongo.ErrNoDocuments.
func (c *conn) resume(ctx context.Context, migrations []migration) error {
	if err := c.greet(ctx); err != nil {
		return err
	}
	if _, err := c.mark(ctx); err != nil {
		return explain(err)
	}
	return c.ready(ctx, migrations)
}

// greet asks the server who it is.
func (c *conn) greet(ctx context.Context) error {
	var hello struct {
		MaxWireVersion int  `bson:"maxWireVersion"`
		Primary        bool `bson:"isWritablePrimary"`
	}
	if err := c.db.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Decode(&hello); err != nil {
		return explain(err)
	}
	if hello.MaxWireVersion < oldestWire {
		return fmt.Errorf("%w (wire version %d, want %d)", errOld, hello.MaxWireVersion, oldestWire)
	}
	if !hello.Primary {
		return errors.New("the server is no primary: it takes no writes; name every member of the replica set in the address, with replicaSet=…")
	}
	return nil
}

// ready prepares the database, and has the server write.
func (c *conn) ready(ctx context.Context, migrations []migration) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	if err := c.prepare(ctx, migrations); err != nil {
		return explain(err)
	}
	if err := (&db{conn: c}).Check(ctx); err != nil {
		return explain(err)
	}
	return explain(c.checkEngine(ctx))
}

// inMemory is the storage engine that acknowledges a journalled write at once,
// though it has no journal and no disk: no write tells it from one that has.
const inMemory = "inMemory"

// checkEngine refuses a server that keeps what it stores in memory alone. One
// that does not say, or not to this user, is believed.
func (c *conn) checkEngine(ctx context.Context) error {
	stats, err := c.storage(ctx)
	var refused mongo.ServerError
	if errors.As(err, &refused) && !mayRepeat(err) {
		return nil
	}
	for _, of := range stats {
		if _, lacks := of.LookupErr(inMemory); lacks == nil {
			return errors.New("the server keeps everything in memory, with no journal, and what was received would be lost with it; start it with the storage engine wiredTiger")
		}
	}
	return err
}

// storage returns how each shard says that it stores a collection, under the
// name of its engine.
func (c *conn) storage(ctx context.Context) (stats []bson.Raw, err error) {
	checks := c.db.Collection(checks, options.Collection().SetReadConcern(readconcern.Local())) // no other is taken
	err = (&db{conn: c}).read(ctx, "storage", func(ctx context.Context) error {
		cursor, err := checks.Aggregate(ctx, bson.A{bson.D{{Key: "$collStats", Value: bson.D{{Key: "storageStats", Value: bson.D{}}}}}})
		if err != nil {
			return err
		}
		var shards []struct {
			Storage bson.Raw `bson:"storageStats"`
		}
		err = cursor.All(ctx, &shards)
		stats = nil // of an attempt that broke
		for _, shard := range shards {
			stats = append(stats, shard.Storage)
		}
		return err
	})
	return stats, err
}

var errOld = errors.New("the server is older than MongoDB " + oldest + ", the oldest that is supported")

// explain says for an operator what an error of the first operations means.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var refused mongo.ServerError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var certificate x509.CertificateInvalidError
	text := err.Error()
	switch {
	case errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &certificate), strings.Contains(text, "x509:"), strings.Contains(text, "tls:"):
		return fmt.Errorf("TLS: the server’s certificate or ours was refused; see tlsCAFile and tlsCertificateKeyFile in the address: %w", err)
	case errors.As(err, &refused) && refused.HasErrorCode(18), strings.Contains(text, "auth error"):
		return fmt.Errorf("the user or the password in the address was refused, or the user is of another authSource: %w", err)
	case errors.As(err, &refused) && refused.HasErrorCode(13):
		return fmt.Errorf("the user in the address may not do this; it needs the role readWrite on the database: %w", err)
	case errors.As(err, &refused) && strings.Contains(text, "journal"):
		return fmt.Errorf("the server keeps no journal, and what was received could be lost with it; start it with journaling: %w", err)
	case strings.Contains(text, "reports wire version"): // so old that the driver does not speak to it
		return fmt.Errorf("%w: %w", errOld, err)
	case strings.Contains(text, "server selection"):
		return fmt.Errorf("no server could be reached that takes writes; is the address right, is MongoDB running, with TLS where the address has tls=true and without where not, has the replica set a primary? %w", err)
	}
	return err
}

// withoutSecrets takes the user and password of an address, and the passwords
// among its options, out of an error, as they stand there and as they are meant.
func withoutSecrets(err error, address string) error {
	_, rest, _ := strings.Cut(address, "://")
	var stand, secrets []string
	for at := range rest {
		if rest[at] != '@' { // the last one ends them, unless it is an option’s
			continue
		}
		user, password, _ := strings.Cut(rest[:at], ":")
		stand = append([]string{rest[:at], password, user}, stand...)
	}
	_, options, _ := strings.Cut(rest, "?")
	for option := range strings.SplitSeq(options, "&") {
		name, value, _ := strings.Cut(option, "=")
		if name = strings.ToLower(name); strings.Contains(name, "password") || name == "authmechanismproperties" {
			stand = append(stand, value)
		}
	}
	text := err.Error()
	for _, s := range stand {
		secrets = append(secrets, s)
		if meant, err := url.QueryUnescape(s); err == nil {
			secrets = append(secrets, meant)
		}
		if meant, err := url.PathUnescape(s); err == nil {
			secrets = append(secrets, meant)
		}
	}
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "…")
		}
	}
	return errors.New(text)
}
