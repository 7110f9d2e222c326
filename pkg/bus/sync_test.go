package bus_test

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/bus"
)

// The tests here watch a process from outside, by its system calls, because
// only these say what has reached the disk. They need strace.

// Marks that the watched process leaves among its system calls, by removing
// files that do not exist.
const (
	marks     = "/no-such-directory/"
	markAsked = "asked"
	markTold  = "told"
)

// A report is received when it is on disk and not before; many at once share
// the writes. The negative control shows that the test can see the difference.
func TestWhatIsAcknowledgedWasSynced(t *testing.T) {
	for _, test := range []struct {
		how                  string
		publishers, messages int
		unsynced             bool // the server does not sync: the test must notice
		fewestPerSync        float64
	}{
		{how: "one after another", publishers: 1, messages: 100},
		{how: "many at once", publishers: 64, messages: 2000, fewestPerSync: 8},
		{how: "never synced", publishers: 8, messages: 100, unsynced: true},
	} {
		t.Run(test.how, func(t *testing.T) {
			t.Parallel()
			syncs, early := watch(t, test.publishers, test.messages, test.unsynced)
			if test.unsynced {
				if early == 0 {
					t.Fatal("nothing was synced and the test did not notice")
				}
				return
			}
			if early > 0 {
				t.Errorf("%d of %d were acknowledged before anything was synced", early, test.messages)
			}
			perSync := float64(test.messages) / float64(syncs)
			t.Logf("%d messages, %d syncs of the stream's blocks: %.1f messages each", test.messages, syncs, perSync)
			if perSync < test.fewestPerSync {
				t.Errorf("%.1f messages share a sync, want at least %.0f", perSync, test.fewestPerSync)
			}
		})
	}
}

// watch has a process publish and returns how often it synced the stream's
// blocks, and how many messages it was told were stored although nothing had
// been synced since it asked.
func watch(t *testing.T, publishers, messages int, unsynced bool) (syncs, early int) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is needed to see what is synced: install it")
	}
	calls := filepath.Join(t.TempDir(), "calls")
	cmd := exec.Command("strace", "-f", "-y", "-qq", "-e", "trace=fsync,fdatasync,unlinkat", "-o", calls,
		os.Args[0], "-test.run", "^TestPublishWatched$", "-test.count", "1")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %t", watchedEnv, publishers, messages, unsynced))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(calls)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	// A sync counts once it has ended, for whatever was asked before it began.
	// strace splits a call that others run beside into two lines.
	var (
		line    = regexp.MustCompile(`^(\d+) +(.*)$`)
		mark    = regexp.MustCompile(`^unlinkat\(.*"` + marks + `(asked|told)-(\d+)"`)
		began   = regexp.MustCompile(`^f(?:data)?sync\(\d+<.*/streams/` + bus.StreamReports + `/msgs/\d+\.blk>(\) += 0)?`)
		resumed = regexp.MustCompile(`^<\.\.\. f(?:data)?sync resumed>.*\) += 0`)
		now     = 0
		asked   = map[string]int{}
		under   = map[string]int{} // when the sync that a thread is in began
		synced  = -1               // when the latest began of those that ended
	)
	told := 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		m := line.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		thread, call := m[1], m[2]
		now++
		if m := mark.FindStringSubmatch(call); m != nil {
			if m[1] == markAsked {
				asked[m[2]] = now
				continue
			}
			told++
			if synced < asked[m[2]] {
				early++
			}
		}
		if m := began.FindStringSubmatch(call); m != nil {
			under[thread] = now
			if m[1] != "" {
				syncs, synced = syncs+1, max(synced, now)
				delete(under, thread)
			}
		}
		if at, ok := under[thread]; ok && resumed.MatchString(call) {
			syncs, synced = syncs+1, max(synced, at)
			delete(under, thread)
		}
	}
	if told != messages {
		t.Fatalf("the process was told of %d messages, want %d", told, messages)
	}
	return syncs, early
}

const watchedEnv = "TEST_PUBLISH_WATCHED"

