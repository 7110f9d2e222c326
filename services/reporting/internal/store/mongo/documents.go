package mongo

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/packed"
)

// The stored forms. Their names are for ever: a field that changes its meaning
// gets a new name, and a migration moves what is stored. What a newer field
// lacks in an older document reads as its zero value. A map whose keys come
// from outside is stored as a list, since MongoDB gives dots and dollars in
// names a meaning.

// incidentDoc is an incident. Everything but what is derived and what folding
// changes stands in incidentBody, which an edit sets as a whole.
type incidentDoc struct {
	ID     string       `bson:"_id"`
	Folded int64        `bson:"folded"`
	Behind bool         `bson:"behind,omitempty"`     // its ledgers lack something; there only while they do
	Due    bool         `bson:"lesson_due,omitempty"` // its Lesson is due; there only while it is
	Body   incidentBody `bson:",inline"`
}

// incidentBody has every field always, so that setting it leaves nothing of
// what was there before. The compatible server does not set a document over one
// that has the same values under other names: By has every field always, and to
// the timeline in Detail each revision adds.
type incidentBody struct {
	Write   bson.ObjectID    `bson:"w"` // the write that made this revision
	Rev     int64            `bson:"rev"`
	At      time.Time        `bson:"at"`
	Status  incident.Status  `bson:"status"`
	Review  bool             `bson:"review"`
	Counted bool             `bson:"counted"`
	By      byDoc            `bson:"by"`
	Reports []filedReportDoc `bson:"reports"`
	Detail  detailDoc        `bson:"detail"`
}

// byDoc is what an incident counts under and what it adds there, in one value:
// lists look for its fields, and a recount groups by all of it. Every field is
// always there, for the compatible server: see incidentBody.
type byDoc struct {
	Month    string           `bson:"month"`
	Site     string           `bson:"site"`
	Kind     incident.Kind    `bson:"kind"`
	Channel  incident.Channel `bson:"channel"`
	Target   incident.Target  `bson:"target"`
	Employer string           `bson:"employer"`
	SetBy    incident.Setter  `bson:"set_by"`
	Reports  int              `bson:"reports"`
	People   int              `bson:"people"`
	Nothing  bool             `bson:"nothing"`   // a reporter has said that nothing happened
	SetAside bool             `bson:"set_aside"` // not counted, because a person set it aside
	Undated  bool             `bson:"undated"`   // nobody knows when it happened
}

type detailDoc struct {
	Ref            string                       `bson:"ref,omitempty"`
	Precision      incident.Precision           `bson:"precision,omitempty"`
	ReceivedAt     time.Time                    `bson:"received,omitempty"`
	Kind           opinionDoc[incident.Kind]    `bson:"kind"`
	Channel        opinionDoc[incident.Channel] `bson:"channel"`
	Target         opinionDoc[incident.Target]  `bson:"target"`
	Hurt           incident.Hurt                `bson:"hurt,omitempty"`
	DaysUnable     *int                         `bson:"days,omitempty"`
	PeopleAffected int                          `bson:"people,omitempty"`
	Employer       string                       `bson:"employer,omitempty"`
	Readings       []readingDoc                 `bson:"readings,omitempty"`
	Timeline       []changeDoc                  `bson:"timeline,omitempty"`
	Lines          []ledgerKeyDoc               `bson:"lines,omitempty"`
	WrappedKey     []byte                       `bson:"key,omitempty"`
	Lesson         lessonDoc                    `bson:"lesson,omitempty"`
}

type lessonDoc struct {
	Published int    `bson:"published,omitempty"`
	Features  []byte `bson:"features,omitempty"`
}

// IsZero has a lesson that says nothing left out.
func (d lessonDoc) IsZero() bool { return d.Published == 0 && len(d.Features) == 0 }

type ledgerKeyDoc struct {
	Month string `bson:"month"`
	Site  string `bson:"site"`
}

type opinionDoc[T ~string] struct {
	Reporter T `bson:"reporter,omitempty"`
	Machine  T `bson:"machine,omitempty"`
	Reviewer T `bson:"reviewer,omitempty"`
}

