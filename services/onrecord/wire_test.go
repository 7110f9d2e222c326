package main

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// wire stands between a browser and the program and can be cut: a real outage
// for pages and workers alike, which the browser's own "offline" is not.
type wire struct {
	url   string
	bytes atomic.Int64 // that went to the browser

	mu    sync.Mutex
	to    string // where the program is
	state wireState
	conns map[net.Conn]bool
}

type wireState int

const (
	whole  wireState = iota
	cut              // nothing gets through
	oneWay           // requests arrive, and their answers are lost
)

// newWire lays a wire to a program.
func newWire(t *testing.T, p *process) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{url: "http://" + ln.Addr().String(), to: strings.TrimPrefix(p.url, "http://"), conns: make(map[net.Conn]bool)}
	t.Cleanup(func() {
		ln.Close()
		w.set(cut)
	})
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go w.carry(c)
		}
	}()
	return w
}

// set changes what gets through; whatever was under way is broken off.
func (w *wire) set(state wireState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state = state
	for c := range w.conns {
		c.Close()
	}
	clear(w.conns)
}

func (w *wire) carry(client net.Conn) {
	defer client.Close()
	w.mu.Lock()
	state, to := w.state, w.to
	w.mu.Unlock()
	if state == cut {
		return
	}
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	w.mu.Lock()
	if w.state != state {
		w.mu.Unlock()
		return
	}
	w.conns[client], w.conns[server] = true, true
	w.mu.Unlock()
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	if state == oneWay {
		_, _ = server.Read(make([]byte, 1)) // it was answered: the request did arrive
		return
	}
	_, _ = io.Copy(io.MultiWriter(client, counter{&w.bytes}), server)
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}
