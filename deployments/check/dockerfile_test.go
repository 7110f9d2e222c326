package check

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// recipe is the Dockerfile for one service.
type recipe struct {
	service string
	args    map[string]string // also the global ones
	stages  []instructions.Stage
}

func readRecipe(service string) (*recipe, error) {
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if len(parsed.Warnings) > 0 {
		return nil, fmt.Errorf("warnings: %v", parsed.Warnings)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		return nil, err
	}
	return &recipe{service, map[string]string{"SERVICE": service, "VERSION": "v1.2.3"}, stages}, nil
}

// expand puts the arguments into a word.
func (r *recipe) expand(word string) (string, error) {
	lex := shell.NewLex('\\')
	var env []string
	for name, value := range r.args {
		env = append(env, name+"="+value)
	}
	out, _, err := lex.ProcessWord(word, shell.EnvsFromSlice(env))
	return out, err
}

// stage returns the stage of a name, with arguments in it expanded.
func (r *recipe) stage(name string) (*instructions.Stage, error) {
	for n := range r.stages {
		if r.stages[n].Name == name {
			return &r.stages[n], nil
		}
	}
	return nil, fmt.Errorf("there is no stage %q", name)
}

// perform does what a stage says, on top of what its base stage says, in a
// directory that stands for its root. Base images are those of this machine:
// its Go, its Node.
func (r *recipe) perform(name, root string) error {
	s, err := r.stage(name)
	if err != nil {
		return err
	}
	base, err := r.expand(s.BaseName)
	if err != nil {
		return err
	}
	if _, err := r.stage(base); err == nil {
		if err := r.perform(base, root); err != nil {
			return err
		}
	}
	dir, env := r.where(base), []string{}
	for _, c := range s.Commands {
		switch c := c.(type) {
		case *instructions.WorkdirCommand:
			if dir, err = r.expand(c.Path); err != nil {
				return err
			}
		case *instructions.EnvCommand:
			for _, kv := range c.Env {
				env = append(env, kv.Key+"="+kv.Value)
			}
		case *instructions.CopyCommand:
			if err := r.copy(c, root, dir); err != nil {
				return err
			}
		case *instructions.RunCommand:
			if err := r.run(c.CmdLine[0], root, dir, env); err != nil {
				return err
			}
		case *instructions.ArgCommand:
		default:
			return fmt.Errorf("stage %s: this test does not know %s", name, c.Name())
		}
	}
	return nil
}

// where returns the directory in which a stage ends.
func (r *recipe) where(name string) string {
	s, err := r.stage(name)
	if err != nil {
		return "/"
	}
	base, _ := r.expand(s.BaseName)
	dir := r.where(base)
	for _, c := range s.Commands {
		if w, ok := c.(*instructions.WorkdirCommand); ok {
			dir, _ = r.expand(w.Path)
		}
	}
	return dir
}

