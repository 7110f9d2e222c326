// Package projectortest gives tests a reporting store fed by the real
// projector, and makes the events that intake and classifier publish.
package projectortest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/projector"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/sqlite"
)

// Kit is a store in a file of its own and a projector that fills it.
type Kit struct {
	*Events
	Store     store.Store
	Folder    *fold.Folder
	Projector *projector.Projector

	tb testing.TB
}

// New returns a Kit on a fresh SQLite file that ends with the test.
func New(tb testing.TB) *Kit {
	tb.Helper()
	st, err := sqlite.Open(tb.Context(), filepath.Join(tb.TempDir(), "onrecord.db"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := st.Close(); err != nil {
			tb.Error(err)
		}
	})
	return NewOn(tb, st)
}

// NewOn returns a Kit on a store, which the caller closes.
func NewOn(tb testing.TB, st store.Store) *Kit {
	tb.Helper()
	k := &Kit{Events: NewEvents(tb), Store: st, Folder: fold.New(), tb: tb}
	k.Projector = projector.New(k.Config(st, k.Folder, nil))
	return k
}

// Config returns the settings of a projector on a store and a bus.
func (e *Events) Config(st store.Store, f *fold.Folder, b *bus.Bus) projector.Config {
	return projector.Config{Store: st, Folder: f, Bus: b, Keyring: e.Keyring, Employers: employers,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return e.At }}
}

// employers knows two demo employers.
func employers(name string) string {
	for _, known := range []string{"Demo Department", "Demo Assessments Ltd"} {
		if strings.EqualFold(name, known) {
			return known
		}
	}
	return ""
}

// Apply brings events to the store and fails the test when one is refused.
func (k *Kit) Apply(deliveries ...bus.Delivery) {
	k.tb.Helper()
	for n, err := range k.Projector.Handle(context.WithoutCancel(k.tb.Context()), deliveries) {
		if err != nil {
			k.tb.Fatalf("event %d: %v", n, err)
		}
	}
}

// Incident returns the incident that holds a report.
func (k *Kit) Incident(reportID string) *incident.Incident {
	k.tb.Helper()
	i, err := k.Store.IncidentByReport(k.tb.Context(), reportID)
	if err != nil {
		k.tb.Fatal(err)
	}
	return i
}

// Events makes deliveries as the stream would hand them out: each is stored a
// second after the one before.
type Events struct {
	Keyring *seal.Keyring
	At      time.Time // when the stream stored the newest
	Seq     uint64    // of the newest
	ids     uint64
	tb      testing.TB
}

// NewEvents returns Events under a fixed key, from noon on 21 November 2026.
func NewEvents(tb testing.TB) *Events {
	tb.Helper()
	k, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		tb.Fatal(err)
	}
	return &Events{Keyring: k, At: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), tb: tb}
}

// NewID returns a UUIDv7 not given before.
func (e *Events) NewID() string {
	e.ids++
	b := binary.BigEndian.AppendUint64(nil, e.ids*0x9e3779b97f4a7c15)
	return fmt.Sprintf("01930000-%04x-7%03x-8%03x-%04x%08x", e.ids>>16&0xffff, e.ids&0xfff, b[0], e.ids&0xffff, b[4:8])
}

// Report returns a valid report: abuse in person at a site, ten days ago.
func (e *Events) Report(site string) incident.Report {
	r := incident.Report{ID: e.NewID(), Site: site, OccurredAt: e.At.AddDate(0, 0, -10), Kind: incident.KindAbuse,
		Channel: incident.ChannelInPerson, Target: incident.TargetAnyStaff, Narrative: "shouted at everybody"}
	r.Normalise()
	return r
}

// ReceiptHash returns the hash of the receipt with which Filed files a report.
func (e *Events) ReceiptHash(reportID string) []byte {
	return e.Keyring.MAC("receipt hash", []byte(reportID))
}

