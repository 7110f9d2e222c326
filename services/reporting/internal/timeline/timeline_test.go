package timeline

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/seal"
)

func keyring(t testing.TB, b byte) *seal.Keyring {
	t.Helper()
	k, err := seal.NewKeyring(bytes.Repeat([]byte{b}, seal.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func handled(t testing.TB, k *Keeper) *incident.Incident {
	t.Helper()
	i := &incident.Incident{ID: "incident-1"}
	_, i.WrappedKey = k.keyring.NewDataKey()
	at := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)
	rep := incident.Actor{Role: "rep", ID: "u1", Name: "Demo Rep"}
	for _, e := range []struct {
		c     incident.Change
		words string
	}{
		{incident.Change{At: at, By: incident.Actor{Role: "reporter"}, Action: incident.ActionFiled, To: "new"}, ""},
		{incident.Change{At: at, By: rep, Action: incident.ActionAcknowledged, From: "new", To: "acknowledged"}, ""},
		{incident.Change{At: at, By: rep, Action: incident.ActionNoted}, "spoke to the site"},
		{incident.Change{At: at, By: rep, Action: incident.ActionCorrected, Field: "kind", From: "abuse", To: "threat"}, ""},
		{incident.Change{At: at, By: rep, Action: incident.ActionClosed, From: "acknowledged", To: "closed_fixed"}, "a screen was fitted"},
	} {
		if err := k.Append(i, e.c, e.words); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

func TestATimelineAsWrittenIsWhole(t *testing.T) {
	k := NewKeeper(keyring(t, 7))
	if err := k.Verify(handled(t, k)); err != nil {
		t.Fatal(err)
	}
	if err := k.Verify(&incident.Incident{ID: "empty"}); err != nil {
		t.Fatal(err)
	}
}

func TestErasedWordsLeaveTheTimelineWhole(t *testing.T) {
	k := NewKeeper(keyring(t, 7))
	i := handled(t, k)
	i.Timeline[2].SealedNote, i.Timeline[4].SealedNote = nil, nil
	if err := k.Verify(i); err != nil {
		t.Fatal(err)
	}
}

func TestATimelineSurvivesAStoreThatKeepsMilliseconds(t *testing.T) {
	k := NewKeeper(keyring(t, 7))
	i := handled(t, k)
	for n := range i.Timeline {
		i.Timeline[n].At = time.UnixMilli(i.Timeline[n].At.UnixMilli())
	}
	if err := k.Verify(i); err != nil {
		t.Fatal(err)
	}
}

func TestEveryTamperingIsFoundAtItsEntry(t *testing.T) {
	k := NewKeeper(keyring(t, 7))
	for name, c := range map[string]struct {
		seq    int
		tamper func(i *incident.Incident)
	}{
		"another value":         {4, func(i *incident.Incident) { i.Timeline[3].To = "assault" }},
		"another field":         {4, func(i *incident.Incident) { i.Timeline[3].Field = "channel" }},
		"another action":        {2, func(i *incident.Incident) { i.Timeline[1].Action = incident.ActionReopened }},
		"another person":        {2, func(i *incident.Incident) { i.Timeline[1].By.ID = "u2" }},
		"another name":          {2, func(i *incident.Incident) { i.Timeline[1].By.Name = "Someone Else" }},
		"another role":          {1, func(i *incident.Incident) { i.Timeline[0].By.Role = "rep" }},
		"another time":          {5, func(i *incident.Incident) { i.Timeline[4].At = i.Timeline[4].At.Add(-time.Hour) }},
		"another event":         {3, func(i *incident.Incident) { i.Timeline[2].Event = "x" }},
		"another note":          {3, func(i *incident.Incident) { i.Timeline[2].SealedNote = []byte("other") }},
		"another note and hash": {3, func(i *incident.Incident) { i.Timeline[2].NoteHash = bytes.Repeat([]byte{1}, 32) }},
		"a note slipped in":     {2, func(i *incident.Incident) { i.Timeline[1].SealedNote = []byte("never said") }},
		"values run together":   {2, func(i *incident.Incident) { i.Timeline[1].From, i.Timeline[1].To = "newack", "nowledged" }},
		"the first removed":     {1, func(i *incident.Incident) { i.Timeline = i.Timeline[1:] }},
		"one removed":           {3, func(i *incident.Incident) { i.Timeline = slices.Delete(i.Timeline, 2, 3) }},
		"one removed, renumbered": {3, func(i *incident.Incident) {
			i.Timeline = slices.Delete(i.Timeline, 2, 3)
			for n := range i.Timeline {
				i.Timeline[n].Seq = n + 1
			}
		}},
		"cut in the middle": {2, func(i *incident.Incident) { i.Timeline = slices.Delete(i.Timeline, 1, 4) }},
		"two exchanged": {2, func(i *incident.Incident) {
			i.Timeline[1], i.Timeline[2] = i.Timeline[2], i.Timeline[1]
		}},
		"two exchanged, renumbered": {2, func(i *incident.Incident) {
			i.Timeline[1], i.Timeline[2] = i.Timeline[2], i.Timeline[1]
			i.Timeline[1].Seq, i.Timeline[2].Seq = 2, 3
		}},
		"one repeated":       {3, func(i *incident.Incident) { i.Timeline = slices.Insert(i.Timeline, 2, i.Timeline[1]) }},
		"another's timeline": {1, func(i *incident.Incident) { i.ID = "incident-2" }},
		"a shortened chain":  {5, func(i *incident.Incident) { i.Timeline[4].Chain = i.Timeline[4].Chain[:16] }},
	} {
		t.Run(name, func(t *testing.T) {
			i := handled(t, k)
			c.tamper(i)
			var broken *BrokenError
			if err := k.Verify(i); !errors.As(err, &broken) || broken.Seq != c.seq {
				t.Fatalf("Verify=%v, want entry %d", err, c.seq)
			}
		})
	}
}

func TestAnotherKeyVouchesForNothing(t *testing.T) {
	i := handled(t, NewKeeper(keyring(t, 7)))
	if err := NewKeeper(keyring(t, 8)).Verify(i); err == nil {
		t.Fatal("a timeline under another key was accepted")
	}
}

func TestNotesOpenOnlyInTheirPlace(t *testing.T) {
	k := NewKeeper(keyring(t, 7))
	i := handled(t, k)
	if got, err := k.Note(i, i.Timeline[2]); err != nil || got != "spoke to the site" {
		t.Fatalf("Note=%q, %v", got, err)
	}
	if got, err := k.Note(i, i.Timeline[1]); err != nil || got != "" {
		t.Fatalf("Note=%q, %v, want none", got, err)
	}
	if bytes.Contains(i.Timeline[2].SealedNote, []byte("spoke")) {
		t.Error("a note is kept in clear")
	}
	moved := i.Timeline[2]
	moved.Seq = 5
	if _, err := k.Note(i, moved); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("err=%v, want seal.ErrOpen", err)
	}
	i.WrappedKey = nil
	if _, err := k.Note(i, i.Timeline[2]); !errors.Is(err, ErrErased) {
		t.Errorf("err=%v, want ErrErased", err)
	}
	if err := k.Append(i, incident.Change{Action: incident.ActionNoted}, "more"); !errors.Is(err, ErrErased) || len(i.Timeline) != 5 {
		t.Errorf("err=%v, %d entries; want ErrErased and 5", err, len(i.Timeline))
	}
	if err := k.Verify(i); err != nil {
		t.Error(err)
	}
}

func BenchmarkVerify(b *testing.B) {
	k := NewKeeper(keyring(b, 7))
	i := handled(b, k)
	for b.Loop() {
		if err := k.Verify(i); err != nil {
			b.Fatal(err)
		}
	}
}
