// Package editions publishes months: it freezes what everybody may read of a
// month that is over, under a date and a number, and says what is frozen. An
// edition never changes; what came later makes another one, with a reason.
//
// # When a month is published again
//
// Its editions lie side by side, so their differences are read like a table of
// their own. What package figures hides keeps these as safe as the numbers. An
// edition that would show nothing new is refused: few late reports wait until
// there are more.
package editions

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/figures"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/packed"
)

// DefaultDay is the day of the month after on which a month is published.
const DefaultDay = 10

// MaxDay is the last day that every month has.
const MaxDay = 28

// MaxWhy is how many characters may say why a month is published again.
const MaxWhy = 300

// Config is what a Service needs. Every field but Threshold and Day is required.
type Config struct {
	Store     store.Store
	Keyring   *seal.Keyring
	Threshold int // numbers from 1 to this are hidden; below 1: figures.DefaultThreshold
	Day       int // of the month after, on which a month is published without anybody; 0: somebody does

	// Settled returns nil once everything that was received before it was called
	// is counted, or an error when that takes long.
	Settled func(context.Context) error

	Log *slog.Logger
	Now func() time.Time
}

// Service publishes months and reads what is published. It is safe for
// concurrent use. It implements figures.Archive.
type Service struct {
	store      store.Store
	keyring    *seal.Keyring
	threshold  int
	day        int
	settledNow func(context.Context) error
	log        *slog.Logger
	now        func() time.Time
}

var _ figures.Archive = (*Service)(nil)

// New returns a Service.
func New(c Config) *Service {
	if c.Threshold < 1 {
		c.Threshold = figures.DefaultThreshold
	}
	return &Service{c.Store, c.Keyring, c.Threshold, c.Day, c.Settled, c.Log.With("category", "editions"), c.Now}
}

// Request asks to publish a month.
type Request struct {
	Month  incident.Month
	Number int            // the edition that it makes: one more than whoever asks has seen
	Reason figures.Reason // of every edition but the first
	Why    string         // a sentence that everybody reads who may see the figures
	By     Publisher      // zero: nobody was needed
}

// Publisher is who publishes.
type Publisher struct{ ID, Name string }

// Refusals, in words for whoever wanted to publish.
var (
	errNotOver    = fault.New(fault.Conflict, "month_not_over", "This month is not over. Publish it when it is.")
	errNothing    = fault.New(fault.Conflict, "nothing_recorded", "Nothing was recorded yet in this month, so there is nothing to publish.")
	errPublished  = fault.New(fault.Conflict, "already_published", "This month was published meanwhile. Look at that edition first.")
	errAhead      = fault.New(fault.Conflict, "no_such_edition", "The month has no edition before this one. Publish the next number.")
	errUnchanged  = fault.New(fault.Conflict, "nothing_changed", "Nothing has changed since the last edition.")
	errTooLittle  = fault.New(fault.Conflict, "too_little_changed", "Too little has changed since an earlier edition: the difference would tell about few people. Publish again when more has come.")
	errUnsettled  = fault.New(fault.Unavailable, "still_counting", "Reports are still being counted. Try again in a minute.").Retry(time.Minute)
	errNoEdition  = fault.New(fault.NotFound, "not_found", "There is no such edition.")
	errTooMany    = fault.New(fault.Conflict, "too_many_editions", "A month can have no more editions.")
	errPublicForm = errors.New("an edition cannot be read")
)

// validate returns nil, or a fault.Invalid error with every field to mend.
func (r *Request) validate() error {
	r.Why = strings.TrimSpace(r.Why)
	var bad []fault.Field
	switch first := r.Number == 1; {
	case first && r.Reason != "":
		bad = append(bad, fault.Wrong("reason", "A first edition has no reason. Leave it out."))
	case !first && !slices.Contains(figures.Reasons, r.Reason):
		bad = append(bad, fault.Wrong("reason", "Choose why the month is published again: R1, R2, R3 or C."))
	}
	switch n := utf8.RuneCountInString(r.Why); {
	case r.Number == 1 && n > 0:
		bad = append(bad, fault.Wrong("why", "A first edition has no reason. Leave it out."))
	case r.Number != 1 && n == 0:
		bad = append(bad, fault.Wrong("why", "Say in a sentence why, for everybody who reads the figures."))
	case n > MaxWhy:
		bad = append(bad, fault.Wrong("why", "Use %d characters or fewer.", MaxWhy))
	case !utf8.ValidString(r.Why) || strings.ContainsFunc(r.Why, unicode.IsControl):
		bad = append(bad, fault.Wrong("why", "Write one line of text."))
	}
	if r.Number < 1 {
		bad = append(bad, fault.Wrong("edition", "Give the number of the edition to publish, from 1."))
	}
	if len(bad) > 0 {
		return fault.InvalidFields(bad)
	}
	return nil
}

