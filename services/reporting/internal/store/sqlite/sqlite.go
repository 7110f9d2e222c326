package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"modernc.org/sqlite" // and the driver "sqlite"

	"github.com/onrecord/onrecord/pkg/failpoint"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// readConnections is how many reads may run at once beside the writer.
const readConnections = 4

// file is an open database: one connection that writes, and some that read
// what was committed. Nobody waits for a reader; writers wait for each other.
type file struct {
	writer *sql.DB
	conn   *sql.Conn // the writer's only connection
	writes *statements
	turn   chan struct{} // held by whoever writes, and by Close for good
	closed chan struct{}
	close  func() error

	readers *sql.DB
	reads   *statements
}

// db is the Store: the file, outside a Group (tx nil) or inside one; or, with
// then, the file as it was at one moment.
type db struct {
	*file
	tx   *transaction
	then *statements
}

// Open opens the database at path, creates it when there is none (mode 0600),
// and brings it up to date. The directory must exist. One process at a time
// may have it open; the caller holds a lock on the data directory.
//
// The error says what is wrong with the file, for the operator: it is missing
// rights, another program's, damaged, or of a newer release.
func Open(ctx context.Context, path string) (store.Store, error) {
	f, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	return &db{file: f}, nil
}

// OpenExisting is Open of a database that was begun before: it returns
// store.ErrNotFound where there is no file, or one with nothing in it, and has
// made nothing there.
func OpenExisting(ctx context.Context, path string) (store.Store, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}
	return Open(ctx, path)
}

func open(ctx context.Context, path string) (*file, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	f := &file{turn: make(chan struct{}, 1), closed: make(chan struct{})}
	f.close = sync.OnceValue(f.shut)
	if err := f.openWriter(ctx, path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.openReaders(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// create makes the file when there is none, readable and writable by its owner
// alone; SQLite gives its side files the same mode. The directory is synced so
// that the new file outlives a power cut.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (f *file) openWriter(ctx context.Context, path string) (err error) {
	// auto_vacuum comes before anything that writes the first page. The log is
	// moved into the database every 16 MiB rather than 4: under load a page is
	// then moved once and not many times, and reading it after a crash still
	// takes less than a tenth of a second.
	f.writer, err = openDSN(path, "immediate", "auto_vacuum(full)", "journal_mode(wal)", "synchronous(full)",
		"foreign_keys(on)", "secure_delete(on)", "temp_store(memory)", "trusted_schema(off)", "busy_timeout(5000)",
		"cache_size(-16000)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)")
	if err != nil {
		return err
	}
	f.writer.SetMaxOpenConns(1)
	if f.conn, err = f.writer.Conn(ctx); err != nil {
		return err
	}
	f.writes = newStatements(f.conn.PrepareContext)
	if err := checkSettings(ctx, f.conn); err != nil {
		return err
	}
	return migrate(ctx, f.conn)
}

func (f *file) openReaders(path string) (err error) {
	f.readers, err = openDSN(path, "deferred", "query_only(on)", "trusted_schema(off)", "busy_timeout(5000)", "cache_size(-4000)")
	if err != nil {
		return err
	}
	f.readers.SetMaxOpenConns(readConnections)
	f.readers.SetMaxIdleConns(readConnections)
	f.reads = newStatements(f.readers.PrepareContext)
	return nil
}

// openDSN returns a pool whose every connection runs the pragmas in order.
func openDSN(path, begin string, pragmas ...string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	query := url.Values{"_txlock": {begin}, "_pragma": pragmas}
	return sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs, RawQuery: query.Encode()}).String())
}

// checkSettings refuses a file on which the durable settings do not hold, such
// as one on a file system where the write-ahead log cannot work.
func checkSettings(ctx context.Context, conn *sql.Conn) error {
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "auto_vacuum": "1", "secure_delete": "1", "foreign_keys": "1"} {
		var got string
		if err := conn.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&got); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%s is %s and cannot be made %s here", pragma, got, want)
		}
	}
	return nil
}

// Close waits for whoever writes, moves the log into the database and closes
// it. Closing again does nothing.
func (f *file) Close() error { return f.close() }

func (f *file) shut() error {
	f.turn <- struct{}{}
	close(f.closed)
	var errs []error
	if f.readers != nil {
		errs = append(errs, f.readers.Close())
	}
	if f.conn != nil {
		errs = append(errs, f.writes.close(), f.conn.Close())
	}
	if f.writer != nil {
		errs = append(errs, f.writer.Close())
	}
	return errors.Join(errs...)
}

// Check writes one number and commits it, so that a full or read-only disk
// shows before somebody's report meets it.
func (d *db) Check(ctx context.Context) error {
	return d.write(ctx, "check", func(ctx context.Context, s *statements) error {
		_, err := s.exec(ctx, `UPDATE checks SET done = done + 1`)
		return err
	})
}

