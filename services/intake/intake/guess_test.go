package intake

import (
	"math"
	"testing"

	"github.com/onrecord/onrecord/services/intake/internal/receipt"
)

// What it costs to guess a receipt: with as many reports as every large public
// service of the country has in ten years, asked as often as all instances
// together allow, and by as many addresses as that takes.
func TestGuessingAReceiptTakesForEver(t *testing.T) {
	const reports = 10_000_000
	const minutesInAYear = 365.25 * 24 * 60
	space := math.Pow(2, receipt.RandomBits)
	perYear := float64(followUpsInAll) * minutesInAYear
	// One in space/reports codes is somebody's; half of them have to be tried.
	years := space / reports / perYear / 2
	t.Logf("%.0f years of %d questions a minute for one of %d receipts, from %d addresses at once", years, followUpsInAll, reports, followUpsInAll/followUpsPerClient)
	if years < 1e6 {
		t.Errorf("guessing one of %d receipts takes %.0f years, want a million at least", reports, years)
	}
	// Whoever wants one particular report, from one address.
	if one := space / (followUpsPerClient * minutesInAYear) / 2; one < 1e12 {
		t.Errorf("guessing one receipt from one address takes %.0f years", one)
	}
}
