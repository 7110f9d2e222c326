// Command ferretdb is a MongoDB-compatible server for development and tests:
// the real protocol over a real socket, with its data in SQLite files, or in a
// PostgreSQL. It is no database for a deployment: its updates are not atomic, it
// has no authentication, and it reads whole collections for most queries: all
// there is in each document out of SQLite, a field or two inside PostgreSQL. It
// listens on loopback only.
//
// Build it in its directory with GOWORK=off: a module of its own, so that none
// of its dependencies meet ours.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := serve(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "ferretdb:", err)
		os.Exit(1)
	}
}

// serve runs the server until ctx is done. Once it listens it prints the URI
// under which it is reached, one line.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("ferretdb", flag.ContinueOnError)
	f.SetOutput(stderr)
	listen := f.String("listen", "127.0.0.1:27017", "loopback `address`; port 0 chooses a free one")
	dataDir := f.String("data-dir", "data/mongodb", "`directory` of the data; it is created when there is none")
	postgres := f.String("postgres", "", "`URL` of a database of a PostgreSQL that has the data instead, in UTF-8 and the locale C")
	withStdin := f.Bool("stop-with-stdin", false, "end when standard input does: for whoever starts it and may be killed")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("there are no arguments beside the flags: %q", f.Args())
	}
	if err := checkLoopback(*listen); err != nil {
		return err
	}
	config := &ferretdb.Config{
		Listener: ferretdb.ListenerConfig{TCP: *listen},
		Logger:   slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	if *postgres != "" {
		config.Handler, config.PostgreSQLURL = "postgresql", *postgres
	} else {
		files, err := sqliteURL(*dataDir)
		if err != nil {
			return err
		}
		config.Handler, config.SQLiteURL = "sqlite", files
	}
	db, err := ferretdb.New(config)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if *withStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	indexed := make(chan struct{})
	go func() {
		defer close(indexed)
		if *postgres == "" {
			indexIDs(ctx, *dataDir, config.Logger)
		}
	}()
	ended := make(chan error, 1)
	go func() { ended <- db.Run(ctx) }()
	if _, err := fmt.Fprintln(stdout, db.MongoDBURI()); err != nil { // waits until it listens
		return err
	}
	err = <-ended
	stop()
	<-indexed
	return err
}

// checkLoopback refuses an address that others could reach: whoever reaches
// the server may read and write everything.
func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("listen: %q is not a loopback address such as 127.0.0.1: this server asks nobody for a password", host)
	}
	return nil
}

// sqliteURL returns where FerretDB keeps its files, each commit synced.
func sqliteURL(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: abs + "/", RawQuery: url.Values{"_pragma": {"synchronous(full)"}}.Encode()}).String(), nil
}
