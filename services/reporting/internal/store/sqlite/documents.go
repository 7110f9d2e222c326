package sqlite

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// The stored forms. Their short names are for ever: a field that changes its
// meaning gets a new name, and a migration moves what is stored. What a newer
// field lacks in an older document reads as its zero value. Values that are
// empty are left out, so an empty slice comes back nil.

type incidentDoc struct {
	ID             string                       `json:"id"`
	Ref            string                       `json:"ref,omitempty"`
	Rev            int64                        `json:"rev"`
	Site           string                       `json:"site"`
	OccurredAt     time.Time                    `json:"at,omitzero"`
	Precision      incident.Precision           `json:"prec,omitempty"`
	ReceivedAt     time.Time                    `json:"rcvd,omitzero"`
	Kind           opinionDoc[incident.Kind]    `json:"kind,omitzero"`
	Channel        opinionDoc[incident.Channel] `json:"chan,omitzero"`
	Target         opinionDoc[incident.Target]  `json:"targ,omitzero"`
	Hurt           incident.Hurt                `json:"hurt,omitempty"`
	DaysUnable     *int                         `json:"days,omitempty"`
	PeopleAffected int                          `json:"ppl,omitempty"`
	Employer       string                       `json:"empl,omitempty"`
	Status         incident.Status              `json:"stat,omitempty"`
	Readings       []readingDoc                 `json:"reads,omitempty"`
	Reports        []filedReportDoc             `json:"reps,omitempty"`
	Timeline       []changeDoc                  `json:"line,omitempty"`
	Lines          []ledgerKeyDoc               `json:"in,omitempty"`
	WrappedKey     []byte                       `json:"key,omitempty"`
	Lesson         lessonDoc                    `json:"les,omitzero"`
}

type lessonDoc struct {
	Published int    `json:"pub,omitempty"`
	Features  []byte `json:"feat,omitempty"`
}

// IsZero has a lesson that says nothing left out.
func (d lessonDoc) IsZero() bool { return d.Published == 0 && len(d.Features) == 0 }

type ledgerKeyDoc struct {
	Month incident.Month `json:"m"`
	Site  string         `json:"s"`
}

type opinionDoc[T ~string] struct {
	Reporter T `json:"r,omitempty"`
	Machine  T `json:"m,omitempty"`
	Reviewer T `json:"v,omitempty"`
}

type readingDoc struct {
	ReportID string       `json:"rep,omitempty"`
	Model    string       `json:"model,omitempty"`
	Kind     judgementDoc `json:"kind,omitzero"`
	Channel  judgementDoc `json:"chan,omitzero"`
	Target   judgementDoc `json:"targ,omitzero"`
	Review   bool         `json:"review,omitempty"`
	Sampled  bool         `json:"sampled,omitempty"`
	At       time.Time    `json:"at,omitzero"`

	SecondChannel judgementDoc   `json:"chan2,omitzero"`
	SeriousThreat judgementDoc   `json:"serious,omitzero"`
	Weapon        judgementDoc   `json:"weapon,omitzero"`
	Basis         []judgementDoc `json:"basis,omitempty"`
}

type judgementDoc struct {
	Value   string             `json:"v,omitempty"`
	P       map[string]float64 `json:"p,omitempty"`
	Reasons []reasonDoc        `json:"why,omitempty"`
}

type reasonDoc struct {
	Start  int     `json:"s,omitempty"`
	End    int     `json:"e,omitempty"`
	Class  string  `json:"c,omitempty"`
	For    string  `json:"f,omitempty"`
	Weight float64 `json:"w,omitempty"`
}

type filedReportDoc struct {
	ID             string                 `json:"id"`
	ReceiptHash    []byte                 `json:"rcpt,omitempty"`
	ReceivedAt     time.Time              `json:"rcvd,omitzero"`
	ContactChoice  incident.ContactChoice `json:"cont,omitempty"`
	Language       string                 `json:"lang,omitempty"`
	SealedWords    []byte                 `json:"words,omitempty"`
	Kind           incident.Kind          `json:"kind,omitempty"`
	Channel        incident.Channel       `json:"chan,omitempty"`
	Target         incident.Target        `json:"targ,omitempty"`
	PressedAt      time.Time              `json:"press,omitzero"`
	FormVersion    string                 `json:"form,omitempty"`
	PeopleAffected int                    `json:"ppl,omitempty"`
	Details        detailsDoc             `json:"more,omitzero"`
}

type detailsDoc struct {
	FiledFor  incident.FiledFor  `json:"for,omitempty"`
	Control   incident.Control   `json:"ctrl,omitempty"`
	Told      incident.Told      `json:"told,omitempty"`
	Exposure  incident.Exposure  `json:"expo,omitempty"`
	Closeness incident.Closeness `json:"near,omitempty"`
}

