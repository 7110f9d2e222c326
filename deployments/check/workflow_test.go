package check

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// onMongoDB matches what a test that runs on a real MongoDB asks for.
var onMongoDB = regexp.MustCompile(`mongotest\.Real\(\)|projectortest\.Mongo\(`)

// Every test that asks for a real MongoDB is run on one by the public workflow:
// on a single server and on a replica set.
func TestTheWorkflowRunsWhatNeedsAMongoDB(t *testing.T) {
	text, err := os.ReadFile("../../.github/workflows/ci.yml")
	must(t, err)
	var workflow struct {
		Jobs map[string]struct {
			Strategy struct{ Matrix map[string][]string }
			Steps    []struct{ If, Run string }
		}
	}
	must(t, yaml.Unmarshal(text, &workflow))
	job := workflow.Jobs["mongodb"]
	var tests string
	for _, step := range job.Steps {
		if strings.Contains(step.Run, "go test") {
			tests += step.Run
		}
	}
	topologies := job.Strategy.Matrix["topology"]
	if len(topologies) != 2 {
		t.Errorf("it runs on %q, want a single server and a replica set", topologies)
	}
	for _, topology := range topologies {
		at := slices.IndexFunc(job.Steps, func(s struct{ If, Run string }) bool { return s.If == "matrix.topology == '"+topology+"'" })
		if at < 0 {
			t.Fatalf("no step starts a %s", topology)
		}
		for _, part := range []string{"mongo:8", `echo 'TEST_MONGODB_URI=mongodb://`, `>> "$GITHUB_ENV"`} {
			if !strings.Contains(job.Steps[at].Run, part) {
				t.Errorf("the step that starts a %s has no %s", topology, part)
			}
		}
		if set := strings.Contains(job.Steps[at].Run, "--replSet"); set != (topology == "replica set") {
			t.Errorf("of a %s a replica set is made: %v", topology, set)
		}
	}
	packages := 0
	must(t, filepath.WalkDir("../../services", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "bench_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil || !onMongoDB.Match(source) {
			return err
		}
		packages++
		name := "./" + strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../../")
		if !slices.Contains(strings.Fields(tests), name) {
			t.Errorf("%s asks for a MongoDB, and the workflow does not run it on one", name)
		}
		return nil
	}))
	if packages < 5 {
		t.Errorf("only %d files ask for a MongoDB: the test looks in the wrong place", packages)
	}
}
