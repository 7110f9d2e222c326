package store

import (
	"math"
	"testing"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
)

func TestPositionsComeBack(t *testing.T) {
	for _, want := range []Position{{}, {1, "x"}, {-1, "é"}, {math.MaxInt64, "\x00\xff"}, {math.MinInt64, "01890a5d-ac96-874b-bcce-b302099a8057"}} {
		got, err := ParseCursor(want.Cursor())
		if err != nil || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
	}
}

func TestStartOfAPage(t *testing.T) {
	november := incident.Month{Year: 2026, Month: 11}
	begin, end := november.Start().UnixMilli(), november.Add(1).Start().UnixMilli()
	inside := Position{begin + 5, "x"}
	for name, test := range map[string]struct {
		filter    Filter
		after     Position
		notBefore int64
	}{
		"all":                    {Filter{Limit: 1}, Position{endOfTime.UnixMilli(), ""}, beginningOfTime.UnixMilli()},
		"a month":                {Filter{Limit: 1, Month: november}, Position{end, ""}, begin},
		"inside":                 {Filter{Limit: 1, Month: november, Cursor: inside.Cursor()}, inside, begin},
		"inside, no month":       {Filter{Limit: 200, Cursor: inside.Cursor()}, inside, beginningOfTime.UnixMilli()},
		"of a later month":       {Filter{Limit: 1, Month: november, Cursor: Position{end + 5, "x"}.Cursor()}, Position{end, ""}, begin},
		"of an earlier month":    {Filter{Limit: 1, Month: november, Cursor: Position{begin - 5, "x"}.Cursor()}, Position{begin - 5, "x"}, begin},
		"the last of that month": {Filter{Limit: 1, Month: november, Cursor: Position{end, "x"}.Cursor()}, Position{end, ""}, begin},
	} {
		after, notBefore, err := test.filter.Start()
		if err != nil || after != test.after || notBefore != test.notBefore {
			t.Errorf("%s: %+v, %d, %v, want %+v, %d", name, after, notBefore, err, test.after, test.notBefore)
		}
	}
}

// FuzzParseCursor: a cursor is read as what Cursor wrote, or refused as the
// person's mistake; nothing else, whatever comes in an address.
func FuzzParseCursor(f *testing.F) {
	f.Add(Position{1, "x"}.Cursor())
	f.Add("AAAA")
	f.Add("")
	f.Fuzz(func(t *testing.T, cursor string) {
		p, err := ParseCursor(cursor)
		if err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("error %v, want fault.Invalid", err)
		}
		if err == nil && p.Cursor() != cursor {
			t.Errorf("%q was read as %+v, which is %q", cursor, p, p.Cursor())
		}
	})
}
