// Package store is the port to reporting's database. Two adapters implement
// it, sqlite for one machine and mongo for deployments, and both pass the one
// conformance suite in storetest.
//
// The port is written for a database without transactions: every operation is
// one document, guarded by a revision, and safe to repeat. Group lets an
// adapter that can make several operations one commit do so; callers order
// operations so that being cut between any two leaves nothing wrong that the
// next fold does not mend.
package store

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
)

// Errors of the port. Adapters return them wrapped or as they are.
var (
	ErrNotFound = errors.New("not in the store")
	ErrExists   = errors.New("already in the store")
	ErrStale    = errors.New("changed since it was read")

	// ErrBroken says that the file or the disk under the store does not work:
	// unlike a server that is away it may need a restart to come back.
	ErrBroken = errors.New("the disk or the file under the store does not work")
	// ErrAway says that the store's server did not answer, or not in time. What
	// was to be written may have been.
	ErrAway = errors.New("the store’s server does not answer")
)

// Inspector is a Store that can look for damage within itself.
type Inspector interface {
	// Inspect reads everything and returns a line for each damage, without
	// anything that was stored.
	Inspect(ctx context.Context) ([]string, error)
}

// Scrubber is a Store whose files go on holding for a while what was replaced
// or deleted.
type Scrubber interface {
	// Scrub returns once they do not. It returns an error when that cannot be
	// had before ctx is done, because somebody still reads what was.
	Scrub(ctx context.Context) error
}

// IsAnswer reports whether an error is one of the port's answers, rather than a
// failure of the database.
func IsAnswer(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) || errors.Is(err, ErrStale) || fault.KindOf(err) == fault.Invalid
}

// Store is everything reporting keeps. It may be used from many goroutines.
//
// What is read is what was stored, apart from two things: an empty slice or map
// comes back nil, and a time comes back in UTC, exact to the millisecond and
// perhaps finer. Whoever commits to a time, as the chain does, cuts it to the
// millisecond first. Strings are text: valid UTF-8.
//
// A method that returns an error has stored nothing, except that a write whose
// commit failed may come to light after a restart. A context that ended before
// a write began is its error, and nothing is written.
type Store interface {
	Incidents
	Ledgers
	People
	Sites
	Quarantine
	Photos
	Editions
	Floods

	// Group runs fn with a Store whose operations an adapter may commit
	// together. When fn returns an error, an adapter with transactions undoes
	// everything; one without leaves what was done. So it does when the context
	// ends, or when an operation failed for another reason than ErrNotFound,
	// ErrExists, ErrStale or fault.Invalid, whatever fn returns. fn must not use
	// the outer Store, and nobody the inner one after fn.
	Group(ctx context.Context, fn func(Store) error) error

	// Snapshot runs fn with a Store that reads, and only reads, what is stored at
	// this moment, whatever is written meanwhile; one of an adapter that cannot
	// hold a moment still may see some of it. Any write on it fails. fn must be
	// done with it when it returns.
	Snapshot(ctx context.Context, fn func(Store) error) error

	// Meta and SetMeta keep small facts about the store itself, such as the
	// fingerprint of the master key. Meta of an unset name is ErrNotFound.
	Meta(ctx context.Context, name string) ([]byte, error)
	SetMeta(ctx context.Context, name string, value []byte) error

	// Check returns nil while the store can be written.
	Check(ctx context.Context) error
	Close() error
}

