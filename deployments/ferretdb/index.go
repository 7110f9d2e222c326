package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver that FerretDB has
)

// indexEvery is how often new collections are looked for.
const indexEvery = 250 * time.Millisecond

// indexIDs gives each collection below a directory an index by which FerretDB
// finds a document by its id, until ctx is done. The one that FerretDB makes is
// on the expression "->_id", and it looks for "->$._id", for which SQLite knows
// no index: every change to a document read the whole collection once more.
// Nothing depends on this but speed: what fails is tried again.
func indexIDs(ctx context.Context, dir string, log *slog.Logger) {
	tick := time.NewTicker(indexEvery)
	defer tick.Stop()
	seen := make(map[string]time.Time) // when what is not yet in a database was written last
	for {
		files, _ := filepath.Glob(filepath.Join(dir, "*.sqlite")) // the pattern is well formed
		for _, file := range files {
			written, err := os.Stat(file + "-wal")
			if err != nil || written.ModTime().Equal(seen[file]) {
				continue // nobody has it open, or nothing is new
			}
			if err := indexFile(ctx, file); err != nil {
				if ctx.Err() != nil {
					return
				}
				log.Error("no index on ids was made, and will be tried again", "file", file, "error", err)
				continue
			}
			seen[file] = written.ModTime()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// indexFile does so for the collections of one database.
func indexFile(ctx context.Context, file string) (err error) {
	u := url.URL{Scheme: "file", Path: file, OmitHost: true, RawQuery: url.Values{"mode": {"rw"}, "_pragma": {"busy_timeout(10000)"}}.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tables, err := unindexed(ctx, db)
	if err != nil {
		return err
	}
	for _, table := range tables {
		if _, err := db.ExecContext(ctx, fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %q ON %q (_ferretdb_sjson->'$._id')`, table+"_found_by_id", table)); err != nil {
			return err
		}
	}
	return nil
}

// unindexed returns the tables of collections without the index.
func unindexed(ctx context.Context, db *sql.DB) (tables []string, err error) {
	rows, err := db.QueryContext(ctx, `SELECT name FROM sqlite_schema AS t
		WHERE type = 'table' AND EXISTS (SELECT 1 FROM pragma_table_info(t.name) WHERE name = '_ferretdb_sjson')
		AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'index' AND name = t.name || '_found_by_id')`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return nil, err
		}
		tables = append(tables, table)
	}
	return tables, rows.Err()
}
