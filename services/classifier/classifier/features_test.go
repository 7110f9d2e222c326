package classifier

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

func TestFeaturesAreMadeForWhoeverHasTheKey(t *testing.T) {
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	key, wrapped := keys.NewDataKey()
	words := "swore at me down the phone"
	ask := func(place string) []byte {
		asked, err := proto.Marshal(&onrecordv1.FeaturesRequest{WrappedKey: wrapped, SealedWords: key.Seal([]byte(words), place, onrecordv1.PlaceAsked)})
		if err != nil {
			t.Fatal(err)
		}
		return asked
	}
	answer, err := makeFeatures(ask(onrecordv1.PlaceFeatures), keys)
	if err != nil {
		t.Fatal(err)
	}
	var reply onrecordv1.FeaturesReply
	if err := proto.Unmarshal(answer, &reply); err != nil {
		t.Fatal(err)
	}
	made, err := key.Open(reply.GetSealedFeatures(), onrecordv1.PlaceFeatures, onrecordv1.PlaceMade)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := ReadFeatures(made); err != nil || len(c.Features) == 0 || c.Space != Features(words).Space || strings.Contains(string(made), "swore") {
		t.Errorf("made %s: %+v, %v", made, c, err)
	}
	if _, err := ReadFeatures([]byte(`{"space":"another","features":[1]}`)); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("features of another lexicon: %v", err)
	}
	if _, err := ReadFeatures([]byte("damaged")); err == nil || strings.Contains(err.Error(), "damaged") {
		t.Errorf("damaged features: %v", err)
	}
	for name, asked := range map[string][]byte{"nothing": nil, "no protobuf": []byte("\xff"), "another place": ask("other")} {
		if _, err := makeFeatures(asked, keys); err == nil {
			t.Errorf("%s is answered", name)
		}
	}
}

// Whatever is asked gets an answer or an error, and no panic.
func FuzzMakeFeatures(f *testing.F) {
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		f.Fatal(err)
	}
	key, wrapped := keys.NewDataKey()
	asked, err := proto.Marshal(&onrecordv1.FeaturesRequest{WrappedKey: wrapped, SealedWords: key.Seal([]byte("demo"), onrecordv1.PlaceFeatures, onrecordv1.PlaceAsked)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(asked)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, asked []byte) {
		if answer, err := makeFeatures(asked, keys); (err == nil) == (answer == nil) {
			t.Errorf("answer %d bytes, err=%v", len(answer), err)
		}
	})
}

// What was kept is read back or refused, whatever it is.
func FuzzReadFeatures(f *testing.F) {
	made, err := MakeFeatures("swore at me")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(made)
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, kept []byte) {
		if c, err := ReadFeatures(kept); err == nil && (c.Kind != "" || c.Channel != "" || c.Target != "") {
			t.Errorf("labels came with the features: %+v", c)
		}
	})
}
