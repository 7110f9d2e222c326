package receipt

import (
	"bytes"
	"crypto/rand"
	"regexp"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/seal"
)

var form = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){3}$`)

func keyring(t *testing.T, fill byte) *seal.Keyring {
	t.Helper()
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{fill}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// anyCode returns a code as phones make them.
func anyCode() Code {
	raw := make([]byte, length-1)
	rand.Read(raw)
	return fromBytes(raw)
}

func TestCodesAreWellFormed(t *testing.T) {
	for range 1000 {
		c := anyCode()
		if !form.MatchString(c.String()) {
			t.Fatalf("code=%q, want four groups of four", c)
		}
		if got, err := Parse(c.String()); err != nil || got != c {
			t.Fatalf("Parse(%q)=%v, %v", c, got, err)
		}
	}
}

func TestParseReadsWhatPeopleWrite(t *testing.T) {
	want := fromBytes([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14})
	if got := want.String(); got != "0123-4567-89AB-CDEZ" {
		t.Fatalf("code=%q, want 0123-4567-89AB-CDEZ", got)
	}
	for _, text := range []string{
		"0123-4567-89AB-CDEZ", "0123456789abcdez", "oI23 4567 89ab cdez", " OL23-4567-89AB-CDEZ ", "01-23-45-67-89-AB-CD-EZ",
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q)=%v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "-", "0123-4567-89AB-CDE", "0123-4567-89AB-CDEZ0", "0123-4567-89AB-CDEN", "U123-4567-89AB-CDEZ", "0123–4567–89AB–CDEZ", strings.Repeat("0", 1000),
	} {
		if got, err := Parse(text); err == nil {
			t.Errorf("Parse(%q)=%v, want ErrCode", text, got)
		}
	}
}

func TestOneWrongCharacterIsRefused(t *testing.T) {
	for range 50 {
		right := anyCode().chars
		for i := range length {
			for _, c := range alphabet {
				wrong := right[:i] + string(c) + right[i+1:]
				if _, err := Parse(wrong); wrong != right && err == nil {
					t.Fatalf("Parse(%q) passed, one character from %q", wrong, right)
				}
			}
		}
	}
}

func TestSwappedNeighboursAreRefused(t *testing.T) {
	refused := 0
	for range 5000 {
		right := anyCode().chars
		for i := range length - 1 {
			a, b := right[i], right[i+1]
			if a == b || a == '0' && b == 'Z' || a == 'Z' && b == '0' { // the one pair the algorithm cannot tell
				continue
			}
			swapped := right[:i] + string(b) + string(a) + right[i+2:]
			if _, err := Parse(swapped); err == nil {
				t.Fatalf("Parse(%q) passed, swapped from %q", swapped, right)
			}
			refused++
		}
	}
	if refused < 60000 {
		t.Fatalf("only %d swaps tried", refused)
	}
}

func TestServerMadeCodesBelongToTheReportAndTheKey(t *testing.T) {
	const id = "01890a5d-ac96-774b-bcce-b302099a8057"
	first := FromReport(keyring(t, 1), id)
	if again := FromReport(keyring(t, 1), id); again != first {
		t.Errorf("FromReport=%v the second time, want %v", again, first)
	}
	if other := FromReport(keyring(t, 2), id); other == first {
		t.Errorf("another key gave the same code %v", other)
	}
	if other := FromReport(keyring(t, 1), strings.Replace(id, "8057", "8058", 1)); other == first {
		t.Errorf("another report got the same code %v", other)
	}
	if _, err := Parse(first.String()); err != nil {
		t.Errorf("Parse(%q): %v", first, err)
	}
}

func TestHashIsKeyed(t *testing.T) {
	c := anyCode()
	if got := c.Hash(keyring(t, 1)); !bytes.Equal(got, c.Hash(keyring(t, 1))) || bytes.Equal(got, c.Hash(keyring(t, 2))) {
		t.Error("the hash must depend on the code and the key alone")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "0123-4567-89AB-CDEZ", "oI23 4567 89ab cdez", "ZZZZ-ZZZZ-ZZZZ-ZZZZ", "\xff\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			if !c.IsZero() {
				t.Fatalf("Parse(%q)=%v with error", text, c)
			}
			return
		}
		if !form.MatchString(c.String()) {
			t.Fatalf("Parse(%q)=%q, not well formed", text, c)
		}
		if again, err := Parse(c.String()); err != nil || again != c {
			t.Fatalf("Parse(%q)=%v, %v", c, again, err)
		}
	})
}
