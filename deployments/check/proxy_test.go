package check

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	networkingv1 "k8s.io/api/networking/v1"
)

// proxy is a running nginx with the configuration of ../proxy.
type proxy struct {
	plain, secure string // addresses
	client        *http.Client
	first         *os.Process // of nginx, and of the ones that answer
	logs          string      // file of all that it says
}

// startProxy runs nginx, changed only in where it listens, keeps its files and
// finds certificate and services.
func startProxy(t *testing.T, intake, reporting []string) proxy {
	t.Helper()
	nginx := tool(t, "nginx")
	dir, secrets := t.TempDir(), filepath.Join(withSecrets(t), "secrets")
	p := proxy{plain: freeAddress(t), secure: freeAddress(t)}
	servers := func(name string, addresses []string) string {
		return "upstream " + name + " { server " + strings.Join(addresses, "; server ") + "; keepalive 8; }\n"
	}
	must(t, os.WriteFile(filepath.Join(dir, "upstreams.conf"), []byte(servers("intake", intake)+servers("reporting", reporting)), 0o644))
	config := strings.NewReplacer(
		"listen 80 ", "listen "+p.plain+" ",
		"listen 443 ", "listen "+p.secure+" ",
		"/run/secrets/certificate", secrets+"/proxy",
		"/run/", inMemory(t)+"/",
		"http {\n", "http {\n    proxy_temp_path "+dir+"/proxy; fastcgi_temp_path "+dir+"/f; uwsgi_temp_path "+dir+"/u; scgi_temp_path "+dir+"/s;\n",
	).Replace(read(t, "proxy", "nginx.conf"))
	if os.Getuid() == 0 { // its workers read what this test made
		config = "user root;\n" + config
	}
	file := filepath.Join(dir, "nginx.conf")
	must(t, os.WriteFile(file, []byte(config), 0o644))
	if out, code := run(t, os.Environ(), nginx, "-t", "-p", dir, "-c", file); code != 0 {
		t.Fatalf("nginx -t: %s", out)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	must(t, err)
	defer log.Close()
	cmd := exec.Command(nginx, "-p", dir, "-c", file, "-g", "daemon off;")
	cmd.Stdout, cmd.Stderr = log, log
	must(t, cmd.Start())
	p.first, p.logs = cmd.Process, log.Name()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(p.said(t))
		}
	})
	ca, err := os.ReadFile(filepath.Join(secrets, "ca.pem"))
	must(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	p.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(p.client.CloseIdleConnections)
	eventually(t, func() error {
		c, err := net.Dial("tcp", p.secure)
		if err == nil {
			err = c.Close()
		}
		return err
	})
	return p
}

// inMemory returns a directory that stands for /run, and lies in memory as that does.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "onrecord-proxy-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// said returns what nginx wrote of itself and of requests.
func (p proxy) said(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(p.logs)
	must(t, err)
	return string(text)
}

// files returns the files that nginx's processes hold open, and whether each
// lies in memory.
func (p proxy) files(t *testing.T) map[string]bool {
	t.Helper()
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.first.Pid, p.first.Pid))
	must(t, err)
	open := make(map[string]bool)
	for _, pid := range strings.Fields(string(list)) {
		maps.Copy(open, openFiles(t, pid))
	}
	return open
}

// openFiles returns the files that a process holds open, and whether each lies
// in memory.
func openFiles(t *testing.T, pid string) map[string]bool {
	t.Helper()
	links, err := filepath.Glob("/proc/" + pid + "/fd/*")
	must(t, err)
	open := make(map[string]bool)
	for _, link := range links {
		var on unix.Statfs_t
		name, err := os.Readlink(link)
		if err == nil && strings.HasPrefix(name, "/") && unix.Statfs(link, &on) == nil {
			open[name] = on.Type == unix.TMPFS_MAGIC
		}
	}
	return open
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

// upstream stands for a service: it says who it is and what it was told.
func upstream(t *testing.T, name string, calls *atomic.Int32) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s host=%s for=%q proto=%q forwarded=%q real=%q", name, r.URL.Path, r.Host,
			r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("Forwarded"), r.Header.Get("X-Real-IP"))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func (p proxy) get(t *testing.T, path string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+p.secure+path, nil)
	must(t, err)
	for n := 0; n+1 < len(headers); n += 2 {
		req.Header.Set(headers[n], headers[n+1])
	}
	res, err := p.client.Do(req)
	must(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	must(t, err)
	return res, string(body)
}

