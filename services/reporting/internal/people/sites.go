package people

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Limits on the site directory. It travels to intake as one value of a
// key-value bucket, whose messages end at one megabyte.
const (
	maxSites      = 5000
	maxDirectory  = 900 << 10 // bytes, encoded
	maxSitesFile  = 4 << 20   // bytes
	maxStaff      = 100_000
	maxSiteField  = 80 // characters of any field but the name
	problemsNamed = 20 // further ones are only counted
)

// Imported says what an import did. Sites that the file does not name stay.
type Imported struct {
	Added, Changed, Unchanged int
	Total                     int // sites in the directory now
}

// Directory returns every site by name.
func (s *Service) Directory(ctx context.Context) ([]store.Site, error) {
	sites, err := s.store.ListSites(ctx)
	if err != nil {
		return nil, fmt.Errorf("site directory: %w", err)
	}
	return sites, nil
}

// ImportSites reads a CSV file with the columns id, name, kind, postcode,
// region, employer and staff, in any order, and adds or replaces its sites by
// id. With anything wrong in the file it imports nothing and returns
// fault.Invalid, whose fields are the lines to mend ("line 7"), the first 20 of
// them. Who may call it: as AddUser.
func (s *Service) ImportSites(ctx context.Context, r io.Reader) (Imported, error) {
	sites, err := readSites(r)
	if err != nil {
		return Imported{}, err
	}
	var done Imported
	err = s.store.Group(ctx, func(st store.Store) error {
		before, err := st.ListSites(ctx)
		if err != nil {
			return err
		}
		merged := merge(before, sites, &done)
		if err := checkSize(merged); err != nil {
			return err
		}
		return st.PutSites(ctx, sites)
	})
	if err != nil {
		return Imported{}, fmt.Errorf("import sites: %w", err)
	}
	s.log.Info("sites imported", "added", done.Added, "changed", done.Changed, "unchanged", done.Unchanged)
	return done, nil
}

// merge returns the directory with the sites of a file, and counts.
func merge(before, file []store.Site, done *Imported) []store.Site {
	*done = Imported{}
	merged := slices.Clone(before)
	at := make(map[string]int, len(before))
	for i, site := range before {
		at[site.ID] = i
	}
	for n := range file {
		site := &file[n]
		i, there := at[site.ID]
		if !there {
			done.Added++
			merged = append(merged, *site)
			continue
		}
		site.CodeGeneration = before[i].CodeGeneration // a file says nothing of codes
		if merged[i] == *site {
			done.Unchanged++
			continue
		}
		done.Changed++
		merged[i] = *site
	}
	done.Total = len(merged)
	return merged
}

// RotateSiteCode puts a new code of a site in the place of the one in force,
// which ends with it. It returns the site, or fault.NotFound. Who may call it:
// as AddUser.
func (s *Service) RotateSiteCode(ctx context.Context, id string) (store.Site, error) {
	var rotated store.Site
	err := s.store.Group(ctx, func(st store.Store) error {
		sites, err := st.ListSites(ctx)
		if err != nil {
			return err
		}
		n := slices.IndexFunc(sites, func(site store.Site) bool { return site.ID == id })
		if n < 0 {
			return fault.New(fault.NotFound, "not_found", "There is no such site.")
		}
		rotated = sites[n]
		rotated.CodeGeneration++
		return st.PutSites(ctx, []store.Site{rotated})
	})
	if err != nil {
		return store.Site{}, err
	}
	s.log.Info("a site has a new code", "site", id)
	return rotated, nil
}

func checkSize(sites []store.Site) error {
	if len(sites) > maxSites {
		return wrongFile("With this file there would be %d sites. The most is %d.", len(sites), maxSites)
	}
	if size := proto.Size(message(sites)); size > maxDirectory {
		return wrongFile("With this file the list of sites would be %d kB. The most is %d kB. Shorten the names.", size>>10, maxDirectory>>10)
	}
	return nil
}

func message(sites []store.Site) *onrecordv1.SiteDirectory {
	m := &onrecordv1.SiteDirectory{Sites: make([]*onrecordv1.Site, len(sites))}
	for i, s := range sites {
		m.Sites[i] = &onrecordv1.Site{Id: s.ID, Name: s.Name, Kind: s.Kind, Postcode: s.Postcode, Region: s.Region, Employer: s.Employer, Staff: uint32(s.Staff), CodeGeneration: uint32(s.CodeGeneration)}
	}
	return m
}

// Bucket is where intake reads the site directory; bus.Bus is one.
type Bucket interface {
	// UpdateDirectory stores what current returns, unless it is there already.
	// It calls current again when another instance was quicker.
	UpdateDirectory(ctx context.Context, current func() ([]byte, error)) error
}

