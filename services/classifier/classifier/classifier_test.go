package classifier

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/run/runtest"
	"github.com/onrecord/onrecord/pkg/seal"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func reportID(n int) string { return fmt.Sprintf("01890a5d-ac96-774b-bcce-%012x", n) }

// line is a running service on a real stream.
type line struct {
	*testing.T
	bus     *bus.Bus
	keys    *seal.Keyring
	logged  *runtest.Output
	service *Service
}

func newLine(t *testing.T) *line {
	keys, err := seal.NewKeyring(bytes.Repeat([]byte{7}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	l := &line{T: t, bus: bustest.New(t), keys: keys, logged: new(runtest.Output)}
	l.service, err = New(Config{
		Bus: l.bus, Keyring: keys, Producer: "classifier/test",
		Log: slog.New(slog.NewJSONHandler(l.logged, nil)),
		Now: func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// run starts the service and returns a function that stops it and waits.
func (l *line) run() (stop func()) {
	l.Helper()
	ctx, cancel := context.WithCancel(l.Context())
	done := make(chan error, 1)
	go func() { done <- l.service.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			l.Errorf("Run=%v, want nil", err)
		}
	}
}

func (l *line) filed(id, narrative string) *onrecordv1.Envelope {
	key, wrapped := l.keys.NewDataKey()
	words, err := proto.Marshal(&onrecordv1.ReportWords{Narrative: narrative, ContactName: "Demo Person"})
	if err != nil {
		l.Fatal(err)
	}
	return &onrecordv1.Envelope{
		Type: bus.TypeFiled, Id: id + ".filed", Time: timestamppb.New(noon), Producer: "intake/test", Trace: "trace-" + id,
		Event: &onrecordv1.Envelope_ReportFiled{ReportFiled: &onrecordv1.ReportFiled{
			ReportId: id, Kind: "unknown", Channel: "unknown", Target: "unknown",
			WrappedKey: wrapped, SealedWords: key.Seal(words, id, "words"),
		}},
	}
}

func (l *line) publish(subject string, data []byte) {
	l.Helper()
	if _, err := l.bus.Publish(l.Context(), bus.Event{Subject: subject, ID: subject, Data: data}); err != nil {
		l.Fatal(err)
	}
}

func (l *line) file(e *onrecordv1.Envelope) {
	l.Helper()
	data, err := proto.Marshal(e)
	if err != nil {
		l.Fatal(err)
	}
	l.publish(bus.Subject(bus.TypeFiled, e.GetReportFiled().ReportId), data)
}

// eventually polls until ok returns nil, and fails with its last error.
func (l *line) eventually(ok func() error) {
	l.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var err error
	for {
		if err = ok(); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			l.Fatal(err)
		}
	}
}

// classified waits for the classification of a report.
func (l *line) classified(id string) (e *onrecordv1.Envelope, seq uint64) {
	l.Helper()
	l.eventually(func() error {
		stored, err := l.bus.Get(l.Context(), bus.Subject(bus.TypeClassified, id, NewReader().Version()))
		if err != nil {
			return err
		}
		e, seq = new(onrecordv1.Envelope), stored.Seq
		return proto.Unmarshal(stored.Data, e)
	})
	return e, seq
}

func TestAFiledReportIsClassified(t *testing.T) {
	l := newLine(t)
	defer l.run()()
	id, text := reportID(1), "A claimant punched me in the face at the front desk"
	l.file(l.filed(id, text))

	e, _ := l.classified(id)
	c := e.GetReportClassified()
	version := NewReader().Version()
	if e.Type != bus.TypeClassified || e.Id != id+".classified."+version || e.Trace != "trace-"+id ||
		e.Producer != "classifier/test" || !e.Time.AsTime().Equal(noon) {
		t.Errorf("envelope=%v", e)
	}
	if c.ReportId != id || c.ModelVersion != version || c.TaxonomyVersion != incident.TaxonomyVersion {
		t.Errorf("report=%s model=%s taxonomy=%s", c.ReportId, c.ModelVersion, c.TaxonomyVersion)
	}
	if c.Kind.Value != "assault" || c.Channel.Value != "in_person" || c.Target.Value != "named_person" {
		t.Errorf("read as %s, %s, %s; want assault, in_person, named_person", c.Kind.Value, c.Channel.Value, c.Target.Value)
	}
	for _, j := range []*onrecordv1.Judgement{c.Kind, c.Channel, c.Target} {
		sum := 0.0
		for _, p := range j.Probabilities {
			sum += p.P
		}
		if math.Abs(sum-1) > 1e-9 {
			t.Errorf("probabilities sum to %v, want 1", sum)
		}
		if len(j.Reasons) == 0 {
			t.Errorf("%s has no reason", j.Value)
		}
		for _, r := range j.Reasons {
			if r.End > uint32(len(text)) || r.Start >= r.End || r.Class == "" || r.For == "" {
				t.Errorf("reason %v does not point into the %d bytes", r, len(text))
			}
		}
	}
	if r := c.Kind.Reasons[0]; text[r.Start:r.End] != "punched" {
		t.Errorf("the first reason for the kind is %q, want “punched”", text[r.Start:r.End])
	}
}

func TestAReportWithoutWordsIsReadFromItsAnswers(t *testing.T) {
	l := newLine(t)
	defer l.run()()
	e := l.filed(reportID(2), "")
	f := e.GetReportFiled()
	f.SealedWords, f.WrappedKey = nil, nil
	f.Kind, f.Channel, f.Target = "threat", "phone", "any_staff"
	l.file(e)
	got, _ := l.classified(reportID(2))
	c := got.GetReportClassified()
	if c.Kind.Value != "threat" || c.Channel.Value != "phone" || c.Target.Value != "any_staff" || !c.Review {
		t.Errorf("classified as %v, want the answers and review", c)
	}
}

func TestADeliveryThatComesAgainMakesNoSecondEvent(t *testing.T) {
	l := newLine(t)
	id := reportID(3)
	data, err := proto.Marshal(l.filed(id, "swore at me on the phone"))
	if err != nil {
		t.Fatal(err)
	}
	d := bus.Delivery{Subject: bus.Subject(bus.TypeFiled, id), Data: data, Seq: 1, Deliveries: 1}
	if errs := l.service.handle(t.Context(), []bus.Delivery{d}); errs[0] != nil {
		t.Fatal(errs[0])
	}
	_, first := l.classified(id)
	d.Deliveries = 2
	l.service.Now = func() time.Time { return noon.Add(time.Hour) }
	for i, err := range l.service.handle(t.Context(), []bus.Delivery{d, d}) {
		if err != nil {
			t.Errorf("redelivery %d: err=%v, want nil: it is classified already", i, err)
		}
	}
	e, again := l.classified(id)
	if again != first || !e.Time.AsTime().Equal(noon) {
		t.Errorf("seq=%d time=%v, want the first event at seq %d to stay", again, e.Time.AsTime(), first)
	}
}

func TestUnreadableReportsAreLetGoAndTheLineGoesOn(t *testing.T) {
	l := newLine(t)
	secret := "canary-wren"
	otherPlace := l.filed(reportID(11), secret)
	otherPlace.GetReportFiled().ReportId = reportID(12)
	wrongSubject, err := proto.Marshal(l.filed(reportID(13), secret))
	if err != nil {
		t.Fatal(err)
	}
	noID := l.filed(reportID(14), secret)
	noID.GetReportFiled().ReportId = secret
	l.publish(bus.Subject(bus.TypeFiled, reportID(10)), []byte("\xff not protobuf "+secret))
	l.file(otherPlace)
	l.publish(bus.Subject(bus.TypeFiled, reportID(15)), wrongSubject)
	l.file(noID)
	l.publish(bus.Subject(bus.TypeFiled, reportID(16)), nil)
	defer l.run()()

	l.file(l.filed(reportID(17), "shouted at me at the counter"))
	l.classified(reportID(17))
	l.eventually(func() error {
		if n := strings.Count(l.logged.String(), "stays unclassified"); n != 5 {
			return fmt.Errorf("%d unreadable reports were let go, want 5", n)
		}
		return nil
	})
	if strings.Contains(l.logged.String(), secret) {
		t.Errorf("the log quotes a report: %s", l.logged)
	}
	for _, n := range []int{10, 11, 12, 13, 15} {
		_, err := l.bus.Get(t.Context(), bus.Subject(bus.TypeClassified, reportID(n), NewReader().Version()))
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("report %d: err=%v, want no classification", n, err)
		}
	}
}

func TestAStoppedStreamIsNoFaultOfTheReport(t *testing.T) {
	b, nc := bustest.NewConn(t)
	l := newLine(t)
	l.service.Bus = b
	nc.Close()
	data, err := proto.Marshal(l.filed(reportID(21), "swore at me"))
	if err != nil {
		t.Fatal(err)
	}
	errs := l.service.handle(t.Context(), []bus.Delivery{{Subject: bus.Subject(bus.TypeFiled, reportID(21)), Data: data}})
	if errs[0] == nil || bus.IsPoison(errs[0]) || fault.KindOf(errs[0]) != fault.Unavailable {
		t.Errorf("err=%v, want unavailable, to be tried again", errs[0])
	}
}

func TestABacklogIsReadCompletely(t *testing.T) {
	l := newLine(t)
	const n = 600
	for i := range n {
		l.file(l.filed(reportID(1000+i), "customer shouted at me down the phone"))
	}
	defer l.run()()
	for i := range n {
		e, _ := l.classified(reportID(1000 + i))
		if got := e.GetReportClassified().Channel.Value; got != "phone" {
			t.Fatalf("report %d: channel=%s, want phone", i, got)
		}
	}
}

func TestAboutOneInTwentyIsSampled(t *testing.T) {
	n := 0
	for i := range 10_000 {
		if sampled(reportID(i)) {
			n++
		}
	}
	if n < 400 || n > 600 {
		t.Errorf("%d of 10,000 are sampled, want about 500", n)
	}
}

// Only sure readings are picked for a check, the same whenever and by whichever
// model they are read.
func TestOnlySureReadingsArePickedForACheck(t *testing.T) {
	l := newLine(t)
	sure, unsure := Input{Narrative: "rang and called me a thieving cow down the phone"}, Input{Narrative: "it happened again"}
	if r := l.service.Reader().Read(sure); r.Review {
		t.Fatalf("the machine is not sure of what this test takes for plain: %+v", r)
	}
	picked := 0
	for i := range 200 {
		id := reportID(i)
		r := l.service.read(id, sure)
		if r.Sampled != sampled(id) || r.Review != r.Sampled {
			t.Errorf("report %d: review=%v sampled=%v, picked=%v", i, r.Review, r.Sampled, sampled(id))
		}
		if r := l.service.read(id, unsure); r.Sampled || !r.Review {
			t.Errorf("report %d, of which it is not sure: review=%v sampled=%v", i, r.Review, r.Sampled)
		}
		if r.Sampled {
			picked++
			e, err := classifiedEvent(r, "", "classifier/test")
			if err != nil {
				t.Fatal(err)
			}
			var envelope onrecordv1.Envelope
			if err := proto.Unmarshal(e.Data, &envelope); err != nil || !envelope.GetReportClassified().GetSampled() || !envelope.GetReportClassified().GetReview() {
				t.Errorf("report %d is not said to be picked: %v", i, err)
			}
		}
	}
	if picked == 0 {
		t.Error("none of 200 was picked")
	}
}

func TestNewNamesEverythingThatIsMissing(t *testing.T) {
	_, err := New(Config{})
	for _, want := range []string{"Bus", "Keyring", "Log", "Producer"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err=%v, want it to name %s", err, want)
		}
	}
}

func FuzzOpenFiled(f *testing.F) {
	keys, err := seal.NewKeyring(make([]byte, seal.KeySize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("onrecord.v1.report.filed.x", []byte("\x0a\x01x"))
	f.Fuzz(func(t *testing.T, subject string, data []byte) {
		if got, err := openFiled(bus.Delivery{Subject: subject, Data: data}, keys); err == nil && !incident.IsReportID(got.reportID) {
			t.Errorf("accepted the id %q", got.reportID)
		}
	})
}

// BenchmarkLine is the rate at which a backlog is classified and stored.
func BenchmarkLine(b *testing.B) {
	keys, err := seal.NewKeyring(make([]byte, seal.KeySize))
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Config{Bus: bustest.New(b), Keyring: keys, Producer: "classifier/bench", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	l := &line{T: &testing.T{}, keys: keys}
	n := 0
	b.ResetTimer()
	for b.Loop() {
		b.StopTimer()
		batch := make([]bus.Delivery, batchSize)
		for i := range batch {
			id := reportID(n)
			n++
			data, err := proto.Marshal(l.filed(id, "a man at the front desk threw a chair at the screen and shouted at me"))
			if err != nil {
				b.Fatal(err)
			}
			batch[i] = bus.Delivery{Subject: bus.Subject(bus.TypeFiled, id), Data: data}
		}
		b.StartTimer()
		for _, err := range s.handle(b.Context(), batch) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "reports/s")
}
