package reporting

import (
	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/incident"
)

// formValue returns a field of the form in a request's body, or "". It never
// looks at the address, as fiber's FormValue does: a password there would stand
// in logs and histories.
func formValue(c *fiber.Ctx, name string) string { return string(c.Request().PostArgs().Peek(name)) }

// option is one choice of a select, a radio or a tick box.
type option struct {
	ID, Value, Text, Hint string
	Selected              bool
}

// selectField is a labelled select.
type selectField struct {
	ID, Name, Label, Message string
	Options                  []option
}

// wordsField is a labelled box for several lines.
type wordsField struct {
	ID, Name, Label, Hint, Value, Message string
}

// DescribedBy names the parts that explain the field.
func (f wordsField) DescribedBy() string {
	switch {
	case f.Hint != "" && f.Message != "":
		return f.ID + "-hint " + f.ID + "-error"
	case f.Hint != "":
		return f.ID + "-hint"
	case f.Message != "":
		return f.ID + "-error"
	}
	return ""
}

// fact is a line of a summary list.
type fact struct{ Key, Value string }

// choices returns the values of a taxonomy as options, after a first one for none.
func choices[T ~string](none string, all []T, words map[T]string, selected string) []option {
	options := []option{{Value: "", Text: none, Selected: selected == ""}}
	for _, v := range all {
		options = append(options, option{Value: string(v), Text: words[v], Selected: string(v) == selected})
	}
	return options
}

// monthChoices returns the last months up to now, newest first, and the
// selected one wherever it lies.
func monthChoices(none string, now incident.Month, months int, selected incident.Month) []option {
	var options []option
	if none != "" {
		options = append(options, option{Text: none, Selected: selected.IsZero()})
	}
	found := selected.IsZero()
	for i := range months {
		m := now.Add(-i)
		found = found || m == selected
		options = append(options, option{Value: m.String(), Text: m.Name(), Selected: m == selected})
	}
	if !found {
		options = append(options, option{Value: selected.String(), Text: selected.Name(), Selected: true})
	}
	return options
}
