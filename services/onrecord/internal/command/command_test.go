package command

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/run/runtest"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// result is what a command printed, and its exit code.
type result struct {
	out, err string
	code     int
}

// onrecord runs a command in this process.
func onrecord(t *testing.T, stdin string, args ...string) result {
	t.Helper()
	var out, errs runtest.Output
	code := Main(t.Context(), Env{Args: args, Lookup: func(string) (string, bool) { return "", false },
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs})
	return result{out.String(), errs.String(), code}
}

// must runs a command that works, and returns what it prints.
func must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	r := onrecord(t, stdin, args...)
	if r.code != run.ExitOK {
		t.Fatalf("onrecord %s: exit %d: %s", strings.Join(args, " "), r.code, r.err)
	}
	return r.out
}

// fails runs a command that does not work, and checks its exit code and what it says.
func fails(t *testing.T, code int, want, stdin string, args ...string) {
	t.Helper()
	if r := onrecord(t, stdin, args...); r.code != code || !strings.Contains(r.err, want) {
		t.Errorf("onrecord %s: exit %d %q, want %d and %q", strings.Join(args, " "), r.code, r.err, code, want)
	}
}

// server is "onrecord serve", running.
type server struct {
	url string
	out *runtest.Output
}

// serve runs a server until the test ends.
func serve(t *testing.T, dir string, args ...string) server {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var out, errs runtest.Output
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, Env{Args: append([]string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0"}, args...),
			Lookup: func(string) (string, bool) { return "", false }, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs})
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != run.ExitOK {
			t.Errorf("serve ended with %d:\n%s", code, errs.String())
		}
	})
	address := regexp.MustCompile(`On Record is at\s+(\S+)`)
	trusting := stays(&http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}) // only to see that it is there
	eventually(t, func() error {
		found := address.FindStringSubmatch(out.String())
		if found == nil {
			return fmt.Errorf("it does not serve:\n%s%s", out.String(), errs.String())
		}
		res, err := trusting.Get(found[1] + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
	return server{address.FindStringSubmatch(out.String())[1], &out}
}

func eventually(t *testing.T, check func() error) {
	t.Helper()
	runtest.Eventually(t, 20*time.Second, check)
}

// ask sends a request and returns the status and the body.
func ask(t *testing.T, client *http.Client, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

// stays is a client that follows no redirect.
func stays(tr *http.Transport) *http.Client {
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// signIn returns the answer to a name and a password.
func signIn(t *testing.T, client *http.Client, address, name, password string) *http.Response {
	t.Helper()
	res, _ := ask(t, client, http.MethodPost, address+"/sign-in/", url.Values{"name": {name}, "password": {password}}.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")
	return res
}

func TestEveryCommandExplainsItself(t *testing.T) {
	var walk func(path []string, cmd *cobra.Command)
	seen := 0
	walk = func(path []string, cmd *cobra.Command) {
		seen++
		r := onrecord(t, "", append(path, "--help")...)
		if r.code != run.ExitOK || r.err != "" || !strings.Contains(r.out, "Usage:") || cmd.Short == "" {
			t.Errorf("onrecord %s --help: exit %d\n%s%s", strings.Join(path, " "), r.code, r.out, r.err)
		}
		for _, c := range cmd.Commands() {
			walk(append(path[:len(path):len(path)], c.Name()), c)
		}
	}
	walk(nil, newRoot(Env{}))
	if seen < 20 {
		t.Errorf("only %d commands were found", seen)
	}
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"servee"}, "onrecord --help"},
		{[]string{"sevre"}, "Did you mean “serve”?"},
		{[]string{"serve", "now"}, "onrecord serve --help"},
		{[]string{"user"}, "say which"},
		{[]string{"user", "addd"}, "Did you mean “add”? See “onrecord user --help”."},
		{[]string{"user", "add", "demo"}, "onrecord user add --help"},
		{[]string{"user", "add", "--role", "rep"}, "the person’s name"},
		{[]string{"user", "add", "demo", "--role", "rep"}, "no password on standard input"},
		{[]string{"token", "create"}, "role"},
		{[]string{"token", "revoke"}, "the token’s id"},
		{[]string{"sites", "import"}, "the CSV file"},
		{[]string{"sites", "import", filepath.Join(dir, "none.csv")}, "none.csv"},
		{[]string{"dead-letters", "replay"}, "its subject"},
		{[]string{"verify"}, "there is no installation in " + dir},
		{[]string{"user", "list"}, "there is no installation in " + dir},
		{[]string{"verify", "--colour"}, "--colour"},
		{[]string{"verify", "--threshold", "1000"}, "threshold"},
		{[]string{"bench", "--url", "http://localhost"}, "ONRECORD_TOKEN"},
		{[]string{"serve", "--read-within", "0"}, "read-within"},
		{[]string{"serve", "--news-within", "91"}, "news-within"},
		{[]string{"serve", "--publish-day", "29"}, "publish-day"},
		{[]string{"demo", "--publish-day", "-1"}, "publish-day"},
		{[]string{"soak", "--url", "http://localhost"}, "ONRECORD_TOKEN"},
		{[]string{"serve", "--listen", ""}, "listen \"\": want a host and a port"},
		{[]string{"serve", "--listen", "nonsense"}, "want a host and a port"},
		{[]string{"demo", "--listen", ":99999"}, "want a host and a port"},
		{[]string{"serve", "--tls-cert", "cert.pem"}, "tls-key"},
		{[]string{"serve", "--tls-cert", "none.pem", "--tls-key", "none.pem", "--trusted-proxy", "proxy.example", "--threshold", "-1"}, "none.pem"},
		{[]string{"serve", "--tls-cert", "none.pem", "--tls-key", "none.pem", "--trusted-proxy", "proxy.example", "--threshold", "-1"}, "proxy.example"},
		{[]string{"serve", "--tls-cert", "none.pem", "--tls-key", "none.pem", "--trusted-proxy", "proxy.example", "--threshold", "-1"}, "threshold"},
	} {
		fails(t, run.ExitMistake, c.want, "", append(c.args, "--data-dir", dir)...)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the data directory was opened for a mistake")
	}
	deep := filepath.Join(t.TempDir(), strings.Repeat("deep", 30))
	for _, command := range []string{"serve", "demo"} { // said before an installation is made there
		fails(t, run.ExitMistake, "too long for a socket", "", command, "--listen", "127.0.0.1:0", "--data-dir", deep)
	}
	if _, err := os.Stat(deep); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the data directory was made with a path that is too long")
	}
	file := filepath.Join(t.TempDir(), "demo")
	if err := os.WriteFile(file, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := onrecord(t, "", "demo", "--listen", "127.0.0.1:0", "--data-dir", file); r.code != run.ExitMistake || !strings.Contains(r.err, "not a directory") || strings.Contains(r.err, "not empty") {
		t.Errorf("a demo in a file: exit %d %q", r.code, r.err)
	}
}

// One file configures every command, those that do not listen too.
func TestOneFileConfiguresEveryCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "onrecord.conf")
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:0\nthreshold: 7\ndata-dir: "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "three demo words together\n", "user", "add", "demo-admin", "--role", "administrator", "--config", file)
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("the file was not followed: %v", err)
	}
	if err := os.WriteFile(file, []byte("listn: 127.0.0.1:0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, run.ExitMistake, "listn", "", "user", "list", "--config", file)
}

const demoSites = "id,name,kind,postcode,region,employer,staff\ndemo-north,Demo Jobcentre North,jobcentre,ZZ1 1AA,Demo North,Demo Department,60\n"

// Each thing is done to a stopped installation and to a running one.
func TestWhatAnOperatorDoes(t *testing.T) {
	dir := t.TempDir()
	at := func(args ...string) []string { return append(args, "--data-dir", dir) }
	generated := ""
	operate := func(t *testing.T, name string) {
		if out := must(t, demoSites, at("sites", "import", "-")...); !strings.Contains(out, "sites added") {
			t.Errorf("import: %s", out)
		}
		if out := must(t, "", at("sites", "list")...); !strings.Contains(out, "demo-north  Demo Jobcentre North") {
			t.Errorf("sites: %s", out)
		}
		fails(t, run.ExitFailed, "ine 3", demoSites+"demo-east,,jobcentre,ZZ3 1AA,Demo East,Demo Department,many\n", at("sites", "import", "-")...)

		must(t, "demo password of the rep\n", at("user", "add", name, "--role", "rep", "--site", "demo-north")...)
		fails(t, run.ExitFailed, "name", "demo password of the rep\n", at("user", "add", name, "--role", "rep")...)
		fails(t, run.ExitFailed, "role", "demo password of the rep\n", at("user", "add", name+"-2", "--role", "king")...)
		fails(t, run.ExitFailed, "password", "short\n", at("user", "add", name+"-2", "--role", "rep")...)
		out := must(t, "", at("user", "add", name+"-manager", "--role", "manager", "--generate-password")...)
		if generated = regexp.MustCompile(`password (\S+)`).FindStringSubmatch(out)[1]; len(generated) < 16 {
			t.Errorf("generated password: %s", out)
		}
		must(t, "", at("user", "disable", name)...)
		if out := must(t, "", at("user", "list")...); !regexp.MustCompile(name+` +rep +demo-north +disabled`).MatchString(out) || !regexp.MustCompile(name+`-manager +manager +– +active`).MatchString(out) {
			t.Errorf("users: %s", out)
		}
		must(t, "", at("user", "enable", name)...)
		must(t, "another demo password\n", at("user", "password", name)...)
		fails(t, run.ExitFailed, "no", "", at("user", "disable", "nobody-of-that-name")...)

		secret := strings.TrimSpace(must(t, "", at("token", "create", "--role", "rep", "--label", name)...))
		listed := must(t, "", at("token", "list")...)
		id := regexp.MustCompile(`(?m)^(\S+) +` + name + ` +rep +every site .*active$`).FindStringSubmatch(listed)
		if id == nil || strings.Contains(listed, secret) || strings.ContainsAny(secret, " \n") {
			t.Fatalf("tokens: %s", listed)
		}
		must(t, "", at("token", "revoke", id[1])...)
		if listed = must(t, "", at("token", "list")...); !regexp.MustCompile(`(?m)^` + id[1] + ` .*revoked$`).MatchString(listed) {
			t.Errorf("tokens: %s", listed)
		}
		fails(t, run.ExitFailed, "no", "", at("token", "revoke", "none")...)

		if out := must(t, "", at("dead-letters", "list")...); out != "There are none.\n" {
			t.Errorf("dead letters: %s", out)
		}
		fails(t, run.ExitFailed, "no", "", at("dead-letters", "replay", "onrecord.v1.report.filed.none")...)
		if out := must(t, "", at("corrections", filepath.Join(dir, "corrections.jsonl"))...); !strings.Contains(out, "No rep has decided") {
			t.Errorf("corrections: %s", out)
		}
		before := strings.Count(must(t, "", at("train", "--history")...), "read again")
		if out := must(t, "", at("reread")...); !strings.Contains(out, "nothing to read again") {
			t.Errorf("reread: %s", out)
		}
		if after := strings.Count(must(t, "", at("train", "--history")...), "read again"); after <= before {
			t.Errorf("the history names reading again %d times, before %d", after, before)
		}
		if out := must(t, "", at("checks")...); !strings.Contains(out, "No sure reading was picked") {
			t.Errorf("checks: %s", out)
		}
		if out := must(t, "", at("verify")...); !strings.Contains(out, "Every figure agrees") {
			t.Errorf("verify: %s", out)
		}
	}
	t.Run("stopped", func(t *testing.T) { operate(t, "demo-one") })
	t.Run("running", func(t *testing.T) {
		s := serve(t, dir)
		operate(t, "demo-two")
		client := stays(&http.Transport{DisableKeepAlives: true})
		for name, password := range map[string]string{"demo-one": "another demo password", "demo-two-manager": generated} {
			if res := signIn(t, client, s.url, name, password); res.StatusCode != http.StatusSeeOther {
				t.Errorf("%s signing in: %d", name, res.StatusCode)
			}
		}
		must(t, "", at("user", "disable", "demo-one")...)
		if res := signIn(t, client, s.url, "demo-one", "another demo password"); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("a disabled person signing in: %d", res.StatusCode)
		}

		secret := strings.TrimSpace(must(t, "", at("token", "create", "--role", "rep", "--label", "demo-revoked")...))
		bearer := []string{"Authorization", "Bearer " + secret}
		report := fmt.Sprintf(`{"id":%q,"site":"demo-north","occurred_at":%q,"kind":"threat","narrative":"Demo words of somebody."}`, uuid.Must(uuid.NewV7()), time.Now().Add(-time.Minute).Format(time.RFC3339))
		if res, body := ask(t, client, http.MethodPost, s.url+"/api/v1/reports", report, "Content-Type", "application/json"); res.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s", res.StatusCode, body)
		}
		eventually(t, func() error {
			if res, body := ask(t, client, http.MethodGet, s.url+"/api/v1/incidents", "", bearer...); res.StatusCode != http.StatusOK || !strings.Contains(body, `"machine":"threat"`) {
				return fmt.Errorf("%d %s", res.StatusCode, body)
			}
			return nil
		})
		id := regexp.MustCompile(`(?m)^(\S+) +demo-revoked`).FindStringSubmatch(must(t, "", at("token", "list")...))[1]
		must(t, "", at("token", "revoke", id)...)
		if res, body := ask(t, client, http.MethodGet, s.url+"/api/v1/incidents", "", bearer...); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("a revoked token: %d %s", res.StatusCode, body)
		}
		checkEvents(t, must(t, "", at("events", "tail")...))
	})
	checkEvents(t, must(t, "", at("events", "tail", "--last", "0")...))
	if out := must(t, "", at("verify")...); !strings.Contains(out, "1 incidents recounted") {
		t.Errorf("verify: %s", out)
	}
}