// Filed returns the event that a report was filed.
func (e *Events) Filed(r incident.Report) bus.Delivery {
	key, wrapped := e.Keyring.NewDataKey()
	words := e.marshal(&onrecordv1.ReportWords{Narrative: r.Narrative, SiteName: r.SiteName, Employer: r.Employer,
		ContactName: r.Contact.Name, ContactDetails: r.Contact.Details})
	ev := &onrecordv1.ReportFiled{
		ReportId: r.ID, ReceiptHash: e.ReceiptHash(r.ID), Digest: e.Keyring.MAC("filed digest", []byte(r.ID)), TaxonomyVersion: incident.TaxonomyVersion,
		Site: r.Site, OccurredAt: timestamppb.New(r.OccurredAt), OccurredPrecision: string(r.Precision),
		Kind: string(r.Kind), Channel: string(r.Channel), Target: string(r.Target), Hurt: string(r.Hurt),
		PeopleAffected: uint32(r.PeopleAffected), Employer: employers(r.Employer), ContactChoice: string(r.Contact.Choice),
		FiledFor: string(r.Details.FiledFor), Control: string(r.Details.Control), ManagerTold: string(r.Details.Told),
		Exposure: string(r.Details.Exposure), ExposureCloseness: string(r.Details.Closeness),
		Language: r.Language, FormVersion: r.FormVersion,
		WrappedKey: wrapped, SealedWords: key.Seal(words, r.ID, "words"),
	}
	if !r.PressedAt.IsZero() {
		ev.PressedAt = timestamppb.New(r.PressedAt)
	}
	if r.DaysUnable != nil {
		days := uint32(*r.DaysUnable)
		ev.DaysUnable = &days
	}
	return e.Deliver(bus.Subject(bus.TypeFiled, r.ID), &onrecordv1.Envelope{Type: bus.TypeFiled, Id: r.ID + ".filed",
		Event: &onrecordv1.Envelope_ReportFiled{ReportFiled: ev}})
}

// Classified returns the event that a model read a report.
func (e *Events) Classified(reportID, model string, k incident.Kind, c incident.Channel, t incident.Target) bus.Delivery {
	judgement := func(v string) *onrecordv1.Judgement {
		return &onrecordv1.Judgement{Value: v, Probabilities: []*onrecordv1.Probability{{Value: v, P: 0.9}, {Value: "unknown", P: 0.1}},
			Reasons: []*onrecordv1.Reason{{Start: 0, End: 7, Class: "raised voice", For: v, Weight: 1.5}}}
	}
	ev := &onrecordv1.ReportClassified{ReportId: reportID, ModelVersion: model, TaxonomyVersion: incident.TaxonomyVersion,
		Kind: judgement(string(k)), Channel: judgement(string(c)), Target: judgement(string(t))}
	return e.Deliver(bus.Subject(bus.TypeClassified, reportID, model), &onrecordv1.Envelope{Type: bus.TypeClassified, Id: reportID + ".classified." + model,
		Event: &onrecordv1.Envelope_ReportClassified{ReportClassified: ev}})
}

// Added returns the event that the holder of the receipt added to a report.
func (e *Events) Added(reportID string, what onrecordv1.Addition, text string) bus.Delivery {
	id := e.NewID()
	ev := &onrecordv1.ReportAdded{ReportId: reportID, AdditionId: id, Addition: what}
	if text != "" {
		key, wrapped := e.Keyring.NewDataKey()
		ev.WrappedKey, ev.SealedWords = wrapped, key.Seal(e.marshal(&onrecordv1.AddedWords{Text: text}), reportID, id, "added")
	}
	return e.Deliver(bus.Subject(bus.TypeAdded, reportID, id), &onrecordv1.Envelope{Type: bus.TypeAdded, Id: id,
		Event: &onrecordv1.Envelope_ReportAdded{ReportAdded: ev}})
}

// Deliver returns an envelope as the stream hands it out.
func (e *Events) Deliver(subject string, env *onrecordv1.Envelope) bus.Delivery {
	e.Seq++
	e.At = e.At.Add(time.Second)
	env.Time, env.Producer = timestamppb.New(e.At), "test"
	return bus.Delivery{Subject: subject, Data: e.marshal(env), Seq: e.Seq, Deliveries: 1, At: e.At}
}

func (e *Events) marshal(m proto.Message) []byte {
	raw, err := proto.Marshal(m)
	if err != nil {
		e.tb.Fatal(err)
	}
	return raw
}
