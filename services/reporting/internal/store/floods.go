package store

import (
	"context"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
)

// Arrivals are the incidents of a site that were received within an hour.
type Arrivals struct {
	Site      string
	Hour      time.Time // its beginning, UTC
	Incidents int
}

// Received selects incidents by when the first report of each was received. A
// page ends before Limit where there are no more.
type Received struct {
	Site     string
	From, To time.Time          // From included, To not
	After    *incident.Incident // the last of the page before; nil for the first page
	Limit    int                // 1 to 200
}

// JointChange is what a person does to many incidents at once. It is carried
// out a few at a time, and goes on where it was cut off.
type JointChange struct {
	ID           string
	Rev          int64
	Flood        string // what the incidents have in common, as whoever began it names that
	Action       incident.Action
	Of           string   // the change that this one takes back; "" of others
	Incidents    []string // all it is about, in the order in which it is carried out
	Done         int      // of these, from the first on
	By           incident.Actor
	At           time.Time
	WrappedKey   []byte
	SealedReason []byte // in words
}

// Finished reports whether a change was carried out to its end.
func (c *JointChange) Finished() bool { return c.Done >= len(c.Incidents) }

// MaxJointChange is how many incidents one may be about: what fits into one
// document of every adapter.
const MaxJointChange = 20_000

// Floods keeps what is done to many incidents at once, and finds those that
// were received together.
type Floods interface {
	// CountArrivals returns how many incidents each hour from one on brought to
	// each of some sites, where it brought any, in order of site, then hour. A nil
	// sites means every site; empty and not nil, none. What was stored by a
	// release before this was counted is left out.
	CountArrivals(ctx context.Context, sites []string, from time.Time) ([]Arrivals, error)
	// ListReceived returns a page of the incidents that a selection holds, in the
	// order in which they were received (to the millisecond), then of id.
	ListReceived(ctx context.Context, r Received) ([]*incident.Incident, error)

	// InsertJointChange stores a new one, or returns ErrExists. What
	// CheckJointChange refuses is refused.
	InsertJointChange(ctx context.Context, c *JointChange) error
	// ReplaceJointChange stores c over revision wasRev, or returns ErrStale, or
	// ErrNotFound.
	ReplaceJointChange(ctx context.Context, c *JointChange, wasRev int64) error
	// JointChanges returns those of a flood, or all where it is "", oldest first,
	// then by id.
	JointChanges(ctx context.Context, flood string) ([]*JointChange, error)
	// UnfinishedJointChanges returns those that are not finished, in the same order.
	UnfinishedJointChanges(ctx context.Context) ([]*JointChange, error)
}

// Start returns after which place of the order a page begins, in milliseconds
// and by id, and how long it may be; fault.Invalid for a limit that is not allowed.
func (r Received) Start() (at int64, id string, limit int, err error) {
	if r.Limit < 1 || r.Limit > MaxPage {
		return 0, "", 0, fault.New(fault.Invalid, "invalid_limit", "A page has 1 to 200 incidents.")
	}
	if r.After != nil {
		return r.After.ReceivedAt.UnixMilli(), r.After.ID, r.Limit, nil
	}
	return r.From.UnixMilli(), "", r.Limit, nil
}

// CheckJointChange returns fault.Invalid for a change without an id, or about
// too many incidents or none.
func CheckJointChange(c *JointChange) error {
	if c.ID == "" || len(c.Incidents) == 0 || len(c.Incidents) > MaxJointChange {
		return fault.New(fault.Invalid, "invalid_joint_change", "A joint change needs an id, and 1 to 20,000 incidents.")
	}
	return nil
}

const hourMillis = int64(time.Hour / time.Millisecond)

// HourOf returns the number of the hour in which a time lies, from 1970.
func HourOf(t time.Time) int64 { return t.UnixMilli() / hourMillis }

// BeginningOf returns the beginning of an hour by its number.
func BeginningOf(hour int64) time.Time { return time.UnixMilli(hour * hourMillis).UTC() }
