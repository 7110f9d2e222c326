// Package moving takes what a store holds to another store, by a file.
//
// # The file
//
// It is text, a JSON value a line, each with one member that says what it is:
//
//	Export       the first line: format, id, key check, and how many incidents to expect
//	Site, User, Token, Quarantined, Edition, JointChange, Pending   one each, as the store port has them
//	Incident     with its timeline, newest occurrence first, so months stand together
//	Photo        after its incident
//	Month        after the last incident of a month: its totals by site
//	End          the last line: how much there was, and a keyed hash of every line before it
//
// The members inside are the fields of the port's own structs, so that nothing
// the port gains is forgotten; a golden file holds their names, and a field
// that a reader does not know is refused. Whoever renames a field, or changes
// what one means, raises Format and reads the old one as well.
//
// Sealed fields are copied as they are: a file can be read only where the same
// master key is. Sessions and the setup link do not move, ledgers are made
// anew from the incidents.
package moving

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Format is the newest format of the file that this version reads, and the one
// it writes. The totals of format 1 do not say what reporters said nor what was
// set aside, and those of format 2 not of what nobody knows when it happened.
const Format = 3

// maxLine is the longest line that is read, so that a file that is none cannot
// fill the memory. The longest written are a large photo, and a month's totals
// of very many sites.
const maxLine = 64 << 20

// header is the first line. It is read before anything else of it is believed,
// so its names are never changed.
type header struct {
	Format   int // 0: not an export
	ID       string
	MadeAt   time.Time
	MadeBy   string
	KeyCheck []byte // tells whether a master key is the one its words are sealed under
	Expect   int    // incidents, for progress
}

// Totals are how many of each thing there are.
type Totals struct {
	Incidents, Photos, Sites, Users, Tokens, Quarantined, Pending int
	Editions, JointChanges                                        int `json:",omitempty"` // files from before there were any do not name them
}

func (t *Totals) count(rec *record) {
	switch {
	case rec.Site != nil:
		t.Sites++
	case rec.User != nil:
		t.Users++
	case rec.Token != nil:
		t.Tokens++
	case rec.Quarantined != nil:
		t.Quarantined++
	case rec.Edition != nil:
		t.Editions++
	case rec.JointChange != nil:
		t.JointChanges++
	case rec.Pending != nil:
		t.Pending++
	case rec.Incident != nil:
		t.Incidents++
	case rec.Photo != nil:
		t.Photos++
	}
}

// record is a line: one of its members is set.
type record struct {
	Export      *header            `json:",omitempty"`
	Site        *store.Site        `json:",omitempty"`
	User        *store.User        `json:",omitempty"`
	Token       *store.Token       `json:",omitempty"`
	Quarantined *store.Quarantined `json:",omitempty"`
	Edition     *store.Edition     `json:",omitempty"`
	JointChange *store.JointChange `json:",omitempty"`
	Pending     *store.Pending     `json:",omitempty"`
	Incident    *incident.Incident `json:",omitempty"`
	Photo       *store.Photo       `json:",omitempty"`
	Month       *monthTotals       `json:",omitempty"`
	End         *end               `json:",omitempty"`
}

// members returns how many members are set.
func (r *record) members() (n int) {
	for _, set := range []bool{r.Export != nil, r.Site != nil, r.User != nil, r.Token != nil, r.Quarantined != nil,
		r.Edition != nil, r.JointChange != nil, r.Pending != nil, r.Incident != nil, r.Photo != nil, r.Month != nil, r.End != nil} {
		if set {
			n++
		}
	}
	return n
}

// monthTotals closes a month: the totals of every site that has an incident in it.
type monthTotals struct {
	Month incident.Month
	Sites []siteTotals // in order of site

	format int // of the file it was read from; 0: it was not read from one
}

// told returns what the totals of its format say of cells.
func (m *monthTotals) told(cells []incident.Cell) []incident.Cell {
	if m.format == 0 || m.format == Format {
		return cells
	}
	var told []incident.Cell
	for _, c := range cells {
		c.Undated = 0
		if m.format == 1 {
			c.NothingHappened, c.SetAside = 0, 0
		}
		if !c.IsZero() {
			told = append(told, c)
		}
	}
	return told
}

type siteTotals struct {
	Site  string
	Cells []incident.Cell // none where no incident is counted
}

type end struct {
	Totals Totals
	MAC    []byte
}

// newMAC returns the keyed hash of an export's lines.
func newMAC(k *seal.Keyring) hash.Hash { return hmac.New(sha256.New, k.Derive("export file")) }

func keyCheck(k *seal.Keyring) []byte { return k.MAC("export key check") }

// writer writes lines.
type writer struct {
	emit   func(line []byte) error
	mac    hash.Hash
	totals Totals
}

func (w *writer) write(r record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	w.mac.Write(line)
	w.totals.count(&r)
	return w.emit(line)
}

func (w *writer) end() error {
	return w.write(record{End: &end{w.totals, w.mac.Sum(nil)}})
}

// Errors of a file that is not taken. They are for the operator.
var (
	errForeign   = errors.New("this is not an export of On Record")
	errTruncated = errors.New("the export ends before its end: it was cut off on the way, copy it again")
	errOtherKey  = errors.New("the export was made under another master key: give the key of the installation it comes from, with --master-key-file; without it nothing people wrote can be read")
)

// damaged says that a line is not as it was written.
func damaged(line int, why string) error {
	return fmt.Errorf("line %d of the export %s: it was damaged or changed after it was made; copy it again", line, why)
}

// reader reads lines and keeps the hash of what it read.
type reader struct {
	in     *bufio.Reader
	mac    hash.Hash
	lines  int
	size   int // of the last line
	totals Totals
	long   []byte
}

