package moving

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/audit"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Importer puts an export into a store. Every exported field is required.
type Importer struct {
	Store   store.Store
	Auditor *audit.Auditor // of the same store
	Log     *slog.Logger
	Now     func() time.Time

	batch int // lines that one Group stores; 0: batchLines
}

// What one Group stores at most.
const (
	batchLines = 256
	batchBytes = 8 << 20
)

const importFact = "import"

// state is what a store remembers of an import into it.
type state struct {
	ID    string    // of the export
	Lines int       // of it that are stored, Month lines with their ledgers
	Done  bool      // all of it is stored, and recounted
	At    time.Time // of the last change
}

func readState(ctx context.Context, st store.Store) (*state, error) {
	text, err := st.Meta(ctx, importFact)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("what the database says of an import cannot be read: %w", err)
	}
	return &s, nil
}

func (s state) write(ctx context.Context, st store.Store) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return st.SetMeta(ctx, importFact, text)
}

// CheckFinished returns nil unless an import into the store was begun and not
// finished: figures may then lack incidents, and nobody may work with it yet.
func CheckFinished(ctx context.Context, st store.Store) error {
	s, err := readState(ctx, st)
	if err == nil && s != nil && !s.Done {
		err = errors.New("an import into this database was not finished: run “onrecord import” with the same file again, it goes on where it ended")
	}
	return err
}

// Import puts an export into an empty store, recounts every figure from the
// incidents there, and compares it with what was exported. It goes on with one
// that was interrupted; once it is done, doing it again changes nothing, and
// already is true.
//
// The whole file is read before anything is written: one that is damaged, or a
// store that holds something else, changes nothing. Progress is called now and
// then with a step in words and how far it is.
func (m *Importer) Import(ctx context.Context, f *File, progress func(step string, done, total int)) (r Result, already bool, err error) {
	s, err := m.begin(ctx, f)
	if err != nil || s.Done {
		return r, s != nil && s.Done, err
	}
	found, err := f.Check(ctx, func(done, total int) { progress("checked", done, total) })
	if err != nil {
		return r, false, err
	}
	if s.Lines > 0 {
		m.Log.Info("going on with an import that was interrupted", "lines", s.Lines)
	}
	s.At = m.Now().UTC()
	if err := s.write(ctx, m.Store); err != nil { // before anything else is
		return r, false, err
	}
	if err := m.store(ctx, f, s, func(done int) { progress("stored", done, found.Incidents) }); err != nil {
		return r, false, err
	}
	r.Totals = found
	r.Differences, err = m.verify(ctx, f, found, func(done, total int) { progress("recounted", done, total) })
	if err != nil || len(r.Differences) > 0 {
		return r, false, err
	}
	s.Done, s.At = true, m.Now().UTC()
	return r, false, s.write(ctx, m.Store)
}

// begin returns how far an import of this export is. It refuses a store that
// holds anything else.
func (m *Importer) begin(ctx context.Context, f *File) (*state, error) {
	s, err := readState(ctx, m.Store)
	switch {
	case err != nil:
		return nil, err
	case s != nil && s.ID == f.header.ID:
		return s, nil
	case s != nil && s.Done:
		return nil, fmt.Errorf("another export was imported into this database at %s: give an empty one", s.At.Format(time.RFC3339))
	case s != nil:
		return nil, errors.New("another export was being imported into this database: go on with that file, or give an empty database")
	}
	var held Totals
	if err := eachBeside(ctx, m.Store, func(rec record) error { held.count(&rec); return nil }); err != nil {
		return nil, err
	}
	if held.Incidents, err = m.Store.CountIncidents(ctx, store.Filter{}, 1); err != nil {
		return nil, err
	}
	if held != (Totals{}) {
		return nil, errors.New("this database is not empty: an export is imported into an empty one only, so that nothing is mixed")
	}
	return &state{ID: f.header.ID}, nil
}

// store stores what of the export is not stored yet, in batches that each
// leave word of how far they came.
func (m *Importer) store(ctx context.Context, f *File, s *state, progress func(done int)) error {
	w := work{Importer: m, state: s, most: cmp.Or(m.batch, batchLines)}
	err := f.each(ctx, func(line, size int, rec *record) error {
		if err := w.take(line, size, rec); err != nil {
			return err
		}
		if len(w.puts)+len(w.others) < w.most && w.bytes < batchBytes {
			return nil
		}
		progress(w.incidents)
		return w.commit(ctx)
	})
	if err != nil {
		return err
	}
	progress(w.incidents)
	return w.commit(ctx)
}

// work is one run through the lines of an export.
type work struct {
	*Importer
	state     *state
	most      int // lines of a batch
	bytes     int // in this batch
	line      int // the last that was taken
	incidents int
	months    ledgers
	sites     []store.Site // one document: they are stored together
	puts      []store.Put  // the incidents of the batch
	others    []func(context.Context, store.Store) error
}

// take adds a line to the batch unless it is stored already. Ledgers are made
// of all incidents of a month, also of those stored by an earlier attempt.
func (w *work) take(line, size int, rec *record) error {
	w.line = line
	var made []*incident.Ledger
	switch {
	case rec.Site != nil:
		w.sites = append(w.sites, *rec.Site)
		return nil
	case rec.Incident != nil:
		w.incidents++
		w.months.add(rec.Incident)
	case rec.Month != nil:
		var err error
		if made, err = w.months.close(line, rec.Month); err != nil {
			return err
		}
	}
	if line <= w.state.Lines {
		return nil
	}
	w.bytes += size
	if i := rec.Incident; i != nil {
		i.FoldedRev = i.Rev // its ledger comes with its month, and nobody works here before all are in
		w.puts = append(w.puts, store.Put{Incident: i})
		return nil
	}
	w.others = append(w.others, func(ctx context.Context, tx store.Store) error { return put(ctx, tx, rec, made) })
	return nil
}

