package classifier

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

// placeWords is the last part of the place in which a filed report's words are
// sealed; the first is the report's id.
const placeWords = "words"

// filed is what the service needs of a filed report.
type filed struct {
	reportID, trace string
	input           Input
}

// openFiled decodes a report.filed delivery and opens its words. Its errors
// are the message's own fault and quote nothing of it.
func openFiled(d bus.Delivery, keys *seal.Keyring) (filed, error) {
	var envelope onrecordv1.Envelope
	if err := proto.Unmarshal(d.Data, &envelope); err != nil {
		return filed{}, errors.New("not an envelope")
	}
	report := envelope.GetReportFiled()
	switch {
	case envelope.Type != bus.TypeFiled || report == nil:
		return filed{}, errors.New("not a filed report")
	case !incident.IsReportID(report.ReportId):
		return filed{}, errors.New("the report id is no UUID version 7")
	case d.Subject != bus.Subject(bus.TypeFiled, report.ReportId):
		return filed{}, errors.New("the report id is not that of the subject")
	}
	words, err := openWords(report, keys)
	if err != nil {
		return filed{}, err
	}
	return filed{
		reportID: report.ReportId,
		trace:    envelope.Trace,
		input: Input{
			Narrative: words.Narrative,
			Kind:      incident.Kind(report.Kind),
			Channel:   incident.Channel(report.Channel),
			Target:    incident.Target(report.Target),
		},
	}, nil
}

// openWords returns the words of a report; empty ones when it has none.
func openWords(report *onrecordv1.ReportFiled, keys *seal.Keyring) (*onrecordv1.ReportWords, error) {
	words := new(onrecordv1.ReportWords)
	if len(report.SealedWords) == 0 {
		return words, nil
	}
	key, err := keys.Unwrap(report.WrappedKey)
	if err != nil {
		return nil, fmt.Errorf("data key: %w", err)
	}
	plain, err := key.Open(report.SealedWords, report.ReportId, placeWords)
	if err != nil {
		return nil, fmt.Errorf("words: %w", err)
	}
	if err := proto.Unmarshal(plain, words); err != nil {
		return nil, errors.New("the words are not as intake writes them")
	}
	return words, nil
}

// classifiedEvent encodes a reading as the one report.classified event of its
// report and model.
func classifiedEvent(r incident.Reading, trace, producer string) (bus.Event, error) {
	id := r.ReportID + ".classified." + r.Model
	data, err := proto.Marshal(&onrecordv1.Envelope{
		Type:     bus.TypeClassified,
		Id:       id,
		Time:     timestamppb.New(r.At),
		Producer: producer,
		Trace:    trace,
		Event: &onrecordv1.Envelope_ReportClassified{ReportClassified: &onrecordv1.ReportClassified{
			ReportId:        r.ReportID,
			ModelVersion:    r.Model,
			TaxonomyVersion: incident.TaxonomyVersion,
			Kind:            judgementToWire(r.Kind),
			Channel:         judgementToWire(r.Channel),
			Target:          judgementToWire(r.Target),
			Review:          r.Review,
			Sampled:         r.Sampled,
			SecondChannel:   judgementToWire(r.SecondChannel),
			SeriousThreat:   judgementToWire(r.SeriousThreat),
			Weapon:          judgementToWire(r.Weapon),
			Basis:           basisToWire(r.Basis),
		}},
	})
	if err != nil {
		return bus.Event{}, fmt.Errorf("encode classification: %w", err)
	}
	return bus.Event{Subject: bus.Subject(bus.TypeClassified, r.ReportID, r.Model), ID: id, Data: data}, nil
}

func basisToWire(basis []incident.Judgement) []*onrecordv1.Judgement {
	var out []*onrecordv1.Judgement
	for _, j := range basis {
		out = append(out, judgementToWire(j))
	}
	return out
}

// judgementToWire keeps the order of values fixed, so that the same reading is
// always the same bytes. A judgement that was not made is not sent.
func judgementToWire(j incident.Judgement) *onrecordv1.Judgement {
	if j.Value == "" && len(j.P) == 0 {
		return nil
	}
	out := &onrecordv1.Judgement{Value: j.Value}
	values := make([]string, 0, len(j.P))
	for v := range j.P {
		values = append(values, v)
	}
	slices.Sort(values)
	for _, v := range values {
		out.Probabilities = append(out.Probabilities, &onrecordv1.Probability{Value: v, P: j.P[v]})
	}
	for _, r := range j.Reasons {
		out.Reasons = append(out.Reasons, &onrecordv1.Reason{
			Start: uint32(r.Start), End: uint32(r.End), Class: r.Class, For: r.For, Weight: r.Weight,
		})
	}
	return out
}