// PublishDirectory gives intake the site directory, unless it has that one. The
// program calls it at start, after each import, and now and then for what
// another process imported. Of several at once none leaves an older directory.
func (s *Service) PublishDirectory(ctx context.Context, to Bucket) error {
	return to.UpdateDirectory(ctx, func() ([]byte, error) {
		sites, err := s.Directory(ctx)
		if err != nil {
			return nil, err
		}
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(message(sites))
		if err != nil {
			return nil, fmt.Errorf("site directory: %w", err)
		}
		return data, nil
	})
}

// Employers returns how the directory spells an employer's name that somebody
// wrote in any case, or "" when it knows none. Where sites spell it
// differently, the spelling of the first in the directory's order, without
// spaces around it, counts for all. Intake answers reporters by the same rule.
func Employers(sites []store.Site) func(name string) string {
	known := make(map[string]string)
	for _, s := range sites {
		name := strings.TrimSpace(s.Employer)
		if key := strings.ToLower(name); known[key] == "" {
			known[key] = name
		}
	}
	return func(name string) string { return known[strings.ToLower(strings.TrimSpace(name))] }
}

// siteColumns are the columns of the file.
var siteColumns = []string{"id", "name", "kind", "postcode", "region", "employer", "staff"}

func wrongFile(message string, args ...any) error {
	return fault.InvalidFields([]fault.Field{{Name: "file", Message: fmt.Sprintf(message, args...)}})
}

// readSites returns the sites of a CSV file, or fault.Invalid with what to
// mend, or fault.TooLarge.
func readSites(r io.Reader) ([]store.Site, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSitesFile+1))
	if err != nil {
		return nil, fault.New(fault.Malformed, "unreadable_file", "The file could not be read to its end.").Because(err)
	}
	if len(data) > maxSitesFile {
		return nil, fault.New(fault.TooLarge, "file_too_large", fmt.Sprintf("A list of sites must be %d MB or smaller.", maxSitesFile>>20))
	}
	if data, err = asUTF8(data); err != nil {
		return nil, err
	}
	f := siteFile{csv: csv.NewReader(bytes.NewReader(data)), lines: make(map[string]int)}
	f.csv.FieldsPerRecord = -1 // counted here, to say which line
	if err := f.readHeader(); err != nil {
		return nil, err
	}
	return f.readLines()
}

// asUTF8 returns the text of a file without its byte order mark, with line
// feeds between its lines, or says which encoding to save it in.
func asUTF8(data []byte) ([]byte, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, wrongFile("The file is in UTF-16. Save it as “CSV UTF-8” and import it again.")
	}
	if !utf8.Valid(data) {
		line := 1
		for text := range bytes.Lines(data) {
			if !utf8.Valid(text) {
				break
			}
			line++
		}
		return nil, wrongFile("The file is not in UTF-8: the first wrong character is on line %d. It looks like Windows-1252, which spreadsheets write as “CSV”. Save it as “CSV UTF-8” and import it again.", line)
	}
	if !bytes.ContainsRune(data, '\n') {
		data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	}
	return data, nil
}

// siteFile is a file of sites while it is read.
type siteFile struct {
	csv     *csv.Reader
	columns []string
	sites   []store.Site
	lines   map[string]int // where each id stands
	wrong   []fault.Field
	more    int // wrong things that are not named
}

// readHeader reads the first line and returns what is wrong with it.
func (f *siteFile) readHeader() error {
	header, err := f.csv.Read()
	if errors.Is(err, io.EOF) {
		return wrongFile("The file is empty. Its first line must be: %s.", strings.Join(siteColumns, ","))
	}
	if err != nil {
		return wrongFile("The first line cannot be read: %s Its columns must be: %s.", quoteFault(err), strings.Join(siteColumns, ","))
	}
	if len(header) == 1 && strings.ContainsAny(header[0], ";\t") {
		return wrongFile("The columns must be separated by commas. Save the file as “CSV UTF-8 (comma delimited)” and import it again.")
	}
	var missing, extra []string
	for _, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		if !slices.Contains(siteColumns, name) || slices.Contains(f.columns, name) {
			extra = append(extra, fmt.Sprintf("“%.40s”", name))
		}
		f.columns = append(f.columns, name)
	}
	for _, name := range siteColumns {
		if !slices.Contains(f.columns, name) {
			missing = append(missing, name)
		}
	}
	switch {
	case len(extra) > 0:
		return wrongFile("Remove the columns that do not belong or are there twice: %s. The columns are: %s.",
			strings.Join(extra[:min(len(extra), problemsNamed)], ", "), strings.Join(siteColumns, ","))
	case len(missing) > 0:
		return wrongFile("These columns are missing: %s. The first line must be: %s.", strings.Join(missing, ", "), strings.Join(siteColumns, ","))
	}
	return nil
}

