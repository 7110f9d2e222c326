package projector

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/standing"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Tombstone returns what is left of the id of an erased report: a keyed hash.
// A report under it that comes back is dropped.
func Tombstone(k *seal.Keyring, reportID string) string {
	return hex.EncodeToString(k.MAC("tombstone", []byte(reportID)))
}

// Bury keeps a tombstone. Keeping it twice is no error.
func Bury(ctx context.Context, st store.Store, tombstone string) error {
	return st.SetMeta(ctx, "erased:"+tombstone, []byte{1})
}

// Buried reports whether a tombstone is kept.
func Buried(ctx context.Context, st store.Store, tombstone string) (bool, error) {
	_, err := st.Meta(ctx, "erased:"+tombstone)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// buried reports whether a report was erased.
func (p *Projector) buried(ctx context.Context, tx store.Store, reportID string) (bool, error) {
	return Buried(ctx, tx, Tombstone(p.keyring, reportID))
}

// forgetAgain removes what came back of an erased report from the stream, where
// this process may. When it may not, or that fails, it is dropped all the same,
// its words stay sealed, and the walk over the stream tells an operator.
func (p *Projector) forgetAgain(ctx context.Context, reportID string) {
	if !p.mayErase {
		p.log.Warn("a report that was erased came back and was dropped: “onrecord admin erase --returned” removes it from the stream")
		return
	}
	if err := standing.EraseReport(ctx, p.store, p.bus, reportID); err != nil {
		p.log.Error("a report that was erased came back, was dropped, and could not be removed from the stream again", "error", err)
	}
}

// About returns the id of the report that a subject is about, or "".
func About(subject string) string {
	if rest, ok := strings.CutPrefix(subject, bus.TypeCorrected+"."); ok { // reporting's own: it is published and not consumed
		id, _, _ := strings.Cut(rest, ".")
		if !incident.IsReportID(id) {
			return ""
		}
		return id
	}
	_, tokens, err := parseSubject(subject)
	if err != nil {
		return ""
	}
	return tokens[0]
}
