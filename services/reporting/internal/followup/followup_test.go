package followup_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/bus/bustest"
	"github.com/onrecord/onrecord/pkg/incident"
	onrecordv1 "github.com/onrecord/onrecord/proto/onrecord/v1"
	"github.com/onrecord/onrecord/services/reporting/internal/casework"
	"github.com/onrecord/onrecord/services/reporting/internal/followup"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestTheReporterSeesWhatWasDone(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	k.Apply(k.Filed(r), k.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff))
	received := k.Incident(r.ID).ReceivedAt
	now := k.At
	staff := casework.New(casework.Config{Store: k.Store, Folder: k.Folder, Keyring: k.Keyring, SiteKnown: func(string) bool { return true },
		Now: func() time.Time { now = now.Add(time.Minute); return now }})
	rep := incident.Actor{Role: "rep", ID: "u1", Name: "canary-rep"}
	ctx := t.Context()
	step := func(i *incident.Incident, err error) *incident.Incident {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	i := k.Incident(r.ID)
	i = step(staff.Acknowledge(ctx, i.ID, i.Rev, rep))
	i = step(staff.Note(ctx, i.ID, i.Rev, rep, "canary-note"))
	kind := incident.KindAssault
	i = step(staff.Correct(ctx, i.ID, i.Rev, rep, casework.Correction{Kind: &kind}))
	i = step(staff.Close(ctx, i.ID, i.Rev, rep, false, "canary-reason"))
	k.Apply(k.Added(r.ID, onrecordv1.Addition_ADDITION_NOTHING_HAPPENED, "canary-words"))

	b := bustest.New(t)
	if err := followup.New(k.Store, k.Keyring, discard()).Serve(ctx, b); err != nil {
		t.Fatal(err)
	}
	raw := ask(t, b, &onrecordv1.FollowUpRequest{ReceiptHash: k.ReceiptHash(r.ID)})
	var reply onrecordv1.FollowUpReply
	if err := proto.Unmarshal(raw, &reply); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range reply.GetSteps() {
		got = append(got, s.GetStatus())
	}
	if want := []string{"new", "acknowledged", "closed_not_fixed", "acknowledged"}; !slices.Equal(got, want) {
		t.Errorf("steps=%v, want %v", got, want)
	}
	if !reply.GetFound() || reply.GetReportId() != r.ID || reply.GetStatus() != "acknowledged" || !reply.GetReceivedAt().AsTime().Equal(received) ||
		!reply.GetChangedAt().AsTime().Equal(k.At) {
		t.Errorf("reply=%v", &reply)
	}
	for _, canary := range []string{"canary", "u1", i.ID, i.Ref} {
		if bytes.Contains(raw, []byte(canary)) {
			t.Errorf("the reply holds %q", canary)
		}
	}
}

