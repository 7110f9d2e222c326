package intake_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/web/webtest"
)

func TestTheShellHoldsNoIdAndNoReceipt(t *testing.T) {
	p := start(t)
	shell, page := webtest.Get(t, p.app, "/report/shell"), webtest.Get(t, p.app, "/report/")
	webtest.CheckPage(t, shell.Document(t))
	uuid, receipt := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-`), regexp.MustCompile(`[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}`)
	if !uuid.MatchString(page.Body) {
		t.Error("the page itself has no id: without script it could be filed twice")
	}
	for _, wrong := range []*regexp.Regexp{uuid, receipt} {
		if found := wrong.FindString(shell.Body); found != "" {
			t.Errorf("the shell holds %s", found)
		}
	}
	// But for the id it is the page.
	id := page.Document(t).Find("input[name=id]").AttrOr("value", "")
	if strings.Replace(page.Body, id, "", 1) != shell.Body {
		t.Error("the shell is another page than the form")
	}
	if again := webtest.Get(t, p.app, "/report/shell"); again.Body != shell.Body {
		t.Error("two shells differ: the phone would fetch it anew each time")
	}
}

func TestTheWorkersVersionChangesWithThePageItKeeps(t *testing.T) {
	few, many := start(t), start(t, manySites()...)
	version := func(p *program, headers ...string) string {
		got := webtest.Get(t, p.app, "/report/worker.js", headers...)
		if got.StatusCode != 200 || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/javascript") || got.Header.Get("Cache-Control") != "private, no-cache" {
			t.Fatalf("%d %v", got.StatusCode, got.Header)
		}
		found := regexp.MustCompile(`"report-([0-9a-f]{12})"`).FindStringSubmatch(got.Body)
		if found == nil {
			t.Fatalf("the worker has no version: %.80s", got.Body)
		}
		for _, path := range []string{"/report/", "/report/shell"} {
			if etag := webtest.Get(t, p.app, path, headers...).Header.Get("ETag"); etag != `W/"`+found[1]+`"` {
				t.Errorf("%s: ETag=%s, and the worker’s version is %s", path, etag, found[1])
			}
		}
		return found[1]
	}
	versions := []string{version(few), version(many), version(few, "Accept-Language", "cy")}
	if again := version(few); again != versions[0] {
		t.Error("the version changes by itself")
	}
	if slices.Sort(versions); len(slices.Compact(versions)) != 3 {
		t.Errorf("other pages have the same version: %v", versions)
	}
}

// A phone on one bar of signal waits for every kilobyte: the page, all it loads,
// and the worker, which keeps what was loaded and loads nothing again.
func TestTheFirstVisitKeepsItsBudget(t *testing.T) {
	p := start(t)
	size := func(path string) int {
		got := webtest.Get(t, p.app, path, "Accept-Encoding", "gzip")
		if got.StatusCode != 200 {
			t.Fatalf("%s: %d", path, got.StatusCode)
		}
		t.Logf("%6d %s", len(got.Body), path)
		return len(got.Body)
	}
	sum := size("/report/who")
	if worker := size("/report/worker.js"); worker > 2<<10 {
		t.Errorf("the worker has %d bytes, want 2 KiB at most", worker)
	} else {
		sum += worker
	}
	sum += size("/report/")
	doc := webtest.Get(t, p.app, "/report/").Document(t)
	for _, what := range []string{"link[rel=stylesheet]", "link[rel=icon]", "link[rel=manifest]", "script[src]"} {
		for _, n := range doc.Find(what).EachIter() {
			sum += size(n.AttrOr("href", n.AttrOr("src", "")))
		}
	}
	if sum > 35<<10 {
		t.Errorf("a first visit loads %d bytes, want 35 KiB at most", sum)
	}
	t.Logf("%6d in all", sum)
}

func TestThePageForThePhoneItself(t *testing.T) {
	p := start(t)
	page := webtest.Get(t, p.app, "/report/phone/")
	webtest.CheckPage(t, page.Document(t))
	who := webtest.Get(t, p.app, "/report/who")
	if who.Body != `{"person":"","nav":[{"href":"/report/","text":"Report"},{"href":"/follow-up/","text":"Follow up"}]}` || who.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("who=%s %v", who.Body, who.Header)
	}
	mine := p.postForm(t, filled(newID(t), "person", "0123456789abcdef01234567"), "Accept", "application/json")
	if mine.StatusCode != 401 || !strings.Contains(mine.Body, "another_person") {
		t.Errorf("a report that somebody wrote signed in, sent by nobody: %d %s", mine.StatusCode, mine.Body)
	}
}
