// Package floods finds reports that came in a flood, and sets them aside
// together, or takes them back.
//
// What makes a flood: within one hour of the clock (UTC) at least Least reports
// were received about one site; hours that follow each other are one flood. That
// is all: no words are judged, and nothing is hidden or left out of a figure
// because of it. A person looks, and a person sets aside.
//
// So that this does not take honest reports with it, those of a flood that are
// alike are told from the rest: the same words, or nearly, see alike.
//
// What is set aside together is written down first, incident by incident
// (store.JointChange), and carried out a few at a time by the instance that
// leads. It goes on where it was cut off, does nothing twice, and passes over
// what somebody changed meanwhile so that it does not fit any more.
package floods

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/fold"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/timeline"
)

const (
	// Least is how many reports about one site within an hour are a flood. A
	// large office in an emergency may get there: then a person says so.
	Least = 50
	// Kept is how long a flood is shown after it.
	Kept = 14 * 24 * time.Hour

	batchSize    = 100 // incidents of one commit
	carryEvery   = time.Second
	readAtOnce   = store.MaxPage
	rememberLook = 10 * time.Second // for the list, which is opened often
)

// Config is what a Service needs. Every field is required.
type Config struct {
	Store   store.Store
	Folder  *fold.Folder // the process's one
	Keyring *seal.Keyring
	// Words returns what the first reporter of an incident wrote, "" where that is
	// nothing or cannot be read.
	Words func(*incident.Incident) string
	Log   *slog.Logger
	Now   func() time.Time
}

// Service is safe for concurrent use.
type Service struct {
	store    store.Store
	folder   *fold.Folder
	keyring  *seal.Keyring
	timeline *timeline.Keeper
	words    func(*incident.Incident) string
	log      *slog.Logger
	now      func() time.Time

	looking singleflight.Group // by the flood's id
	mu      sync.Mutex
	looked  map[string]looked // what was seen last of each flood
}

// looked is what was seen of a flood: no words.
type looked struct {
	at time.Time
	View
}

// New returns a Service.
func New(c Config) *Service {
	return &Service{store: c.Store, folder: c.Folder, keyring: c.Keyring, timeline: timeline.NewKeeper(c.Keyring), words: c.Words,
		log: c.Log.With("category", "floods"), now: c.Now, looked: make(map[string]looked)}
}

// Flood is reports about one site that came at once.
type Flood struct {
	ID        string // of the site and the first hour; good for an address
	Site      string
	From, To  time.Time // whole hours
	Incidents int
}

// Holds reports whether an incident came in the flood.
func (f Flood) Holds(i *incident.Incident) bool {
	return i.Site == f.Site && !i.ReceivedAt.Before(f.From) && i.ReceivedAt.Before(f.To)
}

func (f Flood) received() store.Received {
	return store.Received{Site: f.Site, From: f.From, To: f.To, Limit: readAtOnce}
}

// View is what a person sees of a flood.
type View struct {
	Flood
	First, Last time.Time // when the first and the last of them were received
	Counted     int       // of Incidents, those that are in the figures
	Open        int       // of Incidents, those that somebody still has to do something about
	SetAside    int       // of Incidents
	Alike       int       // of Incidents, those in the same words as Example, or nearly
	AlikeSame   int       // of Alike, those in the very same words
	AlikeIn     int       // of Alike, those that are in the figures
	Wordless    bool      // Alike are so by what was chosen: they have no words
	ExampleID   string    // the first of those that are alike
}

var errNoFlood = fault.New(fault.NotFound, "not_found", "There is no such flood, or it is not at one of your sites.")

// List returns the floods at some sites, the newest first; nil is every site.
func (s *Service) List(ctx context.Context, sites []string) ([]Flood, error) {
	arrivals, err := s.store.CountArrivals(ctx, sites, s.now().Add(-Kept).Truncate(time.Hour))
	if err != nil {
		return nil, err
	}
	var found []Flood
	for _, a := range arrivals {
		if a.Incidents < Least {
			continue
		}
		if n := len(found) - 1; n >= 0 && found[n].Site == a.Site && found[n].To.Equal(a.Hour) {
			found[n].To, found[n].Incidents = a.Hour.Add(time.Hour), found[n].Incidents+a.Incidents
			continue
		}
		found = append(found, Flood{ID: idOf(a.Site, a.Hour), Site: a.Site, From: a.Hour, To: a.Hour.Add(time.Hour), Incidents: a.Incidents})
	}
	slices.SortStableFunc(found, func(a, b Flood) int { return b.From.Compare(a.From) })
	return found, nil
}

