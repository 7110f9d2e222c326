package incident

import (
	"fmt"
	"strconv"
	"time"
	_ "time/tzdata" // the rule below must not depend on the machine's zone files
)

// London is the zone in which the month of an incident is decided.
var London = mustLoad("Europe/London")

func mustLoad(name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		panic(err) // cannot happen: time/tzdata is linked in
	}
	return loc
}

// Month is a calendar month in Europe/London, the unit in which figures are
// given. The zero Month is no month.
type Month struct {
	Year  int
	Month time.Month
}

// MonthOf returns the month in which t falls in Europe/London. It is the only
// place where the month of an incident is decided.
func MonthOf(t time.Time) Month {
	y, m, _ := t.In(London).Date()
	return Month{y, m}
}

// ParseMonth reads "YYYY-MM", nothing else.
func ParseMonth(s string) (Month, error) {
	if len(s) != 7 || s[4] != '-' {
		return Month{}, fmt.Errorf("month %.20q is not YYYY-MM", s)
	}
	y, err1 := strconv.ParseUint(s[:4], 10, 16)
	m, err2 := strconv.ParseUint(s[5:], 10, 8)
	if err1 != nil || err2 != nil || m < 1 || m > 12 || y < 1 {
		return Month{}, fmt.Errorf("month %.20q is not YYYY-MM", s)
	}
	return Month{int(y), time.Month(m)}, nil
}

// String returns "YYYY-MM", which sorts as time does.
func (m Month) String() string { return fmt.Sprintf("%04d-%02d", m.Year, int(m.Month)) }

// MarshalText returns "YYYY-MM".
func (m Month) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads "YYYY-MM".
func (m *Month) UnmarshalText(b []byte) error {
	got, err := ParseMonth(string(b))
	if err == nil {
		*m = got
	}
	return err
}

// Name returns the month in words, "October 2026".
func (m Month) Name() string { return fmt.Sprintf("%s %d", m.Month, m.Year) }

// Start returns the first instant of the month in Europe/London.
func (m Month) Start() time.Time { return time.Date(m.Year, m.Month, 1, 0, 0, 0, 0, London) }

// Add returns the month n months later, or earlier when n is negative.
func (m Month) Add(n int) Month {
	y, mo, _ := time.Date(m.Year, m.Month+time.Month(n), 1, 0, 0, 0, 0, time.UTC).Date()
	return Month{y, mo}
}

// Before reports whether m is earlier than o.
func (m Month) Before(o Month) bool {
	return m.Year < o.Year || m.Year == o.Year && m.Month < o.Month
}

// IsZero reports whether m is no month.
func (m Month) IsZero() bool { return m == Month{} }
