package incident

import "slices"

// TaxonomyVersion names the set of values below. It travels with every report
// and classification so that a figure can say by which words it was made.
const TaxonomyVersion = "1"

// Kind is what happened.
type Kind string

// The kinds. Assault includes contact, spit and a thrown object that hit.
const (
	KindUnknown          Kind = "unknown"
	KindAssault          Kind = "assault"
	KindAttemptedAssault Kind = "attempted_assault"
	KindThreat           Kind = "threat"
	KindAbuse            Kind = "abuse"
	KindPropertyDamage   Kind = "property_damage"
	KindExposure         Kind = "exposure"
	KindMissingControl   Kind = "missing_control"
	KindOtherInjury      Kind = "other_injury"
	KindOther            Kind = "other"
)

// Kinds are all kinds in the order in which figures show them, unknown last.
var Kinds = []Kind{KindAssault, KindAttemptedAssault, KindThreat, KindAbuse, KindPropertyDamage,
	KindExposure, KindMissingControl, KindOtherInjury, KindOther, KindUnknown}

// IsAggression reports whether the kind is something a person did to staff, so
// that "how did it reach them" and "whom was it aimed at" have an answer.
// Source: HSE, work-related violence.
func (k Kind) IsAggression() bool {
	switch k {
	case KindAssault, KindAttemptedAssault, KindThreat, KindAbuse, KindPropertyDamage:
		return true
	}
	return false
}

// IsHazard reports whether the kind is a condition of work rather than
// somebody's act, so that channel and target do not apply.
func (k Kind) IsHazard() bool {
	switch k {
	case KindExposure, KindMissingControl, KindOtherInjury:
		return true
	}
	return false
}

// Channel is how it reached the member of staff, not what it was about.
type Channel string

// The channels. PrivateMessage is e-mail, text, account journal and direct
// message; PublicOnline is social media, forum, review and posted video.
const (
	ChannelUnknown        Channel = "unknown"
	ChannelInPerson       Channel = "in_person"
	ChannelPhone          Channel = "phone"
	ChannelLetter         Channel = "letter"
	ChannelPrivateMessage Channel = "private_message"
	ChannelPublicOnline   Channel = "public_online"
	ChannelNotApplicable  Channel = "not_applicable"
)

// Channels are all channels in the order in which figures show them.
var Channels = []Channel{ChannelInPerson, ChannelPhone, ChannelLetter, ChannelPrivateMessage,
	ChannelPublicOnline, ChannelNotApplicable, ChannelUnknown}

// IsOnline reports whether the channel is one of the two that figures call
// online. Phone and letter are neither online nor in person.
func (c Channel) IsOnline() bool { return c == ChannelPrivateMessage || c == ChannelPublicOnline }

// Target is whom it was aimed at.
type Target string

// The targets. AnyStaff is a team, a site, "anyone who works for …".
const (
	TargetUnknown       Target = "unknown"
	TargetNamedPerson   Target = "named_person"
	TargetAnyStaff      Target = "any_staff"
	TargetOrganisation  Target = "organisation"
	TargetOtherPerson   Target = "other_person"
	TargetNotApplicable Target = "not_applicable"
)

// Targets are all targets in the order in which figures show them.
var Targets = []Target{TargetNamedPerson, TargetAnyStaff, TargetOrganisation, TargetOtherPerson,
	TargetNotApplicable, TargetUnknown}

// Hurt is whether anybody was hurt.
type Hurt string

// The answers to "was anyone hurt?".
const (
	HurtUnknown Hurt = "unknown"
	HurtNo      Hurt = "no"
	HurtYes     Hurt = "yes"
)

// Hurts are the answers in the order of the form.
var Hurts = []Hurt{HurtNo, HurtYes, HurtUnknown}

// Basis is what about a person, or taken to be about them, the abuse went for.
type Basis string

