package incident

import (
	"slices"
	"time"
)

// Opinion is what each party says about one field. All three stand side by
// side; none overwrites another. An empty value is "did not say".
type Opinion[T ~string] struct {
	Reporter T
	Machine  T
	Reviewer T
}

// Value returns the value that counts and who set it: the reviewer's if there
// is one, else the reporter's, else the machine's. "unknown" from the reporter
// or the machine yields to anybody who knows; from a reviewer it stands.
// With nobody knowing it returns "unknown", set by nobody.
func (o Opinion[T]) Value() (T, Setter) {
	switch {
	case o.Reviewer != "":
		return o.Reviewer, SetByReviewer
	case o.Reporter != "" && o.Reporter != "unknown":
		return o.Reporter, SetByReporter
	case o.Machine != "" && o.Machine != "unknown":
		return o.Machine, SetByMachine
	}
	return "unknown", SetByNobody
}

// Reading is what the classifier made of one report: its answer for each
// field, how sure it is, which words drove it, and whether a person should
// look. Made by services/classifier; shown to reps beside the reporter's own.
type Reading struct {
	ReportID string
	Model    string // the model's version
	Kind     Judgement
	Channel  Judgement
	Target   Judgement
	Review   bool // a person should decide
	Sampled  bool // it is sure, and a person is asked to check it all the same: Review is set for nothing else
	At       time.Time

	// What the words show besides. Each probability stands for its value alone,
	// so they need not sum to one. Empty in readings of models before these fields.
	SecondChannel Judgement   // a way by which it reached them after the first; "" where the words tell of no second
	SeriousThreat Judgement   // FlagYes where death or serious harm was threatened
	Weapon        Judgement   // FlagYes where a weapon was used, shown or named
	Basis         []Judgement // one for each Basis the words show, in the order of Bases
}

// Forget takes out whatever tells of the words that were read, apart from what
// is counted: the reasons, and what the words show besides.
func (r *Reading) Forget() {
	r.Kind.Reasons, r.Channel.Reasons, r.Target.Reasons = nil, nil, nil
	r.SecondChannel, r.SeriousThreat, r.Weapon, r.Basis = Judgement{}, Judgement{}, Judgement{}, nil
}

// Judgement is the machine's answer for one field.
type Judgement struct {
	Value   string             // a value of the field's taxonomy; "unknown" when it cannot tell
	P       map[string]float64 // probability of each value considered; sums to 1
	Reasons []Reason
}

// Reason points at words of the narrative that drove a judgement. Offsets are
// bytes of the narrative; the words themselves are not kept outside it.
type Reason struct {
	Start, End int
	Class      string  // the lexicon class or answer that spoke, in plain words
	For        string  // the value it spoke for
	Weight     float64 // natural-log odds
}

// Dims are the dimensions by which an incident is counted.
type Dims struct {
	Kind     Kind
	Channel  Channel
	Target   Target
	Employer string // of the person affected; "" when not said
	SetBy    Setter // whose word the cell rests on, see Classify
}

// Undecided reports whether how it reached staff or whom it was aimed at is
// not known yet. No total is shown without this share.
func (d Dims) Undecided() bool { return d.Channel == ChannelUnknown || d.Target == TargetUnknown }

// Classify returns the dimensions that count, from what each party said.
//
// A hazard has no channel and no target, whatever anybody answered. SetBy is
// the weakest word any known dimension rests on: machine if one stands on the
// machine's reading alone, else reporter, else reviewer; nobody when all are
// unknown.
func Classify(kind Opinion[Kind], channel Opinion[Channel], target Opinion[Target], employer string) Dims {
	k, by := kind.Value()
	c, cBy := channel.Value()
	t, tBy := target.Value()
	if k.IsHazard() {
		c, t, cBy, tBy = ChannelNotApplicable, TargetNotApplicable, SetByNobody, SetByNobody
	}
	return Dims{Kind: k, Channel: c, Target: t, Employer: employer, SetBy: weakest(by, cBy, tBy)}
}

// weakest returns the least authoritative of the setters that said anything.
func weakest(setters ...Setter) Setter {
	rank := map[Setter]int{SetByMachine: 1, SetByReporter: 2, SetByReviewer: 3}
	got := SetByNobody
	for _, s := range setters {
		if s != SetByNobody && (got == SetByNobody || rank[s] < rank[got]) {
			got = s
		}
	}
	return got
}

