package bus

import "time"

// SetClock gives a Bus another clock than the machine's.
func (b *Bus) SetClock(now func() time.Time) { b.now = now }
