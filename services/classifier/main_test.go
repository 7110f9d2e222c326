package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	var errs bytes.Buffer
	env := func(name string) (string, bool) { return "http://nowhere", name == "ONRECORD_NATS_URL" }
	code := newClassifier().Start(t.Context(), []string{"--nats-ca", "none.pem"}, env, io.Discard, &errs)
	for _, want := range []string{"nats-url", "none.pem", "master key"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("errors lack %q: %s", want, errs.String())
		}
	}
	if code != run.ExitMistake {
		t.Errorf("code=%d", code)
	}
}

// Before an administrator has made the stream it is alive and not ready, and
// says what it waits for; afterwards it is ready by itself.
func TestItWaitsForTheStream(t *testing.T) {
	url := bustest.Listen(t)
	var out runtest.Output
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int, 1)
	env := func(name string) (string, bool) {
		return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)), name == "ONRECORD_MASTER_KEY"
	}
	go func() {
		ended <- newClassifier().Start(ctx, []string{"--nats-url", url, "--operator-listen", "127.0.0.1:0"}, env, io.Discard, &out)
	}()
	operator := regexp.MustCompile(`operator=(127\.0\.0\.1:\d+)`)
	wait := func(want string) {
		t.Helper()
		var last string
		for deadline := time.Now().Add(30 * time.Second); ; <-time.After(10 * time.Millisecond) {
			if m := operator.FindStringSubmatch(out.String()); m != nil {
				last = get(t, "http://"+m[1]+"/readyz")
				if strings.Contains(last, want) {
					return
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("readyz=%q, want %q; it wrote: %s", last, want, out.String())
			}
		}
	}
	wait("503 not ready: stream REPORTS: it does not exist: an administrator creates it")
	b, err := bus.New(bustest.Dial(t, url), bustest.Log(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(ctx, bus.Settings{MaxBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	wait("200 ready")
	stop()
	if code := <-ended; code != run.ExitOK {
		t.Errorf("code=%d: %s", code, out.String())
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(res.StatusCode, " ", string(body))
}
