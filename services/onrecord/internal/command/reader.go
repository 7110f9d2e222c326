package command

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/onrecord/onrecord/services/classifier/classifier"
	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
)

// linesHelp says what classify and eval read.
const linesHelp = `One JSON object a line:

  {"id":"1","text":"swore at me down the phone","channel":"phone"}

Only "text" is required. "kind", "channel" and "target" are what the reporter
answered, if anything: evidence beside the words, never taken outright.`

// reading are the flags of the commands that read texts.
type reading struct{ model string }

func (r *reading) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.model, "model", "", "`file` of a model made by train (default: the one in this program)")
}

// open returns the reader that the flags name.
func (r *reading) open() (classifier.Reader, error) {
	if r.model == "" {
		return classifier.NewReader(), nil
	}
	return openModel(r.model)
}

func openModel(path string) (classifier.Reader, error) {
	reader, err := classifier.OpenModel(path)
	if err != nil && !errors.As(err, new(*fs.PathError)) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return reader, err
}

// input opens the file that args name, or standard input.
func (s *shared) input(args []string) (io.ReadCloser, error) {
	if len(args) == 0 || args[0] == "-" {
		return io.NopCloser(s.env.Stdin), nil
	}
	return os.Open(args[0])
}

// badLine reports a line that cannot be read.
func (s *shared) badLine(line int, err error) {
	fmt.Fprintf(s.env.Stderr, "line %d: %v\n", line, err)
}

func badLines(n int) error {
	switch n {
	case 0:
		return nil
	case 1:
		return errors.New("1 line could not be read; the others were")
	}
	return fmt.Errorf("%d lines could not be read; the others were", n)
}

func newClassify(s *shared) *cobra.Command {
	var r reading
	cmd := &cobra.Command{
		Use:   "classify [FILE]",
		Short: "Read texts: kind, channel and target, with probabilities and reasons",
		Long: `Reads texts from FILE, or from standard input, and writes what the machine makes of
each as one line of JSON, in the same order. ` + linesHelp + `

A line that cannot be read is reported on standard error with its number, and the
rest goes on; the exit code is then 1. No data directory is needed or touched.`,
		Example: `  echo '{"id":1,"text":"threw a chair at me in the waiting room"}' | onrecord classify`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			reader, err := r.open()
			if err != nil {
				return err
			}
			in, err := s.input(args)
			if err != nil {
				return err
			}
			defer in.Close()
			wrong, err := classifier.Classify(reader, in, s.env.Stdout, s.badLine)
			return cmp.Or(err, badLines(wrong))
		},
	}
	r.flag(cmd)
	return cmd
}

