// Command local runs the parts of On Record as they run in a deployment, each a
// process of its own, on this machine: a NATS server with a user for each
// service, a MongoDB-compatible server, intake, classifier and reporting, and
// before them a proxy, so that it all has one address. It is for looking at the
// parts and for trying things out; “make run-services” builds them and starts it.
//
// It is no deployment: there is one of each, and the database is a stand-in for
// MongoDB (see ../ferretdb).
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/seal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := start(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "run-services:", err)
		os.Exit(run.ExitFailed)
	}
}

// startWithin is how long a part may take until it is ready, on a busy machine.
const startWithin = time.Minute

// parts is what runs, in the order in which it was started.
type parts struct {
	bin, dir string // of the binaries, and of everything that is kept
	names    string // where ../nats/users.conf is
	lock     *os.File
	running  []*child
	failed   chan error // a part that ended by itself
}

// start runs everything until ctx is done or a part ends by itself.
func start(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	runtime.LockOSThread() // the parts are told of the end of the thread that started them
	f := pflag.NewFlagSet("run-services", pflag.ContinueOnError)
	f.SetOutput(stderr)
	listen := f.String("listen", "localhost:8080", "`address` for people")
	dir := f.String("data-dir", "data-services", "`directory` of everything that is kept, the parts’ logs too")
	bin := f.String("bin", "bin", "`directory` of the binaries: intake, classifier, reporting, onrecord and ferretdb")
	users := f.String("nats-users", "deployments/nats/users.conf", "`file` with the users of NATS")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("there are no arguments beside the flags: %q", f.Args())
	}
	ln, err := run.Listen(ctx, "listen", *listen) // a port in use is known before anything starts
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }()
	p := &parts{failed: make(chan error, 8)}
	if p.bin, p.dir, p.names, err = absolute(*bin, *dir, *users); err != nil {
		return err
	}
	if p.lock, err = takeDirectory(p.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.lock.Close()) }() // after all of them have stopped
	defer func() { err = errors.Join(err, p.stop()) }()
	site, err := p.startAll(ctx)
	if ctx.Err() != nil { // told to stop before all of it ran
		return nil
	}
	if err != nil {
		return err
	}
	url := "http://" + strings.Replace(ln.Addr().String(), "127.0.0.1", "localhost", 1)
	if err := p.announce(stdout, url, site); err != nil {
		return err
	}
	return p.serve(ctx, ln, site)
}

// takeDirectory keeps a directory to this process, and to those that inherit what
// it returns, until all of them have closed it: two NATS servers, or two
// databases, on the same files would ruin them.
func takeDirectory(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another run-services, or a part of one that was killed, has its data in %s: stop it, or name another directory with --data-dir", dir), lock.Close())
	}
	return lock, nil
}

func absolute(bin, dir, users string) (string, string, string, error) {
	b, err1 := filepath.Abs(bin)
	d, err2 := filepath.Abs(dir)
	u, err3 := filepath.Abs(users)
	return b, d, u, errors.Join(err1, err2, err3)
}

// site is where people's requests go.
type site struct {
	intake, reporting string // addresses
	nats, mongodb     string
	invitation        string // the query of the link that makes the first administrator, or ""
}

// startAll starts one part after another, each once what it needs is ready.
func (p *parts) startAll(ctx context.Context) (site, error) {
	var s site
	if err := os.MkdirAll(filepath.Join(p.dir, "log"), 0o700); err != nil {
		return s, err
	}
	key := filepath.Join(p.dir, "master.key")
	if _, err := os.Stat(key); errors.Is(err, fs.ErrNotExist) {
		if _, err := seal.CreateFile(key); err != nil {
			return s, err
		}
	}
	passwords := make(map[string]string)
	for _, user := range []string{"intake", "classifier", "reporting", "admin"} {
		passwords[user] = rand.Text()
	}
	var err error
	if s.nats, err = p.startNATS(passwords); err != nil {
		return s, err
	}
	if s.mongodb, err = p.startMongoDB(ctx); err != nil {
		return s, err
	}
	settings := func(user string, more ...string) []string {
		return append([]string{"ONRECORD_NATS_URL=" + s.nats, "ONRECORD_NATS_USER=" + user, "ONRECORD_NATS_PASSWORD=" + passwords[user]}, more...)
	}
	if err := p.once(ctx, "onrecord", settings("admin"), "admin", "streams", "apply", "--replicas", "1"); err != nil {
		return s, err
	}
	if _, err := p.startService(ctx, "classifier", settings("classifier", "ONRECORD_MASTER_KEY_FILE="+key)); err != nil {
		return s, err
	}
	web := []string{"ONRECORD_MASTER_KEY_FILE=" + key, "ONRECORD_TRUSTED_PROXY=127.0.0.1"}
	if s.reporting, err = p.startService(ctx, "reporting", settings("reporting", append(web, "ONRECORD_DATABASE="+s.mongodb+"onrecord")...)); err != nil {
		return s, err
	}
	if s.intake, err = p.startService(ctx, "intake", settings("intake", web...)); err != nil {
		return s, err
	}
	s.invitation, err = p.invitation()
	return s, err
}

var invitationLink = regexp.MustCompile(`/setup\?token=\S+`)

// invitation returns the link that reporting wrote when it started this time.
func (p *parts) invitation() (string, error) {
	text, err := os.ReadFile(p.log("reporting"))
	return string(invitationLink.Find(text)), err
}

func (p *parts) log(name string) string { return filepath.Join(p.dir, "log", name+".log") }

func (p *parts) announce(out io.Writer, url string, s site) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nOn Record is at  %s\n\n", url)
	fmt.Fprintf(&b, "  Report         %s/report/\n", url)
	fmt.Fprintf(&b, "  Sign in        %s/sign-in/\n\n", url)
	for _, c := range p.running {
		where := map[string]string{"nats": s.nats + ", in this process", "ferretdb": s.mongodb + "onrecord", "intake": "http://" + s.intake, "reporting": "http://" + s.reporting, "classifier": "no address for people"}[c.name]
		fmt.Fprintf(&b, "  %-14s %s\n", c.name, where)
	}
	fmt.Fprintf(&b, "\n  Data           %s\n", p.dir)
	fmt.Fprintf(&b, "  Logs           %s\n", filepath.Join(p.dir, "log"))
	fmt.Fprintf(&b, "  Master key     %s\n", filepath.Join(p.dir, "master.key"))
	if s.invitation != "" {
		fmt.Fprintf(&b, "\n  There is no administrator yet. This link makes the first one, once:\n  %s%s\n", url, s.invitation)
	}
	b.WriteString("\nStop with Ctrl-C.\n")
	_, err := io.WriteString(out, b.String())
	return err
}

// serve answers people until ctx is done or a part ends by itself.
func (p *parts) serve(ctx context.Context, ln net.Listener, s site) error {
	server := &http.Server{Handler: newProxy(s), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case <-ctx.Done():
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return server.Shutdown(end)
	case err := <-p.failed:
		return errors.Join(err, server.Close())
	case err := <-served:
		return err
	}
}

// freeAddress returns an address of this machine that nobody listens on.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