// checkEvents checks the events of one report: a JSON object a line, without words.
func checkEvents(t *testing.T, out string) {
	t.Helper()
	kinds := ""
	for line := range strings.Lines(out) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		for _, kind := range []string{"reportFiled", "reportClassified"} {
			if _, ok := e[kind]; ok {
				kinds += kind + " "
			}
		}
	}
	if kinds != "reportFiled reportClassified " {
		t.Errorf("events %q in %s", kinds, out)
	}
	for _, secret := range []string{"Demo words", "sealedWords", "wrappedKey", "receiptHash", "digest"} {
		if strings.Contains(out, secret) {
			t.Errorf("the events hold %s: %s", secret, out)
		}
	}
}

// Nobody restores a backup because there is no room.
func TestAFullDiskIsSaidWhenNothingCanBeOpened(t *testing.T) {
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=32m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("under CI nothing is skipped, and mounting is not allowed here: run as root: %v", err)
		}
		t.Skipf("SKIPPED, NOT TESTED: a real full disk, since mounting is not allowed here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(small, syscall.MNT_DETACH) })
	at := func(args ...string) []string { return append(args, "--data-dir", filepath.Join(small, "data")) }
	must(t, demoSites, at("sites", "import", "-")...)
	filler, err := os.Create(filepath.Join(small, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4<<10); err == nil; {
		_, err = filler.Write(block)
	}
	if err := filler.Close(); err != nil {
		t.Fatal(err)
	}
	fails(t, run.ExitFailed, "is full, so the database cannot be opened", "", at("verify")...)
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	must(t, "", at("verify")...)
}

func TestVerifySaysWhatItCouldNotCompare(t *testing.T) {
	for _, c := range []struct {
		found reporting.Verification
		want  string // in what is printed
		err   string // "": none
	}{
		{reporting.Verification{Incidents: 3, Ledgers: 2}, "Every figure agrees", ""},
		{reporting.Verification{Incidents: 3, Ledgers: 2, Waiting: 4}, "4 events that were received are on disk and in no figure yet", ""},
		{reporting.Verification{Incidents: 3, Ledgers: 2, Differences: []string{"2026-10 demo: 2, want 3"}}, "2026-10 demo: 2, want 3", "1 differences"},
		{reporting.Verification{Incidents: 3, Ledgers: 2, Unsettled: []string{"2026-10"}}, "2026-10 changed all the while", "1 months could not be compared"},
	} {
		var out runtest.Output
		err := (&shared{env: Env{Stdout: &out}}).sayVerification(c.found)
		if got := out.String(); !strings.Contains(got, c.want) || !strings.Contains(got, "3 incidents recounted in 2 ledgers.") || strings.Contains(got, "agrees") != (c.err == "") {
			t.Errorf("%+v: printed %q", c.found, got)
		}
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%+v: err=%v, want %q", c.found, err, c.err)
		}
	}
}

func TestServingOverTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key, pool := certificate(t)
	s := serve(t, dir, "--tls-cert", cert, "--tls-key", key)
	if !strings.HasPrefix(s.url, "https://127.0.0.1:") {
		t.Fatalf("url=%s", s.url)
	}
	client := stays(&http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}})
	for _, path := range []string{"/report/", "/nowhere/", "/api/v1/sites"} {
		res, _ := ask(t, client, http.MethodGet, s.url+path, "")
		if got := res.Header.Get("Strict-Transport-Security"); !strings.HasPrefix(got, "max-age=31536000") {
			t.Errorf("%s: Strict-Transport-Security=%q", path, got)
		}
	}
	must(t, "demo password of the rep\n", "user", "add", "demo-rep", "--role", "rep", "--data-dir", dir)
	cookies := signIn(t, client, s.url, "demo-rep", "demo password of the rep").Header.Values("Set-Cookie")
	found := false
	for _, c := range cookies {
		found = found || strings.HasPrefix(c, "__Host-onrecord-session=")
		for _, want := range []string{"__Host-", "secure", "httponly", "path=/", "samesite=lax"} {
			if !strings.Contains(strings.ToLower(c), strings.ToLower(want)) {
				t.Errorf("cookie %q lacks %s", c, want)
			}
		}
	}
	if !found {
		t.Errorf("no session cookie: %q", cookies)
	}
	// Somebody who types http:// gets nothing, and nothing breaks.
	if res, err := http.Get("http://" + strings.TrimPrefix(s.url, "https://") + "/report/"); err == nil {
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			t.Error("a page was served without TLS")
		}
	}
	if res, _ := ask(t, client, http.MethodGet, s.url+"/healthz", ""); res.StatusCode != http.StatusOK {
		t.Errorf("healthz: %d", res.StatusCode)
	}
}

