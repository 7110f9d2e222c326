package check

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestSystemdTakesTheUnits(t *testing.T) {
	analyze := tool(t, "systemd-analyze")
	units, err := filepath.Glob(filepath.Join(deployments(t), "systemd", "*.service"))
	must(t, err)
	if len(units) != 4 {
		t.Fatalf("%d units, want 4", len(units))
	}
	dir := t.TempDir()
	for _, path := range units {
		text, err := os.ReadFile(path)
		must(t, err)
		name := filepath.Base(path)
		program := regexp.MustCompile(`(?m)^ExecStart=(/usr/local/bin/(\S+))`).FindSubmatch(text)
		if program == nil {
			t.Errorf("%s starts nothing", name)
			continue
		}
		// The binaries stand in for those that would be installed.
		copied := filepath.Join(dir, name)
		must(t, os.WriteFile(copied, []byte(strings.ReplaceAll(string(text), string(program[1]), binaries(t)[string(program[2])])), 0o644))
		if out, code := run(t, os.Environ(), analyze, "verify", "--man=no", copied); code != 0 || strings.TrimSpace(out) != "" {
			t.Errorf("systemd-analyze verify %s: exit %d\n%s", name, code, out)
		}
		// 2.0 of 10: what is left is the network, which a server needs.
		if out, code := run(t, os.Environ(), analyze, "security", "--offline=true", "--no-pager", "--threshold=20", copied); code != 0 {
			t.Errorf("%s is exposed more than 2.0 of 10:\n%s", name, out)
		}
	}
}
