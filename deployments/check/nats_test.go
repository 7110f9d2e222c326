package check

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// variables are those that NATS takes from its environment.
var variables = regexp.MustCompile(`(?m): *\$(NATS_\w+)`)

// The passwords and keys that secrets.sh makes are read by NATS as what they
// are, and every variable that its configuration names is set by compose.
func TestNATSTakesTheSettingsOfCompose(t *testing.T) {
	dir := withSecrets(t)
	s := project(t, dir).Services["nats-2"]
	env := make(map[string]string)
	for name, value := range s.Environment {
		env[name] = strings.NewReplacer("/run/secrets", filepath.Join(dir, "secrets"), "/data", t.TempDir()).Replace(*value)
	}
	text, err := os.ReadFile(filepath.Join(dir, "secrets", "nats.env"))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		env[name] = value
	}
	config := read(t, "nats", "server.conf") + read(t, "nats", "users.conf")
	for _, name := range variables.FindAllStringSubmatch(config, -1) {
		if env[name[1]] == "" {
			t.Errorf("the configuration names $%s and compose does not set it", name[1])
		}
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	options, err := server.ProcessConfigFile(filepath.Join(dir, "nats", "server.conf"))
	must(t, err)
	if options.ServerName != "nats-2" || !options.SyncAlways || options.JetStreamKey != env["NATS_STORE_KEY"] || len(options.Routes) != 3 || options.TLSConfig == nil || options.Cluster.TLSConfig == nil {
		t.Errorf("name=%s sync=%v routes=%v", options.ServerName, options.SyncAlways, options.Routes)
	}
	if !options.Cluster.TLSCheckKnownURLs {
		t.Error("any certificate of the authority opens a route")
	}
	hosts := map[string]bool{"nats-0.nats": true, "nats-2.nats": true} // in Kubernetes
	for _, route := range options.Routes {
		hosts[route.Hostname()] = true
	}
	for _, name := range []string{"nats", "intake", "classifier", "reporting", "admin", "mongo", "proxy"} {
		text, err := os.ReadFile(filepath.Join(dir, "secrets", name+".pem"))
		must(t, err)
		block, _ := pem.Decode(text)
		cert, err := x509.ParseCertificate(block.Bytes)
		must(t, err)
		for host := range hosts {
			if is := cert.VerifyHostname(host) == nil; is != (name == "nats") {
				t.Errorf("the certificate of %s is one of the server %s: %v", name, host, is)
			}
		}
	}
	found := 0
	for _, u := range options.Users {
		if u.Password != env["NATS_"+strings.ToUpper(u.Username)+"_PASSWORD"] {
			t.Errorf("the password of %s was read as something else", u.Username)
		}
		found++
	}
	if found != 4 {
		t.Errorf("%d users, want 4", found)
	}
}
