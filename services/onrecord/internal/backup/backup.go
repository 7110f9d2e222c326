// Package backup is the file that a backup is: what an export holds and the
// events of the stream, encrypted under a key that comes from the master key.
// The master key itself is not in it: a backup and the key together open
// everything, so they are kept apart.
//
// The file is an age file (https://age-encryption.org/v1) whose passphrase is
// derived from the master key; within it a gzip of a tar of backup.json, the
// model's files where there are any, photos that wait, pieces of the export,
// pieces of the stream, and end.json with the counts and checksums. age ends with
// an authenticated chunk and end.json comes last, so a file that was cut off is
// never taken for whole.
package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/onrecord/onrecord/pkg/seal"
)

// Begin says what a backup is of.
type Begin struct {
	Format  int       `json:"format"`
	By      string    `json:"by"` // the program and its version
	MadeAt  time.Time `json:"made_at"`
	Created time.Time `json:"stream_created"`
	Covered uint64    `json:"covered"` // every event up to this one is in the export
}

// End is what a whole backup ends with.
type End struct {
	Lines     int    `json:"lines"`
	Incidents int    `json:"incidents"`
	Events    int    `json:"events"`
	Photos    int    `json:"photos"` // that wait beside the stream; the others are in the export
	Export    string `json:"export_sha256"`
	Stream    string `json:"stream_sha256"`
	Waiting   string `json:"photos_sha256"`

	Files int    `json:"files,omitempty"` // beside the database and the stream; none in format 1
	Kept  string `json:"files_sha256,omitempty"`
}

// Event is one event of the stream.
type Event struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	Data    []byte    `json:"data"`
}

// Photo is a sealed photo that waits to be taken over.
type Photo struct {
	Name   string `json:"name"`
	Sealed []byte `json:"sealed"`
}

const (
	format    = 2 // 1 had no files
	pieceSize = 1 << 20
	// The passphrase is a key of 256 bits already: stretching it would only cost
	// time. 10 is the least that age takes without a word.
	workFactor = 10

	nameBegin = "backup.json"
	nameEnd   = "end.json"
	dirFiles  = "files/"
	dirExport = "export/"
	dirStream = "stream/"
	dirPhotos = "photos/"
	maxPiece  = 64 << 20
)

// Errors of a file that cannot be used.
var (
	ErrKey = errors.New("this file is no backup, or one of another master key: name that key with --master-key-file or ONRECORD_MASTER_KEY")
	ErrCut = errors.New("the backup is damaged or was cut off: use another one")
)

func passphrase(k *seal.Keyring) string {
	return base64.RawStdEncoding.EncodeToString(k.Derive("backup"))
}

// Writer writes a backup: files, photos, then the export, then the stream, each
// whole.
type Writer struct {
	age    io.WriteCloser
	gz     *gzip.Writer
	tar    *tar.Writer
	piece  bytes.Buffer
	dir    string
	pieces int
	sum    map[string]hash.Hash
	end    End
	at     time.Time
}

// NewWriter begins a backup.
func NewWriter(w io.Writer, k *seal.Keyring, b Begin) (*Writer, error) {
	recipient, err := age.NewScryptRecipient(passphrase(k))
	if err != nil {
		return nil, err
	}
	recipient.SetWorkFactor(workFactor)
	enc, err := age.Encrypt(w, recipient)
	if err != nil {
		return nil, err
	}
	gz, err := gzip.NewWriterLevel(enc, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	b.Format = format
	out := &Writer{age: enc, gz: gz, tar: tar.NewWriter(gz), at: b.MadeAt,
		sum: sums()}
	return out, out.json(nameBegin, b)
}

// Lines adds lines of the export.
func (w *Writer) Lines(lines []byte) error {
	for line := range bytes.Lines(lines) {
		w.end.Lines++
		if bytes.HasPrefix(line, []byte(`{"Incident"`)) {
			w.end.Incidents++
		}
	}
	if len(lines) > 0 && lines[len(lines)-1] != '\n' {
		lines = append(bytes.Clone(lines), '\n')
	}
	return w.add(dirExport, lines)
}

// Event adds an event of the stream.
func (w *Writer) Event(e Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	w.end.Events++
	return w.add(dirStream, append(line, '\n'))
}

// Photo adds a photo that waits.
func (w *Writer) Photo(p Photo) error {
	line, err := json.Marshal(p)
	if err != nil {
		return err
	}
	w.end.Photos++
	return w.add(dirPhotos, append(line, '\n'))
}

// File adds a file by its name, which is no path. It must come before everything
// else.
func (w *Writer) File(name string, content []byte) error {
	if len(content) > maxPiece {
		return fmt.Errorf("%s is larger than a backup can hold (%d MiB)", name, maxPiece>>20)
	}
	w.end.Files++
	sumFile(w.sum, name, content)
	return w.file(dirFiles+name, content)
}

func sumFile(sum map[string]hash.Hash, name string, content []byte) {
	of := sha256.Sum256(content)
	fmt.Fprintf(sum[dirFiles], "%x %s\n", of, name)
}

func sums() map[string]hash.Hash {
	return map[string]hash.Hash{dirFiles: sha256.New(), dirExport: sha256.New(), dirStream: sha256.New(), dirPhotos: sha256.New()}
}

// seal puts the checksums of what was written or read into an End.
func (e *End) seal(sum map[string]hash.Hash) {
	of := func(dir string) string { return hex.EncodeToString(sum[dir].Sum(nil)) }
	e.Export, e.Stream, e.Waiting = of(dirExport), of(dirStream), of(dirPhotos)
	if e.Files > 0 {
		e.Kept = of(dirFiles)
	}
}

func (w *Writer) add(dir string, b []byte) error {
	if dir != w.dir {
		if err := w.flush(); err != nil {
			return err
		}
		w.dir, w.pieces = dir, 0
	}
	w.piece.Write(b)
	if w.piece.Len() < pieceSize {
		return nil
	}
	return w.flush()
}

func (w *Writer) flush() error {
	if w.piece.Len() == 0 {
		return nil
	}
	w.pieces++
	w.sum[w.dir].Write(w.piece.Bytes())
	err := w.file(fmt.Sprintf("%s%08d", w.dir, w.pieces), w.piece.Bytes())
	w.piece.Reset()
	return err
}

func (w *Writer) file(name string, content []byte) error {
	if err := w.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: w.at}); err != nil {
		return err
	}
	_, err := w.tar.Write(content)
	return err
}

