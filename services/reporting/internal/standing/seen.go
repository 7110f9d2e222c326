package standing

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/check"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// What is kept in the store beside the incidents.
const (
	seenFact   = "stream_seen"
	erasedFact = "stream_erased" // how many events somebody said they were about to erase
)

// seen is what the store remembers of the stream.
type seen struct {
	Created time.Time `json:"created"`
	LastSeq uint64    `json:"last_seq"`
	Deleted int       `json:"deleted,omitempty"` // between the first and the last
	Erased  int       `json:"erased,omitempty"`  // how many somebody said they were about to erase
	Spare   int       `json:"spare,omitempty"`   // of those said since the look before: how many were still there
}

// after returns what is to be kept of a stream that was seen before as s, and
// how many events are gone from it that nobody erased.
func (s seen) after(h bus.Health, erased int) (now seen, lost int) {
	gone := max(h.Deleted-s.Deleted-s.Spare, 0)
	said := erased - s.Erased
	return seen{h.Created, h.LastSeq, h.Deleted, erased, max(said-gone, 0)}, max(gone-said, 0)
}

// seenBefore returns what was seen of the stream, zero before the first look.
func (c *Checker) seenBefore(ctx context.Context) (before seen, err error) {
	raw, err := c.store.Meta(ctx, seenFact)
	if errors.Is(err, store.ErrNotFound) {
		return before, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &before)
	}
	return before, err
}

// compareSeen holds the stream against what was seen of it before, and keeps
// what is seen now. What is gone is told once, by the process that finds it;
// beside another, it is kept and told by that one too.
func (c *Checker) compareSeen(ctx context.Context, before seen, h bus.Health) ([]check.Finding, error) {
	erased, err := erasedSoFar(ctx, c.store)
	if err != nil {
		return nil, err
	}
	now, gone := before.after(h, erased)
	if now.Created.Equal(before.Created) && now.LastSeq == before.LastSeq && now.Deleted == before.Deleted {
		return nil, nil
	}
	var lost []check.Finding
	next := "If you have a backup of the stream from before, restore it to a new directory and compare. Ask whoever filed in that time to look whether their receipt is known."
	switch {
	case before.Created.IsZero():
	case !now.Created.Equal(before.Created):
		lost = append(lost, check.Alarmf("stream_replaced", next,
			"The stream was made anew on %s. The one before had %d events: what of it had not been counted yet is gone.", h.Created.Format(time.RFC3339), before.LastSeq))
	case now.LastSeq < before.LastSeq:
		lost = append(lost, check.Alarmf("stream_truncated", next,
			"The stream ends at %d and was seen at %d: it lost its end. What had been counted is safe.", now.LastSeq, before.LastSeq))
	case gone > 0:
		lost = append(lost, check.Alarmf("stream_damaged", "Look for a failing disk, and make a backup now. "+next,
			"%d events are gone from the stream that nobody erased. What of them had been counted is safe.", gone))
	}
	if c.beside {
		return lost, nil
	}
	raw, err := json.Marshal(now)
	if err != nil {
		return lost, err
	}
	return lost, c.store.SetMeta(ctx, seenFact, raw)
}

// erasing has the erasures of a process say one after another how many there are.
var erasing sync.Mutex

// EraseReport removes every event about a report from the stream. It says so in
// the store before, so that nobody, in this process or another, takes them for
// lost.
func EraseReport(ctx context.Context, st store.Store, b *bus.Bus, reportID string) error {
	erasing.Lock()
	defer erasing.Unlock()
	return b.EraseReport(ctx, reportID, func(n int) error {
		before, err := erasedSoFar(ctx, st)
		if err != nil {
			return err
		}
		return st.SetMeta(ctx, erasedFact, []byte(strconv.Itoa(before+n)))
	})
}

func erasedSoFar(ctx context.Context, st store.Store) (int, error) {
	raw, err := st.Meta(ctx, erasedFact)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(raw))
}
