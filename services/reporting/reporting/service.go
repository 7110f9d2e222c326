// Package reporting serves safety reps, managers and administrators: the list
// of incidents, an incident with its words, the figures, people and sites, as
// pages and as an API. It consumes the stream into its store, which it owns
// outright, and answers intake's questions about receipts.
package reporting

import (
	"context"
	"crypto/hmac"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/check"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/pkg/web"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/audit"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/editions"
	"github.com/onrecord/onrecord/services/reporting/internal/figures"
	"github.com/onrecord/onrecord/services/reporting/internal/floods"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/followup"
	"github.com/onrecord/onrecord/services/reporting/internal/lessons"
	"github.com/onrecord/onrecord/services/reporting/internal/moving"
	"github.com/onrecord/onrecord/services/reporting/internal/people"
	"github.com/onrecord/onrecord/services/reporting/internal/projector"
	"github.com/onrecord/onrecord/services/reporting/internal/standing"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/mongo"
	"github.com/onrecord/onrecord/services/reporting/internal/store/sqlite"
)

//go:embed templates
var templates embed.FS

// Config says what a Service works with. Every field but Now, Threshold,
// PublishDay, Alone, Secure and Known is required.
type Config struct {
	Database   string // the path of a SQLite file, created when there is none, or the address of a MongoDB
	Bus        *bus.Bus
	Keyring    *seal.Keyring
	Assets     *web.Assets
	Log        *slog.Logger
	Now        func() time.Time // nil: time.Now
	Threshold  int              // numbers from 1 to this are hidden from managers; 0: figures.DefaultThreshold
	PublishDay int              // of the month after, on which a month is published without anybody; 0: a rep does
	Secure     bool             // served over TLS: cookies are sent over nothing else
	Alone      bool             // this process is the only one that reporting runs in: it needs no lease, and may erase from the stream
	Known      []check.Finding  // what was found before, for the operator
}

// Service is reporting. It is safe for concurrent use. It implements
// web.Authenticator for the sessions and tokens it gave out.
type Service struct {
	Operator

	keyring   *seal.Keyring
	bus       *bus.Bus
	log       *slog.Logger
	now       func() time.Time
	secure    bool
	alone     bool
	pages     *web.Pages
	directory atomic.Pointer[directory]

	cases    *casework.Service
	lessons  *lessons.Keeper
	floods   *floods.Service
	figures  *figures.Service
	editions *editions.Service
	follow   *followup.Service
	standing *standing.Checker
	checks   checksSeen
}

var _ web.Authenticator = (*Service)(nil)

// New opens the store and builds a Service that has not begun. The error says
// what the operator must mend: the database, or a master key that is not the
// one the stored words were sealed under. The caller closes the Service.
func New(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	st, err := openStore(ctx, cfg.Database)
	if err != nil {
		return nil, err
	}
	s, err := build(ctx, cfg, st)
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return s, nil
}

// openStore chooses the adapter by the database's name.
func openStore(ctx context.Context, database string) (store.Store, error) {
	if err := checkDatabaseName(database); err != nil {
		return nil, err
	}
	if mongo.IsAddress(database) {
		return mongo.Open(ctx, database)
	}
	return sqlite.Open(ctx, database)
}

// openExisting is openStore of a database that a service has begun: it returns
// store.ErrNotFound where none has, and has made nothing there.
func openExisting(ctx context.Context, database string) (store.Store, error) {
	if err := checkDatabaseName(database); err != nil {
		return nil, err
	}
	if mongo.IsAddress(database) {
		return mongo.OpenExisting(ctx, database)
	}
	return sqlite.OpenExisting(ctx, database)
}

// likeAnAddress matches "mongo://HOST", "HOST:27017" and "USER:PASSWORD@HOST":
// as a path each would begin an empty file, or be printed with what it keeps secret.
var likeAnAddress = regexp.MustCompile(`(?i)^[a-z][a-z0-9+.-]*:/|^[^/]+:[0-9]+(/|$)|^[^/]*@|^[^/]+:.*@`)

// checkDatabaseName returns what is wrong with a database's name, without the name.
func checkDatabaseName(database string) error {
	switch {
	case database == "":
		return errors.New("database: give the path of the SQLite file, or the address of a MongoDB")
	case !mongo.IsAddress(database) && likeAnAddress.MatchString(database):
		return errors.New("database: what is given looks like an address, and those of MongoDB begin with mongodb:// or mongodb+srv://; if it is a file’s name, begin it with ./")
	}
	return nil
}

// DatabaseName returns what may be shown of a database's name: a MongoDB's
// address without the user, the password and the options in it.
func DatabaseName(database string) string {
	if mongo.IsAddress(database) {
		return mongo.Redact(database)
	}
	return database
}

