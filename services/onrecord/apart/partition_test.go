package apart

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

var (
	part     = flag.String("part", "", "networks to break: R9, every one in every way; R10, the database's; none: two of all, by the seed")
	partSeed = flag.Uint64("part-seed", 1, "which two, in what order, and for how long")
)

const (
	shortest, longest = 4 * time.Second, 9 * time.Second // that a network stays broken
	away              = time.Minute                      // that the database does, in R10
	drained           = 5 * time.Minute                  // until everything is written, by a server that writes a few in a second
	unhurried         = 3 * pause                        // of each phone, where so much breaks that the server would not come after
	backlog           = 100                              // events, by which the rate of draining can be told
	leastRate         = 50                               // events a second of it
	moreThings        = 25                               // goroutines and descriptors that may come and go
)

// network is a stretch of network of the services, and whether reports must be
// received while it is broken: NATS servers pass nothing on for one another, so
// an intake at one that does not reach the leader can only say 503.
type network struct {
	name   string
	links  []*runtest.Link
	serves bool
}

func (n network) set(state runtest.LinkState) {
	for _, l := range n.links {
		l.Set(state)
	}
}

// behindLinks lays links between every two servers. A server's own address
// stays among its routes: by their number it knows how many there are to be.
func (c *cluster) behindLinks() (between map[[2]int][]*runtest.Link) {
	between = make(map[[2]int][]*runtest.Link)
	for i, from := range c.nodes {
		routes := []string{"nats://" + from.env["NATS_CLUSTER_LISTEN"]}
		for j, to := range c.nodes {
			if i == j {
				continue
			}
			l := runtest.NewLink(c.t, to.env["NATS_CLUSTER_LISTEN"])
			pair := [2]int{min(i, j), max(i, j)}
			between[pair] = append(between[pair], l)
			routes = append(routes, "nats://"+l.Addr)
		}
		from.env["NATS_ROUTES"] = "[" + strings.Join(routes, ", ") + "]"
		from.env[behindLinks] = "yes"
	}
	return between
}

// toServers lays a link to each server, and returns them with the flags of a
// service that goes over them.
func (c *cluster) toServers() (links []*runtest.Link, flags []string) {
	var urls []string
	for _, n := range c.nodes {
		l := runtest.NewLink(c.t, n.env["NATS_LISTEN"])
		links, urls = append(links, l), append(urls, "nats://"+l.Addr)
	}
	return links, []string{"--nats-url", strings.Join(urls, ",")}
}

// breach is a network broken in one way.
type breach struct {
	network
	how   string
	state runtest.LinkState
	lasts time.Duration
	times int // 0: once; more: on and off again so often
}

// everyBreach is R9: each network cut, half open and slow.
func everyBreach(networks []network, rng *rand.Rand) (all []breach) {
	for _, n := range networks {
		for _, b := range []breach{{how: "cut", state: runtest.Cut}, {how: "half open", state: runtest.Silent}, {how: "2 s slow", state: runtest.Slow}} {
			all = append(all, breach{network: n, how: b.how, state: b.state, lasts: shortest + time.Duration(rng.Int64N(int64(longest-shortest)))})
		}
	}
	return all
}

// databaseBreaches is R10. When answers are lost again and again, what was
// done is done again: a storm of keys that are there already.
func databaseBreaches(database network, lasts time.Duration) []breach {
	return []breach{
		{network: database, how: "away", state: runtest.Cut, lasts: lasts},
		{network: database, how: "2 s slow each way", state: runtest.Slow, lasts: lasts / 2},
		{network: database, how: "doing everything and saying nothing", state: runtest.OneWay, lasts: 300 * time.Millisecond, times: 20},
	}
}

