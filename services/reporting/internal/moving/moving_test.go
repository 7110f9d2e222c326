package moving

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
	"github.com/onrecord/onrecord/services/reporting/internal/audit"
	"github.com/onrecord/onrecord/services/reporting/internal/editions"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/sqlite"
	"github.com/onrecord/onrecord/services/reporting/internal/store/storetest"
)

// busy returns an installation with some of everything that moves: incidents at
// three sites in four months, read by the machine, one moved to another month
// and one withdrawn, people, tokens, a message that nobody can read and an
// event that waits for its report.
func busy(t *testing.T) *projectortest.Kit {
	t.Helper()
	ctx, k := t.Context(), projectortest.New(t)
	for n := range 24 {
		r := k.Report([]string{"leeds", "york", incident.SiteUnlisted}[n%3])
		r.OccurredAt = r.OccurredAt.AddDate(0, -(n % 4), 0)
		if n%6 == 5 {
			r.Precision = incident.PrecisionUnknown
		}
		k.Apply(k.Filed(r), k.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff))
	}
	moved := k.Report("leeds")
	k.Apply(k.Filed(moved))
	i := k.Incident(moved.ID)
	i.Locate("york", i.OccurredAt.AddDate(0, -2, 0))
	i.Rev++
	must(t, k.Folder.Group(ctx, k.Store, func(tx store.Store) ([]*incident.Incident, error) {
		return []*incident.Incident{i}, tx.ReplaceIncident(ctx, i, i.Rev-1)
	}))
	withdrawn := k.Report("york")
	k.Apply(k.Filed(withdrawn))
	i = k.Incident(withdrawn.ID)
	i.Status = incident.StatusWithdrawn
	i.Rev++
	must(t, k.Folder.Group(ctx, k.Store, func(tx store.Store) ([]*incident.Incident, error) {
		return []*incident.Incident{i}, tx.ReplaceIncident(ctx, i, i.Rev-1)
	}))
	k.Apply(k.Classified(k.NewID(), "m1", incident.KindAbuse, incident.ChannelPhone, incident.TargetAnyStaff)) // its report never came
	must(t, k.Projector.Quarantine(ctx, bus.Delivery{Subject: bus.Subject(bus.TypeFiled, k.NewID()), Data: []byte{0xff, 1}, Seq: 99, At: k.At}, errors.New("cannot be read")))

	must(t, k.Store.PutSites(ctx, []store.Site{storetest.Filled[store.Site](t), {ID: "leeds", Name: "Demo Leeds"}}))
	photo := storetest.Filled[store.Photo](t)
	photo.IncidentID = i.ID
	must(t, k.Store.PutPhoto(ctx, &photo))
	press := editions.New(editions.Config{Store: k.Store, Keyring: k.Keyring, Settled: func(context.Context) error { return nil },
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return k.At }})
	for _, m := range []incident.Month{{Year: 2026, Month: 9}, {Year: 2026, Month: 10}} {
		_, err := press.Publish(ctx, editions.Request{Month: m, Number: 1, By: editions.Publisher{ID: "u1", Name: "Demo Rep"}})
		must(t, err)
	}
	joint := storetest.Filled[store.JointChange](t)
	must(t, k.Store.InsertJointChange(ctx, &joint))
	user, token := storetest.Filled[store.User](t), storetest.Filled[store.Token](t)
	must(t, k.Store.InsertUser(ctx, &user))
	must(t, k.Store.InsertToken(ctx, &token))
	return k
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// empty returns a store with nothing in it.
func empty(t *testing.T) store.Store {
	t.Helper()
	st, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "target.db"))
	must(t, err)
	t.Cleanup(func() { must(t, st.Close()) })
	return st
}

func exportOf(t *testing.T, st store.Store, k *seal.Keyring) ([]byte, Result) {
	t.Helper()
	var file bytes.Buffer
	e := Exporter{Store: st, Keyring: k, By: "test", Now: time.Now}
	r, err := e.Export(t.Context(), func(line []byte) error {
		_, err := file.Write(line)
		return err
	})
	must(t, err)
	return file.Bytes(), r
}

