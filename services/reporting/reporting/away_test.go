package reporting

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/mongotest"
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
	for name, res := range map[string]webtest.Response{
		"a page":     k.get(rep, "/incidents/"),
		"figures":    k.get(rep, "/figures/"),
		"a change":   k.post(admin, "/people/", url.Values{"name": {"Demo Other"}, "role": {"manager"}, "password": {demoPassword}}),
		"signing in": k.post(nobody, "/sign-in/", url.Values{"name": {rep}, "password": {demoPassword}}),
		"the API":    k.get(nobody, "/api/v1/incidents", "Authorization", "Bearer "+token.Secret),
	} {
		if after := res.Header.Get("Retry-After"); res.StatusCode != 503 || after == "" || !strings.Contains(res.Body, "cannot be reached at this moment") {
			t.Errorf("%s: status=%d Retry-After=%q, want 503, when to try again, and why:\n%s", name, res.StatusCode, after, res.Body)
		}
	}
}

func TestADiskThatDoesNotWorkIsSaidToBeSo(t *testing.T) {
	err := explain(fmt.Errorf("put: %w: disk full", store.ErrBroken))
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("%v, want Unavailable, and the cause for the log", err)
	}
	for _, err := range []error{nil, store.ErrNotFound, errNoSite} {
		if explain(err) != err {
			t.Errorf("%v was explained", err)
		}
	}
}
