package filing

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

// Event returns the report.filed event of a valid filing, its words sealed
// under a data key made for it. digest is Digest's, taken before the clock was
// corrected. knownEmployer returns the directory's spelling of an employer, or
// "": any other employer stays among the sealed words.
func (f *Filing) Event(keys *seal.Keyring, digest []byte, knownEmployer func(string) string) (*onrecordv1.ReportFiled, error) {
	employer := knownEmployer(f.Employer)
	e := &onrecordv1.ReportFiled{
		ReportId:          f.ID,
		ReceiptHash:       f.Receipt.Hash(keys),
		Digest:            digest,
		TaxonomyVersion:   incident.TaxonomyVersion,
		Site:              f.Site,
		OccurredAt:        timestamppb.New(f.OccurredAt),
		OccurredPrecision: string(f.Precision),
		PressedAt:         optional(f.PressedAt),
		Kind:              string(f.Kind),
		Channel:           string(f.Channel),
		Target:            string(f.Target),
		Hurt:              string(f.Hurt),
		PeopleAffected:    uint32(f.PeopleAffected), // Validate bounds both
		Employer:          employer,
		ContactChoice:     string(f.Contact.Choice),
		FiledFor:          string(f.Details.FiledFor),
		Control:           string(f.Details.Control),
		ManagerTold:       string(f.Details.Told),
		Exposure:          string(f.Details.Exposure),
		ExposureCloseness: string(f.Details.Closeness),
		Language:          f.Language,
		FormVersion:       f.FormVersion,
	}
	if f.DaysUnable != nil {
		e.DaysUnable = proto.Uint32(uint32(*f.DaysUnable))
	}
	words := &onrecordv1.ReportWords{Narrative: f.Narrative, SiteName: f.SiteName, ContactName: f.Contact.Name, ContactDetails: f.Contact.Details}
	if employer == "" {
		words.Employer = f.Employer
	}
	plain, err := proto.Marshal(words)
	if err != nil {
		return nil, fmt.Errorf("words of a report: %w", err)
	}
	if len(plain) > 0 {
		key, wrapped := keys.NewDataKey()
		e.WrappedKey, e.SealedWords = wrapped, key.Seal(plain, f.ID, "words")
	}
	return e, nil
}

func optional(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
