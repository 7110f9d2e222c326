// Package poster draws the sheet that hangs where staff work: a code to scan
// with a phone, and the address to type.
package poster

import (
	"fmt"
	"html"
	"net/url"
	"strings"

	"rsc.io/qr"
)

// Address returns what the code says: the form, with the site and its code
// filled in. base is where the program is reached, "https://onrecord.example.org".
func Address(base, site, code string) string {
	return strings.TrimSuffix(base, "/") + "/report/?" + url.Values{"site": {site}, "code": {code}}.Encode()
}

// SVG returns the sheet, A4 upright, in English and Welsh.
func SVG(base, site, name, code string) (string, error) {
	drawn, err := qr.Encode(Address(base, site, code), qr.M)
	if err != nil {
		return "", fmt.Errorf("poster: %w", err)
	}
	var b strings.Builder
	fmt.Fprint(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="app-poster" role="img" aria-labelledby="poster-title" viewBox="0 0 210 297" font-family="system-ui, sans-serif" text-anchor="middle"><title id="poster-title">`,
		html.EscapeString("Poster for "+name), `</title><rect width="210" height="297" fill="#fff"/><rect width="210" height="62" fill="#0b4f57"/>`)
	line := func(y, size float64, weight, fill, text string) {
		fmt.Fprintf(&b, `<text x="105" y="%.1f" font-size="%.1f" font-weight="%s" fill="%s"%s>%s</text>`, y, size, weight, fill, fitted(text, size), html.EscapeString(text))
	}
	line(24, 11.5, "700", "#fff", "Abused, hurt or in danger at work?")
	line(36, 7.5, "400", "#fff", "Report it in a minute. You need not give your name.")
	line(48, 7.5, "400", "#fff", "Wedi cael eich cam-drin, eich anafu neu mewn perygl?")
	line(57, 6, "400", "#fff", "Adroddwch mewn munud. Nid oes rhaid rhoi eich enw.")
	const side, top = 110.0, 76.0
	unit := side / float64(drawn.Size)
	fmt.Fprintf(&b, `<path fill="#0b0c0c" d="`)
	for y := range drawn.Size {
		for x := range drawn.Size {
			if drawn.Black(x, y) {
				fmt.Fprintf(&b, "M%.3f %.3fh%.3fv%.3fh-%.3fz", 50+float64(x)*unit, top+float64(y)*unit, unit, unit, unit)
			}
		}
	}
	fmt.Fprint(&b, `"/>`)
	line(200, 5.2, "700", "#0b0c0c", "Scan this with your phone’s camera · Sganiwch hwn â chamera eich ffôn")
	line(216, 9, "700", "#0b4f57", strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(base, "/"), "https://"), "http://")+"/report/")
	line(229, 7.5, "400", "#0b0c0c", name)
	line(240, 7.5, "400", "#0b0c0c", "Site code · Cod y safle: "+code)
	line(262, 6, "400", "#0b0c0c", "It goes to your safety reps. You get a code to see what is done.")
	line(271, 6, "400", "#0b0c0c", "Mae’n mynd at eich cynrychiolwyr diogelwch. Cewch god i weld beth a wneir.")
	line(285, 7, "700", "#a5281b", "In an emergency call 999 · Mewn argyfwng ffoniwch 999")
	b.WriteString(`</svg>`)
	return b.String(), nil
}

// fitted keeps a long line within the sheet.
func fitted(text string, size float64) string {
	const wide = 190.0
	if float64(len([]rune(text)))*size*0.55 <= wide {
		return ""
	}
	return fmt.Sprintf(` textLength="%.0f" lengthAdjust="spacingAndGlyphs"`, wide)
}