// Incident is what happened once: one or more reports, what each party says
// about it, how far its handling is, and everything that was done to it.
//
// Fields that hold sealed bytes are opened by pkg/seal with the incident's
// data key; without the master key they are noise.
type Incident struct {
	ID        string // derived from the first report's id by a keyed hash
	Ref       string // short reference for people, "7K3M-Q2XF"
	Rev       int64  // one more at each change
	FoldedRev int64  // the revision that the ledgers include

	Site       string
	OccurredAt time.Time // UTC; with PrecisionUnknown when it was reported
	Precision  Precision
	ReceivedAt time.Time // of the first report, as its reporter was told; UTC

	Kind    Opinion[Kind]
	Channel Opinion[Channel]
	Target  Opinion[Target]

	Hurt           Hurt
	DaysUnable     *int
	PeopleAffected int
	Employer       string // one the site directory knows, or ""

	Status   Status
	Readings []Reading // the newest last
	Reports  []FiledReport
	Timeline []Change
	Lines    []LedgerKey // the ledgers that hold a line of it, the current one last; see Locate
	Lesson   Lesson      // kept beside the rest: it is no change of the incident

	WrappedKey []byte // destroying it erases every sealed field below
}

// FiledReport is one report under an incident.
type FiledReport struct {
	ID             string // never shown to staff
	ReceiptHash    []byte
	ReceivedAt     time.Time
	ContactChoice  ContactChoice
	Language       string
	SealedWords    []byte    // narrative, site name, employer, contact
	Kind           Kind      // as filed
	Channel        Channel   // as filed
	Target         Target    // as filed
	PressedAt      time.Time // as in Report
	FormVersion    string
	PeopleAffected int
	Details        Details // as filed
}

// Lesson is what became of an incident's corrections beside the incident: how
// far they were published, and what the machine can learn from.
type Lesson struct {
	Published int    // Seq of the newest correction in the timeline that was published
	Features  []byte // of the report's words, as the classifier makes them, sealed; nil until they were made
}

// LessonDue reports whether the Lesson is behind: a correction was not
// published, or somebody decided and there are no features of the words yet. Of
// an incident whose words were erased nothing is due.
func (i *Incident) LessonDue() bool {
	if len(i.WrappedKey) == 0 {
		return false
	}
	return len(i.Unpublished()) > 0 || i.Teaches() && len(i.Lesson.Features) == 0
}

// Unpublished returns the corrections in the timeline that were not published.
func (i *Incident) Unpublished() []Change {
	var left []Change
	for _, c := range i.Timeline {
		if c.Action == ActionCorrected && c.Seq > i.Lesson.Published {
			left = append(left, c)
		}
	}
	return left
}

// Teaches reports whether a reviewer decided about what the machine reads from
// the words of a single report. Of several reports nobody knows which of them
// the reviewer meant, and words set aside as made up are no report's.
func (i *Incident) Teaches() bool {
	return len(i.Reports) == 1 && i.Status != StatusSetAside && (i.Kind.Reviewer != "" || i.Channel.Reviewer != "" || i.Target.Reviewer != "")
}

// Action is what a change did.
type Action string

// The actions of the timeline.
const (
	ActionFiled        Action = "filed"
	ActionRead         Action = "read_by_machine"
	ActionAcknowledged Action = "acknowledged"
	ActionStatus       Action = "status_changed"
	ActionCorrected    Action = "corrected"
	ActionNoted        Action = "noted"
	ActionClosed       Action = "closed"
	ActionReopened     Action = "reopened"
	ActionSetAside     Action = "set_aside"
	ActionTakenBack    Action = "taken_back" // after it was set aside; by the reporter, who says that it is real, too
	ActionAdded        Action = "added_by_reporter"
	ActionWithdrawn    Action = "withdrawn"
	ActionAnswered     Action = "answered_by_reporter" // a rep's question
	ActionContact      Action = "contact_changed"      // by the reporter: who may know who they are
	ActionMessaged     Action = "messaged"             // to the reporter
	ActionAsked        Action = "asked"                // the reporter a question
	ActionOriginal     Action = "original_opened"      // of the photo whose number is To
	ActionUnreadable   Action = "unreadable"
	ActionErased       Action = "erased"
)

// RoleReporter is the Role of whoever holds a report's receipt.
const RoleReporter = "reporter"