// raw sends bytes over TLS and returns the first line of the answer.
func (p proxy) raw(t *testing.T, request string) string {
	t.Helper()
	config := p.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	c, err := tls.Dial("tcp", p.secure, config)
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, request)
	must(t, err)
	must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	line, err := bufio.NewReader(c).ReadString('\n')
	must(t, err)
	return strings.TrimSpace(line)
}

func TestTheProxyNormalisesWhatReachesTheServices(t *testing.T) {
	var calls atomic.Int32
	p := startProxy(t, []string{upstream(t, "intake", &calls)}, []string{upstream(t, "reporting", &calls)})

	res, body := p.get(t, "/report/", "X-Forwarded-For", "203.0.113.9", "Forwarded", "for=203.0.113.9", "X-Real-IP", "203.0.113.9", "X-Forwarded-Proto", "http")
	want := fmt.Sprintf(`intake /report/ host=%s for="127.0.0.1" proto="https" forwarded="" real=""`, p.secure)
	if res.Proto != "HTTP/2.0" || body != want {
		t.Errorf("%s %q, want HTTP/2.0 and %q", res.Proto, body, want)
	}
	before := calls.Load()
	for name, request := range map[string]string{
		"both lengths":       "POST /report/ HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":        "POST /report/ HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
		"another encoding":   "POST /report/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
		"no host":            "GET /report/ HTTP/1.1\r\n\r\n",
		"two hosts":          "GET /report/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"space before colon": "GET /report/ HTTP/1.1\r\nHost : h\r\n\r\n",
		"too large":          "POST /report/ HTTP/1.1\r\nHost: h\r\nContent-Length: 33554433\r\n\r\n",
	} {
		if line := p.raw(t, request); !strings.HasPrefix(line, "HTTP/1.1 4") && !strings.HasPrefix(line, "HTTP/1.1 501") {
			t.Errorf("%s: %s", name, line)
		}
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		if res, _ := p.get(t, path); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if n := calls.Load() - before; n > 0 {
		t.Errorf("%d of the refused requests reached a service", n)
	}
	res, err := p.client.Get("http://" + p.plain + "/report/?site=leeds")
	must(t, err)
	defer res.Body.Close()
	if to := res.Header.Get("Location"); res.StatusCode != http.StatusPermanentRedirect || !strings.HasPrefix(to, "https://") || !strings.HasSuffix(to, "/report/?site=leeds") {
		t.Errorf("over HTTP: %d %s", res.StatusCode, to)
	}
}

// Every path that a service's table of routes names is sent to that service, by
// the proxy and by the Ingress.
func TestEveryRouteIsSentToTheServiceThatServesIt(t *testing.T) {
	var calls atomic.Int32
	p := startProxy(t, []string{upstream(t, "intake", &calls)}, []string{upstream(t, "reporting", &calls)})
	ingress := example(t)["Ingress onrecord"].(*networkingv1.Ingress).Spec.Rules[0].HTTP.Paths
	walked := 0
	for _, service := range []string{"intake", "reporting"} {
		table, err := os.ReadFile(filepath.Join("..", "..", "services", service, service, "routes.go"))
		must(t, err)
		for _, found := range regexp.MustCompile(`"(/[^"\s]*)"`).FindAllStringSubmatch(string(table), -1) {
			path := regexp.MustCompile(`:\w+`).ReplaceAllString(found[1], "x")
			walked++
			for _, path := range []string{path, cmp.Or(strings.TrimSuffix(path, "/"), path)} {
				if res, body := p.get(t, path); res.StatusCode != http.StatusOK || !strings.HasPrefix(body, service+" ") {
					t.Errorf("%s of %s: the proxy answers %d %.40s", path, service, res.StatusCode, body)
				}
				if to := route(ingress, path); to != service {
					t.Errorf("%s of %s: the Ingress sends it to %s", path, service, to)
				}
			}
		}
	}
	if walked < 30 {
		t.Errorf("only %d routes were found: the test looks in the wrong place", walked)
	}
}

// route returns the service to which an Ingress sends a path: the longest that
// matches, element by element.
func route(paths []networkingv1.HTTPIngressPath, path string) string {
	best, to := -1, ""
	for _, p := range paths {
		match := path == p.Path
		if *p.PathType == networkingv1.PathTypePrefix {
			prefix := strings.TrimSuffix(p.Path, "/")
			match = path == prefix || strings.HasPrefix(path, prefix+"/")
		}
		if match && len(p.Path) > best {
			best, to = len(p.Path), p.Backend.Service.Name
		}
	}
	return to
}

// What people send and are shown rests in memory at most while it passes, and
// nothing that nginx writes says whose it was.
func TestTheProxyKeepsNothingOfWhatPasses(t *testing.T) {
	arrived, on := make(chan struct{}), make(chan struct{})
	photo := bytes.Repeat([]byte("a photo, shown large "), 1_000_000)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write(photo)
			return
		}
		arrived <- struct{}{}
		<-on
	}))
	t.Cleanup(slow.Close)
	p := startProxy(t, []string{slow.Listener.Addr().String()}, []string{slow.Listener.Addr().String()})
	ours := openFiles(t, "self") // some of whoever runs the tests are handed on
	spooled := func(what string) {
		t.Helper()
		for name, memory := range p.files(t) {
			if _, handedOn := ours[name]; !memory && name != p.logs && !handedOn && !strings.HasPrefix(name, "/dev/") {
				t.Errorf("%s: nginx has %s open, on a disk", what, name)
			}
		}
	}
	filed := make(chan error, 1)
	go func() {
		res, err := p.client.Post("https://"+p.secure+"/report/?site=leeds", "application/octet-stream", bytes.NewReader(photo[:4<<20]))
		if err == nil {
			err = res.Body.Close()
		}
		filed <- err
	}()
	<-arrived
	spooled("a photo on its way in")
	close(on)
	must(t, <-filed)

	res, err := p.client.Get("https://" + p.secure + "/incidents/x/photos/1")
	must(t, err)
	for part := make([]byte, 256<<10); err == nil; { // taken more slowly than it is given
		spooled("a photo on its way out")
		_, err = io.ReadFull(res.Body, part)
	}
	must(t, res.Body.Close())

	slow.Close()    // nobody answers
	for range 300 { // and too many ask
		if res, err := p.client.Get("https://" + p.secure + "/report/?q=a-query"); err == nil {
			_ = res.Body.Close()
		}
	}
	for _, told := range []string{"client:", "127.0.0.1,", "a-query"} {
		if said := p.said(t); strings.Contains(said, told) {
			t.Errorf("nginx wrote down %q:\n%.2000s", told, said)
		}
	}
}

