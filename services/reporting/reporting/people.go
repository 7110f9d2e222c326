package reporting

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/people"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const (
	peoplePath = "/people/"
	manySites  = 12 // more scroll in a box that says how many there are
)

// passwordHint is what is said before somebody chooses a password.
var passwordHint = fmt.Sprintf("At least %d characters. Three or four words that do not belong together are easy to remember and hard to guess.", people.MinPassword)

// peoplePage lists everybody with an account.
type peoplePage struct {
	Notice, Count string
	People        []personRow
}

type personRow struct {
	Href, Name, Role, Sites string
	Disabled                bool
}

// addPage is the form for a new person.
type addPage struct {
	Name         string
	Roles        []option
	Scopes       []option // every site, or those ticked
	Sites        []option
	ManySites    string // how many there are, when they scroll
	PasswordHint string
}

// personPage is one account.
type personPage struct {
	Notice, Name, Path string
	Facts              []fact
	Disabled, Self     bool
	PasswordHint       string
}

var roleWords = map[store.Role]string{
	store.RoleRep:           "Safety rep",
	store.RoleManager:       "Manager",
	store.RoleAdministrator: "Administrator",
}

// listPeople shows GET /people/.
func (s *Service) listPeople(c *fiber.Ctx) error {
	users, err := s.people.Users(c.UserContext())
	if err != nil {
		return err
	}
	page := peoplePage{Notice: s.takeNotice(c), Count: capital(count(len(users), "person has", "people have")) + " an account."}
	for _, u := range users {
		page.People = append(page.People, personRow{peoplePath + url.PathEscape(u.ID), u.Name, roleWords[u.Role], s.sitesOfUser(u), u.Disabled})
	}
	return s.pages.Render(c, http.StatusOK, "people", web.Page{Title: "People", Section: peoplePath, Wide: true, Data: page})
}

// sitesOfUser names what a rep looks after; nobody else has sites.
func (s *Service) sitesOfUser(u people.Account) string {
	switch {
	case u.Role != store.RoleRep:
		return "–"
	case len(u.Sites) == 0:
		return "Every site"
	}
	d := s.directory.Load()
	names := make([]string, len(u.Sites))
	for n, id := range u.Sites {
		names[n] = d.name(id)
	}
	return list(names)
}

// showAddPerson shows GET /people/add/.
func (s *Service) showAddPerson(c *fiber.Ctx) error {
	return s.renderAdd(c, http.StatusOK, addForm{}, nil)
}

// addPerson answers POST /people/.
func (s *Service) addPerson(c *fiber.Ctx) error {
	form, err := url.ParseQuery(string(c.Request().Body()))
	if err != nil {
		return fault.New(fault.Malformed, "malformed", "The form could not be read. Go back and try again.")
	}
	typed := addForm{strings.TrimSpace(form.Get("name")), store.Role(form.Get("role")), form.Get("scope"), form["sites"]}
	sites, wrong := typed.repSites()
	account := people.NewAccount{Name: typed.name, Role: typed.role, Sites: sites, Password: form.Get("password")}
	if wrong != nil {
		bad, err := s.people.Faults(c.UserContext(), account)
		if err != nil {
			return err
		}
		return s.renderAdd(c, http.StatusUnprocessableEntity, typed, addErrors(append(bad, *wrong)))
	}
	_, err = s.people.AddUser(c.UserContext(), account)
	switch f := fault.As(err); {
	case err == nil:
		s.leaveNotice(c, "added")
		return c.Redirect(peoplePath, http.StatusSeeOther)
	case f.Kind == fault.Invalid:
		return s.renderAdd(c, http.StatusUnprocessableEntity, typed, addErrors(f.Fields))
	}
	return err
}

// addForm is what the form for a new person holds, without the password.
type addForm struct {
	name  string
	role  store.Role
	scope string // everySite or theseSites; a rep's
	sites []string
}

// What a rep looks after. An account without sites sees every site, so the page
// has it said: nobody sees every site because a tick was forgotten.
const (
	everySite  = "every"
	theseSites = "these"
)

// repSites returns the sites that the account is given, or what to mend.
func (f addForm) repSites() ([]string, *fault.Field) {
	switch {
	case f.role != store.RoleRep, f.scope == everySite:
		return nil, nil // ticked before another role, or every site, was chosen
	case f.scope != theseSites:
		return nil, &fault.Field{Name: "scope", Message: "Choose whether the rep looks after every site or only some."}
	case len(f.sites) == 0:
		return nil, &fault.Field{Name: "sites", Message: "Tick at least one site, or choose every site."}
	}
	return f.sites, nil
}