func idOf(site string, hour time.Time) string {
	return strconv.FormatInt(store.HourOf(hour), 10) + "-" + site
}

// siteOf returns the site of a flood's id, and whether it is one.
func siteOf(id string) (site string, ok bool) {
	_, site, ok = strings.Cut(id, "-")
	return site, ok
}

// find returns the flood with an id, or fault.NotFound.
func (s *Service) find(ctx context.Context, id string, sites []string) (Flood, error) {
	site, ok := siteOf(id)
	if !ok || sites != nil && !slices.Contains(sites, site) {
		return Flood{}, errNoFlood
	}
	all, err := s.List(ctx, []string{site})
	if err != nil {
		return Flood{}, err
	}
	n := slices.IndexFunc(all, func(f Flood) bool { return f.ID == id })
	if n < 0 {
		return Flood{}, errNoFlood
	}
	return all[n], nil
}

// Glance returns what is seen of a flood, perhaps as it was some seconds ago.
func (s *Service) Glance(ctx context.Context, f Flood) (View, error) {
	s.mu.Lock()
	last, ok := s.looked[f.ID]
	s.mu.Unlock()
	if ok && s.now().Sub(last.at) < rememberLook {
		return last.View, nil
	}
	v, err, _ := s.looking.Do(f.ID, func() (any, error) {
		v, _, err := s.look(context.WithoutCancel(ctx), f)
		return v, err
	})
	if err != nil {
		return View{}, err
	}
	return v.(View), nil
}

// Look returns what is seen of the flood with an id, and what was done to it,
// oldest first. It returns fault.NotFound where there is none at the sites.
func (s *Service) Look(ctx context.Context, id string, sites []string) (View, []*store.JointChange, error) {
	f, err := s.find(ctx, id, sites)
	if err != nil {
		return View{}, nil, err
	}
	v, _, err := s.look(ctx, f)
	if err != nil {
		return View{}, nil, err
	}
	changes, err := s.store.JointChanges(ctx, id)
	return v, changes, err
}

// Incidents returns a page of a flood's incidents in the order in which they were
// received, after the one with an id; "" for the first page. Unlike leaves out
// those that are alike.
func (s *Service) Incidents(ctx context.Context, f Flood, unlike bool, after string, limit int) ([]*incident.Incident, error) {
	if unlike {
		return s.unlike(ctx, f, after, limit)
	}
	r := f.received()
	r.Limit = limit
	if after != "" {
		i, err := s.store.Incident(ctx, after)
		if errors.Is(err, store.ErrNotFound) || err == nil && !f.Holds(i) {
			return nil, errNotInFlood
		}
		if err != nil {
			return nil, err
		}
		r.After = i
	}
	return s.store.ListReceived(ctx, r)
}

var errNotInFlood = fault.InvalidFields([]fault.Field{{Name: "after", Message: "That is not an incident of this flood."}})

func (s *Service) unlike(ctx context.Context, f Flood, after string, limit int) ([]*incident.Incident, error) {
	_, members, err := s.look(ctx, f)
	if err != nil {
		return nil, err
	}
	if after != "" {
		n := slices.IndexFunc(members, func(m member) bool { return m.id == after })
		if n < 0 {
			return nil, errNotInFlood
		}
		members = members[n+1:]
	}
	var page []*incident.Incident
	for _, m := range members {
		if m.isAlike {
			continue
		}
		if len(page) == limit {
			break
		}
		i, err := s.store.Incident(ctx, m.id)
		if err != nil {
			return nil, err
		}
		page = append(page, i)
	}
	return page, nil
}

// member is an incident of a flood as far as it matters here.
type member struct {
	id       string
	received time.Time
	status   incident.Status
	said
	isAlike bool
}