// While one release takes the place of another, a page finds its styles at
// whichever instance made it.
func TestAssetsComeFromWhoeverHasThem(t *testing.T) {
	has := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/assets/"+name {
				http.NotFound(w, r)
				return
			}
			fmt.Fprint(w, name)
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	p := startProxy(t, []string{has("old"), has("new")}, []string{has("staff"), has("old")})
	for range 4 {
		for _, name := range []string{"old", "new", "staff"} {
			if res, body := p.get(t, "/assets/"+name); res.StatusCode != http.StatusOK || body != name {
				t.Errorf("%s: %d %.40s", name, res.StatusCode, body)
			}
		}
		if res, _ := p.get(t, "/assets/nobody"); res.StatusCode != http.StatusNotFound {
			t.Errorf("what nobody has: %d", res.StatusCode)
		}
	}
}

// A service that is away is not noticed as long as another instance is there.
func TestTheProxyAsksAnotherInstance(t *testing.T) {
	var calls atomic.Int32
	away := freeAddress(t)
	p := startProxy(t, []string{away, upstream(t, "intake", &calls)}, []string{away, upstream(t, "reporting", &calls)})
	for n := range 20 {
		if res, body := p.get(t, "/report/"); res.StatusCode != http.StatusOK || !strings.HasPrefix(body, "intake") {
			t.Fatalf("request %d: %d %s", n, res.StatusCode, body)
		}
		res, err := p.client.Post("https://"+p.secure+"/api/v1/reports", "application/json", strings.NewReader(`{}`))
		must(t, err)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("filing %d: %d", n, res.StatusCode)
		}
	}
}

func TestTheProxyTakesTheInstancesOfCompose(t *testing.T) {
	dir := withSecrets(t)
	p := project(t, dir)
	upstreams := read(t, "compose", "upstreams.conf")
	for _, name := range []string{"intake-1", "intake-2", "reporting-1", "reporting-2"} {
		address := p.Services[name].Networks["front"].Ipv4Address
		if address == "" || !strings.Contains(upstreams, "server "+address+":8080 ") {
			t.Errorf("%s has the address %q, which upstreams.conf does not name", name, address)
		}
	}
	if trusted := *p.Services["intake-1"].Environment["ONRECORD_TRUSTED_PROXY"]; trusted != p.Services["proxy"].Networks["front"].Ipv4Address {
		t.Errorf("the services trust %s, and the proxy is %s", trusted, p.Services["proxy"].Networks["front"].Ipv4Address)
	}
}
