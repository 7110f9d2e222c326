package people

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/fault"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

const header = "id,name,kind,postcode,region,employer,staff\n"

func TestImportSites(t *testing.T) {
	s, _, _ := open(t)
	file := "\xef\xbb\xbfstaff, Name ,id,kind,postcode,region,employer\r\n" +
		"120,\"Leeds, Park Row\",leeds-park-row,jobcentre,LS1 5HD,Yorkshire,Civil Service\r\n" +
		",York “Monkgate”,york,assessment_centre,,,Northern Guarding\r\n" +
		",,,,,,\r\n\r\n"
	got, err := s.ImportSites(t.Context(), strings.NewReader(file))
	if want := (Imported{Added: 2, Total: 2}); err != nil || got != want {
		t.Fatalf("ImportSites=%+v, %v, want %+v", got, err, want)
	}
	want := []store.Site{
		{ID: "leeds-park-row", Name: "Leeds, Park Row", Kind: "jobcentre", Postcode: "LS1 5HD", Region: "Yorkshire", Employer: "Civil Service", Staff: 120},
		{ID: "york", Name: "York “Monkgate”", Kind: "assessment_centre", Employer: "Northern Guarding"},
	}
	if sites, err := s.Directory(t.Context()); err != nil || !reflect.DeepEqual(sites, want) {
		t.Errorf("Directory=%+v, %v, want %+v", sites, err, want)
	}

	again, err := s.ImportSites(t.Context(), strings.NewReader(header+
		"york,York “Monkgate”,assessment_centre,,,Northern Guarding,\n"+
		"leeds-park-row,Leeds,jobcentre,LS1 5HD,Yorkshire,Civil Service,120\n"+
		"hull,Hull,,,,,0\n"))
	if want := (Imported{Added: 1, Changed: 1, Unchanged: 1, Total: 3}); err != nil || again != want {
		t.Errorf("ImportSites=%+v, %v, want %+v", again, err, want)
	}
	more, err := s.ImportSites(t.Context(), strings.NewReader(header+"hull,Hull,,,,,7"))
	if want := (Imported{Changed: 1, Total: 3}); err != nil || more != want {
		t.Errorf("a file that names one site: %+v, %v, want %+v: the others stay", more, err, want)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, field, says string }{
		"empty":               {"", "file", "id,name,kind"},
		"header alone":        {header, "file", "no sites"},
		"an extra column":     {"id,name,kind,postcode,region,employer,staff,phone\n", "file", "“phone”"},
		"a column twice":      {"id,name,kind,postcode,region,employer,staff,ID\n", "file", "“id”"},
		"a missing column":    {"id,name,kind,postcode,region,staff\n", "file", "employer"},
		"semicolons":          {"id;name;kind;postcode;region;employer;staff\n", "file", "commas"},
		"Windows-1252":        {header + "leeds,Leeds,,,,,\ncafe,Caf\xe9,,,,,\n", "file", "line 3. It looks like Windows-1252"},
		"UTF-16":              {"\xff\xfei\x00d\x00", "file", "UTF-16"},
		"a broken header":     {"id,na\"me\n", "file", "quotation mark"},
		"too few fields":      {header + "leeds,Leeds\n", "line 2", "2 fields, and 7 columns"},
		"too many fields":     {header + "leeds,Leeds,,,,,1,200\n", "line 2", "8 fields"},
		"no id":               {header + ",Leeds,,,,,\n", "line 2", "1 to 40 small letters"},
		"capitals in the id":  {header + "Leeds,Leeds,,,,,\n", "line 2", "“Leeds”"},
		"a long id":           {header + strings.Repeat("x", 41) + ",Leeds,,,,,\n", "line 2", "1 to 40"},
		"the reserved id":     {header + "unlisted,Leeds,,,,,\n", "line 2", "not in the list"},
		"an id twice":         {header + "a,A,,,,,\nb,B,,,,,\na,C,,,,,\n", "line 4", "line 2 too"},
		"no name":             {header + "leeds,,,,,,\n", "line 2", "name is missing"},
		"a formula":           {header + "leeds,=HYPERLINK(1),,,,,\n", "line 2", "“=”"},
		"a wide formula":      {header + "leeds,＝1+1,,,,,\n", "line 2", "“＝”"},
		"an employer formula": {header + "leeds,Leeds,,,,@SUM,\n", "line 2", "employer"},
		"a line end in it":    {header + "leeds,\"Leeds\nPark Row\",,,,,\n", "line 2", "line end"},
		"a long name":         {header + "leeds," + strings.Repeat("é", 121) + ",,,,,\n", "line 2", "120 characters"},
		"a long region":       {header + "leeds,Leeds,,," + strings.Repeat("x", 81) + ",,\n", "line 2", "80 characters"},
		"negative staff":      {header + "leeds,Leeds,,,,,-1\n", "line 2", "0 to 100000"},
		"too many staff":      {header + "leeds,Leeds,,,,,100001\n", "line 2", "0 to 100000"},
		"staff in words":      {header + "leeds,Leeds,,,,,\"1,200\"\n", "line 2", "without commas"},
		"a loose quote":       {header + "a,A,,,,,\nleeds,Le\"eds,,,,,\n", "line 3", "quotation mark"},
		"a quote left open":   {header + "leeds,\"Leeds,,,,,\nyork,York,,,,,\n", "line 2", "quotation mark is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, _ := open(t)
			importSites(t, s, "old,Old,,,,,")
			_, err := s.ImportSites(t.Context(), strings.NewReader(c.file))
			f := fault.As(err)
			if f.Kind != fault.Invalid || len(f.Fields) != 1 || f.Fields[0].Name != c.field || !strings.Contains(f.Fields[0].Message, c.says) {
				t.Errorf("got %v, %+v, want %s to say %q", err, f.Fields, c.field, c.says)
			}
			if sites, err := s.Directory(t.Context()); err != nil || len(sites) != 1 {
				t.Errorf("the directory holds %+v, %v, want it as it was", sites, err)
			}
		})
	}
}

