package bus_test

import (
	"context"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/fault"
)

func TestTheFirstCopyIsToldToWhoKnowsItsID(t *testing.T) {
	b := bustest.New(t)
	publish(t, b, "r1", "words")
	ask := func(tokens ...string) (string, fault.Kind) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		told, err := b.First(ctx, bus.SubjectFirstFiled, tokens...)
		return string(told), fault.KindOf(err)
	}
	if told, kind := ask("r1"); kind != fault.Unavailable {
		t.Errorf("with nobody who answers: %q %v, want Unavailable", told, kind)
	}
	err := b.AnswerFirst(t.Context(), bus.SubjectFirstFiled, func(event []byte) ([]byte, error) { return []byte("digest of " + string(event)), nil })
	if err != nil {
		t.Fatal(err)
	}
	if told, _ := ask("r1"); told != "digest of words" {
		t.Errorf("told %q", told)
	}
	if told, kind := ask("r2"); kind != fault.NotFound {
		t.Errorf("an id that is not there: %q %v, want NotFound", told, kind)
	}
	for _, pattern := range [][]string{{"*"}, {">"}, {"r1", ">"}, {"r1", "more"}, {""}, {"r1 "}} {
		if told, kind := ask(pattern...); kind != fault.Unavailable {
			t.Errorf("%q: %q %v, want no answer", pattern, told, kind)
		}
	}
}

// One question must not end the process, and with it intake and the stream.
func TestAnAnswerThatPanicsLeavesTheOthersAnswered(t *testing.T) {
	b := bustest.New(t)
	err := b.Answer(t.Context(), "test.answer", "test", func(_ context.Context, data []byte) []byte {
		if string(data) == "bad" {
			panic("bad")
		}
		return data
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := b.Request(ctx, "test.answer", []byte("bad")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("err=%v, want Unavailable", err)
	}
	if told, err := b.Request(t.Context(), "test.answer", []byte("good")); err != nil || string(told) != "good" {
		t.Errorf("told %q, err=%v", told, err)
	}
}