func (s *Service) renderAdd(c *fiber.Ctx, status int, typed addForm, errs web.Errors) error {
	page := addPage{Name: typed.name, PasswordHint: passwordHint, Roles: []option{
		{ID: "role", Value: string(store.RoleRep), Text: roleWords[store.RoleRep], Hint: "Reads the reports of their sites and acts on them."},
		{ID: "role-2", Value: string(store.RoleManager), Text: roleWords[store.RoleManager], Hint: "Sees published figures, with small numbers hidden. No reports."},
		{ID: "role-3", Value: string(store.RoleAdministrator), Text: roleWords[store.RoleAdministrator], Hint: "Adds people and sites. No reports and no figures."},
	}}
	for n := range page.Roles {
		page.Roles[n].Selected = page.Roles[n].Value == string(typed.role)
	}
	page.Scopes = []option{
		{ID: "scope", Value: everySite, Text: "Every site", Hint: "Sites that are added later too.", Selected: typed.scope == everySite},
		{ID: "scope-2", Value: theseSites, Text: "These sites", Hint: "Tick them below.", Selected: typed.scope == theseSites},
	}
	for n, site := range s.directory.Load().sites {
		id := "sites"
		if n > 0 {
			id += "-" + number(n+1)
		}
		page.Sites = append(page.Sites, option{ID: id, Value: site.ID, Text: site.Name, Hint: site.Region, Selected: slices.Contains(typed.sites, site.ID)})
	}
	if len(page.Sites) > manySites {
		page.ManySites = number(len(page.Sites)) + " sites. Scroll inside the box to see all of them."
	}
	return s.pages.Render(c, status, "person-add", web.Page{Title: "Add a person", Section: peoplePath, Back: web.Link{Href: peoplePath, Text: "People"}, Errors: errs, Data: page})
}

// showPerson shows GET /people/{id}.
func (s *Service) showPerson(c *fiber.Ctx) error {
	u, err := s.account(c)
	if err != nil {
		return err
	}
	return s.renderPerson(c, http.StatusOK, u, nil)
}

func (s *Service) renderPerson(c *fiber.Ctx, status int, u people.Account, errs web.Errors) error {
	state := "Can sign in"
	if u.Disabled {
		state = "Disabled"
	}
	page := personPage{Notice: s.takeNotice(c), Name: u.Name, Path: peoplePath + url.PathEscape(u.ID), Disabled: u.Disabled,
		Self: u.ID == asker(c).ID, PasswordHint: passwordHint,
		Facts: []fact{{"Role", roleWords[u.Role]}, {"Sites", s.sitesOfUser(u)}, {"Account", state}, {"Added", day(u.CreatedAt)}}}
	return s.pages.Render(c, status, "person", web.Page{Title: u.Name + " – account", Section: peoplePath, Back: web.Link{Href: peoplePath, Text: "People"}, Errors: errs, Data: page})
}

// setPersonPassword answers POST /people/{id}/password.
func (s *Service) setPersonPassword(c *fiber.Ctx) error {
	u, err := s.account(c)
	if err != nil {
		return err
	}
	return s.afterAccountChange(c, u, "password", s.people.SetPassword(c.UserContext(), u.ID, formValue(c, "password")))
}

// disablePerson answers POST /people/{id}/disable. Nobody shuts themselves out.
func (s *Service) disablePerson(c *fiber.Ctx) error {
	u, err := s.account(c)
	if err != nil {
		return err
	}
	if u.ID == asker(c).ID {
		return s.renderPerson(c, http.StatusConflict, u, web.Errors{{Message: "This is your own account. Another administrator can disable it."}})
	}
	return s.afterAccountChange(c, u, "disabled", s.people.Disable(c.UserContext(), u.ID))
}

// enablePerson answers POST /people/{id}/enable.
func (s *Service) enablePerson(c *fiber.Ctx) error {
	u, err := s.account(c)
	if err != nil {
		return err
	}
	return s.afterAccountChange(c, u, "enabled", s.people.Enable(c.UserContext(), u.ID))
}

// afterAccountChange shows the account again, as it is by now, with a notice or
// with what kept the change from being made.
func (s *Service) afterAccountChange(c *fiber.Ctx, u people.Account, notice string, err error) error {
	var errs web.Errors
	switch f := fault.As(err); {
	case err == nil:
		s.leaveNotice(c, notice)
		return c.Redirect(peoplePath+url.PathEscape(u.ID), http.StatusSeeOther)
	case f.Kind == fault.Invalid:
		errs = f.Fields
	case f.Kind == fault.Conflict:
		errs = web.Errors{{Message: f.Message}}
	default:
		return err
	}
	u, now := s.account(c)
	if now != nil {
		return now
	}
	return s.renderPerson(c, web.StatusOf(err), u, errs)
}

// account returns the account that a route names, or fault.NotFound.
func (s *Service) account(c *fiber.Ctx) (people.Account, error) {
	users, err := s.people.Users(c.UserContext())
	if err != nil {
		return people.Account{}, err
	}
	n := slices.IndexFunc(users, func(u people.Account) bool { return u.ID == c.Params("id") })
	if n < 0 {
		return people.Account{}, fault.New(fault.NotFound, "not_found", "There is no such account.")
	}
	return users[n], nil
}

// addErrors names the fields as the page's form does.
func addErrors(fields []fault.Field) web.Errors {
	errs := slices.Clone(fields)
	for n := range errs {
		if errs[n].Name == "site" {
			errs[n].Name = "sites"
		}
	}
	return errs
}
