package reporting

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// incidentPage is one incident as a rep sees it.
type incidentPage struct {
	Notice               string
	Path                 string
	Changed              []historyEntry // what somebody did while a form was being filled in
	Status, StatusColour string
	Hurt, Review         bool
	Check                bool // the machine is sure, and is to be checked
	NothingHappened      bool // a reporter says so
	Title, Ref, Lede     string
	Accounts             []account
	Photos               []photoView
	Marked               bool // some words are marked
	Opinions             []opinionRow
	Machine              *machineView
	Facts                []fact
	History              []historyEntry
	Seen                 seen
	Confirm              *confirmation
	MayAcknowledge       bool
	MayCorrect           bool
	MayClose             bool
	MayReopen            bool
	MaySetAside          bool
	MayTakeBack          bool
	Form                 incidentForm
}

// seen is what a form was made from.
type seen struct {
	Rev  int64
	Seen int // entries of the timeline
}

// account is what one reporter wrote.
type account struct {
	Heading string
	Pieces  []piece
	None    string // why there are no words
}

// confirmation offers to confirm what counts with one tap.
type confirmation struct {
	Words                 string
	Kind, Channel, Target string
}

// incidentForm is everything a rep can fill in, with what they typed.
type incidentForm struct {
	Open                                map[string]bool // the parts that are unfolded
	Note, Reopen, CloseNote, Correction wordsField
	SetAside, TakeBack                  wordsField
	Message, Question                   wordsField
	Reporters                           []option // of several reports; empty where there is one
	Correct                             []selectField
	When                                string
	WhenMessage                         string
	Precision                           selectField
	Status                              selectField
	Fixed, FixedMessage                 string
}

var errNoIncident = fault.New(fault.NotFound, "not_found", "There is no such incident, or it is not at one of your sites.")

// visible returns an incident that the asker may see. One at another's site is
// fault.NotFound, the same as one that does not exist.
func (s *Service) visible(c *fiber.Ctx) (*incident.Incident, web.Principal, error) {
	who, _ := web.PrincipalOf(c)
	i, err := s.store.Incident(c.UserContext(), c.Params("id"))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, who, errNoIncident
	case err != nil:
		return nil, who, err
	case !maySee(who, i):
		return nil, who, errNoIncident
	}
	return i, who, nil
}

// showIncident shows GET /incidents/{id}.
func (s *Service) showIncident(c *fiber.Ctx) error {
	i, _, err := s.visible(c)
	if err != nil {
		return err
	}
	return s.renderIncident(c, http.StatusOK, i, formState{}, nil)
}

// formState is a form that was not accepted.
type formState struct {
	action string
	typed  edit
	seen   int // entries of the timeline the person had seen; 0 when nothing changed since
}

func (s *Service) renderIncident(c *fiber.Ctx, status int, i *incident.Incident, state formState, errs web.Errors) error {
	words, readable := s.open(i)
	photos, err := s.cases.Photos(c.UserContext(), i)
	if err != nil {
		return err
	}
	d := i.Dims()
	sites := s.directory.Load()
	page := incidentPage{
		Notice: s.takeNotice(c), Path: incidentsPath + i.ID,
		Status: statusWords[i.Status], StatusColour: statusColours[i.Status],
		Hurt: i.Hurt == incident.HurtYes, Review: i.NeedsReview() && i.Status.IsOpen(), Check: newest(i).Sampled, NothingHappened: i.NothingHappened(),
		Title: title(d.Kind), Ref: i.Ref, Lede: lede(i, sites),
		Opinions: opinionsOf(i), Facts: factsOf(i, words, sites), History: historyOf(i, words.Notes, sites),
		Seen:           seen{i.Rev, len(i.Timeline)},
		Confirm:        confirm(i),
		MayAcknowledge: i.Status == incident.StatusNew, MayCorrect: i.Status.Counts(),
		MayClose: i.Status.IsOpen(), MayReopen: i.Status.IsClosed(),
		MaySetAside: i.Status.Counts(), MayTakeBack: i.Status == incident.StatusSetAside,
		Form: s.newForm(i, state, errs),
	}
	page.Photos = photosOf(i, photos, state, errs)
	page.Accounts = accountsOf(i, words, readable)
	for _, a := range page.Accounts {
		for _, p := range a.Pieces {
			page.Marked = page.Marked || p.Mark
		}
	}
	page.Machine = machineOf(i, readText(i, words))
	if state.seen > 0 && state.seen < len(page.History) {
		page.Changed = page.History[state.seen:]
	}
	return s.pages.Render(c, status, "incident", web.Page{Title: page.Title + " " + i.Ref, Section: incidentsPath, Wide: true,
		Back: web.Link{Href: incidentsPath, Text: "Incidents"}, Errors: errs, Data: page})
}