// TestPublishWatched is the process that is watched, and no test by itself.
func TestPublishWatched(t *testing.T) {
	var publishers, messages int
	var unsynced bool
	if _, err := fmt.Sscan(os.Getenv(watchedEnv), &publishers, &messages, &unsynced); err != nil {
		return
	}
	b := watchedBus(t, unsynced)
	leave := func(mark string, n int) { _ = syscall.Unlink(marks + mark + "-" + strconv.Itoa(n)) }
	ids := make(chan int)
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for n := range ids {
				leave(markAsked, n)
				if _, err := b.Publish(t.Context(), event(fmt.Sprintf("r%d", n), "x")); err != nil {
					t.Error(err)
				}
				leave(markTold, n)
			}
		})
	}
	for n := range messages {
		ids <- n
	}
	close(ids)
	wg.Wait()
}

func watchedBus(t *testing.T, unsynced bool) *bus.Bus {
	t.Helper()
	if !unsynced {
		b, _ := openStaged(t, t.TempDir())
		return b
	}
	ns, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(ns.Shutdown)
	nc, err := nats.Connect("", nats.InProcessServer(ns))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	b, err := bus.New(nc, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	return b
}

// Whoever comes alone is not kept waiting for company: publishing through the
// bus takes what publishing to the stream takes. The quickest of many counts,
// because nothing else on the machine makes that one slower.
func TestALoneEventWaitsForNobody(t *testing.T) {
	b, srv := openStaged(t, t.TempDir())
	nc, err := srv.Connect("alone")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 600)
	quickest := func(publish func(id string) error) time.Duration {
		t.Helper()
		least := time.Hour
		for n := range 200 {
			began := time.Now()
			if err := publish(strconv.Itoa(n)); err != nil {
				t.Fatal(err)
			}
			least = min(least, time.Since(began))
		}
		return least
	}
	itself := quickest(func(id string) error {
		_, err := js.Publish(t.Context(), bus.Subject(bus.TypeFiled, "itself"+id), data)
		return err
	})
	alone := quickest(func(id string) error {
		_, err := b.Publish(t.Context(), event("alone"+id, string(data)))
		return err
	})
	t.Logf("the stream by itself %v, through the bus %v", itself, alone)
	if alone > itself+time.Millisecond {
		t.Errorf("a lone event took %v, and %v by the stream itself", alone, itself)
	}
}

// The place where batches are staged may go away: systemd empties it when
// somebody logs out. Everything is still stored once, and the next check has it
// back.
func TestNothingIsLostWithThePlaceWhereBatchesAreStaged(t *testing.T) {
	dir := t.TempDir()
	b, srv := openStaged(t, dir)
	link := filepath.Join(dir, "jetstream", "$G", "streams", bus.StreamReports, "batches")
	place, err := os.Readlink(link)
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		if info, err := os.Stat(link); err != nil || info.Mode().Perm() != 0o700 {
			t.Fatalf("%v, want a directory for its owner alone", err)
		}
	}
	check()
	manyAtOnce(t, b, "staged")
	if err := os.RemoveAll(place); err != nil {
		t.Fatal(err)
	}
	manyAtOnce(t, b, "away")
	if err := srv.Check(); err != nil {
		t.Fatal(err)
	}
	check()
	manyAtOnce(t, b, "back")
	srv.Stop()
	if _, err := os.Stat(place); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err=%v, want nothing left behind in memory", err)
	}
}

func manyAtOnce(t *testing.T, b *bus.Bus, name string) {
	t.Helper()
	id := func(n int) string { return fmt.Sprintf("%s%d", name, n) }
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			if ack, err := b.Publish(t.Context(), event(id(n), id(n))); err != nil || ack.Duplicate {
				t.Errorf("%s: ack=%+v err=%v", id(n), ack, err)
			}
		})
	}
	wg.Wait()
	for n := range 100 {
		if got, err := b.Get(t.Context(), bus.Subject(bus.TypeFiled, id(n))); err != nil || string(got.Data) != id(n) {
			t.Errorf("%s: stored=%q err=%v", id(n), got.Data, err)
		}
	}
}
