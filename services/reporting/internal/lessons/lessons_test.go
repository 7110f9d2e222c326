package lessons_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/run/runtest"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/lessons"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/standing"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

var rep = incident.Actor{Role: "rep", ID: "u1", Name: "Demo Rep"}

// desk is a store with a rep, a stream, and a keeper of lessons.
type desk struct {
	*projectortest.Kit
	*casework.Service
	*lessons.Keeper
	t   *testing.T
	bus *bus.Bus
}

func newDesk(t *testing.T, k *projectortest.Kit, b *bus.Bus) *desk {
	d := &desk{Kit: k, t: t, bus: b}
	d.Service = casework.New(casework.Config{Store: k.Store, Folder: k.Folder, Keyring: k.Keyring,
		SiteKnown: func(string) bool { return true }, Now: func() time.Time { return k.At }})
	d.Keeper = d.keeper(k.Store)
	return d
}

// keeper returns another keeper, as after a restart.
func (d *desk) keeper(st store.Store) *lessons.Keeper {
	return lessons.New(lessons.Config{Store: st, Bus: d.bus, Keyring: d.Kit.Keyring, Words: d.Narrative, Log: slog.New(slog.DiscardHandler), Producer: "reporting/test", MayErase: true})
}

// file stores a report in words and returns its id.
func (d *desk) file(words string) string {
	d.t.Helper()
	r := d.Report("leeds")
	r.Narrative = words
	d.Apply(d.Filed(r))
	return r.ID
}

// correct has the rep correct the incident that holds a report.
func (d *desk) correct(reportID string, c casework.Correction) {
	d.t.Helper()
	i := d.Kit.Incident(reportID)
	if _, err := d.Correct(d.t.Context(), i.ID, i.Rev, rep, c); err != nil {
		d.t.Fatal(err)
	}
}

