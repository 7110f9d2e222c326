package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/onrecord/onrecord/"

// rule says what the packages under a directory may import beside the standard
// library. The longest matching directory rules. Tests may import more.
type rule struct {
	dir   string
	allow []string // prefixes; "pkg/…" and "services/…" are this project's
}

var rules = []rule{
	{"proto/onrecord/v1", []string{"google.golang.org/protobuf"}},

	{"pkg/fault", nil},
	{"pkg/incident", []string{"pkg/fault"}},
	{"pkg/words", []string{"pkg/fault"}},
	{"pkg/seal", nil},
	{"pkg/failpoint", nil},
	{"pkg/sitecode", []string{"pkg/seal"}},
	{"pkg/check", []string{"github.com/VictoriaMetrics/metrics"}},
	{"pkg/bus", []string{"pkg/fault", "pkg/failpoint", "github.com/nats-io/nats.go", "github.com/nats-io/nuid", "github.com/VictoriaMetrics/metrics", "golang.org/x/sync"}},
	{"pkg/bus/embedded", []string{"pkg/failpoint", "github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2"}},
	{"pkg/bus/remote", []string{"github.com/nats-io/nats.go", "github.com/nats-io/nkeys", "github.com/spf13/pflag"}},
	{"pkg/bus/bustest", []string{"pkg/bus", "github.com/nats-io/nats-server/v2", "github.com/nats-io/nats.go"}},
	{"pkg/web", []string{"pkg/fault", "pkg/run", "pkg/words", "github.com/spf13/pflag", "github.com/gofiber/fiber/v2", "github.com/valyala/fasthttp", "github.com/VictoriaMetrics/metrics"}},
	{"pkg/web/webtest", []string{"pkg/web", "github.com/PuerkitoBio/goquery"}},
	{"pkg/mongotest", []string{"pkg/run/runtest"}},
	{"pkg/run", []string{"pkg/seal", "github.com/spf13/pflag", "github.com/VictoriaMetrics/metrics"}},

	// Only the bus knows NATS.
	{"services/intake", []string{"pkg/", "services/intake/", "github.com/spf13/pflag"}},
	{"services/intake/intake", []string{"pkg/", "proto/", "services/intake/internal", "github.com/gofiber/fiber/v2", "github.com/google/uuid", "github.com/VictoriaMetrics/metrics", "golang.org/x/sync", "google.golang.org/protobuf"}},
	{"services/intake/internal", []string{"pkg/incident", "pkg/fault", "pkg/words", "pkg/seal", "pkg/bus", "proto/", "services/intake/internal", "github.com/google/uuid", "google.golang.org/protobuf"}},

	{"services/intake/internal/photo", []string{"pkg/fault", "github.com/VictoriaMetrics/metrics", "golang.org/x/image", "golang.org/x/sync"}},

	{"services/classifier", []string{"pkg/", "services/classifier/", "github.com/spf13/pflag"}},
	{"services/classifier/classifier", []string{"pkg/bus", "pkg/incident", "pkg/fault", "pkg/seal", "pkg/run", "proto/", "services/classifier/corpus", "services/classifier/internal", "github.com/VictoriaMetrics/metrics", "golang.org/x/sync", "google.golang.org/protobuf"}},
	{"services/classifier/corpus", nil},
	{"services/classifier/internal", []string{"pkg/incident", "services/classifier/internal", "golang.org/x/text"}},

	{"services/reporting", []string{"pkg/", "services/reporting/", "github.com/spf13/pflag"}},
	{"services/reporting/reporting", []string{"pkg/", "proto/", "services/reporting/internal", "github.com/gofiber/fiber/v2", "github.com/VictoriaMetrics/metrics", "golang.org/x/sync", "google.golang.org/protobuf"}},
	{"services/reporting/internal", []string{"pkg/incident", "pkg/fault", "pkg/seal", "pkg/bus", "pkg/check", "pkg/failpoint", "proto/", "services/reporting/internal", "github.com/VictoriaMetrics/metrics", "github.com/google/uuid", "golang.org/x/crypto", "golang.org/x/sync", "golang.org/x/text", "google.golang.org/protobuf"}},
	{"services/reporting/internal/poster", []string{"rsc.io/qr"}},
	// A session or a token stands for a web.Principal.
	{"services/reporting/internal/people", []string{"pkg/fault", "pkg/incident", "pkg/seal", "pkg/web", "proto/", "services/reporting/internal/store", "github.com/VictoriaMetrics/metrics", "golang.org/x/crypto", "google.golang.org/protobuf"}},
	{"services/reporting/internal/projector/projectortest", []string{"pkg/", "proto/", "services/reporting/internal", "github.com/google/uuid", "go.mongodb.org/mongo-driver/v2", "google.golang.org/protobuf"}},
	{"services/reporting/internal/store", []string{"pkg/incident", "pkg/fault", "services/reporting/internal/store"}},
	{"services/reporting/internal/store/mongo", []string{"pkg/incident", "pkg/fault", "services/reporting/internal/store", "go.mongodb.org/mongo-driver/v2"}},
	{"services/reporting/internal/store/sqlite", []string{"pkg/failpoint", "pkg/incident", "pkg/fault", "services/reporting/internal/store", "modernc.org/sqlite"}},

	// Only the one-machine program sees every service.
	{"services/onrecord", []string{"services/onrecord/"}},
	{"services/onrecord/internal", []string{"pkg/", "proto/", "services/onrecord/internal", "services/intake/intake", "services/classifier/classifier", "services/reporting/reporting",
		"filippo.io/age", "github.com/gofiber/fiber/v2", "github.com/gofrs/flock", "github.com/google/uuid", "github.com/mdp/qrterminal/v3", "github.com/nats-io/nats.go",
		"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/valyala/fasthttp", "github.com/VictoriaMetrics/metrics", "golang.org/x/term", "google.golang.org/protobuf"}},
}

// The workspace would let any package import any other: only this test and the
// builds with GOWORK=off keep the services apart.
func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case "node_modules", "dist", "testdata", ".git", "deployments":
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		seen++
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		checkImports(t, path, filepath.ToSlash(filepath.Dir(rel)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Fatalf("only %d files were found: the test looks in the wrong place", seen)
	}
}

func checkImports(t *testing.T, path, dir string) {
	t.Helper()
	r, ok := ruleFor(dir)
	if !ok {
		t.Errorf("%s: no rule says what packages here may import", dir)
		return
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range f.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Error(err)
			continue
		}
		if !allowed(r, strings.TrimPrefix(name, module)) {
			t.Errorf("%s must not import %s", filepath.Join(dir, filepath.Base(path)), name)
		}
	}
}

func ruleFor(dir string) (rule, bool) {
	var best rule
	found := false
	for _, r := range rules {
		if (dir == r.dir || strings.HasPrefix(dir, r.dir+"/")) && (!found || len(r.dir) > len(best.dir)) {
			best, found = r, true
		}
	}
	return best, found
}

func allowed(r rule, name string) bool {
	first, _, _ := strings.Cut(name, "/")
	ours := first == "pkg" || first == "proto" || first == "services"
	if !ours && !strings.Contains(first, ".") {
		return true // the standard library
	}
	for _, a := range r.allow {
		if name == a || strings.HasPrefix(name, strings.TrimSuffix(a, "/")+"/") {
			return true
		}
	}
	return false
}
