// Package packed is the stored form of figures that both adapters share: cells,
// a ledger's entries, and the cells of a month's sites.
package packed

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onrecord/onrecord/pkg/incident"
)

// The stored form of cells, entries and site cells. A ledger may hold fifty
// thousand entries and is written whole, so the form is binary: a version byte;
// the texts; the dimensions, each five numbers of texts; then the values, which
// name their dimensions by number. Numbers are varints. A form that changes gets
// a new version byte, and decode goes on reading the old ones.
//
// Version 1 has neither what reporters said nor what was set aside, and version 2
// not of what nobody knows when it happened: they read as none, and what has none
// is still written in it.
const (
	firstVersion  = 1
	secondVersion = 2
	thirdVersion  = 3
)

// ErrDamaged says that stored bytes are no figures, or of a later version.
var ErrDamaged = errors.New("stored figures are damaged")

// figures is the form while it is written.
type figures struct {
	version byte
	texts   numbering[string]
	dims    numbering[incident.Dims]
	values  []byte
}

// numbering numbers distinct values in the order in which they come.
type numbering[T comparable] struct {
	number map[T]uint64
	list   []T
}

func (n *numbering[T]) of(v T) uint64 {
	if known, ok := n.number[v]; ok {
		return known
	}
	if n.number == nil {
		n.number = make(map[T]uint64)
	}
	next := uint64(len(n.list))
	n.number[v] = next
	n.list = append(n.list, v)
	return next
}

func (f *figures) unsigned(v uint64) { f.values = binary.AppendUvarint(f.values, v) }
func (f *figures) signed(v int64)    { f.values = binary.AppendVarint(f.values, v) }

func (f *figures) cells(cells []incident.Cell) {
	f.unsigned(uint64(len(cells)))
	for _, c := range cells {
		f.unsigned(f.dims.of(c.Dims))
		f.signed(int64(c.Incidents))
		f.signed(int64(c.Reports))
		f.signed(int64(c.People))
		if f.version >= secondVersion {
			f.signed(int64(c.NothingHappened))
			f.signed(int64(c.SetAside))
		}
		if f.version >= thirdVersion {
			f.signed(int64(c.Undated))
		}
	}
}

// versionOf returns the first version that can hold the cells.
func versionOf(cells []incident.Cell) byte {
	v := byte(firstVersion)
	for _, c := range cells {
		switch {
		case c.Undated != 0:
			return thirdVersion
		case c.NothingHappened != 0 || c.SetAside != 0:
			v = secondVersion
		}
	}
	return v
}

