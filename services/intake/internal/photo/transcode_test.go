package photo

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"weak"
)

// patterned returns a picture of smooth shades and some noise.
func patterned(w, h int, seed uint64) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	r := rand.New(rand.NewPCG(seed, 1))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{uint8(x*255/w + int(r.Uint32N(16))), uint8(y * 255 / h), uint8((x ^ y) + int(r.Uint32N(64))), 255})
		}
	}
	return m
}

func coded(tb testing.TB, m image.Image, q int) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: q}); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// samePixels fails unless two JPEGs show the same, bit for bit.
func samePixels(tb testing.TB, a, b []byte) {
	tb.Helper()
	first, err := jpeg.Decode(bytes.NewReader(a))
	if err != nil {
		tb.Fatalf("what came: %v", err)
	}
	second, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		tb.Fatalf("what was written: %v", err)
	}
	switch first := first.(type) {
	case *image.YCbCr:
		second, ok := second.(*image.YCbCr)
		if !ok || first.Rect != second.Rect || first.SubsampleRatio != second.SubsampleRatio || !bytes.Equal(first.Y, second.Y) || !bytes.Equal(first.Cb, second.Cb) || !bytes.Equal(first.Cr, second.Cr) {
			tb.Fatal("the pixels differ")
		}
	case *image.Gray:
		if second, ok := second.(*image.Gray); !ok || first.Rect != second.Rect || !bytes.Equal(first.Pix, second.Pix) {
			tb.Fatal("the pixels differ")
		}
	default:
		tb.Fatalf("a %T was taken", first)
	}
}

func TestTranscodingKeepsEveryPixel(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {7, 9}, {16, 16}, {17, 33}, {640, 481}} {
		for _, q := range []int{1, 30, 80, 100} {
			for name, m := range map[string]image.Image{"colour": patterned(size.X, size.Y, uint64(q)), "grey": image.NewGray(image.Rectangle{Max: size})} {
				raw := coded(t, m, q)
				out, w, h, ok := transcode(raw)
				if !ok || w != size.X || h != size.Y {
					t.Fatalf("%s %v at %d: %v, %d×%d", name, size, q, ok, w, h)
				}
				samePixels(t, raw, out)
				again, _, _, ok := transcode(out)
				if !ok || !bytes.Equal(out, again) {
					t.Errorf("%s %v at %d: transcoding again changes it", name, size, q)
				}
			}
		}
	}
}

// backwards are our own codes with the shortest words for the rarest symbols.
func backwards(tb testing.TB) (codes [2][2]*huffman) {
	for class := range ownCodes {
		for id, own := range ownCodes[class] {
			spec := bytes.Clone(own.spec)
			slices.Reverse(spec[17:])
			if codes[class][id], _ = newHuffman(spec); codes[class][id] == nil {
				tb.Fatal("that is no code")
			}
		}
	}
	return codes
}

// inCodes returns a picture without restarts in other codes.
func inCodes(tb testing.TB, raw []byte, codes [2][2]*huffman) []byte {
	b, scan, ok := readBaseline(raw)
	d := new(desk)
	if d.cutInterval(scan); !ok || !d.translate(new(d.blocks(&b, codes)), b.mcus()) {
		tb.Fatal("it cannot be written in other codes")
	}
	head := b.header(0)
	for class := range codes {
		for id, h := range codes[class] {
			head = bytes.Replace(head, ownCodes[class][id].spec, h.spec, 1)
		}
	}
	return append(appendStuffed(head, d.written()), 0xff, endOfImage)
}

func TestWhateverTheCodesThePictureIsWrittenTheSame(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {17, 33}, {320, 201}} {
		for _, q := range []int{1, 60, 100} {
			raw := coded(t, patterned(size.X, size.Y, uint64(q)), q)
			other := inCodes(t, raw, backwards(t))
			samePixels(t, raw, other)
			want, _, _, _ := transcode(raw)
			got, _, _, ok := transcode(other)
			if !ok || !bytes.Equal(want, got) {
				t.Errorf("%v at %d: %v, %d bytes for %d", size, q, ok, len(got), len(want))
			}
		}
	}
}