// Incidents keeps incidents with their timelines, one document each.
type Incidents interface {
	// InsertIncident stores a new incident, or returns ErrExists.
	InsertIncident(ctx context.Context, i *incident.Incident) error
	// ReplaceIncident stores i over revision wasRev, or returns ErrStale, or
	// ErrNotFound. It never lowers the FoldedRev that is recorded.
	ReplaceIncident(ctx context.Context, i *incident.Incident, wasRev int64) error
	// MarkFolded records that the ledgers include revision rev of an incident.
	// It never lowers what is recorded and is no change of the incident.
	// ErrNotFound when there is no such incident.
	MarkFolded(ctx context.Context, id string, rev int64) error
	// Incident returns one, or ErrNotFound.
	Incident(ctx context.Context, id string) (*incident.Incident, error)
	// IncidentByReport returns the one that holds a report, or ErrNotFound.
	// While a report moves from one to another, it is either of them.
	IncidentByReport(ctx context.Context, reportID string) (*incident.Incident, error)
	// IncidentByReceipt returns the one that holds the report with a receipt
	// hash, or ErrNotFound.
	IncidentByReceipt(ctx context.Context, receiptHash []byte) (*incident.Incident, error)
	// ListIncidents returns a page, newest occurrence first, and the cursor of
	// the next page, "" at the end. The order is total and stable: occurred_at
	// (to the millisecond) descending, then id descending. A cursor or a limit
	// that Filter does not allow is fault.Invalid.
	ListIncidents(ctx context.Context, f Filter) (page []*incident.Incident, next string, err error)
	// CountIncidents returns how many a filter holds, counting no further than
	// most. The filter's Cursor and Limit play no part.
	CountIncidents(ctx context.Context, f Filter, most int) (int, error)
	// Unfolded returns up to limit ids whose Rev is above FoldedRev.
	Unfolded(ctx context.Context, limit int) ([]string, error)
	// KeepLesson stores the Lesson of an incident that is otherwise as it was
	// read. It is no change of the incident: whoever replaces it over the same
	// revision without having seen the Lesson puts the older one back. ErrStale
	// when the incident has another revision, ErrNotFound when there is none.
	KeepLesson(ctx context.Context, i *incident.Incident) error
	// LessonsDue returns up to limit ids behind a given one, in order, of the
	// incidents whose Lesson is due.
	LessonsDue(ctx context.Context, after string, limit int) ([]string, error)
	// EachIncident calls fn with every incident in order of id; for audits. It
	// stops at fn's first error and returns it. fn may use the store; what is
	// written meanwhile may or may not be seen.
	EachIncident(ctx context.Context, fn func(*incident.Incident) error) error

	// KeepPending keeps an event that arrived before the report it is about.
	// Keeping the same subject twice is no error: the first stays.
	KeepPending(ctx context.Context, p Pending) error
	// Pending returns the kept events about a report in the order of Seq.
	Pending(ctx context.Context, reportID string) ([]Pending, error)
	// EachPending calls fn with every kept event in order of subject. As
	// EachIncident otherwise.
	EachPending(ctx context.Context, fn func(Pending) error) error
	// DropPending forgets the kept events about a report, if there are any.
	DropPending(ctx context.Context, reportID string) error
}

// Filter selects incidents. Zero fields select everything; a value that no
// incident has selects none.
type Filter struct {
	Sites    []string // nil: every site; empty and not nil: none
	Statuses []incident.Status
	Kind     incident.Kind    // the value that counts
	Channel  incident.Channel // the value that counts
	Online   bool             // only those whose channel is one of the two that are online
	Target   incident.Target  // the value that counts
	Month    incident.Month   // of occurrence
	Review   bool             // only those that need a person to look
	Nothing  bool             // only those of which a reporter has said that nothing happened
	Undated  bool             // only those of which nobody knows when they happened
	Cursor   string           // from the page before; one the adapter did not make is fault.Invalid
	Limit    int              // 1 to 200
}

// Pending is an event that waits for its report.
type Pending struct {
	ReportID string
	Subject  string
	Seq      uint64
	Data     []byte
	At       time.Time
}

// Ledgers keeps the month ledgers and their roll-ups.
type Ledgers interface {
	// Ledger returns the ledger of a month and site; one that does not exist
	// yet is returned empty with Rev 0. Its totals are those of its lines: an
	// adapter that stores the two apart completes here what was cut off between
	// them, unless the store is for reading alone.
	Ledger(ctx context.Context, m incident.Month, site string) (*incident.Ledger, error)
	// PutLedger stores l as revision l.Rev over l.Rev-1, or returns ErrStale. Cut
	// off, it may have stored the lines without the totals.
	PutLedger(ctx context.Context, l *incident.Ledger) error
	// LedgerCells returns the totals alone for some sites and the months from
	// first to last, at a cost that does not grow with the incidents. A nil
	// sites means every site; empty and not nil, none. Months and sites without
	// incidents are left out. In order of month, then site. Of a ledger that was
	// cut off, they are the totals before until Ledger completes it.
	LedgerCells(ctx context.Context, sites []string, first, last incident.Month) ([]SiteMonth, error)
	// EachLedger calls fn with every ledger, entries included and the totals as
	// they are stored, in order of month, then site; for audits. As EachIncident
	// otherwise.
	EachLedger(ctx context.Context, fn func(*incident.Ledger) error) error

	// Rollup returns a month's roll-up; one that does not exist yet is
	// returned empty with Rev 0.
	Rollup(ctx context.Context, m incident.Month) (*incident.Rollup, error)
	// PutRollup stores r as revision r.Rev over r.Rev-1, or returns ErrStale.
	PutRollup(ctx context.Context, r *incident.Rollup) error
	// RollupCells returns the sums over every site for the months from first
	// to last that have any.
	RollupCells(ctx context.Context, first, last incident.Month) (map[incident.Month][]incident.Cell, error)
}