// open returns an incident's words, and whether they could be opened. What
// cannot be opened is said on the page, so that the rest can still be worked with.
func (s *Service) open(i *incident.Incident) (*casework.Words, bool) {
	words, err := s.cases.Words(i)
	if err != nil {
		s.log.Error("words cannot be opened", "error", err)
		return &casework.Words{}, false
	}
	return words, true
}

// firstWords returns what the first reporter wrote, "" when that is nothing.
func (s *Service) firstWords(i *incident.Incident) string {
	words, ok := s.open(i)
	if !ok || len(words.Reports) == 0 {
		return ""
	}
	return words.Reports[0].Narrative
}

// readText returns the account that the newest reading was made from.
func readText(i *incident.Incident, words *casework.Words) string {
	for n, r := range i.Reports {
		if r.ID == newest(i).ReportID && n < len(words.Reports) {
			return words.Reports[n].Narrative
		}
	}
	return ""
}

// accountsOf returns what each reporter wrote, with the words marked that
// drove the newest reading.
func accountsOf(i *incident.Incident, words *casework.Words, readable bool) []account {
	accounts := make([]account, len(i.Reports))
	for n, r := range i.Reports {
		a := &accounts[n]
		if len(i.Reports) > 1 {
			a.Heading = "Report " + number(n+1) + " of " + number(len(i.Reports)) + ", received " + clock(r.ReceivedAt)
		}
		switch {
		case !readable:
			a.None = "The words cannot be opened with this installation’s key. Whoever runs the machine can find out why from its log."
		case words.Erased:
			a.None = "The words were erased."
		case n >= len(words.Reports) || words.Reports[n].Narrative == "":
			a.None = "The reporter wrote nothing."
		default:
			reading := incident.Reading{}
			if r.ID == newest(i).ReportID {
				reading = newest(i)
			}
			a.Pieces = pieces(words.Reports[n].Narrative, reading)
		}
	}
	return accounts
}

// lede returns how, where and when, in one sentence.
func lede(i *incident.Incident, sites *directory) string {
	parts := []string{}
	if h := how(i.Dims()); h != "" {
		parts = append(parts, h)
	}
	where := sites.name(i.Site)
	if i.Site == incident.SiteUnlisted {
		where = "Site " + lowered(where)
	}
	parts = append(parts, where, occurred(i))
	return strings.Join(parts, ". ") + "."
}

// factsOf returns what is known apart from the classification.
func factsOf(i *incident.Incident, words *casework.Words, sites *directory) []fact {
	facts := []fact{
		{"Site", sites.name(i.Site)},
		{"Happened", occurred(i)},
		{"Received", clock(i.ReceivedAt)},
		{"Counts in", countsIn(i)},
		{"Anyone hurt?", hurtWords[i.Hurt]},
	}
	add := func(key, value string) {
		if value != "" {
			facts = append(facts, fact{key, value})
		}
	}
	if i.DaysUnable != nil {
		add("Days unable to work", number(*i.DaysUnable))
	}
	if i.PeopleAffected > 0 {
		add("People affected", number(i.PeopleAffected))
	}
	add("Employer", i.Employer)
	for n, r := range i.Reports {
		which := ""
		if len(i.Reports) > 1 {
			which = " " + number(n+1)
		}
		var w casework.ReportWords
		if n < len(words.Reports) {
			w = words.Reports[n]
		}
		add("Filed for"+which, filedForWords[r.Details.FiledFor])
		add("Missing measure"+which, controlWords[r.Details.Control])
		add("Manager told?"+which, toldWords[r.Details.Told])
		add("Exposed to"+which, exposureWords[r.Details.Exposure])
		add("How close"+which, closenessWords[r.Details.Closeness])
		if i.Site == incident.SiteUnlisted && w.SiteName == "" && !words.Erased {
			w.SiteName = "No name given"
		}
		add("Site as reported"+which, w.SiteName)
		if !strings.EqualFold(w.Employer, i.Employer) {
			add("Employer as reported"+which, w.Employer)
		}
		add("Reporter"+which, reporter(r.ContactChoice, w))
	}
	return facts
}

