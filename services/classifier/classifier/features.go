package classifier

import (
	"context"
	"errors"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

// answerFeatures makes features of words for reporting, which keeps them with
// what a rep decided, until ctx is done. A question that cannot be read gets no
// answer.
func (s *Service) answerFeatures(ctx context.Context) error {
	return s.Bus.Answer(ctx, bus.SubjectModelFeatures, bus.ConsumerClassifier, func(_ context.Context, asked []byte) []byte {
		answer, err := makeFeatures(asked, s.Keyring)
		if err != nil {
			s.Log.Warn("features of words could not be made", "error", err)
			return nil
		}
		return answer
	})
}

// makeFeatures answers a FeaturesRequest. Its errors quote nothing of it.
func makeFeatures(asked []byte, keys *seal.Keyring) ([]byte, error) {
	var request onrecordv1.FeaturesRequest
	if err := proto.Unmarshal(asked, &request); err != nil {
		return nil, errors.New("not a question for features")
	}
	key, err := keys.Unwrap(request.GetWrappedKey())
	if err != nil {
		return nil, err
	}
	words, err := key.Open(request.GetSealedWords(), onrecordv1.PlaceFeatures, onrecordv1.PlaceAsked)
	if err != nil {
		return nil, err
	}
	features, err := MakeFeatures(string(words))
	if err != nil {
		return nil, err
	}
	return proto.Marshal(&onrecordv1.FeaturesReply{SealedFeatures: key.Seal(features, onrecordv1.PlaceFeatures, onrecordv1.PlaceMade)})
}
