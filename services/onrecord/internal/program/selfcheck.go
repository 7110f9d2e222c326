package program

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/check"
	"github.com/onrecord/onrecord/services/classifier/classifier"
)

// Examination is what every check found when it was asked.
type Examination struct {
	Findings []check.Finding `json:"findings,omitempty"`
}

// examine runs every check now.
func (p *Program) examine(ctx context.Context, _ struct{}, progress func(string)) (any, error) {
	var found []check.Finding
	if err := p.stream.Check(); err != nil {
		found = append(found, check.Alarmf("stream_unwritable",
			"Look for a full or failing disk, then restart. Nothing that was received is lost.",
			"The stream cannot be written any more: %v.", err))
	}
	disk, err := p.diskFindings()
	if err != nil {
		return nil, err
	}
	backups, err := p.backupFindings(ctx)
	if err != nil {
		return nil, err
	}
	waiting, err := p.waiting(ctx)
	if err != nil {
		return nil, err
	}
	if waiting > 0 {
		progress(fmt.Sprintf("%d events of the stream are not taken in yet: “onrecord serve” does that", waiting))
	}
	of, err := p.reporting.Examine(ctx, progress)
	return Examination{slices.Concat(found, disk, backups, of)}, err
}

// Examine runs every check that can be asked beside services that run apart:
// the stream and the database as they are now, and whether a classifier answers.
func (a Apart) Examine(ctx context.Context, progress func(string)) (Examination, error) {
	var found []check.Finding
	progress("asking the classifiers")
	if _, err := classifier.ModelInUse(ctx, a.Bus); err != nil {
		found = append(found, check.Alarmf("classifier_silent",
			"Start one, or look at its log and its /readyz. Nothing is lost: what is received is counted, as not decided yet.",
			"No classifier answers: %v.", err))
	}
	of, err := a.Database.Examine(ctx, a.Bus, progress)
	return Examination{slices.Concat(found, of)}, err
}

// What must be free on the disk that holds the data.
const (
	freeWarning = 1 << 30
	freeAlarm   = 256 << 20
	diskEvery   = 30 * time.Second
)

