package onrecordv1

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestFirstCopyTellsNothingButTimeAndDigest(t *testing.T) {
	at := timestamppb.Now()
	for name, c := range map[string]struct{ event, want *Envelope }{
		"filed": {
			&Envelope{Id: "i", Time: at, Producer: "p", Event: &Envelope_ReportFiled{ReportFiled: &ReportFiled{ReportId: "r", Digest: []byte("d"), WrappedKey: []byte("k"), SealedWords: []byte("w")}}},
			&Envelope{Id: "i", Time: at, Event: &Envelope_ReportFiled{ReportFiled: &ReportFiled{Digest: []byte("d")}}},
		},
		"added": {
			&Envelope{Id: "i", Time: at, Event: &Envelope_ReportAdded{ReportAdded: &ReportAdded{ReportId: "r", Digest: []byte("d"), SealedWords: []byte("w")}}},
			&Envelope{Id: "i", Time: at, Event: &Envelope_ReportAdded{ReportAdded: &ReportAdded{Digest: []byte("d")}}},
		},
	} {
		raw, err := proto.Marshal(c.event)
		if err != nil {
			t.Fatal(err)
		}
		told, err := FirstCopy(raw)
		var got Envelope
		if err != nil || proto.Unmarshal(told, &got) != nil || !proto.Equal(&got, c.want) {
			t.Errorf("%s: told %v %v, want %v", name, &got, err, c.want)
		}
	}
	if told, err := FirstCopy(nil); err == nil {
		t.Errorf("of nothing it tells %q", told)
	}
}

func FuzzFirstCopy(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, event []byte) {
		if told, err := FirstCopy(event); err == nil && len(told) == 0 {
			t.Error("neither an answer nor an error")
		}
	})
}
