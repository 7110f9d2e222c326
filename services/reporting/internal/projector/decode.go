package projector

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

// event is a delivery that was read and found valid.
type event struct {
	bus.Delivery
	kind     string // bus.TypeFiled and so on
	reportID string
	at       time.Time // when its producer made it, to the millisecond

	carries carried   // its photos
	settled []carried // those of what had waited for its report

	// One of these, by kind.
	filed   *filed
	reading *incident.Reading
	added   *added
}

// filed is a report with its words open.
type filed struct {
	report      incident.Report
	receiptHash []byte
	words       []byte // ReportWords as they were sealed; nil when there are none
}

// added is what the holder of the receipt added.
type added struct {
	id      string
	what    onrecordv1.Addition
	text    string
	photos  int
	contact incident.Contact // with ADDITION_CONTACT
}

// The limits on strings that only machines write.
const (
	maxModel = 100 // characters
	maxClass = 100
)

// decoder reads deliveries. Its errors say what is wrong and never quote what
// was sent.
type decoder struct{ keyring *seal.Keyring }

// decode returns the event of a delivery, or an error when it is not one this
// version understands. The same delivery always gives the same answer.
func (dec decoder) decode(d bus.Delivery) (event, error) {
	kind, tokens, err := parseSubject(d.Subject)
	if err != nil {
		return event{}, err
	}
	var env onrecordv1.Envelope
	if err := proto.Unmarshal(d.Data, &env); err != nil {
		return event{}, errors.New("not a protobuf envelope")
	}
	if env.GetType() != kind {
		return event{}, errors.New("the envelope's type is not the subject's")
	}
	if !env.GetTime().IsValid() {
		return event{}, errors.New("the envelope has no time")
	}
	ev := event{Delivery: d, kind: kind, reportID: tokens[0], at: milliseconds(env.GetTime().AsTime())}
	var about string
	switch kind {
	case bus.TypeFiled:
		about = env.GetReportFiled().GetReportId()
		if ev.filed, err = dec.filed(env.GetReportFiled()); err == nil {
			ev.carries, err = dec.photos(env.GetReportFiled(), ev.reportID, "", ev.at)
		}
	case bus.TypeClassified:
		about = env.GetReportClassified().GetReportId()
		ev.reading, err = reading(env.GetReportClassified(), ev.at)
	case bus.TypeAdded:
		about = env.GetReportAdded().GetReportId()
		ev.added, err = dec.added(env.GetReportAdded())
		if err == nil && ev.added.id != tokens[1] {
			err = errors.New("the addition's id is not the subject's")
		}
		if err == nil {
			ev.carries, err = dec.photos(env.GetReportAdded(), ev.reportID, ev.added.id, ev.at)
		}
	}
	if err == nil && about != ev.reportID {
		err = errors.New("the report's id is not the subject's")
	}
	return ev, err
}

// parseSubject returns the type of event and the tokens after it, of which the
// first is a report's id.
func parseSubject(subject string) (kind string, tokens []string, err error) {
	for kind, want := range map[string]int{bus.TypeFiled: 1, bus.TypeClassified: 2, bus.TypeAdded: 2} {
		if rest, ok := strings.CutPrefix(subject, kind+"."); ok {
			tokens = strings.Split(rest, ".")
			if len(tokens) != want || !incident.IsReportID(tokens[0]) {
				return "", nil, errors.New("the subject names no report")
			}
			return kind, tokens, nil
		}
	}
	return "", nil, errors.New("the subject is of no known type")
}

