package reporting

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/onrecord/onrecord/pkg/fault"
	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/figures"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// Limits on one page of incidents.
const (
	maxLimit      = 200
	apiLimit      = 50 // when the client names none
	maxCursorSize = 512
)

// listParameters are what GET /api/v1/incidents and /incidents/ understand.
var listParameters = []string{"status", "site", "kind", "channel", "target", "month", "review", "nothing_happened", "undated", "assigned", "cursor", "limit"}

// channelFilters are the channels, and online for two of them together.
var channelFilters = append(slices.Clone(incident.Channels), figures.ChannelOnline)

// filterWords are the words for channelFilters, where online stands beside its
// two parts.
var filterWords = func() map[incident.Channel]string {
	words := maps.Clone(channelWords)
	words[figures.ChannelOnline] = "Online, either way"
	return words
}()

// readFilter turns the parameters of a list into a store.Filter within the
// sites that may be seen: nil for every site. groups are the names that stand
// for several statuses, for pages; the API takes none. Parameters nobody knows
// are named, because a misspelt filter that is ignored shows too much. It
// returns fault.Invalid with every parameter to mend.
func readFilter(q url.Values, sites []string, groups map[string][]incident.Status) (store.Filter, error) {
	var bad []fault.Field
	wrong := func(field, message string, args ...any) {
		bad = append(bad, fault.Field{Name: field, Message: fmt.Sprintf(message, args...)})
	}
	var repeatable []string
	if groups == nil { // a page's select shows one
		repeatable = []string{"status"}
	}
	if err := checkParameters(q, listParameters, repeatable...); err != nil {
		bad = fault.As(err).Fields
	}

	f := store.Filter{Sites: sites, Limit: apiLimit,
		Kind:    oneOf(wrong, q, "kind", incident.Kinds),
		Channel: oneOf(wrong, q, "channel", channelFilters),
		Target:  oneOf(wrong, q, "target", incident.Targets),
		Cursor:  q.Get("cursor"),
	}
	if f.Channel == figures.ChannelOnline {
		f.Channel, f.Online = "", true
	}
	f.Statuses = readStatuses(wrong, q["status"], groups)
	if site := q.Get("site"); site != "" {
		if sites != nil && !slices.Contains(sites, site) {
			wrong("site", "That is not one of your sites.")
		}
		f.Sites = []string{site}
	}
	month, err := figures.ParseMonth("month", q.Get("month"))
	if err != nil {
		bad = append(bad, fault.As(err).Fields...)
	}
	f.Month = month
	f.Review = yes(wrong, q, "review")
	f.Nothing = yes(wrong, q, "nothing_happened")
	f.Undated = yes(wrong, q, "undated")
	if q.Has("assigned") {
		wrong("assigned", "Incidents cannot be assigned to anybody yet, so this filter is not available.")
	}
	if len(f.Cursor) > maxCursorSize {
		wrong("cursor", "That is not a cursor of this list.")
	}
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxLimit {
			wrong("limit", "Must be a number from 1 to %d.", maxLimit)
		}
		f.Limit = n
	}
	if len(bad) > 0 {
		return store.Filter{}, fault.InvalidFields(bad)
	}
	return f, nil
}

// unreadableQuery is what the API says of a query that cannot be read.
const unreadableQuery = "The query could not be read."

// queryOf returns the parameters of a request's address, or fault.Malformed
// with a message for an address that cannot be read.
func queryOf(c *fiber.Ctx, message string) (url.Values, error) {
	q, err := url.ParseQuery(string(c.Request().URI().QueryString()))
	if err != nil {
		return nil, fault.New(fault.Malformed, "malformed", message)
	}
	return q, nil
}

// checkParameters returns nil, or a fault.Invalid error that names every
// parameter nobody knows, and every one that is given more than once and is not
// repeatable: all but one value would be dropped.
func checkParameters(q url.Values, known []string, repeatable ...string) error {
	var bad []fault.Field
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch {
		case !slices.Contains(known, name):
			bad = append(bad, fault.Field{Name: clip(name), Message: "There is no such parameter. Choose from: " + strings.Join(known, ", ") + "."})
		case len(q[name]) > 1 && !slices.Contains(repeatable, name):
			bad = append(bad, fault.Field{Name: name, Message: "Give it once."})
		}
	}
	if len(bad) > 0 {
		return fault.InvalidFields(bad)
	}
	return nil
}

// readStatuses reads a parameter that may be repeated or hold a list with commas.
func readStatuses(wrong func(field, message string, args ...any), values []string, groups map[string][]incident.Status) []incident.Status {
	var out []incident.Status
	for _, v := range values {
		for name := range strings.SplitSeq(v, ",") {
			name = strings.TrimSpace(name)
			group, ok := groups[name]
			switch {
			case name == "":
			case ok:
				out = append(out, group...)
			case incident.Status(name).Valid():
				out = append(out, incident.Status(name))
			default:
				wrong("status", "Must be one or more of: %s.", joined(incident.Statuses))
				return nil
			}
		}
	}
	return out
}

// yes reads a parameter that asks for something or does not.
func yes(wrong func(field, message string, args ...any), q url.Values, name string) bool {
	switch q.Get(name) {
	case "", "false":
	case "true":
		return true
	default:
		wrong(name, "Must be true or false.")
	}
	return false
}

func oneOf[T ~string](wrong func(field, message string, args ...any), q url.Values, name string, all []T) T {
	v := T(q.Get(name))
	if v != "" && !slices.Contains(all, v) {
		wrong(name, "Must be one of: %s.", joined(all))
	}
	return v
}

func joined[T ~string](all []T) string {
	words := make([]string, len(all))
	for i, v := range all {
		words[i] = string(v)
	}
	return strings.Join(words, ", ")
}

// clip bounds what an answer repeats of a name somebody sent.
func clip(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
