package intake

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/words"
	"github.com/onrecord/onrecord/services/intake/internal/filing"
)

// formVersion says by which questions a report was made. Change it with them.
const formVersion = "report/3"

const anonymous = string(incident.ContactAnonymous)

// tiledSites is the most sites that are shown as tiles; more are a list.
const tiledSites = 6

// sayer says an English sentence in the reader's language.
type sayer func(english string, args ...any) string

// choice is one answer that can be tapped.
type choice struct {
	ID, Value, Label string
	Checked, Wide    bool
}

// question is a question answered by tapping one of its choices.
type question struct {
	Name, Legend, Hint string
	Class              string // how the tiles stand
	Reveal             string // the answer to another question that makes this one appear
	Need               string // what to say when it was not answered; "" where it need not be
	Message            string // what to mend
	Choices            []choice
}

func ask(name, legend, answer string, errs web.Errors, choices ...choice) question {
	for i := range choices {
		choices[i].ID = name
		if i > 0 {
			choices[i].ID += "-" + choices[i].Value
		}
		choices[i].Checked = choices[i].Value == answer
	}
	return question{Name: name, Legend: legend, Class: "app-tiles--2", Message: errs.For(name), Choices: choices}
}

// reportPage is what the form's template shows.
type reportPage struct {
	Form                        filing.Form
	Kept                        bool // it comes back: script must keep its id and receipt
	Kind, Channel, Target, Site question
	Control, Told               question
	Exposure, Closeness         question
	SiteList                    []choice // instead of Site's tiles when there are many
	When, Hurt                  question
	FiledFor, Contact           question
	Language                    string
	MaxNarrative                int
	AskCode                     bool // for the site's code
	MoreOpen                    bool // something in the optional part was answered or is to be mended
}

// onlyAggression makes a question appear for what somebody did to staff.
const onlyAggression = "kind=assault|attempted_assault|threat|abuse|property_damage"

