// Package fault holds the one error type that may reach a person: what kind of
// failure it is, what to tell them, which fields to mend, and a cause that only
// the log may see. It knows no HTTP; pkg/web maps kinds to statuses.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what sort of failure this is. The zero Kind is Internal, so an
// error nobody thought about is never shown to anybody.
type Kind int

// The kinds, in the order of the HTTP statuses pkg/web gives them.
const (
	Internal             Kind = iota // nobody's mistake but ours: the cause is logged, never shown
	Malformed                        // the request could not be read at all
	Unauthenticated                  // sign in first
	Forbidden                        // signed in, but not entitled
	NotFound                         // no such thing, or not for you to know of
	Conflict                         // the same id with another content
	Stale                            // somebody changed it since it was read
	TooLarge                         // over a limit in bytes
	UnsupportedMedia                 // a content type this route does not take
	Invalid                          // read, but some fields must be mended
	PreconditionRequired             // the revision read was not named
	TooMany                          // asked too often
	Unavailable                      // cannot be done now; nothing was promised; try again
)

// Text is a sentence for people in English, which a page may show in another
// language: see pkg/words.
type Text string

// Field is what is wrong with one field, in words for the person who filled it.
type Field struct {
	Name    string `json:"field"`   // the field's name in the JSON body and the form
	Message string `json:"message"` // what to do, in a sentence

	// How Message was made, so that it can be made in another language.
	Format string `json:"-"` // "" where Message is all there is
	Args   []any  `json:"-"` // a Text among them is said in that language too
}

// Wrong returns what is wrong with a field, its message made as by fmt.Sprintf.
func Wrong(name, format string, args ...any) Field {
	return Field{Name: name, Message: fmt.Sprintf(format, args...), Format: format, Args: args}
}

// Error is an error with a part for people. Code is a stable identifier for
// programs; Message and Fields are shown; the cause is only for the log.
type Error struct {
	Kind       Kind
	Code       string
	Message    string
	Fields     []Field
	RetryAfter time.Duration // with Unavailable and TooMany: when to try again
	cause      error
}

// New returns an Error of the kind with a stable code and a message for people.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// InvalidFields returns an Invalid error naming every field to mend.
func InvalidFields(fields []Field) *Error {
	e := New(Invalid, "invalid", "Some answers need to be changed.")
	e.Fields = fields
	return e
}

// Because returns a copy of e that remembers its cause for the log.
func (e *Error) Because(cause error) *Error {
	with := *e
	with.cause = cause
	return &with
}

// Retry returns a copy of e that says when to try again.
func (e *Error) Retry(after time.Duration) *Error {
	with := *e
	with.RetryAfter = after
	return &with
}

// Error returns the message and the cause: text for a log, not for a person.
func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.cause)
	}
	return e.Code + ": " + e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// KindOf returns the kind of the first Error in err's chain, or Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// As returns the first Error in err's chain. Any other error becomes an
// Internal one that tells people nothing and keeps err as its cause.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return New(Internal, "internal", "Sorry, there is a problem with the service.").Because(err)
}