func build(ctx context.Context, cfg Config, st store.Store) (*Service, error) {
	if err := errors.Join(checkMasterKey(ctx, st, cfg.Keyring), moving.CheckFinished(ctx, st)); err != nil {
		return nil, err
	}
	own, err := fs.Sub(templates, "templates")
	if err != nil {
		return nil, err
	}
	pages, err := web.NewPages(cfg.Assets, own, web.Staff)
	if err != nil {
		return nil, err
	}
	s := &Service{Operator: Operator{store: st}, keyring: cfg.Keyring, bus: cfg.Bus, log: cfg.Log.With("category", "reporting"), now: cfg.Now, secure: cfg.Secure, alone: cfg.Alone, pages: pages}
	if err := s.loadDirectory(ctx); err != nil {
		return nil, err
	}
	folder := fold.New()
	s.projector = projector.New(projector.Config{Store: st, Folder: folder, Bus: cfg.Bus, Keyring: cfg.Keyring, MayErase: cfg.Alone,
		Employers: func(name string) string { return s.directory.Load().employer(name) }, Log: cfg.Log, Now: cfg.Now})
	s.cases = casework.New(casework.Config{Store: st, Folder: folder, Keyring: cfg.Keyring,
		SiteKnown: func(id string) bool { return s.directory.Load().knows(id) }, Now: cfg.Now})
	s.editions = editions.New(editions.Config{Store: st, Keyring: cfg.Keyring, Threshold: cfg.Threshold, Day: cfg.PublishDay, Settled: s.awaitCounted, Log: cfg.Log, Now: cfg.Now})
	s.figures = figures.New(st, s.editions, cfg.Now)
	s.lessons = lessons.New(lessons.Config{Store: st, Bus: cfg.Bus, Keyring: cfg.Keyring, Words: s.cases.Narrative, Log: cfg.Log, Producer: "reporting/" + run.Version, MayErase: cfg.Alone})
	s.floods = floods.New(floods.Config{Store: st, Folder: folder, Keyring: cfg.Keyring, Words: s.firstWords, Log: cfg.Log, Now: cfg.Now})
	s.follow = followup.New(st, cfg.Keyring, cfg.Log)
	s.auditor = audit.New(audit.Config{Store: st, Keyring: cfg.Keyring, Log: cfg.Log, Now: cfg.Now})
	s.people = people.New(people.Config{Store: st, Now: cfg.Now, Log: cfg.Log, Key: cfg.Keyring.Derive("sign-in limits"),
		Shared: func(ctx context.Context, name string, change func([]byte) []byte) error {
			return cfg.Bus.Update(ctx, bus.BucketSignIns, name, change)
		}})
	s.standing = standing.New(standing.Config{Store: st, Bus: cfg.Bus, MayErase: cfg.Alone, Known: cfg.Known, Log: cfg.Log, Now: cfg.Now,
		Apply: func(ctx context.Context, d bus.Delivery) error { return takeIn(ctx, s.projector, d) }})
	return s, nil
}

const masterKeyFact = "master_key_check"

// checkMasterKey compares the master key with the one the store was begun
// under. Another key could open nothing that is stored, and would seal new
// words so that two keys were needed from then on.
func checkMasterKey(ctx context.Context, st store.Store, k *seal.Keyring) error {
	want := k.MAC("master key check")
	got, err := st.Meta(ctx, masterKeyFact)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return st.SetMeta(ctx, masterKeyFact, want)
	case err != nil:
		return fmt.Errorf("master key: %w", err)
	case !hmac.Equal(got, want):
		return errors.New("the master key is not the one this database was made with: restore that key; without it nothing people wrote can be read")
	}
	return nil
}

// directoryEvery is how often the site directory is read and published again,
// for what was missed.
const directoryEvery = time.Minute

// Run waits until there is a stream. Then every instance answers
// intake’s questions and keeps to the site directory, and the one that leads consumes
// the stream, publishes the directory and audits, until ctx is done or one of
// them fails.
func (s *Service) Run(ctx context.Context) error {
	if s.bus.Await(ctx, need) != nil {
		return nil //nolint:nilerr // ctx is done
	}
	lead := s.lead
	if !s.alone {
		lead = func(ctx context.Context) error { return s.bus.Lead(ctx, bus.LeaseProjector, s.takeOver) }
	}
	return run.Parts(ctx, s.log,
		run.Part{Name: "answers to intake", Run: s.answerIntake},
		run.Part{Name: "site directory", Run: s.keepDirectory},
		run.Part{Name: "lead", Run: lead},
		run.Part{Name: "store", Run: s.watchStore},
	)
}

// takeOver leads after another instance, which may have been cut off with
// events in hand.
func (s *Service) takeOver(ctx context.Context) error {
	if err := s.bus.HandOutAgain(ctx, bus.ConsumerReporting); err != nil && ctx.Err() == nil {
		s.log.Warn("what the instance before had in hand is not handed out again yet", "error", err)
	}
	return s.lead(ctx)
}

