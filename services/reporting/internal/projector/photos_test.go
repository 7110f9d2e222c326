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

// What somebody crashed while storing goes at the second look: at the first it may
// be somebody who is storing it.
func TestWhatIsStoredOfAPhotoInPartGoes(t *testing.T) {
	k := projectortest.New(t)
	b, conn := bustest.NewConn(t)
	p := projector.New(k.Config(k.Store, k.Folder, b))
	store := func(id string) {
		t.Helper()
		if _, err := conn.Request("$O."+bus.ObjectsPhotos+".C."+id, []byte("sealed"), 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.PutPhoto(t.Context(), k.NewID()+".whole", []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	var others []string
	look := func(want ...string) {
		t.Helper()
		var err error
		if others, err = p.DropNameless(t.Context(), others); err != nil || !slices.Equal(others, want) {
			t.Errorf("of the next look are %v, %v, want %v", others, err, want)
		}
	}
	look()
	store("crashed")
	look("crashed")
	store("storing")
	look("storing")
	if left, err := b.NamelessPhotos(t.Context()); err != nil || !slices.Equal(left, []string{"storing"}) {
		t.Errorf("left %v, %v", left, err)
	}
	if whole, err := b.WaitingPhotos(t.Context()); err != nil || len(whole) != 1 {
		t.Errorf("whole ones %v, %v", whole, err)
	}
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

// addedPicture puts a photo that is added to a report into the object store, as
// intake does, and returns the event that names it.
func addedPicture(t *testing.T, k *projectortest.Kit, b *bus.Bus, reportID, picture string) bus.Delivery {
	t.Helper()
	d := k.Added(reportID, onrecordv1.Addition_ADDITION_WORDS, "here it is")
	var env onrecordv1.Envelope
	if err := proto.Unmarshal(d.Data, &env); err != nil {
		t.Fatal(err)
	}
	a := env.GetReportAdded()
	key, err := k.Keyring.Unwrap(a.GetWrappedKey())
	if err != nil {
		t.Fatal(err)
	}
	name, sum := reportID+"."+a.GetAdditionId()+".photo", sha256.Sum256([]byte(picture))
	if err := b.PutPhoto(t.Context(), name, key.Seal([]byte(picture), reportID, "photo", name)); err != nil {
		t.Fatal(err)
	}
	a.Photos = []*onrecordv1.Photo{{Object: name, Sha256: sum[:], Size: uint32(len(picture)), Width: 4, Height: 3, ContentType: "image/jpeg"}}
	return k.Deliver(d.Subject, &env)
}

// What is added may arrive before its report, in a batch or by itself, and may
// come back after the report was erased.
func TestPhotosThatAreAddedWaitForTheirReport(t *testing.T) {
	k, b := projectortest.New(t), bustest.New(t)
	now := time.Now()
	cfg := k.Config(k.Store, k.Folder, b)
	cfg.Now = func() time.Time { return now }
	p := projector.New(cfg)
	apply := func(batch ...bus.Delivery) {
		t.Helper()
		for n, err := range p.Handle(t.Context(), batch) {
			if err != nil {
				t.Fatalf("event %d: %v", n, err)
			}
		}
	}
	waiting := func(want int) {
		t.Helper()
		if all, err := b.WaitingPhotos(t.Context()); err != nil || len(all) != want {
			t.Errorf("waiting=%v, %v, want %d", all, err, want)
		}
	}
	held := func(reportID string, want int) {
		t.Helper()
		if photos, err := k.Store.PhotosOfReport(t.Context(), reportID); err != nil || len(photos) != want {
			t.Errorf("held=%v, %v, want %d", photos, err, want)
		}
	}

	r := k.Report("leeds")
	added := addedPicture(t, k, b, r.ID, "added before")
	apply(added)
	waiting(1)
	filed := pictured(t, k, b, r, "with the report")
	apply(filed)
	apply(added) // it is handed out again
	waiting(0)
	held(r.ID, 2)

	together := k.Report("leeds")
	second := addedPicture(t, k, b, together.ID, "another")
	apply(second, k.Filed(together))
	waiting(0)
	held(together.ID, 1)

	// The sweep takes over what an event of the stream names, and nothing else.
	late := k.Report("leeds")
	apply(k.Filed(late))
	third := addedPicture(t, k, b, late.ID, "cut off")
	if _, err := b.Publish(t.Context(), bus.Event{Subject: third.Subject, ID: third.Subject, Data: third.Data}); err != nil {
		t.Fatal(err)
	}
	if err := b.PutPhoto(t.Context(), late.ID+"."+k.NewID()+".nobody", []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	now = now.Add(25 * time.Hour)
	if err := p.DropOrphans(t.Context()); err != nil {
		t.Fatal(err)
	}
	waiting(0)
	held(late.ID, 1)

	gone := k.NewID()
	if err := projector.Bury(t.Context(), k.Store, projector.Tombstone(k.Keyring, gone)); err != nil {
		t.Fatal(err)
	}
	apply(addedPicture(t, k, b, gone, "of an erased report"))
	waiting(0)
	held(gone, 0)

	// No photo of another report can be named.
	foreign := addedPicture(t, k, b, r.ID, "demo")
	var env onrecordv1.Envelope
	if err := proto.Unmarshal(foreign.Data, &env); err != nil {
		t.Fatal(err)
	}
	env.GetReportAdded().Photos[0].Object = late.ID + ".photo"
	if err := p.Handle(t.Context(), []bus.Delivery{k.Deliver(foreign.Subject, &env)})[0]; err == nil {
		t.Error("an addition took a photo of another report")
	}
}
