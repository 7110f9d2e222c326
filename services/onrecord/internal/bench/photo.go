package bench

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
)

// madeUpPhoto returns a JPEG of 1,600 × 1,200 pixels and about 200 KB, as the
// form's script makes of a photo: smooth shades with the noise of a camera.
func madeUpPhoto() ([]byte, error) {
	m := image.NewRGBA(image.Rect(0, 0, 1600, 1200))
	noise := uint32(1)
	for y := range 1200 {
		for x := range 1600 {
			noise = noise*1664525 + 1013904223
			v := uint8(128 + 90*math.Sin(float64(x)/37)*math.Cos(float64(y)/29) + float64(noise>>28))
			m.SetRGBA(x, y, color.RGBA{v, 255 - v, v / 2, 255})
		}
	}
	for quality := 95; ; quality-- {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
			return nil, err
		}
		if b.Len() <= 200<<10 {
			return b.Bytes(), nil
		}
	}
}