type readingDoc struct {
	ReportID string         `bson:"report,omitempty"`
	Model    string         `bson:"model,omitempty"`
	Kind     judgementDoc   `bson:"kind"`
	Channel  judgementDoc   `bson:"channel"`
	Target   judgementDoc   `bson:"target"`
	Second   judgementDoc   `bson:"second_channel,omitempty"`
	Threat   judgementDoc   `bson:"serious_threat,omitempty"`
	Weapon   judgementDoc   `bson:"weapon,omitempty"`
	Basis    []judgementDoc `bson:"basis,omitempty"`
	Review   bool           `bson:"review,omitempty"`
	Sampled  bool           `bson:"sampled,omitempty"`
	At       time.Time      `bson:"at,omitempty"`
}

type judgementDoc struct {
	Value   string           `bson:"value,omitempty"`
	P       []probabilityDoc `bson:"p,omitempty"`
	Reasons []reasonDoc      `bson:"why,omitempty"`
}

// IsZero has a judgement that says nothing left out.
func (d judgementDoc) IsZero() bool { return d.Value == "" && len(d.P) == 0 && len(d.Reasons) == 0 }

type probabilityDoc struct {
	Value string  `bson:"v"`
	P     float64 `bson:"p"`
}

type reasonDoc struct {
	Start  int     `bson:"start,omitempty"`
	End    int     `bson:"end,omitempty"`
	Class  string  `bson:"class,omitempty"`
	For    string  `bson:"for,omitempty"`
	Weight float64 `bson:"weight,omitempty"`
}

type filedReportDoc struct {
	ID             string                 `bson:"id"`
	ReceiptHash    []byte                 `bson:"receipt,omitempty"`
	ReceivedAt     time.Time              `bson:"received,omitempty"`
	ContactChoice  incident.ContactChoice `bson:"contact,omitempty"`
	Language       string                 `bson:"language,omitempty"`
	SealedWords    []byte                 `bson:"words,omitempty"`
	Kind           incident.Kind          `bson:"kind,omitempty"`
	Channel        incident.Channel       `bson:"channel,omitempty"`
	Target         incident.Target        `bson:"target,omitempty"`
	PressedAt      time.Time              `bson:"pressed,omitempty"`
	FormVersion    string                 `bson:"form,omitempty"`
	PeopleAffected int                    `bson:"people,omitempty"`
	Details        detailsDoc             `bson:"details"`
}

type detailsDoc struct {
	FiledFor  incident.FiledFor  `bson:"for,omitempty"`
	Control   incident.Control   `bson:"control,omitempty"`
	Told      incident.Told      `bson:"told,omitempty"`
	Exposure  incident.Exposure  `bson:"exposure,omitempty"`
	Closeness incident.Closeness `bson:"closeness,omitempty"`
}

type changeDoc struct {
	Seq        int             `bson:"n"`
	At         time.Time       `bson:"at,omitempty"`
	By         actorDoc        `bson:"by"`
	Action     incident.Action `bson:"do,omitempty"`
	Field      string          `bson:"field,omitempty"`
	From       string          `bson:"from,omitempty"`
	To         string          `bson:"to,omitempty"`
	Event      string          `bson:"event,omitempty"`
	SealedNote []byte          `bson:"note,omitempty"`
	NoteHash   []byte          `bson:"note_hash,omitempty"`
	Chain      []byte          `bson:"chain,omitempty"`
}

type actorDoc struct {
	Role string `bson:"role,omitempty"`
	ID   string `bson:"id,omitempty"`
	Name string `bson:"name,omitempty"`
}

var (
	// errMonth refuses what could be written and never read again.
	errMonth = errors.New("a ledger without a month")
	// errNumber refuses numbers that are none: nothing could be compared with them.
	errNumber = errors.New("a probability or weight that is no number")
)

