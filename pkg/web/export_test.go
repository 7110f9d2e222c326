package web

import "time"

// SetDrainTime shortens how long a stop waits for requests in hand.
func (a *App) SetDrainTime(d time.Duration) { a.drainTime = d }
