package classifier

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// modelEvery is how often a model's file is looked at.
const modelEvery = 2 * time.Second

// maxModel is larger than any model: they have half a MiB.
const maxModel = 64 << 20

// OpenModel returns the reader of the model in a file. It refuses what OpenReader
// refuses, and whatever might never end.
func OpenModel(path string) (Reader, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("not the file of a model: it is no regular file")
	case info.Size() > maxModel:
		return nil, fmt.Errorf("not the file of a model: it is larger than %d MiB", maxModel>>20)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return OpenReader(file)
}

// Reader returns the reader in use, and takes one up when it is the first to ask.
func (s *Service) Reader() Reader {
	s.begin()
	return *s.reader.Load()
}

// takeUpFirst takes up the reader to begin with, and the model of the file when
// there is one.
func (s *Service) takeUpFirst() {
	if s.Config.Reader == nil {
		s.Config.Reader = NewReader()
	}
	s.reader.Store(&s.Config.Reader)
	s.takeUp()
}

// modelSeen is by what a model's file is known to have changed.
type modelSeen struct {
	at   time.Time
	size int64
}

// TakeUpModel reads with the model in the file that the service was given, if it
// changed since it was looked at last; where there is no file any more, with
// the model of the program. One that cannot be used is told in the log, and
// what was read with before stays.
func (s *Service) TakeUpModel() {
	s.begin()
	s.takeUp()
}

func (s *Service) takeUp() {
	if s.ModelFile == "" {
		return
	}
	s.taking.Lock()
	defer s.taking.Unlock()
	now := (*s.reader.Load()).Version()
	seen, err := lookAtModel(s.ModelFile)
	if s.seen != nil && *s.seen == seen && err == nil {
		return
	}
	next := s.Config.Reader
	if err == nil && seen != (modelSeen{}) {
		next, err = OpenModel(s.ModelFile)
	}
	s.seen = &seen
	if err != nil {
		if err.Error() != s.unusable {
			s.Log.Error("the model cannot be used: reports are read with the one before it. Train it again with this version", "file", s.ModelFile, "error", err, "model", now)
		}
		s.unusable = err.Error()
		modelUnusable.Set(1)
		return
	}
	s.unusable = ""
	modelUnusable.Set(0)
	if now != next.Version() {
		s.Log.Info("reading with another model from now on", "model", next.Version(), "before", now)
	}
	s.reader.Store(&next)
}

var modelUnusable = metrics.GetOrCreateGauge(`onrecord_classifier_model_unusable`, nil)

// lookAtModel returns by what a file is known to have changed, the zero value
// when there is none.
func lookAtModel(path string) (modelSeen, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return modelSeen{}, nil
	}
	if err != nil {
		return modelSeen{}, err
	}
	return modelSeen{info.ModTime(), info.Size()}, nil
}

// watchModel takes up the model whenever its file changes, until ctx is done.
func (s *Service) watchModel(ctx context.Context) {
	tick := time.NewTicker(modelEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.TakeUpModel()
		}
	}
}
