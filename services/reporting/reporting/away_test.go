package reporting

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/pkg/web/webtest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Whoever asks while the database is away is told that it is no mistake of
// theirs, what is safe and what to do, and not that something broke.
func TestADatabaseThatIsAwayIsSaidToBeAway(t *testing.T) {
	k := newKit(t)
	server := mongotest.StartIn(t, t.TempDir())
	k.cfg.Database = server.URI + "onrecord?serverSelectionTimeoutMS=200"
	k.open()
	for _, u := range []NewUser{{Name: rep, Role: "rep"}, {Name: admin, Role: "administrator"}} {
		u.Password = demoPassword
		if err := k.AddUser(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		k.signInAs(u.Name)
	}
	token, err := k.CreateToken(t.Context(), NewToken{Role: "rep"})
	if err != nil {
		t.Fatal(err)
	}
	k.page(rep, "/incidents/", 200)
	server.Stop()
	away := func(name string, res webtest.Response) {
		t.Helper()
		if after := res.Header.Get("Retry-After"); res.StatusCode != 503 || after == "" || !strings.Contains(res.Body, "cannot be reached at this moment") {
			t.Errorf("%s: status=%d Retry-After=%q, want 503, when to try again, and why:\n%s", name, res.StatusCode, after, res.Body)
		}
	}
	away("signing in", k.post(nobody, "/sign-in/", url.Values{"name": {rep}, "password": {demoPassword}}))
	var asked sync.WaitGroup
	for _, r := range k.Routes() {
		if slices.Contains(r.Who, web.Anyone) { // who asks is not looked up
			continue
		}
		path := strings.NewReplacer(":id", "1", ":n", "1", ":month", "2026-10", ":edition", "1").Replace(r.Path)
		asked.Go(func() {
			switch {
			case strings.HasPrefix(path, "/api/"):
				away(r.Method+" "+path, webtest.Do(t, k.app, r.Method, path, "", "Authorization", "Bearer "+token.Secret))
			case r.Method == "POST":
				away(r.Method+" "+path, k.post(rep, path, url.Values{}))
			default:
				away(r.Method+" "+path, k.get(rep, path))
			}
		})
	}
	asked.Wait()
}

// Where the disk is full, the stream may be on it too: nobody is told to go on.
func TestADiskThatDoesNotWorkIsSaidToBeSo(t *testing.T) {
	err := explain(fmt.Errorf("put: %w: no room", store.ErrBroken))
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "no room") {
		t.Errorf("%v, want Unavailable, and the cause for the log", err)
	}
	if said := fault.As(err).Message; !strings.Contains(said, "its disk is full or does not work") || strings.Contains(said, "go on reporting") {
		t.Errorf("people are told %q", said)
	}
	for _, err := range []error{nil, store.ErrNotFound, errNoSite} {
		if explain(err) != err { //nolint:errorlint // the error itself, and nothing around it
			t.Errorf("%v was explained", err)
		}
	}
}