// certificate writes a certificate of this machine's and its key.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	private8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	if err := errors.Join(os.WriteFile(cert, certPEM, 0o600), os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private8}), 0o600)); err != nil {
		t.Fatal(err)
	}
	return cert, key, pool
}

func TestAPhoneIsShownTheWay(t *testing.T) {
	local := serve(t, t.TempDir())
	for _, forbidden := range []string{"phone", "▀", "█"} {
		if strings.Contains(local.out.String(), forbidden) {
			t.Errorf("%q is shown for a program that no phone can reach:\n%s", forbidden, local.out.String())
		}
	}
	address := ""
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() && address == "" {
			address = n.IP.String()
		}
	}
	if address == "" {
		t.Log("this machine is on no network, so there is nothing to show a phone")
		return
	}
	s := serve(t, t.TempDir(), "--listen", ":0")
	out := s.out.String()
	phone := regexp.MustCompile(`phone in the same network: (http://` + regexp.QuoteMeta(address) + `:\d+)/report/`).FindStringSubmatch(out)
	if phone == nil {
		t.Fatalf("no address for a phone:\n%s", out)
	}
	if res, body := ask(t, stays(&http.Transport{DisableKeepAlives: true}), http.MethodGet, phone[1]+"/report/", "", "Accept", "text/html"); res.StatusCode != http.StatusOK || !strings.Contains(body, "<h1") {
		t.Errorf("the phone's address answers %d", res.StatusCode)
	}
	if !strings.Contains(out, "Without HTTPS everybody on that network can read") {
		t.Errorf("nobody is warned:\n%s", out)
	}
	if code := regexp.MustCompile(`(?m)^[ ▀▄█]{20,}$`).FindAllString(out, -1); len(code) < 10 {
		t.Errorf("no QR code is printed:\n%s", out)
	}
}
