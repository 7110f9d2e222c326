package classifier

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/run/runtest"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/classifier/internal/reading"
)

// A model is taken up when its file comes, changes or goes; one that cannot be
// used leaves the one before it in use, and is told once.
func TestAModelIsTakenUpWhenItsFileChanges(t *testing.T) {
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	trained, err := Train(TrainConfig{Corpus: small()})
	if err != nil {
		t.Fatal(err)
	}
	var log runtest.Output
	path := filepath.Join(t.TempDir(), "model.bin")
	s, err := New(Config{Bus: bustest.New(t), Keyring: keys, Log: slog.New(slog.NewTextHandler(&log, nil)), Producer: "test", ModelFile: path})
	if err != nil {
		t.Fatal(err)
	}
	own := NewReader().Version()
	write := func(content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name  string
		do    func()
		model string
		told  int // in all, that it cannot be used
	}{
		{"without a file", func() {}, own, 0},
		{"the file comes", func() { write(trained.File) }, trained.Version, 0},
		{"nothing changes", func() {}, trained.Version, 0},
		{"half of it is there", func() { write(trained.File[:len(trained.File)/2]) }, trained.Version, 1},
		{"still", func() {}, trained.Version, 1},
		{"it is whole again", func() { write(trained.File) }, trained.Version, 1},
		{"it goes", func() { _ = os.Remove(path) }, own, 1},
		{"something else is there", func() { _ = os.Mkdir(path, 0o700) }, own, 2},
	} {
		step.do()
		s.TakeUpModel()
		if got := s.Model(); got != step.model {
			t.Errorf("%s: reading with %s, want %s", step.name, got, step.model)
		}
		if told := strings.Count(log.String(), "the model cannot be used"); told != step.told {
			t.Errorf("%s: told %d times that it cannot be used, want %d", step.name, told, step.told)
		}
	}
	if strings.Count(log.String(), "reading with another model") != 2 {
		t.Errorf("the log says:\n%s", log.String())
	}
	again, err := New(s.Config)
	if err != nil || again.Model() != own {
		t.Errorf("a start beside a file that is none: %v, reading with %s", err, again.Model())
	}
}

// Whatever is given as a model is refused before it fills the memory, or is
// waited for for ever.
func TestWhatNeverEndsIsNoModel(t *testing.T) {
	dir := t.TempDir()
	large, pipe := filepath.Join(dir, "large"), filepath.Join(dir, "pipe")
	f, err := os.Create(large)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(maxModel+1), f.Close(), syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{large: "larger than 64 MiB", pipe: "no regular file", "/dev/zero": "no regular file", dir: "no regular file", filepath.Join(dir, "none"): "no such file"} {
		if r, err := OpenModel(path); r != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// A start reads no model: who files does not wait for it.
func TestAServiceIsMadeBeforeItsModelIsRead(t *testing.T) {
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.bin")
	if err := os.WriteFile(path, reading.File(), 0o600); err != nil {
		t.Fatal(err)
	}
	b := bustest.New(t)
	made := testing.AllocsPerRun(3, func() {
		if _, err := New(Config{Bus: b, Keyring: keys, Log: slog.New(slog.DiscardHandler), Producer: "test", ModelFile: path}); err != nil {
			t.Error(err)
		}
	})
	read := testing.AllocsPerRun(1, func() {
		if _, err := OpenReader(reading.File()); err != nil {
			t.Error(err)
		}
	})
	if made >= read {
		t.Errorf("making a service allocates %v times, and reading a model %v: it reads the model", made, read)
	}
}
