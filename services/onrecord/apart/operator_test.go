package apart

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// operate runs a command that is given a line on standard input and returns
// what it printed for programs, what it told the operator, and its exit code.
func (c *cluster) operate(line string, args ...string) (out, told string, code int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "onrecord"), args...)
	cmd.Env = append(os.Environ(), "ONRECORD_MASTER_KEY="+masterKey)
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(line), &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// signIn returns the answer to a name and a password.
func signIn(t *testing.T, at *instance, name, password string) int {
	t.Helper()
	res, err := client.PostForm(at.url+"/sign-in/", url.Values{"name": {name}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// Beside the running services an administrator who forgot the password is let
// in again, people and tokens are made and ended, and what nobody could read is
// listed and tried again.
func TestAnOperatorOfServicesApart(t *testing.T) {
	c := planCluster(t)
	c.start()
	server := mongotest.Start(t)
	database := server + "onrecord"
	c.apply("--max-stream", "128")
	reporting := c.service("reporting", "--database", database)
	runtest.Eventually(t, patience, reporting.ready)
	admin, rep := setUp(t, reporting)
	in := func(args ...string) []string {
		return append(append([]string{"admin"}, args...), "--database", database)
	}
	must := func(line string, args ...string) string {
		t.Helper()
		out, told, code := c.operate(line, in(args...)...)
		if code != run.ExitOK {
			t.Fatalf("%q: exit %d\n%s%s", args, code, out, told)
		}
		return out
	}
	fails := func(want int, why, line string, args ...string) {
		t.Helper()
		if out, told, code := c.operate(line, args...); code != want || !strings.Contains(told, why) || out != "" {
			t.Errorf("%q: exit %d, want %d and %q\n%s%s", args, code, want, why, out, told)
		}
	}

	t.Run("people", func(t *testing.T) {
		const name, forgotten, remembered = "Demo Administrator", "a long demo password", "another demo password"
		if out := must(remembered+"\n", "user", "password", name); out != name+" may sign in.\n" {
			t.Errorf("password: %s", out)
		}
		if old, now := signIn(t, reporting, name, forgotten), signIn(t, reporting, name, remembered); old != http.StatusUnauthorized || now != http.StatusSeeOther {
			t.Errorf("the old password: %d, the new one: %d", old, now)
		}
		if code, _, _ := admin.ask("GET", reporting.url+"/people/", ""); code == http.StatusOK {
			t.Error("the session from before the new password goes on")
		}
		made := regexp.MustCompile(`password (\S+)`).FindStringSubmatch(must("", "user", "add", "Demo Manager", "--role", "manager", "--generate-password"))
		if made == nil || signIn(t, reporting, "Demo Manager", made[1]) != http.StatusSeeOther {
			t.Errorf("whoever was added cannot sign in with %q", made)
		}
		must("", "user", "disable", "demo rep")
		if code, _, _ := rep.ask("GET", reporting.url+"/api/v1/incidents", ""); code != http.StatusUnauthorized {
			t.Errorf("a disabled person: %d", code)
		}
		if out := must("", "user", "list"); !regexp.MustCompile(`Demo Rep +rep +every site +disabled`).MatchString(out) || !regexp.MustCompile(`Demo Manager +manager +– +active`).MatchString(out) {
			t.Errorf("list: %s", out)
		}
		must("", "user", "enable", "Demo Rep")
		if code := signIn(t, reporting, "Demo Rep", forgotten); code != http.StatusSeeOther {
			t.Errorf("enabled again: %d", code)
		}
		fails(run.ExitFailed, "last administrator", "", in("user", "disable", name)...)
		fails(run.ExitFailed, "no such account", "", in("user", "enable", "Demo Nobody")...)
		fails(run.ExitFailed, "password", "short\n", in("user", "password", name)...)
		fails(run.ExitFailed, "no site", remembered+"\n", in("user", "add", "Demo Other", "--role", "rep", "--site", "nowhere")...)
	})

	t.Run("tokens", func(t *testing.T) {
		secret := strings.TrimSpace(must("", "token", "create", "--role", "rep", "--label", "demo-sheet"))
		asked := func() int {
			t.Helper()
			code, _, _ := (&browser{t: t}).ask("GET", reporting.url+"/api/v1/incidents", "", "Authorization", "Bearer "+secret)
			return code
		}
		if code := asked(); code != http.StatusOK {
			t.Errorf("with the token: %d", code)
		}
		listed := must("", "token", "list")
		id := regexp.MustCompile(`(?m)^(\S+) +demo-sheet +rep +every site .*active$`).FindStringSubmatch(listed)
		if id == nil || strings.Contains(listed, secret) {
			t.Fatalf("list: %s", listed)
		}
		must("", "token", "revoke", id[1])
		if code := asked(); code != http.StatusUnauthorized {
			t.Errorf("with a revoked token: %d", code)
		}
		fails(run.ExitFailed, "no such token", "", in("token", "revoke", "none")...)
	})

	nats := c.flags("admin")
	t.Run("doctor", func(t *testing.T) {
		out, told, code := c.operate("", append(in("doctor"), nats...)...)
		if code != run.ExitFailed || !strings.Contains(out, "ALARM  classifier_silent") || !strings.Contains(told, "found: 1") {
			t.Errorf("without a classifier: exit %d\n%s%s", code, out, told)
		}
		runtest.Eventually(t, patience, c.service("classifier").ready)
		out, told, code = c.operate("", append(in("doctor"), nats...)...)
		if code != run.ExitOK || !strings.Contains(out, "nothing is wrong") || !strings.Contains(told, "Not seen from here") {
			t.Errorf("all is well: exit %d\n%s%s", code, out, told)
		}
	})

	t.Run("dead letters", func(t *testing.T) {
		if out := must("", "dead-letters", "list"); out != "There are none.\n" {
			t.Errorf("list: %s", out)
		}
		subject := bus.Subject(bus.TypeFiled, uuid.Must(uuid.NewV7()).String())
		b, _ := c.connect(t, "admin")
		if _, err := b.Publish(t.Context(), bus.Event{Subject: subject, ID: subject, Data: []byte("not an envelope")}); err != nil {
			t.Fatal(err)
		}
		runtest.Eventually(t, patience, func() error {
			if out := must("", "dead-letters", "list"); !strings.Contains(out, subject) {
				return fmt.Errorf("it is not among them: %s", out)
			}
			return nil
		})
		if out, told, code := c.operate("", append(in("doctor"), nats...)...); code != run.ExitFailed || !strings.Contains(out, "WARNING  quarantine") {
			t.Errorf("doctor: exit %d\n%s%s", code, out, told)
		}
		fails(run.ExitFailed, "still cannot be read", "", append(in("dead-letters", "replay", subject), nats...)...)
		fails(run.ExitFailed, "no such message", "", append(in("dead-letters", "replay", "onrecord.v1.report.filed.none"), nats...)...)
	})

	t.Run("mistakes", func(*testing.T) {
		fails(run.ExitMistake, "database: give the address", "", "admin", "user", "list")
		fails(run.ExitMistake, "database: give the address", "", append([]string{"admin", "dead-letters", "replay", "x"}, nats...)...)
		fails(run.ExitMistake, "from “onrecord admin token list”", "", in("token", "revoke")...)
		fails(run.ExitFailed, "there is no installation in the database", "", "admin", "user", "list", "--database", server+"mistyped")
	})
}
