package intake_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkReceived files over sockets against a stream that has every report
// on disk before it answers: reports per second, and the slowest of a hundred.
func BenchmarkReceived(b *testing.B) {
	for _, clients := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			p := start(b)
			base := p.serve(b)
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
			defer client.CloseIdleConnections()
			ids := make([]string, b.N)
			for i := range ids {
				ids[i] = newID(b)
			}
			took := make([]time.Duration, b.N)
			words := `,"channel":"in_person","narrative":"` + strings.Repeat("He shouted at me. ", 12) + `"`
			var wg sync.WaitGroup
			b.ResetTimer()
			for c := range clients {
				wg.Go(func() {
					for i := c; i < b.N; i += clients {
						began := time.Now()
						res, err := client.Post(base+"/api/v1/reports", "application/json", strings.NewReader(report(ids[i], words)))
						if err != nil {
							b.Error(err)
							return
						}
						res.Body.Close()
						if res.StatusCode != http.StatusCreated {
							b.Errorf("status=%d", res.StatusCode)
						}
						took[i] = time.Since(began)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reports/s")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}