func importer(st store.Store, k *seal.Keyring) *Importer {
	log := slog.New(slog.DiscardHandler)
	return &Importer{Store: st, Log: log, Now: time.Now, Auditor: audit.New(audit.Config{Store: st, Keyring: k, Log: log, Now: time.Now})}
}

func importInto(t *testing.T, st store.Store, k *seal.Keyring, file []byte) (r Result, already bool, err error) {
	t.Helper()
	f, err := Open(bytes.NewReader(file), k)
	if err != nil {
		return r, false, err
	}
	return importer(st, k).Import(t.Context(), f, func(string, int, int) {})
}

// contents returns everything of a store that an export carries, and the
// figures, in a form that can be compared.
func contents(t *testing.T, st store.Store) map[string]string {
	t.Helper()
	ctx, all := t.Context(), make(map[string]string)
	put := func(what string, v any) {
		text, err := json.Marshal(v)
		must(t, err)
		all[what] = string(text)
	}
	must(t, st.EachIncident(ctx, func(i *incident.Incident) error {
		put("incident "+i.ID, i)
		photos, err := st.PhotosOfIncident(ctx, i.ID)
		for _, p := range photos {
			whole, err := st.Photo(ctx, p.ID)
			must(t, err)
			put("photo "+p.ID, whole)
		}
		return err
	}))
	n := 0
	must(t, eachBeside(ctx, st, func(rec record) error {
		n++
		put(fmt.Sprint("beside ", n), rec)
		return nil
	}))
	first, last := incident.Month{Year: 1, Month: 1}, incident.Month{Year: 9999, Month: 12}
	sites, err := st.LedgerCells(ctx, nil, first, last)
	must(t, err)
	put("figures of sites", sites)
	months, err := st.RollupCells(ctx, first, last)
	must(t, err)
	put("figures of months", months)
	return all
}