// toBody returns what an edit sets, made by the write of that name.
func toBody(i *incident.Incident, write bson.ObjectID) (incidentBody, error) {
	if slices.ContainsFunc(i.Lines, func(k incident.LedgerKey) bool { return k.Month.IsZero() }) {
		return incidentBody{}, errMonth
	}
	if slices.ContainsFunc(i.Readings, hasNoNumber) {
		return incidentBody{}, errNumber
	}
	line, dims := i.Line(i.Ledger()), i.Dims()
	return incidentBody{
		Write: write, Rev: i.Rev, At: i.OccurredAt, Status: i.Status, Review: i.NeedsReview(), Counted: line.Counted,
		By: byDoc{Month: i.Month().String(), Site: i.Site, Kind: dims.Kind, Channel: dims.Channel, Target: dims.Target,
			Employer: dims.Employer, SetBy: dims.SetBy, Reports: line.Reports, People: line.People,
			Nothing: i.NothingHappened(), SetAside: line.SetAside, Undated: i.Undated()},
		Reports: append([]filedReportDoc{}, each(i.Reports, toFiledReportDoc)...),
		Detail: detailDoc{
			Ref: i.Ref, Precision: i.Precision, ReceivedAt: i.ReceivedAt,
			Kind:    opinionDoc[incident.Kind](i.Kind),
			Channel: opinionDoc[incident.Channel](i.Channel),
			Target:  opinionDoc[incident.Target](i.Target),
			Hurt:    i.Hurt, DaysUnable: i.DaysUnable, PeopleAffected: i.PeopleAffected, Employer: i.Employer,
			Readings: each(i.Readings, toReadingDoc), Timeline: each(i.Timeline, toChangeDoc),
			Lines:      each(i.Lines, func(k incident.LedgerKey) ledgerKeyDoc { return ledgerKeyDoc{k.Month.String(), k.Site} }),
			WrappedKey: i.WrappedKey, Lesson: lessonDoc(i.Lesson),
		},
	}, nil
}

func hasNoNumber(r incident.Reading) bool {
	for _, j := range slices.Concat([]incident.Judgement{r.Kind, r.Channel, r.Target, r.SecondChannel, r.SeriousThreat, r.Weapon}, r.Basis) {
		for _, p := range j.P {
			if isNoNumber(p) {
				return true
			}
		}
		if slices.ContainsFunc(j.Reasons, func(r incident.Reason) bool { return isNoNumber(r.Weight) }) {
			return true
		}
	}
	return false
}

func isNoNumber(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }

func toIncident(d incidentDoc) (*incident.Incident, error) {
	body, detail := d.Body, d.Body.Detail
	i := &incident.Incident{
		ID: d.ID, Ref: detail.Ref, Rev: body.Rev, FoldedRev: d.Folded, Site: body.By.Site,
		OccurredAt: body.At, Precision: detail.Precision, ReceivedAt: detail.ReceivedAt,
		Kind:    incident.Opinion[incident.Kind](detail.Kind),
		Channel: incident.Opinion[incident.Channel](detail.Channel),
		Target:  incident.Opinion[incident.Target](detail.Target),
		Hurt:    detail.Hurt, DaysUnable: detail.DaysUnable, PeopleAffected: detail.PeopleAffected, Employer: detail.Employer,
		Status:   body.Status,
		Readings: each(detail.Readings, toReading), Reports: each(body.Reports, toFiledReport), Timeline: each(detail.Timeline, toChange),
		WrappedKey: detail.WrappedKey, Lesson: incident.Lesson(detail.Lesson),
	}
	for _, l := range detail.Lines {
		m, err := incident.ParseMonth(l.Month)
		if err != nil {
			return nil, fmt.Errorf("incident %s: %w", d.ID, err)
		}
		i.Lines = append(i.Lines, incident.LedgerKey{Month: m, Site: l.Site})
	}
	return i, nil
}

func toReadingDoc(r incident.Reading) readingDoc {
	return readingDoc{
		ReportID: r.ReportID, Model: r.Model,
		Kind: toJudgementDoc(r.Kind), Channel: toJudgementDoc(r.Channel), Target: toJudgementDoc(r.Target),
		Second: toJudgementDoc(r.SecondChannel), Threat: toJudgementDoc(r.SeriousThreat), Weapon: toJudgementDoc(r.Weapon),
		Basis: each(r.Basis, toJudgementDoc), Review: r.Review, Sampled: r.Sampled, At: r.At,
	}
}

func toReading(d readingDoc) incident.Reading {
	return incident.Reading{
		ReportID: d.ReportID, Model: d.Model,
		Kind: toJudgement(d.Kind), Channel: toJudgement(d.Channel), Target: toJudgement(d.Target),
		SecondChannel: toJudgement(d.Second), SeriousThreat: toJudgement(d.Threat), Weapon: toJudgement(d.Weapon),
		Basis: each(d.Basis, toJudgement), Review: d.Review, Sampled: d.Sampled, At: d.At,
	}
}

