package projector

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
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
	key, wrapped := keyring.NewDataKey()
	judged := &onrecordv1.Judgement{Value: "unknown", Probabilities: []*onrecordv1.Probability{{Value: "unknown", P: 1}}}
	for subject, env := range map[string]*onrecordv1.Envelope{
		bus.Subject(bus.TypeFiled, id): {Type: bus.TypeFiled, Event: &onrecordv1.Envelope_ReportFiled{ReportFiled: &onrecordv1.ReportFiled{
			ReportId: id, ReceiptHash: make([]byte, 32), Site: "leeds", OccurredAt: timestamppb.New(time.Unix(1, 0)), OccurredPrecision: "exact", Kind: "abuse",
			Channel: "phone", Target: "unknown", Hurt: "no", ContactChoice: "anonymous", Language: "en",
			WrappedKey: wrapped, SealedWords: key.Seal([]byte("\x0a\x05words"), id, "words")}}},
		bus.Subject(bus.TypeClassified, id, "m1"): {Type: bus.TypeClassified, Event: &onrecordv1.Envelope_ReportClassified{ReportClassified: &onrecordv1.ReportClassified{
			ReportId: id, ModelVersion: "m1", Kind: judged, Channel: judged, Target: judged,
			SecondChannel: &onrecordv1.Judgement{Value: "letter"}, Weapon: &onrecordv1.Judgement{Value: "yes"}, Basis: []*onrecordv1.Judgement{{Value: "racist"}}}}},
		bus.Subject(bus.TypeAdded, id, id): {Type: bus.TypeAdded, Event: &onrecordv1.Envelope_ReportAdded{ReportAdded: &onrecordv1.ReportAdded{
			ReportId: id, AdditionId: id, Addition: onrecordv1.Addition_ADDITION_WITHDRAWN}}},
	} {
		env.Time = timestamppb.New(time.Unix(1, 0))
		raw, err := proto.Marshal(env)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := dec.decode(bus.Delivery{Subject: subject, Data: raw}); err != nil {
			f.Fatalf("%s: %v", subject, err) // a seed that is refused tries nothing
		}
		f.Add(subject, raw)
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

func TestWhatTheWordsShowBesidesIsDecoded(t *testing.T) {
	judged := &onrecordv1.Judgement{Value: "unknown", Probabilities: []*onrecordv1.Probability{{Value: "unknown", P: 1}}}
	classified := func() *onrecordv1.ReportClassified {
		return &onrecordv1.ReportClassified{ReportId: "r", ModelVersion: "m2", Kind: judged, Channel: judged, Target: judged}
	}
	older, err := reading(classified(), time.Unix(1, 0))
	if err != nil || older.Weapon.Value != "" || older.Basis != nil {
		t.Errorf("reading=%+v, err=%v; want one of an older model to be read without these", older, err)
	}
	full := classified()
	full.SecondChannel = &onrecordv1.Judgement{Value: "public_online", Probabilities: []*onrecordv1.Probability{{Value: "public_online", P: 0.8}}}
	full.SeriousThreat, full.Weapon = &onrecordv1.Judgement{Value: "yes"}, &onrecordv1.Judgement{Value: "no"}
	full.Basis = []*onrecordv1.Judgement{{Value: "racist"}, {Value: "sex"}}
	r, err := reading(full, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if r.SecondChannel.Value != "public_online" || r.SecondChannel.P["public_online"] != 0.8 || r.SeriousThreat.Value != "yes" ||
		r.Weapon.Value != "no" || len(r.Basis) != 2 || r.Basis[1].Value != "sex" {
		t.Errorf("reading=%+v", r)
	}
	for name, spoil := range map[string]func(*onrecordv1.ReportClassified){
		"second_channel": func(c *onrecordv1.ReportClassified) { c.SecondChannel = &onrecordv1.Judgement{Value: "pigeon"} },
		"serious_threat": func(c *onrecordv1.ReportClassified) { c.SeriousThreat = &onrecordv1.Judgement{Value: "perhaps"} },
		"basis":          func(c *onrecordv1.ReportClassified) { c.Basis = []*onrecordv1.Judgement{{Value: "yes"}} },
	} {
		c := classified()
		spoil(c)
		if _, err := reading(c, time.Unix(1, 0)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("err=%v, want it to name %s", err, name)
		}
	}
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

// What is about a report goes with it, whoever published it.
func TestASubjectNamesItsReport(t *testing.T) {
	id := "01890a5d-ac96-774b-bcce-b302099a8057"
	for subject, want := range map[string]string{
		bus.Subject(bus.TypeFiled, id): id, bus.Subject(bus.TypeClassified, id, "m1"): id, bus.Subject(bus.TypeAdded, id, "a1"): id,
		bus.Subject(bus.TypeCorrected, id, "c1"): id, bus.Subject(bus.TypeCorrected, "r1", "c1"): "", bus.TypeCorrected + ".": "", "other." + id: "",
	} {
		if got := About(subject); got != want {
			t.Errorf("%s is about %q, want %q", subject, got, want)
		}
	}
}
