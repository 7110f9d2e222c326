package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	dialTimeout   = 5 * time.Second
	reconnectWait = time.Second
	sayAgain      = time.Minute // the same trouble is logged no more often
)

// Connect returns a connection for a service, whose inboxes are under a prefix
// of its own ("_INBOX.intake"), so that it may be let listen to these and no
// others'. When NATS takes us for nobody or its certificate is wrong, the error
// names the setting to mend. When no server can be reached, the connection is
// returned all the same and goes on trying for ever, and says so in the log;
// so it does whenever it is lost. Nothing is kept meanwhile to be sent later:
// whoever publishes learns at once that it was not stored.
func (s *Settings) Connect(ctx context.Context, service string, log *slog.Logger) (*nats.Conn, error) {
	nc, err := s.Dial(ctx, service, log)
	if !errors.Is(err, errAway) {
		return nc, err
	}
	log.Warn("NATS cannot be reached: trying on", "category", "nats", "error", err)
	return nats.Connect(s.url, append(s.options(service, log), nats.RetryOnFailedConnect(true))...)
}

var errAway = errors.New("NATS cannot be reached: check --nats-url, and whether the servers run")

// Dial is Connect for a command that somebody waits for: when no server can be
// reached, that is its error.
func (s *Settings) Dial(ctx context.Context, service string, log *slog.Logger) (*nats.Conn, error) {
	nc, err := nats.Connect(s.url, s.options(service, log)...)
	switch {
	case err == nil && ctx.Err() != nil:
		nc.Close()
		return nil, ctx.Err()
	case err == nil:
		log.Info("connected", "category", "nats", "server", nc.ConnectedUrlRedacted())
		if _, err := nc.TLSConnectionState(); err != nil && !s.local() {
			log.Warn("NATS is reached over the network without TLS: who signs in, which reports there are and what is counted can be read on the way; words stay sealed")
		}
		return nc, nil
	}
	if refused := s.refused(err); refused != nil {
		return nil, refused
	}
	return nil, fmt.Errorf("%w: %w", errAway, err)
}

func (s *Settings) options(service string, log *slog.Logger) []nats.Option {
	log = log.With("category", "nats")
	said := &once{log: log}
	return append(append([]nats.Option{
		nats.Name(service),
		nats.CustomInboxPrefix("_INBOX." + service),
		nats.Timeout(dialTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(20 * time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("the connection was lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			said.forget()
			log.Info("connected", "server", nc.ConnectedUrlRedacted())
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { said.warn("NATS cannot be reached: trying on", s.inWords(err)) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { said.warn("NATS", clean(err)) }),
	}, s.who()...), s.secure()...)
}

// inWords says what to mend where that is known.
func (s *Settings) inWords(err error) error {
	if refused := s.refused(err); refused != nil {
		return refused
	}
	return err
}

// once logs the same trouble now and then, not each time.
type once struct {
	log  *slog.Logger
	mu   sync.Mutex
	what string
	at   time.Time
}

func (o *once) warn(message string, err error) {
	what := message + err.Error()
	o.mu.Lock()
	again := what == o.what && time.Since(o.at) < sayAgain
	if !again {
		o.what, o.at = what, time.Now()
	}
	o.mu.Unlock()
	if !again {
		o.log.Warn(message, "error", err)
	}
}

func (o *once) forget() {
	o.mu.Lock()
	o.what = ""
	o.mu.Unlock()
}

// quoted is a subject as NATS quotes it.
var quoted = regexp.MustCompile(`"[^"]*"`)

// clean takes the ids of reports out of an error about a subject.
func clean(err error) error {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	return errors.New(quoted.ReplaceAllStringFunc(err.Error(), func(subject string) string {
		tokens := strings.Split(strings.Trim(subject, `"`), ".")
		if i := slices.Index(tokens, "report"); i >= 0 && i+2 < len(tokens) {
			tokens = append(tokens[:i+2], "…")
		}
		return `"` + strings.Join(tokens, ".") + `"`
	}) + ": this user lacks a permission that the service needs, see deployments/nats")
}
