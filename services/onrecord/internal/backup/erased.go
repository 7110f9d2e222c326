package backup

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/onrecord/onrecord/pkg/seal"
)

// erasedName is the file that keeps what was erased, in the data directory and
// beside the backups: a backup from before an erasure still holds the words,
// and restoring it erases them again.
const erasedName = "erased.jsonl"

// Erased is one erasure: an incident and what is left of its reports' ids.
type Erased struct {
	Incident   string   `json:"incident"`
	Tombstones []string `json:"tombstones"`
	MAC        string   `json:"mac"`
}

func (e Erased) sum(k *seal.Keyring) string {
	parts := [][]byte{[]byte(e.Incident)}
	for _, t := range e.Tombstones {
		parts = append(parts, []byte(t))
	}
	return hex.EncodeToString(k.MAC("erased", parts...))
}

// AddErased adds an erasure to a directory's file unless it is there, on disk
// before it returns.
func AddErased(dir string, k *seal.Keyring, e Erased) error {
	e.MAC = e.sum(k)
	have, err := ReadErased(dir, k)
	if err != nil || slices.ContainsFunc(have, func(h Erased) bool { return h.MAC == e.MAC }) {
		return err
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return appendLines(filepath.Join(dir, erasedName), append(line, '\n'))
}

func appendLines(path string, lines []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(lines)
	return errors.Join(err, f.Sync(), f.Close(), syncDirectory(filepath.Dir(path)))
}

// ReadErased returns a directory's erasures, none when it has no such file. A
// line that was not written under this master key is an error: it would erase
// what nobody asked for.
func ReadErased(dir string, k *seal.Keyring) ([]Erased, error) {
	path := filepath.Join(dir, erasedName)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Erased
	n := 0
	for line := range bytes.Lines(content) {
		n++
		var e Erased
		if err := json.Unmarshal(line, &e); err != nil || !hmac.Equal([]byte(e.MAC), []byte(e.sum(k))) {
			return nil, fmt.Errorf("%s line %d was not written by this installation: take it out, or restore with the right master key", path, n)
		}
		all = append(all, e)
	}
	return all, nil
}

// CopyErased adds to one directory's file what another's has and it lacks.
func CopyErased(from, to string, k *seal.Keyring) error {
	want, err := ReadErased(from, k)
	if err != nil {
		return err
	}
	for _, e := range want {
		if err := AddErased(to, k, e); err != nil {
			return err
		}
	}
	return nil
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
