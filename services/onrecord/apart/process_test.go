package apart

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// nodeConfig is the environment variable that makes the test binary a NATS
// server with that configuration: a process of its own can be killed.
const nodeConfig = "ONRECORD_TEST_NATS_CONFIG"

// behindLinks is the environment variable that keeps such a server from
// telling anybody addresses that go round the links laid to it.
const behindLinks = "ONRECORD_TEST_NATS_BEHIND_LINKS"

// binaries is where the services under test are built, once.
var binaries string

func TestMain(m *testing.M) {
	if config := os.Getenv(nodeConfig); config != "" {
		os.Exit(serveNode(config))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	var err error
	if binaries, err = os.MkdirTemp("", "onrecord-apart-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(binaries)
	if out, err := exec.Command("go", "build", "-o", binaries+"/", "..", "../../intake", "../../classifier", "../../reporting").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the services under test: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// serveNode runs a NATS server until its standard input ends, as it does when
// the test is gone.
func serveNode(config string) int {
	options, err := server.ProcessConfigFile(config)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if os.Getenv(behindLinks) != "" {
		options.Cluster.NoAdvertise, options.Cluster.Advertise = true, "127.0.0.1:9" // nobody listens there
	}
	ns, err := server.NewServer(options)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ns.ConfigureLogger()
	ns.Start()
	_, _ = io.Copy(io.Discard, os.Stdin)
	ns.Shutdown()
	return 0
}

// launch runs the servers as processes of their own.
func (c *cluster) launch() map[string]*runtest.Process {
	c.t.Helper()
	running := make(map[string]*runtest.Process)
	for _, n := range c.nodes {
		running[n.name] = c.run(n)
	}
	return running
}

// run runs one of the servers.
func (c *cluster) run(n node) *runtest.Process {
	c.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), nodeConfig+"="+configFile(c.t))
	for name, value := range n.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if _, err := cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	return runtest.Launch(c.t, cmd)
}

// instance is a running service.
type instance struct {
	*runtest.Process
	name     string
	url      string // where people reach it; "" for the classifier
	operator string
}

var (
	operatorAddress = regexp.MustCompile(`msg=starting .*operator=(\S+)`)
	publicAddress   = regexp.MustCompile(`msg=serving .*address=(\S+)`)
)

// service starts an instance of a service on the cluster, and returns it once
// it listens. All of them have one master key.
func (c *cluster) service(name string, args ...string) *instance {
	c.t.Helper()
	args = append(append([]string{"--operator-listen", "127.0.0.1:0", "--log-level", "debug"}, c.flags(name)...), args...)
	if name != "classifier" {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	cmd := exec.Command(filepath.Join(binaries, name), args...)
	cmd.Env = append(os.Environ(), "ONRECORD_MASTER_KEY="+masterKey)
	i := &instance{Process: runtest.Launch(c.t, cmd), name: name}
	i.operator = "http://" + i.Await(operatorAddress)
	if name != "classifier" {
		i.url = "http://" + i.Await(publicAddress)
	}
	return i
}

// masterKey is 32 bytes of 7, in base64.
const masterKey = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="

// ready returns nil when the instance says that it is.
func (i *instance) ready() error {
	code, body, err := get(i.operator + "/readyz")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%s: %s", i.name, body)
	}
	return err
}

// metric returns a number of the instance's metrics, 0 when it has none of the
// name.
func (i *instance) metric(name string) (float64, error) {
	_, body, err := get(i.operator + "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, nil
}

var client = &http.Client{Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func get(url string) (code int, body string, err error) {
	res, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, string(raw), err
}

// leader returns which instance leads.
func leader(instances ...*instance) (*instance, error) {
	for _, i := range instances {
		held, err := i.metric(`onrecord_lease_held{lease="projector"}`)
		if err == nil && held == 1 {
			return i, nil
		}
	}
	return nil, errors.New("nobody leads")
}
