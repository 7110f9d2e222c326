package check

import (
	"cmp"
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

// image stands for what the entry point of MongoDB's image does: it becomes the
// user mongodb, and only then reads what it and mongod were told to read.
const image = `#!/bin/sh
for file in "$@" "$MONGO_INITDB_ROOT_PASSWORD_FILE"; do
  case "$file" in /*) setpriv --reuid 999 --regid 999 --clear-groups cat "$file" >/dev/null && echo "read $file" || exit 1;; esac
done
`

// Each member finds its key, certificates and password as files that mongod's
// user may read, whoever made them.
func TestMongoDBMayReadItsSecrets(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test becomes other users: run it as root")
	}
	dir := withSecrets(t)
	p := project(t, dir)
	for name, want := range map[string]string{"mongo-1": "read /run/onrecord/mongo-root.password", "mongo-2": "read /run/onrecord/mongo.keyfile"} {
		s := p.Services[name]
		bin, secrets := t.TempDir(), t.TempDir()
		must(t, os.WriteFile(filepath.Join(bin, "docker-entrypoint.sh"), []byte(image), 0o755))
		must(t, os.WriteFile(filepath.Join(bin, "passwd"), []byte("root:x:0:0::/:/bin/sh\nmongodb:x:999:999::/:/bin/sh\n"), 0o644))
		must(t, os.WriteFile(filepath.Join(bin, "group"), []byte("root:x:0:\nmongodb:x:999:\n"), 0o644))
		for _, secret := range s.Secrets {
			text, err := os.ReadFile(p.Secrets[secret.Source].File)
			must(t, err)
			file := filepath.Join(secrets, filepath.Base(cmp.Or(secret.Target, secret.Source)))
			must(t, os.WriteFile(file, text, 0o600))
			must(t, os.Chown(file, 1000, 1000)) // whoever ran secrets.sh
		}
		env := []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
		for variable, value := range s.Environment {
			env = append(env, variable+"="+*value)
		}
		mounts := "mount -t tmpfs none /run && mkdir /run/secrets /run/onrecord && mount --bind " + secrets + " /run/secrets && " +
			"mount --bind " + bin + "/passwd /etc/passwd && mount --bind " + bin + "/group /etc/group && exec \"$@\""
		out, code := run(t, env, "unshare", append([]string{"--mount", "sh", "-ec", mounts, "container"}, s.Entrypoint...)...)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, want 0 and %q:\n%s", name, code, want, out)
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
		args, want := []string{"--operator-listen", "203.0.113.1:0"}, "cannot listen" // an address for documentation: it stops it right after the settings
		if service == "admin" {
			service, args, want = "onrecord", append(slices.Clone([]string(s.Command)), "--nats-url", "nats://127.0.0.1:1"), "NATS cannot be reached"
		}
		out, code := run(t, env, binaries(t)[service], args...)
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, want 1 and %q:\n%s", name, code, want, out)
		}
	}
}
