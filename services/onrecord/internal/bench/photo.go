package bench

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
)

const (
	pictures  = 16
	photoSize = 200 << 10 // bytes
)

// madeUpPhotos returns different JPEGs of 1,600 × 1,200 pixels and about 200 KB
// each, as the form's script makes of photos.
func madeUpPhotos() (photos [][]byte, err error) {
	quality := 95
	for n := range pictures {
		picture := madeUpPicture(n)
		for ; ; quality-- {
			var b bytes.Buffer
			if err := jpeg.Encode(&b, picture, &jpeg.Options{Quality: quality}); err != nil {
				return nil, err
			}
			if b.Len() <= photoSize {
				photos = append(photos, b.Bytes())
				break
			}
		}
	}
	return photos, nil
}

// madeUpPicture returns one of smooth shades with the noise of a camera.
func madeUpPicture(n int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, 1600, 1200))
	noise := uint32(n + 1)
	for y := range 1200 {
		for x := range 1600 {
			noise = noise*1664525 + 1013904223
			v := uint8(128 + 90*math.Sin(float64(x+97*n)/37)*math.Cos(float64(y+61*n)/29) + float64(noise>>28))
			m.SetRGBA(x, y, color.RGBA{v, 255 - v, v / 2, 255})
		}
	}
	return m
}