// SiteMonth is one site's totals for one month.
type SiteMonth struct {
	Month incident.Month
	Site  string
	Cells []incident.Cell
}

// InOrder returns totals in order of month, then site.
func InOrder(totals map[incident.LedgerKey][]incident.Cell) []SiteMonth {
	found := make([]SiteMonth, 0, len(totals))
	for k, cells := range totals {
		found = append(found, SiteMonth{Month: k.Month, Site: k.Site, Cells: cells})
	}
	slices.SortFunc(found, func(a, b SiteMonth) int {
		return cmp.Or(cmp.Compare(a.Month.Year, b.Month.Year), cmp.Compare(a.Month.Month, b.Month.Month), cmp.Compare(a.Site, b.Site))
	})
	return found
}

// Recounter is a Store whose database can count the incidents where they lie.
type Recounter interface {
	// Recount returns the totals that the incidents themselves give for the
	// months from first to last, in order of month, then site, the cells in no
	// promised order. It reads no ledger and no roll-up.
	Recount(ctx context.Context, first, last incident.Month) ([]SiteMonth, error)
}

// Role is what an account or token may do. Who may do what stands in one
// table, services/reporting/reporting/routes.go.
type Role string

// The roles.
const (
	RoleAdministrator Role = "administrator"
	RoleRep           Role = "rep"
	RoleManager       Role = "manager"
)

// User is a person with an account.
type User struct {
	ID           string
	Name         string // signs in with it; unique, compared in lower case
	Role         Role
	Sites        []string // a rep's; empty: every site
	PasswordHash string   // argon2id in PHC form
	Disabled     bool
	CreatedAt    time.Time
	Rev          int64 `json:",omitempty"` // counts its changes; 0 for one that was not changed since there are revisions
}

// Token is an API token. Only the hash of its secret is kept.
type Token struct {
	ID        string // shown in lists
	Label     string
	Hash      []byte // SHA-256 of the secret
	Role      Role
	Sites     []string
	CreatedAt time.Time
	Revoked   bool
}

// Session is a signed-in browser. Only the hash of its cookie is kept.
type Session struct {
	Hash      []byte
	UserID    string
	CreatedAt time.Time
	SeenAt    time.Time
}

// People keeps accounts, tokens, sessions and the audit of who changed them.
type People interface {
	InsertUser(ctx context.Context, u *User) error // ErrExists when the name or the id is taken
	// UpdateUser stores u as revision u.Rev over u.Rev-1, or returns ErrNotFound,
	// or ErrStale, or ErrExists when the name is another's.
	UpdateUser(ctx context.Context, u *User) error
	User(ctx context.Context, id string) (*User, error)
	UserByName(ctx context.Context, name string) (*User, error)
	Users(ctx context.Context) ([]*User, error) // by name

	InsertToken(ctx context.Context, t *Token) error              // ErrExists when the id or the hash is taken
	UpdateToken(ctx context.Context, t *Token) error              // ErrNotFound; ErrExists when the hash is another's
	TokenByHash(ctx context.Context, hash []byte) (*Token, error) // revoked ones too
	Tokens(ctx context.Context) ([]*Token, error)                 // newest first

	PutSession(ctx context.Context, s *Session) error // inserts or replaces
	Session(ctx context.Context, hash []byte) (*Session, error)
	// SeeSession records that a session was in use at a time, unless that is
	// recorded of a later one. ErrNotFound when it ended: it does not come back.
	SeeSession(ctx context.Context, hash []byte, at time.Time) error
	DeleteSession(ctx context.Context, hash []byte) error // no error when it is gone
	// DeleteSessions ends every session of a user, or those last seen before a
	// time when userID is "".
	DeleteSessions(ctx context.Context, userID string, seenBefore time.Time) error
}

