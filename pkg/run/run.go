package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Version is the program's version, set at link time.
var Version = "dev"

// NewLogger returns a logger of a level (debug, info, warn, error) and a
// format (text, json).
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", format)
}

// Part is something that runs until its context is done.
type Part struct {
	Name string
	Run  func(ctx context.Context) error
}

// stopTime is how long one part may take to stop.
const stopTime = 15 * time.Second

// Parts runs all parts until ctx is done or one of them ends, then stops them
// one after another in the order given, so that the front door closes before
// what stands behind it. A part's context ends with the cause of ctx. Parts
// returns what went wrong, nil for a clean stop.
func Parts(ctx context.Context, log *slog.Logger, parts ...Part) error {
	type ended struct {
		part int
		err  error
	}
	done := make(chan ended, len(parts))
	stops := make([]context.CancelCauseFunc, len(parts))
	finished := make([]chan struct{}, len(parts))
	for i, p := range parts {
		partCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		stops[i], finished[i] = cancel, make(chan struct{})
		go func() {
			defer close(finished[i])
			done <- ended{i, p.Run(partCtx)}
		}()
	}
	var errs []error
	running := len(parts)
	note := func(e ended) {
		running--
		if e.err != nil && !errors.Is(e.err, context.Canceled) {
			errs = append(errs, fmt.Errorf("%s: %w", parts[e.part].Name, e.err))
		}
	}
	select {
	case <-ctx.Done():
	case e := <-done:
		note(e)
		if e.err == nil {
			errs = append(errs, fmt.Errorf("%s ended by itself", parts[e.part].Name))
		}
	}
	for i, p := range parts {
		stops[i](context.Cause(ctx))
		select {
		case <-finished[i]:
		case <-time.After(stopTime):
			errs = append(errs, fmt.Errorf("%s did not stop in %v", p.Name, stopTime))
			continue
		}
		log.Debug("stopped", "part", strings.ToLower(p.Name))
	}
	for running > 0 {
		select {
		case e := <-done:
			note(e)
		default:
			return errors.Join(errs...) // what is left did not stop, and is named above
		}
	}
	return errors.Join(errs...)
}
