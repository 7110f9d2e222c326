package bus_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/run/runtest"
)

var reportingNeeds = bus.Need{Consumer: bus.ConsumerReporting, Buckets: []string{bus.BucketDirectory, bus.BucketLeases}, Photos: true}

func lines(changes []bus.Change) string {
	var all []string
	for _, c := range changes {
		all = append(all, c.String())
	}
	return strings.Join(all, "\n")
}

func TestPlanSaysWhatApplyDoesAndChangesNothing(t *testing.T) {
	nc := bustest.Dial(t, bustest.Listen(t))
	b, err := bus.New(nc, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	plan := func() string {
		t.Helper()
		changes, err := b.Plan(t.Context(), settings)
		if err != nil {
			t.Fatal(err)
		}
		return lines(changes)
	}
	want := `stream REPORTS is created
consumer classifier is created
consumer reporting is created
bucket onrecord_directory is created
bucket onrecord_leases is created
bucket onrecord_follow_ups is created
bucket onrecord_sign_ins is created`
	for range 2 {
		if got := plan(); !strings.HasPrefix(got, want) {
			t.Fatalf("on an empty server:\n%s\nwant:\n%s", got, want)
		}
	}
	if err := b.Apply(t.Context(), bus.Settings{MaxBytes: 1 << 60}); err == nil || !strings.Contains(err.Error(), "stream REPORTS: fewer servers") || !strings.Contains(err.Error(), "max_file_store") {
		t.Errorf("more than the server has room for: %v, want that said", err)
	}
	if err := b.Apply(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	if got := plan(); got != "" {
		t.Fatalf("after it was applied: %s", got)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), bus.StreamReports)
	if err != nil {
		t.Fatal(err)
	}
	other := stream.CachedInfo().Config
	other.MaxBytes, other.Duplicates = 1<<20, time.Hour
	if _, err := js.UpdateStream(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.Consumer(t.Context(), bus.ConsumerClassifier)
	if err != nil {
		t.Fatal(err)
	}
	slow := consumer.CachedInfo().Config
	slow.AckWait = time.Minute
	if _, err := stream.UpdateConsumer(t.Context(), slow); err != nil {
		t.Fatal(err)
	}
	want = `stream REPORTS is changed: max_bytes 1048576 → 268435456; duplicate_window 1h0m0s → 2m0s;
consumer classifier is changed: ack_wait 1m0s → 30s;`
	if got := plan(); got != want {
		t.Errorf("after somebody changed it:\n%s\nwant:\n%s", got, want)
	}
	if err := b.Apply(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	if got := plan(); got != "" {
		t.Errorf("after it was applied again: %s", got)
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	nc := bustest.Dial(t, bustest.Listen(t))
	b, err := bus.New(nc, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	check := func(want string) {
		t.Helper()
		err := b.Check(t.Context(), reportingNeeds)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("err=%v, want %q", err, want)
		}
	}
	check("stream REPORTS: it does not exist")
	if err := b.Apply(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	check("")
	b.SetClock(func() time.Time { return time.Now().Add(-time.Minute) })
	check("clocks apart: the clock of NATS is 1m0s ahead of this machine’s")
	b.SetClock(func() time.Time { return time.Now().Add(40 * time.Second) })
	check("clocks apart: the clock of NATS is 40s behind this machine’s")
	b.SetClock(time.Now)
	if err := js.DeleteObjectStore(t.Context(), bus.ObjectsPhotos); err != nil {
		t.Fatal(err)
	}
	check("object store onrecord_photos: it does not exist")
	if err := js.DeleteKeyValue(t.Context(), bus.BucketLeases); err != nil {
		t.Fatal(err)
	}
	check("bucket onrecord_leases: it does not exist")
	if err := js.DeleteConsumer(t.Context(), bus.StreamReports, bus.ConsumerReporting); err != nil {
		t.Fatal(err)
	}
	check("consumer reporting: it does not exist")
	s, err := js.Stream(t.Context(), bus.StreamReports)
	if err != nil {
		t.Fatal(err)
	}
	other := s.CachedInfo().Config
	other.MaxAge = 48 * time.Hour
	if _, err := js.UpdateStream(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	check("other settings than this version needs: max_age is 48h0m0s, want 0s")
	nc.Close()
	check("NATS: not connected")
}

func TestAwaitSaysWhatItWaitsFor(t *testing.T) {
	nc := bustest.Dial(t, bustest.Listen(t))
	var log runtest.Output
	b, err := bus.New(nc, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	awaited := make(chan error, 1)
	go func() { awaited <- b.Await(ctx, reportingNeeds) }()
	for !strings.Contains(log.String(), "onrecord admin streams apply") {
		select {
		case err := <-awaited:
			t.Fatalf("it did not wait: %v", err)
		case <-ctx.Done():
			t.Fatalf("it does not say what it waits for: %s", log.String())
		case <-time.After(time.Millisecond):
		}
	}
	if err := b.Apply(ctx, settings); err != nil {
		t.Fatal(err)
	}
	if err := <-awaited; err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := b.Await(ctx, bus.Need{Buckets: []string{"other"}}); err == nil {
		t.Error("it returned without the bucket")
	}
}