// look reads a flood: everything of it that somebody may want to set aside.
func (s *Service) look(ctx context.Context, f Flood) (View, []member, error) {
	var members []member
	for r := f.received(); ; {
		page, err := s.store.ListReceived(ctx, r)
		if err != nil {
			return View{}, nil, err
		}
		for _, i := range page {
			members = append(members, member{id: i.ID, received: i.ReceivedAt, status: i.Status, said: saidBy(i, s.words(i))})
		}
		if len(page) < r.Limit {
			break
		}
		r.After = page[len(page)-1]
	}
	v := View{Flood: f}
	v.Incidents = len(members)
	pattern := mostSaid(members)
	for n := range members {
		m := &members[n]
		if n == 0 {
			v.First = m.received
		}
		v.Last = m.received
		m.isAlike = pattern != nil && pattern.alike(m.said)
		counts := m.status.Counts()
		v.Counted += one(counts)
		v.Open += one(m.status.IsOpen())
		v.SetAside += one(m.status == incident.StatusSetAside)
		if m.isAlike {
			if v.Alike == 0 {
				v.ExampleID, v.Wordless = m.id, m.text == ""
			}
			v.Alike++
			v.AlikeSame += one(m.said.is(*pattern))
			v.AlikeIn += one(counts)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.looked) > 100 {
		clear(s.looked)
	}
	s.looked[f.ID] = looked{s.now(), v}
	return v, members, nil
}

func (s *Service) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.looked, id)
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Which of a flood are meant.
const (
	WhichAlike = "alike" // those that are alike
	WhichAll   = "all"
)

// Ask is what somebody asks to be done to a flood.
type Ask struct {
	Which  string    // WhichAlike, WhichAll
	Until  time.Time // when the newest that they saw was received: later ones are not meant
	Reason string    // in words
}

// SetAside begins to set a flood's incidents aside, those that are in the
// figures. It returns once that is written down; Run carries it out. It returns
// fault.Invalid naming what to mend, fault.NotFound, and fault.Conflict when
// there are none, or something is being done to the flood already.
func (s *Service) SetAside(ctx context.Context, id string, sites []string, by incident.Actor, ask Ask) (*store.JointChange, error) {
	f, err := s.find(ctx, id, sites)
	if err != nil {
		return nil, err
	}
	var bad []fault.Field
	if ask.Which != WhichAlike && ask.Which != WhichAll {
		bad = append(bad, fault.Field{Name: "which", Message: "Choose which of them to set aside: alike or all."})
	}
	if ask.Until.IsZero() {
		bad = append(bad, fault.Field{Name: "until", Message: "Say up to when you have looked: the time when the last that you saw was received."})
	}
	reason, err := reasonOf(ask.Reason, bad)
	if err != nil {
		return nil, err
	}
	_, members, err := s.look(ctx, f)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, m := range members {
		if m.status.Counts() && !m.received.After(ask.Until) && (ask.Which == WhichAll || m.isAlike) {
			ids = append(ids, m.id)
		}
	}
	ids = ids[:min(len(ids), store.MaxJointChange)]
	return s.begin(ctx, &store.JointChange{Flood: id, Action: incident.ActionSetAside, Incidents: ids, By: by}, reason)
}

// TakeBack begins to take back what one change set aside, those that still are.
// It returns as SetAside does.
func (s *Service) TakeBack(ctx context.Context, id string, sites []string, by incident.Actor, change, reason string) (*store.JointChange, error) {
	if site, ok := siteOf(id); !ok || sites != nil && !slices.Contains(sites, site) {
		return nil, errNoFlood
	}
	reason, err := reasonOf(reason, nil)
	if err != nil {
		return nil, err
	}
	changes, err := s.store.JointChanges(ctx, id)
	if err != nil {
		return nil, err
	}
	n := slices.IndexFunc(changes, func(c *store.JointChange) bool { return c.ID == change && c.Action == incident.ActionSetAside })
	switch {
	case len(changes) == 0:
		return nil, errNoFlood
	case n < 0:
		return nil, fault.InvalidFields([]fault.Field{{Name: "change", Message: "Nothing was set aside under that name."}})
	case slices.ContainsFunc(changes, func(c *store.JointChange) bool { return c.Of == change }):
		return nil, fault.New(fault.Conflict, "taken_back", "These were taken back already.")
	}
	return s.begin(ctx, &store.JointChange{Flood: id, Action: incident.ActionTakenBack, Of: change, Incidents: changes[n].Incidents, By: by}, reason)
}