func (s *Service) newReportPage(l words.Language, form filing.Form, kept bool, sites *directory, errs web.Errors) reportPage {
	say := l.Say
	p := reportPage{
		Form: form,
		Kept: kept,
		Kind: ask("kind", say("What happened?"), form.Kind, errs,
			choice{Value: string(incident.KindAbuse), Label: say("Shouting or abuse")},
			choice{Value: string(incident.KindThreat), Label: say("A threat")},
			choice{Value: string(incident.KindAssault), Label: say("Hit, pushed or spat at")},
			choice{Value: string(incident.KindAttemptedAssault), Label: say("Tried to hit or hurt us")},
			choice{Value: string(incident.KindPropertyDamage), Label: say("Damage to property")},
			choice{Value: string(incident.KindMissingControl), Label: say("Safety measure missing")},
			choice{Value: string(incident.KindExposure), Label: say("Covid or infection")},
			choice{Value: string(incident.KindOtherInjury), Label: say("A fall or other injury")},
			choice{Value: string(incident.KindOther), Label: say("Something else")},
			choice{Value: string(incident.KindUnknown), Label: say("Not sure")}),
		Control: ask("control", say("Which safety measure is missing?"), form.Control, errs,
			choice{Value: string(incident.ControlScreen), Label: say("Screen or barrier")},
			choice{Value: string(incident.ControlAlarm), Label: say("Alarm or radio")},
			choice{Value: string(incident.ControlStaffing), Label: say("Enough staff")},
			choice{Value: string(incident.ControlTraining), Label: say("Training")},
			choice{Value: string(incident.ControlDistance), Label: say("Distance")},
			choice{Value: string(incident.ControlVentilation), Label: say("Fresh air")},
			choice{Value: string(incident.ControlCleaning), Label: say("Cleaning")},
			choice{Value: string(incident.ControlFaceCovering), Label: say("Face coverings")},
			choice{Value: string(incident.ControlOther), Label: say("Something else")},
			choice{Value: string(incident.ControlUnknown), Label: say("Not sure")}),
		Told: ask("manager_told", say("Has a manager been told?"), form.Told, errs,
			choice{Value: string(incident.ToldYes), Label: say("Yes")},
			choice{Value: string(incident.ToldNo), Label: say("No")},
			choice{Value: string(incident.ToldUnknown), Label: say("Not sure")}),
		Exposure: ask("exposure", say("What were you exposed to?"), form.Exposure, errs,
			choice{Value: string(incident.ExposureSymptoms), Label: say("Somebody who seemed ill")},
			choice{Value: string(incident.ExposurePositiveTest), Label: say("A positive test")},
			choice{Value: string(incident.ExposureBodyFluid), Label: say("Blood, spit or a needle")},
			choice{Value: string(incident.ExposureOther), Label: say("Something else")},
			choice{Value: string(incident.ExposureUnknown), Label: say("Not sure"), Wide: true}),
		Closeness: ask("exposure_closeness", say("How close was it, and for how long?"), form.Closeness, errs,
			choice{Value: string(incident.ClosenessTouched), Label: say("It touched me or got on me")},
			choice{Value: string(incident.ClosenessCloseLong), Label: say("Close, 15 minutes or more")},
			choice{Value: string(incident.ClosenessCloseShort), Label: say("Close, but shorter")},
			choice{Value: string(incident.ClosenessSameRoom), Label: say("In the same room")},
			choice{Value: string(incident.ClosenessUnknown), Label: say("Not sure"), Wide: true}),
		Channel: ask("channel", say("How did it reach you?"), form.Channel, errs,
			choice{Value: string(incident.ChannelInPerson), Label: say("In person")},
			choice{Value: string(incident.ChannelPhone), Label: say("By phone")},
			choice{Value: string(incident.ChannelPrivateMessage), Label: say("Message or e-mail to us")},
			choice{Value: string(incident.ChannelPublicOnline), Label: say("Posted online")},
			choice{Value: string(incident.ChannelLetter), Label: say("By letter")},
			choice{Value: string(incident.ChannelUnknown), Label: say("Not sure")}),
		Target: ask("target", say("Who was it aimed at?"), form.Target, errs,
			choice{Value: string(incident.TargetNamedPerson), Label: say("Me or a colleague")},
			choice{Value: string(incident.TargetAnyStaff), Label: say("Any of us who work here")},
			choice{Value: string(incident.TargetOrganisation), Label: say("The organisation")},
			choice{Value: string(incident.TargetOtherPerson), Label: say("A visitor or customer")},
			choice{Value: string(incident.TargetUnknown), Label: say("Not sure"), Wide: true}),
		When: ask("when", say("When?"), form.When, errs,
			choice{Value: filing.WhenNow, Label: say("Just now")},
			choice{Value: filing.WhenToday, Label: say("Earlier today")},
			choice{Value: filing.WhenDay, Label: say("Another day")},
			choice{Value: filing.WhenNotSure, Label: say("Not sure")}),
		Hurt: ask("hurt", say("Was anyone hurt?"), form.Hurt, errs,
			choice{Value: string(incident.HurtNo), Label: say("No")},
			choice{Value: string(incident.HurtYes), Label: say("Yes")},
			choice{Value: string(incident.HurtUnknown), Label: say("Not sure")}),
		Contact: ask("contact", say("Who may know that you reported this?"), form.Contact, errs, contactChoices(say)...),
		FiledFor: ask("filed_for", say("Who are you reporting for?"), form.FiledFor, errs,
			choice{Value: string(incident.FiledForSelf), Label: say("Myself")},
			choice{Value: string(incident.FiledForColleague), Label: say("A colleague")},
			choice{Value: string(incident.FiledForSeveral), Label: say("Several of us")},
			choice{Value: string(incident.FiledForUnknown), Label: say("Not sure")}),
		MaxNarrative: incident.MaxNarrative,
		AskCode:      s.filing == FilingSiteCode,
		Language:     string(l),
	}
	p.Kind.Hint = say("Choose the nearest, or leave it and tell us in your own words below.")
	p.Channel.Hint = say("The way it got to you, not what it was about.")
	p.Closeness.Hint = say("Close is within two metres.")
	p.FiledFor.Hint = say("If it is a colleague’s, give them the receipt code afterwards: whoever has it can follow the report up.")
	p.Channel.Reveal, p.Target.Reveal = onlyAggression, onlyAggression
	p.Control.Reveal, p.Told.Reveal = "kind="+string(incident.KindMissingControl), "kind="+string(incident.KindMissingControl)
	p.Exposure.Reveal, p.Closeness.Reveal = "kind="+string(incident.KindExposure), "kind="+string(incident.KindExposure)
	p.Contact.Hint = say("Not sure? Leave it at nobody: with your receipt code you can change it later.")
	for _, q := range []*question{&p.Hurt, &p.Told} {
		q.Class = "app-tiles--3"
	}
	p.Contact.Class = ""
	p.Kind.Need = say("Select what happened, or tell us in your own words.")
	p.When.Need = say("Select when it happened, or “Not sure”.")
	p.askWhere(say, sites, errs)
	p.MoreOpen = form.FiledFor+form.DaysUnable+form.PeopleAffected+form.Employer+form.ContactName+form.ContactDetails != "" ||
		form.Contact != anonymous ||
		errs.For("filed_for")+errs.For("people_affected")+errs.For("days_unable")+errs.For("employer")+errs.For("contact") != ""
	return p
}