func (r *recipe) copy(c *instructions.CopyCommand, root, dir string) error {
	dest, err := r.expand(c.DestPath)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(dest) {
		dest = filepath.Join(dir, dest)
	}
	from := "../.."
	if c.From != "" {
		from = filepath.Join(filepath.Dir(root), c.From)
		if err := r.perform(c.From, from); err != nil {
			return fmt.Errorf("stage %s: %w", c.From, err)
		}
	}
	for _, source := range c.SourcePaths {
		if source, err = r.expand(source); err != nil {
			return err
		}
		if err := copyTree(filepath.Join(from, source), filepath.Join(root, dest), c.From == "", source); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies a directory's content, or a file, as COPY does, without what
// the ignore file keeps from the builder.
func copyTree(from, to string, context bool, rel string) error {
	ignored := func(string) (bool, error) { return false, nil }
	if context {
		f, err := os.Open("../Dockerfile.dockerignore")
		if err != nil {
			return err
		}
		defer f.Close()
		patterns, err := ignorefile.ReadAll(f)
		if err != nil {
			return err
		}
		m, err := patternmatcher.New(patterns)
		if err != nil {
			return err
		}
		ignored = m.MatchesOrParentMatches
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return copyFile(from, filepath.Join(to, filepath.Base(from)))
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		skip, err := ignored(filepath.Join(rel, below))
		switch {
		case err != nil:
			return err
		case skip && d.IsDir() && d.Name() == "node_modules":
			return filepath.SkipDir
		case skip || d.IsDir():
			return nil
		}
		return copyFile(path, filepath.Join(to, below))
	})
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}

// run runs a line of shell, with the paths outside the working directory moved
// below root. Packages of npm are not fetched again: those that “make assets”
// installed from the same lock file are put in their place.
func (r *recipe) run(line, root, dir string, env []string) error {
	at := filepath.Join(root, dir)
	if strings.HasPrefix(line, "npm ci") {
		packages, err := filepath.Abs("../../pkg/web/frontend/node_modules")
		if err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(packages, ".installed")); err != nil {
			return errors.New("the front-end packages are not installed: run make assets")
		}
		return os.Symlink(packages, filepath.Join(at, "node_modules"))
	}
	line = regexp.MustCompile(`(^|\s)/out/`).ReplaceAllString(line, "${1}"+root+"/out/")
	cmd := exec.Command("sh", "-ec", line)
	cmd.Dir = at
	cmd.Env = append(os.Environ(), env...)
	for name, value := range r.args {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", line, err, out)
	}
	return nil
}

// buildAll performs the Dockerfile for every service.
func buildAll(root string) (map[string]string, error) {
	made := make(map[string]string)
	for _, service := range services {
		r, err := readRecipe(service)
		if err != nil {
			return nil, err
		}
		at := filepath.Join(root, service, "build")
		if err := r.perform("build", at); err != nil {
			return nil, fmt.Errorf("%s: %w", service, err)
		}
		made[service] = filepath.Join(at, "out", "service")
	}
	return made, nil
}

// The steps of the Dockerfile, done outside a container: exactly the files it
// copies, each binary built there by itself, started, and asked who it is.
func TestEveryImageIsBuiltFromWhatTheDockerfileCopies(t *testing.T) {
	for service, path := range binaries(t) {
		out, code := run(t, nil, path, "--version")
		if code != 0 || !strings.Contains(out, "v1.2.3") || !strings.Contains(out, service) {
			t.Errorf("%s --version: exit %d %q", service, code, out)
		}
		if out, code := run(t, nil, path, "--help"); code != 0 || !strings.Contains(out, "--nats-url") && service != "onrecord" {
			t.Errorf("%s --help: exit %d %q", service, code, out)
		}
		f, err := elf.Open(path)
		must(t, err)
		libraries, err := f.ImportedLibraries()
		if f.Section(".interp") != nil || len(libraries) > 0 || err != nil {
			t.Errorf("%s needs a loader and %v: there is none in the image", service, libraries)
		}
		f.Close()
		for _, other := range services {
			_, err := os.Stat(filepath.Join(filepath.Dir(path), "..", "src", "services", other))
			if there := err == nil; there != (other == service || service == "onrecord") {
				t.Errorf("for %s services/%s was copied: %v", service, other, there)
			}
		}
	}
}

func TestTheImageHoldsTheBinaryAndRunsWithoutRights(t *testing.T) {
	r, err := readRecipe("intake")
	must(t, err)
	last := r.stages[len(r.stages)-1]
	if !strings.Contains(last.BaseName, "distroless/static") || !strings.HasSuffix(last.BaseName, ":nonroot") {
		t.Errorf("the image is made from %s", last.BaseName)
	}
	var user string
	var entry []string
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			entry = c.CmdLine
		case *instructions.CopyCommand:
			if c.From != "build" || len(c.SourcePaths) != 1 || c.SourcePaths[0] != "/out/service" {
				t.Errorf("into the image goes %v of %q", c.SourcePaths, c.From)
			}
		default:
			t.Errorf("the image is made with %s", c.Name())
		}
	}
	if user != "65532:65532" || !slices.Equal(entry, []string{"/service"}) {
		t.Errorf("user=%q entrypoint=%q", user, entry)
	}
}
