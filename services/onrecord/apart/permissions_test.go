package apart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

func TestTheStreamIsAppliedByTheAdministratorAlone(t *testing.T) {
	c := planCluster(t)
	c.start()
	c.apply("--max-stream", "64")
	if code, out := c.admin("--max-stream", "64", "--check"); code != run.ExitOK || !strings.Contains(out, "Everything is as this version needs it") {
		t.Errorf("checked after it was applied: code=%d %s", code, out)
	}
	photos(t, c)
	code, out := c.admin("--max-stream", "128", "--check")
	if code != run.ExitFailed || !strings.Contains(out, "needed: stream REPORTS is changed: max_bytes 67108864 → 134217728") {
		t.Errorf("checked with another size: code=%d %s", code, out)
	}
	if code, out := c.admin("--max-stream", "4096"); code != run.ExitFailed || !strings.Contains(out, "max_file_store") || strings.Contains(out, "REPORTS is changed") {
		t.Errorf("more than the servers have room for: code=%d %s", code, out)
	}
	b, nc := c.connect(t, "admin")
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), bus.StreamReports)
	if err != nil {
		t.Fatal(err)
	}
	other := s.CachedInfo().Config
	if other.Replicas != 3 {
		t.Errorf("replicas=%d, want 3", other.Replicas)
	}
	other.MaxAge = 48 * time.Hour
	if _, err := js.UpdateStream(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	code, out = c.admin("--max-stream", "128")
	if code != run.ExitFailed || !strings.Contains(out, "max_age is 48h0m0s, want 0s") || !strings.Contains(out, "nothing was changed") {
		t.Errorf("a stream with other settings: code=%d %s", code, out)
	}
	if s, err = js.Stream(t.Context(), bus.StreamReports); err != nil || s.CachedInfo().Config.MaxBytes != 64<<20 {
		t.Errorf("the stream was changed all the same: %v", err)
	}
	if err := b.Check(t.Context(), bus.Need{}); err == nil || !strings.Contains(err.Error(), "max_age") {
		t.Errorf("a service finds nothing wrong: %v", err)
	}
	t.Run("forbidden", func(t *testing.T) { forbidden(t, c) })
	t.Run("others' reports", func(t *testing.T) { othersReports(t, c) })
	t.Run("a route of one's own", func(t *testing.T) { ownRoute(t, c) })
}

// Among servers users.conf does not hold: whoever has a service's certificate
// must not be taken for one of them.
func ownRoute(t *testing.T, c *cluster) {
	cert, key := c.ca.Issue("intake", time.Now().Add(time.Hour))
	for name, value := range c.nodes[0].env {
		t.Setenv(name, value)
	}
	t.Setenv("NATS_SERVER_NAME", "intruder")
	t.Setenv("NATS_CERT", cert)
	t.Setenv("NATS_KEY", key)
	t.Setenv("NATS_STORE_DIR", t.TempDir())
	for _, listen := range []string{"NATS_LISTEN", "NATS_CLUSTER_LISTEN", "NATS_MONITOR_LISTEN"} {
		t.Setenv(listen, "127.0.0.1:-1")
	}
	options, err := server.ProcessConfigFile(configFile(t))
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs, options.JetStream, options.HTTPPort, options.HTTPHost = true, false, 0, ""
	ns, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	told := &said{}
	ns.SetLogger(told, false, false)
	ns.Start()
	defer ns.WaitForShutdown()
	defer ns.Shutdown()
	runtest.Eventually(t, 20*time.Second, func() error {
		for _, n := range c.nodes {
			_, routes, err := get("http://" + n.env["NATS_MONITOR_LISTEN"] + "/routez")
			if err != nil {
				return err
			}
			if strings.Contains(routes, `"intruder"`) {
				t.Fatalf("%s has a route to somebody with intake's certificate", n.name)
			}
		}
		if !told.contains("Authorization Violation") {
			return errors.New("nobody refused the route yet")
		}
		return nil
	})
}

// said is what a server logs.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) note(format string, v ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, v...))
}

func (s *said) contains(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.lines, func(line string) bool { return strings.Contains(line, text) })
}

func (s *said) Noticef(format string, v ...any) { s.note(format, v...) }
func (s *said) Warnf(format string, v ...any)   { s.note(format, v...) }
func (s *said) Fatalf(format string, v ...any)  { s.note(format, v...) }
func (s *said) Errorf(format string, v ...any)  { s.note(format, v...) }
func (s *said) Debugf(string, ...any)           {}
func (s *said) Tracef(string, ...any)           {}

