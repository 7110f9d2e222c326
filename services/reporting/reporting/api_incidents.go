package reporting

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
)

// incidentList is the answer of GET /api/v1/incidents.
type incidentList struct {
	Incidents []incidentItem `json:"incidents"`
	Next      *string        `json:"next"` // the cursor of the next page; null at the end
}

// incidentItem is an incident without anybody's words.
type incidentItem struct {
	ID         string             `json:"id"`
	Ref        string             `json:"ref"`
	Site       string             `json:"site"`
	SiteName   string             `json:"site_name,omitempty"` // of the directory
	OccurredAt time.Time          `json:"occurred_at"`
	Precision  incident.Precision `json:"precision"`
	ReceivedAt time.Time          `json:"received_at"`
	Month      incident.Month     `json:"month"`
	Kind       opinionItem        `json:"kind"`
	Channel    opinionItem        `json:"channel"`
	Target     opinionItem        `json:"target"`
	Status     incident.Status    `json:"status"`
	Hurt       incident.Hurt      `json:"hurt"`
	Review     bool               `json:"review"`
	Nothing    bool               `json:"nothing_happened"` // a reporter says so
	Reports    int                `json:"reports"`
	Rev        int64              `json:"rev"`
}

// opinionItem is what counts, whose word that is, and what each party says.
type opinionItem struct {
	Value    string          `json:"value"`
	SetBy    incident.Setter `json:"set_by"` // "": nobody knows, or it does not apply to a hazard
	Reporter string          `json:"reporter"`
	Machine  string          `json:"machine"`
	Reviewer string          `json:"reviewer"`
}

func opinionItemOf[T ~string](o incident.Opinion[T], counts T) opinionItem {
	value, by := o.Value()
	if value != counts {
		by = incident.SetByNobody
	}
	return opinionItem{string(counts), by, string(o.Reporter), string(o.Machine), string(o.Reviewer)}
}

func itemOf(i *incident.Incident, sites *directory) incidentItem {
	d := i.Dims()
	return incidentItem{
		ID: i.ID, Ref: i.Ref, Site: i.Site, SiteName: sites.byID[i.Site].Name,
		OccurredAt: i.OccurredAt, Precision: i.Precision, ReceivedAt: i.ReceivedAt, Month: i.Month(),
		Kind: opinionItemOf(i.Kind, d.Kind), Channel: opinionItemOf(i.Channel, d.Channel), Target: opinionItemOf(i.Target, d.Target),
		Status: i.Status, Hurt: i.Hurt, Review: i.NeedsReview(), Nothing: i.NothingHappened(), Reports: len(i.Reports), Rev: i.Rev,
	}
}

// incidentDetail is the answer of GET /api/v1/incidents/{id}: for reps of its site.
type incidentDetail struct {
	incidentItem
	DaysUnable     *int         `json:"days_unable"`
	PeopleAffected int          `json:"people_affected"` // 0: not said
	Employer       string       `json:"employer,omitempty"`
	WordsErased    bool         `json:"words_erased,omitempty"`
	Words          []wordsItem  `json:"words"` // in the order of reports
	Photos         []photoItem  `json:"photos"`
	Reading        *readingItem `json:"reading"`
	Timeline       []changeItem `json:"timeline"`
}

// wordsItem is what one reporter wrote. Who they are is there only when they
// agreed that a rep may know.
type wordsItem struct {
	ReceivedAt    time.Time              `json:"received_at"`
	Language      string                 `json:"language,omitempty"`
	Narrative     string                 `json:"narrative"`
	SiteName      string                 `json:"site_name,omitempty"`
	Employer      string                 `json:"employer,omitempty"`
	ContactChoice incident.ContactChoice `json:"contact_choice"`
	Contact       *contactItem           `json:"contact,omitempty"`

	FiledFor  incident.FiledFor  `json:"filed_for,omitempty"` // these five where the reporter answered
	Control   incident.Control   `json:"control,omitempty"`
	Told      incident.Told      `json:"manager_told,omitempty"`
	Exposure  incident.Exposure  `json:"exposure,omitempty"`
	Closeness incident.Closeness `json:"exposure_closeness,omitempty"`
}

type contactItem struct {
	Name    string `json:"name"`
	Details string `json:"details"`
}

type readingItem struct {
	Model   string        `json:"model"`
	At      time.Time     `json:"at"`
	Review  bool          `json:"review"`
	Sampled bool          `json:"sampled"`
	Kind    judgementItem `json:"kind"`
	Channel judgementItem `json:"channel"`
	Target  judgementItem `json:"target"`

	SecondChannel *judgementItem  `json:"second_channel,omitempty"` // these four not from older models
	SeriousThreat *judgementItem  `json:"serious_threat,omitempty"`
	Weapon        *judgementItem  `json:"weapon,omitempty"`
	Basis         []judgementItem `json:"basis,omitempty"`
}

type judgementItem struct {
	Value   string             `json:"value"`
	P       map[string]float64 `json:"p"`
	Reasons []reasonItem       `json:"why"`
}

