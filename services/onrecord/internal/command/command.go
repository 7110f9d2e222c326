// Package command is the command line: what an operator may ask of an
// installation, running or stopped.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/onrecord/onrecord/pkg/failpoint"
	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/run"
	"github.com/onrecord/onrecord/services/onrecord/internal/control"
	"github.com/onrecord/onrecord/services/onrecord/internal/datadir"
	"github.com/onrecord/onrecord/services/onrecord/internal/program"
)

// Env is what a command is run with.
type Env struct {
	Args   []string
	Lookup func(string) (string, bool) // of an environment variable
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// mistake is an error of the command line or the configuration.
type mistake struct{ error }

func (m mistake) Unwrap() error { return m.error }

// Main runs a command and returns the process's exit code.
func Main(ctx context.Context, env Env) int {
	root := newRoot(env)
	root.SetArgs(env.Args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return run.ExitOK
	}
	fmt.Fprintln(env.Stderr, "onrecord: "+explain(err))
	if isMistake(err) {
		fmt.Fprintf(env.Stderr, "%sSee “%s --help”.\n", meant(cmd, err), cmd.CommandPath())
		return run.ExitMistake
	}
	return run.ExitFailed
}

// isMistake knows cobra's own complaints by their words: they have no type.
func isMistake(err error) bool {
	return errors.As(err, &mistake{}) || strings.HasPrefix(err.Error(), "unknown command") || strings.HasPrefix(err.Error(), "required flag") || strings.HasPrefix(err.Error(), "accepts ")
}

// meant asks whether a command that there is was meant by one that there is not.
func meant(in *cobra.Command, err error) string {
	var typed string
	if _, err := fmt.Sscanf(err.Error(), "unknown command %q", &typed); err != nil {
		return ""
	}
	in.SuggestionsMinimumDistance = 2 // letters
	near := in.SuggestionsFor(typed)
	if len(near) == 0 {
		return ""
	}
	return "Did you mean “" + strings.Join(near, "” or “") + "”? "
}

// explain returns an error in words for an operator, with every field's
// message on a line of its own.
func explain(err error) string {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err.Error()
	}
	text := f.Message
	if f.Kind == fault.Internal {
		text = err.Error()
	}
	for _, field := range f.Fields {
		text += "\n  " + field.Name + ": " + field.Message
	}
	return text
}

// shared are the settings every command takes.
type shared struct {
	env        Env
	config     string
	dataDir    string
	keyFile    string
	key        string
	maxStoreMB int64
	threshold  int
	logLevel   string
	logFormat  string
	checks     map[*cobra.Command]func() error // of settings that only some commands take
	serving    *pflag.FlagSet                  // the settings of serve: one file may configure every command
}

func newRoot(env Env) *cobra.Command {
	s := &shared{env: env, checks: make(map[*cobra.Command]func() error)}
	root := &cobra.Command{
		Use:   "onrecord",
		Short: "On Record: incidents at work, on record in twenty seconds and counted honestly",
		Long: `On Record takes reports of abuse, assault and unsafe conditions from staff,
keeps them, and gives a monthly figure that opens down to its parts.

Without a command it serves: the form at /report/, incidents for safety reps,
figures for reps and managers.

Every flag may be given in the environment, as ONRECORD_ and its name in capitals
(--data-dir is ONRECORD_DATA_DIR), or in a file of lines "name: value" named by --config.`,
		Version:           run.Version,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              cobra.NoArgs,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	f := root.PersistentFlags()
	f.StringVar(&s.config, "config", "", "configuration `file`")
	f.StringVar(&s.dataDir, "data-dir", "data", "`directory` of everything the program keeps")
	f.StringVar(&s.keyFile, "master-key-file", "", "`file` of the master key (default: master.key in the data directory, made at the first start)")
	f.StringVar(&s.key, "master-key", "", "the master key itself; give it in the environment only")
	_ = f.MarkHidden("master-key") // an argument can be read by every user of the machine
	f.Int64Var(&s.maxStoreMB, "max-store", 4096, "`MiB` of disk the stream of reports may use")
	f.IntVar(&s.threshold, "threshold", 5, "counts from 1 to this `number` are hidden from managers")
	f.StringVar(&s.logLevel, "log-level", "info", "`level`: debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "text", "`format`: text or json")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return s.settle(cmd) }
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return mistake{err} })

	serve := newServe(s)
	root.RunE, s.checks[root] = serve.RunE, s.checks[serve]
	s.serving = serve.Flags()
	root.Flags().AddFlagSet(s.serving)
	root.AddCommand(serve, newDemo(s), newUser(s, s.here()), newToken(s, s.here()), newSites(s), newPoster(s), newVerify(s, s.here()), newDoctor(s), newBackup(s), newRestore(s), newErase(s), newDeadLetters(s, s.here(), s.here()), newEvents(s), newExport(s), newImport(s), newBench(s), newSoak(s), newAdmin(s), newClassify(s), newEval(s), newTrain(s), newCorrections(s), newReread(s), newChecks(s, s.here()))
	return root
}

