package store

import (
	"context"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
)

// Edition is a published month. Its two contents are the publisher's, and
// stay byte for byte as they were published.
type Edition struct {
	Month       incident.Month
	Number      int // within the month, from 1 to MaxEdition
	PublishedAt time.Time
	By          string // the name of whoever published it; "" when nobody was needed
	Public      []byte // what everybody who may see published figures reads
	Exact       []byte // the totals it was made from; nil in lists
	MAC         []byte // a keyed hash of all this
}

const (
	// MaxEdition is how many editions a month may have.
	MaxEdition = 999
	// MaxEditionBytes is how large both contents together may be: what fits into
	// one document of every adapter.
	MaxEditionBytes = 12 << 20
)

// FirstMonth is before every month that anything is of.
var FirstMonth = incident.Month{Year: 1, Month: time.January}

// LastMonth is after every month that anything is of.
var LastMonth = incident.Month{Year: 9999, Month: time.December}

// Editions keeps published months. None is ever changed or removed.
type Editions interface {
	// PutEdition stores an edition, or returns ErrExists when its month has one
	// of that number. What CheckEdition refuses is refused.
	PutEdition(ctx context.Context, e *Edition) error
	// Edition returns one, or ErrNotFound.
	Edition(ctx context.Context, m incident.Month, number int) (*Edition, error)
	// ListEditions returns those of the months from first to last, without
	// their exact totals, in order of month, then number.
	ListEditions(ctx context.Context, first, last incident.Month) ([]*Edition, error)
}

// CheckEdition returns fault.Invalid for an edition without a month, with a
// number out of range, with nothing to read, or that is too large.
func CheckEdition(e *Edition) error {
	if e.Month.IsZero() || e.Number < 1 || e.Number > MaxEdition || len(e.Public) == 0 || len(e.Public)+len(e.Exact) > MaxEditionBytes {
		return fault.New(fault.Invalid, "invalid_edition", "An edition needs a month, a number from 1 to 999, something to read, and at most 12 MiB.")
	}
	return nil
}
