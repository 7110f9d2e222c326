package packed_test

import (
	"encoding/hex"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store/packed"
)

// The stored form is for ever: what an earlier release wrote reads back, and is
// written again byte for byte.
func TestStoredFiguresStay(t *testing.T) {
	dims := incident.Dims{Kind: "threat", Channel: "phone", Target: "any_staff", Employer: "Serco", SetBy: "reporter"}
	first := []incident.Cell{{Dims: dims, Incidents: 3, Reports: 4, People: 500}}
	cells := []incident.Cell{{Dims: dims, Incidents: 3, Reports: 4, People: 500, NothingHappened: 2, SetAside: 70}}
	undated := []incident.Cell{{Dims: dims, Incidents: 3, Reports: 4, People: 500, Undated: 5}}
	for name, test := range map[string]struct {
		encoded []byte
		decode  func([]byte) (any, error)
		want    any
		stored  string
	}{
		"cells of version 1": {packed.EncodeCells(first), func(b []byte) (any, error) { return packed.DecodeCells(b) }, first,
			"0105067468726561740570686f6e6509616e795f737461666605536572636f087265706f7274657201000102030401000608e807"},
		"entries of version 1": {
			packed.EncodeEntries(map[string]incident.Entry{"01890a5d-ac96-874b-bcce-b302099a8057": {Rev: 7, Counted: true, Dims: dims, Reports: 1, People: 2}}),
			func(b []byte) (any, error) { return packed.DecodeEntries(b) },
			map[string]incident.Entry{"01890a5d-ac96-874b-bcce-b302099a8057": {Rev: 7, Counted: true, Dims: dims, Reports: 1, People: 2}},
			"0105067468726561740570686f6e6509616e795f737461666605536572636f087265706f727465720100010203040100" +
				"01890a5dac96874bbcceb302099a80570e010204"},
		"sites of version 1": {
			packed.EncodeSites(map[string]incident.SiteCells{"leeds": {LedgerRev: 9, Cells: first}}),
			func(b []byte) (any, error) { return packed.DecodeSites(b) },
			map[string]incident.SiteCells{"leeds": {LedgerRev: 9, Cells: first}},
			"0106056c65656473067468726561740570686f6e6509616e795f737461666605536572636f087265706f72746572010102030405010012" +
				"01000608e807"},
		"cells": {packed.EncodeCells(cells), func(b []byte) (any, error) { return packed.DecodeCells(b) }, cells,
			"0205067468726561740570686f6e6509616e795f737461666605536572636f087265706f7274657201000102030401000608e807048c01"},
		"entry that is counted": {
			packed.EncodeEntries(map[string]incident.Entry{"01890a5d-ac96-874b-bcce-b302099a8057": {Rev: 7, Counted: true, Dims: dims, Reports: 1, People: 2, NothingHappened: true}}),
			func(b []byte) (any, error) { return packed.DecodeEntries(b) },
			map[string]incident.Entry{"01890a5d-ac96-874b-bcce-b302099a8057": {Rev: 7, Counted: true, Dims: dims, Reports: 1, People: 2, NothingHappened: true}},
			"0205067468726561740570686f6e6509616e795f737461666605536572636f087265706f72746572010001020304010001890a5dac96874bbcceb302099a80570e030204"},
		"entry that is set aside": {
			packed.EncodeEntries(map[string]incident.Entry{"01890a5d-ac96-874b-bcce-b302099a8057": {Rev: 8, Dims: dims, Reports: 1, People: 2, SetAside: true}}),
			func(b []byte) (any, error) { return packed.DecodeEntries(b) },
			map[string]incident.Entry{"01890a5d-ac96-874b-bcce-b302099a8057": {Rev: 8, Dims: dims, Reports: 1, People: 2, SetAside: true}},
			"0205067468726561740570686f6e6509616e795f737461666605536572636f087265706f72746572010001020304010001890a5dac96874bbcceb302099a805710040204"},
		"cells of what nobody knows when it happened": {packed.EncodeCells(undated), func(b []byte) (any, error) { return packed.DecodeCells(b) }, undated,
			"0305067468726561740570686f6e6509616e795f737461666605536572636f087265706f7274657201000102030401000608e80700000a"},
		"entry of which nobody knows when it happened": {
			packed.EncodeEntries(map[string]incident.Entry{"01890a5d-ac96-874b-bcce-b302099a8057": {Rev: 7, Counted: true, Dims: dims, Reports: 1, People: 2, Undated: true}}),
			func(b []byte) (any, error) { return packed.DecodeEntries(b) },
			map[string]incident.Entry{"01890a5d-ac96-874b-bcce-b302099a8057": {Rev: 7, Counted: true, Dims: dims, Reports: 1, People: 2, Undated: true}},
			"0305067468726561740570686f6e6509616e795f737461666605536572636f087265706f72746572010001020304010001890a5dac96874bbcceb302099a80570e090204"},
		"sites": {
			packed.EncodeSites(map[string]incident.SiteCells{"leeds": {LedgerRev: 9, Cells: cells}}),
			func(b []byte) (any, error) { return packed.DecodeSites(b) },
			map[string]incident.SiteCells{"leeds": {LedgerRev: 9, Cells: cells}},
			"0206056c65656473067468726561740570686f6e6509616e795f737461666605536572636f087265706f7274657201010203040501001201000608e807048c01"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := hex.EncodeToString(test.encoded); got != test.stored {
				t.Errorf("written %s\n   want %s", got, test.stored)
			}
			stored, err := hex.DecodeString(test.stored)
			if err != nil {
				t.Fatal(err)
			}
			got, err := test.decode(stored)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("read %+v, %v\nwant %+v", got, err, test.want)
			}
			for n := range stored { // every shorter one is damaged
				if _, err := test.decode(stored[:n]); err == nil {
					t.Errorf("the first %d bytes: no error", n)
				}
			}
			if _, err := test.decode(append(stored, 0)); err == nil {
				t.Error("with a byte too many: no error")
			}
			if _, err := test.decode(append([]byte{4}, stored[1:]...)); err == nil || !strings.Contains(err.Error(), "version 4") {
				t.Errorf("of a later version: %v", err)
			}
		})
	}
}