// The networks between the services, the NATS servers and the database part,
// fall silent and become slow while reports come in. Every report that was
// received is counted once and has its words; when nobody can know, the answer
// is 503; and what waited goes away.
func TestNetworksThatPart(t *testing.T) {
	rng := rand.New(rand.NewPCG(*partSeed, 0))
	c := planCluster(t)
	between := c.behindLinks()
	c.launch()
	server := compatibleServer(t)
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	c.apply("--max-stream", "128")
	toDatabase := runtest.NewLink(t, u.Host)
	database := network{"reporting and the database", []*runtest.Link{toDatabase}, true}
	ofIntake, intakeFlags := c.toServers()
	ofClassifier, classifierFlags := c.toServers()
	ofReporting, reportingFlags := c.toServers()
	reportingFlags = append(reportingFlags, "--database", "mongodb://"+toDatabase.Addr+"/onrecord")

	reporting1 := c.service("reporting", reportingFlags...)
	runtest.Eventually(t, patience, reporting1.ready)
	reporting2 := c.service("reporting", reportingFlags...)
	intake1, intake2 := c.service("intake", intakeFlags...), c.service("intake", intakeFlags...)
	instances := []*instance{reporting1, reporting2, intake1, intake2, c.service("classifier", classifierFlags...), c.service("classifier", classifierFlags...)}
	for _, i := range instances {
		runtest.Eventually(t, patience, i.ready)
	}
	_, rep := setUp(t, reporting2)

	networks := []network{
		{"intake and NATS", ofIntake, false}, {"the classifier and NATS", ofClassifier, true}, {"reporting and NATS", ofReporting, true}, database,
		{"NATS servers 1 and 2", between[[2]int{0, 1}], false},
		{"NATS server 3 and the others", append(between[[2]int{0, 2}], between[[2]int{1, 2}]...), false},
	}
	var breaches []breach
	switch *part {
	case "R9":
		breaches = everyBreach(networks, rng)
	case "R10":
		breaches = databaseBreaches(database, away)
	default:
		breaches = append(everyBreach(networks, rng), databaseBreaches(database, shortest)...)
	}
	rng.Shuffle(len(breaches), func(i, j int) { breaches[i], breaches[j] = breaches[j], breaches[i] })
	if *part == "" {
		breaches = breaches[:2]
	}

	pace := pause
	if *part != "" {
		pace = unhurried
	}
	p := file(t, pace, intake1, intake2)
	p.some()
	before := things(t, instances)
	for _, b := range breaches {
		b.befall(t, c, p)
	}
	received := p.end()
	drains(t, c)
	runtest.Eventually(t, patience, func() error {
		if n, err := rep.total(reporting1.url); err != nil || n != received {
			return fmt.Errorf("%d reports were received, %d are counted: %w", received, n, err)
		}
		return nil
	})
	t.Logf("%d reports were received and counted once after %d breaches, seed %d", received, len(breaches), *partSeed)
	runtest.Eventually(t, drained, func() error { return classified(t, c, received) })
	recount(t, c, server+"onrecord", received)
	rep.hasWords(reporting1.url, p.received)
	for status, n := range p.unsure {
		if status != http.StatusServiceUnavailable {
			t.Errorf("%d answers were %d, want 503", n, status)
		}
	}
	for _, i := range instances {
		runtest.Eventually(t, patience, i.ready)
	}
	runtest.Eventually(t, patience, func() error {
		var grown error
		for n, now := range things(t, instances) {
			for what, count := range now {
				if count > before[n][what]+moreThings {
					grown = errors.Join(grown, fmt.Errorf("%s has %v %s, and had %v", instances[n].name, count, what, before[n][what]))
				}
			}
		}
		return grown
	})
}

// compatibleServer starts a MongoDB-compatible server and returns its URI. R10
// asks how fast a backlog is written: it takes the one on PostgreSQL, where that
// is installed. On SQLite a guarded write is as slow as the collection is large.
func compatibleServer(t *testing.T) string {
	t.Helper()
	if *part == "R10" {
		uri, err := mongotest.StartOnPostgres(t)
		if err == nil {
			t.Log("the database: the compatible server on PostgreSQL")
			return uri
		}
		t.Logf("the database: the compatible server on SQLite, NOT on PostgreSQL: %v", err)
	}
	return mongotest.Start(t)
}

// befall breaks a network under load, and mends it.
func (b breach) befall(t *testing.T, c *cluster, p *phones) {
	t.Helper()
	p.longest()
	count := p.count()
	for range max(b.times, 1) {
		b.set(b.state)
		acknowledged, watch := uint64(0), b.state == runtest.Cut && len(b.links) == 1
		if watch { // the database is away: what was being acknowledged has been after a second
			<-time.After(time.Second)
			acknowledged = floor(t, c)
		}
		<-time.After(b.lasts)
		if watch {
			if now := floor(t, c); now != acknowledged {
				t.Errorf("%d events were acknowledged while the database was away", now-acknowledged)
			}
		}
		if b.times > 0 {
			b.set(runtest.Whole)
			<-time.After(b.lasts)
		}
	}
	meanwhile := p.count() - count
	if b.serves && meanwhile == 0 {
		t.Errorf("nothing was received while the network between %s was %s", b.name, b.how)
	}
	b.set(runtest.Whole)
	mended, without := time.Now(), time.Duration(0)
	if *part == "R10" { // all of the backlog is looked at, and nothing new beside
		without = p.longest()
		p.rest(true)
		drains(t, c)
		p.longest() // nobody filed
		p.rest(false)
	}
	p.some()
	t.Logf("broken: %s, %s: %d received meanwhile, %d more within %v of mending, at most %v without a receipt", b.name, b.how,
		meanwhile, someMore, time.Since(mended).Round(100*time.Millisecond), max(without, p.longest()).Round(100*time.Millisecond))
	p.rest(true)
	drains(t, c)
	p.rest(false)
}