// watchDisk tells of a disk that fills up, before it bites, until ctx is done.
func (p *Program) watchDisk(ctx context.Context) error {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	var gauge check.Gauge
	told := ""
	for {
		found, err := p.diskFindings()
		if err != nil {
			p.cfg.Log.Error("the free disk space could not be read", "error", err)
		}
		gauge.Set(found)
		now := ""
		for _, f := range found {
			if now = f.Code; now != told {
				p.cfg.Log.Error("self-check", "code", f.Code, "severity", f.Severity, "finding", f.What, "next", f.Next)
			}
		}
		told = now
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

var diskFree = metrics.GetOrCreateGauge(`onrecord_disk_free_bytes`, nil)

// freeBytes returns what is free on the disk that holds the data.
func (p *Program) freeBytes() (int64, error) {
	var fs syscall.Statfs_t
	err := syscall.Statfs(p.dir.Path(), &fs)
	return int64(fs.Bavail) * fs.Bsize, err
}

func (p *Program) diskFindings() ([]check.Finding, error) {
	free, err := p.freeBytes()
	if err != nil {
		return nil, err
	}
	diskFree.Set(float64(free))
	next := "Free some, or move the data directory to a larger disk. When it is full, filing is refused and the program stops."
	what := "The disk that holds %s has %d MiB left."
	switch {
	case free < freeAlarm:
		return []check.Finding{check.Alarmf("disk_nearly_full", next, what, p.dir.Path(), free>>20)}, nil
	case free < freeWarning:
		return []check.Finding{check.Warningf("disk_filling", next, what, p.dir.Path(), free>>20)}, nil
	}
	return nil, nil
}

// lostParts reports whether the store is gone beside a stream. A stream that
// is gone beside a store is an error unless that was accepted: silently
// beginning with an empty one would hide what was in it.
func (p *Program) lostParts() (store bool, err error) {
	store, stream, err := p.dir.Lost()
	if err != nil || !stream {
		return store, err
	}
	if !p.cfg.AcceptLoss {
		return false, check.Alarmf("stream_lost",
			"Put it back from a copy, or restore a backup into an empty directory. If there is none, “onrecord serve --accept-loss” goes on without it.",
			"There is a database in %s and no stream beside it: what was received and not yet counted was in the stream.", p.dir.Path())
	}
	p.cfg.Log.Error("the stream is gone and its loss was accepted: beginning with an empty one; what was received and not yet counted was in it")
	return false, nil
}

// mayBeginAnew returns an error when the store is gone, the stream has ever
// held something, and the loss was not accepted.
func (p *Program) mayBeginAnew(ctx context.Context) error {
	h, err := p.bus.Health(ctx)
	if err != nil || h.LastSeq == 0 { // a first start that was cut off
		return err
	}
	if !p.cfg.AcceptLoss {
		return check.Alarmf("store_lost",
			"Put it back from a copy, or restore a backup into an empty directory. If there is none, “onrecord serve --accept-loss” makes it anew from the stream, without accounts, sites and what reps did.",
			"There is a stream in %s and no database beside it.", p.dir.Path())
	}
	p.cfg.Log.Error("the store is gone and its loss was accepted: making it anew from the stream; what reps did with the incidents, accounts and sites are not in it")
	return nil
}

// truncated tells of a stream that ends before what its consumers have had,
// which Apply is about to mend by replaying it.
func (p *Program) truncated(ctx context.Context) []check.Finding {
	h, err := p.bus.Health(ctx)
	if err != nil {
		return nil // there is none yet
	}
	for _, c := range h.Consumers {
		if c.Ahead(h) {
			f := check.Alarmf("stream_truncated",
				"If you have a backup of the stream from before, restore it to a new directory and compare. Look for a failing disk.",
				"The stream ends at %d and its consumers have had %d: it lost its end. What had been counted is safe, and the rest is replayed.", h.LastSeq, c.Delivered)
			p.cfg.Log.Error("self-check", "code", f.Code, "finding", f.What, "next", f.Next)
			return []check.Finding{f}
		}
	}
	return nil
}

// applyTopology makes the stream and its consumers, or brings them up to date.
// A consumer whose state on disk is damaged is made anew: it hands everything
// out again, and nothing is counted twice.
func (p *Program) applyTopology(ctx context.Context) error {
	settings := bus.Settings{Replicas: 1, MaxBytes: p.cfg.MaxStore / 2}
	err := p.bus.Apply(ctx, settings)
	if !bus.IsDamagedConsumer(err) {
		return err
	}
	p.cfg.Log.Error("the state of a consumer is damaged: making it anew, and replaying the stream from its beginning", "error", err)
	h, err := p.bus.Health(ctx)
	if err != nil {
		return err
	}
	for _, c := range h.Consumers {
		if c.Missing {
			if err := p.stream.RemoveDamaged(bus.StreamReports, c.Name); err != nil {
				return err
			}
		}
	}
	return p.bus.Apply(ctx, settings)
}

// freeNone is so little free room that a database cannot be opened for that.
const freeNone = 1 << 20

// unusable explains why the database could not be opened.
func (p *Program) unusable(err error) error {
	var f check.Finding
	if errors.As(err, &f) {
		return err
	}
	if free, ferr := p.freeBytes(); ferr == nil && free < freeNone {
		return check.Alarmf("disk_full",
			"Free some room there, or move the data directory to a larger disk, and start again. Nothing that was received is lost.",
			"The disk that holds %s is full, so the database cannot be opened: %v.", p.dir.Path(), err)
	}
	return check.Alarmf("store_unusable",
		"If a newer release wrote it, start that one. Otherwise keep a copy of the data directory as it is, and restore the newest backup into an empty one.",
		"The database cannot be used: %v.", err)
}
