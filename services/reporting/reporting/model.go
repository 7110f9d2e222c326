package reporting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
)

const modelPath = "/model/"

// modelPatience is how long the page waits for the classifier.
const modelPatience = 3 * time.Second

// modelPage is what the machine says about itself.
type modelPage struct {
	Away     bool
	Retry    string // this page's own address
	Other    string // the reading somebody came from is of another model
	Model    string
	Learned  string
	Does     []string
	Never    []string
	Measured []measuredView
	Checked  *checkedView // for reps
	Rules    []ruleView
	Corpus   string
}

type measuredView struct {
	Name, About string
	Rows        []qualityRow
	Off         string
}

type qualityRow struct{ What, Share, Interval, Count string }

type ruleView struct {
	incident.RuleBlock
	Caption string
}

// modelToken is what a model's name may be in an address.
var modelToken = regexp.MustCompile(`^[a-z0-9_-]{1,64}$`)

// modelLink returns the address of the model's page for a reading.
func modelLink(i *incident.Incident) string {
	return modelPath + "?" + url.Values{"reading": {newest(i).Model}, "incident": {i.ID}}.Encode()
}

// showModel shows GET /model/: what the machine that reads reports does, never
// does, and how well it was measured to do it.
func (s *Service) showModel(c *fiber.Ctx) error {
	page := web.Page{Title: "The machine that reads reports", Section: incidentsPath, Back: s.backFromModel(c)}
	card, err := s.modelCard(c.UserContext())
	if err != nil {
		s.log.Warn("the classifier did not say what it reads with", "error", err)
		web.SetRetryAfter(c, fault.As(err))
		page.Data = modelPage{Away: true, Retry: modelPath + "?" + c.Context().QueryArgs().String()}
		return s.pages.Render(c, http.StatusServiceUnavailable, "model", page)
	}
	data := modelPageOf(card)
	if from := c.Query("reading"); modelToken.MatchString(from) && from != card.Model {
		data.Other = from
	}
	if who := asker(c); who.Role == web.RoleRep {
		if data.Checked, err = s.checked(c.UserContext(), sitesOf(who), card.Model); err != nil {
			return err
		}
	}
	page.Data = data
	return s.pages.Render(c, http.StatusOK, "model", page)
}

// backFromModel leads a rep to the incident they came from, and others to what
// they may see.
func (s *Service) backFromModel(c *fiber.Ctx) web.Link {
	if asker(c).Role != web.RoleRep {
		return web.Link{Href: "/figures/", Text: "Figures"}
	}
	if id := c.Query("incident"); incidentID.MatchString(id) {
		return web.Link{Href: incidentsPath + id, Text: "Back to the incident"}
	}
	return web.Link{Href: incidentsPath, Text: "Incidents"}
}

var incidentID = regexp.MustCompile(`^[0-9a-f-]{36}$`)

// modelCard asks the classifier for its card. The error is fault.Unavailable
// when it is away, or says what nobody can make sense of.
func (s *Service) modelCard(ctx context.Context) (incident.ModelCard, error) {
	ctx, cancel := context.WithTimeout(ctx, modelPatience)
	defer cancel()
	answer, err := s.bus.Request(ctx, bus.SubjectModelCard, nil)
	if err != nil {
		return incident.ModelCard{}, err
	}
	var card incident.ModelCard
	if err = json.Unmarshal(answer, &card); err == nil && card.Model == "" {
		err = errors.New("the card names no model")
	}
	if err != nil {
		return incident.ModelCard{}, fault.New(fault.Unavailable, "model_unavailable", "The machine did not say what it reads with.").Retry(modelPatience).Because(err)
	}
	return card, nil
}

func modelPageOf(card incident.ModelCard) modelPage {
	p := modelPage{Model: card.Model, Corpus: card.Corpus, Does: card.Does, Never: card.Never,
		Learned: fmt.Sprintf("It learned from %s example reports, written for this purpose. No report that anybody filed is among them.", number(card.Examples))}
	if card.Corrections > 0 {
		p.Learned = fmt.Sprintf("It learned from %s examples: %s reps’ corrections, kept without their words; the others were written for this purpose.", number(card.Examples), number(card.Corrections))
	}
	for _, m := range card.Measured {
		v := measuredView{Name: fmt.Sprintf("%s: %s", m.Name, count(m.Texts, "text", "texts")), About: m.About, Off: offWords(m.Off)}
		for _, q := range m.Shares {
			v.Rows = append(v.Rows, qualityRowOf(q))
		}
		p.Measured = append(p.Measured, v)
	}
	for _, b := range card.Rules {
		p.Rules = append(p.Rules, ruleViewOf(b))
	}
	return p
}

func qualityRowOf(q incident.Quality) qualityRow {
	row := qualityRow{What: q.What, Share: "–", Count: fmt.Sprintf("%s of %s", number(q.N), number(q.Of)),
		Interval: fmt.Sprintf("%s to %s", shareWord(q.Low), shareWord(q.High))}
	if q.Of > 0 {
		row.Share = shareWord(float64(q.N) / float64(q.Of))
	}
	if q.Value != "" {
		row.What += " (" + lowered(ruleWord(q.Field, q.Value)) + ")"
	}
	return row
}

func shareWord(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + "%" }

// offWords says how far the probabilities are from what came true, and how much
// of that so few texts show anyway.
func offWords(all []incident.Calibration) string {
	var words, chance []string
	for _, c := range all {
		words = append(words, fmt.Sprintf("%.1f points for %s", 100*c.Off, fieldNames[c.Field]))
		if c.Chance > 0 {
			chance = append(chance, fmt.Sprintf("%.1f", 100*c.Chance))
		}
	}
	if len(words) == 0 {
		return ""
	}
	said := "How sure it said it was, and how often it was right, were apart by " + list(words) + " on average."
	if len(chance) < len(words) {
		return said
	}
	return said + " If every probability were exactly true, so many texts would still show " + list(chance) + " by chance."
}

var fieldNames = map[string]string{"kind": "what happened", "channel": "how it reached staff", "target": "whom it was aimed at"}

// ruleViewOf gives a table's values the words that pages use for them.
func ruleViewOf(b incident.RuleBlock) ruleView {
	v := ruleView{RuleBlock: b}
	if len(b.Head) == 0 {
		return v
	}
	field := b.Head[0]
	if v.Caption = capital(fieldNames[field]); v.Caption == "" {
		return v
	}
	v.Head = []string{"Answer", "Means"}
	v.Rows = make([][]string, len(b.Rows))
	for n, row := range b.Rows {
		v.Rows[n] = append([]string{ruleWord(field, row[0])}, row[1:]...)
	}
	return v
}

// ruleWord returns the words for a field's value.
func ruleWord(field, value string) string {
	switch value {
	case "unknown":
		return "Could not tell"
	case "not_applicable":
		return "Does not apply"
	}
	return valueWord(field, value)
}
