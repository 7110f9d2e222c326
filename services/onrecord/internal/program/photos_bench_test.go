package program_test

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/onrecord/onrecord/services/onrecord/internal/bench"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
)

// phonePhoto returns a JPEG of about 200 KB and 1,600 × 1,200 pixels, as the
// page's script sends one.
func phonePhoto(tb testing.TB) []byte {
	tb.Helper()
	m := image.NewRGBA(image.Rect(0, 0, 1600, 1200))
	noise := uint32(1)
	for y := range 1200 {
		for x := range 1600 {
			noise = noise*1664525 + 1013904223
			v := uint8(128 + 90*math.Sin(float64(x)/37)*math.Cos(float64(y)/29) + float64(noise>>28))
			m.SetRGBA(x, y, color.RGBA{v, 255 - v, v / 2, 255})
		}
	}
	for q := 95; ; q -= 3 {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: q}); err != nil {
			tb.Fatal(err)
		}
		if b.Len() <= 210<<10 {
			return b.Bytes()
		}
	}
}

// BenchmarkFilingPhotos files reports with a photo of 200 KB each from 8
// clients at a whole program:
// go test ./services/onrecord/internal/program -run '^$' -bench FilingPhotos -benchtime 1x
func BenchmarkFilingPhotos(b *testing.B) {
	k := openWith(b, 8<<30)
	_, csv := bench.MadeUpSites()
	k.do(program.OpSitesImport, csv, nil)
	var lc net.ListenConfig
	ln, err := lc.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(b.Context()))
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx, ln) }()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	if err := k.WaitReady(b.Context()); err != nil {
		b.Fatal(err)
	}
	photo := phonePhoto(b)
	const clients, lasts = 8, 20 * time.Second
	for b.Loop() {
		var filed atomic.Int64
		var mu sync.Mutex
		var took []time.Duration
		var wg sync.WaitGroup
		began := time.Now()
		for range clients {
			wg.Go(func() {
				for time.Since(began) < lasts {
					body, contentType := withPhotos(b, map[string]string{"report": report(map[string]any{"site": "unlisted", "site_name": "Demo desk"})}, photo)
					asked := time.Now()
					res, err := http.Post("http://"+ln.Addr().String()+"/api/v1/reports", contentType, strings.NewReader(body))
					if err != nil {
						b.Error(err)
						return
					}
					res.Body.Close()
					if res.StatusCode != http.StatusCreated {
						b.Errorf("%d", res.StatusCode)
						return
					}
					filed.Add(1)
					mu.Lock()
					took = append(took, time.Since(asked))
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		slices.Sort(took)
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(filed.Load())/time.Since(began).Seconds(), "received/s")
		b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
		b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
		b.ReportMetric(float64(len(photo))/1024, "KB/photo")
	}
}
