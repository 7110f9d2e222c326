package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// process is a running “onrecord serve”.
type process struct {
	t       *trial
	cmd     *exec.Cmd
	dir     string
	url     string
	started time.Time
	exited  chan struct{}
	err     error // of Wait, after exited is closed
	output  runtest.Output
}

// settings are how a process is started.
type settings struct {
	binary string   // "": program
	env    []string // beside the test's own
	under  []string // a command that runs it: strace and its arguments
	args   []string
}

// launch starts the program on a data directory and does not wait for it.
func (t *trial) launch(dir string, s settings) *process {
	t.Helper()
	if s.binary == "" {
		s.binary = program
	}
	line := append(append(s.under, s.binary, "serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--log-level", "debug"), s.args...)
	p := &process{t: t, cmd: exec.Command(line[0], line[1:]...), dir: dir, started: time.Now(), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), s.env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("a process on %s printed in the end:\n%s", dir, p.tail(25))
		}
	})
	return p
}

// start starts the program and waits until it is ready, which is timed.
func (t *trial) start(dir string, s settings) *process {
	t.Helper()
	p := t.launch(dir, s)
	if err := p.ready(time.Minute); err != nil {
		t.Fatalf("the program did not become ready: %v", err)
	}
	took := time.Since(p.started)
	t.count(func(y *tally) {
		y.recovered++
		y.slowest = max(y.slowest, took)
	})
	// The short set runs beside everything else that a change must pass.
	if most := time.Duration(longer(15, 5)) * time.Second; took > most {
		t.wrong("the program was ready after %v, want at most %v", took, most)
	}
	return p
}

var addressLine = regexp.MustCompile(`On Record is at\s+(https?://\S+)`)

// ready waits until the process is ready, or returns why it is not.
func (p *process) ready(within time.Duration) error {
	err := runtest.Poll(p.t.Context(), within, func() error {
		if closed(p.exited) {
			return nil
		}
		found := addressLine.FindStringSubmatch(p.output.String())
		if found == nil {
			return errors.New("it printed no address")
		}
		p.url = found[1]
		a, err := call(http.MethodGet, p.url+"/readyz", "")
		if err == nil && a.status != http.StatusOK {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	if closed(p.exited) {
		return fmt.Errorf("it ended: %w", errors.Join(p.err, errEnded))
	}
	return err
}

var errEnded = errors.New("the process has ended")

// tail returns the last lines it printed.
func (p *process) tail(n int) string {
	lines := strings.Split(p.output.String(), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// kill ends it as by kill -9, with whatever runs it.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

// signal sends a signal to all of its processes.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, s); err != nil {
		p.t.Fatal(err)
	}
}

// stop ends it as a supervisor does.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if !p.ends(40 * time.Second) {
		p.t.Fatalf("the program did not stop:\n%s", p.tail(20))
	}
	if p.err != nil {
		p.t.Fatalf("the program ended with %v:\n%s", p.err, p.tail(20))
	}
}

// ends reports whether it ends by itself in time.
func (p *process) ends(within time.Duration) bool {
	select {
	case <-p.exited:
		return true
	case <-time.After(within):
		return false
	}
}

// command runs an operator's command beside or instead of the process.
func (t *trial) command(dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(args, "--data-dir", dir)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("onrecord %s: %w: %s", args[0], err, stderr.String())
	}
	return string(out), err
}

// token makes an API token that sees every incident.
func (t *trial) token(dir string) string {
	t.Helper()
	out, err := t.command(dir, "token", "create", "--role", "rep")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// answer is an HTTP answer with its body read.
type answer struct {
	status int
	header http.Header
	body   string
}

// phone is the client of every request but those that hold connections open.
var phone = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}

// call sends a request; headers are pairs.
func call(method, url, body string, headers ...string) (answer, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for n := 0; n+1 < len(headers); n += 2 {
		req.Header.Set(headers[n], headers[n+1])
	}
	res, err := phone.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b)}, err
}
