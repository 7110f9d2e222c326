package reporting

import (
	"html/template"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/web"
)

const sitesPath = "/sites/"

const sampleSites = `id,name,kind,postcode,region,employer,staff
demo-north,Demo Jobcentre North,jobcentre,ZZ1 1AA,Demo Region,Demo Department,84
demo-assess,Demo Assessment Centre,assessment_centre,ZZ2 2BB,Demo Region,Demo Assessments Ltd,22
`

// sitesPage lists the site directory and takes a file of more.
type sitesPage struct {
	Notice, Count, Hint, Sample string
	ProblemsHead                string
	Problems                    []string // of a file that was not accepted
	Sites                       []siteRow
}

type siteRow struct{ ID, Name, Kind, Region, Employer, Staff string }

// showSites shows GET /sites/.
func (s *Service) showSites(c *fiber.Ctx) error { return s.renderSites(c, http.StatusOK, nil) }

// importSites answers POST /sites/: a file of sites, all of it or nothing.
func (s *Service) importSites(c *fiber.Ctx) error {
	file, err := c.FormFile("file")
	if err != nil || file.Size == 0 {
		return s.renderSites(c, http.StatusUnprocessableEntity, web.Errors{{Name: "file", Message: "Choose a file of sites."}})
	}
	body, err := file.Open()
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // it was only read
	_, err = s.ImportSites(c.UserContext(), body)
	switch f := fault.As(err); {
	case err == nil:
		s.leaveNotice(c, "sites")
		return c.Redirect(sitesPath, http.StatusSeeOther)
	case f.Kind == fault.Invalid:
		return s.renderSites(c, http.StatusUnprocessableEntity, f.Fields)
	}
	return err
}

func (s *Service) renderSites(c *fiber.Ctx, status int, problems web.Errors) error {
	d := s.directory.Load()
	page := sitesPage{Notice: s.takeNotice(c), Count: "No sites yet.", Hint: "Saved from a spreadsheet as CSV, in UTF-8.", Sample: sampleSites}
	if len(d.sites) > 0 {
		page.Count = count(len(d.sites), "site", "sites") + ". The report form lists them."
	}
	for _, p := range problems {
		if problem := p.Message; strings.HasPrefix(p.Name, "line ") {
			page.Problems = append(page.Problems, capital(p.Name)+": "+problem)
		} else {
			page.Problems = append(page.Problems, problem)
		}
	}
	var errs web.Errors
	if len(problems) > 0 {
		page.ProblemsHead = "Nothing was imported. Mend this and choose the file again:"
		errs = web.Errors{{Name: "file", Message: "The file was not imported: " + count(len(problems), "thing", "things") + " to mend."}}
	}
	for _, site := range d.sites {
		row := siteRow{site.ID, site.Name, capital(strings.ReplaceAll(site.Kind, "_", " ")), orDash(site.Region), orDash(site.Employer), "–"}
		if site.Staff > 0 {
			row.Staff = number(site.Staff)
		}
		page.Sites = append(page.Sites, row)
	}
	return s.pages.Render(c, status, "sites", web.Page{Title: "Sites", Section: sitesPath, Wide: true, Errors: errs, Data: page})
}

// posterPage is a site's poster, to be printed.
type posterPage struct {
	Notice, Name, Code, Path string
	Poster                   template.HTML
}

// showPoster shows GET /sites/{id}/poster, for the address under which the
// administrator reached the program.
func (s *Service) showPoster(c *fiber.Ctx) error {
	scheme := "http"
	if s.secure {
		scheme = "https"
	}
	id := c.Params("id")
	drawn, err := s.Poster(c.UserContext(), PosterOf{Site: id, URL: scheme + "://" + string(c.Request().Host())})
	if err != nil {
		return err
	}
	site := s.siteOf(s.directory.Load().byID[id])
	return s.pages.Render(c, http.StatusOK, "poster", web.Page{Title: "Poster for " + site.Name, Section: sitesPath, Back: web.Link{Href: sitesPath, Text: "Sites"},
		Data: posterPage{s.takeNotice(c), site.Name, site.Code, sitesPath + id, template.HTML(drawn)}}) //nolint:gosec // poster escapes what it draws
}

// rotateSiteCode answers POST /sites/{id}/code.
func (s *Service) rotateSiteCode(c *fiber.Ctx) error {
	site, err := s.RotateSiteCode(c.UserContext(), c.Params("id"))
	if err != nil {
		return err
	}
	s.leaveNotice(c, "code")
	return c.Redirect(sitesPath+site.ID+"/poster", http.StatusSeeOther)
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
