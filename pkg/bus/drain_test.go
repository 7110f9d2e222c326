package bus_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
)

func TestAwaitHandledWaitsForBothConsumersAndForWhatComesOfIt(t *testing.T) {
	b := bustest.New(t)
	for _, id := range []string{"r1", "r2", "r3"} {
		publish(t, b, id, id)
	}
	ctx, stop := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() { waited <- b.AwaitHandled(ctx, func(uint64) { stop() }) }() // it says that it waits, and goes on
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Fatalf("with nobody consuming: %v", err)
	}

	var handled atomic.Int32
	ctx, stop = context.WithCancel(t.Context())
	var consumers sync.WaitGroup
	consume := func(name string, handle func(bus.Delivery) error) {
		consumers.Go(func() {
			err := b.Consume(ctx, bus.Consumer{Name: name, Batch: 2, Handle: func(_ context.Context, batch []bus.Delivery) []error {
				errs := make([]error, len(batch))
				for n, d := range batch {
					errs[n] = handle(d)
				}
				return errs
			}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	consume(bus.ConsumerClassifier, func(d bus.Delivery) error {
		_, err := b.Publish(ctx, bus.Event{Subject: bus.Subject(bus.TypeClassified, string(d.Data), "m1"), ID: string(d.Data) + ".classified", Data: d.Data})
		return err
	})
	consume(bus.ConsumerReporting, func(bus.Delivery) error { handled.Add(1); return nil })
	err := b.AwaitHandled(ctx, func(uint64) {})
	if n := handled.Load(); err != nil || n != 6 {
		t.Errorf("%d events were handled, want 6: %v", n, err)
	}
	stop()
	consumers.Wait()
}
