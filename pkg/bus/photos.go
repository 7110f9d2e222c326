package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/onrecord/onrecord/pkg/fault"
)

// ObjectsPhotos is the object store in which sealed photos wait for reporting.
const ObjectsPhotos = "onrecord_photos"

// streamPhotos is the stream under it.
const streamPhotos = "OBJ_" + ObjectsPhotos

// photoChunk is how much of a photo is one message: most are two writes to
// disk, and none is larger than a server takes.
const photoChunk = 512 << 10

func photosConfig(s Settings) jetstream.ObjectStoreConfig {
	return jetstream.ObjectStoreConfig{
		Bucket:      ObjectsPhotos,
		Description: "Sealed photos of reports, until reporting has them",
		Storage:     jetstream.FileStorage,
		MaxBytes:    s.MaxBytes / 2,
		Replicas:    s.replicas(),
	}
}

// PutPhoto stores a sealed photo under a name not used before, and returns once
// it is on disk. Otherwise it returns fault.Unavailable, and what was stored of
// it is removed where that may be; but where nobody heard whether it was described
// it is left whole, an orphan.
//
// It writes what ObjectStore.Put would (NATS ADR-20), in the same order: what has
// a description is whole. Put asks first whether the name is new, and makes a
// subscription and a buffer for each photo.
func (b *Bus) PutPhoto(ctx context.Context, name string, sealed []byte) error {
	digest := make(chan string, 1)
	go func() { // while the disk is waited for
		sum := sha256.New()
		sum.Write(sealed)
		digest <- jetstream.GetObjectDigestValue(sum)
	}()
	id, chunks := nuid.Next(), slices.Collect(slices.Chunk(sealed, photoChunk))
	var err error
	for n := 0; err == nil && n < len(chunks); n++ {
		_, err = b.js.Publish(ctx, holdsPhoto(id), chunks[n])
	}
	description, jerr := json.Marshal(jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: photoChunk}},
		Bucket:     ObjectsPhotos,
		NUID:       id,
		Size:       uint64(len(sealed)),
		Chunks:     uint32(len(chunks)),
		Digest:     <-digest,
	})
	err = errors.Join(err, jerr)
	partly := err != nil
	if !partly {
		_, err = b.js.Publish(ctx, describesPhoto(name), description)
		partly = errors.As(err, new(*jetstream.APIError)) // the server’s own refusal: it is described nowhere
	}
	if partly {
		b.dropPart(ctx, id)
	}
	if err != nil {
		return unavailable.Because(fmt.Errorf("photo: %w", err))
	}
	return nil
}

// dropPart removes what was stored of a photo that nothing names yet, where the
// server lets us; reporting removes what is left.
func (b *Bus) dropPart(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := b.DropNameless(ctx, id); err != nil {
		b.log.Warn("part of a photo is left in the object store for some hours", "error", err)
	}
}

// Subjects of an object store: of what describes an object by its name, and of
// what it consists of.
func describesPhoto(name string) string {
	return "$O." + ObjectsPhotos + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

func holdsPhoto(id string) string { return "$O." + ObjectsPhotos + ".C." + id }

// Photo returns a stored photo, or fault.NotFound when the leader of the object
// store has none. Whoever opens it finds out whether it is what was sealed.
func (b *Bus) Photo(ctx context.Context, name string) ([]byte, error) {
	photos, err := b.photos(ctx)
	if err != nil {
		return nil, err
	}
	stream, err := b.stream(ctx, streamPhotos)
	if err != nil {
		return nil, fmt.Errorf("photo: %w", err)
	}
	var sealed []byte
	err = insist(ctx, stream, describesPhoto(name), jetstream.ErrObjectNotFound, func() error {
		info, err := photos.GetInfo(ctx, name, jetstream.GetObjectInfoShowDeleted())
		switch {
		case err != nil:
			return err
		case info.Deleted:
			return errDeleted
		case info.Size > mostOfPhoto:
			return errNoPhoto
		}
		if sealed = b.onlyChunk(ctx, stream, info); sealed == nil {
			sealed, err = everyChunk(ctx, photos, info)
		}
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrObjectNotFound), errors.Is(err, errDeleted), errors.Is(err, errNoPhoto):
		return nil, fault.New(fault.NotFound, "not_found", "There is no such photo.").Because(err)
	case err != nil:
		return nil, fmt.Errorf("photo: %w", err)
	}
	return sealed, nil
}

// errDeleted is what stands for a photo that a client of NATS deleted: the stream
// keeps a note of it under the photo's name. On Record leaves none.
var errDeleted = errors.New("it was deleted by hand")

// errNoPhoto is what else may be stored by whoever may store photos. Its size is
// not taken for a promise: room for it could end the program.
var errNoPhoto = errors.New("what is stored there is no photo of On Record")

const mostOfPhoto = 16 << 20 // bytes: an original of 10 MB under seal, and more

const (
	chunkTimeout = 3 * time.Second  // for part of a photo that the server may not let us read
	chunksAgain  = 10 * time.Minute // after which it is asked again: it may only have been busy
)

// onlyChunk returns a photo that is one message, as most are, or nil where it has
// to be read in the way of everyChunk: that makes a consumer for each. A server
// that lags may not have it, and one that is set up for an earlier version does
// not let us and says nothing.
func (b *Bus) onlyChunk(ctx context.Context, stream jetstream.Stream, info *jetstream.ObjectInfo) []byte {
	if info.Chunks != 1 || b.now().UnixNano() < b.noChunks.Load() {
		return nil
	}
	soon, cancel := context.WithTimeout(ctx, chunkTimeout)
	defer cancel()
	m, err := stream.GetLastMsgForSubject(soon, holdsPhoto(info.NUID))
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		b.noChunks.Store(b.now().Add(chunksAgain).UnixNano())
	}
	if err != nil || uint64(len(m.Data)) != info.Size {
		return nil
	}
	return m.Data
}

