package bus_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/fault"
)

// What is stored is an object as any client of NATS reads it.
func TestAPhotoIsAnObjectOfTheStore(t *testing.T) {
	b, conn := bustest.NewConn(t)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := js.ObjectStore(t.Context(), bus.ObjectsPhotos)
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"demo.small": 1, "demo.one-chunk": 512 << 10, "demo.three": 1<<20 + 1} {
		sealed := make([]byte, size)
		rand.Read(sealed)
		if err := b.PutPhoto(t.Context(), name, sealed); err != nil {
			t.Fatal(err)
		}
		if got, err := objects.GetBytes(t.Context(), name); err != nil || !bytes.Equal(got, sealed) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if got, err := b.Photo(t.Context(), name); err != nil || !bytes.Equal(got, sealed) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if waiting, err := b.WaitingPhotos(t.Context()); err != nil || len(waiting) != 3 {
		t.Errorf("waiting=%v, %v", waiting, err)
	}
}

// Most photos are one message, which is read by itself: a consumer for each would
// cost more than reading it. Where that is not allowed, as in servers set up for an
// earlier version, or finds something else, it is read as any client does.
func TestAPhotoOfOneMessageIsReadWithoutAConsumer(t *testing.T) {
	everybody := &server.Permissions{}
	earlier := &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{">"}, Deny: []string{"$JS.API.DIRECT.GET.*.$O.*.C.>"}}}
	s := bustest.Start(t, &server.Options{JetStream: true, Users: []*server.User{
		{Username: "now", Password: "demo", Permissions: everybody}, {Username: "earlier", Password: "demo", Permissions: earlier}}})
	connect := func(user string) (*bus.Bus, *nats.Conn) {
		t.Helper()
		nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, "demo"))
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
	b, nc := connect("now")
	if err := b.Apply(t.Context(), bus.Settings{Replicas: 1, MaxBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	consumers, err := nc.SubscribeSync("$JS.API.CONSUMER.CREATE.OBJ_" + bus.ObjectsPhotos + ".>")
	if err != nil {
		t.Fatal(err)
	}
	read := func(by *bus.Bus, name string, want []byte, made int) {
		t.Helper()
		if got, err := by.Photo(t.Context(), name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v, want %d", name, len(got), err, len(want))
		}
		for n := range made { // what was asked before Photo returned has come, or is about to
			if _, err := consumers.NextMsg(20 * time.Second); err != nil {
				t.Errorf("%s: %d consumers, want %d", name, n, made)
			}
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		if n, _, err := consumers.Pending(); err != nil || n > 0 {
			t.Errorf("%s: %d consumers too many, %v", name, n, err)
		}
	}
	one, two := bytes.Repeat([]byte("sealed"), 30<<10), make([]byte, 512<<10+1)
	for name, sealed := range map[string][]byte{"demo.one": one, "demo.two": two} {
		if err := b.PutPhoto(t.Context(), name, sealed); err != nil {
			t.Fatal(err)
		}
	}
	read(b, "demo.one", one, 0)
	read(b, "demo.two", two, 1)
	before, _ := connect("earlier")
	for range 2 {
		read(before, "demo.one", one, 1)
	}
}

// What a description says of a photo's size is taken for no promise: whoever may
// store photos could end the program by it.
func TestAPhotoThatIsSaidToBeOfAnySizeIsRefused(t *testing.T) {
	b, conn := bustest.NewConn(t)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := js.ObjectStore(t.Context(), bus.ObjectsPhotos)
	if err != nil {
		t.Fatal(err)
	}
	info, err := objects.PutBytes(t.Context(), "demo.photo", []byte("sealed"))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []uint64{1, 5, 7, 1 << 40, 1<<64 - 1} {
		info.Size = size
		description, err := json.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		subject := "$O." + bus.ObjectsPhotos + ".M." + base64.URLEncoding.EncodeToString([]byte(info.Name))
		if _, err := js.Publish(t.Context(), subject, description); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Photo(t.Context(), info.Name); fault.KindOf(err) != fault.NotFound {
			t.Errorf("said to be of %d bytes: %q %v, want fault.NotFound", size, got, err)
		}
	}
}

// A photo that there is no room for is named nowhere, and nothing of it is left.
func TestNothingIsLeftOfAPhotoThatIsNotStored(t *testing.T) {
	b, conn := bustest.NewConn(t)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "OBJ_"+bus.ObjectsPhotos)
	if err != nil {
		t.Fatal(err)
	}
	small := stream.CachedInfo().Config
	small.MaxBytes = 800 << 10 // the first of two chunks
	if _, err := js.UpdateStream(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	if err := b.PutPhoto(t.Context(), "demo.large", make([]byte, 1<<20)); fault.KindOf(err) != fault.Unavailable {
		t.Fatalf("a photo that there is no room for: %v", err)
	}
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != 0 || info.State.LastSeq == 0 {
		t.Errorf("left: %d messages of %d, %v", info.State.Msgs, info.State.LastSeq, err)
	}
	if waiting, err := b.WaitingPhotos(t.Context()); err != nil || len(waiting) != 0 {
		t.Errorf("waiting=%v, %v", waiting, err)
	}
}

// Whoever stops waiting when a photo was described leaves it whole, or nothing of
// it: who lists the photos reads them.
func TestNoPhotoIsDescribedOfWhichPartIsGone(t *testing.T) {
	b, conn := bustest.NewConn(t)
	left := 0
	for n := 0; left < 5; n++ { // the server may have answered first
		ctx, cancel := context.WithCancel(t.Context())
		sub, err := conn.Subscribe("$O."+bus.ObjectsPhotos+".M.>", func(*nats.Msg) { cancel() })
		if err != nil {
			t.Fatal(err)
		}
		if b.PutPhoto(ctx, fmt.Sprintf("demo.%d", n), make([]byte, 1<<10)) != nil {
			left++
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	waiting, err := b.WaitingPhotos(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range waiting {
		if _, err := b.Photo(t.Context(), w.Name); err != nil {
			t.Errorf("%s: %v", w.Name, err)
		}
	}
}

// Whoever crashes while a photo is stored leaves what is described nowhere.
func TestWhatIsDescribedNowhereCanBeFoundAndRemoved(t *testing.T) {
	b, conn := bustest.NewConn(t)
	nameless := func(want ...string) {
		t.Helper()
		if got, err := b.NamelessPhotos(t.Context()); err != nil || !slices.Equal(got, want) {
			t.Errorf("nameless %v, %v, want %v", got, err, want)
		}
	}
	nameless()
	if err := b.PutPhoto(t.Context(), "demo.whole", make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	nameless()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"first", "second", "first"} {
		if _, err := js.Publish(t.Context(), "$O."+bus.ObjectsPhotos+".C."+id, []byte("sealed")); err != nil {
			t.Fatal(err)
		}
	}
	nameless("first", "second")
	if err := b.DropNameless(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	nameless("second")
	if _, err := b.Photo(t.Context(), "demo.whole"); err != nil {
		t.Error(err)
	}
}
