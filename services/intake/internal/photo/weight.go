package photo

import (
	"bytes"
	"encoding/binary"
	"image"
)

// weight returns how many bytes decoding a picture takes at most, whatever it
// says of itself: a few bytes of a file can ask for twenty times what a
// camera's picture of as many pixels needs.
func weight(raw []byte, contentType string, config image.Config) int64 {
	pixels := int64(config.Width) * int64(config.Height)
	switch contentType {
	case "image/jpeg":
		depth := jpegDepth(raw, config)
		if depth < deepest && bytes.Contains(raw, []byte("Adobe")) { // it may say that the colours are red, green and blue
			depth += asRGB
		}
		return int64(float64(pixels) * depth)
	case "image/png":
		const depth, interlaced = 24, 28 // where they stand in a file
		size := 4 * pixels
		if len(raw) <= interlaced || raw[depth] == 16 {
			size *= 2
		}
		if len(raw) <= interlaced || raw[interlaced] != 0 {
			size += size / 2 // the largest pass is a picture of its own
		}
		return size
	default:
		return 8 * pixels
	}
}

// asRGB is what a pixel takes where a picture is made of red, green and blue.
const asRGB = 4

// deepest is what a pixel of a JPEG takes at most: four components, each kept
// once as numbers of 32 bits and once as bytes, and two pictures made of them.
const deepest = 4*5 + 8

// jpegDepth returns how many bytes a pixel of a JPEG takes: deepest where its
// head is not plain enough to tell.
func jpegDepth(raw []byte, config image.Config) float64 {
	for rest := raw[2:]; ; {
		var marker byte
		if marker, rest = nextMarker(rest); len(rest) < 2 || marker < baselineFrame || marker >= restart0 && marker < startOfScan {
			return deepest
		}
		size := int(binary.BigEndian.Uint16(rest))
		if size < 2 || size > len(rest) {
			return deepest
		}
		body := rest[2:size]
		rest = rest[size:]
		switch marker {
		case baselineFrame, baselineFrame + 1, progressiveFrame:
			return frameDepth(body, marker == progressiveFrame, config)
		case startOfScan:
			return deepest
		}
	}
}

const progressiveFrame = 0xc2

func frameDepth(body []byte, progressive bool, config image.Config) float64 {
	if len(body) < 6 || len(body) != 6+3*int(body[5]) || body[5] != 1 && body[5] != 3 ||
		int(binary.BigEndian.Uint16(body[1:])) != config.Height || int(binary.BigEndian.Uint16(body[3:])) != config.Width {
		return deepest
	}
	blocks, h, v := 0, 1, 1 // a component has so many blocks where the largest has h·v
	for c := body[6:]; len(c) > 0; c = c[3:] {
		across, down := int(c[1]>>4), int(c[1]&15)
		blocks, h, v = blocks+across*down, max(h, across), max(v, down)
	}
	depth := float64(blocks) / float64(h*v)
	if body[5] == 1 {
		depth = 1
	}
	if progressive {
		depth *= 5
	}
	if body[5] == 3 && body[6] == 'R' && body[9] == 'G' && body[12] == 'B' {
		depth += asRGB
	}
	return depth
}
