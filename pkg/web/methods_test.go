package web_test

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/web/webtest"
)

func TestHEADIsAnsweredLikeGETWithoutABody(t *testing.T) {
	app := newApp(t, route("GET", "/x/", ok, web.Anyone), route("GET", "/reps/", ok, web.RoleRep), route("POST", "/post", ok, web.Anyone))
	for _, c := range []struct {
		path, cookie string
		want         int
	}{
		{"/x/", "", 200},
		{"/healthz", "", 200},
		{"/reps/", "", 303},
		{"/reps/", "onrecord-session=manager", 403},
		{"/reps/", "onrecord-session=rep", 200},
		{"/post", "", 405},
		{"/nowhere", "", 404},
	} {
		get := webtest.Get(t, app, c.path, "Cookie", c.cookie)
		head := webtest.Do(t, app, "HEAD", c.path, "", "Accept", "text/html", "Cookie", c.cookie)
		if head.StatusCode != c.want || get.StatusCode != c.want || head.Body != "" {
			t.Errorf("%s as %q: HEAD %d, GET %d, want %d; body=%q", c.path, c.cookie, head.StatusCode, get.StatusCode, c.want, head.Body)
		}
	}
	if n := len(app.Routes()); n != 6 {
		t.Errorf("%d routes, want the 3 that were mounted and 3 own", n)
	}
}

// isProblem checks that an answer is one of ours.
func isProblem(t *testing.T, what string, res *http.Response, body string, status int) {
	t.Helper()
	var p web.Problem
	err := json.Unmarshal([]byte(body), &p)
	if err != nil || res.StatusCode != status || p.Status != status || res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: %d %s %q, want problem details of a %d", what, res.StatusCode, res.Header.Get("Content-Type"), body, status)
	}
	if got := res.Header.Get("X-Content-Type-Options"); got != "nosniff" {
		t.Errorf("%s: the answer lacks our headers", what)
	}
}

func TestOtherMethodsAreRefusedInOurWords(t *testing.T) {
	app := newApp(t, route("GET", "/api/v1/x", ok, web.Anyone), route("POST", "/api/v1/x", ok, web.Anyone))
	for _, method := range []string{"PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"} {
		got := webtest.Do(t, app, method, "/api/v1/x", "")
		isProblem(t, method, got.Response, got.Body, 405)
		if method != "BREW" && got.Header.Get("Allow") != "GET, HEAD, POST" {
			t.Errorf("%s: Allow=%q", method, got.Header.Get("Allow"))
		}
	}
	app.Mount([]web.Route{route("GET", "/page/", ok, web.Anyone)})
	page := webtest.Do(t, app, "DELETE", "/page/", "", "Accept", "*/*")
	isProblem(t, "DELETE a page", page.Response, page.Body, 405)
	got := webtest.Do(t, app, "PUT", "/api/v1/nowhere", "")
	isProblem(t, "PUT nowhere", got.Response, got.Body, 404)
}

func TestWhatCouldNotBeReadIsRefusedAsAProblem(t *testing.T) {
	s := serve(t, route("POST", "/x", ok, web.Anyone))
	defer s.stop(t)
	ask := func(request string) (*http.Response, string) {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(b)
	}
	for what, request := range map[string]string{
		"garbage":      "what\r\n\r\n",
		"long headers": "GET /x HTTP/1.1\r\nHost: demo\r\nX-Long: " + strings.Repeat("x", 16<<10) + "\r\n\r\n",
		"bad length":   "POST /x HTTP/1.1\r\nHost: demo\r\nContent-Length: many\r\n\r\n",
	} {
		res, body := ask(request)
		isProblem(t, what, res, body, 400)
	}
	res, body := ask("POST /x HTTP/1.1\r\nHost: demo\r\nAccept: text/html\r\nContent-Length: 9999999\r\n\r\n")
	if res.StatusCode != 413 || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		t.Errorf("a browser's body over the limit: %d %s %.40q, want a page", res.StatusCode, res.Header.Get("Content-Type"), body)
	}
}

// Whoever stands in front may have ended the first request elsewhere: nothing that
// comes after it on the connection may be answered.
func TestARequestWithTwoLengthsEndsItsConnection(t *testing.T) {
	s := serve(t, route("POST", "/x", ok, web.Anyone))
	defer s.stop(t)
	const next = "GET /healthz HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n"
	for what, c := range map[string]struct {
		headers string
		answers int
	}{
		"chunked alone":      {"Transfer-Encoding: chunked\r\n", 2},
		"length first":       {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 1},
		"length last":        {"Transfer-Encoding: chunked\r\ncontent-length: 5\r\n", 1},
		"in another's value": {"Transfer-Encoding: chunked\r\nX-Named: Content-Length: 5\r\n", 2},
	} {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "POST /x HTTP/1.1\r\nHost: demo\r\n"+c.headers+"\r\n0\r\n\r\n"+next); err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(conn)
		if err != nil && len(all) == 0 {
			t.Fatal(err)
		}
		got := strings.Count(string(all), "HTTP/1.1 ")
		if refused := strings.HasPrefix(string(all), "HTTP/1.1 400 "); got != c.answers || refused != (c.answers == 1) {
			t.Errorf("%s: %d answers, want %d: %.300q", what, got, c.answers, all)
		}
	}
}

// A parent domain's administrator decides about its other names.
func TestStrictTransportIsSaidOfThisHostAlone(t *testing.T) {
	app, err := web.New(web.Config{Log: slog.New(slog.DiscardHandler), Assets: webtest.Assets(t), Secure: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := webtest.Get(t, app, "/healthz").Header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
		t.Errorf("Strict-Transport-Security=%q", got)
	}
}
