// Command reporting runs the reporting service by itself, against NATS servers
// of their own, with its database in a MongoDB that instances share, or in a
// SQLite file: one instance, one file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/spf13/pflag"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/remote"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

func main() { os.Exit(newReporting().Main()) }

// settings are what is reporting's own.
type settings struct {
	database   string
	threshold  int
	publishDay int
}

// AddTo implements run.Settings.
func (s *settings) AddTo(f *pflag.FlagSet) {
	f.StringVar(&s.database, "database", "reporting.db", "`path` of the SQLite file, or mongodb://… or mongodb+srv://…; one with a password better through the environment")
	f.IntVar(&s.threshold, "threshold", 5, "counts from 1 to this `number` are hidden from managers")
	f.IntVar(&s.publishDay, "publish-day", reporting.DefaultPublishDay, "`day` of the month after (1 to 28) on which a month is published for managers; 0: a rep of every site does it")
}

// Check implements run.Settings.
func (s *settings) Check() error {
	var wrong []error
	if s.threshold < 1 || s.threshold > 100 {
		wrong = append(wrong, fmt.Errorf("threshold: want 1 to 100, got %d", s.threshold))
	}
	return errors.Join(append(wrong, reporting.CheckPublishDay(s.publishDay))...)
}

func newReporting() run.Service {
	var (
		own     settings
		address = web.Settings{Address: "127.0.0.1:8082"}
		nats    remote.Settings
		key     run.MasterKey
	)
	return run.Service{
		Name:     "reporting",
		About:    "reporting keeps the incidents of On Record and serves safety reps, managers and\nadministrators: pages, figures and the API.",
		Operator: "127.0.0.1:9082",
		Settings: []run.Settings{&own, &address, &nats, &key},
		Run: func(ctx context.Context, p run.Process) error {
			ln, err := address.Listen(ctx)
			if err != nil {
				return err
			}
			defer ln.Close() // Serve closes it; this is for when it is not reached
			address.Warn(p.Log)
			assets, err := web.LoadAssets()
			if err != nil {
				return err
			}
			nc, err := nats.Connect(ctx, "reporting", p.Log)
			if err != nil {
				return err
			}
			defer nc.Close()
			b, err := bus.New(nc, p.Log)
			if err != nil {
				return err
			}
			service, err := reporting.New(ctx, reporting.Config{Database: own.database, Bus: b, Keyring: key.Keyring(), Assets: assets, Log: p.Log,
				Threshold: own.threshold, PublishDay: own.publishDay, Secure: address.Secure()})
			if err != nil {
				return err
			}
			app, err := web.New(web.Config{Log: p.Log, Assets: assets, Authenticator: service, Secure: address.Secure(), TrustedProxies: address.Proxies, Ready: service.Check})
			if err == nil {
				err = invite(ctx, service, ln.Addr(), address.TLS(), p.Stderr)
			}
			if err != nil {
				return errors.Join(err, service.Close())
			}
			app.Mount(service.Routes())
			p.Log.Info("serving", "address", ln.Addr().String(), "database", reporting.DatabaseName(own.database))
			err = p.Run(ctx, service.Check,
				run.Part{Name: "http", Run: func(ctx context.Context) error { return app.Serve(ctx, ln) }},
				run.Part{Name: "reporting", Run: service.Run})
			return errors.Join(err, service.Close())
		},
	}
}

// invite prints the link that creates the first administrator, while there is
// none. It goes past the log, which others may read.
func invite(ctx context.Context, service *reporting.Service, address net.Addr, secure bool, out io.Writer) error {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	token, err := service.SetupToken(ctx)
	if err == nil && token != "" {
		_, err = fmt.Fprintf(out, "Create the first administrator, by the newest of these links: %s://%s/setup?token=%s\n", scheme, address, token)
	}
	return err
}