// drains waits until no event waits in the stream, and tells how fast that went
// from when they began to go. It asks NATS, not the database, which has enough
// to do.
func drains(t *testing.T, c *cluster) {
	t.Helper()
	began, first := time.Now(), -1
	runtest.Eventually(t, drained, func() error {
		left := waiting(t, c)
		if left >= first {
			began, first = time.Now(), left
		}
		if left > 0 {
			<-time.After(200 * time.Millisecond)
			return fmt.Errorf("%d events wait in the stream", left)
		}
		return nil
	})
	took := time.Since(began)
	rate := float64(first) / took.Seconds()
	t.Logf("%d events waited in the stream, and none after %v: %.0f a second", first, took.Round(100*time.Millisecond), rate)
	if *inTime && first >= backlog && rate < leastRate {
		t.Errorf("a backlog of %d events drained by %.0f a second, want at least %d", first, rate, leastRate)
	}
}

// waiting returns how many events the database does not have yet.
func waiting(t *testing.T, c *cluster) (n int) {
	t.Helper()
	runtest.Eventually(t, patience, func() error {
		n = 0
		s, err := stream(t, c)
		if err != nil {
			return err
		}
		for _, name := range []string{bus.ConsumerClassifier, bus.ConsumerReporting} {
			consumer, err := s.Consumer(t.Context(), name)
			if err != nil {
				return err
			}
			info := consumer.CachedInfo()
			n += int(info.NumPending) + info.NumAckPending
		}
		return nil
	})
	return n
}

// floor returns up to where reporting has acknowledged the stream.
func floor(t *testing.T, c *cluster) (acknowledged uint64) {
	t.Helper()
	runtest.Eventually(t, patience, func() error {
		s, err := stream(t, c)
		if err != nil {
			return err
		}
		consumer, err := s.Consumer(t.Context(), bus.ConsumerReporting)
		if err != nil {
			return err
		}
		info, err := consumer.Info(t.Context())
		if err == nil {
			acknowledged = info.AckFloor.Stream
		}
		return err
	})
	return acknowledged
}

// things returns how many goroutines and descriptors each instance has.
func things(t *testing.T, instances []*instance) []map[string]float64 {
	t.Helper()
	all := make([]map[string]float64, len(instances))
	for n, i := range instances {
		all[n] = make(map[string]float64)
		for _, name := range []string{"go_goroutines", "process_open_fds"} {
			runtest.Eventually(t, patience, func() (err error) {
				if all[n][name], err = i.metric(name); err == nil && all[n][name] == 0 {
					err = fmt.Errorf("%s does not tell %s", i.name, name)
				}
				return err
			})
		}
	}
	return all
}

// hasWords fails unless there is one incident with the words of each report,
// and no other.
func (b *browser) hasWords(at string, received map[string]string) {
	b.t.Helper()
	missing := make(map[string]bool)
	for id := range received {
		missing[wordsOf(id)] = true
	}
	for cursor := ""; ; {
		var page struct {
			Incidents []struct{ ID string }
			Next      string
		}
		b.read(at+"/api/v1/incidents?limit=200&cursor="+cursor, &page)
		for _, i := range page.Incidents {
			var one struct{ Words []struct{ Narrative string } }
			b.read(at+"/api/v1/incidents/"+i.ID, &one)
			if len(one.Words) != 1 || !missing[one.Words[0].Narrative] {
				b.t.Errorf("incident %s has words that nobody filed, or another has too", i.ID)
				continue
			}
			delete(missing, one.Words[0].Narrative)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(missing) > 0 {
		b.t.Errorf("%d reports were received and are not there with their words", len(missing))
	}
}

// read reads what the API says to somebody who signed in.
func (b *browser) read(address string, into any) {
	b.t.Helper()
	runtest.Eventually(b.t, patience, func() error {
		req, err := http.NewRequest("GET", address, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Cookie", b.cookie)
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return json.NewDecoder(res.Body).Decode(into)
	})
}
