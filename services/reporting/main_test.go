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

	"github.com/nats-io/nats-server/v2/server"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

func none(string) (string, bool) { return "", false }

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	env := func(name string) (string, bool) {
		return "many", name == "ONRECORD_THRESHOLD"
	}
	err := serve(t.Context(), []string{"--log-level", "info", "extra"}, env, io.Discard)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"extra", "ONRECORD_THRESHOLD", "master key"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error=%q, want %q in it", err, want)
		}
	}
}

func TestAPortInUseIsSaidBeforeAnythingIsOpened(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	database := filepath.Join(t.TempDir(), "reporting.db")
	err = serve(t.Context(), []string{"--listen", ln.Addr().String(), "--database", database, "--master-key", masterKey}, none, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error=%v, want that the address is in use", err)
	}
	if files, _ := filepath.Glob(database + "*"); len(files) > 0 {
		t.Errorf("%v were made all the same", files)
	}
}

var masterKey = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))

func TestItServesAgainstAnExternalStream(t *testing.T) {
	ns, err := server.NewServer(&server.Options{Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() {
		ns.Shutdown()
		ns.WaitForShutdown()
	})
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server did not start")
	}
	var out runtest.Output
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, []string{"--listen", "127.0.0.1:0", "--nats-url", ns.ClientURL(), "--apply-stream", "--stream-max-bytes", fmt.Sprint(64 << 20),
			"--database", filepath.Join(t.TempDir(), "reporting.db"), "--master-key", masterKey}, none, &out)
	}()
	link := regexp.MustCompile(`http://127\.0\.0\.1:\d+/setup\?token=\S+`)
	deadline := time.Now().Add(20 * time.Second)
	for {
		if err := ready(link.FindString(out.String())); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%v; it wrote: %s", err, out.String())
		}
		<-time.After(10 * time.Millisecond)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("stopped with %v", err)
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
