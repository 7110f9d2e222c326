package intake

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/pkg/sitecode"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

// somewhereElse is the name of the site that always exists.
const somewhereElse = string(fault.Text("Somewhere else"))

// directory is the site directory as reporting last published it.
type directory struct {
	sites     []siteJSON // without the unlisted one
	known     map[string]bool
	codes     map[string]int    // which code of a site is in force
	employers map[string]string // lower case → as the directory spells it
	published []byte            // as reporting wrote it; nil before it did
	body      []byte            // the answer of GET /api/v1/sites
	etag      string
	shells    sync.Map // *shell by language
}

// siteJSON is one site as people who file may know it.
type siteJSON struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Kind   string `json:"kind,omitempty"`
	Region string `json:"region,omitempty"`
}

func newDirectory(sites []*onrecordv1.Site) *directory {
	d := &directory{sites: make([]siteJSON, 0, len(sites)), known: make(map[string]bool), codes: make(map[string]int), employers: make(map[string]string)}
	for _, s := range sites {
		d.sites = append(d.sites, siteJSON{s.GetId(), s.GetName(), s.GetKind(), s.GetRegion()})
		d.known[s.GetId()] = true
		d.codes[s.GetId()] = int(s.GetCodeGeneration())
		name := strings.TrimSpace(s.GetEmployer())
		if key := strings.ToLower(name); d.employers[key] == "" {
			d.employers[key] = name
		}
	}
	all := append(d.sites[:len(d.sites):len(d.sites)], siteJSON{ID: incident.SiteUnlisted, Name: somewhereElse})
	d.body, _ = json.Marshal(map[string]any{"sites": all}) // plain strings cannot fail
	sum := sha256.Sum256(d.body)
	d.etag = `"` + hex.EncodeToString(sum[:8]) + `"`
	return d
}

func (d *directory) has(id string) bool { return d.known[id] }

// opens reports whether a text is the code of a site. A place that is not in
// the list is opened by the code of any that is.
func (d *directory) opens(keys *seal.Keyring, site, text string) bool {
	if len(d.codes) == 0 {
		return true // nobody can have one
	}
	code, ok := sitecode.Parse(text)
	if !ok {
		return false
	}
	if generation, ok := d.codes[site]; ok {
		return code.Opens(keys, site, generation)
	}
	for site, generation := range d.codes {
		if code.Opens(keys, site, generation) {
			return true
		}
	}
	return false
}

// employer returns how the directory spells an employer's name that somebody
// wrote in any case, or "" when it knows none. Where sites spell it differently,
// the spelling of the first in the directory's order, without spaces around it,
// counts for all. Reporting counts by the same rule.
func (d *directory) employer(name string) string {
	return d.employers[strings.ToLower(strings.TrimSpace(name))]
}

// setDirectory takes over a new directory; the same one again is nothing new.
// One that cannot be read is logged and the last good one stays: filing goes on.
func (s *Service) setDirectory(data []byte) {
	if last := s.directory.Load(); last != nil && last.published != nil && bytes.Equal(last.published, data) {
		return
	}
	var m onrecordv1.SiteDirectory
	if err := proto.Unmarshal(data, &m); err != nil {
		s.log.Error("the site directory could not be read: keeping the last one", "error", err)
		return
	}
	d := newDirectory(m.GetSites())
	d.published = append([]byte{}, data...)
	s.directory.Store(d)
	s.log.Info("site directory read", "sites", len(m.GetSites()))
}
