package program_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"mime/multipart"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/web/webtest"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
)

// demoPhoto returns a JPEG with a comment in it, as a camera writes one.
func demoPhoto(tb testing.TB, comment string) []byte {
	tb.Helper()
	m := image.NewGray(image.Rect(0, 0, 320, 240))
	r := rand.New(rand.NewPCG(1, 2))
	for n := range m.Pix {
		m.Pix[n] = byte(r.Uint32())
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		tb.Fatal(err)
	}
	out := append([]byte{0xff, 0xd8, 0xff, 0xfe, 0, byte(len(comment) + 2)}, comment...)
	return append(out, b.Bytes()[2:]...)
}

// withPhotos returns a multipart body and its content type.
func withPhotos(tb testing.TB, fields map[string]string, photos ...[]byte) (body, contentType string) {
	tb.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			tb.Fatal(err)
		}
	}
	for _, p := range photos {
		part, err := w.CreateFormFile("photo", "../../IMG 1.jpg")
		if err == nil {
			_, err = part.Write(p)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

type photoDetail struct {
	ID     string
	Photos []struct {
		N, Size, Width, Height int
		SHA256                 string
		AddedAt                *time.Time `json:"added_at"`
		Original               *struct {
			ContentType string `json:"content_type"`
			Size        int
			SHA256      string
		}
	}
	Timeline []struct{ Action, To, Note string }
}

func TestPhotosReachTheRepAndNobodyElse(t *testing.T) {
	k := open(t)
	k.run()
	k.importSites()
	rep, south, manager := k.token("rep"), k.token("rep", "demo-south"), k.token("manager")
	file := func(report string, want int, photos ...[]byte) webtest.Response {
		t.Helper()
		body, contentType := withPhotos(t, map[string]string{"report": report}, photos...)
		res := k.call("POST", "/api/v1/reports", body, "Content-Type", contentType)
		if res.StatusCode != want {
			t.Fatalf("%d %.300s, want %d", res.StatusCode, res.Body, want)
		}
		return res
	}
	first, second := demoPhoto(t, "Exif GPS canary"), demoPhoto(t, "another")
	filed := report(map[string]any{"keep_originals": true})
	file(filed, 201, first, second)
	if again := file(filed, 200, first, second); again.Header.Get("Idempotency-Replayed") != "true" {
		t.Error("the same photos again are not a repetition")
	}
	file(filed, 409, first)
	id := k.classified(rep, 1)[0].ID
	path := "/api/v1/incidents/" + id
	var d photoDetail
	k.eventually(func() error {
		d = photoDetail{}
		if err := json.Unmarshal([]byte(k.call("GET", path, "", rep...).Body), &d); err != nil {
			return err
		}
		if len(d.Photos) != 2 || d.Photos[1].Original == nil {
			return fmt.Errorf("%d photos", len(d.Photos))
		}
		return nil
	})
	sum := sha256.Sum256(first)
	if p := d.Photos[0]; p.Width != 320 || p.Height != 240 || p.Original == nil || p.Original.SHA256 != hex.EncodeToString(sum[:]) || p.Original.Size != len(first) {
		t.Errorf("the first photo is %+v", p)
	}
	k.eventually(func() error { // nothing is left behind
		waiting, err := k.WaitingPhotos(t.Context())
		if len(waiting) > 0 {
			return fmt.Errorf("%d photos still wait in the object store", len(waiting))
		}
		return err
	})

	seen := k.call("GET", path+"/photos/1", "", rep...)
	shown := sha256.Sum256([]byte(seen.Body))
	if seen.StatusCode != 200 || seen.Header.Get("Content-Type") != "image/jpeg" || hex.EncodeToString(shown[:]) != d.Photos[0].SHA256 || strings.Contains(seen.Body, "canary") {
		t.Errorf("the photo: %d %s", seen.StatusCode, seen.Header.Get("Content-Type"))
	}
	for header, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'"} {
		if got := seen.Header.Get(header); got != want {
			t.Errorf("%s=%q, want %q", header, got, want)
		}
	}
	if page := k.call("GET", "/incidents/"+id+"/photos/2", "", k.person("demo-rep-1", "rep")...); page.StatusCode != 200 || page.Header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("the page’s photo: %d", page.StatusCode)
	}
	for n, want := range map[string]int{"0": 404, "3": 404, "x": 404, "-1": 404} {
		if res := k.call("GET", path+"/photos/"+n, "", rep...); res.StatusCode != want {
			t.Errorf("photo %s: %d, want %d", n, res.StatusCode, want)
		}
	}
	for name, as := range map[string][]string{"another site": south, "manager": manager, "nobody": nil} {
		res := k.call("GET", path+"/photos/1", "", as...)
		original := k.call("POST", path+"/photos/1/original", `{"reason":"Demo."}`, append([]string{"Content-Type", "application/json"}, as...)...)
		if res.StatusCode < 400 || original.StatusCode < 400 || res.StatusCode != original.StatusCode {
			t.Errorf("%s: %d and %d", name, res.StatusCode, original.StatusCode)
		}
	}

	ask := func(body string) webtest.Response {
		return k.call("POST", path+"/photos/1/original", body, append([]string{"Content-Type", "application/json"}, rep...)...)
	}
	if got := ask(`{"reason":"  "}`); got.StatusCode != 422 {
		t.Errorf("without a reason: %d", got.StatusCode)
	}
	if got := ask(`{"reason":"Demo: the police asked."}`); got.StatusCode != 200 || got.Body != string(first) || !strings.HasPrefix(got.Header.Get("Content-Disposition"), "attachment;") {
		t.Errorf("the original: %d, %d bytes", got.StatusCode, len(got.Body))
	}
	if err := json.Unmarshal([]byte(k.call("GET", path, "", rep...).Body), &d); err != nil {
		t.Fatal(err)
	}
	opened := 0
	for _, c := range d.Timeline {
		if c.Action == "original_opened" && c.To == "1" && c.Note == "Demo: the police asked." {
			opened++
		}
	}
	if opened != 1 {
		t.Errorf("opening stands in the history %d times, want once", opened)
	}
}