// filed converts a filed report to the domain's, its words open.
func (dec decoder) filed(ev *onrecordv1.ReportFiled) (*filed, error) {
	if ev == nil {
		return nil, errors.New("the envelope holds no filed report")
	}
	if len(ev.GetReceiptHash()) != 32 {
		return nil, errors.New("the receipt hash is not of 32 bytes")
	}
	plain, err := dec.open(ev.GetWrappedKey(), ev.GetSealedWords(), ev.GetReportId(), "words")
	if err != nil {
		return nil, err
	}
	var words onrecordv1.ReportWords
	if err := proto.Unmarshal(plain, &words); err != nil {
		return nil, errors.New("the words are not protobuf")
	}
	occurred, err := optionalTime(ev.GetOccurredAt())
	if err != nil {
		return nil, fmt.Errorf("occurred_at: %w", err)
	}
	pressed, err := optionalTime(ev.GetPressedAt())
	if err != nil {
		return nil, fmt.Errorf("pressed_at: %w", err)
	}
	r := incident.Report{
		ID:             ev.GetReportId(),
		Site:           ev.GetSite(),
		SiteName:       words.GetSiteName(),
		OccurredAt:     occurred,
		Precision:      incident.Precision(ev.GetOccurredPrecision()),
		PressedAt:      pressed,
		Kind:           incident.Kind(ev.GetKind()),
		Channel:        incident.Channel(ev.GetChannel()),
		Target:         incident.Target(ev.GetTarget()),
		Narrative:      words.GetNarrative(),
		Hurt:           incident.Hurt(ev.GetHurt()),
		PeopleAffected: int(ev.GetPeopleAffected()),
		Employer:       cmp.Or(ev.GetEmployer(), words.GetEmployer()),
		Contact: incident.Contact{
			Choice:  incident.ContactChoice(ev.GetContactChoice()),
			Name:    words.GetContactName(),
			Details: words.GetContactDetails(),
		},
		Details: incident.Details{
			FiledFor:  incident.FiledFor(ev.GetFiledFor()),
			Control:   incident.Control(ev.GetControl()),
			Told:      incident.Told(ev.GetManagerTold()),
			Exposure:  incident.Exposure(ev.GetExposure()),
			Closeness: incident.Closeness(ev.GetExposureCloseness()),
		},
		Language:    ev.GetLanguage(),
		FormVersion: ev.GetFormVersion(),
	}
	if ev.DaysUnable != nil {
		days := int(ev.GetDaysUnable())
		r.DaysUnable = &days
	}
	// Intake held the times against its own clock, and sites come and go: here
	// only what can never be right is refused.
	anySite := func(string) bool { return true }
	if err := r.Validate(anySite, r.OccurredAt); err != nil {
		return nil, fields(err)
	}
	return &filed{report: r, receiptHash: ev.GetReceiptHash(), words: plain}, nil
}

