package standing

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/check"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Walk reads every event of the stream and holds those that were acknowledged
// against the store, in memory that does not grow with the stream. What the store lacks is taken in
// and told. Progress is called now and then with the events done.
func (c *Checker) Walk(ctx context.Context, progress func(done int)) error {
	h, err := c.bus.Health(ctx)
	if err != nil {
		return err
	}
	w := &walk{c: c}
	due := ackFloor(h)
	unreadable, err := c.bus.Walk(ctx, h.LastSeq, func(p bus.Place) error {
		if p.Seq > due {
			return nil // it is still to be handed on; whether it can be read is known already
		}
		if w.done++; w.done%10_000 == 0 {
			progress(w.done)
		}
		return w.look(ctx, p)
	})
	if err == nil {
		err = w.settle(ctx)
	}
	if err != nil {
		return err
	}
	progress(w.done)
	var found []check.Finding
	if w.taken > 0 {
		found = append(found, check.Alarmf("events_missed",
			"They are in the figures now. Look in the log for what happened before, and keep a copy of it.",
			"%d events of the stream were acknowledged and not in the store. They have been taken in now.", w.taken))
	}
	if w.missing > 0 {
		found = append(found, check.Alarmf("events_missing",
			"Run “onrecord doctor” again, of services apart “onrecord admin doctor”; if it stays, keep a copy of the data and ask for help.",
			"%d events of the stream are not in the store and could not be taken in: %v", w.missing, w.cause))
	}
	if err := w.lookAtErased(ctx); err != nil {
		return err
	}
	if w.back > 0 {
		found = append(found, check.Warningf("erased_returned",
			"“onrecord admin erase --returned” removes them.",
			"%d events of the stream are about reports that were erased. They count nowhere, and their words are sealed, but they are there.", w.back))
	}
	if unreadable > 0 {
		found = append(found, check.Alarmf("stream_unreadable",
			"Look for a failing disk, and make a backup now.",
			"%d events of the stream cannot be read any more. What of them had been counted is safe.", unreadable))
	}
	c.mu.Lock()
	c.walked = found
	c.gauge.Set(slices.Concat(c.lost, c.looked, c.walked))
	c.mu.Unlock()
	for _, f := range found {
		c.log.Error("self-check", "code", f.Code, "finding", f.What, "next", f.Next)
	}
	if len(found) == 0 {
		c.log.Info("self-check: the store holds every event of the stream", "events", w.done)
	}
	return nil
}

// ackFloor returns up to where the stream must be in the store.
func ackFloor(h bus.Health) uint64 {
	for _, con := range h.Consumers {
		if con.Name == bus.ConsumerReporting {
			return min(con.AckFloor, h.LastSeq)
		}
	}
	return 0
}

// walk is one pass over the stream.
type walk struct {
	c       *Checker
	last    *incident.Incident // that of the event before: an event and its classification often follow each other
	lastID  string             // its report
	done    int
	absent  []string // subjects the store seems to lack
	taken   int
	missing int
	cause   error    // why the last of them could not be taken in
	erased  []string // subjects of reports that were erased
	back    int      // of such, how many are in the stream
}

const (
	settleAt    = 256 // bounds how many subjects a walk remembers
	walkRetries = 3
	retryWait   = time.Second
)

func (w *walk) look(ctx context.Context, p bus.Place) error {
	held, err := w.holds(ctx, p.Subject)
	if err != nil || held {
		return err
	}
	w.absent = append(w.absent, p.Subject)
	if len(w.absent) >= settleAt {
		return w.settle(ctx)
	}
	return nil
}

// holds reports whether the store holds an event: applied, waiting for its
// report, or put aside.
func (w *walk) holds(ctx context.Context, subject string) (bool, error) {
	eventType, tokens := split(subject)
	if len(tokens) == 0 {
		return w.c.isQuarantined(ctx, subject)
	}
	if w.lastID != tokens[0] {
		i, err := w.c.store.IncidentByReport(ctx, tokens[0])
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		w.last, w.lastID = i, tokens[0]
	}
	if w.last != nil && len(w.last.WrappedKey) == 0 {
		if w.erased = append(w.erased, subject); len(w.erased) >= settleAt {
			return true, w.lookAtErased(ctx)
		}
		return true, nil // nothing more is taken in
	}
	if eventType == bus.TypeCorrected {
		return true, nil // it came from the store
	}
	if w.last != nil && applied(w.last, eventType, tokens) {
		return true, nil
	}
	if held, err := w.c.isQuarantined(ctx, subject); err != nil || held {
		return held, err
	}
	waiting, err := w.c.store.Pending(ctx, tokens[0])
	return slices.ContainsFunc(waiting, func(p store.Pending) bool { return p.Subject == subject }), err
}

// split returns the type of a subject and the tokens after it.
func split(subject string) (eventType string, tokens []string) {
	for _, t := range []string{bus.TypeFiled, bus.TypeClassified, bus.TypeAdded, bus.TypeCorrected} {
		if rest, ok := strings.CutPrefix(subject, t+"."); ok {
			return t, strings.Split(rest, ".")
		}
	}
	return "", nil
}

// applied reports whether an incident shows the event.
func applied(i *incident.Incident, eventType string, tokens []string) bool {
	switch {
	case eventType == bus.TypeFiled:
		return true
	case len(tokens) != 2:
		return false
	case eventType == bus.TypeClassified:
		return slices.ContainsFunc(i.Readings, func(r incident.Reading) bool { return r.ReportID == tokens[0] && r.Model == tokens[1] })
	}
	return slices.ContainsFunc(i.Timeline, func(ch incident.Change) bool { return ch.Event == tokens[1] })
}

func (c *Checker) isQuarantined(ctx context.Context, subject string) (bool, error) {
	_, err := c.store.Quarantined(ctx, subject)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// lookAtErased removes what is in the stream of erased reports: what was
// published about one while it was erased, or sent again later. Where this
// process may not, it counts it. One that was only being erased is gone by now.
func (w *walk) lookAtErased(ctx context.Context) error {
	subjects := w.erased
	w.erased = nil
	for _, subject := range subjects {
		_, err := w.c.bus.Get(ctx, subject)
		switch {
		case fault.KindOf(err) == fault.NotFound:
			continue
		case err != nil:
			return err
		case !w.c.mayErase:
			w.back++
			continue
		}
		_, tokens := split(subject)
		if err := EraseReport(ctx, w.c.store, w.c.bus, tokens[0]); err != nil {
			return err
		}
	}
	return nil
}

// settle takes in what the store lacks. An event that is no longer in the
// stream was erased meanwhile.
func (w *walk) settle(ctx context.Context) error {
	subjects := w.absent
	w.absent, w.last, w.lastID = nil, nil, ""
	for _, subject := range subjects {
		stored, err := w.c.bus.Get(ctx, subject)
		if fault.KindOf(err) == fault.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		for try := 0; ; try++ {
			err = w.c.apply(ctx, bus.Delivery{Subject: subject, Data: stored.Data, Seq: stored.Seq, Deliveries: 1, At: stored.At})
			if err == nil || try == walkRetries {
				break
			}
			select {
			case <-time.After(retryWait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err != nil {
			w.missing, w.cause = w.missing+1, err
		} else {
			w.taken++
		}
	}
	return nil
}