type changeDoc struct {
	Seq        int             `json:"n"`
	At         time.Time       `json:"at,omitzero"`
	By         actorDoc        `json:"by,omitzero"`
	Action     incident.Action `json:"do,omitempty"`
	Field      string          `json:"f,omitempty"`
	From       string          `json:"from,omitempty"`
	To         string          `json:"to,omitempty"`
	Event      string          `json:"ev,omitempty"`
	SealedNote []byte          `json:"note,omitempty"`
	NoteHash   []byte          `json:"nh,omitempty"`
	Chain      []byte          `json:"ch,omitempty"`
}

type actorDoc struct {
	Role string `json:"r,omitempty"`
	ID   string `json:"id,omitempty"`
	Name string `json:"n,omitempty"`
}

// errMonth refuses what could be written and never read again.
var errMonth = errors.New("a ledger without a month")

// encodeIncident leaves FoldedRev out: it stands in a column of its own.
func encodeIncident(i *incident.Incident) ([]byte, error) {
	if slices.ContainsFunc(i.Lines, func(k incident.LedgerKey) bool { return k.Month.IsZero() }) {
		return nil, errMonth
	}
	return json.Marshal(incidentDoc{
		ID: i.ID, Ref: i.Ref, Rev: i.Rev, Site: i.Site,
		OccurredAt: i.OccurredAt.UTC(), Precision: i.Precision, ReceivedAt: i.ReceivedAt.UTC(),
		Kind:    opinionDoc[incident.Kind](i.Kind),
		Channel: opinionDoc[incident.Channel](i.Channel),
		Target:  opinionDoc[incident.Target](i.Target),
		Hurt:    i.Hurt, DaysUnable: i.DaysUnable, PeopleAffected: i.PeopleAffected, Employer: i.Employer,
		Status:   i.Status,
		Readings: each(i.Readings, toReadingDoc), Reports: each(i.Reports, toFiledReportDoc), Timeline: each(i.Timeline, toChangeDoc),
		Lines:      each(i.Lines, func(k incident.LedgerKey) ledgerKeyDoc { return ledgerKeyDoc(k) }),
		WrappedKey: i.WrappedKey, Lesson: lessonDoc(i.Lesson),
	})
}

func decodeIncident(doc []byte, foldedRev int64) (*incident.Incident, error) {
	var d incidentDoc
	if err := json.Unmarshal(doc, &d); err != nil {
		return nil, err
	}
	return &incident.Incident{
		ID: d.ID, Ref: d.Ref, Rev: d.Rev, FoldedRev: foldedRev, Site: d.Site,
		OccurredAt: d.OccurredAt, Precision: d.Precision, ReceivedAt: d.ReceivedAt,
		Kind:    incident.Opinion[incident.Kind](d.Kind),
		Channel: incident.Opinion[incident.Channel](d.Channel),
		Target:  incident.Opinion[incident.Target](d.Target),
		Hurt:    d.Hurt, DaysUnable: d.DaysUnable, PeopleAffected: d.PeopleAffected, Employer: d.Employer,
		Status:   d.Status,
		Readings: each(d.Readings, toReading), Reports: each(d.Reports, toFiledReport), Timeline: each(d.Timeline, toChange),
		Lines:      each(d.Lines, func(k ledgerKeyDoc) incident.LedgerKey { return incident.LedgerKey(k) }),
		WrappedKey: d.WrappedKey, Lesson: incident.Lesson(d.Lesson),
	}, nil
}

func toReadingDoc(r incident.Reading) readingDoc {
	return readingDoc{
		ReportID: r.ReportID, Model: r.Model,
		Kind: toJudgementDoc(r.Kind), Channel: toJudgementDoc(r.Channel), Target: toJudgementDoc(r.Target),
		Review: r.Review, Sampled: r.Sampled, At: r.At.UTC(),
		SecondChannel: toJudgementDoc(r.SecondChannel), SeriousThreat: toJudgementDoc(r.SeriousThreat), Weapon: toJudgementDoc(r.Weapon),
		Basis: each(r.Basis, toJudgementDoc),
	}
}

func toReading(d readingDoc) incident.Reading {
	return incident.Reading{
		ReportID: d.ReportID, Model: d.Model,
		Kind: toJudgement(d.Kind), Channel: toJudgement(d.Channel), Target: toJudgement(d.Target),
		Review: d.Review, Sampled: d.Sampled, At: d.At,
		SecondChannel: toJudgement(d.SecondChannel), SeriousThreat: toJudgement(d.SeriousThreat), Weapon: toJudgement(d.Weapon),
		Basis: each(d.Basis, toJudgement),
	}
}

func toJudgementDoc(j incident.Judgement) judgementDoc {
	return judgementDoc{j.Value, j.P, each(j.Reasons, func(r incident.Reason) reasonDoc { return reasonDoc(r) })}
}

