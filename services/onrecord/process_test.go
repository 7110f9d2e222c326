package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to lock the store from outside

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// binary is the program under test, built once and run as a process of its own.
var binary string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "onrecord-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "onrecord")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
	}
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program under test: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is a running onrecord.
type process struct {
	*runtest.Process
	url string
	dir string
}

func (p *process) printed() string { return p.Output.String() }

var addressLine = regexp.MustCompile(`On Record is at\s+(https?://\S+)`)

// start runs "onrecord serve" on a data directory and waits until it is ready.
func start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := launch(t, dir, exec.Command(binary, append([]string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--log-level", "debug"}, args...)...))
	p.awaitReady(t)
	return p
}

// awaitReady reads the address that the program printed, and waits until it is
// ready there.
func (p *process) awaitReady(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		select {
		case <-p.Exited:
			t.Fatalf("the program ended: %v\n%s", p.Err, p.printed())
		default:
		}
		found := addressLine.FindStringSubmatch(p.printed())
		if found == nil {
			return fmt.Errorf("no address was printed:\n%s", p.printed())
		}
		p.url = found[1]
		a, err := call("GET", p.url+"/readyz", "")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("not ready: %s", a.body)
		}
		return err
	})
}

func launch(t *testing.T, dir string, cmd *exec.Cmd) *process {
	t.Helper()
	return &process{Process: runtest.Launch(t, cmd), dir: dir}
}

// stopTime is well under what a stop waits for requests in hand. The tests'
// own client keeps its connections open, as browsers do.
const stopTime = 8 * time.Second

// stop ends the process as a supervisor does and fails unless it ends cleanly.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	select {
	case <-p.Exited:
	case <-time.After(40 * time.Second):
		t.Fatalf("the program did not stop\n%s", p.printed())
	}
	if took := time.Since(started); took > stopTime {
		t.Errorf("stopping took %v with nothing in hand", took)
	}
	if p.Err != nil {
		t.Fatalf("the program ended with %v\n%s", p.Err, p.printed())
	}
}

// onrecord runs a command of the program and returns its standard output.
func onrecord(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("exit %d: %s", exit.ExitCode(), stderr.String())
	}
	return string(out), err
}

func mustOnrecord(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, err := onrecord(t, stdin, args...)
	if err != nil {
		t.Fatalf("onrecord %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// apiToken makes an API token.
func apiToken(t *testing.T, dir, role string, sites ...string) string {
	t.Helper()
	args := []string{"token", "create", "--data-dir", dir, "--role", role}
	for _, s := range sites {
		args = append(args, "--site", s)
	}
	out := mustOnrecord(t, "", args...)
	sc := bufio.NewScanner(strings.NewReader(out))
	sc.Scan()
	return sc.Text()
}

// answer is an HTTP answer with its body read.
type answer struct {
	status int
	header http.Header
	body   string
}

// call sends a request; headers are pairs.
func call(method, url, body string, headers ...string) (answer, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b)}, err
}

func mustCall(t *testing.T, method, url, body string, headers ...string) answer {
	t.Helper()
	a, err := call(method, url, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

// getJSON decodes what a token's holder is answered.
func getJSON(t *testing.T, url, bearer string, into any) {
	t.Helper()
	a := mustCall(t, "GET", url, "", "Authorization", "Bearer "+bearer)
	if a.status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", url, a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until check returns nil, and fails with its last error.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	runtest.Eventually(t, time.Minute, check)
}

// lockDatabase keeps the store from writing, as a stopped one would, until the
// function it returns is called.
func lockDatabase(t *testing.T, path string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
			t.Error(err)
		}
		if err := errors.Join(conn.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}
}
