package control

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/fault"
)

var testOperations = Operations{
	"double": func(_ context.Context, args json.RawMessage, progress func(string)) (any, error) {
		var n int
		if err := json.Unmarshal(args, &n); err != nil {
			return nil, err
		}
		progress("doubling")
		if n < 0 {
			return nil, fault.InvalidFields([]fault.Field{{Name: "n", Message: "Give a number from 0."}})
		}
		return 2 * n, nil
	},
}

type caller interface {
	Call(ctx context.Context, name string, args, result any, progress func(line string)) error
}

// An operation must do the same here and in the running server.
func TestCallersAgree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	if err := os.WriteFile(path, nil, 0o644); err != nil { // of a process that was killed
		t.Fatal(err)
	}
	ln, err := Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode=%v, want 0600", info.Mode().Perm())
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- testOperations.Serve(ctx, ln) }()
	client, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for name, caller := range map[string]caller{"here": testOperations, "in the server": client} {
		t.Run(name, func(t *testing.T) {
			var got int
			var lines []string
			err := caller.Call(t.Context(), "double", 21, &got, func(l string) { lines = append(lines, l) })
			if err != nil || got != 42 || len(lines) != 1 {
				t.Errorf("got=%d lines=%v err=%v", got, lines, err)
			}
			var f *fault.Error
			err = caller.Call(t.Context(), "double", -1, &got, func(string) {})
			if !errors.As(err, &f) || f.Kind != fault.Invalid || len(f.Fields) != 1 {
				t.Errorf("err=%v, want the field's complaint", err)
			}
			if err := caller.Call(t.Context(), "treble", 1, nil, func(string) {}); err == nil {
				t.Error("an unknown operation was accepted")
			}
		})
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("err=%v, want ErrNotRunning", err)
	}
}

func TestAPathTooLongForASocketIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	if _, err := Listen(t.Context(), filepath.Join(dir, "control.sock")); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("err=%v, want it to say that the path is too long", err)
	}
}