// readLines reads the sites and returns them, or everything wrong with them.
func (f *siteFile) readLines() ([]store.Site, error) {
	for {
		record, err := f.csv.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var at *csv.ParseError
		if errors.As(err, &at) {
			f.fault(at.StartLine, "%s", quoteFault(err))
			continue
		}
		if err != nil {
			return nil, fault.New(fault.Malformed, "unreadable_file", "The file could not be read to its end.").Because(err)
		}
		line, _ := f.csv.FieldPos(0)
		f.readLine(line, record)
		if len(f.sites) > maxSites {
			return nil, wrongFile("The file holds more than %d sites.", maxSites)
		}
	}
	switch {
	case f.more > 0:
		f.wrong = append(f.wrong, fault.Field{Name: "file", Message: fmt.Sprintf("There are %d more.", f.more)})
		fallthrough
	case len(f.wrong) > 0:
		return nil, &fault.Error{Kind: fault.Invalid, Code: "invalid_sites", Message: "Nothing was imported. These lines need to be changed first.", Fields: f.wrong}
	case len(f.sites) == 0:
		return nil, wrongFile("The file holds no sites, only the line that names the columns.")
	}
	return f.sites, nil
}

// fault notes what is wrong with a line.
func (f *siteFile) fault(line int, message string, args ...any) {
	if len(f.wrong) == problemsNamed {
		f.more++
		return
	}
	f.wrong = append(f.wrong, fault.Field{Name: "line " + strconv.Itoa(line), Message: fmt.Sprintf(message, args...)})
}

// quoteFault says in words what encoding/csv found.
func quoteFault(err error) string {
	if errors.Is(err, csv.ErrBareQuote) {
		return "A quotation mark stands inside a field. Put the field in quotation marks and double the one inside."
	}
	return "A quotation mark is missing, or something follows one that ends a field."
}

// siteID is what an id looks like: it stands in web addresses and posters.
var siteID = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// readLine takes in one line, or notes what is wrong with it. A line of empty
// fields is what spreadsheets leave at the end.
func (f *siteFile) readLine(line int, record []string) {
	if strings.TrimSpace(strings.Join(record, "")) == "" {
		return
	}
	if len(record) != len(f.columns) {
		f.fault(line, "There are %d fields, and %d columns.", len(record), len(f.columns))
		return
	}
	field := make(map[string]string, len(record))
	for i, name := range f.columns {
		field[name] = strings.TrimSpace(record[i])
	}
	before := len(f.wrong) + f.more
	f.checkID(line, field["id"])
	if field["name"] == "" {
		f.fault(line, "The name is missing.")
	}
	for _, name := range siteColumns[1:6] {
		f.checkText(line, name, field[name])
	}
	staff := f.readStaff(line, field["staff"])
	if len(f.wrong)+f.more > before {
		return
	}
	f.sites = append(f.sites, store.Site{ID: field["id"], Name: field["name"], Kind: field["kind"],
		Postcode: field["postcode"], Region: field["region"], Employer: field["employer"], Staff: staff})
}

func (f *siteFile) checkID(line int, id string) {
	first, again := f.lines[id]
	switch {
	case !siteID.MatchString(id):
		f.fault(line, "The id “%.40s” must be 1 to 40 small letters a to z, digits and hyphens.", id)
		return
	case id == incident.SiteUnlisted:
		f.fault(line, "The id “%s” is kept for places that are not in the list.", id)
	case again:
		f.fault(line, "The id “%s” is on line %d too.", id, first)
	}
	if !again {
		f.lines[id] = line
	}
}

// checkText refuses what would be a formula when the list is opened in a
// spreadsheet again.
func (f *siteFile) checkText(line int, name, text string) {
	most := maxSiteField
	if name == "name" {
		most = incident.MaxSiteName
	}
	switch {
	case strings.ContainsFunc(text, unicode.IsControl):
		f.fault(line, "The %s holds a line end, a tab or another character that cannot be seen.", name)
	case utf8.RuneCountInString(text) > most:
		f.fault(line, "The %s must be %d characters or fewer.", name, most)
	case text != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(text)[0]):
		f.fault(line, "The %s must not begin with “%c”: a spreadsheet would take it for a formula.", name, []rune(text)[0])
	}
}

// readStaff reads a headcount; empty is 0, not known.
func (f *siteFile) readStaff(line int, text string) int {
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > maxStaff {
		f.fault(line, "The staff “%.20s” must be a whole number from 0 to 100000, without commas.", text)
		return 0
	}
	return int(n)
}