// Actor is who made a change: a person with an account, a token, the
// reporter, or the machine.
type Actor struct {
	Role string // "rep", "manager", "administrator", "reporter", "machine"
	ID   string // of the account or token; the model version for the machine; a reporter's is of timeline.Keeper
	Name string // shown in the timeline; "" for a reporter
}

// Change is one entry of an incident's timeline. Entries are only ever added.
//
// Chain is a keyed commitment to this entry and to the one before it. A note's
// words stand outside: the chain commits to the hash of their sealed form, so
// erasing them leaves it verifiable.
type Change struct {
	Seq        int // from 1
	At         time.Time
	By         Actor
	Action     Action
	Field      string // with ActionCorrected the field; what the reporter added: "words", FieldPhotos, FieldNothingHappened, "withdrawn"
	From, To   string // values of Field, or statuses where the action set one; how many photos were added
	Event      string // the addition's id where the reporter did it: tells a redelivery; of a message to one of several reporters, their Actor.ID; of what was done to many at once, the id of that
	SealedNote []byte // a note or a reason, in words
	NoteHash   []byte // SHA-256 of SealedNote as it was written
	Chain      []byte
}

// Values of Field.
const (
	FieldNothingHappened = "nothing_happened" // a reporter says that nothing happened
	FieldPhotos          = "photos"           // a reporter added photos, and words where there is a note
)

// NothingHappened reports whether a reporter has said that nothing happened.
func (i *Incident) NothingHappened() bool {
	return slices.ContainsFunc(i.Timeline, Change.SaysNothingHappened)
}

// SaysNothingHappened reports whether a reporter says by this entry that
// nothing happened. A reporter reopens for no other reason.
func (c Change) SaysNothingHappened() bool {
	return c.By.Role == RoleReporter && (c.Field == FieldNothingHappened || c.Action == ActionReopened)
}

// BeforeSetAside returns the status that an incident goes back to when it is no
// longer set aside: the one that it had.
func (i *Incident) BeforeSetAside() Status {
	for _, c := range slices.Backward(i.Timeline) {
		if c.Action == ActionSetAside {
			return Status(c.From)
		}
	}
	return StatusReopened
}

// Locate sets where and when it happened, by which it counts, and remembers
// the ledger it leaves: that one must take its line out.
func (i *Incident) Locate(site string, occurredAt time.Time) {
	i.Site, i.OccurredAt = site, occurredAt
	i.Lines = slices.DeleteFunc(i.Lines, func(k LedgerKey) bool { return k == i.Ledger() })
	i.Lines = append(i.Lines, i.Ledger())
}

// ReportedAt returns when the first report of the incident was made: by the tap
// that it holds, or else when it was received. What happened at a time that is
// not known counts then.
func (i *Incident) ReportedAt() time.Time {
	if len(i.Reports) == 0 {
		return i.ReceivedAt
	}
	return reportedAt(i.Reports[0].PressedAt, i.ReceivedAt)
}

// Undated reports whether nobody knows when it happened.
func (i *Incident) Undated() bool { return i.Precision == PrecisionUnknown }

// Ledger returns the ledger in which the incident counts.
func (i *Incident) Ledger() LedgerKey { return LedgerKey{i.Month(), i.Site} }

// Month returns the month in which the incident counts.
func (i *Incident) Month() Month { return MonthOf(i.OccurredAt) }

// Dims returns the dimensions by which the incident counts.
func (i *Incident) Dims() Dims { return Classify(i.Kind, i.Channel, i.Target, i.Employer) }

// NeedsReview reports whether a person should look at the classification:
// the newest reading asks for it and no reviewer has settled every field.
func (i *Incident) NeedsReview() bool {
	if i.Kind.Reviewer != "" && i.Channel.Reviewer != "" && i.Target.Reviewer != "" {
		return false
	}
	return len(i.Readings) == 0 || i.Readings[len(i.Readings)-1].Review
}

// Line returns the incident's line for a ledger: counted only in that of the
// month and site where it occurred, and while its status counts.
func (i *Incident) Line(k LedgerKey) Entry {
	here := k == i.Ledger()
	return Entry{
		Rev:             i.Rev,
		Counted:         here && i.Status.Counts(),
		Dims:            i.Dims(),
		Reports:         len(i.Reports),
		People:          max(i.PeopleAffected, 1),
		NothingHappened: here && i.Status.Counts() && i.NothingHappened(),
		SetAside:        here && i.Status == StatusSetAside,
		Undated:         here && i.Status.Counts() && i.Undated(),
	}
}
