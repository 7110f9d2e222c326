package web_test

import (
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/web/webtest"
)

// A phone on one bar of signal waits for every kilobyte.
func TestAssetsKeepTheirBudgets(t *testing.T) {
	app, assets := newApp(t), webtest.Assets(t)
	for name, limit := range map[string]int{"app.css": 12 << 10, "report.css": 9 << 10, "app.js": 12 << 10, "boot.js": 512, "icon.svg": 1 << 10,
		"app.webmanifest": 1 << 10, "icon-180.png": 4 << 10, "icon-192.png": 4 << 10, "icon-512.png": 8 << 10} {
		path, err := assets.URL(name)
		if err != nil {
			t.Fatal(err)
		}
		got := webtest.Get(t, app, path, "Accept-Encoding", "gzip")
		packed := "gzip"
		if strings.HasSuffix(name, ".png") {
			packed = "" // in its own way
		}
		if got.StatusCode != 200 || got.Header.Get("Content-Encoding") != packed || len(got.Body) > limit {
			t.Errorf("%s: status %d, packed by %q, %d bytes, want %d at most", name, got.StatusCode, got.Header.Get("Content-Encoding"), len(got.Body), limit)
		}
		if plain := webtest.Get(t, app, path).Body; strings.Contains(plain, "GDS Transport") || strings.Contains(plain, "url(") {
			t.Errorf("%s names a font or file that may not be used here", name)
		}
	}
}
