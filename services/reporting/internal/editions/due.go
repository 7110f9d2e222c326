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

// Due returns when a month is published without anybody, the beginning of a
// day in London; zero where somebody publishes.
func (s *Service) Due(m incident.Month) time.Time {
	if s.day == 0 {
		return time.Time{}
	}
	next := m.Add(1)
	return time.Date(next.Year, next.Month, s.day, 0, 0, 0, 0, incident.London)
}

// Expected implements figures.Archive.
func (s *Service) Expected(ctx context.Context, m incident.Month) (time.Time, error) {
	if s.day == 0 {
		return time.Time{}, nil
	}
	first, _, err := s.begin(ctx)
	if err != nil || m.Before(first) {
		return time.Time{}, err
	}
	return s.Due(m), nil
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
	m, isNew, err := s.begin(ctx)
	if err == nil && isNew {
		err = s.store.SetMeta(ctx, beginFact, []byte(m.String()))
	}
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
// it is the first with incidents when months were first to be published, or the
// month then running, so that nobody reads of a time in which nothing could be
// recorded; isNew says that this was not noted before.
func (s *Service) begin(ctx context.Context) (m incident.Month, isNew bool, err error) {
	running := incident.MonthOf(s.now())
	published, err := s.store.ListEditions(ctx, running.Add(-figures.MaxMonths), running)
	if err != nil {
		return running, false, err
	}
	if len(published) > 0 {
		return published[len(published)-1].Month.Add(1), false, nil
	}
	known, err := s.store.Meta(ctx, beginFact)
	if err == nil {
		m, err = incident.ParseMonth(string(known))
		return m, false, err
	}
	if !errors.Is(err, store.ErrNotFound) {
		return running, false, err
	}
	counted, err := s.store.RollupCells(ctx, running.Add(1-figures.MaxMonths), running)
	if err != nil {
		return running, false, err
	}
	m = running
	for c := range counted {
		if c.Before(m) {
			m = c
		}
	}
	return m, true, nil
}
