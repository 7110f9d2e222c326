package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names of the key-value buckets.
const (
	BucketDirectory = "onrecord_directory"  // sites and filing settings: written by reporting, read by intake
	BucketLeases    = "onrecord_leases"     // which instance of a service does what only one may do
	BucketFollowUps = "onrecord_follow_ups" // how often somebody asked intake about a receipt
	BucketSignIns   = "onrecord_sign_ins"   // how often signing in to reporting failed
)

// keySites is the key of the site directory.
const keySites = "sites"

// How long the buckets of the limiters remember; longer than the limiters count.
const (
	followUpsLast = 2 * time.Minute
	signInsLast   = 24 * time.Hour
)

func bucketConfigs(s Settings) []jetstream.KeyValueConfig {
	bucket := func(name, description string, maxBytes int64, maxValue int32, lasts time.Duration) jetstream.KeyValueConfig {
		return jetstream.KeyValueConfig{Bucket: name, Description: description, MaxBytes: maxBytes, MaxValueSize: maxValue, TTL: lasts,
			History: 1, Storage: jetstream.FileStorage, Replicas: s.replicas()}
	}
	return []jetstream.KeyValueConfig{
		bucket(BucketDirectory, "Sites and filing settings, written by reporting, read by intake", 8<<20, 1<<20, 0),
		bucket(BucketLeases, "Which instance does what only one may do", 1<<20, 1<<10, 0),
		bucket(BucketFollowUps, "Counts of follow-up questions, under keyed hashes", 4<<20, 1<<10, followUpsLast),
		bucket(BucketSignIns, "Counts of failed sign-ins, under keyed hashes", 4<<20, 1<<10, signInsLast),
	}
}

// bucket returns a bucket, asking the server for it once.
func (b *Bus) bucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	if kept, ok := b.buckets.Load(name); ok {
		return kept.(jetstream.KeyValue), nil
	}
	kv, err := b.js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", name, err)
	}
	b.buckets.Store(name, kv)
	return kv, nil
}

// updateTries is how often Update begins again when another instance was
// quicker; with a little chance in between, so that many do not go on meeting.
const updateTries = 8

// Update changes the value of a key, such that changes from many instances at
// once are all seen: change gets the value as it is, nil when there is none,
// and returns the new one, or nil to leave it. It may be called several times.
func (b *Bus) Update(ctx context.Context, bucket, key string, change func(old []byte) []byte) error {
	kv, err := b.bucket(ctx, bucket)
	if err != nil {
		return err
	}
	for range updateTries {
		var old jetstream.KeyValueEntry
		old, err = kv.Get(ctx, key)
		switch {
		case errors.Is(err, jetstream.ErrKeyNotFound):
			if value := change(nil); value != nil {
				_, err = kv.Create(ctx, key, value)
			} else {
				err = nil
			}
		case err == nil:
			if value := change(old.Value()); value != nil {
				_, err = kv.Update(ctx, key, value, old.Revision())
			}
		}
		if !overtaken(err) {
			break
		}
		select {
		case <-time.After(rand.N(20 * time.Millisecond)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", bucket, err)
	}
	return nil
}

// overtaken reports whether a write was refused because somebody else wrote.
func overtaken(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == errWrongLastSubject
}

// UpdateDirectory stores the site directory for intake as current returns it,
// unless it is there already. It calls current again when another instance was
// quicker, so that of several at once none leaves an older one.
func (b *Bus) UpdateDirectory(ctx context.Context, current func() ([]byte, error)) error {
	var failed error
	err := b.Update(ctx, BucketDirectory, keySites, func(old []byte) []byte {
		var now []byte
		if now, failed = current(); failed != nil || old != nil && bytes.Equal(old, now) {
			return nil
		}
		return append([]byte{}, now...) // never nil: a directory may be empty
	})
	return errors.Join(err, failed)
}

// WatchDirectory calls changed with the site directory as it stands, and again
// at each change, until ctx is done. It returns after the first call, or at
// once when there is no directory yet.
func (b *Bus) WatchDirectory(ctx context.Context, changed func(data []byte)) error {
	kv, err := b.js.KeyValue(ctx, BucketDirectory)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", BucketDirectory, err)
	}
	w, err := kv.Watch(ctx, keySites)
	if err != nil {
		return fmt.Errorf("bucket %s: %w", BucketDirectory, err)
	}
	initial := make(chan struct{})
	go func() {
		for u := range w.Updates() {
			switch {
			case u == nil:
				close(initial) // everything there was has been delivered; nil comes once
			case u.Operation() == jetstream.KeyValuePut:
				changed(u.Value())
			}
		}
	}()
	select {
	case <-initial:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
