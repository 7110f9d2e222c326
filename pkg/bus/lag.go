package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// What is read by subject comes from any server that has a copy of the stream,
// and one may lag behind: what a majority has on disk is not there yet. So
// nothing is absent before the stream's leader says so.
const (
	lagPatience = 3 * time.Second
	lagPause    = 20 * time.Millisecond
)

var errLag = errors.New("the stream’s leader has it, and the server that was asked has not yet")

// insist calls read again while it returns absent, although the leader of the
// stream has something under the subject. It returns absent when the leader has
// nothing, and another error while nobody can tell. A server by itself lags behind
// nobody, and is not asked twice: with each new photo it is asked whether it has a
// report that it has not.
func insist(ctx context.Context, stream jetstream.Stream, subject string, absent error, read func() error) error {
	if c := stream.CachedInfo().Cluster; c == nil || c.Name == "" {
		return read()
	}
	tick := time.NewTicker(lagPause)
	defer tick.Stop()
	for until := time.Now().Add(lagPatience); ; {
		err := read()
		if !errors.Is(err, absent) {
			return err
		}
		info, failed := stream.Info(ctx, jetstream.WithSubjectFilter(subject))
		if failed != nil {
			return failed
		}
		if info.State.Subjects[subject] == 0 {
			return err
		}
		if time.Now().After(until) {
			return errLag
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