func toJudgementDoc(j incident.Judgement) judgementDoc {
	d := judgementDoc{Value: j.Value, Reasons: each(j.Reasons, func(r incident.Reason) reasonDoc { return reasonDoc(r) })}
	for v, p := range j.P {
		d.P = append(d.P, probabilityDoc{v, p})
	}
	slices.SortFunc(d.P, func(a, b probabilityDoc) int { return strings.Compare(a.Value, b.Value) })
	return d
}

func toJudgement(d judgementDoc) incident.Judgement {
	j := incident.Judgement{Value: d.Value, Reasons: each(d.Reasons, func(r reasonDoc) incident.Reason { return incident.Reason(r) })}
	if len(d.P) > 0 {
		j.P = make(map[string]float64, len(d.P))
	}
	for _, p := range d.P {
		j.P[p.Value] = p.P
	}
	return j
}

func toFiledReportDoc(r incident.FiledReport) filedReportDoc {
	return filedReportDoc{r.ID, r.ReceiptHash, r.ReceivedAt, r.ContactChoice, r.Language, r.SealedWords, r.Kind, r.Channel, r.Target,
		r.PressedAt, r.FormVersion, r.PeopleAffected, detailsDoc(r.Details)}
}

func toFiledReport(d filedReportDoc) incident.FiledReport {
	return incident.FiledReport{
		ID: d.ID, ReceiptHash: d.ReceiptHash, ReceivedAt: d.ReceivedAt, ContactChoice: d.ContactChoice, Language: d.Language,
		SealedWords: d.SealedWords, Kind: d.Kind, Channel: d.Channel, Target: d.Target,
		PressedAt: d.PressedAt, FormVersion: d.FormVersion, PeopleAffected: d.PeopleAffected, Details: incident.Details(d.Details),
	}
}

func toChangeDoc(c incident.Change) changeDoc {
	return changeDoc{c.Seq, c.At, actorDoc(c.By), c.Action, c.Field, c.From, c.To, c.Event, c.SealedNote, c.NoteHash, c.Chain}
}

func toChange(d changeDoc) incident.Change {
	return incident.Change{
		Seq: d.Seq, At: d.At, By: incident.Actor(d.By), Action: d.Action, Field: d.Field, From: d.From, To: d.To, Event: d.Event,
		SealedNote: d.SealedNote, NoteHash: d.NoteHash, Chain: d.Chain,
	}
}

// each returns convert of every value, nil for none.
func each[A, B any](values []A, convert func(A) B) []B {
	if len(values) == 0 {
		return nil
	}
	converted := make([]B, len(values))
	for n, v := range values {
		converted[n] = convert(v)
	}
	return converted
}

// ledgerDoc is the totals of a month and site, which figures read: nothing in
// it grows with the incidents. They are packed, since a month may have hundreds.
type ledgerDoc struct {
	ID     string        `bson:"_id"` // see ledgerID
	Write  bson.ObjectID `bson:"w"`   // the write that made the lines they come from
	Rev    int64         `bson:"rev"` // of those lines
	Month  string        `bson:"month"`
	Site   string        `bson:"site"`
	Totals []byte        `bson:"totals,omitempty"`

	// Up to version 1 of the database; with Totals, neither is there.
	Cells []cellDoc `bson:"cells,omitempty"`
	Lines []byte    `bson:"lines,omitempty"`
}

// linesDoc is what the totals of a month and site come from, a line for each
// incident: the truth of the two. The lines are packed, since there may be many
// and each write stores all of them.
type linesDoc struct {
	ID    string        `bson:"_id"` // as the totals’
	Write bson.ObjectID `bson:"w"`
	Rev   int64         `bson:"rev"`
	Month string        `bson:"month"`
	Site  string        `bson:"site"`
	Lines []byte        `bson:"lines"`
}

// ledgerID orders ledgers by month, then site.
func ledgerID(m incident.Month, site string) string { return m.String() + " " + site }

