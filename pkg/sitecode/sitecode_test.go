package sitecode_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/pkg/sitecode"
)

func TestACodeIsOfOneSiteAndOneGeneration(t *testing.T) {
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	code := sitecode.Of(keys, "leeds", 1)
	if len(code) != 14 || strings.Count(code, "-") != 2 || code != sitecode.Of(keys, "leeds", 1) {
		t.Errorf("code=%q", code)
	}
	for _, typed := range []string{code, strings.ToLower(code), strings.ReplaceAll(code, "-", " "), strings.NewReplacer("0", "o", "1", "l").Replace(code)} {
		if !matches(keys, "leeds", 1, typed) {
			t.Errorf("%q is not taken", typed)
		}
	}
	for _, wrong := range []struct {
		site       string
		generation int
		typed      string
	}{{"york", 1, code}, {"leeds", 2, code}, {"leeds", 1, ""}, {"leeds", 1, code[:13]}, {"leeds", 1, code + "0"},
		{"leeds", 1, "U" + code[1:]}, {"leeds", 1, code + "\x00"}, {"leeds", 1, strings.Repeat("O", 1<<20)}} {
		if matches(keys, wrong.site, wrong.generation, wrong.typed) {
			t.Errorf("%+v is taken", wrong)
		}
	}
}

func matches(keys *seal.Keyring, site string, generation int, typed string) bool {
	code, ok := sitecode.Parse(typed)
	return ok && code.Opens(keys, site, generation)
}
