package bench

import (
	"context"
	"slices"
	"time"
)

// lookEvery is how often the figures are asked for. What they show may have
// been there so much earlier: it is counted as the server's delay.
const lookEvery = 20 * time.Millisecond

// watch knows from when on the figures held how many of a round's reports.
type watch struct {
	stop context.CancelFunc
	done chan struct{}
	at   []time.Time
	held []int
}

// watch looks at the figures until lags is called.
func (s server) watch(ctx context.Context, before int) *watch {
	ctx, stop := context.WithCancel(ctx)
	w := &watch{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			if n, err := s.counted(ctx); err == nil {
				w.at, w.held = append(w.at, time.Now()), append(w.held, n-before)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return w
}

// lags ends the watch and returns, sorted, how long it took from the answer to
// a report until the figures held as many reports as had been answered by then.
// What never showed counts until the end.
func (w *watch) lags(answered []time.Time) []time.Duration {
	w.stop()
	<-w.done
	slices.SortFunc(answered, time.Time.Compare)
	lags := make([]time.Duration, len(answered))
	look := 0
	for n, at := range answered {
		for look < len(w.held)-1 && w.held[look] <= n {
			look++
		}
		if len(w.at) > 0 {
			lags[n] = max(0, w.at[look].Sub(at))
		}
	}
	slices.Sort(lags)
	return lags
}