func newEval(s *shared) *cobra.Command {
	var r reading
	var asJSON, wordsOnly bool
	cmd := &cobra.Command{
		Use:   "eval FILE",
		Short: "Measure the machine's readings against texts whose answers are known",
		Long: `Reads texts from FILE ("-" is standard input) and compares the readings with
"gold_kind", "gold_channel" and "gold_target"; a line may have any of them, and of
"gold_second_channel" (empty for none), "gold_serious_threat" and "gold_weapon" (true or
false), and "gold_basis" (a list).
` + linesHelp + `

Prints for each field how many were right, with the interval in which the true share
lies in 95 of 100 such files (Wilson), macro-F1, what was taken for what, what the
probabilities promised against what came true, how often the most confident part was
right, how often a second channel, a serious threat, a weapon and a basis of abuse were
found and rightly marked, and the twenty most confident mistakes with their reasons. The
mistakes quote words of the texts: treat the output as you treat the texts.

The calibration error is how far the probabilities were from what came true, on
average over tenths of probability. Of few texts chance alone makes it greater than
nothing: beside it stands what a machine whose every probability is exactly true
would show on a file like this. Below that, the error tells of the file, not of the
machine.`,
		Example: `  onrecord eval reviewed.jsonl
  onrecord eval --json --words-only reviewed.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			reader, err := r.open()
			if err != nil {
				return err
			}
			in, err := s.input(args)
			if err != nil {
				return err
			}
			defer in.Close()
			result, wrong, err := classifier.Evaluate(reader, in, wordsOnly, s.badLine)
			if err != nil {
				return err
			}
			if asJSON {
				err = s.printJSON(struct {
					Model string `json:"model"`
					classifier.Evaluation
				}{reader.Version(), result})
			} else {
				err = printEvaluation(s.env.Stdout, reader.Version(), result)
			}
			return cmp.Or(err, badLines(wrong))
		},
	}
	r.flag(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print everything as JSON")
	cmd.Flags().BoolVar(&wordsOnly, "words-only", false, "keep the reporters' answers from the machine")
	return cmd
}

func (s *shared) printJSON(v any) error {
	encoder := json.NewEncoder(s.env.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// printEvaluation writes a result for people.
func printEvaluation(out io.Writer, model string, r classifier.Evaluation) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "model %s: %d texts, a person asked about %s\n", model, r.Texts, percent(r.Review.Share))
	if len(r.Fields) == 0 && len(r.Marks) == 0 {
		fmt.Fprintln(w, "no line has gold_kind, gold_channel, gold_target or another gold field: nothing to compare with")
	}
	for _, f := range r.Fields {
		fmt.Fprintf(w, "\n%s\tright\t%s\n", strings.ToUpper(f.Name), ofAll(f.Right))
		fmt.Fprintf(w, "\tmacro-F1\t%.3f\n\tcalibration error\t%.3f; by chance alone %.3f, and up to %.3f in 95 of 100 such files\n", f.MacroF1, f.ECE, f.Chance.Mean, f.Chance.Most)
		if f.Name == "kind" && r.KindMerged != nil {
			fmt.Fprintf(w, "\tthreat and abuse as one\t%s\n\tamong the two likeliest\t%s\n", ofAll(*r.KindMerged), ofAll(*r.KindTop2))
		}
		fmt.Fprint(w, "\n\tvalue\ttexts\tprecision\trecall\tF1\tread as\n")
		for _, v := range f.Values {
			fmt.Fprintf(w, "\t%s\t%d\t%.3f\t%.3f\t%.3f\t%s\n", v.Value, v.Of, v.Precision, v.Recall, v.F1, readAs(f.Confusion, v.Value))
		}
		fmt.Fprint(w, "\n\tsaid\ttexts\ton average\tcame true\n")
		for _, b := range f.Reliability {
			fmt.Fprintf(w, "\t%.1f–%.1f\t%d\t%.3f\t%.3f\n", b.From, b.From+0.1, b.N, b.Said, b.Right)
		}
		fmt.Fprint(w, "\n\tmost confident\tright\n")
		for _, c := range f.Coverage {
			fmt.Fprintf(w, "\t%.0f %%\t%s\n", 100*c.Part, ofAll(c.Right))
		}
	}
	for _, p := range []struct {
		name  string
		share *classifier.Share
	}{
		{"in person or online, within the pair", r.InPersonOrOnline}, {"acts read as acts", r.AbuseFound},
		{"hazards read as acts", r.HazardAsAbuse}, {"aimed at the organisation, found", r.Organisation},
	} {
		if p.share != nil {
			fmt.Fprintf(w, "\n%s\t%s", p.name, ofAll(*p.share))
		}
	}
	if len(r.Marks) > 0 {
		fmt.Fprint(w, "\n\nBESIDES\tfound, of those there\tright, of those marked\n")
	}
	for _, m := range r.Marks {
		fmt.Fprintf(w, "%s\t%s\t%s\n", m.Name, ofAll(m.Found), ofAll(m.Right))
	}
	if len(r.Worst) > 0 {
		fmt.Fprint(w, "\n\nTHE MOST CONFIDENT MISTAKES\n")
	}
	for _, m := range r.Worst {
		fmt.Fprintf(w, "%s\t%s\t%s, read as %s\t%.2f\t%s\n", m.ID, m.Field, m.Right, m.Read, m.P, strings.Join(m.Words, "; "))
	}
	return w.Flush()
}

func percent(p float64) string { return fmt.Sprintf("%.1f %%", 100*p) }

func ofAll(s classifier.Share) string {
	if s.Of == 0 {
		return "–, there are none"
	}
	return fmt.Sprintf("%.3f (%.3f–%.3f), %d of %d", s.Share, s.Low, s.High, s.N, s.Of)
}

// readAs names what texts of a value were read as, other than that.
func readAs(all []classifier.Confusion, value string) string {
	var words []string
	for _, c := range all {
		if c.Right == value && c.Read != value {
			words = append(words, fmt.Sprintf("%s %d", c.Read, c.N))
		}
	}
	return strings.Join(words, ", ")
}

func newTrain(s *shared) *cobra.Command {
	var dir, out, corrections string
	var rollback, history bool
	cmd := &cobra.Command{
		Use:   "train",
		Short: "Make a new model of the corpus and of reps' corrections",
		Long: `Trains the reader of reports and writes its model. The same corpus, corrections and
program make the same file.

Without --out the model becomes that of the data directory, which a running server
reads with some seconds later; the one before it is kept beside it, and --rollback
brings it back. Classifiers that run apart are given the file with --model, and take
it up whenever it changes. A model that reads the texts kept from training worse than the one in use, by
a point in any field or by five in any value and more than one text, is refused. Who
changed the model or had it read again, when, and how the new one compares is written
beside it, and --history prints it.

Corrections are features and labels, one JSON object a line. They hold no words,
but whoever has them can try which words were likely in a report: keep them as you
keep the reports.`,
		Example: `  onrecord train --with-corrections corrections.jsonl
  onrecord train --rollback
  onrecord train --history`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				out = datadir.Model(s.dataDir)
			}
			switch {
			case history:
				return s.modelHistory(out)
			case rollback:
				return s.rollBack(out)
			}
			return s.train(dir, out, corrections)
		},
	}
	s.checks[cmd] = func() error {
		if history && (rollback || dir != "" || corrections != "") {
			return errors.New("--history changes nothing: leave out the other flags")
		}
		if rollback && (dir != "" || corrections != "") {
			return errors.New("--rollback trains nothing: leave out --corpus and --with-corrections")
		}
		return nil
	}
	f := cmd.Flags()
	f.StringVar(&dir, "corpus", "", "`directory` of examples (default: those in this program)")
	f.StringVar(&out, "out", "", "`file` of the model (default: the data directory's)")
	f.StringVar(&corrections, "with-corrections", "", "`file` of reps' corrections")
	f.BoolVar(&rollback, "rollback", false, "bring the model before this one back, and keep this one in its place")
	f.BoolVar(&history, "history", false, "print who changed the model, when, and how it compares")
	return cmd
}

func (s *shared) train(dir, out, corrections string) error {
	if err := replaceable(out); err != nil { // before it takes some seconds
		return err
	}
	var c classifier.TrainConfig
	if dir != "" {
		c.Corpus = os.DirFS(dir)
	}
	if corrections != "" {
		f, err := os.Open(corrections)
		if err != nil {
			return err
		}
		defer f.Close()
		c.Corrections = f
	}
	current, err := s.modelInUse(out)
	if err != nil {
		return err
	}
	c.Current = current
	fmt.Fprintln(s.env.Stderr, "Training. This takes some seconds.")
	t, err := classifier.Train(c)
	if t.Version != "" {
		if err := s.sayTrained(t); err != nil {
			return err
		}
	}
	if errors.Is(err, classifier.ErrWorse) {
		return errors.Join(err, noting(out, trainedChange("refused", t, current), func() error { return nil }))
	}
	if err != nil {
		return err
	}
	err = noting(out, trainedChange("trained", t, current), func() error { return replaceModel(out, t.File) })
	if err != nil {
		return err
	}
	return s.say("Written to %s. Whoever reads with that file takes it up in some seconds; “onrecord reread” has it read what nobody decided.", out)
}

// modelInUse returns the reader whose place a model at path takes: the model
// there, else the program's own; nil where that one is of another version.
func (s *shared) modelInUse(path string) (classifier.Reader, error) {
	reader, err := openModel(path)
	if errors.Is(err, fs.ErrNotExist) {
		reader, err = classifier.BuiltIn()
	}
	if errors.As(err, new(*fs.PathError)) {
		return nil, err
	}
	if err != nil {
		fmt.Fprintf(s.env.Stderr, "The model in use cannot be compared with: %v\n", err)
		return nil, nil
	}
	return reader, nil
}

func (s *shared) sayTrained(t classifier.Trained) error {
	rows := [][]string{}
	add := func(name string, e *classifier.Evaluation) {
		if e == nil {
			return
		}
		row := []string{name, fmt.Sprint(e.Texts)}
		for _, f := range e.Fields {
			row = append(row, fmt.Sprintf("%.3f (%.3f–%.3f)", f.Right.Share, f.Right.Low, f.Right.High))
		}
		rows = append(rows, row)
	}
	add("voices it had not learned from", &t.OtherVoices)
	add("texts kept from training", t.HeldOut)
	add("of them, in manners new to it", t.Unseen)
	add("the same by the model in use", t.Before)
	if err := s.say("Model %s, of %d examples and %d corrections.", t.Version, t.Examples, t.Corrections); err != nil {
		return err
	}
	return s.table([]string{"right on", "texts", "kind", "channel", "target"}, rows)
}

// previousModel is where the model before the one at path is kept.
func previousModel(path string) string { return path + ".previous" }

// replaceModel writes a model and keeps the one before it. At no moment is there
// none or a part of one.
func replaceModel(path string, file []byte) error {
	before, err := os.ReadFile(path)
	if err == nil {
		err = replaceFile(previousModel(path), before)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return replaceFile(path, file)
}

// replaceable returns an error where no file can be written at path, or where
// something is there that is none: a file would take the place of a device, too.
func replaceable(path string) error {
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if !dir.IsDir() {
		return fmt.Errorf("%s is no directory", filepath.Dir(path))
	}
	file, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !file.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file: name another", path)
	}
	return err
}

// replaceFile writes a file such that whoever reads it meanwhile reads all of it
// or all of the one before.
func replaceFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".model-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// rollBack swaps a model with the one before it. Where one of the two is none,
// that is the program's own.
func (s *shared) rollBack(path string) error {
	now, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s.rollForward(path)
	}
	if err != nil {
		return err
	}
	before, err := os.ReadFile(previousModel(path))
	if errors.Is(err, fs.ErrNotExist) {
		change := modelChange{Action: "rolled back", Model: classifier.NewReader().Version(), Before: versionOf(now)}
		if err := noting(path, change, func() error { return os.Rename(path, previousModel(path)) }); err != nil {
			return err
		}
		return s.say("The model in this program is in use again in some seconds.")
	}
	if err != nil {
		return err
	}
	if slices.Equal(now, before) {
		return s.say("Both models are the same.")
	}
	change := modelChange{Action: "rolled back", Model: versionOf(before), Before: versionOf(now)}
	if err := noting(path, change, func() error { return replaceModel(path, before) }); err != nil {
		return err
	}
	return s.say("The model before is back, and in use in some seconds. The other is kept as %s.", previousModel(path))
}

// rollForward brings a model back in whose place the program's own came.
func (s *shared) rollForward(path string) error {
	before, err := os.ReadFile(previousModel(path))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is nothing to roll back: no model was trained as %s, and the one in this program is in use", path)
	}
	if err != nil {
		return err
	}
	change := modelChange{Action: "rolled back", Model: versionOf(before), Before: classifier.NewReader().Version()}
	if err := noting(path, change, func() error { return os.Rename(previousModel(path), path) }); err != nil {
		return err
	}
	return s.say("The model before is back, and in use in some seconds.")
}

// versionOf returns the version of a model's file; "unreadable" where it is of
// another version of this program.
func versionOf(file []byte) string {
	r, err := classifier.OpenReader(file)
	if err != nil {
		return "unreadable"
	}
	return r.Version()
}