func TestAPhotoThatCannotBeTakenFilesNothing(t *testing.T) {
	k := open(t)
	k.run()
	k.importSites()
	rep := k.token("rep")
	good := demoPhoto(t, "demo")
	many := [][]byte{good, good, good, good, good, good}
	for name, c := range map[string]struct {
		photos [][]byte
		want   string
	}{
		"HEIC":        {[][]byte{good, []byte("\x00\x00\x00\x24ftypheic\x00\x00\x00\x00mif1heic")}, "Photo 2 is in Apple"},
		"SVG":         {[][]byte{[]byte("<svg onload=alert(1)>")}, "Photo 1 is not"},
		"PDF":         {[][]byte{[]byte("%PDF-1.7")}, "Photo 1 is not"},
		"cut off":     {[][]byte{good[:len(good)/2]}, "Photo 1 is damaged"},
		"six":         {many, "5 photos at most"},
		"15 MB":       {[][]byte{append(bytes.Clone(good), make([]byte, 15<<20)...)}, "Photo 1 is larger"},
		"empty":       {[][]byte{good, {}}, "Photo 2 is empty"},
		"two are bad": {[][]byte{good[:30], good, {1}}, "Photo 3 is not"},
	} {
		id := uuid.Must(uuid.NewV7()).String()
		body, contentType := withPhotos(t, map[string]string{"report": report(map[string]any{"id": id})}, c.photos...)
		res := k.call("POST", "/api/v1/reports", body, "Content-Type", contentType)
		if res.StatusCode != 422 || !strings.Contains(res.Body, c.want) || !strings.Contains(res.Body, `"field":"photo"`) {
			t.Errorf("%s: %d %.300s, want %q", name, res.StatusCode, res.Body, c.want)
		}
		form := map[string]string{"id": id, "form_version": "report/2", "kind": "abuse", "site": "demo-north", "when": "now", "narrative": "Demo: half a page of <b>words</b>."}
		body, contentType = withPhotos(t, form, c.photos...)
		page := k.call("POST", "/report/", body, "Content-Type", contentType, "Accept", "text/html")
		doc := page.Document(t)
		if page.StatusCode != 422 || !strings.Contains(doc.Find(".govuk-error-summary").Text(), c.want) || doc.Find("#narrative").Text() != form["narrative"] {
			t.Errorf("%s, the form: %d %s", name, page.StatusCode, doc.Find(".govuk-error-summary").Text())
		}
		// The report itself can still be filed under its id: nothing of it was.
		if res := k.call("POST", "/api/v1/reports", report(map[string]any{"id": id}), "Content-Type", "application/json"); res.StatusCode != 201 {
			t.Errorf("%s: without the photos: %d %s", name, res.StatusCode, res.Body)
		}
	}
	k.classified(rep, 8)
}