// reporter says who reported, as far as they agreed.
func reporter(choice incident.ContactChoice, w casework.ReportWords) string {
	var who []string
	for _, s := range []string{w.ContactName, w.ContactDetails} {
		if s != "" {
			who = append(who, s)
		}
	}
	name := strings.Join(who, ", ")
	switch {
	case choice == incident.ContactMayBeNamed && name != "":
		return name + " (may be named)"
	case choice == incident.ContactRepOnly && name != "":
		return name + " (for you only: do not pass it on)"
	case choice == incident.ContactMayBeNamed || choice == incident.ContactRepOnly:
		return "Left no name"
	}
	return "Chose to stay anonymous"
}

// confirm offers to confirm what counts, while a person should look and
// nothing of it is unknown.
func confirm(i *incident.Incident) *confirmation {
	d := i.Dims()
	if !i.NeedsReview() || !i.Status.Counts() || d.Undecided() || d.Kind == incident.KindUnknown {
		return nil
	}
	words := kindWords[d.Kind]
	if !d.Kind.IsHazard() {
		words += ". " + channelWords[d.Channel] + ". Aimed at: " + lowered(targetWords[d.Target])
	}
	return &confirmation{words + ".", string(d.Kind), string(d.Channel), string(d.Target)}
}

// whenLayout is how a browser sends a datetime-local field.
const whenLayout = "2006-01-02T15:04"

// whenFilled returns what the field holds before anybody types: when it happened,
// if that is known.
func whenFilled(i *incident.Incident) string {
	if i.Precision == incident.PrecisionUnknown {
		return ""
	}
	return i.OccurredAt.In(incident.London).Format(whenLayout)
}

// newForm returns the forms, empty or with what was typed into the one that
// was not accepted.
func (s *Service) newForm(i *incident.Incident, state formState, errs web.Errors) incidentForm {
	typed := state.typed
	f := incidentForm{
		Open:       map[string]bool{state.action: true},
		Note:       wordsField{ID: "note", Name: "note", Label: "Add a note", Hint: "Other reps of this site can read it. Managers cannot."},
		CloseNote:  wordsField{ID: "close-reason", Name: "reason", Label: "What was done, or why nothing was?"},
		Reopen:     wordsField{ID: "reopen-reason", Name: "reason", Label: "Why is it opened again?"},
		SetAside:   wordsField{ID: "set-aside-reason", Name: "reason", Label: "Why do you take it to be made up?", Hint: "It stays on record, is counted apart, and can be taken back. Its reporter is told that it was set aside."},
		TakeBack:   wordsField{ID: "take-back-reason", Name: "reason", Label: "Why is it taken back?", Hint: "It is counted again, and goes back to where it was."},
		Correction: wordsField{ID: "correct-reason", Name: "reason", Label: "Why? (optional)"},
		Message:    wordsField{ID: "message", Name: "message", Label: "Write to the reporter", Hint: "They read it with their receipt. You do not learn who they are."},
		Question:   wordsField{ID: "question", Name: "question", Label: "Ask the reporter", Hint: "The incident waits for their answer and then goes back to where it is now."},
		Status:     selectField{ID: "to", Name: "status", Label: "Where does it stand?", Options: statusSteps(i, typed.Status), Message: errs.For("to")},
		When:       whenFilled(i),
		Fixed:      typed.Fixed,
	}
	f.Precision = selectField{ID: "occurred_precision", Name: "occurred_precision", Label: "How exactly is that known?",
		Options: choices("Leave it: "+lowered(precisionWords[i.Precision]), incident.Precisions, precisionWords, typed.Precision), Message: errs.For("occurred_precision")}
	f.FixedMessage, f.WhenMessage = errs.For("fixed"), errs.For("occurred_at")
	if typed.OccurredAt != "" {
		f.When = typed.OccurredAt
	}
	for action, words := range map[string]struct {
		of    *wordsField
		typed string
	}{
		"note":      {&f.Note, typed.Note},
		"message":   {&f.Message, typed.Message},
		"ask":       {&f.Question, typed.Question},
		"close":     {&f.CloseNote, typed.Reason},
		"reopen":    {&f.Reopen, typed.Reason},
		"set-aside": {&f.SetAside, typed.Reason},
		"take-back": {&f.TakeBack, typed.Reason},
		"classify":  {&f.Correction, typed.Reason},
	} {
		words.of.Message = errs.For(words.of.ID)
		if action == state.action {
			words.of.Value = words.typed
		}
	}
	f.Reporters = reportersOf(i, typed.Report)
	d := i.Dims()
	keep := func(now string) string { return "Leave it: " + lowered(now) }
	f.Correct = []selectField{
		{ID: "kind", Name: "kind", Label: "What happened", Options: choices(keep(kindWords[d.Kind]), incident.Kinds, kindWords, typed.Kind)},
		{ID: "channel", Name: "channel", Label: "How it reached staff", Options: choices(keep(channelWords[d.Channel]), incident.Channels, channelWords, typed.Channel)},
		{ID: "target", Name: "target", Label: "Whom it was aimed at", Options: choices(keep(targetWords[d.Target]), incident.Targets, targetWords, typed.Target)},
		{ID: "hurt", Name: "hurt", Label: "Anyone hurt?", Options: choices(keep(hurtWords[i.Hurt]), incident.Hurts, hurtWords, typed.Hurt)},
		{ID: "site", Name: "site", Label: "Site", Options: s.directory.Load().choices("Leave it: "+s.directory.Load().name(i.Site), nil, typed.Site)},
	}
	for n := range f.Correct {
		f.Correct[n].Message = errs.For(f.Correct[n].ID)
	}
	return f
}

