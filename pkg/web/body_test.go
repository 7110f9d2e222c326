package web_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/web/webtest"
)

// Photos come in the clear. A library that puts large ones aside in temporary
// files leaves them there when the process is killed.
func TestWhatIsSentRestsInNoFile(t *testing.T) {
	const size = 20 << 20
	t.Setenv("TMPDIR", t.TempDir())
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	part, err := parts.CreateFormFile("photo", "demo.jpg")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write(bytes.Repeat([]byte("x"), size)); err != nil {
		t.Fatal(err)
	}
	if err := parts.Close(); err != nil {
		t.Fatal(err)
	}
	sent := form.Len()
	app := newApp(t, web.Route{Method: "POST", Path: "/x", Who: []web.Role{web.Anyone}, MaxBody: 32 << 20, Handler: func(c *fiber.Ctx) error {
		files, err := os.ReadDir(os.TempDir())
		if err != nil || len(files) != 0 {
			t.Errorf("while it is answered %d files lie about, %v", len(files), err)
		}
		if n := len(c.Request().Body()); n != sent {
			t.Errorf("%d bytes came, want the %d that were sent", n, sent)
		}
		return ok(c)
	}})
	s := serveOn(t, app, "127.0.0.1:0")
	res, err := http.Post("http://"+s.addr+"/x", parts.FormDataContentType(), &form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("status=%d", res.StatusCode)
	}
	s.stop(t)
}

// Words that are refused are shown again, in thirty times their size: only photos
// and files may be large.
func TestOnlyABodyInPartsMayBeLarge(t *testing.T) {
	s := serve(t, web.Route{Method: "POST", Path: "/x", Who: []web.Role{web.Anyone}, MaxBody: 32 << 20, Handler: ok})
	defer s.stop(t)
	for _, c := range []struct {
		kind       string
		size, want int
	}{
		{"multipart/form-data; boundary=x", 3 << 20, 200},
		{"Multipart/Form-Data; boundary=x", 3 << 20, 200},
		{"application/x-www-form-urlencoded", web.MaxJSONBody, 200},
		{"application/x-www-form-urlencoded", web.MaxJSONBody + 1, 413},
		{"application/x-www-form-urlencoded", 3 << 20, 413},
		{"application/json", 3 << 20, 413},
		{"text/plain, multipart/form-data", 3 << 20, 413},
		{"", 3 << 20, 413},
	} {
		conn := dial(t, s)
		send(t, conn, fmt.Sprintf("POST /x HTTP/1.1\r\nHost: demo\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", c.kind, c.size))
		_, _ = conn.Write(bytes.Repeat([]byte("x"), c.size)) // it may be refused before
		if status, _, _ := answer(t, conn); status != c.want {
			t.Errorf("%d bytes of %q: %d, want %d", c.size, c.kind, status, c.want)
		}
	}
}

// A few kilobytes of compressed nothing become as many megabytes when somebody
// looks at them, and a limit on what was sent does not see it.
func TestNoBodyIsUnpacked(t *testing.T) {
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	if _, err := w.Write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	app := newApp(t, route("POST", "/api/v1/x", func(c *fiber.Ctx) error {
		if n := len(c.Body()); n > web.MaxJSONBody {
			t.Errorf("a handler was given %d bytes", n)
		}
		return ok(c)
	}, web.Anyone))
	for _, encoding := range []string{"gzip", "br", "deflate", "identity, gzip", "GZIP"} {
		got := webtest.Do(t, app, "POST", "/api/v1/x", bomb.String(), "Content-Encoding", encoding)
		if got.StatusCode != http.StatusUnsupportedMediaType || !strings.Contains(got.Body, "unsupported_media") {
			t.Errorf("%s: %d %s, want 415", encoding, got.StatusCode, got.Body)
		}
	}
	if got := webtest.Do(t, app, "POST", "/api/v1/x", "{}", "Content-Encoding", "identity"); got.StatusCode != http.StatusOK {
		t.Errorf("identity: %d %s", got.StatusCode, got.Body)
	}
}
