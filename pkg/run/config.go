// Package run is the shell every process runs in: configuration from flags,
// environment and file; logs; named parts started together and stopped in
// order; metrics and pprof for the operator.
package run

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// EnvPrefix begins the name of every environment variable that configures us:
// the flag --data-dir is ONRECORD_DATA_DIR.
const EnvPrefix = "ONRECORD_"

// Settings fills flags that were not given on the command line from the
// environment, and those still not given from a file named by configFile. It
// returns every mistake at once, before anything is opened.
//
// The file holds lines "name: value" or "name = value" with the flags' names;
// blank lines and lines that begin with # are passed over.
func Settings(flags *pflag.FlagSet, lookupEnv func(string) (string, bool), configFile string) error {
	var mistakes []error
	set := func(f *pflag.Flag, value, source string) {
		if err := flags.Set(f.Name, value); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: %s: %w", source, f.Name, errors.Unwrap(err)))
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			return
		}
		name := EnvName(f.Name)
		if v, ok := lookupEnv(name); ok {
			set(f, v, "environment "+name)
		}
	})
	if configFile == "" {
		return errors.Join(mistakes...)
	}
	text, err := os.ReadFile(configFile)
	if err != nil {
		return errors.Join(append(mistakes, fmt.Errorf("configuration file: %w", err))...)
	}
	for n, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		source := fmt.Sprintf("%s line %d", configFile, n+1)
		at := strings.IndexAny(line, ":=")
		if at < 0 {
			mistakes = append(mistakes, fmt.Errorf("%s: want “name: value”", source))
			continue
		}
		name, value := strings.TrimSpace(line[:at]), strings.TrimSpace(line[at+1:])
		f := flags.Lookup(name)
		switch {
		case f == nil:
			mistakes = append(mistakes, fmt.Errorf("%s: there is no setting %q", source, name))
		case !f.Changed:
			set(f, value, source)
		}
	}
	return errors.Join(mistakes...)
}

// EnvName returns the environment variable of a flag.
func EnvName(flag string) string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