// Site is a place where staff work.
type Site struct {
	ID, Name, Kind, Postcode, Region, Employer string
	Staff                                      int
	CodeGeneration                             int // which code of the site is in force, see pkg/sitecode
}

// Sites keeps the site directory.
type Sites interface {
	// PutSites inserts or replaces all of them in one document's write: either
	// every one is stored or none. Sites not named stay as they are. What
	// CheckSites refuses is refused.
	PutSites(ctx context.Context, sites []Site) error
	// ListSites returns the directory by name (in order of bytes), then id.
	ListSites(ctx context.Context) ([]Site, error)
}

// CheckSites returns fault.Invalid when a site has no id or two have the same.
func CheckSites(sites []Site) error {
	seen := make(map[string]bool, len(sites))
	for _, s := range sites {
		if s.ID == "" || seen[s.ID] {
			return fault.New(fault.Invalid, "invalid_sites", "Every site needs an id of its own.")
		}
		seen[s.ID] = true
	}
	return nil
}

// Quarantined is a message nobody could read.
type Quarantined struct {
	Subject    string
	Seq        uint64
	Data       []byte // as it came, nil in lists; sealed words in it stay sealed
	Cause      string
	At         time.Time // when the stream stored it
	ReplayedAt time.Time // zero until somebody replayed it with success
}

// Quarantine keeps messages that could not be read, by subject.
type Quarantine interface {
	PutQuarantined(ctx context.Context, q *Quarantined) error // inserts or replaces
	Quarantined(ctx context.Context, subject string) (*Quarantined, error)
	// ListQuarantined returns all of them without their Data, oldest first, then
	// by subject: of a release that reads nothing there may be very many.
	ListQuarantined(ctx context.Context) ([]*Quarantined, error)
}

// PhotoKind is what a stored photo is of the one that was taken.
type PhotoKind string

// The kinds.
const (
	PhotoCopy     PhotoKind = "copy"     // smaller, and without what the camera wrote into it
	PhotoOriginal PhotoKind = "original" // as it came
)

// MaxSealedPhoto is the most bytes a photo may have under seal: 10 MiB and what
// sealing adds.
const MaxSealedPhoto = 10<<20 + 1<<10

// Photo is a picture that came with a report.
type Photo struct {
	ID          string
	IncidentID  string
	ReportID    string
	Kind        PhotoKind
	ContentType string
	Size        int // bytes of the picture itself, not of its sealed form
	Width       int // pixels, as it is shown
	Height      int
	SHA256      []byte // of the picture itself
	CreatedAt   time.Time
	Sealed      []byte // the picture under seal; nil in lists
}

// Photos keeps pictures, whose bytes the caller has sealed.
type Photos interface {
	// PutPhoto stores a photo, or does nothing when its id is there already:
	// the first stays. What CheckPhoto refuses is refused.
	PutPhoto(ctx context.Context, p *Photo) error
	// Photo returns one with its bytes, or ErrNotFound.
	Photo(ctx context.Context, id string) (*Photo, error)
	// PhotosOfIncident and PhotosOfReport return photos without their bytes,
	// oldest first, then by id.
	PhotosOfIncident(ctx context.Context, incidentID string) ([]*Photo, error)
	PhotosOfReport(ctx context.Context, reportID string) ([]*Photo, error)
	// DeletePhoto and DeletePhotos remove one, and all of an incident, bytes
	// first. What is not there is no error; cut off, they are to be repeated.
	DeletePhoto(ctx context.Context, id string) error
	DeletePhotos(ctx context.Context, incidentID string) error
}

// CheckPhoto returns fault.Invalid for a photo without an id, without bytes, or
// with more than MaxSealedPhoto.
func CheckPhoto(p *Photo) error {
	if p.ID == "" || len(p.Sealed) == 0 || len(p.Sealed) > MaxSealedPhoto {
		return fault.New(fault.Invalid, "invalid_photo", "A photo needs an id, and 1 byte to 10 MiB.")
	}
	return nil
}
