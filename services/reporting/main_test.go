package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// withKey is an environment that holds a master key and nothing else.
func withKey(name string) (string, bool) {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)), name == "ONRECORD_MASTER_KEY"
}

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	var errs bytes.Buffer
	env := func(name string) (string, bool) { return "many", name == "ONRECORD_THRESHOLD" }
	code := newReporting().Start(t.Context(), []string{"--trusted-proxy", "proxy.example", "extra"}, env, io.Discard, &errs)
	for _, want := range []string{"extra", "ONRECORD_THRESHOLD", "proxy.example", "master key"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("errors lack %q: %s", want, errs.String())
		}
	}
	if code != run.ExitMistake {
		t.Errorf("code=%d, want %d", code, run.ExitMistake)
	}
}

func TestAPortInUseIsSaidBeforeAnythingIsOpened(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	database := filepath.Join(t.TempDir(), "reporting.db")
	var errs bytes.Buffer
	code := newReporting().Start(t.Context(), []string{"--listen", ln.Addr().String(), "--operator-listen", "127.0.0.1:0", "--database", database}, withKey, io.Discard, &errs)
	if code != run.ExitFailed || !strings.Contains(errs.String(), "address already in use") {
		t.Errorf("code=%d errors=%s, want that the address is in use", code, errs.String())
	}
	if files, _ := filepath.Glob(database + "*"); len(files) > 0 {
		t.Errorf("%v were made all the same", files)
	}
}

func TestItServesAgainstAnExternalStream(t *testing.T) {
	url := bustest.Listen(t)
	b, err := bus.New(bustest.Dial(t, url), bustest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(t.Context(), bus.Settings{MaxBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	var out runtest.Output
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- newReporting().Start(ctx, []string{"--listen", "127.0.0.1:0", "--operator-listen", "127.0.0.1:0", "--nats-url", url,
			"--database", filepath.Join(t.TempDir(), "reporting.db")}, withKey, io.Discard, &out)
	}()
	link := regexp.MustCompile(`http://127\.0\.0\.1:\d+/setup\?token=\S+`)
	runtest.Eventually(t, time.Minute, func() error {
		if err := ready(link.FindString(out.String())); err != nil {
			return fmt.Errorf("%w; it wrote: %s", err, out.String())
		}
		return nil
	})
	stop()
	if code := <-ended; code != run.ExitOK {
		t.Errorf("stopped with %d: %s", code, out.String())
	}
}

// ready returns nil when the setup page and the readiness answer 200.
func ready(setup string) error {
	if setup == "" {
		return errors.New("no link to create the first administrator yet")
	}
	for _, url := range []string{setup, setup[:strings.Index(setup, "/setup")] + "/readyz"} {
		res, err := http.Get(url)
		if err != nil {
			return err
		}
		if err := res.Body.Close(); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: status=%d, want 200", url, res.StatusCode)
		}
	}
	return nil
}