// A form sent without script, with a photo and the empty field of one that was
// not chosen.
func TestTheFormTakesPhotosWithoutScript(t *testing.T) {
	k := open(t)
	k.run()
	k.importSites()
	rep := k.token("rep")
	form := map[string]string{"id": uuid.Must(uuid.NewV7()).String(), "form_version": "report/2", "kind": "abuse", "site": "demo-north", "when": "now"}
	body, contentType := withPhotos(t, form, demoPhoto(t, "demo"))
	empty := "Content-Disposition: form-data; name=\"photo\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n"
	boundary := strings.TrimPrefix(contentType, "multipart/form-data; boundary=")
	body = "--" + boundary + "\r\n" + empty + body
	res := k.call("POST", "/report/", body, "Content-Type", contentType, "Accept", "text/html")
	if res.StatusCode != 303 || res.Header.Get("Location") != "/report/received" {
		t.Fatalf("%d %s", res.StatusCode, res.Body)
	}
	id := k.classified(rep, 1)[0].ID
	k.eventually(func() error {
		var d photoDetail
		if err := json.Unmarshal([]byte(k.call("GET", "/api/v1/incidents/"+id, "", rep...).Body), &d); err != nil {
			return err
		}
		if len(d.Photos) != 1 || d.Photos[0].Original != nil {
			return errors.New("the photo is not there, or its original is")
		}
		return nil
	})
}

