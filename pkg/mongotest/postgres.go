package mongotest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// ErrNoPostgres says that no PostgreSQL is installed.
var ErrNoPostgres = errors.New("no PostgreSQL is installed: apt-get install postgresql, or make postgresql")

// StartOnPostgres is Start with the data in a PostgreSQL of its own, which looks
// for what a document has without handing over every document. So it is several
// times as fast, and takes seconds to start. It returns ErrNoPostgres where
// there is none.
func StartOnPostgres(tb testing.TB) (uri string, err error) {
	tb.Helper()
	programs, err := postgresPrograms()
	if err != nil {
		return "", err
	}
	binary, err := buildWithPostgres()
	if err != nil {
		tb.Fatal(err)
	}
	return start(tb, binary, "--postgres", startPostgres(tb, programs)).URI, nil
}

// postgresPrograms returns the directory of PostgreSQL's own programs, the
// newest where there are several. Debian has them on nobody's path.
func postgresPrograms() (string, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if initdb, err = filepath.EvalSymlinks(initdb); err == nil {
			return filepath.Dir(initdb), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", ErrNoPostgres
	}
	release := func(initdb string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(initdb)))) // what is no number is the oldest
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return release(a) - release(b) })), nil
}

// startPostgres runs a fresh PostgreSQL until the test ends, and returns the URL
// of a database in it. It listens on a socket in a directory that nobody else
// may enter.
func startPostgres(tb testing.TB, programs string) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "onrecord-postgres-") // no TempDir of the test: another user has to reach it
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Error(err)
		}
	})
	as, err := notRoot(dir)
	if err != nil {
		tb.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(programs, "initdb"), "--pgdata", data, "--username", "onrecord", "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, as
	if out, err := initdb.CombinedOutput(); err != nil {
		tb.Fatalf("initdb: %v: %s", err, out)
	}

	// The shell ends it with its standard input, should this process be killed.
	server := exec.Command("sh", "-c", `"$@" & read _; kill -INT $!; wait $!`, "sh",
		filepath.Join(programs, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=")
	server.Dir, server.SysProcAttr = dir, as
	var said runtest.Output
	server.Stdout, server.Stderr = &said, &said
	stdin, err := server.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := server.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = stdin.Close()
		_ = server.Wait() // how it ended is no matter
	})
	runtest.Eventually(tb, startWithin, func() error {
		if out, err := exec.Command(filepath.Join(programs, "pg_isready"), "--host", dir).CombinedOutput(); err != nil {
			return fmt.Errorf("PostgreSQL did not start: %w: %s%s", err, out, said.String())
		}
		return nil
	})
	return (&url.URL{Scheme: "postgres", User: url.User("onrecord"), Path: "/postgres", RawQuery: url.Values{"host": {dir}, "pool_max_conns": {"90"}}.Encode()}).String()
}

// notRoot returns as whom PostgreSQL runs, which refuses to as root, and gives
// that user a directory.
func notRoot(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	them, err := user.Lookup("postgres") // the package makes it
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(them.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(them.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, os.Chown(dir, int(uid), int(gid))
}
