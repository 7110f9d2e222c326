package intake

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/words"
	"github.com/onrecord/onrecord/services/intake/internal/filing"
	"github.com/onrecord/onrecord/services/intake/internal/photo"
)

// followUpPage asks for the code.
type followUpPage struct {
	Receipt, Message string
	Kept             *filing.Addition // what was typed and could not be taken
}

// standingPage shows where a report stands, and takes what its reporter adds.
type standingPage struct {
	Receipt                                   string
	Groups                                    []string // of the receipt, so that it wraps between them
	Done                                      string   // what was just taken in
	Text, Expect                              string
	ReceivedAt                                string
	Entries                                   []standingEntry // the newest first
	Waiting, Closed, SetAside                 bool
	MayComplain, MayWithdraw                  bool
	Words                                     string // as they were typed
	MorePhotos                                int    // that the report takes
	KeepOriginals                             bool
	Contact                                   []choice
	ContactName, ContactDetails               string
	ContactOpen                               bool
	WordsID, NothingID, ContactID, WithdrawID string // of what each form adds
}

// standingEntry is one thing that was done or said.
type standingEntry struct {
	Text, Words, At, ISO string
	Mine                 bool
	at                   time.Time
}

// showFollowUp is GET /follow-up/.
func (s *Service) showFollowUp(c *fiber.Ctx) error {
	return s.renderFollowUp(c, http.StatusOK, &filing.FollowUp{}, nil)
}

func (s *Service) renderFollowUp(c *fiber.Ctx, status int, typed *filing.FollowUp, errs web.Errors) error {
	return s.pages.Render(c, status, "follow_up", web.Page{
		Title: web.Language(c).Say("Follow up a report"), Section: "/follow-up/", Errors: errs,
		Data: followUpPage{typed.Receipt, errs.For("receipt"), typed.Addition},
	})
}

// followUpForm is POST /follow-up/. The answer is the page itself: an address
// to go to would have to carry the receipt. Sending it again by reloading adds
// nothing twice: each form names what it adds.
func (s *Service) followUpForm(c *fiber.Ctx) error {
	typed, err := readFollowUpForm(c)
	if err != nil {
		return err
	}
	st, err := s.followUp(c.UserContext(), web.ClientNetwork(c), typed)
	if err != nil {
		return s.refuseFollowUp(c, typed, st, err)
	}
	return s.renderStanding(c, http.StatusOK, st, typed.Addition, nil)
}

// readFollowUpForm reads a form of the page as it was sent, with photos or
// without.
func readFollowUpForm(c *fiber.Ctx) (typed *filing.FollowUp, err error) {
	switch kind, params := mediaType(c); kind {
	case fiber.MIMEApplicationForm:
		var values url.Values
		if values, err = url.ParseQuery(string(c.Request().Body())); err == nil {
			typed = filing.FollowUpFromForm(values)
		}
	case fiber.MIMEMultipartForm:
		typed, err = filing.FollowUpFromMultipartForm(c.Request().Body(), params["boundary"])
	default:
		return nil, fault.New(fault.UnsupportedMedia, "unsupported_media", "Send the form from its own page.")
	}
	if err != nil {
		return nil, unreadForm(err)
	}
	return typed, nil
}

// refuseFollowUp shows what was typed again, and what to mend or when to try
// again. st is where the report stands, where that was found out.
func (s *Service) refuseFollowUp(c *fiber.Ctx, typed *filing.FollowUp, st standing, err error) error {
	f := web.Language(c).Fault(err)
	switch f.Kind {
	case fault.Invalid, fault.NotFound, fault.TooMany, fault.Unavailable, fault.Conflict:
	default:
		return err
	}
	web.SetRetryAfter(c, f)
	if toMend := f.Kind == fault.Invalid && f.Fields[0].Name != "receipt"; toMend { // the question was counted
		code, parseErr := parseReceipt(typed.Receipt)
		if parseErr != nil {
			return parseErr
		}
		var lookErr error
		if _, st, lookErr = s.lookUp(c.UserContext(), code); lookErr != nil {
			err, f = lookErr, web.Language(c).Fault(lookErr)
		}
	}
	if !st.Code.IsZero() {
		return s.renderStanding(c, web.StatusOf(err), st, typed.Addition, f)
	}
	message := f.Message
	if f.Kind == fault.Invalid {
		message = f.Fields[0].Message
	}
	return s.renderFollowUp(c, web.StatusOf(err), typed, web.Errors{{Name: "receipt", Message: message}})
}