func TestEveryBadLineIsNamedUpToTwenty(t *testing.T) {
	s, _, _ := open(t)
	var file strings.Builder
	file.WriteString(header + "good,Good,,,,,\n")
	for i := range 30 {
		fmt.Fprintf(&file, "site-%d,,,,,,many\n", i)
	}
	_, err := s.ImportSites(t.Context(), strings.NewReader(file.String()))
	f := fault.As(err)
	if len(f.Fields) != problemsNamed+1 || f.Fields[0].Name != "line 3" || f.Fields[1].Name != "line 3" || f.Fields[19].Name != "line 12" ||
		f.Fields[20].Message != "There are 40 more." {
		t.Errorf("got %+v", f.Fields)
	}
	if sites, err := s.Directory(t.Context()); err != nil || len(sites) != 0 {
		t.Errorf("the good line was imported alone: %+v, %v", sites, err)
	}
}

func TestTheDirectoryIsBounded(t *testing.T) {
	file := func(from, to, name int) string {
		var b strings.Builder
		b.WriteString(header)
		for i := from; i < to; i++ {
			fmt.Fprintf(&b, "site-%d,%s,,,,,\n", i, strings.Repeat("n", name))
		}
		return b.String()
	}
	s, _, _ := open(t)
	if got, err := s.ImportSites(t.Context(), strings.NewReader(file(0, maxSites, 10))); err != nil || got.Total != maxSites {
		t.Fatalf("%d sites: %+v, %v", maxSites, got, err)
	}
	for name, text := range map[string]string{
		"one site more":      file(maxSites, maxSites+1, 10),
		"more in one file":   file(0, maxSites+1, 10),
		"long names":         header + strings.ReplaceAll(strings.TrimPrefix(file(0, maxSites, 120), header), ",,,,,", ","+strings.Repeat("k", 60)+",,,,"),
		"a file of any size": header + strings.Repeat("x", maxSitesFile),
	} {
		_, err := s.ImportSites(t.Context(), strings.NewReader(text))
		if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.TooLarge {
			t.Errorf("%s: err=%v, want it refused", name, err)
		}
	}
	if err := s.PublishDirectory(t.Context(), bustest.New(t)); err != nil {
		t.Errorf("the largest directory does not fit the bus: %v", err)
	}
}

// brokenReader fails in the middle of a file.
type brokenReader struct{}

func (brokenReader) Read(p []byte) (int, error) { return copy(p, header), errors.New("gone") }