// reading converts a classification to the domain's. At is when the stream
// stored it: of two readings, the later one counts.
func reading(ev *onrecordv1.ReportClassified, at time.Time) (*incident.Reading, error) {
	if ev == nil {
		return nil, errors.New("the envelope holds no classification")
	}
	if ev.GetModelVersion() == "" || incident.CheckText("", ev.GetModelVersion(), maxModel) != "" {
		return nil, errors.New("model_version is missing or malformed")
	}
	r := &incident.Reading{ReportID: ev.GetReportId(), Model: ev.GetModelVersion(), Review: ev.GetReview(), Sampled: ev.GetReview() && ev.GetSampled(), At: at}
	flag := func(v string) bool { return incident.Flag(v).Valid() }
	channel := func(v string) bool { return incident.Channel(v).Valid() }
	for _, f := range []struct {
		name     string
		from     *onrecordv1.Judgement
		to       *incident.Judgement
		ok       func(string) bool
		optional bool // older models do not say
	}{
		{"kind", ev.GetKind(), &r.Kind, func(v string) bool { return incident.Kind(v).Valid() }, false},
		{"channel", ev.GetChannel(), &r.Channel, channel, false},
		{"target", ev.GetTarget(), &r.Target, func(v string) bool { return incident.Target(v).Valid() }, false},
		{"second_channel", ev.GetSecondChannel(), &r.SecondChannel, func(v string) bool { return v == "" || channel(v) }, true},
		{"serious_threat", ev.GetSeriousThreat(), &r.SeriousThreat, flag, true},
		{"weapon", ev.GetWeapon(), &r.Weapon, flag, true},
	} {
		if f.optional && f.from == nil {
			continue
		}
		var err error
		if *f.to, err = judgement(f.from, f.ok); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if len(ev.GetBasis()) > len(incident.Bases) {
		return nil, errors.New("basis: more than there are")
	}
	for _, from := range ev.GetBasis() {
		basis, err := judgement(from, func(v string) bool { return incident.Basis(v).Valid() })
		if err != nil {
			return nil, fmt.Errorf("basis: %w", err)
		}
		r.Basis = append(r.Basis, basis)
	}
	return r, nil
}

func judgement(j *onrecordv1.Judgement, valid func(string) bool) (incident.Judgement, error) {
	got := incident.Judgement{Value: j.GetValue(), P: make(map[string]float64, len(j.GetProbabilities()))}
	if !valid(got.Value) {
		return got, errors.New("not a value of the taxonomy")
	}
	for _, p := range j.GetProbabilities() {
		if !valid(p.GetValue()) || !(p.GetP() >= 0 && p.GetP() <= 1+1e-9) {
			return got, errors.New("not a probability of a value of the taxonomy")
		}
		got.P[p.GetValue()] = p.GetP()
	}
	for _, r := range j.GetReasons() {
		if r.GetStart() > r.GetEnd() || r.GetEnd() > 4*incident.MaxNarrative || math.IsNaN(r.GetWeight()) || math.IsInf(r.GetWeight(), 0) ||
			incident.CheckText("", r.GetClass(), maxClass) != "" || r.GetFor() != "" && !valid(r.GetFor()) {
			return got, errors.New("a reason is malformed")
		}
		got.Reasons = append(got.Reasons, incident.Reason{Start: int(r.GetStart()), End: int(r.GetEnd()), Class: r.GetClass(), For: r.GetFor(), Weight: r.GetWeight()})
	}
	return got, nil
}

// added converts an addition, its words open.
func (dec decoder) added(ev *onrecordv1.ReportAdded) (*added, error) {
	if ev == nil {
		return nil, errors.New("the envelope holds no addition")
	}
	if !incident.IsReportID(ev.GetAdditionId()) {
		return nil, errors.New("the addition's id is not a UUID version 7")
	}
	plain, err := dec.open(ev.GetWrappedKey(), ev.GetSealedWords(), ev.GetReportId(), ev.GetAdditionId(), "added")
	if err != nil {
		return nil, err
	}
	var words onrecordv1.AddedWords
	if err := proto.Unmarshal(plain, &words); err != nil {
		return nil, errors.New("the words are not protobuf")
	}
	a := &added{id: ev.GetAdditionId(), what: ev.GetAddition(), text: incident.CleanText(words.GetText()), photos: len(ev.GetPhotos())}
	if incident.CheckText("", a.text, incident.MaxNote) != "" {
		return nil, errors.New("the words are too long or hold control characters")
	}
	switch a.what {
	case onrecordv1.Addition_ADDITION_CONTACT:
		a.contact = incident.Contact{Choice: incident.ContactChoice(ev.GetContactChoice()), Name: incident.CleanText(words.GetContactName()), Details: incident.CleanText(words.GetContactDetails())}
		if incident.CheckContact(a.contact) != nil {
			return nil, errors.New("who may know is not said as it must be")
		}
		return a, nil
	case onrecordv1.Addition_ADDITION_NOTHING_HAPPENED, onrecordv1.Addition_ADDITION_WITHDRAWN:
		return a, nil
	case onrecordv1.Addition_ADDITION_WORDS:
		if a.text == "" && a.photos == 0 {
			return nil, errors.New("words were added, and there are none")
		}
		return a, nil
	}
	return nil, errors.New("not a known addition")
}

// open returns sealed words, or nil when there are none.
func (dec decoder) open(wrappedKey, sealed []byte, place ...string) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	key, err := dec.keyring.Unwrap(wrappedKey)
	if err != nil {
		return nil, err
	}
	return key.Open(sealed, place...)
}

func optionalTime(t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, errors.New("not a time")
	}
	return milliseconds(t.AsTime()), nil
}

// milliseconds returns t as every store can keep it.
func milliseconds(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// fields returns the names of the fields that err complains about, without
// the messages: they may describe what was written.
func fields(err error) error {
	var names []string
	for _, f := range fault.As(err).Fields {
		names = append(names, f.Name)
	}
	return fmt.Errorf("not a valid report: %s", strings.Join(names, ", "))
}
