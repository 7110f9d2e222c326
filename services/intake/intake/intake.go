// Package intake takes reports in: the form for a phone, the JSON API, and the
// page on which a reporter follows up. It owns no database. A report is
// received when the stream has it on disk, not before.
package intake

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/pkg/web"
)

// Limits on what intake does at once.
const (
	maxInFlight        = 512              // filings waiting for the stream
	maxInFlightOfSite  = 448              // of these, about one site: a flood about it leaves room for the others
	publishTimeout     = 5 * time.Second  // for the stream to have a report on disk
	photoTimeout       = 14 * time.Second // and for its photos to be looked at and stored before
	followUpTimeout    = 3 * time.Second  // for reporting to answer
	followUpsPerClient = 10               // a minute
	followUpsInAll     = 600              // a minute
	maxAdditions       = 200              // to one report
	wordlessMore       = 20               // more of those that say no words
	maxAddedWords      = 256 << 10        // bytes, with the last of them over that
)

//go:embed templates
var templates embed.FS

// Config says what intake works with. All but Secure, Filing and Promise are
// required.
type Config struct {
	Bus      *bus.Bus
	Keyring  *seal.Keyring
	Assets   *web.Assets
	Log      *slog.Logger
	Now      func() time.Time
	Producer string  // of the events: "intake/1.2.0"
	Secure   bool    // served over TLS
	Filing   Filing  // who may file; "" is FilingOpen
	Promise  Promise // what reporters are told to expect; none is DefaultPromise
}

// Filing says who may file.
type Filing string

// The ways of filing.
const (
	FilingOpen     Filing = "open"      // whoever reaches the form
	FilingSiteCode Filing = "site-code" // whoever knows the code of a site, which its poster carries
	FilingSignIn   Filing = "sign-in"   // whoever has an account
)

// ParseFiling returns the way of filing with a name, or an error for the
// operator.
func ParseFiling(name string) (Filing, error) {
	switch f := Filing(name); f {
	case FilingOpen, FilingSiteCode, FilingSignIn:
		return f, nil
	}
	return "", fmt.Errorf("filing %q: must be open, site-code or sign-in", name)
}

// Service takes reports in. Its routes may be served before Run has begun;
// until the site directory has been read they answer 503.
type Service struct {
	bus       *bus.Bus
	keys      *seal.Keyring
	log       *slog.Logger
	now       func() time.Time
	producer  string
	secure    bool
	filing    Filing
	promise   Promise
	assets    *web.Assets
	pages     *web.Pages
	directory atomic.Pointer[directory]
	inFlight  *places
	followUps *followUpLimiter
}

// New returns a service on a bus whose topology has been applied.
func New(cfg Config) (*Service, error) {
	if cfg.Bus == nil || cfg.Keyring == nil || cfg.Assets == nil || cfg.Log == nil || cfg.Now == nil || cfg.Producer == "" {
		return nil, errors.New("intake: the configuration lacks a part")
	}
	files, err := fs.Sub(templates, "templates")
	if err != nil {
		return nil, err
	}
	pages, err := web.NewPages(cfg.Assets, files, web.Reporters)
	if err != nil {
		return nil, err
	}
	return &Service{
		bus: cfg.Bus, keys: cfg.Keyring, log: cfg.Log.With("category", "intake"), now: cfg.Now, producer: cfg.Producer, secure: cfg.Secure, filing: cmp.Or(cfg.Filing, FilingOpen), promise: cmp.Or(cfg.Promise, DefaultPromise),
		assets:    cfg.Assets,
		pages:     pages,
		inFlight:  newPlaces(maxInFlight, maxInFlightOfSite),
		followUps: newFollowUpLimiter(cfg.Bus, cfg.Keyring, cfg.Log.With("category", "intake")),
	}, nil
}

// need is what intake uses of the topology.
var need = bus.Need{Buckets: []string{bus.BucketDirectory, bus.BucketFollowUps}, Photos: true}

// Run waits until there is a stream, follows the site directory until ctx is
// done, and then returns nil. It returns an error when the directory cannot be
// followed at all.
func (s *Service) Run(ctx context.Context) error {
	if s.bus.Await(ctx, need) != nil {
		return nil //nolint:nilerr // ctx is done
	}
	err := s.bus.WatchDirectory(ctx, s.setDirectory)
	if err != nil && ctx.Err() == nil {
		return err
	}
	// Reporting has not written one yet: only places that are not in the list can be named.
	s.directory.CompareAndSwap(nil, newDirectory(nil))
	<-ctx.Done()
	return nil
}

// Check returns nil while reports can be taken, or an error that names what is
// wrong.
func (s *Service) Check(ctx context.Context) error {
	if err := s.bus.Check(ctx, need); err != nil {
		return err
	}
	if s.directory.Load() == nil {
		return errors.New("the site directory has not been read yet")
	}
	return nil
}

// sites returns the site directory, or fault.Unavailable before it was read.
func (s *Service) sites() (*directory, error) {
	d := s.directory.Load()
	if d == nil {
		return nil, fault.New(fault.Unavailable, "starting", "We are starting. Keep what you have and try again in a moment.").Retry(time.Second)
	}
	return d, nil
}
