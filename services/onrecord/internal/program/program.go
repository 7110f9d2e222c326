// Package program is the one-machine program: intake, classifier and reporting
// in one process, with an embedded stream that listens on no port, the
// embedded store, and one HTTP listener. It holds what an operator does with it,
// backups among them, and does the same to services that run apart.
package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/embedded"
	"github.com/onrecord/onrecord/pkg/check"
	"github.com/onrecord/onrecord/pkg/failpoint"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/classifier/classifier"
	"github.com/onrecord/onrecord/services/intake/intake"
	"github.com/onrecord/onrecord/services/onrecord/internal/control"
	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// Config says where the program keeps its data and how it behaves.
type Config struct {
	DataDir        string
	MasterKey      string         // the key itself, from the environment; "" to use a file
	MasterKeyFile  string         // "" for the one in the data directory
	MaxStore       int64          // bytes of disk the stream may use
	Filing         intake.Filing  // who may file; "": whoever reaches the form
	Threshold      int            // counts from 1 to this are hidden from managers
	PublishDay     int            // of the month after, on which a month is published; 0: a rep does it
	Promise        intake.Promise // what reporters are told to expect; none: intake's default
	Secure         bool           // served over TLS
	TrustedProxies []string
	AcceptLoss     bool // begin although the store or the stream is gone, with what is left
	Backups        Backups
	Log            *slog.Logger
	Now            func() time.Time
	ReaderNow      func() time.Time // the classifier’s; Now when nil
}

// Program is an opened installation. Its parts do nothing until Run or Background.
type Program struct {
	cfg        Config
	dir        *datadir.Dir
	ring       *seal.Keyring
	opened     time.Time
	backingUp  sync.Mutex // one backup at a time
	stream     *embedded.Server
	conn       *nats.Conn
	bus        *bus.Bus
	reporting  *reporting.Service
	classifier *classifier.Service
	intake     *intake.Service
	app        *web.App
	working    atomic.Bool // its parts run
}

