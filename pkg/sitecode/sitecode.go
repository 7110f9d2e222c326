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

// Code is the code of some site, of 12 upper-case characters without dashes.
type Code struct{ chars string }

// Parse reads a code as people write it: in either case, with or without dashes
// and spaces, with O for 0 and I or L for 1. It reports false for a text that is
// the code of no site.
func Parse(text string) (Code, bool) {
	chars := make([]byte, 0, length)
	for i := range len(text) {
		c := text[i]
		switch c {
		case '-', ' ':
			continue
		case 'O', 'o':
			c = '0'
		case 'I', 'i', 'L', 'l':
			c = '1'
		}
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if len(chars) == length || strings.IndexByte(alphabet, c) < 0 {
			return Code{}, false
		}
		chars = append(chars, c)
	}
	return Code{string(chars)}, len(chars) == length
}

// Opens reports whether it is the code of a site.
func (c Code) Opens(keys *seal.Keyring, site string, generation int) bool {
	return hmac.Equal([]byte(c.chars), []byte(strings.ReplaceAll(Of(keys, site, generation), "-", "")))
}
