package filing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"slices"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/intake/internal/photo"
	"github.com/onrecord/onrecord/services/intake/internal/receipt"
)

// MaxJSON is the most bytes of a report in JSON.
const MaxJSON = 256 << 10

// FromJSON reads the body of POST /api/v1/reports. It returns fault.Malformed
// for what is not one JSON object in UTF-8 with each name once, and
// fault.TooLarge past MaxJSON. Fields of a wrong type, and fields that do not
// exist, are named by Validate.
func FromJSON(body []byte) (*Filing, error) {
	if len(body) > MaxJSON {
		return nil, fault.New(fault.TooLarge, "too_large", "A report may be 256 KiB at most.")
	}
	fields, err := object(body)
	if err != nil {
		return nil, err
	}
	r := &reader{fields: fields}
	f := &Filing{
		Report: incident.Report{
			ID:             r.text("id"),
			Site:           r.text("site"),
			SiteName:       r.text("site_name"),
			Precision:      incident.Precision(r.text("occurred_precision")),
			PressedAt:      r.instant("pressed_at"),
			Kind:           incident.Kind(r.text("kind")),
			Channel:        incident.Channel(r.text("channel")),
			Target:         incident.Target(r.text("target")),
			Narrative:      r.text("narrative"),
			Hurt:           r.hurt("hurt"),
			DaysUnable:     r.integer("days_unable"),
			PeopleAffected: orZero(r.integer("people_affected")),
			Employer:       r.text("employer"),
			Details: incident.Details{
				FiledFor:  incident.FiledFor(r.text("filed_for")),
				Control:   incident.Control(r.text("control")),
				Told:      incident.Told(r.text("manager_told")),
				Exposure:  incident.Exposure(r.text("exposure")),
				Closeness: incident.Closeness(r.text("exposure_closeness")),
			},
			Contact:     r.contact("contact"),
			Language:    r.text("language"),
			FormVersion: r.text("form_version"),
		},
		Receipt:       r.receipt("receipt"),
		SentAt:        r.instant("sent_at"),
		SiteCode:      r.text("site_code"),
		KeepOriginals: r.flag("keep_originals"),
	}
	f.OccurredAt = r.occurred("occurred_at", f.Precision)
	if f.Precision == incident.PrecisionUnknown && !f.OccurredAt.IsZero() {
		r.wrong("occurred_at", "Leave it out where occurred_precision is “unknown”: it counts when it was reported.")
	}
	r.refuseTheRest()
	f.unread = r.bad
	f.Normalise()
	return f, nil
}

// FromMultipart reads a report from the part named "report" of a
// multipart/form-data body, and its photos from the parts named "photo".
func FromMultipart(body []byte, boundary string) (*Filing, error) {
	f, photos, refused, err := partWithPhotos(body, boundary, "report", "the report", FromJSON)
	if err != nil {
		return nil, err
	}
	f.Photos = photos
	f.unread = append(f.unread, refused...)
	return f, nil
}

// partWithPhotos reads the one part of a multipart/form-data body that holds
// something as JSON, and the photos beside it. Parts of other names, and the
// same again, are refused in words. The error is fault.Invalid without the part.
func partWithPhotos[T any](body []byte, boundary, part, what string, read func([]byte) (*T, error)) (it *T, photos [][]byte, refused []fault.Field, err error) {
	photos, err = eachPart(body, boundary, func(name string, content []byte) error {
		if name != part || it != nil {
			refused = append(refused, fault.Field{Name: shorten(name), Message: "Send one part named “" + part + "”, holding " + what + " as JSON, and photos as parts named “photo”."})
			return nil
		}
		var err error
		it, err = read(content)
		return err
	})
	if err == nil && it == nil {
		err = fault.InvalidFields(append(refused, fault.Field{Name: part, Message: "There is no part named “" + part + "”."}))
	}
	return it, photos, refused, err
}

// maxParts bounds the parts of a body: the form has fewer.
const maxParts = 100

