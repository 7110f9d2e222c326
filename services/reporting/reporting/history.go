package reporting

import (
	"fmt"
	"strings"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
)

// historyEntry is one thing that was done, in words.
type historyEntry struct {
	What    string
	When    string
	ISO     string
	Who     string
	Details []string
	Note    string // somebody's words
}

// historyOf tells an incident's timeline, oldest first. notes are the opened words by Seq.
func historyOf(i *incident.Incident, notes map[int]string, sites *directory) []historyEntry {
	entries := make([]historyEntry, len(i.Timeline))
	filed := 0
	for n, c := range i.Timeline {
		e := historyEntry{What: whatWasDone(c), When: clock(c.At), ISO: iso(c.At), Who: doer(c), Details: details(c, sites), Note: notes[c.Seq]}
		switch {
		case c.Action == incident.ActionRead:
			e.Details = readDetails(i, c.By.ID)
		case c.Action == incident.ActionFiled && filed < len(i.Reports):
			r := i.Reports[filed]
			e.Details = answered("Answered", r.Kind, r.Channel, r.Target)
			filed++
		}
		entries[n] = e
	}
	return entries
}

// readDetails returns what a model made of the words.
func readDetails(i *incident.Incident, model string) []string {
	for _, r := range i.Readings {
		if r.Model != model {
			continue
		}
		lines := answered("Read as", incident.Kind(r.Kind.Value), incident.Channel(r.Channel.Value), incident.Target(r.Target.Value))
		if r.Sampled {
			lines = append(lines, "It was sure, and was picked for a spot check.")
		}
		return lines
	}
	return nil
}

// answered returns in a line what somebody said about the three fields, nothing when
// that was nothing.
func answered(who string, kind incident.Kind, channel incident.Channel, target incident.Target) []string {
	var parts []string
	if kind != "" && kind != incident.KindUnknown {
		parts = append(parts, lowered(kindWords[kind]))
	}
	if channel != "" && channel != incident.ChannelUnknown && channel != incident.ChannelNotApplicable {
		parts = append(parts, lowered(channelWords[channel]))
	}
	if target != "" && target != incident.TargetUnknown && target != incident.TargetNotApplicable {
		parts = append(parts, "aimed at "+lowered(targetWords[target]))
	}
	if len(parts) == 0 {
		return nil
	}
	return []string{who + ": " + strings.Join(parts, "; ")}
}

// whatWasDone returns a change's heading.
func whatWasDone(c incident.Change) string {
	switch c.Action {
	case incident.ActionFiled:
		return "Reported"
	case incident.ActionRead:
		return "Read by the machine"
	case incident.ActionAcknowledged:
		return "Acknowledged"
	case incident.ActionStatus:
		return "Status changed"
	case incident.ActionCorrected:
		if c.From == c.To {
			return "Confirmed"
		}
		return "Corrected"
	case incident.ActionNoted:
		return "Note added"
	case incident.ActionClosed:
		return "Closed"
	case incident.ActionReopened:
		if c.SaysNothingHappened() {
			return "The reporter says that nothing happened: reopened"
		}
		return "Reopened"
	case incident.ActionSetAside:
		return "Set aside as made up"
	case incident.ActionTakenBack:
		if c.By.Role == incident.RoleReporter {
			return "The reporter says that it is real: taken back"
		}
		return "Taken back"
	case incident.ActionAdded, incident.ActionAnswered:
		return reporterSaid(c)
	case incident.ActionContact:
		return "The reporter changed who may know who they are"
	case incident.ActionOriginal:
		return "The original of photo " + c.To + " was opened"
	case incident.ActionMessaged:
		return "Message to the reporter"
	case incident.ActionAsked:
		return "Question to the reporter"
	case incident.ActionWithdrawn:
		return "Withdrawn by the reporter"
	case incident.ActionUnreadable:
		return "Arrived unreadable"
	case incident.ActionErased:
		return "Words erased"
	}
	return "Changed"
}

// reporterSaid returns the heading of what a reporter added.
func reporterSaid(c incident.Change) string {
	switch {
	case c.Action == incident.ActionAnswered && c.Field == incident.FieldPhotos:
		return "The reporter answered, with photos"
	case c.Action == incident.ActionAnswered:
		return "The reporter answered"
	case c.Field == incident.FieldPhotos && c.To == "1":
		return "The reporter added a photo"
	case c.Field == incident.FieldPhotos:
		return "The reporter added " + c.To + " photos"
	case c.SaysNothingHappened():
		return "The reporter says that nothing happened"
	case c.Field == "withdrawn":
		return "One of the reporters took their report back"
	}
	return "The reporter added to it"
}

// doer returns who did it. A reporter is never named in the history.
func doer(c incident.Change) string {
	switch c.By.Role {
	case "machine":
		if c.Action == incident.ActionRead && c.By.ID != "" {
			return "model " + c.By.ID
		}
		return ""
	case "reporter":
		return ""
	}
	if c.By.Name == "" {
		return c.By.Role
	}
	return fmt.Sprintf("%s (%s)", c.By.Name, c.By.Role)
}

// details returns what changed from what to what.
func details(c incident.Change, sites *directory) []string {
	switch c.Action {
	case incident.ActionCorrected:
		from, to := changedWord(c.Field, c.From, sites), changedWord(c.Field, c.To, sites)
		if from == "" || c.From == c.To {
			return []string{fmt.Sprintf("%s: %s", changedField(c.Field), to)}
		}
		return []string{fmt.Sprintf("%s: from %s to %s", changedField(c.Field), from, to)}
	case incident.ActionContact:
		if word := contactWords[incident.ContactChoice(c.To)]; word != "" {
			return []string{"Now: " + word}
		}
	case incident.ActionStatus, incident.ActionClosed, incident.ActionReopened, incident.ActionAsked, incident.ActionAnswered,
		incident.ActionSetAside, incident.ActionTakenBack:
		if word := statusWords[incident.Status(c.To)]; word != "" {
			return []string{"Now: " + lowered(word)}
		}
	case incident.ActionUnreadable:
		return []string{"The message could not be read. It is kept, and whoever runs the machine can have it read again."}
	}
	return nil
}

// changedField returns the name of a field that was corrected.
func changedField(field string) string {
	words := map[string]string{"kind": "What happened", "channel": "How it reached staff", "target": "Whom it was aimed at",
		"site": "Site", "occurred_at": "When it happened", "hurt": "Anyone hurt", "people_affected": "People affected"}
	if w, ok := words[field]; ok {
		return w
	}
	return capital(field)
}

// changedWord returns a value of a corrected field in words.
func changedWord(field, value string, sites *directory) string {
	switch field {
	case "site":
		return sites.name(value)
	case "hurt":
		return lowered(hurtWords[incident.Hurt(value)])
	case "occurred_at":
		text, precision, _ := strings.Cut(value, " ")
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			return occurredAt(at, incident.Precision(precision))
		}
	}
	return lowered(valueWord(field, value))
}
