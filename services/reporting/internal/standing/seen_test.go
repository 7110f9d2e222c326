package standing

import (
	"testing"

	"github.com/onrecord/onrecord/pkg/bus"
)

// An erasure is said before it is done, and by another process perhaps: what is
// gone is held against what was said, however the looks fall between the two.
func TestWhatIsGoneIsHeldAgainstWhatWasSaid(t *testing.T) {
	type look struct{ gone, said, lost int } // gone and said so far, and what the look finds lost
	for name, looks := range map[string][]look{
		"nothing":                      {{0, 0, 0}, {0, 0, 0}},
		"erased between two looks":     {{0, 0, 0}, {3, 3, 0}, {3, 3, 0}},
		"said, and erased later":       {{0, 0, 0}, {0, 3, 0}, {3, 3, 0}, {3, 3, 0}},
		"said, and erased bit by bit":  {{0, 0, 0}, {1, 3, 0}, {3, 3, 0}},
		"lost":                         {{0, 0, 0}, {2, 0, 2}, {2, 0, 0}},
		"lost beside an erasure":       {{0, 0, 0}, {5, 3, 2}},
		"lost after what was said":     {{0, 0, 0}, {0, 3, 0}, {4, 3, 1}},
		"never erased hides little":    {{0, 0, 0}, {0, 3, 0}, {0, 3, 0}, {2, 3, 2}},
		"erased again after a failure": {{0, 0, 0}, {0, 3, 0}, {3, 6, 0}, {3, 6, 0}},
		"the beginning was forgotten":  {{9, 9, 0}, {2, 9, 0}, {2, 9, 0}, {3, 9, 1}},
	} {
		var before seen
		before.Deleted, before.Erased = looks[0].gone, looks[0].said
		for n, l := range looks {
			var lost int
			if before, lost = before.after(bus.Health{Deleted: l.gone}, l.said); lost != l.lost {
				t.Errorf("%s: look %d finds %d lost, want %d", name, n, lost, l.lost)
			}
		}
	}
}
