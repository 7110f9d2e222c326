package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// runIn is the environment variable that makes the test binary the command, with
// its data in that directory: a process of its own can be killed. runBin says
// where its binaries are.
const (
	runIn  = "ONRECORD_TEST_LOCAL_IN"
	runBin = "ONRECORD_TEST_LOCAL_BIN"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(runIn); dir != "" {
		bin = os.Getenv(runBin)
		if err := start(context.Background(), arguments(dir), os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(func() int {
		var err error
		if bin, err = os.MkdirTemp("", "onrecord-local-"); err == nil {
			defer os.RemoveAll(bin)
			err = build()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// bin is where the binaries are until the tests end.
var bin string

// build builds what the command runs.
func build() error {
	for _, b := range []struct {
		dir, env string
		args     []string
	}{
		{"../..", "GOWORK=", []string{"-o", bin + "/", "./services/intake", "./services/classifier", "./services/reporting", "./services/onrecord"}},
		{"../ferretdb", "GOWORK=off", []string{"-tags", "ferretdb_no_postgresql", "-o", filepath.Join(bin, "ferretdb"), "."}},
	} {
		cmd := exec.Command("go", append([]string{"build"}, b.args...)...)
		cmd.Dir, cmd.Env = b.dir, append(os.Environ(), b.env)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	return nil
}

// processes returns the ids of those that run a binary of the tests, by name.
func processes(t *testing.T) map[string]int {
	t.Helper()
	found := make(map[string]int)
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	must(t, err)
	for _, link := range links {
		path, err := os.Readlink(link)
		if err != nil || filepath.Dir(path) != bin {
			continue // it ended meanwhile, or is none of ours
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		must(t, err)
		found[filepath.Base(path)] = pid
	}
	return found
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// local is the command, running.
type local struct {
	t      *testing.T
	out    *runtest.Output
	stop   context.CancelFunc
	ended  chan error
	client *http.Client
}

// arguments are those of the command with its data in a directory.
func arguments(dir string) []string {
	return []string{"--listen", "127.0.0.1:0", "--bin", bin, "--data-dir", dir, "--nats-users", "../nats/users.conf"}
}

func launch(t *testing.T, dir string) *local {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	jar, err := cookiejar.New(nil)
	must(t, err)
	l := &local{t: t, out: &runtest.Output{}, stop: stop, ended: make(chan error, 1), client: &http.Client{Jar: jar, Timeout: time.Minute}}
	go func() {
		l.ended <- start(ctx, arguments(dir), l.out, l.out)
	}()
	t.Cleanup(func() {
		stop()
		l.client.CloseIdleConnections()
	})
	runtest.Eventually(t, 3*time.Minute, func() error {
		select {
		case err := <-l.ended:
			t.Fatalf("it ended: %v\n%s", err, l.out.String())
		default:
		}
		if !strings.Contains(l.out.String(), "Stop with Ctrl-C") {
			return fmt.Errorf("it does not run:\n%s", l.out.String())
		}
		return nil
	})
	return l
}

// url returns the address that it printed.
func (l *local) url() string {
	return regexp.MustCompile(`On Record is at +(\S+)`).FindStringSubmatch(l.out.String())[1]
}

// end stops it as Ctrl-C does.
func (l *local) end() {
	l.t.Helper()
	l.stop()
	if err := <-l.ended; err != nil {
		l.t.Errorf("it ended with %v", err)
	}
}

// send posts a form or JSON and returns the page at the end of all redirects.
func (l *local) send(path, contentType, body string, want int) string {
	l.t.Helper()
	res, err := l.client.Post(l.url()+path, contentType, strings.NewReader(body))
	must(l.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(l.t, err)
	if res.StatusCode != want {
		l.t.Fatalf("POST %s: %d, want %d: %s", path, res.StatusCode, want, text)
	}
	return string(text)
}

func (l *local) form(path string, fields ...string) {
	l.t.Helper()
	form := make(url.Values)
	for n := 0; n+1 < len(fields); n += 2 {
		form.Set(fields[n], fields[n+1])
	}
	l.send(path, "application/x-www-form-urlencoded", form.Encode(), http.StatusOK)
}

func (l *local) file() {
	l.t.Helper()
	report := fmt.Sprintf(`{"id":%q,"site":"unlisted","site_name":"Demo","occurred_at":%q,"narrative":"a man at the front desk threw a chair at the screen and shouted at me"}`,
		uuid.Must(uuid.NewV7()), time.Now().Add(-time.Minute).UTC().Format(time.RFC3339))
	l.send("/api/v1/reports", "application/json", report, http.StatusCreated)
}

// counted waits until this month's figure is n, all of them read by the machine.
func (l *local) counted(n int) {
	l.t.Helper()
	month := time.Now().UTC().Add(-time.Minute).Format("2006-01")
	runtest.Eventually(l.t, time.Minute, func() error {
		res, err := l.client.Get(l.url() + "/api/v1/figures?from=" + month + "&to=" + month)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		var figures struct {
			Months []struct {
				Total int
				Cells []struct {
					Count int
					SetBy struct{ Machine int } `json:"set_by"`
				}
			}
		}
		if err := json.NewDecoder(res.Body).Decode(&figures); err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("%d %w", res.StatusCode, err)
		}
		read := 0
		for _, c := range figures.Months[0].Cells {
			read += c.SetBy.Machine
		}
		if figures.Months[0].Total != n || read != n {
			return fmt.Errorf("counted %d, read by the machine %d, want %d: %+v", figures.Months[0].Total, read, n, figures)
		}
		return nil
	})
}

const demoPassword = "correct horse battery"

// As somebody who looks at the parts: starts them, makes the administrator and
// a rep, files, sees it counted, stops, starts again, and files another.
func TestThePartsRunAsInADeployment(t *testing.T) {
	dir := t.TempDir()
	l := launch(t, dir)
	link := regexp.MustCompile(`http\S+/setup\?token=(\S+)`).FindStringSubmatch(l.out.String())
	if link == nil {
		t.Fatalf("no link for the first administrator:\n%s", l.out.String())
	}
	for _, page := range []string{"/", "/report/", "/sign-in/", "/privacy/", "/setup?token=" + link[1]} {
		res, err := l.client.Get(l.url() + page)
		must(t, err)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", page, res.StatusCode)
		}
	}
	l.form("/setup", "token", link[1], "name", "Demo Administrator", "password", demoPassword, "again", demoPassword)
	l.form("/people/", "name", "Demo Rep", "role", "rep", "scope", "every", "password", demoPassword)
	l.file()
	l.form("/sign-out")
	l.form("/sign-in/", "name", "Demo Rep", "password", demoPassword)
	l.counted(1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := start(ctx, arguments(dir), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "stop it, or name another directory") {
		t.Errorf("two have their data in one directory: %v", err)
	}
	l.end()

	l = launch(t, dir)
	if strings.Contains(l.out.String(), "/setup?token=") {
		t.Error("a link for a first administrator, though there is one")
	}
	l.file()
	l.form("/sign-in/", "name", "Demo Rep", "password", demoPassword)
	l.counted(2)
	l.end()
}

func TestAPartThatEndsEndsAllAndIsNamed(t *testing.T) {
	l := launch(t, t.TempDir())
	there := processes(t)
	if len(there) != 4 {
		t.Fatalf("these run: %v, want intake, classifier, reporting and ferretdb", there)
	}
	must(t, syscall.Kill(there["classifier"], syscall.SIGKILL))
	select {
	case err := <-l.ended:
		if err == nil || !strings.Contains(err.Error(), "classifier ended by itself") {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("a part was killed and nobody noticed")
	}
	if left := processes(t); len(left) > 0 {
		t.Errorf("parts are left running: %v", left)
	}
}

// Killed, it leaves nothing running that would hold ports and wait for ever, and
// its directory is taken until the last part has ended.
func TestNothingIsLeftOfOneThatIsKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), runIn+"="+dir, runBin+"="+bin)
	p := runtest.Launch(t, cmd)
	p.Await(regexp.MustCompile(`(Stop with Ctrl-C)`))
	there := processes(t)
	if len(there) != 4 {
		t.Fatalf("these run: %v, want intake, classifier, reporting and ferretdb", there)
	}
	must(t, syscall.Kill(there["ferretdb"], syscall.SIGSTOP)) // as one that takes its time
	p.Kill()
	if _, err := takeDirectory(dir); err == nil {
		t.Error("the directory is free while the database still has its files open")
	}
	must(t, syscall.Kill(there["ferretdb"], syscall.SIGCONT))
	runtest.Eventually(t, time.Minute, func() error {
		if left := processes(t); len(left) > 0 {
			return fmt.Errorf("parts are left running: %v", left)
		}
		return nil
	})
	runtest.Eventually(t, time.Minute, func() error { // a process that ends has no name before it has no files
		lock, err := takeDirectory(dir)
		if err == nil {
			err = lock.Close()
		}
		return err
	})
}

// Every path that a service's table of routes names is sent to that service.
func TestTheProxySendsEveryRouteToTheServiceThatServesIt(t *testing.T) {
	var where site
	for name, address := range map[string]*string{"intake": &where.intake, "reporting": &where.reporting} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s for %s", name, r.Header.Get("X-Forwarded-For"))
		}))
		t.Cleanup(s.Close)
		*address = s.Listener.Addr().String()
	}
	proxy := newProxy(where)
	walked := 0
	for _, service := range []string{"intake", "reporting"} {
		table, err := os.ReadFile(filepath.Join("..", "..", "services", service, service, "routes.go"))
		must(t, err)
		for _, path := range regexp.MustCompile(`"(/[^"\s]*)"`).FindAllStringSubmatch(string(table), -1) {
			walked++
			r := httptest.NewRequest(http.MethodGet, path[1], nil)
			r.Header.Set("X-Forwarded-For", "203.0.113.9") // of nobody's choosing
			w := httptest.NewRecorder()
			if proxy.ServeHTTP(w, r); w.Body.String() != service+" for 192.0.2.1" {
				t.Errorf("%s: answered by %s", path[1], w.Body)
			}
		}
	}
	if walked < 30 {
		t.Errorf("only %d routes were found: the test looks in the wrong place", walked)
	}
}

func TestMistakesAreSaidBeforeAnythingStarts(t *testing.T) {
	empty := t.TempDir()
	for want, args := range map[string][]string{
		"no arguments":      {"now"},
		"make run-services": {"--bin", empty, "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--nats-users", "../nats/users.conf"},
		"another":           {"--listen", "127.0.0.1:99999"},
	} {
		var out strings.Builder
		if err := start(t.Context(), args, &out, &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want an error that says %q", args, err, want)
		}
	}
}
