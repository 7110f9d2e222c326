package photo

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/draw"
)

// orientation returns how a JPEG wants to be turned, from 1 (not at all) to 8,
// by its Exif. Whatever cannot be read is 1. Source: Exif 3.0 (CIPA DC-008)
// section 4.6.5 (tag 0x0112) and TIFF 6.0 section 2.
func orientation(raw []byte) int {
	for rest := raw; len(rest) > 4; {
		if rest[0] != 0xff {
			break
		}
		marker := rest[1]
		if marker == 0xd8 || marker == 0xff { // start of image, and filling
			rest = rest[min(2-int(marker&1), len(rest)):]
			continue
		}
		size := int(binary.BigEndian.Uint16(rest[2:]))
		if marker == 0xda || size < 2 || len(rest) < 2+size { // the picture itself begins
			break
		}
		if body, ok := bytes.CutPrefix(rest[4:2+size], []byte("Exif\x00\x00")); ok && marker == 0xe1 {
			return tiffOrientation(body)
		}
		rest = rest[2+size:]
	}
	return 1
}

func tiffOrientation(tiff []byte) int {
	var order binary.ByteOrder = binary.BigEndian
	if bytes.HasPrefix(tiff, []byte("II")) {
		order = binary.LittleEndian
	}
	if len(tiff) < 8 {
		return 1
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			break
		}
		if order.Uint16(entries) == 0x0112 {
			if o := int(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
			break
		}
		entries = entries[12:]
	}
	return 1
}

// onItsSide reports whether height and width change places.
func onItsSide(orientation int) bool { return orientation >= 5 }

// turned returns a picture the right way up.
func turned(from image.Image, orientation int) image.Image {
	if orientation == 1 {
		return from
	}
	b := from.Bounds()
	w, h := b.Dx(), b.Dy()
	to := image.NewRGBA(image.Rect(0, 0, w, h))
	if onItsSide(orientation) {
		to = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	plain := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(plain, plain.Bounds(), from, b.Min, draw.Src)
	for y := range h {
		for x := range w {
			tx, ty := x, y
			switch orientation {
			case 2:
				tx = w - 1 - x
			case 3:
				tx, ty = w-1-x, h-1-y
			case 4:
				ty = h - 1 - y
			case 5:
				tx, ty = y, x
			case 6:
				tx, ty = h-1-y, x
			case 7:
				tx, ty = h-1-y, w-1-x
			case 8:
				tx, ty = y, w-1-x
			}
			copy(to.Pix[to.PixOffset(tx, ty):][:4], plain.Pix[plain.PixOffset(x, y):][:4])
		}
	}
	return to
}