// newReader reads the first line and refuses a file that is no export, that is
// of a newer format, or whose words are sealed under another key.
func newReader(in io.Reader, k *seal.Keyring) (*reader, *header, error) {
	r := &reader{in: bufio.NewReaderSize(in, 256<<10), mac: newMAC(k)}
	line, err := r.line()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	var first struct{ Export *header }
	if json.Unmarshal(line, &first) != nil || first.Export == nil || first.Export.Format < 1 {
		return nil, nil, errForeign
	}
	h := first.Export
	switch {
	case h.Format > Format:
		return nil, nil, fmt.Errorf("the export is of format %d, made by %.60q, and this version reads up to format %d: use a newer version", h.Format, h.MadeBy, Format)
	case err != nil:
		return nil, nil, errTruncated
	case !hmac.Equal(h.KeyCheck, keyCheck(k)):
		return nil, nil, errOtherKey
	case h.ID == "":
		return nil, nil, damaged(1, "has no id")
	}
	r.count(line)
	return r, h, nil
}

// line returns the next line with its end, good until the next call; io.EOF
// with what there is when the file ends without one.
func (r *reader) line() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	r.long = append(r.long[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = r.in.ReadSlice('\n')
		if r.long = append(r.long, line...); len(r.long) > maxLine {
			if r.lines == 0 {
				return nil, errForeign
			}
			return nil, damaged(r.lines+1, "is too long")
		}
	}
	return r.long, err
}

func (r *reader) count(line []byte) {
	r.mac.Write(line)
	r.lines++
	r.size = len(line)
}

// next returns the next record, or io.EOF after the end of a file that is
// whole and as it was written.
func (r *reader) next() (*record, error) {
	line, err := r.line()
	switch {
	case errors.Is(err, io.EOF):
		return nil, errTruncated
	case err != nil:
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	var rec record
	switch err := dec.Decode(&rec); {
	case err != nil && strings.HasPrefix(err.Error(), "json: unknown field"): // it has no type
		return nil, fmt.Errorf("line %d of the export holds something that this version does not know: use the version that made it, or a newer one", r.lines+1)
	case err != nil:
		return nil, damaged(r.lines+1, "cannot be read")
	}
	if rec.members() != 1 || rec.Export != nil {
		return nil, damaged(r.lines+1, "is not one thing")
	}
	if rec.End == nil {
		r.count(line)
		r.totals.count(&rec)
		return &rec, nil
	}
	if want, err := json.Marshal(record{End: &end{r.totals, r.mac.Sum(nil)}}); err != nil || !hmac.Equal(line, append(want, '\n')) {
		return nil, damaged(r.lines+1, "does not agree with the lines before it")
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, damaged(r.lines+2, "comes after the end")
	}
	return nil, io.EOF
}

// File is an export that can be read again from its beginning.
type File struct {
	in     io.ReadSeeker
	key    *seal.Keyring
	header *header
}

// Open reads the beginning of an export. The error says in an operator's words
// why it is not taken: it is something else, of a newer version, or its words
// are sealed under another master key.
func Open(in io.ReadSeeker, k *seal.Keyring) (*File, error) {
	f := &File{in: in, key: k}
	err := f.rewind(func(_ *reader, h *header) error {
		f.header = h
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (f *File) rewind(read func(*reader, *header) error) error {
	if _, err := f.in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r, h, err := newReader(f.in, f.key)
	if err != nil {
		return err
	}
	return read(r, h)
}

// each calls fn with every record, the number of its line, and its length. It returns nil
// only for a file that is whole and as it was written.
func (f *File) each(ctx context.Context, fn func(line, size int, rec *record) error) error {
	return f.rewind(func(r *reader, _ *header) error {
		for {
			rec, err := r.next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				f.mark(rec)
				err = fn(r.lines, r.size, rec)
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
		}
	})
}

// mark says which format a record was read from, where that matters.
func (f *File) mark(rec *record) {
	if rec.Month != nil {
		rec.Month.format = f.header.Format
	}
}

// eachOf calls fn with the records of one kind alone. It trusts the file: each
// has read all of it before.
func (f *File) eachOf(ctx context.Context, kind string, fn func(rec *record) error) error {
	prefix := []byte(`{"` + kind + `":`)
	return f.rewind(func(r *reader, _ *header) error {
		for {
			line, err := r.line()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil && bytes.HasPrefix(line, prefix) {
				var rec record
				if err = json.Unmarshal(line, &rec); err == nil {
					f.mark(&rec)
					err = fn(&rec)
				}
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return err
			}
		}
	})
}

// Check reads all of the export and returns how much is in it. It refuses one
// that is not whole, not as it was written, or whose totals are not those of
// its incidents. Progress is called now and then with the incidents read and
// how many there should be.
func (f *File) Check(ctx context.Context, progress func(done, total int)) (found Totals, err error) {
	var months ledgers
	err = f.each(ctx, func(line, _ int, rec *record) error {
		found.count(rec)
		switch {
		case rec.Incident != nil:
			if found.Incidents%progressEvery == 0 {
				progress(found.Incidents, max(f.header.Expect, found.Incidents))
			}
			if !months.add(rec.Incident) {
				return damaged(line, "is an incident out of its place")
			}
		case rec.Month != nil:
			_, err := months.close(line, rec.Month)
			return err
		}
		return nil
	})
	if err == nil && len(months.open) > 0 {
		err = fmt.Errorf("the export has incidents in %s and no totals for it", months.month)
	}
	return found, err
}

const progressEvery = 1000 // incidents