// lead does what only one instance may do: it alone writes what the stream
// says and folds what others changed.
func (s *Service) lead(ctx context.Context) error {
	return run.Parts(ctx, s.log,
		run.Part{Name: "projector", Run: s.projector.Run},
		run.Part{Name: "what is done to many together", Run: s.floods.Run},
		run.Part{Name: "publishing of sites", Run: s.publishDirectory},
		run.Part{Name: "corrections", Run: s.lessons.Run},
		run.Part{Name: "audit", Run: func(ctx context.Context) error {
			s.auditor.Run(ctx)
			return nil
		}},
		run.Part{Name: "self-check", Run: s.standing.Run},
		run.Part{Name: "publishing of months", Run: s.editions.Run},
	)
}

// countedWithin is how long somebody who publishes a month waits until what was
// received before is counted.
const countedWithin = 5 * time.Second

// awaitCounted returns nil once everything that the stream held when it was
// called is read and counted, or an error after countedWithin.
func (s *Service) awaitCounted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, countedWithin)
	defer cancel()
	return s.bus.AwaitHandled(ctx, func(uint64) {})
}

// takeIn applies an event that the consumer did not bring, or puts it aside
// when nobody can read it.
func takeIn(ctx context.Context, p *projector.Projector, d bus.Delivery) error {
	err := p.Handle(ctx, []bus.Delivery{d})[0]
	if bus.IsPoison(err) {
		return p.Quarantine(ctx, d, err)
	}
	return err
}

const (
	storeEvery     = 5 * time.Second
	storeBrokenFor = time.Minute
)

// watchStore ends reporting once the disk or the file under the store has not
// worked for a minute: what a restart may mend. A server that is away or busy
// comes back by itself.
func (s *Service) watchStore(ctx context.Context) error {
	tick := time.NewTicker(storeEvery)
	defer tick.Stop()
	var since time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		err := s.store.Check(ctx)
		switch {
		case !errors.Is(err, store.ErrBroken):
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
			s.log.Error("the store cannot be written", "error", err)
		case time.Since(since) >= storeBrokenFor:
			return fmt.Errorf("it could not be written for %v: nothing that was received is lost, it is in the stream: %w", storeBrokenFor, err)
		}
	}
}

// Findings returns what the self-checks of this process have found so far.
func (s *Service) Findings() []check.Finding {
	return slices.Concat(s.standing.Findings(), s.auditor.Findings())
}

func (s *Service) answerIntake(ctx context.Context) error {
	err := errors.Join(s.follow.Serve(ctx, s.bus),
		s.bus.AnswerFirst(ctx, bus.SubjectFirstFiled, onrecordv1.FirstCopy),
		s.bus.AnswerFirst(ctx, bus.SubjectFirstAdded, onrecordv1.FirstCopy))
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// publishDirectory publishes the site directory for intake at once and every
// minute, when it changed. A failure is tried again: filing goes on with the
// directory that intake has.
func (s *Service) publishDirectory(ctx context.Context) error {
	return repeat(ctx, directoryEvery, func() {
		if err := s.people.PublishDirectory(ctx, s.bus); err != nil && ctx.Err() == nil {
			s.log.Error("the site directory was not published and will be tried again", "error", err)
		}
	})
}

// keepDirectory reads the site directory again whenever another instance
// published one, and every minute.
func (s *Service) keepDirectory(ctx context.Context) error {
	load := func() {
		if err := s.loadDirectory(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("the site directory could not be read and will be tried again", "error", err)
		}
	}
	if err := s.bus.WatchDirectory(ctx, func([]byte) { load() }); err != nil && ctx.Err() == nil {
		s.log.Warn("changes of the site directory are seen after a minute only", "error", err)
	}
	return repeat(ctx, directoryEvery, load)
}

// repeat calls do at once and again and again until ctx is done.
func repeat(ctx context.Context, pause time.Duration, do func()) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		do()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// need is what reporting uses of the topology.
var need = bus.Need{Consumer: bus.ConsumerReporting, Buckets: []string{bus.BucketDirectory, bus.BucketLeases, bus.BucketSignIns}, Photos: true}

// Check returns nil while reporting can do its work, or an error that names
// the part that cannot.
func (s *Service) Check(ctx context.Context) error {
	if err := s.store.Check(ctx); err != nil {
		return fmt.Errorf("store: it cannot be written: %w", err)
	}
	return s.bus.Check(ctx, need)
}

// Close closes the store. Run must have returned.
func (s *Service) Close() error { return s.store.Close() }

// asker returns who asks.
func asker(c *fiber.Ctx) web.Principal {
	who, _ := web.PrincipalOf(c)
	return who
}

// asPageFault turns wrong parameters in a page's address into a page that says
// what is wrong with them; there is no form to mend them in.
func asPageFault(err error) error {
	f := fault.As(err)
	if f.Kind != fault.Invalid || len(f.Fields) == 0 {
		return err
	}
	words := make([]string, len(f.Fields))
	for n, field := range f.Fields {
		words[n] = "“" + field.Name + "”: " + field.Message
	}
	return fault.New(fault.Invalid, f.Code, "The address asks for something that is not there. "+strings.Join(words, " "))
}
