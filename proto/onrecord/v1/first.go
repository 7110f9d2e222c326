// Package onrecordv1 is the wire contract between the services: generated from
// the .proto files, and what little is written by hand.
package onrecordv1

import (
	"errors"

	"google.golang.org/protobuf/proto"
)

// FirstCopy returns what intake may know of a stored event, a marshalled
// Envelope: an Envelope with its time and its digest, to tell a repetition from
// another report under the same id. It returns an error for what has no digest.
func FirstCopy(event []byte) ([]byte, error) {
	var e Envelope
	if err := proto.Unmarshal(event, &e); err != nil {
		return nil, err
	}
	told := &Envelope{Type: e.GetType(), Id: e.GetId(), Time: e.GetTime(), Trace: e.GetTrace()}
	switch {
	case len(e.GetReportFiled().GetDigest()) > 0:
		told.Event = &Envelope_ReportFiled{ReportFiled: &ReportFiled{Digest: e.GetReportFiled().GetDigest()}}
	case len(e.GetReportAdded().GetDigest()) > 0:
		told.Event = &Envelope_ReportAdded{ReportAdded: &ReportAdded{Digest: e.GetReportAdded().GetDigest()}}
	default:
		return nil, errors.New("the event has no digest")
	}
	return proto.Marshal(told)
}
