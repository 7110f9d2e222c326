package mongo

import (
	"fmt"
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/onrecord/onrecord/pkg/incident"
	"github.com/onrecord/onrecord/services/reporting/internal/store"
)

// FuzzFilterShape puts anything into a filter: what comes out has the fields
// and operators of one with plain words in the same places, and nothing of what
// was put in stands anywhere but in a value.
func FuzzFilterShape(f *testing.F) {
	f.Add("leeds", "new", "abuse", "phone", "any_staff", "id", true)
	f.Add(`{"$ne":null}`, "$where", "$gt", "a.b", "\x00", "$or", false)
	f.Fuzz(func(t *testing.T, site, status, kind, channel, target, id string, review bool) {
		filter := store.Filter{Sites: []string{site}, Statuses: []incident.Status{incident.Status(status)}, Kind: incident.Kind(kind),
			Channel: incident.Channel(channel), Target: incident.Target(target), Review: review}
		plain := store.Filter{Sites: []string{"x"}, Statuses: []incident.Status{"x"}, Kind: or(filter.Kind), Channel: or(filter.Channel), Target: or(filter.Target), Review: review}
		got, ok := listFilter(filter, store.Position{OccurredAt: 1, ID: id}, 0)
		want, _ := listFilter(plain, store.Position{OccurredAt: 1, ID: "x"}, 0)
		if !ok {
			return // a value that nothing has
		}
		if got, want := shape(got), shape(want); !slices.Equal(got, want) {
			t.Errorf("shape %q, want %q", got, want)
		}
	})
}

func or[T ~string](v T) T {
	if v == "" {
		return v
	}
	return "x"
}

// shape returns every name in a filter, in order, with the type of its value.
func shape(v any) (names []string) {
	switch v := v.(type) {
	case bson.D:
		for _, e := range v {
			names = append(append(names, e.Key), shape(e.Value)...)
		}
	case bson.A:
		for _, e := range v {
			names = append(names, shape(e)...)
		}
	default:
		names = append(names, fmt.Sprintf("%T", v))
	}
	return names
}
