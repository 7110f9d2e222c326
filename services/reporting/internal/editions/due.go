package editions

import (
	"context"
	"errors"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/figures"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// dueEvery is how often it is looked whether a month is due.
const dueEvery = time.Minute

// beginFact is the first month that is published without anybody.
const beginFact = "editions_begin"

// Due implements figures.Archive: the beginning of the day in London.
func (s *Service) Due(m incident.Month) time.Time {
	if s.day == 0 {
		return time.Time{}
	}
	next := m.Add(1)
	return time.Date(next.Year, next.Month, s.day, 0, 0, 0, 0, incident.London)
}

// Run publishes every month that is due, at once and every minute, until ctx
// is done. Where several instances share a store, only one should run it; if two
// do, each month is still published once.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(dueEvery)
	defer tick.Stop()
	for {
		if _, err := s.PublishDue(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("a month that is due was not published and will be tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// PublishDue publishes every month that is due and has no edition, and returns
// how many it published. It goes only forward: a month that somebody left out
// stays theirs, so that no late report publishes a month of long ago, and with it
// the hour in which it came.
func (s *Service) PublishDue(ctx context.Context) (n int, err error) {
	if s.day == 0 {
		return 0, nil
	}
	m, err := s.begin(ctx)
	for ; err == nil && !s.now().Before(s.Due(m)); m = m.Add(1) {
		switch _, err = s.Publish(ctx, Request{Month: m, Number: 1}); {
		case err == nil:
			n++
		case errors.Is(err, errPublished): // somebody was quicker
			err = nil
		}
	}
	return n, err
}

// begin returns the month after the newest that is published. While none is,
// it is the first with incidents when this was first asked, or the month then
// running, so that nobody reads of a time in which nothing could be recorded.
func (s *Service) begin(ctx context.Context) (incident.Month, error) {
	running := incident.MonthOf(s.now())
	published, err := s.store.ListEditions(ctx, running.Add(-figures.MaxMonths), running)
	if err != nil {
		return running, err
	}
	if len(published) > 0 {
		return published[len(published)-1].Month.Add(1), nil
	}
	known, err := s.store.Meta(ctx, beginFact)
	if err == nil {
		return incident.ParseMonth(string(known))
	}
	if !errors.Is(err, store.ErrNotFound) {
		return running, err
	}
	counted, err := s.store.RollupCells(ctx, running.Add(1-figures.MaxMonths), running)
	if err != nil {
		return running, err
	}
	begin := running
	for m := range counted {
		if m.Before(begin) {
			begin = m
		}
	}
	return begin, s.store.SetMeta(ctx, beginFact, []byte(begin.String()))
}