func TestOnlyWholeUUIDsArePacked(t *testing.T) {
	const uuid = "01890a5d-ac96-874b-bcce-b302099a8057"
	for _, id := range []string{
		uuid, "", "x", strings.ToUpper(uuid), uuid + "0", uuid[1:], strings.ReplaceAll(uuid, "-", ""),
		strings.ReplaceAll(uuid, "-", "_"), strings.Replace(uuid, "0", "g", 1), strings.Replace(uuid, "5d-a", "-5da", 1),
		"{" + uuid[1:35] + "}", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", strings.Repeat("é", 18), strings.Repeat("-", 36),
	} {
		entries := map[string]incident.Entry{id: {Rev: 1}}
		got, err := packed.DecodeEntries(packed.EncodeEntries(entries))
		if err != nil || !maps.Equal(got, entries) {
			t.Errorf("%q came back as %v, %v", id, got, err)
		}
	}
}

// FuzzFigures reads anything as figures: it never panics, takes no more memory
// than the input justifies, and what it could read it writes the same again.
func FuzzFigures(f *testing.F) {
	l := incident.Ledger{}
	for n, id := range []string{"01890a5d-ac96-874b-bcce-b302099a8057", "no UUID", ""} {
		dims := incident.Dims{Kind: incident.Kinds[n], Channel: incident.ChannelPhone, Employer: id}
		l.Set(id, incident.Entry{Rev: int64(n) + 1, Counted: n < 2, Dims: dims, Reports: 1, People: n, NothingHappened: n == 1, SetAside: n == 2, Undated: n == 0})
	}
	l.Total()
	f.Add(packed.EncodeCells(l.Cells))
	f.Add(packed.EncodeEntries(l.Entries))
	f.Add(packed.EncodeSites(map[string]incident.SiteCells{"leeds": {LedgerRev: 1, Cells: l.Cells}}))
	f.Add([]byte{2, 0, 0, 1, 1})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{1, 0, 0, 1, 1})
	f.Fuzz(func(t *testing.T, stored []byte) {
		if cells, err := packed.DecodeCells(stored); err == nil {
			if again, err := packed.DecodeCells(packed.EncodeCells(cells)); err != nil || !slices.Equal(again, cells) {
				t.Errorf("cells %v became %v, %v", cells, again, err)
			}
		}
		if entries, err := packed.DecodeEntries(stored); err == nil {
			if again, err := packed.DecodeEntries(packed.EncodeEntries(entries)); err != nil || !maps.Equal(again, entries) {
				t.Errorf("entries %v became %v, %v", entries, again, err)
			}
		}
		if sites, err := packed.DecodeSites(stored); err == nil {
			if again, err := packed.DecodeSites(packed.EncodeSites(sites)); err != nil || !reflect.DeepEqual(again, sites) {
				t.Errorf("sites %v became %v, %v", sites, again, err)
			}
		}
	})
}