// Meta implements store.Store.
func (d *db) Meta(ctx context.Context, name string) (value []byte, err error) {
	err = d.read(ctx, "meta", func(ctx context.Context, s *statements) error {
		return s.row(ctx, `SELECT value FROM meta WHERE name = ?`, args(name), &value)
	})
	return value, err
}

// SetMeta implements store.Store.
func (d *db) SetMeta(ctx context.Context, name string, value []byte) error {
	return d.write(ctx, "set meta", func(ctx context.Context, s *statements) error {
		_, err := s.exec(ctx, `INSERT INTO meta (name, value) VALUES (?, ?)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, notNull(value))
		return err
	})
}

// Group implements store.Store with one transaction; inside another Group,
// with a savepoint of it.
func (d *db) Group(ctx context.Context, fn func(store.Store) error) error {
	switch {
	case d.tx != nil:
		return d.tx.nested(ctx, func() error { return fn(d) })
	case d.then != nil:
		return errSnapshot
	}
	return d.transact(ctx, func(tx *transaction) error { return fn(&db{file: d.file, tx: tx}) })
}

// Snapshot implements store.Store with a transaction that reads. Inside a Group
// or another Snapshot, nothing changes anyway but by who asks.
func (d *db) Snapshot(ctx context.Context, fn func(store.Store) error) (err error) {
	if d.tx != nil || d.then != nil {
		return fn(d)
	}
	conn, err := d.readers.Conn(ctx)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	then := newStatements(conn.PrepareContext)
	defer func() {
		_, rerr := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		err = errors.Join(err, then.close(), rerr, conn.Close())
	}()
	// The moment is that of the first reading.
	if _, err := conn.ExecContext(ctx, "BEGIN; SELECT count(*) FROM checks"); err != nil {
		return annotate("snapshot", err)
	}
	return fn(&db{file: d.file, then: then})
}

// read runs fn on a reading connection, or inside a Group on the writer, where
// it sees what the Group wrote. what says in an error what was attempted.
func (d *db) read(ctx context.Context, what string, fn func(context.Context, *statements) error) error {
	var err error
	switch {
	case d.tx != nil:
		err = d.tx.do(ctx, fn)
	case d.then != nil:
		err = fn(ctx, d.then)
	default:
		err = fn(ctx, d.reads)
	}
	return annotate(what, err)
}

// write runs fn in a transaction of its own, or in that of the Group. fn finds
// out whether its guards hold before it changes anything, so that an operation
// refused inside a Group leaves nothing behind.
func (d *db) write(ctx context.Context, what string, fn func(context.Context, *statements) error) error {
	var err error
	switch {
	case d.tx != nil:
		err = d.tx.do(ctx, fn)
	case d.then != nil:
		err = errSnapshot
	default:
		err = d.transact(ctx, func(tx *transaction) error { return tx.do(ctx, fn) })
	}
	return annotate(what, err)
}

// annotate says what was attempted, unless the error is an answer.
func annotate(what string, err error) error {
	if err == nil || store.IsAnswer(err) {
		return err
	}
	return fmt.Errorf("%s: %w", what, broken(err))
}

// broken marks an error of a disk or a file that does not work, once.
func broken(err error) error {
	if isBroken(err) && !errors.Is(err, store.ErrBroken) {
		return fmt.Errorf("%w: %w", store.ErrBroken, err)
	}
	return err
}

// isBroken knows SQLite's primary result codes of a disk or a file that does
// not work. Source: https://sqlite.org/rescode.html.
func isBroken(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	const readOnly, ioError, corrupt, full, cannotOpen, notADatabase = 8, 10, 11, 13, 14, 26
	return slices.Contains([]int{readOnly, ioError, corrupt, full, cannotOpen, notADatabase}, e.Code()&0xff)
}

// Inspect implements store.Inspector.
func (d *db) Inspect(ctx context.Context) (damage []string, err error) {
	err = d.read(ctx, "inspect", func(ctx context.Context, s *statements) error {
		for _, pragma := range []string{`SELECT integrity_check FROM pragma_integrity_check LIMIT 20`, `SELECT "table" FROM pragma_foreign_key_check LIMIT 20`} {
			var line string
			err := s.rows(ctx, pragma, nil, func() error {
				if line != "ok" {
					damage = append(damage, line)
				}
				return nil
			}, &line)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return damage, err
}

// Scrub implements store.Scrubber: it moves the log into the database, where
// what is overwritten is gone, and empties it.
func (d *db) Scrub(ctx context.Context) error {
	tick := time.NewTicker(scrubEvery)
	defer tick.Stop()
	for {
		emptied, err := d.emptyLog(ctx)
		if err != nil || emptied {
			return annotate("scrub", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errReading
		}
	}
}

// emptyLog reports whether it could: not while somebody reads what was. Others
// write in between: it waits for nobody.
func (d *db) emptyLog(ctx context.Context) (emptied bool, err error) {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-d.closed:
		return false, errClosed
	case <-ctx.Done():
		return false, errReading
	}
	run := context.WithoutCancel(ctx)
	if _, err := d.conn.ExecContext(run, "PRAGMA busy_timeout(0)"); err != nil {
		return false, err
	}
	var busy, inLog, moved int
	err = d.conn.QueryRowContext(run, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &inLog, &moved)
	_, rerr := d.conn.ExecContext(run, "PRAGMA busy_timeout(5000)")
	return busy == 0, errors.Join(err, rerr)
}

// scrubEvery is how often Scrub looks again whether the readers have gone.
const scrubEvery = 50 * time.Millisecond

var errReading = errors.New("something still reads the database as it was, like a backup: do it again when that has ended")

// transaction is one on the writer's connection.
type transaction struct {
	stmts  *statements
	failed error // the first failure; SQLite may have rolled back by itself
}

var (
	errEnded  = errors.New("the group has ended")
	errClosed = errors.New("the store is closed")
	// errSnapshot refuses a write to what was.
	errSnapshot = errors.New("a snapshot is only read")
)

// transact runs fn in a transaction and commits it when nothing failed and the
// context still stands.
func (f *file) transact(ctx context.Context, fn func(*transaction) error) (err error) {
	defer func() { err = broken(err) }()
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-f.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}

	// Statements run to their end once begun: an interrupted one would roll the
	// transaction back behind database/sql's back.
	run := context.WithoutCancel(ctx)
	if _, err := f.writes.exec(run, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	tx, committed := &transaction{stmts: f.writes}, false
	defer func() {
		tx.failed = errEnded
		if !committed { // also when fn panicked
			// It fails when SQLite has rolled back already. Should it fail
			// otherwise, the next BEGIN says so.
			_, _ = f.writes.exec(run, "ROLLBACK")
		}
	}()

	if err := fn(tx); err != nil {
		return err
	}
	if err := cmp.Or(tx.failed, ctx.Err()); err != nil {
		return err
	}
	failpoint.Hit(failpoint.CommitBefore)
	if _, err := f.writes.exec(run, "COMMIT"); err != nil {
		return err
	}
	failpoint.Hit(failpoint.CommitAfter)
	committed = true
	return nil
}

// do runs one operation of the transaction, unless an earlier one failed or
// the context ended.
func (t *transaction) do(ctx context.Context, fn func(context.Context, *statements) error) error {
	if t.failed != nil {
		return t.failed
	}
	if err := ctx.Err(); err != nil {
		t.failed = err
		return err
	}
	err := fn(context.WithoutCancel(ctx), t.stmts)
	if err != nil && !store.IsAnswer(err) {
		t.failed = err
	}
	return err
}

// nested runs fn so that its error undoes what it did and no more.
func (t *transaction) nested(ctx context.Context, fn func() error) error {
	exec := func(statement string) error {
		return t.do(ctx, func(ctx context.Context, s *statements) error {
			_, err := s.exec(ctx, statement)
			return err
		})
	}
	if err := exec("SAVEPOINT nested"); err != nil {
		return err
	}
	err := fn()
	if err != nil {
		return errors.Join(err, exec("ROLLBACK TO nested"), exec("RELEASE nested"))
	}
	return exec("RELEASE nested")
}

// statements prepares each text of SQL once and runs it.
type statements struct {
	prepare func(context.Context, string) (*sql.Stmt, error)

	mu     sync.Mutex
	byText map[string]*sql.Stmt
}

func newStatements(prepare func(context.Context, string) (*sql.Stmt, error)) *statements {
	return &statements{prepare: prepare, byText: make(map[string]*sql.Stmt)}
}

func (s *statements) stmt(ctx context.Context, text string) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stmt, ok := s.byText[text]; ok {
		return stmt, nil
	}
	stmt, err := s.prepare(ctx, text)
	if err == nil {
		s.byText[text] = stmt
	}
	return stmt, err
}

// exec runs a statement and returns how many rows it changed.
func (s *statements) exec(ctx context.Context, text string, args ...any) (changed int64, err error) {
	stmt, err := s.stmt(ctx, text)
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// row reads the one row of a query into dest, or returns store.ErrNotFound.
func (s *statements) row(ctx context.Context, text string, args []any, dest ...any) error {
	stmt, err := s.stmt(ctx, text)
	if err != nil {
		return err
	}
	err = stmt.QueryRowContext(ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	return err
}

// rows calls fn after reading each row of a query into dest.
func (s *statements) rows(ctx context.Context, text string, args []any, fn func() error, dest ...any) error {
	stmt, err := s.stmt(ctx, text)
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if err := fn(); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, stmt := range s.byText {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(errs...)
}

func args(values ...any) []any { return values }

// notNull returns an empty value for none, since columns take no NULL.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
