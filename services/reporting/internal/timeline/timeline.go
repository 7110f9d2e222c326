// Package timeline keeps an incident's history: entries are only ever added,
// and each commits by a keyed hash to itself and to the one before it, so that
// an edit, a removal or a change of order shows. Words stand outside the
// commitment: erasing them leaves the history verifiable.
package timeline

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
)

// ErrErased says that an incident's data key was destroyed: its words cannot be
// read, and no new ones can be kept with it.
var ErrErased = errors.New("the words of this incident were erased")

// Keeper writes and checks timelines under an installation's keys. It is safe
// for concurrent use.
type Keeper struct {
	keyring *seal.Keyring
	key     []byte
}

// NewKeeper returns a Keeper under the keyring's key for timelines.
func NewKeeper(k *seal.Keyring) *Keeper { return &Keeper{k, k.Derive("timeline")} }

// Append adds an entry to the incident's timeline, with its words sealed under
// the incident's data key when there are any. It sets Seq, SealedNote, NoteHash
// and Chain, and keeps the time to the millisecond, which every store can hold.
// It returns ErrErased, and adds nothing, when there are words and no key.
func (k *Keeper) Append(i *incident.Incident, c incident.Change, words string) error {
	c.Seq = len(i.Timeline) + 1
	c.At = c.At.UTC().Truncate(time.Millisecond)
	if words != "" {
		key, err := k.dataKey(i)
		if err != nil {
			return err
		}
		c.SealedNote = key.Seal([]byte(words), notePlace(i, c.Seq)...)
		hash := sha256.Sum256(c.SealedNote)
		c.NoteHash = hash[:]
	}
	c.Chain = k.link(k.head(i, len(i.Timeline)), c)
	i.Timeline = append(i.Timeline, c)
	return nil
}

// Reporter returns who the reporter of a report is in timelines: nobody's name,
// and an id by which the reporters of one incident are told apart. The report's
// own id cannot be found from it.
func (k *Keeper) Reporter(reportID string) incident.Actor {
	return incident.Actor{Role: incident.RoleReporter, ID: base64.RawURLEncoding.EncodeToString(seal.MAC(k.key, []byte("reporter"), []byte(reportID))[:12])}
}

// Note returns the words of an entry of the incident's timeline, "" when it
// has none. It returns ErrErased or seal.ErrOpen when they cannot be read.
func (k *Keeper) Note(i *incident.Incident, c incident.Change) (string, error) {
	if len(c.SealedNote) == 0 {
		return "", nil
	}
	key, err := k.dataKey(i)
	if err != nil {
		return "", err
	}
	words, err := key.Open(c.SealedNote, notePlace(i, c.Seq)...)
	return string(words), err
}

func (k *Keeper) dataKey(i *incident.Incident) (seal.DataKey, error) {
	if len(i.WrappedKey) == 0 {
		return seal.DataKey{}, ErrErased
	}
	return k.keyring.Unwrap(i.WrappedKey)
}

// notePlace is where the words of entry seq are sealed.
func notePlace(i *incident.Incident, seq int) []string {
	return []string{i.ID, "note", strconv.Itoa(seq)}
}

// BrokenError says that a timeline is not as it was written.
type BrokenError struct {
	Seq   int    // the first entry that is wrong, from 1
	Cause string // what is wrong with it
}

// Error names the entry.
func (e *BrokenError) Error() string { return fmt.Sprintf("timeline entry %d %s", e.Seq, e.Cause) }

// Verify returns nil, or a *BrokenError that names the first entry that was
// changed, moved, or follows one that was removed. A note whose words were
// erased is no error. Entries cut off the end do not show: only a copy of the
// last Chain kept elsewhere can tell.
func (k *Keeper) Verify(i *incident.Incident) error {
	for n, c := range i.Timeline {
		switch hash := sha256.Sum256(c.SealedNote); {
		case c.Seq != n+1:
			return &BrokenError{n + 1, "is missing or out of order"}
		case !hmac.Equal(c.Chain, k.link(k.head(i, n), c)):
			return &BrokenError{n + 1, "or the one before it was changed"}
		case len(c.SealedNote) > 0 && !bytes.Equal(c.NoteHash, hash[:]):
			return &BrokenError{n + 1, "has other words than were written"}
		}
	}
	return nil
}

// head returns the commitment that entry n+1 continues. The first continues
// the incident itself, so that a timeline cannot be moved to another.
func (k *Keeper) head(i *incident.Incident, n int) []byte {
	if n == 0 {
		return []byte(i.ID)
	}
	return i.Timeline[n-1].Chain
}

// link commits to an entry's plain fields and the hash of its words.
func (k *Keeper) link(previous []byte, c incident.Change) []byte {
	return seal.MAC(k.key, previous,
		binary.BigEndian.AppendUint64(nil, uint64(c.Seq)),
		binary.BigEndian.AppendUint64(nil, uint64(c.At.UnixMilli())),
		[]byte(c.By.Role), []byte(c.By.ID), []byte(c.By.Name),
		[]byte(c.Action), []byte(c.Field), []byte(c.From), []byte(c.To), []byte(c.Event),
		c.NoteHash)
}
