package reporting

import (
	"fmt"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/figures"
)

// The words in which pages speak of the taxonomy. Every value has one.
var (
	kindWords    = figures.KindLabels
	channelWords = figures.ChannelLabels
	targetWords  = figures.TargetLabels
	hurtWords    = map[incident.Hurt]string{
		incident.HurtYes:     "Yes",
		incident.HurtNo:      "No",
		incident.HurtUnknown: "Not said",
	}
	precisionWords = map[incident.Precision]string{
		incident.PrecisionExact:   "To the minute",
		incident.PrecisionAbout:   "About that time",
		incident.PrecisionDay:     "The day only",
		incident.PrecisionUnknown: "Nobody knows when",
	}
	contactWords = map[incident.ContactChoice]string{
		incident.ContactAnonymous:  "anonymous",
		incident.ContactRepOnly:    "known to the safety reps only",
		incident.ContactMayBeNamed: "may be named",
	}
	filedForWords = map[incident.FiledFor]string{
		incident.FiledForSelf:      "Themselves",
		incident.FiledForColleague: "A colleague",
		incident.FiledForSeveral:   "Several colleagues",
		incident.FiledForUnknown:   "Not sure",
	}
	controlWords = map[incident.Control]string{
		incident.ControlScreen:       "A screen or barrier",
		incident.ControlDistance:     "Distance between people",
		incident.ControlVentilation:  "Fresh air",
		incident.ControlCleaning:     "Cleaning",
		incident.ControlFaceCovering: "Face coverings",
		incident.ControlStaffing:     "Enough staff",
		incident.ControlAlarm:        "An alarm or radio",
		incident.ControlTraining:     "Training",
		incident.ControlOther:        "Something else",
		incident.ControlUnknown:      "Not sure",
	}
	toldWords = map[incident.Told]string{
		incident.ToldYes:     "Yes",
		incident.ToldNo:      "No",
		incident.ToldUnknown: "Not sure",
	}
	exposureWords = map[incident.Exposure]string{
		incident.ExposureSymptoms:     "Somebody who seemed ill",
		incident.ExposurePositiveTest: "Somebody who tested positive",
		incident.ExposureBodyFluid:    "Blood, spit or a needle",
		incident.ExposureOther:        "Something else",
		incident.ExposureUnknown:      "Not sure",
	}
	closenessWords = map[incident.Closeness]string{
		incident.ClosenessTouched:    "Touched them, or it got on somebody",
		incident.ClosenessCloseLong:  "Within two metres for 15 minutes or more",
		incident.ClosenessCloseShort: "Within two metres, for less",
		incident.ClosenessSameRoom:   "Further away, in the same room",
		incident.ClosenessUnknown:    "Not sure",
	}
	basisWords = map[incident.Basis]string{
		incident.BasisRacist:      "racist abuse",
		incident.BasisSexual:      "sexual abuse",
		incident.BasisSex:         "abuse for being a woman or a man",
		incident.BasisDisability:  "abuse for a disability",
		incident.BasisAge:         "abuse for somebody’s age",
		incident.BasisReligion:    "abuse for a religion",
		incident.BasisOrientation: "abuse for whom somebody loves or who they are",
		incident.BasisOther:       "abuse for another thing about a person",
	}
	statusWords = map[incident.Status]string{
		incident.StatusNew:                "New",
		incident.StatusAcknowledged:       "Acknowledged",
		incident.StatusInReview:           "Being looked into",
		incident.StatusWaitingForReporter: "Waiting for the reporter",
		incident.StatusActionAgreed:       "Action agreed",
		incident.StatusClosedFixed:        "Closed, fixed",
		incident.StatusClosedNotFixed:     "Closed, not fixed",
		incident.StatusDuplicate:          "Duplicate",
		incident.StatusWithdrawn:          "Withdrawn",
		incident.StatusSetAside:           "Set aside",
	}
	statusColours = map[incident.Status]string{
		incident.StatusNew:                "govuk-tag--blue",
		incident.StatusAcknowledged:       "govuk-tag--turquoise",
		incident.StatusInReview:           "govuk-tag--turquoise",
		incident.StatusWaitingForReporter: "govuk-tag--yellow",
		incident.StatusActionAgreed:       "govuk-tag--turquoise",
		incident.StatusClosedFixed:        "govuk-tag--green",
		incident.StatusClosedNotFixed:     "govuk-tag--grey",
		incident.StatusDuplicate:          "govuk-tag--grey",
		incident.StatusWithdrawn:          "govuk-tag--grey",
		incident.StatusSetAside:           "govuk-tag--grey",
	}
)

// valueWord returns a value of one of the correctable fields in words.
func valueWord(field, value string) string {
	word := ""
	switch field {
	case "kind":
		word = kindWords[incident.Kind(value)]
	case "channel":
		word = channelWords[incident.Channel(value)]
	case "target":
		word = targetWords[incident.Target(value)]
	}
	if word == "" {
		return value
	}
	return word
}

// lowered returns words that begin with a capital as they stand inside a sentence.
func lowered(words string) string {
	if words == "" {
		return ""
	}
	return strings.ToLower(words[:1]) + words[1:]
}

// number returns n with commas between thousands.
func number(n int) string {
	if n < 0 {
		return "−" + number(-n)
	}
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count returns a number with its noun, "1 incident" or "1,204 incidents".
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// incidents returns a number of incidents in words.
func incidents(n int) string { return count(n, "incident", "incidents") }

// clock returns a time as people in London say it, "Thu 19 Nov 2026, 1:02pm".
func clock(t time.Time) string { return t.In(incident.London).Format("Mon 2 Jan 2006, 3:04pm") }

// day returns a date in London, "Thu 19 Nov 2026".
func day(t time.Time) string { return t.In(incident.London).Format("Mon 2 Jan 2006") }

// occurred returns when an incident happened as exactly as it is known.
func occurred(i *incident.Incident) string { return occurredAt(i.OccurredAt, i.Precision) }

func occurredAt(at time.Time, p incident.Precision) string {
	switch p {
	case incident.PrecisionDay:
		return day(at)
	case incident.PrecisionAbout:
		return "About " + clock(at)
	case incident.PrecisionUnknown:
		return "Not known when (reported " + day(at) + ")"
	}
	return clock(at)
}

// countsIn returns the month in which an incident counts, and why where that is
// not because it happened then.
func countsIn(i *incident.Incident) string {
	if i.Precision == incident.PrecisionUnknown {
		return i.Month().Name() + ", in which it was reported"
	}
	return i.Month().Name()
}

// occurredShort is occurred without the year when that is this one.
func occurredShort(i *incident.Incident, now time.Time) string {
	year := fmt.Sprintf(" %d", now.In(incident.London).Year())
	return strings.Replace(occurred(i), year, "", 1)
}

// iso returns a time for the datetime attribute.
func iso(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ago returns how long ago t was, in the one unit that matters.
func ago(t, now time.Time) string {
	switch d := now.Sub(t); {
	case d < time.Hour:
		return "under an hour"
	case d < 48*time.Hour:
		return count(int(d.Hours()), "hour", "hours")
	default:
		return count(int(d.Hours()/24), "day", "days")
	}
}

// list joins words as a sentence does, "a, b and c".
func list(words []string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
}

// capital returns words as they stand at the beginning of a sentence.
func capital(words string) string {
	if words == "" {
		return ""
	}
	return strings.ToUpper(words[:1]) + words[1:]
}