// Intake stores a crowd of reports, whose batches are atomic, and is told of
// one whose id it knows. It reads none, neither by an id nor by a pattern.
func othersReports(t *testing.T, c *cluster) {
	b, nc := c.connect(t, "intake")
	var wg sync.WaitGroup
	for i := range 120 {
		wg.Go(func() {
			subject := bus.Subject(bus.TypeFiled, fmt.Sprintf("report-%d", i))
			if _, err := b.Publish(t.Context(), bus.Event{Subject: subject, ID: subject, Data: []byte("sealed words")}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, user := range []string{"classifier", "reporting"} {
		other, _ := c.connect(t, user)
		ctx, cancel := context.WithCancel(t.Context())
		if err := other.AnswerFirst(ctx, bus.SubjectFirstFiled, func([]byte) ([]byte, error) { return []byte(user), nil }); err != nil {
			t.Fatal(err)
		}
		runtest.Eventually(t, 20*time.Second, func() error { // the one before may answer a last time
			told, err := b.First(t.Context(), bus.SubjectFirstFiled, "report-7")
			if err == nil && string(told) != user {
				err = fmt.Errorf("%s tells intake %q", user, told)
			}
			return err
		})
		cancel()
	}
	asksTheClassifier(t, c, bus.SubjectModelCard)
	asksTheClassifier(t, c, bus.SubjectModelFeatures)
	publishesCorrections(t, c)
	photo := bytes.Repeat([]byte("sealed"), 700<<10) // so many messages that whoever takes it is asked to keep up
	if err := b.PutPhoto(t.Context(), "photo-1", photo); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Photo(within(t, 2*time.Second), "photo-1"); err == nil {
		t.Errorf("intake may read a photo: %d bytes", len(got))
	}
	taker, _ := c.connect(t, "reporting")
	administrator, _ := c.connect(t, "admin")
	for user, of := range map[string]*bus.Bus{"reporting": taker, "admin": administrator} {
		if got, err := of.Photo(t.Context(), "photo-1"); err != nil || !bytes.Equal(got, photo) {
			t.Errorf("%s takes %d bytes of the photo, %v", user, len(got), err)
		}
	}
	if err := taker.DropPhoto(t.Context(), "photo-1"); err != nil {
		t.Error(err)
	}
	if waiting, err := taker.WaitingPhotos(t.Context()); err != nil || len(waiting) != 0 {
		t.Errorf("after it was taken over: %v %v", waiting, err)
	}
	for _, subject := range []string{"onrecord.v1.report.filed.report-7", "onrecord.v1.report.filed.*", "onrecord.v1.report.filed.>", "onrecord.v1.report.>"} {
		reply, err := nc.Request("$JS.API.DIRECT.GET.REPORTS."+subject, nil, 300*time.Millisecond)
		if err == nil {
			t.Errorf("intake may read %s: %d bytes", subject, len(reply.Data))
		}
	}
}

// asksTheClassifier asks on a subject the way reporting does.
func asksTheClassifier(t *testing.T, c *cluster, subject string) {
	t.Helper()
	classifier, _ := c.connect(t, "classifier")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := classifier.Answer(ctx, subject, bus.ConsumerClassifier, func(context.Context, []byte) []byte { return []byte("told") }); err != nil {
		t.Fatal(err)
	}
	reporting, _ := c.connect(t, "reporting")
	runtest.Eventually(t, 20*time.Second, func() error { // the servers tell each other who listens
		told, err := reporting.Request(within(t, 2*time.Second), subject, nil)
		if err == nil && string(told) != "told" {
			err = fmt.Errorf("the classifier tells reporting %q", told)
		}
		return err
	})
}

// publishesCorrections publishes what reps corrected the way reporting does,
// more than one write holds.
func publishesCorrections(t *testing.T, c *cluster) {
	t.Helper()
	reporting, _ := c.connect(t, "reporting")
	var events []bus.Event
	for n := range 50 {
		subject := bus.Subject(bus.TypeCorrected, "report-7", fmt.Sprint("c", n))
		events = append(events, bus.Event{Subject: subject, ID: subject, Data: []byte("values")})
	}
	for range 2 { // the second time they are known
		if err := errors.Join(reporting.PublishAll(within(t, 20*time.Second), events)...); err != nil {
			t.Error(err)
		}
	}
}

// photos takes a photo the way it goes: intake stores it, reporting reads,
// finds and removes it.
func photos(t *testing.T, c *cluster) {
	t.Helper()
	intake, mayNot := c.connect(t, "intake")
	reporting, may := c.connect(t, "reporting")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const part = "$JS.API.DIRECT.GET.OBJ_onrecord_photos.$O.onrecord_photos.C.nothing"
	if got, err := may.RequestWithContext(ctx, part, nil); err != nil || got.Header.Get("Status") != "404" {
		t.Errorf("reporting asks for part of a photo: %v, %v", got, err)
	}
	if got, err := mayNot.Request(part, nil, 300*time.Millisecond); err == nil {
		t.Errorf("intake may ask for part of a photo: %v", got)
	}
	sealed := make([]byte, 700<<10) // more than one chunk
	if err := intake.PutPhoto(ctx, "r1.demo", sealed); err != nil {
		t.Fatal(err)
	}
	if waiting, err := reporting.WaitingPhotos(ctx); err != nil || len(waiting) != 1 || waiting[0].Name != "r1.demo" {
		t.Errorf("waiting=%v, %v", waiting, err)
	}
	if got, err := reporting.Photo(ctx, "r1.demo"); err != nil || len(got) != len(sealed) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for range 2 { // the second finds nothing to do
		if err := reporting.DropPhoto(ctx, "r1.demo"); err != nil {
			t.Error(err)
		}
	}
	if waiting, err := reporting.WaitingPhotos(ctx); err != nil || len(waiting) != 0 {
		t.Errorf("waiting=%v, %v", waiting, err)
	}
	if _, err := reporting.Photo(ctx, "r1.demo"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a photo that was removed: %v", err)
	}
}

// within returns the test's context, for a while.
func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// connect returns the bus of a user, and its connection.
func (c *cluster) connect(t *testing.T, user string) (*bus.Bus, *nats.Conn) {
	t.Helper()
	nc, err := c.settings(user).Dial(t.Context(), user, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	b, err := bus.New(nc, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b, nc
}

// refusals gathers what the server did not let a connection do.
type refusals struct {
	mu   sync.Mutex
	said []string
}

func (r *refusals) note(_ *nats.Conn, _ *nats.Subscription, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, err.Error())
}

func (r *refusals) has(subject string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.said {
		if strings.Contains(s, `"`+subject+`"`) && strings.Contains(strings.ToLower(s), "permissions violation") {
			return true
		}
	}
	return false
}

// forbidden tries what each user must not do, with a client that asks nobody.
func forbidden(t *testing.T, c *cluster) {
	everybody := []string{
		"$JS.API.STREAM.DELETE.REPORTS", "$JS.API.STREAM.PURGE.REPORTS", "$JS.API.STREAM.UPDATE.REPORTS", "$JS.API.STREAM.CREATE.OTHER",
		"$JS.API.STREAM.MSG.DELETE.REPORTS", "$JS.API.STREAM.MSG.GET.REPORTS", "$JS.API.STREAM.SNAPSHOT.REPORTS", "$JS.API.STREAM.LEADER.STEPDOWN.REPORTS",
		"$JS.API.CONSUMER.DURABLE.CREATE.REPORTS.mine", "$JS.API.CONSUMER.CREATE.REPORTS",
		"$JS.API.CONSUMER.DELETE.REPORTS.reporting", "$JS.API.CONSUMER.DELETE.REPORTS.classifier", "$JS.API.CONSUMER.CREATE.REPORTS.reporting",
		"$JS.API.STREAM.LIST", "$JS.API.META.LEADER.STEPDOWN", "$SYS.REQ.SERVER.PING", "other",
	}
	for _, u := range []struct {
		user               string
		publish, subscribe []string
	}{
		{"intake", append([]string{
			"onrecord.v1.report.classified.r1.m1", "onrecord.v1.report.filed.r1.more", "onrecord.v1.report.corrected.r1.c1", "onrecord.v1.model.card", "onrecord.v1.model.features",
			"$JS.API.CONSUMER.CREATE.REPORTS.mine", "$JS.API.CONSUMER.CREATE.REPORTS.mine.onrecord.v1.report.filed.*",
			"$JS.API.CONSUMER.MSG.NEXT.REPORTS.reporting", "$JS.API.CONSUMER.MSG.NEXT.REPORTS.classifier", "$JS.API.CONSUMER.RESET.REPORTS.reporting",
			"$JS.API.DIRECT.GET.REPORTS", "$JS.API.DIRECT.GET.REPORTS.onrecord.v1.report.filed.r1", "$JS.ACK.REPORTS.reporting.1.1.1.1.1",
			"$KV.onrecord_directory.sites", "$KV.onrecord_leases.projector", "$KV.onrecord_sign_ins.x", "_INBOX.reporting.x",
			"$JS.API.CONSUMER.CREATE.KV_onrecord_sign_ins.mine", "$JS.API.STREAM.INFO.KV_onrecord_sign_ins",
			"$JS.API.STREAM.PURGE.OBJ_onrecord_photos", "$JS.API.CONSUMER.CREATE.OBJ_onrecord_photos.mine",
		}, everybody...), []string{">", "onrecord.>", "onrecord.v1.report.filed.*", "onrecord.v1.follow-up.status", "onrecord.v1.model.card", "onrecord.v1.model.features", "_INBOX.>", "_INBOX.reporting.>", "_INBOX.classifier.>", "$JS.ACK.>", "$KV.>"}},
		{"classifier", append([]string{
			"onrecord.v1.report.filed.r1", "onrecord.v1.report.added.r1.a1", "onrecord.v1.report.corrected.r1.c1", "onrecord.v1.follow-up.status", "onrecord.v1.model.card", "onrecord.v1.model.features",
			"$JS.API.CONSUMER.CREATE.REPORTS.mine", "$JS.API.CONSUMER.MSG.NEXT.REPORTS.reporting", "$JS.API.CONSUMER.RESET.REPORTS.classifier",
			"$JS.API.DIRECT.GET.REPORTS", "$JS.API.DIRECT.GET.REPORTS.onrecord.v1.report.added.r1.a1", "$JS.ACK.REPORTS.reporting.1.1.1.1.1",
			"$KV.onrecord_directory.sites", "$KV.onrecord_leases.projector", "_INBOX.intake.x", "$O.onrecord_photos.C.x", "$JS.API.DIRECT.GET.OBJ_onrecord_photos.$O.onrecord_photos.M.x",
		}, everybody...), []string{">", "onrecord.v1.report.>", "onrecord.v1.follow-up.status", "onrecord.v1.model.card", "onrecord.v1.model.features", "_INBOX.intake.>", "$KV.>"}},
		{"reporting", append([]string{
			"onrecord.v1.report.filed.r1", "onrecord.v1.report.classified.r1.m1", "onrecord.v1.report.added.r1.a1", "onrecord.v1.report.corrected.r1", "onrecord.v1.report.corrected.r1.c1.more", "onrecord.v1.follow-up.status",
			"$JS.API.CONSUMER.MSG.NEXT.REPORTS.classifier", "$JS.API.CONSUMER.RESET.REPORTS.classifier", "$JS.ACK.REPORTS.classifier.1.1.1.1.1",
			"$KV.onrecord_follow_ups.x", "_INBOX.intake.x",
		}, everybody...), []string{">", "onrecord.v1.report.>", "onrecord.v1.follow-up.status", "onrecord.v1.model.card", "onrecord.v1.model.features", "_INBOX.intake.>", "$KV.>"}},
		{"admin", []string{"onrecord.v1.follow-up.status", "onrecord.v1.model.features", "$KV.onrecord_directory.sites", "_INBOX.intake.x"},
			[]string{">", "onrecord.v1.report.>", "_INBOX.intake.>"}},
	} {
		t.Run(u.user, func(t *testing.T) {
			_, nc := c.connect(t, u.user)
			var r refusals
			nc.SetErrorHandler(r.note)
			wait := func(what, subject string) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				for !r.has(subject) {
					select {
					case <-ctx.Done():
						t.Errorf("%s may %s %s", u.user, what, subject)
						return
					case <-time.After(time.Millisecond):
					}
				}
			}
			for _, subject := range u.publish {
				if err := nc.PublishRequest(subject, nc.NewInbox(), []byte("{}")); err != nil {
					t.Fatal(err)
				}
				wait("publish to", subject)
			}
			for _, subject := range u.subscribe {
				sub, err := nc.SubscribeSync(subject)
				if err != nil {
					t.Fatal(err)
				}
				wait("subscribe to", subject)
				_ = sub.Unsubscribe()
			}
		})
	}
}
