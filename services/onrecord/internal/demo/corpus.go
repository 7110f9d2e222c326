package demo

import (
	"math/rand/v2"
	"strings"

	"github.com/onrecord/onrecord/pkg/incident"
)

// Sites is the demo's site directory as CSV.
const Sites = `id,name,kind,postcode,region,employer,staff
demo-north,Demo Jobcentre North,jobcentre,ZZ1 1AA,Demo North,Demo Department,64
demo-south,Demo Jobcentre South,jobcentre,ZZ2 1AA,Demo South,Demo Department,48
demo-east,Demo Jobcentre East,jobcentre,ZZ3 1AA,Demo East,Demo Department,41
demo-west,Demo Jobcentre West,jobcentre,ZZ4 1AA,Demo West,Demo Department,37
demo-quay,Demo Assessment Centre Quay,assessment_centre,ZZ5 1AA,Demo South,Demo Assessments,29
demo-hill,Demo Assessment Centre Hill,assessment_centre,ZZ6 1AA,Demo North,Demo Assessments,26
demo-lines,Demo Telephone Centre,back_office,ZZ7 1AA,Demo East,Demo Department,120
demo-door,Demo Security Control,back_office,ZZ8 1AA,Demo West,Demo Guarding,18
`

// sites are the ids above with how much of the load each has.
var sites = []weighted[string]{{"demo-north", 24}, {"demo-south", 19}, {"demo-east", 15}, {"demo-west", 12},
	{"demo-quay", 10}, {"demo-hill", 8}, {"demo-lines", 10}, {"demo-door", 1}, {incident.SiteUnlisted, 1}}

type weighted[T any] struct {
	value  T
	weight float64
}

func pick[T any](rng *rand.Rand, from []weighted[T]) T {
	sum := 0.0
	for _, w := range from {
		sum += w.weight
	}
	at := rng.Float64() * sum
	for _, w := range from {
		if at -= w.weight; at < 0 {
			return w.value
		}
	}
	return from[len(from)-1].value
}

// kinds are in the proportions the Department for Work and Pensions gave for
// 2012/13: 1.6 % assaults, 83.3 % abuse or threats, 15.2 % other. How the
// second and third part divide is our own assumption.
var kinds = []weighted[incident.Kind]{
	{incident.KindAssault, 1.6},
	{incident.KindAbuse, 66.3}, {incident.KindThreat, 17},
	{incident.KindAttemptedAssault, 1.2}, {incident.KindPropertyDamage, 3.5}, {incident.KindExposure, 2.5},
	{incident.KindMissingControl, 4.5}, {incident.KindOtherInjury, 1.5}, {incident.KindOther, 1.9},
}

// channels of aggression that is not physical: our own assumption.
var channels = []weighted[incident.Channel]{
	{incident.ChannelInPerson, 52}, {incident.ChannelPhone, 33}, {incident.ChannelLetter, 3},
	{incident.ChannelPrivateMessage, 6}, {incident.ChannelPublicOnline, 6},
}

// targets by whether it was online: our own assumption.
var (
	targetsNear   = []weighted[incident.Target]{{incident.TargetNamedPerson, 74}, {incident.TargetAnyStaff, 15}, {incident.TargetOrganisation, 9}, {incident.TargetOtherPerson, 2}}
	targetsOnline = []weighted[incident.Target]{{incident.TargetNamedPerson, 32}, {incident.TargetAnyStaff, 30}, {incident.TargetOrganisation, 38}}
)

