package bench_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/services/onrecord/internal/bench"
)

// A soak that went well, and every way in which it may not have.
func TestASoakThatWentBadlyIsNamed(t *testing.T) {
	const mib = 1 << 20
	limits := bench.SoakConfig{Slowest: time.Second, Growth: 10 * mib}
	well := func() bench.Soak {
		s := bench.Soak{P99: 500 * time.Millisecond, Honest: 1000, Failed: 10, Received: 5000, Unsure: 2, Counted: 5001, Uploads: 4, Cut: 4}
		for n := range 12 {
			s.Samples = append(s.Samples, bench.Sample{Received: n * 1024, Memory: int64(60+n/2) * mib, Descriptors: 1000 + n})
		}
		return s
	}
	for want, change := range map[string]func(*bench.Soak){
		"":                           func(*bench.Soak) {},
		"5000 reports were received": func(s *bench.Soak) { s.Counted = 4999 },
		"and 5003 are counted":       func(s *bench.Soak) { s.Counted = 5003 },
		"11 of 1000 honest reports":  func(s *bench.Soak) { s.Failed = 11 },
		"took 2s, longer than 1s":    func(s *bench.Soak) { s.P99 = 2 * time.Second },
		"1 of 4 uploads":             func(s *bench.Soak) { s.Cut = 3 },
		"1 answers":                  func(s *bench.Soak) { s.Wrong = 1 },
		"memory grew by 42 MiB":      func(s *bench.Soak) { s.Samples[11].Memory = 104 * mib },
		"189 more descriptors":       func(s *bench.Soak) { s.Samples[10].Descriptors = 1194 },
	} {
		t.Run(want, func(t *testing.T) {
			s := well()
			change(&s)
			got := fmt.Sprint(s.Verdict(limits))
			if want == "" && got != "<nil>" || !strings.Contains(got, want) {
				t.Errorf("verdict=%s, want %q", got, want)
			}
		})
	}
}

func TestASoakIsBounded(t *testing.T) {
	good := bench.SoakConfig{URL: "http://localhost", For: time.Minute, Rate: 1}
	for want, change := range map[string]func(*bench.SoakConfig){
		"for":     func(c *bench.SoakConfig) { c.For = time.Second },
		"rate":    func(c *bench.SoakConfig) { c.Rate = bench.MaxRate + 1 },
		"idle":    func(c *bench.SoakConfig) { c.Idle = bench.MaxIdle + 1 },
		"burst":   func(c *bench.SoakConfig) { c.Burst = -1 },
		"address": func(c *bench.SoakConfig) { c.URL = "nowhere" },
	} {
		c := good
		change(&c)
		if _, err := bench.RunSoak(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err=%v, want it to name %s", err, want)
		}
	}
}
