// Package receipt makes and reads receipt codes: what a reporter keeps to
// follow up, without an account. Only intake ever sees a code; everybody else
// has its keyed hash.
//
// A code is 16 characters of Crockford's base 32 in four groups,
// "7K3M-Q2XF-91AB-HTEC": 75 random bits in 15 characters and a check character
// by the Luhn algorithm for base 32. The check finds every single wrong
// character and every swap of two neighbours except 0 with Z.
package receipt

import (
	"errors"
	"strings"

	"github.com/onrecord/onrecord/pkg/seal"
)

const (
	alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	length   = 16 // characters, the check character included
	group    = 4
)

// RandomBits is how many bits of a code are random.
const RandomBits = 5 * (length - 1)

// ErrCode says that a text is no receipt code: too short, too long, a
// character that is in no code, or a check character that does not fit.
var ErrCode = errors.New("not a receipt code")

// Code is a receipt code of 16 upper-case characters without dashes. The zero
// Code is none. It is a secret: whoever holds it may follow the report up.
type Code struct{ chars string }

// FromReport returns the code of a report whose sender brought none. It is
// derived from the report's id with the master key, so that a retry gets the
// same code and nobody else can compute it.
func FromReport(keys *seal.Keyring, reportID string) Code {
	return fromBytes(keys.MAC("server receipt", []byte(reportID))[:length-1])
}

// fromBytes makes a code of the low five bits of each of length-1 bytes.
func fromBytes(raw []byte) Code {
	digits := make([]byte, 0, length)
	for _, b := range raw {
		digits = append(digits, b&31)
	}
	digits = append(digits, check(digits))
	for i, d := range digits {
		digits[i] = alphabet[d]
	}
	return Code{string(digits)}
}

// Parse reads a code as people write it: in either case, with or without
// dashes and spaces, with O for 0 and I or L for 1. It returns ErrCode for
// anything else.
func Parse(text string) (Code, error) {
	digits := make([]byte, 0, length)
	for i := range len(text) {
		c := text[i]
		if c == '-' || c == ' ' {
			continue
		}
		d := digit(c)
		if d < 0 || len(digits) == length {
			return Code{}, ErrCode
		}
		digits = append(digits, byte(d))
	}
	if len(digits) != length || check(digits[:length-1]) != digits[length-1] {
		return Code{}, ErrCode
	}
	for i, d := range digits {
		digits[i] = alphabet[d]
	}
	return Code{string(digits)}, nil
}

// digit returns the value of a character, or -1.
func digit(c byte) int {
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	switch c {
	case 'O':
		c = '0'
	case 'I', 'L':
		c = '1'
	}
	return strings.IndexByte(alphabet, c)
}

// check returns the Luhn mod 32 check digit: from the right, every other
// digit counts double, and the two digits of a double are added up.
func check(digits []byte) byte {
	sum, factor := 0, 2
	for i := len(digits) - 1; i >= 0; i-- {
		n := factor * int(digits[i])
		sum += n/32 + n%32
		factor = 3 - factor
	}
	return byte((32 - sum%32) % 32)
}

// String returns the code in four groups, "7K3M-Q2XF-91AB-HTEC", and "" for
// the zero Code.
func (c Code) String() string {
	if c.IsZero() {
		return ""
	}
	groups := make([]string, 0, length/group)
	for i := 0; i < length; i += group {
		groups = append(groups, c.chars[i:i+group])
	}
	return strings.Join(groups, "-")
}

// IsZero reports whether c is no code.
func (c Code) IsZero() bool { return c.chars == "" }

// Hash returns the keyed hash under which the report is stored and looked up.
func (c Code) Hash(keys *seal.Keyring) []byte {
	return keys.MAC("receipt hash", []byte(c.chars))
}
