package projector_test

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/projector"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
)

// pictured puts a photo of a report into the object store, as intake does, and
// returns the event that names it.
func pictured(t *testing.T, k *projectortest.Kit, b *bus.Bus, r incident.Report, picture string) bus.Delivery {
	t.Helper()
	d := k.Filed(r)
	var env onrecordv1.Envelope
	if err := proto.Unmarshal(d.Data, &env); err != nil {
		t.Fatal(err)
	}
	f := env.GetReportFiled()
	key, err := k.Keyring.Unwrap(f.GetWrappedKey())
	if err != nil {
		t.Fatal(err)
	}
	name, sum := r.ID+".photo", sha256.Sum256([]byte(picture))
	if err := b.PutPhoto(t.Context(), name, key.Seal([]byte(picture), r.ID, "photo", name)); err != nil {
		t.Fatal(err)
	}
	f.Photos = []*onrecordv1.Photo{{Object: name, Sha256: sum[:], Size: uint32(len(picture)), Width: 4, Height: 3, ContentType: "image/jpeg"}}
	return k.Deliver(d.Subject, &env)
}

// A photo is taken over once, whatever is repeated; what no report names goes
// after a day, and what one names stays until it has been taken over.
func TestPhotosAreTakenOverAndOrphansGo(t *testing.T) {
	k, b := projectortest.New(t), bustest.New(t)
	now := time.Now()
	cfg := k.Config(k.Store, k.Folder, b)
	cfg.Now = func() time.Time { return now }
	p := projector.New(cfg)
	r := k.Report("leeds")
	filed := pictured(t, k, b, r, "demo picture")
	if _, err := b.Publish(t.Context(), bus.Event{Subject: filed.Subject, ID: filed.Subject, Data: filed.Data}); err != nil {
		t.Fatal(err)
	}
	for _, orphan := range []string{r.ID + ".attempt-that-failed", k.NewID() + ".nobody"} {
		if err := b.PutPhoto(t.Context(), orphan, []byte("sealed")); err != nil {
			t.Fatal(err)
		}
	}
	waiting := func(want ...string) {
		t.Helper()
		all, err := b.WaitingPhotos(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range all {
			got = append(got, w.Name)
		}
		if len(got) != len(want) || len(want) > 0 && !slices.Contains(got, want[0]) {
			t.Errorf("waiting %v, want %v", got, want)
		}
	}
	sweep := func() {
		t.Helper()
		if err := p.DropOrphans(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	waiting(r.ID+".photo", "young", "young")
	now = now.Add(25 * time.Hour)
	sweep()
	waiting(r.ID + ".photo") // the stream holds its report, which is still to be applied

	for range 2 { // it is handed out again
		if err := p.Handle(t.Context(), []bus.Delivery{filed})[0]; err != nil {
			t.Fatal(err)
		}
	}
	waiting()
	i := k.Incident(r.ID)
	photos, err := k.Store.PhotosOfIncident(t.Context(), i.ID)
	if err != nil || len(photos) != 1 || photos[0].Width != 4 || photos[0].Size != len("demo picture") {
		t.Fatalf("photos=%v, %v", photos, err)
	}
	whole, err := k.Store.Photo(t.Context(), photos[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	key, err := k.Keyring.Unwrap(i.WrappedKey)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := key.Open(whole.Sealed, i.ID, "photo", whole.ID); err != nil || string(plain) != "demo picture" {
		t.Errorf("opened %q, %v", plain, err)
	}

	// A photo that is gone from both holds nothing up.
	lost := pictured(t, k, b, k.Report("leeds"), "another")
	all, err := b.WaitingPhotos(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("waiting=%v, %v", all, err)
	}
	if err := b.DropPhoto(t.Context(), all[0].Name); err != nil {
		t.Fatal(err)
	}
	if err := p.Handle(t.Context(), []bus.Delivery{lost})[0]; err != nil {
		t.Errorf("a lost photo: %v", err)
	}
}
