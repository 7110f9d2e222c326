package bus_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
)

func aReport(n int) string { return fmt.Sprintf("01890a5d-ac96-774b-bcce-%012d", n) }

// fillStream publishes a report and its classification for each number.
func fillStream(t *testing.T, b *bus.Bus, n int) {
	t.Helper()
	for i := range n {
		for _, subject := range []string{bus.Subject(bus.TypeFiled, aReport(i)), bus.Subject(bus.TypeClassified, aReport(i), "m1")} {
			if _, err := b.Publish(t.Context(), bus.Event{Subject: subject, ID: subject, Data: []byte("demo " + subject)}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func places(t *testing.T, b *bus.Bus) (all []bus.Place) {
	t.Helper()
	unreadable, err := b.Walk(t.Context(), 1<<40, func(p bus.Place) error {
		all = append(all, p)
		return nil
	})
	if err != nil || unreadable != 0 {
		t.Fatalf("walk: %v, %d unreadable", err, unreadable)
	}
	return all
}

// Erasing removes what is about one report and nothing else, and is not taken
// for events that cannot be read.
func TestErasingRemovesOneReport(t *testing.T) {
	b := bustest.New(t)
	fillStream(t, b, 5)
	for _, id := range []string{"c1", "c2"} {
		subject := bus.Subject(bus.TypeCorrected, aReport(2), id)
		if _, err := b.Publish(t.Context(), bus.Event{Subject: subject, ID: subject, Data: []byte("demo")}); err != nil {
			t.Fatal(err)
		}
	}
	full := errors.New("not noted")
	if err := b.EraseReport(t.Context(), aReport(2), func(int) error { return full }); !errors.Is(err, full) || len(places(t, b)) != 12 {
		t.Fatalf("erased without a note: %v", err)
	}
	noted := 0
	note := func(n int) error {
		if noted += n; len(places(t, b)) != 12 {
			t.Error("something was erased before it was noted")
		}
		return nil
	}
	if err := b.EraseReport(t.Context(), aReport(2), note); err != nil || noted != 4 {
		t.Fatalf("noted %d (%v), want the report, its classification and two corrections", noted, err)
	}
	if err := b.EraseReport(t.Context(), aReport(2), note); err != nil || noted != 4 {
		t.Errorf("again: %v, %d noted", err, noted)
	}
	left := places(t, b)
	if len(left) != 8 {
		t.Errorf("%d events are left, want 8", len(left))
	}
	copied := 0
	err := b.Copy(t.Context(), left[6].Seq, func(e bus.Stored) error {
		if string(e.Data) != "demo "+e.Subject || e.Seq != left[copied].Seq {
			t.Errorf("copied %+v as number %d", e, copied)
		}
		copied++
		return nil
	})
	if err != nil || copied != 7 {
		t.Errorf("copied %d (%v), want 7", copied, err)
	}
}

// Only what is old enough, within what a backup has, and acknowledged by both
// consumers leaves the stream.
func TestForgettingKeepsWhatIsNotSafeElsewhere(t *testing.T) {
	b, nc := bustest.NewConn(t)
	fillStream(t, b, 4)
	later := time.Now().Add(time.Hour)
	if n, err := b.Forget(t.Context(), 8, later); err != nil || n != 0 {
		t.Fatalf("forgot %d (%v) that nobody has acknowledged", n, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for consumer, n := range map[string]int{bus.ConsumerClassifier: 4, bus.ConsumerReporting: 6} {
		acknowledge(t.Context(), t, js, consumer, n)
	}
	all := places(t, b)
	if n, err := b.Forget(t.Context(), 8, all[2].At); err != nil || n != 2 {
		t.Errorf("forgot %d (%v), want the two that are old enough", n, err)
	}
	if n, err := b.Forget(t.Context(), 4, later); err != nil || n != 2 {
		t.Errorf("forgot %d (%v), want the two more that a backup has", n, err)
	}
	if n, err := b.Forget(t.Context(), 8, later); err != nil || n != 2 {
		t.Errorf("forgot %d (%v), want the two more that reporting has acknowledged", n, err)
	}
	if left := places(t, b); len(left) != 2 || left[0].Seq != 7 {
		t.Errorf("left: %+v", left)
	}
}

func acknowledge(ctx context.Context, t *testing.T, js jetstream.JetStream, consumer string, n int) {
	t.Helper()
	c, err := js.Consumer(ctx, bus.StreamReports, consumer)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		m, err := c.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err == nil {
			err = m.DoubleAck(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
