// Package sitecode makes the codes that posters carry: whoever has been at a
// site knows its code, which is no secret of anybody's, and keeps a flood from
// outside out. A code is made from the master key, the site and a generation,
// so that nobody has to store it, and a new generation ends the old code.
package sitecode

import (
	"crypto/hmac"
	"strconv"
	"strings"

	"github.com/onrecord/onrecord/pkg/seal"
)

// alphabet is Crockford's base 32.
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

const length = 12 // characters, 60 bits

// Of returns the code of a site, "7K3M-Q2XF-91AB".
func Of(keys *seal.Keyring, site string, generation int) string {
	mac := keys.MAC("site code", []byte(site), []byte(strconv.Itoa(generation)))
	var b strings.Builder
	for n := range length {
		if n > 0 && n%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(alphabet[mac[n]&31])
	}
	return b.String()
}

// Matches reports whether a text is the code of a site, as people write it: in
// either case, with or without dashes and spaces, with O for 0 and I or L for 1.
func Matches(keys *seal.Keyring, site string, generation int, text string) bool {
	return hmac.Equal([]byte(plain(text)), []byte(plain(Of(keys, site, generation))))
}

func plain(text string) string {
	return strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(text))
}
