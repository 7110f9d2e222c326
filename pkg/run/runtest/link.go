package runtest

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Link is a stretch of network between whoever dials Addr and a server, that
// can be broken: a real outage, for programs and browsers alike.
type Link struct {
	Addr  string
	Bytes atomic.Int64 // that went back to who dialled

	to    string
	mu    sync.Mutex
	state LinkState
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// LinkState is what gets through a link.
type LinkState int

// A link is Whole at first. Cut and Whole break off what was under way; the
// others befall it, as they do in a network.
const (
	Whole  LinkState = iota
	Cut              // nobody gets through
	OneWay           // what is sent arrives, and instead of the answer the connection ends
	Silent           // connections stand, and nothing that is sent arrives
	Slow             // everything arrives, linkDelay late
)

const linkDelay = 2 * time.Second

// NewLink lays a link to a server's address until the test ends.
func NewLink(tb testing.TB, to string) *Link {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	l := &Link{Addr: ln.Addr().String(), to: to, conns: make(map[net.Conn]bool)}
	l.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			l.wg.Go(func() { l.carry(c) })
		}
	})
	tb.Cleanup(func() {
		ln.Close()
		l.Set(Cut)
		l.wg.Wait()
	})
	return l
}

// Set changes what gets through.
func (l *Link) Set(state LinkState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = state
	if state == Cut || state == Whole {
		for c := range l.conns {
			c.Close()
		}
		clear(l.conns)
	}
}

func (l *Link) now() LinkState {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

// hold notes a connection for Set to break off, unless that was done already.
func (l *Link) hold(state LinkState, conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state != state {
		return false
	}
	for _, c := range conns {
		l.conns[c] = true
	}
	return true
}

func (l *Link) letGo(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		delete(l.conns, c)
	}
}

func (l *Link) carry(client net.Conn) {
	defer client.Close()
	state := l.now()
	if state == Cut {
		return
	}
	server, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer server.Close()
	if !l.hold(state, client, server) {
		return
	}
	defer l.letGo(client, server)
	var there sync.WaitGroup
	there.Go(func() {
		l.pass(server, client, false)
		server.Close()
	})
	l.pass(client, server, true)
	client.Close()
	there.Wait()
}

// parcel is some bytes on their way.
type parcel struct {
	bytes []byte
	due   time.Time
}

// pass moves bytes from one end to the other, as the link's state has it,
// until either is closed.
func (l *Link) pass(to io.Writer, from io.Reader, back bool) {
	var on sync.WaitGroup
	way := make(chan parcel, 1024) // what is late does not hold up what comes after it
	on.Go(func() {
		var failed error
		for p := range way {
			<-time.After(time.Until(p.due)) // at once where nothing is due
			if failed != nil {
				continue
			}
			var n int
			n, failed = to.Write(p.bytes)
			if back {
				l.Bytes.Add(int64(n))
			}
		}
	})
	defer on.Wait()
	defer close(way)
	for {
		b := make([]byte, 16<<10)
		n, err := from.Read(b)
		switch state := l.now(); {
		case n == 0 || state == Silent:
		case state == Cut || state == OneWay && back:
			return
		case state == Slow:
			way <- parcel{b[:n], time.Now().Add(linkDelay)}
		default:
			way <- parcel{b[:n], time.Time{}}
		}
		if err != nil {
			return
		}
	}
}
