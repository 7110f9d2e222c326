package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/bus/embedded"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

func event(id, data string) bus.Event {
	return bus.Event{Subject: bus.Subject(bus.TypeFiled, id), ID: id + ".filed", Data: []byte(data)}
}

func publish(t *testing.T, b *bus.Bus, id, data string) bus.Ack {
	t.Helper()
	ack, err := b.Publish(t.Context(), event(id, data))
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

func TestTheFirstCopyOfAnEventStays(t *testing.T) {
	b := bustest.New(t)
	if ack := publish(t, b, "r1", "first"); ack.Duplicate {
		t.Fatal("the first copy was called a duplicate")
	}
	for _, id := range []string{"r1.filed", "another id, as after the window of the message ids"} {
		ack, err := b.Publish(t.Context(), bus.Event{Subject: bus.Subject(bus.TypeFiled, "r1"), ID: id, Data: []byte("second")})
		if err != nil || !ack.Duplicate {
			t.Errorf("id %s: ack=%+v err=%v, want a duplicate", id, ack, err)
		}
	}
	got, err := b.Get(t.Context(), bus.Subject(bus.TypeFiled, "r1"))
	if err != nil || string(got.Data) != "first" {
		t.Errorf("stored=%q err=%v, want the first", got.Data, err)
	}
	if _, err := b.Get(t.Context(), bus.Subject(bus.TypeFiled, "r2")); fault.KindOf(err) != fault.NotFound {
		t.Errorf("err=%v, want NotFound", err)
	}
}

// open starts a server on a directory that outlives it.
func open(t *testing.T, dir string) (*bus.Bus, *nats.Conn, func()) {
	t.Helper()
	b, nc, srv := openServer(t, dir)
	return b, nc, func() { nc.Close(); srv.Stop() }
}

func openServer(t testing.TB, dir string) (*bus.Bus, *nats.Conn, *embedded.Server) {
	t.Helper()
	srv, err := embedded.Start(embedded.Options{Dir: dir, Key: "test"})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := srv.Connect("test")
	if err != nil {
		t.Fatal(err)
	}
	b, err := bus.New(nc, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b, nc, srv
}

// openStaged starts a server on a directory as the one-machine program does,
// with batches staged in memory. It ends with the test.
func openStaged(t testing.TB, dir string) (*bus.Bus, *embedded.Server) {
	t.Helper()
	b, nc, srv := openServer(t, dir)
	t.Cleanup(func() { nc.Close(); srv.Stop() })
	if err := errors.Join(b.Apply(t.Context(), settings), srv.StageInMemory(bus.StreamReports)); err != nil {
		t.Fatal(err)
	}
	b.StagesInMemory()
	return b, srv
}

var settings = bus.Settings{Replicas: 1, MaxBytes: 256 << 20}

func TestADuplicateIsKnownAfterARestart(t *testing.T) {
	dir := t.TempDir()
	b, _, stop := open(t, dir)
	if err := b.Apply(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "r1", "first")
	stop()
	b, _, stop = open(t, dir)
	defer stop()
	if err := b.Apply(t.Context(), settings); err != nil {
		t.Fatalf("a second start on the same data: %v", err)
	}
	ack, err := b.Publish(t.Context(), bus.Event{Subject: bus.Subject(bus.TypeFiled, "r1"), ID: "x", Data: []byte("second")})
	if err != nil || !ack.Duplicate {
		t.Errorf("ack=%+v err=%v, want a duplicate", ack, err)
	}
}

func TestAStreamWithOtherSettingsIsNamedAndLeft(t *testing.T) {
	b, nc, stop := open(t, t.TempDir())
	defer stop()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: bus.StreamReports, Subjects: []string{bus.TypeFiled + ".*", "strange.>"}, MaxAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	err = b.Apply(t.Context(), settings)
	for _, want := range []string{"subjects", "max_age", "max_msgs_per_subject", "nothing was changed"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err=%v, want it to name %s", err, want)
		}
	}
	s, _ := js.Stream(t.Context(), bus.StreamReports)
	if s.CachedInfo().Config.MaxAge != time.Hour {
		t.Error("the stream was changed")
	}
}

// A killed process leaves deliveries that it never acknowledged. They must not
// wait until the server gives up on them.
// An older version's stream lacks subjects that this one needs: they are added,
// and said before. A later version's own are left to it.
func TestAnOlderVersionsStreamGetsTheSubjectsItLacks(t *testing.T) {
	b, nc, stop := open(t, t.TempDir())
	defer stop()
	if err := b.Apply(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "r1", "first")
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	withSubjects := func(change func([]string) []string) {
		t.Helper()
		s, err := js.Stream(t.Context(), bus.StreamReports)
		if err != nil {
			t.Fatal(err)
		}
		config := s.CachedInfo().Config
		config.Subjects = change(config.Subjects)
		if _, err := js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	withSubjects(func(all []string) []string {
		return slices.DeleteFunc(all, func(s string) bool { return strings.HasPrefix(s, bus.TypeCorrected) })
	})
	if h, err := b.Health(t.Context()); err != nil || h.Settings == nil || !strings.Contains(h.Settings.Error(), bus.TypeCorrected) {
		t.Errorf("an old stream is found well: %+v, %v", h, err)
	}
	changes, err := b.Plan(t.Context(), settings)
	if err != nil || len(changes) != 1 || !strings.Contains(changes[0].String(), bus.TypeCorrected+".*.*") {
		t.Fatalf("changes=%v err=%v, want the subject it gets", changes, err)
	}
	if err := b.Apply(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	subject := bus.Subject(bus.TypeCorrected, "r1", "c1")
	if _, err := b.Publish(t.Context(), bus.Event{Subject: subject, ID: subject, Data: []byte("x")}); err != nil {
		t.Errorf("the subject is not served: %v", err)
	}
	withSubjects(func(all []string) []string { return append(all, "onrecord.v1.report.later.*") })
	if changes, err := b.Plan(t.Context(), settings); err != nil || len(changes) != 0 {
		t.Errorf("a later version's stream: changes=%v err=%v, want it left as it is", changes, err)
	}
	if h, err := b.Health(t.Context()); err != nil || h.Settings != nil || h.Messages != 2 {
		t.Errorf("a later version's stream: %+v, %v", h, err)
	}
}

func TestWhatAKilledProcessHadInHandIsHandedOutAtOnce(t *testing.T) {
	b, nc := bustest.NewConn(t)
	for i := range 3 {
		publish(t, b, fmt.Sprintf("r%d", i), "x")
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(t.Context(), bus.StreamReports, bus.ConsumerReporting)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := c.Fetch(3)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m := range taken.Messages() {
		if n++; n == 1 {
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	settings := bus.Settings{Replicas: 1, MaxBytes: 512 << 20}
	if err := errors.Join(b.Apply(t.Context(), settings), b.Resume(t.Context(), false)); err != nil {
		t.Fatal(err)
	}
	if got := collect(t, b, 2); got[0].Subject != bus.Subject(bus.TypeFiled, "r1") {
		t.Errorf("handed out %v, want what was not acknowledged", got)
	}
	// The next start finds the consumer as it is, and a lost store gets everything.
	if err := errors.Join(b.Apply(t.Context(), settings), b.Resume(t.Context(), true)); err != nil {
		t.Fatal(err)
	}
	collect(t, b, 3)
}

func TestTheDiskLimitMayBeChanged(t *testing.T) {
	b, nc := bustest.NewConn(t)
	if err := b.Apply(t.Context(), bus.Settings{Replicas: 1, MaxBytes: 128 << 20}); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), bus.StreamReports)
	if err != nil || s.CachedInfo().Config.MaxBytes != 128<<20 {
		t.Errorf("max_bytes=%d err=%v, want the new limit", s.CachedInfo().Config.MaxBytes, err)
	}
}

// A stream that lost its end, as after a flipped bit or an older backup,
// leaves its consumer ahead. Nothing filed afterwards may be skipped.
func TestNothingIsSkippedAfterTheStreamLostItsEnd(t *testing.T) {
	dir := t.TempDir()
	msgs := filepath.Join(dir, "jetstream", "$G", "streams", bus.StreamReports, "msgs")
	b, _, stop := open(t, dir)
	if err := b.Apply(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "kept", "x")
	stop()
	older := t.TempDir()
	if err := os.CopyFS(older, os.DirFS(msgs)); err != nil {
		t.Fatal(err)
	}
	b, _, stop = open(t, dir)
	for i := range 5 {
		publish(t, b, fmt.Sprintf("lost%d", i), "x")
	}
	collect(t, b, 6)
	stop()
	if err := errors.Join(os.RemoveAll(msgs), os.CopyFS(msgs, os.DirFS(older))); err != nil {
		t.Fatal(err)
	}
	b, _, stop = open(t, dir)
	defer stop()
	if err := b.Apply(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "new", "x")
	for got := ""; got != bus.Subject(bus.TypeFiled, "new"); {
		got = collect(t, b, 1)[0].Subject
	}
}

// collect consumes until n deliveries came.
func collect(t *testing.T, b *bus.Bus, n int) []bus.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []bus.Delivery
	err := b.Consume(ctx, bus.Consumer{Name: bus.ConsumerReporting, Batch: 8, Handle: func(_ context.Context, batch []bus.Delivery) []error {
		got = append(got, batch...)
		if len(got) >= n {
			cancel()
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < n {
		t.Fatalf("consumed %d in time, want %d", len(got), n)
	}
	return got
}

func TestRetriesAndPoisonDoNotStopTheStream(t *testing.T) {
	b := bustest.New(t)
	for _, id := range []string{"good1", "busy", "bad", "panics", "good2"} {
		publish(t, b, id, id)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var mu sync.Mutex
	done, tries, quarantined := map[string]bool{}, map[string]int{}, map[string]uint64{}
	finish := func() {
		if len(done) == 3 && len(quarantined) == 2 {
			cancel()
		}
	}
	handle := func(_ context.Context, batch []bus.Delivery) []error {
		mu.Lock()
		defer mu.Unlock()
		errs := make([]error, len(batch))
		for i, d := range batch {
			id := string(d.Data)
			tries[id]++
			switch {
			case id == "panics":
				panic("words that must not be logged")
			case id == "bad":
				errs[i] = bus.Poison(errors.New("cannot be decoded"))
			case id == "busy" && tries[id] < 2:
				errs[i] = errors.New("the store is busy")
			default:
				done[id] = true
			}
		}
		finish()
		return errs
	}
	ready := func(context.Context) error { return nil }
	err := b.Consume(ctx, bus.Consumer{Name: bus.ConsumerReporting, Batch: 8, Handle: handle, Ready: ready,
		Quarantine: func(_ context.Context, d bus.Delivery, cause error) error {
			mu.Lock()
			defer mu.Unlock()
			if cause == nil {
				t.Error("quarantined without a cause")
			}
			quarantined[string(d.Data)] = d.Deliveries
			finish()
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"good1", "good2", "busy"} {
		if !done[id] {
			t.Errorf("%s was not handled", id)
		}
	}
	for _, id := range []string{"bad", "panics"} {
		if got := quarantined[id]; got != bus.PoisonTries {
			t.Errorf("%s was quarantined after %d deliveries, want %d", id, got, bus.PoisonTries)
		}
	}
}

// While what a consumer writes to is away, nothing is tried and nothing is put
// off: when it is back, everything is handled at once.
func TestAnOutagePutsNothingOff(t *testing.T) {
	const messages = 200
	b := bustest.New(t)
	for n := range messages {
		publish(t, b, fmt.Sprintf("r%d", n), "x")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	tried, asked, failed := 0, 0, errors.New("the store is away")
	deliveries := map[string]uint64{}
	err := b.Consume(ctx, bus.Consumer{Name: bus.ConsumerReporting, Batch: 64,
		Handle: func(_ context.Context, batch []bus.Delivery) []error {
			mu.Lock()
			defer mu.Unlock()
			errs := make([]error, len(batch))
			for n, d := range batch {
				if errs[n] = failed; failed == nil {
					deliveries[d.Subject] = d.Deliveries
				}
			}
			if failed != nil {
				tried++
			}
			if len(deliveries) == messages {
				cancel()
			}
			return errs
		},
		Ready: func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			if asked++; asked == 4 { // with the batch that failed, and thrice in the pause
				failed = nil
			}
			return failed
		}})
	if err != nil || len(deliveries) != messages {
		t.Fatalf("%d of %d were handled: %v", len(deliveries), messages, err)
	}
	if tried != 1 {
		t.Errorf("tried %d times while the store was away, want once", tried)
	}
	for subject, n := range deliveries {
		if n > 2 {
			t.Errorf("%s was handed out %d times", subject, n)
		}
	}
}

// Servers that do not answer when a consumer begins are asked again: whoever
// takes over while the network is broken must not end for that.
func TestAConsumerThatDoesNotAnswerIsAskedAgain(t *testing.T) {
	link := runtest.NewLink(t, strings.TrimPrefix(bustest.Listen(t), "nats://"))
	nc := bustest.Dial(t, "nats://"+link.Addr, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	var log runtest.Output
	b, err := bus.New(nc, slog.New(slog.NewTextHandler(&log, nil)))
	if err == nil {
		err = b.Apply(t.Context(), settings)
	}
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, "r1", "x")
	link.Set(runtest.Silent)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	handled, ended := make(chan bool, 8), make(chan error, 1)
	go func() {
		ended <- b.Consume(ctx, bus.Consumer{Name: bus.ConsumerReporting, Batch: 8, Handle: func(context.Context, []bus.Delivery) []error {
			handled <- true
			return nil
		}})
	}()
	runtest.Eventually(t, time.Minute, func() error {
		if !strings.Contains(log.String(), "asked again") {
			return errors.New("it was not asked again")
		}
		return nil
	})
	link.Set(runtest.Whole)
	select {
	case <-handled:
	case err := <-ended:
		t.Fatalf("it ended with %v", err)
	case <-time.After(time.Minute):
		t.Fatal("nothing was handled once the network was whole")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Whoever is told to stop during an outage stops, and that is no error.
func TestAnOutageHoldsUpNoStop(t *testing.T) {
	b := bustest.New(t)
	publish(t, b, "r1", "x")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	away := errors.New("the store is away")
	err := b.Consume(ctx, bus.Consumer{Name: bus.ConsumerReporting, Batch: 8,
		Handle: func(context.Context, []bus.Delivery) []error { return []error{away} },
		Ready: func(ctx context.Context) error {
			stop() // while it waits for the store
			<-ctx.Done()
			return ctx.Err()
		}})
	if err != nil {
		t.Errorf("stopped with %v", err)
	}
	collect(t, b, 1) // which is handed out again at once, in less than the time that it waits for an acknowledgement
}

func TestAStoppedStreamPromisesNothing(t *testing.T) {
	b, _, stop := open(t, t.TempDir())
	if err := b.Apply(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := b.Publish(ctx, event("r1", "x"))
	f := fault.As(err)
	if f.Kind != fault.Unavailable || f.RetryAfter == 0 {
		t.Errorf("err=%v, want Unavailable with a time to try again", err)
	}
}

func TestDirectoryIsSeenAndFollowed(t *testing.T) {
	b := bustest.New(t)
	if err := b.UpdateDirectory(t.Context(), func() ([]byte, error) { return []byte("one"), nil }); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 4)
	if err := b.WatchDirectory(t.Context(), func(d []byte) { seen <- string(d) }); err != nil {
		t.Fatal(err)
	}
	if err := b.UpdateDirectory(t.Context(), func() ([]byte, error) { return []byte("two"), nil }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "two"} {
		select {
		case got := <-seen:
			if got != want {
				t.Errorf("directory=%q, want %q", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("directory %q was not seen", want)
		}
	}
}

func TestRequestIsAnsweredOrUnavailable(t *testing.T) {
	b := bustest.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := b.Request(ctx, bus.SubjectFollowUp, nil); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("nobody listens: err=%v, want Unavailable", err)
	}
	if err := b.Answer(ctx, bus.SubjectFollowUp, "reporting", func(_ context.Context, d []byte) []byte { return append(d, '!') }); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Request(ctx, bus.SubjectFollowUp, []byte("hello")); err != nil || string(got) != "hello!" {
		t.Errorf("answer=%q err=%v", got, err)
	}
}

// BenchmarkPublish is what filing could reach at most: reports that come
// together share a write to disk.
func BenchmarkPublish(b *testing.B) {
	for _, clients := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			bb, _ := openStaged(b, b.TempDir())
			data := make([]byte, 600)
			ids := make(chan int, clients)
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					for i := range ids {
						if _, err := bb.Publish(context.Background(), event(fmt.Sprintf("r%d", i), string(data))); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for i := 0; b.Loop(); i++ {
				ids <- i
			}
			close(ids)
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// A crowd makes batches; each id that stands in one twice must still be stored
// once, and every publisher must learn whether it was the first.
func TestACrowdIsStoredOnceEach(t *testing.T) {
	t.Run("staged in memory", func(t *testing.T) {
		b, _ := openStaged(t, t.TempDir())
		crowd(t, b)
	})
	t.Run("staged on disk", func(t *testing.T) { crowd(t, bustest.New(t)) })
}

func crowd(t *testing.T, b *bus.Bus) {
	t.Helper()
	const ids, copies = 200, 3
	var mu sync.Mutex
	firsts := map[string]int{}
	var wg sync.WaitGroup
	for i := range ids * copies {
		wg.Go(func() {
			id := fmt.Sprintf("r%d", i%ids)
			ack, err := b.Publish(t.Context(), event(id, id))
			if err != nil {
				t.Error(err)
			}
			if !ack.Duplicate {
				mu.Lock()
				firsts[id]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for i := range ids {
		id := fmt.Sprintf("r%d", i)
		if firsts[id] != 1 {
			t.Errorf("%s: %d publishers were told they were first, want 1", id, firsts[id])
		}
		if got, err := b.Get(t.Context(), bus.Subject(bus.TypeFiled, id)); err != nil || string(got.Data) != id {
			t.Errorf("%s: stored=%q err=%v", id, got.Data, err)
		}
	}
}

func TestPublishAllStoresEachAndKnowsDuplicates(t *testing.T) {
	b := bustest.New(t)
	publish(t, b, "r7", "first")
	var events []bus.Event
	for i := range 300 { // more than one batch, one of them with a duplicate
		events = append(events, event(fmt.Sprintf("r%d", i), "second"))
	}
	for i, err := range b.PublishAll(t.Context(), events) {
		if err != nil {
			t.Errorf("event %d: %v", i, err)
		}
	}
	for i := range events {
		want := "second"
		if i == 7 {
			want = "first"
		}
		got, err := b.Get(t.Context(), bus.Subject(bus.TypeFiled, fmt.Sprintf("r%d", i)))
		if err != nil || string(got.Data) != want {
			t.Errorf("event %d: stored=%q err=%v, want %s", i, got.Data, err, want)
		}
	}
}

// A full stream refuses an event with the code that it has for a duplicate.
func TestAFullStreamStoresNothingAndSaysSo(t *testing.T) {
	b, _, stop := open(t, t.TempDir())
	defer stop()
	if err := b.Apply(t.Context(), bus.Settings{Replicas: 1, MaxBytes: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	b.StagesInMemory() // batches of two and more, staged on disk here
	big := strings.Repeat("x", 4<<10)
	stored := 0
	for {
		ack, err := b.Publish(t.Context(), event(fmt.Sprintf("r%d", stored), big))
		if err != nil {
			break
		}
		if ack.Duplicate || stored > 16 {
			t.Fatalf("event %d: ack=%+v, want it stored or refused", stored, ack)
		}
		stored++
	}
	for i, err := range b.PublishAll(t.Context(), []bus.Event{event("a", big), event("r0", big), event("b", big)}) {
		if known := i == 1; known != (err == nil) || !known && fault.KindOf(err) != fault.Unavailable {
			t.Errorf("event %d: err=%v", i, err)
		}
	}
	if ack := publish(t, b, "r0", big); !ack.Duplicate {
		t.Error("what it holds is not known as a duplicate any more")
	}
}

func TestTailShowsTheLastEventsInOrder(t *testing.T) {
	b := bustest.New(t)
	tail := func(last int) (got string) {
		t.Helper()
		err := b.Tail(t.Context(), last, false, func(s bus.Stored) error {
			got += string(s.Data)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := tail(0); got != "" {
		t.Errorf("an empty stream shows %q", got)
	}
	for _, id := range []string{"a", "b", "c"} {
		publish(t, b, id, id)
	}
	if got := tail(2); got != "bc" {
		t.Errorf("last 2=%q, want bc", got)
	}
	if got := tail(0) + tail(9); got != "abcabc" {
		t.Errorf("all=%q, want abc twice", got)
	}
}

// New events would be skipped by a consumer that has handed out more than the
// stream has.
func TestAConsumerIsAheadOfAStreamThatEndsBeforeIt(t *testing.T) {
	h := bus.Health{LastSeq: 50}
	if !(bus.ConsumerHealth{Delivered: 51}).Ahead(h) || (bus.ConsumerHealth{Delivered: 50}).Ahead(h) {
		t.Error("ahead is beyond the last sequence, and only that")
	}
}