func TestAFileThatEndsEarlyImportsNothing(t *testing.T) {
	s, _, _ := open(t)
	if _, err := s.ImportSites(t.Context(), brokenReader{}); fault.KindOf(err) != fault.Malformed {
		t.Errorf("err=%v, want Malformed", err)
	}
}

func TestPublishDirectory(t *testing.T) {
	s, _, _ := open(t)
	importSites(t, s, "leeds,Leeds,jobcentre,LS1 5HD,Yorkshire,Civil Service,120")
	b := bustest.New(t)
	if err := s.PublishDirectory(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	data := make(chan []byte, 1)
	if err := b.WatchDirectory(ctx, func(d []byte) { data <- d }); err != nil {
		t.Fatal(err)
	}
	got := &onrecordv1.SiteDirectory{}
	if err := proto.Unmarshal(<-data, got); err != nil {
		t.Fatal(err)
	}
	want := &onrecordv1.SiteDirectory{Sites: []*onrecordv1.Site{{Id: "leeds", Name: "Leeds", Kind: "jobcentre",
		Postcode: "LS1 5HD", Region: "Yorkshire", Employer: "Civil Service", Staff: 120}}}
	if !proto.Equal(got, want) {
		t.Errorf("published %v, want %v", got, want)
	}
}

func TestADirectoryIsPublishedWhenItChanged(t *testing.T) {
	s, _, _ := open(t)
	b := bustest.New(t)
	published := make(chan []byte, 16)
	if err := b.WatchDirectory(t.Context(), func(d []byte) { published <- d }); err != nil {
		t.Fatal(err)
	}
	publish := func(want uint32) {
		t.Helper()
		for range 3 {
			if err := s.PublishDirectory(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		got := &onrecordv1.SiteDirectory{}
		if err := proto.Unmarshal(<-published, got); err != nil {
			t.Fatal(err)
		}
		var staff uint32
		for _, site := range got.GetSites() {
			staff = site.GetStaff()
		}
		if staff != want || len(published) > 0 {
			t.Errorf("published with staff=%d, want %d, and %d times more", staff, want, len(published))
		}
	}
	publish(0) // an empty one
	importSites(t, s, "leeds,Leeds,jobcentre,LS1 5HD,Yorkshire,Civil Service,120")
	publish(120)
	importSites(t, s, "leeds,Leeds,jobcentre,LS1 5HD,Yorkshire,Civil Service,121")
	publish(121)
	// Another instance published what is not ours: what is stored counts.
	if err := b.UpdateDirectory(t.Context(), func() ([]byte, error) { return []byte{}, nil }); err != nil {
		t.Fatal(err)
	}
	<-published
	publish(121)
}

func TestEmployers(t *testing.T) {
	spelling := Employers([]store.Site{{ID: "c"}, {ID: "b", Employer: " Northern Guarding "}, {ID: "a", Employer: "NORTHERN GUARDING"}})
	for name, want := range map[string]string{
		"northern guarding": "Northern Guarding", " NORTHERN Guarding\n": "Northern Guarding", "Northern": "", "": "",
	} {
		if got := spelling(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func FuzzReadSites(f *testing.F) {
	f.Add([]byte(header + "leeds,Leeds,jobcentre,LS1 5HD,Yorkshire,Civil Service,120\n"))
	f.Add([]byte("\xef\xbb\xbf" + strings.ReplaceAll(header, "\n", "\r\n") + "a,\"b\"\"c\",,,,,\r\n"))
	f.Add([]byte(header + "a,\"b\n"))
	f.Add([]byte("id;name\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sites, err := readSites(bytes.NewReader(data))
		if err != nil {
			if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.TooLarge {
				t.Fatalf("err=%v, want what to mend", err)
			}
			if sites != nil {
				t.Fatalf("sites and an error: %+v, %v", sites, err)
			}
			return
		}
		if len(sites) == 0 || len(sites) > maxSites {
			t.Fatalf("%d sites", len(sites))
		}
		if err := store.CheckSites(sites); err != nil {
			t.Fatal(err)
		}
		for _, s := range sites {
			if !siteID.MatchString(s.ID) || s.ID == "unlisted" || s.Name == "" || s.Staff < 0 || s.Staff > maxStaff {
				t.Fatalf("accepted %+v", s)
			}
		}
		if _, err := proto.Marshal(message(sites)); err != nil {
			t.Fatalf("cannot be published: %v", err)
		}
	})
}
