package program

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A machine that is merely busy must not end the program.
func TestOnlyAFailureThatLastsIsBelieved(t *testing.T) {
	bad := errors.New("demo failure")
	answers := []error{bad, bad, nil, bad, nil, bad, bad, bad, nil}
	asked := 0
	err := watch(t.Context(), time.Microsecond, func() error {
		asked++
		return answers[asked-1]
	})
	if !errors.Is(err, bad) || asked != 8 {
		t.Errorf("err=%v after %d checks, want the failure after 8", err, asked)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := watch(ctx, time.Microsecond, func() error { cancel(); return nil }); err != nil {
		t.Errorf("stopping: %v", err)
	}
}