// Photos that come later, by the receipt, are taken like those that come with
// the report: on disk before they are said to be received, in the store then,
// and gone with it.
func TestPhotosAreAddedByReceipt(t *testing.T) {
	k := open(t)
	k.run()
	k.importSites()
	rep, south := k.token("rep"), k.token("rep", "demo-south")
	withOne, contentType := withPhotos(t, map[string]string{"report": report(nil)}, demoPhoto(t, "with the report"))
	var filed struct{ Receipt string }
	if err := json.Unmarshal([]byte(k.call("POST", "/api/v1/reports", withOne, "Content-Type", contentType).Body), &filed); err != nil {
		t.Fatal(err)
	}
	id := k.classified(rep, 1)[0].ID
	path := "/api/v1/incidents/" + id
	photos := func(want int) (d photoDetail) {
		t.Helper()
		k.eventually(func() error {
			d = photoDetail{}
			if err := json.Unmarshal([]byte(k.call("GET", path, "", rep...).Body), &d); err != nil {
				return err
			}
			if len(d.Photos) != want || want == 3 && d.Photos[2].Original == nil { // the last of them
				return fmt.Errorf("%d photos, want %d", len(d.Photos), want)
			}
			return nil
		})
		return d
	}
	photos(1)

	addition := map[string]any{"id": uuid.Must(uuid.NewV7()).String(), "what": "words", "text": "Demo: here is the door.", "keep_originals": true}
	add := func(want int, pictures ...[]byte) webtest.Response {
		t.Helper()
		body, contentType := withPhotos(t, map[string]string{"follow_up": asJSON(map[string]any{"receipt": filed.Receipt, "addition": addition})}, pictures...)
		res := k.call("POST", "/api/v1/follow-up", body, "Content-Type", contentType)
		if res.StatusCode != want {
			t.Fatalf("%d %.300s, want %d", res.StatusCode, res.Body, want)
		}
		return res
	}
	first, second := demoPhoto(t, "Exif GPS canary"), demoPhoto(t, "another")
	if bad := add(422, first, []byte("%PDF-1.7")); !strings.Contains(bad.Body, "Photo 2 is not") {
		t.Errorf("a PDF: %s", bad.Body)
	}
	if res := add(200, first, second); !strings.Contains(res.Body, `"what":"photos","text":"Demo: here is the door."`) || !strings.Contains(res.Body, `"photos":3`) {
		t.Errorf("the answer: %s", res.Body)
	}
	if again := add(200, first, second); again.Header.Get("Idempotency-Replayed") != "true" {
		t.Error("the same photos again are not a repetition")
	}
	add(409, second, first)
	d := photos(3)
	if d.Photos[0].AddedAt != nil || d.Photos[1].AddedAt == nil {
		t.Errorf("the photos are %+v", d.Photos)
	}
	sum := sha256.Sum256(first)
	if p := d.Photos[1]; p.Width != 320 || p.Original == nil || p.Original.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("the first that was added is %+v", p)
	}
	told := false
	for _, c := range d.Timeline {
		told = told || c.Action == "added_by_reporter" && c.To == "2" && c.Note == "Demo: here is the door."
	}
	if !told {
		t.Errorf("the history does not tell of them: %+v", d.Timeline)
	}
	if seen := k.call("GET", path+"/photos/2", "", rep...); seen.StatusCode != 200 || seen.Header.Get("Content-Type") != "image/jpeg" || strings.Contains(seen.Body, "canary") {
		t.Errorf("the photo: %d %s", seen.StatusCode, seen.Header.Get("Content-Type"))
	}
	if seen := k.call("GET", path+"/photos/2", "", south...); seen.StatusCode != 404 {
		t.Errorf("at another site: %d", seen.StatusCode)
	}
	page := k.call("GET", "/incidents/"+id, "", k.person("demo-rep-1", "rep")...).Document(t)
	if got := page.Find(".app-photos time").Length(); got != 2 || !strings.Contains(page.Find("main").Text(), "The reporter added 2 photos") {
		t.Errorf("the rep’s page says of %d photos when they were added: %s", got, page.Find(".app-photos").Text())
	}
	k.eventually(func() error { // nothing is left behind
		waiting, err := k.WaitingPhotos(t.Context())
		if len(waiting) > 0 {
			return fmt.Errorf("%d photos still wait in the object store", len(waiting))
		}
		return err
	})

	addition["id"], addition["text"], addition["keep_originals"] = uuid.Must(uuid.NewV7()).String(), "", false
	if res := add(422, first, first, first); !strings.Contains(res.Body, "takes 5 photos altogether, and this one has 3") {
		t.Errorf("six altogether: %s", res.Body)
	}

	// The same without script.
	form := map[string]string{"receipt": filed.Receipt, "what": "words", "id": uuid.Must(uuid.NewV7()).String(), "text": ""}
	send := func(want int, pictures ...[]byte) *goquery.Document {
		t.Helper()
		body, contentType := withPhotos(t, form, pictures...)
		res := k.call("POST", "/follow-up/", body, "Content-Type", contentType, "Accept", "text/html")
		doc := res.Document(t)
		if res.StatusCode != want {
			t.Fatalf("%d, want %d: %s", res.StatusCode, want, doc.Find("main").Text())
		}
		webtest.CheckPage(t, doc)
		return doc
	}
	if doc := send(422, []byte("<svg onload=alert(1)>")); doc.Find("#photo-error").Length() != 1 {
		t.Errorf("an SVG: %s", doc.Find("main").Text())
	}
	if doc := send(422); !strings.Contains(doc.Find("#text-error").Text(), "or choose a photo") {
		t.Errorf("nothing at all: %s", doc.Find("main").Text())
	}
	form["text"] = "Demo: two more."
	doc := send(200, first, second)
	if !strings.Contains(doc.Find(".govuk-notification-banner").Text(), "You added photos.") || doc.Find("input[name=photo]").Length() != 0 {
		t.Errorf("after five photos: %s", doc.Find("main").Text())
	}
	photos(5)

	// What was added is erased with the rest.
	k.do(program.OpErase, id, nil)
	if got := k.call("GET", path+"/photos/5", "", rep...); got.StatusCode != 404 {
		t.Errorf("after the erasure: %d", got.StatusCode)
	}
	photos(0)
}
