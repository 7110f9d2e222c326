package figures

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/onrecord/onrecord/pkg/incident"
)

// hiddenText stands where a number is hidden. It does not say “5 or fewer”:
// some hidden numbers are larger.
const hiddenText = "hidden"

// unpublishedText stands for a month that is not published.
const unpublishedText = "not published"

// ChannelLabels are the words for each channel, and for online, in figures and
// on every other page. They are read only.
var ChannelLabels = map[incident.Channel]string{
	incident.ChannelInPerson:       "In person",
	incident.ChannelPhone:          "Phone",
	incident.ChannelLetter:         "Letter",
	ChannelOnline:                  "Online",
	incident.ChannelPrivateMessage: "Private message",
	incident.ChannelPublicOnline:   "Public online",
	incident.ChannelNotApplicable:  "Does not apply",
	incident.ChannelUnknown:        "Not known",
}

// channelPhrases go after a number in a sentence.
var channelPhrases = map[incident.Channel]string{
	incident.ChannelInPerson:      "in person",
	incident.ChannelPhone:         "by phone",
	incident.ChannelLetter:        "by letter",
	ChannelOnline:                 "online",
	incident.ChannelNotApplicable: "where this does not apply",
	incident.ChannelUnknown:       "not known",
}

// TargetLabels are as ChannelLabels.
var TargetLabels = map[incident.Target]string{
	incident.TargetNamedPerson:   "A named person",
	incident.TargetAnyStaff:      "Any staff",
	incident.TargetOrganisation:  "The organisation",
	incident.TargetOtherPerson:   "Somebody else",
	incident.TargetNotApplicable: "Does not apply",
	incident.TargetUnknown:       "Not known",
}

// KindLabels are as ChannelLabels.
var KindLabels = map[incident.Kind]string{
	incident.KindAssault:          "Assault",
	incident.KindAttemptedAssault: "Attempted assault",
	incident.KindThreat:           "Threat",
	incident.KindAbuse:            "Abuse",
	incident.KindPropertyDamage:   "Damage to property",
	incident.KindExposure:         "Exposure to infection",
	incident.KindMissingControl:   "Missing safety measure",
	incident.KindOtherInjury:      "Other injury",
	incident.KindOther:            "Something else",
	incident.KindUnknown:          "Not known",
}

// counted returns a number with its unit, "1 incident" or "1,956 incidents".
func (u Unit) counted(n int) string {
	one, many := "incident", "incidents"
	switch u {
	case Reports:
		one, many = "report", "reports"
	case People:
		one, many = "person affected", "people affected"
	}
	switch n {
	case 0:
		return "no " + many
	case 1:
		return "1 " + one
	}
	return thousands(n) + " " + many
}

// thousands writes a number as people read it, "35,161".
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// heading is the finding: the month and its number.
func heading(m incident.Month, total Number, u Unit, running bool) string {
	name := m.Name()
	if running {
		name += " so far"
	}
	if total.Hidden {
		return name + ": the number of " + string(u) + " is hidden"
	}
	return name + ": " + u.counted(total.N)
}

// change compares a month with the one before.
func change(m incident.Month, now Number, g monthGrid) string {
	last, before := m.Add(-1), g.number(theGrid.total)
	name := last.Month.String()
	if last.Year != m.Year {
		name = last.Name()
	}
	switch diff := now.N - before.N; {
	case g.unpublished:
		return fmt.Sprintf("%s is not published.", name)
	case now.Hidden || before.Hidden:
		return fmt.Sprintf("The change from %s is not shown, because a number is hidden.", name)
	case diff == 0 && now.N == 0:
		return fmt.Sprintf("There were none in %s either.", name)
	case before.N == 0:
		return fmt.Sprintf("There were none in %s.", name)
	case diff == 0:
		return fmt.Sprintf("The same number as in %s.", name)
	case diff < 0:
		return fmt.Sprintf("%s fewer than in %s (%s).", thousands(-diff), name, percent(-diff, before.N))
	default:
		return fmt.Sprintf("%s more than in %s (%s).", thousands(diff), name, percent(diff, before.N))
	}
}

// undecidedShare says how much of a total nobody has decided yet.
func undecidedShare(total, undecided Number) string {
	const what = "how it reached staff or whom it was aimed at"
	switch {
	case undecided.Hidden:
		return "For some, " + what + " is not known yet. How many is hidden."
	case undecided.N == 0 && !total.Hidden && total.N == 0:
		return ""
	case undecided.N == 0:
		return "How it reached staff and whom it was aimed at is known for all of them."
	case total.Hidden:
		return fmt.Sprintf("For %s, %s is not known yet.", thousands(undecided.N), what)
	}
	return fmt.Sprintf("For %s of the %s (%s), %s is not known yet.", thousands(undecided.N), thousands(total.N), percent(undecided.N, total.N), what)
}

// percent rounds to whole per cent, and never to none or all.
func percent(n, of int) string {
	p := (200*n + of) / (2 * of)
	switch {
	case p == 0 && n > 0:
		return "less than 1%"
	case p == 100 && n < of:
		return "more than 99%"
	}
	return strconv.Itoa(p) + "%"
}

// difference words how a number went, “2 more” or “3 fewer”.
func difference(n int) string {
	if n < 0 {
		return thousands(-n) + " fewer"
	}
	return thousands(n) + " more"
}

func lower(label string) string { return strings.ToLower(label[:1]) + label[1:] }
