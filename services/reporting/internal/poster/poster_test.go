package poster_test

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/services/reporting/internal/poster"
)

func TestThePosterIsOneDrawingWithItsWordsEscaped(t *testing.T) {
	svg, err := poster.SVG("https://onrecord.example.org/", "demo-north", `Demo <b> & "North"`, "7K3M-Q2XF-91AB")
	if err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"onrecord.example.org/report/", "7K3M-Q2XF-91AB", "Demo &lt;b&gt; &amp;", "Adroddwch", `<path fill="#0b0c0c" d="M`} {
		if !strings.Contains(svg, want) {
			t.Errorf("%q is not on it", want)
		}
	}
	if strings.Contains(svg, "style=") || strings.Contains(svg, "<script") {
		t.Error("the page’s policy would refuse it")
	}
	if got := poster.Address("http://localhost:8080", "demo-north", "7K3M-Q2XF-91AB"); got != "http://localhost:8080/report/?code=7K3M-Q2XF-91AB&site=demo-north" {
		t.Errorf("address=%s", got)
	}
	if _, err := poster.SVG("https://"+strings.Repeat("x", 5000), "s", "n", "c"); err == nil {
		t.Error("an address that is too long for a code is drawn")
	}
}
