package reporting

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
)

// While an import into a database is unfinished no service starts on it and no
// command works with it: its figures would lack incidents.
func TestNoServiceStartsOnAHalfImport(t *testing.T) {
	k := newKit(t)
	for range 3 {
		k.apply(k.Filed(k.Report("leeds")))
	}
	var file bytes.Buffer
	if _, err := k.Export(t.Context(), func(line []byte) error {
		_, err := file.Write(line)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	d := Database{Name: filepath.Join(t.TempDir(), "target.db"), Keyring: k.Keyring, Log: slog.New(slog.DiscardHandler)}
	imported := func(ctx context.Context, progress func(step string, done, total int)) (Moved, error) {
		t.Helper()
		export, err := OpenExport(bytes.NewReader(file.Bytes()), k.Keyring)
		if err != nil {
			t.Fatal(err)
		}
		return d.Import(ctx, export, progress)
	}
	cfg := k.cfg
	cfg.Database = d.Name

	ctx, stop := context.WithCancel(t.Context())
	_, err := imported(ctx, func(step string, _, _ int) {
		if step == "stored" {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("an import that was stopped: %v", err)
	}
	if _, err := New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "onrecord import") {
		t.Errorf("a service starts on half an import: %v", err)
	}
	if err := d.Operating(t.Context(), nil, func(Operator) error { return nil }); err == nil || !strings.Contains(err.Error(), "onrecord import") {
		t.Errorf("an operator’s command works on half an import: %v", err)
	}

	m, err := imported(t.Context(), func(string, int, int) {})
	if err != nil || m.Already || m.Incidents != 3 || m.People != 4 || m.Sites != 2 {
		t.Errorf("%+v, %v", m, err)
	}
	s, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Verify(t.Context(), func(int, int) {})
	if err != nil || v.Incidents != 3 || len(v.Differences) > 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
