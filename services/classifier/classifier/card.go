package classifier

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/classifier/internal/evaluation"
	"github.com/onrecord/onrecord/services/classifier/internal/reading"
	"github.com/onrecord/onrecord/services/classifier/internal/training"
)

// answerCard tells whoever asks about the model that reports are read with,
// until ctx is done. A reader that is no trained model has nothing to tell.
func (s *Service) answerCard(ctx context.Context) error {
	return s.Bus.Answer(ctx, bus.SubjectModelCard, bus.ConsumerClassifier, func(context.Context, []byte) []byte {
		m, ok := s.Reader().(*reading.Model)
		if !ok {
			return nil
		}
		card, err := cardOf(m)
		var answer []byte
		if err == nil {
			answer, err = json.Marshal(card)
		}
		if err != nil {
			s.Log.Error("the model's card cannot be made", "model", m.Version(), "error", err)
			return nil
		}
		return answer
	})
}

// ModelInUse asks which model the classifiers on a bus read with; where they
// differ, one of them answers.
func ModelInUse(ctx context.Context, b *bus.Bus) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, modelPatience)
	defer cancel()
	answer, err := b.Request(ctx, bus.SubjectModelCard, nil)
	if err != nil {
		return "", err
	}
	var card incident.ModelCard
	if err := json.Unmarshal(answer, &card); err != nil || card.Model == "" {
		return "", errors.New("the classifier's card cannot be read")
	}
	return card.Model, nil
}

const modelPatience = 5 * time.Second

// cardOf makes the card of a model from what its file holds.
func cardOf(m *reading.Model) (incident.ModelCard, error) {
	var measures training.Measures
	if err := json.Unmarshal(m.Card.Measures, &measures); err != nil {
		return incident.ModelCard{}, fmt.Errorf("measures: %w", err)
	}
	card := incident.ModelCard{Model: m.Version(), Corpus: m.Card.Corpus, Examples: m.Card.Examples, Corrections: m.Card.Corrections,
		Does: does(), Never: never, Rules: ruleBlocks(m.Card.Rules)}
	if measures.HeldOut != nil {
		card.Measured = append(card.Measured, measured("Texts kept back", "No training and no change to the machine’s word list ever saw them. They are few, so the intervals are wide.", *measures.HeldOut))
	}
	if measures.Unseen != nil {
		card.Measured = append(card.Measured, measured("Of those, texts in manners new to it", "They were written last, by somebody who had seen neither what it learned from nor what it reads wrong: the fairest measure there is.", *measures.Unseen))
	}
	card.Measured = append(card.Measured, measured("Voices it had not learned from", "The hardest texts there are, many of them written to mislead. Each was read by a model that had learned nothing from its writer’s voice.", measures.OtherVoices))
	return card, nil
}

func does() []string {
	return []string{
		"It reads the words of each report and suggests what kind of incident it was, how it reached staff and whom it was aimed at, each with a probability and the words that drove it.",
		"It also marks a second way it reached staff, a serious threat, a weapon, and the basis of abuse, where the words tell of them.",
		"It takes what the reporter answered as evidence beside the words, and never writes over it.",
		"It says that it cannot tell where the words do not say.",
		fmt.Sprintf("It asks for a person when it is less than %d%% sure, when two answers are close, when the reporter and plain words disagree, and when an assault or a threat is possible behind another answer. One in %d of its sure readings goes to a person as well.", reading.AskBelow, sampleOneIn),
	}
}

var never = []string{
	"It never decides over a person: a reviewer’s word stands over its own, and what a person decided it never changes.",
	"It never holds up a report: reports are received and shown without it, and it reads them when it can.",
	"It is never given who reported or how to reach them: only the account and the three answers.",
	"It never sends words anywhere: it runs where On Record runs, and asks no service outside.",
	"It never learns by itself: only whoever runs On Record makes another model, and one that reads worse is refused.",
	"It never scores people: it says what happened, not who is believed.",
}

