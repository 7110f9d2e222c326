package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io/fs"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
)

const demoSites = "id,name,kind,postcode,region,employer,staff\n" +
	"demo-north,Demo Jobcentre North,jobcentre,ZZ1 1AA,Demo North,Demo Department,60\n" +
	"demo-south,Demo Jobcentre South,jobcentre,ZZ2 1AA,Demo South,Demo Department,40\n"

// report returns a valid report's JSON.
func report(id string, change func(map[string]any)) string {
	r := map[string]any{
		"id": id, "site": "unlisted", "occurred_at": time.Now().Add(-time.Hour).UTC(),
		"kind": "abuse", "channel": "in_person", "target": "named_person", "narrative": "Demo: a customer shouted at me at the front desk.",
	}
	if change != nil {
		change(r)
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func file(url, body string) (answer, error) {
	return call("POST", url+"/api/v1/reports", body, "Content-Type", "application/json")
}

type incidentList struct {
	Incidents []struct {
		ID         string
		Rev        int
		Status     string
		OccurredAt time.Time `json:"occurred_at"`
		Kind       struct{ Value, Machine string }
	}
	Next string
}

// incidents returns every incident a token's holder may see.
func incidents(t *testing.T, url, bearer, query string) incidentList {
	t.Helper()
	var all incidentList
	for cursor := ""; ; {
		var page incidentList
		getJSON(t, url+"/api/v1/incidents?limit=200&"+query+"&cursor="+cursor, bearer, &page)
		all.Incidents = append(all.Incidents, page.Incidents...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// total returns this month's and last month's incidents in the figures.
func total(t *testing.T, url, bearer string) int {
	t.Helper()
	var f struct{ Months []struct{ Total int } }
	now := time.Now()
	getJSON(t, fmt.Sprintf("%s/api/v1/figures?from=%s&to=%s", url, now.AddDate(0, 0, -28).Format("2006-01"), now.Format("2006-01")), bearer, &f)
	n := 0
	for _, m := range f.Months {
		n += m.Total
	}
	return n
}

// Received means on record: whatever was answered 201 is there once after the
// process was killed in the middle of more.
func TestNothingReceivedIsLostOrDoubledByAKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	received := map[string]string{} // id → body
	base := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
	for round := range 3 {
		p := start(t, dir)
		var mu sync.Mutex
		var wg sync.WaitGroup
		enough := make(chan struct{})
		var once sync.Once
		for client := range 8 {
			wg.Go(func() {
				for n := 0; ; n++ {
					id := newID()
					body := report(id, func(r map[string]any) {
						r["occurred_at"] = base.Add(time.Duration(round*1_000_000+client*100_000+n) * time.Millisecond).UTC()
					})
					a, err := file(p.url, body)
					if err != nil || a.status != http.StatusCreated {
						return // killed: nothing was promised about this one
					}
					mu.Lock()
					received[id] = body
					if len(received) >= 60*(round+1) {
						once.Do(func() { close(enough) })
					}
					mu.Unlock()
				}
			})
		}
		select {
		case <-enough:
		case <-time.After(60 * time.Second):
			t.Fatal("the reports were not received in time")
		}
		p.Kill()
		wg.Wait()
	}

	p := start(t, dir)
	rep := apiToken(t, dir, "rep")
	want := map[int64]string{}
	for id, body := range received {
		var r struct {
			OccurredAt time.Time `json:"occurred_at"`
		}
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		want[r.OccurredAt.UnixMilli()] = id
	}
	eventually(t, func() error {
		found := map[int64]int{}
		for _, i := range incidents(t, p.url, rep, "").Incidents {
			found[i.OccurredAt.UnixMilli()]++
		}
		for at, id := range want {
			if found[at] != 1 {
				return fmt.Errorf("report %s is there %d times, want once", id, found[at])
			}
		}
		if n := total(t, p.url, rep); n != len(incidents(t, p.url, rep, "").Incidents) {
			return fmt.Errorf("the figures count %d", n)
		}
		return nil
	})
	// Sending one again changes nothing and says so.
	for _, body := range received {
		a, err := file(p.url, body)
		if err != nil || a.status != http.StatusOK || a.header.Get("Idempotency-Replayed") != "true" {
			t.Fatalf("again: %d %v %v", a.status, a.header, err)
		}
		break
	}
	out := mustOnrecord(t, "", "verify", "--data-dir", dir)
	if !strings.Contains(out, "Every figure agrees") {
		t.Errorf("verify: %s", out)
	}
	p.stop(t)
	t.Logf("%d reports received over 3 kills, each found once", len(received))
}

// Filing works while the store is stopped; reporting catches up.
func TestFilingWorksWhileTheStoreIsStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir)
	rep := apiToken(t, dir, "rep")
	release := lockDatabase(t, filepath.Join(dir, "onrecord.db"))
	for range 5 {
		if a, err := file(p.url, report(newID(), nil)); err != nil || a.status != http.StatusCreated {
			t.Fatalf("filing beside a stopped store: %d %s %v", a.status, a.body, err)
		}
	}
	release()
	eventually(t, func() error {
		if n := total(t, p.url, rep); n != 5 {
			return fmt.Errorf("counted %d, want 5", n)
		}
		return nil
	})
}

// Words and names stand nowhere but under seal: not in logs, metrics,
// subjects, database or stream files, or errors.
func TestNobodysWordsLeak(t *testing.T) {
	t.Parallel()
	const canary, address = "zorblax", "203.0.113.77" // what is written, and from where
	dir := t.TempDir()
	p := start(t, dir, "--trusted-proxy", "127.0.0.1")
	mustOnrecord(t, demoSites, "sites", "import", "--data-dir", dir, "-")
	rep := apiToken(t, dir, "rep")
	var errorsSeen strings.Builder
	say := func(what string) string { return fmt.Sprintf("Demo %s%s shouted", canary, what) }
	// With a photo into which the camera wrote the word, kept as it came.
	pictured, contentType := withPhoto(t, report(newID(), func(r map[string]any) {
		r["keep_originals"] = true
		r["narrative"], r["site_name"], r["employer"] = say("narrative"), canary+"site", canary+"employer"
		r["contact"] = map[string]string{"choice": "rep_only", "name": canary + "name", "details": canary + "@example.org"}
	}), canary+"photo")
	a, err := call("POST", p.url+"/api/v1/reports", pictured, "Content-Type", contentType, "User-Agent", canary+"-agent", "X-Forwarded-For", address)
	if err != nil || a.status != http.StatusCreated {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	// Mistakes must not quote what was written either.
	for _, body := range []string{
		`{"id": "` + canary + `"`, canary, `{"narrative": "` + canary + `", "kind": "` + "rude" + `"}`,
		report(newID(), func(r map[string]any) { r["narrative"] = canary + "\x00" }),
		report(newID(), func(r map[string]any) { r["narrative"] = strings.Repeat(canary, 1000) }),
		report(newID(), func(r map[string]any) { r["hurt"] = canary }),
	} {
		a, err := file(p.url, body)
		if err != nil || a.status < 400 {
			t.Fatalf("%d %v for %.60s", a.status, err, body)
		}
		errorsSeen.WriteString(a.body)
	}
	var id string
	rev := 0
	eventually(t, func() error {
		l := incidents(t, p.url, rep, "").Incidents
		if len(l) != 1 || l[0].Kind.Machine == "" {
			return errors.New("not read yet")
		}
		id, rev = l[0].ID, l[0].Rev
		return nil
	})
	var filed struct{ Receipt string }
	if err := json.Unmarshal([]byte(a.body), &filed); err != nil {
		t.Fatal(err)
	}
	added := fmt.Sprintf(`{"receipt":%q,"addition":{"id":%q,"what":"words","text":%q}}`, filed.Receipt, newID(), say("addition"))
	if a := mustCall(t, "POST", p.url+"/api/v1/follow-up", added, "Content-Type", "application/json"); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	rep1 := []string{"Authorization", "Bearer " + rep}
	eventually(t, func() error {
		a := mustCall(t, "GET", p.url+"/api/v1/incidents/"+id, "", rep1...)
		if !strings.Contains(a.body, say("addition")) || !strings.Contains(a.body, `"original"`) {
			return errors.New("the addition or the photo is not there")
		}
		return nil
	})
	if a := mustCall(t, "POST", p.url+"/api/v1/incidents/"+id+"/photos/1/original", `{"reason":"`+say("why")+`"}`, append([]string{"Content-Type", "application/json"}, rep1...)...); !strings.Contains(a.body, canary+"photo") {
		t.Fatal("the original does not hold the word")
	}
	for action, body := range map[string]string{"note": `{"note":"` + say("note") + `"}`, "message": `{"message":"` + say("message") + `"}`, "close": `{"fixed":false,"reason":"` + say("reason") + `"}`} {
		var current struct{ Rev int }
		getJSON(t, p.url+"/api/v1/incidents/"+id, rep, &current)
		a := mustCall(t, "POST", p.url+"/api/v1/incidents/"+id+"/"+action, body,
			"Authorization", "Bearer "+rep, "Content-Type", "application/json", "If-Match", fmt.Sprintf("%q", fmt.Sprint(current.Rev)))
		if a.status != http.StatusOK {
			t.Fatalf("%s: %d %s (rev %d)", action, a.status, a.body, rev)
		}
	}
	// The rep does see them: otherwise this test could not fail.
	if a := mustCall(t, "GET", p.url+"/api/v1/incidents/"+id, "", "Authorization", "Bearer "+rep); !strings.Contains(a.body, say("narrative")) || !strings.Contains(a.body, canary+"name") {
		t.Fatalf("the rep does not see the words: %s", a.body)
	}
	places := map[string]string{
		"the errors":  errorsSeen.String(),
		"the metrics": mustCall(t, "GET", p.url+"/metrics", "").body,
		"the events":  mustOnrecord(t, "", "events", "tail", "--data-dir", dir, "--last", "0"),
		"the list":    mustCall(t, "GET", p.url+"/api/v1/incidents", "", "Authorization", "Bearer "+rep).body,
	}
	if !strings.Contains(places["the events"], "report.filed") {
		t.Fatalf("no events were printed: %s", places["the events"])
	}
	p.stop(t)
	places["the logs"] = p.printed()
	files := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		b, err := os.ReadFile(path)
		places["the file "+path] = string(b)
		return err
	})
	if err != nil || files < 5 {
		t.Fatalf("%d files of data: %v", files, err)
	}
	for place, text := range places {
		if strings.Contains(strings.ToLower(text), canary) {
			t.Errorf("%s hold somebody’s words", place)
		}
		if strings.Contains(text, address) {
			t.Errorf("%s hold somebody’s address", place)
		}
	}
}

// Counts by the minute could tell a manager who reported: only somebody on this
// machine, asking it by its own name and through nobody, sees them.
func TestMetricsAnswerThisMachineOnly(t *testing.T) {
	p := start(t, t.TempDir())
	for name, c := range map[string]struct {
		host, header string
		want         int
	}{
		"the operator":          {"", "", http.StatusOK},
		"through a proxy":       {"", "X-Forwarded-For", http.StatusNotFound},
		"through another proxy": {"", "Via", http.StatusNotFound},
		"a page that rebinds":   {"evil.example", "", http.StatusNotFound},
		"… and names a host":    {"evil.example", "X-Forwarded-Host", http.StatusNotFound},
	} {
		req, err := http.NewRequest("GET", p.url+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.host != "" {
			req.Host = c.host
		}
		if c.header != "" {
			req.Header.Set(c.header, "127.0.0.1")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%s: status=%d, want %d", name, res.StatusCode, c.want)
		}
	}
}

// What starting took is given back: a small machine has it for others.
func TestWhatStartingTookIsGivenBack(t *testing.T) {
	p := start(t, t.TempDir())
	const most = 26 << 20 // bytes of the heap; 18 million when it was written, and 40 before it was given back
	eventually(t, func() error {
		metrics := mustCall(t, "GET", p.url+"/metrics", "").body
		taken, released := metric(t, metrics, "go_memstats_heap_sys_bytes"), metric(t, metrics, "go_memstats_heap_released_bytes")
		if kept := taken - released; !strings.Contains(p.printed(), "reading reports") || kept > most {
			return fmt.Errorf("%.0f bytes of memory at rest, want at most %d", kept, most)
		}
		return nil
	})
}

// metric returns the value of a metric that has no labels.
func metric(t *testing.T, metrics, name string) (value float64) {
	t.Helper()
	_, rest, found := strings.Cut("\n"+metrics, "\n"+name+" ")
	if _, err := fmt.Sscan(rest, &value); !found || err != nil {
		t.Fatalf("no metric %s: %v", name, err)
	}
	return value
}

// Behind a proxy that speaks HTTPS, cookies must not go over anything else.
func TestSecureBehindAProxy(t *testing.T) {
	p := start(t, t.TempDir(), "--secure")
	if a := mustCall(t, "GET", p.url+"/report/", ""); a.header.Get("Strict-Transport-Security") == "" {
		t.Error("browsers are not told to stay with HTTPS")
	}
	const warning = "secure is given and no trusted-proxy"
	if !strings.Contains(p.printed(), warning) {
		t.Error("nobody says that all come from one address")
	}
	if p := start(t, t.TempDir(), "--secure", "--trusted-proxy", "192.0.2.1"); strings.Contains(p.printed(), warning) {
		t.Error("it warns of a proxy that was named")
	}
}

func TestASecondInstanceAndAPortInUseAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir)
	_, err := onrecord(t, "", "serve", "--data-dir", dir, "--listen", "127.0.0.1:0")
	if err == nil || !strings.Contains(err.Error(), "another onrecord is running") {
		t.Errorf("second instance: %v", err)
	}
	_, err = onrecord(t, "", "serve", "--data-dir", t.TempDir(), "--listen", strings.TrimPrefix(p.url, "http://"))
	if err == nil || !strings.Contains(err.Error(), "cannot listen") {
		t.Errorf("port in use: %v", err)
	}
	if a := mustCall(t, "GET", p.url+"/readyz", ""); a.status != http.StatusOK {
		t.Errorf("the first instance suffered: %d %s", a.status, a.body)
	}
}

func TestALostOrAnotherMasterKeyIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir)
	if a, err := file(p.url, report(newID(), nil)); err != nil || a.status != http.StatusCreated {
		t.Fatalf("%d %s %v", a.status, a.body, err)
	}
	p.stop(t)
	key := filepath.Join(dir, "master.key")
	kept, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if _, err := onrecord(t, "", "verify", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("lost key: %v", err)
	}
	other := filepath.Join(t.TempDir(), "data")
	start(t, other).stop(t)
	if _, err := onrecord(t, "", "verify", "--data-dir", dir, "--master-key-file", filepath.Join(other, "master.key")); err == nil || !strings.Contains(err.Error(), "master key") {
		t.Errorf("another key: %v", err)
	}
	// Not even a lost store lets another key near the stream, which would throw away what it cannot decrypt.
	for _, f := range []string{"onrecord.db", "onrecord.db-wal", "onrecord.db-shm"} {
		if err := os.Remove(filepath.Join(dir, f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if _, err := onrecord(t, "", "verify", "--data-dir", dir, "--master-key-file", filepath.Join(other, "master.key")); err == nil || !strings.Contains(err.Error(), "master key") {
		t.Errorf("another key and no store: %v", err)
	}
	if err := os.WriteFile(key, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	// With the right key, and the loss accepted, the store is made anew from the stream.
	if _, err := onrecord(t, "", "verify", "--data-dir", dir); err == nil || !strings.Contains(err.Error(), "no database beside it") {
		t.Errorf("the right key and no store: %v", err)
	}
	p = start(t, dir, "--accept-loss")
	rep := apiToken(t, dir, "rep")
	eventually(t, func() error {
		if n := total(t, p.url, rep); n != 1 {
			return fmt.Errorf("counted %d after the store was lost, want 1", n)
		}
		return nil
	})
}

func TestEveryMistakeOfTheConfigurationIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	cmd := exec.Command(binary, "serve", "--data-dir", dir, "--log-level", "loud")
	cmd.Env = append(os.Environ(), "ONRECORD_THRESHOLD=many", "ONRECORD_MAX_STORE=1")
	var out bytes.Buffer
	cmd.Stderr = &out
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("err=%v, want exit 2", err)
	}
	for _, want := range []string{"log level", "ONRECORD_THRESHOLD", "max-store"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not named in: %s", want, out.String())
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the data directory was opened before the configuration was right")
	}
}

func TestABadLineOfSitesImportsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir)
	_, err := onrecord(t, demoSites+"demo-east,,jobcentre,ZZ3 1AA,Demo East,Demo Department,many\n", "sites", "import", "--data-dir", dir, "-")
	if err == nil || !strings.Contains(err.Error(), "ine 4") {
		t.Fatalf("err=%v, want it to name line 4", err)
	}
	sites := func() string { return mustCall(t, "GET", p.url+"/api/v1/sites", "").body }
	if got := sites(); strings.Contains(got, "demo-north") {
		t.Errorf("half was imported: %s", got)
	}
	mustOnrecord(t, demoSites, "sites", "import", "--data-dir", dir, "-")
	eventually(t, func() error {
		if got := sites(); !strings.Contains(got, "demo-north") {
			return fmt.Errorf("intake does not know the sites yet: %s", got)
		}
		return nil
	})
}

