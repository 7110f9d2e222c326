package bus_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/fault"
)

// lagging returns a Bus whose questions by subject are answered by a server that
// has nothing yet, for as long as behind says, and all others by the stream's
// leader.
func lagging(t *testing.T, nc *nats.Conn, behind func() bool) *bus.Bus {
	t.Helper()
	const api = "$JS.API."
	sub, err := nc.Subscribe("lagging.>", func(m *nats.Msg) {
		asked := strings.TrimPrefix(m.Subject, "lagging.")
		answer := &nats.Msg{Header: nats.Header{"Status": {"404"}, "Description": {"Message Not Found"}}}
		if !strings.HasPrefix(asked, "DIRECT.GET.") || !behind() {
			var err error
			if answer, err = nc.Request(api+asked, m.Data, 5*time.Second); err != nil {
				t.Errorf("%s: %v", asked, err)
				return
			}
			inCluster := bytes.Replace(answer.Data, []byte(`"cluster":{`), []byte(`"cluster":{"name":"demo",`), 1)
			answer = &nats.Msg{Header: answer.Header, Data: inCluster}
		}
		if err := m.RespondMsg(answer); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	b, err := bus.NewThrough(nc, "lagging", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What a server that lags does not have yet is not absent: it would be said of
// a report that it was erased, and of a photo that it is lost.
func TestNothingIsAbsentBeforeTheLeaderSaysSo(t *testing.T) {
	b, nc := bustest.NewConn(t)
	publish(t, b, "r1", "words")
	if err := b.PutPhoto(t.Context(), "demo.photo", []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	subject := bus.Subject(bus.TypeFiled, "r1")
	var left atomic.Int32 // how often it has nothing yet
	late := lagging(t, nc, func() bool { return left.Add(-1) >= 0 })
	for _, behind := range []int32{0, 1, 3} {
		left.Store(behind)
		if got, err := late.Get(t.Context(), subject); err != nil || string(got.Data) != "words" {
			t.Errorf("an event, %d times behind: %q %v", behind, got.Data, err)
		}
		left.Store(behind)
		if got, err := late.Photo(t.Context(), "demo.photo"); err != nil || string(got) != "sealed" {
			t.Errorf("a photo, %d times behind: %q %v", behind, got, err)
		}
	}
	left.Store(1 << 30)
	if _, err := late.Get(t.Context(), subject); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("an event that the leader has: %v, want fault.Unavailable", err)
	}
	if _, err := late.Photo(t.Context(), "demo.photo"); err == nil || fault.KindOf(err) == fault.NotFound {
		t.Errorf("a photo that the leader has: %v, want that nobody can tell", err)
	}
	if _, err := late.Get(t.Context(), bus.Subject(bus.TypeFiled, "r2")); fault.KindOf(err) != fault.NotFound {
		t.Errorf("an event that nobody has: %v, want fault.NotFound", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := js.ObjectStore(t.Context(), bus.ObjectsPhotos)
	if err == nil {
		err = objects.Delete(t.Context(), "demo.photo")
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Photo(t.Context(), "demo.photo"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a photo that somebody deleted by hand: %v, want fault.NotFound", err)
	}
	if _, err := late.Photo(t.Context(), "demo.none"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("a photo that nobody has: %v, want fault.NotFound", err)
	}
}
