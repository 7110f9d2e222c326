// Package seal keeps what people wrote unreadable to whoever holds the disk,
// the database or a backup without the master key.
//
// Each report and each incident has a random data key; its words are sealed
// under it with AES-256-GCM, bound by associated data to the place they belong
// to. The data key is wrapped by the master key. Destroying a wrapped data key
// erases everything sealed under it, copies and backups included.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// KeySize is the size of the master key and of every data key, in bytes.
const KeySize = 32

// ErrOpen says that sealed words could not be opened: another key, other
// associated data, or bytes that were changed. It never says which.
var ErrOpen = errors.New("sealed words cannot be opened with this key")

// Keyring holds the master key. It is safe for concurrent use.
type Keyring struct {
	master [KeySize]byte
	wrap   cipher.AEAD
	macs   sync.Map // the keys of MAC by purpose, once derived: there are a few
}

// NewKeyring returns a keyring around a master key of KeySize bytes.
func NewKeyring(master []byte) (*Keyring, error) {
	if len(master) != KeySize {
		return nil, fmt.Errorf("master key: want %d bytes, got %d", KeySize, len(master))
	}
	k := &Keyring{master: [KeySize]byte(master)}
	k.wrap = gcm(k.Derive("wrap data keys"))
	return k, nil
}

// ParseKeyring reads a master key from its text form, base64 of KeySize bytes,
// as the key file and the environment hold it.
func ParseKeyring(text string) (*Keyring, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, errors.New("master key: not base64, so it is not one, or not whole: put it back from your copy") // the cause would quote the key
	}
	if len(raw) != KeySize {
		return nil, fmt.Errorf("master key: want %d bytes, got %d, so it is not one, or not whole: put it back from your copy", KeySize, len(raw))
	}
	return NewKeyring(raw)
}

// ReadFile reads the master key from a file that only its owner may read.
// A missing file is fs.ErrNotExist.
func ReadFile(path string) (*Keyring, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("master key %s can be read by others (mode %04o): run chmod 600 on it", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ring, err := ParseKeyring(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ring, nil
}

// CreateFile makes a new master key and writes it to path with mode 0600,
// on disk before it returns. It fails if the file exists.
func CreateFile(path string) (*Keyring, error) {
	master := make([]byte, KeySize)
	rand.Read(master)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(master) + "\n")
	err = errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(path)))
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return NewKeyring(master)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil && !errors.Is(err, fs.ErrInvalid) {
		return errors.Join(err, d.Close())
	}
	return d.Close()
}

// Derive returns a 32-byte key for one purpose, by HKDF-SHA256 (RFC 5869).
// The same purpose always gives the same key; purposes do not reveal each other.
func (k *Keyring) Derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, k.master[:], nil, "onrecord/v1/"+purpose, KeySize)
	if err != nil {
		panic(err) // cannot happen: the length is fixed and allowed
	}
	return key
}

// MAC returns HMAC-SHA256 of the parts under the key for a purpose. Parts are
// length-prefixed, so that no two lists of parts give the same input.
func (k *Keyring) MAC(purpose string, parts ...[]byte) []byte {
	key, known := k.macs.Load(purpose)
	if !known {
		key, _ = k.macs.LoadOrStore(purpose, k.Derive(purpose))
	}
	return MAC(key.([]byte), parts...)
}

// MAC returns HMAC-SHA256 of the length-prefixed parts.
func MAC(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		var n [8]byte
		for i := range n {
			n[i] = byte(uint64(len(p)) >> (56 - 8*i))
		}
		h.Write(n[:])
		h.Write(p)
	}
	return h.Sum(nil)
}

// DataKey seals the words of one report or incident.
type DataKey struct{ aead cipher.AEAD }

// NewDataKey returns a fresh data key and its wrapped form to be stored beside
// what it seals.
func (k *Keyring) NewDataKey() (DataKey, []byte) {
	raw := make([]byte, KeySize)
	rand.Read(raw)
	return DataKey{gcm(raw)}, sealWith(k.wrap, raw, nil)
}

// Unwrap returns the data key of a wrapped form, or ErrOpen when the master
// key is another one.
func (k *Keyring) Unwrap(wrapped []byte) (DataKey, error) {
	raw, err := openWith(k.wrap, wrapped, nil)
	if err != nil || len(raw) != KeySize {
		return DataKey{}, ErrOpen
	}
	return DataKey{gcm(raw)}, nil
}

// Seal returns nonce and ciphertext of plain, bound to place: Open needs the
// same parts in the same order.
func (d DataKey) Seal(plain []byte, place ...string) []byte {
	return sealWith(d.aead, plain, associated(place))
}

// SealOver is Seal in the memory of plain, which is lost, where it has room for
// what is longer.
func (d DataKey) SealOver(plain []byte, place ...string) []byte {
	return d.aead.Seal(plain[:0], nil, plain, associated(place))
}

// OpenOver is Open in the memory of sealed, which is lost.
func (d DataKey) OpenOver(sealed []byte, place ...string) ([]byte, error) {
	plain, err := d.aead.Open(sealed[:0], nil, sealed, associated(place))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// Open returns what was sealed in this place, or ErrOpen.
func (d DataKey) Open(sealed []byte, place ...string) ([]byte, error) {
	return openWith(d.aead, sealed, associated(place))
}

// associated joins the parts of a place unambiguously.
func associated(place []string) []byte {
	var b strings.Builder
	for _, p := range place {
		fmt.Fprintf(&b, "%d:%s|", len(p), p)
	}
	return []byte(b.String())
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // cannot happen: the length is fixed
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func sealWith(a cipher.AEAD, plain, place []byte) []byte { return a.Seal(nil, nil, plain, place) }

func openWith(a cipher.AEAD, sealed, place []byte) ([]byte, error) {
	plain, err := a.Open(nil, nil, sealed, place)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}
