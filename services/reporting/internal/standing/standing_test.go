package standing_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/projector"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/standing"
)

// kit is a stream, a store, and a checker of both.
type kit struct {
	*projectortest.Kit
	t        *testing.T
	bus      *bus.Bus
	js       jetstream.JetStream
	now      time.Time
	mayErase bool
	beside   bool
	*standing.Checker
}

func newKit(t *testing.T) *kit {
	t.Helper()
	b, nc := bustest.NewConn(t)
	k := &kit{Kit: projectortest.New(t), t: t, bus: b, js: jetStream(t, nc), now: time.Now()}
	k.Checker = k.checker()
	return k
}

func jetStream(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// checker returns another Checker of the same parts, as after a restart.
func (k *kit) checker() *standing.Checker {
	p := projector.New(k.Config(k.Store, k.Folder, k.bus))
	return standing.New(standing.Config{Store: k.Store, Bus: k.bus, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return k.now }, MayErase: k.mayErase, Beside: k.beside,
		Apply: func(ctx context.Context, d bus.Delivery) error {
			err := p.Handle(ctx, []bus.Delivery{d})[0]
			if bus.IsPoison(err) {
				return p.Quarantine(ctx, d, err)
			}
			return err
		}})
}

func (k *kit) publish(deliveries ...bus.Delivery) {
	k.t.Helper()
	for _, d := range deliveries {
		if _, err := k.bus.Publish(k.t.Context(), bus.Event{Subject: d.Subject, ID: d.Subject, Data: d.Data}); err != nil {
			k.t.Fatal(err)
		}
	}
}

// acknowledge takes n events from reporting's consumer as one that stores
// nothing would.
func (k *kit) acknowledge(n int) {
	k.t.Helper()
	c, err := k.js.Consumer(k.t.Context(), bus.StreamReports, bus.ConsumerReporting)
	if err != nil {
		k.t.Fatal(err)
	}
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(10*time.Second))
	if err != nil {
		k.t.Fatal(err)
	}
	got := 0
	for m := range batch.Messages() {
		if err := m.DoubleAck(k.t.Context()); err != nil {
			k.t.Fatal(err)
		}
		got++
	}
	if got != n {
		k.t.Fatalf("acknowledged %d, want %d", got, n)
	}
}

// want fails unless exactly these codes are found.
func (k *kit) want(codes ...string) {
	k.t.Helper()
	var got []string
	for _, f := range k.Findings() {
		got = append(got, f.Code)
		if f.What == "" || f.Next == "" {
			k.t.Errorf("%s does not say what and what next: %+v", f.Code, f)
		}
	}
	slices.Sort(got)
	slices.Sort(codes)
	if !slices.Equal(got, codes) {
		k.t.Fatalf("found %v, want %v", got, codes)
	}
}

