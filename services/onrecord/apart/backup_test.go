package apart

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// onrecord runs a command of the program as the administrator of a cluster.
func (c *cluster) onrecord(args ...string) (string, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "onrecord"), append(args, c.flags("admin")...)...)
	cmd.Env = append(os.Environ(), "ONRECORD_MASTER_KEY="+masterKey)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// A backup made beside the running services brings everything back on other
// servers: the database as it was, and what was still in the stream, but for the
// words that were erased since.
func TestABackupOfServicesApartBringsEverythingBack(t *testing.T) {
	c := planCluster(t)
	c.start()
	database := mongotest.Start(t) + "onrecord"
	c.apply("--max-stream", "128")
	first, intake := c.service("reporting", "--database", database), c.service("intake")
	classifier := c.service("classifier")
	for _, i := range []*instance{first, intake, classifier} {
		runtest.Eventually(t, patience, i.ready)
	}
	_, rep := setUp(t, first)
	p := file(t, pause, intake)
	p.some()
	received := p.end()
	runtest.Eventually(t, patience, func() error {
		if n, err := rep.total(first.url); err != nil || n != received {
			return fmt.Errorf("%d are counted of %d: %w", n, received, err)
		}
		return nil
	})
	file := filepath.Join(t.TempDir(), "saved.backup")
	if out, err := c.onrecord("admin", "backup", file, "--database", database); err != nil || !strings.Contains(out, "restored and recounted") {
		t.Fatalf("backup: %v\n%s", err, out)
	}
	erase(t, c, first, intake, rep, p.received, database, filepath.Dir(file))
	for _, i := range []*instance{first, intake, classifier} {
		i.Kill()
	}
	if out, err := c.onrecord("admin", "restore", file, "--database", mongotest.Start(t)+"onrecord"); err == nil || !strings.Contains(out, "not empty") {
		t.Errorf("onto a stream that holds something: %v\n%s", err, out)
	}

	other := planCluster(t)
	other.start()
	empty := mongotest.Start(t) + "onrecord"
	other.apply("--max-stream", "128")
	if out, err := other.onrecord("admin", "restore", file, "--database", empty); err != nil || !strings.Contains(out, "with 1 erasures done again") {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	again := other.service("reporting", "--database", empty)
	runtest.Eventually(t, patience, again.ready)
	rep.post(again.url+"/sign-in/", map[string][]string{"name": {"Demo Rep"}, "password": {"a long demo password"}})
	runtest.Eventually(t, patience, func() error {
		if n, err := rep.total(again.url); err != nil || n != received {
			return fmt.Errorf("%d are counted after the restore, want %d: %w", n, received, err)
		}
		return nil
	})
	recount(t, other, empty, received)
	rep.lackWords(again.url, p.received, 1)
}