// toLedgerDocs returns both documents of a ledger, made by the write of that name.
func toLedgerDocs(l *incident.Ledger, write bson.ObjectID) (linesDoc, ledgerDoc, error) {
	if l.Month.IsZero() {
		return linesDoc{}, ledgerDoc{}, errMonth
	}
	lines := linesDoc{ID: ledgerID(l.Month, l.Site), Write: write, Rev: l.Rev, Month: l.Month.String(), Site: l.Site, Lines: packed.EncodeEntries(l.Entries)}
	return lines, lines.totals(l.Cells), nil
}

// totals returns the document of the totals that come from these lines.
func (d linesDoc) totals(cells []incident.Cell) ledgerDoc {
	return ledgerDoc{ID: d.ID, Write: d.Write, Rev: d.Rev, Month: d.Month, Site: d.Site, Totals: packed.EncodeCells(cells)}
}

// isWhole reports whether totals are those of some lines, and hold no lines.
func (d ledgerDoc) isWhole(of linesDoc) bool {
	return d.Totals != nil && d.Rev == of.Rev && d.Write == of.Write
}

// ownLines returns the lines that stand in totals of version 1.
func (d ledgerDoc) ownLines() linesDoc {
	return linesDoc{ID: d.ID, Write: d.Write, Rev: d.Rev, Month: d.Month, Site: d.Site, Lines: d.Lines}
}

func (d ledgerDoc) cells() (incident.Month, []incident.Cell, error) {
	m, err := incident.ParseMonth(d.Month)
	if err != nil {
		return m, nil, fmt.Errorf("ledger %q: %w", d.ID, err)
	}
	cells, err := toCells(d.Totals, d.Cells)
	if err != nil {
		return m, nil, fmt.Errorf("ledger %q: %w", d.ID, err)
	}
	return m, cells, nil
}

// toLedger returns the lines as a ledger, without totals.
func toLedger(d linesDoc) (*incident.Ledger, error) {
	m, err := incident.ParseMonth(d.Month)
	if err != nil {
		return nil, fmt.Errorf("lines of ledger %q: %w", d.ID, err)
	}
	entries, err := packed.DecodeEntries(d.Lines)
	if err != nil {
		return nil, fmt.Errorf("lines of ledger %q: %w", d.ID, err)
	}
	return &incident.Ledger{Month: m, Site: d.Site, Rev: d.Rev, Entries: entries}, nil
}

// rollupDoc is a month's roll-up: the sums that figures show, and the sites'
// cells, which grow with the sites and not with the incidents.
type rollupDoc struct {
	Month  string        `bson:"_id"`
	Write  bson.ObjectID `bson:"w"`
	Rev    int64         `bson:"rev"`
	Totals []byte        `bson:"totals,omitempty"`
	All    []cellDoc     `bson:"all,omitempty"` // instead of Totals, as it was first written
	Sites  []byte        `bson:"sites"`
}

func toRollupDoc(r *incident.Rollup, write bson.ObjectID) (rollupDoc, error) {
	if r.Month.IsZero() {
		return rollupDoc{}, errMonth
	}
	return rollupDoc{Month: r.Month.String(), Write: write, Rev: r.Rev, Totals: packed.EncodeCells(r.All), Sites: packed.EncodeSites(r.Sites)}, nil
}

// sums returns the sums over every site, and their month.
func (d rollupDoc) sums() (incident.Month, []incident.Cell, error) {
	m, err := incident.ParseMonth(d.Month)
	if err != nil {
		return m, nil, fmt.Errorf("roll-up: %w", err)
	}
	all, err := toCells(d.Totals, d.All)
	if err != nil {
		return m, nil, fmt.Errorf("roll-up %s: %w", d.Month, err)
	}
	return m, all, nil
}

func toRollup(d rollupDoc) (*incident.Rollup, error) {
	m, all, err := d.sums()
	if err != nil {
		return nil, err
	}
	sites, err := packed.DecodeSites(d.Sites)
	if err != nil {
		return nil, fmt.Errorf("roll-up %s: %w", d.Month, err)
	}
	return &incident.Rollup{Month: m, Rev: d.Rev, Sites: sites, All: all}, nil
}