// renderStanding shows where a report stands. What is nil, or was just added,
// or with f was not taken.
func (s *Service) renderStanding(c *fiber.Ctx, status int, st standing, what *filing.Addition, f *fault.Error) error {
	l := web.Language(c)
	page, err := s.newStandingPage(l, st, what, f)
	if err != nil {
		return err
	}
	var errs web.Errors
	switch {
	case f == nil:
	case f.Kind == fault.Invalid:
		for _, field := range f.Fields {
			if field.Name == "id" || field.Name == "what" {
				field.Name = "" // no field of the page
			}
			errs = append(errs, field)
		}
	default:
		errs = web.Errors{{Message: f.Message}}
	}
	if f != nil && what != nil && len(what.Photos) > 0 && errs.For("photo") == "" {
		errs = append(errs, fault.Field{Name: "photo", Message: l.Say("Choose your photos again: the browser does not keep them.")})
	}
	return s.pages.Render(c, status, "standing", web.Page{
		Title: l.Say("Where your report stands"), Section: "/follow-up/", Back: web.Link{Href: "/follow-up/", Text: l.Say("Another code")}, Errors: errs, Data: page,
	})
}

func (s *Service) newStandingPage(l words.Language, st standing, what *filing.Addition, f *fault.Error) (standingPage, error) {
	p := standingPage{
		Receipt: st.Code.String(), Groups: strings.Split(st.Code.String(), "-"),
		Text: l.Say(string(statusText(st.Status))), ReceivedAt: inWords(l, st.ReceivedAt), Entries: entriesOf(l, st),
		Waiting: st.Status == incident.StatusWaitingForReporter, Closed: st.Status.IsClosed(), SetAside: st.Status == incident.StatusSetAside,
		MorePhotos: max(0, photo.Max-st.Photos), MayComplain: st.Status.Counts() && st.Status != incident.StatusNew, MayWithdraw: st.Status.Counts() || st.Status == incident.StatusSetAside,
	}
	if by, text := st.expect(s.promise, s.now()); text != "" {
		p.Expect = l.Say(string(text))
		if !by.IsZero() {
			p.Expect = l.Say(string(text), l.Day(by.In(incident.London)))
		}
	}
	chosen := st.Contact
	for _, id := range []*string{&p.WordsID, &p.NothingID, &p.ContactID, &p.WithdrawID} {
		made, err := uuid.NewV7()
		if err != nil {
			return p, err
		}
		*id = made.String()
	}
	switch {
	case what == nil:
	case f == nil:
		p.Done = l.Say(string(messageTexts[st.Messages[len(st.Messages)-1].What]))
		p.ContactOpen = false
	default:
		p.keep(what, f)
		if what.What == filing.AddContact {
			chosen = what.Contact.Choice
		}
	}
	for n, ch := range contactChoices(l.Say) {
		ch.ID, ch.Checked = "contact", ch.Value == string(chosen)
		if n > 0 {
			ch.ID += "-" + ch.Value
		}
		p.Contact = append(p.Contact, ch)
	}
	return p, nil
}

// keep puts what was typed and not taken back into its form, under the same id
// unless that is taken.
func (p *standingPage) keep(what *filing.Addition, f *fault.Error) {
	id := map[string]*string{filing.AddWords: &p.WordsID, filing.AddNothingHappened: &p.NothingID, filing.AddContact: &p.ContactID, filing.AddWithdraw: &p.WithdrawID}[what.What]
	if id != nil && f.Kind != fault.Conflict && incident.IsReportID(what.ID) {
		*id = what.ID
	}
	p.Words, p.KeepOriginals = what.Text, what.KeepOriginals
	if what.What == filing.AddContact {
		p.ContactOpen, p.ContactName, p.ContactDetails = true, what.Contact.Name, what.Contact.Details
	}
}

// entriesOf returns what was done and said, the newest first. A step that is
// told by what was said with it is left out.
func entriesOf(l words.Language, st standing) []standingEntry {
	var entries []standingEntry
	for _, t := range st.Steps {
		if t.Own && t.Action == incident.ActionReopened || t.Action == incident.ActionAsked || t.Action == incident.ActionAnswered || t.Action == incident.ActionWithdrawn {
			continue
		}
		entries = append(entries, standingEntry{Text: l.Say(string(t.text())), at: t.At})
	}
	for _, m := range st.Messages {
		entries = append(entries, standingEntry{Text: l.Say(string(messageTexts[m.What])), Words: m.Text, Mine: m.From == "reporter", at: m.At})
	}
	slices.SortStableFunc(entries, func(a, b standingEntry) int { return cmp.Compare(a.at.UnixMilli(), b.at.UnixMilli()) })
	slices.Reverse(entries)
	for n := range entries {
		e := &entries[n]
		e.At, e.ISO = inWords(l, e.at), e.at.Format(time.RFC3339)
	}
	return entries
}

// inWords returns a moment as people in the United Kingdom write it.
func inWords(l words.Language, t time.Time) string { return l.Moment(t.In(incident.London)) }

// showWords returns the handler of a page that is words only.
func (s *Service) showWords(name string, title fault.Text) fiber.Handler {
	return func(c *fiber.Ctx) error {
		return s.pages.Render(c, http.StatusOK, name, web.Page{Title: web.Language(c).Say(string(title))})
	}
}
