package fault

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestUnknownErrorsAreInternalAndTellNothing(t *testing.T) {
	err := fmt.Errorf("dial tcp: password=hunter2")
	if got := KindOf(err); got != Internal {
		t.Fatalf("KindOf=%v, want Internal", got)
	}
	if got := As(err); strings.Contains(got.Message, "hunter2") || !errors.Is(got, err) {
		t.Fatalf("As=%+v: must hide the cause in the message and keep it in the chain", got)
	}
}

func TestErrorIsFoundThroughWrapping(t *testing.T) {
	base := New(Conflict, "id_taken", "That id is taken.")
	err := fmt.Errorf("publish: %w", base.Because(errors.New("seq 4")))
	if got := KindOf(err); got != Conflict {
		t.Fatalf("KindOf=%v, want Conflict", got)
	}
	if base.Unwrap() != nil {
		t.Fatal("Because changed the original")
	}
}
