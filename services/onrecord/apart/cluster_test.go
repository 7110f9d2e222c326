package apart

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

const (
	clients   = 3
	pause     = 400 * time.Millisecond // of each client between two reports: the MongoDB-compatible server is slow
	someMore  = 12                     // reports received between two blows
	patience  = 2 * time.Minute
	takenOver = 30 * time.Second // the most that another instance may take
	worstWait = 10 * time.Second // for a receipt, with a server of NATS gone
)

var inTime = flag.Bool("in-time", false, "fail when a phone waits too long for a receipt, or a backlog for the database, which needs a machine with little else to do")

// phones file reports at any instance of intake, again and again until each is
// received, as phones do.
type phones struct {
	t     *testing.T
	pause time.Duration // of each between two reports

	mu       sync.Mutex
	intakes  []string
	received map[string]string // receipts by id
	unsure   map[int]int       // answers that a phone does not believe, by status
	last     time.Time         // when one was received
	gap      time.Duration     // the longest time without one
	resting  bool
	stop     bool
	wg       sync.WaitGroup
}

// file has phones file at some instances of intake from now on.
func file(t *testing.T, pause time.Duration, intakes ...*instance) *phones {
	p := &phones{t: t, pause: pause, received: make(map[string]string), unsure: make(map[int]int), last: time.Now()}
	for _, i := range intakes {
		p.intakes = append(p.intakes, i.url)
	}
	p.run()
	return p
}

func (p *phones) run() {
	for range clients {
		p.wg.Go(func() {
			for !p.stopped() {
				if !p.rests() {
					p.file()
				}
				<-time.After(p.pause)
			}
		})
	}
}

func (p *phones) stopped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stop
}

func (p *phones) rests() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.resting
}

// rest has the phones begin no report, or go on.
func (p *phones) rest(resting bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resting = resting
}

// end lets every report that was begun be received, and returns how many were.
func (p *phones) end() int {
	p.mu.Lock()
	p.stop = true
	p.mu.Unlock()
	p.wg.Wait()
	return p.count()
}

func (p *phones) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.received)
}

// some waits until some more reports were received.
func (p *phones) some() {
	p.t.Helper()
	want := p.count() + someMore
	runtest.Eventually(p.t, patience, func() error {
		if p.t.Failed() {
			p.t.FailNow()
		}
		if n := p.count(); n < want {
			return fmt.Errorf("%d of %d reports were received", n, want)
		}
		return nil
	})
}

// longest returns the longest time without a receipt since it was last asked.
func (p *phones) longest() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	gap := p.gap
	p.gap, p.last = 0, time.Now()
	return gap
}

// wordsOf returns the words of a report, which nobody else has.
func wordsOf(id string) string {
	return "a man at the front desk shouted at me and threw a chair, " + id
}

// reportOf returns the report with an id.
func reportOf(id string) string {
	return fmt.Sprintf(`{"id":%q,"site":"unlisted","site_name":"Demo office","occurred_at":%q,"kind":"abuse","channel":"in_person","target":"any_staff",
		"narrative":%q}`, id, time.Now().Add(-time.Minute).UTC().Format(time.RFC3339), wordsOf(id))
}

func (p *phones) file() {
	id := uuid.Must(uuid.NewV7()).String()
	body := reportOf(id)
	for deadline := time.Now().Add(patience); ; <-time.After(50 * time.Millisecond) {
		p.mu.Lock()
		at := p.intakes[rand.IntN(len(p.intakes))]
		p.mu.Unlock()
		receipt, err := p.try(at, body)
		if err == nil {
			p.mu.Lock()
			p.received[id] = receipt
			p.gap, p.last = max(p.gap, time.Since(p.last)), time.Now()
			p.mu.Unlock()
			return
		}
		if errors.Is(err, errRefused) || time.Now().After(deadline) {
			p.t.Errorf("a report was not received: %v", err)
			return
		}
	}
}

// errRefused is an answer that sending again does not change.
var errRefused = errors.New("refused")

