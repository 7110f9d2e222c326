package main

import (
	"strings"
	"testing"

	"github.com/onrecord/onrecord/pkg/run/runtest"
)

// wire stands between a browser and the program and can be cut: a real outage
// for pages and workers alike, which the browser's own "offline" is not.
type wire struct {
	*runtest.Link
	url string
}

// newWire lays a wire to a program.
func newWire(t *testing.T, p *process) *wire {
	t.Helper()
	l := runtest.NewLink(t, strings.TrimPrefix(p.url, "http://"))
	return &wire{l, "http://" + l.Addr}
}
