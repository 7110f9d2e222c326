package program_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/onrecord/onrecord/pkg/run/runtest"
	"github.com/onrecord/onrecord/pkg/web/webtest"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
	"github.com/onrecord/onrecord/services/reporting/reporting"
)

const demoSites = "id,name,kind,postcode,region,employer,staff\n" +
	"demo-north,Demo Jobcentre North,jobcentre,ZZ1 1AA,Demo North,Demo Department,60\n" +
	"demo-south,Demo Jobcentre South,jobcentre,ZZ2 1AA,Demo South,Demo Department,40\n"

// kit is a whole program in this process, asked without a socket.
type kit struct {
	*program.Program
	tb testing.TB
}

// open opens a program on a fresh directory. Nothing runs yet.
func open(tb testing.TB) *kit {
	tb.Helper()
	return openWith(tb, 256<<20)
}

// openWith is open with so many bytes for the stream.
func openWith(tb testing.TB, maxStore int64) *kit {
	tb.Helper()
	p, err := program.Open(tb.Context(), program.Config{DataDir: tb.TempDir(), MaxStore: maxStore, Threshold: 5, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &kit{p, tb}
}

// run runs the services until the test ends, and returns once they are ready.
func (k *kit) run() {
	k.tb.Helper()
	k.tb.Cleanup(k.start())
}

// start runs the services, and returns once they are ready what ends them.
func (k *kit) start() (stop func()) {
	k.tb.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(k.tb.Context()))
	ended := make(chan error, 1)
	go func() { ended <- k.Background(ctx) }()
	if err := k.WaitReady(k.tb.Context()); err != nil {
		cancel()
		k.tb.Fatal(err)
	}
	return func() {
		cancel()
		if err := <-ended; err != nil {
			k.tb.Error(err)
		}
	}
}

// do runs an operator's operation.
func (k *kit) do(name string, args, result any) {
	k.tb.Helper()
	if err := k.Operations().Call(k.tb.Context(), name, args, result, func(string) {}); err != nil {
		k.tb.Fatalf("%s: %v", name, err)
	}
}

// importSites imports the demo's sites, and returns once intake knows them.
func (k *kit) importSites() {
	k.tb.Helper()
	k.do(program.OpSitesImport, demoSites, nil)
	k.eventually(func() error {
		if res := k.call(http.MethodGet, "/api/v1/sites", ""); !strings.Contains(res.Body, "demo-south") {
			return fmt.Errorf("intake does not know the sites: %d %s", res.StatusCode, res.Body)
		}
		return nil
	})
}

func (k *kit) eventually(check func() error) {
	k.tb.Helper()
	runtest.Eventually(k.tb, 20*time.Second, check)
}

// token makes an API token and returns its header.
func (k *kit) token(role string, sites ...string) []string {
	k.tb.Helper()
	var made reporting.CreatedToken
	k.do(program.OpTokenCreate, reporting.NewToken{Role: role, Sites: sites}, &made)
	return []string{"Authorization", "Bearer " + made.Secret}
}

func (k *kit) call(method, path, body string, headers ...string) webtest.Response {
	k.tb.Helper()
	return webtest.Do(k.tb, k.App(), method, path, body, headers...)
}

// report returns the JSON of a report that is in order but for the changes.
func report(change map[string]any) string {
	r := map[string]any{
		"id": uuid.Must(uuid.NewV7()), "site": "demo-north", "occurred_at": time.Now().Add(-time.Minute).UTC().Format(time.RFC3339),
		"kind": "abuse", "channel": "in_person", "target": "named_person", "narrative": "Demo: a customer shouted at me at the front desk.",
	}
	for name, v := range change {
		if r[name] = v; v == absent {
			delete(r, name)
		}
	}
	return asJSON(r)
}

// absent is the value of a field that is left out.
const absent = "(absent)"

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

type listedIncident struct {
	ID   string
	Rev  int
	Site string
	Kind struct{ Machine string }
}

// incidents returns the list's first page.
func (k *kit) incidents(as []string) []listedIncident {
	k.tb.Helper()
	res := k.call(http.MethodGet, "/api/v1/incidents?limit=200", "", as...)
	var l struct{ Incidents []listedIncident }
	if err := json.Unmarshal([]byte(res.Body), &l); err != nil {
		k.tb.Fatalf("%d %s: %v", res.StatusCode, res.Body, err)
	}
	return l.Incidents
}

// classified returns the incidents once there are n and the machine has read all.
func (k *kit) classified(as []string, n int) (all []listedIncident) {
	k.tb.Helper()
	k.eventually(func() error {
		all = k.incidents(as)
		read := 0
		for _, i := range all {
			if i.Kind.Machine != "" {
				read++
			}
		}
		if read < n || len(all) != n {
			return fmt.Errorf("%d incidents, %d of them read; want %d", len(all), read, n)
		}
		return nil
	})
	return all
}
