package onrecordv1_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

var write = flag.Bool("write-golden", false, "write golden files that are missing; never changes one that exists")

func at(s string) *timestamppb.Timestamp {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return timestamppb.New(t)
}

// messages are one fully filled example of everything on the wire. Once
// written, a golden file stands for bytes that exist on somebody's disk: it is
// never edited, and a new form of a message gets a new example.
var messages = map[string]proto.Message{
	"filed": &onrecordv1.Envelope{
		Type: "onrecord.v1.report.filed", Id: "01890a5d-ac96-774b-bcce-b302099a8057.filed",
		Time: at("2026-11-21T12:00:00Z"), Producer: "intake/1.0.0", Trace: "7f1c9a",
		Event: &onrecordv1.Envelope_ReportFiled{ReportFiled: &onrecordv1.ReportFiled{
			ReportId: "01890a5d-ac96-774b-bcce-b302099a8057", ReceiptHash: []byte{1, 2, 3}, Digest: []byte{4, 5, 6}, TaxonomyVersion: "1",
			Site: "demo-north", OccurredAt: at("2026-11-21T11:00:00Z"), OccurredPrecision: "exact", PressedAt: at("2026-11-21T11:00:00Z"),
			Kind: "abuse", Channel: "in_person", Target: "named_person", Hurt: "no", DaysUnable: proto.Uint32(0), PeopleAffected: 2,
			Employer: "Demo Employer", ContactChoice: "rep_only", Language: "en", FormVersion: "1",
			WrappedKey: []byte{7, 8}, SealedWords: []byte{9, 10}}},
	},
	"filed_details": &onrecordv1.Envelope{
		Type: "onrecord.v1.report.filed", Id: "01890a5d-ac96-774b-bcce-b302099a8059.filed",
		Time: at("2026-11-27T12:00:00Z"), Producer: "intake/1.1.0", Trace: "7f1c9b",
		Event: &onrecordv1.Envelope_ReportFiled{ReportFiled: &onrecordv1.ReportFiled{
			ReportId: "01890a5d-ac96-774b-bcce-b302099a8059", ReceiptHash: []byte{1, 2, 3}, Digest: []byte{4, 5, 6}, TaxonomyVersion: "1",
			Site: "demo-north", OccurredAt: at("2026-11-27T11:00:00Z"), OccurredPrecision: "exact",
			Kind: "missing_control", Channel: "unknown", Target: "unknown", Hurt: "unknown", ContactChoice: "anonymous", Language: "cy", FormVersion: "report/2",
			FiledFor: "colleague", Control: "screen", ManagerTold: "yes", Exposure: "symptoms", ExposureCloseness: "close_long",
			WrappedKey: []byte{7, 8}, SealedWords: []byte{9, 10}}},
	},
	"filed_photos": &onrecordv1.Envelope{
		Type: "onrecord.v1.report.filed", Id: "01890a5d-ac96-774b-bcce-b302099a8061.filed",
		Time: at("2026-11-27T12:00:00Z"), Producer: "intake/1.2.0", Trace: "7f1c9d",
		Event: &onrecordv1.Envelope_ReportFiled{ReportFiled: &onrecordv1.ReportFiled{
			ReportId: "01890a5d-ac96-774b-bcce-b302099a8061", ReceiptHash: []byte{1, 2, 3}, Digest: []byte{4, 5, 6}, TaxonomyVersion: "1",
			Site: "demo-north", OccurredAt: at("2026-11-27T11:00:00Z"), OccurredPrecision: "exact", Kind: "abuse", ContactChoice: "anonymous",
			WrappedKey: []byte{7, 8}, Photos: []*onrecordv1.Photo{{Object: "o1", Sha256: []byte{9}, Size: 200_000, Width: 1600, Height: 1200, ContentType: "image/jpeg",
				Original: &onrecordv1.Photo{Object: "o2", Sha256: []byte{10}, Size: 3_000_000, Width: 4032, Height: 3024, ContentType: "image/png"}}}}},
	},
	"classified": &onrecordv1.Envelope{
		Type: "onrecord.v1.report.classified", Id: "01890a5d-ac96-774b-bcce-b302099a8057.classified.lexicon-1",
		Time: at("2026-11-21T12:00:01Z"), Producer: "classifier/1.0.0", Trace: "7f1c9a",
		Event: &onrecordv1.Envelope_ReportClassified{ReportClassified: &onrecordv1.ReportClassified{
			ReportId: "01890a5d-ac96-774b-bcce-b302099a8057", ModelVersion: "lexicon-1", TaxonomyVersion: "1", Review: true,
			Kind:    judgement("abuse"),
			Channel: judgement("in_person"),
			Target:  judgement("named_person")}},
	},
	"classified_besides": &onrecordv1.Envelope{
		Type: "onrecord.v1.report.classified", Id: "01890a5d-ac96-774b-bcce-b302099a8057.classified.words-2",
		Time: at("2026-11-27T12:00:01Z"), Producer: "classifier/1.1.0", Trace: "7f1c9a",
		Event: &onrecordv1.Envelope_ReportClassified{ReportClassified: &onrecordv1.ReportClassified{
			ReportId: "01890a5d-ac96-774b-bcce-b302099a8057", ModelVersion: "words-2", TaxonomyVersion: "1", Review: true,
			Kind:          judgement("threat"),
			Channel:       judgement("in_person"),
			Target:        judgement("named_person"),
			SecondChannel: judgement("public_online"),
			SeriousThreat: judgement("yes"),
			Weapon:        judgement("no"),
			Basis:         []*onrecordv1.Judgement{judgement("racist"), judgement("sex")}}},
	},
	"classified_sampled": &onrecordv1.Envelope{
		Type: "onrecord.v1.report.classified", Id: "01890a5d-ac96-774b-bcce-b302099a8057.classified.words-3",
		Time: at("2026-11-27T12:00:01Z"), Producer: "classifier/1.2.0", Trace: "7f1c9a",
		Event: &onrecordv1.Envelope_ReportClassified{ReportClassified: &onrecordv1.ReportClassified{
			ReportId: "01890a5d-ac96-774b-bcce-b302099a8057", ModelVersion: "words-3", TaxonomyVersion: "1", Review: true, Sampled: true,
			Kind:    judgement("abuse"),
			Channel: judgement("in_person"),
			Target:  judgement("named_person")}},
	},
	"added": &onrecordv1.Envelope{
		Type: "onrecord.v1.report.added", Id: "01890a5d-ac96-774b-bcce-b302099a8057.added.01890a5d-ac96-774b-bcce-b302099a8058",
		Time: at("2026-11-21T12:00:02Z"), Producer: "intake/1.0.0", Trace: "7f1c9a",
		Event: &onrecordv1.Envelope_ReportAdded{ReportAdded: &onrecordv1.ReportAdded{
			ReportId: "01890a5d-ac96-774b-bcce-b302099a8057", AdditionId: "01890a5d-ac96-774b-bcce-b302099a8058",
			Addition: onrecordv1.Addition_ADDITION_NOTHING_HAPPENED, WrappedKey: []byte{1}, SealedWords: []byte{2}}},
	},
	"added_contact": &onrecordv1.Envelope{
		Type: "onrecord.v1.report.added", Id: "01890a5d-ac96-774b-bcce-b302099a8057.added.01890a5d-ac96-774b-bcce-b302099a8060",
		Time: at("2026-11-27T12:00:02Z"), Producer: "intake/1.2.0", Trace: "7f1c9c",
		Event: &onrecordv1.Envelope_ReportAdded{ReportAdded: &onrecordv1.ReportAdded{
			ReportId: "01890a5d-ac96-774b-bcce-b302099a8057", AdditionId: "01890a5d-ac96-774b-bcce-b302099a8060", Digest: []byte{4, 5, 6},
			Addition: onrecordv1.Addition_ADDITION_CONTACT, ContactChoice: "may_be_named", WrappedKey: []byte{1}, SealedWords: []byte{2}}},
	},
	"added_photos": &onrecordv1.Envelope{
		Type: "onrecord.v1.report.added", Id: "01890a5d-ac96-774b-bcce-b302099a8057.added.01890a5d-ac96-774b-bcce-b302099a8062",
		Time: at("2026-11-27T12:00:03Z"), Producer: "intake/1.2.0", Trace: "7f1c9e",
		Event: &onrecordv1.Envelope_ReportAdded{ReportAdded: &onrecordv1.ReportAdded{
			ReportId: "01890a5d-ac96-774b-bcce-b302099a8057", AdditionId: "01890a5d-ac96-774b-bcce-b302099a8062", Digest: []byte{4, 5, 6},
			Addition: onrecordv1.Addition_ADDITION_WORDS, WrappedKey: []byte{1},
			Photos: []*onrecordv1.Photo{{Object: "o3", Sha256: []byte{9}, Size: 200_000, Width: 1600, Height: 1200, ContentType: "image/jpeg"}}}},
	},
	"follow_up_photos": &onrecordv1.FollowUpReply{Found: true, ReportId: "01890a5d-ac96-774b-bcce-b302099a8057", Status: "new", Photos: 2},
	"corrected": &onrecordv1.Envelope{
		Type: "onrecord.v1.report.corrected", Id: "01890a5d-ac96-774b-bcce-b302099a8057.corrected.00112233445566778899aabbccddeeff",
		Time: at("2026-11-27T12:00:03Z"), Producer: "reporting/1.3.0", Trace: "7f1c9e",
		Event: &onrecordv1.Envelope_ReportCorrected{ReportCorrected: &onrecordv1.ReportCorrected{
			ReportId: "01890a5d-ac96-774b-bcce-b302099a8057", CorrectionId: "00112233445566778899aabbccddeeff", TaxonomyVersion: "1",
			Field: "channel", From: "public_online", To: "in_person"}},
	},
	"features_request":    &onrecordv1.FeaturesRequest{WrappedKey: []byte{7, 8}, SealedWords: []byte{9, 10}},
	"features_reply":      &onrecordv1.FeaturesReply{SealedFeatures: []byte{9, 11}},
	"added_contact_words": &onrecordv1.AddedWords{Text: "t", ContactName: "c", ContactDetails: "d"},
	"follow_up_messages": &onrecordv1.FollowUpReply{Found: true, ReportId: "01890a5d-ac96-774b-bcce-b302099a8057", Status: "waiting_for_reporter", Read: true,
		ContactChoice: "anonymous", WrappedKey: []byte{7, 8}, Messages: []*onrecordv1.FollowUpMessage{
			{At: at("2026-11-27T12:00:00Z"), From: "rep", What: "question", SealedText: []byte{9, 10}},
			{At: at("2026-11-27T12:00:02Z"), From: "reporter", What: "answer", AdditionId: "01890a5d-ac96-774b-bcce-b302099a8060", SealedText: []byte{9, 11}}}},
	"words":                &onrecordv1.ReportWords{Narrative: "n", SiteName: "s", Employer: "e", ContactName: "c", ContactDetails: "d"},
	"added_words":          &onrecordv1.AddedWords{Text: "t"},
	"follow_up":            &onrecordv1.FollowUpRequest{ReceiptHash: []byte{1, 2, 3}},
	"follow_up_reply":      &onrecordv1.FollowUpReply{Found: true, ReportId: "01890a5d-ac96-774b-bcce-b302099a8057", Status: "new", ReceivedAt: at("2026-11-21T12:00:00Z"), ChangedAt: at("2026-11-21T13:00:00Z"), Steps: []*onrecordv1.FollowUpStep{{At: at("2026-11-21T13:00:00Z"), Status: "acknowledged"}}},
	"site_directory_codes": &onrecordv1.SiteDirectory{Sites: []*onrecordv1.Site{{Id: "demo-north", Name: "Demo North", CodeGeneration: 3}}},
	"site_directory":       &onrecordv1.SiteDirectory{Sites: []*onrecordv1.Site{{Id: "demo-north", Name: "Demo North", Kind: "jobcentre", Postcode: "LS1 1AA", Region: "Yorkshire", Employer: "Demo Employer", Staff: 40}}},
}

