// Command classifier runs the classifier service by itself, against NATS
// servers of their own. Any number of instances share the work.
package main

import (
	"context"
	"os"

	"github.com/spf13/pflag"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/remote"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/services/classifier/classifier"
)

func main() { os.Exit(newClassifier().Main()) }

// settings are what is the classifier's own.
type settings struct{ model string }

// AddTo implements run.Settings.
func (s *settings) AddTo(f *pflag.FlagSet) {
	f.StringVar(&s.model, "model", "", "`file` of a model made by “onrecord train”, read with while it is there and taken up when it changes (default: the model in this program)")
}

// Check implements run.Settings. The file may come later, or go.
func (s *settings) Check() error { return nil }

func newClassifier() run.Service {
	var (
		own  settings
		nats remote.Settings
		key  run.MasterKey
	)
	return run.Service{
		Name:     "classifier",
		About:    "classifier reads the reports of On Record and says what kind of incident each was, how it\nreached staff and whom it was aimed at. It serves nobody but its operator.",
		Operator: "127.0.0.1:9083",
		Settings: []run.Settings{&own, &nats, &key},
		Run: func(ctx context.Context, p run.Process) error {
			nc, err := nats.Connect(ctx, "classifier", p.Log)
			if err != nil {
				return err
			}
			defer nc.Close()
			b, err := bus.New(nc, p.Log)
			if err != nil {
				return err
			}
			service, err := classifier.New(classifier.Config{Bus: b, Keyring: key.Keyring(), Log: p.Log, Producer: "classifier/" + run.Version, ModelFile: own.model})
			if err != nil {
				return err
			}
			return p.Run(ctx, service.Check, run.Part{Name: "classifier", Run: service.Run})
		},
	}
}
