// Package photo takes pictures from outside: it decides by their first bytes
// what they are, turns them the right way up, and writes them anew as JPEG, so
// that nothing is left of what a camera or anybody else put beside the picture.
// A plain JPEG is written anew number by number, whatever else is decoded within
// bounds.
package photo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
	"golang.org/x/sync/semaphore"

	"github.com/onrecord/onrecord/pkg/fault"
)

// Limits on photos.
const (
	Max       = 5        // of one report
	MaxBytes  = 10 << 20 // of one as it comes
	maxStored = 2 << 20  // as it is kept
	maxPixels = 50e6     // the largest that phones take
	maxSide   = 12_000   // pixels
	keptSide  = 2048     // the longer side as it is kept, in pixels

	inHand    = 256e6            // bytes that decoding takes at once
	patience  = 10 * time.Second // for all photos of one report
	quality   = 85               // of JPEG; less where it takes less to stay under maxStored
	leastGood = 40
)

// Photo is a picture as it is kept: JPEG without anything but the picture.
type Photo struct {
	JPEG          []byte
	Width, Height int
	SHA256        [sha256.Size]byte // of JPEG
}

// Leave gives the memory of a picture to one that comes later. Nobody may look at
// its bytes afterwards.
func (p Photo) Leave() {
	if memory := p.JPEG[:0]; cap(memory) <= mostLeft {
		left.Put(&memory)
	}
}

// left is memory that pictures were in, each of mostLeft at most, so that not
// each has to be given more.
var left sync.Pool

const mostLeft = 512 << 10

// memory returns some for a picture of so many bytes.
func memory(room int) []byte {
	if m, ok := left.Get().(*[]byte); ok && cap(*m) >= room {
		return *m
	}
	return make([]byte, 0, room)
}

// Original says what came.
type Original struct {
	ContentType   string
	Width, Height int // as it is shown
}

var errBusy = fault.New(fault.Unavailable, "busy", "Many photos are coming in. Keep yours and send the report again shortly.").Retry(5 * time.Second)

var room = semaphore.NewWeighted(inHand)

// Clean returns the pictures as they are to be kept, and what came. It returns
// fault.Invalid with a field "photo" for each that cannot be taken, which names
// it by its number, and fault.Unavailable when there is no room or no time.
func Clean(ctx context.Context, photos [][]byte) ([]Photo, []Original, error) {
	began := time.Now()
	defer cleanSeconds.UpdateDuration(began)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var bad []fault.Field
	clean, came := make([]Photo, len(photos)), make([]Original, len(photos))
	for n, raw := range photos {
		var err error
		clean[n], came[n], err = one(ctx, raw)
		switch why := refusal(""); {
		case ctx.Err() != nil:
			return nil, nil, errBusy.Because(err)
		case errors.As(err, &why):
			bad = append(bad, fault.Wrong("photo", string(why), n+1))
		case err != nil:
			return nil, nil, err
		}
	}
	if len(bad) > 0 {
		return nil, nil, fault.InvalidFields(bad)
	}
	return clean, came, nil
}

// Check returns what is wrong with the number and the sizes of photos, before
// anything of them is looked at.
func Check(photos [][]byte) (bad []fault.Field) {
	if len(photos) > Max {
		return []fault.Field{fault.Wrong("photo", "A report takes %d photos at most. Take some out, or add another report.", Max)}
	}
	for n, raw := range photos {
		switch {
		case len(raw) == 0:
			bad = append(bad, fault.Wrong("photo", "Photo %d is empty. Choose it again.", n+1))
		case len(raw) > MaxBytes:
			bad = append(bad, fault.Wrong("photo", "Photo %d is larger than 10 MB. Send a smaller one.", n+1))
		}
	}
	return bad
}

var cleanSeconds = metrics.NewHistogram(`onrecord_intake_photos_seconds`)

// refusal is why a photo cannot be taken, in words with its number.
type refusal fault.Text

func (r refusal) Error() string { return string(r) }

const (
	notAPicture = refusal(fault.Text("Photo %d is not a JPEG, PNG or WebP picture. Choose another, or take a picture of it."))
	isHEIC      = refusal(fault.Text("Photo %d is in Apple’s HEIC form, which cannot be read here. Take it with the page’s own button, or save it as JPEG."))
	tooLarge    = refusal(fault.Text("Photo %d has too many pixels: 50 million are the most. Send a smaller one."))
	tooHeavy    = refusal(fault.Text("Photo %d is of a kind that takes too much memory to open. Save it as an ordinary JPEG, or send a smaller one."))
	damaged     = refusal(fault.Text("Photo %d is damaged or was cut off. Choose it again, or another."))
)

