package remote_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/bus/remote"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// read returns the settings that the flags give.
func read(t *testing.T, flags ...string) *remote.Settings {
	t.Helper()
	var s remote.Settings
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	s.AddTo(f)
	if err := f.Parse(flags); err != nil {
		t.Fatal(err)
	}
	return &s
}

func connect(t *testing.T, log io.Writer, flags ...string) (*nats.Conn, error) {
	t.Helper()
	s := read(t, flags...)
	if err := s.Check(); err != nil {
		return nil, err
	}
	nc, err := s.Connect(t.Context(), "test", slog.New(slog.NewTextHandler(log, nil)))
	if err == nil {
		t.Cleanup(nc.Close)
	}
	return nc, err
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const secret = "hunter2-of-the-demo"

func TestMistakesNameTheSettingAndNoSecret(t *testing.T) {
	ca := bustest.NewAuthority(t, "demo authority")
	old, oldKey := ca.Issue("demo", time.Now().Add(-time.Minute))
	good, goodKey := ca.Issue("demo", time.Now().Add(time.Hour))
	for _, c := range []struct {
		want  string
		flags []string
	}{
		{"nats-url: give the user", []string{"--nats-url", "nats://me:" + secret + "@demo:4222"}},
		{"nats-url: want addresses", []string{"--nats-url", "nats://me:" + secret + "@demo:port"}},
		{"nats-url: want an address", []string{"--nats-url", "https://demo"}},
		{"nats-url: want an address", []string{"--nats-url", "nats://one:4222,"}},
		{"give one of them", []string{"--nats-user", "me", "--nats-nkey", "none"}},
		{"nats-creds: ", []string{"--nats-creds", "none"}},
		{"nats-creds: ", []string{"--nats-creds", file(t, secret)}},
		{"nats-nkey: ", []string{"--nats-nkey", "none"}},
		{"nats-nkey: ", []string{"--nats-nkey", file(t, secret)}},
		{"nats-password-file: the password", []string{"--nats-user", "me"}},
		{"nats-password-file: ", []string{"--nats-user", "me", "--nats-password-file", "none"}},
		{"is empty", []string{"--nats-user", "me", "--nats-password-file", file(t, "\n")}},
		{"both given", []string{"--nats-user", "me", "--nats-password-file", file(t, secret), "--nats-password", secret}},
		{"nats-user: ", []string{"--nats-password", secret}},
		{"nats-ca: ", []string{"--nats-ca", "none"}},
		{"holds no certificate", []string{"--nats-ca", file(t, secret)}},
		{"go together", []string{"--nats-cert", good}},
		{"nats-cert, nats-key: ", []string{"--nats-cert", good, "--nats-key", oldKey}},
		{"expired at", []string{"--nats-cert", old, "--nats-key", oldKey}},
		{"", []string{"--nats-cert", good, "--nats-key", goodKey, "--nats-ca", ca.File, "--nats-url", "one:4222, tls://two:4222"}},
	} {
		err := read(t, c.flags...).Check()
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.flags, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: err=%v, want %q", c.flags, err, c.want)
		case err != nil && strings.Contains(err.Error(), secret):
			t.Errorf("%q: the error tells the secret: %v", c.flags, err)
		}
	}
	err := read(t, "--nats-url", "x://y", "--nats-user", "me", "--nats-ca", "none").Check()
	for _, want := range []string{"nats-url", "nats-password-file", "nats-ca"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err=%v, want %s in it", err, want)
		}
	}
}

func TestAWrongPasswordIsNamedAndNotTold(t *testing.T) {
	ns := bustest.Start(t, &server.Options{Username: "me", Password: "right"})
	_, err := connect(t, io.Discard, "--nats-url", ns.ClientURL(), "--nats-user", "me", "--nats-password-file", file(t, secret+"\n"))
	if err == nil || !strings.Contains(err.Error(), "--nats-user") || strings.Contains(err.Error(), secret) {
		t.Errorf("err=%v", err)
	}
	nc, err := connect(t, io.Discard, "--nats-url", ns.ClientURL(), "--nats-user", "me", "--nats-password-file", file(t, "right\n"))
	if err != nil {
		t.Fatal(err)
	}
	if inbox := nc.NewInbox(); !strings.HasPrefix(inbox, "_INBOX.test.") {
		t.Errorf("inbox=%s", inbox)
	}
	_, err = connect(t, io.Discard, "--nats-url", ns.ClientURL())
	if err == nil || !strings.Contains(err.Error(), "check that one is given") {
		t.Errorf("nobody in particular: err=%v", err)
	}
}