type reasonItem struct {
	Words  string  `json:"words,omitempty"`
	Class  string  `json:"class"`
	For    string  `json:"for"`
	Weight float64 `json:"weight"` // natural-log odds
}

type changeItem struct {
	Seq    int             `json:"seq"`
	At     time.Time       `json:"at"`
	By     byItem          `json:"by"`
	Action incident.Action `json:"action"`
	Field  string          `json:"field,omitempty"`
	From   string          `json:"from,omitempty"`
	To     string          `json:"to,omitempty"`
	Note   string          `json:"note,omitempty"`
}

type byItem struct {
	Role string `json:"role"`
	Name string `json:"name,omitempty"`
}

// listIncidentsAPI answers GET /api/v1/incidents.
func (s *Service) listIncidentsAPI(c *fiber.Ctx) error {
	q, err := queryOf(c, unreadableQuery)
	if err != nil {
		return err
	}
	f, err := readFilter(q, sitesOf(asker(c)), nil)
	if err != nil {
		return err
	}
	list := s.store.ListIncidents
	if f.Review {
		list = s.listReview
	}
	found, next, err := list(c.UserContext(), f)
	if err != nil {
		return err
	}
	answer := incidentList{Incidents: make([]incidentItem, len(found))}
	for n, i := range found {
		answer.Incidents[n] = itemOf(i, s.directory.Load())
	}
	if next != "" {
		answer.Next = &next
	}
	return c.JSON(answer)
}

// getIncidentAPI answers GET /api/v1/incidents/{id}, with the revision as ETag.
func (s *Service) getIncidentAPI(c *fiber.Ctx) error {
	i, _, err := s.visible(c)
	if err != nil {
		return err
	}
	return s.sendIncident(c, i)
}

func (s *Service) sendIncident(c *fiber.Ctx, i *incident.Incident) error {
	words, err := s.cases.Words(i)
	if err != nil {
		return err
	}
	photos, err := s.cases.Photos(c.UserContext(), i)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderETag, etag(i.Rev))
	detail := detailOf(i, words, s.directory.Load())
	detail.Photos = photoItems(photos)
	return c.JSON(detail)
}

func detailOf(i *incident.Incident, words *casework.Words, sites *directory) incidentDetail {
	d := incidentDetail{incidentItem: itemOf(i, sites), DaysUnable: i.DaysUnable, PeopleAffected: i.PeopleAffected, Employer: i.Employer,
		WordsErased: words.Erased, Words: []wordsItem{}, Timeline: make([]changeItem, len(i.Timeline))}
	for n, w := range words.Reports {
		r := i.Reports[n]
		item := wordsItem{ReceivedAt: r.ReceivedAt, Language: r.Language, Narrative: w.Narrative, SiteName: w.SiteName, Employer: w.Employer, ContactChoice: r.ContactChoice,
			FiledFor: r.Details.FiledFor, Control: r.Details.Control, Told: r.Details.Told, Exposure: r.Details.Exposure, Closeness: r.Details.Closeness}
		if w.ContactName != "" || w.ContactDetails != "" {
			item.Contact = &contactItem{w.ContactName, w.ContactDetails}
		}
		d.Words = append(d.Words, item)
	}
	if r := newest(i); r.Model != "" {
		text := readText(i, words)
		d.Reading = &readingItem{
			Model: r.Model, At: r.At, Review: r.Review, Sampled: r.Sampled,
			Kind: judgementOf(r.Kind, text), Channel: judgementOf(r.Channel, text), Target: judgementOf(r.Target, text),
			SecondChannel: besides(r.SecondChannel, text), SeriousThreat: besides(r.SeriousThreat, text), Weapon: besides(r.Weapon, text),
		}
		for _, j := range r.Basis {
			d.Reading.Basis = append(d.Reading.Basis, judgementOf(j, text))
		}
	}
	for n, ch := range i.Timeline {
		d.Timeline[n] = changeItem{ch.Seq, ch.At, byItem{ch.By.Role, ch.By.Name}, ch.Action, ch.Field, ch.From, ch.To, words.Notes[ch.Seq]}
	}
	return d
}

// besides returns a judgement that not every model makes, or nil.
func besides(j incident.Judgement, text string) *judgementItem {
	if j.Value == "" && len(j.P) == 0 {
		return nil
	}
	item := judgementOf(j, text)
	return &item
}

func judgementOf(j incident.Judgement, text string) judgementItem {
	item := judgementItem{j.Value, j.P, make([]reasonItem, len(j.Reasons))}
	if item.P == nil {
		item.P = map[string]float64{}
	}
	for n, r := range j.Reasons {
		item.Reasons[n] = reasonItem{Class: r.Class, For: r.For, Weight: r.Weight}
		if isSpan(text, r.Start, r.End) {
			item.Reasons[n].Words = text[r.Start:r.End]
		}
	}
	return item
}