func contactChoices(say sayer) []choice {
	return []choice{
		{Value: string(incident.ContactAnonymous), Label: say("Nobody: I stay anonymous")},
		{Value: string(incident.ContactRepOnly), Label: say("Only the safety reps")},
		{Value: string(incident.ContactMayBeNamed), Label: say("I may be named")},
	}
}

// askWhere shows a few sites as tiles and many as a list.
func (p *reportPage) askWhere(say sayer, sites *directory, errs web.Errors) {
	choices := make([]choice, 0, len(sites.sites)+2)
	for _, site := range sites.sites {
		choices = append(choices, choice{Value: site.ID, Label: site.Name})
	}
	choices = append(choices, choice{Value: incident.SiteUnlisted, Label: say(somewhereElse)}, choice{Value: filing.WhereNotSure, Label: say("Not sure")})
	p.Site = ask("site", say("Where?"), p.Form.Site, errs, choices...)
	p.Site.Class, p.Site.Need = "app-tiles--sites", say("Select where it happened, or “Not sure”.")
	if len(sites.sites) > tiledSites {
		p.Site.Hint = say("Type part of its name, the town or the street.")
		p.SiteList, p.Site.Choices = p.Site.Choices, nil
	}
}

// showReport is GET /report/. A poster may name its site in the address.
func (s *Service) showReport(c *fiber.Ctx) error {
	sites, err := s.sites()
	if err != nil {
		return err
	}
	form, err := newForm()
	if err != nil {
		return err
	}
	if site := c.Query("site"); sites.has(site) {
		form.Site, form.SiteCode = site, c.Query("code")
	}
	if _, signedIn := web.PrincipalOf(c); !signedIn {
		kept, err := s.shell(web.Language(c))
		if err != nil {
			return err
		}
		c.Set(fiber.HeaderETag, kept.etag()) // by which the worker knows that it need not load it again
	}
	// Nothing in it is personal, and going back to it must find what was typed.
	c.Set(fiber.HeaderCacheControl, "private, no-cache")
	return s.renderReport(c, http.StatusOK, sites, form, false, nil)
}

// newForm returns an empty form with an id of its own, which a phone with
// script replaces by one it makes itself.
func newForm() (filing.Form, error) {
	id, err := uuid.NewV7()
	return filing.Form{ID: id.String(), Version: formVersion, Contact: anonymous}, err
}

func (s *Service) renderReport(c *fiber.Ctx, status int, sites *directory, form filing.Form, kept bool, errs web.Errors) error {
	l := web.Language(c)
	return s.pages.Render(c, status, "report", web.Page{
		Title: l.Say("Report an incident"), Section: "/report/", Errors: errs, Data: s.newReportPage(l, form, kept, sites, errs),
	})
}