// sweep does what is due, and returns how many incidents are left.
func (d *desk) sweep() int {
	d.t.Helper()
	left, err := d.Sweep(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return left
}

// answer stands in for the classifier: its features are the words, marked.
func (d *desk) answer(b *bus.Bus) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.t.Context()))
	d.t.Cleanup(cancel)
	err := b.Answer(ctx, bus.SubjectModelFeatures, bus.ConsumerClassifier, func(_ context.Context, asked []byte) []byte {
		var request onrecordv1.FeaturesRequest
		if err := proto.Unmarshal(asked, &request); err != nil {
			d.t.Error(err)
			return nil
		}
		key, err := d.Kit.Keyring.Unwrap(request.GetWrappedKey())
		if err != nil {
			d.t.Error(err)
			return nil
		}
		words, err := key.Open(request.GetSealedWords(), onrecordv1.PlaceFeatures, onrecordv1.PlaceAsked)
		if err != nil || strings.Contains(string(asked), string(words)) {
			d.t.Errorf("%v: or the words stand open in the question", err)
			return nil
		}
		answer, err := proto.Marshal(&onrecordv1.FeaturesReply{SealedFeatures: key.Seal([]byte("of "+string(words)), onrecordv1.PlaceFeatures, onrecordv1.PlaceMade)})
		if err != nil {
			d.t.Error(err)
		}
		return answer
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// published returns what the stream holds about corrections.
func (d *desk) published() (all []*onrecordv1.ReportCorrected) {
	d.t.Helper()
	err := d.bus.Tail(d.t.Context(), 0, false, func(e bus.Stored) error {
		var env onrecordv1.Envelope
		if err := proto.Unmarshal(e.Data, &env); err != nil {
			return err
		}
		c := env.GetReportCorrected()
		if want := bus.Subject(bus.TypeCorrected, c.GetReportId(), c.GetCorrectionId()); c != nil && e.Subject != want {
			d.t.Errorf("subject=%s, want %s", e.Subject, want)
		}
		all = append(all, c)
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// kept returns the features that are kept of a report's words.
func (d *desk) kept(reportID string) string {
	d.t.Helper()
	i := d.Kit.Incident(reportID)
	if strings.Contains(string(i.Lesson.Features), "words") {
		d.t.Error("features stand open in the store")
	}
	features, err := lessons.Open(d.Kit.Keyring, i)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(features)
}

// values says what corrections change, in no order of the stream's: those of one
// sweep share a write.
func values(all []*onrecordv1.ReportCorrected) (out []string) {
	for _, c := range all {
		out = append(out, fmt.Sprintf("%s %s→%s", c.GetField(), c.GetFrom(), c.GetTo()))
	}
	slices.Sort(out)
	return out
}

func to[T any](v T) *T { return &v }

// every runs a test on each store.
func every(t *testing.T, test func(t *testing.T, d *desk)) {
	stores := map[string]func(testing.TB) *projectortest.Kit{"SQLite": projectortest.New}
	mongo := projectortest.Mongo(t)
	stores["MongoDB"] = func(tb testing.TB) *projectortest.Kit { return projectortest.NewOn(tb, mongo(tb)) }
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { test(t, newDesk(t, open(t), bustest.New(t))) })
	}
}

func TestEachCorrectionIsPublishedOnceAndItsFeaturesAreKept(t *testing.T) {
	every(t, func(t *testing.T, d *desk) {
		d.answer(d.bus)
		id, untouched, wordless := d.file("words of one"), d.file("words of another"), d.file("")
		d.correct(id, casework.Correction{Kind: to(incident.KindThreat), Channel: to(incident.ChannelPhone), Reason: "words of a rep"})
		d.correct(wordless, casework.Correction{Kind: to(incident.KindThreat)})
		if left := d.sweep(); left != 0 {
			t.Fatalf("%d are left", left)
		}
		d.correct(id, casework.Correction{Hurt: to(incident.HurtYes), Channel: to(incident.ChannelLetter)})
		for range 2 {
			if left := d.sweep(); left != 0 {
				t.Fatalf("%d are left", left)
			}
		}
		all := d.published()
		of := func(reportID string) (some []*onrecordv1.ReportCorrected) {
			return slices.DeleteFunc(slices.Clone(all), func(c *onrecordv1.ReportCorrected) bool { return c.GetReportId() != reportID })
		}
		if got, want := values(of(id)), []string{"channel in_person→phone", "channel phone→letter", "hurt unknown→yes", "kind abuse→threat"}; !slices.Equal(got, want) {
			t.Errorf("published %q, want %q", got, want)
		}
		if len(of(wordless)) != 1 || len(of(untouched)) != 0 {
			t.Errorf("published %v of one without words and %v of one that nobody corrected", of(wordless), of(untouched))
		}
		if kept := d.kept(id); kept != "of words of one" {
			t.Errorf("kept %q", kept)
		}
		if kept := d.kept(wordless); kept != "" || len(d.Kit.Incident(wordless).Lesson.Features) == 0 {
			t.Errorf("of no words %q is kept", kept)
		}
		i := d.Kit.Incident(id)
		if i.Rev != 3 || i.FoldedRev != 3 {
			t.Errorf("rev=%d folded=%d: whoever reads the incident now would be told that it changed", i.Rev, i.FoldedRev)
		}
	})
}

// A process may end between any two steps: another one does what is left, and
// nothing is published twice.
func TestWhatWasCutOffIsDoneAgain(t *testing.T) {
	every(t, func(t *testing.T, d *desk) {
		d.answer(d.bus)
		id := d.file("words of one")
		d.correct(id, casework.Correction{Kind: to(incident.KindThreat), Target: to(incident.TargetNamedPerson)})
		for cut := range 2 { // before the lesson is kept, and after with nobody told
			asked := 0
			broken := &projectortest.Faulty{Store: d.Store, Fail: func() bool { asked++; return asked > cut }}
			if left, err := d.keeper(broken).Sweep(t.Context()); !errors.Is(err, projectortest.ErrInjected) || left != 1 {
				t.Errorf("cut %d: left=%d err=%v", cut, left, err)
			}
		}
		if left := d.sweep(); left != 0 {
			t.Fatalf("%d are left", left)
		}
		if got, want := values(d.published()), []string{"kind abuse→threat", "target any_staff→named_person"}; !slices.Equal(got, want) {
			t.Errorf("published %q, want %q", got, want)
		}
		if kept := d.kept(id); kept != "of words of one" {
			t.Errorf("kept %q", kept)
		}
	})
}

func TestACorrectionIsPublishedWhileTheClassifierIsAway(t *testing.T) {
	d := newDesk(t, projectortest.New(t), bustest.New(t))
	first, second := d.file("words of one"), d.file("words of two")
	for _, id := range []string{first, second} {
		d.correct(id, casework.Correction{Kind: to(incident.KindThreat)})
	}
	if left, err := d.Sweep(t.Context()); err == nil || left != 2 {
		t.Errorf("left=%d err=%v, want both to wait for the classifier", left, err)
	}
	if got := d.published(); len(got) != 2 {
		t.Errorf("published %v, want both", got)
	}
	d.answer(d.bus)
	if left := d.sweep(); left != 0 || d.kept(first) != "of words of one" || d.kept(second) != "of words of two" {
		t.Errorf("left=%d, kept %q and %q", left, d.kept(first), d.kept(second))
	}
	if got := d.published(); len(got) != 2 {
		t.Errorf("published %v, want each once", got)
	}
}

// The page says "changed" while NATS is cut off: the event follows when it is back.
func TestTheBusIsCutAndMended(t *testing.T) {
	url := bustest.Listen(t)
	link := runtest.NewLink(t, strings.TrimPrefix(url, "nats://"))
	nc := bustest.Dial(t, "nats://"+link.Addr, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	b, err := bus.New(nc, slog.New(slog.DiscardHandler))
	if err == nil {
		err = b.Apply(t.Context(), bus.Settings{Replicas: 1, MaxBytes: 64 << 20})
	}
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, projectortest.New(t), b)
	near, err := bus.New(bustest.Dial(t, url), slog.New(slog.DiscardHandler)) // the classifier's own connection stays
	if err != nil {
		t.Fatal(err)
	}
	d.answer(near)
	id := d.file("words of one")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	link.Set(runtest.Cut)
	d.correct(id, casework.Correction{Kind: to(incident.KindThreat)})
	d.correct(id, casework.Correction{Kind: to(incident.KindAbuse)})
	if _, err := d.keeper(d.Store).Sweep(t.Context()); err == nil {
		t.Error("nothing failed while the bus was cut: this tests nothing")
	}
	link.Set(runtest.Whole)
	d.bus = near
	runtest.Eventually(t, time.Minute, func() error {
		if kept := d.kept(id); kept != "of words of one" {
			return fmt.Errorf("kept %q: the correction was not carried on after the bus was mended", kept)
		}
		return nil
	})
	if got := values(d.published()); !slices.Equal(got, []string{"kind abuse→threat", "kind threat→abuse"}) {
		t.Errorf("published %q", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Whoever erases while a correction is on its way leaves nothing of it, neither
// in the store nor in the stream; not even when the process ends at the worst
// moment.
func TestErasingTakesWhatWasPublishedAndKept(t *testing.T) {
	d := newDesk(t, projectortest.New(t), bustest.New(t))
	d.answer(d.bus)
	erase := func(reportID string) {
		t.Helper()
		if err := d.Erase(t.Context(), d.Kit.Incident(reportID).ID, incident.Actor{Role: "operator"}); err != nil {
			t.Fatal(err)
		}
		if err := standing.EraseReport(t.Context(), d.Store, d.bus, reportID); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(reportID string) {
		t.Helper()
		if i := d.Kit.Incident(reportID); len(i.Lesson.Features) > 0 || i.LessonDue() {
			t.Errorf("lesson=%+v", i.Lesson)
		}
		if got := d.published(); len(got) != 0 {
			t.Errorf("the stream holds %v", got)
		}
		if left := d.sweep(); left != 0 {
			t.Errorf("%d are left", left)
		}
	}

	id := d.file("words of one")
	d.correct(id, casework.Correction{Kind: to(incident.KindThreat)})
	d.sweep()
	erase(id)
	gone(id)

	racing := d.file("words of two")
	d.correct(racing, casework.Correction{Kind: to(incident.KindThreat)})
	during := &projectortest.Faulty{Store: d.Store, Fail: func() bool { erase(racing); return false }} // as the lesson is kept
	if _, err := d.keeper(during).Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	gone(racing)
	d.correctedAgain(racing)

	killed := d.file("words of three")
	d.correct(killed, casework.Correction{Kind: to(incident.KindThreat)})
	cut := &projectortest.Faulty{Store: d.Store, Fail: func() bool { erase(killed); return true }}
	if _, err := d.keeper(cut).Sweep(t.Context()); !errors.Is(err, projectortest.ErrInjected) {
		t.Errorf("err=%v", err)
	}
	gone(killed)
}

// correctedAgain corrects an incident whose words were erased: that is counted,
// and teaches nothing.
func (d *desk) correctedAgain(reportID string) {
	d.t.Helper()
	d.correct(reportID, casework.Correction{Kind: to(incident.KindAssault)})
	if left := d.sweep(); left != 0 || len(d.published()) != 0 {
		d.t.Errorf("left=%d, published %v", left, d.published())
	}
}

// The number of an entry comes again in a database that was put back from a
// backup; the name of a correction does not.
func TestCorrectionsOfARestoredDatabaseAreOthers(t *testing.T) {
	d := newDesk(t, projectortest.New(t), bustest.New(t))
	d.answer(d.bus)
	id := d.file("words of one")
	before := d.Kit.Incident(id)
	d.correct(id, casework.Correction{Kind: to(incident.KindThreat)})
	d.sweep()
	rev := d.Kit.Incident(id).Rev
	before.Rev = rev + 1
	if err := d.Store.ReplaceIncident(t.Context(), before, rev); err != nil {
		t.Fatal(err)
	}
	d.At = d.At.Add(time.Minute)
	d.correct(id, casework.Correction{Kind: to(incident.KindAssault)})
	d.sweep()
	if got, want := values(d.published()), []string{"kind abuse→assault", "kind abuse→threat"}; !slices.Equal(got, want) {
		t.Errorf("published %q, want %q", got, want)
	}
}