// settle reads the settings that were not given as flags, and reports every
// mistake at once before anything is opened.
func (s *shared) settle(cmd *cobra.Command) error {
	if !cmd.Flags().Changed("config") {
		s.config, _ = s.env.Lookup(run.EnvName("config"))
	}
	settings := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	settings.AddFlagSet(cmd.Flags())
	settings.AddFlagSet(s.serving)
	err := run.Fill(settings, s.env.Lookup, s.config)
	if s.threshold < 1 || s.threshold > 100 {
		err = errors.Join(err, fmt.Errorf("threshold: want 1 to 100, got %d", s.threshold))
	}
	if s.maxStoreMB < 64 {
		err = errors.Join(err, fmt.Errorf("max-store: want at least 64 MiB, got %d", s.maxStoreMB))
	}
	if s.key != "" && s.keyFile != "" {
		err = errors.Join(err, errors.New("master-key and master-key-file are both given: leave one out"))
	}
	if _, lerr := run.NewLogger(io.Discard, s.logLevel, s.logFormat); lerr != nil {
		err = errors.Join(err, lerr)
	}
	if check, ok := s.checks[cmd]; ok {
		err = errors.Join(err, check())
	}
	if err != nil {
		return mistake{err}
	}
	return nil
}

func (s *shared) logger() *slog.Logger {
	log, err := run.NewLogger(s.env.Stderr, s.logLevel, s.logFormat)
	if err != nil {
		panic(err) // settle has tried it
	}
	return log
}

// programConfig returns the configuration of the program.
func (s *shared) programConfig() program.Config {
	return program.Config{
		DataDir: s.dataDir, MasterKey: s.key, MasterKeyFile: s.keyFile, MaxStore: s.maxStoreMB << 20,
		Threshold: s.threshold, Log: s.logger(), Now: failpoint.Now,
	}
}

// call runs an operation in the server that has the data directory, or in this
// process when none is running.
func (s *shared) call(cmd *cobra.Command, name string, args, result any) error {
	return s.callWith(cmd.Context(), name, args, result, s.note)
}

// note tells the operator something that is not what a command was asked for.
func (s *shared) note(line string) { fmt.Fprintln(s.env.Stderr, line) }

// beginners are the operations that somebody may begin an installation with. A
// directory that was mistyped is a mistake to all others.
var beginners = []string{program.OpUserAdd, program.OpSitesImport, program.OpTokenCreate}

// callWith is call with the operation's lines handed to progress.
func (s *shared) callWith(ctx context.Context, name string, args, result any, progress func(string)) error {
	client, err := control.Dial(ctx, datadir.ControlSocket(s.dataDir))
	if err == nil {
		return client.Call(ctx, name, args, result, progress)
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	if used, err := isUsed(s.dataDir); err == nil && !used {
		if !slices.Contains(beginners, name) {
			return mistake{fmt.Errorf("there is no installation in %s: name it with --data-dir", s.dataDir)}
		}
		s.note("There was nothing in " + s.dataDir + ": a new installation is made there.")
	}
	p, err := program.Open(ctx, s.programConfig())
	if err != nil {
		return err
	}
	err = p.Operations().Call(ctx, name, args, result, progress)
	return errors.Join(err, p.Close())
}
