package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	cdp "github.com/chromedp/chromedp"
)

// files are what people choose as photos, by mistake or on purpose.
type files struct {
	none  map[string]string // which are no photos that can be taken, by what they are
	trick string            // a photo with a page of script and an archive after it
	large string            // nothing but grain, some 12 MB
}

const trick = "<html><script>alert('canary')</script>PK\x03\x04"

func badPhotos(t *testing.T) files {
	t.Helper()
	code := func(m image.Image, quality int) []byte {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := image.NewRGBA(image.Rect(0, 0, 800, 600))
	for i := range good.Pix {
		good.Pix[i] = uint8(i / 4000)
	}
	grain := image.NewGray(image.Rect(0, 0, 4032, 3024))
	noise := rand.New(rand.NewPCG(3, 4))
	for i := range grain.Pix {
		grain.Pix[i] = uint8(noise.Uint32())
	}
	var huge bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&huge, image.NewPaletted(image.Rect(0, 0, 20_000, 20_000), color.Palette{color.Black, color.White})); err != nil {
		t.Fatal(err)
	}
	plain := code(good, 85)
	return files{
		none: map[string]string{
			"HEIC":             writeFile(t, "demo $'.heic", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")),
			"SVG":              writeFile(t, "demo.svg", []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert('canary')</script></svg>`)),
			"a PDF named .jpg": noPhotograph(t),
			"20,000 × 20,000":  writeFile(t, "demo-huge.png", huge.Bytes()),
			"a truncated JPEG": writeFile(t, "demo-cut.jpg", plain[:len(plain)/2]),
			"zero bytes":       writeFile(t, "demo-empty.jpg", nil),
		},
		trick: writeFile(t, "demo-trick.jpg", append(plain, trick...)),
		large: writeFile(t, "demo-large.jpg", code(grain, 98)),
	}
}

// choosePhoto returns what the page says of a file when it has looked at it, and
// how many photos it has then.
func (b *browser) choosePhoto(path string) (said string, photos int) {
	b.t.Helper()
	const state = `document.querySelector('[data-unread]').textContent + '|' + document.querySelectorAll('.app-photos li').length`
	js[string](b, `document.querySelector('[data-unread]').textContent = ''`)
	before := js[string](b, state)
	b.do("choose files", cdp.SetUploadFiles(css("input[name=photo]"), []string{path}, cdp.NodeReady))
	var now string
	eventually(b.t, func() error {
		if now = js[string](b, state); now == before {
			return fmt.Errorf("nothing is said of %s", path)
		}
		return nil
	})
	said, count, _ := strings.Cut(now, "|")
	fmt.Sscan(count, &photos)
	return said, photos
}

// On a slow phone somebody chooses what cannot be taken: each is named, nothing
// of it is kept, nothing typed is lost, and what can be taken goes.
func TestFilesThatAreNoPhotos(t *testing.T) {
	_, p, w, rep := phoneKit(t)
	bad := badPhotos(t)
	b := openBrowser(t)
	b.openOnPhone(w.url)
	b.slowDown()
	b.fillIn(story)
	for what, path := range bad.none {
		said, photos := b.choosePhoto(path)
		if name := path[strings.LastIndex(path, "/")+1:]; photos != 0 || !strings.Contains(said, name+" cannot be read here as a photo") {
			t.Errorf("%s: %d photos, and the page says %q", what, photos, said)
		}
	}
	b.look("report-no-photo")
	if _, photos := b.choosePhoto(bad.trick); photos != 1 {
		t.Errorf("%d photos, want the one that can be seen", photos)
	}
	b.do("keep the originals", cdp.Tap(css("#keep_originals")))
	b.do("choose five more, of which one is too many", cdp.SetUploadFiles(css("input[name=photo]"), slices.Repeat([]string{bad.large}, 5), cdp.NodeReady))
	b.shows("That is the most: 5 photos.", "Photos that go without their original: 2, 3, 4, 5")
	b.look("report-photos")
	if sizes := b.photos(true); len(sizes) != 5 || slices.Max(sizes) > 400_000 {
		t.Errorf("of five photos there is %v kept, want five of 400 KB at most", sizes)
	}
	b.send()
	b.shows("Report received", "done:\nin your safety reps’ list")
	wantIncidents(t, p, rep, 1)
	id := incidents(t, p.url, rep, "").Incidents[0].ID
	for n := range 5 {
		a := mustCall(t, "GET", fmt.Sprintf("%s/api/v1/incidents/%s/photos/%d", p.url, id, n+1), "", "Authorization", "Bearer "+rep)
		if a.status != 200 || strings.Contains(a.body, "canary") || strings.Contains(a.body, "PK\x03\x04") {
			t.Errorf("photo %d: %d, %d bytes", n+1, a.status, len(a.body))
		}
	}
}
