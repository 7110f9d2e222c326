// Package classifier is the service between intake and reporting: it reads
// each filed report and publishes what it made of it. It has no database and
// no HTTP; filing and reporting go on without it, and what it missed it reads
// when it is back.
package classifier

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/classifier/internal/reading"
)

// Reader reads reports: kind, channel and target with probabilities and
// reasons. Its contract stands at reading.Reader.
type Reader = reading.Reader

// Input is what a Reader reads.
type Input = reading.Input

// NewReader returns the reader that is part of the program. Its first call takes
// a tenth of a second of a core.
func NewReader() Reader { return reading.Embedded() }

// Reports are read together, so that their classifications share a write to
// disk; a lone report is read at once. Under load the classification must not
// come long after its report: then reporting writes both at once.
const (
	batchSize  = 1000
	batchEvery = 50 * time.Millisecond
)

// sampleOneIn is the share of confident readings that a person checks anyway.
const sampleOneIn = 20

// Config is what a Service needs. All fields but Reader, ModelFile and Now are
// required.
type Config struct {
	Bus       *bus.Bus
	Keyring   *seal.Keyring
	Log       *slog.Logger
	Producer  string           // service and version, "classifier/1.2.0"
	Reader    Reader           // NewReader when nil
	ModelFile string           // of a model that is read with in place of Reader while it is there; "": none
	Now       func() time.Time // time.Now when nil
}

// Service consumes report.filed and publishes report.classified.
type Service struct {
	Config
	begin  func()                 // takes up a reader, once
	reader atomic.Pointer[Reader] // in use, once there is one

	taking   sync.Mutex
	seen     *modelSeen // of ModelFile; nil before it was looked at
	unusable string     // why ModelFile could not be used the last time
}

// New returns a Service, or an error that names everything the configuration lacks.
// It takes up no model yet: that is the most work of a start, and people can
// file before it is done.
func New(c Config) (*Service, error) {
	var missing []error
	need := func(ok bool, name string) {
		if !ok {
			missing = append(missing, fmt.Errorf("classifier: %s is required", name))
		}
	}
	need(c.Bus != nil, "Bus")
	need(c.Keyring != nil, "Keyring")
	need(c.Log != nil, "Log")
	need(c.Producer != "", "Producer")
	if len(missing) > 0 {
		return nil, errors.Join(missing...)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Log = c.Log.With("category", "classifier")
	s := &Service{Config: c}
	s.begin = sync.OnceFunc(s.takeUpFirst)
	return s, nil
}

// need is what the classifier uses of the topology.
var need = bus.Need{Consumer: bus.ConsumerClassifier}

// Check returns nil while reports can be read, or an error that names what is
// wrong.
func (s *Service) Check(ctx context.Context) error { return s.Bus.Check(ctx, need) }

// Run waits until there is a stream, reads reports until ctx is done, finishes
// those in hand and returns nil.
func (s *Service) Run(ctx context.Context) error {
	if s.Bus.Await(ctx, need) != nil {
		return nil //nolint:nilerr // ctx is done
	}
	if err := s.Bus.AnswerFirst(ctx, bus.SubjectFirstFiled, onrecordv1.FirstCopy); err != nil {
		return err
	}
	if err := errors.Join(s.answerCard(ctx), s.answerFeatures(ctx)); err != nil {
		return err
	}
	s.Log.Info("reading reports", "model", s.Reader().Version())
	watching, stop := context.WithCancel(ctx)
	var watched sync.WaitGroup
	watched.Go(func() { s.watchModel(watching) })
	defer watched.Wait()
	defer stop()
	return s.Bus.Consume(ctx, bus.Consumer{
		Name:       bus.ConsumerClassifier,
		Batch:      batchSize,
		Every:      batchEvery,
		Handle:     s.handle,
		Quarantine: s.quarantine,
	})
}

// handle classifies a batch, one error per delivery. Nil means that the stream
// has the classification on disk, from now or from an earlier delivery.
func (s *Service) handle(ctx context.Context, batch []bus.Delivery) []error {
	return publishEach(ctx, s.Bus, batch, s.classify)
}

// publishEach publishes the event made of each of some things together, and
// returns an error for each: nil where the stream has it on disk.
func publishEach[T any](ctx context.Context, b *bus.Bus, things []T, event func(T) (bus.Event, error)) []error {
	errs := make([]error, len(things))
	var events []bus.Event
	var of []int // the thing of each event
	for i, thing := range things {
		e, err := event(thing)
		if err != nil {
			errs[i] = err
			continue
		}
		events, of = append(events, e), append(of, i)
	}
	for n, err := range b.PublishAll(ctx, events) {
		errs[of[n]] = err
	}
	return errs
}

// classify reads one filed report and returns its classification.
func (s *Service) classify(d bus.Delivery) (bus.Event, error) {
	filed, err := openFiled(d, s.Keyring)
	if err != nil {
		return bus.Event{}, bus.Poison(err)
	}
	started := time.Now()
	r := s.read(filed.reportID, filed.input)
	readSeconds.UpdateDuration(started)
	metrics.GetOrCreateCounter(fmt.Sprintf(`onrecord_classifier_readings_total{review="%t",sampled="%t"}`, r.Review, r.Sampled)).Inc()
	return classifiedEvent(r, filed.trace, s.Producer)
}

// read reads a report with the reader in use, and has a person look at one in
// sampleOneIn whatever the machine makes of it.
func (s *Service) read(reportID string, in Input) incident.Reading {
	r := s.Reader().Read(in)
	r.ReportID, r.At = reportID, s.Now().UTC()
	if !r.Review && sampled(reportID) {
		r.Review, r.Sampled = true, true
	}
	return r
}

var readSeconds = metrics.NewSummary(`onrecord_classifier_read_seconds`)

// sampled picks one confident reading in sampleOneIn for a person's check, by
// the report's id so that a redelivery picks the same.
func sampled(reportID string) bool {
	return crc32.ChecksumIEEE([]byte(reportID))%sampleOneIn == 0
}

// quarantine lets an unreadable report go: reporting receives the same message
// and is the one who keeps it.
func (s *Service) quarantine(_ context.Context, d bus.Delivery, cause error) error {
	metrics.GetOrCreateCounter(`onrecord_classifier_unreadable_total`).Inc()
	s.Log.Error("report cannot be read; it stays unclassified", "seq", d.Seq, "error", cause)
	return nil
}
