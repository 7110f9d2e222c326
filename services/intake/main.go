// Command intake runs the intake service by itself, against NATS servers of
// their own: the form, the filing API and the follow-up page. Any number of
// instances may run behind a balancer.
package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/remote"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/intake/intake"
)

func main() { os.Exit(newIntake().Main()) }

func newIntake() run.Service {
	var (
		address = web.Settings{Address: "127.0.0.1:8081"}
		nats    remote.Settings
		key     run.MasterKey
		filing  filing
		promise promise
	)
	return run.Service{
		Name:     "intake",
		About:    "intake serves the form, the filing API and the follow-up page of On Record. It keeps\nnothing itself: what it receives is on disk in NATS before it says so.",
		Operator: "127.0.0.1:9081",
		Settings: []run.Settings{&address, &nats, &key, &filing, &promise},
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
			nc, err := nats.Connect(ctx, "intake", p.Log)
			if err != nil {
				return err
			}
			defer nc.Close()
			b, err := bus.New(nc, p.Log)
			if err != nil {
				return err
			}
			service, err := intake.New(intake.Config{Bus: b, Keyring: key.Keyring(), Assets: assets, Log: p.Log, Now: time.Now,
				Producer: "intake/" + run.Version, Secure: address.Secure(), Filing: filing.way, Promise: intake.Promise(promise)})
			if err != nil {
				return err
			}
			app, err := web.New(web.Config{Log: p.Log, Assets: assets, Secure: address.Secure(), TrustedProxies: address.Proxies, Ready: service.Check})
			if err != nil {
				return err
			}
			app.Mount(service.Routes())
			p.Log.Info("serving", "address", ln.Addr().String())
			return p.Run(ctx, service.Check,
				run.Part{Name: "http", Run: func(ctx context.Context) error { return app.Serve(ctx, ln) }},
				run.Part{Name: "intake", Run: service.Run})
		},
	}
}

// filing is the setting of who may file. Nobody can sign in to this service, so
// that it takes no sign-in.
type filing struct {
	name string
	way  intake.Filing
}

// AddTo implements run.Settings.
func (f *filing) AddTo(flags *pflag.FlagSet) {
	flags.StringVar(&f.name, "filing", string(intake.FilingOpen), "who may file: open (whoever reaches the form) or site-code (whoever knows the code on a site’s poster)")
}

// Check implements run.Settings.
func (f *filing) Check() error {
	way, err := intake.ParseFiling(f.name)
	if way == intake.FilingSignIn {
		err = errors.New("filing \"sign-in\": accounts are in reporting, and intake by itself knows none: choose open or site-code")
	}
	f.way = way
	return err
}

// promise is the setting of what reporters are told to expect.
type promise intake.Promise

// AddTo implements run.Settings.
func (p *promise) AddTo(f *pflag.FlagSet) {
	f.IntVar(&p.Read, "read-within", intake.DefaultPromise.Read, "`days` in which a safety rep should open a report, as its reporter is told")
	f.IntVar(&p.News, "news-within", intake.DefaultPromise.News, "`days` in which there should be news of a report, as its reporter is told")
}

// Check implements run.Settings.
func (p *promise) Check() error { return intake.Promise(*p).Check() }
