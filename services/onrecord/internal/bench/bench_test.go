package bench_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onrecord/onrecord/services/onrecord/internal/bench"
)

// server answers as On Record does, and keeps what keep says of each report:
// so many copies.
func server(t *testing.T, keep func(n int) (copies int)) string {
	var mu sync.Mutex
	var filed int
	var kept []time.Time
	answer := func(w http.ResponseWriter, v any) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/sites", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"sites": []map[string]string{{"id": "unlisted"}}})
	})
	mux.HandleFunc("POST /api/v1/reports", func(w http.ResponseWriter, r *http.Request) {
		var report struct {
			OccurredAt time.Time `json:"occurred_at"`
		}
		if err := json.NewDecoder(r.Body).Decode(&report); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		filed++
		for range keep(filed) {
			kept = append(kept, report.OccurredAt)
		}
		w.WriteHeader(http.StatusCreated)
	})
	mux.HandleFunc("GET /api/v1/incidents", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var list []map[string]any
		for _, at := range kept {
			list = append(list, map[string]any{"occurred_at": at})
		}
		answer(w, map[string]any{"incidents": list})
	})
	mux.HandleFunc("GET /api/v1/figures", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		answer(w, map[string]any{"months": []map[string]any{{"total": len(kept)}}})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// What is measured must be able to come out badly.
func TestLostAndDoubledReportsAreFound(t *testing.T) {
	for _, test := range []struct {
		what                 string
		keep                 func(n int) int
		found, lost, doubled int
	}{
		{what: "all kept once", keep: func(int) int { return 1 }, found: 40},
		{what: "one lost", keep: func(n int) int { return min(1, n-1) }, found: 39, lost: 1},
		{what: "one doubled", keep: func(n int) int { return 1 + 1/n }, found: 40, doubled: 1},
	} {
		t.Run(test.what, func(t *testing.T) {
			var got bench.Round
			err := bench.Run(t.Context(), bench.Config{URL: server(t, test.keep), Clients: []int{4}, Reports: 40, Rate: 400, Settle: 100 * time.Millisecond},
				func(r bench.Round) { got = r })
			if err != nil {
				t.Fatal(err)
			}
			if got.Received != 40 || got.Found != test.found || got.Lost != test.lost || got.Doubled != test.doubled || got.P99 == 0 {
				t.Errorf("%+v, want %d found, %d lost, %d doubled", got, test.found, test.lost, test.doubled)
			}
			if got.Took < 90*time.Millisecond {
				t.Errorf("40 reports at 400 a second took %v, want a tenth of a second", got.Took)
			}
			if got.VisibleP99 <= 0 {
				t.Errorf("visible after %v, want a time", got.VisibleP99)
			}
		})
	}
}

func TestABenchmarkIsBounded(t *testing.T) {
	url := server(t, func(int) int { return 1 })
	for want, c := range map[string]bench.Config{
		"reports":    {URL: url, Clients: []int{1}, Reports: bench.MaxReports + 1},
		"clients":    {URL: url, Clients: []int{bench.MaxClients + 1}, Reports: 1},
		"rate":       {URL: url, Clients: []int{1}, Reports: 1, Rate: bench.MaxRate + 1},
		"photos":     {URL: url, Clients: []int{1}, Reports: 1, Photos: bench.MaxPhotos + 1},
		"no address": {URL: "nowhere", Clients: []int{1}, Reports: 1},
	} {
		err := bench.Run(t.Context(), c, func(bench.Round) { t.Error("a round was run") })
		if err == nil || want != "no address" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err=%v", want, err)
		}
	}
}