// Publish publishes a month and returns the edition. Whoever asks must be
// entitled to all of its exact figures. Of several who publish the same edition
// one does it. Errors are faults in words for whoever asked.
func (s *Service) Publish(ctx context.Context, r Request) (figures.Edition, error) {
	if err := r.validate(); err != nil {
		return figures.Edition{}, err
	}
	earlier, err := s.earlier(ctx, r.Month)
	switch {
	case err != nil:
		return figures.Edition{}, err
	case len(earlier) >= r.Number:
		return figures.Edition{}, errPublished
	case len(earlier) < r.Number-1:
		return figures.Edition{}, errAhead
	}
	if !r.Month.Before(incident.MonthOf(s.now())) {
		return figures.Edition{}, errNotOver
	}
	if err := s.settled(ctx); err != nil {
		return figures.Edition{}, err
	}
	e, exact, err := s.next(ctx, r, earlier)
	if err != nil {
		return figures.Edition{}, err
	}
	return e, s.put(ctx, e, r.By, exact)
}

// Prepare returns the next edition of a month as it would read if somebody
// published it now, without a reason, and the refusal where it could not be
// published. Whoever asks must be entitled to all of its exact figures.
func (s *Service) Prepare(ctx context.Context, m incident.Month) (figures.Edition, error) {
	earlier, err := s.earlier(ctx, m)
	if err != nil {
		return figures.Edition{}, err
	}
	blank := figures.Edition{Month: m, Number: len(earlier) + 1}
	if !m.Before(incident.MonthOf(s.now())) {
		return blank, errNotOver
	}
	e, _, err := s.next(ctx, Request{Month: m, Number: blank.Number, By: Publisher{ID: "somebody"}}, earlier)
	if err != nil {
		return blank, err
	}
	return e, nil
}

// next makes an edition from the live figures, with the exact totals it is made
// from. It refuses one that is not worth while.
func (s *Service) next(ctx context.Context, r Request, earlier []figures.Earlier) (e figures.Edition, exact []byte, err error) {
	if r.Number > store.MaxEdition {
		return e, nil, errTooMany
	}
	rollup, err := s.store.Rollup(ctx, r.Month)
	if err == nil {
		rollup.Total() // of what is kept beside it, so that both are one
		err = s.worthwhile(ctx, r, rollup, earlier)
	}
	if err != nil {
		return e, nil, err
	}
	e = figures.Edition{Month: r.Month, Number: r.Number, PublishedAt: s.now().UTC().Truncate(time.Millisecond), Reason: r.Reason, Why: r.Why,
		Unit: figures.Incidents, Threshold: s.threshold, Figures: figures.Publish(r.Month, rollup.All, s.threshold, earlier...)}
	if len(earlier) > 0 {
		e.Changes = figures.Changes(earlier[len(earlier)-1].Edition.Figures, e.Figures)
		if !showsAny(e.Changes) {
			return e, nil, errTooLittle
		}
	}
	return e, packed.EncodeSites(rollup.Sites), nil
}

// showsAny reports whether some change shows both what it was and what it is.
func showsAny(changes []figures.Change) bool {
	return slices.ContainsFunc(changes, func(c figures.Change) bool { return !c.Before.Hidden && !c.After.Hidden })
}

// put freezes an edition. An inserted document is never written again, so two
// who publish at once cannot mix.
func (s *Service) put(ctx context.Context, e figures.Edition, by Publisher, exact []byte) error {
	public, err := json.Marshal(e)
	if err != nil {
		return err
	}
	stored := &store.Edition{Month: e.Month, Number: e.Number, PublishedAt: e.PublishedAt, By: by.Name, Public: public, Exact: exact}
	stored.MAC = macOf(s.keyring, stored)
	err = s.store.PutEdition(ctx, stored)
	if errors.Is(err, store.ErrExists) {
		return errPublished
	}
	if err == nil {
		s.log.Info("a month was published", "month", e.Month.String(), "edition", e.Number, "reason", string(e.Reason), "account", by.ID, "by_itself", by == Publisher{})
	}
	return err
}

// macOf returns the keyed hash that says an edition is as it was published.
func macOf(k *seal.Keyring, e *store.Edition) []byte {
	number, at := binary.BigEndian.AppendUint64(nil, uint64(e.Number)), binary.BigEndian.AppendUint64(nil, uint64(e.PublishedAt.UnixMilli()))
	return k.MAC("edition", []byte(e.Month.String()), number, at, []byte(e.By), e.Public, e.Exact)
}

// settled returns nil once everything received is in the figures.
func (s *Service) settled(ctx context.Context) error {
	if err := s.settledNow(ctx); err != nil {
		return errUnsettled.Because(err)
	}
	behind, err := s.store.Unfolded(ctx, 1)
	if err == nil && len(behind) > 0 {
		return errUnsettled
	}
	return err
}

// worthwhile refuses a month that is as it was in the edition before, and from
// a person one before anything was recorded: nobody could have.
func (s *Service) worthwhile(ctx context.Context, r Request, rollup *incident.Rollup, earlier []figures.Earlier) error {
	switch {
	case len(earlier) > 0 && slices.Equal(earlier[len(earlier)-1].Cells, rollup.All):
		return errUnchanged
	case len(earlier) > 0 || len(rollup.All) > 0 || r.By == Publisher{}:
		return nil
	}
	before, err := s.store.RollupCells(ctx, store.FirstMonth, rollup.Month)
	if err == nil && len(before) == 0 {
		return errNothing
	}
	return err
}