func TestTheCodesHoldEverySymbol(t *testing.T) {
	for class := range ownCodes {
		for id, h := range ownCodes[class] {
			for symbol := range 256 {
				if h.allows(byte(symbol)) && h.words[symbol].n == 0 {
					t.Errorf("class %d, code %d: no word for %#x", class, id, symbol)
				}
			}
		}
	}
}

// segment returns a JPEG with a segment put in after its first two bytes.
func segment(raw []byte, marker byte, body string) []byte {
	out := append([]byte{0xff, 0xd8, 0xff, marker}, binary.BigEndian.AppendUint16(nil, uint16(len(body)+2))...)
	return append(append(out, body...), raw[2:]...)
}

func TestTranscodingLeavesNothingBesideThePicture(t *testing.T) {
	plain := coded(t, patterned(64, 48, 1), 80)
	raw := bytes.Clone(plain)
	for marker := byte(0xe0); marker <= 0xef; marker++ {
		if marker != appAdobe {
			raw = segment(raw, marker, "canary\x00 <script>")
		}
	}
	raw = append(segment(raw, comment, "canary"), "PK\x03\x04 canary"...)
	out, _, _, ok := transcode(raw)
	if !ok {
		t.Fatal("it was not transcoded")
	}
	if want, _, _, _ := transcode(plain); !bytes.Equal(out, want) {
		t.Errorf("%d bytes, without the canaries %d", len(out), len(want))
	}
}

// What is not plainly a complete baseline picture is left to the decoder.
func TestWhatIsNotPlainIsNotTranscoded(t *testing.T) {
	raw := coded(t, patterned(64, 48, 1), 80)
	at := func(marker byte) int {
		n := bytes.Index(raw, []byte{0xff, marker})
		if n < 0 {
			t.Fatalf("no marker %#x", marker)
		}
		return n
	}
	change := func(at int, to ...byte) []byte {
		out := bytes.Clone(raw)
		copy(out[at:], to)
		return out
	}
	for name, r := range map[string][]byte{
		"nothing":                  nil,
		"its first bytes":          raw[:20],
		"without its end":          raw[:len(raw)-2],
		"half of it":               append(bytes.Clone(raw[:len(raw)/2]), 0xff, endOfImage),
		"a byte too many":          append(append(bytes.Clone(raw[:len(raw)-2]), 0x11, 0x22), 0xff, endOfImage),
		"progressive":              change(at(baselineFrame), 0xff, 0xc2),
		"of twelve bits":           change(at(baselineFrame)+4, 12),
		"higher than it is":        change(at(baselineFrame)+5, 0, 96),
		"lower than it is":         change(at(baselineFrame)+5, 0, 32),
		"of no height":             change(at(baselineFrame)+5, 0, 0),
		"in colours of its own":    segment(raw, appAdobe, "Adobe\x00\x64\x00\x00\x00\x00\x00"),
		"in red, green and blue":   bytes.ReplaceAll(change(at(baselineFrame)+10, 'R', 0x22, 0, 'G', 0x11, 1, 'B'), []byte{0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3}, []byte{0xff, 0xda, 0, 12, 3, 'R', 0, 'G', 0x11, 'B'}),
		"in half a colour":         change(at(baselineFrame)+11, 0x11, 0, 2, 0x22),
		"in one colour twice":      bytes.Replace(change(at(baselineFrame)+16, 2), []byte{0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3}, []byte{0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 2}, 1),
		"in grey by no factor":     bytes.Replace(restarted(24, 8), []byte{1, 1, 0x11, 0}, []byte{1, 1, 0x30, 0}, 1),
		"dividing by nothing":      change(at(quantTables)+5, 0),
		"with a code too short":    change(at(huffmanTables)+5, 3),
		"with another interval":    segment(raw, restartEvery, "\x00\x01"),
		"with a scan of a part":    change(at(startOfScan)+len("\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11"), 0, 5, 0),
		"with the height after it": append(bytes.Clone(raw[:len(raw)-2]), 0xff, 0xdc, 0, 4, 0, 48, 0xff, endOfImage),
	} {
		if _, _, _, ok := transcode(r); ok {
			t.Errorf("%s was transcoded", name)
		}
	}
}

