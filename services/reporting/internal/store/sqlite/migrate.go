package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/onrecord/onrecord/pkg/failpoint"
)

// Migrations are applied in order of name, each once. Add new ones at the end;
// never edit one that was released.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// applicationID marks a file as one of ours, in its header.
const applicationID = 0x4f6e5265 // "OnRe"

// migrate brings the database to the newest version this program knows. It
// refuses a newer one, and a SQLite file that some other program made.
func migrate(ctx context.Context, conn *sql.Conn) error {
	migrations, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return err
	}
	version, err := versionOf(ctx, conn)
	if err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("the database has version %d and this program knows up to %d: it was written by a newer release, use that one", version, len(migrations))
	}
	for ; version < len(migrations); version++ {
		if err := apply(ctx, conn, migrations[version], version+1); err != nil {
			return fmt.Errorf("%s: %w", migrations[version], err)
		}
		failpoint.Hit(failpoint.Migrating)
	}
	return nil
}

// versionOf returns how many migrations the database has had, 0 for a new one.
func versionOf(ctx context.Context, conn *sql.Conn) (int, error) {
	var version, application, tables int
	err := conn.QueryRowContext(ctx, `SELECT
		(SELECT user_version FROM pragma_user_version),
		(SELECT application_id FROM pragma_application_id),
		(SELECT count(*) FROM sqlite_schema)`).Scan(&version, &application, &tables)
	if err != nil {
		return 0, err
	}
	if application != applicationID && (tables > 0 || version > 0) {
		return 0, fmt.Errorf("another program’s SQLite database (application id %#x)", application)
	}
	return version, nil
}

// apply runs one migration and records it, in one transaction.
func apply(ctx context.Context, conn *sql.Conn, name string, version int) error {
	script, err := migrationFiles.ReadFile(name)
	if err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // no effect after Commit
	if _, err := tx.ExecContext(ctx, string(script)); err != nil {
		return err
	}
	header := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, version)
	if _, err := tx.ExecContext(ctx, header); err != nil {
		return err
	}
	return tx.Commit()
}
