package runtest

import (
	"context"
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// patience is how long a process may take to say something, on a busy machine.
const patience = time.Minute

// Process is a process that ends with its test at the latest.
type Process struct {
	Cmd    *exec.Cmd
	Output Output        // everything it printed, both streams
	Exited chan struct{} // closed once it has ended
	Err    error         // of Wait, after Exited is closed

	tb testing.TB
}

// Launch starts a command.
func Launch(tb testing.TB, cmd *exec.Cmd) *Process {
	tb.Helper()
	p := &Process{Cmd: cmd, Exited: make(chan struct{}), tb: tb}
	cmd.Stdout, cmd.Stderr = &p.Output, &p.Output
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		p.Err = cmd.Wait()
		close(p.Exited)
	}()
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("%s printed in the end:\n%s", cmd.Path, last(p.Output.String(), 40))
		}
	})
	return p
}

// Kill ends the process as a power cut of the process would: nothing is
// flushed. It returns once it has ended; one that has is left alone.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill()
	<-p.Exited
}

// Await waits until the process has printed what a pattern finds, and returns
// the first group of it. It fails the test when the process ends before.
func (p *Process) Await(pattern *regexp.Regexp) string {
	p.tb.Helper()
	var found []string
	err := Poll(context.Background(), patience, func() error {
		if found = pattern.FindStringSubmatch(p.Output.String()); found != nil {
			return nil
		}
		select {
		case <-p.Exited:
			p.tb.Fatalf("%s ended: %v\n%s", p.Cmd.Path, p.Err, p.Output.String())
		default:
		}
		return errSilent
	})
	if err != nil {
		p.tb.Fatalf("%s printed no %s:\n%s", p.Cmd.Path, pattern, p.Output.String())
	}
	return found[1]
}

var errSilent = errors.New("it has not printed that yet")

// last returns the last n lines of text.
func last(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