// The bases. Sexual is about sexual words or acts, sex about being a woman or a man.
const (
	BasisRacist      Basis = "racist"
	BasisSexual      Basis = "sexual"
	BasisSex         Basis = "sex"
	BasisDisability  Basis = "disability"
	BasisAge         Basis = "age"
	BasisReligion    Basis = "religion"
	BasisOrientation Basis = "orientation"
	BasisOther       Basis = "other"
)

// Bases are all bases in the order in which pages show them.
var Bases = []Basis{BasisRacist, BasisSexual, BasisSex, BasisDisability, BasisAge, BasisReligion, BasisOrientation, BasisOther}

// Flag is a yes or a no about an incident.
type Flag string

// The two answers.
const (
	FlagNo  Flag = "no"
	FlagYes Flag = "yes"
)

// Flags are both answers.
var Flags = []Flag{FlagNo, FlagYes}

// Precision is how exactly the time of the incident is known.
type Precision string

// The precisions: to the minute, to the day, about then, or not known at all.
// What happened at a time that nobody knows counts when it was reported.
const (
	PrecisionExact   Precision = "exact"
	PrecisionAbout   Precision = "about"
	PrecisionDay     Precision = "day"
	PrecisionUnknown Precision = "unknown"
)

// Precisions are all precisions.
var Precisions = []Precision{PrecisionExact, PrecisionAbout, PrecisionDay, PrecisionUnknown}

// FiledFor is whose report it is.
type FiledFor string

// Whom a report can be filed for. Empty: not answered.
const (
	FiledForSelf      FiledFor = "self"
	FiledForColleague FiledFor = "colleague"
	FiledForSeveral   FiledFor = "several"
	FiledForUnknown   FiledFor = "unknown"
)

// FiledFors are the answers in the order of the form.
var FiledFors = []FiledFor{FiledForSelf, FiledForColleague, FiledForSeveral, FiledForUnknown}

// Control is a measure that keeps staff safe, of which one is missing.
type Control string

// The controls. Empty: not answered.
const (
	ControlScreen       Control = "screen"
	ControlDistance     Control = "distance"
	ControlVentilation  Control = "ventilation"
	ControlCleaning     Control = "cleaning"
	ControlFaceCovering Control = "face_covering"
	ControlStaffing     Control = "staffing"
	ControlAlarm        Control = "alarm"
	ControlTraining     Control = "training"
	ControlOther        Control = "other"
	ControlUnknown      Control = "unknown"
)

// Controls are all controls in the order of the form.
var Controls = []Control{ControlScreen, ControlAlarm, ControlStaffing, ControlTraining, ControlDistance,
	ControlVentilation, ControlCleaning, ControlFaceCovering, ControlOther, ControlUnknown}

// Told is whether a manager knows of a missing control. When a danger was
// raised is what a case under the Employment Rights Act 1996, s.44, rests on.
type Told string

// The answers. Empty: not answered.
const (
	ToldYes     Told = "yes"
	ToldNo      Told = "no"
	ToldUnknown Told = "unknown"
)

// Tolds are the answers in the order of the form.
var Tolds = []Told{ToldYes, ToldNo, ToldUnknown}

// Exposure is to what somebody was exposed.
type Exposure string

// The exposures. Empty: not answered.
const (
	ExposureSymptoms     Exposure = "symptoms"
	ExposurePositiveTest Exposure = "positive_test"
	ExposureBodyFluid    Exposure = "body_fluid"
	ExposureOther        Exposure = "other"
	ExposureUnknown      Exposure = "unknown"
)

// Exposures are all exposures in the order of the form.
var Exposures = []Exposure{ExposureSymptoms, ExposurePositiveTest, ExposureBodyFluid, ExposureOther, ExposureUnknown}

// Closeness is how close an exposure was and how long it lasted.
type Closeness string

// The closenesses; close is within two metres, long 15 minutes or more. Empty:
// not answered.
const (
	ClosenessTouched    Closeness = "touched"
	ClosenessCloseLong  Closeness = "close_long"
	ClosenessCloseShort Closeness = "close_short"
	ClosenessSameRoom   Closeness = "same_room"
	ClosenessUnknown    Closeness = "unknown"
)

