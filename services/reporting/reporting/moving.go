package reporting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/moving"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Moved says what an export or an import took along, and has a line for each
// figure that is not the same on both sides, without words anybody wrote.
type Moved struct {
	Incidents   int      `json:"incidents"`
	Photos      int      `json:"photos"`
	Sites       int      `json:"sites"`
	People      int      `json:"people"`
	Tokens      int      `json:"tokens"`
	Unreadable  int      `json:"unreadable"` // messages that nobody could read
	Waiting     int      `json:"waiting"`    // events that wait for their report
	Differences []string `json:"differences,omitempty"`
	Already     bool     `json:"already,omitempty"` // it was imported before: nothing was changed
}

func moved(r moving.Result) Moved {
	t := r.Totals
	return Moved{Incidents: t.Incidents, Photos: t.Photos, Sites: t.Sites, People: t.Users, Tokens: t.Tokens,
		Unreadable: t.Quarantined, Waiting: t.Pending, Differences: r.Differences}
}

// Database names a store that is worked on while no service has it open.
type Database struct {
	Name    string // as Config.Database
	Keyring *seal.Keyring
	Log     *slog.Logger
}

// Export hands everything that the store holds to write, a line at a time, for
// Import on another. Sealed words stay sealed. Sessions stay behind.
func (s *Service) Export(ctx context.Context, write func(line []byte) error) (Moved, error) {
	return export(ctx, s.store, s.keyring, write)
}

// Export is Service.Export of a database.
func (d Database) Export(ctx context.Context, write func(line []byte) error) (m Moved, err error) {
	err = d.with(ctx, func(st store.Store) error {
		m, err = export(ctx, st, d.Keyring, write)
		return err
	})
	return m, err
}

func export(ctx context.Context, st store.Store, k *seal.Keyring, write func(line []byte) error) (Moved, error) {
	e := moving.Exporter{Store: st, Keyring: k, By: "onrecord/" + run.Version, Now: time.Now}
	r, err := e.Export(ctx, write)
	return moved(r), err
}

// ExportFile is a file that Export wrote.
type ExportFile struct{ f *moving.File }

// OpenExport reads the beginning of an export. The error says in an operator's
// words why it cannot be imported under the keyring.
func OpenExport(file io.ReadSeeker, k *seal.Keyring) (ExportFile, error) {
	f, err := moving.Open(file, k)
	return ExportFile{f}, err
}

// Import puts an export into the database, which must be empty or hold a part
// of the same export, recounts it and compares the figures. A file that is not
// whole is refused before anything is written. An import that was interrupted is taken up again; until it has been finished
// without differences no service starts on the database. Progress is called now
// and then with a step in words and the incidents it has done.
func (d Database) Import(ctx context.Context, file ExportFile, progress func(step string, done, total int)) (m Moved, err error) {
	err = d.open(ctx, func(st store.Store) error {
		if err := checkMasterKey(ctx, st, d.Keyring); err != nil {
			return err
		}
		r, already, err := (&moving.Importer{Store: st, Auditor: d.auditor(st), Log: d.Log, Now: time.Now}).Import(ctx, file.f, progress)
		m = moved(r)
		m.Already = already
		return err
	})
	return m, err
}

// with opens a database that a service has begun, looks whether it is under the
// same master key and holds no half of an import, and closes it after do. One with
// nothing in it was mistyped: nothing is made there, and it keeps no key, which
// might be the wrong one for whoever begins it.
func (d Database) with(ctx context.Context, do func(store.Store) error) error {
	none := fmt.Errorf("there is no installation in the database %s: name the right one; a new one is begun by starting reporting on it", DatabaseName(d.Name))
	st, err := openExisting(ctx, d.Name)
	if errors.Is(err, store.ErrNotFound) {
		return none
	}
	if err != nil {
		return err
	}
	return errors.Join(d.checked(ctx, st, none, do), st.Close())
}

func (d Database) checked(ctx context.Context, st store.Store, none error, do func(store.Store) error) error {
	if _, err := st.Meta(ctx, masterKeyFact); errors.Is(err, store.ErrNotFound) { // a first start was cut off
		return none
	}
	if err := errors.Join(checkMasterKey(ctx, st, d.Keyring), moving.CheckFinished(ctx, st)); err != nil {
		return err
	}
	return do(st)
}

// open opens the database, and closes it after do.
func (d Database) open(ctx context.Context, do func(store.Store) error) error {
	st, err := openStore(ctx, d.Name)
	if err != nil {
		return err
	}
	return errors.Join(do(st), st.Close())
}