func (p *phones) try(at, body string) (receipt string, err error) {
	res, err := client.Post(at+"/api/v1/reports", "application/json", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode >= 500 {
		p.mu.Lock()
		p.unsure[res.StatusCode]++
		p.mu.Unlock()
	}
	var answer struct{ Receipt string }
	switch {
	case res.StatusCode/100 == 4:
		return "", fmt.Errorf("%w: %d %s", errRefused, res.StatusCode, raw)
	case res.StatusCode != http.StatusCreated && res.StatusCode != http.StatusOK:
		return "", fmt.Errorf("%d %s", res.StatusCode, raw)
	case json.Unmarshal(raw, &answer) != nil || answer.Receipt == "":
		return "", fmt.Errorf("no receipt in %s", raw)
	}
	return answer.Receipt, nil
}

// browser is somebody who signed in, with the cookie they hold.
type browser struct {
	t      *testing.T
	cookie string
}

// post sends a form and keeps the cookie that comes back.
func (b *browser) post(address string, form url.Values) {
	b.t.Helper()
	b.send(address, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

// importSite adds a site by a file.
func (b *browser) importSite(at *instance, id string) {
	b.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	file, err := w.CreateFormFile("file", "sites.csv")
	if err == nil {
		_, err = fmt.Fprintf(file, "id,name,kind,postcode,region,employer,staff\n%s,Demo Office,jobcentre,ZZ1 1AA,Demo Region,Demo Department,9\n", id)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		b.t.Fatal(err)
	}
	b.send(at.url+"/sites/", w.FormDataContentType(), &body)
}

func (b *browser) send(address, contentType string, body io.Reader) {
	b.t.Helper()
	req, err := http.NewRequest("POST", address, body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Cookie", b.cookie)
	res, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		body, _ := io.ReadAll(res.Body)
		b.t.Fatalf("POST %s: %d %s", address, res.StatusCode, body)
	}
	for _, c := range res.Cookies() {
		if strings.Contains(c.Name, "session") {
			b.cookie = c.Name + "=" + c.Value
		}
	}
}

// total returns this year's figure as an instance of reporting shows it.
func (b *browser) total(at string) (int, error) {
	now := time.Now()
	req, err := http.NewRequest("GET", fmt.Sprintf("%s/api/v1/figures?from=%s&to=%s", at, now.AddDate(0, -1, 0).Format("2006-01"), now.Format("2006-01")), nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Cookie", b.cookie)
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%d %s %w", res.StatusCode, raw, err)
	}
	var figures struct{ Months []struct{ Total int } }
	if err := json.Unmarshal(raw, &figures); err != nil {
		return 0, err
	}
	sum := 0
	for _, m := range figures.Months {
		sum += m.Total
	}
	return sum, nil
}

var setupLink = regexp.MustCompile(`setup\?token=(\S+)`)

// setUp makes an administrator and a rep at one instance, and returns them,
// signed in there.
func setUp(t *testing.T, at *instance) (admin, rep *browser) {
	t.Helper()
	const password = "a long demo password"
	admin, rep = &browser{t: t}, &browser{t: t}
	admin.post(at.url+"/setup", url.Values{"token": {at.Await(setupLink)}, "name": {"Demo Administrator"}, "password": {password}, "again": {password}})
	admin.post(at.url+"/people/", url.Values{"name": {"Demo Rep"}, "role": {"rep"}, "scope": {"every"}, "password": {password}})
	rep.post(at.url+"/sign-in/", url.Values{"name": {"Demo Rep"}, "password": {password}})
	return admin, rep
}

// knowsSite returns nil when an instance of intake offers a site.
func knowsSite(at *instance, id string) error {
	code, body, err := get(at.url + "/api/v1/sites")
	if err != nil {
		return err
	}
	if code != http.StatusOK || !strings.Contains(body, `"`+id+`"`) {
		return fmt.Errorf("%d %s: there is no %s", code, body, id)
	}
	return nil
}

// Two instances of each service on a cluster of three NATS servers: an intake,
// a classifier, the instance of reporting that leads and the server that holds
// the stream's lead are killed one after another while reports come in. Every
// report that was received is counted, once.
func TestNothingReceivedIsLostOrCountedTwice(t *testing.T) {
	began := time.Now()
	c := planCluster(t)
	nodes := c.launch()
	database := mongotest.Start(t) + "onrecord"
	c.apply("--max-stream", "128")
	t.Logf("the stream stands after %v", time.Since(began).Round(time.Millisecond))

	reporting1 := c.service("reporting", "--database", database)
	runtest.Eventually(t, patience, reporting1.ready)
	reporting2 := c.service("reporting", "--database", database)
	intake1, intake2 := c.service("intake"), c.service("intake")
	classifier1, classifier2 := c.service("classifier"), c.service("classifier")
	for _, i := range []*instance{reporting2, intake1, intake2, classifier1, classifier2} {
		runtest.Eventually(t, patience, i.ready)
	}
	admin, rep := setUp(t, reporting2) // only the newest link works
	if n, err := rep.total(reporting1.url); err != nil || n != 0 {
		t.Fatalf("who signed in at one instance is not known at the other: %d %v", n, err)
	}
	admin.importSite(reporting1, "demo-north")
	for _, i := range []*instance{intake1, intake2} {
		runtest.Eventually(t, patience, func() error { return knowsSite(i, "demo-north") })
	}
	t.Logf("everything is ready after %v", time.Since(began).Round(time.Millisecond))

	p := file(t, pause, intake1, intake2)
	p.some()

	intake1.Kill()
	p.some()
	t.Logf("an intake was killed: at most %v without a receipt", p.longest().Round(time.Millisecond))

	classifier1.Kill()
	p.some()
	t.Logf("a classifier was killed: at most %v without a receipt", p.longest().Round(time.Millisecond))

	var active *instance
	runtest.Eventually(t, takenOver, func() (err error) {
		active, err = leader(reporting1, reporting2)
		return err
	})
	other := reporting1
	if active == reporting1 {
		other = reporting2
	}
	p.longest()
	active.Kill()
	killed := time.Now()
	if _, err := rep.total(other.url); err != nil {
		t.Errorf("the other instance does not serve pages meanwhile: %v", err)
	}
	runtest.Eventually(t, takenOver, func() error {
		_, err := leader(other)
		return err
	})
	t.Logf("the leading reporting was killed: another led after %v", time.Since(killed).Round(10*time.Millisecond))
	p.some()

	name := streamLeader(t, c)
	p.longest()
	nodes[name].Kill()
	p.some()
	worst := p.longest()
	t.Logf("%s, which led the stream, was killed: at most %v without a receipt", name, worst.Round(time.Millisecond))
	if *inTime && worst > worstWait {
		t.Errorf("a phone waited %v for a receipt when a server of NATS was gone, want at most %v", worst, worstWait)
	}

	received := p.end()
	ended := time.Now()
	runtest.Eventually(t, patience, func() error {
		if n, err := rep.total(other.url); err != nil || n != received {
			return fmt.Errorf("%d reports were received, %d are counted: %s", received, n, fmt.Sprint(err))
		}
		return nil
	})
	t.Logf("%d reports were received and counted once, %v after the last", received, time.Since(ended).Round(time.Millisecond))
	runtest.Eventually(t, patience, func() error { return classified(t, c, received) })
	t.Logf("and read, %v after the last", time.Since(ended).Round(time.Millisecond))
	recount(t, c, database, received)
	admin.importSite(other, "demo-south") // also after a server of NATS is gone
	runtest.Eventually(t, patience, func() error { return knowsSite(intake2, "demo-south") })
	for _, receipt := range p.received { // one is enough: what is asked is the way, not each of them
		followUp(t, intake2, receipt)
		break
	}
	withTwoServersGone(t, c, nodes, p, intake2, other, rep)
	for _, i := range []*instance{other, intake2, classifier2} {
		if strings.Contains(strings.ToLower(i.Output.String()), "permissions violation") {
			t.Errorf("%s lacks a permission:\n%s", i.name, i.Output.String())
		}
	}
}

// withTwoServersGone kills another server of NATS, so that one of three is left
// and nobody can know what a majority has. No phone gets a receipt, nor any
// answer but 503. When the servers are back, the same report is received, and
// counted once.
func withTwoServersGone(t *testing.T, c *cluster, nodes map[string]*runtest.Process, p *phones, intake, reporting *instance, rep *browser) {
	t.Helper()
	nodes[streamLeader(t, c)].Kill()
	id := uuid.Must(uuid.NewV7()).String()
	for range 2 {
		if receipt, err := p.try(intake.url, reportOf(id)); err == nil {
			t.Errorf("with two of three servers gone a phone was given the receipt %s", receipt)
		}
	}
	for status, n := range p.unsure {
		if status != http.StatusServiceUnavailable {
			t.Errorf("%d answers were %d, want 503", n, status)
		}
	}
	for _, n := range c.nodes {
		select {
		case <-nodes[n.name].Exited:
			nodes[n.name] = c.run(n)
		default:
		}
	}
	mended := time.Now()
	runtest.Eventually(t, patience, func() error {
		_, err := p.try(intake.url, reportOf(id))
		return err
	})
	t.Logf("two servers of NATS killed: no receipt until they were back, and one %v after", time.Since(mended).Round(time.Millisecond))
	want := p.count() + 1
	runtest.Eventually(t, patience, func() error {
		if n, err := rep.total(reporting.url); err != nil || n != want {
			return fmt.Errorf("%d are counted, want %d: %w", n, want, err)
		}
		return nil
	})
}

// streamLeader returns which server leads the stream.
func streamLeader(t *testing.T, c *cluster) string {
	t.Helper()
	var name string
	runtest.Eventually(t, patience, func() error {
		s, err := stream(t, c)
		if err != nil {
			return err
		}
		info, err := s.Info(t.Context())
		if err == nil {
			name = info.Cluster.Leader
		}
		return err
	})
	return name
}

func stream(t *testing.T, c *cluster) (jetstream.Stream, error) {
	t.Helper()
	if c.asAdmin == nil {
		_, nc := c.connect(t, "admin")
		var err error
		if c.asAdmin, err = jetstream.New(nc); err != nil {
			return nil, err
		}
	}
	return c.asAdmin.Stream(t.Context(), bus.StreamReports)
}

// classified returns nil when the stream holds a classification of each report.
func classified(t *testing.T, c *cluster, want int) error {
	t.Helper()
	s, err := stream(t, c)
	if err != nil {
		return err
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(bus.TypeClassified+".>"))
	if err != nil {
		return err
	}
	if n := len(info.State.Subjects); n != want {
		return fmt.Errorf("%d of %d reports were read", n, want)
	}
	return nil
}

// recount holds the figures against the incidents, as an administrator does.
func recount(t *testing.T, c *cluster, database string, want int) {
	t.Helper()
	out, err := c.offline("admin", "verify", "--database", database)
	if err != nil || !strings.Contains(out, fmt.Sprintf("\n%d incidents recounted", want)) || !strings.Contains(out, "Every figure agrees") {
		t.Errorf("want %d incidents without a difference: %v\n%s", want, err, out)
	}
}

// followUp asks an intake about a receipt.
func followUp(t *testing.T, at *instance, receipt string) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"receipt": receipt})
	if err != nil {
		t.Fatal(err)
	}
	runtest.Eventually(t, patience, func() error {
		res, err := client.Post(at.url+"/api/v1/follow-up", "application/json", bytes.NewReader(body))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		raw, err := io.ReadAll(res.Body)
		if err == nil && (res.StatusCode != http.StatusOK || !bytes.Contains(raw, []byte(`"status"`))) {
			err = errors.New(res.Status + " " + string(raw))
		}
		return err
	})
}