func (k *kit) look() {
	k.t.Helper()
	if err := k.Look(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) walk() {
	k.t.Helper()
	if err := k.Walk(k.t.Context(), func(int) {}); err != nil {
		k.t.Fatal(err)
	}
}

// Events that were acknowledged and never stored are found, taken in, and
// counted once; whatever their kind, and one that nobody can read is put aside.
func TestWhatTheStoreLacksIsFoundAndTakenIn(t *testing.T) {
	k := newKit(t)
	stored, lost := k.Report("leeds"), k.Report("york")
	storedFiled := k.Filed(stored)
	storedRead := k.Classified(stored.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff)
	added := k.Added(stored.ID, onrecordv1.Addition_ADDITION_WITHDRAWN, "")
	waiting := k.Classified(k.NewID(), "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff)
	poison := bus.Delivery{Subject: bus.Subject(bus.TypeFiled, k.NewID()), Data: []byte("demo bytes")}
	k.publish(storedFiled, storedRead, waiting, k.Filed(lost), added, poison)
	k.Apply(storedFiled, storedRead, waiting)
	k.walk()
	k.want() // nothing is acknowledged yet: nothing is due
	k.acknowledge(6)
	k.walk()
	k.want("events_missed")
	if k.Incident(lost.ID).Site != "york" || k.Incident(stored.ID).Status != incident.StatusWithdrawn {
		t.Error("what was missing was not taken in")
	}
	if q, err := k.Store.ListQuarantined(t.Context()); err != nil || len(q) != 1 {
		t.Errorf("%d put aside (%v), want the one nobody can read", len(q), err)
	}
	k.walk()
	k.want()
	k.look()
	k.want("quarantine")
}

// What came back of an erased report is told until it is removed, which is not
// taken for a loss.
func TestWhatCameBackOfAnErasedReportIsTold(t *testing.T) {
	k := newKit(t)
	kept, erased := k.Report("leeds"), k.Report("york")
	all := []bus.Delivery{k.Filed(kept), k.Filed(erased), k.Classified(erased.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff), k.Filed(k.Report("leeds")), k.Filed(k.Report("leeds"))}
	k.publish(all...)
	k.Apply(all...)
	k.acknowledge(5)
	cases := casework.New(casework.Config{Store: k.Store, Folder: k.Folder, Keyring: k.Keyring, SiteKnown: func(string) bool { return false }, Now: time.Now})
	k.look()
	if err := cases.Erase(t.Context(), k.Incident(erased.ID).ID, incident.Actor{Role: "operator"}); err != nil {
		t.Fatal(err)
	}
	k.walk()
	k.want("erased_returned")
	k.mayErase = true // as on one machine
	k.Checker = k.checker()
	k.walk()
	if _, err := k.bus.Get(t.Context(), bus.Subject(bus.TypeFiled, erased.ID)); fault.KindOf(err) != fault.NotFound {
		t.Errorf("what came back is still there: %v", err)
	}
	k.look()
	k.want()
	stream, err := k.js.Stream(t.Context(), bus.StreamReports)
	if err == nil {
		err = stream.DeleteMsg(t.Context(), 4)
	}
	if err != nil {
		t.Fatal(err)
	}
	k.look()
	k.want("stream_damaged") // that one nobody erased
}

// A stream that lost its end, or was made anew, is told: what was received in
// between may be gone.
// What reps corrected came from the store, and is not missed there. What was
// published about a report while it was erased is removed, by the walk at the
// latest.
func TestCorrectionsAreNotMissedAndGoWithTheirReport(t *testing.T) {
	k := newKit(t)
	k.mayErase = true
	k.Checker = k.checker()
	kept, erased := k.Report("leeds"), k.Report("york")
	filed := []bus.Delivery{k.Filed(kept), k.Filed(erased)}
	k.Apply(filed...)
	corrected := func(reportID string) bus.Delivery {
		return k.Deliver(bus.Subject(bus.TypeCorrected, reportID, "c1"), &onrecordv1.Envelope{Type: bus.TypeCorrected})
	}
	k.publish(corrected(kept.ID), corrected(erased.ID), filed[0], filed[1], corrected(k.NewID()))
	k.publish(k.Filed(k.Report("leeds"))) // so that all before it is due
	k.acknowledge(3)
	k.walk()
	k.want("events_missed") // the last one, which was never stored
	i := k.Incident(erased.ID)
	i.WrappedKey = nil
	i.Rev++
	if err := k.Store.ReplaceIncident(t.Context(), i, i.Rev-1); err != nil {
		t.Fatal(err)
	}
	k.walk()
	k.want()
	for id, want := range map[string]int{kept.ID: 2, erased.ID: 0} {
		n := 0
		_, err := k.bus.Walk(t.Context(), 1<<40, func(p bus.Place) error {
			if projector.About(p.Subject) == id {
				n++
			}
			return nil
		})
		if err != nil || n != want {
			t.Errorf("%d events about %s are left (%v), want %d", n, id, err, want)
		}
	}
	if q, err := k.Store.ListQuarantined(t.Context()); err != nil || len(q) != 0 {
		t.Errorf("put aside: %v %v", q, err)
	}
	k.look()
	k.want()
}

func TestAStreamThatLostItsEndIsTold(t *testing.T) {
	k := newKit(t)
	k.publish(k.Filed(k.Report("leeds")), k.Filed(k.Report("leeds")))
	k.look()
	k.want()
	k.Checker = k.checker()
	k.look()
	k.want() // the same stream after a restart
	if err := k.js.DeleteStream(t.Context(), bus.StreamReports); err != nil {
		t.Fatal(err)
	}
	if err := k.bus.Apply(t.Context(), bus.Settings{Replicas: 1, MaxBytes: 64 << 20}); err != nil {
		t.Fatal(err)
	}
	k.beside = true
	for range 2 { // others who look beside leave it for the one who keeps what was seen
		k.Checker = k.checker()
		k.look()
		k.want("stream_replaced")
	}
	k.beside = false
	k.Checker = k.checker()
	k.look()
	k.want("stream_replaced")
	k.look()
	k.want("stream_replaced") // for as long as this process lives
	k.Checker = k.checker()
	k.look()
	k.want()
}

func TestAConsumerThatGetsNoFurtherIsTold(t *testing.T) {
	k := newKit(t)
	k.publish(k.Filed(k.Report("leeds")))
	k.look()
	k.want()
	k.now = k.now.Add(3 * time.Minute)
	k.look()
	k.want("consumer_stalled", "consumer_stalled") // reporting's and the classifier's
	k.acknowledge(1)
	k.look()
	k.want("consumer_stalled")
	if err := k.js.DeleteConsumer(t.Context(), bus.StreamReports, bus.ConsumerClassifier); err != nil {
		t.Fatal(err)
	}
	k.look()
	k.want("consumer_missing")
}

func TestAStreamThatFillsUpIsTold(t *testing.T) {
	k := newKit(t)
	if err := k.bus.Apply(t.Context(), bus.Settings{Replicas: 1, MaxBytes: 64 << 10}); err != nil {
		t.Fatal(err)
	}
	fill := func(share float64) {
		t.Helper()
		for {
			h, err := k.bus.Health(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if float64(h.Bytes) >= share*float64(h.MaxBytes) {
				return
			}
			k.publish(bus.Delivery{Subject: bus.Subject(bus.TypeFiled, k.NewID()), Data: make([]byte, 1<<10)})
		}
	}
	k.look()
	k.want()
	fill(0.86)
	k.look()
	k.want("stream_filling")
	fill(0.955)
	k.look()
	k.want("stream_nearly_full")
}
