package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// disk is an ext4 file system on a loop device, whose backing file lies on XFS:
// a reflinked copy of that file is the disk as it was at one moment, with
// nothing of what the machine still held in memory.
type disk struct {
	t     *trial
	image string // of the live file system
	live  string // where it is mounted
	n     int
}

func (t *trial) disk() *disk {
	t.Helper()
	dir := t.TempDir()
	backing, under := filepath.Join(dir, "backing"), filepath.Join(dir, "under")
	t.must("truncate", "-s", "3G", backing)
	t.must("mkfs.xfs", "-q", "-m", "reflink=1", backing)
	t.mount(backing, under)
	d := &disk{t: t, image: filepath.Join(under, "disk"), live: filepath.Join(dir, "live")}
	t.must("truncate", "-s", "256M", d.image)
	t.must("mkfs.ext4", "-q", "-F", d.image)
	t.mount(d.image, d.live)
	return d
}

// cut returns the disk as a power cut at this moment would leave it, mounted.
func (d *disk) cut() (at string, unmount func()) {
	d.t.Helper()
	d.n++
	image := fmt.Sprintf("%s.%d", d.image, d.n)
	d.t.must("cp", "--reflink=always", d.image, image)
	at = filepath.Join(filepath.Dir(d.live), fmt.Sprintf("cut%d", d.n))
	return at, d.t.mount(image, at)
}

// mount mounts an image until the test ends, or until it is unmounted before.
func (t *trial) mount(image, at string) (unmount func()) {
	t.Helper()
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	t.must("mount", "-o", "loop", image, at)
	mounted := true
	unmount = func() {
		if !mounted {
			return
		}
		mounted = false
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			_ = exec.Command("umount", "-l", at).Run()
			t.Logf("umount %s: %v %s", at, err, out)
		}
	}
	t.Cleanup(unmount)
	return unmount
}

// must runs a command of the system.
func (t *trial) must(name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// powerless makes of a data directory what a machine finds that lost its
// power: what stood in memory is gone.
func (t *trial) powerless(dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Type()&fs.ModeSymlink == 0 {
			return err
		}
		target, err := os.Readlink(path)
		if err == nil && strings.HasPrefix(target, "/dev/shm/") {
			err = errors.Join(os.Remove(path), os.Symlink(target+".gone", path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

const cuts = 3 // of each run

// powerCuts takes the power away under load, three times, and starts on what
// the disk then holds.
func powerCuts(t *trial) {
	d := t.disk()
	dir := filepath.Join(d.live, "data")
	p := t.start(dir, settings{args: []string{"--max-store", "64"}})
	token := t.token(dir)
	phones := t.phones(24)
	phones.to(p.url)
	phones.await(20)
	for range cuts {
		phones.to(p.url)
		t.wait(t.between(20*time.Millisecond, 400*time.Millisecond))
		received := phones.soFar() // before the cut
		at, unmount := d.cut()
		phones.to("") // or they fill the small store while the disk is looked at
		t.broke(1)
		left := filepath.Join(at, "data")
		t.powerless(left)
		again := t.start(left, settings{args: []string{"--max-store", "64"}})
		sent := phones.sentSoFar()
		t.check(again, token, received, sent, expectations{})
		again.kill()
		unmount()
	}
	phones.to(p.url)
	phones.finish()
	t.check(p, token, phones.soFar(), phones.sent, expectations{})
	p.kill()
}

// powerCutsUnsafe does the same with a program whose stream answers before the
// disk has it, and fails unless reports are lost: otherwise R4 shows nothing.
func powerCutsUnsafe(t *trial) {
	d := t.disk()
	dir := filepath.Join(d.live, "data")
	unsafe := settings{binary: breakable, env: []string{"ONRECORD_FAILPOINT_UNSAFE=1"}, args: []string{"--max-store", "64"}}
	p := t.start(dir, unsafe)
	token := t.token(dir)
	phones := t.phones(24)
	phones.to(p.url)
	phones.await(200)
	lost := 0
	for range 10 {
		t.wait(t.between(20*time.Millisecond, 300*time.Millisecond))
		received := phones.soFar()
		at, unmount := d.cut()
		left := filepath.Join(at, "data")
		t.powerless(left)
		again := t.launch(left, settings{binary: breakable, args: unsafe.args})
		if err := again.ready(20 * time.Second); err != nil {
			lost += len(received) // it does not even start
		} else {
			lost += len(received) - t.foundAfter(again, token, 2*time.Second, received)
		}
		again.kill()
		unmount()
		if lost > 0 {
			t.note("with durability switched off %d received reports were lost in a cut, as they must be", lost)
			return
		}
	}
	t.Error("durability was switched off and no cut lost anything: the power cuts of R4 show nothing")
}

// foundAfter returns how many of the received are there once nothing was added
// for so long.
func (t *trial) foundAfter(p *process, token string, quiet time.Duration, received map[string]string) int {
	t.Helper()
	last, since := -1, time.Now()
	_ = runtest.Poll(t.Context(), time.Minute, func() error {
		if n, err := p.counted(token); err == nil && n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) < quiet {
			return errors.New("something was added")
		}
		return nil
	})
	words, err := p.words(token)
	if err != nil {
		return 0
	}
	there := make(map[string]bool)
	for _, w := range words {
		there[w] = true
	}
	found := 0
	for _, w := range received {
		if there[w] {
			found++
		}
	}
	return found
}