func sameContents(t *testing.T, got, want map[string]string) {
	t.Helper()
	for what := range want {
		if got[what] != want[what] {
			t.Errorf("%s\n got %s\nwant %s", what, got[what], want[what])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d things, want %d", len(got), len(want))
	}
}

func TestEverythingMoves(t *testing.T) {
	t.Run("to SQLite", func(t *testing.T) { testEverythingMoves(t, empty(t)) })
	t.Run("to MongoDB", func(t *testing.T) { testEverythingMoves(t, projectortest.Mongo(t)(t)) })
}

func testEverythingMoves(t *testing.T, target store.Store) {
	k := busy(t)
	file, exported := exportOf(t, k.Store, k.Keyring)
	if len(exported.Differences) > 0 {
		t.Fatalf("differences in a sound store: %q", exported.Differences)
	}
	want := Totals{Incidents: 27, Photos: 1, Sites: 2, Users: 1, Tokens: 1, Quarantined: 1, Pending: 1, Editions: 2, JointChanges: 1}
	if exported.Totals != want {
		t.Errorf("exported %+v, want %+v", exported.Totals, want)
	}
	imported, already, err := importInto(t, target, k.Keyring, file)
	must(t, err)
	if already || len(imported.Differences) > 0 || imported.Totals != want {
		t.Errorf("imported %+v, already %v", imported, already)
	}
	sameContents(t, contents(t, target), contents(t, k.Store))
	back, again := exportOf(t, target, k.Keyring)
	if again.Totals != want || len(again.Differences) > 0 {
		t.Errorf("exported from there: %+v", again)
	}
	_, _, err = importInto(t, empty(t), k.Keyring, back)
	must(t, err)
	if err := CheckFinished(t.Context(), target); err != nil {
		t.Error(err)
	}
}

func TestAnEmptyInstallationMoves(t *testing.T) {
	k := projectortest.New(t)
	file, _ := exportOf(t, k.Store, k.Keyring)
	r, _, err := importInto(t, empty(t), k.Keyring, file)
	if err != nil || r.Totals != (Totals{}) || len(r.Differences) > 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// An incident that is corrected after the move is counted once, in the ledger
// it moved to and no longer in the one it left, as before.
func TestWorkGoesOnAfterTheMove(t *testing.T) {
	ctx, k, target := t.Context(), busy(t), empty(t)
	file, _ := exportOf(t, k.Store, k.Keyring)
	_, _, err := importInto(t, target, k.Keyring, file)
	must(t, err)
	must(t, target.EachIncident(ctx, func(i *incident.Incident) error {
		i.Locate("leeds", i.OccurredAt.AddDate(0, 1, 0))
		i.Rev++
		return k.Folder.Group(ctx, target, func(tx store.Store) ([]*incident.Incident, error) {
			return []*incident.Incident{i}, tx.ReplaceIncident(ctx, i, i.Rev-1)
		})
	}))
	r, err := importer(target, k.Keyring).Auditor.Verify(ctx, func(int, int) {})
	if err != nil || r.Faults() > 0 {
		t.Errorf("%v %v", err, r.Lines())
	}
}

func TestAnExportIsOneMoment(t *testing.T) {
	k := busy(t)
	before := contents(t, k.Store)
	var file bytes.Buffer
	e := Exporter{Store: k.Store, Keyring: k.Keyring, By: "test", Now: time.Now}
	lines := 0
	r, err := e.Export(t.Context(), func(line []byte) error {
		if lines++; lines%5 == 0 { // work goes on between any two lines
			report := k.Report("leeds")
			report.OccurredAt = report.OccurredAt.AddDate(0, -lines%4, 0)
			k.Apply(k.Filed(report))
		}
		_, err := file.Write(line)
		return err
	})
	must(t, err)
	if len(r.Differences) > 0 {
		t.Errorf("differences: %q", r.Differences)
	}
	target := empty(t)
	_, _, err = importInto(t, target, k.Keyring, file.Bytes())
	must(t, err)
	sameContents(t, contents(t, target), before)
}

// Figures that are wrong where they come from are named, and right where they
// arrive, since they are made anew.
func TestWrongFiguresAreNamedAndMadeAnew(t *testing.T) {
	ctx, k, target := t.Context(), busy(t), empty(t)
	month := incident.MonthOf(k.At)
	l, err := k.Store.Ledger(ctx, month, "leeds")
	must(t, err)
	l.Rev++
	l.Cells[0].Incidents++
	must(t, k.Store.PutLedger(ctx, l))
	file, r := exportOf(t, k.Store, k.Keyring)
	if len(r.Differences) != 1 || !strings.Contains(r.Differences[0], month.String()+`, site "leeds"`) {
		t.Errorf("differences: %q", r.Differences)
	}
	imported, _, err := importInto(t, target, k.Keyring, file)
	must(t, err)
	if len(imported.Differences) > 0 {
		t.Errorf("imported with %q", imported.Differences)
	}
}

func TestImportingTwiceChangesNothing(t *testing.T) {
	k, target := busy(t), empty(t)
	file, _ := exportOf(t, k.Store, k.Keyring)
	_, _, err := importInto(t, target, k.Keyring, file)
	must(t, err)
	want := contents(t, target)
	_, already, err := importInto(t, target, k.Keyring, file)
	if err != nil || !already {
		t.Errorf("already=%v, %v", already, err)
	}
	sameContents(t, contents(t, target), want)
}

func TestAnImportGoesOnWhereItWasInterrupted(t *testing.T) {
	k := busy(t)
	file, _ := exportOf(t, k.Store, k.Keyring)
	want := contents(t, k.Store)
	for kind, of := range map[string]func(*projectortest.Faulty) store.Store{
		"transactions": func(f *projectortest.Faulty) store.Store { return f },
		"none":         func(f *projectortest.Faulty) store.Store { f.Loose = true; return f },
		"batches": func(f *projectortest.Faulty) store.Store {
			f.Loose = true
			return projectortest.FaultyBatcher{Faulty: f}
		},
	} {
		for _, batch := range []int{1, 5} {
			t.Run(fmt.Sprintf("%s, %d at once", kind, batch), func(t *testing.T) {
				target := empty(t)
				tries := 0
				for allowed := 3; ; allowed += 1 + allowed/10 {
					asked := 0
					faulty := &projectortest.Faulty{Store: target, Fail: func() bool { asked++; return asked > allowed }}
					m := importer(of(faulty), k.Keyring)
					m.batch = batch
					f, err := Open(bytes.NewReader(file), k.Keyring)
					must(t, err)
					_, _, err = m.Import(t.Context(), f, func(string, int, int) {})
					if tries++; err == nil {
						break
					}
					if !errors.Is(err, projectortest.ErrInjected) {
						t.Fatal(err)
					}
					if asked := CheckFinished(t.Context(), target); asked == nil {
						t.Fatal("a half import looks finished")
					}
					if allowed > 10_000 {
						t.Fatal("it never comes to an end")
					}
				}
				if tries < 5 {
					t.Errorf("only %d tries: the test interrupts too little", tries)
				}
				sameContents(t, contents(t, target), want)
			})
		}
	}
}

func TestWhatIsRefusedAndWhy(t *testing.T) {
	k := busy(t)
	file, _ := exportOf(t, k.Store, k.Keyring)
	lines := bytes.SplitAfter(file, []byte("\n"))
	other, err := seal.NewKeyring(bytes.Repeat([]byte{8}, seal.KeySize))
	must(t, err)
	edit := func(from, to string) []byte { return bytes.Replace(file, []byte(from), []byte(to), 1) }
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	swapped := slices.Clone(lines)
	swapped[4], swapped[5] = swapped[5], swapped[4]
	for name, test := range map[string]struct {
		file []byte
		key  *seal.Keyring
		want string
	}{
		"nothing":               {nil, k.Keyring, "not an export"},
		"something else":        {[]byte("id,name\nleeds,Demo\n"), k.Keyring, "not an export"},
		"another JSON":          {[]byte("{\"Incident\":{}}\n"), k.Keyring, "not an export"},
		"no end of line at all": {bytes.Repeat([]byte{'x'}, maxLine+1<<20), k.Keyring, "not an export"},
		"a newer format":        {edit(`"Format":3`, `"Format":4`), k.Keyring, "use a newer version"},
		"a newer field":         {edit(`{"Incident":{`, `{"Incident":{"Newer":1,`), k.Keyring, "does not know"},
		"another key":           {file, other, "another master key"},
		"cut in a line":         {file[:len(file)*2/3], k.Keyring, "cut off"},
		"cut after a line":      {join(lines[:9]...), k.Keyring, "cut off"},
		"cut in the first line": {file[:len(lines[0])-1], k.Keyring, "cut off"},
		"without its end":       {file[:len(file)-len(lines[len(lines)-2])], k.Keyring, "cut off"},
		"a line removed":        {join(join(lines[:7]...), join(lines[8:]...)), k.Keyring, "damaged"},
		"a line twice":          {join(join(lines[:7]...), lines[6], join(lines[7:]...)), k.Keyring, "damaged"},
		"lines swapped":         {join(swapped...), k.Keyring, "damaged"},
		"a number changed":      {edit(`"PeopleAffected":0`, `"PeopleAffected":9`), k.Keyring, "damaged"},
		"a total changed":       {edit(`"Incidents":1`, `"Incidents":7`), k.Keyring, "not those of its incidents"},
		"something after":       {join(file, []byte("\n")), k.Keyring, "after the end"},
		"two in one line":       {edit(`{"Incident":{`, `{"Site":{},"Incident":{`), k.Keyring, "damaged"},
		"a long line":           {join(lines[0], bytes.Repeat([]byte{'x'}, maxLine+1<<20)), k.Keyring, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			target := empty(t)
			_, _, err := importInto(t, target, test.key, test.file)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one that says %q", err, test.want)
			}
			if n, err := target.CountIncidents(t.Context(), store.Filter{}, 10); n > 0 || err != nil {
				t.Errorf("%d incidents were written, %v", n, err)
			}
			if err := CheckFinished(t.Context(), target); err != nil {
				t.Errorf("the database is left as if an import had begun: %v", err)
			}
		})
	}
}

