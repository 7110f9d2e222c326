package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/services/onrecord/internal/backup"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// Apart is an installation of services that run apart: a stream on NATS
// servers and a database of their own.
type Apart struct {
	Bus      *bus.Bus
	Database reporting.Database
	Key      string // the master key itself; "" for
	KeyFile  string // its file
}

// BackUp makes a backup beside the running services, as on one machine: the
// database first, then the stream, restored into a temporary directory on this
// machine and recounted before it gets its name.
func (a Apart) BackUp(ctx context.Context, to string, progress func(string)) (BackedUp, error) {
	path, err := backupPath(to, time.Now())
	if err != nil {
		return BackedUp{}, err
	}
	src := source{a.Bus, a.Database.Keyring, a.Database.Export, "", time.Now, a.Database.Log}
	made, _, err := src.make(ctx, path, "apart", func(ctx context.Context, file string) error {
		return checkBackup(ctx, file, "", a.Key, a.KeyFile)
	}, progress)
	return made, err
}

// Restore puts a backup into an empty database and onto an empty stream, which
// “onrecord admin streams apply” has made. The services are started after it:
// they handle the stream from its beginning, and nothing is counted twice.
func (a Apart) Restore(ctx context.Context, file string, progress func(string)) (r Restored, err error) {
	h, err := a.Bus.Health(ctx)
	if err != nil {
		return r, err
	}
	if h.LastSeq > 0 {
		return r, errors.New("the stream is not empty: a backup is only restored beside nothing old, so make a new one with “onrecord admin streams apply”")
	}
	erased, err := backup.ReadErased(filepath.Dir(file), a.Database.Keyring)
	if err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(file), ".restore-*")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	progress("reading the whole backup")
	export, begin, end, err := unpackExport(ctx, file, dir, a.Database.Keyring, func(name string, _ []byte) error {
		progress("left out, because the services apart read with the program’s own model: " + name)
		return nil
	})
	if err != nil {
		return r, err
	}
	if err := importExport(ctx, a.Database, export, erased, progress); err != nil {
		return r, fmt.Errorf("the stream is untouched: %w", err)
	}
	err = replay(ctx, a.Bus, a.Database.Keyring, file, erased, end.Events, progress)
	return Restored{begin.MadeAt, end.Incidents, end.Events, len(erased)}, err
}
