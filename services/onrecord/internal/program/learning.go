package program

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/onrecord/onrecord/services/classifier/classifier"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// rereadBatch is how many reports are read again together.
const rereadBatch = 64

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
	done := Reread{Model: p.classifier.Model()}
	var batch []classifier.Again
	flush := func() error {
		if err := errors.Join(p.classifier.ReadAgain(ctx, batch)...); err != nil {
			return err
		}
		done.Reports += len(batch)
		batch = batch[:0]
		progress(fmt.Sprintf("read %d reports again", done.Reports))
		return nil
	}
	err := p.reporting.EachUndecided(ctx, done.Model, func(u reporting.Undecided) error {
		batch = append(batch, classifier.Again{ReportID: u.ReportID, Input: classifier.Input{
			Narrative: u.Words, Kind: u.Said.Kind, Channel: u.Said.Channel, Target: u.Said.Target}})
		if len(batch) < rereadBatch {
			return nil
		}
		return flush()
	})
	if err == nil && len(batch) > 0 {
		err = flush()
	}
	return done, err
}