// everyChunk returns a photo of any size.
func everyChunk(ctx context.Context, photos jetstream.ObjectStore, info *jetstream.ObjectInfo) ([]byte, error) {
	object, err := photos.Get(ctx, info.Name)
	if err != nil {
		return nil, err
	}
	sealed := bytes.NewBuffer(make([]byte, 0, info.Size+bytes.MinRead))
	_, err = sealed.ReadFrom(io.LimitReader(object, int64(info.Size)+1)) // to its end: only then its digest was compared
	if err = errors.Join(err, object.Close()); err == nil && uint64(sealed.Len()) != info.Size {
		err = errNoPhoto
	}
	return sealed.Bytes(), err
}

// DropPhoto removes a photo and every trace of it. One that is gone is no error.
func (b *Bus) DropPhoto(ctx context.Context, name string) error {
	photos, err := b.photos(ctx)
	if err != nil {
		return err
	}
	info, err := photos.GetInfo(ctx, name, jetstream.GetObjectInfoShowDeleted())
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("photo: %w", err)
	}
	stream, err := b.stream(ctx, streamPhotos)
	if err != nil {
		return fmt.Errorf("photo: %w", err)
	}
	for _, subject := range []string{describesPhoto(name), holdsPhoto(info.NUID)} { // what is described stays whole
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return fmt.Errorf("photo: %w", err)
		}
	}
	return nil
}

// WaitingPhoto is a photo that reporting has not taken over.
type WaitingPhoto struct {
	Name string
	At   time.Time // when it was stored
}

// WaitingPhotos returns every photo in the object store.
func (b *Bus) WaitingPhotos(ctx context.Context) ([]WaitingPhoto, error) {
	list, err := b.described(ctx)
	if err != nil {
		return nil, err
	}
	waiting := make([]WaitingPhoto, len(list))
	for n, o := range list {
		waiting[n] = WaitingPhoto{o.Name, o.ModTime}
	}
	return waiting, nil
}

// described returns the descriptions in the object store.
func (b *Bus) described(ctx context.Context) ([]*jetstream.ObjectInfo, error) {
	photos, err := b.photos(ctx)
	if err != nil {
		return nil, err
	}
	list, err := photos.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, fmt.Errorf("photos: %w", err)
	}
	return list, nil
}

// NamelessPhotos returns the ids of photos that are stored and not described: they
// are being stored, or whoever stored them came no further.
func (b *Bus) NamelessPhotos(ctx context.Context) ([]string, error) {
	stream, err := b.stream(ctx, streamPhotos)
	if err != nil {
		return nil, fmt.Errorf("photos: %w", err)
	}
	stored, err := stream.Info(ctx, jetstream.WithSubjectFilter(holdsPhoto("*")))
	if err != nil {
		return nil, fmt.Errorf("photos: %w", err)
	}
	list, err := b.described(ctx)
	if err != nil {
		return nil, err
	}
	for _, o := range list {
		delete(stored.State.Subjects, holdsPhoto(o.NUID))
	}
	var ids []string
	for subject := range stored.State.Subjects {
		ids = append(ids, strings.TrimPrefix(subject, holdsPhoto("")))
	}
	slices.Sort(ids)
	return ids, nil
}

// DropNameless removes a photo that is not described.
func (b *Bus) DropNameless(ctx context.Context, id string) error {
	stream, err := b.stream(ctx, streamPhotos)
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSubject(holdsPhoto(id)))
	}
	if err != nil {
		return fmt.Errorf("photo: %w", err)
	}
	return nil
}

// photos returns the object store, asking the server for it once.
func (b *Bus) photos(ctx context.Context) (jetstream.ObjectStore, error) {
	const key = "objects " + ObjectsPhotos
	if kept, ok := b.buckets.Load(key); ok {
		return kept.(jetstream.ObjectStore), nil
	}
	store, err := b.js.ObjectStore(ctx, ObjectsPhotos)
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", ObjectsPhotos, err)
	}
	b.buckets.Store(key, store)
	return store, nil
}
