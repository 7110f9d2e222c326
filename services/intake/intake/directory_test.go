package intake

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/pkg/sitecode"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

// Whoever knows no code may send a long text in its place. Read anew for each of
// five thousand sites, it cost four seconds of a core.
func TestACodeIsReadOnceForAllSites(t *testing.T) {
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	sites := make([]*onrecordv1.Site, 2000)
	for n := range sites {
		sites[n] = &onrecordv1.Site{Id: fmt.Sprintf("site-%d", n), Name: "A place", CodeGeneration: 1}
	}
	d := newDirectory(sites)
	typed := strings.Repeat("O", 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	open := d.opens(keys, incident.SiteUnlisted, typed)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; open || took > 16<<20 {
		t.Errorf("open=%v, and %d MiB were taken to find that out", open, took>>20)
	}
	code := sitecode.Of(keys, "site-7", 1)
	for site, want := range map[string]bool{incident.SiteUnlisted: true, "site-7": true, "site-8": false} {
		if d.opens(keys, site, code) != want {
			t.Errorf("the code of site-7 opens %s: %v, want %v", site, !want, want)
		}
	}
}