// changeIncidentAPI answers POST /api/v1/incidents/{id}/{action} with the
// incident as it stands then. If-Match must name the revision that was read.
func (s *Service) changeIncidentAPI(action string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		i, who, err := s.visible(c)
		if err != nil {
			return err
		}
		rev, err := ifMatch(c.Get(fiber.HeaderIfMatch))
		if err != nil {
			return err
		}
		e, err := readBody(c, action)
		if err != nil {
			return err
		}
		if i, err = s.apply(c.UserContext(), action, i.ID, rev, actorOf(who), e); err != nil {
			return err
		}
		return s.sendIncident(c, i)
	}
}

func etag(rev int64) string { return `"` + strconv.FormatInt(rev, 10) + `"` }

// ifMatch reads the revision a client read. A weak tag never matches (RFC 9110
// section 13.1.1); "*" and lists would not say which revision was seen.
func ifMatch(header string) (int64, error) {
	if header == "" {
		return 0, fault.New(fault.PreconditionRequired, "precondition_required", `Send the revision you read as If-Match, as it stands in the ETag: If-Match: "3".`)
	}
	rev, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(header, `"`), `"`), 10, 64)
	if err != nil || header != etag(rev) {
		return 0, fault.New(fault.Malformed, "malformed", `If-Match must be one revision in quotes, as it stands in the ETag: If-Match: "3".`)
	}
	return rev, nil
}

// Bodies of the changes. Fields that are left out say nothing.
type (
	noBody     struct{}
	statusBody struct {
		Status string `json:"status"`
	}
	noteBody struct {
		Note string `json:"note"`
	}
	messageBody struct {
		Message string `json:"message"`
		Report  *int   `json:"report"`
	}
	questionBody struct {
		Question string `json:"question"`
		Report   *int   `json:"report"`
	}
	closeBody struct {
		Fixed  *bool  `json:"fixed"`
		Reason string `json:"reason"`
	}
	reasonBody struct {
		Reason string `json:"reason"`
	}
	classifyBody struct {
		Kind           string `json:"kind"`
		Channel        string `json:"channel"`
		Target         string `json:"target"`
		Site           string `json:"site"`
		OccurredAt     string `json:"occurred_at"`
		Precision      string `json:"occurred_precision"`
		Hurt           string `json:"hurt"`
		PeopleAffected *int   `json:"people_affected"`
		Reason         string `json:"reason"`
	}
)

// readBody reads an action's JSON body into an edit.
func readBody(c *fiber.Ctx, action string) (edit, error) {
	var e edit
	var err error
	switch action {
	case "acknowledge":
		if len(bytes.TrimSpace(c.Request().Body())) > 0 {
			err = decode(c, &noBody{})
		}
	case "status":
		var b statusBody
		err = decode(c, &b)
		e = edit{Status: b.Status}
	case "note":
		var b noteBody
		err = decode(c, &b)
		e = edit{Note: b.Note}
	case "message":
		var b messageBody
		err = decode(c, &b)
		e = edit{Message: b.Message, Report: written(b.Report)}
	case "ask":
		var b questionBody
		err = decode(c, &b)
		e = edit{Question: b.Question, Report: written(b.Report)}
	case "close":
		var b closeBody
		err = decode(c, &b)
		e = edit{Reason: b.Reason}
		if b.Fixed != nil {
			e.Fixed = strconv.FormatBool(*b.Fixed)
		}
	case "reopen", "set-aside", "take-back":
		var b reasonBody
		err = decode(c, &b)
		e = edit{Reason: b.Reason}
	case "classify":
		var b classifyBody
		err = decode(c, &b)
		e = edit{Kind: b.Kind, Channel: b.Channel, Target: b.Target, Site: b.Site, OccurredAt: b.OccurredAt, Precision: b.Precision, Hurt: b.Hurt, Reason: b.Reason}
		e.PeopleAffected = written(b.PeopleAffected)
	}
	return e, err
}

// written returns a number as a form would send it, "" for none.
func written(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

// decode reads one JSON object and nothing after it. The cause may quote what
// somebody wrote, so only its place is told.
func decode(c *fiber.Ctx, into any) error {
	if t, _, err := mime.ParseMediaType(c.Get(fiber.HeaderContentType)); err != nil || t != fiber.MIMEApplicationJSON {
		return fault.New(fault.UnsupportedMedia, "unsupported_media", "Send JSON, with Content-Type: application/json.")
	}
	d := json.NewDecoder(bytes.NewReader(c.Request().Body()))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			return fault.New(fault.Malformed, "malformed", "There is something after the JSON object.")
		}
		return nil
	}
	var wrongType *json.UnmarshalTypeError
	switch field, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return fault.InvalidFields([]fault.Field{{Name: wrongType.Field, Message: fmt.Sprintf("Must be %s in JSON.", jsonType(wrongType))}})
	case unknown:
		name, _ := strconv.Unquote(field)
		return fault.InvalidFields([]fault.Field{{Name: clip(name), Message: "There is no such field."}})
	}
	return fault.New(fault.Malformed, "malformed", fmt.Sprintf("The body is not a JSON object; the mistake is at byte %d.", d.InputOffset()))
}

func jsonType(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "bool":
		return "true or false"
	case "int":
		return "a whole number"
	}
	return "a string"
}