type format struct {
	contentType string
	config      func(io.Reader) (image.Config, error)
	decode      func(io.Reader) (image.Image, error)
}

var formats = map[string]format{
	"jpeg": {"image/jpeg", jpeg.DecodeConfig, jpeg.Decode},
	"png":  {"image/png", png.DecodeConfig, png.Decode},
	"webp": {"image/webp", webp.DecodeConfig, webp.Decode},
}

// formatOf decides by the first bytes alone.
func formatOf(raw []byte) (format, error) {
	at := func(offset int, magic string) bool {
		return len(raw) >= offset+len(magic) && string(raw[offset:offset+len(magic)]) == magic
	}
	switch {
	case at(0, "\xff\xd8\xff"):
		return formats["jpeg"], nil
	case at(0, "\x89PNG\r\n\x1a\n"):
		return formats["png"], nil
	case at(0, "RIFF") && at(8, "WEBP"):
		return formats["webp"], nil
	case at(4, "ftyphei"), at(4, "ftyphev"), at(4, "ftypmif1"), at(4, "ftypmsf1"):
		return format{}, isHEIC
	}
	return format{}, notAPicture
}

// one cleans a picture, in its turn.
func one(ctx context.Context, raw []byte) (Photo, Original, error) {
	f, err := formatOf(raw)
	if err != nil {
		return Photo{}, Original{}, err
	}
	config, err := f.config(bytes.NewReader(raw))
	if err != nil || config.Width < 1 || config.Height < 1 {
		return Photo{}, Original{}, damaged
	}
	if config.Width > maxSide || config.Height > maxSide || config.Width*config.Height > maxPixels {
		return Photo{}, Original{}, tooLarge
	}
	if p, ok := asItStands(ctx, raw, config); ok {
		return p, Original{f.contentType, p.Width, p.Height}, nil
	}
	needs := weight(raw, f.contentType, config)
	if needs > inHand {
		return Photo{}, Original{}, tooHeavy
	}
	if err := room.Acquire(ctx, needs); err != nil {
		return Photo{}, Original{}, err
	}
	defer room.Release(needs)
	decoded, err := f.decode(&untilDone{ctx, bytes.NewReader(raw)})
	if err != nil {
		return Photo{}, Original{}, damaged
	}
	picture := turned(fitted(decoded), orientation(raw))
	p, err := encode(picture)
	came := Original{f.contentType, decoded.Bounds().Dx(), decoded.Bounds().Dy()}
	if onItsSide(orientation(raw)) {
		came.Width, came.Height = came.Height, came.Width
	}
	return p, came, err
}

// asItStands returns a picture that needs neither be turned nor made smaller,
// written anew without decoding it. Most that the page's script sends are such.
func asItStands(ctx context.Context, raw []byte, config image.Config) (Photo, bool) {
	if ctx.Err() != nil || max(config.Width, config.Height) > keptSide || orientation(raw) != 1 {
		return Photo{}, false
	}
	anew, w, h, ok := transcode(raw)
	if !ok || len(anew) > maxStored || w != config.Width || h != config.Height {
		return Photo{}, false
	}
	return Photo{anew, w, h, sha256.Sum256(anew)}, true
}

// untilDone reads until a context ends, which ends a decoder with it.
type untilDone struct {
	ctx context.Context
	r   *bytes.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// fitted returns a picture no larger than is kept. What it lets shine through
// becomes white.
func fitted(from image.Image) image.Image {
	b := from.Bounds()
	w, h := b.Dx(), b.Dy()
	if longer := max(w, h); longer > keptSide {
		w, h = max(1, w*keptSide/longer), max(1, h*keptSide/longer)
	} else if opaque, ok := from.(interface{ Opaque() bool }); ok && opaque.Opaque() {
		return from
	}
	to := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(to, to.Bounds(), image.White, image.Point{}, draw.Src)
	draw.ApproxBiLinear.Scale(to, to.Bounds(), from, b, draw.Over, nil)
	return to
}

// encode writes a picture as JPEG of maxStored bytes at most.
func encode(picture image.Image) (Photo, error) {
	for q := quality; ; q -= 15 {
		var out bytes.Buffer
		if err := jpeg.Encode(&out, picture, &jpeg.Options{Quality: q}); err != nil {
			return Photo{}, err
		}
		if out.Len() <= maxStored || q <= leastGood {
			b := picture.Bounds()
			return Photo{out.Bytes(), b.Dx(), b.Dy(), sha256.Sum256(out.Bytes())}, nil
		}
	}
}