// Open takes the data directory's lock, opens the stream and the store, and
// wires the services together. It returns datadir.ErrInUse when another
// process has the directory. Close must be called in the end.
func Open(ctx context.Context, cfg Config) (_ *Program, err error) {
	p := &Program{cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.dir, err = datadir.Open(cfg.DataDir); err != nil {
		return nil, err
	}
	ring, err := p.dir.Keyring(cfg.MasterKey, cfg.MasterKeyFile)
	if err != nil {
		return nil, err
	}
	failpoint.Hit(failpoint.BootKey)
	lost, err := p.lostParts()
	if err != nil {
		return nil, err
	}
	assets, err := web.LoadAssets()
	if err != nil {
		return nil, err
	}
	p.ring, p.opened = ring, time.Now()
	known, err := p.openStream(ctx, lost)
	if err != nil {
		return nil, err
	}
	p.reporting, err = reporting.New(ctx, reporting.Config{
		Database: p.dir.Database(), Bus: p.bus, Keyring: ring, Assets: assets, Log: cfg.Log, Now: cfg.Now,
		Threshold: cfg.Threshold, PublishDay: cfg.PublishDay, Secure: cfg.Secure, Alone: true, Known: known,
	})
	if err != nil {
		return nil, p.unusable(err)
	}
	failpoint.Hit(failpoint.BootStore)
	readerNow := cfg.Now
	if cfg.ReaderNow != nil {
		readerNow = cfg.ReaderNow
	}
	p.classifier, err = classifier.New(classifier.Config{Bus: p.bus, Keyring: ring, Log: cfg.Log, Now: readerNow, Producer: "classifier/" + run.Version, ModelFile: datadir.Model(p.cfg.DataDir)})
	if err != nil {
		return nil, err
	}
	p.intake, err = intake.New(intake.Config{Bus: p.bus, Keyring: ring, Assets: assets, Log: cfg.Log, Now: cfg.Now, Producer: "intake/" + run.Version, Secure: cfg.Secure, Filing: cfg.Filing, Promise: cfg.Promise})
	if err != nil {
		return nil, err
	}
	p.app, err = web.New(web.Config{Log: cfg.Log, Assets: assets, Authenticator: p.reporting, Secure: cfg.Secure, TrustedProxies: cfg.TrustedProxies, Ready: p.Check})
	if err != nil {
		return nil, err
	}
	p.app.Mount(p.intake.Routes())
	p.app.Mount(p.reporting.Routes())
	p.app.Mount(p.routes())
	return p, nil
}

// openStream starts the stream and makes what the services need of it. It
// returns what is to be told of its state. lost is whether the store is gone.
func (p *Program) openStream(ctx context.Context, lost bool) (known []check.Finding, err error) {
	p.stream, err = embedded.Start(embedded.Options{Dir: p.dir.Stream(), Key: string(p.ring.Derive("jetstream"))})
	if err != nil {
		return nil, err
	}
	failpoint.Hit(failpoint.BootStream)
	if p.conn, err = p.stream.Connect("onrecord"); err != nil {
		return nil, err
	}
	if p.bus, err = bus.New(p.conn, p.cfg.Log); err != nil {
		return nil, err
	}
	known = p.truncated(ctx)
	if err := p.applyTopology(ctx); err != nil {
		return nil, err
	}
	if err := p.stream.StageInMemory(bus.StreamReports); err == nil {
		p.bus.StagesInMemory()
	} else {
		p.cfg.Log.Warn("concurrent reports cannot share a write to disk here: filing by many at once is slower", "error", err)
	}
	if lost {
		if err := p.mayBeginAnew(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.bus.Resume(ctx, lost); err != nil { // this process is the only one: it holds the lock
		return nil, err
	}
	failpoint.Hit(failpoint.BootTopology)
	return known, nil
}

// Close ends what Open began, the store before the stream it reads from.
func (p *Program) Close() error {
	var err error
	if p.reporting != nil {
		err = p.reporting.Close()
	}
	if p.conn != nil {
		p.conn.Close()
	}
	if p.stream != nil {
		p.stream.Stop()
	}
	if p.dir != nil {
		err = errors.Join(err, p.dir.Close())
	}
	return err
}

// App returns the web application, for requests without a socket.
func (p *Program) App() *web.App { return p.app }

// Paths returns where the data and the master key lie.
func (p *Program) Paths() (data, key string) {
	switch {
	case p.cfg.MasterKey != "":
		return p.dir.Path(), "in the environment (" + run.EnvName("master-key") + ")"
	case p.cfg.MasterKeyFile != "":
		return p.dir.Path(), p.cfg.MasterKeyFile
	}
	return p.dir.Path(), p.dir.KeyFile()
}

// SetupToken returns the one-time token that creates the first administrator,
// or "" when there is one already.
func (p *Program) SetupToken(ctx context.Context) (string, error) { return p.reporting.SetupToken(ctx) }

// Check returns nil when every part works, or an error naming the one that does not.
func (p *Program) Check(ctx context.Context) error {
	if err := p.stream.Check(); err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	if err := p.reporting.Check(ctx); err != nil {
		return fmt.Errorf("reporting: %w", err)
	}
	if err := p.intake.Check(ctx); err != nil {
		return fmt.Errorf("intake: %w", err)
	}
	return nil
}

// WaitReady returns once every part works, or with the error of ctx.
func (p *Program) WaitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := p.Check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// Run serves ln and the control socket until ctx is done or a part fails, and
// stops the front door first, then what stands behind it.
func (p *Program) Run(ctx context.Context, ln net.Listener) error {
	path := datadir.ControlSocket(p.dir.Path())
	socket, err := control.Listen(ctx, path)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(path) }()
	p.working.Store(true)
	defer p.working.Store(false)
	parts := append([]run.Part{
		{Name: "http", Run: func(ctx context.Context) error { return p.app.Serve(ctx, ln) }},
		{Name: "control socket", Run: func(ctx context.Context) error { return p.Operations().Serve(ctx, socket) }},
	}, p.parts()...)
	return run.Parts(ctx, p.cfg.Log, parts...)
}

// Background runs everything but the listeners until ctx is done.
func (p *Program) Background(ctx context.Context) error {
	p.working.Store(true)
	defer p.working.Store(false)
	return run.Parts(ctx, p.cfg.Log, p.parts()...)
}

// atWork calls do while the services work: those of the running program, or in
// a stopped installation for as long as do takes.
func (p *Program) atWork(ctx context.Context, do func(context.Context) error) error {
	if p.working.Load() {
		return do(ctx)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		defer stop() // when a part fails, so does what waits for it
		ended <- p.Background(ctx)
	}()
	err := do(ctx)
	stop()
	return errors.Join(err, <-ended)
}

func (p *Program) parts() []run.Part {
	parts := []run.Part{
		{Name: "intake", Run: p.intake.Run},
		{Name: "classifier", Run: p.classifier.Run},
		{Name: "reporting", Run: p.reporting.Run},
		{Name: "stream", Run: p.watchStream},
		{Name: "disk", Run: p.watchDisk},
		{Name: "memory", Run: p.giveBack},
	}
	if p.cfg.Backups.Dir != "" {
		parts = append([]run.Part{{Name: "backups", Run: p.keepBackups}}, parts...)
	}
	return parts
}

// giveBack gives back the memory that starting took: the model, which is read
// once the program is ready, leaves as much behind as it holds.
func (p *Program) giveBack(ctx context.Context) error {
	if p.WaitReady(ctx) == nil {
		p.classifier.Model() // waits until it is read
		debug.FreeOSMemory()
	}
	<-ctx.Done()
	return nil
}

// watchStream ends the program once the stream can no longer write. The
// condition is sticky: until a restart every filing would be refused.
func (p *Program) watchStream(ctx context.Context) error {
	if err := watch(ctx, 2*time.Second, p.stream.Check); err != nil {
		return fmt.Errorf("it cannot write any more (is the disk full?), nothing that was received is lost, restart the program: %w", err)
	}
	return nil
}

// badChecks is how many bad answers in a row are believed: a busy machine may
// give one.
const badChecks = 3

// watch returns the error of a check that goes on failing, or nil once ctx is done.
func watch(ctx context.Context, every time.Duration, check func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	bad := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := check()
		if bad++; err == nil {
			bad = 0
		}
		if bad == badChecks {
			return err
		}
	}
}
