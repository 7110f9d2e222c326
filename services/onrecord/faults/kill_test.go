package faults

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/onrecord/onrecord/pkg/failpoint"
)

// everywhere kills the process at each named place; in the long set twice in a row.
func everywhere(t *trial) {
	for _, place := range failpoint.All {
		dir := filepath.Join(t.TempDir(), "data")
		phones := t.phones(6)
		hits := 0
		for range longer(1, 2) {
			times := 1 + t.rng.IntN(12)
			if strings.HasPrefix(place, "boot.") || place == failpoint.Migrating {
				times = 1 // these are passed once
			}
			if t.killAt(dir, phones, place, times) {
				hits++
			}
		}
		if hits == 0 {
			t.wrong("the process never passed %s: the place has gone", place)
		}
		t.broke(hits)
		p := t.start(dir, settings{binary: breakable})
		phones.to(p.url)
		phones.finish()
		t.check(p, t.token(dir), phones.soFar(), phones.sent, expectations{})
		p.kill()
	}
}

// killAt runs the program until it has passed a place so many times, and
// reports whether it did. The process is gone when it returns.
func (t *trial) killAt(dir string, phones *crowd, place string, times int) bool {
	t.Helper()
	p := t.launch(dir, settings{binary: breakable, env: []string{fmt.Sprintf("ONRECORD_FAILPOINT=%s:%d", place, times)}})
	if p.ready(20*time.Second) == nil {
		phones.to(p.url)
		p.ends(10 * time.Second)
	}
	phones.to("")
	p.kill()
	return strings.Contains(p.output.String(), "failpoint: "+place)
}

// anywhere kills the process at random moments.
func anywhere(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	phones := t.phones(12)
	for range 10 {
		p := t.start(dir, settings{})
		phones.to(p.url)
		t.wait(t.between(20*time.Millisecond, 700*time.Millisecond))
		p.kill()
		phones.to("")
		t.broke(1)
	}
	p := t.start(dir, settings{})
	phones.to(p.url)
	phones.finish()
	t.check(p, t.token(dir), phones.soFar(), phones.sent, expectations{})
}

// asleep stops the whole process for longer than anybody waits for an answer.
func asleep(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	p := t.start(dir, settings{})
	phones := t.phones(12)
	phones.to(p.url)
	for range longer(1, 2) {
		phones.await(30)
		p.signal(syscall.SIGSTOP)
		t.wait(t.between(5500*time.Millisecond, 7*time.Second))
		p.signal(syscall.SIGCONT)
		t.broke(1)
	}
	phones.await(30)
	phones.finish()
	t.check(p, t.token(dir), phones.soFar(), phones.sent, expectations{})
}

// restarts ends and starts the program as an upgrade does, under load.
func restarts(t *trial) {
	dir := filepath.Join(t.TempDir(), "data")
	phones := t.phones(12)
	for n := range 5 {
		s := settings{}
		if n%2 == 1 {
			s.binary = breakable // another build of the same version
		}
		p := t.start(dir, s)
		phones.to(p.url)
		phones.await(40)
		p.stop()
		phones.to("")
		t.broke(1)
	}
	for status := range phones.refused {
		if status != 503 {
			t.wrong("stopping answered %d to a phone", status)
		}
	}
	p := t.start(dir, settings{})
	phones.to(p.url)
	phones.finish()
	t.check(p, t.token(dir), phones.soFar(), phones.sent, expectations{})
}
