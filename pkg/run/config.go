// Package run is the shell every process runs in: configuration from flags,
// environment and file; logs; named parts started together and stopped in
// order; health and metrics for the operator.
package run

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// envPrefix begins the name of every environment variable that configures us:
// the flag --data-dir is ONRECORD_DATA_DIR.
const envPrefix = "ONRECORD_"

// Fill fills flags that were not given on the command line from the
// environment, and those still not given from a file named by configFile. It
// returns every mistake at once, before anything is opened.
//
// The file holds lines "name: value" or "name = value" with the flags' names;
// blank lines and lines that begin with # are passed over. A name that stands
// twice is a mistake, and so are config, help and version. Variables of the
// environment that are no flag's are passed over: other services share it.
func Fill(flags *pflag.FlagSet, lookupEnv func(string) (string, bool), configFile string) error {
	var mistakes []error
	set := func(f *pflag.Flag, value, source string) {
		if err := flags.Set(f.Name, value); err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: %s: %s", source, f.Name, want(f, value, err)))
		}
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || f.Name == "version" {
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
	lines := make(map[string]int) // by the name that stands there
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
		first, twice := lines[name]
		switch lines[name] = n + 1; {
		case name == "config", name == "help", name == "version":
			mistakes = append(mistakes, fmt.Errorf("%s: %q cannot be set in the file", source, name))
		case twice:
			mistakes = append(mistakes, fmt.Errorf("%s: %q stands twice, first in line %d", source, name, first))
		case f == nil:
			mistakes = append(mistakes, fmt.Errorf("%s: there is no setting %q", source, name))
		case !f.Changed:
			set(f, value, source)
		}
	}
	return errors.Join(mistakes...)
}

// want returns what to give for a flag that refused a value.
func want(f *pflag.Flag, value string, err error) string {
	switch kind := f.Value.Type(); {
	case kind == "bool":
		return fmt.Sprintf("want true or false, got %q", value)
	case kind == "duration":
		return fmt.Sprintf("want a duration like 30s, got %q", value)
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return fmt.Sprintf("want a whole number, got %q", value)
	}
	if cause := errors.Unwrap(err); cause != nil {
		err = cause
	}
	return err.Error()
}

// EnvName returns the environment variable of a flag.
func EnvName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}