// commit stores the batch, and the sites with the first one.
func (w *work) commit(ctx context.Context) error {
	err := w.Store.Group(ctx, func(tx store.Store) error {
		if len(w.sites) > 0 {
			if err := tx.PutSites(ctx, w.sites); err != nil {
				return err
			}
		}
		if err := putIncidents(ctx, tx, w.puts); err != nil {
			return err
		}
		for _, put := range w.others {
			if err := put(ctx, tx); err != nil {
				return err
			}
		}
		next := *w.state
		next.Lines, next.At = w.line, w.Now().UTC()
		return next.write(ctx, tx)
	})
	if err == nil {
		w.state.Lines, w.sites, w.puts, w.others, w.bytes = w.line, nil, nil, nil, 0
	}
	return err
}

// putIncidents stores incidents in one journey, and one by one when some are
// there already: an attempt that was interrupted stored them.
func putIncidents(ctx context.Context, tx store.Store, puts []store.Put) error {
	err := store.PutIncidents(ctx, tx, puts)
	if !errors.Is(err, store.ErrExists) {
		return err
	}
	for _, put := range puts {
		if err := unlessThere(tx.InsertIncident(ctx, put.Incident)); err != nil {
			return err
		}
	}
	return nil
}

// put stores what a line holds but an incident. What is there already was stored
// by an attempt that was interrupted.
func put(ctx context.Context, tx store.Store, rec *record, made []*incident.Ledger) error {
	switch {
	case rec.User != nil:
		return unlessThere(tx.InsertUser(ctx, rec.User))
	case rec.Token != nil:
		return unlessThere(tx.InsertToken(ctx, rec.Token))
	case rec.Quarantined != nil:
		return tx.PutQuarantined(ctx, rec.Quarantined)
	case rec.Edition != nil:
		return unlessThere(tx.PutEdition(ctx, rec.Edition))
	case rec.JointChange != nil:
		return unlessThere(tx.InsertJointChange(ctx, rec.JointChange))
	case rec.Pending != nil:
		return tx.KeepPending(ctx, *rec.Pending)
	case rec.Photo != nil:
		return tx.PutPhoto(ctx, rec.Photo)
	}
	return putMonth(ctx, tx, made)
}

func unlessThere(err error) error {
	if errors.Is(err, store.ErrExists) {
		return nil
	}
	return err
}

// putMonth stores the ledgers of a month and their roll-up.
func putMonth(ctx context.Context, tx store.Store, made []*incident.Ledger) error {
	rollup := &incident.Rollup{Rev: 1}
	for _, l := range made {
		if err := putLedger(ctx, tx, l); err != nil {
			return err
		}
		rollup.Month = l.Month
		rollup.Fold(l)
	}
	rollup.Total()
	err := tx.PutRollup(ctx, rollup)
	if !errors.Is(err, store.ErrStale) {
		return err
	}
	stored, err := tx.Rollup(ctx, rollup.Month)
	if err == nil && (stored.Rev != 1 || !slices.Equal(stored.All, rollup.All)) {
		err = errShared
	}
	return err
}

// errShared says that figures appeared which this import did not make.
var errShared = errors.New("something else counts in this database while the import runs: stop every service on it, and import into an empty one")

// putLedger stores a ledger, unless an attempt that was interrupted did.
func putLedger(ctx context.Context, tx store.Store, l *incident.Ledger) error {
	err := tx.PutLedger(ctx, l)
	if !errors.Is(err, store.ErrStale) {
		return err
	}
	stored, err := tx.Ledger(ctx, l.Month, l.Site)
	if err == nil && (stored.Rev != 1 || !slices.Equal(stored.Cells, l.Cells)) {
		err = errShared
	}
	return err
}

// verify recounts the store from its incidents and compares its figures and
// how much it holds with the export.
func (m *Importer) verify(ctx context.Context, f *File, want Totals, progress func(done, total int)) ([]string, error) {
	audited, err := m.Auditor.Verify(ctx, progress)
	if err != nil {
		return nil, err
	}
	differ := audited.Lines()
	for _, month := range audited.Unsettled {
		differ = append(differ, month.String()+" changed while it was recounted: something else works with this database")
	}
	held := Totals{Incidents: audited.Incidents}
	err = eachBeside(ctx, m.Store, func(rec record) error {
		held.count(&rec)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if held.Photos, err = m.photos(ctx, f, want); err != nil {
		return nil, err
	}
	if held != want {
		differ = append(differ, fmt.Sprintf("exported %+v, imported %+v", want, held))
	}
	counted := make(map[incident.Month]bool)
	err = f.eachOf(ctx, "Month", func(rec *record) error {
		counted[rec.Month.Month] = true
		lines, err := compareMonth(ctx, m.Store, rec.Month, "imported", "exported")
		differ = append(differ, lines...)
		return err
	})
	if err != nil {
		return nil, err
	}
	beyond, err := compareOthers(ctx, m.Store, counted, "imported", "exported")
	return append(differ, beyond...), err
}

// photos counts the photos of the export that are in the store with the same
// content.
func (m *Importer) photos(ctx context.Context, f *File, want Totals) (found int, err error) {
	if want.Photos == 0 {
		return 0, nil
	}
	err = f.eachOf(ctx, "Photo", func(rec *record) error {
		stored, err := m.Store.Photo(ctx, rec.Photo.ID)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err == nil && bytes.Equal(stored.Sealed, rec.Photo.Sealed) {
			found++
		}
		return err
	})
	return found, err
}
