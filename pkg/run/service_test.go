package run

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// colour is a setting for tests.
type colour struct{ name string }

func (c *colour) AddTo(f *pflag.FlagSet) {
	f.StringVar(&c.name, "colour", "grey", "`name` of a colour")
}

func (c *colour) Check() error {
	if c.name == "" {
		return errors.New("colour: it is missing")
	}
	return nil
}

func service(run func(ctx context.Context, p Process) error) (Service, *colour) {
	var c colour
	return Service{Name: "painter", About: "painter paints.", Operator: "127.0.0.1:0", Settings: []Settings{&c}, Run: run}, &c
}

func start(t *testing.T, s Service, lookup func(string) (string, bool), args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = s.Start(t.Context(), args, lookup, &o, &e)
	return code, o.String(), e.String()
}

func never(t *testing.T) func(context.Context, Process) error {
	return func(context.Context, Process) error {
		t.Error("it ran")
		return nil
	}
}

func TestHelpAndVersionRunNothing(t *testing.T) {
	s, _ := service(never(t))
	code, out, errs := start(t, s, env(), "--help")
	for _, want := range []string{"painter paints.", "--colour name", "--operator-listen", "--config", "ONRECORD_"} {
		if !strings.Contains(out, want) {
			t.Errorf("help lacks %q:\n%s", want, out)
		}
	}
	if code != ExitOK || errs != "" {
		t.Errorf("code=%d errors=%q", code, errs)
	}
	if code, out, _ := start(t, s, env(), "--version"); code != ExitOK || out != "painter "+Version+"\n" {
		t.Errorf("code=%d version=%q", code, out)
	}
}

func TestWhatIsNoAddressIsAMistake(t *testing.T) {
	for _, good := range []string{":8080", "localhost:0", "127.0.0.1:65535", "[::1]:80"} {
		if err := CheckAddress("listen", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "localhost", "8080", ":", "localhost:", ":65536", ":-1", ":http", "::1:80"} {
		if err := CheckAddress("listen", bad); err == nil || !strings.Contains(err.Error(), "like localhost:8080") {
			t.Errorf("%q: %v, want a mistake with an example", bad, err)
		}
	}
}

func TestAListenerThatCannotBeOpenedSaysWhatToDo(t *testing.T) {
	first, err := Listen(t.Context(), "listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for address, want := range map[string]string{
		first.Addr().String(): "another program uses it",
		"203.0.113.1:0":       "this machine has no such address", // one for documentation
	} {
		if _, err := Listen(t.Context(), "listen", address); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--listen") {
			t.Errorf("%s: %v, want %q and the flag", address, err, want)
		}
	}
}

func TestEveryMistakeOfAServiceIsToldAtOnce(t *testing.T) {
	s, _ := service(never(t))
	code, _, errs := start(t, s, env("ONRECORD_COLOUR", "", "ONRECORD_LOG_LEVEL", "loud"), "--log-format", "xml", "now", "--config", "none.conf", "--operator-listen", "nowhere")
	for _, want := range []string{`operator-listen "nowhere"`, "none.conf", `"now"`, "colour: it is missing", "log level", "painter --help"} {
		if !strings.Contains(errs, want) {
			t.Errorf("errors lack %q:\n%s", want, errs)
		}
	}
	if code != ExitMistake {
		t.Errorf("code=%d, want %d", code, ExitMistake)
	}
	if code, _, errs := start(t, s, env(), "--color", "red"); code != ExitMistake || !strings.Contains(errs, "color") {
		t.Errorf("an unknown flag: code=%d errors=%q", code, errs)
	}
}

func TestAServiceReadsItsFileAndAnswersItsOperator(t *testing.T) {
	file := filepath.Join(t.TempDir(), "painter.conf")
	if err := os.WriteFile(file, []byte("colour: green\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ready := errors.New("the brush: it is dry")
	s, c := service(nil)
	s.Run = func(ctx context.Context, p Process) error {
		if c.name != "green" {
			t.Errorf("colour=%s, want the file's", c.name)
		}
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		return p.Run(ctx, func(context.Context) error { return ready }, Part{"brush", func(ctx context.Context) error {
			defer stop()
			get := func(path string) (int, string) {
				res, err := http.Get("http://" + p.operator.Addr().String() + path)
				if err != nil {
					t.Error(err)
					return 0, ""
				}
				defer res.Body.Close()
				body, _ := io.ReadAll(res.Body)
				return res.StatusCode, string(body)
			}
			if code, body := get("/healthz"); code != http.StatusOK || body != "ok\n" {
				t.Errorf("healthz=%d %q", code, body)
			}
			if code, body := get("/readyz"); code != http.StatusServiceUnavailable || body != "not ready: the brush: it is dry\n" {
				t.Errorf("readyz=%d %q", code, body)
			}
			ready = nil
			if code, body := get("/readyz"); code != http.StatusOK || body != "ready\n" {
				t.Errorf("readyz=%d %q", code, body)
			}
			asks := func(want int, says string) {
				_, port, _ := net.SplitHostPort(p.operator.Addr().String())
				for _, address := range []string{"127.0.0.1:" + port, "0.0.0.0:" + port, ":" + port} {
					code, out, errs := start(t, s, env("ONRECORD_CONFIG", file), "--ask-ready", "--operator-listen", address)
					if code != want || !strings.Contains(out+errs, says) {
						t.Errorf("--ask-ready at %s: code=%d %q, want %d and %q", address, code, out+errs, want, says)
					}
				}
			}
			asks(ExitOK, "ready")
			ready = errors.New("the brush: it is lost")
			asks(ExitFailed, "the brush: it is lost")
			if code, body := get("/metrics"); code != http.StatusOK || !strings.Contains(body, "process_resident_memory_bytes") {
				t.Errorf("metrics=%d %q", code, body)
			}
			if code, _ := get("/"); code != http.StatusNotFound {
				t.Errorf("/=%d", code)
			}
			req, err := http.NewRequest("GET", "http://"+p.operator.Addr().String()+"/metrics", nil)
			if err != nil {
				t.Error(err)
				return nil
			}
			req.Host = "rebound.example"
			if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != http.StatusNotFound {
				t.Errorf("asked by a page of another site: %v %v", res, err)
			}
			stop()
			<-ctx.Done()
			return nil
		}})
	}
	if code, _, errs := start(t, s, env("ONRECORD_CONFIG", file)); code != ExitOK {
		t.Errorf("code=%d errors=%q", code, errs)
	}
}

func TestAskingNobodyIsNotReady(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	s, _ := service(never(t))
	if code, _, errs := start(t, s, env(), "--ask-ready", "--operator-listen", ln.Addr().String()); code != ExitFailed || errs == "" {
		t.Errorf("code=%d errors=%q", code, errs)
	}
}

func TestAnOperatorsPortInUseIsSaid(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s, _ := service(never(t))
	code, _, errs := start(t, s, env(), "--operator-listen", ln.Addr().String())
	if code != ExitFailed || !strings.Contains(errs, "already in use") || !strings.Contains(errs, "--operator-listen") {
		t.Errorf("code=%d errors=%q", code, errs)
	}
}
