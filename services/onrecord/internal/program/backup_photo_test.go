package program

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"testing"
	"time"
)

// A photo that reporting has not taken over yet is nowhere but beside the
// stream: a backup has it, and a restore puts it back there.
func TestAPhotoThatWaitsIsInABackup(t *testing.T) {
	cfg := Config{DataDir: filepath.Join(t.TempDir(), "data"), MaxStore: 64 << 20, Threshold: 5, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	cfg.Backups.Program = "true" // restoring is what this test does itself
	p, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	sealed := bytes.Repeat([]byte("demo photo "), 100_000)
	if err := p.bus.PutPhoto(t.Context(), "demo.1", sealed); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "saved.backup")
	if _, err := p.backUp(t.Context(), file, func(string) {}); err != nil {
		t.Fatal(err)
	}
	_, cfg.MasterKeyFile = p.Paths()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.DataDir = filepath.Join(t.TempDir(), "new")
	if _, err := Restore(t.Context(), cfg, file, "", func(string) {}); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}()
	if got, err := again.bus.Photo(t.Context(), "demo.1"); err != nil || !bytes.Equal(got, sealed) {
		t.Errorf("the photo: %v, %d bytes, want %d", err, len(got), len(sealed))
	}
}
