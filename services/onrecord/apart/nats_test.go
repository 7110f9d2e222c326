package apart

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/pflag"

	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/bus/remote"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/services/onrecord/internal/command"
)

// users are those of deployments/nats/users.conf.
var users = []string{"intake", "classifier", "reporting", "admin"}

func password(user string) string { return "demo-password-of-" + user }

// cluster says how to reach a cluster of NATS servers.
type cluster struct {
	t     *testing.T
	ca    *bustest.Authority
	urls  []string
	nodes []node

	asAdmin jetstream.JetStream // once somebody looked at the stream
}

// node is what one server of a cluster takes from its environment.
type node struct {
	name string
	env  map[string]string
}

// planCluster chooses names, ports and certificates for three servers.
func planCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, ca: bustest.NewAuthority(t, "demo authority")}
	ports := freePorts(t, 9)
	var routes []string
	for i := range 3 {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[3+i]))
	}
	for i := range 3 {
		name := fmt.Sprintf("nats-%d", i+1)
		cert, key := c.ca.Issue(name, time.Now().Add(time.Hour), "127.0.0.1") // as it is called among the routes
		env := map[string]string{
			"NATS_SERVER_NAME":    name,
			"NATS_LISTEN":         fmt.Sprintf("127.0.0.1:%d", ports[i]),
			"NATS_CLUSTER_LISTEN": fmt.Sprintf("127.0.0.1:%d", ports[3+i]),
			"NATS_MONITOR_LISTEN": fmt.Sprintf("127.0.0.1:%d", ports[6+i]),
			"NATS_ROUTES":         "[" + strings.Join(routes, ", ") + "]",
			"NATS_STORE_DIR":      filepath.Join(t.TempDir(), name),
			"NATS_MAX_STORE":      "1GB",
			"NATS_STORE_KEY":      "demo-key-of-the-store",
			"NATS_CERT":           cert,
			"NATS_KEY":            key,
			"NATS_CA":             c.ca.File,
		}
		for _, user := range users {
			env["NATS_"+strings.ToUpper(user)+"_PASSWORD"] = password(user)
		}
		c.nodes = append(c.nodes, node{name, env})
		c.urls = append(c.urls, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
	}
	return c
}

// freePorts returns ports of this machine that nobody listens on.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close() // together, so that they differ
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// configFile is the file that every server reads.
func configFile(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../../deployments/nats/server.conf")
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs the servers in this process until the test ends.
func (c *cluster) start() {
	c.t.Helper()
	for _, n := range c.nodes {
		for name, value := range n.env {
			c.t.Setenv(name, value)
		}
		options, err := server.ProcessConfigFile(configFile(c.t))
		if err != nil {
			c.t.Fatal(err)
		}
		options.NoSigs, options.NoLog = true, true
		ns, err := server.NewServer(options)
		if err != nil {
			c.t.Fatal(err)
		}
		ns.Start()
		c.t.Cleanup(func() {
			ns.Shutdown()
			ns.WaitForShutdown()
		})
	}
}

// flags are the settings of NATS for a user of the cluster.
func (c *cluster) flags(user string) []string {
	c.t.Helper()
	cert, key := c.ca.Issue(user, time.Now().Add(time.Hour))
	file := filepath.Join(c.t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(password(user)+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return []string{"--nats-url", strings.Join(c.urls, ","), "--nats-user", user, "--nats-password-file", file,
		"--nats-ca", c.ca.File, "--nats-cert", cert, "--nats-key", key}
}

// settings are the same, read.
func (c *cluster) settings(user string) *remote.Settings {
	c.t.Helper()
	var s remote.Settings
	f := pflag.NewFlagSet(user, pflag.ContinueOnError)
	s.AddTo(f)
	if err := f.Parse(c.flags(user)); err != nil {
		c.t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		c.t.Fatal(err)
	}
	return &s
}

// admin runs “onrecord admin streams apply” and returns how it ended.
func (c *cluster) admin(args ...string) (code int, output string) {
	c.t.Helper()
	var out bytes.Buffer
	code = command.Main(c.t.Context(), command.Env{Args: append(append([]string{"admin", "streams", "apply"}, c.flags("admin")...), args...),
		Lookup: func(string) (string, bool) { return "", false }, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out})
	return code, out.String()
}

// apply makes the stream, as soon as the cluster has agreed on a leader.
func (c *cluster) apply(args ...string) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(100 * time.Millisecond) {
		code, out := c.admin(args...)
		if code == run.ExitOK {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the stream was not made: code=%d %s", code, out)
		}
	}
}
