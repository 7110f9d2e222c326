package web_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/web/webtest"
)

func tellClient(c *fiber.Ctx) error {
	return c.SendString(web.ClientNetwork(c))
}

// A request without a socket comes from 0.0.0.0.
func TestNobodyCanMakeUpTheirAddress(t *testing.T) {
	for _, c := range []struct {
		name      string
		trusted   []string
		forwarded []string
		want      string
	}{
		{"nobody is trusted", nil, []string{"198.51.100.1"}, "0.0.0.0"},
		{"another is trusted", []string{"10.0.0.0/8"}, []string{"198.51.100.1"}, "0.0.0.0"},
		{"no header", []string{"0.0.0.0"}, nil, "0.0.0.0"},
		{"one proxy", []string{"0.0.0.0"}, []string{"198.51.100.1"}, "198.51.100.1"},
		{"made up on the left", []string{"0.0.0.0"}, []string{"192.0.2.1, 198.51.100.1"}, "198.51.100.1"},
		{"made up in a header of its own", []string{"0.0.0.0"}, []string{"192.0.2.1", "198.51.100.1"}, "198.51.100.1"},
		{"two proxies", []string{"0.0.0.0", "10.0.0.0/8"}, []string{"192.0.2.1, 198.51.100.1,10.1.2.3"}, "198.51.100.1"},
		{"proxies only", []string{"0.0.0.0", "10.0.0.0/8"}, []string{"10.9.9.9, 10.1.2.3"}, "0.0.0.0"},
		{"no address", []string{"0.0.0.0"}, []string{"192.0.2.1, nonsense"}, "0.0.0.0"},
		{"IPv6", []string{"0.0.0.0/32", "2001:db8:ffff::/48"}, []string{"2001:db8:1:2:3::4, 2001:db8:ffff::1"}, "2001:db8:1:2::/64"},
		{"IPv4 written as IPv6", []string{"::ffff:0.0.0.0"}, []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
	} {
		app, err := web.New(web.Config{Log: slog.New(slog.DiscardHandler), Assets: webtest.Assets(t), TrustedProxies: c.trusted})
		if err != nil {
			t.Fatal(err)
		}
		app.Mount([]web.Route{route("GET", "/x", tellClient, web.Anyone)})
		req := httptest.NewRequestWithContext(t.Context(), "GET", "/x", nil)
		req.Header["X-Forwarded-For"] = c.forwarded
		res, err := app.Test(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if string(b) != c.want {
			t.Errorf("%s: client=%q, want %q", c.name, b, c.want)
		}
	}
}

func FuzzClientIsWhomTheProxySaw(f *testing.F) {
	for _, made := range []string{"", "192.0.2.1", "10.0.0.2, ", ",,", "unknown", "[2001:db8::1]:443", "fe80::1%eth0"} {
		f.Add(made)
	}
	f.Fuzz(func(t *testing.T, made string) {
		if got := web.ClientBehind(made + ", 198.51.100.9, 10.0.0.7"); got != "198.51.100.9" {
			t.Errorf("%q put the client at %s", made, got)
		}
		if _, err := netip.ParseAddr(web.ClientBehind(made)); err != nil {
			t.Errorf("%q: %v", made, err)
		}
	})
}

func TestATrustedProxyMustBeAnAddressOrANetwork(t *testing.T) {
	for _, text := range []string{"", "localhost", "10.0.0.0/33", "192.0.2.1:80", "10.0.0."} {
		_, err := web.New(web.Config{Log: slog.New(slog.DiscardHandler), Assets: webtest.Assets(t), TrustedProxies: []string{"192.0.2.1", text}})
		if err == nil || !strings.Contains(err.Error(), "want an address like") {
			t.Errorf("%q: err=%v, want it to say what to give", text, err)
		}
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7":            "192.0.2.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"fe80::1":              "fe80::/64",
	} {
		if got := web.Network(netip.MustParseAddr(address)); got != want {
			t.Errorf("network(%q)=%q, want %q", address, got, want)
		}
	}
}

// answers reports whether a connection is open and answered.
func answers(c net.Conn) bool {
	if c.SetDeadline(time.Now().Add(soon)) != nil {
		return false
	}
	_, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: demo\r\n\r\n")
	if err != nil {
		return false
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close()) == nil && res.StatusCode == http.StatusOK
}

func TestOneNetworkCannotTakeEveryConnection(t *testing.T) {
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		app := newApp(t)
		if was := app.SetPerNetwork(2); was != 1024 {
			t.Errorf("limit=%d, want 1024", was)
		}
		s := serveOn(t, app, listen)
		dial := func() net.Conn {
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
		first, second := dial(), dial()
		for n, c := range []net.Conn{first, second} { // who waited longest is known once the server has noted each
			if !answers(c) {
				t.Fatalf("%s: the first two are not answered", listen)
			}
			for deadline := time.Now().Add(soon); app.Idle() <= n; runtime.Gosched() {
				if time.Now().After(deadline) {
					t.Fatalf("%s: %d connections wait, want %d", listen, app.Idle(), n+1)
				}
			}
		}
		if !answers(dial()) {
			t.Errorf("%s: a third connection is not answered: whoever holds two keeps their network out", listen)
		}
		if answers(first) || !answers(second) {
			t.Errorf("%s: want the one that had waited longest closed, and it alone", listen)
		}
		s.stop(t)
	}
}

func TestAProxysConnectionsAreNotCounted(t *testing.T) {
	app, err := web.New(web.Config{Log: slog.New(slog.DiscardHandler), Assets: webtest.Assets(t), TrustedProxies: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := app.SetPerNetwork(0); got != 0 {
		t.Errorf("limit=%d, want none: everybody comes from the proxy", got)
	}
}

// What is wrong may name files and addresses: only somebody on this machine is
// told.
func TestWhyItIsNotReadyIsToldOnThisMachineOnly(t *testing.T) {
	app, err := web.New(web.Config{Log: slog.New(slog.DiscardHandler), Assets: webtest.Assets(t),
		Ready: func(context.Context) error { return errors.New("store: /var/lib/demo is full") }})
	if err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, app, "127.0.0.1:0")
	for _, c := range []struct {
		name, host, header string
		told               bool
	}{
		{"the operator", "", "", true},
		{"by another name", "demo.example", "", false},
		{"by another name, lying", "demo.example", "X-Forwarded-Host", false},
		{"through a proxy", "", "X-Forwarded-For", false},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+s.addr+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if req.Host = c.host; c.header != "" {
			req.Header.Set(c.header, "localhost")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != http.StatusServiceUnavailable || strings.Contains(string(body), "/var/lib") != c.told {
			t.Errorf("%s: %d %q", c.name, res.StatusCode, body)
		}
	}
	s.stop(t)
}
