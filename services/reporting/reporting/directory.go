package reporting

import (
	"context"
	"slices"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/people"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// directory is the site directory in memory, as it was last read. It is never
// changed: a new one takes its place.
type directory struct {
	sites    []store.Site // in the store's order
	byID     map[string]store.Site
	employer func(name string) string // as the directory spells it; "" when it knows none
}

func newDirectory(sites []store.Site) *directory {
	d := &directory{sites, make(map[string]store.Site, len(sites)), people.Employers(sites)}
	for _, site := range sites {
		d.byID[site.ID] = site
	}
	return d
}

// loadDirectory reads the directory from the store.
func (s *Service) loadDirectory(ctx context.Context) error {
	sites, err := s.store.ListSites(ctx)
	if err != nil {
		return err
	}
	s.directory.Store(newDirectory(sites))
	return nil
}

// takeUpDirectory reads the directory after a change and publishes it for intake.
// One that cannot be published is stored, and publishDirectory tries again.
func (s *Service) takeUpDirectory(ctx context.Context) error {
	if err := s.loadDirectory(ctx); err != nil {
		return err
	}
	if err := s.people.PublishDirectory(ctx, s.bus); err != nil {
		s.log.Error("the site directory was not published and will be tried again", "error", err)
	}
	return nil
}

// knows reports whether the directory holds a site.
func (d *directory) knows(id string) bool {
	_, ok := d.byID[id]
	return ok
}

// name returns a site's name. A site that left the directory keeps its id.
func (d *directory) name(id string) string {
	if id == incident.SiteUnlisted {
		return "Not in the list, or not known"
	}
	if site, ok := d.byID[id]; ok {
		return site.Name
	}
	return id
}

// choices returns the sites that may be seen as options after a first one that
// is no site; own nil means every site.
func (d *directory) choices(first string, own []string, selected string) []option {
	options := []option{{Text: first, Selected: selected == ""}}
	for _, site := range d.sites {
		if own == nil || slices.Contains(own, site.ID) {
			options = append(options, option{Value: site.ID, Text: site.Name, Selected: site.ID == selected})
		}
	}
	if own == nil {
		options = append(options, option{Value: incident.SiteUnlisted, Text: d.name(incident.SiteUnlisted), Selected: selected == incident.SiteUnlisted})
	}
	return options
}

// inWords names the sites somebody sees, as they stand inside a sentence.
func (d *directory) inWords(own []string) string {
	const most = 4
	switch {
	case own == nil:
		return "every site"
	case len(own) > most:
		return "your " + number(len(own)) + " sites"
	}
	words := make([]string, len(own))
	for i, id := range own {
		words[i] = d.name(id)
	}
	slices.Sort(words)
	return list(words)
}

// sitesOf returns the sites whose incidents somebody may see: nil for every one.
func sitesOf(who web.Principal) []string {
	if len(who.Sites) == 0 {
		return nil
	}
	return who.Sites
}

// maySee reports whether somebody's sites include an incident's.
func maySee(who web.Principal, i *incident.Incident) bool {
	own := sitesOf(who)
	return own == nil || slices.Contains(own, i.Site)
}
