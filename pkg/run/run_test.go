package run

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func flags() *pflag.FlagSet {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	fs.String("data-dir", "data", "")
	fs.Int("threshold", 5, "")
	fs.Duration("idle", time.Minute, "")
	return fs
}

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func TestFlagBeatsEnvironmentBeatsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "onrecord.conf")
	os.WriteFile(file, []byte("# comment\ndata-dir: file\nthreshold = 7\nidle: 3m\n"), 0o600)
	fs := flags()
	if err := fs.Parse([]string{"--data-dir", "flag"}); err != nil {
		t.Fatal(err)
	}
	if err := Settings(fs, env("ONRECORD_DATA_DIR", "env", "ONRECORD_THRESHOLD", "6"), file); err != nil {
		t.Fatal(err)
	}
	got := fs.Lookup("data-dir").Value.String() + " " + fs.Lookup("threshold").Value.String() + " " + fs.Lookup("idle").Value.String()
	if want := "flag 6 3m0s"; got != want {
		t.Errorf("settings=%q, want %q", got, want)
	}
}

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "onrecord.conf")
	os.WriteFile(file, []byte("nonsense\nno-such: 1\nidle: soon\n"), 0o600)
	err := Settings(flags(), env("ONRECORD_THRESHOLD", "many"), file)
	for _, want := range []string{"ONRECORD_THRESHOLD", "line 1", `no setting "no-such"`, "line 3: idle"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err=%v, want it to name %s", err, want)
		}
	}
}

func TestPartsStopInOrder(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var order []string
	part := func(name string) Part {
		return Part{name, func(ctx context.Context) error {
			<-ctx.Done()
			order = append(order, name)
			return nil
		}}
	}
	cancel()
	if err := Parts(ctx, slog.New(slog.DiscardHandler), part("http"), part("projector"), part("stream")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"http", "projector", "stream"}; !slices.Equal(order, want) {
		t.Errorf("order=%v, want %v", order, want)
	}
}

func TestAPartThatFailsStopsTheOthersAndIsNamed(t *testing.T) {
	broken := errors.New("disk on fire")
	err := Parts(t.Context(), slog.New(slog.DiscardHandler),
		Part{"http", func(ctx context.Context) error { <-ctx.Done(); return nil }},
		Part{"stream", func(context.Context) error { return broken }})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "stream") {
		t.Errorf("err=%v, want the stream's", err)
	}
}
