package store

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"iter"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
)

// MaxPage is the most incidents one page may hold.
const MaxPage = 200

// Position is a place in the order of ListIncidents: that of one incident.
// Adapters make cursors of it, so that a page ends and begins alike in each.
type Position struct {
	OccurredAt int64 // milliseconds since 1970, UTC
	ID         string
}

// Cursor returns the position in letters, digits, "-" and "_".
func (p Position) Cursor() string {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.OccurredAt))
	b = append(b, p.ID...)
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor returns the position that Cursor wrote. Anything else is
// fault.Invalid; the checksum is there to notice a damaged address, not to
// keep anybody from making a cursor: it names a place, it grants nothing.
func ParseCursor(cursor string) (Position, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) < 12 {
		return Position{}, errCursor
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return Position{}, errCursor
	}
	return Position{OccurredAt: int64(binary.BigEndian.Uint64(body)), ID: string(body[8:])}, nil
}

var errCursor = fault.New(fault.Invalid, "invalid_cursor", "That page is not in the list. Go back to its beginning.")

// Start returns the position after which the filter's page begins, and the
// first instant that still belongs to it, both in milliseconds: everything
// before the position and not before the instant is in the page's range of
// time. It returns fault.Invalid for a cursor or a limit that is not allowed.
func (f Filter) Start() (after Position, notBefore int64, err error) {
	if f.Limit < 1 || f.Limit > MaxPage {
		return Position{}, 0, fault.New(fault.Invalid, "invalid_limit", "A page holds 1 to 200 incidents.")
	}
	after, notBefore = f.Range()
	if f.Cursor == "" {
		return after, notBefore, nil
	}
	at, err := ParseCursor(f.Cursor)
	if err != nil {
		return Position{}, 0, err
	}
	if at.OccurredAt < after.OccurredAt {
		after = at
	}
	return after, notBefore, nil
}

// Range returns the same as Start for the list's beginning, whatever the
// filter's cursor and limit.
func (f Filter) Range() (after Position, notBefore int64) {
	if f.Month.IsZero() {
		return Position{OccurredAt: endOfTime.UnixMilli()}, beginningOfTime.UnixMilli()
	}
	return Position{OccurredAt: f.Month.Add(1).Start().UnixMilli()}, f.Month.Start().UnixMilli()
}

// The span in which times are ordered.
var (
	beginningOfTime = time.Date(-9999, 1, 1, 0, 0, 0, 0, time.UTC)
	endOfTime       = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
)

// Listed gives every incident of a list in its order, from the filter's cursor
// on, a page of the filter's limit at a time. It ends with the first error.
func Listed(ctx context.Context, st Incidents, f Filter) iter.Seq2[*incident.Incident, error] {
	return func(yield func(*incident.Incident, error) bool) {
		for {
			page, next, err := st.ListIncidents(ctx, f)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, i := range page {
				if !yield(i, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			f.Cursor = next
		}
	}
}