// A disk that fills up: nothing is received that is not on it, and after a
// restart with room everything received is there.
func TestAFullDiskPromisesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// A mount namespace of its own holds a small file system, which ends with it;
	// what it held is copied out before.
	kept := t.TempDir()
	script := fmt.Sprintf(`mount -t tmpfs -o size=40m tmpfs %[1]q && %[2]q serve --data-dir %[1]q/data --listen 127.0.0.1:0 --max-store 512; cp -a %[1]q/data %[3]q/`, dir, binary, kept)
	cmd := exec.Command("unshare", "--mount", "sh", "-c", script)
	if os.Geteuid() != 0 {
		cmd = exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the shell and the program end together
	p := launch(t, dir, cmd)
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	p.awaitReady(t) // or it says why the file system could not be mounted: run as root or allow user namespaces
	url := p.url
	received := 0
	big := strings.Repeat("Demo words that fill the disk. ", 160)
	for n := 0; ; n++ {
		if n > 20_000 {
			t.Fatal("the disk did not fill up")
		}
		a, err := file(url, report(newID(), func(r map[string]any) { r["narrative"] = big }))
		if err == nil && a.status == http.StatusCreated {
			received++
			continue
		}
		if err == nil && (a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "") {
			t.Fatalf("a full disk answers %d %v %s", a.status, a.header, a.body)
		}
		break
	}
	select {
	case <-p.Exited: // it cannot write any more, and says so
	case <-time.After(60 * time.Second):
		t.Fatalf("the program did not notice the full disk\n%s", p.printed())
	}
	if !strings.Contains(p.printed(), "disk") {
		t.Errorf("the program does not name the disk:\n%s", p.printed())
	}
	again := start(t, filepath.Join(kept, "data"))
	rep := apiToken(t, again.dir, "rep")
	eventually(t, func() error {
		if n := total(t, again.url, rep); n < received || n > received+1 {
			return fmt.Errorf("counted %d of %d received", n, received)
		}
		return nil
	})
	t.Logf("%d reports received before the disk was full, all found", received)
}

// Pressed from every side for a while, the program serves the honest, refuses
// the rest, and grows in neither memory nor descriptors. "onrecord soak" does
// the same for hours.
func TestPressedFromEverySideItStaysWell(t *testing.T) {
	args := []string{"soak", "--for", "20s", "--slowest", "1m"} // how fast is for the benchmark to say
	if raceEnabled {                                            // the detector's own books take memory, and time
		args = append(args, "--growth", "512", "--rate", "10", "--burst", "300")
	}
	out, err := exec.Command(binary, args...).CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// withPhoto returns a report with a photo that holds a comment, as a multipart
// body and its content type.
func withPhoto(t *testing.T, report, comment string) (body, contentType string) {
	t.Helper()
	var picture, b bytes.Buffer
	if err := jpeg.Encode(&picture, image.NewGray(image.Rect(0, 0, 64, 48)), nil); err != nil {
		t.Fatal(err)
	}
	raw := append([]byte{0xff, 0xd8, 0xff, 0xfe, 0, byte(len(comment) + 2)}, comment...)
	raw = append(raw, picture.Bytes()[2:]...)
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("photo", "photo.jpg")
	if err == nil {
		_, err = part.Write(raw)
	}
	if err = errors.Join(err, w.WriteField("report", report), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}