// restarted returns a grey picture with a restart after each MCU, which
// image/jpeg reads and does not write.
func restarted(w, h int) []byte {
	code := func(id byte, symbols ...byte) string { // the first of one bit, the second of two
		lengths := make([]byte, 16)
		for n := range symbols {
			lengths[n] = 1
		}
		return string([]byte{id}) + string(lengths) + string(symbols)
	}
	out := []byte{0xff, startOfImage, 0xff, endOfImage}
	for _, s := range []struct {
		marker byte
		body   string
	}{
		{startOfScan, "\x01\x01\x00\x00\x3f\x00"},
		{restartEvery, "\x00\x01"},
		{huffmanTables, code(0x10, endOfBlock)},
		{huffmanTables, code(0x00, 0, 5)},
		{baselineFrame, string([]byte{8, byte(h >> 8), byte(h), byte(w >> 8), byte(w), 1, 1, 0x11, 0})},
		{quantTables, "\x00" + strings.Repeat("\x01", 64)},
	} {
		out = segment(out, s.marker, s.body)
	}
	out = out[:len(out)-2]
	for n := range (w + 7) / 8 * ((h + 7) / 8) {
		if n > 0 {
			out = append(out, 0xff, restart0+byte(n-1)%8)
		}
		out = append(out, 0x80|byte(n)%32<<1) // the second symbol, a number of five bits, the end of the block
	}
	return append(out, 0xff, endOfImage)
}

func TestRestartsAreKept(t *testing.T) {
	raw := restarted(90, 80)
	out, _, _, ok := transcode(raw)
	if !ok {
		t.Fatal("it was not transcoded")
	}
	samePixels(t, raw, out)
	wrong := bytes.Replace(raw, []byte{0xff, restart0 + 3}, []byte{0xff, restart0 + 4}, 1)
	if _, _, _, ok := transcode(wrong); ok {
		t.Error("restarts out of their order were taken")
	}
}

// What stands beside the picture takes no room in what is written.
func TestAFileFullOfCommentsTakesNoMoreRoom(t *testing.T) {
	raw := coded(t, patterned(8, 8, 1), 80)
	for range 100 {
		raw = segment(raw, comment, strings.Repeat("a comment ", 6000))
	}
	out, _, _, ok := transcode(raw)
	if !ok || cap(out) > 2*maxStored {
		t.Errorf("taken: %v, %d bytes are kept for %d", ok, cap(out), len(out))
	}
}

// A file is not kept longer than it is worked on: what a camera put beside the
// picture is in it.
func TestNothingHoldsOnToAFile(t *testing.T) {
	raw := coded(t, patterned(64, 64, 1), 80)
	file := weak.Make(&raw[0])
	if _, _, _, ok := transcode(raw); !ok {
		t.Fatal("it was not transcoded")
	}
	raw = nil
	for range 3 {
		runtime.GC()
	}
	if file.Value() != nil {
		t.Error("the file is still in memory")
	}
}

func FuzzTranscode(f *testing.F) {
	f.Add(coded(f, patterned(33, 17, 1), 80))
	f.Add(coded(f, image.NewGray(image.Rect(0, 0, 9, 9)), 50))
	f.Add(restarted(24, 8))
	f.Add(bytes.Replace(restarted(24, 8), []byte{1, 1, 0x11, 0}, []byte{1, 1, 0x13, 0}, 1)) // which image/jpeg does not read
	f.Add(inCodes(f, coded(f, patterned(24, 24, 1), 90), backwards(f)))
	f.Add(exif(coded(f, patterned(8, 8, 1), 80), 6, binary.LittleEndian))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := jpeg.DecodeConfig(bytes.NewReader(raw)); err == nil && c.Width*c.Height > 1<<20 {
			return // the comparison would take too long
		}
		out, w, h, ok := transcode(raw)
		if !ok {
			return
		}
		samePixels(t, raw, out)
		if again, w2, h2, ok := transcode(out); !ok || w != w2 || h != h2 || !bytes.Equal(out, again) {
			t.Fatal("transcoding again changes it")
		}
	})
}

func BenchmarkTranscode200KB(b *testing.B) {
	raw := coded(b, patterned(1600, 1200, 1), 60)
	pictures := map[string][][]byte{
		"in the usual codes":  {raw},
		"in codes of its own": {inCodes(b, raw, backwards(b)), raw}, // in turn: what was made for one does not serve for the other
	}
	for name, of := range pictures {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if _, _, _, ok := transcode(of[n%len(of)]); !ok {
					b.Fatal("it was not transcoded")
				}
			}
		})
	}
}
