package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/pflag"
)

// Exit codes of every program of this project.
const (
	ExitOK      = 0
	ExitFailed  = 1 // it was tried and did not work, or a check found something
	ExitMistake = 2 // the command line or the configuration is wrong; nothing was tried
)

// Settings are what an operator chooses about one thing that a process uses.
type Settings interface {
	// AddTo adds their flags to a command's.
	AddTo(f *pflag.FlagSet)
	// Check returns every mistake. It may read files and opens nothing.
	Check() error
}

// Service is a process of its own: its command line and what it runs.
type Service struct {
	Name     string
	About    string     // what it does, for --help
	Operator string     // where it answers its operator unless told otherwise
	Settings []Settings // in the order of --help
	// Run runs until ctx is done. It is called when every setting is right and
	// the operator's listener is open.
	Run func(ctx context.Context, p Process) error
}

// Process is what every Service has.
type Process struct {
	Log      *slog.Logger
	Stderr   io.Writer // for the operator's eyes, past the log
	operator net.Listener
}

// common are the settings that every service has.
type common struct {
	config, operator, level, format string
	help, version, ask              bool
}

func (c *common) addTo(f *pflag.FlagSet, operator string) {
	f.StringVar(&c.operator, "operator-listen", operator, "`address` for the operator: /healthz, /readyz and /metrics; never open it to people")
	f.StringVar(&c.level, "log-level", "info", "`level`: debug, info, warn or error")
	f.StringVar(&c.format, "log-format", "text", "`format`: text or json")
	f.StringVar(&c.config, "config", "", "configuration `file`, a line “name: value” each")
	f.BoolVar(&c.ask, "ask-ready", false, "ask the instance that runs with these settings whether it is ready, and end: 0 when it is, 1 when not")
	f.BoolVar(&c.help, "help", false, "print this and end")
	f.BoolVar(&c.version, "version", false, "print the version and end")
}

// Main runs the service until it is interrupted or told to stop, and returns
// the process's exit code.
func (s Service) Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return s.Start(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
}

// Start is Main with everything that it takes from the process.
func (s Service) Start(ctx context.Context, args []string, lookupEnv func(string) (string, bool), stdout, stderr io.Writer) int {
	var c common
	f := pflag.NewFlagSet(s.Name, pflag.ContinueOnError)
	f.SetOutput(io.Discard) // mistakes are told below
	f.SortFlags = false
	for _, settings := range s.Settings {
		settings.AddTo(f)
	}
	c.addTo(f, s.Operator)
	if err := f.Parse(args); err != nil {
		return s.mistake(stderr, err)
	}
	switch {
	case c.help:
		s.help(stdout, f)
		return ExitOK
	case c.version:
		fmt.Fprintln(stdout, s.Name, Version)
		return ExitOK
	}
	if file, ok := lookupEnv(EnvName("config")); ok && !f.Changed("config") {
		c.config = file
	}
	err := Fill(f, lookupEnv, c.config)
	if c.ask && err == nil {
		return s.ask(ctx, c.operator, stdout, stderr)
	}
	if f.NArg() > 0 {
		err = errors.Join(err, fmt.Errorf("there are no arguments beside the flags: %q", f.Args()))
	}
	for _, settings := range s.Settings {
		err = errors.Join(err, settings.Check())
	}
	err = errors.Join(err, CheckAddress("operator-listen", c.operator))
	log, logErr := NewLogger(stderr, c.level, c.format)
	if err = errors.Join(err, logErr); err != nil {
		return s.mistake(stderr, err)
	}
	if err := s.run(ctx, c.operator, Process{Log: log, Stderr: stderr}); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", s.Name, err)
		return ExitFailed
	}
	return ExitOK
}

func (s Service) run(ctx context.Context, address string, p Process) error {
	var err error
	if p.operator, err = Listen(ctx, "operator-listen", address); err != nil {
		return err
	}
	defer p.operator.Close() // it is closed with the parts; this is for when they are not reached
	p.Log.Info("starting", "service", s.Name, "version", Version, "operator", p.operator.Addr().String())
	return s.Run(ctx, p)
}

// ask asks a running instance whether it is ready: for a container that holds
// nothing but the service, and so nothing that could ask.
func (s Service) ask(ctx context.Context, address string, stdout, stderr io.Writer) int {
	answer, err := askReady(ctx, address)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", s.Name, err)
		return ExitFailed
	}
	fmt.Fprint(stdout, answer)
	return ExitOK
}

func (s Service) mistake(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "%s: %v\nSee “%s --help”.\n", s.Name, err, s.Name)
	return ExitMistake
}

func (s Service) help(out io.Writer, f *pflag.FlagSet) {
	fmt.Fprintf(out, "%s\n\nUsage:\n  %s [flags]\n\nEvery flag may be given in the environment, as ONRECORD_ and its name in capitals\n"+
		"(--nats-url is ONRECORD_NATS_URL), or in a file of lines \"name: value\" named by\n--config. The first of these wins.\n\nFlags:\n%s", s.About, s.Name, f.FlagUsages())
}

// Run runs parts, in the order in which they stop, and answers the operator
// until all of them have stopped. ready says which part does not work.
func (p Process) Run(ctx context.Context, ready func(ctx context.Context) error, parts ...Part) error {
	return Parts(ctx, p.Log, append(parts, Part{"operator", func(ctx context.Context) error { return serveOperator(ctx, p.operator, ready) }})...)
}

// CheckAddress returns a mistake in the flag of a name whose value is no
// address to listen on. An empty one would be every address of this machine,
// at a port that nobody chose.
func CheckAddress(flag, address string) error {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%s %q: want a host and a port, like localhost:8080, or :8080 for every address of this machine; port 0 takes any that is free", flag, address)
	}
	return nil
}

// Listen opens a TCP listener for the flag of a name. The error says what the
// operator may do.
func Listen(ctx context.Context, flag, address string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err == nil {
		return ln, nil
	}
	next := "choose another with"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		next = "another program uses it, perhaps this one, started before: stop that, or choose another port with"
	case errors.Is(err, syscall.EACCES):
		next = "ports below 1024 are for root alone: choose a higher one with"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		next = "this machine has no such address: give one that it has, or :8080 for all of them, with"
	}
	return nil, fmt.Errorf("cannot listen on %s: %w: %s --%s", address, err, next, flag)
}
