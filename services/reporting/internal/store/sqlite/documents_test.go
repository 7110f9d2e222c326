package sqlite

import (
	"bytes"
	"os"
	"testing"
)

// The stored form is for ever: what an earlier release wrote reads back, and is
// written again byte for byte.
func TestStoredIncidentStays(t *testing.T) {
	for _, name := range []string{"incident", "incident_lesson", "incident_sampled"} {
		stored, err := os.ReadFile("testdata/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		stored = bytes.TrimSpace(stored)
		i, err := decodeIncident(stored, 0)
		if err != nil {
			t.Fatal(err)
		}
		again, err := encodeIncident(i)
		if err != nil || !bytes.Equal(again, stored) {
			t.Fatalf("%s\nstored %s\n again %s\n error %v", name, stored, again, err)
		}
	}
}
