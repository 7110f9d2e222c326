package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// services are what the Dockerfile makes images of.
var services = []string{"intake", "classifier", "reporting", "onrecord"}

const mongodb = "mongodb+srv://onrecord:PASSWORD@cluster.example/onrecord"

// deployments returns the directory that is tested.
func deployments(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("..")
	must(t, err)
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{deployments(t)}, path...)...))
	must(t, err)
	return string(text)
}

// withSecrets returns a copy of deployments in which secrets.sh has made the
// secrets of compose and of the Kubernetes example.
func withSecrets(t *testing.T) string {
	t.Helper()
	dir, err := copied()
	must(t, err)
	return dir
}

// copied is made once: making keys takes a while.
var copied = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(workDir, "deployments")
	for _, part := range []string{"compose", "kubernetes", "nats", "proxy"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join("..", part))); err != nil {
			return "", err
		}
	}
	return dir, errors.Join(makeSecrets(filepath.Join(dir, "secrets")),
		makeSecrets(filepath.Join(dir, "kubernetes", "example", "secrets"), "MONGODB="+mongodb))
})

func makeSecrets(dir string, env ...string) error {
	cmd := exec.Command("bash", "../secrets.sh", dir)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("secrets.sh: %w\n%s", err, out)
	}
	return nil
}

// tool returns the path of a program of the system's packages. Where it may be
// missing the test says so loudly; CI installs it.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if path = filepath.Join("/usr/sbin", name); executable(path) {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed, and CI skips nothing: .ci/run installs it", name)
	}
	t.Skipf("NOT CHECKED: %s is not installed; .ci/run installs it", name)
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// run runs a program and returns what it printed and its exit code.
func run(t *testing.T, env []string, name string, args ...string) (string, int) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// eventually waits until check finds nothing wrong.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestSecretsAreMadeOnceAndForTheirOwnerAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	must(t, makeSecrets(dir))
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) < 20 {
		t.Errorf("only %d secrets were made", len(entries))
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", e.Name(), info.Mode(), err)
		}
	}
	key, err := os.ReadFile(filepath.Join(dir, "master.key"))
	must(t, err)
	out, code := run(t, os.Environ(), "bash", filepath.Join(deployments(t), "secrets.sh"), dir)
	if code == 0 || !strings.Contains(out, "made once") {
		t.Errorf("a second run: exit %d %s", code, out)
	}
	if again, err := os.ReadFile(filepath.Join(dir, "master.key")); err != nil || string(again) != string(key) {
		t.Error("a second run made another master key")
	}
}

// built are the binaries that the Dockerfile's steps make, by service.
var built = sync.OnceValues(func() (map[string]string, error) { return buildAll(filepath.Join(workDir, "images")) })

// workDir is a directory that ends with the tests.
var workDir string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "onrecord-deployments-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		workDir = dir
		return m.Run()
	}())
}

func binaries(t *testing.T) map[string]string {
	t.Helper()
	made, err := built()
	must(t, err)
	return made
}
