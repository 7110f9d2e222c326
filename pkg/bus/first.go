package bus

import (
	"context"
	"strings"

	"github.com/onrecord/onrecord/pkg/fault"
)

// Request/reply subjects on which whoever may read the stream tells intake
// what it must know of the first copy of an event, and no more: intake itself
// reads no reports.
const (
	SubjectFirstFiled = "onrecord.v1.first-copy.filed"
	SubjectFirstAdded = "onrecord.v1.first-copy.added"
)

// firstCopies are their types of event, with the tokens of their subjects.
var firstCopies = map[string]struct {
	eventType string
	tokens    int
}{
	SubjectFirstFiled: {TypeFiled, 1},
	SubjectFirstAdded: {TypeAdded, 2},
}

// First returns what AnswerFirst tells of the event that the stream holds under
// the tokens of its subject. asked is SubjectFirstFiled or SubjectFirstAdded. It
// returns fault.NotFound when there is no such event, and fault.Unavailable when
// nobody answers.
func (b *Bus) First(ctx context.Context, asked string, tokens ...string) ([]byte, error) {
	m, err := b.nc.RequestWithContext(ctx, asked, []byte(strings.Join(tokens, ".")))
	switch {
	case err != nil:
		return nil, unavailable.Because(err)
	case len(m.Data) == 0:
		return nil, fault.New(fault.NotFound, "not_found", "There is no such event.")
	}
	return m.Data, nil
}

// AnswerFirst answers such questions until ctx is done, shared between every
// instance of every service that does. tell returns what may be told of an
// event: never nothing.
func (b *Bus) AnswerFirst(ctx context.Context, asked string, tell func(event []byte) ([]byte, error)) error {
	return b.Answer(ctx, asked, "first-copy", func(ctx context.Context, data []byte) []byte {
		subject, ok := firstSubject(asked, string(data))
		if !ok {
			return nil
		}
		stored, err := b.Get(ctx, subject)
		if fault.KindOf(err) == fault.NotFound {
			return []byte{}
		}
		var told []byte
		if err == nil {
			told, err = tell(stored.Data)
		}
		if err != nil {
			b.log.Warn("the first copy of an event could not be told", "error", err)
			return nil
		}
		return told
	})
}

// firstSubject returns the subject that was asked for, unless it is a pattern
// or of another form: a pattern would find what the asker does not know.
func firstSubject(asked, text string) (string, bool) {
	tokens := strings.Split(text, ".")
	for _, t := range tokens {
		if t == "" || strings.ContainsAny(t, "*> \t\r\n") {
			return "", false
		}
	}
	kind, ok := firstCopies[asked]
	return Subject(kind.eventType, tokens...), ok && len(tokens) == kind.tokens
}
