package program_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/services/onrecord/internal/bench"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

// BenchmarkFiling files over HTTP with the whole pipeline at work, and in turn
// stores messages of the same size in the embedded stream alone, one by one and
// each synced. The disk and the machine are not steady, so what counts is the
// ratio within one run. Each iteration is a round of both:
// go test ./services/onrecord/internal/program -run '^$' -bench Filing -benchtime 7x
func BenchmarkFiling(b *testing.B) {
	for _, clients := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			reports := min(16_000, 1000+400*clients) // some seconds: longer than anything gives way
			file := filer(b, clients, reports)
			publish := publisher(b, clients, reports)
			var filed, alone, ratio, p50, p99, visible []float64
			for b.Loop() {
				a, r := publish(), file()
				alone, filed = append(alone, a), append(filed, r.PerSecond())
				ratio = append(ratio, r.PerSecond()/a)
				p50, p99 = append(p50, ms(r.P50)), append(p99, ms(r.P99))
				visible = append(visible, ms(r.Settled))
				b.Logf("stream alone %.0f/s, received %.0f/s (%.0f %%), p50 %.1f ms, p99 %.1f ms, all counted %.0f ms later",
					a, r.PerSecond(), 100*r.PerSecond()/a, ms(r.P50), ms(r.P99), ms(r.Settled))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(alone), "alone/s")
			b.ReportMetric(median(filed), "received/s")
			b.ReportMetric(100*median(ratio), "%ofalone")
			b.ReportMetric(median(p50), "p50-ms")
			b.ReportMetric(median(p99), "p99-ms")
			b.ReportMetric(median(visible), "settled-ms")
		})
	}
}

// filer returns what files one round of reports at a whole program.
func filer(b *testing.B, clients, reports int) func() bench.Round {
	k := openWith(b, 8<<30)
	var token reporting.CreatedToken
	k.do(program.OpTokenCreate, reporting.NewToken{Role: "rep"}, &token)
	sites, csv := bench.MadeUpSites()
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
	return func() (round bench.Round) {
		err := bench.Run(b.Context(), bench.Config{URL: "http://" + ln.Addr().String(), Token: token.Secret, Sites: sites,
			Clients: []int{clients}, Reports: reports, Settle: time.Minute}, func(r bench.Round) { round = r })
		if err != nil {
			b.Fatal(err)
		}
		if round.Failed+round.Lost+round.Doubled > 0 {
			b.Fatalf("failed, lost or doubled: %+v", round)
		}
		return round
	}
}

// publisher returns what stores one round of messages in a stream alone, one
// by one from each publisher, and says how many a second.
func publisher(b *testing.B, publishers, messages int) func() float64 {
	_, conn := bustest.NewConn(b)
	js, err := jetstream.New(conn)
	if err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	return func() float64 {
		began := time.Now()
		var left atomic.Int64
		left.Store(int64(messages))
		var wg sync.WaitGroup
		for range publishers {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					msg := nats.NewMsg(bus.Subject(bus.TypeFiled, fmt.Sprintf("r%d", n.Add(1))))
					msg.Data = make([]byte, 600) // as a report of the benchmark's
					if _, err := js.PublishMsg(b.Context(), msg); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		return float64(messages) / time.Since(began).Seconds()
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}
