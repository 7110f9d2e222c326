package projector

import (
	"bytes"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
)

// Whatever the stream hands out, decoding answers the same twice, never
// panics, and lets through only what every later step can keep.
func FuzzDecode(f *testing.F) {
	keyring, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		f.Fatal(err)
	}
	dec := decoder{keyring}
	id := "01890a5d-ac96-774b-bcce-b302099a8057"
	for _, subject := range []string{bus.Subject(bus.TypeFiled, id), bus.Subject(bus.TypeClassified, id, "m1"), bus.Subject(bus.TypeAdded, id, id)} {
		f.Add(subject, []byte{})
		f.Add(subject, []byte("\x0a\x18onrecord.v1.report.filed"))
	}
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		d := bus.Delivery{Subject: subject, Data: data, At: time.Unix(1, 0)}
		ev, err := dec.decode(d)
		if _, again := dec.decode(d); (err == nil) != (again == nil) {
			t.Fatalf("decoded once with %v and then with %v", err, again)
		}
		if err != nil {
			return
		}
		if !incident.IsReportID(ev.reportID) {
			t.Fatalf("reportID=%q", ev.reportID)
		}
		if ev.filed == nil && ev.reading == nil && ev.added == nil {
			t.Fatal("an event of nothing")
		}
	})
}

func TestIncidentIDsRevealNothingAndStay(t *testing.T) {
	keyring, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	ids := newIdentities(keyring)
	id, ref := ids.of("01890a5d-ac96-774b-bcce-b302099a8057")
	again, _ := ids.of("01890a5d-ac96-774b-bcce-b302099a8057")
	other, _ := ids.of("01890a5d-ac96-774b-bcce-b302099a8058")
	if id != again || id == other {
		t.Errorf("%s, %s, %s: want the first two alike and the third different", id, again, other)
	}
	// Changing how ids are made would open every incident again: this pins it.
	if id != "18d91382-1698-8c69-9041-ad3ec25eeba6" || ref != "33CH-70GP" {
		t.Errorf("id=%s ref=%s", id, ref)
	}
}
