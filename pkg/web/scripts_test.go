package web_test

import (
	"os/exec"
	"testing"
)

// The scripts' own tests run in Node, which builds them.
func TestScripts(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "node", "--test", "src/js/")
	cmd.Dir = "frontend"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
