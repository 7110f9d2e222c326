package runtest_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// echo answers each line with the same, and tells of each that arrived.
func echo(t *testing.T) (addr string, arrived chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	arrived = make(chan string, 10)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					arrived <- lines.Text()
					_, _ = io.WriteString(c, lines.Text()+"\n")
				}
			}()
		}
	}()
	return ln.Addr().String(), arrived
}

type caller struct {
	net.Conn
	answers *bufio.Reader
}

func dial(t *testing.T, l *runtest.Link) caller {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return caller{c, bufio.NewReader(c)}
}

// ask sends a line and returns what came back in some time.
func (c caller) ask(line string, within time.Duration) (string, error) {
	_, _ = io.WriteString(c, line+"\n") // one that is broken tells when it is read
	_ = c.SetReadDeadline(time.Now().Add(within))
	answer, err := c.answers.ReadString('\n')
	return answer, err
}

func TestALinkIsBrokenAndMended(t *testing.T) {
	const long = time.Minute
	addr, arrived := echo(t)
	l := runtest.NewLink(t, addr)
	whole := func() caller {
		t.Helper()
		l.Set(runtest.Whole)
		c := dial(t, l)
		if got, err := c.ask("whole", long); got != "whole\n" {
			t.Fatalf("whole: %q %v", got, err)
		}
		<-arrived
		return c
	}

	c := whole()
	if l.Bytes.Load() != int64(len("whole\n")) {
		t.Errorf("%d bytes went back", l.Bytes.Load())
	}
	l.Set(runtest.Cut)
	for _, c := range []caller{c, dial(t, l)} {
		if got, err := c.ask("cut", long); err == nil || errors.Is(err, os.ErrDeadlineExceeded) || len(arrived) > 0 {
			t.Errorf("cut: %q %v, want that the connection ended", got, err)
		}
	}

	c = whole()
	l.Set(runtest.OneWay)
	if got, err := c.ask("one way", long); err == nil || errors.Is(err, os.ErrDeadlineExceeded) || <-arrived != "one way" {
		t.Errorf("one way: %q %v, want that the connection ended after it arrived", got, err)
	}

	c = whole()
	l.Set(runtest.Silent)
	for _, c := range []caller{c, dial(t, l)} {
		if got, err := c.ask("silent", 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) || len(arrived) > 0 {
			t.Errorf("silent: %q %v, want nothing", got, err)
		}
	}

	c = whole()
	l.Set(runtest.Slow)
	began := time.Now()
	if got, err := c.ask("slow", long); got != "slow\n" || time.Since(began) < 4*time.Second {
		t.Errorf("slow: %q %v after %v, want it after two delays", got, err, time.Since(began))
	}
}
