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

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/web/webtest"
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