// mutual starts a server that speaks TLS and asks for certificates.
func mutual(t *testing.T, ca *bustest.Authority, until time.Time) *server.Server {
	t.Helper()
	certFile, keyFile := ca.Issue("nats", until)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(ca.File)
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	return bustest.Start(t, &server.Options{TLS: true, TLSVerify: true, TLSTimeout: 10,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}})
}

func TestMutualTLS(t *testing.T) {
	ca, other := bustest.NewAuthority(t, "demo authority"), bustest.NewAuthority(t, "another authority")
	soon := time.Now().Add(time.Hour)
	good, goodKey := ca.Issue("intake", soon)
	foreign, foreignKey := other.Issue("intake", soon)
	ns, expired := mutual(t, ca, soon), mutual(t, ca, time.Now().Add(-time.Minute))
	plain := bustest.Start(t, &server.Options{})
	for _, c := range []struct {
		name, want string
		server     *server.Server
		flags      []string
	}{
		{"all is well", "", ns, []string{"--nats-ca", ca.File, "--nats-cert", good, "--nats-key", goodKey}},
		{"the wrong authority", "check --nats-ca", ns, []string{"--nats-ca", other.File, "--nats-cert", good, "--nats-key", goodKey}},
		{"no authority", "check --nats-ca", ns, []string{"--nats-cert", good, "--nats-key", goodKey}},
		{"no certificate", "give --nats-cert and --nats-key", ns, []string{"--nats-ca", ca.File}},
		{"another authority's certificate", "check --nats-cert", ns, []string{"--nats-ca", ca.File, "--nats-cert", foreign, "--nats-key", foreignKey}},
		{"the server's has expired", "has expired", expired, []string{"--nats-ca", ca.File, "--nats-cert", good, "--nats-key", goodKey}},
		{"a server without TLS", "speaks no TLS", plain, []string{"--nats-ca", ca.File}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := connect(t, io.Discard, append(c.flags, "--nats-url", c.server.ClientURL())...)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("err=%v, want %q", err, c.want)
			}
		})
	}
}

func TestAServerThatIsNotThereYetIsWaitedFor(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	var log runtest.Output
	nc, err := connect(t, &log, "--nats-url", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "trying on") {
		t.Errorf("the log does not say so: %s", log.String())
	}
	if err := nc.Publish("demo", nil); err == nil {
		t.Error("what was published while there was no server is kept to be sent later")
	}
	bustest.Start(t, &server.Options{Port: port})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for !nc.IsConnected() {
		select {
		case <-ctx.Done():
			t.Fatalf("it did not connect: %s", log.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// What a user may not do is told by its kind, not by the id of a report.
func TestAMissingPermissionIsLoggedWithoutIDs(t *testing.T) {
	ns := bustest.Start(t, &server.Options{Users: []*server.User{{Username: "me", Password: "right",
		Permissions: &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{"other"}}}}}})
	var log runtest.Output
	nc, err := connect(t, &log, "--nats-url", ns.ClientURL(), "--nats-user", "me", "--nats-password", "right")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("onrecord.v1.report.filed.0199-id-of-a-report", nil); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for !strings.Contains(log.String(), "onrecord.v1.report.filed.…") {
		if time.Now().After(deadline) {
			t.Fatalf("it is not logged: %s", log.String())
		}
		<-time.After(10 * time.Millisecond)
	}
	if strings.Contains(log.String(), "0199") {
		t.Errorf("the log holds the id: %s", log.String())
	}
}