// earlier returns the editions of a month with the totals of all sites that
// they were made from, in order.
func (s *Service) earlier(ctx context.Context, m incident.Month) ([]figures.Earlier, error) {
	listed, err := s.store.ListEditions(ctx, m, m)
	if err != nil {
		return nil, err
	}
	earlier := make([]figures.Earlier, len(listed))
	for n, l := range listed {
		if earlier[n].Edition, err = read(l); err != nil {
			return nil, err
		}
		sites, err := s.Exact(ctx, m, l.Number)
		if err != nil {
			return nil, err
		}
		cells := make([][]incident.Cell, len(sites))
		for i, site := range sites {
			cells[i] = site.Cells
		}
		earlier[n].Cells = incident.Merge(cells...)
	}
	return earlier, nil
}

// read returns what an edition's frozen JSON says.
func read(e *store.Edition) (figures.Edition, error) {
	var public figures.Edition
	if err := json.Unmarshal(e.Public, &public); err != nil {
		return public, fmt.Errorf("edition %d of %s: %w: %w", e.Number, e.Month, errPublicForm, err)
	}
	return public, nil
}

// Editions implements figures.Archive.
func (s *Service) Editions(ctx context.Context, first, last incident.Month, number int) (map[incident.Month]figures.Edition, error) {
	listed, err := s.store.ListEditions(ctx, first, last)
	if err != nil {
		return nil, err
	}
	chosen := make(map[incident.Month]*store.Edition)
	for _, l := range listed { // in order of number
		if number == 0 || l.Number == number {
			chosen[l.Month] = l
		}
	}
	found := make(map[incident.Month]figures.Edition, len(chosen))
	for m, l := range chosen {
		if found[m], err = read(l); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Exact implements figures.Archive.
func (s *Service) Exact(ctx context.Context, m incident.Month, number int) ([]store.SiteMonth, error) {
	e, err := s.store.Edition(ctx, m, number)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoEdition
	}
	if err != nil {
		return nil, err
	}
	return exactOf(e)
}

func exactOf(e *store.Edition) ([]store.SiteMonth, error) {
	sites, err := packed.DecodeSites(e.Exact)
	if err != nil {
		return nil, fmt.Errorf("edition %d of %s: %w", e.Number, e.Month, err)
	}
	totals := make(map[incident.LedgerKey][]incident.Cell)
	for site, c := range sites {
		totals[incident.LedgerKey{Month: e.Month, Site: site}] = c.Cells
	}
	return store.InOrder(totals), nil
}

// Listed is an edition in a list.
type Listed struct {
	figures.Edition
	By     string // the name of whoever published it; "" when nobody was needed
	Newest bool   // of its month
}

// List returns every edition, the newest month first, and its newest edition first.
func (s *Service) List(ctx context.Context) ([]Listed, error) {
	stored, err := s.store.ListEditions(ctx, store.FirstMonth, store.LastMonth)
	if err != nil {
		return nil, err
	}
	slices.Reverse(stored)
	all := make([]Listed, len(stored))
	for n, e := range stored {
		all[n].By, all[n].Newest = e.By, n == 0 || stored[n-1].Month != e.Month
		if all[n].Edition, err = read(e); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Public returns an edition as it was frozen, JSON, always the same bytes. It
// returns fault.NotFound when there is none.
func (s *Service) Public(ctx context.Context, m incident.Month, number int) ([]byte, error) {
	e, err := s.store.Edition(ctx, m, number)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errNoEdition
	}
	if err != nil {
		return nil, err
	}
	return e.Public, nil
}

// Check returns how many editions there are, and a line for each that is not
// as it was published.
func Check(ctx context.Context, st store.Store, k *seal.Keyring) (n int, wrong []string, err error) {
	listed, err := st.ListEditions(ctx, store.FirstMonth, store.LastMonth)
	if err != nil {
		return 0, nil, err
	}
	var before *store.Edition
	for _, l := range listed {
		e, err := st.Edition(ctx, l.Month, l.Number)
		if err != nil {
			return n, nil, err
		}
		n++
		if why := differs(k, before, e); why != "" {
			wrong = append(wrong, fmt.Sprintf("edition %d of %s %s", e.Number, e.Month, why))
		}
		before = e
	}
	return n, wrong, nil
}

// differs says what is wrong with an edition, "" when nothing is.
func differs(k *seal.Keyring, before, e *store.Edition) string {
	public, err := read(e)
	switch {
	case !hmac.Equal(e.MAC, macOf(k, e)):
		return "is not as it was published"
	case err != nil || public.Month != e.Month || public.Number != e.Number || !public.PublishedAt.Equal(e.PublishedAt):
		return "says something else of itself than it is"
	}
	if _, err := exactOf(e); err != nil {
		return "has totals that cannot be read"
	}
	want := 1
	if before != nil && before.Month == e.Month {
		want = before.Number + 1
	}
	if e.Number != want {
		return fmt.Sprintf("follows no edition %d", e.Number-1)
	}
	return ""
}
