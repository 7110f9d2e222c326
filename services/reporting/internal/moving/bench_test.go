package moving

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onrecord/onrecord/pkg/bus"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/pkg/mongotest"
	"github.com/onrecord/onrecord/services/reporting/internal/projector/projectortest"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
	"github.com/onrecord/onrecord/services/reporting/internal/store/sqlite"
)

// BenchmarkMoving times an export and an import of it, checked and recounted.
// The compatible server reads a whole collection for each question that is not
// by id, so it is given less; a real MongoDB (TEST_MONGODB_URI) is given as much
// as SQLite:
// go test ./services/reporting/internal/moving -run '^$' -bench Moving -benchtime 1x -timeout 30m
func BenchmarkMoving(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) { benchMoving(b, 100_000, emptySQLite) })
	size := 20_000
	if mongotest.Real() != "" {
		size = 100_000
	}
	b.Run("MongoDB", func(b *testing.B) {
		benchMoving(b, size, func(b *testing.B) store.Store { return projectortest.Mongo(b)(b) })
	})
}

func benchMoving(b *testing.B, n int, target func(*testing.B) store.Store) {
	i := filled(b, n)
	path := i.file(b)
	b.Run(fmt.Sprint("export/", n), func(b *testing.B) {
		for b.Loop() {
			i.file(b)
		}
	})
	b.Run(fmt.Sprint("import/", n), func(b *testing.B) { benchImport(b, i, path, func() store.Store { return target(b) }) })
}

func benchImport(b *testing.B, i installation, path string, target func() store.Store) {
	for b.Loop() {
		b.StopTimer()
		st := target()
		b.StartTimer()
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		e, err := Open(f, i.Keyring)
		if err != nil {
			b.Fatal(err)
		}
		steps := make(map[string]time.Duration)
		r, _, err := importer(st, i.Keyring).Import(b.Context(), e, func(step string, _, _ int) { steps[step] = time.Since(began) })
		if err != nil || len(r.Differences) > 0 {
			b.Fatal(err, r.Differences)
		}
		b.Logf("%d incidents in %s: checked after %s, stored after %s, recounted after %s", r.Totals.Incidents, time.Since(began).Round(time.Millisecond), steps["checked"], steps["stored"], steps["recounted"])
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func emptySQLite(b *testing.B) store.Store {
	b.Helper()
	st, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "target.db"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = st.Close() })
	return st
}

// installation is a SQLite store full of incidents of two years at ten sites.
type installation struct{ *projectortest.Kit }

func filled(b *testing.B, n int) installation {
	b.Helper()
	k := projectortest.New(b)
	var events []bus.Delivery
	for i := range n {
		r := k.Report(fmt.Sprintf("demo-%d", i%10))
		r.OccurredAt = r.OccurredAt.AddDate(0, 0, -(i*7)%700)
		r.Narrative = "He shouted at me across the desk and swept the leaflets to the floor before he was asked to leave the building."
		events = append(events, k.Filed(r), k.Classified(r.ID, "m1", incident.KindAbuse, incident.ChannelInPerson, incident.TargetNamedPerson))
		if len(events) >= 2_000 || i == n-1 {
			k.Apply(events...)
			events = nil
		}
	}
	return installation{k}
}

// file writes an export and returns its path.
func (i installation) file(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "export.jsonl")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	out := bufio.NewWriter(f)
	e := Exporter{Store: i.Store, Keyring: i.Keyring, By: "benchmark", Now: time.Now}
	r, err := e.Export(context.WithoutCancel(b.Context()), func(line []byte) error {
		_, err := out.Write(line)
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil || len(r.Differences) > 0 {
		b.Fatal(err, r.Differences)
	}
	info, err := f.Stat()
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%d incidents, %d MiB", r.Totals.Incidents, info.Size()>>20)
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}
