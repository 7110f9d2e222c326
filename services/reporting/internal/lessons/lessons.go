// Package lessons carries what reps correct beyond the incident: each correction
// is published as an event, and the features of the words it is about are kept
// with the incident, for training. The timeline is the truth; what it says and
// the incident's Lesson does not is due, however often a process ended in
// between.
package lessons

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/failpoint"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/standing"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const (
	sweepEvery = 2 * time.Second
	sweepSize  = 64
	tiredMost  = 10 * time.Second // between two sweeps of which the first failed
	askTimeout = 3 * time.Second
)

// Config is what a Keeper needs. Every field is required.
type Config struct {
	Store    store.Store
	Bus      *bus.Bus
	Keyring  *seal.Keyring
	Words    func(i *incident.Incident) (string, error) // the narrative of its one report, open
	Log      *slog.Logger
	Producer string // service and version, "reporting/1.2.0"
	MayErase bool   // events from the stream: where services run apart, the administrator alone may
}

// Keeper publishes corrections and keeps features. One instance of reporting at
// a time runs one.
type Keeper struct{ Config }

// New returns a Keeper that has not begun.
func New(c Config) *Keeper {
	c.Log = c.Log.With("category", "corrections")
	return &Keeper{c}
}

// Run does what is due at once and every two seconds, and less often while it
// fails, until ctx is done.
func (k *Keeper) Run(ctx context.Context) error {
	wait, said := sweepEvery, ""
	for {
		left, err := k.Sweep(ctx)
		waiting.Set(float64(left))
		switch {
		case err == nil:
			wait, said = sweepEvery, ""
		case ctx.Err() == nil:
			wait = min(2*wait, tiredMost)
			if err.Error() != said {
				said = err.Error()
				k.Log.Warn("what reps corrected is on record, and waits to be published or learned from", "incidents", left, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

var (
	published = metrics.NewCounter(`onrecord_corrections_published_total`)
	waiting   = metrics.GetOrCreateGauge(`onrecord_corrections_waiting`, nil)
)

// Sweep does what is due and returns how many incidents are left, and the last
// thing that failed. A classifier that is away keeps no correction from being
// published.
func (k *Keeper) Sweep(ctx context.Context) (left int, failed error) {
	away := false // it is not asked again for every incident
	for after := ""; ; {
		ids, err := k.Store.LessonsDue(ctx, after, sweepSize)
		if err != nil || len(ids) == 0 {
			return left, errors.Join(failed, err)
		}
		for _, id := range ids {
			done, err := k.carry(ctx, id, &away)
			if err != nil {
				failed = err
			}
			if !done {
				left++
			}
			if ctx.Err() != nil {
				return left, ctx.Err()
			}
		}
		after = ids[len(ids)-1]
	}
}

// carry does what is due of one incident, as far as it can.
func (k *Keeper) carry(ctx context.Context, id string, away *bool) (done bool, err error) {
	i, err := k.Store.Incident(ctx, id)
	if err != nil {
		return false, err
	}
	lesson := i.Lesson
	if i.Lesson.Published, err = k.publish(ctx, i); err != nil {
		return false, err
	}
	var asking error
	if i.Teaches() && len(i.Lesson.Features) == 0 && !*away {
		if i.Lesson.Features, asking = k.features(ctx, i); asking != nil {
			*away = errors.Is(asking, errAway)
		}
	}
	// An incident that only seemed to be due is no longer afterwards.
	if i.LessonDue() && i.Lesson.Published == lesson.Published {
		return false, asking
	}
	failpoint.Hit(failpoint.CorrectionSent)
	switch err = k.Store.KeepLesson(ctx, i); {
	case errors.Is(err, store.ErrStale):
		return false, k.takeBack(ctx, id) // it changed meanwhile: the next sweep sees what it has become
	case err != nil:
		return false, err
	}
	return !i.LessonDue(), asking
}

// publish publishes every correction that was not, and returns the Seq of the
// newest that was. One that the stream has already stays as it is there.
func (k *Keeper) publish(ctx context.Context, i *incident.Incident) (newest int, err error) {
	newest = i.Lesson.Published
	if len(i.WrappedKey) == 0 {
		return newest, nil
	}
	var events []bus.Event
	for _, c := range i.Unpublished() {
		for _, r := range i.Reports {
			e, err := k.event(r.ID, c)
			if err != nil {
				return newest, err
			}
			events = append(events, e)
		}
		newest = c.Seq
	}
	if len(events) > 0 {
		failpoint.Hit(failpoint.CorrectionDue)
	}
	if err := errors.Join(k.Bus.PublishAll(ctx, events)...); err != nil {
		return i.Lesson.Published, err
	}
	published.Add(len(events))
	return newest, nil
}

// event encodes one correction of a report.
func (k *Keeper) event(reportID string, c incident.Change) (bus.Event, error) {
	correction := ID(c)
	id := reportID + ".corrected." + correction
	data, err := proto.Marshal(&onrecordv1.Envelope{
		Type: bus.TypeCorrected, Id: id, Time: timestamppb.New(c.At), Producer: k.Producer, Trace: rand.Text(),
		Event: &onrecordv1.Envelope_ReportCorrected{ReportCorrected: &onrecordv1.ReportCorrected{
			ReportId: reportID, CorrectionId: correction, TaxonomyVersion: incident.TaxonomyVersion, Field: c.Field, From: c.From, To: c.To}},
	})
	return bus.Event{Subject: bus.Subject(bus.TypeCorrected, reportID, correction), ID: id, Data: data}, err
}

// ID returns what tells a correction from others of its report, the same
// whoever asks: it comes of the timeline's own commitment. The number of the
// entry would not do, because in a database that was put back from a backup
// another correction gets that number.
func ID(c incident.Change) string { return hex.EncodeToString(c.Chain[:min(16, len(c.Chain))]) }

// takeBack removes the events about an incident that was erased while they were
// published. Where this process may not, the walk over the stream tells of them.
func (k *Keeper) takeBack(ctx context.Context, id string) error {
	if !k.MayErase {
		return nil
	}
	i, err := k.Store.Incident(ctx, id)
	if err != nil || len(i.WrappedKey) > 0 {
		return err
	}
	for _, r := range i.Reports {
		if err := standing.EraseReport(ctx, k.Store, k.Bus, r.ID); err != nil {
			return err
		}
	}
	return nil
}

// errAway says that no classifier answers.
var errAway = errors.New("the classifier does not answer")

// features asks the classifier what training takes of the words of an
// incident's report, and returns it sealed. Of a report without words it is
// nothing, sealed.
func (k *Keeper) features(ctx context.Context, i *incident.Incident) ([]byte, error) {
	words, err := k.Words(i)
	if err != nil {
		return nil, err
	}
	if words == "" {
		return Seal(k.Keyring, i, nil)
	}
	key, wrapped := k.Keyring.NewDataKey()
	asked, err := proto.Marshal(&onrecordv1.FeaturesRequest{WrappedKey: wrapped, SealedWords: key.Seal([]byte(words), onrecordv1.PlaceFeatures, onrecordv1.PlaceAsked)})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := k.Bus.Request(ctx, bus.SubjectModelFeatures, asked)
	if err != nil {
		return nil, errAway // the cause changes from try to try, and says no more
	}
	var reply onrecordv1.FeaturesReply
	if err := proto.Unmarshal(answer, &reply); err != nil {
		return nil, errors.New("the classifier's answer cannot be read")
	}
	made, err := key.Open(reply.GetSealedFeatures(), onrecordv1.PlaceFeatures, onrecordv1.PlaceMade)
	if err != nil {
		return nil, fmt.Errorf("the classifier's answer: %w", err)
	}
	return Seal(k.Keyring, i, made)
}

const placeFeatures = "features"

// Seal seals features under the incident's key: whoever had them could try which
// words were likely in the report.
func Seal(k *seal.Keyring, i *incident.Incident, features []byte) ([]byte, error) {
	key, err := k.Unwrap(i.WrappedKey)
	if err != nil {
		return nil, err
	}
	return key.Seal(features, i.ID, placeFeatures, i.Reports[0].ID), nil
}

// Open returns the features that Seal sealed; nothing where none were made.
func Open(k *seal.Keyring, i *incident.Incident) ([]byte, error) {
	if len(i.Lesson.Features) == 0 {
		return nil, nil
	}
	key, err := k.Unwrap(i.WrappedKey)
	if err != nil {
		return nil, err
	}
	return key.Open(i.Lesson.Features, i.ID, placeFeatures, i.Reports[0].ID)
}
