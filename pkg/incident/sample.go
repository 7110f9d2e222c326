package incident

import "slices"

// Fields are the fields that the machine reads, as the timeline names them.
var Fields = []string{"kind", "channel", "target"}

// Check is a sure reading that a person was asked to check all the same, and
// what they made of it.
type Check struct {
	Model string
	// Kept has an entry for each field that a reviewer has decided since the
	// reading: whether the decision is the machine's own.
	Kept map[string]bool
}

// Settled reports whether a reviewer has decided every field. One who mends what
// is wrong and says nothing of the rest would make the machine look worse than it
// is, so nothing else is to be counted.
func (c Check) Settled() bool { return len(c.Kept) == len(Fields) }

// Checked returns the check of the newest sure reading that was picked for one,
// and false where none was. A decision from before the reading tells nothing:
// the model may have learned from it. Of several reports nobody knows which of
// them the reviewer decided about, and what was set aside is no report.
func (i *Incident) Checked() (Check, bool) {
	at := -1
	for n, r := range i.Readings {
		if r.Sampled {
			at = n
		}
	}
	if at < 0 || len(i.Reports) != 1 || i.Status == StatusSetAside {
		return Check{}, false
	}
	r := i.Readings[at]
	c := Check{Model: r.Model, Kept: make(map[string]bool)}
	read := slices.IndexFunc(i.Timeline, func(c Change) bool { return c.Action == ActionRead && c.By.ID == r.Model })
	for _, change := range i.Timeline[read+1:] {
		if change.Action != ActionCorrected {
			continue
		}
		switch change.Field {
		case "kind":
			c.Kept[change.Field] = i.Kind.Reviewer == Kind(r.Kind.Value)
		case "channel":
			c.Kept[change.Field] = i.Channel.Reviewer == Channel(r.Channel.Value)
		case "target":
			c.Kept[change.Field] = i.Target.Reviewer == Target(r.Target.Value)
		}
	}
	return c, true
}
