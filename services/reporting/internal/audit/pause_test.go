package audit

import (
	"slices"
	"testing"
	"time"
)

func TestAnAuditThatGoesOnFailingIsTriedLessOften(t *testing.T) {
	var got []time.Duration
	for failed := range 7 {
		got = append(got, pause(failed).Round(time.Minute)/time.Minute)
	}
	if want := []time.Duration{60, 5, 10, 20, 40, 60, 60}; !slices.Equal(got, want) {
		t.Errorf("minutes after so many failures: %d, want %d", got, want)
	}
}
