package sqlite

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// selection is a filter as streams of incidents. Every incident is in four
// streams, each an index in order of time: all incidents, its site's, its
// facet's, and its facet's at its site. A filter chooses the kind of stream
// that needs no further test, and its page is the merge of the streams it
// matches, so that a page costs what it shows and one look into each stream,
// however many incidents there are and however rare the ones looked for.
type selection struct {
	column, index string // of the kind of stream; "" for the stream of all
	streams       string // query of the streams that match
	values        []any  // of that query
}

func selectionOf(f store.Filter) selection {
	where, values := facetConditions(f)
	switch {
	case f.Sites == nil && where == "":
		return selection{index: "incidents_by_time"}
	case f.Sites == nil:
		return selection{"facet", "incidents_by_facet", `SELECT facet FROM facets WHERE ` + where, values}
	case where == "":
		return selection{"site", "incidents_by_site", `SELECT value FROM json_each(?)`, args(set(f.Sites))}
	}
	return selection{"site_facet", "incidents_by_site_facet",
		`SELECT sf.site_facet FROM json_each(?) AS s CROSS JOIN site_facets AS sf INDEXED BY site_facets_by_site ON sf.site = s.value
		 CROSS JOIN facets AS f ON f.facet = sf.facet WHERE ` + where,
		append(args(set(f.Sites)), values...)}
}

// onlineChannels are the channels that Filter.Online selects.
var onlineChannels = slices.DeleteFunc(slices.Clone(incident.Channels), func(c incident.Channel) bool { return !c.IsOnline() })

// facetConditions returns the conditions on the table facets, "" for none.
func facetConditions(f store.Filter) (where string, values []any) {
	var conditions []string
	add := func(condition string, value any) {
		conditions, values = append(conditions, condition), append(values, value)
	}
	if f.Kind != "" {
		add(`kind = ?`, string(f.Kind))
	}
	if f.Channel != "" {
		add(`channel = ?`, string(f.Channel))
	}
	if f.Online {
		add(`channel IN (SELECT value FROM json_each(?))`, set(onlineChannels))
	}
	if f.Target != "" {
		add(`target = ?`, string(f.Target))
	}
	if len(f.Statuses) > 0 {
		add(`status IN (SELECT value FROM json_each(?))`, set(f.Statuses))
	}
	if f.Review {
		add(`review = ?`, true)
	}
	if f.Nothing {
		add(`said_nothing = ?`, true)
	}
	if f.Undated {
		add(`undated = ?`, true)
	}
	return strings.Join(conditions, " AND "), values
}

// set returns the distinct texts as a JSON array. Those that JSON cannot carry
// unchanged are left out: nothing that is stored equals them.
func set[T ~string](texts []T) string {
	distinct := slices.DeleteFunc(slices.Clone(texts), func(t T) bool {
		return !utf8.ValidString(string(t)) || strings.ContainsRune(string(t), 0)
	})
	slices.Sort(distinct)
	array, _ := json.Marshal(append([]T{}, slices.Compact(distinct)...)) // valid text: cannot fail
	return string(array)
}

// page returns the query of doc and folded_rev for up to limit incidents that
// come after a position, newest first, and are not before an instant. A merge
// returns the right ones, in no promised order.
func (s selection) page(after store.Position, notBefore int64, limit int) (query string, values []any) {
	if s.column == "" {
		return `SELECT doc, folded_rev FROM incidents INDEXED BY incidents_by_time
			WHERE (occurred_at, id) < (?, ?) AND occurred_at >= ?
			ORDER BY occurred_at DESC, id DESC LIMIT ?`, args(after.OccurredAt, after.ID, notBefore, limit)
	}
	return fmt.Sprintf(mergeStreams, s.column, s.index, s.streams),
		append(slices.Clone(s.values), after.OccurredAt, after.ID, notBefore, notBefore, limit)
}

// mergeStreams walks the streams with a queue that holds the next incident of
// each: SQLite takes the newest out and puts the one behind it in, until the
// page is full. Every step is one look into the index; the plus takes the column
// affinity off w.id, without which SQLite would not search by it.
const mergeStreams = `WITH RECURSIVE
streams (stream) AS (%[3]s),
walk (n, stream, occurred_at, id) AS (
	SELECT i.n, s.stream, i.occurred_at, i.id
	FROM streams AS s CROSS JOIN incidents AS i INDEXED BY %[2]s
	ON i.%[1]s = s.stream AND (i.occurred_at, i.id) = (
		SELECT occurred_at, id FROM incidents INDEXED BY %[2]s
		WHERE %[1]s = s.stream AND (occurred_at, id) < (?, ?) AND occurred_at >= ?
		ORDER BY occurred_at DESC, id DESC LIMIT 1)
	UNION ALL
	SELECT i.n, w.stream, i.occurred_at, i.id
	FROM walk AS w CROSS JOIN incidents AS i INDEXED BY %[2]s
	ON i.%[1]s = w.stream AND (i.occurred_at, i.id) = (
		SELECT occurred_at, id FROM incidents INDEXED BY %[2]s
		WHERE %[1]s = w.stream AND (occurred_at, id) < (w.occurred_at, +w.id) AND occurred_at >= ?
		ORDER BY occurred_at DESC, id DESC LIMIT 1)
	ORDER BY 3 DESC, 4 DESC
	LIMIT ?
)
SELECT i.doc, i.folded_rev FROM walk AS w CROSS JOIN incidents AS i ON i.n = w.n`

// count returns the query of how many incidents lie before a position and not
// before an instant, counting no further than most.
func (s selection) count(before store.Position, notBefore int64, most int) (query string, values []any) {
	if s.column == "" {
		return `SELECT count(*) FROM (SELECT 1 FROM incidents INDEXED BY incidents_by_time
			WHERE occurred_at < ? AND occurred_at >= ? LIMIT ?)`, args(before.OccurredAt, notBefore, most)
	}
	return fmt.Sprintf(`WITH streams (stream) AS (%[3]s)
			SELECT count(*) FROM (SELECT 1 FROM streams AS s CROSS JOIN incidents AS i INDEXED BY %[2]s
			ON i.%[1]s = s.stream AND i.occurred_at < ? AND i.occurred_at >= ? LIMIT ?)`, s.column, s.index, s.streams),
		append(slices.Clone(s.values), before.OccurredAt, notBefore, most)
}