// cellDoc is one number of a month's figures as it was stored before cells were
// packed.
type cellDoc struct {
	Kind      incident.Kind    `bson:"kind"`
	Channel   incident.Channel `bson:"channel"`
	Target    incident.Target  `bson:"target"`
	Employer  string           `bson:"employer,omitempty"`
	SetBy     incident.Setter  `bson:"set_by,omitempty"`
	Incidents int              `bson:"incidents"`
	Reports   int              `bson:"reports"`
	People    int              `bson:"people"`
}

// toCells returns packed cells, or where there are none those stored before.
func toCells(stored []byte, before []cellDoc) ([]incident.Cell, error) {
	if stored != nil {
		return packed.DecodeCells(stored)
	}
	return each(before, func(d cellDoc) incident.Cell {
		return incident.Cell{
			Dims:      incident.Dims{Kind: d.Kind, Channel: d.Channel, Target: d.Target, Employer: d.Employer, SetBy: d.SetBy},
			Incidents: d.Incidents, Reports: d.Reports, People: d.People,
		}
	}), nil
}

type pendingDoc struct {
	Subject  string    `bson:"_id"`
	ReportID string    `bson:"report"`
	Seq      int64     `bson:"seq"`
	Data     []byte    `bson:"data,omitempty"`
	At       time.Time `bson:"at,omitempty"`
}

func toPendingDoc(p store.Pending) pendingDoc {
	return pendingDoc{p.Subject, p.ReportID, int64(p.Seq), p.Data, p.At}
}

func toPending(d pendingDoc) store.Pending {
	return store.Pending{ReportID: d.ReportID, Subject: d.Subject, Seq: uint64(d.Seq), Data: d.Data, At: d.At}
}

type userDoc struct {
	ID           string        `bson:"_id"`
	Write        bson.ObjectID `bson:"w"`
	NameKey      string        `bson:"name_key"` // the name in lower case
	Name         string        `bson:"name"`
	Role         store.Role    `bson:"role"`
	Sites        []string      `bson:"sites,omitempty"`
	PasswordHash string        `bson:"password,omitempty"`
	Disabled     bool          `bson:"disabled,omitempty"`
	CreatedAt    time.Time     `bson:"made,omitempty"`
	Rev          int64         `bson:"rev,omitempty"`
}

func nameKey(name string) string { return strings.ToLower(name) }

func toUserDoc(u *store.User, write bson.ObjectID) userDoc {
	return userDoc{u.ID, write, nameKey(u.Name), u.Name, u.Role, u.Sites, u.PasswordHash, u.Disabled, u.CreatedAt, u.Rev}
}

func toUser(d userDoc) *store.User {
	return &store.User{ID: d.ID, Name: d.Name, Role: d.Role, Sites: d.Sites, PasswordHash: d.PasswordHash, Disabled: d.Disabled, CreatedAt: d.CreatedAt, Rev: d.Rev}
}

type tokenDoc struct {
	ID        string        `bson:"_id"`
	Write     bson.ObjectID `bson:"w"`
	Hash      []byte        `bson:"hash"`
	Label     string        `bson:"label,omitempty"`
	Role      store.Role    `bson:"role"`
	Sites     []string      `bson:"sites,omitempty"`
	CreatedAt time.Time     `bson:"made"`
	Revoked   bool          `bson:"revoked,omitempty"`
}

func toTokenDoc(t *store.Token, write bson.ObjectID) tokenDoc {
	return tokenDoc{t.ID, write, notNil(t.Hash), t.Label, t.Role, t.Sites, t.CreatedAt, t.Revoked}
}

func toToken(d tokenDoc) *store.Token {
	return &store.Token{ID: d.ID, Label: d.Label, Hash: orNil(d.Hash), Role: d.Role, Sites: d.Sites, CreatedAt: d.CreatedAt, Revoked: d.Revoked}
}

type sessionDoc struct {
	ID        string    `bson:"_id"` // the hash in hexadecimal
	UserID    string    `bson:"user"`
	CreatedAt time.Time `bson:"made,omitempty"`
	SeenAt    time.Time `bson:"seen"`
}

// directoryDoc is every site, in one document so that a list is stored whole.
type directoryDoc struct {
	ID    string        `bson:"_id"`
	Write bson.ObjectID `bson:"w"`
	Rev   int64         `bson:"rev"`
	Sites []siteDoc     `bson:"sites"`
}