// eachPart calls field for each part that is no photo, and returns the photos.
// All that are none may hold MaxJSON bytes, or it is fault.TooLarge.
// Both are parts of body, as far as that can be. An empty part named "photo" with
// no file name is what a browser sends where none was chosen. Of one that is too
// large only so much is read as shows it, and of those that are too many nothing:
// photo.Check refuses them.
func eachPart(body []byte, boundary string, field func(name string, content []byte) error) (photos [][]byte, err error) {
	unreadable := fault.New(fault.Malformed, "malformed", "The parts of the body could not be read.")
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	left := int64(MaxJSON) // for everything but photos
	rest, delimiter := body, []byte("--"+boundary)
	for range maxParts {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return photos, nil
		}
		if err != nil {
			return nil, unreadable.Because(err)
		}
		most := left
		if part.FormName() == "photo" {
			if len(photos) > photo.Max {
				continue
			}
			most = photo.MaxBytes
		}
		_, rest, _ = bytes.Cut(rest, delimiter)
		_, rest, _ = bytes.Cut(rest, []byte("\r\n\r\n"))
		content, err := readWhereItLies(io.LimitReader(part, most+1), rest)
		if err != nil {
			return nil, unreadable.Because(err)
		}
		rest = rest[min(len(content), len(rest)):]
		switch {
		case part.FormName() != "photo":
			if left -= int64(len(content)); left < 0 {
				return nil, fault.New(fault.TooLarge, "too_large", "What you sent is over the limit. Shorten it and send it again.")
			}
			if err := field(part.FormName(), content); err != nil {
				return nil, err
			}
		case len(content) > 0 || part.FileName() != "":
			photos = append(photos, content)
		}
	}
	return nil, unreadable
}

// readWhereItLies returns all that r gives: the beginning of here while it is the
// same, so that a photo is not copied, and else memory of its own.
func readWhereItLies(r io.Reader, here []byte) ([]byte, error) {
	var window [4 << 10]byte
	for same := 0; ; {
		n, err := r.Read(window[:])
		if !bytes.HasPrefix(here[same:], window[:n]) {
			more, err := io.ReadAll(r)
			return slices.Concat(here[:same], window[:n], more), err
		}
		same += n
		if errors.Is(err, io.EOF) {
			return here[:same:same], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// object reads one JSON object and nothing after it. encoding/json alone would
// take the last of two equal names, ignore what follows, and replace bytes
// that are not UTF-8: somebody's words would change without a word.
func object(body []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(body) {
		return nil, fault.New(fault.Malformed, "not_utf8", "The body must be text in UTF-8.")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	malformed := func(cause error) error {
		return fault.New(fault.Malformed, "malformed", fmt.Sprintf("The body must be one JSON object; the mistake is at byte %d of %d.", d.InputOffset(), len(body))).Because(cause)
	}
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, malformed(err)
	}
	fields := make(map[string]json.RawMessage)
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, malformed(err)
		}
		if _, twice := fields[name]; twice {
			return nil, fault.New(fault.Malformed, "malformed", fmt.Sprintf("The field %q stands twice.", shorten(name)))
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, malformed(err)
		}
		fields[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, malformed(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Malformed, "malformed", "There is something after the JSON object.")
	}
	return fields, nil
}

// reader takes fields out of an object, one by one, and notes what is wrong.
// A null is a field that was not answered.
type reader struct {
	fields map[string]json.RawMessage
	bad    []fault.Field
}

// into reports whether the field is there and has the type of v.
func (r *reader) into(name string, v any, want string) bool {
	raw, ok := r.fields[name]
	delete(r.fields, name)
	if !ok || string(raw) == "null" {
		return false
	}
	if json.Unmarshal(raw, v) != nil {
		r.wrong(name, "Must be "+want+".")
		return false
	}
	if hasHalfCharacter(raw) {
		r.wrong(name, "Holds half a character: an escape from \\ud800 to \\udfff without its other half.")
		return false
	}
	return true
}

// hasHalfCharacter reports whether valid JSON holds the escape of a surrogate
// without its other half, which encoding/json replaces without a word.
func hasHalfCharacter(raw []byte) bool {
	for i := bytes.IndexByte(raw, '\\'); i >= 0 && i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++ // what is escaped is no escape itself
		first := unit(raw[i:])
		if !utf16.IsSurrogate(first) {
			continue
		}
		rest := raw[i+5:]
		if len(rest) < 2 || rest[0] != '\\' || utf16.DecodeRune(first, unit(rest[1:])) == utf8.RuneError {
			return true
		}
		i += 6 // past the other half's backslash and u
	}
	return false
}

// unit returns the UTF-16 code unit of an escape like u00e9, 0 for any other.
func unit(escape []byte) rune {
	if len(escape) < 5 || escape[0] != 'u' {
		return 0
	}
	n, err := strconv.ParseUint(string(escape[1:5]), 16, 16)
	if err != nil {
		return 0
	}
	return rune(n)
}

func (r *reader) wrong(name, message string) {
	r.bad = append(r.bad, fault.Field{Name: name, Message: message})
}

func (r *reader) text(name string) string {
	var s string
	r.into(name, &s, "text")
	return s
}

func (r *reader) flag(name string) bool {
	var v bool
	r.into(name, &v, "true or false")
	return v
}

func (r *reader) integer(name string) *int {
	var n int
	if !r.into(name, &n, "a whole number") {
		return nil
	}
	return &n
}

const wantInstant = "a date and time with its zone, like 2026-11-21T09:30:00Z"

func (r *reader) instant(name string) time.Time {
	var s string
	if !r.into(name, &s, wantInstant) || s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		r.wrong(name, "Must be "+wantInstant+".")
	}
	return t
}

