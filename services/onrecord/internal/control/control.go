// Package control lets commands act on a running server through a Unix socket
// in its data directory that only its owner may open.
//
// A command calls an operation by name. The same table of operations serves a
// stopped installation in the command's own process, so there is one way to do
// each thing.
package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
)

// ErrNotRunning says that no server listens on the socket.
var ErrNotRunning = errors.New("no server is running on this data directory")

// Operation does one thing for an operator. It may report lines of progress,
// and returns a result to be marshalled as JSON.
type Operation func(ctx context.Context, args json.RawMessage, progress func(line string)) (any, error)

// Operations are the operations by name.
type Operations map[string]Operation

// message is one line of the answer: any number of progress lines, then a
// result or an error.
type message struct {
	Progress *string         `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Error    *failure        `json:"error,omitempty"`
}

type failure struct {
	Kind    fault.Kind    `json:"kind"`
	Code    string        `json:"code"`
	Message string        `json:"message"`
	Fields  []fault.Field `json:"fields,omitempty"`
}

// Call runs an operation in this process with args and decodes its result into
// result, which may be nil. Progress lines go to progress.
func (o Operations) Call(ctx context.Context, name string, args, result any, progress func(string)) error {
	op, ok := o[name]
	if !ok {
		return fmt.Errorf("there is no operation %q", name)
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return err
	}
	got, err := op(ctx, raw, progress)
	if err != nil || result == nil {
		return err
	}
	b, err := json.Marshal(got)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, result)
}

// maxPath is what the address of a Unix socket holds on every system.
const maxPath = 103

// CheckPath returns a mistake when no socket can be made at a path because it
// is too long.
func CheckPath(path string) error {
	if over := len(whileMade(path)) - maxPath; over > 0 {
		return fmt.Errorf("the path of the data directory is %d bytes too long for a socket in it: %s: name a shorter one with --data-dir, a link for example", over, filepath.Dir(path))
	}
	return nil
}

// whileMade returns where the socket of a path is until it is moved there.
func whileMade(path string) string { return filepath.Join(path+".new", "s") }

// Listen opens the socket with mode 0600, in the place of one that a killed
// process left behind. The caller holds the data directory's lock.
//
// The socket is made in a directory that only its owner may enter and moved
// from there, so that nobody else can ever connect. The process's umask would
// do for that too, but the stream makes its files under the same one.
func Listen(ctx context.Context, path string) (net.Listener, error) {
	if err := CheckPath(path); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	made := whileMade(path)
	private := filepath.Dir(made)
	ln, err := listenIn(ctx, private, made)
	if err == nil {
		err = os.Rename(made, path)
	}
	if err = errors.Join(err, os.RemoveAll(private)); err != nil {
		if ln != nil {
			err = errors.Join(err, ln.Close())
		}
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return ln, nil
}

func listenIn(ctx context.Context, dir, path string) (net.Listener, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false) // it is moved away
	return ln, os.Chmod(path, 0o600)
}

// Serve answers calls on ln until ctx is done.
func (o Operations) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{Handler: o, ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// ServeHTTP answers POST /<operation> with one JSON message a line.
func (o Operations) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	op, ok := o[name]
	if !ok || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	args, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	enc, flush := json.NewEncoder(w), http.NewResponseController(w)
	send := func(m message) {
		if enc.Encode(m) == nil {
			_ = flush.Flush() // the caller went away: the operation's context ends
		}
	}
	result, err := op(r.Context(), args, func(line string) { send(message{Progress: &line}) })
	if err != nil {
		f := fault.As(err)
		if f.Kind == fault.Internal { // the operator owns this machine and may see the cause
			f = fault.New(fault.Internal, f.Code, err.Error())
		}
		send(message{Error: &failure{f.Kind, f.Code, f.Message, f.Fields}})
		return
	}
	b, err := json.Marshal(result)
	if err != nil {
		send(message{Error: &failure{Code: "internal", Message: err.Error()}})
		return
	}
	send(message{Result: b})
}

// Client calls a running server.
type Client struct{ http *http.Client }

// Dial returns a client of the server on a socket, or ErrNotRunning.
func Dial(ctx context.Context, path string) (*Client, error) {
	conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", path)
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("control socket %s: only the user that runs the server may use it", path)
		}
		return nil, ErrNotRunning
	}
	if err := conn.Close(); err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
}

// Call does in the running server what Operations.Call does here.
func (c *Client) Call(ctx context.Context, name string, args, result any, progress func(string)) error {
	body, err := json.Marshal(args)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control/"+name, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the running server does not know %q: it is another version", name)
	}
	for dec := json.NewDecoder(res.Body); ; {
		var m message
		if err := dec.Decode(&m); err != nil {
			return fmt.Errorf("control socket: the server ended the call: %w", err)
		}
		switch {
		case m.Progress != nil:
			progress(*m.Progress)
		case m.Error != nil:
			f := fault.New(m.Error.Kind, m.Error.Code, m.Error.Message)
			f.Fields = m.Error.Fields
			return f
		case result == nil:
			return nil
		default:
			return json.Unmarshal(m.Result, result)
		}
	}
}