// measured words one result. It names what was read worst beside the rest.
func measured(name, about string, r evaluation.Result) incident.Measured {
	m := incident.Measured{Name: name, About: about, Texts: r.Texts}
	add := func(what, field, value string, s evaluation.Share) {
		m.Shares = append(m.Shares, incident.Quality{What: what, Field: field, Value: value, N: s.N, Of: s.Of, Low: s.Low, High: s.High})
	}
	also := func(what string, s *evaluation.Share) {
		if s != nil {
			add(what, "", "", *s)
		}
	}
	for _, f := range r.Fields {
		name := fieldWords[f.Name]
		add(name+": right", "", "", f.Right)
		for _, c := range f.Coverage {
			if c.Part == surest {
				add(fmt.Sprintf("%s: right, of the surest %.0f%%", name, 100*surest), "", "", c.Right)
			}
		}
		if v, ok := worst(f.Values); ok {
			add(name+": found least often", f.Name, v.Value, evaluation.ShareOf(int(math.Round(v.Recall*float64(v.Of))), v.Of))
		}
		m.Off = append(m.Off, incident.Calibration{Field: f.Name, Off: f.ECE, Chance: f.Chance.Mean})
	}
	also("What happened: right, threat and abuse taken as one", r.KindMerged)
	also("In person and online told apart", r.InPersonOrOnline)
	also("Acts of somebody read as such", r.AbuseFound)
	also("Hazards wrongly read as acts of somebody (less is better)", r.HazardAsAbuse)
	also("Aimed at the organisation, found", r.Organisation)
	for _, mark := range r.Marks {
		name := strings.ToUpper(mark.Name[:1]) + mark.Name[1:]
		add(name+": found, where there is one", "", "", mark.Found)
		add(name+": right, where it was marked", "", "", mark.Right)
	}
	add("Sent to a person", "", "", r.Review)
	return m
}

// surest is the part of the texts for which the card says how often the most
// confident readings are right.
const surest = 0.8

var fieldWords = map[string]string{"kind": "What happened", "channel": "How it reached staff", "target": "Whom it was aimed at"}

// worst returns the value that was found least often, of those with enough
// texts to say so.
func worst(values []evaluation.Value) (evaluation.Value, bool) {
	const enough = 5
	values = slices.DeleteFunc(slices.Clone(values), func(v evaluation.Value) bool { return v.Of < enough })
	if len(values) == 0 {
		return evaluation.Value{}, false
	}
	return slices.MinFunc(values, func(a, b evaluation.Value) int {
		return cmp.Or(cmp.Compare(a.Recall, b.Recall), cmp.Compare(a.Value, b.Value))
	}), true
}

// ruleBlocks returns the label rules without their marks: headings are left
// out, since the page has its own.
func ruleBlocks(rules string) []incident.RuleBlock {
	var blocks []incident.RuleBlock
	for block := range strings.SplitSeq(strings.TrimSpace(rules), "\n\n") {
		switch {
		case strings.HasPrefix(block, "#"):
		case strings.HasPrefix(block, "|"):
			blocks = append(blocks, ruleTable(block))
		case strings.HasPrefix(block, "- "):
			var points []string
			for point := range strings.SplitSeq(strings.TrimPrefix(block, "- "), "\n- ") {
				points = append(points, plain(point))
			}
			blocks = append(blocks, incident.RuleBlock{Points: points})
		case strings.TrimSpace(block) != "":
			blocks = append(blocks, incident.RuleBlock{Text: plain(block)})
		}
	}
	return blocks
}

func ruleTable(block string) incident.RuleBlock {
	var b incident.RuleBlock
	for line := range strings.SplitSeq(block, "\n") {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = plain(cells[i])
		}
		switch {
		case b.Head == nil:
			b.Head = cells
		case !strings.HasPrefix(cells[0], "---"):
			b.Rows = append(b.Rows, cells)
		}
	}
	return b
}

// plain returns text in one line, without the marks of emphasis and code.
func plain(text string) string {
	return strings.Join(strings.Fields(strings.NewReplacer("**", "", "`", "").Replace(text)), " ")
}
