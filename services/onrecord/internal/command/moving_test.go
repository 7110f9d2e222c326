package command

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// fileReports files n reports at a server and does not wait for what becomes of them.
func fileReports(t *testing.T, s server, n int) {
	t.Helper()
	for range n {
		report := fmt.Sprintf(`{"id":%q,"site":"unlisted","site_name":"Demo","occurred_at":%q,"kind":"threat","narrative":"Demo words of somebody."}`,
			uuid.Must(uuid.NewV7()), time.Now().Add(-time.Minute).Format(time.RFC3339))
		if res, body := ask(t, http.DefaultClient, http.MethodPost, s.url+"/api/v1/reports", report, "Content-Type", "application/json"); res.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
	}
}

func TestAnInstallationMovesBesideTheServerAndStopped(t *testing.T) {
	old, usb := filepath.Join(t.TempDir(), "old"), t.TempDir()
	key := filepath.Join(old, "master.key")
	running := filepath.Join(usb, "running.jsonl")
	var token string
	t.Run("beside the server", func(t *testing.T) {
		s := serve(t, old)
		token = strings.TrimSpace(must(t, "", "token", "create", "--role", "rep", "--data-dir", old))
		must(t, "", "user", "add", "demo-rep", "--role", "rep", "--generate-password", "--data-dir", old)
		fileReports(t, s, 5)
		// What was received is in the export, though nobody waited for it to be stored.
		if out := must(t, "", "export", running, "--data-dir", old); !strings.Contains(out, "5 incidents, 0 photos, 0 sites, 1 people, 1 tokens") {
			t.Error(out)
		}
		fileReports(t, s, 3) // and these are still on their way when the server stops
	})
	if info, err := os.Stat(running); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if out := must(t, "", "export", usb, "--data-dir", old); !strings.Contains(out, "8 incidents") {
		t.Error(out)
	}
	whole, err := filepath.Glob(filepath.Join(usb, "onrecord-*.jsonl"))
	if err != nil || len(whole) != 1 {
		t.Fatal(whole, err)
	}

	dir := filepath.Join(t.TempDir(), "new")
	if out := must(t, "", "import", usb, "--data-dir", dir, "--master-key-file", key); !strings.Contains(out, "8 incidents") || !strings.Contains(out, "agrees with the export") {
		t.Error(out)
	}
	if out := must(t, "", "import", whole[0], "--data-dir", dir, "--master-key-file", key); !strings.Contains(out, "Nothing was changed") {
		t.Error(out)
	}
	fails(t, run.ExitFailed, "another export was imported", "", "import", running, "--data-dir", dir, "--master-key-file", key)
	must(t, "", "verify", "--data-dir", dir, "--master-key-file", key)

	s := serve(t, dir, "--master-key-file", key)
	res, body := ask(t, http.DefaultClient, http.MethodGet, s.url+"/api/v1/incidents", "", "Authorization", "Bearer "+token)
	if found := strings.Count(body, `"machine":"threat"`); res.StatusCode != http.StatusOK || found != 8 {
		t.Errorf("%d: %d incidents that the machine has read, want 8: %s", res.StatusCode, found, body)
	}
	fails(t, run.ExitFailed, "stop it first", "", "import", running, "--data-dir", dir, "--master-key-file", key)
}

func TestMistakesInMoving(t *testing.T) {
	old, usb := filepath.Join(t.TempDir(), "old"), t.TempDir()
	must(t, "", "token", "create", "--role", "rep", "--data-dir", old)
	file := filepath.Join(usb, "onrecord-1.jsonl")
	must(t, "", "export", file, "--data-dir", old)
	another := filepath.Join(t.TempDir(), "another")
	must(t, "", "token", "create", "--role", "rep", "--data-dir", another)
	anotherKey := filepath.Join(another, "master.key")
	fresh := filepath.Join(t.TempDir(), "fresh")

	fails(t, run.ExitMistake, "give one argument", "", "export", "--data-dir", old)
	fails(t, run.ExitMistake, "is there already", "", "export", file, "--data-dir", old)
	fails(t, run.ExitMistake, "no such file", "", "export", filepath.Join(usb, "nowhere", "file"), "--data-dir", old)
	fails(t, run.ExitMistake, "there is no installation", "", "export", filepath.Join(usb, "empty"), "--data-dir", fresh)
	fails(t, run.ExitMistake, "no such file", "", "import", filepath.Join(usb, "nowhere"), "--data-dir", fresh)
	fails(t, run.ExitMistake, "--master-key-file", "", "import", file, "--data-dir", fresh)
	fails(t, run.ExitFailed, "another master key", "", "import", file, "--data-dir", fresh, "--master-key-file", anotherKey)
	fails(t, run.ExitFailed, "another master key", "", "import", file, "--data-dir", another)
	if err := os.WriteFile(filepath.Join(usb, "onrecord-2.jsonl"), []byte("id,name\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, run.ExitMistake, "2 exports", "", "import", usb, "--data-dir", fresh)
	fails(t, run.ExitFailed, "not an export", "", "import", filepath.Join(usb, "onrecord-2.jsonl"), "--data-dir", another)
	if _, err := os.Stat(fresh); !os.IsNotExist(err) {
		t.Errorf("a refused command left %s behind: %v", fresh, err)
	}
	left, err := os.ReadDir(usb)
	if err != nil || len(left) != 2 {
		t.Errorf("half files are left: %v %v", left, err)
	}
	must(t, "", "user", "add", "demo-rep", "--role", "rep", "--generate-password", "--data-dir", another)
	must(t, "", "export", filepath.Join(usb, "another.jsonl"), "--data-dir", another)
	fails(t, run.ExitFailed, "not empty", "", "import", filepath.Join(usb, "another.jsonl"), "--data-dir", another)
}

// An export that is interrupted leaves nothing that looks like one.
func TestAnInterruptedExportLeavesNoFile(t *testing.T) {
	old, usb := filepath.Join(t.TempDir(), "old"), t.TempDir()
	must(t, "", "token", "create", "--role", "rep", "--data-dir", old)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out, errs runtest.Output
	code := Main(ctx, Env{Args: []string{"export", usb, "--data-dir", old}, Lookup: func(string) (string, bool) { return "", false },
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs})
	if code == run.ExitOK {
		t.Error("an export that was interrupted says it is done")
	}
	if left, err := os.ReadDir(usb); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
	if !regexp.MustCompile(`context canceled|interrupted`).MatchString(errs.String()) {
		t.Error(errs.String())
	}
}
