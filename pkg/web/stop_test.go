package web_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/web/webtest"
)

// serving is an application on a socket.
type serving struct {
	*web.App
	addr string
	log  *bytes.Buffer // to be read after stop
	quit context.CancelFunc
	end  chan error
}

func serve(t *testing.T, routes ...web.Route) *serving {
	t.Helper()
	log := new(bytes.Buffer)
	app, err := web.New(web.Config{Log: slog.New(slog.NewTextHandler(log, nil)), Assets: webtest.Assets(t)})
	if err != nil {
		t.Fatal(err)
	}
	app.Mount(routes)
	s := serveOn(t, app, "127.0.0.1:0")
	s.log = log
	return s
}

func serveOn(t *testing.T, app *web.App, listen string) *serving {
	t.Helper()
	s := &serving{App: app, end: make(chan error, 1)}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	ctx, quit := context.WithCancel(t.Context())
	s.quit = quit
	go func() { s.end <- s.Serve(ctx, ln) }()
	return s
}

// stop stops the application and returns how long that took.
func (s *serving) stop(t *testing.T) time.Duration {
	t.Helper()
	started := time.Now()
	s.quit()
	return s.ended(t, started)
}

func (s *serving) ended(t *testing.T, since time.Time) time.Duration {
	t.Helper()
	select {
	case err := <-s.end:
		if err != nil {
			t.Errorf("stopping: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it did not stop")
	}
	return time.Since(since)
}

// soon is well under the five seconds that fasthttp gives a new connection.
const soon = 3 * time.Second

func TestIdleConnectionsDoNotHoldUpAStop(t *testing.T) {
	s := serve(t)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}} // keeps its connections
	for range 3 {
		res, err := client.Get("http://" + s.addr + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	// A browser opens connections before it has anything to ask.
	for range 3 {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if took := s.stop(t); took > soon {
		t.Errorf("stopping took %v", took)
	}
	if s.log.Len() > 0 {
		t.Errorf("an ordinary stop was logged: %s", s.log)
	}
}

func TestARequestInHandIsFinishedBeforeAStop(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	s := serve(t, route("GET", "/slow/", func(c *fiber.Ctx) error {
		close(begun)
		<-finish
		return c.SendString("finished")
	}, web.Anyone))
	answer := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + s.addr + "/slow/")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	<-begun
	started := time.Now()
	s.quit()
	for _, err := net.Dial("tcp", s.addr); err == nil; _, err = net.Dial("tcp", s.addr) { // until it takes no more
		if time.Since(started) > soon {
			t.Fatal("it still listens")
		}
	}
	select {
	case err := <-s.end:
		t.Fatalf("it stopped (%v) before the answer was given", err)
	default:
	}
	close(finish)
	if got := <-answer; got != "finished" {
		t.Errorf("answer=%q, want it finished", got)
	}
	if took := s.ended(t, started); took > soon {
		t.Errorf("stopping took %v", took)
	}
}

func TestWhatIsStillBusyAfterTheDrainTimeIsCutOff(t *testing.T) {
	s := serve(t, route("POST", "/x", ok, web.Anyone))
	s.SetDrainTime(100 * time.Millisecond)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// A body that never comes, after the server has said that it waits for it.
	if _, err := io.WriteString(c, "POST /x HTTP/1.1\r\nHost: demo\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	var read bytes.Buffer
	for buf := make([]byte, 4096); !strings.Contains(read.String(), "100 Continue"); {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		read.Write(buf[:n])
	}
	if took := s.stop(t); took > soon {
		t.Errorf("stopping took %v", took)
	}
	if !strings.Contains(s.log.String(), "level=WARN") || !strings.Contains(s.log.String(), "connections=1") {
		t.Errorf("log=%q, want a warning about one connection", s.log)
	}
}

// Phones lose their connection all the time: that is no failure of ours.
func TestARequestThatBreaksOffIsNotLoggedAsAnError(t *testing.T) {
	s := serve(t, route("POST", "/x", ok, web.Anyone))
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "POST /x HTTP/1.1\r\nHost: demo\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.(*net.TCPConn).SetLinger(0), c.Close()); err != nil { // a reset
		t.Fatal(err)
	}
	s.stop(t)
	if strings.Contains(s.log.String(), "ERROR") {
		t.Errorf("log=%s", s.log)
	}
}
