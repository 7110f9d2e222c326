package photo

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/png"
	"runtime"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/fault"
)

// frameJPEG returns the head of a JPEG with components of these sizes. What follows it is as good as nothing, and a decoder takes the
// memory all the same.
func frameJPEG(w, h uint16, marker byte, before string, sizes ...byte) []byte {
	frame := binary.BigEndian.AppendUint16([]byte{8}, h)
	frame = append(binary.BigEndian.AppendUint16(frame, w), byte(len(sizes)))
	for n, size := range sizes {
		frame = append(frame, byte(n+1), size, 0)
	}
	out := append([]byte{0xff, 0xd8}, before...)
	out = append(binary.BigEndian.AppendUint16(append(out, 0xff, marker), uint16(len(frame)+2)), frame...)
	scan := []byte{byte(len(sizes))}
	for n := range sizes {
		scan = append(scan, byte(n+1), 0)
	}
	scan = append(scan, 0, 0, 0)
	if marker != progressiveFrame {
		scan[len(scan)-2] = 63
	}
	return append(append(out, 0xff, startOfScan, 0, byte(len(scan)+2)), scan...)
}

func TestAPhotoThatTakesTooMuchMemoryIsRefused(t *testing.T) {
	deep := hugePNG(8000, 6250)
	deep[24], deep[28] = 16, 1
	binary.BigEndian.PutUint32(deep[29:], crc32.ChecksumIEEE(deep[12:29]))
	photos := map[string][]byte{
		"progressive":                      frameJPEG(8000, 6250, progressiveFrame, "", 0x11, 0x11, 0x11),
		"four colours":                     frameJPEG(8000, 6250, progressiveFrame, "", 0x11, 0x11, 0x11, 0x11),
		"after a restart without a length": frameJPEG(8000, 6250, progressiveFrame, "\xff\xd0", 0x11, 0x11, 0x11),
		"deep PNG":                         deep,
	}
	for name, raw := range photos {
		_, _, err := Clean(t.Context(), [][]byte{raw})
		f := fault.As(err)
		if f.Kind != fault.Invalid || !strings.Contains(f.Fields[0].Message, "too much memory") {
			t.Errorf("%s: %v %v", name, err, f.Fields)
		}
	}
}

// What is reckoned must be no less than what a decoder takes.
func TestAWeightIsNoLessThanWhatDecodingTakes(t *testing.T) {
	var interlaced, deep bytes.Buffer
	if err := png.Encode(&deep, image.NewNRGBA64(image.Rect(0, 0, 1500, 1000))); err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(&interlaced, image.NewNRGBA(image.Rect(0, 0, 1500, 1000))); err != nil {
		t.Fatal(err)
	}
	photos := map[string][]byte{"PNG": interlaced.Bytes(), "deep PNG": deep.Bytes(), "JPEG": asJPEG(t, marked(1500, 1000))}
	for name, sizes := range map[string][]byte{"4:2:0": {0x22, 0x11, 0x11}, "4:4:4": {0x11, 0x11, 0x11}, "grey": {0x11}} {
		photos["progressive "+name] = frameJPEG(1500, 1000, progressiveFrame, "", sizes...)
		photos["baseline "+name] = frameJPEG(1500, 1000, baselineFrame, "", sizes...)
	}
	for name, raw := range photos {
		f, err := formatOf(raw)
		if err != nil {
			t.Fatal(err)
		}
		config, err := f.config(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = f.decode(bytes.NewReader(raw)) // the heads alone are damaged pictures
		runtime.ReadMemStats(&after)
		took, reckoned := after.TotalAlloc-before.TotalAlloc, weight(raw, f.contentType, config)
		if most := uint64(reckoned) + 1<<20; took > most {
			t.Errorf("%s: decoding took %d bytes, reckoned %d", name, took, reckoned)
		}
	}
}

// The largest that phones take is decoded, and a crowd of small ones at once.
func TestWhatCamerasTakeIsNotTooHeavy(t *testing.T) {
	config := image.Config{Width: 8000, Height: 6250}
	for name, raw := range map[string][]byte{
		"4:2:0":            frameJPEG(8000, 6250, baselineFrame, "", 0x22, 0x11, 0x11),
		"4:2:2":            frameJPEG(8000, 6250, baselineFrame, "", 0x21, 0x11, 0x11),
		"4:4:4":            frameJPEG(8000, 6250, baselineFrame, "", 0x11, 0x11, 0x11),
		"with EXIF":        frameJPEG(8000, 6250, baselineFrame, "\xff\xe1\x00\x08Exif\x00\x00", 0x22, 0x11, 0x11),
		"progressive grey": frameJPEG(8000, 6250, progressiveFrame, "", 0x11),
	} {
		if w := weight(raw, "image/jpeg", config); w > inHand {
			t.Errorf("%s of 50 million pixels is too heavy: %d bytes", name, w)
		}
	}
	if w := weight(hugePNG(8000, 6250), "image/png", config); w > inHand {
		t.Errorf("a PNG of 50 million pixels is too heavy: %d bytes", w)
	}
}