func (w *Writer) json(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.file(name, b)
}

// Close ends the backup and returns what is in it. Without it the file is not
// whole.
func (w *Writer) Close() (End, error) {
	err := w.flush()
	w.end.seal(w.sum)
	if err == nil {
		err = w.json(nameEnd, w.end)
	}
	return w.end, errors.Join(err, w.tar.Close(), w.gz.Close(), w.age.Close())
}

// Into takes what a backup holds: files, photos, the lines of the export, piece
// by piece, then the events in order. What is nil is passed over.
type Into struct {
	File  func(name string, content []byte) error
	Lines func([]byte) error
	Photo func(Photo) error
	Event func(Event) error
}

// Read reads a whole backup and hands on what it holds. It returns ErrKey or ErrCut
// for a file that cannot be used; what was handed on before is then worthless.
func Read(ctx context.Context, r io.Reader, k *seal.Keyring, into Into) (b Begin, e End, err error) {
	identity, err := age.NewScryptIdentity(passphrase(k))
	if err != nil {
		return b, e, err
	}
	dec, err := age.Decrypt(r, identity)
	if err != nil {
		return b, e, fmt.Errorf("%w (%w)", ErrKey, err)
	}
	gz, err := gzip.NewReader(dec)
	if err != nil {
		return b, e, fmt.Errorf("%w (%w)", ErrCut, err)
	}
	in := &reader{into: into, sum: sums()}
	for files := tar.NewReader(gz); ; {
		if err := ctx.Err(); err != nil {
			return b, e, err
		}
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return b, e, fmt.Errorf("%w (%w)", ErrCut, err)
		}
		if h.Size > maxPiece || in.done {
			return b, e, ErrCut
		}
		content, err := io.ReadAll(files)
		if err != nil {
			return b, e, fmt.Errorf("%w (%w)", ErrCut, err)
		}
		if err := in.take(h.Name, content); err != nil {
			return b, e, err
		}
	}
	if _, err := io.Copy(io.Discard, gz); err != nil { //nolint:gosec // to the end: only then is everything authenticated; whoever wrote it had the key
		return b, e, fmt.Errorf("%w (%w)", ErrCut, err)
	}
	return in.begin, in.end, in.check()
}

// reader is how far a backup was read.
type reader struct {
	into  Into
	begin Begin
	end   End
	got   End
	sum   map[string]hash.Hash
	done  bool
}

func (r *reader) take(name string, content []byte) error {
	switch {
	case name == nameBegin:
		if err := json.Unmarshal(content, &r.begin); err != nil {
			return ErrCut
		}
		if r.begin.Format < 1 || r.begin.Format > format {
			return fmt.Errorf("the backup has format %d and this program knows 1 to %d: use the release that wrote it (%s)", r.begin.Format, format, r.begin.By)
		}
		return nil
	case name == nameEnd:
		r.done = true
		if err := json.Unmarshal(content, &r.end); err != nil {
			return ErrCut
		}
		return nil
	case r.begin.Format == 0:
		return ErrCut
	case strings.HasPrefix(name, dirFiles):
		name = strings.TrimPrefix(name, dirFiles)
		r.got.Files++
		sumFile(r.sum, name, content)
		if r.into.File == nil {
			return nil
		}
		return r.into.File(name, content)
	case strings.HasPrefix(name, dirExport):
		r.sum[dirExport].Write(content)
		for line := range bytes.Lines(content) {
			r.got.Lines++
			if bytes.HasPrefix(line, []byte(`{"Incident"`)) {
				r.got.Incidents++
			}
		}
		if r.into.Lines == nil {
			return nil
		}
		return r.into.Lines(content)
	case strings.HasPrefix(name, dirPhotos):
		r.sum[dirPhotos].Write(content)
		return eachLine(content, func(p Photo) error {
			r.got.Photos++
			if r.into.Photo == nil {
				return nil
			}
			return r.into.Photo(p)
		})
	case strings.HasPrefix(name, dirStream):
		r.sum[dirStream].Write(content)
		return eachLine(content, func(e Event) error {
			r.got.Events++
			if r.into.Event == nil {
				return nil
			}
			return r.into.Event(e)
		})
	}
	return ErrCut
}

// eachLine decodes the lines of a piece.
func eachLine[T any](content []byte, fn func(T) error) error {
	for line := range bytes.Lines(content) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return ErrCut
		}
		if err := fn(v); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) check() error {
	r.got.seal(r.sum)
	if !r.done || r.got != r.end {
		return ErrCut
	}
	return nil
}