func reasonOf(text string, bad []fault.Field) (string, error) {
	text = incident.CleanText(text)
	message := incident.CheckText("The reason", text, incident.MaxNote)
	if text == "" {
		message = "The reason is missing. Write it in a few words."
	}
	if message != "" {
		bad = append(bad, fault.Field{Name: "reason", Message: message})
	}
	if len(bad) > 0 {
		return "", fault.InvalidFields(bad)
	}
	return text, nil
}

// begin writes a change down.
func (s *Service) begin(ctx context.Context, c *store.JointChange, reason string) (*store.JointChange, error) {
	if len(c.Incidents) == 0 {
		return nil, fault.New(fault.Conflict, "nothing_left", "None of these is in the figures any more. Look at them again.")
	}
	before, err := s.store.JointChanges(ctx, c.Flood)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(before, func(c *store.JointChange) bool { return !c.Finished() }) {
		return nil, fault.New(fault.Conflict, "under_way", "Something is being done to these already. Wait until it has ended.")
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	c.ID, c.Rev, c.At = id.String(), 1, s.now().UTC().Truncate(time.Millisecond)
	var key seal.DataKey
	key, c.WrappedKey = s.keyring.NewDataKey()
	c.SealedReason = key.Seal([]byte(reason), "joint change", c.ID)
	if err := s.store.InsertJointChange(ctx, c); err != nil {
		return nil, err
	}
	s.log.Info("to be changed together", "change", c.ID, "action", c.Action, "incidents", len(c.Incidents), "by", c.By.ID)
	return c, nil
}

// Reason returns why a change was made; "" where one of its incidents was erased
// since, and the reason with it.
func (s *Service) Reason(c *store.JointChange) (string, error) {
	if len(c.WrappedKey) == 0 {
		return "", nil
	}
	key, err := s.keyring.Unwrap(c.WrappedKey)
	if err != nil {
		return "", err
	}
	plain, err := key.Open(c.SealedReason, "joint change", c.ID)
	return string(plain), err
}

// Await returns a change as it stands when it has ended, or when ctx is done.
func (s *Service) Await(ctx context.Context, c *store.JointChange) *store.JointChange {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !c.Finished() {
		select {
		case <-ctx.Done():
			return c
		case <-tick.C:
		}
		changes, err := s.store.JointChanges(ctx, c.Flood)
		if n := slices.IndexFunc(changes, func(is *store.JointChange) bool { return is.ID == c.ID }); err == nil && n >= 0 {
			c = changes[n]
		}
	}
	s.forget(c.Flood)
	return c
}

// Run carries out what was begun, here or at another instance, until ctx is
// done. Only the instance that leads runs it.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(carryEvery)
	defer tick.Stop()
	for {
		if err := s.CarryOn(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("what is done to many incidents together stands still and will be tried again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// CarryOn carries out everything that is not finished. One change that cannot
// go on keeps no other from it.
func (s *Service) CarryOn(ctx context.Context) error {
	open, err := s.store.UnfinishedJointChanges(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, c := range open {
		if err := s.carryOut(ctx, c); err != nil {
			failed = append(failed, fmt.Errorf("change %s: %w", c.ID, err))
		}
	}
	return errors.Join(failed...)
}

// carryOut carries out the rest of one change.
func (s *Service) carryOut(ctx context.Context, c *store.JointChange) error {
	reason, err := s.Reason(c)
	if err != nil {
		return err
	}
	for !c.Finished() {
		if c, err = s.carry(ctx, c, reason); err != nil {
			return err
		}
	}
	s.forget(c.Flood)
	s.log.Info("changed together", "change", c.ID, "action", c.Action, "incidents", len(c.Incidents), "by", c.By.ID)
	return nil
}

// staleTries is how often a batch is begun again when somebody changed one of
// its incidents in between.
const staleTries = 20

// carry carries out one batch of a change, and returns the change as it stands
// then. Where an adapter has no transactions, incidents come before what says
// that they are done: done again, they are passed over.
func (s *Service) carry(ctx context.Context, c *store.JointChange, reason string) (*store.JointChange, error) {
	next := *c
	next.Rev, next.Done = c.Rev+1, min(c.Done+batchSize, len(c.Incidents))
	var changed []*incident.Incident
	var err error
	for range staleTries {
		changed = nil
		err = s.folder.Group(ctx, s.store, func(tx store.Store) ([]*incident.Incident, error) {
			changed = nil
			var puts []store.Put
			for _, id := range c.Incidents[c.Done:next.Done] {
				i, err := tx.Incident(ctx, id)
				if errors.Is(err, store.ErrNotFound) {
					continue
				}
				if err != nil {
					return nil, err
				}
				was := i.Rev
				if done, err := s.apply(i, c, reason); err != nil {
					return nil, err
				} else if done {
					puts, changed = append(puts, store.Put{Incident: i, WasRev: was}), append(changed, i)
				}
			}
			if err := store.PutIncidents(ctx, tx, puts); err != nil {
				return nil, err
			}
			return changed, tx.ReplaceJointChange(ctx, &next, c.Rev)
		})
		if !errors.Is(err, store.ErrStale) {
			break
		}
	}
	if err != nil {
		return c, err
	}
	for _, i := range changed {
		s.log.Info("incident changed with others", "incident", i.ID, "action", c.Action, "change", c.ID, "by", c.By.ID)
	}
	return &next, nil
}

// apply does to one incident what a change does, and reports whether it did:
// not again, and not where the incident's status no longer allows it or it is at
// another site by now, which is for others to decide about.
func (s *Service) apply(i *incident.Incident, c *store.JointChange, reason string) (bool, error) {
	if slices.ContainsFunc(i.Timeline, func(e incident.Change) bool { return e.Event == c.ID }) {
		return false, nil
	}
	if site, _ := siteOf(c.Flood); i.Site != site {
		return false, nil
	}
	e := incident.Change{At: s.now(), By: c.By, Action: c.Action, Event: c.ID, From: string(i.Status)}
	to := incident.StatusSetAside
	switch {
	case c.Action == incident.ActionSetAside && i.Status.Counts():
	case c.Action == incident.ActionTakenBack && i.Status == incident.StatusSetAside && lastSetAside(i).Event == c.Of:
		to = i.BeforeSetAside()
	default:
		return false, nil
	}
	e.To = string(to)
	if len(i.WrappedKey) == 0 {
		reason = "" // its words were erased: no new ones are kept
	}
	if err := s.timeline.Append(i, e, reason); err != nil {
		return false, err
	}
	i.Status = to
	i.Rev++
	return true, nil
}

func lastSetAside(i *incident.Incident) (last incident.Change) {
	for _, c := range i.Timeline {
		if c.Action == incident.ActionSetAside {
			last = c
		}
	}
	return last
}

// mostSaid returns what most members say, or nearly; of several the one that was
// said first; nil where there is no member. It looks at what is said most often
// in the very same words, and at some of all, and how many of some of all are
// alike to each of these: so much for a flood whose every report differs by a word.
func mostSaid(members []member) *said {
	type tally struct{ n, first int }
	counts := make(map[string]*tally)
	for n, m := range members {
		if t := counts[m.key()]; t != nil {
			t.n++
		} else {
			counts[m.key()] = &tally{1, n}
		}
	}
	often := slices.SortedFunc(maps.Values(counts), func(a, b *tally) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.first, b.first)) })
	candidates := some(members, candidatesLooked)
	for _, t := range often[:min(len(often), candidatesLooked)] {
		candidates = append(candidates, t.first)
	}
	slices.Sort(candidates)
	var best *said
	most := 0
	for _, c := range candidates {
		n := 0
		for _, m := range some(members, sampleLooked) {
			n += one(members[c].alike(members[m].said))
		}
		if n > most {
			best, most = &members[c].said, n
		}
	}
	return best
}

const (
	candidatesLooked = 16
	sampleLooked     = 256
)

// some returns the places of up to most members, evenly spread.
func some(members []member, most int) []int {
	n := min(len(members), most)
	places := make([]int, n)
	for k := range places {
		places[k] = k * len(members) / n
	}
	return places
}
