package mongo

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// photoTimeout is how long the bytes of one photo may travel.
const photoTimeout = time.Minute

// bucket is where the bytes are. A file has the photo's id in hexadecimal, a
// slash, and the name of the write: one of its own for each attempt. The
// photo's document, written last, says which of them counts, so that two
// attempts never mix.
func (c *conn) bucket() *mongo.GridFSBucket {
	return c.db.GridFSBucket(options.GridFSBucket().SetName(photoBytes))
}

// PutPhoto implements store.Photos.
func (d *db) PutPhoto(ctx context.Context, p *store.Photo) error {
	if err := store.CheckPhoto(p); err != nil {
		return err
	}
	return d.write(ctx, "put photo", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, photoTimeout)
		defer cancel()
		_, err := d.lastWrite(ctx, photos, p.ID)
		if !errors.Is(err, mongo.ErrNoDocuments) {
			return err // nil: it is there
		}
		write := bson.NewObjectID()
		file := hex.EncodeToString([]byte(p.ID)) + "/" + write.Hex()
		if err := d.bucket().UploadFromStreamWithID(ctx, file, p.ID, bytes.NewReader(p.Sealed)); err != nil {
			return err
		}
		_, err = d.collection(photos).InsertOne(ctx, toPhotoDoc(p, file, write))
		if mongo.IsDuplicateKeyError(err) { // another attempt was quicker
			return d.deleteFile(ctx, file)
		}
		return err
	})
}

// deleteFile removes a file's bytes; none is no error.
func (c *conn) deleteFile(ctx context.Context, file string) error {
	err := c.bucket().Delete(ctx, file)
	if errors.Is(err, mongo.ErrFileNotFound) {
		return nil
	}
	return err
}

// Photo implements store.Photos.
func (d *db) Photo(ctx context.Context, id string) (*store.Photo, error) {
	doc, err := findOne[photoDoc](ctx, d, "read photo", photos, byID(id))
	if err != nil {
		return nil, err
	}
	var sealed bytes.Buffer
	err = d.read(ctx, "read photo", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, photoTimeout)
		defer cancel()
		sealed.Reset()
		_, err := d.bucket().DownloadToStream(ctx, doc.File, &sealed)
		if errors.Is(err, mongo.ErrFileNotFound) {
			return store.ErrNotFound // it is being deleted
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	p := toPhoto(doc)
	p.Sealed = sealed.Bytes()
	return p, nil
}

var oldestFirst = bson.D{{Key: "made", Value: 1}, {Key: "_id", Value: 1}}

// PhotosOfIncident implements store.Photos.
func (d *db) PhotosOfIncident(ctx context.Context, incidentID string) ([]*store.Photo, error) {
	docs, err := find[photoDoc](ctx, d, "photos of incident", photos, bson.D{{Key: "incident", Value: incidentID}}, options.Find().SetSort(oldestFirst))
	return each(docs, toPhoto), err
}

// PhotosOfReport implements store.Photos.
func (d *db) PhotosOfReport(ctx context.Context, reportID string) ([]*store.Photo, error) {
	docs, err := find[photoDoc](ctx, d, "photos of report", photos, bson.D{{Key: "report", Value: reportID}}, options.Find().SetSort(oldestFirst))
	return each(docs, toPhoto), err
}

// DeletePhoto implements store.Photos. The bytes go first, those of attempts
// that were cut off as well, then the document by which they are found.
func (d *db) DeletePhoto(ctx context.Context, id string) error {
	return d.write(ctx, "delete photo", func(ctx context.Context) error { return d.deletePhoto(ctx, id) })
}

func (c *conn) deletePhoto(ctx context.Context, id string) error {
	begin := hex.EncodeToString([]byte(id))
	ofPhoto := bson.D{{Key: "$gt", Value: begin + "/"}, {Key: "$lt", Value: begin + "0"}} // "0" comes after "/"
	if _, err := c.bucket().GetFilesCollection().DeleteMany(ctx, byID(ofPhoto)); err != nil {
		return err
	}
	if _, err := c.bucket().GetChunksCollection().DeleteMany(ctx, bson.D{{Key: "files_id", Value: ofPhoto}}); err != nil {
		return err
	}
	_, err := c.collection(photos).DeleteOne(ctx, byID(id))
	return err
}

// DeletePhotos implements store.Photos.
func (d *db) DeletePhotos(ctx context.Context, incidentID string) error {
	found, err := d.PhotosOfIncident(ctx, incidentID)
	if err != nil {
		return err
	}
	return d.write(ctx, "delete photos", func(ctx context.Context) error {
		for _, p := range found {
			if err := d.deletePhoto(ctx, p.ID); err != nil {
				return err
			}
		}
		return nil
	})
}
