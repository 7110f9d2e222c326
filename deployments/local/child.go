package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// child is a part that runs as a process of its own.
type child struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // after ended
	halt  func()
}

// stopWithin is how long a part may take to stop before it is killed.
const stopWithin = 30 * time.Second

// startNATS runs a NATS server in this process, with the users of a deployment,
// and returns its address.
func (p *parts) startNATS(passwords map[string]string) (string, error) {
	for user, password := range passwords {
		if err := os.Setenv("NATS_"+strings.ToUpper(user)+"_PASSWORD", "p"+password); err != nil {
			return "", err
		}
		passwords[user] = "p" + password // it begins with a letter: NATS would take digits for a number
	}
	users, err := filepath.Rel(p.dir, p.names)
	if err != nil {
		return "", err
	}
	address, err := freeAddress()
	if err != nil {
		return "", err
	}
	config := fmt.Sprintf("server_name: local\nlisten: %q\nmax_payload: 1MB\njetstream { store_dir: %q, sync_interval: always }\ninclude %q\n",
		address, filepath.Join(p.dir, "nats"), users)
	file := filepath.Join(p.dir, "nats.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return "", err
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		return "", fmt.Errorf("NATS: %w", err)
	}
	options.NoSigs, options.LogFile = true, p.log("nats")
	ns, err := server.NewServer(options)
	if err != nil {
		return "", fmt.Errorf("NATS: %w", err)
	}
	ns.ConfigureLogger()
	ns.Start()
	p.running = append(p.running, &child{name: "nats", halt: func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	}})
	if !ns.ReadyForConnections(startWithin) {
		return "", fmt.Errorf("NATS did not become ready: see %s", p.log("nats"))
	}
	return "nats://" + address, nil
}

// command returns a binary's command that logs to a file of its own.
func (p *parts) command(name string, env []string, args ...string) (*exec.Cmd, *os.File, error) {
	path := filepath.Join(p.bin, name)
	if _, err := os.Stat(path); err != nil {
		return nil, nil, fmt.Errorf("%w: “make run-services” builds it", err)
	}
	log, err := os.OpenFile(p.log(name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(environment(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	// Ctrl-C is for this process, which stops the others in order; should it be
	// killed, the system tells them, and nobody has the directory before they end.
	cmd.ExtraFiles = []*os.File{p.lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return cmd, log, nil
}

// environment is ours without what configures On Record: the parts get their
// settings from here.
func environment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "ONRECORD_") && !strings.HasPrefix(e, "NATS_") {
			env = append(env, e)
		}
	}
	return env
}

// once runs a command to its end.
func (p *parts) once(ctx context.Context, name string, env []string, args ...string) error {
	cmd, log, err := p.command(name, env, args...)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	if err := cmd.Wait(); err != nil {
		return errors.Join(fmt.Errorf("%s: %w\n%s", name, err, p.lastWords(name)), ctx.Err())
	}
	return nil
}

// begin starts a command as a part.
func (p *parts) begin(name string, cmd *exec.Cmd, log io.Closer) (*child, error) {
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	c := &child{name: name, cmd: cmd, ended: make(chan struct{})}
	go func() {
		c.err = errors.Join(cmd.Wait(), log.Close())
		close(c.ended)
		p.failed <- fmt.Errorf("%s ended by itself (%s); its last words:\n%s", name, fmt.Sprint(c.err), p.lastWords(name))
	}()
	p.running = append(p.running, c)
	return c, nil
}

// lastWords returns the end of a part's log.
func (p *parts) lastWords(name string) string {
	text, err := os.ReadFile(p.log(name))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// startMongoDB starts the MongoDB-compatible server and returns its address.
func (p *parts) startMongoDB(ctx context.Context) (string, error) {
	cmd, log, err := p.command("ferretdb", nil, "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(p.dir, "mongodb"))
	if err != nil {
		return "", err
	}
	cmd.Stdout = nil // it prints its address there
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", errors.Join(err, log.Close())
	}
	if _, err := p.begin("ferretdb", cmd, log); err != nil {
		return "", err
	}
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(out).ReadString('\n')
		line <- strings.TrimSpace(text)
	}()
	select {
	case address := <-line:
		if address != "" {
			return address, nil
		}
		return "", <-p.failed
	case <-time.After(startWithin):
		return "", fmt.Errorf("the MongoDB-compatible server did not become ready: see %s", p.log("ferretdb"))
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// startService starts a service and returns its address once it is ready.
func (p *parts) startService(ctx context.Context, name string, env []string) (string, error) {
	address, err1 := freeAddress()
	operator, err2 := freeAddress()
	if err := errors.Join(err1, err2); err != nil {
		return "", err
	}
	args := []string{"--operator-listen", operator}
	if name != "classifier" {
		args = append(args, "--listen", address)
	}
	cmd, log, err := p.command(name, env, args...)
	if err != nil {
		return "", err
	}
	c, err := p.begin(name, cmd, log)
	if err != nil {
		return "", err
	}
	return address, p.awaitReady(ctx, c, operator)
}

func (p *parts) awaitReady(ctx context.Context, c *child, operator string) error {
	client := &http.Client{Timeout: 10 * time.Second}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); {
		if res, err := client.Get("http://" + operator + "/readyz"); err == nil {
			text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
			last = string(text)
		}
		select {
		case <-tick.C:
		case <-c.ended:
			return <-p.failed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("%s did not become ready in %s: %s\n%s", c.name, startWithin, last, p.lastWords(c.name))
}

// stop stops every part, the newest first, so that nothing loses what it needs.
func (p *parts) stop() error {
	var errs []error
	for n := len(p.running) - 1; n >= 0; n-- {
		c := p.running[n]
		if c.halt != nil {
			c.halt()
			continue
		}
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-c.ended:
		case <-time.After(stopWithin):
			errs = append(errs, fmt.Errorf("%s did not stop in %s and was killed", c.name, stopWithin))
			_ = c.cmd.Process.Kill()
			<-c.ended
		}
	}
	return errors.Join(errs...)
}

// reportingPaths are those that reporting serves; intake serves the rest. They
// are the same as in ../proxy/nginx.conf.
var reportingPaths = []string{"/incidents", "/figures", "/editions", "/people", "/sites", "/model", "/setup", "/sign-out", "/sign-in", "/api/v1/incidents", "/api/v1/figures", "/api/v1/editions"}

// newProxy sends each request to the service that serves it, and says in its
// own words where it came from.
func newProxy(s site) http.Handler {
	to := func(address string) http.Handler {
		return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		}}
	}
	intake, reporting := to(s.intake), to(s.reporting)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, path := range reportingPaths {
			if strings.HasPrefix(r.URL.Path, path) {
				reporting.ServeHTTP(w, r)
				return
			}
		}
		intake.ServeHTTP(w, r)
	})
}
