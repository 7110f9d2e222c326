package mongo

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// wire stands between the driver and a server and speaks the protocol: it sees
// each command, and may keep it from the server, keep the answer from the
// driver, or change that. Source: MongoDB's "Wire Protocol".
type wire struct {
	URI string

	upstream string
	mu       sync.Mutex
	hook     func(command) verdict
	edit     func(command, bson.D) bson.D
}

type command struct {
	Name       string
	Collection string   // "" for one that is about none
	Doc        bson.Raw // without the documents of a write, which travel beside it
}

// verdict is what becomes of a command.
type verdict int

const (
	pass      verdict = iota
	cutBefore         // the connection ends, and the server never sees it
	cutAfter          // the server does it, and the connection ends before its answer
)

// newWire returns a wire to a server, over TLS to the driver when there is a
// configuration for it.
func newWire(t *testing.T, uri string, secure *tls.Config) *wire {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{URI: "mongodb://" + ln.Addr().String() + "/", upstream: u.Host}
	if secure != nil {
		ln = tls.NewListener(ln, secure)
	}
	var connections sync.WaitGroup
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			connections.Go(func() { w.serve(conn) })
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-ended
		connections.Wait()
	})
	return w
}

// on sets what becomes of commands from now on; nil lets them pass.
func (w *wire) on(hook func(command) verdict) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = hook
}

// answers sets how answers are changed from now on; nil leaves them.
func (w *wire) answers(edit func(command, bson.D) bson.D) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.edit = edit
}

func (w *wire) serve(driver net.Conn) {
	defer driver.Close()
	server, err := net.Dial("tcp", w.upstream)
	if err != nil {
		return
	}
	defer server.Close()
	for {
		request, err := readFrame(driver)
		if err != nil {
			return
		}
		doc, _, err := document(request)
		if err != nil {
			return
		}
		c := command{Doc: doc}
		if elements, err := doc.Elements(); err == nil && len(elements) > 0 {
			c.Name = elements[0].Key()
			c.Collection, _ = elements[0].Value().StringValueOK()
		}
		w.mu.Lock()
		hook, edit := w.hook, w.edit
		w.mu.Unlock()
		v := pass
		if hook != nil {
			v = hook(c)
		}
		if v == cutBefore {
			return
		}
		if _, err := server.Write(request); err != nil {
			return
		}
		answer, err := readFrame(server)
		if err != nil || v == cutAfter {
			return
		}
		if edit != nil {
			if answer, err = edited(answer, func(d bson.D) bson.D { return edit(c, d) }); err != nil {
				return
			}
		}
		if _, err := driver.Write(answer); err != nil {
			return
		}
	}
}

const headerSize = 16

func readFrame(r io.Reader) ([]byte, error) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(header)
	if size < headerSize || size > 64<<20 {
		return nil, errors.New("no frame of the protocol")
	}
	frame := append(header, make([]byte, size-headerSize)...)
	_, err := io.ReadFull(r, frame[headerSize:])
	return frame, err
}

// document returns the document of a message and where it begins.
func document(frame []byte) (doc bson.Raw, at int, err error) {
	const reply, query, message = 1, 2004, 2013
	switch binary.LittleEndian.Uint32(frame[12:]) {
	case message:
		at = headerSize + 4 + 1 // flags, kind 0
	case query:
		name := bytes.IndexByte(frame[headerSize+4:], 0)
		at = headerSize + 4 + name + 1 + 8 // flags, collection, skip and count
	case reply:
		at = headerSize + 4 + 8 + 4 + 4 // flags, cursor, from, count
	default:
		return nil, 0, errors.New("another kind of message")
	}
	if at+4 > len(frame) {
		return nil, 0, io.ErrUnexpectedEOF
	}
	end := at + int(binary.LittleEndian.Uint32(frame[at:]))
	if end > len(frame) {
		return nil, 0, io.ErrUnexpectedEOF
	}
	return bson.Raw(frame[at:end]), at, nil
}

func edited(frame []byte, edit func(bson.D) bson.D) ([]byte, error) {
	raw, at, err := document(frame)
	if err != nil {
		return nil, err
	}
	var doc bson.D
	if err := bson.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	changed, err := bson.Marshal(edit(doc))
	if err != nil {
		return nil, err
	}
	frame = append(append(bytes.Clone(frame[:at]), changed...), frame[at+len(raw):]...)
	binary.LittleEndian.PutUint32(frame, uint32(len(frame)))
	return frame, nil
}

// is reports whether a command has a name, or with a space between them a name
// and a collection; "put" is both an insert and an update.
func (c command) is(name string) bool {
	names := []string{c.Name}
	if c.Name == "insert" || c.Name == "update" {
		names = append(names, "put")
	}
	return slices.ContainsFunc(names, func(n string) bool { return name == n || name == n+" "+c.Collection })
}

// once returns a hook that gives one verdict to the first command of a name,
// and what tells whether there was one.
func once(name string, v verdict) (hook func(command) verdict, came func() bool) {
	var done atomic.Bool
	return func(c command) verdict {
		if c.is(name) && done.CompareAndSwap(false, true) {
			return v
		}
		return pass
	}, done.Load
}