func ask(t *testing.T, b *bus.Bus, req *onrecordv1.FollowUpRequest) []byte {
	t.Helper()
	raw, err := proto.Marshal(req)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	reply, err := b.Request(ctx, bus.SubjectFollowUp, raw)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestAnUnknownReceiptTellsNothing(t *testing.T) {
	k := projectortest.New(t)
	s := followup.New(k.Store, k.Keyring, discard())
	empty, err := s.Reply(t.Context(), k.ReceiptHash(k.NewID()))
	if err != nil || empty.GetFound() {
		t.Fatalf("reply=%v, %v", empty, err)
	}
	r := k.Report("leeds")
	k.Apply(k.Filed(r))
	near := k.ReceiptHash(r.ID)
	near[31] ^= 1
	for _, hash := range [][]byte{near, near[:31], k.ReceiptHash(k.NewID())} {
		got, err := s.Reply(t.Context(), hash)
		if err != nil || !proto.Equal(got, &onrecordv1.FollowUpReply{}) {
			t.Errorf("reply=%v, %v; want nothing", got, err)
		}
	}
}

// reads counts what a lookup asks of the store.
type reads struct {
	store.Store
	mu             sync.Mutex
	lookups, found int
}

func (r *reads) count(i *incident.Incident, err error) (*incident.Incident, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookups++
	if err == nil {
		r.found++
	}
	return i, err
}

func (r *reads) IncidentByReceipt(ctx context.Context, hash []byte) (*incident.Incident, error) {
	return r.count(r.Store.IncidentByReceipt(ctx, hash))
}

func (r *reads) Incident(ctx context.Context, id string) (*incident.Incident, error) {
	return r.count(r.Store.Incident(ctx, id))
}

func TestAMissTakesTheWorkOfAHit(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	k.Apply(k.Filed(r))
	counted := &reads{Store: k.Store}
	s := followup.New(counted, k.Keyring, discard())
	work := func(hash []byte) [2]int {
		t.Helper()
		counted.lookups, counted.found = 0, 0
		if _, err := s.Reply(t.Context(), hash); err != nil {
			t.Fatal(err)
		}
		return [2]int{counted.lookups, counted.found}
	}
	miss := k.ReceiptHash(k.NewID())
	work(miss) // chooses the incident that misses load
	if hit, miss := work(k.ReceiptHash(r.ID)), work(miss); hit != miss || hit != [2]int{2, 1} {
		t.Errorf("lookups and incidents loaded: hit %v, miss %v; want 2 and 1 for both", hit, miss)
	}
}

// NATS takes a message of a megabyte. A report with more words than that must
// not be lost to its reporter: that something was said long ago stays.
func TestVeryManyWordsStillFitIntoAReply(t *testing.T) {
	k := projectortest.New(t)
	r := k.Report("leeds")
	k.Apply(k.Filed(r))
	const most = 80
	for n := range most {
		k.Apply(k.Added(r.ID, onrecordv1.Addition_ADDITION_WORDS, strconv.Itoa(n)+strings.Repeat("\U0001f6a8", 4990)))
	}
	b := bustest.New(t)
	if err := followup.New(k.Store, k.Keyring, discard()).Serve(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	var reply onrecordv1.FollowUpReply
	if err := proto.Unmarshal(ask(t, b, &onrecordv1.FollowUpRequest{ReceiptHash: k.ReceiptHash(r.ID)}), &reply); err != nil {
		t.Fatal(err)
	}
	key, err := k.Keyring.Unwrap(reply.GetWrappedKey())
	if err != nil || len(reply.GetMessages()) != most {
		t.Fatalf("%d messages, %v, want %d", len(reply.GetMessages()), err, most)
	}
	last := reply.GetMessages()[most-1]
	text, err := key.Open(last.GetSealedText(), r.ID, "follow-up", strconv.Itoa(most-1))
	if err != nil || !strings.HasPrefix(string(text), strconv.Itoa(most-1)) {
		t.Errorf("the newest message is %.10q, %v", text, err)
	}
	if first := reply.GetMessages()[0]; len(first.GetSealedText()) > 0 || first.GetAdditionId() == "" {
		t.Errorf("the oldest has its words, or is not told of: %.80v", first)
	}
}

func BenchmarkReply(b *testing.B) {
	k := projectortest.New(b)
	var ids []string
	for range 200 {
		r := k.Report("leeds")
		ids = append(ids, r.ID)
		k.Apply(k.Filed(r), k.Classified(r.ID, "m1", incident.KindThreat, incident.ChannelPhone, incident.TargetAnyStaff))
	}
	s := followup.New(k.Store, k.Keyring, discard())
	for name, hash := range map[string]func(n int) []byte{
		"hit":  func(n int) []byte { return k.ReceiptHash(ids[n%len(ids)]) },
		"miss": func(int) []byte { return k.ReceiptHash(k.NewID()) },
	} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n++
				if _, err := s.Reply(b.Context(), hash(n)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Two reports of one incident: each reporter reads what is for them, and
// nothing of the other.
func TestReportersOfOneIncidentDoNotReadEachOther(t *testing.T) {
	k := projectortest.New(t)
	first, second := k.Report("leeds"), k.Report("leeds")
	k.Apply(k.Filed(first))
	ctx := t.Context()
	i := k.Incident(first.ID)
	other := i.Reports[0]
	other.ID, other.ReceiptHash, other.SealedWords = second.ID, k.ReceiptHash(second.ID), nil
	i.Reports, i.Rev = append(i.Reports, other), i.Rev+1
	if err := k.Store.ReplaceIncident(ctx, i, i.Rev-1); err != nil {
		t.Fatal(err)
	}
	k.Apply(k.Added(first.ID, onrecordv1.Addition_ADDITION_WORDS, "canary of the first"), k.Added(second.ID, onrecordv1.Addition_ADDITION_WORDS, "canary of the second"),
		k.Added(second.ID, onrecordv1.Addition_ADDITION_WITHDRAWN, ""))
	staff := casework.New(casework.Config{Store: k.Store, Folder: k.Folder, Keyring: k.Keyring, SiteKnown: func(string) bool { return true }, Now: func() time.Time { return k.At }})
	rep := incident.Actor{Role: "rep", ID: "u1", Name: "canary-rep"}
	for n, text := range []string{"to both", "to the first", "to the second"} {
		i = k.Incident(first.ID)
		if _, err := staff.Message(ctx, i.ID, i.Rev, rep, n, text); err != nil {
			t.Fatal(err)
		}
	}
	if got := k.Incident(first.ID).Status; got == incident.StatusWithdrawn {
		t.Error("one of two reports was taken back, and the incident is withdrawn")
	}
	s := followup.New(k.Store, k.Keyring, discard())
	for id, want := range map[string][]string{
		first.ID:  {"canary of the first", "to both", "to the first"},
		second.ID: {"canary of the second", "", "to both", "to the second"},
	} {
		reply, err := s.Reply(ctx, k.ReceiptHash(id))
		if err != nil {
			t.Fatal(err)
		}
		key, err := k.Keyring.Unwrap(reply.GetWrappedKey())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for n, m := range reply.GetMessages() {
			var plain []byte
			if len(m.GetSealedText()) > 0 {
				if plain, err = key.Open(m.GetSealedText(), id, "follow-up", strconv.Itoa(n)); err != nil {
					t.Fatal(err)
				}
			}
			got = append(got, string(plain))
		}
		if !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
	}
}
