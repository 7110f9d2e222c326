package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/services/classifier/classifier"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// rereadBatch is how many reports are read again together.
const rereadBatch = 64

// rereadSteps is how often reading again says how far it is.
const rereadSteps = 20

// Reread says what reading again did.
type Reread struct {
	Model   string `json:"model"`
	Reports int    `json:"reports"` // read again
}

// corrections sends what reps decided about reports, as features and labels:
// one classifier.Correction a line, without words.
func (p *Program) corrections(ctx context.Context, _ struct{}, send func(string)) (any, error) {
	return corrections(ctx, p.reporting, send)
}

// decisions are a reporting service's, or its database's.
type decisions interface {
	EachDecided(ctx context.Context, f reporting.FeatureMaker, fn func(reporting.Decided) error) error
}

func corrections(ctx context.Context, from decisions, send func(string)) (int, error) {
	n := 0
	maker := reporting.FeatureMaker{Make: classifier.MakeFeatures, Knows: func(features []byte) bool {
		_, err := classifier.ReadFeatures(features)
		return err == nil
	}}
	err := from.EachDecided(ctx, maker, func(d reporting.Decided) error {
		c, err := classifier.ReadFeatures(d.Features)
		if err != nil {
			return err
		}
		c.Kind, c.Channel, c.Target = d.Kind, d.Channel, d.Target
		c.Said.Kind, c.Said.Channel, c.Said.Target = d.Said.Kind, d.Said.Channel, d.Said.Target
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		n++
		send(string(line))
		return nil
	})
	return n, err
}

// reread reads every undecided report with the model in use, where it has not
// yet. Its readings go through the stream like any other.
func (p *Program) reread(ctx context.Context, _ struct{}, progress func(string)) (any, error) {
	p.classifier.TakeUpModel()
	return reread(ctx, p.reporting, p.classifier, progress)
}

// questions are a reporting service's, or its database's.
type questions interface {
	EachUndecided(ctx context.Context, model string, looked func(n, of int), fn func(reporting.Undecided) error) error
}

// reread says what it did also when it ends with an error.
func reread(ctx context.Context, from questions, by *classifier.Service, progress func(string)) (Reread, error) {
	done := Reread{Model: by.Model()}
	var batch []classifier.Again
	flush := func() error {
		if err := errors.Join(by.ReadAgain(ctx, batch)...); err != nil {
			return err
		}
		done.Reports += len(batch)
		batch = batch[:0]
		return nil
	}
	looked := func(n, of int) {
		if n == of || n%max(of/rereadSteps, 1) == 0 {
			progress(fmt.Sprintf("%d of %d incidents looked through, %d reports read again", n, of, done.Reports+len(batch)))
		}
	}
	err := from.EachUndecided(ctx, done.Model, looked, func(u reporting.Undecided) error {
		batch = append(batch, classifier.Again{ReportID: u.ReportID, Input: classifier.Input{
			Narrative: u.Words, Kind: u.Said.Kind, Channel: u.Said.Channel, Target: u.Said.Target}})
		if len(batch) < rereadBatch {
			return ctx.Err()
		}
		return flush()
	})
	if err == nil && len(batch) > 0 {
		err = flush()
	}
	return done, err
}

// Corrections sends what reps decided, as on one machine, out of the services'
// database and beside them.
func (a Apart) Corrections(ctx context.Context, send func(string)) (int, error) {
	return corrections(ctx, a.Database, send)
}

// Reread reads every undecided report with a model and publishes what it makes
// of them as the classifiers would, beside the running services. It is refused
// when these read with another one: the next report would be read by that.
func (a Apart) Reread(ctx context.Context, reader classifier.Reader, progress func(string)) (Reread, error) {
	done := Reread{Model: reader.Version()}
	inUse, err := classifier.ModelInUse(ctx, a.Bus)
	if err != nil {
		return done, fmt.Errorf("no classifier says which model it reads with; start one, or look at its log: %w", err)
	}
	if inUse != done.Model {
		return done, fmt.Errorf("the classifiers read with the model %s, and this one is %s: give it to them first (--model of the classifier), or name theirs with --model here", inUse, done.Model)
	}
	by, err := classifier.New(classifier.Config{Bus: a.Bus, Keyring: a.Database.Keyring, Log: a.Database.Log, Producer: "onrecord/" + run.Version, Reader: reader})
	if err != nil {
		return done, err
	}
	return reread(ctx, a.Database, by, progress)
}
