// Package mongotest gives tests a MongoDB-compatible server as a process of
// its own, that of deployments/ferretdb, and tells them of a real MongoDB.
//
// The server is not a MongoDB: its updates of one document are not atomic, and
// it knows no retryable writes, no explain plans worth asserting and no users.
// What needs these asks Real, and says loudly when there is none.
package mongotest

import (
	"bufio"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// RealURI is the environment variable that names a real MongoDB, one that
// tests may fill and empty as they like; of a replica set they have the primary
// step down.
const RealURI = "TEST_MONGODB_URI"

// Real returns the URI of a real MongoDB, or "" when there is none.
func Real() string { return os.Getenv(RealURI) }

// startWithin is how long a server may take, on a busy machine.
const startWithin = time.Minute

// Start runs a fresh, empty server on a free port of 127.0.0.1 until the test
// ends, and returns its URI, "mongodb://127.0.0.1:PORT/".
func Start(tb testing.TB) string {
	tb.Helper()
	return StartIn(tb, tb.TempDir()).URI
}

// Server is a running server.
type Server struct {
	URI string

	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}
}

// StartIn is Start with the data in a directory that may hold some already.
func StartIn(tb testing.TB, dir string) *Server {
	tb.Helper()
	binary, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	return start(tb, binary, "--data-dir", dir)
}

// start runs the server with its data where the arguments say.
func start(tb testing.TB, binary string, data ...string) *Server {
	tb.Helper()
	// It ends with its standard input, should this process be killed.
	cmd := exec.Command(binary, append(data, "--listen", "127.0.0.1:0", "--stop-with-stdin")...)
	var errs runtest.Output
	cmd.Stderr = &errs
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	s := &Server{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		said <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait() // killed or stopped: how it ended is no matter
		close(s.ended)
	}()
	tb.Cleanup(s.Stop)
	select {
	case s.URI = <-said:
	case <-time.After(startWithin):
	}
	if s.URI == "" {
		tb.Fatalf("the MongoDB-compatible server did not start: %s", errs.String())
	}
	return s
}

// Stop ends the server as an operator would, and waits for its end. Stopping
// again does nothing.
func (s *Server) Stop() {
	_ = s.stdin.Close()
	select {
	case <-s.ended:
	case <-time.After(startWithin):
		s.Kill()
	}
}

// Kill ends the server at once, as a crash would.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// build builds the server once for this process; Go's cache makes it quick for
// the others. What leaves PostgreSQL out is smaller.
var (
	build             = sync.OnceValues(func() (string, error) { return buildAs("ferretdb", "ferretdb_no_postgresql") })
	buildWithPostgres = sync.OnceValues(func() (string, error) { return buildAs("ferretdb-postgresql", "") })
)

func buildAs(name, tags string) (string, error) {
	source, err := source()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "onrecord-test")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	// Test processes run side by side and share the file, those of one working
	// tree: one writes at a time.
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", err
	}
	tree := fnv.New64a()
	_, _ = tree.Write([]byte(source)) // it never fails
	binary := filepath.Join(dir, fmt.Sprintf("%s-%x", name, tree.Sum64()))
	cmd := exec.Command("go", "build", "-tags", tags, "-o", binary, ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w: %s", source, err, out)
	}
	return binary, nil
}

// source returns the server's directory: tests run somewhere in the tree.
func source() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		at := filepath.Join(dir, "deployments", "ferretdb")
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", errors.New("deployments/ferretdb is not above the directory of this test")
		}
		dir = above
	}
}
