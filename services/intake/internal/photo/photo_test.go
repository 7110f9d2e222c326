package photo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/fault"
)

// marked returns a picture, red in its top left quarter and blue elsewhere.
func marked(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{0, 0, 255, 255}
			if x < w/2 && y < h/2 {
				c = color.RGBA{255, 0, 0, 255}
			}
			m.SetRGBA(x, y, c)
		}
	}
	return m
}

func asJPEG(tb testing.TB, m image.Image) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func asPNG(tb testing.TB, m image.Image) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// exif puts an orientation, a place on earth and a comment into a JPEG.
func exif(raw []byte, orientation uint16, order binary.AppendByteOrder) []byte {
	tiff := []byte("MM\x00\x2a")
	if order == binary.LittleEndian {
		tiff = []byte("II\x2a\x00")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 2)
	for _, tag := range [][2]uint16{{0x0112, orientation}, {0x8825, 0}} { // orientation; where the GPS part lies
		tiff = order.AppendUint16(order.AppendUint16(tiff, tag[0]), 3)
		tiff = order.AppendUint32(tiff, 1)
		tiff = order.AppendUint16(order.AppendUint16(tiff, tag[1]), 0)
	}
	tiff = append(tiff, "GPS canary 53.7997 N 1.5492 W"...)
	segment := append([]byte("Exif\x00\x00"), tiff...)
	out := append([]byte{0xff, 0xd8, 0xff, 0xe1}, binary.BigEndian.AppendUint16(nil, uint16(len(segment)+2))...)
	out = append(out, segment...)
	comment := "canary comment"
	out = append(out, 0xff, 0xfe, 0, byte(len(comment)+2))
	return append(append(out, comment...), raw[2:]...)
}

func TestWhatACameraWroteIsGone(t *testing.T) {
	for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
		for o := uint16(1); o <= 8; o++ {
			raw := exif(asJPEG(t, marked(80, 40)), o, order)
			if !bytes.Contains(raw, []byte("GPS canary")) {
				t.Fatal("the picture carries no place")
			}
			raw = append(raw, "canary: <script>alert(1)</script> PK\x03\x04"...) // a polyglot
			clean, came, err := Clean(t.Context(), [][]byte{raw})
			if err != nil {
				t.Fatal(err)
			}
			p := clean[0]
			for _, trace := range []string{"canary", "Exif", "GPS", "script", "PK\x03\x04"} {
				if bytes.Contains(p.JPEG, []byte(trace)) {
					t.Errorf("orientation %d: %q is still in it", o, trace)
				}
			}
			m, err := jpeg.Decode(bytes.NewReader(p.JPEG))
			if err != nil {
				t.Fatal(err)
			}
			w, h := 80, 40
			if o >= 5 {
				w, h = 40, 80
			}
			if p.Width != w || p.Height != h || m.Bounds().Dx() != w || m.Bounds().Dy() != h || came[0].Width != w || came[0].Height != h {
				t.Errorf("orientation %d: %d×%d, came as %d×%d, want %d×%d", o, p.Width, p.Height, came[0].Width, came[0].Height, w, h)
			}
			// Where the red quarter is shown, by Exif's own table.
			right, below := o == 2 || o == 3 || o == 6 || o == 7, o == 3 || o == 4 || o == 7 || o == 8
			x, y := w/4, h/4
			if right {
				x = 3 * w / 4
			}
			if below {
				y = 3 * h / 4
			}
			if r, _, b, _ := m.At(x, y).RGBA(); r < b {
				t.Errorf("orientation %d: the red quarter is not at %d,%d", o, x, y)
			}
		}
	}
}

// hugePNG says that it has so many pixels, in a few bytes.
func hugePNG(w, h uint32) []byte {
	head := append([]byte("IHDR"), binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)...)
	head = append(head, 8, 2, 0, 0, 0)
	out := append([]byte("\x89PNG\r\n\x1a\n"), 0, 0, 0, 13)
	out = append(out, head...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(head))
}

func TestWhatIsNotAPhotoIsRefusedByNumber(t *testing.T) {
	good := asJPEG(t, marked(60, 60))
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"HEIC":                   {[]byte("\x00\x00\x00\x24ftypheic\x00\x00\x00\x00mif1heic"), "HEIC"},
		"SVG":                    {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), "not a JPEG"},
		"a PDF named .jpg":       {[]byte("%PDF-1.7\n1 0 obj"), "not a JPEG"},
		"GIF":                    {[]byte("GIF89a\x01\x00\x01\x00"), "not a JPEG"},
		"20,000 × 20,000":        {hugePNG(20_000, 20_000), "too many pixels"},
		"a long strip":           {hugePNG(12_001, 1), "too many pixels"},
		"a truncated JPEG":       {good[:len(good)/2], "damaged"},
		"only the first bytes":   {good[:3], "damaged"},
		"a truncated PNG":        {asPNG(t, marked(60, 60))[:60], "damaged"},
		"WebP that is none":      {[]byte("RIFF\x10\x00\x00\x00WEBPVP8 \x04\x00\x00\x00abcd"), "damaged"},
		"a JPEG of no size":      {[]byte("\xff\xd8\xff\xc0\x00\x0b\x08\x00\x00\x00\x00\x01\x01\x11\x00\xff\xd9"), "damaged"},
		"HTML that begins as it": {[]byte("\xff\xd8\xff<html><script>alert(1)</script>"), "damaged"},
	} {
		_, _, err := Clean(t.Context(), [][]byte{good, c.raw, good})
		f := fault.As(err)
		if f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Name != "photo" || !strings.HasPrefix(f.Fields[0].Message, "Photo 2 ") || !strings.Contains(f.Fields[0].Message, c.want) {
			t.Errorf("%s: %v %v", name, err, f.Fields)
		}
	}
}

