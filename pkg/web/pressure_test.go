package web_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/web"
)

func dial(t *testing.T, s *serving) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil { // a test that waits longer has failed
		t.Fatal(err)
	}
	return c
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// answer reads one answer.
func answer(t *testing.T, c net.Conn) (status int, header http.Header, body string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(b)
}

// refusedBusy fails the test unless the answer is that too much is asked, with
// a time to come back.
func refusedBusy(t *testing.T, c net.Conn) {
	t.Helper()
	status, header, body := answer(t, c)
	var p web.Problem
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("%d %q: %v", status, body, err)
	}
	wait, err := strconv.Atoi(header.Get("Retry-After"))
	if status != http.StatusServiceUnavailable || p.Code != web.CodeBusy || err != nil || wait < 2 || header.Get("Content-Security-Policy") == "" {
		t.Errorf("%d %v %s, want 503, a time to come back and our headers", status, header, body)
	}
}

func TestSlowSendersAreCut(t *testing.T) {
	app := newApp(t, route("POST", "/api/v1/x", ok, web.Anyone))
	app.SetPatience(200 * time.Millisecond)
	s := serveOn(t, app, "127.0.0.1:0")
	for what, text := range map[string]string{
		"nothing at all":       "",
		"half a header":        "GET /healthz HTTP/1.1\r\nHost: de",
		"half a body":          "POST /api/v1/x HTTP/1.1\r\nHost: demo\r\nContent-Length: 100\r\n\r\nhalf",
		"a body in no hurry":   "POST /api/v1/x HTTP/1.1\r\nHost: demo\r\nContent-Length: 100\r\n\r\n",
		"a long body, begun":   "POST /api/v1/x HTTP/1.1\r\nHost: demo\r\nContent-Length: 1000\r\n\r\nx",
		"half a second header": "GET /healthz HTTP/1.1\r\nHost: demo\r\n\r\nGET /he",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := dial(t, s)
			started := time.Now()
			go func() { // a byte now and then, which does not help
				tick := time.NewTicker(50 * time.Millisecond)
				defer tick.Stop()
				for range tick.C {
					if _, err := io.WriteString(c, "x"); err != nil || text == "" {
						return
					}
				}
			}()
			if text != "" {
				send(t, c, text)
			}
			_, _ = io.Copy(io.Discard, c) // until it is closed
			if took := time.Since(started); took > soon {
				t.Errorf("it was cut after %v", took)
			}
		})
	}
}

func TestFarTooLargeAnUploadIsCutEarly(t *testing.T) {
	s := serve(t, route("POST", "/api/v1/x", ok, web.Anyone))
	c := dial(t, s)
	send(t, c, "POST /api/v1/x HTTP/1.1\r\nHost: demo\r\nContent-Length: 10000000000\r\n\r\n")
	if status, _, body := answer(t, c); status != http.StatusRequestEntityTooLarge || !strings.Contains(body, "too_large") {
		t.Errorf("%d %s, want 413 before anything was sent", status, body)
	}
	// One that does not say how much it is.
	c = dial(t, s)
	send(t, c, "POST /api/v1/x HTTP/1.1\r\nHost: demo\r\nTransfer-Encoding: chunked\r\n\r\n")
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("x", 64<<10))
	sent := 0
	for ; sent < 1<<30; sent += 64 << 10 {
		if _, err := io.WriteString(c, chunk); err != nil {
			break
		}
	}
	if sent > 64<<20 { // what the sockets between hold
		t.Errorf("%d MiB were taken", sent>>20)
	}
}

// A body a little over the limit is read, so that its sender is told.
func TestALittleTooLargeABodyIsAnswered(t *testing.T) {
	s := serve(t, route("POST", "/api/v1/x", ok, web.Anyone))
	c := dial(t, s)
	send(t, c, fmt.Sprintf("POST /api/v1/x HTTP/1.1\r\nHost: demo\r\nContent-Length: %d\r\n\r\n%s", web.MaxJSONBody+1, strings.Repeat("x", web.MaxJSONBody+1)))
	if status, _, _ := answer(t, c); status != http.StatusRequestEntityTooLarge {
		t.Errorf("status=%d, want 413", status)
	}
	send(t, c, "GET /healthz HTTP/1.1\r\nHost: demo\r\n\r\n")
	if status, _, _ := answer(t, c); status != http.StatusOK {
		t.Errorf("status=%d, want the connection to go on", status)
	}
}

