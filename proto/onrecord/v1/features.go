package onrecordv1

// What FeaturesRequest and FeaturesReply are sealed with as associated data.
const (
	PlaceFeatures = "features"
	PlaceAsked    = "words"
	PlaceMade     = "made"
)
