package mongotest_test

import (
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/mongotest"
)

func TestServersRunSideBySideAndEnd(t *testing.T) {
	dir := t.TempDir()
	first, second := mongotest.StartIn(t, dir), mongotest.Start(t)
	for _, uri := range []string{first.URI, second} {
		if err := dial(t, uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	first.Stop()
	if err := dial(t, first.URI); err == nil {
		t.Error("a stopped server still answers")
	}
	again := mongotest.StartIn(t, dir)
	again.Kill()
	again.Stop()
	if err := dial(t, again.URI); err == nil {
		t.Error("a killed server still answers")
	}
}

func dial(t *testing.T, uri string) error {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", u.Host, 10*time.Second)
	if err == nil {
		err = conn.Close()
	}
	return err
}
