package reporting

import (
	"fmt"
	"math"

	"github.com/onrecord/onrecord/services/reporting/internal/figures"
)

// The chart's measures in pixels. Widths are per cent, so that the drawing
// stretches with its column while its text keeps its size; there is no viewBox.
const (
	chartHeight = 264.0
	chartTop    = 28.0 // room for the number above the tallest bar
	chartFoot   = 28.0 // room for the month below
	chartBase   = chartHeight - chartFoot
	barShare    = 0.68 // of a month's slot
	hairline    = 1.5  // the least height of a part that is not zero
)

// chart is months as bars stacked from their parts. A bar is its parts: no
// total stands without them.
type chart struct {
	Height, Base string
	Summary      string // the chart in words, for those who do not see it
	Bars         []bar
}

type bar struct {
	Parts             []barPart
	CX, ValueY, NameY string
	Value             string // above the bar
	Name, Initial     string // below it; the initial on narrow screens
	Selected, Running bool
}

type barPart struct{ Class, X, Y, W, H string }

// newChart draws a page's bars.
func newChart(b figures.Bars) chart {
	c := chart{Height: px(chartHeight), Base: px(chartBase), Summary: "Incidents in each month by how they reached staff."}
	slot := 100 / float64(max(len(b.Months), 1))
	for n, m := range b.Months {
		x := slot*float64(n) + slot*(1-barShare)/2
		drawn := bar{CX: percent(x + slot*barShare/2), NameY: px(chartHeight - 8), Value: m.Total.Text,
			Name: m.Short, Initial: m.Short[:1], Selected: m.Selected, Running: m.Running}
		if m.Total.Hidden {
			drawn.Value = "–" // the word does not fit; the sentence and the table have it
		}
		y := chartBase
		for _, p := range m.Parts {
			if p.Height <= 0 {
				continue
			}
			h := math.Max(hairline, (chartBase-chartTop)*p.Height/100)
			y -= h
			drawn.Parts = append(drawn.Parts, barPart{partClass(string(p.Key)), percent(x), px(y), percent(slot * barShare), px(h)})
		}
		drawn.ValueY = px(y - 7)
		c.Bars = append(c.Bars, drawn)
		c.Summary += " " + m.Sentence
	}
	return c
}

// partClass names a part's colour; "" is what is hidden.
func partClass(key string) string {
	if key == "" {
		return "hidden"
	}
	return key
}

func px(v float64) string      { return fmt.Sprintf("%.1f", v) }
func percent(v float64) string { return fmt.Sprintf("%.2f%%", v) }
