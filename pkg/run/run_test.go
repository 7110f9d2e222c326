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
	fs.Bool("secure", false, "")
	fs.Bool("help", false, "")
	fs.String("config", "", "")
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
	if err := Fill(fs, env("ONRECORD_DATA_DIR", "env", "ONRECORD_THRESHOLD", "6"), file); err != nil {
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
	err := Fill(flags(), env("ONRECORD_THRESHOLD", "many"), file)
	for _, want := range []string{"ONRECORD_THRESHOLD", "line 1", `no setting "no-such"`, "line 3: idle"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err=%v, want it to name %s", err, want)
		}
	}
}

func TestMistakesAreToldInWordsForPeople(t *testing.T) {
	file := filepath.Join(t.TempDir(), "onrecord.conf")
	text := "secure: perhaps\nidle: soon\ndata-dir: a\ndata-dir: b\nhelp: true\nconfig: other.conf\nversion: 1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Fill(flags(), env("ONRECORD_THRESHOLD", "abc"), file)
	want := `environment ONRECORD_THRESHOLD: threshold: want a whole number, got "abc"
FILE line 1: secure: want true or false, got "perhaps"
FILE line 2: idle: want a duration like 30s, got "soon"
FILE line 4: "data-dir" stands twice, first in line 3
FILE line 5: "help" cannot be set in the file
FILE line 6: "config" cannot be set in the file
FILE line 7: "version" cannot be set in the file`
	if err == nil || err.Error() != strings.ReplaceAll(want, "FILE", file) {
		t.Errorf("err=%v\nwant %s", err, want)
	}
}

func TestTheEnvironmentIsSharedWithOthers(t *testing.T) {
	fs := flags()
	if err := Fill(fs, env("ONRECORD_NATS_URL", "nats://demo", "ONRECORD_HELP", "me", "ONRECORD_IDLE", "2m"), ""); err != nil {
		t.Errorf("err=%v, want names that are no setting passed over", err)
	}
	if got := fs.Lookup("idle").Value.String(); got != "2m0s" {
		t.Errorf("idle=%s, want 2m0s", got)
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
