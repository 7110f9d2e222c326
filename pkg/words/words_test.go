package words

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/fault"
)

// Where a reporter's words come from. Whatever only programs read (the API's
// JSON) and only staff read is English.
var sources = []string{"../web", "../bus", "../fault", "../incident", "../../services/intake"}

var programsOnly = []string{"../../services/intake/internal/filing/json.go", "../../services/intake/intake/api.go"}

var inTemplate = regexp.MustCompile(`[({ ]t ("(?:[^"\\]|\\.)*")`)

// said returns every sentence that the sources say, with a place of each.
func said(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	note := func(literal, place string) {
		text, err := strconv.Unquote(literal)
		if err != nil {
			t.Fatalf("%s: %s: %v", place, literal, err)
		}
		if text != "" && text != "%s" {
			found[text] = place
		}
	}
	for _, dir := range sources {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "frontend" || d.Name() == "testdata" || d.Name() == "webtest" || d.Name() == "bustest"):
				return fs.SkipDir
			case strings.HasSuffix(path, "_test.go"), slices.Contains(programsOnly, filepath.ToSlash(path)):
				return nil
			case strings.HasSuffix(path, ".html"):
				text, err := os.ReadFile(path)
				for _, m := range inTemplate.FindAllStringSubmatch(string(text), -1) {
					note(m[1], path)
				}
				return err
			case strings.HasSuffix(path, ".go"):
				file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
				if err == nil {
					sentences(file, func(literal string) { note(literal, path) })
				}
				return err
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// sayers are the functions whose argument of that number is a sentence.
var sayers = map[string]int{"Say": 0, "say": 0, "Text": 0, "New": 2, "Wrong": 1, "wrong": 1}

// sentences calls note with every literal that is said.
func sentences(file *ast.File, note func(literal string)) {
	texts := func(exprs ...ast.Expr) {
		for _, e := range exprs {
			if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
				note(l.Value)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			name, from := "", ""
			switch f := n.Fun.(type) {
			case *ast.Ident:
				name = f.Name
			case *ast.SelectorExpr:
				name = f.Sel.Name
				if x, ok := f.X.(*ast.Ident); ok {
					from = x.Name
				}
			}
			at, ok := sayers[name]
			if own := file.Name.Name == "fault" && from == ""; !ok || name == "New" && from != "fault" && !own {
				return true
			}
			if name == "wrong" && len(n.Args) > 0 && isSentence(n.Args[0]) {
				at = 0 // without a field
			}
			if at < len(n.Args) {
				texts(n.Args[at])
			}
		case *ast.CompositeLit: // map[…]fault.Text
			if m, ok := n.Type.(*ast.MapType); ok && isText(m.Value) {
				for _, e := range n.Elts {
					texts(e.(*ast.KeyValueExpr).Value)
				}
			}
		}
		return true
	})
}

func isSentence(e ast.Expr) bool {
	l, ok := e.(*ast.BasicLit)
	return ok && strings.Contains(l.Value, " ")
}

func isText(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Text"
}

func TestEverySentenceHasItsWelshAndNoWelshIsLeftOver(t *testing.T) {
	entries, err := read(cy)
	if err != nil {
		t.Fatal(err)
	}
	uses := said(t)
	if len(uses) < 100 {
		t.Fatalf("only %d sentences were found: the search is broken", len(uses))
	}
	have := make(map[string]string)
	for _, e := range entries {
		if _, twice := have[e.english]; twice {
			t.Errorf("stands twice in cy.po: %q", e.english)
		}
		have[e.english] = e.translated
		if uses[e.english] == "" {
			t.Errorf("nothing says %q any more: take it out of cy.po", e.english)
		}
		if e.translated == "" {
			t.Errorf("%q has no Welsh", e.english)
		}
	}
	for _, english := range slices.Sorted(maps.Keys(uses)) {
		if _, ok := have[english]; !ok {
			t.Errorf("%s says what has no Welsh in cy.po:\nmsgid %s", uses[english], strconv.Quote(english))
		}
	}
}

var (
	verb   = regexp.MustCompile(`%(?:\[\d+\])?[a-z]`)
	markup = regexp.MustCompile(`[<>]|'`)
)

func TestTranslationsHoldWhatTheSentenceHolds(t *testing.T) {
	entries, err := read(cy)
	if err != nil {
		t.Fatal(err)
	}
	awaiting := 0
	for _, e := range entries {
		want, got := verb.FindAllString(e.english, -1), verb.FindAllString(e.translated, -1)
		if !slices.Equal(want, got) {
			t.Errorf("%q has %v and its Welsh %v, in that order", e.english, want, got)
		}
		if markup.MatchString(e.translated) {
			t.Errorf("%q: markup or a straight apostrophe", e.translated)
		}
		if e.awaits {
			awaiting++
		}
	}
	if banner := strings.Contains(cy, "AWAITING REVIEW"); banner != (awaiting > 0) {
		t.Errorf("%d entries await review, and the head of the file says so: %v", awaiting, banner)
	}
}

func TestSaying(t *testing.T) {
	field := fault.Wrong("narrative", "%s must be %s characters or fewer.", fault.Text("What happened"), "5,000")
	for _, c := range []struct{ got, want string }{
		{Of("cy-GB").Say("Report"), "Adrodd"},
		{Of("CY").Say("Not a sentence of ours"), "Not a sentence of ours"},
		{Of("fr").Say("Report"), "Report"},
		{Welsh.Fields([]fault.Field{field})[0].Message, "Beth ddigwyddodd: 5,000 o nodau neu lai."},
		{English.Fields([]fault.Field{field})[0].Message, "What happened must be 5,000 characters or fewer."},
		{Welsh.Fault(fault.New(fault.NotFound, "x", "Your account may not open this.")).Message, Welsh.Say("Your account may not open this.")},
		{Welsh.Moment(time.Date(2026, 11, 21, 15, 4, 0, 0, time.UTC)), "dydd Sadwrn 21 Tachwedd 2026, 3:04pm"},
		{Welsh.Day(time.Date(2026, 11, 21, 15, 4, 0, 0, time.UTC)), "dydd Sadwrn 21 Tachwedd"},
		{English.Day(time.Date(2026, 11, 21, 15, 4, 0, 0, time.UTC)), "Saturday 21 November"},
		{English.Moment(time.Date(2026, 11, 21, 15, 4, 0, 0, time.UTC)), "Saturday 21 November 2026, 3:04pm"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestACatalogueThatCannotBeRead(t *testing.T) {
	for _, po := range []string{"msgid nothing\n", "\"goes on from nowhere\"\n", "msgid \"a\"\nmsgstr \"b\n"} {
		if _, err := read(po); err == nil {
			t.Errorf("%q was read", po)
		}
	}
}