// occurred reads when it happened: an instant, or for a day alone also a date.
func (r *reader) occurred(name string, p incident.Precision) time.Time {
	var s string
	if p == incident.PrecisionDay && json.Unmarshal(r.fields[name], &s) == nil {
		if day, err := time.ParseInLocation(time.DateOnly, s, incident.London); err == nil {
			delete(r.fields, name)
			return noon(day)
		}
	}
	return r.instant(name)
}

// hurt takes true and false as well as the words of the taxonomy.
func (r *reader) hurt(name string) incident.Hurt {
	switch string(r.fields[name]) {
	case "true":
		delete(r.fields, name)
		return incident.HurtYes
	case "false":
		delete(r.fields, name)
		return incident.HurtNo
	}
	return incident.Hurt(r.text(name))
}

// contact takes a choice alone, or an object with a name and details.
func (r *reader) contact(name string) incident.Contact {
	raw := bytes.TrimSpace(r.fields[name])
	if len(raw) == 0 || raw[0] != '{' {
		return incident.Contact{Choice: incident.ContactChoice(r.text(name))}
	}
	delete(r.fields, name)
	fields, err := object(raw)
	if err != nil {
		r.wrong(name, fault.As(err).Message)
		return incident.Contact{}
	}
	inner := &reader{fields: fields}
	c := incident.Contact{Choice: incident.ContactChoice(inner.text("choice")), Name: inner.text("name"), Details: inner.text("details")}
	inner.refuseTheRest()
	for _, b := range inner.bad {
		r.wrong(name+"."+b.Name, b.Message)
	}
	return c
}

func (r *reader) receipt(name string) receipt.Code {
	text := r.text(name)
	if text == "" {
		return receipt.Code{}
	}
	code, err := receipt.Parse(text)
	if err != nil {
		r.wrong(name, "That is not a receipt code: a character is wrong. Leave it out to be given one.")
	}
	return code
}

// mostRefused is how many fields that do not exist are named. A body has room for
// tens of thousands.
const mostRefused = 50

// refuseTheRest names the fields that are left: something meant to be said
// must not be dropped in silence.
func (r *reader) refuseTheRest() {
	names := slices.Sorted(maps.Keys(r.fields))
	for _, name := range names[:min(len(names), mostRefused)] {
		r.wrong(shorten(name), "There is no such field.")
	}
	if len(names) > mostRefused {
		r.wrong("", fmt.Sprintf("%d fields do not exist. The first %d of them are named.", len(names), mostRefused))
	}
}

// shorten keeps a name that came from outside fit to be quoted.
func shorten(name string) string {
	if runes := []rune(name); len(runes) > 40 {
		return string(runes[:40]) + "…"
	}
	return name
}

func orZero(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// noon stands for a whole day: no zone or clock change moves it to another.
func noon(day time.Time) time.Time {
	y, m, d := day.In(incident.London).Date()
	return time.Date(y, m, d, 12, 0, 0, 0, incident.London)
}