type siteDoc struct {
	ID       string `bson:"id"`
	Name     string `bson:"name,omitempty"`
	Kind     string `bson:"kind,omitempty"`
	Postcode string `bson:"postcode,omitempty"`
	Region   string `bson:"region,omitempty"`
	Employer string `bson:"employer,omitempty"`
	Staff    int    `bson:"staff,omitempty"`

	CodeGeneration int `bson:"code,omitempty"`
}

type quarantinedDoc struct {
	Subject    string    `bson:"_id"`
	Seq        int64     `bson:"seq"`
	Data       []byte    `bson:"data,omitempty"`
	Cause      string    `bson:"cause,omitempty"`
	At         time.Time `bson:"at"`
	ReplayedAt time.Time `bson:"replayed,omitempty"`
}

func toQuarantinedDoc(q *store.Quarantined) quarantinedDoc {
	return quarantinedDoc{q.Subject, int64(q.Seq), q.Data, strings.ToValidUTF8(q.Cause, "\ufffd"), q.At, q.ReplayedAt}
}

func toQuarantined(d quarantinedDoc) *store.Quarantined {
	return &store.Quarantined{Subject: d.Subject, Seq: uint64(d.Seq), Data: d.Data, Cause: d.Cause, At: d.At, ReplayedAt: d.ReplayedAt}
}

type metaDoc struct {
	Name  string `bson:"_id"`
	Value []byte `bson:"value"`
}

// photoDoc is what a photo is; its bytes are the file of that name in GridFS.
type photoDoc struct {
	ID          string          `bson:"_id"`
	Write       bson.ObjectID   `bson:"w"`
	File        string          `bson:"file"`
	IncidentID  string          `bson:"incident"`
	ReportID    string          `bson:"report"`
	Kind        store.PhotoKind `bson:"kind,omitempty"`
	ContentType string          `bson:"type,omitempty"`
	Size        int             `bson:"size,omitempty"`
	Width       int             `bson:"width,omitempty"`
	Height      int             `bson:"height,omitempty"`
	SHA256      []byte          `bson:"sha256,omitempty"`
	CreatedAt   time.Time       `bson:"made"`
}

func toPhotoDoc(p *store.Photo, file string, write bson.ObjectID) photoDoc {
	return photoDoc{p.ID, write, file, p.IncidentID, p.ReportID, p.Kind, p.ContentType, p.Size, p.Width, p.Height, p.SHA256, p.CreatedAt}
}

func toPhoto(d photoDoc) *store.Photo {
	return &store.Photo{ID: d.ID, IncidentID: d.IncidentID, ReportID: d.ReportID, Kind: d.Kind, ContentType: d.ContentType,
		Size: d.Size, Width: d.Width, Height: d.Height, SHA256: d.SHA256, CreatedAt: d.CreatedAt}
}

// editionDoc is a published month, written once.
type editionDoc struct {
	ID          string        `bson:"_id"`
	Write       bson.ObjectID `bson:"w"`
	Month       string        `bson:"month"`
	Number      int           `bson:"number"`
	PublishedAt time.Time     `bson:"at"`
	By          string        `bson:"by,omitempty"`
	Public      []byte        `bson:"public"`
	Exact       []byte        `bson:"exact"`
	MAC         []byte        `bson:"mac"`
}

func toEditionDoc(e *store.Edition, write bson.ObjectID) editionDoc {
	return editionDoc{editionID(e.Month, e.Number), write, e.Month.String(), e.Number, e.PublishedAt, e.By, e.Public, notNil(e.Exact), notNil(e.MAC)}
}

func toEdition(d editionDoc) (*store.Edition, error) {
	m, err := incident.ParseMonth(d.Month)
	if err != nil {
		return nil, fmt.Errorf("edition %q: %w", d.ID, err)
	}
	return &store.Edition{Month: m, Number: d.Number, PublishedAt: d.PublishedAt, By: d.By, Public: d.Public, Exact: orNil(d.Exact), MAC: orNil(d.MAC)}, nil
}

// notNil returns an empty value for none: it is stored as bytes, not as null.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func orNil(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
