// Package webtest drives an application as a browser would and checks what
// every page must have.
package webtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/onrecord/onrecord/pkg/web"
)

// Assets returns the built assets, or ends the test saying how to build them.
func Assets(tb testing.TB) *web.Assets {
	tb.Helper()
	a, err := web.LoadAssets()
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// Response is an answer with its body read.
type Response struct {
	*http.Response
	Body string
}

// Document parses the body as HTML, without what stands in templates: that is
// no part of the page until script puts it there.
func (r Response) Document(tb testing.TB) *goquery.Document {
	tb.Helper()
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(r.Body))
	if err != nil {
		tb.Fatal(err)
	}
	doc.Find("template").Remove()
	return doc
}

// Do sends a request with headers given as pairs.
func Do(tb testing.TB, app *web.App, method, path, body string, headers ...string) Response {
	tb.Helper()
	req := httptest.NewRequestWithContext(tb.Context(), method, path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := app.Test(req)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	return Response{res, string(b)}
}

// Get asks for a page as a browser does.
func Get(tb testing.TB, app *web.App, path string, headers ...string) Response {
	tb.Helper()
	return Do(tb, app, http.MethodGet, path, "", append([]string{"Accept", "text/html"}, headers...)...)
}

// PostForm sends a form as a browser does from a page of the same site.
func PostForm(tb testing.TB, app *web.App, path string, form url.Values, headers ...string) Response {
	tb.Helper()
	return Do(tb, app, http.MethodPost, path, form.Encode(), append([]string{"Accept", "text/html",
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin"}, headers...)...)
}

// CheckPage fails the test for a page that breaks a rule every page keeps: a
// title, a language, one h1, labelled controls, unique ids, links that lead
// somewhere, no inline script or style, curly apostrophes.
func CheckPage(tb testing.TB, doc *goquery.Document) {
	tb.Helper()
	if doc.Find("html").AttrOr("lang", "") == "" {
		tb.Error("the page has no language")
	}
	title := strings.TrimSpace(doc.Find("title").Text())
	if len(title) < 10 {
		tb.Errorf("title=%q is too short to tell the page by", title)
	}
	if n := doc.Find("h1").Length(); n != 1 {
		tb.Errorf("h1 count=%d, want 1", n)
	}
	var ids []string
	doc.Find("[id]").Each(func(_ int, s *goquery.Selection) {
		id := s.AttrOr("id", "")
		if slices.Contains(ids, id) {
			tb.Errorf("id %q stands twice", id)
		}
		ids = append(ids, id)
	})
	doc.Find("input, select, textarea").Each(func(_ int, s *goquery.Selection) {
		if t := s.AttrOr("type", ""); t == "hidden" || t == "submit" {
			return
		}
		id := s.AttrOr("id", "")
		if doc.Find(`label[for="`+id+`"]`).Length() == 0 && s.AttrOr("aria-label", "") == "" {
			tb.Errorf("control %q (%s) has no label", s.AttrOr("name", ""), id)
		}
	})
	doc.Find("a[href^='#']").Each(func(_ int, s *goquery.Selection) {
		if id := strings.TrimPrefix(s.AttrOr("href", ""), "#"); !slices.Contains(ids, id) {
			tb.Errorf("link to #%s leads nowhere", id)
		}
	})
	doc.Find("[aria-describedby], [aria-labelledby]").Each(func(_ int, s *goquery.Selection) {
		for _, id := range strings.Fields(s.AttrOr("aria-describedby", "") + " " + s.AttrOr("aria-labelledby", "")) {
			if !slices.Contains(ids, id) {
				tb.Errorf("%s is described by #%s, which is not there", goquery.NodeName(s), id)
			}
		}
	})
	if n := doc.Find("script:not([src]), style, [style], [onclick]").Length(); n > 0 {
		tb.Errorf("%d inline scripts or styles: the content security policy blocks them", n)
	}
	if text := doc.Find("body").Text(); strings.Contains(text, "'") {
		at := strings.Index(text, "'")
		tb.Errorf("straight apostrophe in %q", text[max(0, at-20):min(len(text), at+20)])
	}
}
