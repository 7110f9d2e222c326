package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

var (
	theCases = flag.String("case", "", "run these cases alone: R4, or R5,R6")
	fromSeed = flag.Uint64("seed", 0, "the seed of the first run; 0 takes one from the clock")
	runCount = flag.Int("runs", 0, "how many runs of each case; 0 is the short set that every change passes")
	tableTo  = flag.String("table", "", "write the table to this file as well")
)

// The programs under test: as it is built for people, and one that can be told
// to end at named places.
var program, breakable string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "onrecord-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program, breakable = filepath.Join(dir, "onrecord"), filepath.Join(dir, "breakable")
	for out, tags := range map[string]string{program: "", breakable: "failpoints"} {
		if text, err := exec.Command("go", "build", "-tags", tags, "-o", out, "..").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the program under test: %v\n%s", err, text)
			return 1
		}
	}
	return m.Run()
}

// faultCase is one row of the table.
type faultCase struct {
	name  string // R4
	what  string
	short int          // runs in the short set
	alone bool         // it measures times: nothing else runs beside it
	needs []string     // commands it cannot do without
	root  bool         // it mounts
	run   func(*trial) // one run
}

// longer returns a number for the short set or another for the long one.
func longer(short, long int) int {
	if *runCount > 0 {
		return long
	}
	return short
}

// trial is one run of a case.
type trial struct {
	*testing.T
	rng    *rand.Rand
	seed   uint64
	canary string // stands in every report's words
	tally  *tally
}

// tally is what the runs of a case add up to.
type tally struct {
	mu        sync.Mutex
	runs      int
	faults    int // how often something was broken
	filed     int // reports sent, however often
	received  int // of those, answered as received
	lost      int
	doubled   int
	wrong     int // figures, timelines or words that are not right
	slowest   time.Duration
	recovered int
	notes     []string
	failed    bool
}

func (t *trial) count(change func(*tally)) {
	t.tally.mu.Lock()
	defer t.tally.mu.Unlock()
	change(t.tally)
}

// broke counts faults of this run.
func (t *trial) broke(n int) { t.count(func(y *tally) { y.faults += n }) }

// note adds a measured value to the case's row.
func (t *trial) note(format string, args ...any) {
	t.count(func(y *tally) { y.notes = append(y.notes, fmt.Sprintf(format, args...)) })
}

// between returns a random duration.
func (t *trial) between(least, most time.Duration) time.Duration {
	return least + time.Duration(t.rng.Int64N(int64(most-least)))
}

// wait lets time pass in which the load goes on: when something breaks is the
// experiment, not a condition to wait for.
func (t *trial) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func TestFaults(t *testing.T) {
	base := *fromSeed
	if base == 0 {
		base = uint64(time.Now().UnixNano()) % 1_000_000
	}
	tallies := make(map[string]*tally)
	for _, c := range cases {
		tallies[c.name] = &tally{}
	}
	t.Run("cases", func(t *testing.T) {
		for _, c := range cases {
			if *theCases != "" && !slices.Contains(strings.Split(*theCases, ","), c.name) || c.short == 0 && *runCount == 0 {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				if !c.alone {
					t.Parallel()
				}
				c.mayRun(t)
				c.repeat(t, tallies[c.name], base)
			})
		}
	})
	printTable(t, tallies, base)
}

// mayRun fails when what the case needs is not there: a case that did not run
// has shown nothing.
func (c faultCase) mayRun(t *testing.T) {
	t.Helper()
	for _, name := range c.needs {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%s did NOT run: it needs the command %s (Debian: apt-get install %s)", c.name, name, strings.ReplaceAll(name, "mkfs.xfs", "xfsprogs"))
		}
	}
	if c.root && os.Geteuid() != 0 {
		t.Fatalf("%s did NOT run: it mounts file systems and needs root; run it with sudo -E env \"PATH=$PATH\"", c.name)
	}
}

func (c faultCase) repeat(t *testing.T, y *tally, base uint64) {
	runs := c.short
	if *runCount > 0 {
		runs = *runCount
	}
	for n := range runs {
		seed := base + uint64(n)
		ok := t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			one := &trial{T: t, rng: rand.New(rand.NewPCG(seed, 0)), seed: seed, canary: fmt.Sprintf("zorblax%dq", seed), tally: y}
			y.mu.Lock()
			y.runs++
			y.mu.Unlock()
			c.run(one)
		})
		if !ok {
			y.failed = true
			t.Logf("%s failed; to repeat: make faults CASE=%s SEED=%d RUNS=1", c.name, c.name, seed)
			return
		}
	}
}

// printTable prints what the cases found.
func printTable(t *testing.T, tallies map[string]*tally, base uint64) {
	var b strings.Builder
	fmt.Fprintf(&b, "seeds from %d, %s, %d cores\n", base, runtime.Version(), runtime.NumCPU())
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "case\twhat\truns\tfaults\tfiled\treceived\tlost\tdoubled\twrong\tback in\t")
	var faults, filed, received, lost, doubled, wrong int
	for _, c := range cases {
		y := tallies[c.name]
		if y.runs == 0 {
			continue
		}
		back := "–"
		if y.recovered > 0 {
			back = y.slowest.Round(time.Millisecond).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t\n", c.name, c.what, y.runs, y.faults, y.filed, y.received, y.lost, y.doubled, y.wrong, back)
		faults, filed, received = faults+y.faults, filed+y.filed, received+y.received
		lost, doubled, wrong = lost+y.lost, doubled+y.doubled, wrong+y.wrong
	}
	fmt.Fprintf(w, "all\t\t\t%d\t%d\t%d\t%d\t%d\t%d\t\t\n", faults, filed, received, lost, doubled, wrong)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for _, n := range slices.Compact(tallies[c.name].notes) {
			fmt.Fprintf(&b, "%s: %s\n", c.name, n)
		}
	}
	if lost+doubled+wrong == 0 && faults > 0 {
		fmt.Fprintf(&b, "With none in %d faults, the chance of one in a fault is below %.2g with 95 %% confidence (3/n).\n", faults, 3/float64(faults))
	}
	t.Log("\n" + b.String())
	if *tableTo != "" {
		if err := os.WriteFile(*tableTo, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