func TestTooManyTooLargeAndEmptyPhotos(t *testing.T) {
	if bad := Check(make([][]byte, 6)); len(bad) != 1 || !strings.Contains(bad[0].Message, "5 photos at most") {
		t.Errorf("six photos: %v", bad)
	}
	bad := Check([][]byte{{}, make([]byte, MaxBytes), make([]byte, 15<<20)})
	if len(bad) != 2 || !strings.HasPrefix(bad[0].Message, "Photo 1 is empty") || !strings.HasPrefix(bad[1].Message, "Photo 3 is larger") {
		t.Errorf("bad=%v", bad)
	}
}

func TestALargePhotoIsMadeSmaller(t *testing.T) {
	clean, came, err := Clean(t.Context(), [][]byte{asJPEG(t, image.NewGray(image.Rect(0, 0, 4000, 3000)))})
	if err != nil {
		t.Fatal(err)
	}
	if p := clean[0]; p.Width != 2048 || p.Height != 1536 {
		t.Errorf("%d×%d", p.Width, p.Height)
	}
	if came[0] != (Original{"image/jpeg", 4000, 3000}) {
		t.Errorf("came as %+v", came[0])
	}
	noise := image.NewGray(image.Rect(0, 0, 2048, 1536)) // the largest there can be
	seed := uint32(1)
	for n := range noise.Pix {
		seed = seed*1664525 + 1013904223
		noise.Pix[n] = byte(seed >> 24)
	}
	if p, err := encode(noise); err != nil || len(p.JPEG) > maxStored {
		t.Errorf("noise takes %d bytes, %v", len(p.JPEG), err)
	}
}

func TestWhatShinesThroughBecomesWhite(t *testing.T) {
	clean, _, err := Clean(t.Context(), [][]byte{asPNG(t, image.NewNRGBA(image.Rect(0, 0, 20, 20)))})
	if err != nil {
		t.Fatal(err)
	}
	m, err := jpeg.Decode(bytes.NewReader(clean[0].JPEG))
	if err != nil {
		t.Fatal(err)
	}
	if r, _, _, _ := m.At(10, 10).RGBA(); r < 0xf000 {
		t.Errorf("red=%x, want white", r)
	}
}

func TestWithoutTimeNothingIsPromised(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := Clean(ctx, [][]byte{asJPEG(t, marked(60, 60))})
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("err=%v", err)
	}
}

func FuzzClean(f *testing.F) {
	f.Add(exif(asJPEG(f, marked(16, 8)), 6, binary.LittleEndian))
	f.Add(asPNG(f, marked(8, 8)))
	f.Add([]byte("RIFF\x10\x00\x00\x00WEBPVP8 \x04\x00\x00\x00abcd"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		clean, _, err := Clean(t.Context(), [][]byte{raw})
		if err != nil {
			if k := fault.KindOf(err); k != fault.Invalid && k != fault.Unavailable {
				t.Fatal(err)
			}
			return
		}
		if _, err := jpeg.DecodeConfig(bytes.NewReader(clean[0].JPEG)); err != nil || bytes.Contains(clean[0].JPEG, []byte("Exif\x00")) {
			t.Fatalf("what came out is no clean picture: %v", err)
		}
	})
}

// What a picture was in is used again once it was left, and never before.
func TestAPictureKeepsItsMemoryUntilItIsLeft(t *testing.T) {
	clean := func(seed uint64) Photo {
		t.Helper()
		photos, _, err := Clean(t.Context(), [][]byte{coded(t, patterned(320, 240, seed), 80)})
		if err != nil {
			t.Fatal(err)
		}
		return photos[0]
	}
	first := clean(1)
	want := bytes.Clone(first.JPEG)
	first.Leave()
	for seed := range uint64(20) {
		one, other := clean(2+seed), clean(1)
		if sha256.Sum256(one.JPEG) != one.SHA256 || !bytes.Equal(other.JPEG, want) {
			t.Fatalf("after %d pictures one lies in the memory of another", seed)
		}
		one.Leave()
		other.Leave()
	}
}

func BenchmarkClean200KB(b *testing.B) {
	raw := coded(b, patterned(1600, 1200, 1), 60)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Clean(b.Context(), [][]byte{raw}); err != nil {
			b.Fatal(err)
		}
	}
}