func TestBodiesShareABoundedMemory(t *testing.T) {
	app := newApp(t, route("POST", "/api/v1/x", ok, web.Anyone))
	app.SetBodies(300 << 10)
	s := serveOn(t, app, "127.0.0.1:0")
	head := func(size int) string {
		return fmt.Sprintf("POST /api/v1/x HTTP/1.1\r\nHost: demo\r\nContent-Length: %d\r\n\r\n", size)
	}
	await := func(held int64) {
		t.Helper()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(20 * time.Second); app.BodiesHeld() != held; <-tick.C {
			if time.Now().After(deadline) {
				t.Fatalf("held=%d, want %d", app.BodiesHeld(), held)
			}
		}
	}
	slow, broken := dial(t, s), dial(t, s)
	send(t, slow, head(200<<10)+"begun")
	send(t, broken, head(50<<10)+"begun")
	await(250 << 10)

	large := dial(t, s)
	send(t, large, head(100<<10))
	refusedBusy(t, large)
	small := dial(t, s)
	send(t, small, head(2)+"{}")
	if status, _, _ := answer(t, small); status != http.StatusOK {
		t.Errorf("status=%d: a small body was refused", status)
	}

	// The room is there again when a body was answered, and when one broke off.
	send(t, slow, strings.Repeat("x", 200<<10-len("begun")))
	if status, _, _ := answer(t, slow); status != http.StatusOK {
		t.Errorf("status=%d", status)
	}
	broken.Close()
	await(0)
	large = dial(t, s)
	send(t, large, head(250<<10)+strings.Repeat("x", 250<<10))
	if status, _, _ := answer(t, large); status != http.StatusOK {
		t.Errorf("status=%d, want it taken", status)
	}
	await(0)
}

func TestOnlySoManyRequestsAreAnsweredAtOnce(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	app := newApp(t, route("GET", "/api/v1/slow", func(c *fiber.Ctx) error {
		begun <- struct{}{}
		<-finish
		return ok(c)
	}, web.Anyone))
	app.SetInHand(2)
	s := serveOn(t, app, "127.0.0.1:0")
	ask := func(path string) net.Conn {
		c := dial(t, s)
		send(t, c, "GET "+path+" HTTP/1.1\r\nHost: demo\r\n\r\n")
		return c
	}
	first, second := ask("/api/v1/slow"), ask("/api/v1/slow")
	<-begun
	<-begun
	refusedBusy(t, ask("/api/v1/slow"))
	if status, _, _ := answer(t, ask("/healthz")); status != http.StatusOK {
		t.Errorf("status=%d: an operator is not told that the process lives", status)
	}
	close(finish)
	for _, c := range []net.Conn{first, second} {
		if status, _, _ := answer(t, c); status != http.StatusOK {
			t.Errorf("status=%d", status)
		}
	}
	third := ask("/api/v1/slow")
	<-begun
	if status, _, _ := answer(t, third); status != http.StatusOK {
		t.Errorf("status=%d, want its place given back", status)
	}
}

// However many connections somebody holds open, a new one is answered, and a
// request under way is not cut for it.
func TestConnectionsThatWaitGiveWayToNewOnes(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	app := newApp(t, route("GET", "/api/v1/slow", func(c *fiber.Ctx) error {
		close(begun)
		<-finish
		return ok(c)
	}, web.Anyone))
	app.SetConnections(20)
	s := serveOn(t, app, "127.0.0.1:0")
	working := dial(t, s)
	send(t, working, "GET /api/v1/slow HTTP/1.1\r\nHost: demo\r\n\r\n")
	<-begun
	for n := range 60 {
		c := dial(t, s)
		if n%2 == 0 {
			send(t, c, "GET /never HTTP/1.1\r\nX-Slow: ")
		}
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if c, err := net.Dial("tcp", s.addr); err != nil || !answers(c) {
				t.Errorf("an honest request was not answered: %v", err)
			}
		})
	}
	wg.Wait()
	close(finish)
	if status, _, _ := answer(t, working); status != http.StatusOK {
		t.Errorf("status=%d: a request under way was cut", status)
	}
}

// Large bodies, whether answered or broken off, leave nothing behind in the
// buffers that fasthttp keeps for requests to come.
func TestLargeBodiesAreLetGo(t *testing.T) {
	s := serveOn(t, newApp(t, route("POST", "/api/v1/x", ok, web.Anyone)), "127.0.0.1:0")
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const most = 32
	chunk := "fa00\r\n" + strings.Repeat("x", 0xfa00) + "\r\n"
	for what, end := range map[string]string{"answered": "0\r\n\r\n", "no chunk": "demo\r\n", "too large": strings.Repeat(chunk, 20)} {
		runtime.GC()
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		var begun, wg sync.WaitGroup
		begun.Add(most)
		for range most {
			wg.Go(func() {
				c, err := net.Dial("tcp", s.addr)
				if err != nil {
					begun.Done()
					t.Error(err)
					return
				}
				defer c.Close()
				_, err = io.WriteString(c, "POST /api/v1/x HTTP/1.1\r\nHost: demo\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
				for range 20 { // 1,280,000 bytes, in room for 2 MiB
					if err == nil {
						_, err = io.WriteString(c, chunk)
					}
				}
				begun.Done()
				begun.Wait() // together, so that no two of them have one buffer
				if err == nil {
					_, err = io.WriteString(c, end)
				}
				if tcp, ok := c.(*net.TCPConn); ok && err == nil {
					err = tcp.CloseWrite()
				}
				_, _ = io.Copy(io.Discard, c) // its end, once the server has let go of it
				if err != nil && what == "answered" {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		wg.Wait()
		// What is kept for others outlives one collection, and no other.
		runtime.GC()
		var after runtime.MemStats
		runtime.ReadMemStats(&after)
		if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > most<<20/4 {
			t.Errorf("%s: %d bodies left %d KiB behind", what, most, kept>>10)
		}
	}
}