// reportersOf returns whose reporters can be written to, where there are several.
func reportersOf(i *incident.Incident, selected string) []option {
	if len(i.Reports) < 2 {
		return nil
	}
	options := []option{{Text: "All of them"}}
	for n := range i.Reports {
		v := strconv.Itoa(n + 1)
		options = append(options, option{Value: v, Text: "The reporter of report " + v, Selected: v == selected})
	}
	return options
}

// statusSteps are the statuses that a rep sets by hand.
func statusSteps(i *incident.Incident, selected string) []option {
	var options []option
	for _, st := range []incident.Status{incident.StatusInReview, incident.StatusWaitingForReporter, incident.StatusActionAgreed} {
		if st != i.Status {
			options = append(options, option{Value: string(st), Text: statusWords[st], Selected: string(st) == selected})
		}
	}
	return options
}

// changeIncident answers the forms of the incident page, POST
// /incidents/{id}/{action}.
func (s *Service) changeIncident(action string) fiber.Handler {
	return func(c *fiber.Ctx) error {
		i, who, err := s.visible(c)
		if err != nil {
			return err
		}
		typed := readEdit(c, i)
		rev, _ := strconv.ParseInt(formValue(c, "rev"), 10, 64)
		was, _ := strconv.Atoi(formValue(c, "seen"))
		changed, err := s.apply(c.UserContext(), action, i.ID, rev, actorOf(who), typed)
		if err == nil {
			return s.afterChange(c, who, action, changed)
		}
		state := formState{action: action, typed: typed}
		switch f := fault.As(err); f.Kind {
		case fault.Stale:
			if i, _, err = s.visible(c); err != nil {
				return err
			}
			state.seen = max(was, 1)
			return s.renderIncident(c, http.StatusPreconditionFailed, i, state, web.Errors{{Message: "Somebody changed this incident while you were reading. Nothing of yours was saved yet."}})
		case fault.Invalid:
			return s.renderIncident(c, http.StatusUnprocessableEntity, i, state, pageErrors(action, f.Fields))
		case fault.Conflict:
			return s.renderIncident(c, http.StatusConflict, i, state, web.Errors{{Message: f.Message}})
		}
		return err
	}
}

// afterChange goes back to the incident, or to the list when the change moved
// it to a site the person does not see.
func (s *Service) afterChange(c *fiber.Ctx, who web.Principal, action string, i *incident.Incident) error {
	if !maySee(who, i) {
		s.leaveNotice(c, "moved")
		return c.Redirect(incidentsPath, http.StatusSeeOther)
	}
	s.leaveNotice(c, action)
	return c.Redirect(incidentsPath+i.ID, http.StatusSeeOther)
}

// pageErrors names the fields as the page's forms do.
func pageErrors(action string, fields []fault.Field) web.Errors {
	ids := map[string]string{"note reason": "note", "close reason": "close-reason", "reopen reason": "reopen-reason", "set-aside reason": "set-aside-reason", "take-back reason": "take-back-reason", "classify reason": "correct-reason", "status status": "to"}
	errs := make(web.Errors, len(fields))
	for n, f := range fields {
		if id, ok := ids[action+" "+f.Name]; ok {
			f.Name = id
		}
		errs[n] = f
	}
	return errs
}
