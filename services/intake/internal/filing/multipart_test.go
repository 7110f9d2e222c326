package filing

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/services/intake/internal/photo"
)

func TestPhotosOfAnAdditionComeInParts(t *testing.T) {
	question := `{"receipt":"0123-4567-89AB-CDEZ","addition":{"id":"` + testID + `","what":"words","keep_originals":true}}`
	q, err := FollowUpFromMultipart(parts(t, "follow_up", question, "photo", "one", "photo", strings.Repeat("two", 10_000)))
	if err != nil {
		t.Fatal(err)
	}
	a := q.Addition
	if len(a.Photos) != 2 || string(a.Photos[0]) != "one" || len(a.Photos[1]) != 30_000 || !a.KeepOriginals {
		t.Errorf("%d photos, keep %v", len(a.Photos), a.KeepOriginals)
	}
	if err := a.Validate(); err != nil {
		t.Errorf("photos without words: %v", err)
	}
	for _, c := range []struct {
		parts []string
		want  string // the field that is named
	}{
		{[]string{"photo", "one"}, "follow_up"},
		{[]string{"follow_up", `{"receipt":"x"}`, "photo", "one"}, "addition"},
		{[]string{"follow_up", question, "follow_up", question}, "follow_up"},
		{[]string{"follow_up", question, "colour", "red"}, "colour"},
		{[]string{"follow_up", strings.Replace(question, `"words"`, `"withdraw"`, 1), "photo", "one"}, "photo"},
		{[]string{"follow_up", strings.Replace(question, `"keep_originals":true`, `"keep_originals":"x"`, 1)}, "keep_originals"},
	} {
		q, err := FollowUpFromMultipart(parts(t, c.parts...))
		if err == nil {
			err = q.Addition.Validate()
		}
		f := fault.As(err)
		if f.Kind != fault.Invalid || !slices.ContainsFunc(f.Fields, func(field fault.Field) bool { return field.Name == c.want }) {
			t.Errorf("%.100q: %v %v, want a field %s", c.parts, err, f.Fields, c.want)
		}
	}
}

// A part may be one of a hundred and say nothing: it must not be given the room of
// all that comes after it.
func TestManyPhotosInOneBodyTakeNoMoreRoomThanAReportHas(t *testing.T) {
	said := []string{"report", least("")}
	for range 90 {
		said = append(said, "photo", "x")
	}
	body, boundary := parts(t, append(said, "photo", strings.Repeat("y", 20<<20))...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := FromMultipart(body, boundary)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	if took, most := after.TotalAlloc-before.TotalAlloc, uint64((photo.Max+2)*photo.MaxBytes); took > most {
		t.Errorf("%d MiB were taken for it, more than %d", took>>20, most>>20)
	}
	if bad := fault.As(f.Validate(siteKnown, testNow)).Fields; len(bad) != 1 || bad[0].Name != "photo" {
		t.Errorf("refused for %v, want one mistake in photo", bad)
	}
}

// A photo is the part of the body that it came in, and copied only where that
// cannot be told, as in lines that end as nobody's do.
func TestAPhotoIsNotCopied(t *testing.T) {
	picture := strings.Repeat("a picture\r\n\r\n", 10_000)
	body, boundary := parts(t, "report", least(""), "photo", picture, "photo", "another")
	odd := bytes.Replace(body, []byte("\r\n\r\na picture"), []byte("\n\na picture"), 1)
	for name, c := range map[string]struct {
		body []byte
		same bool
	}{"as it is sent": {body, true}, "in other lines": {odd, false}} {
		f, err := FromMultipart(c.body, boundary)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(f.Photos) != 2 || string(f.Photos[0]) != picture || string(f.Photos[1]) != "another" {
			t.Fatalf("%s: %d photos, the first of %d bytes", name, len(f.Photos), len(f.Photos[0]))
		}
		c.body[bytes.Index(c.body, []byte("a picture"))] = 'A'
		if same := f.Photos[0][0] == 'A'; same != c.same {
			t.Errorf("%s: a part of the body: %v", name, same)
		}
	}
}

// Photos may be large, words may not, in however many parts they come.
func TestWordsInPartsAreBoundedTogether(t *testing.T) {
	third := strings.Repeat("w", MaxJSON/3)
	for n, refused := range map[int]bool{2: false, 4: true} {
		var said []string
		for range n {
			said = append(said, "narrative", third, "photo", third+third)
		}
		body, boundary := parts(t, said...)
		_, err := ReadMultipartForm(body, boundary)
		_, errAdded := FollowUpFromMultipartForm(body, boundary)
		for _, err := range []error{err, errAdded} {
			if (err != nil) != refused || refused && fault.KindOf(err) != fault.TooLarge {
				t.Errorf("%d parts of %d bytes: %v", n, len(third), err)
			}
		}
	}
}

func FuzzMultipart(f *testing.F) {
	for _, example := range [][]string{{"report", least(""), "photo", "abc"}, {"follow_up", `{"receipt":"x","addition":{"id":"1","what":"words"}}`, "photo", "abc"}} {
		body, boundary := parts(f, example...)
		f.Add(body, boundary)
	}
	f.Add([]byte("--x\r\n\r\n"), "x")
	f.Add([]byte(nil), "")
	f.Fuzz(func(t *testing.T, body []byte, boundary string) {
		allowed := func(err error) {
			if k := fault.KindOf(err); err != nil && k != fault.Malformed && k != fault.Invalid && k != fault.TooLarge {
				t.Fatalf("kind=%v of %v", k, err)
			}
		}
		whole := func(photos [][]byte) {
			for _, p := range photos {
				if !bytes.Contains(body, p) {
					t.Fatalf("a photo of %d bytes is not what was sent", len(p))
				}
			}
		}
		if r, err := FromMultipart(body, boundary); err == nil {
			whole(r.Photos)
		} else {
			allowed(err)
		}
		if q, err := FollowUpFromMultipart(body, boundary); err == nil && q.Addition != nil {
			whole(q.Addition.Photos)
			allowed(q.Addition.Validate())
		} else {
			allowed(err)
		}
		_, err := ReadMultipartForm(body, boundary)
		allowed(err)
		_, err = FollowUpFromMultipartForm(body, boundary)
		allowed(err)
	})
}
