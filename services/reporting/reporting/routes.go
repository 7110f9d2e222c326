package reporting

import (
	"errors"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/web"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// maxSitesBody bounds a file of sites: more than the directory holds.
const maxSitesBody = web.MaxBody

// Routes returns everything reporting answers, with who may call it. This
// table is the authorisation review: whoever is not named is refused.
//
// Reps see incidents of their own sites only; an incident at another's site is
// not found, and only reps of every site publish a month. Managers see no
// incident, and of figures what is published; administrators neither.
func (s *Service) Routes() []web.Route {
	var (
		anyone    = []web.Role{web.Anyone}
		signedIn  = []web.Role{web.RoleRep, web.RoleManager, web.RoleAdministrator}
		reps      = []web.Role{web.RoleRep}
		readers   = []web.Role{web.RoleRep, web.RoleManager}
		admins    = []web.Role{web.RoleAdministrator}
		get, post = http.MethodGet, http.MethodPost
	)
	routes := []web.Route{
		web.WithSlash("/sign-in/"),
		{Method: get, Path: "/sign-in/", Who: anyone, Handler: s.showSignIn},
		{Method: post, Path: "/sign-in/", Who: anyone, Handler: s.signIn},
		{Method: post, Path: "/sign-out", Who: signedIn, Handler: s.signOut},
		{Method: get, Path: "/setup", Who: anyone, Handler: s.showSetup},
		{Method: post, Path: "/setup", Who: anyone, Handler: s.setUp},

		web.WithSlash("/incidents/"),
		{Method: get, Path: "/incidents/", Who: reps, Handler: s.listIncidents},
		{Method: get, Path: "/incidents/floods/", Who: reps, Handler: s.listFloods},
		{Method: get, Path: "/incidents/floods/:id", Who: reps, Handler: s.showFlood},
		{Method: post, Path: "/incidents/floods/:id/set-aside", Who: reps, Handler: s.setFloodAside},
		{Method: post, Path: "/incidents/floods/:id/take-back", Who: reps, Handler: s.takeFloodBack},
		{Method: get, Path: "/api/v1/incidents/floods", Who: reps, Handler: s.listFloodsAPI},
		{Method: get, Path: "/api/v1/incidents/floods/:id", Who: reps, Handler: s.getFloodAPI},
		{Method: post, Path: "/api/v1/incidents/floods/:id/set-aside", Who: reps, Handler: s.setFloodAsideAPI},
		{Method: post, Path: "/api/v1/incidents/floods/:id/take-back", Who: reps, Handler: s.takeFloodBackAPI},
		{Method: get, Path: "/incidents/:id", Who: reps, Handler: s.showIncident},
		{Method: get, Path: "/incidents/:id/photos/:n", Who: reps, Handler: s.showPhoto},
		{Method: post, Path: "/incidents/:id/photos/:n/original", Who: reps, Handler: s.openOriginal},
		{Method: get, Path: "/api/v1/incidents/:id/photos/:n", Who: reps, Handler: s.showPhoto},
		{Method: post, Path: "/api/v1/incidents/:id/photos/:n/original", Who: reps, Handler: s.openOriginalAPI},
		{Method: get, Path: "/api/v1/incidents", Who: reps, Handler: s.listIncidentsAPI},
		{Method: get, Path: "/api/v1/incidents/:id", Who: reps, Handler: s.getIncidentAPI},

		web.WithSlash("/figures/"),
		{Method: get, Path: "/figures/", Who: readers, Handler: s.showFigures},
		{Method: get, Path: "/api/v1/figures", Who: readers, Handler: s.figuresAPI},
		web.WithSlash("/editions/"),
		{Method: get, Path: "/editions/", Who: readers, Handler: s.listEditions},
		{Method: get, Path: "/editions/:month/publish", Who: reps, Handler: s.showPublish},
		{Method: post, Path: "/editions/:month/publish", Who: reps, Handler: s.publish},
		{Method: get, Path: "/api/v1/editions", Who: readers, Handler: s.listEditionsAPI},
		{Method: get, Path: "/api/v1/editions/:month/:edition", Who: readers, Handler: s.getEditionAPI},
		{Method: post, Path: "/api/v1/editions/:month", Who: reps, Handler: s.publishAPI},

		web.WithSlash("/model/"),
		{Method: get, Path: "/model/", Who: readers, Handler: s.showModel},

		web.WithSlash("/people/"),
		{Method: get, Path: "/people/", Who: admins, Handler: s.listPeople},
		{Method: post, Path: "/people/", Who: admins, Handler: s.addPerson},
		{Method: get, Path: "/people/add/", Who: admins, Handler: s.showAddPerson},
		{Method: get, Path: "/people/:id", Who: admins, Handler: s.showPerson},
		{Method: post, Path: "/people/:id/password", Who: admins, Handler: s.setPersonPassword},
		{Method: post, Path: "/people/:id/disable", Who: admins, Handler: s.disablePerson},
		{Method: post, Path: "/people/:id/enable", Who: admins, Handler: s.enablePerson},
		web.WithSlash("/sites/"),
		{Method: get, Path: "/sites/", Who: admins, Handler: s.showSites},
		{Method: get, Path: "/sites/:id/poster", Who: admins, Handler: s.showPoster},
		{Method: post, Path: "/sites/:id/code", Who: admins, Handler: s.rotateSiteCode},
		{Method: post, Path: "/sites/", Who: admins, Handler: s.importSites, MaxBody: maxSitesBody},
	}
	for _, action := range actions {
		routes = append(routes,
			web.Route{Method: post, Path: "/incidents/:id/" + action, Who: reps, Handler: s.changeIncident(action)},
			web.Route{Method: post, Path: "/api/v1/incidents/:id/" + action, Who: reps, Handler: s.changeIncidentAPI(action)})
	}
	for n, r := range routes {
		routes[n].Handler = func(c *fiber.Ctx) error { return explain(r.Handler(c)) }
	}
	return routes
}

// A change may have been stored although nobody could say so.
var (
	errStoreAway = fault.New(fault.Unavailable, "store_unavailable",
		"What is stored cannot be reached at this moment. Nothing that was received is lost, and staff can go on reporting. Try again in a minute; if you were saving something, look first whether it is there.").
		Retry(5 * time.Second)
	errStoreBroken = fault.New(fault.Unavailable, "store_unavailable",
		"What is stored cannot be read or written at this moment: its disk is full or does not work. Nothing that was received is lost. Tell whoever runs On Record, and try again later; if you were saving something, look first whether it is there.").
		Retry(time.Minute)
)

// explain says of a store that does not work what that means for whoever asked.
func explain(err error) error {
	switch {
	case errors.Is(err, store.ErrAway):
		return errStoreAway.Because(err)
	case errors.Is(err, store.ErrBroken):
		return errStoreBroken.Because(err)
	}
	return err
}
