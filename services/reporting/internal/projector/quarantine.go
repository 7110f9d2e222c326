package projector

import (
	"context"
	"errors"
	"fmt"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Quarantine keeps a delivery that nobody can read, as it came. Where it is a
// report, an incident of which nothing is known stands in for it, so that it
// is counted: at an unlisted site, when the stream stored it. Run calls it.
func (p *Projector) Quarantine(ctx context.Context, d bus.Delivery, cause error) error {
	kind, tokens, err := parseSubject(d.Subject)
	isReport := err == nil && kind == bus.TypeFiled
	err = p.folder.Group(ctx, p.store, func(tx store.Store) ([]*incident.Incident, error) {
		if err := p.putQuarantined(ctx, tx, d, cause); err != nil || !isReport {
			return nil, err
		}
		return p.standIn(ctx, tx, d, tokens[0])
	})
	if err != nil {
		return err
	}
	quarantined(kind).Inc()
	p.log.Error("a message cannot be read and was put aside", "seq", d.Seq, "type", kind, "counted", isReport, "cause", cause)
	return nil
}

// putQuarantined keeps the delivery. One that somebody replayed with success
// stays so.
func (p *Projector) putQuarantined(ctx context.Context, tx store.Store, d bus.Delivery, cause error) error {
	switch held, err := tx.Quarantined(ctx, d.Subject); {
	case err == nil && !held.ReplayedAt.IsZero():
		return nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	}
	return tx.PutQuarantined(ctx, &store.Quarantined{Subject: d.Subject, Seq: d.Seq, Data: d.Data, Cause: cause.Error(), At: d.At})
}

// standIn opens an incident for a report that cannot be read, unless there is
// one already.
func (p *Projector) standIn(ctx context.Context, tx store.Store, d bus.Delivery, reportID string) ([]*incident.Incident, error) {
	w := newWork(p, tx)
	c, err := w.load(ctx, reportID)
	if err != nil {
		return nil, err
	}
	if c == nil {
		c = w.open(reportID)
		at := milliseconds(d.At)
		c.ReceivedAt = at
		c.Locate(incident.SiteUnlisted, at)
		c.Reports = []incident.FiledReport{{ID: reportID, ReceivedAt: at, ContactChoice: incident.ContactAnonymous,
			Kind: incident.KindUnknown, Channel: incident.ChannelUnknown, Target: incident.TargetUnknown}}
		err := p.timeline.Append(c.Incident, incident.Change{At: at, By: incident.Actor{Role: "machine"}, Action: incident.ActionUnreadable, To: string(c.Status)}, "")
		if err != nil {
			return nil, err
		}
		c.touch()
	}
	if err := w.settle(ctx, c, reportID); err != nil {
		return nil, err
	}
	return w.store(ctx)
}

// Replay reads a quarantined message again. When it can be read now, it is
// applied, and the incident that stood in for a report takes what it holds;
// what people did to that incident in the meantime stands. It returns
// fault.NotFound when there is no such message and fault.Conflict when it
// still cannot be read. Replaying twice does nothing more.
func (p *Projector) Replay(ctx context.Context, subject string) error {
	q, err := p.store.Quarantined(ctx, subject)
	if errors.Is(err, store.ErrNotFound) {
		return fault.New(fault.NotFound, "not_found", "There is no such message in quarantine.")
	}
	if err != nil {
		return err
	}
	ev, err := p.decode(bus.Delivery{Subject: q.Subject, Data: q.Data, Seq: q.Seq, At: q.At})
	if err != nil {
		return fault.New(fault.Conflict, "still_unreadable", fmt.Sprintf("The message still cannot be read: %v.", err)).Because(err)
	}
	events := []event{ev}
	if err := p.apply(ctx, events); err != nil {
		return err
	}
	if err := p.takeAll(ctx, events[0]); err != nil {
		return err
	}
	return p.store.Group(ctx, func(tx store.Store) error {
		held, err := tx.Quarantined(ctx, subject)
		if err != nil || !held.ReplayedAt.IsZero() { // its content may have been erased meanwhile
			return err
		}
		held.ReplayedAt = milliseconds(p.now())
		return tx.PutQuarantined(ctx, held)
	})
}
