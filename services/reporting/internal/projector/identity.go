package projector

import (
	"encoding/base32"
	"encoding/hex"

	"github.com/onrecord/onrecord/pkg/seal"
)

// identities makes the ids of incidents from the ids of their first reports.
type identities struct{ key []byte }

func newIdentities(k *seal.Keyring) identities { return identities{k.Derive("incident id")} }

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// of returns the id of the incident that a report opens and its short
// reference. The id is a UUID version 8 made by a keyed hash: the same report
// always opens the same incident, and nobody without the key can tell which
// report that was. Source: RFC 9562 section 5.8.
func (n identities) of(reportID string) (id, ref string) {
	b := seal.MAC(n.key, []byte(reportID))[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b)
	r := crockford.EncodeToString(b[:5])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], r[:4] + "-" + r[4:]
}