// sentences are what demo reporters write, by kind and channel. {aim} becomes
// words for the target, {about} what it was about. All of it is made up.
var sentences = map[incident.Kind]map[incident.Channel][]string{
	incident.KindAbuse: {
		incident.ChannelInPerson: {
			"A customer shouted and swore at {aim} across the front desk about {about}.",
			"Came up to the desk without an appointment, effing and blinding at {aim} over {about}. Security walked him out.",
			"Woman in the waiting area kept calling {aim} names when I explained {about}. Other customers were frightened.",
			"Stood over my desk, finger pointing, screaming at {aim} because of {about}. Would not leave when asked.",
			"During the interview he called {aim} useless scum, about {about}. I ended the appointment.",
		},
		incident.ChannelPhone: {
			"Caller shouted at {aim} for ten minutes about {about}. I warned him twice and ended the call.",
			"Rang in about {about}, swearing at {aim} the whole time. Call recorded.",
			"On the phone she called {aim} every name under the sun over {about}, then hung up and rang straight back.",
		},
		incident.ChannelLetter: {
			"A letter came in the post full of insults to {aim} about {about}.",
			"Handwritten note pushed through the door of the office with abuse for {aim}.",
		},
		incident.ChannelPrivateMessage: {
			"Abusive e-mail to {aim} about {about}, three in an hour.",
			"Left a journal message full of swearing at {aim} because of {about}.",
			"Sent {aim} a direct message with insults after the appointment.",
		},
		incident.ChannelPublicOnline: {
			"Posted on Facebook about {aim}, with insults, over {about}. It has been shared a lot.",
			"A one-star review online that calls {aim} disgusting names.",
			"Uploaded a video to YouTube about {about}, running down {aim} in the comments.",
		},
	},
	incident.KindThreat: {
		incident.ChannelInPerson: {
			"Told {aim} at the desk that he would be waiting outside at five. It was about {about}.",
			"Leaned over the desk and said he would put {aim} in hospital if {about} was not sorted.",
		},
		incident.ChannelPhone: {
			"Caller said he is coming down to sort {aim} out because of {about}.",
			"On the phone he threatened to find out where {aim} lives. About {about}.",
		},
		incident.ChannelLetter:         {"Letter saying that {aim} will regret {about}. Passed to the manager."},
		incident.ChannelPrivateMessage: {"E-mail saying {aim} had better watch their back over {about}."},
		incident.ChannelPublicOnline:   {"Tweeted that he will burn the office down with {aim} in it, about {about}.", "Commented on Facebook that {aim} will get what is coming, over {about}."},
	},
	incident.KindAssault: {incident.ChannelInPerson: {
		"He punched me in the shoulder when I said {about} could not be changed today.",
		"Customer spat in my face across the desk. It was about {about}.",
		"She grabbed my arm and twisted it when I stood up. Bruised.",
	}},
	incident.KindAttemptedAssault: {incident.ChannelInPerson: {
		"Swung for me over the desk and missed, security held him. About {about}.",
		"A man at the front desk threw a chair at the screen and shouted at me.",
	}},
	incident.KindPropertyDamage: {incident.ChannelInPerson: {
		"Kicked the front door on the way out and cracked the glass, angry about {about}.",
		"Swept the computer off the desk when told about {about}.",
	}},
	incident.KindExposure:       {"": {"Sent to sit beside a customer who was coughing all through the appointment, no mask, window shut.", "Customer said after an hour that he had tested positive this morning."}},
	incident.KindMissingControl: {"": {"The screen on desk four has been taken away and not put back.", "Alarm button under the desk does not work, third week.", "No cleaning between appointments and no wipes left.", "Only one guard on the door for the whole afternoon."}},
	incident.KindOtherInjury:    {"": {"Slipped on the wet floor by the entrance, sore knee.", "Shelf came down in the back office and caught my hand."}},
	incident.KindOther:          {"": {"Customer collapsed in the waiting area, ambulance called.", "Somebody was filming staff through the window from across the road."}},
}

var aims = map[incident.Target][]string{
	incident.TargetNamedPerson:  {"me"},
	incident.TargetAnyStaff:     {"all of us", "anyone who works here", "the whole team"},
	incident.TargetOrganisation: {"the department", "the jobcentre", "this place and the whole system"},
	incident.TargetOtherPerson:  {"another customer", "the woman in the queue behind him"},
}

var subjects = []string{"a sanction", "a late payment", "a missed appointment", "his claim", "her assessment", "the housing money", "a letter he says he never got", "an advance", "the wait"}

// words returns a made-up account.
func words(rng *rand.Rand, k incident.Kind, c incident.Channel, t incident.Target) string {
	of := sentences[k]
	choices := of[c]
	if len(choices) == 0 {
		choices = of[""]
	}
	one := func(from []string) string { return from[rng.IntN(len(from))] }
	s := one(choices)
	if a := aims[t]; len(a) > 0 {
		s = strings.ReplaceAll(s, "{aim}", one(a))
	}
	return strings.ReplaceAll(s, "{about}", one(subjects))
}
