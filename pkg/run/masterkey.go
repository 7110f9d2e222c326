package run

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/onrecord/onrecord/pkg/seal"
)

// MasterKey is the setting of the installation's master key: a file, or the key
// itself from the environment.
type MasterKey struct {
	file, key string
	ring      *seal.Keyring
}

// AddTo implements Settings.
func (m *MasterKey) AddTo(f *pflag.FlagSet) {
	f.StringVar(&m.file, "master-key-file", "", "`file` of the installation’s master key, mode 0600")
	f.StringVar(&m.key, "master-key", "", "the master key itself; give it in the environment only")
	_ = f.MarkHidden("master-key") // an argument can be read by every user of the machine
}

// Check implements Settings. It reads the key.
func (m *MasterKey) Check() error {
	var err error
	switch {
	case m.file == "" && m.key == "":
		return errors.New("the master key is missing: give --master-key-file, or " + EnvName("master-key") + " in the environment")
	case m.file != "" && m.key != "":
		return errors.New("master-key and master-key-file are both given: leave one out")
	case m.file != "":
		m.ring, err = seal.ReadFile(m.file)
	default:
		m.ring, err = seal.ParseKeyring(m.key)
	}
	if err != nil {
		return fmt.Errorf("master key: %w", err)
	}
	return nil
}

// Keyring returns the key, once Check has returned nil.
func (m *MasterKey) Keyring() *seal.Keyring { return m.ring }
