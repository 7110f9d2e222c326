package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	cdp "github.com/chromedp/chromedp"
)

// A photo is added by the receipt, as a phone does it: without signal nothing is
// sent, and the page says so; then it goes, made small and without its place.
func TestAPhotoIsAddedByReceipt(t *testing.T) {
	_, p, w, rep := phoneKit(t)
	a := mustCall(t, "POST", p.url+"/api/v1/reports", report(newID(), nil), "Content-Type", "application/json")
	var filed struct{ Receipt string }
	if err := json.Unmarshal([]byte(a.body), &filed); err != nil {
		t.Fatal(err)
	}
	wantIncidents(t, p, rep, 1)
	b := openBrowser(t)
	b.open(w.url + "/follow-up/")
	b.fill("#receipt", filed.Receipt)
	b.do("look it up", cdp.Click(css("main button.govuk-button")), cdp.WaitVisible(css("#standing")))
	const words = "Demo: this is the door."
	b.do("choose a photo", cdp.SetUploadFiles(css("#photo"), []string{photograph(t)}, cdp.NodeReady))
	b.fill("#text", words)
	signal := func(there bool) {
		t.Helper()
		b.do("signal", cdp.Func(func(ctx context.Context, _ *cdp.Target) error {
			_, err := cdp.Call(ctx, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: !there, DownloadThroughput: -1, UploadThroughput: -1})
			return err
		}))
	}
	signal(false)
	b.do("send without signal", cdp.Tap(css("#add button")), cdp.WaitVisible(css("#add .app-net")))
	b.wantText("without signal", "No signal: nothing was sent")
	b.picture("follow-up-no-signal-phone")
	if kept := js[string](b, `document.querySelector('#text').value + document.querySelector('#photo').files.length`); kept != words+"1" {
		t.Errorf("without signal the page keeps %q", kept)
	}
	signal(true)
	eventually(t, func() error { // a second tap so soon after the first is taken for one
		if sent := js[bool](b, `document.querySelector('.govuk-notification-banner') ? true : (document.querySelector('#add button')?.click(), false)`); !sent {
			return errors.New("it was not sent")
		}
		return nil
	})
	b.wantText("what was added", "You added photos.", words, "up to 4 more")
	b.look("follow-up-photo")

	id := incidents(t, p.url, rep, "").Incidents[0].ID
	var detail struct{ Photos []struct{ Width, Height int } }
	eventually(t, func() error {
		getJSON(t, p.url+"/api/v1/incidents/"+id, rep, &detail)
		if len(detail.Photos) != 1 {
			return fmt.Errorf("%d photos", len(detail.Photos))
		}
		return nil
	})
	if detail.Photos[0].Width != 1600 || detail.Photos[0].Height != 1200 {
		t.Errorf("the photo is %+v", detail.Photos[0])
	}
	if a := mustCall(t, "GET", p.url+"/api/v1/incidents/"+id+"/photos/1", "", "Authorization", "Bearer "+rep); a.status != 200 || len(a.body) > 400_000 || strings.Contains(a.body, secretPlace) {
		t.Errorf("a rep asks for the photo: %d, %d bytes", a.status, len(a.body))
	}
}