func toJudgement(d judgementDoc) incident.Judgement {
	return incident.Judgement{
		Value: d.Value, P: d.P,
		Reasons: each(d.Reasons, func(r reasonDoc) incident.Reason { return incident.Reason(r) }),
	}
}

func toFiledReportDoc(r incident.FiledReport) filedReportDoc {
	return filedReportDoc{
		ID: r.ID, ReceiptHash: r.ReceiptHash, ReceivedAt: r.ReceivedAt.UTC(), ContactChoice: r.ContactChoice, Language: r.Language,
		SealedWords: r.SealedWords, Kind: r.Kind, Channel: r.Channel, Target: r.Target, PressedAt: r.PressedAt.UTC(),
		FormVersion: r.FormVersion, PeopleAffected: r.PeopleAffected, Details: detailsDoc(r.Details),
	}
}

func toFiledReport(d filedReportDoc) incident.FiledReport {
	return incident.FiledReport{
		ID: d.ID, ReceiptHash: d.ReceiptHash, ReceivedAt: d.ReceivedAt, ContactChoice: d.ContactChoice, Language: d.Language,
		SealedWords: d.SealedWords, Kind: d.Kind, Channel: d.Channel, Target: d.Target, PressedAt: d.PressedAt,
		FormVersion: d.FormVersion, PeopleAffected: d.PeopleAffected, Details: incident.Details(d.Details),
	}
}

func toChangeDoc(c incident.Change) changeDoc {
	return changeDoc{c.Seq, c.At.UTC(), actorDoc(c.By), c.Action, c.Field, c.From, c.To, c.Event, c.SealedNote, c.NoteHash, c.Chain}
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

type pendingDoc struct {
	ReportID string    `json:"rep"`
	Subject  string    `json:"subj"`
	Seq      uint64    `json:"seq"`
	Data     []byte    `json:"data,omitempty"`
	At       time.Time `json:"at,omitzero"`
}

type userDoc struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Role         store.Role `json:"role"`
	Sites        []string   `json:"sites,omitempty"`
	PasswordHash string     `json:"pass,omitempty"`
	Disabled     bool       `json:"off,omitempty"`
	CreatedAt    time.Time  `json:"made,omitzero"`
	Rev          int64      `json:"rev,omitempty"`
}

type tokenDoc struct {
	ID        string     `json:"id"`
	Label     string     `json:"label,omitempty"`
	Hash      []byte     `json:"hash"`
	Role      store.Role `json:"role"`
	Sites     []string   `json:"sites,omitempty"`
	CreatedAt time.Time  `json:"made,omitzero"`
	Revoked   bool       `json:"off,omitempty"`
}

type sessionDoc struct {
	Hash      []byte    `json:"hash"`
	UserID    string    `json:"user"`
	CreatedAt time.Time `json:"made,omitzero"`
	SeenAt    time.Time `json:"seen,omitzero"`
}

type siteDoc struct {
	ID       string `json:"id"`
	Name     string `json:"name,omitempty"`
	Kind     string `json:"kind,omitempty"`
	Postcode string `json:"post,omitempty"`
	Region   string `json:"reg,omitempty"`
	Employer string `json:"empl,omitempty"`
	Staff    int    `json:"staff,omitempty"`

	CodeGeneration int `json:"code,omitempty"`
}

type quarantinedDoc struct {
	Subject    string    `json:"subj"`
	Seq        uint64    `json:"seq"`
	Data       []byte    `json:"data,omitempty"`
	Cause      string    `json:"cause,omitempty"`
	At         time.Time `json:"at,omitzero"`
	ReplayedAt time.Time `json:"again,omitzero"`
}

// photoDoc leaves the bytes out: they stand in a column of their own.
type photoDoc struct {
	ID          string          `json:"id"`
	IncidentID  string          `json:"inc,omitempty"`
	ReportID    string          `json:"rep,omitempty"`
	Kind        store.PhotoKind `json:"kind,omitempty"`
	ContentType string          `json:"type,omitempty"`
	Size        int             `json:"size,omitempty"`
	Width       int             `json:"w,omitempty"`
	Height      int             `json:"h,omitempty"`
	SHA256      []byte          `json:"sha256,omitempty"`
	CreatedAt   time.Time       `json:"made,omitzero"`
	Sealed      []byte          `json:"-"`
}

// editionDoc leaves out what has a column of its own.
type editionDoc struct {
	PublishedAt time.Time `json:"at,omitzero"`
	By          string    `json:"by,omitempty"`
	MAC         []byte    `json:"mac,omitempty"`
}

// decode reads a stored form.
func decode[D any](doc []byte) (D, error) {
	var d D
	err := json.Unmarshal(doc, &d)
	return d, err
}