// Closenesses are all of them in the order of the form.
var Closenesses = []Closeness{ClosenessTouched, ClosenessCloseLong, ClosenessCloseShort, ClosenessSameRoom, ClosenessUnknown}

// ContactChoice is who may know who reported.
type ContactChoice string

// The choices, from the most private to the least.
const (
	ContactAnonymous  ContactChoice = "anonymous"
	ContactRepOnly    ContactChoice = "rep_only"
	ContactMayBeNamed ContactChoice = "may_be_named"
)

// ContactChoices are all choices.
var ContactChoices = []ContactChoice{ContactAnonymous, ContactRepOnly, ContactMayBeNamed}

// Setter is who set a value.
type Setter string

// The setters, from the one that yields to the one that stands.
const (
	SetByNobody   Setter = ""
	SetByMachine  Setter = "machine"
	SetByReporter Setter = "reporter"
	SetByReviewer Setter = "reviewer"
)

// Status is where the handling of an incident stands, apart from its outcomes.
type Status string

// The statuses. Closed never claims fixed unless it says so.
const (
	StatusNew                Status = "new"
	StatusAcknowledged       Status = "acknowledged"
	StatusInReview           Status = "in_review"
	StatusWaitingForReporter Status = "waiting_for_reporter"
	StatusActionAgreed       Status = "action_agreed"
	StatusClosedFixed        Status = "closed_fixed"
	StatusClosedNotFixed     Status = "closed_not_fixed"
	StatusDuplicate          Status = "duplicate"
	StatusWithdrawn          Status = "withdrawn"
	StatusSetAside           Status = "set_aside" // by a person, as part of a flood of made-up reports
)

// StatusReopened is where an incident stands when somebody opens it again: it
// was seen, and nothing new has begun.
const StatusReopened = StatusAcknowledged

// Statuses are all statuses in the order in which an incident passes them.
var Statuses = []Status{StatusNew, StatusAcknowledged, StatusInReview, StatusWaitingForReporter,
	StatusActionAgreed, StatusClosedFixed, StatusClosedNotFixed, StatusDuplicate, StatusWithdrawn, StatusSetAside}

// IsOpen reports whether somebody still has to do something.
func (s Status) IsOpen() bool {
	switch s {
	case StatusNew, StatusAcknowledged, StatusInReview, StatusWaitingForReporter, StatusActionAgreed:
		return true
	}
	return false
}

// IsClosed reports whether a person closed it, fixed or not.
func (s Status) IsClosed() bool { return s == StatusClosedFixed || s == StatusClosedNotFixed }

// Counts reports whether an incident with this status is in the figures.
// Duplicates are counted under the incident they describe; withdrawn reports
// stay on record but out of the count; what was set aside is counted apart.
func (s Status) Counts() bool {
	return s != StatusDuplicate && s != StatusWithdrawn && s != StatusSetAside
}

// known reports whether v is one of all, the taxonomy's own list for its type.
func known[T comparable](all []T, v T) bool { return slices.Contains(all, v) }

// Valid reports whether the value is in the taxonomy.
func (k Kind) Valid() bool { return known(Kinds, k) }

// Valid reports whether the value is in the taxonomy.
func (c Channel) Valid() bool { return known(Channels, c) }

// Valid reports whether the value is in the taxonomy.
func (t Target) Valid() bool { return known(Targets, t) }

// Valid reports whether the value is in the taxonomy.
func (h Hurt) Valid() bool { return known(Hurts, h) }

// Valid reports whether the value is in the taxonomy.
func (p Precision) Valid() bool { return known(Precisions, p) }

// Valid reports whether the value is in the taxonomy.
func (s Status) Valid() bool { return known(Statuses, s) }

// Valid reports whether the value is in the taxonomy.
func (b Basis) Valid() bool { return known(Bases, b) }

// Valid reports whether the value is in the taxonomy.
func (f Flag) Valid() bool { return known(Flags, f) }
