package bus

import (
	"context"
	"time"
)

// AwaitHandled returns once the classifier and reporting have handled every
// event that the stream holds by now, and what the classifier made of them.
// Now and then it calls waiting with how many events are left. While nobody
// consumes it waits until ctx is done.
func (b *Bus) AwaitHandled(ctx context.Context, waiting func(left uint64)) error {
	for _, consumer := range []string{ConsumerClassifier, ConsumerReporting} {
		h, err := b.Health(ctx)
		if err != nil {
			return err
		}
		if err := b.awaitHandled(ctx, consumer, h.LastSeq, waiting); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bus) awaitHandled(ctx context.Context, consumer string, last uint64, waiting func(left uint64)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for said := time.Now(); ; {
		h, err := b.Health(ctx)
		if err != nil {
			return err
		}
		for _, c := range h.Consumers {
			if c.Name != consumer {
				continue
			}
			left := c.Pending + uint64(c.Unacked)
			if !c.Missing && (left == 0 || c.AckFloor >= last) {
				return nil
			}
			if time.Since(said) >= time.Second {
				waiting(left)
				said = time.Now()
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