// Any byte that is changed is noticed before anything is written.
func TestEveryChangedByteIsNoticed(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	k.Apply(k.Filed(r))
	file, _ := exportOf(t, k.Store, k.Keyring)
	for n := range file {
		changed := slices.Clone(file)
		changed[n] ^= 1
		f, err := Open(bytes.NewReader(changed), k.Keyring)
		if err == nil {
			_, err = f.Check(t.Context(), func(int, int) {})
		}
		if err == nil {
			t.Fatalf("byte %d of %d was changed from %q to %q and nobody noticed", n, len(file), file[n], changed[n])
		}
	}
}

func TestOnlyAnEmptyStoreTakesAnExport(t *testing.T) {
	ctx, k := t.Context(), busy(t)
	file, _ := exportOf(t, k.Store, k.Keyring)
	refused := func(t *testing.T, target store.Store, want string) {
		t.Helper()
		if _, _, err := importInto(t, target, k.Keyring, file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
	for name, put := range map[string]func(store.Store) error{
		"an incident": func(st store.Store) error {
			i := storetest.Filled[incident.Incident](t)
			return st.InsertIncident(ctx, &i)
		},
		"a person": func(st store.Store) error { return st.InsertUser(ctx, &store.User{ID: "1", Name: "demo"}) },
		"a token":  func(st store.Store) error { return st.InsertToken(ctx, &store.Token{ID: "1", Hash: []byte{1}}) },
		"a site":   func(st store.Store) error { return st.PutSites(ctx, []store.Site{{ID: "leeds"}}) },
		"a message": func(st store.Store) error {
			return st.PutQuarantined(ctx, &store.Quarantined{Subject: "demo"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := empty(t)
			must(t, put(target))
			before := contents(t, target)
			refused(t, target, "not empty")
			sameContents(t, contents(t, target), before)
		})
	}
	t.Run("another export", func(t *testing.T) {
		target := empty(t)
		_, _, err := importInto(t, target, k.Keyring, file)
		must(t, err)
		again, _ := exportOf(t, k.Store, k.Keyring)
		before := contents(t, target)
		if _, _, err := importInto(t, target, k.Keyring, again); err == nil || !strings.Contains(err.Error(), "another export was imported") {
			t.Error(err)
		}
		sameContents(t, contents(t, target), before)
	})
	t.Run("another export, half", func(t *testing.T) {
		target := empty(t)
		must(t, state{ID: "another", Lines: 3}.write(ctx, target))
		refused(t, target, "was being imported")
	})
}

// A service that works with the database meanwhile is noticed, not counted in.
func TestAnImportIsAlone(t *testing.T) {
	ctx, k, target := t.Context(), busy(t), empty(t)
	file, _ := exportOf(t, k.Store, k.Keyring)
	f, err := Open(bytes.NewReader(file), k.Keyring)
	must(t, err)
	month := incident.MonthOf(k.At)
	_, _, err = importer(target, k.Keyring).Import(ctx, f, func(step string, done, _ int) {
		if step == "checked" || done == 0 {
			return
		}
		_ = target.PutLedger(ctx, &incident.Ledger{Month: month, Site: "leeds", Rev: 1}) // only the first time
	})
	if err == nil || !strings.Contains(err.Error(), "something else counts") {
		t.Errorf("error %v", err)
	}
	if CheckFinished(ctx, target) == nil {
		t.Error("the database looks as if the import were finished")
	}
}

// What arrives is compared with what was sent: a store that loses something is
// found out.
func TestALossIsNamed(t *testing.T) {
	k, target := busy(t), empty(t)
	file, _ := exportOf(t, k.Store, k.Keyring)
	f, err := Open(bytes.NewReader(file), k.Keyring)
	must(t, err)
	m := importer(target, k.Keyring)
	m.Store = &forgetful{Store: target}
	r, _, err := m.Import(t.Context(), f, func(string, int, int) {})
	must(t, err)
	text := strings.Join(r.Differences, "\n")
	for _, want := range []string{"ledger, ", "exported {Incidents:27", "imported {Incidents:26"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not named in:\n%s", want, text)
		}
	}
	if CheckFinished(t.Context(), target) == nil {
		t.Error("an import that lost something looks finished")
	}
}

// forgetful says that it stored one incident, and did not.
type forgetful struct {
	store.Store
	stored int
}

func (f *forgetful) Group(ctx context.Context, fn func(store.Store) error) error {
	return f.Store.Group(ctx, func(tx store.Store) error { return fn(&forgetful{tx, f.stored}) })
}

func (f *forgetful) InsertIncident(ctx context.Context, i *incident.Incident) error {
	if f.stored++; f.stored == 3 {
		return nil
	}
	return f.Store.InsertIncident(ctx, i)
}

// Whoever adds to the port decides here what becomes of it when an
// installation moves.
func TestEveryPartOfThePortMovesOrIsSaidNotTo(t *testing.T) {
	moves := map[string]string{
		"InsertIncident": "moves", "PutPhoto": "moves with its incident", "KeepPending": "moves", "InsertUser": "moves", "InsertToken": "moves", "PutSites": "moves", "PutQuarantined": "moves", "PutEdition": "moves", "InsertJointChange": "moves", "ReplaceJointChange": "a change of what moves",
		"PutLedger": "made anew from the incidents", "PutRollup": "made anew from the ledgers",
		"PutSession": "people sign in again", "SeeSession": "a change of what stays behind", "SetMeta": "the key check is made anew, the setup link is not for an installation with people",
		"ReplaceIncident": "a change of what moves", "MarkFolded": "a change of what moves", "KeepLesson": "a change of what moves", "DropPending": "a change of what moves",
		"UpdateUser": "a change of what moves", "UpdateToken": "a change of what moves",
		"DeleteSession": "deletes", "DeletePhoto": "deletes", "DeletePhotos": "deletes", "DeleteSessions": "deletes",
	}
	reads := []string{"Incident", "IncidentByReport", "IncidentByReceipt", "ListIncidents", "CountIncidents", "Unfolded", "LessonsDue", "EachIncident", "Pending", "EachPending",
		"Edition", "ListEditions", "CountArrivals", "ListReceived", "JointChanges", "UnfinishedJointChanges", "Ledger", "LedgerCells", "EachLedger", "Rollup", "RollupCells", "User", "UserByName", "Users", "TokenByHash", "Tokens", "Session", "ListSites",
		"Quarantined", "ListQuarantined", "Photo", "PhotosOfIncident", "PhotosOfReport", "Group", "Snapshot", "Meta", "Check", "Close"}
	port := reflect.TypeFor[store.Store]()
	for n := range port.NumMethod() {
		name := port.Method(n).Name
		if moves[name] == "" && !slices.Contains(reads, name) {
			t.Errorf("the port has %s: does what it stores move? Carry it in package moving, or say here why not", name)
		}
	}
}

var write = flag.Bool("write-golden", false, "write golden files that are missing; never changes one that exists")

// The golden files are exports that exist on somebody's disk. They are never
// edited; a new format, or what the port gains, gets a new one.
func TestTheGoldenExportsAreStillRead(t *testing.T) {
	first := Totals{Incidents: 27, Photos: 1, Sites: 2, Users: 1, Tokens: 1, Quarantined: 1, Pending: 1}
	withEditions := first
	withEditions.Editions = 2
	withFloods := withEditions
	withFloods.JointChanges = 1
	for name, want := range map[string]Totals{"export-1.jsonl": first, "export-1-editions.jsonl": withEditions, "export-2.jsonl": withFloods, "export-3.jsonl": withFloods} {
		t.Run(name, func(t *testing.T) { testGolden(t, filepath.Join("testdata", name), want) })
	}
}

func testGolden(t *testing.T, path string, want Totals) {
	key := projectortest.NewEvents(t).Keyring
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && *write {
		file, _ := exportOf(t, busy(t).Store, key)
		must(t, os.WriteFile(path, file, 0o644))
	}
	file, err := os.ReadFile(path)
	must(t, err)
	target := empty(t)
	r, _, err := importInto(t, target, key, file)
	must(t, err)
	if len(r.Differences) > 0 || r.Totals != want {
		t.Errorf("%+v, want %+v", r, want)
	}
	// What is written today has every name that was written then.
	again, _ := exportOf(t, target, key)
	today := fieldNames(t, again)
	for name := range fieldNames(t, file) {
		if !today[name] {
			t.Errorf("%s stood in the golden export and is written no more", name)
		}
	}
}

// Totals of older formats say nothing of what was not counted then: what the
// incidents say of it is no difference.
func TestTotalsOfOlderFormatsAreComparedByWhatTheySay(t *testing.T) {
	dims := incident.Dims{Kind: incident.KindAbuse, Channel: incident.ChannelPhone, Target: incident.TargetAnyStaff}
	other := incident.Dims{Kind: incident.KindThreat, Channel: incident.ChannelPhone, Target: incident.TargetAnyStaff}
	cells := []incident.Cell{{Dims: dims, Incidents: 3, Reports: 3, People: 4, NothingHappened: 2, SetAside: 1, Undated: 1}, {Dims: other, SetAside: 5}}
	if got, want := (&monthTotals{format: 1}).told(cells), []incident.Cell{{Dims: dims, Incidents: 3, Reports: 3, People: 4}}; !slices.Equal(got, want) {
		t.Errorf("format 1 tells %+v, want %+v", got, want)
	}
	second := []incident.Cell{{Dims: dims, Incidents: 3, Reports: 3, People: 4, NothingHappened: 2, SetAside: 1}, {Dims: other, SetAside: 5}}
	if got := (&monthTotals{format: 2}).told(cells); !slices.Equal(got, second) {
		t.Errorf("format 2 tells %+v, want %+v", got, second)
	}
	for _, format := range []int{0, Format} {
		if got := (&monthTotals{format: format}).told(cells); !slices.Equal(got, cells) {
			t.Errorf("format %d tells %+v, want all", format, got)
		}
	}
}

// fieldNames returns the paths of every member in the lines.
func fieldNames(t *testing.T, file []byte) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				names[path+"."+name] = true
				walk(path+"."+name, member)
			}
		case []any:
			for _, member := range v {
				walk(path+"[]", member)
			}
		}
	}
	for line := range bytes.Lines(file) {
		var v any
		must(t, json.Unmarshal(line, &v))
		walk("", v)
	}
	return names
}

func FuzzRead(f *testing.F) {
	key, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		f.Fatal(err)
	}
	golden, err := os.ReadFile(filepath.Join("testdata", "export-1.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	head, _, _ := bytes.Cut(golden, []byte("\n"))
	f.Add(golden)
	f.Add(append(slices.Clone(head), "\n{\"Month\":{\"Month\":\"2026-11\"}}\n{\"End\":{}}\n"...))
	f.Add(append(slices.Clone(head), "\n{\"Incident\":null}\n{\"Incident\":{\"OccurredAt\":\"9999-12-31T23:59:59Z\"}}\n"...))
	f.Add([]byte(`{"Export":{"Format":1}}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		e, err := Open(bytes.NewReader(file), key)
		if err != nil {
			return
		}
		// Nobody without the key makes a file that is taken.
		if _, err := e.Check(t.Context(), func(int, int) {}); err == nil && !bytes.Equal(file, golden) {
			t.Error("a made-up export was taken")
		}
	})
}