// fileForm is POST /report/: from a browser the answer is a page, from the
// page's own script it is that of the API.
func (s *Service) fileForm(c *fiber.Ctx) error {
	form, err := readForm(c)
	if err != nil {
		return err
	}
	if err := s.checkPerson(c, form); err != nil {
		return err
	}
	r, err := s.file(c.UserContext(), filing.FromForm(form, s.now()))
	if err != nil {
		return s.refuseForm(c, form, err)
	}
	cookie, err := s.sealReceipt(r)
	if err != nil {
		return err
	}
	web.SetCookie(c, web.ReceiptCookie, cookie, receiptCookieLife, s.secure)
	if wantsJSON(c) {
		return sendReceived(c, r)
	}
	return c.Redirect("/report/received", http.StatusSeeOther)
}

// readForm reads the form as it was sent, with photos or without.
func readForm(c *fiber.Ctx) (filing.Form, error) {
	switch kind, params := mediaType(c); kind {
	case fiber.MIMEApplicationForm:
		values, err := url.ParseQuery(string(c.Request().Body()))
		if err != nil {
			return filing.Form{}, unreadForm(err)
		}
		return filing.ReadForm(values), nil
	case fiber.MIMEMultipartForm:
		form, err := filing.ReadMultipartForm(c.Request().Body(), params["boundary"])
		if err != nil {
			return filing.Form{}, unreadForm(err)
		}
		return form, nil
	}
	return filing.Form{}, fault.New(fault.UnsupportedMedia, "unsupported_media", "Send the form from its own page.")
}

// unreadForm tells whoever sent a form why nothing of it could be read.
func unreadForm(err error) error {
	if fault.KindOf(err) == fault.TooLarge {
		return web.ErrTooLarge.Because(err)
	}
	return fault.New(fault.Malformed, "malformed", "The form could not be read. Go back and send it again.").Because(err)
}

// refuseForm shows the form again with everything that was typed, and what to
// mend or when to try again.
func (s *Service) refuseForm(c *fiber.Ctx, form filing.Form, err error) error {
	f := fault.As(err)
	sites, notYet := s.sites()
	if wantsJSON(c) || notYet != nil {
		return err
	}
	l := web.Language(c)
	var errs web.Errors
	switch f.Kind {
	case fault.Invalid:
		errs = l.Fields(f.Fields)
	case fault.Unavailable, fault.TooMany:
		errs = web.Errors{{Message: l.Say(f.Message) + " " + l.Say("Everything you typed is still below.")}}
		s.log.Warn("a form was not received", "error", f)
	case fault.Conflict:
		errs = web.Errors{{Message: l.Say("A report was already received from this page before you changed it. To file what is below as another report, send it again.")}}
	default:
		return err
	}
	if form.HasPhotos() && errs.For("photo") == "" {
		errs = append(errs, fault.Field{Name: "photo", Message: l.Say("Choose your photos again: the browser does not keep them.")})
	}
	if f.Kind == fault.Conflict || !incident.IsReportID(form.ID) {
		fresh, err := newForm()
		if err != nil {
			return err
		}
		form.ID, form.Receipt = fresh.ID, ""
	}
	web.SetRetryAfter(c, f)
	return s.renderReport(c, web.StatusOf(err), sites, form, true, errs)
}

// receivedPage is what the receipt's template shows.
type receivedPage struct {
	Receipt string
	Groups  []string // of the receipt, so that it wraps between them
	At      string
}

// showReceived is GET /report/received: the receipt, for ten minutes.
func (s *Service) showReceived(c *fiber.Ctx) error {
	l := web.Language(c)
	code, at, err := s.openReceipt(c.Cookies(web.CookieName(web.ReceiptCookie, s.secure)))
	if err != nil {
		return s.pages.Render(c, http.StatusOK, "received_gone", web.Page{Title: l.Say("Your receipt is not shown any more"), Section: "/report/"})
	}
	return s.pages.Render(c, http.StatusOK, "received", web.Page{
		Title: l.Say("Report received"), Section: "/report/", Data: receivedPage{code.String(), strings.Split(code.String(), "-"), inWords(l, at)},
	})
}