func (f *figures) entries(entries map[string]incident.Entry) {
	f.values = slices.Grow(f.values, 24*len(entries)) // a UUID and small numbers
	f.unsigned(uint64(len(entries)))
	for id, e := range entries {
		f.id(id)
		f.signed(e.Rev)
		switch dims, flags := f.dims.of(e.Dims), bit(e.Counted)|bit(e.NothingHappened)<<1|bit(e.SetAside)<<2|bit(e.Undated)<<3; f.version {
		case firstVersion:
			f.unsigned(dims<<1 | flags)
		case secondVersion:
			f.unsigned(dims<<3 | flags)
		default:
			f.unsigned(dims<<4 | flags)
		}
		f.signed(int64(e.Reports))
		f.signed(int64(e.People))
	}
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// id writes a UUID in lower case as 0 and its sixteen bytes, another id as its
// length plus one and its bytes.
func (f *figures) id(id string) {
	if uuid, ok := packUUID(id); ok {
		f.unsigned(0)
		f.values = append(f.values, uuid[:]...)
		return
	}
	f.unsigned(uint64(len(id)) + 1)
	f.values = append(f.values, id...)
}

func (f *figures) sites(sites map[string]incident.SiteCells) {
	f.unsigned(uint64(len(sites)))
	for site, s := range sites {
		f.unsigned(f.texts.of(site))
		f.signed(s.LedgerRev)
		f.cells(s.Cells)
	}
}

// bytes returns the whole form.
func (f *figures) bytes() []byte {
	var dims []byte
	for _, d := range f.dims.list {
		for _, text := range [...]string{string(d.Kind), string(d.Channel), string(d.Target), d.Employer, string(d.SetBy)} {
			dims = binary.AppendUvarint(dims, f.texts.of(text))
		}
	}
	out := []byte{f.version}
	out = binary.AppendUvarint(out, uint64(len(f.texts.list)))
	for _, text := range f.texts.list {
		out = binary.AppendUvarint(out, uint64(len(text)))
		out = append(out, text...)
	}
	out = binary.AppendUvarint(out, uint64(len(f.dims.list)))
	return slices.Concat(out, dims, f.values)
}

// EncodeCells returns the stored form of cells.
func EncodeCells(cells []incident.Cell) []byte {
	f := figures{version: versionOf(cells)}
	f.cells(cells)
	return f.bytes()
}

// EncodeEntries returns the stored form of a ledger’s entries.
func EncodeEntries(entries map[string]incident.Entry) []byte {
	f := figures{version: firstVersion}
	for _, e := range entries {
		switch {
		case e.Undated:
			f.version = thirdVersion
		case e.NothingHappened || e.SetAside:
			f.version = max(f.version, secondVersion)
		}
	}
	f.entries(entries)
	return f.bytes()
}

// EncodeSites returns the stored form of the cells of a month’s sites.
func EncodeSites(sites map[string]incident.SiteCells) []byte {
	f := figures{version: firstVersion}
	for _, s := range sites {
		f.version = max(f.version, versionOf(s.Cells))
	}
	f.sites(sites)
	return f.bytes()
}

// reading is the form while it is read. The first thing that does not fit
// sets err; after that everything reads as zero.
type reading struct {
	rest    []byte
	version byte
	texts   []string
	dims    []incident.Dims
	err     error
}

func newReading(stored []byte) *reading {
	r := &reading{rest: stored}
	if version := r.take(1); r.err == nil {
		if r.version = version[0]; r.version < firstVersion || r.version > thirdVersion {
			r.err = fmt.Errorf("%w: version %d", ErrDamaged, r.version)
		}
	}
	r.texts = make([]string, r.length(1))
	for n := range r.texts {
		r.texts[n] = string(r.take(r.length(1)))
	}
	r.dims = make([]incident.Dims, r.length(5))
	for n := range r.dims {
		r.dims[n] = incident.Dims{
			Kind: incident.Kind(r.text()), Channel: incident.Channel(r.text()), Target: incident.Target(r.text()),
			Employer: r.text(), SetBy: incident.Setter(r.text()),
		}
	}
	return r
}

func (r *reading) fail() {
	if r.err == nil {
		r.err = ErrDamaged
	}
	r.rest = nil
}

func (r *reading) take(n int) []byte {
	if n > len(r.rest) {
		r.fail()
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reading) unsigned() uint64 {
	v, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return v
}

func (r *reading) signed() int64 {
	v, size := binary.Varint(r.rest)
	if size <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[size:]
	return v
}

// length reads how many things follow that take at least size bytes each.
func (r *reading) length(size int) int {
	n := r.unsigned()
	if n > uint64(len(r.rest)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reading) text() string                  { return numbered(r, r.texts, r.unsigned()) }
func (r *reading) dimsOf(n uint64) incident.Dims { return numbered(r, r.dims, n) }

func numbered[T any](r *reading, list []T, n uint64) (v T) {
	if n >= uint64(len(list)) {
		r.fail()
		return v
	}
	return list[n]
}

func (r *reading) cells() []incident.Cell {
	n := r.length(4)
	if n == 0 {
		return nil
	}
	cells := make([]incident.Cell, n)
	for c := range cells {
		cells[c] = incident.Cell{
			Dims:      r.dimsOf(r.unsigned()),
			Incidents: int(r.signed()), Reports: int(r.signed()), People: int(r.signed()),
		}
		if r.version >= secondVersion {
			cells[c].NothingHappened, cells[c].SetAside = int(r.signed()), int(r.signed())
		}
		if r.version >= thirdVersion {
			cells[c].Undated = int(r.signed())
		}
	}
	return cells
}

func (r *reading) entries() map[string]incident.Entry {
	n := r.length(5)
	if n == 0 {
		return nil
	}
	entries := make(map[string]incident.Entry, n)
	for range n {
		id, rev, dims := r.id(), r.signed(), r.unsigned()
		e := incident.Entry{Rev: rev, Counted: dims&1 != 0}
		if r.version >= secondVersion {
			e.NothingHappened, e.SetAside = dims&2 != 0, dims&4 != 0
			dims >>= 2
		}
		if r.version >= thirdVersion {
			e.Undated = dims&2 != 0
			dims >>= 1
		}
		dims >>= 1
		e.Dims, e.Reports, e.People = r.dimsOf(dims), int(r.signed()), int(r.signed())
		entries[id] = e
	}
	return entries
}

func (r *reading) id() string {
	switch n := r.unsigned(); {
	case n == 0:
		return unpackUUID(r.take(16))
	case n-1 > uint64(len(r.rest)):
		r.fail()
		return ""
	default:
		return string(r.take(int(n - 1)))
	}
}

func (r *reading) sites() map[string]incident.SiteCells {
	n := r.length(3)
	if n == 0 {
		return nil
	}
	sites := make(map[string]incident.SiteCells, n)
	for range n {
		site, rev := r.text(), r.signed()
		sites[site] = incident.SiteCells{LedgerRev: rev, Cells: r.cells()}
	}
	return sites
}

// done returns the first error, and one when something is left over.
func (r *reading) done() error {
	if r.err == nil && len(r.rest) > 0 {
		return ErrDamaged
	}
	return r.err
}

// DecodeCells reads what EncodeCells wrote, or returns ErrDamaged. No cells are nil.
func DecodeCells(stored []byte) ([]incident.Cell, error) {
	r := newReading(stored)
	cells := r.cells()
	return cells, r.done()
}

// DecodeEntries reads what EncodeEntries wrote, or returns ErrDamaged. No entries
// are nil.
func DecodeEntries(stored []byte) (map[string]incident.Entry, error) {
	r := newReading(stored)
	entries := r.entries()
	return entries, r.done()
}

// DecodeSites reads what EncodeSites wrote, or returns ErrDamaged. No sites are nil.
func DecodeSites(stored []byte) (map[string]incident.SiteCells, error) {
	r := newReading(stored)
	sites := r.sites()
	return sites, r.done()
}

// The groups of a UUID: where their digits stand in the text and their bytes
// in the sixteen.
var uuidGroups = [...]struct{ text, bytes, size int }{{0, 0, 4}, {9, 4, 2}, {14, 6, 2}, {19, 8, 2}, {24, 10, 6}}

// digits holds the value of each digit in lower case, 255 for anything else. It
// is a table because a ledger asks a million times and no branch guesses right.
var digits = func() (table [256]byte) {
	for c := range table {
		table[c] = byte(strings.IndexByte("0123456789abcdef", byte(c)))
	}
	return table
}()

// packUUID returns the bytes of a UUID that unpackUUID would write the same.
func packUUID(id string) (uuid [16]byte, ok bool) {
	if len(id) != 36 {
		return uuid, false
	}
	var seen byte
	for _, g := range uuidGroups {
		for n := range g.size {
			high, low := digits[id[g.text+2*n]], digits[id[g.text+2*n+1]]
			seen |= high | low
			uuid[g.bytes+n] = high<<4 | low
		}
	}
	return uuid, seen < 16 && id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-'
}

// unpackUUID returns "" for nothing.
func unpackUUID(uuid []byte) string {
	if len(uuid) != 16 {
		return ""
	}
	text := []byte("00000000-0000-0000-0000-000000000000")
	for _, g := range uuidGroups {
		hex.Encode(text[g.text:], uuid[g.bytes:g.bytes+g.size])
	}
	return string(text)
}
