package reporting

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/pkg/run/runtest"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/pkg/web/webtest"
)

func TestAnotherMasterKeyIsRefused(t *testing.T) {
	k := newKit(t)
	other, err := seal.NewKeyring(bytes.Repeat([]byte{8}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := k.cfg
	cfg.Keyring = other
	if s, err := New(t.Context(), cfg); err == nil {
		t.Error("another key was accepted", s.Close())
	} else if !strings.Contains(err.Error(), "restore that key") {
		t.Errorf("error=%q, want what to do", err)
	}
	s, err := New(t.Context(), k.cfg)
	if err != nil {
		t.Fatalf("the right key: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestDatabasesThatCannotBeUsed(t *testing.T) {
	k := newKit(t)
	for database, want := range map[string]string{"": "path", "mongodb://": "not one of MongoDB", "mongodb+srv://no.host.here.invalid:27017/": "not one of MongoDB",
		"mongodb://demo:cHj3Yq@127.0.0.1:1/?serverSelectionTimeoutMS=200": "no server could be reached", "/nowhere/at/all.db": "/nowhere/at/all.db",
		"mongo://demo:cHj3Yq@localhost/onrecord": "begin with mongodb://", "MongoDB://demo:cHj3Yq@localhost": "begin with mongodb://", "mongodb:/localhost/onrecord": "begin with mongodb://",
		"demo:cHj3Yq@localhost/onrecord": "begin with mongodb://", "demo:cHj3Yq/2@localhost/onrecord": "begin with mongodb://", "localhost:27017": "begin with mongodb://", "localhost:27017/onrecord": "begin with mongodb://"} {
		cfg := k.cfg
		cfg.Database = database
		if s, err := New(t.Context(), cfg); err == nil {
			t.Error("was opened", s.Close())
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error=%q, want %q in it", database, err, want)
		} else if strings.Contains(err.Error(), "cHj3Yq") {
			t.Errorf("%q: error=%q gives the password away", database, err)
		}
	}
}

func TestTheFirstAdministratorIsMadeOnce(t *testing.T) {
	k := newKit(t)
	if token, err := k.SetupToken(t.Context()); token != "" || err != nil {
		t.Errorf("token=%q %v, want none: there is an administrator", token, err)
	}
	k.cfg.Database += ".fresh"
	k.open()
	token, err := k.SetupToken(t.Context())
	if err != nil || token == "" {
		t.Fatalf("token=%q %v, want one", token, err)
	}
	path := "/setup?token=" + url.QueryEscape(token)
	k.page(nobody, path, 200)
	form := url.Values{"token": {token}, "name": {"Demo First"}, "password": {"short"}, "again": {"something else"}}
	res := k.post(nobody, "/setup", form)
	k.check("two passwords", res, 422)
	if got := res.Document(t).Find("#name").AttrOr("value", ""); got != "Demo First" {
		t.Errorf("name=%q, want what was typed", got)
	}
	for _, field := range []string{"#password-error", "#again-error"} {
		if res.Document(t).Find(field).Length() != 1 {
			t.Errorf("no %s: every mistake is told at once", field)
		}
	}
	form.Set("password", demoPassword)
	k.check("short password", k.post(nobody, "/setup", url.Values{"token": {token}, "name": {""}, "password": {"short"}, "again": {"short"}}), 422)
	form.Set("again", demoPassword)
	if res := k.post(nobody, "/setup", form); res.StatusCode != 303 || res.Header.Get("Location") != "/sites/" {
		t.Fatalf("status=%d to %q, want 303 to /sites/", res.StatusCode, res.Header.Get("Location"))
	}
	k.signInAs("Demo First")
	k.page("Demo First", "/sites/", 200)
	for _, res := range []webtest.Response{k.get(nobody, path), k.post(nobody, "/setup", form)} {
		k.check("a used link", res, 403)
		if got := res.Document(t).Find(".app-lede").Text(); !strings.Contains(got, "not valid any more") {
			t.Errorf("lede=%q, want why", got)
		}
	}
}

func TestOperatorsHearWhatIsWrong(t *testing.T) {
	k := newKit(t)
	ctx := t.Context()
	for name, err := range map[string]error{
		"taken name": k.AddUser(ctx, NewUser{Name: strings.ToUpper(rep), Role: "rep", Password: demoPassword}),
		"no role":    k.AddUser(ctx, NewUser{Name: "Demo Other", Role: "king", Password: demoPassword}),
		"no site":    k.AddUser(ctx, NewUser{Name: "Demo Other", Role: "rep", Sites: []string{"nowhere"}, Password: demoPassword}),
		"weak":       k.SetPassword(ctx, rep, "password"),
		"token role": second(k.CreateToken(ctx, NewToken{Role: "administrator"})),
		"sites":      second(k.ImportSites(ctx, strings.NewReader("nonsense"))),
	} {
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want fault.Invalid", name, err)
		}
	}
	for name, err := range map[string]error{
		"password": k.SetPassword(ctx, "Nobody", demoPassword), "disable": k.DisableUser(ctx, "Nobody"), "enable": k.EnableUser(ctx, "Nobody"),
		"token": k.RevokeToken(ctx, "nonsense"), "letter": k.ReplayDeadLetter(ctx, "nonsense"),
	} {
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v, want fault.NotFound", name, err)
		}
	}
	if err := k.DisableUser(ctx, admin); fault.KindOf(err) != fault.Conflict {
		t.Errorf("the last administrator: %v, want fault.Conflict", err)
	}
	if sites, err := k.Sites(ctx); err != nil || len(sites) != 2 || sites[0].Name != "Demo Leeds" || sites[0].Staff != 84 {
		t.Errorf("sites=%+v %v, want the two", sites, err)
	}
	if _, err := k.CreateToken(ctx, NewToken{Role: "manager", Label: "demo sheet"}); err != nil {
		t.Fatal(err)
	}
	if tokens, err := k.Tokens(ctx); err != nil || len(tokens) != 1 || tokens[0].Label != "demo sheet" || tokens[0].Role != "manager" {
		t.Errorf("tokens=%+v %v, want the one", tokens, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestAnUnreadableMessageIsListedAndCounted(t *testing.T) {
	k := newKit(t)
	k.run()
	r := k.Report("leeds")
	subject := bus.Subject(bus.TypeFiled, r.ID)
	k.publish(bus.Delivery{Subject: subject, Data: []byte("not an envelope")})
	runtest.Eventually(t, time.Minute, func() error {
		letters, err := k.DeadLetters(t.Context())
		if err == nil && (len(letters) != 1 || letters[0].Subject != subject || letters[0].Cause == "" || !letters[0].ReplayedAt.IsZero()) {
			err = errNotYet
		}
		return err
	})
	if err := k.ReplayDeadLetter(t.Context(), subject); fault.KindOf(err) != fault.Conflict {
		t.Errorf("replay: %v, want fault.Conflict", err)
	}
	path := incidentsPath + k.incidentOf(r.ID).ID
	if got := k.page(rep, path, 200).Document(t).Find(".app-timeline").Text(); !strings.Contains(got, "unreadable") {
		t.Errorf("history=%q, want that it arrived unreadable", got)
	}
}

func TestCheckNamesTheStore(t *testing.T) {
	k := newKit(t)
	if err := k.Check(t.Context()); err != nil {
		t.Errorf("check: %v, want none", err)
	}
	k.cfg.Database += ".closed"
	s, err := New(t.Context(), k.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "store: ") {
		t.Errorf("check of a closed store: %v, want it named", err)
	}
}

// Beside a running service, in a database over the network, a message that can
// be read by now fills the incident that stood in for it.
func TestADeadLetterIsReplayedAndFiguresRecountedBesideTheService(t *testing.T) {
	k := newKit(t)
	k.cfg.Database = mongotest.Start(t) + "onrecord"
	d := Database{Name: k.cfg.Database, Keyring: k.Keyring, Log: k.cfg.Log}
	replay := func(b *bus.Bus, subject string) error {
		return d.Operating(t.Context(), b, func(o Operator) error { return o.ReplayDeadLetter(t.Context(), subject) })
	}
	if err := replay(k.bus, "any"); err == nil || !strings.Contains(err.Error(), "there is no installation in the database") {
		t.Errorf("a database that nobody began: %v", err)
	}
	k.open()
	if err := k.store.PutSites(t.Context(), demoSites); err != nil {
		t.Fatal(err)
	}
	k.run()
	r := k.Report("leeds")
	readable := k.Filed(r)
	k.publish(bus.Delivery{Subject: readable.Subject, Data: []byte("not an envelope")})
	runtest.Eventually(t, time.Minute, func() error { // it is put aside first, and this server shows half of a group
		_, err := k.store.IncidentByReport(t.Context(), r.ID)
		return err
	})
	held, err := k.store.Quarantined(t.Context(), readable.Subject)
	if err != nil {
		t.Fatal(err)
	}
	if i := k.incidentOf(r.ID); i.Site != incident.SiteUnlisted {
		t.Errorf("what stands in for it is at %q", i.Site)
	}
	if err := replay(k.bus, readable.Subject); fault.KindOf(err) != fault.Conflict {
		t.Errorf("while it cannot be read: %v, want fault.Conflict", err)
	}
	held.Data = readable.Data // as a release that reads more sees it
	if err := k.store.PutQuarantined(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	if err := replay(nil, readable.Subject); err == nil {
		t.Error("it was replayed without the stream")
	}
	for range 2 {
		if err := replay(k.bus, readable.Subject); err != nil {
			t.Fatal(err)
		}
	}
	if i := k.incidentOf(r.ID); i.Site != "leeds" || len(i.Reports) != 1 || len(i.Reports[0].SealedWords) == 0 {
		t.Errorf("incident=%+v", i)
	}
	if letters, err := k.DeadLetters(t.Context()); err != nil || len(letters) != 1 || letters[0].ReplayedAt.IsZero() {
		t.Errorf("letters=%+v %v, want it marked", letters, err)
	}
	beside := func() (v Verification) {
		t.Helper()
		err := d.Operating(t.Context(), nil, func(o Operator) (err error) {
			v, err = o.Verify(t.Context(), func(int, int) {})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := beside(); v.Incidents != 1 || len(v.Differences) > 0 {
		t.Errorf("%+v", v)
	}
	i := k.incidentOf(r.ID)
	i.Timeline = i.Timeline[1:]
	i.Rev++
	if err := k.store.ReplaceIncident(t.Context(), i, i.Rev-1); err != nil {
		t.Fatal(err)
	}
	within, err := k.Verify(t.Context(), func(int, int) {})
	if v := beside(); err != nil || len(v.Differences) == 0 || !slices.Equal(v.Differences, within.Differences) {
		t.Errorf("after an entry was taken away: %+v beside, %+v within, %v", v, within, err)
	}
}