func judgement(value string) *onrecordv1.Judgement {
	return &onrecordv1.Judgement{Value: value,
		Probabilities: []*onrecordv1.Probability{{Value: value, P: 0.75}, {Value: "unknown", P: 0.25}},
		Reasons:       []*onrecordv1.Reason{{Start: 3, End: 9, Class: "place", For: value, Weight: 1.5}}}
}

// Bytes that an earlier version wrote must be read, and written again the same.
func TestGoldenBytes(t *testing.T) {
	for name, want := range messages {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join("testdata", name+".hex")
			b, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); *write && os.IsNotExist(err) {
				if err := os.WriteFile(path, []byte(hex.EncodeToString(b)+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v: run go test -write-golden once", err)
			}
			golden, err := hex.DecodeString(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, golden) {
				t.Errorf("bytes=%x, want %x", b, golden)
			}
			got := want.ProtoReflect().New().Interface()
			if err := proto.Unmarshal(golden, got); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(got, want) {
				t.Errorf("read back %v, want %v", protojson.Format(got), protojson.Format(want))
			}
		})
	}
}

// Every message of the contract needs an example above.
func TestEveryEventHasAGolden(t *testing.T) {
	events := (&onrecordv1.Envelope{}).ProtoReflect().Descriptor().Oneofs().ByName("event").Fields()
	for i := range events.Len() {
		name := string(events.Get(i).Name())
		if _, ok := messages[strings.TrimPrefix(name, "report_")]; !ok {
			t.Errorf("event %s has no golden", name)
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	for _, m := range messages {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e onrecordv1.Envelope
		if proto.Unmarshal(b, &e) != nil {
			return
		}
		again, err := proto.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		var same onrecordv1.Envelope
		if err := proto.Unmarshal(again, &same); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
