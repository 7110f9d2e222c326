package check

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// project returns compose.yaml as compose reads it, strictly by its schema.
func project(t *testing.T, dir string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(dir, "compose", "compose.yaml")},
		cli.WithWorkingDirectory(filepath.Join(dir, "compose")), cli.WithEnvFiles(filepath.Join(dir, "secrets", "compose.env")), cli.WithDotEnv)
	must(t, err)
	p, err := options.LoadProject(t.Context())
	must(t, err)
	return p
}

func TestComposeIsWhatItPromises(t *testing.T) {
	dir := withSecrets(t)
	p := project(t, dir)
	names := p.ServiceNames()
	for _, part := range []string{"intake-1", "intake-2", "classifier-1", "classifier-2", "reporting-1", "reporting-2", "nats-1", "nats-2", "nats-3", "mongo-1", "mongo-2", "mongo-3", "proxy", "streams", "mongo-setup"} {
		if !slices.Contains(names, part) {
			t.Errorf("there is no %s", part)
		}
	}
	for name, s := range p.Services {
		once := name == "streams" || name == "mongo-setup"
		if !s.ReadOnly || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged || len(s.CapAdd) > 0 {
			t.Errorf("%s: read_only=%v security_opt=%v privileged=%v", name, s.ReadOnly, s.SecurityOpt, s.Privileged)
		}
		if (s.HealthCheck == nil || len(s.HealthCheck.Test) == 0) != once {
			t.Errorf("%s: health check %v", name, s.HealthCheck)
		}
		if len(s.Ports) > 0 && name != "proxy" {
			t.Errorf("%s is reached from outside", name)
		}
		if _, reaches := s.Networks["database"]; reaches != (strings.HasPrefix(name, "mongo") || strings.HasPrefix(name, "reporting")) {
			t.Errorf("%s on the network of the database: %v", name, reaches)
		}
		if strings.HasPrefix(s.Image, "onrecord-") {
			if s.User == "" || strings.HasPrefix(s.User, "0") || !slices.Contains(s.CapDrop, "ALL") {
				t.Errorf("%s: user=%q cap_drop=%v", name, s.User, s.CapDrop)
			}
			if s.Build == nil || s.Build.Dockerfile != "deployments/Dockerfile" {
				t.Errorf("%s: build %+v", name, s.Build)
			}
		}
		for variable, value := range s.Environment {
			if value != nil && (strings.Contains(strings.ToLower(variable), "password") && !strings.HasSuffix(variable, "_FILE") || variable == "ONRECORD_MASTER_KEY") {
				t.Errorf("%s: %s is in the container's description", name, variable)
			}
		}
		for _, secret := range s.Secrets {
			if _, ok := p.Secrets[secret.Source]; !ok {
				t.Errorf("%s: there is no secret %s", name, secret.Source)
			}
		}
	}
	for name, n := range p.Networks {
		if !bool(n.Internal) && name != "outside" {
			t.Errorf("the network %s reaches outside", name)
		}
	}
	for name, s := range p.Secrets {
		if _, err := os.Stat(s.File); err != nil {
			t.Errorf("secret %s: %v: secrets.sh does not make it", name, err)
		}
	}
	for name, c := range p.Configs {
		if _, err := os.Stat(c.File); err != nil {
			t.Errorf("config %s: %v", name, err)
		}
	}
}

// Each service takes the settings that compose and secrets.sh give it: it finds
// no mistake in them, and gets as far as the first port or server.
func TestTheServicesTakeTheSettingsOfCompose(t *testing.T) {
	dir := withSecrets(t)
	p := project(t, dir)
	for _, name := range []string{"intake-1", "classifier-2", "reporting-1", "streams"} {
		s := p.Services[name]
		var env []string
		for variable, value := range s.Environment {
			text := *value
			for _, secret := range s.Secrets { // /run/secrets is a directory of this test
				text = strings.ReplaceAll(text, "/run/secrets/"+secret.Target, p.Secrets[secret.Source].File)
			}
			if strings.Contains(text, "/run/secrets/") {
				t.Errorf("%s: %s=%s is no secret of it", name, variable, text)
			}
			env = append(env, variable+"="+text)
		}
		service := strings.TrimPrefix(s.Image, "onrecord-")
		args, want := []string{"--operator-listen", "127.0.0.1:99999"}, "cannot listen" // stops it right after the settings
		if service == "admin" {
			service, args, want = "onrecord", append(slices.Clone([]string(s.Command)), "--nats-url", "nats://127.0.0.1:1"), "NATS cannot be reached"
		}
		out, code := run(t, env, binaries(t)[service], args...)
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, want 1 and %q:\n%s", name, code, want, out)
		}
	}
}
